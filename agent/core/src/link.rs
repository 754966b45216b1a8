//! The record of one link: what the journal says of it. `apply` is the only way in, and a
//! transition that is not listed here is illegal.

use alloc::{format, string::String, vec::Vec};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    event::{Entry, Event},
    forecast::Sample,
    guard::Guard,
    health::{Health, Reason},
    names::{ProposalId, Seq, Side},
    plan::{Action, PlanKind},
    proposal::{End, Proposal, Status},
    run::Run,
};

/// An entry that does not follow from those before it: the journal is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Illegal(pub String);

impl core::fmt::Display for Illegal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the journal says of one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub health: Health,
    pub health_since: Option<Timestamp>,
    pub reasons: Vec<Reason>,
    /// The side that was primary when one was last seen.
    pub primary: Option<Side>,
    /// The entry with which the present trouble began; None while all is well.
    pub episode: Option<Seq>,
    /// The primary as it was when it fell silent.
    pub sample: Option<Sample>,
    /// The newest proposal of this link, closed or not.
    pub run: Option<Run>,
    /// A human rejected in this episode: the agent proposes nothing more in it.
    pub silenced: bool,
    /// A human has seen how the newest proposal ended.
    pub acknowledged: bool,
    /// When the primary was last seen on another side than before.
    pub moved: Option<Move>,
    /// The standing order for a side that was left unfenced, as long as it is in force.
    pub guard: Option<Guard>,
}

/// The primary has moved from one side to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// When it was seen.
    pub at: Timestamp,
    pub to: Side,
    /// The proposal that it was moved by; None if it was not the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<ProposalId>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            health: Health::Unknown,
            health_since: None,
            reasons: Vec::new(),
            primary: None,
            episode: None,
            sample: None,
            run: None,
            silenced: false,
            acknowledged: true,
            moved: None,
            guard: None,
        }
    }
}

impl Record {
    /// The proposal that is open or being carried out.
    #[must_use]
    pub fn live(&self) -> Option<&Run> {
        self.run.as_ref().filter(|run| !matches!(run.status, Status::Closed(_)))
    }

    /// The newest proposal ended stuck, and nobody has acknowledged it.
    #[must_use]
    pub fn stuck(&self) -> Option<ProposalId> {
        let run = self.run.as_ref()?;
        // Where it stopped after the new primary had been seen to serve, or another than a forced one
        // before it changed any, the roles are known.
        let forced = run.proposal.plan.kind.forces();
        if (run.committed() && run.settled()) || (!forced && !run.committed()) {
            return None;
        }
        (run.status == Status::Closed(End::Stuck) && !self.acknowledged)
            .then_some(run.proposal.terms.proposal)
    }

    /// The agent has started anew.
    pub(crate) fn restarted(&mut self, at: Timestamp) {
        if let Some(run) = self.run.as_mut().filter(|run| !matches!(run.status, Status::Closed(_)))
        {
            run.restarted(at);
        }
    }

