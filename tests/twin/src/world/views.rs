//! What a client of one instance can see: the facts behind catalog views and DMVs, with times in
//! UTC (the door turns them into the instance's zone) and positions as integers.
//!
//! A secondary sees only its own rows; what a primary says of the other side is what it last heard
//! (mi-link 7).

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    Copy, DatabaseState, Guid, Instance, Link, Lsn, Role, Side, SqlError, SuspendReason,
    SyncHealth, SyncState, World, link::Movement,
};

/// A row of `sys.availability_groups`. All groups here have cluster type NONE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupFacts {
    /// `group_id`
    pub group_id: Guid,
    /// `name`
    pub name: String,
    /// `is_distributed`
    pub is_distributed: bool,
}

/// A row of `sys.availability_replicas`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaFacts {
    /// `replica_id`
    pub replica_id: Guid,
    /// `group_id`
    pub group_id: Guid,
    /// `replica_server_name`: of a distributed group, the name of the member group.
    pub replica_server_name: String,
    /// `endpoint_url`
    pub endpoint_url: String,
    /// `availability_mode`: `true` is SYNCHRONOUS_COMMIT.
    pub synchronous: bool,
    /// `session_timeout`, in s.
    pub session_timeout: u32,
    /// `create_date` and `modify_date`
    pub created: Timestamp,
}

/// A row of `sys.dm_hadr_availability_replica_states`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaStateFacts {
    /// `replica_id`
    pub replica_id: Guid,
    /// `group_id`
    pub group_id: Guid,
    /// `is_local`
    pub is_local: bool,
    /// `role`
    pub role: Role,
    /// `connected_state`
    pub connected: bool,
    /// `synchronization_health`
    pub health: SyncHealth,
    /// `operational_state` is ONLINE; NULL for a remote row.
    pub online: Option<bool>,
    /// `recovery_health` is ONLINE; NULL for a remote row.
    pub recovered: Option<bool>,
    /// `last_connect_error_*`
    pub connect_error: Option<ConnectError>,
}

/// `last_connect_error_*`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectError {
    /// `last_connect_error_number`
    pub number: u32,
    /// `last_connect_error_description`
    pub description: String,
    /// `last_connect_error_timestamp`
    pub at: Timestamp,
}

/// A row of `sys.dm_hadr_database_replica_states`. Queues in KB, rates in KB/s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseReplicaFacts {
    /// `database_id`
    pub database_id: u32,
    /// The database's name, for joins by name.
    pub database: String,
    /// `group_id`
    pub group_id: Guid,
    /// `replica_id`
    pub replica_id: Guid,
    /// `group_database_id`
    pub group_database_id: Guid,
    /// `is_local`
    pub is_local: bool,
    /// `is_primary_replica`
    pub is_primary_replica: bool,
    /// `synchronization_state`
    pub state: SyncState,
    /// `synchronization_health`
    pub health: SyncHealth,
    /// `database_state`; NULL for a remote row.
    pub database_state: Option<DatabaseState>,
    /// `is_suspended`, `suspend_reason`
    pub suspended: Option<SuspendReason>,
    /// `last_sent_lsn`
    pub last_sent_lsn: Option<Lsn>,
    /// `last_sent_time`
    pub last_sent_time: Option<Timestamp>,
    /// `last_received_lsn`
    pub last_received_lsn: Option<Lsn>,
    /// `last_received_time`
    pub last_received_time: Option<Timestamp>,
    /// `last_hardened_lsn`
    pub last_hardened_lsn: Option<Lsn>,
    /// `last_hardened_time`
    pub last_hardened_time: Option<Timestamp>,
    /// `last_redone_lsn`
    pub last_redone_lsn: Option<Lsn>,
    /// `last_redone_time`
    pub last_redone_time: Option<Timestamp>,
    /// `log_send_queue_size`, KB
    pub log_send_queue_size: Option<u64>,
    /// `log_send_rate`, KB/s
    pub log_send_rate: Option<u64>,
    /// `redo_queue_size`, KB
    pub redo_queue_size: Option<u64>,
    /// `redo_rate`, KB/s
    pub redo_rate: Option<u64>,
    /// `end_of_log_lsn`
    pub end_of_log_lsn: Option<Lsn>,
    /// `last_commit_lsn`
    pub last_commit_lsn: Option<Lsn>,
    /// `last_commit_time`
    pub last_commit_time: Option<Timestamp>,
    /// `recovery_lsn`; on a secondary where it would go on from.
    pub recovery_lsn: Option<Lsn>,
    /// `truncation_lsn`
    pub truncation_lsn: Option<Lsn>,
    /// `secondary_lag_seconds`
    pub secondary_lag_seconds: Option<u64>,
}

/// A row of `sys.databases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseFacts {
    /// `name`
    pub name: String,
    /// `database_id`
    pub database_id: u32,
    /// `create_date`
    pub create_date: Timestamp,
    /// `state`
    pub state: DatabaseState,
    /// `recovery_model` is FULL, else SIMPLE.
    pub full_recovery: bool,
    /// `DATABASEPROPERTYEX(name, 'Updateability')` is READ_WRITE. `is_read_only` stays 0 on a
    /// secondary.
    pub updateable: bool,
    /// `replica_id`: of the local availability group.
    pub replica_id: Option<Guid>,
    /// `group_database_id`
    pub group_database_id: Option<Guid>,
    /// `log_reuse_wait_desc`
    pub log_reuse_wait: &'static str,
}

/// What a session may do in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only: a secondary.
    Read,
    /// Read and write.
    Write,
}

impl World {
    /// `sys.availability_groups` of an instance: the local group and the distributed one of each
    /// of its links.
    #[must_use]
    pub fn availability_groups(&self, at: &str) -> Vec<GroupFacts> {
        let _ = at;
        Vec::new()
    }

    /// `sys.availability_replicas` of an instance.
    #[must_use]
    pub fn availability_replicas(&self, at: &str) -> Vec<ReplicaFacts> {
        let _ = at;
        Vec::new()
    }

    /// `sys.dm_hadr_availability_replica_states` of an instance.
    #[must_use]
    pub fn replica_states(&self, at: &str) -> Vec<ReplicaStateFacts> {
        let _ = at;
        Vec::new()
    }

    /// `sys.dm_hadr_database_replica_states` of an instance.
    #[must_use]
    pub fn database_replica_states(&self, at: &str) -> Vec<DatabaseReplicaFacts> {
        let _ = at;
        Vec::new()
    }

    /// `sys.databases` of an instance, system databases first.
    #[must_use]
    pub fn databases(&self, at: &str) -> Vec<DatabaseFacts> {
        let _ = at;
        Vec::new()
    }

    /// What a session may do in a database of an instance.
    ///
    /// # Errors
    /// The engine's own: 911 no such database, 922 recovering, 983 role resolving.
    pub fn access(&self, at: &str, database: &str) -> Result<Access, SqlError> {
        let _ = (at, database);
        Ok(Access::Read)
    }
}
