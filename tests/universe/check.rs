//! The invariants, checked after every step against the truth: the durable journal, the world's
//! ledger, and signatures verified once more by somebody else than the agent.

mod account;
mod ending;

use std::collections::{BTreeMap, BTreeSet};

use agent_core::{
    Decision, Entry, Estate, Health, InstanceId, Observation, Origin, PlanKind, Proposal, Record,
    Role, Roster, Seen, Side, Status, StepRef, StepState, StormBrake, Undo, Vantage, Work,
};
use dr_agent::{journal::JournalError, recorder::Frame, turn::Taken};
use jiff::{SignedDuration, Timestamp};
use twin::world::World;

use super::{Disk, MANAGED_INSTANCE, Settings, Universe, human, opened};

/// An invariant that does not hold. The numbers are those of ARCHITECTURE.md.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub what: String,
}

impl Violation {
    pub fn new(invariant: &'static str, what: impl Into<String>) -> Self {
        Self { invariant, what: what.into() }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "invariant {} is violated: {}", self.invariant, self.what)
    }
}

pub(super) struct Checker {
    /// The fold of what is durable, made by nobody but the checker.
    shadow: Estate,
    shadow_len: usize,
    /// The newest look of each vantage, and the newest that showed something.
    newest: BTreeMap<Vantage, Observation>,
    readings: BTreeMap<Vantage, Observation>,
    /// Commands that reached the world, by try.
    commands: BTreeMap<StepRef, u32>,
    /// What the flight recorder kept of all lives.
    frames: Vec<Frame>,
    proposals: BTreeMap<u64, Proposal>,
    /// The newest forced failover whose command has left, and whose data is to be kept since.
    forced: Option<u64>,
    closed: BTreeSet<u64>,
    /// The command that ends the link has left.
    cut: bool,
    rightful: Option<Side>,
    /// How far the agent's clock was ahead of the world's when it wrote an entry.
    ahead: BTreeMap<u64, SignedDuration>,
}

impl Checker {
    pub(super) fn new(settings: &Settings) -> Self {
        let _ = settings;
        Self {
            shadow: empty_estate(),
            shadow_len: 0,
            newest: BTreeMap::new(),
            readings: BTreeMap::new(),
            commands: BTreeMap::new(),
            frames: Vec::new(),
            proposals: BTreeMap::new(),
            forced: None,
            closed: BTreeSet::new(),
            cut: false,
            rightful: None,
            ahead: BTreeMap::new(),
        }
    }

    pub(super) fn saw(&mut self, seen: &Observation) {
        self.newest.insert(seen.vantage, seen.clone());
        if !matches!(seen.seen, Seen::Silence(_)) {
            self.readings.insert(seen.vantage, seen.clone());
        }
    }

    /// Whether the link may have been ended by a plan of the agent.
    pub(super) fn cut_over(&self) -> bool {
        self.cut
    }

    /// What the flight recorder kept of a turn.
    pub(super) fn recorded(&mut self, frames: Vec<Frame>) {
        self.frames.extend(frames);
    }

    /// 6: after a crash the work is what the durable journal says, and nothing of it is lost.
    pub(super) fn restarted(&mut self, estate: &Estate) -> Result<(), Violation> {
        let work = estate.work();
        let last = self.shadow.work();
        let known: Vec<&Work> = last.iter().collect();
        if estate.last_seq() == self.shadow.last_seq() && work.iter().collect::<Vec<_>>() != known {
            return Err(Violation::new("6", "the work after the restart is another one"));
        }
        if estate.last_seq() < self.shadow.last_seq() {
            return Err(Violation::new("6", "entries that had been told are gone"));
        }
        Ok(())
    }

    pub(super) fn dated(&mut self, entries: &[Entry], ahead: SignedDuration) {
        self.ahead.extend(entries.iter().map(|entry| (entry.seq, ahead)));
    }

    /// Entries that were kept and not told were written by the clock of the life that has ended.
    pub(super) fn undated(&mut self, entries: usize, ahead: SignedDuration) {
        for seq in 1..=u64::try_from(entries).unwrap_or(u64::MAX) {
            self.ahead.entry(seq).or_insert(ahead);
        }
    }

