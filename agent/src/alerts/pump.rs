//! The one loop of every sink: read, shape, send, and only then move the cursor.

use std::{collections::BTreeSet, time::Duration};

use agent_core::{LinkId, Seq};
use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    AlertError,
    files::Place,
    notice::Notice,
    post::{Outcome, Parcel, Post},
    status::SinkStatus,
    story::Change,
    tail::{Item, Tail, Told},
};
use crate::clock::Clock;

/// Pauses between tries grow from this to [`PAUSE_MOST`].
const PAUSE_LEAST: Duration = Duration::from_millis(250);
/// A receiver that comes back is found within this.
const PAUSE_MOST: Duration = Duration::from_secs(30);
/// The clock is looked at so often: it counts while the machine sleeps, and a timer does not.
const LOOK: Duration = Duration::from_secs(5);
/// What is not told when the agent stops may still go out for so long. The rest goes out after the
/// next start.
const LAST_LAP: Duration = Duration::from_secs(2);
/// What the receiver refuses as such is passed over after so many tries and so much time, and given
/// up if it is refused once more after something behind it was taken: it must not hold up the others,
/// and one that refuses those too (it is being replaced, or a gateway before it has lost it) loses
/// nothing.
const REFUSALS: u32 = 5;
const REFUSED_FOR: SignedDuration = SignedDuration::from_secs(120);
/// So many are passed over at the most before the first one is tried again.
pub(super) const PASSED_MOST: usize = 64;

/// How a receiver wants to be told.
pub(super) trait Shape: Send {
    /// Whether it can take more.
    fn room(&self) -> bool;

    /// What to tell. It is kept until it has been taken.
    fn queue(&mut self, item: Item);

    /// The same of what belongs to no episode.
    fn notice(&mut self, notice: Notice);

    /// The episodes that are open at the beginning.
    fn resume(&mut self, standing: Vec<Change>, now: Timestamp);

    /// The next request, made anew for each try; None if there is nothing to tell.
    fn parcel(&mut self, now: Timestamp) -> Option<Parcel>;

    /// The receiver has the newest parcel.
    fn taken(&mut self) -> Taken;

    /// The newest parcel is refused as such, and was so for long.
    fn refused(&mut self) -> Refused;

    /// All of it was in vain: everything is tried again from the beginning.
    fn back(&mut self);

    /// Time of the oldest change that is not told.
    fn oldest(&self) -> Option<Timestamp>;

    /// When there will be something to tell, though nothing changes.
    fn wake(&self) -> Option<Timestamp>;
}

/// What follows from a parcel that was taken.
#[derive(Default)]
pub(super) struct Taken {
    /// The place to which that leads.
    pub(super) place: Option<Place>,
    /// Something that was passed over comes next: one refusal more is enough.
    pub(super) judging: bool,
}

/// What follows from one that is refused as such.
pub(super) enum Refused {
    /// What comes behind it, or a part of it, is tried at once.
    Next,
    /// There is nothing else that could be tried.
    Wait,
    /// It is given up, with what follows from that.
    GivenUp(Taken),
}

pub(super) struct Pump<S> {
    pub(super) tail: Tail,
    pub(super) shape: S,
    pub(super) post: Post,
    /// Those that are configured.
    pub(super) links: BTreeSet<LinkId>,
    pub(super) head: watch::Receiver<Seq>,
    pub(super) clock: Clock,
    pub(super) cancel: CancellationToken,
    pub(super) status: SinkStatus,
}

/// What there is to do next.
enum Next {
    Go,
    /// Nothing, until something changes.
    Wait,
    Rest(Duration),
}

#[derive(Default)]
struct Tries {
    /// In a row.
    failures: u32,
    /// Of the same parcel, and since when.
    refusals: u32,
    refused: Option<Timestamp>,
}

impl<S: Shape> Pump<S> {
    /// Tells until `cancel`. Failures are told to the status and the log, and tried again.
    pub(super) async fn run(self) {
        let cancel = self.cancel.clone();
        let cut_off = async {
            cancel.cancelled().await;
            sleep(LAST_LAP).await;
        };
        tokio::select! {
            () = self.work() => {}
            () = cut_off => {
                tracing::info!("not all alerts are sent; the rest goes out after the next start");
            }
        }
    }

    async fn work(mut self) {
        let (mut tries, mut begun) = (Tries::default(), false);
        while !self.cancel.is_cancelled() {
            let stepped = if begun { self.step(&mut tries).await } else { self.begin().await };
            match stepped {
                Ok(next) => {
                    begun = true;
                    self.rest(next).await;
                }
                Err(error) => {
                    let pause = self.failed(&error.to_string(), &mut tries, None);
                    self.rest(Next::Rest(pause)).await;
                }
            }
        }
        // Once more what is left, without waiting for anybody.
        let mut tries = Tries::default();
        while begun && matches!(self.step(&mut tries).await, Ok(Next::Go)) {}
    }

