//! The one loop that appends and applies. It runs on a plain thread: nothing that any task does on
//! the runtime can hold it up, and it holds up nothing.
//!
//! A turn takes all waiting observations, then up to [`BATCH`] inputs; settles, admits, settles for
//! each, applying as it goes; one append; only then do verdicts, work and wake-ups leave. So what is
//! told is durable, no input is judged on stale evidence, and a step is on disk before the world is
//! touched. An append that fails ends the loop, and with it the process: what was applied and not
//! stored must not be seen by anybody.

use std::{
    collections::BTreeMap,
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    time::Duration,
};

use agent_core::{
    Entry, Estate, Event, GIVES_WAY, Input, Observation, Refusal, Seq, Subject, Work,
};
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};

use crate::{
    clock::Clock,
    journal::{Hash, JournalError, Store},
    recorder::Recorder,
};

/// Inputs of one turn at the most: what group commit makes of an append.
pub const BATCH: usize = 256;
/// Events that may follow by themselves from one input, for each link of the estate. A rule whose event does not make its own
/// condition false would run for ever; the bound makes that a bug that shows.
const SETTLE_MOST: usize = 64;
/// Messages that wait for the loop at the most. Observations beyond it are dropped, inputs wait.
const INBOX: usize = 4096;
/// The loop asks its rules at least this often, in case a clock was stepped.
const IDLE_MOST: Duration = Duration::from_secs(5);

/// An estate with the journal that it is folded from.
#[derive(Debug)]
pub struct Turn<S> {
    estate: Estate,
    store: S,
    head: Hash,
    term: u64,
    recorder: Option<Recorder>,
}

/// What a turn lets out, all of it durable.
#[derive(Debug)]
pub struct Taken {
    /// One per input, in order.
    pub verdicts: Vec<Result<Entry, Refusal>>,
    pub appended: Vec<Entry>,
    pub work: Vec<Work>,
    pub wake: Option<Timestamp>,
}

/// What comes of a turn before it is durable.
#[derive(Default)]
struct Decided {
    entries: Vec<Entry>,
    verdicts: Vec<Result<Entry, Refusal>>,
    /// The inputs that were; filled where somebody records them.
    accepted: Vec<Input>,
}

/// Handle to the loop for everyone else.
#[derive(Clone, Debug)]
pub struct Inbox {
    to_loop: SyncSender<Message>,
}

/// The loop has ended: the process is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is shutting down")]
pub struct Ended;

/// What the loop tells after each turn.
#[derive(Clone, Debug)]
pub struct Told {
    pub work: watch::Receiver<Vec<Work>>,
    /// Place of the newest durable entry.
    pub head: watch::Receiver<Seq>,
}

type Question = Box<dyn FnOnce(&Estate, Timestamp) + Send>;

enum Message {
    Seen(Box<Observation>),
    Input(Box<Input>, oneshot::Sender<Result<Entry, Refusal>>),
    Ask(Question),
    Stop,
}

impl<S: Store> Turn<S> {
    /// `estate` is folded from all entries up to the head of `store`, and `head` is its hash.
    pub fn new(estate: Estate, store: S, head: Hash, term: u64) -> Self {
        Self { estate, store, head, term, recorder: None }
    }

    /// Everything that a turn is given is recorded, as far as there is room for it.
    #[must_use]
    pub fn recorded(self, recorder: Recorder) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    pub fn estate(&self) -> &Estate {
        &self.estate
    }

    pub fn into_store(self) -> S {
        self.store
    }

    /// One turn.
    ///
    /// # Errors
    ///
    /// The append failed. The estate is ahead of the journal then: drop it and start again.
    pub fn take(
        &mut self,
        now: Timestamp,
        observations: Vec<Observation>,
        inputs: Vec<Input>,
    ) -> Result<Taken, JournalError> {
        let before = self.estate.last_seq();
        let recorder = self.recorder.as_ref();
        let begun = recorder.map(|recorder| recorder.begin(&self.estate, now, &observations));
        let mut decided = Decided::default();
        let outcome = self.decide(now, observations, inputs, &mut decided);
        let Decided { entries, verdicts, accepted } = decided;
        // Before the append, so that one that fails can be explained as well.
        if let (Some(recorder), Some(begun)) = (self.recorder.as_mut(), begun) {
            recorder.end(begun, accepted, !entries.is_empty());
        }
        outcome?;
        if !entries.is_empty() {
            self.head = self.store.append(before, &self.head, self.term, &entries)?;
        }
        let (work, wake) = (self.estate.work(), self.estate.wake(now));
        Ok(Taken { verdicts, appended: entries, work, wake })
    }

    fn decide(
        &mut self,
        now: Timestamp,
        observations: Vec<Observation>,
        inputs: Vec<Input>,
        decided: &mut Decided,
    ) -> Result<(), JournalError> {
        for seen in observations {
            self.estate.observe(now, seen);
        }
        self.settle(now, &mut decided.entries)?;
        for input in inputs {
            let kept = self.recorder.is_some().then(|| input.clone());
            if let Some((subject, event)) = self.estate.gives_way(now, &input) {
                self.apply(now, subject, Some(GIVES_WAY), event, &mut decided.entries)?;
            }
            match self.estate.admit(now, input) {
                Ok((subject, event)) => {
                    decided.accepted.extend(kept);
                    let entry = self.apply(now, subject, None, event, &mut decided.entries)?;
                    decided.verdicts.push(Ok(entry));
                    self.settle(now, &mut decided.entries)?;
                }
                Err(refusal) => decided.verdicts.push(Err(refusal)),
            }
        }
        Ok(())
    }