    pub(crate) fn apply(&mut self, entry: &Entry) -> Result<(), Illegal> {
        match &entry.event {
            Event::AgentStarted { .. }
            | Event::StateReported { .. }
            | Event::RunbookIssued { .. } => {
                return Err(illegal(entry, "it is not about a link"));
            }
            Event::HealthChanged { from, to, primary, reasons, sample, .. } => {
                if *from != self.health {
                    return Err(illegal(entry, "the health before it was another"));
                }
                self.health_changed(entry, *to, *primary, reasons, *sample);
            }
            Event::ProposalOpened { texts } => {
                if self.live().is_some() {
                    return Err(illegal(entry, "another proposal is open"));
                }
                let proposal = Proposal::read(texts.clone()).map_err(|why| illegal(entry, &why))?;
                if proposal.terms.proposal != entry.seq {
                    return Err(illegal(entry, "the proposal bears another number"));
                }
                self.acknowledged = false;
                self.run = Some(Run::open(proposal));
            }
            Event::GuardLifted { .. } => {
                self.guard.take().ok_or_else(|| illegal(entry, "no guard is armed"))?;
            }
            Event::EpisodeAcknowledged { .. } => {
                self.acknowledged = true;
            }
            Event::BallotReceived { .. }
            | Event::ProposalApproved { .. }
            | Event::ProposalClosed { .. }
            | Event::StepStarted { .. }
            | Event::StepSending { .. }
            | Event::StepNoted { .. }
            | Event::StepDone { .. }
            | Event::StepNotDone { .. }
            | Event::StepUnknown { .. }
            | Event::UndoStarted { .. } => {
                let run =
                    self.run.as_mut().ok_or_else(|| illegal(entry, "there is no proposal"))?;
                run.apply(entry).map_err(|why| illegal(entry, why))?;
                self.guarded(entry);
                self.cut_over(entry);
                let Some(run) = &self.run else { return Ok(()) };
                // Who does not want a planned failover has said nothing about an outage.
                let forced = run.proposal.plan.kind.forces();
                if forced && run.status == Status::Closed(End::Rejected) {
                    self.silenced = true;
                }
            }
        }
        Ok(())
    }

    /// Once the old primary is in no group any more, nobody has a role by which the new one is known.
    fn cut_over(&mut self, entry: &Entry) {
        let (Event::StepDone { step, .. }, Some(run)) = (&entry.event, &self.run) else { return };
        let plan = &run.proposal.plan;
        let dropped = plan.step(step.lane, step.step).is_some_and(|step| match plan.kind {
            PlanKind::Cutover => matches!(step.action, Action::GroupDropped { .. }),
            PlanKind::Deletion => matches!(step.action, Action::LinkDeleted { .. }),
            PlanKind::ForcedFailover
            | PlanKind::PlannedFailover
            | PlanKind::Repair
            | PlanKind::ReturnGuard => false,
        });
        let Some(lane) = plan.lanes.first().filter(|_| dropped) else { return };
        let proposal = Some(run.proposal.terms.proposal);
        self.moved = Some(Move { at: entry.at, to: lane.target, proposal });
        self.primary = Some(lane.target);
    }

    /// The proposal whose command may have moved the primary there, since it was last seen to move.
    fn mover(&self, to: Side) -> Option<ProposalId> {
        let run = self.run.as_ref().filter(|run| run.committed())?;
        let terms = &run.proposal.terms;
        let newer = self.moved.is_none_or(|moved| moved.at < terms.opened_at);
        let goes = run.proposal.plan.lanes.iter().any(|lane| lane.target == to);
        (newer && goes).then_some(terms.proposal)
    }

    fn health_changed(
        &mut self,
        entry: &Entry,
        to: Health,
        primary: Option<Side>,
        reasons: &[Reason],
        sample: Option<Sample>,
    ) {
        self.guard_sees(to);
        self.health = to;
        self.health_since = Some(entry.at);
        self.reasons = reasons.to_vec();
        if let Some(to) = primary {
            if self.primary.is_some_and(|before| before != to) {
                let proposal = self.mover(to);
                self.moved = Some(Move { at: entry.at, to, proposal });
            }
            self.primary = primary;
        }
        match to {
            Health::Healthy => {
                self.episode = None;
                self.silenced = false;
                self.sample = None;
            }
            Health::Unknown => {}
            Health::PrimaryDown | Health::PrimaryUnreachable => {
                self.episode = self.episode.or(Some(entry.seq));
                self.sample = sample.or(self.sample);
            }
            Health::Degraded
            | Health::NoPrimary
            | Health::SplitBrain
            | Health::Unlinked
            | Health::Parted => {
                self.episode = self.episode.or(Some(entry.seq));
                self.sample = None;
            }
        }
    }
}

fn illegal(entry: &Entry, why: &str) -> Illegal {
    Illegal(format!("entry {} ({}) can't follow: {why}", entry.seq, entry.event.name()))
}
