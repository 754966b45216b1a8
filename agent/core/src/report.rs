//! The state report: how every link is, what would keep a failover from happening, and what has
//! happened since the report before it. Calendar jobs ask for it; it goes the way of every event.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    estate::Estate,
    event::{Entry, Event, Subject},
    evidence::{Observation, Role, Seen, SilenceKind},
    forecast::Forecast,
    health::Health,
    link::{Move, Record},
    names::{LinkId, ProposalId, Side},
    proposal::{End, Status},
    run::Run,
};

/// Links that one report tells of at the most; those in trouble come first.
pub const REPORTED_LINKS: usize = 64;
/// Bytes of a runbook that go into the journal, and with it to everybody; a longer one is named by
/// its digest and the places where it is kept.
pub const RUNBOOK_BYTES: usize = 64 << 10;
/// Obstacles, and reasons, told of one link at the most, and characters of each.
const OBSTACLES: usize = 8;
/// Warnings of one report at the most.
const WARNINGS: usize = 16;
const WORDS: usize = 300;

/// How everything is at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateReport {
    /// Time of the report before it.
    pub since: Option<Timestamp>,
    /// Times at which there ought to have been one, and was none.
    pub missed: u64,
    pub happened: Happened,
    pub links: Vec<LinkState>,
    /// Further links, which are as they should be as far as the others are.
    pub more_links: usize,
    /// What would die together with a primary: placement as `dr-agent check` warns of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placement: Vec<String>,
}

/// What has happened since the report before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Happened {
    /// Starts of the agent.
    pub starts: u64,
    /// Episodes that began.
    pub episodes: u64,
    pub proposals: u64,
    pub succeeded: u64,
    pub undone: u64,
    pub stuck: u64,
    pub rejected: u64,
    pub expired: u64,
    pub withdrawn: u64,
    pub overtaken: u64,
}

/// How one link is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkState {
    pub link: LinkId,
    /// False: the journal knows it, the configuration does not any more.
    pub configured: bool,
    pub health: Health,
    pub since: Option<Timestamp>,
    pub primary: Option<Side>,
    /// As the primary tells it; 0 while data movement is suspended.
    pub lag_s: Option<u64>,
    pub log_send_queue_kb: Option<u64>,
    /// What a forced failover would lose now.
    pub forecast: Option<Forecast>,
    pub proposal: Option<OpenProposal>,
    /// A human rejected in this episode: the agent proposes nothing more in it.
    pub silenced: bool,
    /// A proposal has ended, and no human has acknowledged it.
    pub unacknowledged: Option<ProposalId>,
    /// What would keep a proposal from being opened now; empty if it would be.
    pub blocked_by: Vec<String>,
    /// What each side was seen to be when it was last looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sides: Vec<SideState>,
    /// Why the health is what it is, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// When the primary was last seen to move, by whomever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failover: Option<Move>,
}

/// What the newest look at a side showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideState {
    pub side: Side,
    /// None: it did not answer.
    pub role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<SilenceKind>,
    /// When that look was begun.
    pub at: Timestamp,
}

/// A proposal that is open or being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenProposal {
    pub proposal: ProposalId,
    /// It has its signatures.
    pub approved: bool,
    pub signatures: usize,
    pub quorum: usize,
}

/// A runbook for people, as it was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runbook {
    /// As [`Runbook::digest`] gives it.
    pub digest: String,
    pub bytes: usize,
    /// None if it is longer than [`RUNBOOK_BYTES`].
    pub text: Option<String>,
    /// Where it is kept.
    pub places: Vec<String>,
    /// Times at which there ought to have been one, and was none.
    pub missed: u64,
    /// The link that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkId>,
    /// Where it could not be put, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

impl Runbook {
    /// One that is not kept anywhere yet.
    #[must_use]
    pub fn new(link: LinkId, text: String) -> Self {
        let (digest, bytes) = (Self::digest(&text), text.len());
        let (places, failed) = (Vec::new(), Vec::new());
        Self { digest, bytes, text: Some(text), places, missed: 0, link: Some(link), failed }
            .bounded()
    }

    /// `sha256:<hex>` over a text and what it is.
    #[must_use]
    pub fn digest(text: &str) -> String {
        crate::plan::digest("dr-agent runbook v1", text)
    }

    /// Without its text if that is too long for the journal.
    pub(crate) fn bounded(mut self) -> Self {
        self.text = self.text.filter(|text| text.len() <= RUNBOOK_BYTES);
        self.failed.truncate(OBSTACLES);
        self
    }
}

/// Counts what happens from one report to the next. Part of the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Time of the newest report.
    pub(crate) since: Option<Timestamp>,
    /// Time of the newest runbook of each link.
    pub(crate) issued: BTreeMap<LinkId, Timestamp>,
    happened: Happened,
}

impl Tally {
    /// Counts an entry. `record` is that of its link, with the entry in it.
    pub(crate) fn count(&mut self, entry: &Entry, record: Option<&Record>) {
        let happened = &mut self.happened;
        if record.is_some_and(|record| record.episode == Some(entry.seq)) {
            happened.episodes += 1;
        }
        match &entry.event {
            Event::AgentStarted { .. } => happened.starts += 1,
            Event::ProposalOpened { .. } => happened.proposals += 1,
            Event::ProposalClosed { end, .. } => *happened.ended(*end) += 1,
            Event::StateReported { .. } => {
                self.since = Some(entry.at);
                *happened = Happened::default();
            }
            Event::RunbookIssued { runbook } => {
                let subject = match &entry.subject {
                    Subject::Link(link) => Some(link),
                    Subject::Agent | Subject::Instance(_) => None,
                };
                if let Some(link) = runbook.link.as_ref().or(subject) {
                    self.issued.insert(link.clone(), entry.at);
                }
            }
            Event::HealthChanged { .. }
            | Event::BallotReceived { .. }
            | Event::ProposalApproved { .. }
            | Event::StepStarted { .. }
            | Event::StepSending { .. }
            | Event::StepNoted { .. }
            | Event::StepDone { .. }
            | Event::StepNotDone { .. }
            | Event::StepUnknown { .. }
            | Event::UndoStarted { .. }
            | Event::EpisodeAcknowledged { .. }
            | Event::GuardLifted { .. } => {}
        }
    }
}

