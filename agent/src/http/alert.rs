//! One alert against the rules: which proposal it asks for, if any. Pure.

use std::{collections::BTreeMap, time::Duration};

use agent_core::LinkId;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::config::{AlertLink, AlertRule};

/// By this label the agent knows its own alerts when they come back: they repeat what it thinks
/// itself and are no witness of anything.
pub(super) const OWN: (&str, &str) = ("sender", "dr-agent");
/// Characters of what comes to stand in the journal, at the most.
const NAME: usize = 256;
/// How far the clock of whoever saw the alert begin may be ahead of ours.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// An alert as Alertmanager sends it, as far as it is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert {
    status: Status,
    labels: BTreeMap<String, String>,
    starts_at: Timestamp,
    /// Its identity over time.
    pub(super) fingerprint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Firing,
    Resolved,
}

/// What an alert asks for.
#[derive(Debug)]
pub(super) struct Asks<'r> {
    pub(super) rule: &'r AlertRule,
    pub(super) link: LinkId,
}

impl Alert {
    pub(super) fn name(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }

    pub(super) fn resolved(&self) -> bool {
        self.status == Status::Resolved
    }

    /// Whether its name and its fingerprint may stand in the journal.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub(super) fn check(&self) -> Result<(), String> {
        let name = self.name();
        if name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
            return Err(format!("an alert has no label `alertname` of 1 to {NAME} characters"));
        }
        let fingerprint = &self.fingerprint;
        let plain = fingerprint.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fingerprint.is_empty() || fingerprint.len() > NAME || !plain {
            return Err(format!("the fingerprint of an alert {name} is none"));
        }
        Ok(())
    }
}

/// What a firing alert asks for, or why it asks for nothing.
pub(super) fn asks<'r>(
    rules: &'r [AlertRule],
    alert: &Alert,
    now: Timestamp,
) -> Result<Asks<'r>, String> {
    if alert.labels.get(OWN.0).is_some_and(|sender| sender == OWN.1) {
        return Err(String::from("it is an alert of an agent, which is no witness"));
    }
    let matches = |rule: &&AlertRule| {
        rule.matchers.iter().all(|(label, values)| {
            // A label that is missing is empty, as Alertmanager has it.
            let value = alert.labels.get(label).map_or("", String::as_str);
            values.iter().any(|wanted| wanted == value)
        })
    };
    let rule = rules.iter().find(matches).ok_or("no rule matches it")?;
    let link = match &rule.link {
        AlertLink::Fixed(link) => link.clone(),
        AlertLink::Label(label) => {
            let value = alert.labels.get(label).map_or("", String::as_str);
            LinkId::new(value).map_err(|error| {
                format!("by the rule {} its label {label} names the link: {error}", rule.name)
            })?
        }
    };
    let age = now.duration_since(alert.starts_at);
    if age > signed(rule.age_most) {
        return Err(format!(
            "it began at {:.0}, longer ago than the rule {} takes",
            alert.starts_at, rule.name
        ));
    }
    if age < -AHEAD {
        return Err(format!("it begins at {:.0}, which is yet to come", alert.starts_at));
    }
    Ok(Asks { rule, link })
}

/// Until when no alert asks for another proposal of a link, if that is yet to come.
pub(super) fn cooling(
    closed_at: Timestamp,
    cooldown: Duration,
    now: Timestamp,
) -> Option<Timestamp> {
    let until = closed_at.checked_add(signed(cooldown)).unwrap_or(Timestamp::MAX);
    (now < until).then_some(until)
}

fn signed(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
}
