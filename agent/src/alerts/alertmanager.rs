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
    notice::Notice,
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
    /// The newest notice of each kind and link that is not told.
    notices: BTreeMap<(&'static str, String), Notice>,
    /// Places of those that are being sent.
    sending_notices: Vec<(&'static str, String)>,
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

/// That something was told. It ends by itself: nobody has to do anything.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Short<'a> {
    labels: ShortLabels<'a>,
    annotations: ShortAnnotations,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ShortLabels<'a> {
    agent: &'a str,
    alertname: &'static str,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'a str>,
    sender: &'static str,
    severity: &'static str,
}

#[derive(Debug, Serialize)]
struct ShortAnnotations {
    summary: String,
    description: String,
}

/// Alerts of both kinds, as they are sent.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Sent<'a> {
    Episode(Alert<'a>),
    Notice(Short<'a>),
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
            notices: BTreeMap::new(),
            sending_notices: Vec::new(),
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

impl Make {
    fn short<'a>(&'a self, notice: &'a Notice, now: Timestamp) -> Short<'a> {
        let lasts = SignedDuration::try_from(self.repeat_every).unwrap_or(SignedDuration::MAX);
        Short {
            labels: ShortLabels {
                agent: &self.agent,
                alertname: "DrAgentNotice",
                event: notice.event.name(),
                link: notice.link(),
                sender: "dr-agent",
                severity: "info",
            },
            annotations: ShortAnnotations { summary: notice.title(), description: notice.text() },
            starts_at: notice.at,
            ends_at: now.checked_add(lasts).unwrap_or(Timestamp::MAX),
            generator_url: self.external_url.as_deref(),
        }
    }
}

impl Shape for Alertmanager {
    fn room(&self) -> bool {
        self.waiting.len() + self.notices.len() < WAITING
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

    fn notice(&mut self, notice: Notice) {
        self.place = Some(notice.place);
        if self.make.min_severity <= Severity::Warning {
            let link = notice.link().unwrap_or_default().to_owned();
            self.notices.insert((notice.event.name(), link), notice);
        }
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
        let notices: Vec<_> = self.notices.iter().take(TOGETHER).collect();
        if together.is_empty() && notices.is_empty() {
            return None;
        }
        let alerts = together.iter().flat_map(|(_, change)| make.alerts(change, now));
        let short = notices.iter().map(|(_, notice)| make.short(notice, now));
        let alerts: Vec<Sent<'_>> =
            alerts.map(Sent::Episode).chain(short.map(Sent::Notice)).collect();
        let body = serde_json::to_vec(&alerts).unwrap_or_default();
        self.sending = together.into_iter().map(|(id, _)| *id).collect();
        self.sending_notices = notices.into_iter().map(|(key, _)| key.clone()).collect();
        Some(Parcel { headers: Vec::new(), body })
    }

    fn taken(&mut self) -> Option<Place> {
        for id in self.sending.drain(..) {
            self.waiting.remove(&id);
        }
        for key in self.sending_notices.drain(..) {
            self.notices.remove(&key);
        }
        self.place.take_if(|_| self.waiting.is_empty() && self.notices.is_empty())
    }

    fn oldest(&self) -> Option<Timestamp> {
        let changes = self.waiting.values().map(|change| change.at);
        changes.chain(self.notices.values().map(|notice| notice.at)).min()
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
