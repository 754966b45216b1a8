//! Plans: lists of lanes, lists of steps. A plan holds every choice; whoever carries it out has none.
//!
//! One file per plan kind. A kind is a function from what is known of a link to a [`Plan`].

mod forced_failover;

use alloc::{string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub(crate) use self::forced_failover::forced_failover;
use crate::names::{InstanceId, LinkId, Side};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    ForcedFailover,
}

/// What is going to be done, in all detail, and nothing about why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub kind: PlanKind,
    pub lanes: Vec<Lane>,
}

/// The steps of one link, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    pub link: LinkId,
    pub target: Side,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The state that the step brings about; it has a look that says whether it holds.
    pub action: Action,
    /// Ways to bring it about, in signed order; none for a step that only looks.
    pub routes: Vec<Route>,
    pub undo: Undo,
    /// How long the step may take before its outcome counts as unknown.
    pub deadline_ms: u64,
}

/// A deed, named by the state that it brings about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Action {
    /// The target is SECONDARY (or already PRIMARY) and its database can become primary.
    TargetReady { instance: InstanceId, group: String, database: String },
    /// The target is PRIMARY, its database ONLINE and READ_WRITE.
    TargetPrimary { instance: InstanceId, group: String, database: String },
    /// The new primary still takes writes when it is looked at afresh, and the control plane does
    /// not contradict.
    TargetServing { instance: InstanceId, group: String, database: String },
}

/// One way to do a deed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "route")]
pub enum Route {
    /// Run a statement on an instance, in `master`.
    Tsql { instance: InstanceId, statement: String },
    /// POST to Azure Resource Manager.
    Arm { path: String, body: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// The step changes nothing.
    Nothing,
    /// The point of no return, shown to the approver.
    Impossible,
}

impl Plan {
    /// The exact text that the digest covers and that is executed from.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The step at a place, if there is one.
    #[must_use]
    pub fn step(&self, lane: usize, step: usize) -> Option<&Step> {
        self.lanes.get(lane)?.steps.get(step)
    }
}

impl Step {
    /// Whether the step sends a command to the world at all.
    #[must_use]
    pub fn acts(&self) -> bool {
        !self.routes.is_empty()
    }
}

impl Action {
    #[must_use]
    pub fn instance(&self) -> &InstanceId {
        match self {
            Self::TargetReady { instance, .. }
            | Self::TargetPrimary { instance, .. }
            | Self::TargetServing { instance, .. } => instance,
        }
    }

    #[must_use]
    pub fn group(&self) -> &str {
        match self {
            Self::TargetReady { group, .. }
            | Self::TargetPrimary { group, .. }
            | Self::TargetServing { group, .. } => group,
        }
    }

    #[must_use]
    pub fn database(&self) -> &str {
        match self {
            Self::TargetReady { database, .. }
            | Self::TargetPrimary { database, .. }
            | Self::TargetServing { database, .. } => database,
        }
    }
}

/// SHA-256 over a label and the exact bytes, as `sha256:<hex>`. The label keeps a digest of one kind
/// of document from passing for one of another.
#[must_use]
pub fn digest(label: &str, text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(label.as_bytes());
    hash.update([b'\n']);
    hash.update(text.as_bytes());
    let mut out = String::from("sha256:");
    for byte in hash.finalize() {
        out.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        out.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    out
}

impl fmt::Display for PlanKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ForcedFailover => "forced failover",
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TargetReady { instance, database, .. } => {
                write!(f, "{instance} is ready to become primary of {database}")
            }
            Self::TargetPrimary { instance, database, .. } => {
                write!(f, "{instance} is PRIMARY of {database}, ONLINE and READ_WRITE")
            }
            Self::TargetServing { instance, database, .. } => {
                write!(f, "{instance} serves {database}")
            }
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tsql { instance, statement } => write!(f, "T-SQL on {instance}: {statement}"),
            Self::Arm { path, body } => write!(f, "ARM POST {path} {body}"),
        }
    }
}
