//! The account of a run: what was done when, where the time went, what was lost. It is folded from
//! the journal alone, so it can be written again at any time, and by anybody who has a copy.

mod figures;

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::figures::Clock;
pub use self::figures::{LossAccount, Measured, Part, Recovery, Spent};
use crate::{
    approval::Decision,
    event::{Entry, Event, StepRef, Subject},
    evidence::Observation,
    forecast::Sample,
    health::Health,
    names::{ApproverId, LinkId, ProposalId, Seq, Side},
    plan::{PlanKind, Undo},
    proposal::{End, Origin, Proposal},
};

/// What became of one proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Of this form. Fields may be added; none changes its meaning.
    pub version: u32,
    pub proposal: ProposalId,
    pub link: LinkId,
    pub kind: PlanKind,
    /// Who is primary in the end, or keeps its data.
    pub target: Option<Side>,
    pub origin: Origin,
    pub digest: String,
    pub plan_digest: String,
    /// The verdict when it was opened, and why.
    pub health: Health,
    pub reasons: Vec<String>,
    /// What the approvers were told.
    pub notes: Vec<String>,
    pub opened_at: Timestamp,
    pub approved_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    /// None: it is open, or under way.
    pub end: Option<End>,
    pub why: Option<String>,
    pub signatures: Vec<Signature>,
    /// In the order in which they were begun.
    pub steps: Vec<StepAccount>,
    /// When it was decided to take back what had been done, and why.
    pub undone: Option<Turned>,
    /// Changes of the verdict from the opening to the end.
    pub health_changes: Vec<Turned>,
    /// When the agent was started again meanwhile.
    pub restarts: Vec<Timestamp>,
    /// None as long as it was not approved.
    pub spent: Option<Spent>,
    /// From the loss of service until the new primary was seen to serve; None where it did not come to
    /// that, or was not about that.
    pub recovery: Option<Recovery>,
    pub loss: LossAccount,
    /// The entries that it is made of, from the opening to the end.
    pub first: Seq,
    pub last: Seq,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    pub approver: ApproverId,
    pub at: Timestamp,
    pub decision: Decision,
}

/// That something turned, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turned {
    pub at: Timestamp,
    pub words: String,
}

/// One step, forward or back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepAccount {
    pub lane: usize,
    /// Counted from 0, as in the plan.
    pub step: usize,
    /// It was taken back.
    pub undo: bool,
    pub action: String,
    /// Whether it sends a command at all.
    pub acts: bool,
    /// From here on there was no way back.
    pub no_return: bool,
    pub tries: Vec<Try>,
    /// What was seen when it was done.
    pub seen: Option<String>,
    /// What is missing though it is done.
    pub warning: Option<String>,
}

/// One try of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    pub attempt: u32,
    /// By which way; None for a step that only looks.
    pub route: Option<String>,
    /// The way is a program of the operator's.
    pub hook: bool,
    pub started_at: Timestamp,
    /// When the command left.
    pub sent_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub end: TryEnd,
    pub words: String,
    /// From the command until its effect was seen.
    pub engine_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TryEnd {
    UnderWay,
    Done,
    NotDone,
    /// Nobody could tell for a while, or at all.
    Unknown,
}

/// Folds entries into the account of one proposal.
#[derive(Debug)]
pub struct Clerk {
    wanted: ProposalId,
    /// The newest loss of the link before the proposal was opened.
    before: Option<Before>,
    found: Option<(Account, Proposal)>,
    /// What is read after the end, for what was lost.
    after: Vec<Observation>,
    /// When the newest entry was written.
    newest: Option<Timestamp>,
    clock: Clock,
}

/// The verdict before the proposal.
#[derive(Clone, Debug)]
struct Before {
    at: Timestamp,
    link: LinkId,
    sample: Option<Sample>,
}

impl Clerk {
    /// For the proposal with this number, which is the place of the entry that opened it.
    #[must_use]
    pub fn new(wanted: ProposalId) -> Self {
        let (found, after, clock) = (None, Vec::new(), Clock::default());
        Self { wanted, before: None, found, after, newest: None, clock }
    }

