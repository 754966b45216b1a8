//! Alertmanager: the state of each episode, pushed to the API (v2) when it changes and again while it
//! lasts, for an Alertmanager forgets.
//!
//! An episode is one alert with severity `warning` from its beginning to its end, and beside it one
//! with severity `page` while a human has to act. Their labels never change, so however much happens
//! in an episode it is one page; what happens stands in the annotations. While the receiver is away
//! only the newest state of each episode is kept: an alert that is over needs no page any more.

use std::{collections::BTreeMap, time::Duration};

use agent_core::{LinkId, Seq};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    files::Place,
    post::Parcel,
    pump::Shape,
    story::{Change, Episode},
    tail::Item,
    words,
};
use crate::config::Severity;

pub(super) const PATH: [&str; 3] = ["api", "v2", "alerts"];
/// Episodes that wait to be told at the most; the rest waits in the journal.
const WAITING: usize = 256;
/// Episodes of one request at the most.
const TOGETHER: usize = 32;
/// Pushes that may fail before an alert ends by itself.
const REPEATS: i32 = 4;

/// What alerts are made with.
#[derive(Clone, Debug)]
pub(super) struct Make {
    pub(super) agent: String,
    pub(super) external_url: Option<String>,
    pub(super) min_severity: Severity,
    pub(super) repeat_every: Duration,
}

pub(super) struct Alertmanager {
    make: Make,
    /// The newest change of each episode that is not told, by the episode.
    waiting: BTreeMap<Seq, Change>,
    /// The newest change of each episode that is not over.
    active: BTreeMap<Seq, Change>,
    repeat_at: Option<Timestamp>,
    sending: Vec<Seq>,
    /// Where the sink is once nothing waits.
    place: Option<Place>,
}

/// An alert as the API takes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert<'a> {
    labels: Labels<'a>,
    annotations: Annotations,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<&'a str>,
}

/// Its identity.
#[derive(Debug, Serialize)]
struct Labels<'a> {
    agent: &'a str,
    alertname: &'static str,
    episode: String,
    link: &'a LinkId,
    /// By which the agent knows its own alerts when they come back to it.
    sender: &'static str,
    severity: Severity,
}

#[derive(Debug, Serialize)]
struct Annotations {
    summary: String,
    description: String,
    health: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approve_by: Option<String>,
}

impl Alertmanager {
    pub(super) fn new(make: Make) -> Self {
        Self {
            make,
            waiting: BTreeMap::new(),
            active: BTreeMap::new(),
            repeat_at: None,
            sending: Vec::new(),
            place: None,
        }
    }
}

impl Make {
    /// The alerts of an episode as of now: one or two, or none that is severe enough.
    pub(super) fn alerts<'a>(&'a self, change: &'a Change, now: Timestamp) -> Vec<Alert<'a>> {
        let episode = &change.episode;
        let lasts = SignedDuration::try_from(self.repeat_every).unwrap_or(SignedDuration::MAX);
        let lasts = lasts.checked_mul(REPEATS).unwrap_or(SignedDuration::MAX);
        let lasts = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
        let alert = |severity, since, until: Option<Timestamp>| Alert {
            labels: Labels {
                agent: &self.agent,
                alertname: "DrAgentEpisode",
                episode: episode.id.to_string(),
                link: &episode.link,
                sender: "dr-agent",
                severity,
            },
            annotations: annotations(change),
            starts_at: since,
            ends_at: until.unwrap_or(lasts),
            generator_url: self.external_url.as_deref(),
        };
        let mut alerts = Vec::new();
        if self.min_severity <= Severity::Warning {
            alerts.push(alert(Severity::Warning, episode.since, episode.over));
        }
        if let Some(page) = episode.page {
            alerts.push(alert(Severity::Page, page.since, page.until));
        }
        alerts
    }
}

impl Shape for Alertmanager {
    fn room(&self) -> bool {
        self.waiting.len() < WAITING
    }

    fn queue(&mut self, item: Item) {
        let Item { change, place } = item;
        let id = change.episode.id;
        if change.episode.over.is_some() {
            self.active.remove(&id);
        } else {
            self.active.insert(id, change.clone());
        }
        self.waiting.insert(id, change);
        self.place = place.or(self.place);
    }

    fn resume(&mut self, standing: Vec<Change>, now: Timestamp) {
        self.active = standing.into_iter().map(|change| (change.episode.id, change)).collect();
        self.repeat_at = Some(now);
    }

    fn parcel(&mut self, now: Timestamp) -> Option<Parcel> {
        if self.repeat_at.is_none_or(|at| at <= now) {
            for (id, change) in &self.active {
                self.waiting.entry(*id).or_insert_with(|| change.clone());
            }
            let every = SignedDuration::try_from(self.make.repeat_every);
            self.repeat_at = every.ok().and_then(|every| now.checked_add(every).ok());
        }
        let make = &self.make;
        self.waiting.retain(|_, change| !make.alerts(change, now).is_empty());
        let together: Vec<(&Seq, &Change)> = self.waiting.iter().take(TOGETHER).collect();
        if together.is_empty() {
            return None;
        }
        let alerts: Vec<Alert<'_>> =
            together.iter().flat_map(|(_, change)| make.alerts(change, now)).collect();
        let body = serde_json::to_vec(&alerts).unwrap_or_default();
        self.sending = together.into_iter().map(|(id, _)| *id).collect();
        Some(Parcel { headers: Vec::new(), body })
    }

    fn taken(&mut self) -> Option<Place> {
        for id in self.sending.drain(..) {
            self.waiting.remove(&id);
        }
        self.place.take_if(|_| self.waiting.is_empty())
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.waiting.values().map(|change| change.at).min()
    }

    fn wake(&self) -> Option<Timestamp> {
        self.repeat_at.filter(|_| !self.active.is_empty())
    }
}

fn annotations(change: &Change) -> Annotations {
    let episode: &Episode = &change.episode;
    let proposed = episode.proposal.as_ref();
    Annotations {
        summary: words::title(change),
        description: words::text(change),
        health: episode.health.to_string(),
        because: episode.need.as_ref().map(ToString::to_string),
        proposal: proposed.map(|proposed| proposed.id().to_string()),
        digest: proposed.map(|proposed| proposed.proposal.digest.clone()),
        approve_by: proposed.map(|proposed| proposed.proposal.terms.approve_by.to_string()),
    }
}
