//! Statements that change something: the world, the session, or the client's mind.

use sqlparser::ast;

use crate::sql::convert::text_of;
use crate::sql::error::{Error, Result, unknown_database};
use crate::sql::session::{Permission, Session};
use crate::sql::statement::{DatabaseAction, GroupAction, Raise};
use crate::sql::types::{Length, Type};
use crate::sql::value::Value;
use crate::world::{Command, World};

use super::{OTHER, Output, Step, Transaction, finished, of_world, one, with_done};

/// RAISERROR and THROW.
pub(super) fn raised(
    raise: &Raise,
    line: u32,
    world: &World,
    at: &str,
    session: &mut Session,
) -> Result<Step> {
    let wide = Type::NVarChar(Length::Of(2048));
    let text = text_of(&one(&raise.text, wide, world, at, session)?, wide, 0)?;
    let number = |expr: &Option<ast::Expr>, default: i64| match expr {
        None => Ok(default),
        Some(expr) => match one(expr, Type::Int, world, at, session)? {
            Value::Int(n) => Ok(n),
            _ => Ok(default),
        },
    };
    let severity = number(&raise.severity, 16)?.clamp(0, 25);
    let state = number(&Some(raise.state.clone()), 1)?.clamp(0, 255);
    let error = Error {
        number: i32::try_from(number(&raise.number, 50_000)?).unwrap_or(50_000),
        class: u8::try_from(severity).unwrap_or(16),
        state: u8::try_from(state).unwrap_or(1),
        message: text,
        line,
    };
    if error.class > 18 && !session.may(Permission::ControlServer) {
        let text = "Error severity levels greater than 18 can only be specified by members of the \
                    sysadmin role, using the WITH LOG option.";
        return Err(Error::new(2754, 16, text));
    }
    if error.class <= 10 {
        return Ok(with_done(session, Output::Info(error)));
    }
    Err(error)
}

pub(super) fn use_database(
    name: &str,
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<Step> {
    let (old, new) = (session.database.clone(), enter(name, world, at, session)?);
    session.database.clone_from(&new);
    world.use_database(at, session.id, &new);
    session.error = 0;
    let info = Error::new(5701, 0, format!("Changed database context to '{new}'.")).state(2);
    Ok(Step::Send(vec![
        Output::Database { old, new },
        Output::Info(info),
        Output::Done { count: None, command: OTHER, failed: false },
    ]))
}

/// The database as it is really called, if the session may be in it.
///
/// Errors: 911, 916, and those of [`World::access`].
pub(crate) fn enter(name: &str, world: &World, at: &str, session: &Session) -> Result<String> {
    let databases = world.databases(at);
    let found = databases.iter().find(|database| database.name.eq_ignore_ascii_case(name));
    let found = found.ok_or_else(|| unknown_database(name))?;
    if found.database_id > 4 && !session.may(Permission::ConnectAnyDatabase) {
        let text = format!(
            "The server principal \"{}\" is not able to access the database \"{}\" under the \
             current security context.",
            session.login, found.name
        );
        return Err(Error::new(916, 14, text).state(2));
    }
    world.access(at, &found.name).map_err(|error| of_world(&error))?;
    Ok(found.name.clone())
}

/// ALTER AVAILABILITY GROUP, if the session may.
pub(super) fn group_command(
    group: String,
    action: GroupAction,
    session: &Session,
) -> Result<Command> {
    if session.transactions > 0 {
        let text = "ALTER AVAILABILITY GROUP statement cannot be used inside a user transaction.";
        return Err(Error::new(574, 16, text));
    }
    if !session.may(Permission::AlterAvailabilityGroup) {
        let text = format!(
            "Cannot alter the availability group '{group}', because it does not exist or you do \
             not have permission."
        );
        return Err(Error::new(15151, 16, text));
    }
    Ok(match action {
        GroupAction::Failover => Command::Failover { group },
        GroupAction::ForceFailoverAllowDataLoss => Command::ForceFailover { group },
        GroupAction::SetRoleSecondary => Command::SetRoleSecondary { group },
    })
}

/// ALTER DATABASE … SET HADR, if the session may.
pub(super) fn database_command(
    database: String,
    action: DatabaseAction,
    session: &Session,
) -> Result<Command> {
    if !session.may(Permission::AlterAnyDatabase) {
        let text = format!(
            "User does not have permission to alter database '{database}', the database does not \
             exist, or the database is not in a state that allows access checks."
        );
        return Err(Error::new(5011, 14, text).state(9));
    }
    Ok(match action {
        DatabaseAction::Suspend => Command::Suspend { database },
        DatabaseAction::Resume => Command::Resume { database },
    })
}

/// `KILL`, if the session may.
pub(super) fn kill(
    id: i64,
    status_only: bool,
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<Step> {
    if !session.may(Permission::AlterAnyConnection) {
        let text = "User does not have permission to use the KILL statement.";
        return Err(Error::new(6102, 14, text));
    }
    if status_only {
        let text = format!(
            "Status report cannot be obtained. Rollback operation for Process ID {id} is not in \
             progress."
        );
        return Err(Error::new(6120, 16, text));
    }
    world.kill(at, session.id, id).map_err(|error| of_world(&error))?;
    Ok(finished(session, None))
}

/// BEGIN TRANSACTION.
pub(super) fn begin(session: &mut Session) -> Step {
    session.transactions += 1;
    transaction(session, session.transactions == 1, Transaction::Begun)
}

/// COMMIT of the innermost transaction.
pub(super) fn commit(session: &mut Session) -> Result<Step> {
    if session.transactions == 0 {
        let text = "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.";
        return Err(Error::new(3902, 16, text));
    }
    session.transactions -= 1;
    Ok(transaction(session, session.transactions == 0, Transaction::Committed))
}

/// ROLLBACK of all transactions.
pub(super) fn roll_back(session: &mut Session) -> Result<Step> {
    if session.transactions == 0 {
        let text = "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.";
        return Err(Error::new(3903, 16, text));
    }
    session.transactions = 0;
    Ok(transaction(session, true, Transaction::RolledBack))
}

fn transaction(session: &mut Session, outermost: bool, what: Transaction) -> Step {
    if outermost { with_done(session, Output::Transaction(what)) } else { finished(session, None) }
}
