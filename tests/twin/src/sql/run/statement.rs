//! One statement: which kind of it is done where.

use std::time::Duration;

use jiff::SignedDuration;
use sqlparser::ast;

use crate::sql::convert::text_of;
use crate::sql::error::{Error, Result, of_world, undeclared_variable};
use crate::sql::moment;
use crate::sql::session::Session;
use crate::sql::statement::{Declaration, Kind, Statement};
use crate::sql::types::{Length, Type};
use crate::sql::value::Value;
use crate::world::{BackupKind, Command, DatabaseCommand, World};

use super::step::{Output, Step, Waiting, Work};
use super::{
    Run, alter, backup, change, console, deeds, finished, holds, one, setting, setup, table,
    transaction, with_done,
};

impl Run {
    /// Does a statement, beginning with what decides where the batch goes on.
    pub(super) fn statement(
        &mut self,
        statement: &Statement,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        match &statement.kind {
            Kind::Raise(raise) => self.raise(raise, statement.line, world, at, session),
            Kind::If { condition, then, otherwise } => {
                let branch = if holds(condition, world, at, session)? { then } else { otherwise };
                self.push(branch);
                Ok(Step::Send(Vec::new()))
            }
            Kind::While { condition, body } => {
                let (condition, body) = (condition.clone(), body.clone());
                self.work.push(Work::Loop { line: statement.line, condition, body });
                Ok(Step::Send(Vec::new()))
            }
            Kind::Break => self.leave_loop(true, session),
            Kind::Continue => self.leave_loop(false, session),
            Kind::Try { body, catch } => {
                self.work.push(Work::Guard(catch.clone()));
                self.push(body);
                Ok(Step::Send(Vec::new()))
            }
            Kind::WaitFor(delay) => self.delay(delay, world, at, session),
            Kind::Begin => Ok(transaction::begin(world, at, session)),
            Kind::Commit => self.commit(world, at, session),
            Kind::Rollback(name) => transaction::roll_back(name.as_deref(), world, at, session),
            Kind::Save(name) => transaction::save(name, world, at, session),
            Kind::Return => {
                self.work.clear();
                Ok(Step::Send(Vec::new()))
            }
            Kind::Execute { name, arguments } => self.execute(name, arguments, world, at, session),
            Kind::ExecuteText(text) => self.execute_text(text, world, at, session),
            Kind::Print(expr) => {
                let wide = Type::NVarChar(Length::Of(4000));
                let text = text_of(&one(expr, wide, world, at, session)?, wide, 0)?;
                let info = Error::new(0, 0, text).at_line(statement.line);
                Ok(with_done(session, Output::Info(info)))
            }
            kind => self.of_session(kind, world, at, session),
        }
    }

    /// What a session sets for itself.
    fn of_session(
        &mut self,
        kind: &Kind,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        match kind {
            Kind::Declare(declarations) => {
                for Declaration { name, ty, value } in declarations {
                    if let Some(expr) = value {
                        let value = one(expr, *ty, world, at, session)?;
                        session.variables.insert(Session::key(name), (*ty, value));
                    }
                }
                Ok(Step::Send(Vec::new()))
            }
            Kind::SetVariable { name, value } => {
                let key = Session::key(name);
                let known = session.variables.get(&key);
                let ty = known.map(|known| known.0).ok_or_else(|| undeclared_variable(name))?;
                let value = one(value, ty, world, at, session)?;
                session.variables.insert(key, (ty, value));
                Ok(Step::Send(Vec::new()))
            }
            Kind::SetOption { name, on } => {
                session.switch(name, *on);
                Ok(finished(session, None))
            }
            Kind::Setting { name, value } => setting::set(*name, value, world, at, session),
            Kind::Isolation(level) => {
                session.read_uncommitted(*level == 1);
                world.set_isolation(at, session.id, *level);
                Ok(finished(session, None))
            }
            Kind::LockTimeout(ms) => {
                session.lock_timeout = *ms;
                Ok(finished(session, None))
            }
            Kind::Use(name) => deeds::use_database(name, world, at, session),
            kind => self.of_data(kind, world, at, session),
        }
    }

