//! Plans: lists of lanes, lists of steps. A plan holds every choice; whoever carries it out has none.
//!
//! One file per plan kind. A kind is a function from what is known of a link to a [`Plan`].

mod aftercare;
mod cutover;
mod deletion;
mod forced_failover;
mod guard;
mod planned_failover;
mod repair;

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub(crate) use self::{
    cutover::{ATTEMPTS as CUTOVER_ATTEMPTS, cutover, drop_group, read_only},
    deletion::deletion,
    forced_failover::forced_failover,
    guard::ATTEMPTS as GUARD_ATTEMPTS,
    planned_failover::{ATTEMPTS as PLANNED_ATTEMPTS, planned_failover},
    repair::{ATTEMPTS as REPAIR_ATTEMPTS, repair},
};
use crate::names::{InstanceId, LinkId, Side};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// The primary is gone; its last commits go with it.
    ForcedFailover,
    /// Both sides are well; nothing is lost and the link is kept.
    PlannedFailover,
    /// The primary is gone, and roles can't change over its link: the link is deleted without it, and the
    /// copy in Azure goes on with what it has.
    Deletion,
    /// Both sides have the same; the link is given up, and the copy in Azure goes on by itself.
    Cutover,
    /// Both sides are primary; one of them becomes the secondary of the other.
    Repair,
    /// A side came back as primary though another has become it: its writers are stopped.
    ReturnGuard,
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
    /// What is done to the other side, unasked, if it comes back as primary after this plan has made
    /// the target primary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guard: Vec<Step>,
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
    /// Nobody works in the primary's database any more: no session in it, no open transaction that
    /// touches it, no more log than a server writes by itself.
    Quiesced {
        instance: InstanceId,
        group: String,
        database: String,
        /// Asks whoever stops the applications whether they are stopped; None: only the server is
        /// looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<Hook>,
        quiet: Quiet,
    },
    /// The applications are let in again, and the instance takes their writes.
    Admitted { instance: InstanceId, group: String, database: String, status: Hook },
    /// All that the primary has in its log is on the target's disk and nearly all of it redone.
    CaughtUp {
        /// The primary.
        instance: InstanceId,
        target: InstanceId,
        group: String,
        database: String,
        quiet: Quiet,
    },
    /// The target is PRIMARY, ONLINE and READ_WRITE, handed over by the primary itself.
    RolesChanged {
        /// The target.
        instance: InstanceId,
        /// The primary that hands over.
        source: InstanceId,
        group: String,
        database: String,
    },
    /// The old primary is SECONDARY.
    SourceSecondary { instance: InstanceId, group: String, database: String },
    /// There is a full backup of this name, finished, and not COPY_ONLY: a log chain of its own.
    BackedUp { instance: InstanceId, group: String, database: String, name: String },
    /// There is a COPY_ONLY backup of this name with everything that the instance has committed.
    Saved { instance: InstanceId, group: String, database: String, name: String },
    /// The instance is SECONDARY; what only it had is in the backup `saved`, and not in its database
    /// any more.
    Demoted { instance: InstanceId, group: String, database: String, saved: String },
    /// The instance receives the log of the new primary, and its data movement runs.
    Following { instance: InstanceId, group: String, database: String },
    /// Each of these logins is disabled on the instance and has no session there, or each is let in.
    LoginsSet {
        instance: InstanceId,
        group: String,
        database: String,
        logins: Vec<String>,
        disabled: bool,
    },
    /// The instance commits only what the target has hardened too, and has nothing else; or it does not
    /// wait for it any more.
    CommitMode {
        /// The primary.
        instance: InstanceId,
        target: InstanceId,
        group: String,
        database: String,
        synchronous: bool,
    },
    /// The link is deleted, and the instance takes writes by itself.
    LinkDeleted {
        /// The managed instance.
        instance: InstanceId,
        /// The primary, of whose log nothing may be missing when the command leaves; None where it is
        /// gone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<InstanceId>,
        group: String,
        database: String,
    },
    /// The distributed availability group is not known on the instance any more.
    GroupDropped { instance: InstanceId, group: String, database: String },
    /// Nor is the database in a group of the instance's own; that group goes with it, if it is all there is.
    LocalGroupDropped { instance: InstanceId, group: String, database: String, local: String },
    /// The database is ONLINE, in no group, and takes no writes.
    ReadOnly { instance: InstanceId, group: String, database: String },
    /// The managed instance has made its first full backup since the link was deleted.
    FirstBackup { instance: InstanceId, group: String, database: String },
    /// Somebody has looked whether a job backs up the log; what was found is in the entry.
    LogBackupsSeen { instance: InstanceId, group: String, database: String },
}

