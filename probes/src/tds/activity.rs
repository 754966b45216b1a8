//! Who is at work in a database, and how much is written to its log.

use std::time::Duration;

use agent_core::sight::{Activity, User};
use tiberius::Row;

use super::{
    error::TdsError,
    rows::{blind_to_sessions, checked, integer, text},
    session::Session,
};
use crate::text::plain;

/// Who is at work in `database`. A login that can't see others' sessions gets an error, never an
/// empty answer.
pub async fn activity(
    session: &mut Session,
    database: &str,
    limit: Duration,
) -> Result<Activity, TdsError> {
    let nonce = fastrand::i64(..);
    let sql = include_str!("sql/activity.sql");
    session.ask(sql, &[&nonce, &database], limit, |results| read(results, nonce)).await
}

fn read(results: &[Vec<Row>], nonce: i64) -> Result<Activity, TdsError> {
    let [server, users] = results else {
        let count = results.len();
        return Err(TdsError::garbled(format!("{count} results where two must be")));
    };
    checked("server", server, nonce)?;
    checked("users", users, nonce)?;
    let [server] = server.as_slice() else {
        return Err(TdsError::garbled("the server row came more than once"));
    };
    blind_to_sessions(server)?;
    let known = |column| {
        let missing = || TdsError::garbled(format!("NULL as `{column}`"));
        integer(server, column)?.ok_or_else(missing)
    };
    if integer(server, "database_id")?.is_none() {
        return Err(TdsError::garbled("there is no such database, or the login may not know it"));
    }
    let mut activity = Activity {
        at_ms: known("ms_ticks")?,
        log_bytes_flushed: known("log_bytes_flushed")?,
        users: Vec::new(),
    };
    for row in users {
        let sessions = integer(row, "sessions")?.unwrap_or_default();
        if sessions == 0 {
            continue;
        }
        let word = |column| Ok(plain(&text(row, column)?.unwrap_or_default()));
        activity.users.push(User {
            login: word("login_name")?,
            program: word("program_name")?,
            host: word("host_name")?,
            sessions,
            transactions: integer(row, "transactions")?.unwrap_or_default(),
        });
    }
    Ok(activity)
}

#[cfg(test)]
#[path = "activity_tests.rs"]
mod tests;
