//! In what two bodies may differ, and in what they do.

use serde_json::{Value, json};

/// Fields whose values differ from run to run: only their shape is compared.
const VOLATILE: &[(&str, Shape, &str)] = &[
    ("startTime", Shape::Time, "when it was asked"),
    ("lastSentTime", Shape::Time, "when log moved"),
    ("lastReceivedTime", Shape::Time, "when log moved"),
    ("lastCommitTime", Shape::Time, "when somebody committed"),
    ("lastHardenedTime", Shape::Time, "when log moved"),
    ("lastBackupTime", Shape::Time, "when the instance backed up"),
    ("lastSentLsn", Shape::Position, "how much log there was"),
    ("lastReceivedLsn", Shape::Position, "how much log there was"),
    ("lastCommitLsn", Shape::Position, "how much log there was"),
    ("lastHardenedLsn", Shape::Position, "how much log there was"),
    ("lastBackupLsn", Shape::Position, "how much log there was"),
    ("distributedAvailabilityGroupId", Shape::Guid, "made anew each time"),
    ("instanceReplicaId", Shape::Guid, "made anew each time"),
    ("partnerReplicaId", Shape::Guid, "made anew each time"),
    ("administratorLogin", Shape::Text, "a name that somebody chose"),
    ("subnetId", Shape::Text, "a name that somebody chose"),
    ("expiryDate", Shape::Time, "the certificate of that day is not in the recording"),
];

/// Fields that may be there or not, because the situation of that day is not in the recording.
const OPTIONAL: &[(&str, &str)] =
    &[("lastCommitTime", "absent until something has been committed since seeding")];

/// What was another thing when this was recorded, and has changed since.
const SINCE: &[(&str, &str, &str)] = &[
    ("2024-10", "id", "a link's id was that of its instance (addendum 2.7)"),
    ("2024-10", "partnerAuthCertValidity", "it was empty (addendum 2.5)"),
];

/// Compares the bodies of one recording.
pub(crate) struct Difference<'a> {
    /// When it was recorded.
    pub(crate) recorded: &'a str,
    /// Fields that hold a certificate of the instance's own.
    pub(crate) own: &'static [&'static str],
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Time,
    Position,
    Guid,
    Text,
    Hex,
}

impl Difference<'_> {
    /// The first thing in which two bodies differ, in words.
    pub(crate) fn find(&self, wanted: &Value, found: &Value, at: &str) -> Option<String> {
        match (wanted, found) {
            (Value::Object(wanted), Value::Object(found)) => {
                let must = |name: &&String| !OPTIONAL.iter().any(|(known, _)| known == name);
                let absent = wanted.keys().filter(must).find(|name| !found.contains_key(*name));
                let extra = found.keys().filter(must).find(|name| !wanted.contains_key(*name));
                if let Some(name) = absent {
                    return Some(format!("{at}/{name} is missing"));
                }
                if let Some(name) = extra {
                    return Some(format!("{at}/{name} was not there"));
                }
                let mut fields = wanted.iter();
                fields.find_map(|(name, value)| self.field(name, value, found.get(name)?, at))
            }
            (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
                // Nobody promises an order of databases.
                let (wanted, found) = (by_name(wanted), by_name(found));
                let mut pairs = wanted.iter().zip(&found).enumerate();
                pairs
                    .find_map(|(n, (wanted, found))| self.find(wanted, found, &format!("{at}/{n}")))
            }
            _ if wanted == found => None,
            _ => Some(format!("{at} is {found}, not {wanted}")),
        }
    }

    fn field(&self, name: &str, wanted: &Value, found: &Value, at: &str) -> Option<String> {
        let at = format!("{at}/{name}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let older = SINCE.iter().any(|(since, known, _)| *known == name && self.recorded < *since);
        // Then an id was the beginning of what it is now, and a certificate was not told at all.
        if older && (text(found).starts_with(&text(wanted)) || *wanted == json!({})) {
            return None;
        }
        if self.own.contains(&name) {
            return Shape::Hex.check(found, &at);
        }
        match VOLATILE.iter().find(|(known, _, _)| *known == name) {
            Some((_, shape, _)) => shape.check(wanted, &at).or_else(|| shape.check(found, &at)),
            None => self.find(wanted, found, &at),
        }
    }
}

impl Shape {
    fn check(self, value: &Value, at: &str) -> Option<String> {
        let text = value.as_str().unwrap_or_default();
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let right = match self {
            Shape::Time => text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(),
            Shape::Position => text.parse::<u128>().is_ok_and(|n| n.to_string() == text),
            Shape::Guid => text.len() == 36 && text.split('-').all(digits),
            Shape::Text => !text.is_empty(),
            Shape::Hex => text.len() > 500 && text.len().is_multiple_of(2) && digits(text),
        };
        (!right).then(|| format!("{at} is {value}, which is no {self:?}"))
    }
}

fn by_name(list: &[Value]) -> Vec<&Value> {
    let mut list: Vec<&Value> = list.iter().collect();
    list.sort_by_key(|one| one["databaseName"].as_str().unwrap_or_default());
    list
}
