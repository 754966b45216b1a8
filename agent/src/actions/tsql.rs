//! What a session says of a statement, in the terms of the core: what that means is said there.

use agent_core::{
    Action, Silence, SilenceKind,
    deed::Sent,
    reply::{self, StatementReply},
};
use probes::tds::TdsError;

/// From what the session says of the statement that was to bring `action` about. `login` is who
/// acted.
pub(crate) fn sent(executed: Result<(), TdsError>, action: &Action, login: &str) -> Sent {
    reply::statement(reply(executed), action, login)
}

fn reply(executed: Result<(), TdsError>) -> StatementReply {
    let Err(error) = executed else { return StatementReply::Done };
    let (number, why) = (error.number(), error.to_string());
    match number {
        _ if error.nothing_sent() => StatementReply::NotLeft { number, why },
        Some(number) if !error.unknown() => StatementReply::Failed { number, why },
        Some(_) | None => StatementReply::Open { why },
    }
}

/// What a question to msdb failed with, which has rights of its own.
pub(crate) fn unread(error: &TdsError) -> Silence {
    let silence = error.silence();
    match error.number() {
        Some(229 | 916) if silence.kind == SilenceKind::Denied => Silence {
            detail: format!(
                "{}; give the login the rights in msdb that deploy/sql/grants.sql names",
                silence.detail
            ),
            ..silence
        },
        Some(_) | None => silence,
    }
}

#[cfg(test)]
#[path = "tsql_tests.rs"]
mod tests;
