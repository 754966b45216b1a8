//! Availability groups and their replicas, as configured.

use crate::sql::env::Env;
use crate::sql::value::Value;
use crate::world::{BackupPreference, Connections, GroupSettings, Guid, SyncHealth};

use super::{Row, View, row};

pub(super) fn availability_groups(env: &Env<'_>, view: &View) -> Vec<Row> {
    let group = |group: crate::world::views::GroupFacts| {
        let id = group.group_id.to_string();
        let resource = |name: &str| {
            if group.is_distributed { Value::Null } else { Value::text(format!("{id}{name}")) }
        };
        let set = env.world.group_settings(env.at(), &group.name).filter(|_| !group.is_distributed);
        let number = |own: fn(&GroupSettings) -> Option<u32>, usual: u32| {
            let set = set.and_then(own).unwrap_or(usual);
            if group.is_distributed { Value::Null } else { Value::Int(i64::from(set)) }
        };
        let level = number(|set| set.failure_condition_level, 3);
        let timeout = number(|set| set.health_check_timeout, 30_000);
        let cluster = group.cluster.code();
        // With several replicas the twin's administrator lets the primary one be backed up.
        let preference = if group.several { (0, "primary") } else { (2, "secondary") };
        let chosen = set.and_then(|set| set.backup_preference);
        let preference = chosen.map_or(preference, BackupPreference::code);
        let (failover, distributed) =
            set.map_or((false, false), |set| (set.database_failover, set.distributed_transactions));
        row(view)
            .set("group_id", guid(group.group_id))
            .set("name", group.name)
            .set("resource_id", resource(""))
            .set("resource_group_id", resource(""))
            .set("failure_condition_level", level)
            .set("health_check_timeout", timeout)
            .coded("automated_backup_preference", preference.0, preference.1)
            .set("version", 1)
            .flags(false, &["basic_features", "is_contained"])
            .set("dtc_support", distributed)
            .set("db_failover", failover)
            .set("is_distributed", group.is_distributed)
            .coded("cluster_type", cluster.0, cluster.1)
            .set("required_synchronized_secondaries_to_commit", i64::from(group.required))
            .set("sequence_number", 1)
            .done()
    };
    env.world.availability_groups(env.at()).into_iter().map(group).collect()
}

pub(super) fn availability_replicas(env: &Env<'_>, view: &View) -> Vec<Row> {
    let groups = env.world.availability_groups(env.at());
    let replica = |(index, replica): (usize, crate::world::views::ReplicaFacts)| {
        let group = groups.iter().find(|group| group.group_id == replica.group_id);
        let distributed = group.is_some_and(|group| group.is_distributed);
        let set = group.filter(|_| !distributed);
        let set = set.and_then(|group| env.world.group_settings(env.at(), &group.name));
        let set = set.and_then(|set| set.replica(&replica.replica_server_name));
        let set = set.cloned().unwrap_or_default();
        let (mode, mode_desc) = if set.synchronous.unwrap_or(replica.synchronous) {
            (1, "SYNCHRONOUS_COMMIT")
        } else {
            (0, "ASYNCHRONOUS_COMMIT")
        };
        let automatic = set.automatic.unwrap_or(replica.automatic);
        let failover = if automatic { (0, "AUTOMATIC") } else { (1, "MANUAL") };
        let readable = if replica.readable { Connections::All } else { Connections::None };
        let (as_secondary, as_secondary_desc) = set.as_secondary.unwrap_or(readable).code();
        let (as_primary, as_primary_desc) = set.as_primary.unwrap_or(Connections::All).code();
        let seeding = match set.automatic_seeding {
            Some(false) => (1, "MANUAL"),
            Some(true) | None => (0, "AUTOMATIC"),
        };
        let created = env.datetime(replica.created);
        let index = i64::try_from(index).unwrap_or(0);
        // The members of a distributed group are groups; only a replica of this server has a
        // number and an owner here.
        let (number, owner) = if distributed {
            (Value::Null, Value::Null)
        } else {
            (Value::Int(65_536 + index), Value::Bytes(vec![1]))
        };
        row(view)
            .set("replica_id", guid(replica.replica_id))
            .set("group_id", guid(replica.group_id))
            .set("replica_metadata_id", number)
            .set("replica_server_name", replica.replica_server_name)
            .set("owner_sid", owner)
            .set("endpoint_url", set.url.unwrap_or(replica.endpoint_url))
            .coded("availability_mode", mode, mode_desc)
            .coded("failover_mode", failover.0, failover.1)
            .set(
                "session_timeout",
                i64::from(set.session_timeout.unwrap_or(replica.session_timeout)),
            )
            .coded("primary_role_allow_connections", as_primary, as_primary_desc)
            .coded("secondary_role_allow_connections", as_secondary, as_secondary_desc)
            .set("create_date", created.clone())
            .set("modify_date", created)
            .set("backup_priority", i64::from(set.backup_priority.unwrap_or(50)))
            .coded("seeding_mode", seeding.0, seeding.1)
            .done()
    };
    let replicas = env.world.availability_replicas(env.at());
    replicas.into_iter().enumerate().map(replica).collect()
}

pub(super) fn availability_databases_cluster(env: &Env<'_>, view: &View) -> Vec<Row> {
    let states = env.world.database_replica_states(env.at());
    let own = states.into_iter().filter(|state| state.is_local);
    own.map(|state| {
        row(view)
            .set("group_id", guid(state.group_id))
            .set("group_database_id", guid(state.group_database_id))
            .set("database_name", state.database)
            .done()
    })
    .collect()
}

pub(super) fn availability_group_states(env: &Env<'_>, view: &View) -> Vec<Row> {
    let states = env.world.replica_states(env.at());
    let replicas = env.world.availability_replicas(env.at());
    let group = |group: crate::world::views::GroupFacts| {
        let members: Vec<_> = states.iter().filter(|s| s.group_id == group.group_id).collect();
        let primary = members.iter().find(|state| state.role.code() == 1);
        let name = primary.and_then(|primary| {
            let found = replicas.iter().find(|replica| replica.replica_id == primary.replica_id);
            found.map(|replica| replica.replica_server_name.clone())
        });
        let health =
            members.iter().map(|state| state.health).min().unwrap_or(SyncHealth::NotHealthy);
        let online = |recovered: Option<bool>| match recovered {
            Some(true) => (Value::Int(1), Value::text("ONLINE")),
            Some(false) => (Value::Int(0), Value::text("ONLINE_IN_PROGRESS")),
            None => (Value::Null, Value::Null),
        };
        let is_primary = primary.is_some_and(|primary| primary.is_local);
        let local = members.iter().find(|state| state.is_local).and_then(|s| s.recovered);
        let (of_primary, of_secondary) = if is_primary { (local, None) } else { (None, local) };
        let (primary_health, primary_desc) = online(of_primary);
        let (secondary_health, secondary_desc) = online(of_secondary);
        row(view)
            .set("group_id", guid(group.group_id))
            .set("primary_replica", name)
            .set("primary_recovery_health", primary_health)
            .set("primary_recovery_health_desc", primary_desc)
            .set("secondary_recovery_health", secondary_health)
            .set("secondary_recovery_health_desc", secondary_desc)
            .coded("synchronization_health", health.code(), health.desc())
            .done()
    };
    env.world.availability_groups(env.at()).into_iter().map(group).collect()
}

pub(super) fn guid(guid: Guid) -> Value {
    Value::Guid(guid.0)
}
