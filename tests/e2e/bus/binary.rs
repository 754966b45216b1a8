//! The same with the real agent: the health of its link changes again and again while its broker is
//! stopped, killed and started, and the agent itself is killed in between.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};

use agent_core::{Entry, Seq};
use tests::harness::{Broker, Consumer};
use toml::{Table, Value};

use super::{EXCHANGE, LIMIT, QUEUE, topology};
use crate::rig::{Rig, SQL, Wish};

#[test]
fn the_real_agent_loses_no_event_while_its_broker_dies() {
    let mut broker = Broker::start(&topology("#"));
    let mut consumer = Consumer::start(&broker, QUEUE);
    let secrets = tempfile::tempdir().expect("a folder");
    let url = secrets.path().join("amqp-url");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&url)
        .expect("a file");
    file.write_all(broker.url().as_bytes()).expect("the address is written");
    let place = Value::String(url.to_str().expect("a plain path").to_owned());
    let bus = Table::from_iter([
        ("url".to_owned(), Value::Table(Table::from_iter([("file".to_owned(), place)]))),
        ("exchange".to_owned(), Value::String(EXCHANGE.to_owned())),
    ]);
    let mut rig = Rig::healthy(Wish::new(11).set("bus", Value::Table(bus)));

    swing(&rig, 2);
    broker.stop();
    swing(&rig, 2);
    broker.restart();
    swing(&rig, 1);
    broker.kill();
    swing(&rig, 1);
    rig.kill();
    rig.start();
    swing(&rig, 1);
    broker.restart();
    swing(&rig, 1);

    let last = rig.reader().head().expect("a head").seq;
    consumer.wait_for_ids(usize::try_from(last).expect("small"), LIMIT);
    let entries: Vec<Entry> = rig
        .reader()
        .read_after(0, 10_000)
        .expect("the journal can be read")
        .into_iter()
        .map(|stored| stored.entry)
        .collect();
    let mut expected: Seq = 0;
    for record in consumer.records() {
        let id: Seq = record.message_id.as_deref().and_then(|id| id.parse().ok()).expect("an id");
        let body: Entry = serde_json::from_str(&record.body).expect("an entry");
        let kept = entries.iter().find(|entry| entry.seq == id).expect("an entry of the journal");
        assert_eq!(&body, kept, "a duplicate is the same again");
        if body.subject == entries[1].subject && id > expected {
            let skipped = entries.iter().any(|entry| {
                entry.subject == body.subject && entry.seq > expected && entry.seq < id
            });
            assert!(!skipped, "{id} came before one of its link that is older");
            expected = id;
        }
    }
}

/// Has the agent lose sight of the primary and find it again.
fn swing(rig: &Rig, times: usize) {
    for _ in 0..times {
        rig.cut("agent", SQL);
        rig.wait_health("degraded");
        rig.heal("agent", SQL);
        rig.wait_health("healthy");
    }
}
