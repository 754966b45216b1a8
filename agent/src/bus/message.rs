//! An entry as the bus carries it: a CloudEvent (1.0) in AMQP's binary content mode.

use std::fmt::Write as _;

use agent_core::{Entry, Subject, to_hex};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, LongString, ShortString},
};
use sha2::{Digest, Sha256};

use crate::journal::{Hash, Stored, redact};

/// Bytes of a name in a routing key at the most; the key has 255 in all.
const NAME_MOST: usize = 160;
/// The broker keeps the message on disk.
const PERSISTENT: u8 = 2;

/// All that is published of one entry.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) key: String,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

impl Message {
    pub(super) fn new(stored: &Stored, source: &str) -> Self {
        let entry = redact(&stored.entry);
        let (_, name) = place(&entry.subject);
        let kind = format!("dr-agent.{}.v{}", entry.event.name(), entry.v);
        let mut headers = FieldTable::default();
        let mut header = |attribute: &str, value: &str| {
            let value = AMQPValue::LongString(LongString::from(value));
            headers.insert(format!("cloudEvents:{attribute}").into(), value);
        };
        header("specversion", "1.0");
        header("id", &entry.seq.to_string());
        header("source", source);
        header("type", &kind);
        header("subject", name);
        header("time", &entry.at.to_string());
        // An extension: whoever notes it can tell a journal whose end was cut off.
        header("entryhash", &hash(&stored.hash));
        let properties = BasicProperties::default()
            .with_message_id(ShortString::from(entry.seq.to_string()))
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT)
            .with_app_id("dr-agent".into())
            .with_headers(headers);
        let body = agent_core::write(&entry).into_bytes();
        Self { key: routing_key(&entry), properties, body }
    }
}

/// `<subject kind>.<name>.<event>`, for example `link.orders.health_changed`.
fn routing_key(entry: &Entry) -> String {
    let (kind, name) = place(&entry.subject);
    format!("{kind}.{}.{}", word(name), entry.event.name())
}

fn place(subject: &Subject) -> (&'static str, &str) {
    match subject {
        Subject::Agent => ("agent", "agent"),
        Subject::Instance(id) => ("instance", id.as_str()),
        Subject::Link(id) => ("link", id.as_str()),
    }
}

/// A name as one word of a routing key: what would end the word or stand for other words is
/// percent-encoded, and what is too long ends in a digest, so that two names stay two words.
fn word(name: &str) -> String {
    let mut word = String::new();
    for c in name.chars() {
        if matches!(c, '.' | '*' | '#' | '%') || c.is_whitespace() || c.is_control() {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a string does not fail.
                let _ = write!(word, "%{byte:02X}");
            }
        } else {
            word.push(c);
        }
    }
    if word.len() > NAME_MOST {
        let digest = to_hex(&Sha256::digest(name)[..8]);
        let end = (0..=NAME_MOST).rev().find(|end| word.is_char_boundary(*end));
        word.truncate(end.unwrap_or_default());
        word.push('~');
        word.push_str(&digest);
    }
    word
}

fn hash(hash: &Hash) -> String {
    hash.to_string()
}

#[cfg(test)]
mod tests {
    use agent_core::{Event, FORMAT, InstanceId, LinkId, StepRef};
    use expect_test::expect;

    use super::*;

    fn entry(subject: Subject, event: Event) -> Stored {
        let at = "2026-01-02T03:04:05.678Z".parse().expect("a timestamp");
        let entry = Entry { v: FORMAT, seq: 42, at, subject, rule: None, event };
        let text = agent_core::write(&entry);
        let hash = Hash::GENESIS.then(&text);
        Stored { entry, text, hash }
    }

    fn noted() -> Event {
        let step = StepRef { proposal: 40, lane: 0, step: 0, attempt: 1, undo: false };
        Event::StepNoted { step, operation: "https://arm.example/operations/7?t=s3cret".to_owned() }
    }

    #[test]
    fn a_message_is_a_cloud_event() {
        let link = LinkId::new("orders").expect("a name");
        let stored = entry(Subject::Link(link), noted());
        let message = Message::new(&stored, "/dr-agent/lab");
        let properties = &message.properties;
        let headers = properties.headers().as_ref().expect("headers").inner().iter();
        let mut shown = format!("key {}\n", message.key);
        for (name, value) in headers {
            let AMQPValue::LongString(value) = value else { panic!("{name} is no text") };
            shown += &format!("{name} = {value}\n");
        }
        shown += &format!(
            "message_id {:?}, content_type {:?}, delivery_mode {:?}, app_id {:?}\n",
            properties.message_id().as_ref().map(ShortString::as_str),
            properties.content_type().as_ref().map(ShortString::as_str),
            properties.delivery_mode(),
            properties.app_id().as_ref().map(ShortString::as_str),
        );
        shown += &String::from_utf8(message.body).expect("JSON");
        expect![[r#"
            key link.orders.step_noted
            cloudEvents:entryhash = 2dfb2ad77cf420e22a625b994fd90615462fb8d34ffe66058bc60202f0bb85d3
            cloudEvents:id = 42
            cloudEvents:source = /dr-agent/lab
            cloudEvents:specversion = 1.0
            cloudEvents:subject = orders
            cloudEvents:time = 2026-01-02T03:04:05.678Z
            cloudEvents:type = dr-agent.step_noted.v1
            message_id Some("42"), content_type Some("application/json"), delivery_mode Some(2), app_id Some("dr-agent")
            {"v":1,"seq":42,"at":"2026-01-02T03:04:05.678Z","subject":{"link":"orders"},"event":{"type":"step_noted","step":{"proposal":40,"lane":0,"step":0,"attempt":1},"operation":"https://arm.example/operations/7"}}"#]].assert_eq(&shown);
    }

    #[test]
    fn a_name_is_one_word_of_the_key() {
        for (name, key) in [
            ("orders", "link.orders.step_noted"),
            ("eu.orders", "link.eu%2Eorders.step_noted"),
            ("a*b#c%d e", "link.a%2Ab%23c%25d%20e.step_noted"),
            ("täglich", "link.täglich.step_noted"),
        ] {
            let link = LinkId::new(name).expect("a name");
            assert_eq!(routing_key(&entry(Subject::Link(link), noted()).entry), key);
        }
        let instance = InstanceId::new("sql1").expect("a name");
        let started = Event::StepSending {
            step: StepRef { proposal: 1, lane: 0, step: 0, attempt: 1, undo: false },
        };
        let key = |subject| routing_key(&entry(subject, started.clone()).entry);
        assert_eq!(key(Subject::Instance(instance)), "instance.sql1.step_sending");
        assert_eq!(key(Subject::Agent), "agent.agent.step_sending");
    }

    #[test]
    fn a_long_name_is_cut_and_stays_a_name_of_its_own() {
        let names = ["ä".repeat(128), format!("{}b", "ä".repeat(127)), ".".repeat(128)];
        let words = names.map(|name| word(&name));
        for word in &words {
            assert!(word.len() <= NAME_MOST + 17, "{word}");
            assert!(ShortString::try_new(format!("instance.{word}.episode_acknowledged")).is_ok());
        }
        assert_ne!(words[0], words[1]);
    }
}
