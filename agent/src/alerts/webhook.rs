//! The generic webhook: one message for each change, in order, signed.
//!
//! `dr-agent-signature: v1=<hex>` is the HMAC-SHA256, by the configured secret, of the value of
//! `dr-agent-timestamp`, a dot and the exact bytes of the body. The time is that of sending, in
//! seconds since 1970: a receiver that refuses old ones can't be told an old message again by
//! somebody else. `dr-agent-id` is the same for every try of a message.

use std::collections::VecDeque;

use agent_core::{
    ApproverId, Forecast, Health, LinkId, Origin, PlanKind, ProposalId, Runbook, Seq, Side,
    StateReport, Status, to_hex,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use probes::{Secret, SecretSource};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use sha2::Sha256;

use super::{
    files::Place,
    notice::Notice,
    post::Parcel,
    pump::{PASSED_MOST, Refused, Shape, Taken},
    story::{Change, News, Proposed},
    tail::{Item, Told},
    words,
};
use crate::config::Severity;

/// Messages that wait in memory at the most; the rest waits in the journal.
const WAITING: usize = 64;

pub(super) struct Webhook {
    make: Make,
    secret: SecretSource,
    waiting: VecDeque<Told>,
    /// So many of them were refused as such, and the one behind them is tried.
    passed: usize,
    /// One behind so many has been taken; they are tried once more.
    judged: usize,
    /// Where it leads once those are told or given up.
    beyond: Option<Place>,
}

/// What messages are made with.
#[derive(Clone, Debug)]
pub(super) struct Make {
    pub(super) agent: String,
    pub(super) external_url: Option<String>,
    pub(super) min_severity: Severity,
}

/// The body. Fields may be added; none changes its meaning.
#[derive(Debug, Serialize)]
struct Message<'a> {
    version: u32,
    /// The same for every try.
    id: String,
    agent: &'a str,
    link: &'a LinkId,
    /// The entry of the journal with which it began: the same in all messages of the episode.
    episode: Seq,
    /// Grows with each message of an episode.
    sequence: u64,
    at: Timestamp,
    event: &'static str,
    /// The entry of the journal, if it is one.
    entry: Option<Seq>,
    status: &'static str,
    severity: Severity,
    /// Why a human has to act.
    because: Option<String>,
    title: String,
    text: String,
    /// What to type.
    commands: Vec<String>,
    health: Health,
    health_since: Timestamp,
    primary: Option<Side>,
    reasons: Vec<String>,
    proposal: Option<Proposal<'a>>,
    url: Option<String>,
}

#[derive(Debug, Serialize)]
struct Proposal<'a> {
    proposal: ProposalId,
    kind: PlanKind,
    origin: &'a Origin,
    status: &'a Status,
    digest: &'a str,
    plan_digest: &'a str,
    opened_at: Timestamp,
    approve_by: Timestamp,
    execute_within_ms: u64,
    quorum: usize,
    approvers: &'a [ApproverId],
    approved_by: &'a [ApproverId],
    attestation_required: bool,
    forecast: &'a Forecast,
    loss_most_ms: Option<u64>,
    /// The same in words.
    loss: String,
    why: Option<String>,
}

/// The body of what belongs to no episode.
#[derive(Debug, Serialize)]
struct Notification<'a> {
    version: u32,
    id: String,
    agent: &'a str,
    link: Option<&'a str>,
    at: Timestamp,
    event: &'static str,
    entry: Seq,
    severity: &'static str,
    title: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a StateReport>,
    /// With its text, if that has no more than 64 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    runbook: Option<&'a Runbook>,
}

impl Webhook {
    pub(super) fn new(make: Make, secret: SecretSource) -> Self {
        Self { make, secret, waiting: VecDeque::new(), passed: 0, judged: 0, beyond: None }
    }
}

impl Webhook {
    /// The first one is gone, told or given up. What was told beyond it counts with the last of those
    /// that had been passed over.
    fn judge(&mut self, place: Option<Place>) -> Option<Place> {
        self.judged = self.judged.saturating_sub(1);
        if self.judged == 0 { self.beyond.take().or(place) } else { place }
    }
}

impl Make {
    /// Whether a change is severe enough: the end of a page is.
    pub(super) fn wants(&self, change: &Change) -> bool {
        let before = if change.paged_before { Severity::Page } else { Severity::Warning };
        change.episode.severity().max(before) >= self.min_severity
    }

    /// Whether it takes what nobody has to act on.
    fn wants_notices(&self) -> bool {
        self.min_severity <= Severity::Warning
    }

    /// The body for a notice.
    pub(super) fn notice(&self, notice: &Notice) -> Vec<u8> {
        let message = Notification {
            version: 1,
            id: notice.id(),
            agent: &self.agent,
            link: notice.link(),
            at: notice.at,
            event: notice.event.name(),
            entry: notice.seq,
            severity: "info",
            title: notice.title(),
            text: notice.text(),
            report: notice.report(),
            runbook: notice.runbook(),
        };
        serde_json::to_vec(&message).unwrap_or_default()
    }

