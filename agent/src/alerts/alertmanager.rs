//! Alertmanager: the state of each episode, pushed to the API (v2) when it changes and again while it
//! lasts, for an Alertmanager forgets.
//!
//! An episode is one alert with severity `warning` from its beginning to its end, and beside it one
//! with severity `page` while a human has to act. Their labels never change, so however much happens
//! in an episode it is one page; what happens stands in the annotations. While the receiver is away
//! only the newest state of each episode is kept: an alert that is over needs no page any more. That
//! there was one is told by a notice.

use std::{collections::BTreeMap, time::Duration};

use agent_core::{LinkId, Seq};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    files::Place,
    notice::Notice,
    post::Parcel,
    pump::{PASSED_MOST, Refused, Shape, Taken},
    story::{Change, Episode, Paged},
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
    sending: Vec<Which>,
    /// The newest page of each open episode that the receiver has had, by its beginning.
    paged: BTreeMap<Seq, Timestamp>,
    manner: Manner,
    /// The newest notice of each kind and link that is not told.
    notices: BTreeMap<Topic, Notice>,
    /// Where the sink is once nothing waits.
    place: Option<Place>,
}

/// The kind of a notice, and its link.
type Topic = (&'static str, String);

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    Episode(Seq),
    Notice(Topic),
}

/// How they go out.
#[derive(Debug, Default)]
enum Manner {
    #[default]
    Together,
    /// For a request with several was refused as such. With those that were refused alone.
    OneByOne(Vec<Which>),
    /// Another one has been taken; these are tried once more.
    Judging(Vec<Which>),
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
            paged: BTreeMap::new(),
            manner: Manner::Together,
            notices: BTreeMap::new(),
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
    fn notice<'a>(&'a self, notice: &'a Notice, now: Timestamp) -> Short<'a> {
        let says = ShortAnnotations { summary: notice.title(), description: notice.text() };
        self.short((notice.event.name(), notice.link()), says, (notice.at, now))
    }

    /// That there was a page which nobody got.
    fn missed<'a>(&'a self, change: &'a Change, page: Paged, now: Timestamp) -> Short<'a> {
        let until = page.until.unwrap_or(change.at);
        let text = words::text(change);
        let says = ShortAnnotations {
            summary: format!("missed page: {}", words::title(change)),
            description: format!(
                "There was a page from {:.0} to {until:.0}, while this receiver was away.\n{text}",
                page.since
            ),
        };
        let link = Some(change.episode.link.as_str());
        self.short(("page_missed", link), says, (until, now))
    }

    fn short<'a>(
        &'a self,
        (event, link): (&'static str, Option<&'a str>),
        annotations: ShortAnnotations,
        (at, now): (Timestamp, Timestamp),
    ) -> Short<'a> {
        let lasts = SignedDuration::try_from(self.repeat_every).unwrap_or(SignedDuration::MAX);
        Short {
            labels: ShortLabels {
                agent: &self.agent,
                alertname: "DrAgentNotice",
                event,
                link,
                sender: "dr-agent",
                severity: "info",
            },
            annotations,
            starts_at: at,
            ends_at: now.checked_add(lasts).unwrap_or(Timestamp::MAX),
            generator_url: self.external_url.as_deref(),
        }
    }
}

impl Alertmanager {
    /// What goes out next.
    fn due(&self) -> Vec<Which> {
        let episodes = self.waiting.keys().copied().map(Which::Episode);
        let notices = self.notices.keys().cloned().map(Which::Notice);
        match &self.manner {
            Manner::Together => episodes.take(TOGETHER).chain(notices.take(TOGETHER)).collect(),
            Manner::OneByOne(refused) => {
                let next = episodes.chain(notices).find(|which| !refused.contains(which));
                next.into_iter().collect()
            }
            Manner::Judging(suspects) => suspects.first().into_iter().cloned().collect(),
        }
    }

    /// It is told, or given up.
    fn done(&mut self, which: &Which) -> Option<Change> {
        match which {
            Which::Episode(id) => self.waiting.remove(id),
            Which::Notice(topic) => {
                self.notices.remove(topic);
                None
            }
        }
    }

