//! The return guard of a link: a standing order, signed with a forced failover, that waits for the
//! side which was left unfenced.
//!
//! It is armed by the journal alone, from the moment at which the command that makes the target
//! primary may have left, and it fires only while the target is seen to serve and the other side is
//! seen as PRIMARY: both looks are fresh, and which side is the rightful one was signed.

use alloc::{format, string::ToString, vec::Vec};
use core::time::Duration;

use jiff::Timestamp;

use crate::{
    draft::draft,
    event::{Entry, Event},
    evidence::{Role, SideReading, signed},
    health::{Health, assess, fresh_reading},
    link::Record,
    names::{ProposalId, Side},
    plan::{Action, PlanKind, Step, Undo},
    proposal::{End, Origin, Status},
    rules::View,
    run::Run,
};

/// A standing order that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The forced failover that it was signed with.
    pub proposal: ProposalId,
    /// The side that the failover made primary; the order is about the other one.
    pub winner: Side,
    pub steps: Vec<Step>,
    pub armed_at: Timestamp,
    /// The winner is in no link any more: no role tells that the other side is back, and nothing of it
    /// goes over a link again.
    pub parted: bool,
    /// It has done its work, and begins anew when the side comes back once more.
    pub served: bool,
}

impl Guard {
    /// The health in which it is at work.
    fn health(&self) -> Health {
        if self.parted { Health::Parted } else { Health::SplitBrain }
    }
}

impl Record {
    /// What an entry about a run means for the guard, once it is part of the run.
    pub(crate) fn guarded(&mut self, entry: &Entry) {
        let Some(run) = &self.run else { return };
        let plan = &run.proposal.plan;
        let Some(lane) = plan.lanes.first() else { return };
        let turns =
            |place: usize| lane.steps.get(place).is_some_and(|step| step.undo == Undo::Impossible);
        match (&entry.event, plan.kind) {
            // A change of roles may have landed when it leaves, and then an old primary is one too
            // many. A link that may be there still is no reason to take anybody's database.
            (Event::StepSending { step }, kind @ PlanKind::ForcedFailover)
            | (Event::StepDone { step, .. }, kind @ PlanKind::Deletion)
                if turns(step.step) =>
            {
                // A new one takes the place of an old one, whose winner was lost.
                self.guard = (!lane.guard.is_empty()).then(|| Guard {
                    proposal: run.proposal.terms.proposal,
                    winner: lane.target,
                    steps: lane.guard.clone(),
                    armed_at: entry.at,
                    parted: kind.parts(),
                    served: false,
                });
            }
            // There is one primary again.
            (
                Event::StepDone { step, .. },
                PlanKind::Repair | PlanKind::PlannedFailover | PlanKind::Cutover,
            ) if turns(step.step) && !step.undo => {
                self.guard = None;
            }
            // Approvers have chosen the other side's data.
            (Event::ProposalApproved { .. }, PlanKind::Repair) => {
                self.guard = self.guard.take().filter(|guard| guard.winner == lane.target);
            }
            (Event::ProposalClosed { end: End::Succeeded, .. }, PlanKind::ReturnGuard) => {
                if let Some(guard) = &mut self.guard {
                    guard.served = true;
                }
            }
            _ => {}
        }
    }

    /// An approver has said no to it.
    fn guard_refused(&self) -> bool {
        self.run.as_ref().is_some_and(|run| {
            run.proposal.plan.kind == PlanKind::ReturnGuard
                && run.status == Status::Closed(End::Rejected)
        })
    }

    /// What a new health means for the guard.
    pub(crate) fn guard_sees(&mut self, health: Health) {
        match health {
            // The other side follows.
            Health::Healthy => self.guard = None,
            Health::SplitBrain | Health::Parted => {}
            Health::Unknown
            | Health::Degraded
            | Health::PrimaryUnreachable
            | Health::PrimaryDown
            | Health::NoPrimary
            | Health::Unlinked => {
                // What was done where no link is lasts: whoever makes that copy writable again does it
                // on purpose.
                if let Some(guard) = self.guard.as_mut().filter(|guard| !guard.parted) {
                    guard.served = false;
                }
            }
        }
    }
}

/// RULE: the side that was left unfenced is back and takes itself for the primary.
pub(crate) fn returned(view: &View<'_>) -> Option<Event> {
    let guard = view.record.guard.as_ref().filter(|guard| !guard.served)?;
    // Where the other side alone was seen to serve since, people may have gone over to it.
    let moved = view.record.moved.filter(|moved| moved.at > guard.armed_at);
    if moved.is_some_and(|moved| moved.to != guard.winner) || view.record.guard_refused() {
        return None;
    }
    if view.record.live().is_some() || rest_until(view.record, view).is_some_and(|at| view.now < at)
    {
        return None;
    }
    if view.record.health != guard.health() {
        return None;
    }
    assess(view.evidence, view.spec, view.record.primary, view.now)
        .filter(|found| found.health == guard.health())?;
    may_act(view, guard.winner).ok()?;
    let origin = Origin::Guard { proposal: guard.proposal };
    let texts = draft(view, PlanKind::ReturnGuard, guard.winner, origin);
    Some(Event::ProposalOpened { texts })
}