    /// The body for a change.
    pub(super) fn body(&self, change: &Change) -> Vec<u8> {
        let episode = &change.episode;
        let (event, entry) = match &change.news {
            News::Entry { seq, event } => (event.name(), Some(*seq)),
            News::Lasting { .. } => ("page_begun", None),
            News::Calm { .. } => ("page_ended", None),
            News::Dropped => ("link_dropped", None),
            News::Standing => ("standing", None),
        };
        let proposed = episode.proposal.as_ref();
        let message = Message {
            version: 1,
            id: id(change),
            agent: &self.agent,
            link: &episode.link,
            episode: episode.id,
            sequence: episode.sequence,
            at: change.at,
            event,
            entry,
            status: if episode.over.is_some() { "resolved" } else { "firing" },
            severity: episode.severity(),
            because: episode.need.as_ref().map(ToString::to_string),
            title: words::title(change),
            text: words::text(change),
            commands: words::commands(episode),
            health: episode.health,
            health_since: episode.health_since,
            primary: episode.primary,
            reasons: episode.reasons.iter().map(ToString::to_string).collect(),
            proposal: proposed.map(proposal),
            url: proposed.and_then(|proposed| {
                Some(format!("{}/api/v1/proposals/{}", self.external_url.as_ref()?, proposed.id()))
            }),
        };
        serde_json::to_vec(&message).unwrap_or_default()
    }
}

impl Shape for Webhook {
    fn room(&self) -> bool {
        self.waiting.len() < WAITING
    }

    fn queue(&mut self, item: Item) {
        if self.make.wants(&item.change) {
            self.waiting.push_back(Told::Change(item));
        }
    }

    fn notice(&mut self, notice: Notice) {
        if self.make.wants_notices() {
            self.waiting.push_back(Told::Notice(notice));
        }
    }

    fn resume(&mut self, _standing: Vec<Change>, _now: Timestamp) {}

    fn parcel(&mut self, now: Timestamp) -> Option<Parcel> {
        let (id, body) = match self.waiting.get(self.passed)? {
            Told::Change(Item { change, .. }) => (id(change), self.make.body(change)),
            Told::Notice(notice) => (notice.id(), self.make.notice(notice)),
        };
        let at = now.as_second().to_string();
        let headers = vec![
            ("dr-agent-id", id),
            ("dr-agent-signature", signature(&self.secret.last(), &at, &body)),
            ("dr-agent-timestamp", at),
        ];
        Some(Parcel { headers, body })
    }

    fn taken(&mut self) -> Taken {
        let told = self.waiting.remove(self.passed).and_then(|told| told.place());
        match std::mem::take(&mut self.passed) {
            0 => {
                let place = self.judge(told);
                Taken { place, judging: self.judged > 0 }
            }
            passed => {
                self.judged = passed;
                self.beyond = told.or(self.beyond);
                Taken { place: None, judging: true }
            }
        }
    }

    fn refused(&mut self) -> Refused {
        if self.judged > 0 {
            let told = self.waiting.pop_front().and_then(|told| told.place());
            let place = self.judge(told);
            return Refused::GivenUp(Taken { place, judging: self.judged > 0 });
        }
        self.passed += 1;
        if self.passed <= PASSED_MOST && self.passed < self.waiting.len() {
            return Refused::Next;
        }
        Refused::Wait
    }

    fn back(&mut self) {
        self.passed = 0;
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.waiting.front().map(|told| match told {
            Told::Change(item) => item.change.at,
            Told::Notice(notice) => notice.at,
        })
    }

    fn wake(&self) -> Option<Timestamp> {
        None
    }
}

/// An episode has the number of an entry, so this is unique within a journal.
fn id(change: &Change) -> String {
    format!("{}-{}", change.episode.id, change.episode.sequence)
}

fn signature(secret: &Secret, at: &str, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        // HMAC takes keys of any length.
        return String::new();
    };
    mac.update(at.as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("v1={}", to_hex(&mac.finalize().into_bytes()))
}

fn proposal(proposed: &Proposed) -> Proposal<'_> {
    let (proposal, terms) = (&proposed.proposal, &proposed.proposal.terms);
    Proposal {
        proposal: terms.proposal,
        kind: terms.kind,
        origin: &terms.origin,
        status: &proposed.status,
        digest: &proposal.digest,
        plan_digest: &terms.plan_digest,
        opened_at: terms.opened_at,
        approve_by: terms.approve_by,
        execute_within_ms: terms.execute_within_ms,
        quorum: terms.quorum,
        approvers: &terms.approvers,
        approved_by: &proposed.approved_by,
        attestation_required: terms.attestation_required,
        forecast: &terms.forecast,
        loss_most_ms: terms.bounds.loss_most_ms,
        loss: words::loss(proposal),
        why: proposed.why.as_deref().map(words::quote),
    }
}
