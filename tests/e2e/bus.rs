//! The bus against a real RabbitMQ that goes away in every way there is, with a consumer that
//! shares no code with us: every event arrives, in order per link, and again only under the same
//! id.

mod binary;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use agent_core::{Entry, Event, FORMAT, LinkId, Seq, Subject};
use dr_agent::{
    bus::{self, BusReport, BusSettings, BusStatus},
    journal::{Cursors, Hash, Journal, Reader, Store as _},
};
use lapin::{Connection, ConnectionProperties, types::FieldTable};
use probes::SecretSource;
use tempfile::TempDir;
use tests::harness::{Authority, Broker, Consumer, QueueKind, Record, Topology, wait};
use tokio::{sync::watch, task::JoinHandle, time::interval};
use tokio_util::sync::CancellationToken;

const EXCHANGE: &str = "events";
const QUEUE: &str = "everything";
/// A busy machine starts a broker in half a minute, and the bus looks for it every 15 seconds.
const LIMIT: Duration = Duration::from_secs(120);
const EVERY: Duration = Duration::from_millis(20);

fn topology(binding: &str) -> Topology {
    Topology {
        exchange: EXCHANGE.to_owned(),
        queue: QUEUE.to_owned(),
        kind: QueueKind::Classic,
        binding: binding.to_owned(),
    }
}

/// A journal that somebody writes to. Its bus is another matter.
struct Source {
    _folder: TempDir,
    path: PathBuf,
    writer: Arc<Mutex<Writer>>,
    head: watch::Receiver<Seq>,
}

struct Writer {
    journal: Journal,
    hash: Hash,
    last: Seq,
    head: watch::Sender<Seq>,
}

/// The bus as `run` starts it.
struct Bus {
    status: BusStatus,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Source {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal.db");
        let journal = Journal::open(&path).expect("new");
        let (head_out, head) = watch::channel(0);
        let writer = Writer { journal, hash: Hash::GENESIS, last: 0, head: head_out };
        Self { _folder: folder, path, writer: Arc::new(Mutex::new(writer)), head }
    }

    fn append(&self, subject: Subject) {
        append(&mut self.writer.lock().expect("no panic"), subject);
    }

    /// Appends steadily, until it is told to stop; gives the last place.
    fn flow(&self, stop: CancellationToken) -> JoinHandle<Seq> {
        let writer = Arc::clone(&self.writer);
        tokio::spawn(async move {
            let mut tick = interval(EVERY);
            while !stop.is_cancelled() {
                tick.tick().await;
                let mut writer = writer.lock().expect("no panic");
                let subject = match writer.last % 4 {
                    0 => Subject::Agent,
                    link => subject(["orders", "stock", "eu.billing"][link as usize - 1]),
                };
                append(&mut writer, subject);
            }
            writer.lock().expect("no panic").last
        })
    }

    /// Waits until so many more entries are in the journal.
    async fn more(&self, entries: u64) {
        let mut head = self.head.clone();
        let enough = *head.borrow() + entries;
        let waiting = head.wait_for(|head| *head >= enough);
        tokio::time::timeout(LIMIT, waiting)
            .await
            .expect("the journal is not held up")
            .expect("on");
    }

    fn bus(&self, broker: &Broker) -> Bus {
        self.bus_by(&broker.url(), None)
    }

    fn bus_by(&self, url: &str, ca_pem: Option<String>) -> Bus {
        let settings = BusSettings {
            url: url.parse().expect("a URL"),
            exchange: EXCHANGE.to_owned(),
            source: "/dr-agent/test".to_owned(),
            kept_url: None,
            ca: ca_pem.map(|pem| SecretSource::fixed(pem.into())),
            connect_within: Duration::from_secs(3),
            confirm_within: Duration::from_secs(3),
        };
        let reader = Reader::open(&self.path).expect("readable");
        let cursors = Cursors::open(&self.path).expect("cursors");
        let status = BusStatus::new(self.head.clone());
        let cancel = CancellationToken::new();
        let (head, shared) = (self.head.clone(), status.clone());
        let task = tokio::spawn(bus::run(settings, reader, cursors, head, cancel.clone(), shared));
        Bus { status, cancel, task }
    }

    /// What the journal says was to be published.
    fn entries(&self) -> BTreeMap<Seq, Entry> {
        let reader = Reader::open(&self.path).expect("readable");
        reader.verify().expect("in order");
        let stored = reader.read_after(0, usize::MAX).expect("readable");
        stored.into_iter().map(|stored| (stored.entry.seq, stored.entry)).collect()
    }
}

impl Bus {
    fn report(&self) -> BusReport {
        self.status.report("2026-01-02T03:05:05Z".parse().expect("a timestamp"))
    }