    /// What reads and changes rows, tables and their backups.
    fn of_data(
        &mut self,
        kind: &Kind,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        match kind {
            Kind::Query(query) => self.query(query, world, at, session),
            Kind::DeclareTable(definition) => table::declare(definition, world, at, session),
            Kind::CreateTable(_)
            | Kind::AlterTable { .. }
            | Kind::DropTable { .. }
            | Kind::Truncate(_)
            | Kind::CreateIndex(_)
            | Kind::DropIndex { .. }
            | Kind::IdentityInsert { .. } => {
                self.before = alter::dependents(kind, world, at, session);
                let done = table::define(kind, world, at, session)?;
                self.settle(done, world, at, session)
            }
            Kind::Insert(insert) => {
                let done = change::insert(insert, world, at, session)?;
                self.settle(done, world, at, session)
            }
            Kind::Modify(modify) => {
                let done = change::modify(modify, world, at, session)?;
                self.settle(done, world, at, session)
            }
            Kind::Backup(statement) => {
                let kind = if statement.log { BackupKind::Log } else { BackupKind::Full };
                self.backup = Some((kind.verb(), statement.stats));
                let order = backup::order(statement, world, at, session)?;
                self.deed(Command::Backup(order), world, at, session)
            }
            Kind::RestoreDatabase(statement) => {
                let verb = if statement.log { "RESTORE LOG" } else { "RESTORE DATABASE" };
                self.backup = Some((verb, statement.stats));
                let order = backup::restore_order(statement, world, at, session)?;
                self.before = backup::obstacles(&order, world, at);
                self.deed(Command::Restore(order), world, at, session)
            }
            Kind::Restore { what, device } => {
                self.backup = Some((backup::called(*what), None));
                backup::restore(*what, device, world, at, session)
            }
            kind => self.of_server(kind, world, at, session),
        }
    }

    /// What administers the server, its databases and its groups.
    fn of_server(
        &mut self,
        kind: &Kind,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        match kind {
            Kind::Database { name, command, others, if_exists } => {
                self.altering = !matches!(command, DatabaseCommand::Create | DatabaseCommand::Drop);
                deeds::database(name, (command, *others, *if_exists), world, at, session)
            }
            Kind::Shutdown => deeds::shut_down(world, at, session),
            Kind::Checkpoint => deeds::checkpoint(session),
            Kind::Kill { session: id, status_only } => {
                deeds::kill(*id, *status_only, world, at, session)
            }
            Kind::AlterGroup { name, action } if world.is_local_group(at, name) => {
                let command = deeds::local_failover(name, *action);
                let command = command.ok_or_else(|| deeds::no_such_role(name))?;
                deeds::administer(command, world, at, session)
            }
            Kind::AlterGroup { name, action } => {
                let command = deeds::group_command(name.clone(), *action, session)?;
                self.deed(command, world, at, session)
            }
            Kind::AlterDatabase { name, action } => {
                let command = deeds::database_command(name.clone(), *action, session)?;
                self.deed(command, world, at, session)
            }
            Kind::SetUp(set_up) => setup::change(set_up.changes.clone(), world, at, session),
            Kind::Group(command) => deeds::administer(command.clone(), world, at, session),
            Kind::Console { what, quiet } => console::run(what, *quiet, world, at, session),
            // All others have been done above.
            _ => Ok(Step::Send(Vec::new())),
        }
    }

    fn delay(
        &mut self,
        delay: &ast::Expr,
        world: &World,
        at: &str,
        session: &Session,
    ) -> Result<Step> {
        let Value::Time(ticks) = one(delay, Type::Time(3), world, at, session)? else {
            let text = "Incorrect time syntax in time string used with WAITFOR.";
            return Err(Error::new(148, 15, text));
        };
        let millis = ticks / (moment::TICKS_PER_SECOND / 1000);
        let until = world.now() + SignedDuration::from_millis(millis);
        self.waiting = Some(Waiting::Until(until));
        Ok(Step::Wait(Duration::ZERO))
    }

    fn deed(
        &mut self,
        command: Command,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        let words = match command {
            Command::ForceFailover { .. }
            | Command::Failover { .. }
            | Command::SetRoleSecondary { .. } => "ALTER AVAILABILITY GROUP",
            Command::Suspend { .. } | Command::Resume { .. } => "ALTER DATABASE",
            Command::Backup(ref order) => order.kind.verb(),
            Command::Restore(ref order) => order.verb(),
        };
        let taken = world.execute(at, &session.origin(), command);
        let executed = taken.map_err(|error| of_world(&error))?;
        world.begin_request(at, session.id, words, Some(executed.operation));
        self.waiting = Some(Waiting::Operation(executed.operation));
        Ok(Step::Wait(Duration::ZERO))
    }
}
