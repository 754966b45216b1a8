//! The loop on its thread, over a clock that stands still or runs: who is told what, and when.

use std::{thread::JoinHandle, time::Duration};

use agent_core::{Estate, Event, Health, Refusal};
use dr_agent::{
    clock::{Clock, Hand},
    journal::JournalError,
    turn::{Ended, Inbox, Told, Turn, spawn},
};
use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::time::timeout;

use crate::{
    disk::{Disk, Fault},
    story::{at, estate, healthy, link, lost, propose, start},
};

/// For what has to happen; reached only if it does not.
const LIMIT: Duration = Duration::from_secs(30);

struct Running {
    disk: Disk,
    hand: Hand,
    inbox: Inbox,
    told: Told,
    thread: JoinHandle<Result<(), JournalError>>,
}

fn running(disk: &Disk) -> Running {
    let mut estate = estate(&["orders"]);
    let (head, term) = disk.fold(&mut estate);
    let (clock, hand) = Clock::by_hand(at(0));
    let turn = Turn::new(estate, disk.clone(), head, term);
    let (inbox, told, thread) = spawn(turn, clock).expect("a thread");
    Running { disk: disk.clone(), hand, inbox, told, thread }
}

impl Running {
    /// What the estate says after a turn that took everything sent so far.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Estate, Timestamp) -> T + Send + 'static,
    ) -> T {
        let answer = timeout(LIMIT, self.inbox.ask(question)).await.expect("in time");
        answer.expect("the loop runs")
    }

    async fn health(&self) -> Health {
        self.ask(|estate, _| estate.record(&link("orders")).expect("known").health).await
    }

    fn see(&self, looks: Vec<agent_core::Observation>) {
        looks.into_iter().for_each(|look| self.inbox.see(look));
    }

    fn ended(self) -> Result<(), JournalError> {
        self.thread.join().expect("no panic")
    }
}

#[tokio::test]
async fn nothing_is_told_before_it_is_on_disk() {
    let disk = Disk::default();
    let keeper = disk.gate();
    let mut running = running(&disk);
    let inbox = running.inbox.clone();
    let mut verdict = Box::pin(async move { inbox.input(start()).await });
    // Sent, and now the append waits at the gate.
    assert!(verdict.as_mut().now_or_never().is_none());
    keeper.waiting.recv_timeout(LIMIT).expect("the append is asked for");
    assert!(verdict.as_mut().now_or_never().is_none(), "no verdict before the append");
    assert!(!running.told.head.has_changed().expect("the loop runs"));
    assert_eq!((*running.told.head.borrow(), disk.texts().len()), (0, 0));
    keeper.open.send(()).expect("the append waits");
    let entry = timeout(LIMIT, verdict).await.expect("in time").expect("running").expect("taken");
    assert_eq!(entry.seq, 1);
    timeout(LIMIT, running.told.head.changed()).await.expect("in time").expect("running");
    assert_eq!((*running.told.head.borrow(), disk.texts().len()), (1, 1));
}

#[tokio::test]
async fn an_append_that_fails_ends_the_loop_and_tells_nobody() {
    for fault in [Fault::Lost, Fault::Unheard] {
        let disk = Disk::default();
        let running = running(&disk);
        let first = running.inbox.input(start()).await.expect("running");
        assert_eq!(first.expect("taken").seq, 1);
        disk.fail(1, fault);
        assert_eq!(running.inbox.input(start()).await, Err(Ended));
        assert_eq!(running.inbox.input(start()).await, Err(Ended));
        assert_eq!(running.inbox.ask(|_, _| ()).await, Err(Ended));
        assert_eq!(*running.told.head.borrow(), 1, "{fault:?}");
        let error = running.ended().expect_err("the disk failed");
        assert!(matches!(error, JournalError::Io { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_and_leaves_no_trace() {
    let running = running(&Disk::default());
    let verdict = running.inbox.input(propose("elsewhere")).await.expect("running");
    assert!(matches!(verdict, Err(Refusal::UnknownLink { .. })), "{verdict:?}");
    assert!(!running.told.head.has_changed().expect("the loop runs"));
    assert_eq!(running.disk.appends(), 0);
}

#[tokio::test]
async fn time_alone_makes_a_proposal_and_not_before_it_is_due() {
    let running = running(&Disk::default());
    running.see(healthy("orders", 0));
    assert_eq!(running.health().await, Health::Healthy);
    running.see(lost("orders", 0));
    running.hand.advance(Duration::from_secs(2));
    running.see(lost("orders", 2));
    assert_eq!(running.health().await, Health::PrimaryDown);

    let open = |estate: &Estate, _| estate.record(&link("orders")).expect("known").run.is_some();
    running.hand.advance(Duration::from_millis(9_999));
    running.ask(|_, _| ()).await;
    assert!(!running.ask(open).await, "it is due ten seconds after the verdict");
    running.hand.advance(Duration::from_millis(1));
    running.ask(|_, _| ()).await;
    assert!(running.ask(open).await, "nothing came in but time");
}

/// With nobody asking: the loop sleeps until a rule is due, and no longer.
#[tokio::test]
async fn the_loop_wakes_by_itself_when_a_rule_is_due() {
    let mut running = running(&Disk::default());
    running.see(healthy("orders", 0));
    assert_eq!(running.health().await, Health::Healthy);
    running.see([lost("orders", 0), lost("orders", 2)].concat());
    assert_eq!(running.health().await, Health::PrimaryDown);
    let before = *running.told.head.borrow();
    // From this turn on it sleeps for the milliseconds that are left.
    running.hand.advance(Duration::from_millis(9_950));
    running.ask(|_, _| ()).await;
    running.hand.advance(Duration::from_millis(50));
    let head = timeout(LIMIT, running.told.head.wait_for(|head| *head > before)).await;
    assert_eq!(*head.expect("it woke").expect("running"), before + 1);
    let texts = running.disk.texts();
    let opened = agent_core::read(texts.last().expect("an entry")).expect("readable");
    assert_eq!(opened.rule.as_deref(), Some("primary_lost"));
    assert!(matches!(opened.event, Event::ProposalOpened { .. }));
}

#[tokio::test]
async fn told_to_stop_it_finishes_what_it_has() {
    let running = running(&Disk::default());
    let (inbox, disk) = (running.inbox.clone(), running.disk.clone());
    let mut verdict = Box::pin(async { inbox.input(start()).await });
    assert!(verdict.as_mut().now_or_never().is_none());
    running.inbox.stop();
    let entry = timeout(LIMIT, verdict).await.expect("in time").expect("answered").expect("taken");
    assert_eq!((entry.seq, disk.texts().len()), (1, 1));
    running.ended().expect("an orderly end");
    assert_eq!(inbox.input(start()).await, Err(Ended));
}

#[tokio::test]
async fn it_ends_when_nobody_is_left_to_tell_it_anything() {
    let Running { inbox, thread, .. } = running(&Disk::default());
    drop(inbox);
    thread.join().expect("no panic").expect("an orderly end");
}
