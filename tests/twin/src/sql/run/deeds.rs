//! Statements that change something: the world, the session, or the client's mind.

use crate::sql::error::{Error, Result, of_world, unknown_database};
use crate::sql::session::{Permission, Session};
use crate::sql::statement::{DatabaseAction, GroupAction};
use crate::world::{Command, DatabaseCommand, GroupCommand, Others, World};

use super::{OTHER, Output, Step, finished, record};

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
    let intended = world.lets_intend(at, &found.name, session.read_only);
    intended.map_err(|error| of_world(&error))?;
    world.lets_in(at, &found.name, session.id).map_err(|error| of_world(&error))?;
    let made = world.instance(at).map(|instance| instance.setup().database(&found.name));
    if made.is_some_and(|made| made.restricted) && !session.may(Permission::AlterAnyDatabase) {
        let text = format!(
            "Database '{}' is in restricted mode. Only the database owner and members of the \
             dbcreator and sysadmin roles can access it.",
            found.name
        );
        return Err(Error::new(923, 14, text));
    }
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
    if !session.may_alter_group(&group) {
        let text = format!(
            "Cannot alter the availability group '{group}', because it does not exist or you do \
             not have permission."
        );
        return Err(Error::new(15151, 16, text));
    }
    Ok(record::of_group(group, action))
}

/// What a failover asks for where the group is a local one; none for a change of roles that only
/// distributed groups have here.
pub(super) fn local_failover(group: &str, action: GroupAction) -> Option<GroupCommand> {
    let name = group.to_owned();
    match action {
        GroupAction::Failover => Some(GroupCommand::FailOver { name, forced: false }),
        GroupAction::ForceFailoverAllowDataLoss => {
            Some(GroupCommand::FailOver { name, forced: true })
        }
        GroupAction::SetRoleSecondary => None,
    }
}

/// SET (ROLE = SECONDARY) of a local group: the twin has no group without a primary replica.
pub(super) fn no_such_role(group: &str) -> Error {
    let text = format!(
        "Cannot process the operation for '{group}'. The operation is not supported on this \
         availability group."
    );
    Error::new(41190, 16, text)
}

/// CREATE, ALTER and DROP AVAILABILITY GROUP beside roles, if the session may.
pub(super) fn administer(
    command: GroupCommand,
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<Step> {
    if session.transactions > 0 {
        let text = "AVAILABILITY GROUP statement cannot be used inside a user transaction.";
        return Err(Error::new(574, 16, text));
    }
    let may = match command.changed() {
        Some(group) => session.may_alter_group(group),
        None => session.may(Permission::AlterAvailabilityGroup),
    };
    if !may {
        let text = "User does not have permission to perform this action.";
        return Err(Error::new(15247, 16, text));
    }
    let who = session.origin();
    world.administer(at, &who, command).map_err(|error| of_world(&error))?;
    Ok(finished(session, None))
}

/// ALTER DATABASE … SET HADR, if the session may.
pub(super) fn database_command(
    database: String,
    action: DatabaseAction,
    session: &Session,
) -> Result<Command> {
    if !session.may(Permission::AlterAnyDatabase) {
        return Err(may_not_alter(&database));
    }
    Ok(record::of_database(database, action))
}

/// CREATE, ALTER and DROP DATABASE, if the session may.
pub(super) fn database(
    name: &str,
    (command, others, if_exists): (&DatabaseCommand, Others, bool),
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<Step> {
    if session.transactions > 0 {
        let text = "The statement is not allowed within a multi-statement transaction.";
        return Err(Error::new(226, 16, text).state(6));
    }
    let wanted = if *command == DatabaseCommand::Create {
        Permission::CreateAnyDatabase
    } else {
        Permission::AlterAnyDatabase
    };
    let may = session.may(wanted);
    if !may && *command == DatabaseCommand::Create {
        let text = "CREATE DATABASE permission denied in database 'master'.";
        return Err(Error::new(262, 14, text));
    }
    let found = world.databases(at);
    let found = found.iter().any(|database| database.name.eq_ignore_ascii_case(name));
    if if_exists && !found {
        return Ok(finished(session, None));
    }
    if !may && *command == DatabaseCommand::Drop {
        let text = format!(
            "Cannot drop the database '{name}', because it does not exist or you do not have \
             permission."
        );
        return Err(Error::new(3701, 11, text));
    }
    if !may {
        return Err(may_not_alter(name));
    }
    let own = session.database.eq_ignore_ascii_case(name);
    if own && *command == DatabaseCommand::Drop {
        let text = format!("Cannot drop database \"{name}\" because it is currently in use.");
        return Err(Error::new(3702, 16, text).state(3));
    }
    let who = (&session.origin(), session.id);
    let waits = world.change_database(at, who, name, command, others);
    if let Some(holder) = waits.map_err(|error| of_world(&error))? {
        return Err(Error::barred_by(holder));
    }
    if let DatabaseCommand::Rename(new) = command
        && own
    {
        session.database.clone_from(new);
        world.use_database(at, session.id, new);
    }
    Ok(finished(session, None))
}

/// SHUTDOWN, if the session may.
/// Pages of data that are not on disk are no matter here, so nothing comes of it.
pub(super) fn checkpoint(session: &mut Session) -> Result<Step> {
    if session.may(Permission::ControlServer) {
        return Ok(finished(session, None));
    }
    let database = &session.database;
    let text = format!("CHECKPOINT permission denied in database '{database}'.");
    Err(Error::new(262, 14, text))
}

pub(super) fn shut_down(world: &mut World, at: &str, session: &Session) -> Result<Step> {
    if !session.may(Permission::ControlServer) {
        let text = "User does not have permission to perform this action.";
        return Err(Error::new(6004, 14, text));
    }
    world.shut_down(at, &session.origin()).map_err(|error| of_world(&error))?;
    Ok(Step::Close)
}

fn may_not_alter(database: &str) -> Error {
    let text = format!(
        "User does not have permission to alter database '{database}', the database does not exist, \
         or the database is not in a state that allows access checks."
    );
    Error::new(5011, 14, text).state(9)
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