    /// Takes the next entry of the journal. Those before the proposal are of use too.
    pub fn take(&mut self, entry: &Entry) {
        if let (Some(since), Some((account, _))) = (self.newest, &self.found) {
            let started = matches!(entry.event, Event::AgentStarted { .. });
            self.clock.run(account, started, entry.at.duration_since(since));
        }
        self.newest = Some(entry.at);
        match &mut self.found {
            None => self.opening(entry),
            Some((account, proposal)) => {
                if account.closed_at.is_none() {
                    account.take(entry, proposal);
                }
                if account.steps.iter().any(|step| step.no_return && step.seen.is_some()) {
                    aftermath(account, entry, &mut self.after);
                }
            }
        }
    }

    /// Whether the entry that opened it has come.
    #[must_use]
    pub fn found(&self) -> bool {
        self.found.is_some()
    }

    /// The account, if there was such a proposal.
    #[must_use]
    pub fn account(self) -> Option<Account> {
        let (mut account, proposal) = self.found?;
        let sample = self.before.as_ref().and_then(|before| before.sample);
        account.spent = self.clock.spent(&account);
        account.recovery = figures::recovery(&account, &proposal, self.before.map(|b| b.at));
        account.loss = figures::loss(&account, &proposal, sample.as_ref(), &self.after);
        Some(account)
    }

    fn opening(&mut self, entry: &Entry) {
        if let (Event::HealthChanged { sample, to, .. }, Subject::Link(link)) =
            (&entry.event, &entry.subject)
        {
            let known = self.before.take().filter(|before| before.link == *link);
            let lost =
                matches!(to, Health::PrimaryDown | Health::PrimaryUnreachable | Health::NoPrimary);
            self.before = lost.then(|| Before {
                at: entry.at,
                link: link.clone(),
                sample: sample.or(known.and_then(|before| before.sample)),
            });
        }
        let Event::ProposalOpened { texts } = &entry.event else { return };
        if entry.seq == self.wanted
            && let Ok(proposal) = Proposal::read(texts.clone())
        {
            self.before.take_if(|before| before.link != proposal.terms.link);
            self.found = Some((Account::opened(entry, &proposal), proposal));
        }
    }
}

impl Account {
    fn opened(entry: &Entry, proposal: &Proposal) -> Self {
        let terms = &proposal.terms;
        Self {
            version: 1,
            proposal: terms.proposal,
            link: terms.link.clone(),
            kind: terms.kind,
            target: proposal.plan.lanes.first().map(|lane| lane.target),
            origin: terms.origin.clone(),
            digest: proposal.digest.clone(),
            plan_digest: terms.plan_digest.clone(),
            health: terms.health,
            reasons: terms.reasons.iter().map(ToString::to_string).collect(),
            notes: terms.notes.clone(),
            opened_at: entry.at,
            approved_at: None,
            closed_at: None,
            end: None,
            why: None,
            signatures: Vec::new(),
            steps: Vec::new(),
            undone: None,
            health_changes: Vec::new(),
            restarts: Vec::new(),
            spent: None,
            recovery: None,
            loss: LossAccount::signed(terms),
            first: entry.seq,
            last: entry.seq,
        }
    }

