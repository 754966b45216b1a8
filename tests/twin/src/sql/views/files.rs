//! Files of databases, and how full their log is.

use crate::sql::env::Env;
use crate::sql::value::Value;
use crate::world::FileFacts;

use super::{Row, RowBuilder, View, row};

const PAGE: u64 = 8 << 10;
/// `max_size` of a log that has no limit of its own: 2 TB.
const TWO_TERABYTES: i64 = 268_435_456;

/// `sys.master_files`
pub(super) fn master(env: &Env<'_>, view: &View) -> Vec<Row> {
    let files = env.world.files(env.at());
    let of = |file: &FileFacts| {
        common(env, row(view), file).set("database_id", i64::from(file.database_id)).done()
    };
    files.iter().map(of).collect()
}

/// `sys.database_files` of the database that is asked.
pub(super) fn own(env: &Env<'_>, view: &View) -> Vec<Row> {
    let database = env.catalog.borrow().clone();
    let files = env.world.files(env.at());
    let own = files.iter().filter(|file| file.database.eq_ignore_ascii_case(&database));
    own.map(|file| common(env, row(view), file).done()).collect()
}

/// `sys.dm_db_log_space_usage` of the database that is asked.
pub(super) fn log_space(env: &Env<'_>, view: &View) -> Vec<Row> {
    let database = env.catalog.borrow().clone();
    let files = env.world.files(env.at());
    let log = files.iter().find(|file| file.log && file.database.eq_ignore_ascii_case(&database));
    let Some(log) = log else { return Vec::new() };
    let backups = env.instance.backups(env.world.now());
    let last = backups.filter(|backup| backup.database == log.database).map(|b| b.last_lsn).max();
    let states = env.world.database_replica_states(env.at());
    let end = states.iter().find(|state| state.is_local && state.database == log.database);
    let since = match (end.and_then(|state| state.end_of_log_lsn), last) {
        (Some(end), Some(last)) => end.bytes().saturating_sub(last.bytes()),
        _ => log.used,
    };
    vec![
        row(view)
            .set("database_id", i64::from(log.database_id))
            .set("total_log_size_in_bytes", bytes(log.bytes))
            .set("used_log_space_in_bytes", bytes(log.used))
            .set("used_log_space_in_percent", Value::Float(percent(log)))
            .set("log_space_in_bytes_since_last_backup", bytes(since))
            .done(),
    ]
}

/// `DBCC SQLPERF(LOGSPACE)`: name, size in MB, percent in use.
pub(crate) fn log_spaces(env: &Env<'_>) -> Vec<(String, f64, f64)> {
    let files = env.world.files(env.at());
    let logs = files.into_iter().filter(|file| file.log);
    logs.map(|log| (log.database.clone(), megabytes(log.bytes), percent(&log))).collect()
}

fn common<'v>(env: &Env<'_>, row: RowBuilder<'v>, file: &FileFacts) -> RowBuilder<'v> {
    let (kind, kind_desc) = if file.log { (1, "LOG") } else { (0, "ROWS") };
    let most = match file.most {
        Some(most) => bytes(most / PAGE),
        None if file.log => TWO_TERABYTES,
        None => -1,
    };
    row.set("file_id", i64::from(file.file_id))
        .coded("type", kind, kind_desc)
        .set("data_space_id", i64::from(!file.log))
        .set("name", file.name.clone())
        .set("physical_name", file.path.clone())
        .coded("state", file.state.code(), file.state.desc())
        .set("size", bytes(file.bytes / PAGE))
        .set("max_size", most)
        .set("growth", bytes(file.growth / PAGE))
        .set("is_read_only", env.instance.setup().database(&file.database).read_only)
        .flags(
            false,
            &[
                "is_media_read_only",
                "is_sparse",
                "is_percent_growth",
                "is_name_reserved",
                "is_persistent_log_buffer",
            ],
        )
}

#[expect(clippy::cast_precision_loss, reason = "files are far smaller than 2^52 bytes")]
fn percent(log: &FileFacts) -> f64 {
    (log.used as f64 * 100.0 / log.bytes.max(1) as f64).min(100.0)
}

#[expect(clippy::cast_precision_loss, reason = "files are far smaller than 2^52 bytes")]
fn megabytes(count: u64) -> f64 {
    count as f64 / f64::from(1 << 20)
}

pub(super) fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