    /// A time in an entry, by the world's clock.
    fn by_the_world(&self, seq: u64, at: Timestamp) -> Timestamp {
        at - self.ahead.get(&seq).copied().unwrap_or_default()
    }

    /// The append failed and the agent died of it; anything but the disk is a bug.
    pub(super) fn died(&mut self, error: &JournalError) -> Result<(), Violation> {
        if matches!(error, JournalError::Io { .. }) {
            return Ok(());
        }
        let unsettled = matches!(error, JournalError::Unsettled { .. });
        Err(Violation::new(if unsettled { "11" } else { "1" }, error.to_string()))
    }

    pub(super) fn told(
        &mut self,
        taken: &Taken,
        estate: &Estate,
        disk: &Disk,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(), Violation> {
        if taken.appended.is_empty() && disk.len() == self.shadow_len {
            return Ok(());
        }
        self.fold(disk)?;
        let told = taken.appended.last().map_or(0, |entry| entry.seq);
        if self.shadow.last_seq() < told {
            return Err(Violation::new("6", format!("entry {told} was told and is not durable")));
        }
        let link = Universe::link();
        if self.shadow.record(&link) != estate.record(&link) && !is_empty(estate.record(&link)) {
            return Err(Violation::new("1", "the record is not the fold of the journal"));
        }
        for entry in &taken.appended {
            // Judged when permission is given: what comes to light while the command is on its way
            // is nobody's fault.
            if self.forces(&entry.event) {
                self.nobody_sees_the_primary(self.target(), now)?;
            }
            self.opened_rightly(entry, settings, now)?;
        }
        Ok(())
    }

    /// 2, 3, 4, 8: a command of ours has reached the world. Was it allowed to?
    pub(super) fn command(
        &mut self,
        step: StepRef,
        now: Timestamp,
        settings: &Settings,
    ) -> Result<(), Violation> {
        let record = self.shadow.record(&Universe::link());
        let run = record.and_then(|record| record.run.as_ref());
        let run = run.filter(|run| run.proposal.terms.proposal == step.proposal);
        let Some(run) = run else {
            // A guard gives way to a newer plan while its command is on its way.
            let over = self.closed.contains(&step.proposal);
            let no = || Violation::new("2", "a command of no known plan");
            return over.then_some(()).ok_or_else(no);
        };
        let execute_by = match run.status {
            Status::Approved { execute_by, .. } if !step.undo => execute_by,
            // What takes back has no clock.
            Status::Undoing { .. } if step.undo => Timestamp::MAX - SignedDuration::from_hours(1),
            // The agent may have been killed and the run have ended while it was on its way.
            Status::Closed(_) => return Ok(()),
            Status::Open | Status::Approved { .. } | Status::Undoing { .. } => {
                return Err(Violation::new("2", "a command of a plan that is not approved"));
            }
        };
        // What follows the change of roles has no clock either, nor what a guard does behind its backup.
        let execute_by = if run.outlasts_its_clock() {
            Timestamp::MAX - SignedDuration::from_hours(1)
        } else {
            execute_by
        };
        let place = run.place(step.lane);
        let Some(lane) = run.lanes.get(step.lane).filter(|_| place == Some(step.step)) else {
            return Err(Violation::new("2", "a command of a step that is not under way"));
        };
        let sent = match &lane.state {
            StepState::Started(started) | StepState::Unknown { started, .. } => started.sent,
            StepState::Pending | StepState::NotDone { .. } => false,
        };
        if !sent || lane.attempts != step.attempt {
            return Err(Violation::new("2", "a command that nobody was permitted to let go"));
        }
        // Permission was given within the clock; the way to the world takes a moment.
        let grace = SignedDuration::from_secs(2);
        if now > execute_by + grace {
            return Err(Violation::new("2", "a command after the time for it"));
        }
        let count = self.commands.entry(step).or_default();
        *count += 1;
        if *count > 1 {
            return Err(Violation::new("4", "a second command in one try"));
        }
        let (proposal, ballots) = (run.proposal.clone(), run.ballots.clone());
        self.approved_by_enough(&proposal, &ballots, settings)?;
        self.turned(&proposal, step);
        Ok(())
    }

    /// Whose data approvers have said is to be kept, once the command for it has left.
    fn turned(&mut self, proposal: &Proposal, step: StepRef) {
        let plan = &proposal.plan;
        let turns = plan.step(step.lane, step.step).is_some_and(|s| s.undo == Undo::Impossible);
        self.cut |= turns && plan.kind == PlanKind::Cutover;
        if turns && plan.kind != PlanKind::PlannedFailover {
            self.rightful = plan.lanes.first().map(|lane| lane.target);
        }
        if turns && plan.kind.forces() {
            self.forced = Some(proposal.terms.proposal);
        }
    }

    /// 2 and 10: what a guard does was signed word for word with a failover that was carried out, and
    /// it reaches the other side than the one that approvers have made primary.
    pub(super) fn guards_rightly(
        &self,
        step: StepRef,
        instance: &InstanceId,
    ) -> Result<(), Violation> {
        let plan = |id| self.proposals.get(&id).map(|proposal| &proposal.plan);
        let Some(guard) = plan(step.proposal).filter(|plan| plan.kind == PlanKind::ReturnGuard)
        else {
            return Ok(());
        };
        let (Some(signed), Some(winner)) = (self.forced, self.rightful) else {
            return Err(Violation::new("2", "a guard, and nobody has forced anything"));
        };
        let order = plan(signed).and_then(|plan| plan.lanes.first());
        let lane = guard.lanes.first();
        if order.map(|order| &order.guard) != lane.map(|lane| &lane.steps) {
            return Err(Violation::new("2", "a guard does what was not signed"));
        }
        let own = match winner {
            Side::SqlServer => MANAGED_INSTANCE != instance.as_str(),
            Side::ManagedInstance => MANAGED_INSTANCE == instance.as_str(),
        };
        if own || lane.is_none_or(|lane| lane.target != winner) {
            let what = format!("a guard stops writers on {instance}, and {winner} is to be kept");
            return Err(Violation::new("10", what));
        }
        Ok(())
    }

    /// 1 and 8, at the end: the same inputs give the same journal, and what was lost is within what
    /// was signed.
    pub(super) fn finish(
        &mut self,
        world: &World,
        disk: &Disk,
        settings: &Settings,
    ) -> Result<(), Violation> {
        self.fold(disk)?;
        if settings.replay && settings.sabotage.is_none() {
            self.replay(disk)?;
        }
        self.one_deed_each(world)?;
        self.nothing_lost_without_force(world, disk)?;
        if settings.sabotage.is_none() {
            self.accounts(world, disk)?;
        }
        self.loss_within_bound(world, disk)
    }

    fn fold(&mut self, disk: &Disk) -> Result<(), Violation> {
        for line in disk.lines().iter().skip(self.shadow_len) {
            let entry = agent_core::read(line).map_err(|why| Violation::new("1", why))?;
            self.shadow.apply(&entry).map_err(|why| Violation::new("1", why.to_string()))?;
            if let Some(proposal) = opened(&entry) {
                self.proposals.insert(entry.seq, proposal);
            }
            if let agent_core::Event::ProposalClosed { proposal, .. } = &entry.event {
                self.closed.insert(*proposal);
            }
            if let Some(ballot) = human::ballot(&entry) {
                self.genuine(ballot)?;
            }
        }
        self.shadow_len = disk.len();
        Ok(())
    }

    /// 2: whatever counts as an approval was signed by its approver over these very texts.
    fn genuine(&self, ballot: &agent_core::Ballot) -> Result<(), Violation> {
        let cast = human::cast(&Settings::default());
        let signer = cast.iter().find(|human| human.id == ballot.approver);
        let proposal = self.proposals.get(&ballot.proposal);
        let genuine = signer.is_some_and(|human| ballot.verify(&human.key.verifying_key()))
            && proposal.is_some_and(|proposal| proposal.digest == ballot.proposal_digest);
        if genuine { Ok(()) } else { Err(Violation::new("2", "a forged ballot was taken")) }
    }

    fn approved_by_enough(
        &self,
        proposal: &Proposal,
        ballots: &[agent_core::Received],
        settings: &Settings,
    ) -> Result<(), Violation> {
        let terms = &proposal.terms;
        let mut signers: Vec<_> = ballots.iter().map(|r| r.ballot.approver.clone()).collect();
        signers.sort();
        signers.dedup();
        let glass = proposal.glass_breaks_at(ballots).is_some();
        // A house that is broken on purpose may have signed for too few.
        let roster = Universe::roster(settings);
        let asked = match (settings.sabotage, terms.kind) {
            (None, _) => terms.quorum,
            (
                Some(_),
                PlanKind::ForcedFailover
                | PlanKind::Deletion
                | PlanKind::Repair
                | PlanKind::Cutover,
            ) => roster.forced_quorum,
            (Some(_), PlanKind::PlannedFailover) => roster.planned_quorum,
            // It was signed with another one, see `guards_rightly`.
            (Some(_), PlanKind::ReturnGuard) => 0,
        };
        if signers.len() < asked && !glass {
            return Err(Violation::new("2", format!("only {} have signed", signers.len())));
        }
        for received in ballots {
            let Decision::Approve { forecast_unknown, attestation, .. } = &received.ballot.decision
            else {
                return Err(Violation::new("2", "a rejection counts as approval"));
            };
            if terms.attestation_required && attestation.is_none() {
                return Err(Violation::new(
                    "3",
                    "promoted without a fence and without attestation",
                ));
            }
            if terms.bounds.loss_most_ms.is_none() && !forecast_unknown {
                return Err(Violation::new("8", "an unknown loss that nobody accepted"));
            }
        }
        Ok(())
    }

    /// 5 and 3: no vantage that is fresh sees or hears the primary.
    fn nobody_sees_the_primary(&self, target: Side, now: Timestamp) -> Result<(), Violation> {
        if let Some(look) = self.newest.get(&Vantage::from(target.other()))
            && let Seen::Side(reading) = &look.seen
            && reading.serving()
            && fresh(look, now)
        {
            return Err(Violation::new("5", "forced over a primary that is seen serving"));
        }
        if let Some(look) = self.newest.get(&Vantage::from(target))
            && let Seen::Side(reading) = &look.seen
            && reading.role == Role::Secondary
            && reading.connected == Some(true)
            && fresh(look, now)
        {
            return Err(Violation::new("5", "forced while the target still hears the primary"));
        }
        Ok(())
    }

    fn opened_rightly(
        &self,
        entry: &Entry,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let Some(proposal) = opened(entry) else { return Ok(()) };
        if !proposal.plan.kind.forces() {
            return Ok(());
        }
        let target = proposal.plan.lanes.first().map_or(Side::ManagedInstance, |lane| lane.target);
        let own = match target {
            Side::ManagedInstance => &settings.agent_domain,
            Side::SqlServer => &settings.agent_azure_domain,
        };
        let one_witness = *own == settings.managed_instance_domain;
        if one_witness && !proposal.terms.attestation_required {
            return Err(Violation::new("3", "one witness, and no attestation asked for"));
        }
        if proposal.terms.origin == Origin::Agent {
            self.nobody_sees_the_primary(target, now)?;
            if proposal.terms.health == Health::PrimaryUnreachable
                && !proposal.terms.attestation_required
            {
                return Err(Violation::new("3", "no witness, and no attestation asked for"));
            }
        }
        Ok(())
    }
}

fn empty_estate() -> Estate {
    Estate::new(Vec::new(), Roster::default(), StormBrake::default())
}

fn is_empty(record: Option<&Record>) -> bool {
    record.is_some_and(|record| *record == Record::default())
}

/// Two seconds: longer than a look takes, shorter than anything decided on it.
fn fresh(look: &Observation, now: Timestamp) -> bool {
    now.duration_since(look.begun_at) <= SignedDuration::from_secs(2)
}
