//! Inputs: what others ask of the estate, and why it may refuse.

use alloc::{string::String, vec::Vec};
use core::{fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    approval::Ballot,
    event::{Again, StepRef},
    evidence::Vantage,
    health::Health,
    names::{ApproverId, LinkId, ProposalId, Side},
    plan::PlanKind,
    report::Runbook,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The daemon is up.
    Start { version: String, config_digest: String },
    /// An operator wants a plan to be proposed.
    Propose {
        link: LinkId,
        kind: PlanKind,
        by: String,
        /// Which side's data a repair keeps; the side that the agent has made primary, if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        winner: Option<Side>,
    },
    /// An alert that fires wants a plan to be proposed, by a rule of the configuration.
    ProposeForAlert {
        link: LinkId,
        kind: PlanKind,
        rule: String,
        alertname: String,
        fingerprint: String,
        /// How long the trouble has to have lasted; as long as the agent would wait, if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost_for: Option<Duration>,
    },
    /// An alert is over, which speaks against the proposal that it had asked for.
    AlertResolved { link: LinkId, alertname: String, fingerprint: String },
    /// An approver's signed approval or rejection.
    Cast { ballot: Ballot },
    /// The executor tells what became of a step.
    Report { step: StepRef, report: Report },
    /// A human has seen how the episode went.
    Acknowledge { link: LinkId, by: String, note: String },
    /// A human takes back the standing order for a side that was left unfenced.
    LiftGuard { link: LinkId, by: String, note: String },
    /// It is time for a report. `missed` such times went by without one. `placement` is what would
    /// die together with a primary, as the shell finds it.
    ReportState {
        missed: u64,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        placement: Vec<String>,
    },
    /// A runbook has been put where it is to be found.
    IssueRunbook { runbook: Runbook },
}

/// What the executor tells of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Asked before the command leaves; the answer is the permission.
    Sending,
    /// The control plane named an operation.
    Noted {
        operation: String,
    },
    Done {
        seen: String,
        engine_ms: u64,
        /// What is missing all the same, and what people do about it.
        warning: Option<String>,
    },
    NotDone {
        why: String,
        again: Again,
    },
    Unknown {
        why: String,
    },
}

/// Why an input changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "refusal")]
pub enum Refusal {
    UnknownLink {
        link: LinkId,
    },
    UnknownProposal {
        proposal: ProposalId,
    },
    /// There is one already.
    ProposalOpen {
        proposal: ProposalId,
    },
    /// The last run of this link ended stuck and nobody has acknowledged it.
    Unacknowledged {
        proposal: ProposalId,
    },
    /// An approver rejected a proposal in this episode: machines ask for no other.
    Silenced,
    /// As many proposals that no human asked for are open as there may be.
    Braked {
        open: usize,
    },
    /// No proposal that could still be withdrawn was asked for by this alert.
    NothingToWithdraw,
    /// The alert is over, and nobody sees or hears a primary: the proposal stays.
    StillLost {
        proposal: ProposalId,
        health: Health,
    },
    /// An alert asks for a forced failover, and the primary is not lost, or not for long enough:
    /// it may ask again `from` then on, if the health stays as it is.
    NotLost {
        health: Health,
        from: Option<Timestamp>,
    },
    /// Somebody sees or hears the primary: forcing would make two of them.
    PrimarySeen {
        by: Vec<Vantage>,
    },
    /// The versions, roles or states of this link leave no such way.
    NoSuchWay {
        because: String,
    },
    NotOpen {
        proposal: ProposalId,
    },
    UnknownApprover {
        approver: ApproverId,
    },
    NotOnThisProposal {
        approver: ApproverId,
    },
    AlreadyDecided {
        approver: ApproverId,
    },
    /// The statement is about another text than the one that is open.
    DigestDiffers {
        expected: String,
    },
    BadSignature {
        approver: ApproverId,
    },
    BadWords {
        because: String,
    },
    AttestationMissing,
    ForecastUnknown,
    NoBreakGlass,
    /// The step is not under way: a late or repeated report.
    StepNotUnderWay,
    /// Nothing to acknowledge.
    NothingToAcknowledge,
    /// No guard is armed.
    NoGuard,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownLink { link } => write!(f, "there is no link {link} in this estate"),
            Self::UnknownProposal { proposal } => write!(f, "there is no proposal {proposal}"),
            Self::ProposalOpen { proposal } => {
                write!(f, "proposal {proposal} is open for this link; decide on that one first")
            }
            Self::Unacknowledged { proposal } => write!(
                f,
                "proposal {proposal} ended stuck and nobody has acknowledged it; look at the link, then acknowledge"
            ),
            Self::Silenced => f.write_str(
                "an approver rejected a proposal in this episode; only a human can ask for another one",
            ),
            Self::Braked { open } => write!(
                f,
                "{open} proposals that no human asked for are open already: when so many links fail together it is rarely the links"
            ),
            Self::NothingToWithdraw => f.write_str(
                "this alert has asked for no proposal that could still be withdrawn",
            ),
            Self::StillLost { proposal, health } => write!(
                f,
                "the health is {health}: that an alert is over is no sign of a primary. Proposal {proposal} stays until a primary is seen serving again"
            ),
            Self::NotLost { health, from } => not_lost(f, *health, *from),
            Self::PrimarySeen { by } => {
                f.write_str("the primary is still seen or heard (")?;
                for (place, vantage) in by.iter().enumerate() {
                    write!(f, "{}{vantage}", if place == 0 { "" } else { ", " })?;
                }
                f.write_str("); forcing now would make two primaries. Stop or fence it first")
            }
            Self::NoSuchWay { because } => f.write_str(because),
            Self::NotOpen { proposal } => {
                write!(f, "proposal {proposal} is not open for decisions any more")
            }
            Self::UnknownApprover { approver } => {
                write!(f, "{approver} is not on the roster of approvers")
            }
            Self::NotOnThisProposal { approver } => {
                write!(f, "{approver} was not on the roster when this proposal was opened")
            }
            Self::AlreadyDecided { approver } => {
                write!(f, "{approver} has decided on this proposal already")
            }
            Self::DigestDiffers { expected } => write!(
                f,
                "the statement is about another text; the open proposal has the digest {expected}"
            ),
            Self::BadSignature { approver } => {
                write!(f, "the signature is not by the key of {approver} over this statement")
            }
            Self::BadWords { because } => f.write_str(because),
            Self::AttestationMissing => f.write_str(
                "nobody independent confirms that the primary is gone; sign again and attest how writes there were stopped",
            ),
            Self::ForecastUnknown => f.write_str(
                "the forecast is unknown; sign again and accept it in these words",
            ),
            Self::NoBreakGlass => {
                f.write_str("this proposal has no break-glass rule; it was not configured beforehand")
            }
            Self::StepNotUnderWay => f.write_str("this try of the step is not under way"),
            Self::NothingToAcknowledge => f.write_str("there is nothing to acknowledge"),
            Self::NoGuard => f.write_str("no return guard is armed for this link"),
        }
    }
}

fn not_lost(f: &mut fmt::Formatter<'_>, health: Health, from: Option<Timestamp>) -> fmt::Result {
    write!(f, "the health is {health}, not a lost primary: ")?;
    match from {
        Some(from) => write!(
            f,
            "local failovers and restarts heal themselves. An alert may ask again from {from:.0} on"
        ),
        None => f.write_str("only a human can ask for a forced failover now"),
    }
}
