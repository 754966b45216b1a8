//! The queue between the loop and the thread that writes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    mpsc::{self, Receiver, SyncSender},
};

use agent_core::{Estate, Evidence, Input, LinkId, Observation};
use jiff::Timestamp;

use super::frame::{Frame, Given, Life, Mark, Why};

/// Turns that wait at the most, counted with the looks and inputs in them: some tens of MB. Evidence
/// that waits is not counted; it waits once at the most.
const WAITING: usize = 16_384;

/// Where the loop puts what it was given. It never waits.
#[derive(Debug)]
pub struct Recorder {
    to_writer: SyncSender<Message>,
    shared: Arc<Shared>,
    /// Turns that found no room since the last mark. As long as there are some, no turn can be used
    /// that brings none.
    lost: u64,
}

/// A turn that is being recorded.
#[derive(Debug)]
pub struct Begun {
    given: Given,
    evidence: Option<Vec<(LinkId, Evidence)>>,
}

/// The other end of a [`Recorder`].
#[derive(Debug)]
pub struct Feed {
    pub(super) from_loop: Receiver<Message>,
    pub(super) shared: Arc<Shared>,
    life: Arc<Life>,
    /// No mark of this life has come by yet.
    fresh: bool,
}

/// How the recorder is, for those who watch it.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<Shared>);

#[derive(Debug, Default)]
pub(super) struct Shared {
    /// A turn is to bring a mark.
    pub(super) wanted: AtomicBool,
    /// One is on its way.
    marked: AtomicBool,
    waiting: AtomicUsize,
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) bytes: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Message {
    given: Box<Given>,
    mark: Option<BeforeTurn>,
}

/// What a mark says beyond what its turn says.
#[derive(Debug)]
struct BeforeTurn {
    lost: u64,
    evidence: Vec<(LinkId, Evidence)>,
}

/// A queue for the turns of one life of the agent.
#[must_use]
pub fn tape(life: Life) -> (Recorder, Feed) {
    let (to_writer, from_loop) = mpsc::sync_channel(WAITING);
    let shared = Arc::new(Shared::default());
    shared.wanted.store(true, Ordering::Relaxed);
    let recorder = Recorder { to_writer, shared: Arc::clone(&shared), lost: 0 };
    (recorder, Feed { from_loop, shared, life: Arc::new(life), fresh: true })
}

impl Recorder {
    /// Takes down what a turn begins with.
    #[must_use]
    pub fn begin(&self, estate: &Estate, now: Timestamp, seen: &[Observation]) -> Begun {
        let wanted = self.lost > 0 || self.shared.wanted.load(Ordering::Relaxed);
        // Costs as much as the evidence is large, once for each segment and gap.
        let evidence = (wanted && !self.shared.marked.load(Ordering::Relaxed)).then(|| {
            estate.evidence().map(|(link, evidence)| (link.clone(), evidence.clone())).collect()
        });
        let follows = estate.last_seq();
        let given = Given { follows, now, seen: seen.to_vec(), inputs: Vec::new() };
        Begun { given, evidence }
    }

    /// Hands it over, if there was anything to it.
    pub fn end(&mut self, begun: Begun, accepted: Vec<Input>, decided: bool) {
        let Begun { mut given, evidence } = begun;
        given.inputs = accepted;
        if given.seen.is_empty() && given.inputs.is_empty() && !decided {
            return;
        }
        let mark = evidence.map(|evidence| BeforeTurn { lost: self.lost, evidence });
        let message = Message { given: Box::new(given), mark };
        if self.put(message) {
            return;
        }
        self.lost += 1;
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn gauge(&self) -> Gauge {
        Gauge(Arc::clone(&self.shared))
    }

    fn put(&mut self, message: Message) -> bool {
        let (weight, marked) = (message.weight(), message.is_marked());
        if self.lost > 0 && !marked {
            return false;
        }
        // One turn always finds room where nothing waits, however long it is.
        let waiting = self.shared.waiting.fetch_add(weight, Ordering::Relaxed);
        let room = waiting == 0 || waiting + weight <= WAITING;
        if marked {
            self.shared.wanted.store(false, Ordering::Relaxed);
            self.shared.marked.store(true, Ordering::Relaxed);
        }
        if room && self.to_writer.try_send(message).is_ok() {
            if marked {
                self.lost = 0;
            }
            return true;
        }
        self.shared.waiting.fetch_sub(weight, Ordering::Relaxed);
        if marked {
            self.shared.wanted.store(true, Ordering::Relaxed);
            self.shared.marked.store(false, Ordering::Relaxed);
        }
        false
    }
}

impl Feed {
    /// Everything that waits, for those who keep it in memory.
    pub fn take(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Ok(message) = self.from_loop.try_recv() {
            let lost = message.lost();
            frames.extend(self.frames(message, lost));
        }
        frames
    }

    /// A message as the frames that it stands for. `lost` turns were lost since the last mark.
    pub(super) fn frames(&mut self, message: Message, lost: u64) -> Vec<Frame> {
        let Message { given, mark } = self.taken(message);
        let mark = mark.map(|BeforeTurn { lost: _, evidence }| {
            let why = match lost {
                0 if self.fresh => Why::Started,
                0 => Why::Segment,
                turns => Why::Lost { turns },
            };
            self.fresh = false;
            let (follows, at, life) = (given.follows, given.now, Arc::clone(&self.life));
            Frame::Mark(Box::new(Mark { follows, at, why, life, evidence }))
        });
        mark.into_iter().chain([Frame::Turn(given)]).collect()
    }

    /// Makes room for another one.
    pub(super) fn taken(&self, message: Message) -> Message {
        self.shared.waiting.fetch_sub(message.weight(), Ordering::Relaxed);
        if message.is_marked() {
            self.shared.marked.store(false, Ordering::Relaxed);
        }
        message
    }
}

impl Message {
    pub(super) fn is_marked(&self) -> bool {
        self.mark.is_some()
    }

    /// Turns that found no room before this one.
    pub(super) fn lost(&self) -> u64 {
        self.mark.as_ref().map_or(0, |mark| mark.lost)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.given.now
    }

    fn weight(&self) -> usize {
        1 + self.given.seen.len() + self.given.inputs.len()
    }
}

impl Gauge {
    /// Turns that were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Turns that were not.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Turns, looks and inputs that wait to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Size of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }
}
