//! What the replicas of a local group show: each its own rows, the primary one those of all.
//!
//! On a replica that is not primary the distributed group's own row is there with the side's role
//! (addendum 6); of databases there is the local group's row alone, which nothing confirms.

use super::super::{
    DatabaseState, Lsn, SqlError, SuspendReason, SyncHealth, SyncState,
    access::{in_no_role, not_readable},
    log::Record,
    views::{DatabaseFacts, DatabaseReplicaFacts, ReplicaFacts, ReplicaStateFacts, health},
};
use super::*;

/// A replica that is not primary, in its group and link.
#[derive(Clone, Copy)]
pub(in super::super) struct Standby<'a> {
    link: &'a Link,
    replica: &'a LocalReplica,
    now: Timestamp,
}

impl World {
    /// The links that an instance has to do with, as whichever replica.
    pub(in super::super) fn seats<'a>(
        &'a self,
        at: &str,
    ) -> impl Iterator<Item = (&'a Link, Side)> {
        self.links.values().filter_map(move |link| Some((link, link.side_with(at)?)))
    }

    /// The groups in which an instance is a replica that is not primary.
    pub(in super::super) fn standbys<'a>(&'a self, at: &str) -> impl Iterator<Item = Standby<'a>> {
        self.links.values().filter_map(move |link| {
            let (_, replica) = link.standby(at)?;
            Some(Standby { link, replica, now: self.now })
        })
    }

    /// Whether an instance has a database as a replica that is not primary.
    pub(in super::super) fn is_standby(&self, at: &str, database: &str) -> bool {
        self.standbys(at).any(|of| of.link.databases().any(|name| name == database))
    }

    /// The rows of the local group in `sys.availability_replicas`; none if it has one replica.
    pub(in super::super) fn configured(&self, link: &Link) -> Vec<ReplicaFacts> {
        let member = link.member(Side::SqlServer);
        let Some(local) = member.local() else { return Vec::new() };
        let row = |replica: &LocalReplica| ReplicaFacts {
            replica_id: replica.replica_id,
            group_id: member.group_id,
            replica_server_name: replica.server_name.clone(),
            endpoint_url: format!("TCP://{}:5022", replica.server_name.to_lowercase()),
            synchronous: replica.synchronous,
            automatic: replica.automatic && local.cluster_type == ClusterType::Wsfc,
            session_timeout: 10,
            readable: member.readable,
            created: link.created,
        };
        local.replicas.iter().map(row).collect()
    }

    /// What the primary replica says of the others.
    pub(in super::super) fn peer_states(&self, link: &Link) -> Vec<ReplicaStateFacts> {
        let member = link.member(Side::SqlServer);
        let row = |other: Standby<'_>| ReplicaStateFacts {
            replica_id: other.replica.replica_id,
            group_id: member.group_id,
            is_local: false,
            role: Role::Secondary,
            connected: other.is_connected(),
            health: other.health(),
            online: None,
            recovered: None,
            connect_error: None,
            internal: false,
        };
        self.peers(link).map(row).collect()
    }

    /// What a replica that is not primary says of itself.
    pub(in super::super) fn standby_states(&self, of: Standby<'_>) -> [ReplicaStateFacts; 2] {
        let Standby { link, replica, .. } = of;
        let member = link.member(Side::SqlServer);
        let role = self.local_role(link, &replica.instance).unwrap_or(Role::Resolving);
        let up = role != Role::Resolving;
        let headed = up && self.is_headed(link);
        let row = |replica_id, group_id, role, connected| ReplicaStateFacts {
            replica_id,
            group_id,
            is_local: true,
            role,
            connected,
            health: if headed { of.health() } else { SyncHealth::NotHealthy },
            online: Some(up),
            recovered: Some(up),
            connect_error: None,
            internal: false,
        };
        let connected = headed && of.is_connected();
        let side = if up { member.role } else { Role::Resolving };
        [
            row(replica.replica_id, member.group_id, role, connected),
            row(member.replica_id, link.id, side, connected && member.connected),
        ]
    }

    /// `sys.databases` on a replica that is not primary.
    pub(in super::super) fn standby_databases(&self, of: Standby<'_>) -> Vec<DatabaseFacts> {
        let Standby { link, replica, .. } = of;
        let state = self.standby_state(of);
        let simple = |name: &str| {
            self.instance(&replica.instance).is_some_and(|at| at.setup().database(name).simple)
        };
        let row = |(database, id): (&super::super::link::LinkedDatabase, &u32)| DatabaseFacts {
            name: database.name.clone(),
            database_id: *id,
            create_date: link.created,
            state,
            full_recovery: !simple(&database.name),
            updateable: false,
            replica_id: Some(replica.replica_id),
            group_database_id: Some(database.group_database_id),
            log_reuse_wait: "NOTHING",
        };
        link.databases.iter().zip(&replica.database_ids).map(row).collect()
    }

    /// Why a session is not let into a database of a replica that is not primary: 983 while nobody
    /// is, else 976. None if the replica has no such database.
    pub(in super::super) fn standby_refusal(&self, at: &str, database: &str) -> Option<SqlError> {
        let of = self
            .standbys(at)
            .find(|of| of.link.databases().any(|name| name.eq_ignore_ascii_case(database)))?;
        Some(match self.local_role(of.link, at) {
            Some(Role::Primary | Role::Secondary) => not_readable(database),
            Some(Role::Resolving) | None => in_no_role(database),
        })
    }

    /// What the primary replica says of the databases of the others; `own` is its own row of the
    /// local group.
    pub(in super::super) fn peer_databases(
        &self,
        link: &Link,
        place: usize,
        own: &DatabaseReplicaFacts,
    ) -> Vec<DatabaseReplicaFacts> {
        let row = |of: Standby<'_>| DatabaseReplicaFacts {
            is_local: false,
            is_primary_replica: false,
            database_state: None,
            last_sent_lsn: own.end_of_log_lsn,
            last_sent_time: own.last_commit_time,
            secondary_lag_seconds: of.is_connected().then_some(0),
            ..of.database(place, own)
        };
        self.peers(link).map(row).collect()
    }

    /// What a replica that is not primary says of its own copy of a database; `own` is how the
    /// primary one has it.
    pub(in super::super) fn standby_database(
        &self,
        of: Standby<'_>,
        place: usize,
        own: &DatabaseReplicaFacts,
    ) -> DatabaseReplicaFacts {
        let state = self.standby_state(of);
        let moves = state == DatabaseState::Online && self.is_headed(of.link);
        let row = of.database(place, own);
        let sync = if moves { row.state } else { SyncState::NotSynchronizing };
        DatabaseReplicaFacts {
            state: sync,
            health: health(sync, of.replica.synchronous),
            database_state: Some(state),
            ..row
        }
    }

    fn peers<'a>(&'a self, link: &'a Link) -> impl Iterator<Item = Standby<'a>> {
        let member = link.member(Side::SqlServer);
        let local = member.local();
        let others = local.into_iter().flat_map(move |local| {
            let seen = |replica| Standby { link, replica, now: self.now };
            local.replicas.iter().map(seen)
        });
        others.filter(move |of| of.replica.instance != member.instance)
    }

    /// Whether its group has a primary replica now.
    fn is_headed(&self, link: &Link) -> bool {
        let primary = self.instance(&link.member(Side::SqlServer).instance);
        primary.is_some_and(Instance::transports)
            && link.acts(Side::SqlServer, &self.instances, self.now)
    }

    fn standby_state(&self, of: Standby<'_>) -> DatabaseState {
        let up =
            self.instance(&of.replica.instance).is_some_and(|found| found.has_recovered(self.now));
        if up { DatabaseState::Online } else { DatabaseState::Recovering }
    }
}

