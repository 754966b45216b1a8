//! `sys.dm_os_performance_counters`: those that tell how log is made and moved (mi-link 7.1).
//!
//! Counters "per second" are sums since the start; whoever reads them takes two samples.

use crate::sql::env::Env;
use crate::sql::value::Value;
use crate::world::Lsn;
use crate::world::views::DatabaseReplicaFacts;

use super::{Row, View, row};

/// A value as it is.
const RAW: i32 = 65_792;
/// A sum, to be divided by the time between two samples.
const PER_SECOND: i32 = 272_696_576;

pub(super) fn counters(env: &Env<'_>, view: &View) -> Vec<Row> {
    let prefix = if env.is_managed() {
        let id = env.instance.id.to_string().to_uppercase();
        format!("MSSQL${}", id.rsplit('-').next().unwrap_or_default())
    } else {
        "SQLServer".to_owned()
    };
    let counter = |object: &str, name: &str, instance: &str, value: i64, kind: i32| {
        row(view)
            .set("object_name", padded(&format!("{prefix}:{object}")))
            .set("counter_name", padded(name))
            .set("instance_name", padded(instance))
            .set("cntr_value", value)
            .set("cntr_type", kind)
            .done()
    };
    let mut rows = Vec::new();
    let states = env.world.database_replica_states(env.at());
    let mut total = 0;
    for state in states.iter().filter(|state| state.is_local) {
        let name = state.database.as_str();
        let end = state.end_of_log_lsn.map_or(0, bytes_up_to);
        let flushed = if state.is_primary_replica { end } else { 0 };
        total += flushed;
        rows.push(counter("Databases", "Log Bytes Flushed/sec", name, flushed, PER_SECOND));
        rows.extend(replica(state, &states).into_iter().map(|(counter_name, value, kind)| {
            counter("Database Replica", counter_name, name, value, kind)
        }));
    }
    rows.push(counter("Databases", "Log Bytes Flushed/sec", "_Total", total, PER_SECOND));
    let users = i64::try_from(env.instance.sessions().count()).unwrap_or(i64::MAX);
    rows.push(counter("General Statistics", "User Connections", "", users, RAW));
    rows
}

fn replica(
    own: &DatabaseReplicaFacts,
    all: &[DatabaseReplicaFacts],
) -> [(&'static str, i64, i32); 7] {
    let kilobytes = |n: Option<u64>| n.and_then(|n| i64::try_from(n).ok()).unwrap_or(0);
    let received = if own.is_primary_replica {
        0
    } else {
        own.last_received_lsn.or(own.last_hardened_lsn).map_or(0, bytes_up_to)
    };
    let redone =
        if own.is_primary_replica { 0 } else { own.last_redone_lsn.map_or(0, bytes_up_to) };
    let partner = all
        .iter()
        .find(|state| !state.is_local && state.group_database_id == own.group_database_id);
    let send_queue = partner.map_or(own.log_send_queue_size, |state| state.log_send_queue_size);
    [
        ("Log Send Queue", kilobytes(send_queue), RAW),
        ("Recovery Queue", kilobytes(own.redo_queue_size), RAW),
        ("Redo Bytes Remaining", kilobytes(own.redo_queue_size) * 1024, RAW),
        ("Redone Bytes/sec", redone, PER_SECOND),
        ("Log Bytes Received/sec", received, PER_SECOND),
        // Nothing waits for the other side in asynchronous commit.
        ("Transaction Delay", 0, PER_SECOND),
        ("Mirrored Write Transactions/sec", 0, PER_SECOND),
    ]
}

/// Log bytes since the first virtual log file: a position counts files and sectors.
fn bytes_up_to(lsn: Lsn) -> i64 {
    let file = lsn.0 / 1_000_000_000_000_000;
    let sector = lsn.0 / 100_000 % 10_000_000_000;
    i64::try_from((file * 131_072 + sector) * 512).unwrap_or(i64::MAX)
}

/// The names are `nchar(128)`.
fn padded(text: &str) -> Value {
    Value::Text(format!("{text:<128}"))
}
