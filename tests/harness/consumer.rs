//! A consumer that shares no code with us: Python and pika, drained into a file.

use super::broker::Broker;
use super::process::Process;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Drains one queue, acknowledging by hand, until it is dropped. Outlives its broker's outages.
pub struct Consumer {
    process: Process,
    _folder: TempDir,
}

/// A message as it arrived.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// The AMQP property `message_id`.
    pub message_id: Option<String>,
    /// What it was routed by.
    pub routing_key: String,
    /// The AMQP property `content_type`.
    pub content_type: Option<String>,
    /// Whether it was sent to be kept on disk (delivery mode 2).
    pub persistent: bool,
    /// Whether the broker says that it may have been delivered before.
    pub redelivered: bool,
    /// Its headers, values as text.
    pub headers: BTreeMap<String, String>,
    /// Its body; what is not UTF-8 replaced.
    pub body: String,
}

impl Consumer {
    /// Starts to drain `queue`.
    ///
    /// # Panics
    /// When Debian's python3 or pika is not there.
    #[must_use]
    pub fn start(broker: &Broker, queue: &str) -> Self {
        /// Ends a consumer that everybody forgot.
        const LIMIT: Duration = Duration::from_secs(1800);
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Debian's own interpreter: it is the one that Debian's pika is installed for.
        let mut command = Command::new("/usr/bin/python3");
        command
            .args(["-c", include_str!("consumer.py")])
            .env("AMQP_HOST", "127.0.0.1")
            .env("AMQP_PORT", broker.port().to_string())
            .env("AMQP_USER", broker.user())
            .env("AMQP_PASSWORD", broker.password())
            .env("AMQP_QUEUE", queue)
            .env("LIMIT_SECONDS", LIMIT.as_secs().to_string());
        Self { process: Process::start("consumer", command, folder.path()), _folder: folder }
    }

    /// All that has arrived, in order of arrival.
    ///
    /// # Panics
    /// When the consumer wrote something else than records.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        records(&self.process)
    }

    /// Waits until what has arrived is enough, and gives it.
    ///
    /// # Panics
    /// When it is not after `limit`, or when the consumer has ended.
    #[track_caller]
    pub fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        enough: impl Fn(&[Record]) -> bool,
    ) -> Vec<Record> {
        self.process.wait_until(what, limit, |process| {
            let records = records(process);
            enough(&records).then_some(records)
        })
    }

    /// Waits for `count` different message ids.
    ///
    /// # Panics
    /// As [`Consumer::wait_until`].
    #[track_caller]
    pub fn wait_for_ids(&mut self, count: usize, limit: Duration) -> Vec<Record> {
        self.wait_until(&format!("{count} message ids"), limit, |records| {
            let ids: BTreeSet<_> = records.iter().map(|record| &record.message_id).collect();
            ids.len() >= count
        })
    }
}

fn records(process: &Process) -> Vec<Record> {
    let text = process.stdout();
    // The last line may still be on its way.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |line| serde_json::from_str(line).expect("the consumer writes records");
    whole.lines().map(parse).collect()
}
