//! Health, roles and reasons in words.

use core::fmt;

use crate::{
    evidence::Role,
    health::{Health, Reason},
};

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::Healthy => "Healthy",
            Self::Degraded => "Degraded",
            Self::PrimaryUnreachable => "PrimaryUnreachable",
            Self::PrimaryDown => "PrimaryDown",
            Self::NoPrimary => "NoPrimary",
            Self::SplitBrain => "SplitBrain",
            Self::Unlinked => "Unlinked",
            Self::Parted => "Parted",
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "PRIMARY",
            Self::Secondary => "SECONDARY",
            Self::Resolving => "RESOLVING",
            Self::Absent => "absent",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving { side } => write!(f, "{side} is PRIMARY and takes writes"),
            Self::ByItself { side } => write!(f, "{side} takes writes by itself, in no link"),
            Self::Follows { side } => write!(f, "{side} follows"),
            Self::NotServing { side, state: Some(state) } => {
                write!(f, "{side} is PRIMARY and does not take writes (database {state:?})")
            }
            Self::NotServing { side, state: None } => {
                write!(f, "{side} is PRIMARY and has no such database")
            }
            Self::Suspended { side, reason } => {
                let reason = reason.as_deref().unwrap_or("no reason given");
                write!(f, "data movement on {side} is suspended ({reason})")
            }
            Self::NotHealthy { side } => {
                write!(f, "{side} reports that it does not synchronise well")
            }
            Self::Silent { side, looks, since } => {
                write!(f, "{side} has not answered {looks} looks in a row, since {since:.0}")
            }
            Self::Refuses { side, kind } => {
                write!(f, "{side} is alive and does not show itself ({kind:?})")
            }
            Self::NotLookedAt { side } => write!(f, "{side} has not been seen lately"),
            Self::Heard { by } => write!(f, "by {by} the primary is still heard"),
            Self::NotHeard { by } => write!(f, "by {by} the primary is not heard any more"),
            Self::OneWitness => {
                f.write_str("all who miss the primary share one failure domain and count once")
            }
            Self::NoWitness => f.write_str("no vantage in another failure domain says anything"),
            Self::InRole { side, role } => write!(f, "{side} is {role}"),
            Self::NoLink { by } => write!(f, "by {by} there is no such link"),
            Self::AllSilent => {
                f.write_str("nothing at all is seen, so the fault may be the agent's own")
            }
        }
    }
}
