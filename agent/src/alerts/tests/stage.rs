//! A journal on disk that grows as a play goes on, and sinks that run on it.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use agent_core::{Entry, LinkId, Seq};
use jiff::Timestamp;
use probes::SecretSource;
use reqwest::Url;
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        AlertError, Common, Receiver as To, SinkReport, SinkStatus, files::Files, run, tail::Tail,
    },
    play::{link, start},
    receiver::LIMIT,
};
use crate::{
    clock::{Clock, Hand},
    config::{AlertmanagerSettings, Destination, Login, Severity, WebhookSettings},
    journal::{Cursors, Hash, Journal, Reader, Store as _},
};

pub(super) const SECRET: &str = "a secret of the tests that signs";

pub(super) struct Stage {
    store: Journal,
    hash: Hash,
    head: watch::Sender<Seq>,
    pub(super) clock: Clock,
    hand: Hand,
    pub(super) page_after: Duration,
    /// Those that are configured.
    pub(super) links: BTreeSet<LinkId>,
    folder: TempDir,
}

pub(super) struct Sink {
    pub(super) status: SinkStatus,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), AlertError>>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::open(&folder.path().join("journal.db")).expect("new");
        let (clock, hand) = Clock::by_hand(start());
        Self {
            store: journal,
            hash: Hash::GENESIS,
            head: watch::Sender::new(0),
            clock,
            hand,
            page_after: Duration::from_secs(90),
            links: ["orders", "stock"].map(link).into(),
            folder,
        }
    }

    /// Writes the entries that are not there yet, and sets the clock to the last one.
    pub(super) fn write(&mut self, entries: &[Entry]) {
        let head = *self.head.borrow();
        let new = &entries[usize::try_from(head).expect("few")..];
        self.hash = self.store.append(head, &self.hash, 1, new).expect("written");
        let last = entries.last().expect("an entry");
        self.clock_to(last.at);
        self.head.send_replace(last.seq);
    }

    /// Moves the clock on and has everybody look at it.
    pub(super) fn clock_to(&self, at: Timestamp) {
        let ahead = at.duration_since(self.clock.now());
        self.hand.advance(Duration::try_from(ahead).unwrap_or_default());
        self.head.send_modify(|_| {});
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    pub(super) fn files(&self, name: &str) -> Files {
        Files::new(name, self.reader(), self.cursors())
    }

    pub(super) fn tail(&self, name: &str) -> Tail {
        Tail::new(self.files(name), self.page_after)
    }

    pub(super) fn reader(&self) -> Reader {
        Reader::open(&self.path()).expect("readable")
    }

    pub(super) fn cursors(&self) -> Cursors {
        Cursors::open(&self.path()).expect("cursors")
    }

    pub(super) fn begin(&self, to: To) -> Sink {
        let status = SinkStatus::new(to.kind(), to.name(), self.head.subscribe());
        let common = Common {
            agent: "dr-agent".into(),
            external_url: None,
            page_after: self.page_after,
            links: self.links.clone(),
            clock: self.clock.clone(),
            head: self.head.subscribe(),
        };
        let cancel = CancellationToken::new();
        let (reader, cursors) = (self.reader(), self.cursors());
        let running = run(to, common, reader, cursors, cancel.clone(), status.clone());
        Sink { status, cancel, task: tokio::spawn(running) }
    }
}

impl Sink {
    pub(super) fn report(&self) -> SinkReport {
        self.status.report(start())
    }

    /// Waits until the whole journal is told.
    pub(super) async fn told(&self) {
        self.until(|report| report.pending_entries == 0).await;
    }

    /// Waits until its report is so.
    pub(super) async fn until(&self, so: impl Fn(&SinkReport) -> bool) {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        let looking = async {
            while !so(&self.report()) {
                tick.tick().await;
            }
        };
        let looked = timeout(LIMIT, looking).await;
        looked.unwrap_or_else(|_| panic!("it does not come to that: {:?}", self.report()));
    }

    /// Ends it in order.
    pub(super) async fn stop(self) {
        self.cancel.cancel();
        let ended = timeout(LIMIT, self.task).await.expect("it ends when told");
        ended.expect("no panic").expect("a way to it");
    }

    /// Ends it where it stands, as a process that is killed.
    pub(super) async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

pub(super) fn webhook(url: Url) -> To {
    To::Webhook(WebhookSettings {
        to: destination("hook", url),
        secret: SecretSource::fixed(SECRET.into()),
    })
}

pub(super) fn alertmanager(url: Url) -> To {
    let repeat_every = Duration::from_secs(60);
    To::Alertmanager(AlertmanagerSettings { to: destination("main", url), repeat_every })
}

pub(super) fn destination(name: &str, url: Url) -> Destination {
    Destination {
        name: name.to_owned(),
        url,
        login: Login::Bearer(SecretSource::fixed("a-token-of-the-tests".into())),
        ca: None,
        connect_within: Duration::from_secs(5),
        send_within: Duration::from_millis(500),
        min_severity: Severity::Warning,
    }
}
