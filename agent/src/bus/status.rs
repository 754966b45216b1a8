//! How the bus is doing, for those that show it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use agent_core::Seq;
use jiff::Timestamp;
use tokio::sync::watch;

/// A handle to the state of the bus; copies share it. Made before the bus runs.
#[derive(Clone)]
pub struct BusStatus {
    head: watch::Receiver<Seq>,
    inner: Arc<Mutex<Inner>>,
}

/// The bus at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusReport {
    pub connected: bool,
    /// Messages that the broker has confirmed and routed, repeated ones included.
    pub published: u64,
    /// Messages that came back because no queue wanted them.
    pub returned: u64,
    /// Messages that the broker could not take charge of.
    pub nacked: u64,
    /// Connections that were made.
    pub connections: u64,
    /// All entries up to this one are with the broker.
    pub last_confirmed_seq: Seq,
    /// Entries that are not, yet.
    pub lag_entries: u64,
    /// Age of the oldest of them; 0 if there is none.
    pub lag_ms: u64,
    /// Entries that the broker returned or refused and that are tried again.
    pub held_up: u64,
    /// The newest error, without secrets; none since the newest confirmation.
    pub last_error: Option<String>,
}

#[derive(Debug, Default)]
struct Inner {
    connected: bool,
    published: u64,
    returned: u64,
    nacked: u64,
    connections: u64,
    confirmed: Seq,
    held_up: u64,
    /// Time of the oldest entry that is not with the broker, if it has been read.
    oldest: Option<Timestamp>,
    last_error: Option<String>,
}

impl BusStatus {
    /// `head` is the place of the newest durable entry.
    #[must_use]
    pub fn new(head: watch::Receiver<Seq>) -> Self {
        Self { head, inner: Arc::default() }
    }

    #[must_use]
    pub fn report(&self, now: Timestamp) -> BusReport {
        let head = *self.head.borrow();
        let inner = self.lock();
        let lag_entries = head.saturating_sub(inner.confirmed);
        let oldest = inner.oldest.filter(|_| lag_entries > 0);
        let lag = oldest.map(|at| now.duration_since(at).as_millis());
        BusReport {
            connected: inner.connected,
            published: inner.published,
            returned: inner.returned,
            nacked: inner.nacked,
            connections: inner.connections,
            last_confirmed_seq: inner.confirmed,
            lag_entries,
            lag_ms: lag.and_then(|lag| u64::try_from(lag).ok()).unwrap_or_default(),
            held_up: inner.held_up,
            last_error: inner.last_error.clone(),
        }
    }

    pub(super) fn connected(&self) {
        let mut inner = self.lock();
        inner.connected = true;
        inner.connections += 1;
    }

    pub(super) fn disconnected(&self) {
        self.lock().connected = false;
    }

    pub(super) fn failed(&self, error: &dyn fmt::Display) {
        self.lock().last_error = Some(error.to_string());
    }

    pub(super) fn published(&self) {
        let mut inner = self.lock();
        inner.published += 1;
        if inner.held_up == 0 {
            inner.last_error = None;
        }
    }

    pub(super) fn returned(&self, error: String) {
        let mut inner = self.lock();
        inner.returned += 1;
        inner.last_error = Some(error);
    }

    pub(super) fn nacked(&self, error: String) {
        let mut inner = self.lock();
        inner.nacked += 1;
        inner.last_error = Some(error);
    }

    /// All up to `confirmed` are with the broker; the next one is of this time, if there is one.
    pub(super) fn at(&self, confirmed: Seq, oldest: Option<Timestamp>, held_up: usize) {
        let mut inner = self.lock();
        inner.confirmed = confirmed;
        inner.oldest = oldest;
        inner.held_up = u64::try_from(held_up).unwrap_or(u64::MAX);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that holds it can panic half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for BusStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BusStatus").field(&self.lock()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    #[test]
    fn the_lag_is_the_age_of_the_oldest_entry_that_waits() {
        let (head, told) = watch::channel(7);
        let status = BusStatus::new(told);
        status.at(5, Some(at("2026-01-02T03:04:05Z")), 0);
        let now = at("2026-01-02T03:04:07.5Z");
        let report = status.report(now);
        assert_eq!((report.lag_entries, report.lag_ms), (2, 2500));
        // A clock that is behind the entry is no lag.
        assert_eq!(status.report(at("2026-01-02T03:04:04Z")).lag_ms, 0);
        status.at(7, None, 0);
        assert_eq!(status.report(now).lag_ms, 0);
        head.send_replace(8);
        assert_eq!(status.report(now).lag_entries, 1);
    }

    #[test]
    fn an_error_stands_until_something_goes_through_and_nothing_is_held_up() {
        let status = BusStatus::new(watch::channel(3).1);
        let now = at("2026-01-02T03:04:05Z");
        status.returned("no queue".to_owned());
        status.at(0, None, 1);
        status.published();
        assert_eq!(status.report(now).last_error.as_deref(), Some("no queue"));
        status.at(0, None, 0);
        status.published();
        assert_eq!(status.report(now).last_error, None);
    }
}
