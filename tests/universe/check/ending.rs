//! What can only be checked when all is over: the truth of the world against what was signed, and
//! every life run again.

use std::collections::BTreeMap;

use agent_core::{End, Event, Side, Status, Undo};
use dr_agent::replay::Rerun;
use twin::world::{Commit, World};

use super::{Checker, Violation};
use crate::universe::{Disk, LINK, PORTAL, Universe};

impl Checker {
    /// 4: no try of a step had two effects.
    pub(super) fn one_deed_each(&self, world: &World) -> Result<(), Violation> {
        let mut effective: BTreeMap<&str, u32> = BTreeMap::new();
        for operation in world.operations() {
            if operation.who.program.starts_with("dr-agent") && operation.accepted.is_some() {
                *effective.entry(operation.who.program.as_str()).or_default() += 1;
            }
        }
        match effective.iter().find(|(_, count)| **count > 1) {
            Some((program, count)) => Err(Violation::new("4", format!("{program}: {count} deeds"))),
            None => Ok(()),
        }
    }

    /// 7 and 3: as long as nobody has forced anything, no commit is lost, and never do two sides take
    /// writes at the same time.
    pub(super) fn nothing_lost_without_force(
        &self,
        world: &World,
        disk: &Disk,
    ) -> Result<(), Violation> {
        // What people do past the agent is theirs.
        let mut commands = world.ledger().commands().iter();
        if self.forced(disk) || commands.any(|command| command.who.program == PORTAL) {
            return Ok(());
        }
        let lost = world.loss(LINK).map_or(0, |loss| loss.count);
        if lost > 0 {
            return Err(Violation::new("7", format!("{lost} commits are lost and nobody forced")));
        }
        // There a commit on the old side is what counts, see `nobody_wrote_behind`.
        if self.cut_over() {
            return Ok(());
        }
        let two = world.ledger().intervals(LINK).iter().find(|i| i.writers.count() > 1);
        match two {
            Some(interval) => {
                Err(Violation::new("3", format!("two sides took writes from {}", interval.from)))
            }
            None => Ok(()),
        }
    }

    /// Whether a plan was approved that may lose something.
    pub(in crate::universe) fn forced(&self, disk: &Disk) -> bool {
        disk.entries().into_iter().any(|entry| match &entry.event {
            Event::ProposalApproved { proposal, .. } => {
                self.proposals.get(proposal).is_some_and(|p| p.plan.kind.forces())
            }
            Event::AgentStarted { .. }
            | Event::HealthChanged { .. }
            | Event::ProposalOpened { .. }
            | Event::BallotReceived { .. }
            | Event::ProposalClosed { .. }
            | Event::StepStarted { .. }
            | Event::StepSending { .. }
            | Event::StepNoted { .. }
            | Event::StepDone { .. }
            | Event::StepNotDone { .. }
            | Event::StepUnknown { .. }
            | Event::UndoStarted { .. }
            | Event::EpisodeAcknowledged { .. }
            | Event::GuardLifted { .. }
            | Event::StateReported { .. }
            | Event::RunbookIssued { .. } => false,
        })
    }

    /// Where the newest proposal goes.
    pub(super) fn target(&self) -> Side {
        let record = self.shadow.record(&Universe::link());
        let run = record.and_then(|record| record.run.as_ref());
        let lane = run.and_then(|run| run.proposal.plan.lanes.first());
        lane.map_or(Side::ManagedInstance, |lane| lane.target)
    }

    /// Whether the command that leaves makes a primary without asking the other side. What follows
    /// the change of roles may meet an old primary that is back.
    pub(super) fn forces(&self, event: &Event) -> bool {
        let Event::StepSending { step } = event else { return false };
        let plan = self.proposals.get(&step.proposal).map(|proposal| &proposal.plan);
        plan.filter(|plan| plan.kind.forces())
            .and_then(|plan| plan.step(step.lane, step.step))
            .is_some_and(|step| step.undo == Undo::Impossible)
    }

