//! The record of one link: what the journal says of it. `apply` is the only way in, and a
//! transition that is not listed here is illegal.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use jiff::Timestamp;

use crate::{
    event::{Again, Entry, Event, StepRef},
    forecast::Sample,
    health::{Health, Reason},
    names::{ProposalId, Seq, Side},
    plan::Step,
    proposal::{End, Proposal, Received, Status},
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
}

/// A proposal and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub proposal: Proposal,
    pub ballots: Vec<Received>,
    pub status: Status,
    pub closed_at: Option<Timestamp>,
    pub why: Option<String>,
    pub lanes: Vec<Progress>,
}

/// How far one lane has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The step that is next or under way; as many as there are steps when all are done.
    pub step: usize,
    /// Tries of this step so far.
    pub attempts: u32,
    pub state: StepState,
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
    pub operation: Option<String>,
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
        (run.status == Status::Closed(End::Stuck) && !self.acknowledged)
            .then_some(run.proposal.terms.proposal)
    }

    pub(crate) fn apply(&mut self, entry: &Entry) -> Result<(), Illegal> {
        match &entry.event {
            Event::AgentStarted { .. } => {
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
            | Event::StepUnknown { .. } => {
                let run =
                    self.run.as_mut().ok_or_else(|| illegal(entry, "there is no proposal"))?;
                run.apply(entry).map_err(|why| illegal(entry, why))?;
                if run.status == Status::Closed(End::Rejected) {
                    self.silenced = true;
                }
            }
        }
        Ok(())
    }

    fn health_changed(
        &mut self,
        entry: &Entry,
        to: Health,
        primary: Option<Side>,
        reasons: &[Reason],
        sample: Option<Sample>,
    ) {
        self.health = to;
        self.health_since = Some(entry.at);
        self.reasons = reasons.to_vec();
        if primary.is_some() {
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
            Health::Degraded | Health::NoPrimary | Health::SplitBrain | Health::Unlinked => {
                self.episode = self.episode.or(Some(entry.seq));
                self.sample = None;
            }
        }
    }
}

impl Run {
    fn open(proposal: Proposal) -> Self {
        let fresh = Progress { step: 0, attempts: 0, state: StepState::Pending };
        let lanes = proposal.plan.lanes.iter().map(|_| fresh.clone()).collect();
        Self {
            proposal,
            ballots: Vec::new(),
            status: Status::Open,
            closed_at: None,
            why: None,
            lanes,
        }
    }

    /// The step that is next or under way in a lane.
    #[must_use]
    pub fn current(&self, lane: usize) -> Option<&Step> {
        self.proposal.plan.step(lane, self.lanes.get(lane)?.step)
    }

    /// Whether every step of every lane is done.
    #[must_use]
    pub fn finished(&self) -> bool {
        (0..self.lanes.len()).all(|lane| self.current(lane).is_none())
    }

    /// Whether a command of this plan may have reached the world.
    #[must_use]
    pub fn acted(&self) -> bool {
        self.lanes.iter().enumerate().any(|(lane, progress)| {
            let before = self.proposal.plan.lanes[lane].steps.iter().take(progress.step);
            let under_way = match &progress.state {
                StepState::Started(started) | StepState::Unknown { started, .. } => started.sent,
                StepState::Pending | StepState::NotDone { .. } => false,
            };
            under_way || before.into_iter().any(Step::acts)
        })
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), &'static str> {
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
            Event::StepStarted { step, .. }
            | Event::StepSending { step }
            | Event::StepNoted { step, .. }
            | Event::StepDone { step, .. }
            | Event::StepNotDone { step, .. }
            | Event::StepUnknown { step, .. } => self.advance(*step, entry)?,
            Event::AgentStarted { .. }
            | Event::HealthChanged { .. }
            | Event::ProposalOpened { .. }
            | Event::EpisodeAcknowledged { .. } => return Err("it is not about a run"),
        }
        Ok(())
    }

    fn id(&self) -> ProposalId {
        self.proposal.terms.proposal
    }

    fn advance(&mut self, step: StepRef, entry: &Entry) -> Result<(), &'static str> {
        if step.proposal != self.id() || !matches!(self.status, Status::Approved { .. }) {
            return Err("this proposal is not being carried out");
        }
        let progress = self.lanes.get_mut(step.lane).ok_or("there is no such lane")?;
        if progress.step != step.step {
            return Err("another step is next");
        }
        let fresh = matches!(entry.event, Event::StepStarted { .. });
        if step.attempt != progress.attempts + u32::from(fresh) {
            return Err("another try is under way");
        }
        progress.state = match (&progress.state, &entry.event) {
            (StepState::Pending | StepState::NotDone { .. }, Event::StepStarted { route, .. }) => {
                progress.attempts = step.attempt;
                let route = *route;
                StepState::Started(Started { at: entry.at, route, sent: false, operation: None })
            }
            (StepState::Started(started), Event::StepSending { .. }) if !started.sent => {
                StepState::Started(Started { sent: true, ..started.clone() })
            }
            (StepState::Started(started), Event::StepNoted { operation, .. }) if started.sent => {
                let operation = Some(operation.clone());
                StepState::Started(Started { operation, ..started.clone() })
            }
            (StepState::Started(_) | StepState::Unknown { .. }, Event::StepDone { .. }) => {
                progress.step += 1;
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

fn illegal(entry: &Entry, why: &str) -> Illegal {
    Illegal(format!("entry {} ({}) can't follow: {why}", entry.seq, entry.event.name()))
}