/// A program of the operator's, run on the agent's host with exactly these arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    pub command: Vec<String>,
    /// SHA-256 of the program's file, in hex: another file is not run.
    pub sha256: String,
    /// After this it is killed, together with what it started.
    pub within_ms: u64,
}

/// How quiet a database has to be, and for how long, to count as left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quiet {
    pub for_ms: u64,
    /// KB of log in that time that a server writes by itself: checkpoints, ghost clean-up.
    pub log_kb: u64,
}

/// One way to do a deed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "route")]
pub enum Route {
    /// Run a statement on an instance, in `master`.
    Tsql { instance: InstanceId, statement: String },
    /// A request to Azure Resource Manager.
    Arm {
        #[serde(default, skip_serializing_if = "Method::is_post")]
        method: Method,
        path: String,
        body: String,
    },
    /// Run a program of the operator's.
    Hook(Hook),
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    #[default]
    Post,
    Delete,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// The step changes nothing, or nothing that needs to be taken back.
    Nothing,
    /// What takes it back.
    With(Box<Step>),
    /// The point of no return, shown to the approver.
    Impossible,
}

impl Method {
    // What serde asks for takes a reference.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_post(&self) -> bool {
        *self == Self::Post
    }
}

impl PlanKind {
    /// Whether it begins with both sides well and with the applications being stopped, and is taken
    /// back as long as it can be.
    #[must_use]
    pub fn orderly(self) -> bool {
        match self {
            Self::PlannedFailover | Self::Cutover => true,
            Self::ForcedFailover | Self::Deletion | Self::Repair | Self::ReturnGuard => false,
        }
    }

    /// Whether it makes a primary without asking the other side, so that commits may be lost.
    #[must_use]
    pub fn forces(self) -> bool {
        match self {
            Self::ForcedFailover | Self::Deletion => true,
            Self::PlannedFailover | Self::Cutover | Self::Repair | Self::ReturnGuard => false,
        }
    }

    /// Whether its target is in no link afterwards.
    #[must_use]
    pub fn parts(self) -> bool {
        match self {
            Self::Deletion | Self::Cutover => true,
            Self::ForcedFailover | Self::PlannedFailover | Self::Repair | Self::ReturnGuard => {
                false
            }
        }
    }
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
    /// The instance that is looked at, or whose state the step is about.
    #[must_use]
    pub fn instance(&self) -> &InstanceId {
        self.place().0
    }

    #[must_use]
    pub fn group(&self) -> &str {
        self.place().1
    }

    #[must_use]
    pub fn database(&self) -> &str {
        self.place().2
    }

    /// The other instance that has a part in it, if there is one.
    #[must_use]
    pub fn partner(&self) -> Option<&InstanceId> {
        match self {
            Self::CaughtUp { target, .. } | Self::CommitMode { target, .. } => Some(target),
            Self::RolesChanged { source, .. } => Some(source),
            Self::LinkDeleted { source, .. } => source.as_ref(),
            Self::TargetReady { .. }
            | Self::TargetPrimary { .. }
            | Self::TargetServing { .. }
            | Self::Quiesced { .. }
            | Self::Admitted { .. }
            | Self::SourceSecondary { .. }
            | Self::BackedUp { .. }
            | Self::Saved { .. }
            | Self::Demoted { .. }
            | Self::Following { .. }
            | Self::LoginsSet { .. }
            | Self::GroupDropped { .. }
            | Self::LocalGroupDropped { .. }
            | Self::ReadOnly { .. }
            | Self::FirstBackup { .. }
            | Self::LogBackupsSeen { .. } => None,
        }
    }