/// RULE: there is nothing to guard against any more, or not at present. Whatever was done can stay,
/// and nothing must stand in the way of a failover if the winner is lost next.
pub(crate) fn moot(view: &View<'_>) -> Option<Event> {
    let guarding = |run: &&Run| run.proposal.plan.kind == PlanKind::ReturnGuard;
    let Some(run) = view.record.live().filter(guarding) else { return abandoned(view) };
    if run.finished() {
        return None;
    }
    let winner = run.proposal.plan.lanes.first()?.target;
    let loser = winner.other();
    let reading = fresh_reading(view.evidence, view.spec, loser, view.now);
    let guard = view.record.guard.as_ref();
    let wanted = guard.map(Guard::health);
    let mut why = if wanted.is_none() {
        "the guard has been lifted".to_string()
    } else if reading.is_some_and(|reading| reading.role == Role::Secondary) {
        format!("{loser} is SECONDARY")
    } else if dropped(run) {
        // Where no link is, no role brings it back to what is left to do: it goes on when it can.
        return None;
    } else if guard.is_some_and(|guard| guard.parted) && reading.is_some_and(SideReading::alone) {
        format!(
            "{loser} is in no group any more, and not by this plan: people may have gone over to it"
        )
    } else if wanted.is_some_and(|wanted| wanted != view.record.health) {
        format!("the health is {}; the guard stays armed", view.record.health)
    } else {
        return None;
    };
    why.push_str(&run.shut_out());
    let (proposal, end) = (run.proposal.terms.proposal, End::Withdrawn);
    Some(Event::ProposalClosed { proposal, end, why })
}

/// People have taken the other side out of its groups, and it takes writes: they may have gone over to
/// it, and no role will ever tell.
fn abandoned(view: &View<'_>) -> Option<Event> {
    let guard = view.record.guard.as_ref().filter(|guard| guard.parted && !guard.served)?;
    if view.record.live().is_some() {
        return None;
    }
    let loser = guard.winner.other();
    fresh_reading(view.evidence, view.spec, loser, view.now).filter(|reading| reading.alone())?;
    let note = format!("{loser} takes writes in no group: people may have gone over to it");
    Some(Event::GuardLifted { by: "dr-agent".to_string(), note })
}

/// Whether the command by which a run takes the other side out of the link's group may have landed.
fn dropped(run: &Run) -> bool {
    run.lanes.iter().zip(&run.proposal.plan.lanes).any(|(progress, lane)| {
        let drops = |place: &usize| {
            let step = lane.steps.get(*place);
            step.is_some_and(|step| matches!(step.action, Action::GroupDropped { .. }))
        };
        progress.commanded.iter().any(drops)
    })
}

/// What is told at the good end of it.
pub(crate) fn done(view: &View<'_>, winner: Side) -> alloc::string::String {
    let loser = winner.other();
    let reading = fresh_reading(view.evidence, view.spec, loser, view.now);
    let last = reading.and_then(|reading| reading.database.as_ref()?.last_commit_at);
    let last = last.map_or_else(
        || "when its last commit was is not known".to_string(),
        |at| format!("its last commit is of {at:.3} by its own clock"),
    );
    let parted = view.record.guard.as_ref().is_some_and(|guard| guard.parted);
    let then = if parted {
        "no link leads there any more, so merge by hand what is missing, from the backup or from there"
    } else {
        "ask for a repair"
    };
    format!("writers on {loser} are stopped; {last}. What only {loser} has is still there: {then}")
}

/// When a guard that could not do its work may begin anew.
pub(crate) fn rest_until(record: &Record, view: &View<'_>) -> Option<Timestamp> {
    let failed = |run: &&Run| {
        run.proposal.plan.kind == PlanKind::ReturnGuard
            && matches!(run.status, Status::Closed(End::Stuck | End::Expired))
    };
    let closed_at = record.run.as_ref().filter(failed)?.closed_at?;
    let pause: Duration = view.spec.policy.reopen_after;
    closed_at.checked_add(signed(pause)).ok()
}

/// Whether the winner is seen to serve and the other side as PRIMARY, both afresh.
///
/// # Errors
///
/// What is not so, in words.
pub(crate) fn may_act(view: &View<'_>, winner: Side) -> Result<(), alloc::string::String> {
    let reading = |side| fresh_reading(view.evidence, view.spec, side, view.now);
    let parted = view.record.guard.as_ref().is_some_and(|guard| guard.parted);
    let serves = if parted { SideReading::alone } else { SideReading::serving };
    if !reading(winner).is_some_and(serves) {
        return Err(format!("{winner} is not seen to take writes now"));
    }
    let loser = winner.other();
    match reading(loser) {
        Some(reading) if reading.role == Role::Primary => Ok(()),
        // Its group has been dropped by this very run.
        Some(reading)
            if reading.role == Role::Absent && view.record.live().is_some_and(dropped) =>
        {
            Ok(())
        }
        Some(_) => Err(format!("{loser} is not PRIMARY")),
        None => Err(format!("{loser} is not seen now")),
    }
}
