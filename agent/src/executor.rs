//! Carries out what the record says is due: one task for each step that is under way, driving the
//! pure machine [`Deed`] with real hands.
//!
//! Which steps those are is read from the list that the loop tells after each turn, and from nothing
//! else, so the first list after a restart is handled like any other. A step that is no longer
//! listed is given up, but not between permission and reply: a command in flight is awaited, for half
//! a minute if nothing rests on its reply any more.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use agent_core::{
    Again, Input, LinkId, Report, Route, StepRef, Work,
    deed::{Answer, Ask, Deed, Polled, Sent, Sight},
};
use jiff::Timestamp;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    actions::{Hand, Hands},
    clock::Clock,
    turn::{Ended, Inbox},
};

/// A look or a poll that has not ended by then is blind. Hands have tighter limits of their own.
const ANSWER_MOST: Duration = Duration::from_secs(30);
/// What a command is given beyond the deadline of its step, so that the hand can say itself how far
/// it had come.
const SEND_GRACE: Duration = Duration::from_secs(5);
/// How long a statement or a request is awaited that is not listed any more, because the run was
/// overtaken: the next run of the link waits for it, and the server that was to reply is lost.
const LEFT_MOST: Duration = Duration::from_secs(30);
/// For the loop to take a report and to have it on disk.
const VERDICT_MOST: Duration = Duration::from_secs(60);
/// Before a task is started again for a step that is still listed; doubled each time.
const PAUSE_LEAST: Duration = Duration::from_secs(1);
const PAUSE_MOST: Duration = Duration::from_secs(30);
/// Panics over one try of a step after which it is reported and not begun any more.
const FALLS_MOST: u32 = 5;

/// Carries out the listed steps until `cancel`, or until the loop is gone. Returns when no command
/// is in flight any more, which is at the latest at the deadline of its step.
pub async fn run(
    work: watch::Receiver<Vec<Work>>,
    inbox: Inbox,
    hands: Arc<Hands>,
    clock: Clock,
    cancel: CancellationToken,
) {
    follow(work, Arc::new(Workshop { inbox, hands, clock }), cancel).await;
}

/// What a task needs around it.
trait Shop: Send + Sync + 'static {
    type Hand: Hand;

    fn now(&self) -> Timestamp;

    fn hand(&self, work: &Work) -> Self::Hand;

    /// Hands in a report. The inner error is a refusal in words.
    fn report(
        &self,
        step: StepRef,
        report: Report,
    ) -> impl Future<Output = Result<Result<(), String>, Ended>> + Send;
}

struct Workshop {
    inbox: Inbox,
    hands: Arc<Hands>,
    clock: Clock,
}

impl Shop for Workshop {
    type Hand = crate::actions::Grip;

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn hand(&self, work: &Work) -> Self::Hand {
        self.hands.grip(work)
    }

    async fn report(&self, step: StepRef, report: Report) -> Result<Result<(), String>, Ended> {
        let verdict = self.inbox.input(Input::Report { step, report }).await?;
        Ok(verdict.map(drop).map_err(|refusal| refusal.to_string()))
    }
}

async fn follow<S: Shop>(
    mut list: watch::Receiver<Vec<Work>>,
    shop: Arc<S>,
    cancel: CancellationToken,
) {
    let mut tasks = Tasks {
        shop,
        list: list.clone(),
        running: BTreeMap::new(),
        past: BTreeMap::new(),
        set: JoinSet::new(),
    };
    loop {
        let listed = list.borrow_and_update().clone();
        tasks.match_to(&listed);
        tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            changed = list.changed() => if changed.is_err() { break },
            Some(ended) = tasks.set.join_next() => tasks.ended(ended),
        }
    }
    tasks.stop_all();
    // Ends: what is looking or waiting stops at once, and a command has its deadline.
    while tasks.set.join_next().await.is_some() {}
}

struct Tasks<S> {
    shop: Arc<S>,
    list: watch::Receiver<Vec<Work>>,
    running: BTreeMap<StepRef, Running>,
    /// Of listed steps whose task has ended before: how often, and why.
    past: BTreeMap<StepRef, Past>,
    set: JoinSet<(StepRef, bool)>,
}

struct Running {
    link: LinkId,
    overdue: bool,
    stop: Stop,
}

/// How a task is told to come to its end.
#[derive(Clone, Default)]
struct Stop {
    /// It is to do nothing new.
    soon: CancellationToken,
    /// Nothing rests on what it does any more.
    unlisted: CancellationToken,
}

