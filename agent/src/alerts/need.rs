//! When a human has to act: what is a page, and why. Everything else is a warning, for nobody is to
//! be got out of bed for what heals by itself or for what can only be looked at.

use std::fmt;

use agent_core::{End, Health, ProposalId, Status};

use super::story::{Episode, Proposed};

/// Why a human has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// A proposal to force a failover waits for approvers, and its clock runs.
    Decide(ProposalId),
    /// A run ended and nobody can tell how; nothing is proposed until a human has looked.
    Stuck(ProposalId),
    /// The time for approvals ran out with the primary still lost.
    Expired(ProposalId),
    /// Both sides take writes that the other does not get.
    SplitBrain,
    /// The same, and no link is left that could bring them together.
    Parted,
    /// The primary has been lost for a while.
    Lost,
    /// There has been no primary for a while.
    NoPrimary,
}

impl Need {
    /// Of a link whose primary is [`lost`].
    pub(super) fn lost(health: Health) -> Self {
        if health == Health::NoPrimary { Self::NoPrimary } else { Self::Lost }
    }
}

/// What a human has to act upon at once. A planned failover that waits for its signature is no
/// page: nothing is down.
pub(super) fn pressing(episode: &Episode) -> Option<Need> {
    if let Some(proposed) = &episode.proposal
        && let Some(need) = of_proposal(proposed, episode.known)
    {
        return Some(need);
    }
    match episode.known {
        Health::SplitBrain => Some(Need::SplitBrain),
        Health::Parted if !parting(episode) => Some(Need::Parted),
        Health::Parted
        | Health::Unknown
        | Health::Healthy
        | Health::Degraded
        | Health::PrimaryUnreachable
        | Health::PrimaryDown
        | Health::NoPrimary
        | Health::Unlinked => None,
    }
}

/// A cutover has ended the link and is at work: up to READ_ONLY the old copy could take writes, with
/// everybody shut out of it.
fn parting(episode: &Episode) -> bool {
    episode.proposal.as_ref().is_some_and(|proposed| {
        let kind = proposed.proposal.terms.kind;
        let working = matches!(proposed.status, Status::Approved { .. });
        kind.orderly() && kind.parts() && working && proposed.committed
    })
}

/// Whether nobody serves, as far as is known. It often heals by itself within a minute.
pub(super) fn lost(health: Health) -> bool {
    match health {
        Health::PrimaryDown | Health::PrimaryUnreachable | Health::NoPrimary => true,
        Health::Unknown
        | Health::Healthy
        | Health::Degraded
        | Health::SplitBrain
        | Health::Unlinked
        | Health::Parted => false,
    }
}

fn of_proposal(proposed: &Proposed, health: Health) -> Option<Need> {
    let id = proposed.id();
    match proposed.status {
        Status::Closed(End::Stuck) if !proposed.acknowledged => Some(Need::Stuck(id)),
        Status::Closed(End::Overtaken) if !proposed.acknowledged && !lost(health) => {
            Some(Need::Stuck(id))
        }
        Status::Open if proposed.proposal.terms.kind.forces() => Some(Need::Decide(id)),
        Status::Closed(End::Expired) if !proposed.acknowledged && lost(health) => {
            Some(Need::Expired(id))
        }
        Status::Open
        | Status::Approved { .. }
        | Status::Undoing { .. }
        | Status::Closed(
            End::Stuck
            | End::Expired
            | End::Succeeded
            | End::Undone
            | End::Rejected
            | End::Withdrawn
            | End::Overtaken,
        ) => None,
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decide(proposal) => write!(f, "proposal {proposal} waits for approvers"),
            Self::Stuck(proposal) => write!(
                f,
                "the run of proposal {proposal} ended stuck, and nobody has acknowledged it"
            ),
            Self::Expired(proposal) => {
                write!(f, "proposal {proposal} expired, and the primary is still lost")
            }
            Self::SplitBrain => f.write_str("both sides say that they are primary"),
            Self::Parted => f.write_str(
                "both sides take writes, and no link is left to bring them together: keep everybody out of the one that is not to go on",
            ),
            Self::Lost => f.write_str("the primary is lost, and that does not heal by itself"),
            Self::NoPrimary => f.write_str("no side is primary, and that does not heal by itself"),
        }
    }
}