    fn place(&self) -> (&InstanceId, &str, &str) {
        match self {
            Self::TargetReady { instance, group, database }
            | Self::TargetPrimary { instance, group, database }
            | Self::TargetServing { instance, group, database }
            | Self::Quiesced { instance, group, database, .. }
            | Self::Admitted { instance, group, database, .. }
            | Self::CaughtUp { instance, group, database, .. }
            | Self::RolesChanged { instance, group, database, .. }
            | Self::SourceSecondary { instance, group, database }
            | Self::BackedUp { instance, group, database, .. }
            | Self::Saved { instance, group, database, .. }
            | Self::Demoted { instance, group, database, .. }
            | Self::Following { instance, group, database }
            | Self::LoginsSet { instance, group, database, .. }
            | Self::CommitMode { instance, group, database, .. }
            | Self::LinkDeleted { instance, group, database, .. }
            | Self::GroupDropped { instance, group, database }
            | Self::LocalGroupDropped { instance, group, database, .. }
            | Self::ReadOnly { instance, group, database }
            | Self::FirstBackup { instance, group, database }
            | Self::LogBackupsSeen { instance, group, database } => (instance, group, database),
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
            Self::PlannedFailover => "planned failover",
            Self::Deletion => "deletion of the link",
            Self::Cutover => "cutover",
            Self::Repair => "repair",
            Self::ReturnGuard => "return guard",
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
            Self::Quiesced { instance, database, .. } => {
                write!(f, "nobody works in {database} on {instance}")
            }
            Self::Admitted { instance, database, .. } => {
                write!(f, "the applications work in {database} on {instance}")
            }
            Self::CaughtUp { instance, target, database, .. } => {
                write!(f, "{target} has all that {instance} has of {database}")
            }
            Self::RolesChanged { instance, database, .. } => {
                write!(f, "{instance} has taken over {database} as PRIMARY")
            }
            Self::SourceSecondary { instance, database, .. } => {
                write!(f, "{instance} is SECONDARY of {database}")
            }
            Self::BackedUp { instance, database, .. } => {
                write!(f, "{database} on {instance} has a full backup of its new log chain")
            }
            Self::Saved { instance, database, .. } => {
                write!(f, "all that {instance} has of {database} is in a COPY_ONLY backup")
            }
            Self::Demoted { instance, database, .. } => {
                write!(f, "{instance} is SECONDARY of {database}, without what only it had")
            }
            Self::Following { instance, database, .. } => {
                write!(f, "{instance} follows the primary of {database}")
            }
            Self::LoginsSet { instance, logins, disabled, .. } => {
                let state = if *disabled { "disabled" } else { "enabled" };
                write!(f, "{} {state} on {instance}", logins.join(", "))
            }
            Self::CommitMode { instance, target, database, synchronous, .. } => {
                let how = if *synchronous { "only what" } else { "without waiting for what" };
                write!(f, "{instance} commits to {database} {how} {target} has too")
            }
            Self::LinkDeleted { instance, database, .. } => {
                write!(
                    f,
                    "the link is deleted, and {instance} takes writes to {database} by itself"
                )
            }
            Self::GroupDropped { instance, group, .. } => {
                write!(f, "the distributed group {group} is dropped on {instance}")
            }
            Self::LocalGroupDropped { instance, local, .. } => {
                write!(f, "the database is in the group {local} on {instance} no more")
            }
            Self::ReadOnly { instance, database, .. } => {
                write!(f, "{database} on {instance} is READ_ONLY")
            }
            Self::FirstBackup { instance, database, .. } => {
                write!(f, "{instance} has made its first full backup of {database}")
            }
            Self::LogBackupsSeen { instance, database, .. } => {
                write!(f, "the log backup jobs for {database} on {instance} have been looked at")
            }
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tsql { instance, statement } => write!(f, "T-SQL on {instance}: {statement}"),
            Self::Arm { method: Method::Post, path, body } => {
                write!(f, "ARM POST {path} {body}")
            }
            Self::Arm { method: Method::Delete, path, .. } => write!(f, "ARM DELETE {path}"),
            Self::Hook(hook) => {
                write!(f, "run {} (sha256 {})", hook.command.join(" "), hook.sha256)
            }
        }
    }
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// An identifier in brackets, as T-SQL quotes it.
pub(crate) fn quoted(name: &str) -> String {
    alloc::format!("[{}]", name.replace(']', "]]"))
}

/// A text in quotes, as T-SQL writes it.
pub(crate) fn text(text: &str) -> String {
    alloc::format!("N'{}'", text.replace('\'', "''"))
}