    fn take(&mut self, entry: &Entry, proposal: &Proposal) {
        let ours = |id: ProposalId| id == self.proposal;
        match &entry.event {
            Event::AgentStarted { .. } => self.restarts.push(entry.at),
            Event::HealthChanged { from, to, .. } if self.is_about(entry) => {
                let words = alloc::format!("{from} -> {to}");
                self.health_changes.push(Turned { at: entry.at, words });
            }
            Event::BallotReceived { ballot } if ours(ballot.proposal) => {
                let (approver, decision) = (ballot.approver.clone(), ballot.decision.clone());
                self.signatures.push(Signature { approver, at: entry.at, decision });
            }
            Event::ProposalApproved { proposal, .. } if ours(*proposal) => {
                self.approved_at = Some(entry.at);
            }
            Event::ProposalClosed { proposal, end, why } if ours(*proposal) => {
                self.closed_at = Some(entry.at);
                (self.end, self.why) = (Some(*end), Some(why.clone()));
            }
            Event::UndoStarted { proposal, why } if ours(*proposal) => {
                self.undone = Some(Turned { at: entry.at, words: why.clone() });
            }
            Event::StepStarted { step, route } if ours(step.proposal) => {
                self.begin(*step, *route, entry.at, proposal);
            }
            Event::StepSending { step } if ours(step.proposal) => {
                self.newest_try(*step, |newest| newest.sent_at = Some(entry.at));
            }
            Event::StepDone { step, seen, engine_ms, warning } if ours(step.proposal) => {
                self.newest_try(*step, |newest| {
                    newest.end(entry.at, TryEnd::Done, seen);
                    newest.engine_ms = *engine_ms;
                });
                if let Some(place) = self.find(*step) {
                    (place.seen, place.warning) = (Some(seen.clone()), warning.clone());
                }
            }
            Event::StepNotDone { step, why, .. } if ours(step.proposal) => {
                self.newest_try(*step, |newest| newest.end(entry.at, TryEnd::NotDone, why));
            }
            Event::StepUnknown { step, why } if ours(step.proposal) => {
                self.newest_try(*step, |newest| newest.end(entry.at, TryEnd::Unknown, why));
            }
            Event::HealthChanged { .. }
            | Event::BallotReceived { .. }
            | Event::ProposalApproved { .. }
            | Event::ProposalClosed { .. }
            | Event::UndoStarted { .. }
            | Event::StepStarted { .. }
            | Event::StepSending { .. }
            | Event::StepDone { .. }
            | Event::StepNotDone { .. }
            | Event::StepUnknown { .. }
            | Event::StepNoted { .. }
            | Event::ProposalOpened { .. }
            | Event::EpisodeAcknowledged { .. }
            | Event::GuardLifted { .. }
            | Event::StateReported { .. }
            | Event::RunbookIssued { .. } => {}
        }
        if self.is_about(entry) {
            self.last = entry.seq;
        }
    }

    fn is_about(&self, entry: &Entry) -> bool {
        matches!(&entry.subject, Subject::Link(link) if *link == self.link)
    }

    fn begin(&mut self, step: StepRef, route: usize, at: Timestamp, proposal: &Proposal) {
        let Some(planned) = proposal.plan.step(step.lane, step.step) else { return };
        let planned = match (&planned.undo, step.undo) {
            (Undo::With(undo), true) => undo.as_ref(),
            (Undo::With(_) | Undo::Nothing | Undo::Impossible, _) => planned,
        };
        if self.find(step).is_none() {
            self.steps.push(StepAccount {
                lane: step.lane,
                step: step.step,
                undo: step.undo,
                action: planned.action.to_string(),
                acts: planned.acts(),
                no_return: planned.undo == Undo::Impossible,
                tries: Vec::new(),
                seen: None,
                warning: None,
            });
        }
        let route = planned.routes.get(route);
        let begun = Try {
            attempt: step.attempt,
            route: route.map(ToString::to_string),
            hook: matches!(route, Some(crate::plan::Route::Hook(_))),
            started_at: at,
            sent_at: None,
            ended_at: None,
            end: TryEnd::UnderWay,
            words: String::new(),
            engine_ms: 0,
        };
        if let Some(place) = self.find(step) {
            place.tries.push(begun);
        }
    }

    fn find(&mut self, step: StepRef) -> Option<&mut StepAccount> {
        let same = |known: &&mut StepAccount| {
            (known.lane, known.step, known.undo) == (step.lane, step.step, step.undo)
        };
        self.steps.iter_mut().find(same)
    }

    fn newest_try(&mut self, step: StepRef, then: impl FnOnce(&mut Try)) {
        if let Some(newest) = self.find(step).and_then(|known| known.tries.last_mut()) {
            then(newest);
        }
    }
}

impl Try {
    fn end(&mut self, at: Timestamp, end: TryEnd, words: &str) {
        (self.ended_at, self.end) = (Some(at), end);
        self.words = words.into();
    }
}

/// What is seen of the side that lost its role, once it has lost it: the first time counts.
fn aftermath(account: &Account, entry: &Entry, after: &mut Vec<Observation>) {
    if let Event::HealthChanged { evidence, .. } = &entry.event
        && account.is_about(entry)
        && after.is_empty()
    {
        let seen = evidence.iter().filter(|look| {
            account.target.is_some_and(|target| look.vantage == target.other().into())
                && matches!(look.seen, crate::evidence::Seen::Side(_))
        });
        after.extend(seen.cloned());
    }
}
