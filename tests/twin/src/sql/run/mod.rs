//! Runs a batch, statement by statement.
//!
//! A statement may need time (a failover, WAITFOR): [`Run::next`] then says so and is asked again
//! later. It never waits itself, and the world is only borrowed for the length of one call.

mod alter;
mod backup;
mod catalog;
mod change;
mod compile;
mod deeds;
mod expression;
mod flow;
mod procedure;
mod record;
mod reference;
mod setup;
mod store;
mod system;
mod table;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sqlparser::ast;

use crate::world::{BackupKind, Command, DatabaseCommand, Instance, Mirroring, OperationId, World};

use super::convert::text_of;
use super::error::{Error, Result, of_world, undeclared_variable};
use super::ir::Column;
use super::moment;
use super::parse::parse_batch;
use super::session::{Session, Tables};
use super::statement::{Declaration, Kind, Statement};
use super::types::{Length, Type};
use super::value::Value;
use super::views::Row;
use compile::{compile, declare};
use expression::{end, finished, holds, one, select, with_done};

pub(crate) use deeds::enter;

/// A batch that is being run.
#[derive(Debug)]
pub struct Run {
    /// Its text, without passwords.
    text: Arc<str>,
    /// What is left to do, the next piece last.
    work: Vec<Work>,
    waiting: Option<Waiting>,
    /// The batch that `sp_executesql` runs, and this one's variables meanwhile.
    inner: Option<Inner>,
    depth: usize,
    /// Whether a batch around this one catches errors.
    guarded: bool,
    /// The error that ended this batch, for the one around it to catch.
    uncaught: Option<Error>,
    /// Whether an error ended this batch that ends the ones around it too.
    aborted: bool,
    /// How the error came about that is being dealt with.
    raised: Raised,
    /// Whether the statement changes rows: its failure says that it was terminated.
    changing: bool,
    /// The line of an error that CATCH has thrown again.
    rethrown: Option<u32>,
    /// Since when the statement waits for a lock.
    barred: Option<Timestamp>,
    compiled: bool,
    /// Whether its session was ended by another.
    killed: bool,
    /// What the statement is called if it "is terminating abnormally", and its STATS.
    backup: Option<(&'static str, Option<u8>)>,
    /// Errors that come before the one with which the statement fails.
    before: Vec<Error>,
    /// Whether it is an ALTER DATABASE: its failure says so.
    altering: bool,
    /// Whether it makes or alters a table: what fails of its keys has a second error.
    making: bool,
}

/// What the door has to do next.
#[derive(Debug)]
pub enum Step {
    /// Send this.
    Send(Vec<Output>),
    /// Ask again when the world has moved on; at the latest after this time of the world.
    Wait(Duration),
    /// The deed is done and its reply is lost: say nothing any more.
    Silence,
    /// The instance went away: close the connection.
    Close,
    /// There is nothing left.
    Done,
}

/// Something to tell the client.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A result.
    Rows {
        /// Its columns.
        columns: Vec<Column>,
        /// Its rows, as wide as the columns.
        rows: Vec<Row>,
    },
    /// The end of a statement.
    Done {
        /// How many rows it concerned, if it counts them.
        count: Option<u64>,
        /// What kind of statement it was, as the DONE token says.
        command: u16,
        /// Whether it failed.
        failed: bool,
    },
    /// Information: PRINT and the like.
    Info(Error),
    /// An error.
    Error(Error),
    /// The session is in another database.
    Database {
        /// The one that it was in.
        old: String,
        /// The one that it is in.
        new: String,
    },
    /// The outermost transaction began, was committed or was rolled back.
    Transaction(Transaction),
}

/// What happened to the outermost transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// BEGIN TRANSACTION
    Begun,
    /// COMMIT
    Committed,
    /// ROLLBACK
    RolledBack,
}

#[derive(Debug)]
enum Work {
    Do(Statement),
    /// WHILE, asked again each time it is reached.
    Loop {
        line: u32,
        condition: Box<ast::Expr>,
        body: Arc<Vec<Statement>>,
    },
    /// The end of a TRY block, and its CATCH.
    Guard(Arc<Vec<Statement>>),
    /// The end of a CATCH block.
    Caught,
}

