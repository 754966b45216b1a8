//! Logins of a server, and whether they are disabled.

use std::time::Duration;

use agent_core::sight::LoginState;
use tiberius::Row;

use super::{
    error::TdsError,
    rows::{blind_to_sessions, checked, integer, text},
    session::Session,
};

/// What the server knows of `logins`. One that it does not know, or that the asking login may not
/// see (VIEW ANY DEFINITION), is not in the answer.
pub async fn login_states(
    session: &mut Session,
    logins: &[String],
    limit: Duration,
) -> Result<Vec<LoginState>, TdsError> {
    let nonce = fastrand::i64(..);
    let list = format!("\n{}\n", logins.join("\n"));
    let read = |results: &[Vec<Row>]| {
        let [rows] = results else {
            let count = results.len();
            return Err(TdsError::garbled(format!("{count} results where one must be")));
        };
        checked("logins", rows, nonce)?;
        let mut found = Vec::new();
        for row in rows {
            blind_to_sessions(row)?;
            if let Some(name) = text(row, "login_name")? {
                let disabled = integer(row, "is_disabled")? == Some(1);
                let sessions = integer(row, "sessions")?.unwrap_or_default();
                found.push(LoginState { name, disabled, sessions });
            }
        }
        Ok(found)
    };
    session.ask(include_str!("sql/logins.sql"), &[&nonce, &list], limit, read).await
}