    async fn until(&self, what: &str, so: impl Fn(&BusReport) -> bool) -> BusReport {
        let look = async || Some(self.report()).filter(&so);
        wait::until_async(what, LIMIT, look).await
    }

    async fn stop(self) -> BusReport {
        self.cancel.cancel();
        tokio::time::timeout(LIMIT, self.task).await.expect("it ends when told").expect("no panic");
        self.status.report("2026-01-02T03:05:05Z".parse().expect("a timestamp"))
    }
}

fn append(writer: &mut Writer, subject: Subject) {
    let entry = Entry {
        v: FORMAT,
        seq: writer.last + 1,
        at: "2026-01-02T03:04:05Z".parse().expect("a timestamp"),
        subject,
        rule: None,
        event: Event::EpisodeAcknowledged { by: "carol".to_owned(), note: "seen".to_owned() },
    };
    let (last, hash) = (writer.last, writer.hash);
    writer.hash = writer.journal.append(last, &hash, 1, &[entry]).expect("written");
    writer.last += 1;
    writer.head.send_replace(writer.last);
}

fn subject(link: &str) -> Subject {
    Subject::Link(LinkId::new(link).expect("a name"))
}

/// Each entry has arrived; each subject in order; again only as it was. Gives how many came again.
fn check(records: &[Record], entries: &BTreeMap<Seq, Entry>) -> usize {
    let mut seen: BTreeMap<Seq, &Record> = BTreeMap::new();
    let mut newest: BTreeMap<&Subject, Seq> = BTreeMap::new();
    let mut again = 0;
    for record in records {
        let id = record.message_id.as_deref().expect("an id");
        let seq: Seq = id.parse().expect("the place in the journal");
        if let Some(first) = seen.insert(seq, record) {
            again += 1;
            assert_eq!((&first.body, &first.headers), (&record.body, &record.headers));
            continue;
        }
        let entry = &entries[&seq];
        let before = newest.insert(&entry.subject, seq);
        assert!(before < Some(seq), "{:?}: {before:?} came before {seq}", entry.subject);
        let mut kept = entries.range(..seq).filter(|(_, other)| other.subject == entry.subject);
        assert_eq!(kept.next_back().map(|(seq, _)| *seq), before, "none was left out before {seq}");
        envelope(record, entry);
    }
    assert!(seen.keys().eq(entries.keys()), "every entry has arrived, and nothing else");
    again
}

fn envelope(record: &Record, entry: &Entry) {
    let body: Entry = serde_json::from_str(&record.body).expect("an entry");
    assert_eq!(&body, entry);
    let header = |name: &str| record.headers[&format!("cloudEvents:{name}")].as_str();
    assert_eq!(header("specversion"), "1.0");
    assert_eq!(header("id"), entry.seq.to_string());
    assert_eq!(header("source"), "/dr-agent/test");
    assert_eq!(header("type"), "dr-agent.episode_acknowledged.v1");
    assert_eq!(header("time"), "2026-01-02T03:04:05Z");
    assert_eq!(record.content_type.as_deref(), Some("application/json"));
    assert!(record.persistent);
    let key = match &entry.subject {
        Subject::Agent => "agent.agent.episode_acknowledged".to_owned(),
        Subject::Instance(id) => format!("instance.{id}.episode_acknowledged"),
        Subject::Link(id) => {
            format!("link.{}.episode_acknowledged", id.as_str().replace('.', "%2E"))
        }
    };
    assert_eq!(record.routing_key, key);
}

