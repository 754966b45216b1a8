//! The humans: prompt ones, slow ones, one who says no, one who forges, one who is not there.

use agent_core::{Approver, ApproverId, Ballot, Decision, Entry, Event, Input, Proposal, Status};
use ed25519_dalek::SigningKey;
use jiff::SignedDuration;

use super::{Happening, Settings, Universe, Violation, opened};

/// Tries of a human whose agent is dead.
const TRIES: u32 = 40;

#[derive(Clone, Debug)]
pub struct Human {
    pub id: ApproverId,
    pub key: SigningKey,
    pub temper: Temper,
    tries: u32,
}

/// How somebody takes to a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// Does nothing unless a script says so.
    Told,
    /// Signs within seconds, and once more for good measure.
    Prompt,
    /// Signs near the end of the time for it, or after it.
    Slow,
    Rejects,
    /// Signs with another's key, or another text.
    Forges,
    BreaksGlass,
}

pub(super) fn cast(settings: &Settings) -> Vec<Human> {
    let _ = settings;
    ["alice", "bob", "carol"]
        .into_iter()
        .zip(1_u8..)
        .map(|(name, seed)| Human {
            id: ApproverId::new(name).expect("a name"),
            key: SigningKey::from_bytes(&[seed; 32]),
            temper: Temper::Told,
            tries: 0,
        })
        .collect()
}

impl Human {
    pub fn approver(&self) -> Approver {
        Approver { id: self.id.clone(), key: self.key.verifying_key() }
    }

    /// An approval with everything in it that the proposal asks for.
    pub fn approves(&self, proposal: &Proposal, break_glass: bool) -> Decision {
        let terms = &proposal.terms;
        Decision::Approve {
            break_glass,
            forecast_unknown: terms.bounds.loss_most_ms.is_none(),
            attestation: terms
                .attestation_required
                .then(|| format!("{} powered the host off at the management board", self.id)),
        }
    }
}

impl Universe {
    pub(super) fn humans_hear(&mut self, entries: &[Entry]) {
        for entry in entries {
            if opened(entry).is_none() {
                continue;
            }
            for place in 0..self.humans.len() {
                let wait_ms = match self.humans[place].temper {
                    Temper::Told => continue,
                    Temper::Prompt | Temper::Forges => self.rng.i64(500..8_000),
                    Temper::Slow => self.rng.i64(60_000..140_000),
                    Temper::Rejects => self.rng.i64(2_000..90_000),
                    Temper::BreaksGlass => self.rng.i64(1_000..20_000),
                };
                self.humans[place].tries = 0;
                self.after_ms(wait_ms, Happening::Human(place));
            }
        }
    }

    /// The proposal that waits for decisions now.
    pub fn open_proposal(&self) -> Option<Proposal> {
        let record = self.estate()?.record(&Self::link())?;
        let run = record.live()?;
        (run.status == Status::Open).then(|| run.proposal.clone())
    }

    pub(super) fn human_acts(&mut self, place: usize) -> Result<(), Violation> {
        let human = self.humans[place].clone();
        let Some(proposal) = self.open_proposal() else {
            // The agent may be down: whoever carries a signature tries again.
            if self.estate().is_none() && human.tries < TRIES {
                self.humans[place].tries += 1;
                let again = self.now + SignedDuration::from_secs(2);
                self.at(again, Happening::Human(place));
            }
            return Ok(());
        };
        let reason = || Decision::Reject { reason: "we are looking at it by hand".into() };
        let decision = match human.temper {
            Temper::Told => return Ok(()),
            Temper::Prompt | Temper::Slow | Temper::Forges => human.approves(&proposal, false),
            Temper::BreaksGlass => human.approves(&proposal, true),
            Temper::Rejects => reason(),
        };
        let mut ballot = Ballot::sign(&proposal, human.id.clone(), decision, self.now, &human.key);
        if human.temper == Temper::Forges {
            match self.rng.u8(0..4) {
                0 => ballot.approver = self.humans[(place + 1) % 3].id.clone(),
                1 => ballot.plan_digest.replace_range(8..9, "f0"),
                2 => ballot.decision = reason(),
                _ => ballot.signature.replace_range(0..2, "zz"),
            }
        }
        let twice = human.temper == Temper::Prompt && self.rng.bool();
        if let Some(verdict) = self.input(Input::Cast { ballot: ballot.clone() })? {
            self.coverage.verdict(&verdict);
            if human.temper == Temper::Forges && verdict.is_ok() {
                return Err(Violation::new("2", "a forged ballot was taken"));
            }
        }
        if twice {
            self.input(Input::Cast { ballot })?;
        }
        Ok(())
    }
}

/// The ballot that an entry brings, if it does.
pub(super) fn ballot(entry: &Entry) -> Option<&Ballot> {
    match &entry.event {
        Event::BallotReceived { ballot } => Some(ballot),
        Event::AgentStarted { .. }
        | Event::HealthChanged { .. }
        | Event::ProposalOpened { .. }
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
    }
}