impl<'a> Standby<'a> {
    pub(in super::super) fn link(self) -> &'a Link {
        self.link
    }

    fn is_connected(self) -> bool {
        match self.replica.standing {
            Standing::Current | Standing::CatchingUp { .. } => true,
            Standing::Suspended { hears, .. } => hears,
            Standing::Away { .. } => false,
        }
    }

    fn health(self) -> SyncHealth {
        health(self.sync_state(), self.replica.synchronous)
    }

    fn sync_state(self) -> SyncState {
        match self.replica.standing {
            Standing::Away { .. } | Standing::Suspended { .. } => SyncState::NotSynchronizing,
            Standing::CatchingUp { .. } => SyncState::Synchronizing,
            Standing::Current if self.replica.synchronous => SyncState::Synchronized,
            Standing::Current => SyncState::Synchronizing,
        }
    }

    fn suspended(self, place: usize) -> Option<SuspendReason> {
        match &self.replica.standing {
            Standing::Suspended { places, .. } if places.contains(&place) => {
                Some(SuspendReason::Partner)
            }
            Standing::Suspended { .. }
            | Standing::Current
            | Standing::Away { .. }
            | Standing::CatchingUp { .. } => None,
        }
    }

    /// How many records of a database it has.
    fn has(self, place: usize) -> usize {
        let all = self.link.member(Side::SqlServer).copies[place].log.len();
        match &self.replica.standing {
            Standing::Current if self.replica.lag.is_positive() => {
                self.link.had_by(place, self.now - self.replica.lag)
            }
            Standing::Current => all,
            Standing::Away { had }
            | Standing::CatchingUp { had, .. }
            | Standing::Suspended { had, .. } => had.get(place).copied().unwrap_or(0).min(all),
        }
    }

    fn database(self, place: usize, own: &DatabaseReplicaFacts) -> DatabaseReplicaFacts {
        let (link, upto) = (self.link, self.has(place));
        let member = link.member(Side::SqlServer);
        let last = link.last_record(Side::SqlServer, place, upto);
        let end = last.map(|record| record.end().block());
        let commit = link.last_commit(Side::SqlServer, place, upto);
        let at = commit.map(|record| record.at);
        let slot = |record: &Record| -> Lsn { record.lsn.commit_slot() };
        DatabaseReplicaFacts {
            database_id: self.replica.database_ids.get(place).copied().unwrap_or(own.database_id),
            group_id: member.group_id,
            replica_id: self.replica.replica_id,
            is_local: true,
            is_primary_replica: false,
            state: self.sync_state(),
            health: self.health(),
            database_state: own.database_state,
            suspended: self.suspended(place),
            last_sent_lsn: None,
            last_sent_time: None,
            last_received_lsn: end,
            last_received_time: at,
            last_hardened_lsn: end,
            last_hardened_time: at,
            last_redone_lsn: commit.map(slot),
            last_redone_time: at,
            log_send_queue_size: Some(0),
            log_send_rate: Some(0),
            redo_queue_size: Some(0),
            redo_rate: Some(0),
            end_of_log_lsn: end,
            last_commit_lsn: commit.map(slot),
            last_commit_time: at,
            recovery_lsn: end,
            secondary_lag_seconds: None,
            ..own.clone()
        }
    }
}