fn ids(records: &[Record]) -> Vec<String> {
    records.iter().filter_map(|record| record.message_id.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_arrives_though_the_broker_is_killed() {
    let mut broker = Broker::start(&topology("#"));
    let mut consumer = Consumer::start(&broker, QUEUE);
    let source = Source::new();
    let mut bus = source.bus(&broker);
    let stop = CancellationToken::new();
    let flow = source.flow(stop.clone());
    bus.until("the stream runs", |report| report.last_confirmed_seq > 20).await;

    broker.stop();
    source.more(50).await;
    let away = bus.until("the loss is seen", |report| !report.connected).await;
    assert!(away.lag_entries > 0 && away.lag_ms == 60_000, "{away:?}");
    broker.restart();
    let reached = away.last_confirmed_seq + away.lag_entries;
    bus.until("it caught up", |report| report.last_confirmed_seq >= reached).await;

    broker.kill();
    source.more(50).await;
    bus.until("the loss is seen", |report| !report.connected).await;
    // The agent stops and starts while the broker is away.
    let away = bus.stop().await;
    let mut published = away.published;
    bus = source.bus(&broker);
    source.more(50).await;
    broker.restart();
    let reached = away.last_confirmed_seq + away.lag_entries;
    bus.until("it caught up", |report| report.last_confirmed_seq >= reached).await;

    broker.freeze();
    source.more(50).await;
    let away = bus.until("the silence is seen", |report| !report.connected).await;
    assert!(away.last_error.expect("an error").contains("no answer within"));
    broker.thaw();
    bus.until("it caught up", |report| report.last_confirmed_seq >= reached + 100).await;

    // And once more while the broker is well.
    published += bus.stop().await.published;
    bus = source.bus(&broker);
    stop.cancel();
    let last = flow.await.expect("no panic");
    let report = bus.until("all is out", |report| report.lag_entries == 0).await;
    assert_eq!((report.last_confirmed_seq, report.held_up), (last, 0));
    assert_eq!(report.last_error, None);
    // What is in the journal when the agent stops still goes out.
    (0..10).for_each(|_| source.append(subject("orders")));
    let last = last + 10;
    let report = bus.stop().await;
    assert_eq!((report.last_confirmed_seq, report.connected), (last, false));
    published += report.published;
    // What is confirmed is not sent again, but for what had overtaken the cursor at the stop without
    // a broker: less than the window.
    let again = published - last;
    assert!(again < 64, "{again} of {last} entries were confirmed twice");

    let records = consumer.wait_for_ids(usize::try_from(last).expect("small"), LIMIT);
    check(&records, &source.entries());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_queue_wants_waits_until_one_does_and_holds_up_no_other_link() {
    let broker = Broker::start(&topology("link.#"));
    let mut consumer = Consumer::start(&broker, QUEUE);
    let source = Source::new();
    for subject in [subject("a"), Subject::Agent, subject("b"), Subject::Agent, subject("a")] {
        source.append(subject);
    }
    let bus = source.bus(&broker);
    let came_back = |report: &BusReport| report.returned >= 3 && report.published == 3;
    let stuck = bus.until("it came back again", came_back).await;
    assert!(stuck.connected);
    assert_eq!((stuck.last_confirmed_seq, stuck.lag_entries, stuck.held_up), (1, 4, 1));
    let error = stuck.last_error.expect("an error");
    assert!(error.contains("entry 2 is not published"), "{error}");
    assert!(error.contains("agent.agent.episode_acknowledged"), "{error}");
    let mut first = ids(&consumer.wait_for_ids(3, LIMIT));
    first.sort_unstable();
    assert_eq!(first, ["1", "3", "5"]);

    bind(&broker, "agent.#").await;
    let report = bus.until("all is out", |report| report.lag_entries == 0).await;
    assert_eq!((report.held_up, report.last_error, report.published), (0, None, 5));
    let records = consumer.wait_for_ids(5, LIMIT);
    assert_eq!(ids(&records)[3..], ["2", "4"]);
    assert_eq!(check(&records, &source.entries()), 0);
    bus.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_right_broker_gets_anything_and_only_from_the_right_user() {
    let broker = Broker::start(&topology("#"));
    let source = Source::new();
    source.append(Subject::Agent);
    let ca = std::fs::read_to_string(broker.ca()).expect("the authority's file is there");

    let password = broker.password();
    let wrong = broker.url().replace(password, "wr0ng-s3cret");
    let stranger = Authority::new("somebody else").pem().to_owned();
    for (url, ca_pem, expected) in [
        (wrong, None, "ACCESS_REFUSED"),
        (broker.tls_url(), None, "invalid peer certificate"),
        (broker.tls_url(), Some(stranger), "invalid peer certificate"),
        (broker.tls_url(), Some("no PEM".to_owned()), "it has no certificate"),
    ] {
        let bus = source.bus_by(&url, ca_pem);
        let report = bus.until(expected, |report| report.last_error.is_some()).await;
        let error = report.last_error.expect("an error");
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains(password) && !error.contains("wr0ng-s3cret"), "{error}");
        assert_eq!((report.connected, report.connections, report.published), (false, 0, 0));
        bus.stop().await;
    }

    let bus = source.bus_by(&broker.tls_url(), Some(ca));
    bus.until("all is out", |report| report.lag_entries == 0).await;
    bus.stop().await;
    let mut consumer = Consumer::start(&broker, QUEUE);
    let records = consumer.wait_for_ids(1, LIMIT);
    assert_eq!(check(&records, &source.entries()), 0);
}

async fn bind(broker: &Broker, key: &str) {
    let url = broker.url();
    let connecting = Connection::connect(&url, ConnectionProperties::default());
    let connection = tokio::time::timeout(LIMIT, connecting).await.expect("in time").expect("up");
    let channel = connection.create_channel().await.expect("a channel");
    channel
        .queue_bind(
            QUEUE.into(),
            EXCHANGE.into(),
            key.into(),
            lapin::options::QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
        .expect("bound");
}
