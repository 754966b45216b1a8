//! The only clock in the workspace.
//!
//! Time is the wall's at start, or the last entry's if that is later, plus the time that has gone
//! by since the machine booted. Boot time never goes back, counts while the machine is suspended
//! (`std::time::Instant` doesn't on Linux) and ignores steps of the wall clock, so neither an
//! operator nor NTP can make a deadline pass twice or never. The price: whoever starts before the
//! wall clock is set stays wrong until the next start.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

/// A handle to the clock; copies tell the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

/// Moves the clock of a test.
#[derive(Clone, Debug)]
pub struct Hand {
    now_ms: Arc<AtomicI64>,
}

#[derive(Clone, Debug)]
enum Source {
    Boot { start: Timestamp, booted: Duration, ahead: Duration },
    Hand(Hand),
}

impl Clock {
    /// Starts the clock behind the newest entry of the journal, so that `at` never goes back, even
    /// if the wall clock did while the agent was down.
    #[must_use]
    pub fn start(last_entry: Option<Timestamp>) -> Self {
        Self::start_at(wall(), last_entry)
    }

    /// A clock that stands still until its hand is moved.
    #[must_use]
    pub fn by_hand(now: Timestamp) -> (Self, Hand) {
        let hand = Hand { now_ms: Arc::new(AtomicI64::new(now.as_millisecond())) };
        (Self { source: Source::Hand(hand.clone()) }, hand)
    }

    /// The time, in whole milliseconds; never earlier than what was told before.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.source {
            Source::Boot { start, booted, ahead: _ } => {
                let elapsed = boot_time().saturating_sub(*booted);
                milliseconds(later(*start, elapsed))
            }
            Source::Hand(hand) => hand.now(),
        }
    }

    /// How far this clock was ahead of the wall's when it started, because the newest entry was.
    /// More than seconds means that a clock of this machine is, or was, wrong.
    #[must_use]
    pub fn ahead(&self) -> Duration {
        match &self.source {
            Source::Boot { ahead, .. } => *ahead,
            Source::Hand(_) => Duration::ZERO,
        }
    }

    /// How far this clock is ahead of the wall's now; negative if behind. It grows when somebody
    /// sets the machine's clock while the agent runs.
    #[must_use]
    pub fn offset(&self) -> SignedDuration {
        match &self.source {
            Source::Boot { .. } => self.now().duration_since(milliseconds(wall())),
            Source::Hand(_) => SignedDuration::ZERO,
        }
    }

    fn start_at(wall: Timestamp, last_entry: Option<Timestamp>) -> Self {
        let start = last_entry.map_or(wall, |last| last.max(wall));
        let ahead = Duration::try_from(start.duration_since(wall)).unwrap_or_default();
        Self { source: Source::Boot { start, booted: boot_time(), ahead } }
    }
}

impl Hand {
    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.now_ms.fetch_add(by, Ordering::SeqCst);
    }

    fn now(&self) -> Timestamp {
        let now_ms = self.now_ms.load(Ordering::SeqCst);
        Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::MAX)
    }
}

fn later(start: Timestamp, elapsed: Duration) -> Timestamp {
    let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX);
    start.checked_add(elapsed).unwrap_or(Timestamp::MAX)
}

fn milliseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn wall() -> Timestamp {
    Timestamp::now()
}

#[cfg(target_os = "linux")]
fn boot_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Elsewhere `Instant` counts suspends, or there is nothing better.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn boot_time() -> Duration {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    #[test]
    fn it_starts_at_the_wall_or_at_the_last_entry_whichever_is_later() {
        let wall = at("2026-01-02T03:04:05.678901Z");
        for (last, start, ahead) in [
            (None, "2026-01-02T03:04:05.678Z", 0),
            (Some("2026-01-02T03:04:04Z"), "2026-01-02T03:04:05.678Z", 0),
            (Some("2026-01-02T04:04:05.678901Z"), "2026-01-02T04:04:05.678Z", 3600),
        ] {
            let clock = Clock::start_at(wall, last.map(at));
            let off = clock.now().duration_since(at(start));
            assert!(off >= SignedDuration::ZERO, "{last:?}: {off}");
            assert_eq!(clock.ahead(), Duration::from_secs(ahead), "{last:?}");
        }
    }

    #[test]
    fn it_tells_how_far_it_is_from_the_wall() {
        let within = |clock: &Clock, hours: i64| {
            let off = clock.offset() - SignedDuration::from_hours(hours);
            assert!(off.abs() < SignedDuration::from_mins(1), "{off}");
        };
        within(&Clock::start(None), 0);
        let later = wall() + SignedDuration::from_hours(3);
        within(&Clock::start(Some(later)), 3);
        within(&Clock::start_at(wall() - SignedDuration::from_hours(2), None), -2);
    }

    #[test]
    fn it_never_goes_back_and_counts_in_milliseconds() {
        let clock = Clock::start(None);
        let mut last = clock.now();
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            assert_eq!(now.subsec_nanosecond() % 1_000_000, 0);
            last = now;
        }
    }

    #[test]
    fn the_end_of_time_is_no_panic() {
        let clock = Clock::start_at(Timestamp::MAX, None);
        assert!(clock.now() <= Timestamp::MAX);
        assert_eq!(later(Timestamp::MAX, Duration::MAX), Timestamp::MAX);
    }

    #[test]
    fn a_hand_moves_all_copies() {
        let (clock, hand) = Clock::by_hand(at("2026-01-02T03:04:05Z"));
        let copy = clock.clone();
        hand.advance(Duration::from_millis(1500));
        assert_eq!(copy.now(), at("2026-01-02T03:04:06.500Z"));
    }
}
