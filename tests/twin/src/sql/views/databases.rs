//! `sys.databases`.

use crate::sql::env::Env;
use crate::sql::value::Value;
use crate::world::{Guid, views::DatabaseFacts};

use super::groups::guid;
use super::{Row, View, row};

pub(super) fn databases(env: &Env<'_>, view: &View) -> Vec<Row> {
    env.world.databases(env.at()).into_iter().map(|database| one(env, view, database)).collect()
}

fn one(env: &Env<'_>, view: &View, database: DatabaseFacts) -> Row {
    let user = database.database_id > 4;
    let level = env.instance.build().release().compatibility();
    let (model, model_desc) = if database.full_recovery { (1, "FULL") } else { (3, "SIMPLE") };
    let wait = match database.log_reuse_wait {
        "AVAILABILITY_REPLICA" => 9,
        "LOG_BACKUP" => 2,
        _ => 0,
    };
    let made = env.instance.setup().database(&database.name);
    let level = made.compatibility.map_or(i64::from(level), i64::from);
    let master = database.name == "master";
    let (isolation, isolation_desc) =
        if master || database.name == "msdb" || made.snapshot { (1, "ON") } else { (0, "OFF") };
    let physical = if env.is_managed() && user {
        // A managed instance gives its files names of its own.
        database.group_database_id.map_or_else(|| database.name.clone(), |id| id.to_string())
    } else {
        database.name.clone()
    };
    let (access, access_desc) = match (made.single_user, made.restricted) {
        (true, _) => (1, "SINGLE_USER"),
        (false, true) => (2, "RESTRICTED_USER"),
        (false, false) => (0, "MULTI_USER"),
    };
    let broker = database.group_database_id.unwrap_or(env.instance.id);
    let broker = match made.brokers {
        0 => broker,
        count => Guid::derive(u64::from(count), &format!("broker/{broker}")),
    };
    let lag_time = if user { 60 } else { 0 };
    row(view)
        .set("database_id", i64::from(database.database_id))
        .set("owner_sid", Value::Bytes(vec![1]))
        .set("create_date", env.datetime(database.create_date))
        .set("compatibility_level", level)
        .set("collation_name", env.instance.collation.clone())
        .coded("user_access", access, access_desc)
        .coded("state", database.state.code(), database.state.desc())
        .coded("snapshot_isolation_state", isolation, isolation_desc)
        .coded("recovery_model", model, model_desc)
        .coded("page_verify_option", 2, "CHECKSUM")
        .set("service_broker_guid", guid(broker))
        .set("is_broker_enabled", made.broker || ["msdb", "tempdb"].contains(&&*database.name))
        .coded("log_reuse_wait", wait, database.log_reuse_wait)
        .set("replica_id", database.replica_id.map(guid))
        .set("group_database_id", database.group_database_id.map(guid))
        .coded("containment", 0, "NONE")
        .set("target_recovery_time_in_seconds", lag_time)
        .coded("delayed_durability", 0, "DISABLED")
        .coded("catalog_collation_type", 0, "DATABASE_DEFAULT")
        .set("physical_database_name", physical)
        .set("resource_pool_id", Value::Null)
        .set("name", database.name)
        .flags(false, &OFF)
        .set("is_read_only", made.read_only)
        .set("is_read_committed_snapshot_on", made.committed_snapshot)
        .set("is_accelerated_database_recovery_on", made.accelerated_recovery)
        .flags(true, &ON)
        .set("is_query_store_on", user)
        .set("is_db_chaining_on", master)
        .set("is_mixed_page_allocation_on", !user)
        .set("is_stale_page_detection_on", false)
        .done()
}

/// Options that are off in every database here.
const OFF: [&str; 32] = [
    "is_read_only",
    "is_auto_shrink_on",
    "is_in_standby",
    "is_cleanly_shutdown",
    "is_supplemental_logging_enabled",
    "is_read_committed_snapshot_on",
    "is_auto_create_stats_incremental_on",
    "is_auto_update_stats_async_on",
    "is_ansi_null_default_on",
    "is_ansi_nulls_on",
    "is_ansi_padding_on",
    "is_ansi_warnings_on",
    "is_arithabort_on",
    "is_concat_null_yields_null_on",
    "is_numeric_roundabort_on",
    "is_quoted_identifier_on",
    "is_recursive_triggers_on",
    "is_cursor_close_on_commit_on",
    "is_local_cursor_default",
    "is_trustworthy_on",
    "is_parameterization_forced",
    "is_encrypted",
    "is_honor_broker_priority_on",
    "is_memory_optimized_elevate_to_snapshot_on",
    "is_federation_member",
    "is_remote_data_archive_enabled",
    "is_result_set_caching_on",
    "is_accelerated_database_recovery_on",
    "is_tempdb_spill_to_remote_store",
    "is_data_retention_enabled",
    "is_ledger_on",
    "is_change_feed_enabled",
];

/// Options that are on in every database here.
const ON: [&str; 5] = [
    "is_auto_create_stats_on",
    "is_auto_update_stats_on",
    "is_fulltext_enabled",
    "is_temporal_history_retention_enabled",
    "is_memory_optimized_enabled",
];
