//! Looking again and again: schedule, jitter, and the honesty to say when it was us who were late.

use std::{future::Future, time::Duration};

use agent_core::{LinkId, Observation, Seen, Vantage};
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::target::Now;

/// Something that can be looked at.
pub trait Look: Send {
    fn vantage(&self) -> Vantage;

    /// One look, which ends within `limit` and says something of every link, be it that there was
    /// silence. It may be dropped at any time.
    fn look(&mut self, limit: Duration) -> impl Future<Output = Vec<(LinkId, Seen)>> + Send;
}

/// When to look, and how long to wait for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// From the beginning of one look to the beginning of the next, give or take a tenth, so that
    /// many watchers do not march in step.
    pub every: Duration,
    /// For connect, login and answer together.
    pub limit: Duration,
    /// A look whose own timers ran over by more than this is marked `late`.
    pub late_after: Duration,
}

impl Schedule {
    /// Late is what ran over by half an interval, but not by less than a quarter of a second.
    #[must_use]
    pub fn new(every: Duration, limit: Duration) -> Self {
        Self { every, limit, late_after: (every / 2).max(Duration::from_millis(250)) }
    }

    /// The next interval: `every`, give or take a tenth.
    fn interval(&self) -> Duration {
        self.every.mul_f64(0.9 + 0.2 * fastrand::f64())
    }
}

/// Looks at once and then on schedule, until told to stop; a look that is under way is then given
/// up. A look that takes longer than the interval delays the next one and is not caught up with.
///
/// Each look is told to `inbox` once for each link. `inbox` must not block: it is for the receiver
/// to bound its queue and to drop what it cannot hold.
pub async fn watch<L: Look>(
    mut look: L,
    schedule: Schedule,
    now: Now,
    inbox: impl Fn(Observation) + Send,
    stop: CancellationToken,
) {
    let mut timer_late = false;
    while !stop.is_cancelled() {
        let begun_at = now();
        let seen = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            seen = look.look(schedule.limit) => seen,
        };
        let at = now();
        // A deadline that struck long after its time shows that nobody here was running.
        let look_late = overran(begun_at, at, schedule.limit, schedule.late_after);
        let late = timer_late || look_late;
        for (link, seen) in seen {
            inbox(Observation { link, vantage: look.vantage(), begun_at, at, late, seen });
        }
        let pause = schedule.interval().saturating_sub(between(begun_at, at));
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(pause) => {}
        }
        timer_late = overran(at, now(), pause, schedule.late_after);
    }
}

fn overran(from: Timestamp, to: Timestamp, planned: Duration, tolerance: Duration) -> bool {
    between(from, to) > planned.saturating_add(tolerance)
}

/// A clock that was set back shows no time at all.
fn between(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).max(SignedDuration::ZERO).unsigned_abs()
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