/// A batch within a batch.
#[derive(Debug)]
struct Inner {
    run: Box<Run>,
    variables: Variables,
    tables: Tables,
    /// Variables of the outer batch that get what parameters of the inner one have in the end.
    outputs: Vec<(String, String)>,
}

type Variables = std::collections::BTreeMap<String, (Type, Value)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Raised {
    /// By no statement that raises errors.
    Itself,
    RaisError,
    Throw,
}

#[derive(Debug)]
enum Waiting {
    Operation(OperationId),
    Until(Timestamp),
    /// Somebody else's lock.
    Lock,
    /// The other side of a link, to harden what has been committed.
    Mirror(Vec<Mirroring>, Vec<Output>),
}

/// The `CurCmd` of DONE tokens.
const SELECT: u16 = 0xC1;
const INSERT: u16 = 0xC3;
const DELETE: u16 = 0xC4;
const UPDATE: u16 = 0xC5;
const OTHER: u16 = 0xFD;

impl Run {
    /// Parses a batch. `parameters` are its variables from the beginning.
    ///
    /// # Errors
    /// The first syntax error; nothing has happened then.
    pub fn batch(
        text: &str,
        parameters: Vec<(String, Type, Value)>,
        session: &mut Session,
    ) -> std::result::Result<Run, Error> {
        Run::nested(text, parameters, session, 1)
    }

    fn nested(
        text: &str,
        parameters: Vec<(String, Type, Value)>,
        session: &mut Session,
        depth: usize,
    ) -> Result<Run> {
        session.variables.clear();
        session.table_variables.clear();
        for (name, ty, value) in parameters {
            session.variables.insert(Session::key(&name), (ty, value));
        }
        let statements = parse_batch(text)?;
        // A declaration holds for the whole batch, wherever it stands.
        declare(&statements, session)?;
        Ok(Run {
            text: record::shown(text),
            work: statements.into_iter().rev().map(Work::Do).collect(),
            waiting: None,
            inner: None,
            depth,
            guarded: false,
            uncaught: None,
            aborted: false,
            raised: Raised::Itself,
            changing: false,
            rethrown: None,
            barred: None,
            compiled: false,
            killed: false,
            backup: None,
            before: Vec::new(),
            altering: false,
            making: false,
        })
    }

    /// Does the next piece of work.
    pub fn next(&mut self, world: &mut World, at: &str, session: &mut Session) -> Step {
        if self.killed {
            return Step::Close;
        }
        let up = world.instance(at).is_some_and(Instance::is_up);
        if up && !world.has_session(at, session.id) {
            self.killed = true;
            let text = "Cannot continue the execution because the session is in the kill state.";
            return self.failed(Error::new(596, 21, text), world, at, session);
        }
        if let Some(inner) = &mut self.inner {
            match inner.run.next(world, at, session) {
                Step::Done => {
                    if let Some(step) = self.leave_inner(world, at, session) {
                        return step;
                    }
                }
                step => return step,
            }
        }
        if let Some(waiting) = self.waiting.take()
            && let Some(step) = self.look(waiting, world, at, session)
        {
            return step;
        }
        if !self.compiled {
            self.compiled = true;
            world.note_text(at, session.id, self.text.clone());
            let statements = self.work.iter().rev().filter_map(|work| match work {
                Work::Do(statement) => Some(statement),
                Work::Loop { .. } | Work::Guard(_) | Work::Caught => None,
            });
            if let Some(error) = compile(statements, world, at, session) {
                self.work.clear();
                return self.failed(error, world, at, session);
            }
        }
        let Some(work) = self.work.pop() else { return self.ended(world, at, session) };
        let statement = match work {
            Work::Do(statement) => statement,
            Work::Loop { line, condition, body } => {
                return self.turn(line, condition, body, world, at, session);
            }
            Work::Guard(_) => return Step::Send(Vec::new()),
            Work::Caught => {
                session.caught.pop();
                return Step::Send(Vec::new());
            }
        };
        self.begin_statement(statement, world, at, session)
    }

