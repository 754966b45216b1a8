//! A proposal that is open or being carried out, forward or back, and how each entry moves it.

use alloc::{
    collections::BTreeSet,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use jiff::Timestamp;

use crate::{
    event::{Again, Entry, Event, StepRef},
    evidence::signed,
    names::ProposalId,
    plan::{Action, PlanKind, Route, Step, Undo},
    proposal::{Proposal, Received, Status},
};

/// What a hook that is killed takes to be gone.
const HOOK_GRACE: Duration = Duration::from_secs(10);

/// A proposal and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub proposal: Proposal,
    pub ballots: Vec<Received>,
    pub status: Status,
    pub closed_at: Option<Timestamp>,
    pub why: Option<String>,
    pub lanes: Vec<Progress>,
    /// When the step that changed the roles was begun, once it is done.
    pub turned_at: Option<Timestamp>,
    /// What is missing though its step is done.
    pub warnings: Vec<String>,
}

/// How far one lane has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The step that is next or under way; as many as there are steps when all are done.
    pub step: usize,
    /// Tries of this step so far.
    pub attempts: u32,
    pub state: StepState,
    /// While what was done is being taken back: the steps that remain to be, the next one last.
    pub undo: Vec<usize>,
    /// The steps of the plan for which a command has left.
    pub commanded: BTreeSet<usize>,
    /// A command of a step that is taken back may be at work until then.
    pub not_before: Option<Timestamp>,
    /// A hook that a life of the agent which has ended had let go may be at work until then.
    pub orphan_until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepState {
    Pending,
    Started(Started),
    /// Conclusively without effect.
    NotDone {
        at: Timestamp,
        route: usize,
        again: Again,
        why: String,
    },
    /// Under way past its deadline, and looked after.
    Unknown {
        since: Timestamp,
        started: Started,
        why: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    pub at: Timestamp,
    pub route: usize,
    /// The command has been let go: it may have landed.
    pub sent: bool,
    pub sent_at: Option<Timestamp>,
    pub operation: Option<String>,
}

impl Run {
    pub(crate) fn open(proposal: Proposal) -> Self {
        let fresh = Progress {
            step: 0,
            attempts: 0,
            state: StepState::Pending,
            undo: Vec::new(),
            commanded: BTreeSet::new(),
            not_before: None,
            orphan_until: None,
        };
        let lanes = proposal.plan.lanes.iter().map(|_| fresh.clone()).collect();
        Self {
            proposal,
            ballots: Vec::new(),
            status: Status::Open,
            closed_at: None,
            why: None,
            lanes,
            turned_at: None,
            warnings: Vec::new(),
        }
    }

    /// The step that is next or under way in a lane: of the plan itself, or of what takes it back.
    #[must_use]
    pub fn current(&self, lane: usize) -> Option<&Step> {
        let step = self.proposal.plan.step(lane, self.place(lane)?)?;
        if !self.undoing() {
            return Some(step);
        }
        match &step.undo {
            Undo::With(undo) => Some(undo),
            Undo::Nothing | Undo::Impossible => None,
        }
    }

    /// The place of the step that is next or under way in a lane.
    #[must_use]
    pub fn place(&self, lane: usize) -> Option<usize> {
        let progress = self.lanes.get(lane)?;
        if self.undoing() { progress.undo.last().copied() } else { Some(progress.step) }
    }

    /// Whether what was done is being taken back.
    #[must_use]
    pub fn undoing(&self) -> bool {
        matches!(self.status, Status::Undoing { .. })
    }

    /// Whether every step of every lane is done, or taken back.
    #[must_use]
    pub fn finished(&self) -> bool {
        (0..self.lanes.len()).all(|lane| self.current(lane).is_none())
    }

    /// Whether a command from which there is no return may have reached the world.
    #[must_use]
    pub fn committed(&self) -> bool {
        self.lanes.iter().enumerate().any(|(lane, progress)| {
            let steps = &self.proposal.plan.lanes[lane].steps;
            steps.iter().enumerate().any(|(place, step)| {
                let may_have_landed = place < progress.step
                    || (place == progress.step && !self.undoing() && progress.sent());
                step.undo == Undo::Impossible && may_have_landed
            })
        })
    }

    /// Whether the step from which there is no return has been seen to be done.
    #[must_use]
    pub fn handed_over(&self) -> bool {
        self.lanes.iter().enumerate().any(|(lane, progress)| {
            let steps = &self.proposal.plan.lanes[lane].steps;
            steps.iter().take(progress.step).any(|step| step.undo == Undo::Impossible)
        })
    }

    /// Whether both sides have been seen in their new roles, and what remains only follows.
    #[must_use]
    pub fn settled(&self) -> bool {
        if self.proposal.plan.kind.parts() {
            return self.handed_over();
        }
        let enables = |step: &Step| {
            let enables = matches!(step.action, Action::LoginsSet { disabled: false, .. });
            enables && self.handed_over()
        };
        (0..self.lanes.len()).all(|lane| {
            self.current(lane).is_none_or(|step| {
                enables(step)
                    || matches!(
                        step.action,
                        Action::BackedUp { .. }
                            | Action::LogBackupsSeen { .. }
                            | Action::Following { .. }
                    )
            })
        })
    }

    /// Whether what has been begun goes on after the clock for beginning: what follows a change of roles,
    /// and what a guard does with a side whose data is saved. That may have taken hours.
    #[must_use]
    pub fn outlasts_its_clock(&self) -> bool {
        let guard = self.proposal.plan.kind == PlanKind::ReturnGuard;
        let saved = |lane: usize, progress: &Progress| {
            let steps = self.proposal.plan.lanes[lane].steps.iter().take(progress.step);
            steps.into_iter().any(|step| matches!(step.action, Action::Saved { .. }))
        };
        (self.committed() && self.settled())
            || (guard && self.lanes.iter().enumerate().any(|(lane, of)| saved(lane, of)))
    }

    /// Whether a command of this plan may have reached the world.
    #[must_use]
    pub fn acted(&self) -> bool {
        self.undoing()
            || self.lanes.iter().enumerate().any(|(lane, progress)| {
                let steps = &self.proposal.plan.lanes[lane].steps;
                // A hook that failed may have stopped half of the applications.
                let in_part = progress.tried()
                    && steps
                        .get(progress.step)
                        .is_some_and(|step| matches!(step.undo, Undo::With(_)));
                progress.sent() || in_part || steps.iter().take(progress.step).any(Step::acts)
            })
    }

    pub(crate) fn apply(&mut self, entry: &Entry) -> Result<(), &'static str> {
        match &entry.event {
            Event::BallotReceived { ballot } => {
                if self.status != Status::Open || ballot.proposal != self.id() {
                    return Err("this proposal is not open for ballots");
                }
                self.ballots.push(Received { at: entry.at, ballot: ballot.clone() });
            }
            Event::ProposalApproved { proposal, execute_by, .. } => {
                if self.status != Status::Open || *proposal != self.id() {
                    return Err("this proposal is not open");
                }
                self.status = Status::Approved { at: entry.at, execute_by: *execute_by };
            }
            Event::ProposalClosed { proposal, end, why } => {
                if matches!(self.status, Status::Closed(_)) || *proposal != self.id() {
                    return Err("this proposal is closed");
                }
                self.status = Status::Closed(*end);
                self.closed_at = Some(entry.at);
                self.why = Some(why.clone());
            }
            Event::UndoStarted { proposal, .. } => {
                if !matches!(self.status, Status::Approved { .. }) || *proposal != self.id() {
                    return Err("this proposal is not being carried out");
                }
                if self.committed() {
                    return Err("it is past the point of no return");
                }
                self.turn_back(entry.at);
            }
            Event::StepStarted { step, .. }
            | Event::StepSending { step }
            | Event::StepNoted { step, .. }
            | Event::StepDone { step, .. }
            | Event::StepNotDone { step, .. }
            | Event::StepUnknown { step, .. } => {
                let begun = self.begun_at(step.lane);
                self.advance(*step, entry)?;
                if let Event::StepDone { warning, .. } = &entry.event {
                    self.warnings.extend(warning.clone());
                    if !step.undo && self.turns_at(*step) {
                        self.turned_at = begun;
                    }
                }
            }
            Event::AgentStarted { .. }
            | Event::HealthChanged { .. }
            | Event::ProposalOpened { .. }
            | Event::EpisodeAcknowledged { .. }
            | Event::GuardLifted { .. }
            | Event::StateReported { .. }
            | Event::RunbookIssued { .. } => return Err("it is not about a run"),
        }
        Ok(())
    }

    /// When the try of a lane's step that is under way was begun.
    fn begun_at(&self, lane: usize) -> Option<Timestamp> {
        match &self.lanes.get(lane)?.state {
            StepState::Started(started) | StepState::Unknown { started, .. } => Some(started.at),
            StepState::Pending | StepState::NotDone { .. } => None,
        }
    }

    /// Whether a step is the one from which there is no return.
    fn turns_at(&self, step: StepRef) -> bool {
        let found = self.proposal.plan.step(step.lane, step.step);
        found.is_some_and(|step| step.undo == Undo::Impossible)
    }

    fn id(&self) -> ProposalId {
        self.proposal.terms.proposal
    }

    /// The agent has started anew: whoever waited for the reply of a command is gone. Counted from
    /// the start, since the clock may have been set meanwhile.
    pub(crate) fn restarted(&mut self, at: Timestamp) {
        for lane in 0..self.lanes.len() {
            let step = self.current(lane).cloned();
            let progress = &mut self.lanes[lane];
            if let StepState::Started(started) | StepState::Unknown { started, .. } =
                &progress.state
            {
                let route = step.as_ref().and_then(|step| step.routes.get(started.route));
                let until = started.sent_at.and_then(|_| outlasts(route, at));
                progress.orphan_until = progress.orphan_until.max(until);
            }
        }
    }

    /// From here on each lane takes back what it has done or may have done, last step first.
    fn turn_back(&mut self, at: Timestamp) {
        for (lane, progress) in self.lanes.iter_mut().enumerate() {
            let steps = &self.proposal.plan.lanes[lane].steps;
            let begun = progress.attempts > 0;
            let until = progress.step + usize::from(begun);
            let undo = steps.iter().take(until).enumerate();
            progress.undo = undo
                .filter(|(_, step)| matches!(step.undo, Undo::With(_)))
                // A mode that was so before stays.
                .filter(|(place, step)| {
                    !matches!(step.action, Action::CommitMode { .. })
                        || progress.commanded.contains(place)
                })
                .map(|(place, _)| place)
                .collect();
            progress.not_before = match &progress.state {
                StepState::Started(started) | StepState::Unknown { started, .. } => {
                    let step = steps.get(progress.step);
                    let route = step.and_then(|step| step.routes.get(started.route));
                    started.sent_at.and_then(|sent_at| outlasts(route, sent_at))
                }
                StepState::Pending | StepState::NotDone { .. } => None,
            }
            .max(progress.orphan_until);
            progress.attempts = 0;
            progress.state = StepState::Pending;
        }
        self.status = Status::Undoing { since: at };
    }

    fn advance(&mut self, step: StepRef, entry: &Entry) -> Result<(), &'static str> {
        let forward = matches!(self.status, Status::Approved { .. });
        if step.proposal != self.id() || !(forward || self.undoing()) || step.undo == forward {
            return Err("this proposal is not being carried out");
        }
        if self.place(step.lane) != Some(step.step) {
            return Err("another step is next");
        }
        let progress = self.lanes.get_mut(step.lane).ok_or("there is no such lane")?;
        if matches!(entry.event, Event::StepSending { .. }) && !step.undo {
            progress.commanded.insert(step.step);
        }
        let fresh = matches!(entry.event, Event::StepStarted { .. });
        if step.attempt != progress.attempts + u32::from(fresh) {
            return Err("another try is under way");
        }
        progress.state = match (&progress.state, &entry.event) {
            (StepState::Pending | StepState::NotDone { .. }, Event::StepStarted { route, .. }) => {
                progress.attempts = step.attempt;
                let route = *route;
                let (sent, sent_at, operation) = (false, None, None);
                StepState::Started(Started { at: entry.at, route, sent, sent_at, operation })
            }
            (StepState::Started(started), Event::StepSending { .. }) if !started.sent => {
                let sent_at = Some(entry.at);
                StepState::Started(Started { sent: true, sent_at, ..started.clone() })
            }
            (StepState::Started(started), Event::StepNoted { operation, .. }) if started.sent => {
                let operation = Some(operation.clone());
                StepState::Started(Started { operation, ..started.clone() })
            }
            (StepState::Started(_) | StepState::Unknown { .. }, Event::StepDone { .. }) => {
                if forward {
                    progress.step += 1;
                } else {
                    progress.undo.pop();
                    progress.not_before = None;
                }
                progress.attempts = 0;
                StepState::Pending
            }
            (
                StepState::Started(started) | StepState::Unknown { started, .. },
                Event::StepNotDone { why, again, .. },
            ) => StepState::NotDone {
                at: entry.at,
                route: started.route,
                again: *again,
                why: why.clone(),
            },
            (StepState::Started(started), Event::StepUnknown { why, .. }) => StepState::Unknown {
                since: entry.at,
                started: started.clone(),
                why: why.to_string(),
            },
            _ => return Err("the step is not in a state for it"),
        };
        Ok(())
    }
}

impl Progress {
    /// Whether a command of the step under way has been let go.
    fn sent(&self) -> bool {
        match &self.state {
            StepState::Started(started) | StepState::Unknown { started, .. } => started.sent,
            StepState::Pending | StepState::NotDone { .. } => false,
        }
    }

    /// Whether a try of the step has ended.
    fn tried(&self) -> bool {
        match &self.state {
            StepState::NotDone { .. } => true,
            StepState::Started(_) | StepState::Unknown { .. } => self.attempts > 1,
            StepState::Pending => false,
        }
    }
}

/// Until when a command that was let go at some time may be at work. Only of a hook can that be
/// said: it is killed when its time is over.
fn outlasts(route: Option<&Route>, sent_at: Timestamp) -> Option<Timestamp> {
    match route? {
        Route::Hook(hook) => {
            let span = Duration::from_millis(hook.within_ms) + HOOK_GRACE;
            Some(sent_at.checked_add(signed(span)).unwrap_or(Timestamp::MAX))
        }
        Route::Tsql { .. } | Route::Arm { .. } => None,
    }
}