#[derive(Clone, Copy, Default)]
struct Past {
    ends: u32,
    falls: u32,
    overdue: bool,
}

impl<S: Shop> Tasks<S> {
    /// Starts what is listed and not under way, tells to stop what is under way and not listed.
    /// Other fields of a listed work than its name change by our own reports and mean nothing here.
    fn match_to(&mut self, listed: &[Work]) {
        for (step, running) in &self.running {
            if !listed.iter().any(|work| work.step == *step) {
                running.stop.unlisted.cancel();
                running.stop.soon.cancel();
            }
        }
        self.past.retain(|step, _| listed.iter().any(|work| work.step == *step));
        for work in listed {
            // A command of an earlier step of this link may be in flight yet: first that one.
            let busy = self.running.values().any(|running| running.link == work.link);
            if !busy {
                self.start(work);
            }
        }
    }

    fn start(&mut self, work: &Work) {
        let (step, stop) = (work.step, Stop::default());
        let running =
            Running { link: work.link.clone(), overdue: work.overdue, stop: stop.clone() };
        self.running.insert(step, running);
        let past = self.past.get(&step).copied().unwrap_or_default();
        let pause = past.pause(work.overdue);
        let (shop, list) = (Arc::clone(&self.shop), self.list.clone());
        self.set.spawn(async move {
            if stop.soon.run_until_cancelled(sleep(pause)).await.is_none() {
                return (step, false);
            }
            // What the record says now, after the pause.
            let listed = list.borrow().iter().find(|work| work.step == step).cloned();
            let Some(work) = listed else { return (step, false) };
            let task = if past.falls < FALLS_MOST {
                tokio::spawn(drive(shop, work, stop))
            } else {
                tokio::spawn(give_up(shop, work, past.falls))
            };
            let fell = task.await.is_err_and(|error| error.is_panic());
            (step, fell)
        });
    }

    fn ended(&mut self, ended: Result<(StepRef, bool), tokio::task::JoinError>) {
        // The outer task awaits the inner one and does nothing that could panic.
        let Ok((step, fell)) = ended else { return };
        let Some(running) = self.running.remove(&step) else { return };
        if fell {
            tracing::error!(step = %Shown(step), "carrying out a step panicked");
        }
        let past = self.past.entry(step).or_default();
        past.ends += 1;
        past.falls += u32::from(fell);
        past.overdue = running.overdue;
    }

    fn stop_all(&self) {
        for running in self.running.values() {
            running.stop.soon.cancel();
        }
    }
}

impl Past {
    fn pause(self, overdue: bool) -> Duration {
        // Its task has just reported that it is overdue; now it is looked after.
        let turned = overdue && !self.overdue;
        if self.ends == 0 || (turned && self.falls == 0) {
            return Duration::ZERO;
        }
        PAUSE_LEAST.saturating_mul(1 << (self.ends - 1).min(16)).min(PAUSE_MOST)
    }
}

/// One try of one step, to its end. The loop ends with the step, whose deadline and whose time of
/// being looked after are in the signed terms; each round of it has a bound of its own.
async fn drive<S: Shop>(shop: Arc<S>, work: Work, stop: Stop) {
    let mut hand = shop.hand(&work);
    let mut deed = Deed::new(work);
    let mut told = String::new();
    loop {
        let now = shop.now();
        let ask = deed.next(now);
        if stop.soon.is_cancelled() && may_be_left(&ask) {
            return;
        }
        let answer = match ask {
            Ask::End => return,
            Ask::Look => {
                // Boxed, as all three: what a look holds through TLS and TDS is large.
                let look = timeout(ANSWER_MOST, Box::pin(hand.look(now)));
                let Some(sight) = stop.soon.run_until_cancelled(look).await else { return };
                let sight = sight.unwrap_or_else(|_| Sight::Blind { why: too_long() });
                tell_once(&mut told, deed.work(), &sight);
                Answer::Looked(sight)
            }
            Ask::Poll(operation) => {
                let poll = timeout(ANSWER_MOST, Box::pin(hand.poll(&operation)));
                let Some(polled) = stop.soon.run_until_cancelled(poll).await else { return };
                Answer::Polled(polled.unwrap_or_else(|_| Polled::Blind { why: too_long() }))
            }
            Ask::Wait(pause) => {
                let Some(()) = stop.soon.run_until_cancelled(sleep(pause)).await else { return };
                Answer::Waited
            }
            Ask::Send(route) => {
                let sent = send(deed.work(), &mut hand, &route, now);
                let sent = until_left(sent, &route, &stop.unlisted).await;
                Answer::Sent(sent.unwrap_or_else(|| Sent::Unknown { why: left() }))
            }
            Ask::Report(report) => {
                let Some(taken) = tell(&*shop, deed.work(), report).await else { return };
                Answer::Reported(taken)
            }
        };
        deed.answer(shop.now(), answer);
    }
}

