//! ARM's view of links, and what it takes and refuses.

use jiff::Timestamp;
use serde::Serialize;

use super::{DatabaseState, Guid, Lsn, OperationId, Origin, Reply, Role, SyncHealth, World};

/// What ARM can be asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArmCommand {
    /// `POST .../distributedAvailabilityGroups/{link}/failover`
    Failover {
        /// The managed instance.
        instance: String,
        /// The link.
        link: String,
        /// The type.
        kind: FailoverType,
    },
}

/// `failoverType`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum FailoverType {
    /// Without loss; from the managed instance only.
    Planned,
    /// Whatever the other side has. Accepted on a primary too, which it makes secondary.
    ForcedAllowDataLoss,
}

/// What ARM has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The long-running operation.
    pub operation: OperationId,
    /// Whether the 202 reaches the client.
    pub reply: Reply,
}

/// What ARM refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmError {
    /// The HTTP status.
    pub status: u16,
    /// `error.code`
    pub code: String,
    /// `error.message`
    pub message: String,
    /// `Retry-After`, in s.
    pub retry_after: Option<u32>,
}

/// A link as ARM reads it. Absent values are left out, as ARM does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArmLink {
    /// Its name.
    pub name: String,
    /// `distributedAvailabilityGroupId`
    pub id: Guid,
    /// `instanceLinkRole`
    pub instance_role: Role,
    /// `partnerLinkRole`: what the managed instance believes, no proof of anything.
    pub partner_role: Role,
    /// `partnerAvailabilityGroupName`
    pub partner_group: String,
    /// `partnerEndpoint`
    pub partner_endpoint: String,
    /// `instanceAvailabilityGroupName`
    pub instance_group: String,
    /// `failoverMode` is `Manual`.
    pub two_way: bool,
    /// `databases`
    pub databases: Vec<ArmDatabase>,
}

/// `databases[]` of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArmDatabase {
    /// `databaseName`
    pub name: String,
    /// `instanceReplicaId`
    pub instance_replica: Guid,
    /// `partnerReplicaId`
    pub partner_replica: Guid,
    /// `replicaState`
    pub replica_state: String,
    /// `synchronizationHealth`
    pub health: SyncHealth,
    /// `connectedState`
    pub connected: bool,
    /// `lastReceivedLsn` on a secondary, `lastSentLsn` on a primary.
    pub moved_lsn: Lsn,
    /// The time of that.
    pub moved_time: Option<Timestamp>,
    /// `lastCommitLsn`
    pub commit_lsn: Lsn,
    /// `lastCommitTime`
    pub commit_time: Option<Timestamp>,
    /// `lastHardenedLsn`
    pub hardened_lsn: Lsn,
    /// `lastHardenedTime`
    pub hardened_time: Option<Timestamp>,
    /// `lastBackupLsn` and `lastBackupTime`
    pub backup: Option<(Lsn, Timestamp)>,
    /// `mostRecentLinkError`
    pub error: Option<u32>,
    /// `instanceSendReplicationLagSeconds`; -1 is unknown.
    pub send_lag: i64,
    /// `instanceRedoReplicationLagSeconds`
    pub redo_lag: i64,
    /// The state of the database on the managed instance.
    pub state: DatabaseState,
}

impl World {
    /// Takes a request at the control plane.
    ///
    /// # Errors
    /// What ARM refuses at once.
    pub fn arm(&mut self, who: &Origin, request: ArmCommand) -> Result<Accepted, ArmError> {
        let _ = (who, request);
        Err(ArmError {
            status: 404,
            code: String::new(),
            message: String::new(),
            retry_after: None,
        })
    }

    /// A link of a managed instance as ARM reads it; while ARM cannot see the instance, as it saw
    /// it last.
    #[must_use]
    pub fn arm_link(&self, instance: &str, link: &str) -> Option<ArmLink> {
        let _ = (instance, link);
        None
    }
}