    fn settle(&mut self, now: Timestamp, entries: &mut Vec<Entry>) -> Result<(), JournalError> {
        let most = SETTLE_MOST * self.estate.links().count().max(1);
        for _ in 0..most {
            let Some((rule, subject, event)) = self.estate.next(now) else { return Ok(()) };
            self.apply(now, subject, Some(rule), event, entries)?;
        }
        Err(JournalError::Unsettled { events: most })
    }

    fn apply(
        &mut self,
        now: Timestamp,
        subject: Subject,
        rule: Option<&str>,
        event: Event,
        entries: &mut Vec<Entry>,
    ) -> Result<Entry, JournalError> {
        let entry = self.estate.entry(now, subject, rule, event);
        self.estate.apply(&entry).map_err(|illegal| JournalError::Illegal(illegal.to_string()))?;
        entries.push(entry.clone());
        Ok(entry)
    }
}

impl Inbox {
    /// Hands in a look. If the loop is so far behind that its inbox is full the look is dropped:
    /// a newer one is on its way.
    pub fn see(&self, seen: Observation) {
        match self.to_loop.try_send(Message::Seen(Box::new(seen))) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                tracing::warn!("inbox is full, an observation is dropped")
            }
        }
    }

    /// Hands in an input and waits for the verdict.
    ///
    /// # Errors
    ///
    /// [`Ended`] if the loop is gone; what became of the input is then in the journal.
    pub async fn input(&self, input: Input) -> Result<Result<Entry, Refusal>, Ended> {
        let (verdict, answer) = oneshot::channel();
        self.send(Message::Input(Box::new(input), verdict)).await?;
        answer.await.map_err(|_| Ended)
    }

    /// Asks the estate something, between turns.
    ///
    /// # Errors
    ///
    /// [`Ended`] if the loop is gone.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Estate, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |estate, now| {
            // Whoever asked may have given up waiting.
            drop(reply.send(question(estate, now)));
        });
        self.send(Message::Ask(question)).await?;
        answer.await.map_err(|_| Ended)
    }

    /// Tells the loop to end after what it has already taken.
    pub fn stop(&self) {
        // A full inbox is being emptied, and a closed one has ended: neither loses the message for
        // good, since the loop also ends when the last handle is dropped.
        drop(self.to_loop.try_send(Message::Stop));
    }

    async fn send(&self, message: Message) -> Result<(), Ended> {
        let mut message = message;
        for pause_ms in [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] {
            if pause_ms > 0 {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            match self.to_loop.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(_)) => return Err(Ended),
                Err(TrySendError::Full(back)) => message = back,
            }
        }
        Err(Ended)
    }
}

/// The thread of the loop; it gives the error that ended it, if any.
pub type LoopThread = std::thread::JoinHandle<Result<(), JournalError>>;

/// Starts the loop on a thread of its own.
///
/// # Errors
///
/// The operating system gives no thread.
pub fn spawn<S: Store + Send + 'static>(
    turn: Turn<S>,
    clock: Clock,
) -> std::io::Result<(Inbox, Told, LoopThread)> {
    let (to_loop, inbox) = mpsc::sync_channel(INBOX);
    let (work_out, work) = watch::channel(turn.estate.work());
    let (head_out, head) = watch::channel(turn.estate.last_seq());
    let told = Told { work, head };
    let thread = std::thread::Builder::new()
        .name("turn".into())
        .spawn(move || run(turn, &clock, &inbox, &work_out, &head_out))?;
    Ok((Inbox { to_loop }, told, thread))
}

fn run<S: Store>(
    mut turn: Turn<S>,
    clock: &Clock,
    inbox: &Receiver<Message>,
    work: &watch::Sender<Vec<Work>>,
    head: &watch::Sender<Seq>,
) -> Result<(), JournalError> {
    let mut wake: Option<Timestamp> = None;
    loop {
        let mut batch = Batch::default();
        match inbox.recv_timeout(until(wake, clock.now())) {
            Ok(message) => batch.add(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => batch.stop = true,
        }
        while batch.has_room() {
            let Ok(message) = inbox.try_recv() else { break };
            batch.add(message);
        }
        let taken = turn.take(clock.now(), batch.observations, batch.inputs)?;
        wake = taken.wake;
        work.send_if_modified(|old| {
            let changed = *old != taken.work;
            if changed {
                *old = taken.work;
            }
            changed
        });
        if !taken.appended.is_empty() {
            head.send_replace(turn.estate.last_seq());
        }
        for (place, verdict) in taken.verdicts.into_iter().enumerate() {
            if let Some(waiting) = batch.waiting.remove(&place) {
                // Whoever sent the input may have given up waiting: the verdict stands all the same.
                drop(waiting.send(verdict));
            }
        }
        for question in batch.questions {
            question(turn.estate(), clock.now());
        }
        if batch.stop {
            return Ok(());
        }
    }
}

#[derive(Default)]
struct Batch {
    observations: Vec<Observation>,
    inputs: Vec<Input>,
    waiting: BTreeMap<usize, oneshot::Sender<Result<Entry, Refusal>>>,
    questions: Vec<Question>,
    stop: bool,
}

impl Batch {
    fn has_room(&self) -> bool {
        !self.stop && self.inputs.len() < BATCH && self.observations.len() < INBOX
    }

    fn add(&mut self, message: Message) {
        match message {
            Message::Seen(seen) => self.observations.push(*seen),
            Message::Input(input, verdict) => {
                self.waiting.insert(self.inputs.len(), verdict);
                self.inputs.push(*input);
            }
            Message::Ask(question) => self.questions.push(question),
            Message::Stop => self.stop = true,
        }
    }
}

/// How long to wait for a message: not at all if a clock has run out in the meantime.
fn until(wake: Option<Timestamp>, now: Timestamp) -> Duration {
    let Some(at) = wake else { return IDLE_MOST };
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO).min(IDLE_MOST)
}
