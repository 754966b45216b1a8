//! The journal of an agent as it grows, entry by entry.

use std::time::Duration;

use lab::{agent::name, wire::Events};
use serde_json::Value;
use tests::harness::wait;

use super::LIMIT;

/// The journal as it grows.
pub(crate) struct Follower {
    pub(super) events: Events,
    pub(crate) at: u64,
    pub(crate) seen: Vec<Value>,
}

impl Follower {
    /// The next entry, if there is one within `limit`.
    pub(crate) fn next(&mut self, limit: Duration) -> Option<Value> {
        let sent = self.events.next(limit)?;
        assert_eq!(sent.id, self.at + 1, "entries come in order and without gaps");
        self.at = sent.id;
        self.seen.push(sent.data.clone());
        Some(sent.data)
    }

    /// The next entry of this event.
    #[track_caller]
    pub(crate) fn until(&mut self, event: &str) -> Value {
        self.until_that(event, |_| true)
    }

    #[track_caller]
    pub(crate) fn until_that(&mut self, event: &str, that: impl Fn(&Value) -> bool) -> Value {
        let deadline = wait::now() + LIMIT;
        while let Some(entry) = self.next(deadline.saturating_duration_since(wait::now())) {
            if name(&entry) == event && that(&entry) {
                return entry;
            }
        }
        panic!("waited in vain for {event}; there was {:#?}", self.names());
    }

    #[track_caller]
    pub(crate) fn until_health(&mut self, health: &str) -> Value {
        self.until_that("health_changed", |entry| entry["event"]["to"] == health)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.seen.iter().map(name).collect()
    }
}