    /// 8: what the ledger counts as lost lies within what was signed, if the verdict was right.
    pub(super) fn loss_within_bound(&self, world: &World, disk: &Disk) -> Result<(), Violation> {
        let Some(run) = self.shadow.record(&Universe::link()).and_then(|r| r.run.as_ref()) else {
            return Ok(());
        };
        let (Some(bound), Status::Closed(End::Succeeded)) =
            (run.proposal.terms.bounds.loss_most_ms, &run.status)
        else {
            return Ok(());
        };
        if !run.proposal.plan.kind.forces() {
            return Ok(());
        }
        let id = run.proposal.terms.proposal;
        let sent = disk.entries().into_iter().find(
            |entry| matches!(&entry.event, Event::StepSending { step } if step.proposal == id),
        );
        let acted = sent.map(|entry| self.by_the_world(entry.seq, entry.at));
        let Some(acted) = acted else { return Ok(()) };
        let sql = self.target() == Side::SqlServer;
        let arrived = |c: &Commit| if sql { c.on_sql_server } else { c.on_managed_instance };
        let commits: Vec<_> =
            world.commits(LINK).filter(|c| c.acknowledged && c.at < acted).collect();
        let Some(kept) = commits.iter().filter(|c| arrived(c)).map(|c| c.at).max() else {
            return Ok(());
        };
        // When both witnesses have lost a primary that lives on, nobody can tell: what it commits
        // after that is outside every bound, and inside what the approvers were told of.
        let gone_by = disk.entries().iter().rev().find_map(|entry| match &entry.event {
            Event::HealthChanged { sample, .. } if entry.seq < id => {
                let gone_by = sample.and_then(|sample| sample.gone_by)?;
                Some(self.by_the_world(entry.seq, gone_by))
            }
            Event::HealthChanged { .. }
            | Event::AgentStarted { .. }
            | Event::ProposalOpened { .. }
            | Event::BallotReceived { .. }
            | Event::ProposalApproved { .. }
            | Event::ProposalClosed { .. }
            | Event::StepStarted { .. }
            | Event::StepSending { .. }
            | Event::StepNoted { .. }
            | Event::StepDone { .. }
            | Event::StepNotDone { .. }
            | Event::StepUnknown { .. }
            | Event::UndoStarted { .. }
            | Event::EpisodeAcknowledged { .. }
            | Event::GuardLifted { .. }
            | Event::StateReported { .. }
            | Event::RunbookIssued { .. } => None,
        });
        let opened_at = self.by_the_world(id, run.proposal.terms.opened_at);
        let unseen = gone_by.unwrap_or(opened_at);
        let served = world.ledger().intervals(LINK).iter().any(|interval| {
            (if sql { interval.writers.managed_instance } else { interval.writers.sql_server })
                && interval.to.is_none_or(|to| to > unseen)
        });
        let lost = commits.iter().filter(|c| !arrived(c)).map(|c| c.at).max();
        if let Some(lost) = lost.filter(|_| !served) {
            let ms = lost.duration_since(kept).as_millis();
            if ms > i128::from(bound) {
                return Err(Violation::new("8", format!("{ms} ms were lost, {bound} signed")));
            }
        }
        Ok(())
    }

    /// 1: all lives run again from what the flight recorder kept of them.
    pub(super) fn replay(&mut self, disk: &Disk) -> Result<(), Violation> {
        let lines = disk.lines();
        let length = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let text = |seq: u64| {
            let place = seq.checked_sub(1).and_then(|place| usize::try_from(place).ok());
            Ok(place.and_then(|place| lines.get(place).cloned()))
        };
        let mut rerun = Rerun::new(text, false, |_| {});
        for frame in self.frames.drain(..) {
            let run = rerun.frame(frame);
            run.map_err(|broken| Violation::new("1", format!("the replay differs: {broken:?}")))?;
        }
        let report = rerun.finish(length);
        let report = report.map_err(|error| Violation::new("1", error.to_string()))?;
        if report.is_good() && report.same == length {
            return Ok(());
        }
        Err(Violation::new("1", format!("the replay gives another journal: {report:?}")))
    }
}
