//! Waiting for something to become true: the one place where tests sleep, always with a limit.

use std::time::{Duration, Instant};

/// How long to rest between two looks.
const REST: Duration = Duration::from_millis(20);

/// Looks until `look` gives something.
///
/// # Panics
/// When `limit` has passed, with `what` was awaited.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    try_until(limit, look).unwrap_or_else(|| panic!("waited {limit:?} in vain for {what}"))
}

/// Looks until `look` gives something, or `None` once `limit` has passed. Looks at least once, and
/// a last time at the end.
pub fn try_until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let started = now();
    loop {
        let last = now().saturating_duration_since(started) >= limit;
        if let Some(found) = look() {
            return Some(found);
        }
        if last {
            return None;
        }
        std::thread::sleep(REST);
    }
}

/// [`until`] for looks that are asynchronous.
///
/// # Panics
/// When `limit` has passed, with `what` was awaited. A look that hangs counts against the limit.
pub async fn until_async<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(REST).await;
        }
    };
    match tokio::time::timeout(limit, looking).await {
        Ok(found) => found,
        Err(_) => panic!("waited {limit:?} in vain for {what}"),
    }
}

/// The tests' own clock, for limits and for measuring; never for telling what is right.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "real processes take real time")]
pub fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_least_once() {
        assert_eq!(try_until(Duration::ZERO, || Some(1)), Some(1));
    }

    #[test]
    fn gives_up_at_the_limit() {
        assert_eq!(try_until::<()>(Duration::from_millis(50), || None), None);
    }

    #[test]
    fn comes_back_with_what_was_found_later() {
        let mut left = 3;
        let found = until("the third look", Duration::from_secs(10), || {
            left -= 1;
            (left == 0).then_some("here")
        });
        assert_eq!(found, "here");
    }
}
