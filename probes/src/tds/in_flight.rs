//! Whether a command of ours may still be at work on an instance.

use std::time::Duration;

use tiberius::Row;

use super::{
    error::TdsError,
    rows::{blind_to_sessions, checked, integer},
    session::Session,
};

/// Whether the instance still has a session of the program `program_name`, busy or idle, or runs a
/// change of an availability group for anybody. As long as it does, a command that was sent may
/// still come into effect. The asking session does not count; it should have another name.
///
/// An idle session counts too: what the other end had sent may wait unread. It is gone when the
/// server notices that the client is (at once if the process died, after its keep-alive time of
/// some 30 s if the host did).
pub async fn in_flight(
    session: &mut Session,
    program_name: &str,
    limit: Duration,
) -> Result<bool, TdsError> {
    let nonce = fastrand::i64(..);
    let sql = include_str!("sql/in_flight.sql");
    session.ask(sql, &[&nonce, &program_name], limit, |results| found(results, nonce)).await
}

fn found(results: &[Vec<Row>], nonce: i64) -> Result<bool, TdsError> {
    let [rows] = results else {
        let count = results.len();
        return Err(TdsError::garbled(format!("{count} results where one must be")));
    };
    checked("sessions", rows, nonce)?;
    let [row] = rows.as_slice() else {
        return Err(TdsError::garbled("the session row came more than once"));
    };
    blind_to_sessions(row)?;
    let found = integer(row, "found")?.ok_or_else(|| TdsError::garbled("NULL as a count"))?;
    Ok(found > 0)
}