    async fn begin(&mut self) -> Result<Next, AlertError> {
        let begun = self.tail.begin(&self.links, self.clock.now()).await?;
        self.shape.resume(begun.standing, self.clock.now());
        begun.untold.into_iter().for_each(|item| self.shape.queue(item));
        self.settle().await?;
        Ok(Next::Go)
    }

    /// Reads if there is room, then sends one parcel.
    async fn step(&mut self, tries: &mut Tries) -> Result<Next, AlertError> {
        let now = self.clock.now();
        let head = *self.head.borrow_and_update();
        let mut read = false;
        if self.shape.room() {
            let before = self.tail.at().mark.seq;
            let items = self.tail.more(head, now).await?;
            read = self.tail.at().mark.seq > before;
            for told in items {
                match told {
                    Told::Change(item) => self.shape.queue(item),
                    Told::Notice(notice) => self.shape.notice(notice),
                }
            }
        }
        // What has been read is told together, where the receiver wants it so.
        let behind = self.tail.at().mark.seq < head && self.shape.room();
        if read && behind {
            return Ok(Next::Go);
        }
        self.settle().await?;
        self.post.refresh().await;
        let Some(parcel) = self.shape.parcel(now) else { return Ok(Next::Wait) };
        let outcome = self.post.send(parcel).await;
        match outcome {
            Outcome::Taken => {
                self.status.sent();
                if tries.failures > 0 {
                    tracing::info!(receiver = %self.post.place(), "alerts are taken again");
                }
                let Taken { place, judging } = self.shape.taken();
                if !judging {
                    *tries = Tries::default();
                }
                self.reached(place).await?;
            }
            Outcome::Failed { why, after } => {
                self.shape.back();
                return Ok(Next::Rest(self.failed(&why, tries, after)));
            }
            Outcome::Refused { why } => {
                tries.refusals = tries.refusals.saturating_add(1);
                let since = *tries.refused.get_or_insert(now);
                let long = tries.refusals >= REFUSALS && now.duration_since(since) >= REFUSED_FOR;
                match if long { self.shape.refused() } else { Refused::Wait } {
                    Refused::Next => self.status.failed(&why),
                    Refused::Wait => {
                        self.shape.back();
                        return Ok(Next::Rest(self.failed(&why, tries, None)));
                    }
                    Refused::GivenUp(Taken { place, judging }) => {
                        tracing::error!(receiver = %self.post.place(), "an alert is given up: {why}");
                        self.status.given_up();
                        if !judging {
                            *tries = Tries::default();
                        }
                        self.reached(place).await?;
                    }
                }
            }
        }
        Ok(Next::Go)
    }

    async fn reached(&mut self, place: Option<Place>) -> Result<(), AlertError> {
        if let Some(place) = place {
            self.tail.save(place).await?;
            self.status.at(place.mark.seq, self.shape.oldest());
        }
        Ok(())
    }

    /// Where there is nothing to tell everything has been told.
    async fn settle(&mut self) -> Result<(), AlertError> {
        let oldest = self.shape.oldest();
        if oldest.is_none() {
            self.tail.save(self.tail.at()).await?;
            self.status.at(self.tail.at().mark.seq, None);
        } else {
            self.status.oldest(oldest);
        }
        Ok(())
    }

    fn failed(&self, why: &str, tries: &mut Tries, after: Option<Duration>) -> Duration {
        tries.failures = tries.failures.saturating_add(1);
        self.status.failed(&why);
        if tries.failures == 1 {
            tracing::warn!(receiver = %self.post.place(), "alerts are held up: {why}");
        } else {
            tracing::debug!(receiver = %self.post.place(), "alerts are still held up: {why}");
        }
        pause(tries.failures).max(after.unwrap_or_default())
    }

    async fn rest(&mut self, next: Next) {
        let now = self.clock.now();
        let until = |at: Option<Timestamp>| {
            let left = at.map(|at| at.duration_since(now));
            left.map_or(LOOK, |left| Duration::try_from(left).unwrap_or_default().min(LOOK))
        };
        let (pause, wakes) = match next {
            Next::Go => return,
            Next::Rest(pause) => (pause, false),
            Next::Wait => (until(self.tail.wake()).min(until(self.shape.wake())), true),
        };
        let paused = sleep(pause);
        tokio::pin!(paused);
        let mut told = wakes;
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                // Nobody tells it any more once the loop has ended: the time that is left is waited.
                changed = self.head.changed(), if told => match changed {
                    Ok(()) => return,
                    Err(_) => told = false,
                },
                () = &mut paused => return,
            }
        }
    }
}

/// The pause after so many failures in a row: doubled each time, up to a limit, with jitter, so
/// that agents that lost the same receiver don't come back as one.
fn pause(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let longest = PAUSE_LEAST.saturating_mul(doubled).min(PAUSE_MOST);
    // Without randomness there is no jitter, which is worse than it should be and no more.
    let part = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    longest.mul_f64(0.5 + part / 2.0)
}
