//! Backups: whether one of ours is there or being made, and who backs up the log.

use std::time::Duration;

use agent_core::sight::{BackupTaken, JobStep, LogBackups};
use tiberius::Row;

use super::{
    error::TdsError,
    rows::{blind_to_sessions, checked, integer, lsn, text},
    session::Session,
};
use crate::text::plain;

/// Whether a session of the program `program_name` is there and may still make a backup: None if
/// not, else how many percent of one are done, where it says so.
pub async fn backup_running(
    session: &mut Session,
    program_name: &str,
    limit: Duration,
) -> Result<Option<Option<i64>>, TdsError> {
    let nonce = fastrand::i64(..);
    let sql = include_str!("sql/backup_running.sql");
    let read = |results: &[Vec<Row>]| {
        let [row] = one(results, "sessions", nonce)? else {
            return Err(TdsError::garbled("the session row came more than once"));
        };
        blind_to_sessions(row)?;
        let found = integer(row, "found")?.ok_or_else(|| TdsError::garbled("NULL as a count"))?;
        if found == 0 { Ok(None) } else { integer(row, "done_percent").map(Some) }
    };
    session.ask(sql, &[&nonce, &program_name], limit, read).await
}

/// The newest finished full backup of `database` under `name`, if there is one: COPY_ONLY or not.
pub async fn backup_taken(
    session: &mut Session,
    database: &str,
    name: &str,
    copy_only: bool,
    limit: Duration,
) -> Result<Option<BackupTaken>, TdsError> {
    let nonce = fastrand::i64(..);
    let sql = include_str!("sql/backup_taken.sql");
    let read = |results: &[Vec<Row>]| {
        let Some(row) = one(results, "backups", nonce)?.first() else { return Ok(None) };
        if integer(row, "backup_set_id")?.is_none() {
            return Ok(None);
        }
        Ok(Some(BackupTaken {
            took_s: integer(row, "took_s")?,
            size_bytes: integer(row, "size_bytes")?,
            checksums: integer(row, "has_checksums")? == Some(1),
            last_lsn: lsn(row, "last_lsn")?,
        }))
    };
    session.ask(sql, &[&nonce, &database, &name, &copy_only], limit, read).await
}

/// What the instance knows of backups of `database` and of who takes them.
pub async fn log_backups(
    session: &mut Session,
    database: &str,
    limit: Duration,
) -> Result<LogBackups, TdsError> {
    let nonce = fastrand::i64(..);
    let sql = include_str!("sql/log_jobs.sql");
    let read = |results: &[Vec<Row>]| {
        let [steps, about] = results else {
            let count = results.len();
            return Err(TdsError::garbled(format!("{count} results where two must be")));
        };
        checked("jobs", steps, nonce)?;
        let [about] = one(std::slice::from_ref(about), "log backups", nonce)? else {
            return Err(TdsError::garbled("the row about log backups came more than once"));
        };
        let mut found = Vec::new();
        for row in steps {
            if let (Some(job), Some(command)) = (text(row, "job")?, text(row, "command")?) {
                found.push(JobStep { job: plain(&job), command });
            }
        }
        let sees = integer(about, "sees_sessions")? != Some(0);
        let agents = integer(about, "agent_sessions")?.unwrap_or_default();
        Ok(LogBackups {
            steps: found,
            last_s: integer(about, "last_log_backup_s")?,
            full_s: integer(about, "last_full_backup_s")?,
            agent_running: sees.then_some(agents > 0),
        })
    };
    session.ask(sql, &[&nonce, &database], limit, read).await
}

fn one<'r>(results: &'r [Vec<Row>], name: &str, nonce: i64) -> Result<&'r [Row], TdsError> {
    let [rows] = results else {
        let count = results.len();
        return Err(TdsError::garbled(format!("{count} results where one must be")));
    };
    checked(name, rows, nonce)?;
    Ok(rows)
}
