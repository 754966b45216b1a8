//! A world with a clock behind it, for all doors at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::world::{Party, Reach, World};

/// A world that lives: real time, times a factor, drives it. Cheap to clone.
#[derive(Clone)]
pub struct SharedWorld {
    inner: Arc<Inner>,
}

struct Inner {
    world: Mutex<World>,
    start: Timestamp,
    wall: Timestamp,
    started: tokio::time::Instant,
    speed: f64,
    ticks: watch::Sender<u64>,
}

impl SharedWorld {
    /// Puts a clock behind a world: its time is the world's now plus real time times `speed`.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the twin's only clock")]
    pub fn new(world: World, speed: f64) -> SharedWorld {
        let start = world.now();
        let inner = Inner {
            world: Mutex::new(world),
            start,
            wall: Timestamp::now(),
            started: tokio::time::Instant::now(),
            speed,
            ticks: watch::Sender::new(0),
        };
        SharedWorld { inner: Arc::new(inner) }
    }

    /// The world's time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the twin's only clock")]
    pub fn now(&self) -> Timestamp {
        let passed = self.inner.started.elapsed().as_secs_f64() * self.inner.speed;
        self.inner.start + SignedDuration::from_secs_f64(passed)
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
        let now = self.now();
        let mut world = self.inner.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance(now);
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
        let real = time.as_secs_f64().max(0.0) / self.inner.speed;
        tokio::time::sleep(Duration::from_secs_f64(real)).await;
    }
}
