//! What views show of groups that are in no link yet, or no more.

use jiff::Timestamp;
use serde::Serialize;

use super::{ClusterType, Distributed, OwnGroup, World};
use crate::world::{
    DatabaseState, Guid, Instance, OwnDatabase, Role, SyncHealth, SyncState,
    views::{DatabaseFacts, DatabaseReplicaFacts, GroupFacts, ReplicaFacts, ReplicaStateFacts},
};

/// A database on its way to the other side: a row of `sys.dm_hadr_automatic_seeding` and one of
/// `sys.dm_hadr_physical_seeding_stats`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeedingFacts {
    /// `ag_id`: of the distributed group.
    pub group_id: Guid,
    /// `ag_db_id`
    pub group_database_id: Guid,
    /// `ag_remote_replica_id`
    pub remote_replica_id: Guid,
    /// `operation_id`, `local_physical_seeding_id`
    pub operation_id: Guid,
    /// The database.
    pub database: String,
    /// `local_database_id`
    pub database_id: u32,
    /// `remote_machine_name`
    pub remote: String,
    /// `is_source`
    pub is_source: bool,
    /// When it began.
    pub start: Timestamp,
    /// Bytes that were sent, and of all.
    pub bytes: (u64, u64),
    /// Bytes a second.
    pub rate: u64,
    /// `number_of_attempts`
    pub attempts: u32,
    /// When it ended, and why, if it failed: `error_code`, 0 where there is none.
    pub ended: Option<(Timestamp, Option<u32>)>,
}

impl World {
    /// The databases of an instance that are in no link and never were.
    pub(in crate::world) fn unlinked<'a>(
        &'a self,
        instance: &'a Instance,
    ) -> impl Iterator<Item = &'a OwnDatabase> {
        let linked = |name: &str| {
            let mut links = self.sights(&instance.name);
            links.any(|(link, _)| link.databases().any(|other| other.eq_ignore_ascii_case(name)))
        };
        instance.resource.databases.iter().filter(move |own| !linked(&own.name))
    }

    /// Its row in `sys.databases`.
    pub(in crate::world) fn unlinked_facts(
        &self,
        instance: &Instance,
        own: &OwnDatabase,
    ) -> DatabaseFacts {
        let group = instance.groups.of(&own.name);
        let up = instance.has_recovered(self.now);
        DatabaseFacts {
            name: own.name.clone(),
            database_id: own.database_id,
            create_date: own.created,
            state: match up {
                true if self.is_restoring(&instance.name, &own.name) => DatabaseState::Restoring,
                true => DatabaseState::Online,
                false => DatabaseState::Recovering,
            },
            full_recovery: !instance.setup.database(&own.name).simple,
            updateable: up && !self.is_restoring(&instance.name, &own.name),
            replica_id: group.map(|group| group.replica_id),
            group_database_id: group.map(|group| group.database_id(&own.name)),
            log_reuse_wait: "NOTHING",
        }
    }

    /// Whether a database is on its way to an instance.
    pub(in crate::world) fn arrives(&self, at: &str, database: &str) -> bool {
        self.arriving(at).iter().any(|(name, _)| name.eq_ignore_ascii_case(database))
    }

    /// The rows of those in `sys.databases`: restoring, until all of it has come.
    pub(in crate::world) fn arriving_facts(&self, instance: &Instance) -> Vec<DatabaseFacts> {
        let coming = self.arriving(&instance.name).into_iter().zip(instance.next_database_id..);
        let row = |((name, begun), database_id)| DatabaseFacts {
            name,
            database_id,
            create_date: begun,
            state: DatabaseState::Restoring,
            full_recovery: true,
            updateable: false,
            replica_id: None,
            group_database_id: None,
            log_reuse_wait: "NOTHING",
        };
        coming.map(row).collect()
    }

    pub(in crate::world) fn own_groups(&self, at: &str) -> Vec<GroupFacts> {
        let Some(instance) = self.instance(at) else { return Vec::new() };
        let local = |group: &OwnGroup| GroupFacts {
            group_id: group.id,
            name: group.name.clone(),
            is_distributed: false,
            required: 0,
            cluster: group.cluster,
            several: false,
        };
        let distributed = |group: &Distributed| GroupFacts {
            group_id: group.id,
            name: group.name.clone(),
            is_distributed: true,
            required: 0,
            cluster: ClusterType::None,
            several: false,
        };
        let groups = &instance.groups;
        let all = groups.local.iter().map(local);
        all.chain(groups.distributed.iter().map(distributed)).collect()
    }

    pub(in crate::world) fn own_replicas(&self, at: &str) -> Vec<ReplicaFacts> {
        let Some(instance) = self.instance(at) else { return Vec::new() };
        let local = |group: &OwnGroup| ReplicaFacts {
            replica_id: group.replica_id,
            group_id: group.id,
            replica_server_name: instance.server_name.clone(),
            endpoint_url: group.url.clone(),
            synchronous: true,
            automatic: false,
            session_timeout: 10,
            readable: group.readable,
            created: group.created,
        };
        let member = |group: &Distributed, own: bool| ReplicaFacts {
            replica_id: if own { group.replica_id } else { group.other_id },
            group_id: group.id,
            replica_server_name: if own { group.own.clone() } else { group.other.clone() },
            endpoint_url: if own { group.url.clone() } else { group.other_url.clone() },
            synchronous: false,
            automatic: false,
            session_timeout: group.session_timeout,
            readable: false,
            created: group.created,
        };
        let groups = &instance.groups;
        let all = groups.local.iter().map(local);
        let both = groups.distributed.iter().flat_map(|it| [member(it, true), member(it, false)]);
        all.chain(both).collect()
    }

    pub(in crate::world) fn own_states(&self, at: &str) -> Vec<ReplicaStateFacts> {
        let Some(instance) = self.instance(at) else { return Vec::new() };
        let up = instance.has_recovered(self.now);
        let row = |replica_id, group_id, up: bool| ReplicaStateFacts {
            replica_id,
            group_id,
            is_local: true,
            role: if up { Role::Primary } else { Role::Resolving },
            connected: true,
            health: if up { SyncHealth::Healthy } else { SyncHealth::NotHealthy },
            online: Some(up),
            recovered: Some(up),
            connect_error: None,
            internal: false,
        };
        let groups = &instance.groups;
        let own = groups.local.iter().map(|it| row(it.replica_id, it.id, up && !it.offline));
        let mut rows: Vec<_> = own.collect();
        for group in &groups.distributed {
            let on = up && groups.local(&group.own).is_none_or(|own| !own.offline);
            rows.push(row(group.replica_id, group.id, on));
            rows.push(ReplicaStateFacts {
                is_local: false,
                role: Role::Secondary,
                connected: false,
                health: SyncHealth::NotHealthy,
                online: None,
                recovered: None,
                ..row(group.other_id, group.id, on)
            });
        }
        rows
    }

    /// The rows of databases in local groups that are in no link.
    pub(in crate::world) fn own_database_states(&self, at: &str) -> Vec<DatabaseReplicaFacts> {
        let Some(instance) = self.instance(at) else { return Vec::new() };
        if instance.groups.local.is_empty() {
            return Vec::new();
        }
        let known = self.databases(at);
        let mut rows = Vec::new();
        for group in &instance.groups.local {
            for name in &group.databases {
                let found = known.iter().find(|it| it.name.eq_ignore_ascii_case(name));
                let Some(found) = found else { continue };
                rows.push(of_own(group, name, found.database_id, found.state));
            }
        }
        rows
    }
}

