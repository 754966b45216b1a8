//! The bus without a broker: what it does while there is none, or only half a one.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use agent_core::{Entry, Event, FORMAT, Seq, Subject};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{interval, timeout},
};

use super::*;
use crate::journal::{Hash, Journal, Mark, Store as _};

const LIMIT: Duration = Duration::from_secs(30);

struct Running {
    status: BusStatus,
    cancel: CancellationToken,
    task: JoinHandle<()>,
    head: watch::Sender<Seq>,
    _folder: TempDir,
}

fn entry(seq: Seq) -> Entry {
    let at = "2026-01-02T03:04:05Z".parse().expect("a timestamp");
    let event = Event::AgentStarted { version: "1".into(), config_digest: "d".into() };
    Entry { v: FORMAT, seq, at, subject: Subject::Agent, rule: None, event }
}

fn write(path: &Path, last: Seq) -> Hash {
    let entries: Vec<_> = (1..=last).map(entry).collect();
    let mut store = Journal::open(path).expect("new");
    store.append(0, &Hash::GENESIS, 1, &entries).expect("written")
}

fn start(url: &str) -> Running {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    write(&path, 3);
    let (head, told) = watch::channel(3);
    let status = BusStatus::new(told.clone());
    let cancel = CancellationToken::new();
    let settings = BusSettings {
        url: url.parse().expect("a URL"),
        exchange: "events".to_owned(),
        source: "/dr-agent/test".to_owned(),
        kept_url: None,
        ca: None,
        connect_within: Duration::from_millis(100),
        confirm_within: Duration::from_millis(100),
    };
    let reader = Reader::open(&path).expect("readable");
    let cursors = Cursors::open(&path).expect("cursors");
    let task = tokio::spawn(run(settings, reader, cursors, told, cancel.clone(), status.clone()));
    Running { status, cancel, task, head, _folder: folder }
}

impl Running {
    fn report(&self) -> BusReport {
        self.status.report("2026-01-02T03:04:06Z".parse().expect("a timestamp"))
    }

    async fn stop(self) {
        self.cancel.cancel();
        timeout(LIMIT, self.task).await.expect("it ends when told").expect("no panic");
    }
}

/// Looks every few milliseconds until it is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let mut tick = interval(Duration::from_millis(5));
    let looking = async {
        while !so() {
            tick.tick().await;
        }
    };
    timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

/// Threads of lapin in this process.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("lapin-io-loop")).count()
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Accepts so many connections, says nothing and holds them open.
async fn accept(listener: &TcpListener, count: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    while held.len() < count {
        let accepted = timeout(LIMIT, listener.accept()).await.expect("it tries again");
        held.push(accepted.expect("a connection").0);
    }
    held
}

#[tokio::test]
async fn a_peer_that_says_nothing_costs_a_deadline_and_no_threads() {
    for scheme in ["amqp", "amqps"] {
        let (listener, address) = listener().await;
        let running = start(&format!("{scheme}://someone:s3cret@{address}/%2f"));
        let held = accept(&listener, 5).await;
        let report = running.report();
        assert!(!report.connected);
        assert_eq!((report.last_confirmed_seq, report.lag_entries, report.lag_ms), (0, 3, 1000));
        let error = report.last_error.expect("an error");
        assert!(error.starts_with("can't connect"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
        until("only the newest try has a thread", || threads() <= 1).await;
        running.stop().await;
        until("no thread is left", || threads() == 0).await;
        drop(held);
    }
}

#[tokio::test]
async fn the_lag_is_told_while_nobody_listens() {
    let (listener, address) = listener().await;
    drop(listener);
    let running = start(&format!("amqp://someone:s3cret@{address}/%2f"));
    until("a failure is told", || running.report().last_error.is_some()).await;
    running.head.send_replace(9);
    assert_eq!(running.report().lag_entries, 9);
    until("the oldest entry is known", || running.report().lag_ms == 1000).await;
    running.stop().await;
}

#[tokio::test]
async fn it_outlives_the_loop_that_feeds_it() {
    let (listener, address) = listener().await;
    let running = start(&format!("amqp://someone:s3cret@{address}/%2f"));
    let Running { task, head, cancel, .. } = running;
    let held = accept(&listener, 1).await;
    drop(head);
    drop(accept(&listener, 2).await);
    assert!(!task.is_finished(), "the journal may hold more than was published");
    cancel.cancel();
    timeout(LIMIT, task).await.expect("it ends when told").expect("no panic");
    drop(held);
}

#[tokio::test]
async fn a_cursor_into_another_journal_is_not_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let hash = write(&path, 3);
    let files = || {
        let reader = Reader::open(&path).expect("readable");
        Files::new(reader, Cursors::open(&path).expect("cursors"))
    };
    for (mark, believed) in [
        (Mark { seq: 3, hash }, Mark { seq: 3, hash }),
        (Mark { seq: 3, hash: Hash::GENESIS.then("x") }, Mark::START),
        (Mark { seq: 4, hash }, Mark::START),
    ] {
        files().set(mark).await.expect("writable");
        assert_eq!(files().cursor().await.expect("readable"), believed);
    }
}

#[test]
fn pauses_grow_to_a_limit_and_differ() {
    for failures in [0, 1, 2, 5, 9, 40, u32::MAX] {
        let longest = PAUSE_LEAST.saturating_mul(1 << failures.saturating_sub(1).min(20));
        let longest = longest.min(PAUSE_MOST);
        for _ in 0..100 {
            let pause = pause(failures);
            assert!(pause <= longest && pause >= longest / 2, "{failures}: {pause:?}");
        }
    }
    let first = pause(9);
    assert!((0..100).any(|_| pause(9) != first), "jitter");
}