    fn begin_statement(
        &mut self,
        statement: Statement,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Step {
        if session.implicit && session.transactions == 0 && Run::begins(&statement.kind) {
            self.work.push(Work::Do(statement));
            let begun = transaction::begin(world, at, session);
            let Step::Send(mut outputs) = begun else { return begun };
            outputs.retain(|output| matches!(output, Output::Transaction(_)));
            return Step::Send(outputs);
        }
        self.backup = None;
        self.before.clear();
        self.altering = false;
        self.making = matches!(statement.kind, Kind::CreateTable(_) | Kind::AlterTable { .. });
        self.raised = Raised::Itself;
        self.changing = matches!(statement.kind, Kind::Insert(_) | Kind::Modify(_));
        world.begin_request(at, session.id, statement.kind.command(), None);
        let noted = world.ledger().commands().len();
        let done = self.statement(&statement, world, at, session);
        if world.ledger().commands().len() == noted {
            record::note(&statement.kind, done.as_ref().err(), world, at, session);
        }
        match done {
            Ok(step) => {
                self.barred = None;
                step
            }
            Err(error) => match error.holder() {
                Some(holder) => self.bar(statement, holder, world, at, session),
                None => {
                    let line = self.rethrown.take().unwrap_or(statement.line);
                    self.failed(error.at_line(line), world, at, session)
                }
            },
        }
    }

    /// The client has cancelled, or is gone: nothing more is done. What an operation has already
    /// taken hold of goes on without it.
    pub fn cancel(&mut self, world: &mut World, at: &str, session: &mut Session) {
        if let Some(mut inner) = self.inner.take() {
            inner.run.cancel(world, at, session);
            (session.variables, session.table_variables) = (inner.variables, inner.tables);
        }
        if self.depth == 1 {
            session.caught.clear();
            if session.abort {
                transaction::undo(world, at, session);
            }
        }
        world.note_lock_wait(at, session.id, None);
        if let Some(Waiting::Operation(id)) = self.waiting.take() {
            world.abandon(id);
        }
        self.work.clear();
        world.end_request(at, session.id);
    }

    fn statement(
        &mut self,
        statement: &Statement,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        match &statement.kind {
            Kind::Query(query) => self.query(query, world, at, session),
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
            Kind::Print(expr) => {
                let wide = Type::NVarChar(Length::Of(4000));
                let text = text_of(&one(expr, wide, world, at, session)?, wide, 0)?;
                let info = Error::new(0, 0, text).at_line(statement.line);
                Ok(with_done(session, Output::Info(info)))
            }
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
            Kind::DeclareTable(definition) => table::declare(definition, world, at, session),
            Kind::CreateTable(_)
            | Kind::AlterTable { .. }
            | Kind::DropTable { .. }
            | Kind::Truncate(_)
            | Kind::CreateIndex(_)
            | Kind::DropIndex { .. }
            | Kind::IdentityInsert { .. } => {
                self.before = alter::dependents(&statement.kind, world, at, session);
                let done = table::define(&statement.kind, world, at, session)?;
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
            Kind::Database { name, command, others, if_exists } => {
                self.altering = !matches!(command, DatabaseCommand::Create | DatabaseCommand::Drop);
                deeds::database(name, (command, *others, *if_exists), world, at, session)
            }
            Kind::Shutdown => deeds::shut_down(world, at, session),
            Kind::Checkpoint => deeds::checkpoint(session),
            Kind::Restore { what, device } => {
                self.backup = Some((backup::called(*what), None));
                backup::restore(*what, device, world, at, session)
            }
            Kind::Kill { session: id, status_only } => {
                deeds::kill(*id, *status_only, world, at, session)
            }
            Kind::Return => {
                self.work.clear();
                Ok(Step::Send(Vec::new()))
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
            Kind::TraceStatus => Ok(setup::trace_status(world, at, session)),
            Kind::LogSpace => setup::log_space(world, at, session),
            Kind::Execute { name, arguments } => self.execute(name, arguments, world, at, session),
            Kind::ExecuteText(text) => self.execute_text(text, world, at, session),
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
