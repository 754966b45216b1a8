//! Two sides, the link between them, the applications, and the truth about every commit.
//!
//! A [`World`] is deterministic: time comes in as an argument of [`World::advance`], chance from a
//! seed, and `Clone` is a snapshot. What a client of one instance can see is in [`views`]; what
//! really happened is in the [`Ledger`].

mod access;
mod advance;
mod azure;
mod backup;
mod backup_rules;
mod backup_source;
mod build;
mod certificate;
mod clients;
mod command;
mod commit;
mod configured;
mod contact;
mod control_plane;
mod copy;
mod database;
pub mod directory;
mod endpoint;
mod entrance;
mod failover;
mod fault;
mod feature;
mod files;
mod forget;
mod groups;
mod guid;
mod hidden;
mod housekeeping;
mod instance;
mod jobs;
mod lasting;
mod ledger;
mod link;
mod local;
mod log;
mod membership;
mod movement;
mod naming;
mod operation;
mod options;
mod party;
mod past;
mod path;
mod planned;
mod power;
mod principals;
mod progress;
mod reach;
mod replication;
mod restore;
mod restore_rules;
mod role;
mod room;
mod sessions;
pub mod setup;
mod several;
mod spec;
mod version;
pub mod views;
mod wire;
mod work;
mod workload;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use azure::{
    AnswerTrouble, AzureCommand, AzureDatabase, AzureLink, AzureOperation, Family, InstanceChange,
    Job as AzureJob, JobStatus, LinkOrder, LinkPatch, OwnDatabase, PollTrouble, Resource,
    RoleChange, RoleOrder, Taken, TrustCertificate, Usage,
};
pub use backup::{Backup, BackupKind, BackupOrder, BackupRun, Device};
pub use backup_source::Source;
pub use clients::{RequestFacts, SessionFacts, TransactionFacts};
pub use command::{Command, Executed, SqlError};
pub use control_plane::{Accepted, ArmCommand, ArmDatabase, ArmError, ArmLink, FailoverType};
pub use copy::Copy;
pub use database::{DatabaseCommand, Others, Users};
pub use directory::{AzureRole, Directory, DirectoryChange};
pub use entrance::{Entry, Proof};
pub use fault::{Fault, FaultError, UnknownName};
pub use files::FileFacts;
pub use groups::{
    BackupPreference, Connections, GroupCommand, GroupOption, GroupSettings, MemberClause,
    PreparedSpec, ReplicaSettings, SeedingFacts,
};
pub use guid::Guid;
pub use instance::{Instance, InstanceKind, Power};
pub use jobs::{Job, JobRun, Setting, Volume};
pub use ledger::{CommandRecord, Commit, CommitId, Interval, Ledger, Loss, Writers};
pub use link::{Link, Member};
pub use local::{ClusterType, LocalGroup, LocalReplica, LocalSpec, ReplicaSpec};
pub use log::Lsn;
pub use operation::{Operation, OperationId, OperationKind, OperationStatus, Reply, Statement};
pub use options::DatabaseOption;
pub use party::{Origin, Party};
pub use principals::{Principal, PrincipalKind};
pub use reach::Reach;
pub use restore::{RestoreOrder, RestoreRun, Restored};
pub use role::{DatabaseState, Role, Side, SuspendReason, SyncHealth, SyncState};
pub use sessions::{NewSession, Request, Session, Wire};
pub use spec::{
    Edition, FailoverSpec, InstanceSpec, JobSpec, LinkSpec, LogSpec, SpecError, Tier,
    UnconfirmedSpec, UpdatePolicy, WorkloadSpec, WorldSpec,
};
pub use version::{Build, Platform, Release};
pub use wire::{AttentionStyle, DoorSpec, Encryption, Stage, Trouble, WireFault};
pub(crate) use work::{Barred, Fate, Mirroring};
pub use workload::Workload;

/// Everything there is, at one moment.
#[derive(Clone, Debug)]
pub struct World {
    now: Timestamp,
    rng: fastrand::Rng,
    instances: BTreeMap<String, Instance>,
    links: BTreeMap<String, Link>,
    workloads: BTreeMap<String, Workload>,
    operations: BTreeMap<OperationId, Operation>,
    /// How many there have been.
    begun: u64,
    /// Those of them that run.
    active: Vec<OperationId>,
    faults: fault::Faults,
    /// Between instances, for log.
    paths: path::Paths,
    /// Databases on their way into links that are there.
    joinings: Vec<membership::Joining>,
    /// What the world does by itself later, in the order of time.
    scheduled: Vec<(Timestamp, local::Scheduled)>,
    /// Backup sets by owner and lower-case name of their file.
    media: BTreeMap<(String, String), Vec<Backup>>,
    ledger: Ledger,
    directory: Directory,
    entrances: entrance::Entrances,
    azure: azure::Azure,
}

impl World {
    /// Builds what `spec` describes; everything that chance decides comes from `seed`.
    ///
    /// # Errors
    /// What is wrong in `spec`, where, and what would be right.
    pub fn new(spec: &WorldSpec, seed: u64, start: Timestamp) -> Result<World, SpecError> {
        build::build(spec, seed, start)
    }

    /// The time up to which everything has happened.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// One instance by the name that the spec gives it.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<&Instance> {
        self.instances.get(name)
    }

    /// All instances, by name.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    /// One link by its name, or by `INSTANCE/NAME` with that of its managed instance.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.get(naming::key_of(&self.links, name)?)
    }

    /// All links, by name.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// One application workload by name.
    #[must_use]
    pub fn workload(&self, name: &str) -> Option<&Workload> {
        self.workloads.get(name)
    }

    /// All workloads, by name.
    pub fn workloads(&self) -> impl Iterator<Item = &Workload> {
        self.workloads.values()
    }

    /// One operation, running or finished.
    #[must_use]
    pub fn operation(&self, id: OperationId) -> Option<&Operation> {
        self.operations.get(&id)
    }

    /// The operations that reached the world, oldest first: all that run, and of those that have
    /// ended the newest ten thousand.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values()
    }

    /// What really happened.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}
