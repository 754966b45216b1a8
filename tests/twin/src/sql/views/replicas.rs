//! The states of replicas and of their databases, as this server knows them.

use crate::sql::decimal::Numeric;
use crate::sql::env::Env;
use crate::sql::value::Value;
use crate::world::views::{DatabaseReplicaFacts, ReplicaFacts, ReplicaStateFacts};
use crate::world::{Lsn, SyncState};

use super::groups::guid;
use super::{Row, View, row};

pub(super) fn replica_states(env: &Env<'_>, view: &View) -> Vec<Row> {
    let state = |state: ReplicaStateFacts| {
        let (operational, operational_desc) = match state.online {
            Some(true) => (Value::Int(2), Value::text("ONLINE")),
            Some(false) => (Value::Int(1), Value::text("PENDING")),
            None => (Value::Null, Value::Null),
        };
        let (recovery, recovery_desc) = match state.recovered {
            Some(true) => (Value::Int(1), Value::text("ONLINE")),
            Some(false) => (Value::Int(0), Value::text("ONLINE_IN_PROGRESS")),
            None => (Value::Null, Value::Null),
        };
        let (connected, connected_desc) =
            if state.connected { (1, "CONNECTED") } else { (0, "DISCONNECTED") };
        let error = state.connect_error;
        row(view)
            .set("replica_id", guid(state.replica_id))
            .set("group_id", guid(state.group_id))
            .set("is_local", state.is_local)
            .coded("role", state.role.code(), state.role.desc())
            .set("operational_state", operational)
            .set("operational_state_desc", operational_desc)
            .coded("connected_state", connected, connected_desc)
            .set("recovery_health", recovery)
            .set("recovery_health_desc", recovery_desc)
            .coded("synchronization_health", state.health.code(), state.health.desc())
            .set("is_internal", state.internal)
            .set("last_connect_error_number", error.as_ref().map(|e| i64::from(e.number)))
            .set("last_connect_error_description", error.as_ref().map(|e| e.description.clone()))
            .set("last_connect_error_timestamp", error.map(|e| env.datetime(e.at)))
            .done()
    };
    env.world.replica_states(env.at()).into_iter().map(state).collect()
}

pub(super) fn replica_cluster_states(env: &Env<'_>, view: &View) -> Vec<Row> {
    let replica = |replica: ReplicaFacts| {
        row(view)
            .set("replica_id", guid(replica.replica_id))
            .set("replica_server_name", replica.replica_server_name)
            .set("group_id", guid(replica.group_id))
            .coded("join_state", 1, "JOINED_STANDALONE")
            .done()
    };
    env.world.availability_replicas(env.at()).into_iter().map(replica).collect()
}

pub(super) fn database_replica_states(env: &Env<'_>, view: &View) -> Vec<Row> {
    let state = |state: DatabaseReplicaFacts| {
        let time = |at: Option<jiff::Timestamp>| at.map(|at| env.datetime(at));
        let amount = |n: Option<u64>| n.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        row(view)
            .set("database_id", i64::from(state.database_id))
            .set("group_id", guid(state.group_id))
            .set("replica_id", guid(state.replica_id))
            .set("group_database_id", guid(state.group_database_id))
            .set("is_local", state.is_local)
            .set("is_primary_replica", state.is_primary_replica)
            .coded("synchronization_state", state.state.code(), state.state.desc())
            .set("is_commit_participant", state.state == SyncState::Synchronized)
            .coded("synchronization_health", state.health.code(), state.health.desc())
            .set("database_state", state.database_state.map(|s| i64::from(s.code())))
            .set("database_state_desc", state.database_state.map(|s| s.desc()))
            .set("is_suspended", state.suspended.is_some())
            .set("suspend_reason", state.suspended.map(|s| i64::from(s.code())))
            .set("suspend_reason_desc", state.suspended.map(|s| s.desc()))
            .set("recovery_lsn", state.recovery_lsn.map(lsn))
            .set("truncation_lsn", state.truncation_lsn.map(lsn))
            .set("last_sent_lsn", state.last_sent_lsn.map(lsn))
            .set("last_sent_time", time(state.last_sent_time))
            .set("last_received_lsn", state.last_received_lsn.map(lsn))
            .set("last_received_time", time(state.last_received_time))
            .set("last_hardened_lsn", state.last_hardened_lsn.map(lsn))
            .set("last_hardened_time", time(state.last_hardened_time))
            .set("last_redone_lsn", state.last_redone_lsn.map(lsn))
            .set("last_redone_time", time(state.last_redone_time))
            .set("log_send_queue_size", amount(state.log_send_queue_size))
            .set("log_send_rate", amount(state.log_send_rate))
            .set("redo_queue_size", amount(state.redo_queue_size))
            .set("redo_rate", amount(state.redo_rate))
            .set("end_of_log_lsn", state.end_of_log_lsn.map(lsn))
            .set("last_commit_lsn", state.last_commit_lsn.map(lsn))
            .set("last_commit_time", time(state.last_commit_time))
            .set("secondary_lag_seconds", amount(state.secondary_lag_seconds))
            .done()
    };
    env.world.database_replica_states(env.at()).into_iter().map(state).collect()
}

pub(super) fn database_replica_cluster_states(env: &Env<'_>, view: &View) -> Vec<Row> {
    let state = |state: DatabaseReplicaFacts| {
        // In asynchronous commit a secondary is never ready without loss; a primary always is.
        let ready = state.is_primary_replica || state.state == SyncState::Synchronized;
        row(view)
            .set("replica_id", guid(state.replica_id))
            .set("group_database_id", guid(state.group_database_id))
            .set("database_name", state.database)
            .set("is_failover_ready", ready)
            .flags(false, &["is_pending_secondary_suspend"])
            .set("is_database_joined", true)
            .set("recovery_lsn", state.recovery_lsn.map(lsn))
            .set("truncation_lsn", state.truncation_lsn.map(lsn))
            .done()
    };
    env.world.database_replica_states(env.at()).into_iter().map(state).collect()
}

pub(super) fn lsn(lsn: Lsn) -> Value {
    Value::Numeric(Numeric::new(i128::try_from(lsn.0).unwrap_or(i128::MAX), 0))
}
