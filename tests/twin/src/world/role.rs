//! Roles and states, with the numbers and words of the catalog views (mi-link 7).

use serde::{Deserialize, Serialize};

/// Which member of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The member on SQL Server.
    SqlServer,
    /// The member on the managed instance.
    ManagedInstance,
}

/// `role` of `sys.dm_hadr_availability_replica_states`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Role {
    /// 0
    Resolving,
    /// 1
    Primary,
    /// 2
    Secondary,
}

/// `state` of `sys.databases`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DatabaseState {
    /// 0
    Online,
    /// 1
    Restoring,
    /// 2
    Recovering,
    /// 3
    RecoveryPending,
    /// 4
    Suspect,
    /// 6
    Offline,
}

/// `synchronization_state` of `sys.dm_hadr_database_replica_states`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SyncState {
    /// 0
    NotSynchronizing,
    /// 1
    Synchronizing,
    /// 2
    Synchronized,
    /// 3
    Reverting,
    /// 4
    Initializing,
}

/// `synchronization_health`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SyncHealth {
    /// 0
    NotHealthy,
    /// 1
    PartiallyHealthy,
    /// 2
    Healthy,
}

/// `suspend_reason`; only those that this world can bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SuspendReason {
    /// 0, `ALTER DATABASE ... SET HADR SUSPEND`
    User,
    /// 1, after a forced failover of the partner
    Partner,
    /// 2, redo has failed
    Redo,
    /// 3, the log could not be read on the primary
    Capture,
    /// 4, the log could not be written on the secondary
    Apply,
    /// 5, the database was started again while it was suspended
    Restart,
    /// 6, the two logs have gone too far apart to be undone
    Undo,
}

impl Side {
    /// The other member.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::SqlServer => Side::ManagedInstance,
            Side::ManagedInstance => Side::SqlServer,
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Side::SqlServer => 0,
            Side::ManagedInstance => 1,
        }
    }
}

impl Role {
    /// The value of the `role` column.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Role::Resolving => 0,
            Role::Primary => 1,
            Role::Secondary => 2,
        }
    }

    /// The value of the `role_desc` column.
    #[must_use]
    pub fn desc(self) -> &'static str {
        match self {
            Role::Resolving => "RESOLVING",
            Role::Primary => "PRIMARY",
            Role::Secondary => "SECONDARY",
        }
    }
}

impl DatabaseState {
    /// Whether no change of roles opens it: only a repair or another restore does (mi-link 3.4).
    pub(super) fn is_shut(self) -> bool {
        match self {
            DatabaseState::Restoring
            | DatabaseState::RecoveryPending
            | DatabaseState::Suspect
            | DatabaseState::Offline => true,
            DatabaseState::Online | DatabaseState::Recovering => false,
        }
    }

    /// The value of the `state` column.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            DatabaseState::Online => 0,
            DatabaseState::Restoring => 1,
            DatabaseState::Recovering => 2,
            DatabaseState::RecoveryPending => 3,
            DatabaseState::Suspect => 4,
            DatabaseState::Offline => 6,
        }
    }

    /// The value of the `state_desc` column.
    #[must_use]
    pub fn desc(self) -> &'static str {
        match self {
            DatabaseState::Online => "ONLINE",
            DatabaseState::Restoring => "RESTORING",
            DatabaseState::Recovering => "RECOVERING",
            DatabaseState::RecoveryPending => "RECOVERY_PENDING",
            DatabaseState::Suspect => "SUSPECT",
            DatabaseState::Offline => "OFFLINE",
        }
    }
}

impl SyncState {
    /// The value of the `synchronization_state` column.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            SyncState::NotSynchronizing => 0,
            SyncState::Synchronizing => 1,
            SyncState::Synchronized => 2,
            SyncState::Reverting => 3,
            SyncState::Initializing => 4,
        }
    }

    /// The value of the `synchronization_state_desc` column (with a space in the first).
    #[must_use]
    pub fn desc(self) -> &'static str {
        match self {
            SyncState::NotSynchronizing => "NOT SYNCHRONIZING",
            SyncState::Synchronizing => "SYNCHRONIZING",
            SyncState::Synchronized => "SYNCHRONIZED",
            SyncState::Reverting => "REVERTING",
            SyncState::Initializing => "INITIALIZING",
        }
    }
}

impl SyncHealth {
    /// The value of the `synchronization_health` column.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            SyncHealth::NotHealthy => 0,
            SyncHealth::PartiallyHealthy => 1,
            SyncHealth::Healthy => 2,
        }
    }

    /// The value of the `synchronization_health_desc` column.
    #[must_use]
    pub fn desc(self) -> &'static str {
        match self {
            SyncHealth::NotHealthy => "NOT_HEALTHY",
            SyncHealth::PartiallyHealthy => "PARTIALLY_HEALTHY",
            SyncHealth::Healthy => "HEALTHY",
        }
    }
}

impl SuspendReason {
    /// Whether somebody has said so, and not the engine.
    pub(super) fn is_ones_own(self) -> bool {
        match self {
            SuspendReason::User | SuspendReason::Restart => true,
            SuspendReason::Partner
            | SuspendReason::Redo
            | SuspendReason::Capture
            | SuspendReason::Apply
            | SuspendReason::Undo => false,
        }
    }

    /// The value of the `suspend_reason` column.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            SuspendReason::User => 0,
            SuspendReason::Partner => 1,
            SuspendReason::Redo => 2,
            SuspendReason::Capture => 3,
            SuspendReason::Apply => 4,
            SuspendReason::Restart => 5,
            SuspendReason::Undo => 6,
        }
    }

    /// The value of the `suspend_reason_desc` column.
    #[must_use]
    pub fn desc(self) -> &'static str {
        match self {
            SuspendReason::User => "SUSPEND_FROM_USER",
            SuspendReason::Partner => "SUSPEND_FROM_PARTNER",
            SuspendReason::Redo => "SUSPEND_FROM_REDO",
            SuspendReason::Capture => "SUSPEND_FROM_CAPTURE",
            SuspendReason::Apply => "SUSPEND_FROM_APPLY",
            SuspendReason::Restart => "SUSPEND_FROM_RESTART",
            SuspendReason::Undo => "SUSPEND_FROM_UNDO",
        }
    }
}