    /// Where that leads.
    fn place(&mut self) -> Option<Place> {
        self.place.take_if(|_| self.waiting.is_empty() && self.notices.is_empty())
    }

    /// A page that is over before the receiver had it.
    fn missed_page(&self, change: &Change) -> Option<Paged> {
        let episode = &change.episode;
        let page = episode.page?;
        let had = self.paged.get(&episode.id) == Some(&page.since);
        (!had && (episode.over.is_some() || page.until.is_some())).then_some(page)
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
        let page = |change: &Change| Some((change.episode.id, change.episode.page?.since));
        self.paged = standing.iter().filter_map(page).collect();
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
        if self.due().is_empty() {
            self.manner = Manner::Together;
        }
        let due = self.due();
        let (mut together, mut notices) = (Vec::new(), Vec::new());
        for which in &due {
            match which {
                Which::Episode(id) => together.extend(self.waiting.get(id)),
                Which::Notice(topic) => notices.extend(self.notices.get(topic)),
            }
        }
        if together.is_empty() && notices.is_empty() {
            return None;
        }
        let alerts = together.iter().flat_map(|change| make.alerts(change, now));
        let missed = together.iter().filter_map(|change| {
            let page = self.missed_page(change)?;
            Some(make.missed(change, page, now))
        });
        let short = notices.iter().map(|notice| make.notice(notice, now));
        let alerts: Vec<Sent<'_>> =
            alerts.map(Sent::Episode).chain(missed.chain(short).map(Sent::Notice)).collect();
        let body = serde_json::to_vec(&alerts).unwrap_or_default();
        self.sending = due;
        Some(Parcel { headers: Vec::new(), body })
    }

    fn taken(&mut self) -> Taken {
        for which in std::mem::take(&mut self.sending) {
            let Some(Change { episode, .. }) = self.done(&which) else { continue };
            if episode.over.is_some() {
                self.paged.remove(&episode.id);
            } else if let Some(page) = episode.page {
                self.paged.insert(episode.id, page.since);
            }
        }
        let nothing_left = self.waiting.is_empty() && self.notices.is_empty();
        self.manner = match std::mem::take(&mut self.manner) {
            Manner::Together => Manner::Together,
            // What was refused together was fine one by one.
            Manner::OneByOne(_) if nothing_left => Manner::Together,
            Manner::OneByOne(refused) if refused.is_empty() => Manner::OneByOne(refused),
            Manner::OneByOne(refused) => Manner::Judging(refused),
            Manner::Judging(suspects) => judging(suspects),
        };
        let judging = !matches!(self.manner, Manner::Together);
        Taken { place: self.place(), judging }
    }

    fn refused(&mut self) -> Refused {
        let all = self.waiting.len() + self.notices.len();
        let Some(newest) = std::mem::take(&mut self.sending).pop() else { return Refused::Wait };
        match std::mem::take(&mut self.manner) {
            Manner::Together if all > 1 => {
                self.manner = Manner::OneByOne(Vec::new());
                Refused::Next
            }
            Manner::Together => Refused::Wait,
            Manner::OneByOne(mut refused) => {
                refused.push(newest);
                if refused.len() >= all.min(PASSED_MOST) {
                    return Refused::Wait;
                }
                self.manner = Manner::OneByOne(refused);
                Refused::Next
            }
            Manner::Judging(suspects) => {
                self.manner = judging(suspects);
                self.done(&newest);
                let judging = !matches!(self.manner, Manner::Together);
                Refused::GivenUp(Taken { place: self.place(), judging })
            }
        }
    }

    fn back(&mut self) {
        self.manner = Manner::Together;
    }

    fn oldest(&self) -> Option<Timestamp> {
        let changes = self.waiting.values().map(|change| change.at);
        changes.chain(self.notices.values().map(|notice| notice.at)).min()
    }

    fn wake(&self) -> Option<Timestamp> {
        self.repeat_at.filter(|_| !self.active.is_empty())
    }
}

/// The first of them is judged.
fn judging(mut suspects: Vec<Which>) -> Manner {
    if !suspects.is_empty() {
        suspects.remove(0);
    }
    if suspects.is_empty() { Manner::Together } else { Manner::Judging(suspects) }
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