impl Happened {
    fn ended(&mut self, end: End) -> &mut u64 {
        match end {
            End::Succeeded => &mut self.succeeded,
            End::Undone => &mut self.undone,
            End::Stuck => &mut self.stuck,
            End::Rejected => &mut self.rejected,
            End::Expired => &mut self.expired,
            End::Withdrawn => &mut self.withdrawn,
            End::Overtaken => &mut self.overtaken,
        }
    }
}

/// What follows from being asked for a report.
pub(crate) fn reported(
    estate: &Estate,
    tally: &Tally,
    missed: u64,
    placement: &[String],
    now: Timestamp,
) -> (Subject, Event) {
    let mut report = report(estate, tally, missed, now);
    report.placement = placement.iter().take(WARNINGS).map(|words| short(words)).collect();
    (Subject::Agent, Event::StateReported { report })
}

/// What follows from a runbook that was made.
pub(crate) fn issued(runbook: Runbook) -> (Subject, Event) {
    (Subject::Agent, Event::RunbookIssued { runbook: runbook.bounded() })
}

fn report(estate: &Estate, tally: &Tally, missed: u64, now: Timestamp) -> StateReport {
    let mut links: Vec<LinkState> = estate
        .links()
        .map(|(id, spec, record)| link(estate, id, spec.is_some(), record, now))
        .collect();
    // Sorting keeps the order of names within each.
    links.sort_by_key(|link| link.health == Health::Healthy && link.proposal.is_none());
    let more_links = links.len().saturating_sub(REPORTED_LINKS);
    links.truncate(REPORTED_LINKS);
    StateReport {
        since: tally.since,
        missed,
        happened: tally.happened,
        links,
        more_links,
        placement: Vec::new(),
    }
}

fn link(
    estate: &Estate,
    id: &LinkId,
    configured: bool,
    record: &Record,
    now: Timestamp,
) -> LinkState {
    let explanation = estate.explain(id, now);
    let (forecast, because, reasons) = match explanation {
        Some(told) => (Some(told.forecast), told.because, told.reasons),
        None => {
            let why = "the link is not in the configuration any more".to_string();
            (None, Vec::from([why]), Vec::new())
        }
    };
    let looks = estate.newest(id);
    let partner = looks.iter().find_map(heard_by_primary);
    let ended = record.run.as_ref().filter(|run| run.closed_at.is_some() && !record.acknowledged);
    LinkState {
        link: id.clone(),
        configured,
        health: record.health,
        since: record.health_since,
        primary: record.primary,
        lag_s: partner.and_then(|(lag_s, _)| lag_s),
        log_send_queue_kb: partner.and_then(|(_, queue_kb)| queue_kb),
        forecast,
        proposal: record.live().map(open),
        silenced: record.silenced,
        unacknowledged: ended.map(|run| run.proposal.terms.proposal),
        blocked_by: because.iter().take(OBSTACLES).map(|words| short(words)).collect(),
        sides: looks.iter().filter_map(side).collect(),
        reasons: reasons.iter().take(OBSTACLES).map(|words| short(words)).collect(),
        last_failover: record.moved,
    }
}

/// Lag and send queue, where a primary tells of its partner.
fn heard_by_primary(look: &Observation) -> Option<(Option<u64>, Option<u64>)> {
    match &look.seen {
        Seen::Side(reading) => {
            reading.partner.as_ref().map(|partner| (partner.lag_s, partner.log_send_queue_kb))
        }
        Seen::Control(_) | Seen::Silence(_) => None,
    }
}

fn side(look: &Observation) -> Option<SideState> {
    let side = Side::BOTH.into_iter().find(|side| look.vantage == (*side).into())?;
    let (role, silence) = match &look.seen {
        Seen::Side(reading) => (Some(reading.role), None),
        Seen::Silence(silence) => (None, Some(silence.kind)),
        Seen::Control(_) => return None,
    };
    Some(SideState { side, role, silence, at: look.begun_at })
}

fn open(run: &Run) -> OpenProposal {
    OpenProposal {
        proposal: run.proposal.terms.proposal,
        approved: matches!(run.status, Status::Approved { .. }),
        signatures: crate::proposal::signers(&run.ballots),
        quorum: run.proposal.terms.quorum,
    }
}

fn short(words: &str) -> String {
    match words.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runbooks_are_known_by_link() {
        let mut tally = Tally::default();
        let link = |name| LinkId::new(name).expect("a name");
        let times = ["2026-01-05T06:05:00Z", "2026-01-05T06:05:01Z", "2026-01-06T06:05:00Z"];
        let times = times.map(|time| time.parse::<Timestamp>().expect("a time"));
        for (at, name) in times.into_iter().zip(["first", "second", "first"]) {
            let (subject, event) = issued(Runbook::new(link(name), String::from("# Page")));
            tally.count(&Entry { v: 1, seq: 1, at, subject, rule: None, event }, None);
        }
        assert_eq!(tally.issued.get(&link("first")), Some(&times[2]));
        assert_eq!(
            tally.issued.get(&link("second")),
            Some(&times[1]),
            "it still waits for today's"
        );
    }
}