/// What is not between permission and reply, and is no report of what became of a command.
fn may_be_left(ask: &Ask) -> bool {
    match ask {
        Ask::Look | Ask::Poll(_) | Ask::Wait(_) | Ask::End | Ask::Report(Report::Sending) => true,
        Ask::Send(_)
        | Ask::Report(
            Report::Noted { .. }
            | Report::Done { .. }
            | Report::NotDone { .. }
            | Report::Unknown { .. },
        ) => false,
    }
}

/// None: nobody waits for it any more. What an operator's program does is not broken off.
async fn until_left<T>(
    sent: impl Future<Output = T>,
    route: &Route,
    unlisted: &CancellationToken,
) -> Option<T> {
    let patience = async {
        match route {
            Route::Tsql { .. } | Route::Arm { .. } => unlisted.cancelled().await,
            Route::Hook(_) => std::future::pending().await,
        }
        sleep(LEFT_MOST).await;
    };
    tokio::select! {
        biased;
        sent = sent => Some(sent),
        () = patience => None,
    }
}

async fn send(work: &Work, hand: &mut impl Hand, route: &Route, now: Timestamp) -> Sent {
    let rest = Duration::try_from(work.deadline.duration_since(now)).unwrap_or_default();
    let started_ms = now.duration_since(work.started_at).as_millis();
    let step = Shown(work.step);
    tracing::info!(link = %work.link, %step, %route, since_started_ms = started_ms, "the command leaves");
    let sent = timeout(rest + SEND_GRACE, Box::pin(hand.send(route, rest))).await;
    let sent = sent.unwrap_or_else(|_| Sent::Unknown { why: too_long() });
    match &sent {
        Sent::Accepted { .. } => tracing::info!(%step, "the command is taken"),
        Sent::Already { why } | Sent::Refused { why, .. } | Sent::Unknown { why } => {
            tracing::warn!(%step, why, "the command is not simply taken");
        }
    }
    sent
}

/// What a step waits for, each time that it is something else: whoever reads the log at night sees
/// who is still in the database.
fn tell_once(told: &mut String, work: &Work, sight: &Sight) {
    let seen = match sight {
        Sight::Holds { seen }
        | Sight::Warned { seen, .. }
        | Sight::Not { seen, .. }
        | Sight::Coming { seen }
        | Sight::Unfit { seen } => seen,
        Sight::Blind { why } => why,
    };
    if seen != told {
        tracing::info!(link = %work.link, step = %Shown(work.step), seen, "looked at");
        told.clone_from(seen);
    }
}

/// None if there is no verdict: then nobody here knows what the record says, and the task begins
/// anew from the list.
async fn tell<S: Shop>(shop: &S, work: &Work, report: Report) -> Option<Result<(), String>> {
    match timeout(VERDICT_MOST, shop.report(work.step, report)).await {
        Ok(Ok(taken)) => {
            if let Err(refusal) = &taken {
                tracing::info!(step = %Shown(work.step), refusal, "a report is refused");
            }
            Some(taken)
        }
        Ok(Err(Ended)) => None,
        Err(_) => {
            tracing::warn!(step = %Shown(work.step), "no verdict on a report");
            None
        }
    }
}

/// The step can't be carried out by this program: say so, so that a human is asked.
async fn give_up<S: Shop>(shop: Arc<S>, work: Work, falls: u32) {
    let why = format!("carrying it out panicked {falls} times; the log of the agent says where");
    let report = match (work.overdue, work.sent) {
        // The run ends by itself.
        (true, _) => return,
        (false, true) => Report::Unknown { why },
        (false, false) => Report::NotDone { why, again: Again::Never },
    };
    tell(&*shop, &work, report).await;
}

fn left() -> String {
    format!("the run is over, and the reply did not come within {LEFT_MOST:?} after that")
}

fn too_long() -> String {
    "no end within the time allowed".into()
}

/// A step as it stands in logs.
struct Shown(StepRef);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let StepRef { proposal, lane, step, attempt, undo } = self.0;
        let back = if undo { " back" } else { "" };
        write!(f, "{proposal}/{lane}/{step}{back} try {attempt}")
    }
}

#[cfg(test)]
#[path = "executor_tests.rs"]
mod tests;
