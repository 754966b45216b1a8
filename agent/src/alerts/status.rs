//! How a sink is doing, for those that show it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use agent_core::Seq;
use jiff::Timestamp;
use tokio::sync::watch;

/// A handle to the state of one sink; copies share it. Made before the sink runs.
#[derive(Clone)]
pub struct SinkStatus {
    kind: &'static str,
    name: String,
    head: watch::Receiver<Seq>,
    inner: Arc<Mutex<Inner>>,
}

/// A sink at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkReport {
    /// `alertmanager` or `webhook`.
    pub kind: &'static str,
    pub name: String,
    /// Requests that the receiver took.
    pub sent: u64,
    /// Requests that failed and are, or were, tried again.
    pub failed: u64,
    /// Messages that the receiver can't be made to take.
    pub given_up: u64,
    /// Entries of the journal that are not told yet, or looked through.
    pub pending_entries: u64,
    /// Age of the oldest change that is not told; 0 if there is none.
    pub lag_ms: u64,
    /// The newest error, without secrets; none since the newest success.
    pub last_error: Option<String>,
}

#[derive(Debug, Default)]
struct Inner {
    sent: u64,
    failed: u64,
    given_up: u64,
    told: Seq,
    oldest: Option<Timestamp>,
    last_error: Option<String>,
}

impl SinkStatus {
    /// `head` is the place of the newest durable entry.
    #[must_use]
    pub fn new(kind: &'static str, name: &str, head: watch::Receiver<Seq>) -> Self {
        Self { kind, name: name.to_owned(), head, inner: Arc::default() }
    }

    #[must_use]
    pub fn report(&self, now: Timestamp) -> SinkReport {
        let head = *self.head.borrow();
        let inner = self.lock();
        let lag = inner.oldest.map_or(0, |at| now.duration_since(at).as_millis());
        SinkReport {
            kind: self.kind,
            name: self.name.clone(),
            sent: inner.sent,
            failed: inner.failed,
            given_up: inner.given_up,
            pending_entries: head.saturating_sub(inner.told),
            lag_ms: u64::try_from(lag).unwrap_or_default(),
            last_error: inner.last_error.clone(),
        }
    }

    pub(super) fn sent(&self) {
        let mut inner = self.lock();
        inner.sent += 1;
        inner.last_error = None;
    }

    pub(super) fn failed(&self, error: &dyn fmt::Display) {
        let mut inner = self.lock();
        inner.failed += 1;
        inner.last_error = Some(error.to_string());
    }

    pub(super) fn given_up(&self) {
        self.lock().given_up += 1;
    }

    /// All up to `told` is told; the oldest change that is not is of this time.
    pub(super) fn at(&self, told: Seq, oldest: Option<Timestamp>) {
        let mut inner = self.lock();
        (inner.told, inner.oldest) = (told, oldest);
    }

    pub(super) fn oldest(&self, oldest: Option<Timestamp>) {
        self.lock().oldest = oldest;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that holds it can panic half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
