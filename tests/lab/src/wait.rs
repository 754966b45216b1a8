//! Waiting for other processes: the one place of the lab that sleeps, always with a limit.

use std::time::{Duration, Instant};

/// How long to rest between two looks.
const REST: Duration = Duration::from_millis(20);

/// Looks until `look` gives something, or `None` once `limit` has passed. Looks at least once.
pub fn until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = now() + limit;
    loop {
        let last = now() >= deadline;
        if let Some(found) = look() {
            return Some(found);
        }
        if last {
            return None;
        }
        rest(REST);
    }
}

/// Lets some time pass.
pub fn rest(time: Duration) {
    std::thread::sleep(time);
}

/// The lab's own clock, for limits and for measuring.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "real processes take real time")]
pub fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_up_at_the_limit_and_not_before_a_look() {
        assert_eq!(until(Duration::ZERO, || Some(1)), Some(1));
        let mut left = 3;
        let found = until(Duration::from_secs(10), || {
            left -= 1;
            (left == 0).then_some("here")
        });
        assert_eq!(found, Some("here"));
        assert_eq!(until::<()>(Duration::ZERO, || None), None);
    }
}
