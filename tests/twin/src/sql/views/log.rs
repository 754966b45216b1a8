//! The virtual files of a database's log: `sys.dm_db_log_info` and `sys.dm_db_log_stats`.

use crate::sql::env::Env;
use crate::sql::error::Result;
use crate::sql::value::Value;
use crate::world::{Backup, BackupKind, FileFacts, Lsn};

use super::{Row, View, files, row};

/// How much log a virtual file holds here.
const VIRTUAL: u64 = 64 << 20;
/// Where the first one begins in its file.
const HEADER: i64 = 8_192;

/// The log of a database.
struct Log {
    file: FileFacts,
    end: Lsn,
}

/// One of its virtual files.
struct Virtual {
    bytes: u64,
    /// Its number, 0 if it has never been used.
    number: u64,
    active: bool,
}

impl Log {
    fn of(env: &Env<'_>, file: FileFacts) -> Log {
        let states = env.world.database_replica_states(env.at());
        let own = states.iter().find(|state| state.is_local && state.database == file.database);
        let end = own.and_then(|state| state.end_of_log_lsn).unwrap_or_else(|| Lsn::new(42, 16, 1));
        Log { file, end }
    }

    /// The oldest of the virtual files first.
    fn virtual_files(&self) -> Vec<Virtual> {
        let count = self.file.bytes.div_ceil(VIRTUAL).max(1);
        let active = self.file.used.div_ceil(VIRTUAL).clamp(1, count);
        let (current, _, _) = self.end.parts();
        let of = |place: u64| Virtual {
            bytes: (self.file.bytes - place * VIRTUAL).min(VIRTUAL),
            number: if place < active { (current + 1 + place).saturating_sub(active) } else { 0 },
            active: place < active,
        };
        (0..count).map(of).collect()
    }
}

/// `sys.dm_db_log_info(database)`, and `DBCC LOGINFO`.
pub(super) fn info(env: &Env<'_>, view: &View, arguments: &[Value]) -> Result<Vec<Row>> {
    let Some(log) = log(env, arguments) else { return Ok(Vec::new()) };
    let mut offset = HEADER;
    let mut rows = Vec::new();
    for one in log.virtual_files() {
        let number = files::bytes(one.number);
        let first = if one.number == 0 { Lsn::default() } else { Lsn::new(one.number, 16, 1) };
        let parity = match (one.number, number % 2) {
            (0, _) => 0,
            (_, 0) => 64,
            (..) => 128,
        };
        let made = row(view)
            .set("database_id", i64::from(log.file.database_id))
            .set("file_id", i64::from(log.file.file_id))
            .set("vlf_begin_offset", offset)
            .set("vlf_size_mb", Value::Float(megabytes(one.bytes)))
            .set("vlf_sequence_number", number)
            .set("vlf_active", one.active)
            .set("vlf_status", if one.active { 2 } else { 0 })
            .set("vlf_parity", parity)
            .set("vlf_first_lsn", hexadecimal(first))
            .set("vlf_create_lsn", hexadecimal(Lsn::default()));
        rows.push(made.done());
        offset += files::bytes(one.bytes);
    }
    Ok(rows)
}

/// `sys.dm_db_log_stats(database)`. A secondary knows little of it.
pub(super) fn stats(env: &Env<'_>, view: &View, arguments: &[Value]) -> Result<Vec<Row>> {
    let Some(log) = log(env, arguments) else { return Ok(Vec::new()) };
    let databases = env.world.databases(env.at());
    let Some(database) = databases.iter().find(|found| found.name == log.file.database) else {
        return Ok(Vec::new());
    };
    let own = |backup: &&Backup| {
        backup.database == log.file.database && backup.kind == BackupKind::Log && !backup.copy_only
    };
    let backup = env.instance.backups(env.world.now()).filter(own).last();
    let known = row(view)
        .set("database_id", i64::from(log.file.database_id))
        .set("recovery_model", if database.full_recovery { "FULL" } else { "SIMPLE" })
        .set("log_backup_time", backup.map(|backup| env.datetime(backup.finish)));
    if !database.updateable {
        return Ok(vec![known.done()]);
    }
    let all = log.virtual_files();
    let active = || all.iter().filter(|one| one.active);
    let current = active().next_back();
    let since = backup
        .map_or(log.file.used, |backup| log.end.bytes().saturating_sub(backup.last_lsn.bytes()));
    let float = |bytes: u64| Value::Float(megabytes(bytes));
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let first = active().next().map_or(0, |one| one.number);
    Ok(vec![
        known
            .set("log_min_lsn", hexadecimal(Lsn::new(first, 16, 1)))
            .set("log_end_lsn", hexadecimal(log.end))
            .set("current_vlf_sequence_number", current.map(|one| files::bytes(one.number)))
            .set("current_vlf_size_mb", current.map_or(Value::Null, |one| float(one.bytes)))
            .set("total_vlf_count", count(all.len()))
            .set("total_log_size_mb", float(log.file.bytes))
            .set("active_vlf_count", count(active().count()))
            .set("active_log_size_mb", float(log.file.used))
            .set("log_truncation_holdup_reason", database.log_reuse_wait)
            .set("log_backup_lsn", backup.map(|backup| hexadecimal(backup.last_lsn)))
            .set("log_since_last_log_backup_mb", float(since))
            // Checkpoints are at the end of the log here: nothing would have to be recovered.
            .set("log_checkpoint_lsn", hexadecimal(log.end))
            .set("log_since_last_checkpoint_mb", float(0))
            .set("log_recovery_lsn", hexadecimal(log.end))
            .set("log_recovery_size_mb", float(0))
            .set("recovery_vlf_count", 1)
            .done(),
    ])
}

/// The log of the database that is asked for, by default of the session's own.
fn log(env: &Env<'_>, arguments: &[Value]) -> Option<Log> {
    let own = env.session.database.as_str();
    let wanted = |file: &FileFacts| match arguments.first() {
        Some(Value::Int(id)) => *id == i64::from(file.database_id),
        Some(_) | None => file.database.eq_ignore_ascii_case(own),
    };
    let file = env.world.files(env.at()).into_iter().find(|file| file.log && wanted(file))?;
    Some(Log::of(env, file))
}

/// A position as `file:block:slot`.
fn hexadecimal(lsn: Lsn) -> String {
    let (file, block, slot) = lsn.parts();
    format!("{file:08x}:{block:08x}:{slot:04x}")
}

#[expect(clippy::cast_precision_loss, reason = "files are far smaller than 2^52 bytes")]
fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 * 100.0 / f64::from(1 << 20)).round() / 100.0
}
