//! Seeding: what is seeded now, and what the last seedings have come to.

use crate::sql::env::Env;
use crate::sql::moment;
use crate::sql::value::Value;
use crate::world::SeedingFacts;

use super::groups::guid;
use super::{Row, View, row};

pub(super) fn automatic(env: &Env<'_>, view: &View) -> Vec<Row> {
    let one = |it: SeedingFacts| {
        let state = match it.ended {
            None => "SEEDING",
            Some((_, None)) => "COMPLETED",
            Some((_, Some(_))) => "FAILED",
        };
        let error = it.ended.and_then(|(_, error)| error);
        row(view)
            .set("start_time", env.datetime(it.start))
            .set("completion_time", it.ended.map(|(at, _)| env.datetime(at)))
            .set("error_code", error.map(i64::from))
            .set("ag_id", guid(it.group_id))
            .set("ag_db_id", guid(it.group_database_id))
            .set("ag_remote_replica_id", guid(it.remote_replica_id))
            .set("operation_id", guid(it.operation_id))
            .set("is_source", it.is_source)
            .set("current_state", state)
            .set("performed_seeding", it.ended.is_some_and(|(_, error)| error.is_none()))
            .set("number_of_attempts", i64::from(it.attempts))
            .done()
    };
    env.world.seeding(env.at()).into_iter().map(one).collect()
}

pub(super) fn physical(env: &Env<'_>, view: &View) -> Vec<Row> {
    let utc = |at| Value::Moment(moment::round_to_datetime(moment::utc_ticks(at)));
    let one = |it: SeedingFacts| {
        let (sent, all) = it.bytes;
        let bytes = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let left = i64::try_from(all.saturating_sub(sent) / it.rate.max(1)).unwrap_or(0);
        let done = env.now() + jiff::SignedDuration::from_secs(left);
        row(view)
            .set("local_physical_seeding_id", guid(it.operation_id))
            .set("remote_physical_seeding_id", guid(it.operation_id))
            .set("local_database_id", i64::from(it.database_id))
            .set("local_database_name", it.database)
            .set("remote_machine_name", it.remote)
            .set("role_desc", if it.is_source { "Source" } else { "Destination" })
            .set("internal_state_desc", "ReadingAndSendingData")
            .set("transfer_rate_bytes_per_second", bytes(it.rate))
            .set("transferred_size_bytes", bytes(sent))
            .set("database_size_bytes", bytes(all))
            .set("start_time_utc", utc(it.start))
            .set("estimate_time_complete_utc", utc(done))
            .set("total_disk_io_wait_time_ms", 0)
            .set("total_network_wait_time_ms", 0)
            .set("is_compression_enabled", true)
            .done()
    };
    let running = env.world.seeding(env.at()).into_iter().filter(|it| it.ended.is_none());
    running.map(one).collect()
}
