//! Rows for tests, in the shape in which a server sends them.

use super::peer::{
    Cell::{self, Int, Text, Time},
    Table,
};

/// All 25 digits of it matter.
pub(crate) const LSN: u128 = 39_000_000_057_600_001_000_009;

/// A healthy secondary at 2026-11-22 10:00:00 UTC, two hours ahead of it by its own clock.
pub(crate) fn healthy(nonce: i64) -> Vec<Table> {
    let (day, tick) = (46_346, 10 * 3600 * 300);
    let server = Table {
        columns: vec![
            "nonce",
            "product_version",
            "edition",
            "engine_edition",
            "utc_time",
            "local_time",
            "sees_groups",
            "sees_databases",
        ],
        rows: vec![vec![
            Int(Some(nonce)),
            Text(Some("16.0.4125.3")),
            Text(Some("SQL Azure")),
            Int(Some(8)),
            Time(Some((day, tick))),
            Time(Some((day, tick + 2 * 3600 * 300))),
            Int(Some(1)),
            Int(None),
        ]],
    };
    let groups = Table {
        columns: vec![
            "nonce",
            "group_name",
            "is_local",
            "role",
            "connected_state",
            "synchronization_health",
            "member_name",
            "local_group",
            "local_role",
        ],
        rows: vec![vec![
            Int(Some(nonce)),
            Text(Some("dag1")),
            Int(Some(1)),
            Int(Some(2)),
            Int(Some(1)),
            Int(Some(2)),
            Text(Some("mi")),
            Text(None),
            Int(None),
        ]],
    };
    let databases = Table {
        columns: vec![
            "nonce",
            "database_name",
            "state",
            "updateability",
            "group_name",
            "is_distributed",
            "is_local",
            "is_primary_replica",
            "synchronization_state",
            "is_suspended",
            "suspend_reason",
            "last_hardened_lsn",
            "last_commit_lsn",
            "last_commit_time",
            "end_of_log_lsn",
            "log_send_queue_kb",
            "redo_queue_kb",
            "redo_rate_kb_per_s",
            "lag_s",
        ],
        rows: vec![vec![
            Int(Some(nonce)),
            Text(Some("orders")),
            Int(Some(0)),
            Text(Some("READ_ONLY")),
            Text(Some("dag1")),
            Int(Some(1)),
            Int(Some(1)),
            Int(Some(0)),
            Int(Some(1)),
            Int(Some(0)),
            Text(None),
            Cell::Lsn(Some(LSN)),
            Cell::Lsn(None),
            Time(Some((day, tick + 2 * 3600 * 300 - 300))),
            Cell::Lsn(Some(LSN)),
            Int(None),
            Int(Some(12)),
            Int(Some(340)),
            Int(Some(0)),
        ]],
    };
    vec![server, groups, databases]
}
