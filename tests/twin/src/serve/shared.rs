//! A world with a clock behind it, for all doors at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;
use tokio::sync::watch;

use crate::world::{Party, Reach, World};

/// A world that lives: real time, times a factor, drives it. Cheap to clone.
#[derive(Clone)]
pub struct SharedWorld {
    inner: Arc<Inner>,
}

struct Inner {
    world: Mutex<World>,
    /// The world's time at a moment of the process: where the world began, or was restored.
    begun: Mutex<(Timestamp, tokio::time::Instant)>,
    snapshots: Mutex<BTreeMap<String, World>>,
    wall: Timestamp,
    started: tokio::time::Instant,
    speed: f64,
    ticks: watch::Sender<u64>,
}

/// A snapshot that cannot be kept, or is not there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// Each is a whole world.
    #[error(
        "there are {MOST_SNAPSHOTS} snapshots already; give one of them a new content by its name: {0}"
    )]
    TooMany(String),
    /// No snapshot of that name.
    #[error("there is no snapshot named {0:?}; there is {1}")]
    Unknown(String, String),
}

/// Snapshots live in the process.
const MOST_SNAPSHOTS: usize = 8;

impl SharedWorld {
    /// Puts a clock behind a world: its time is the world's now plus real time times `speed`.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the twin's only clock")]
    pub fn new(world: World, speed: f64) -> SharedWorld {
        let started = tokio::time::Instant::now();
        let inner = Inner {
            begun: Mutex::new((world.now(), started)),
            world: Mutex::new(world),
            snapshots: Mutex::default(),
            wall: Timestamp::now(),
            started,
            speed,
            ticks: watch::Sender::new(0),
        };
        SharedWorld { inner: Arc::new(inner) }
    }

    /// The world's time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the twin's only clock")]
    pub fn now(&self) -> Timestamp {
        let (start, at) = *held(&self.inner.begun);
        start + SignedDuration::from_secs_f64(at.elapsed().as_secs_f64() * self.inner.speed)
    }

    /// Keeps the world as it is now under a name; an earlier one of that name goes.
    ///
    /// # Errors
    /// There are too many.
    pub fn snapshot(&self, name: &str) -> Result<(), SnapshotError> {
        let mut snapshots = held(&self.inner.snapshots);
        if snapshots.len() >= MOST_SNAPSHOTS && !snapshots.contains_key(name) {
            return Err(SnapshotError::TooMany(names(&snapshots)));
        }
        let world = self.with(|world| world.clone());
        snapshots.insert(name.to_owned(), world);
        Ok(())
    }

    /// Goes on from a snapshot, at the time at which it was taken and exactly as the world went on
    /// then. Sessions end: those who hold them were not there, or have done other things since.
    ///
    /// # Errors
    /// There is none of that name.
    #[expect(clippy::disallowed_methods, reason = "the twin's only clock")]
    pub fn restore(&self, name: &str) -> Result<(), SnapshotError> {
        let snapshots = held(&self.inner.snapshots);
        let found = snapshots.get(name).cloned();
        let unknown = || SnapshotError::Unknown(name.to_owned(), names(&snapshots));
        let mut restored = found.ok_or_else(unknown)?;
        let mut world = held(&self.inner.world);
        restored.end_sessions(&world);
        *held(&self.inner.begun) = (restored.now(), tokio::time::Instant::now());
        *world = restored;
        Ok(())
    }

    /// The caller's time: what tokens live by, whatever the world's speed.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the twin's only clock")]
    pub fn wall(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.inner.started.elapsed());
        self.inner.wall + passed.unwrap_or(SignedDuration::MAX)
    }

    /// Runs `f` on the world as it is now. Short and without waiting: everything else stands still.
    pub fn with<R>(&self, f: impl FnOnce(&mut World) -> R) -> R {
        let mut world = held(&self.inner.world);
        // With the world in hand: nobody puts another one in its place meanwhile.
        world.advance(self.now());
        f(&mut world)
    }

    /// Wakes whoever waits for a change: call it after changing the world by [`SharedWorld::with`].
    pub fn wake(&self) {
        self.inner.ticks.send_modify(|tick| *tick += 1);
    }

    /// Ticks several times a second, and at once after [`SharedWorld::wake`].
    #[must_use]
    pub fn ticks(&self) -> watch::Receiver<u64> {
        self.inner.ticks.subscribe()
    }

    /// Whether what `from` sends now reaches `to`.
    #[must_use]
    pub fn reachable(&self, from: &Party, to: &Party) -> Reach {
        self.with(|world| world.reachable(from, to))
    }

    /// Waits until `f` gives something, asking again at every tick; `None` after `patience` of
    /// real time.
    pub async fn until<R>(
        &self,
        patience: Duration,
        mut f: impl FnMut(&mut World) -> Option<R>,
    ) -> Option<R> {
        let mut ticks = self.ticks();
        let found = async {
            loop {
                if let Some(found) = self.with(&mut f) {
                    return Some(found);
                }
                ticks.changed().await.ok()?;
            }
        };
        tokio::time::timeout(patience, found).await.ok().flatten()
    }

    /// Sleeps for some of the world's time.
    pub async fn sleep(&self, time: SignedDuration) {
        tokio::time::sleep(self.real(time)).await;
    }

    /// How long some of the world's time takes.
    #[must_use]
    pub fn real(&self, time: SignedDuration) -> Duration {
        Duration::from_secs_f64(time.as_secs_f64().max(0.0) / self.inner.speed)
    }
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn names(snapshots: &BTreeMap<String, World>) -> String {
    snapshots.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}