/// A group with one replica is in step with itself.
fn of_own(
    group: &OwnGroup,
    name: &str,
    database_id: u32,
    state: DatabaseState,
) -> DatabaseReplicaFacts {
    let online = state == DatabaseState::Online;
    DatabaseReplicaFacts {
        database_id,
        database: name.to_owned(),
        group_id: group.id,
        replica_id: group.replica_id,
        group_database_id: group.database_id(name),
        is_local: true,
        is_primary_replica: true,
        state: if online { SyncState::Synchronized } else { SyncState::NotSynchronizing },
        health: if online { SyncHealth::Healthy } else { SyncHealth::NotHealthy },
        database_state: Some(state),
        suspended: None,
        last_sent_lsn: None,
        last_sent_time: None,
        last_received_lsn: None,
        last_received_time: None,
        last_hardened_lsn: None,
        last_hardened_time: None,
        last_redone_lsn: None,
        last_redone_time: None,
        log_send_queue_size: None,
        log_send_rate: None,
        redo_queue_size: None,
        redo_rate: None,
        end_of_log_lsn: None,
        last_commit_lsn: None,
        last_commit_time: None,
        recovery_lsn: None,
        truncation_lsn: None,
        secondary_lag_seconds: None,
    }
}

impl OwnGroup {
    /// `group_database_id` of one of its databases.
    pub(in crate::world) fn database_id(&self, name: &str) -> Guid {
        let key = format!("{}/{}", self.id, name.to_lowercase());
        Guid::derive(0, &key)
    }
}
