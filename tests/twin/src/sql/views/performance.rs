//! `sys.dm_os_performance_counters`: those that tell how log is made and moved (mi-link 7.1).
//!
//! Counters "per second" are sums since the start; whoever reads them takes two samples.

use std::collections::BTreeMap;

use crate::sql::env::Env;
use crate::sql::value::Value;
use crate::world::SessionFacts;
use crate::world::views::{DatabaseReplicaFacts, LogFacts};

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
    let sessions = env.world.session_facts(env.at());
    let states = env.world.database_replica_states(env.at());
    let mut rows = Vec::new();
    let mut total: Vec<(&str, i64, i32)> = Vec::new();
    let logs = env.world.log_facts(env.at());
    for log in &logs {
        for (place, found) in databases(log, &sessions).into_iter().enumerate() {
            let (name, value, kind) = found;
            rows.push(counter("Databases", name, &log.database, value, kind));
            match total.get_mut(place) {
                Some(sum) => sum.1 += value,
                None => total.push(found),
            }
        }
        let own = states.iter().find(|state| state.is_local && state.database == log.database);
        let replica = own.map(|own| replica(own, &states, log)).into_iter().flatten();
        rows.extend(replica.map(|(name, value, kind)| {
            counter("Database Replica", name, &log.database, value, kind)
        }));
    }
    for ((group, partner), counters) in partners(&logs) {
        let instance = format!("{group}:{partner}");
        let row =
            |(name, value, kind)| counter("Availability Replica", name, &instance, value, kind);
        rows.extend(counters.map(row));
    }
    for (name, value, kind) in total.into_iter().filter(|(name, ..)| *name != PERCENT) {
        rows.push(counter("Databases", name, "_Total", value, kind));
    }
    let users = sessions.iter().filter(|session| session.user).count();
    rows.push(counter("General Statistics", "User Connections", "", whole(users), RAW));
    rows
}

const PERCENT: &str = "Percent Log Used";

fn databases(log: &LogFacts, sessions: &[SessionFacts]) -> [(&'static str, i64, i32); 7] {
    let writes = |session: &&SessionFacts| {
        let open = session.transaction.as_ref();
        open.is_some_and(|open| open.writes.as_deref() == Some(&log.database))
    };
    let active = whole(sessions.iter().filter(writes).count());
    let percent = (log.used_bytes * 100 / log.file_bytes.max(1)).min(100);
    [
        ("Log Bytes Flushed/sec", sum(log.flushed_bytes), PER_SECOND),
        ("Log Flushes/sec", sum(log.flushes), PER_SECOND),
        ("Transactions/sec", sum(log.commits), PER_SECOND),
        ("Active Transactions", active, RAW),
        ("Log File(s) Size (KB)", sum(log.file_bytes >> 10), RAW),
        ("Log File(s) Used Size (KB)", sum(log.used_bytes >> 10), RAW),
        (PERCENT, sum(percent), RAW),
    ]
}

fn replica(
    own: &DatabaseReplicaFacts,
    all: &[DatabaseReplicaFacts],
    log: &LogFacts,
) -> [(&'static str, i64, i32); 13] {
    let kilobytes = |n: Option<u64>| sum(n.unwrap_or(0));
    let partner = all
        .iter()
        .find(|state| !state.is_local && state.group_database_id == own.group_database_id);
    let send_queue = partner.map_or(own.log_send_queue_size, |state| state.log_send_queue_size);
    let undo = sum(log.undo_bytes >> 10);
    [
        // Files move by seeding only, which is no matter of a database that is there.
        ("File Bytes Received/sec", 0, PER_SECOND),
        // Redo takes a block as soon as it can: nothing is between the two.
        ("Log Apply Pending Queue", 0, RAW),
        ("Log Apply Ready Queue", 0, RAW),
        ("Log Bytes Received/sec", sum(log.received_bytes), PER_SECOND),
        ("Log remaining for undo", undo, RAW),
        ("Log Send Queue", kilobytes(send_queue), RAW),
        ("Mirrored Write Transactions/sec", sum(log.mirrored), PER_SECOND),
        ("Recovery Queue", kilobytes(own.redo_queue_size), RAW),
        ("Redo blocked/sec", 0, PER_SECOND),
        ("Redo Bytes Remaining", kilobytes(own.redo_queue_size) * 1024, RAW),
        ("Redone Bytes/sec", sum(log.redone_bytes), PER_SECOND),
        ("Total Log requiring undo", undo, RAW),
        // Nothing waits for the other side in asynchronous commit.
        ("Transaction Delay", sum(log.waited_ms), PER_SECOND),
    ]
}

/// The counters of each distributed group and its other member.
type Partners = BTreeMap<(String, String), [(&'static str, i64, i32); 6]>;

/// What has gone to the other member of a distributed group, and come from it.
fn partners(logs: &[LogFacts]) -> Partners {
    let mut all = Partners::new();
    for log in logs {
        let counters = all.entry(log.group.clone()).or_insert([
            ("Bytes Sent to Replica/sec", 0, PER_SECOND),
            ("Bytes Received from Replica/sec", 0, PER_SECOND),
            ("Sends to Replica/sec", 0, PER_SECOND),
            // A full window makes the sender wait, not the receiver slow it down.
            ("Flow Control/sec", 0, PER_SECOND),
            ("Flow Control Time (ms/sec)", 0, PER_SECOND),
            ("Resent Messages/sec", 0, PER_SECOND),
        ]);
        counters[0].1 += sum(log.sent_bytes);
        counters[1].1 += sum(log.received_bytes);
        counters[2].1 += sum(log.sends);
    }
    all
}

fn sum(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The names are `nchar(128)`.
fn padded(text: &str) -> Value {
    Value::Text(format!("{text:<128}"))
}
