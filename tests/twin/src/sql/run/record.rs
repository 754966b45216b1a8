//! What the truth door is told of statements that change how things are set up.
//!
//! Commands that the world carries out itself are noted there. This is for the others, and for
//! those that a session was not allowed to bring as far.

use std::sync::Arc;

use sqlparser::ast;

use crate::sql::bind;
use crate::sql::convert::text_of;
use crate::sql::env::Place;
use crate::sql::error::Error;
use crate::sql::session::Session;
use crate::sql::statement::{Argument, DatabaseAction, GroupAction, Kind};
use crate::world::{Command, SqlError, World};

/// Procedures of the system that change something.
const CHANGING: [&str; 7] = [
    "sp_update_job",
    "sp_start_job",
    "sp_multidb_milink",
    "sp_certificate_add_issuer",
    "sp_configure",
    "sp_delete_backuphistory",
    "sp_delete_database_backuphistory",
];

/// Notes a statement that has been carried out or refused, if it is one of those; what waits for
/// another session has not happened yet.
pub(super) fn note(
    kind: &Kind,
    error: Option<&Error>,
    world: &mut World,
    at: &str,
    session: &Session,
) {
    if error.is_some_and(|error| error.holder().is_some()) {
        return;
    }
    let Some(words) = words(kind, session) else { return };
    let told = error.map(|error| SqlError {
        number: u32::try_from(error.number).unwrap_or_default(),
        class: error.class,
        state: error.state,
        message: error.message.clone(),
    });
    world.note_command(at, session.origin(), words, told.as_ref().map_or(Ok(()), Err));
}

/// The statement in words, without secrets; none if it only reads, or concerns nobody but its
/// session.
fn words(kind: &Kind, session: &Session) -> Option<String> {
    if let Kind::SetUp(set_up) = kind {
        return Some(set_up.words.clone());
    }
    if let Kind::Kill { session, status_only: false } = kind {
        return Some(format!("KILL {session}"));
    }
    if let Kind::Group(command) = kind {
        return Some(command.words());
    }
    if let Kind::Database { name, command, .. } = kind {
        return Some(command.words(name));
    }
    if let Kind::AlterGroup { name, action } = kind {
        return Some(of_group(name.clone(), *action).words().0);
    }
    if let Kind::AlterDatabase { name, action } = kind {
        return Some(of_database(name.clone(), *action).words().0);
    }
    if let Some(words) = of_table(kind, session) {
        return Some(words);
    }
    if let Kind::Execute { name, arguments } = kind {
        return of_procedure(name, arguments, session);
    }
    // What they are about is only known once their variables are.
    let early = matches!(kind, Kind::Backup(_) | Kind::RestoreDatabase(_) | Kind::Shutdown);
    early.then(|| kind.command().to_owned())
}

/// A statement that changes a user table or what is in it, and the table, which others may have too:
/// none of the session's own.
fn of_table(kind: &Kind, session: &Session) -> Option<String> {
    let table = kind.table()?;
    let meant = match (kind, table.as_slice()) {
        (Kind::Modify(modify), [name]) => bind::aliased(&modify.from, name),
        _ => None,
    };
    let table = meant.as_ref().unwrap_or(table);
    let Some(Place::Database { database, key }) = Place::of(table, session) else { return None };
    let name = table.last().unwrap_or(&key);
    Some(format!("{} [{database}].dbo.[{name}]", kind.command()))
}

/// The command that ALTER AVAILABILITY GROUP gives.
pub(super) fn of_group(group: String, action: GroupAction) -> Command {
    match action {
        GroupAction::Failover => Command::Failover { group },
        GroupAction::ForceFailoverAllowDataLoss => Command::ForceFailover { group },
        GroupAction::SetRoleSecondary => Command::SetRoleSecondary { group },
    }
}

/// The command that ALTER DATABASE … SET HADR gives.
pub(super) fn of_database(database: String, action: DatabaseAction) -> Command {
    match action {
        DatabaseAction::Suspend => Command::Suspend { database },
        DatabaseAction::Resume => Command::Resume { database },
    }
}

fn of_procedure(name: &str, arguments: &[Argument], session: &Session) -> Option<String> {
    let bare = name.rsplit('.').next().unwrap_or(name);
    if !CHANGING.iter().any(|known| known.eq_ignore_ascii_case(bare)) {
        return None;
    }
    let shown = arguments.iter().map(|argument| {
        let value = value(&argument.value, session);
        match &argument.name {
            Some(name) => format!("{name} = {value}"),
            None => value,
        }
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    Some(format!("EXECUTE {name} {shown}").trim_end().to_owned())
}

/// A variable's value, where one is named: a call by RPC has nothing else.
fn value(expr: &ast::Expr, session: &Session) -> String {
    let variable = match expr {
        ast::Expr::Identifier(name) => session.variables.get(&Session::key(&name.value)),
        _ => None,
    };
    let known = variable.and_then(|(ty, value)| text_of(value, *ty, 0).ok());
    known.map_or_else(|| expr.to_string(), |text| format!("'{text}'"))
}

/// A batch as others may see it: of one that names a secret no more than that.
pub(super) fn shown(text: &str) -> Arc<str> {
    let upper = text.to_ascii_uppercase();
    let secret = ["PASSWORD", "SECRET"].into_iter().find(|word| upper.contains(word));
    match secret {
        Some(word) => Arc::from(format!("*{word}{:-<1$}", "", text.chars().count())),
        None => Arc::from(text),
    }
}
