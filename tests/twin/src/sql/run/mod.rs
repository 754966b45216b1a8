//! Runs a batch, statement by statement.
//!
//! A statement may need time (a failover, WAITFOR): [`Run::next`] then says so and is asked again
//! later. It never waits itself, and the world is only borrowed for the length of one call.

mod backup;
mod compile;
mod deeds;
mod procedure;
mod setup;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sqlparser::ast;

use crate::world::{
    BackupKind, Command, Instance, OperationId, Reply, SqlError, Statement as Fate, World,
};

use super::bind;
use super::convert::{convert, text_of};
use super::env::{Env, major};
use super::error::{Error, Result, undeclared_variable, unknown_database};
use super::eval::Evaluator;
use super::ir::{Body, Column};
use super::moment;
use super::parse::parse_batch;
use super::session::Session;
use super::statement::{Declaration, Kind, RestoreAction, Statement};
use super::types::{Length, Type};
use super::value::Value;
use super::views::Row;
use compile::{compile, declare};

pub(crate) use deeds::enter;

/// A batch that is being run.
#[derive(Debug)]
pub struct Run {
    /// What is left to do, the next statement last.
    work: Vec<Statement>,
    waiting: Option<Waiting>,
    /// The batch that `sp_executesql` runs, and this one's variables meanwhile.
    inner: Option<(Box<Run>, Variables)>,
    depth: usize,
    compiled: bool,
    /// Whether its session was ended by another.
    killed: bool,
    /// What the statement is called if it "is terminating abnormally", and its STATS.
    backup: Option<(&'static str, Option<u8>)>,
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

type Variables = BTreeMap<String, (Type, Value)>;

#[derive(Debug)]
enum Waiting {
    Operation(OperationId),
    Until(Timestamp),
}

/// The `CurCmd` of DONE tokens.
const SELECT: u16 = 0xC1;
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
        for (name, ty, value) in parameters {
            session.variables.insert(Session::key(&name), (ty, value));
        }
        let mut work = parse_batch(text)?;
        // A declaration holds for the whole batch, wherever it stands.
        declare(&work, session)?;
        work.reverse();
        Ok(Run {
            work,
            waiting: None,
            inner: None,
            depth,
            compiled: false,
            killed: false,
            backup: None,
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
            return self.failed(Error::new(596, 21, text), session);
        }
        if let Some((inner, _)) = &mut self.inner {
            match inner.next(world, at, session) {
                Step::Done => {
                    if let Some((_, variables)) = self.inner.take() {
                        session.variables = variables;
                    }
                }
                step => return step,
            }
        }
        if let Some(waiting) = self.waiting.take() {
            return self.look(waiting, world, session);
        }
        if !self.compiled {
            self.compiled = true;
            if let Some(error) = compile(self.work.iter().rev(), world, at, session) {
                self.work.clear();
                return self.failed(error, session);
            }
        }
        let Some(statement) = self.work.pop() else {
            world.end_request(at, session.id);
            return Step::Done;
        };
        let line = statement.line;
        self.backup = None;
        world.begin_request(at, session.id, statement.kind.command(), None);
        let done = self.statement(statement, world, at, session);
        match done {
            Ok(step) => step,
            Err(error) => self.failed(error.at_line(line), session),
        }
    }

    /// The client has cancelled, or is gone: nothing more is done. What an operation has already
    /// taken hold of goes on without it.
    pub fn cancel(&mut self, world: &mut World, at: &str, session: &mut Session) {
        if let Some((mut inner, variables)) = self.inner.take() {
            inner.cancel(world, at, session);
            session.variables = variables;
        }
        if let Some(Waiting::Operation(id)) = self.waiting.take() {
            world.abandon(id);
        }
        self.work.clear();
        world.end_request(at, session.id);
    }

    fn failed(&mut self, error: Error, session: &mut Session) -> Step {
        if error.ends_batch() {
            self.work.clear();
        }
        session.error = error.number;
        session.row_count = 0;
        let mut outputs = Vec::new();
        let line = error.line;
        let denied = error.number == 300;
        outputs.push(Output::Error(error));
        if denied {
            let text = "The user does not have permission to perform this action.";
            outputs.push(Output::Error(Error::new(297, 16, text).at_line(line)));
        }
        if let Some((what, _)) = self.backup.take() {
            let text = format!("{what} is terminating abnormally.");
            outputs.push(Output::Error(Error::new(3013, 16, text).at_line(line)));
        }
        outputs.push(Output::Done { count: None, command: OTHER, failed: true });
        Step::Send(outputs)
    }

    fn look(&mut self, waiting: Waiting, world: &mut World, session: &mut Session) -> Step {
        match waiting {
            Waiting::Until(until) => {
                let left = until.duration_since(world.now());
                if left > SignedDuration::ZERO {
                    self.waiting = Some(Waiting::Until(until));
                    return Step::Wait(left.unsigned_abs());
                }
                finished(session, None)
            }
            Waiting::Operation(id) => {
                let Some(operation) = world.operation(id) else { return Step::Close };
                match &operation.statement {
                    Fate::Running => {
                        self.waiting = Some(Waiting::Operation(id));
                        Step::Wait(Duration::from_secs(1))
                    }
                    Fate::Broken => Step::Close,
                    Fate::Returned | Fate::Failed(_) if operation.reply == Reply::Lost => {
                        Step::Silence
                    }
                    Fate::Failed(error) => self.failed(of_world(error), session),
                    Fate::Returned => {
                        let mut said = match self.backup.take() {
                            Some((_, stats)) => backup::told(id, stats, world),
                            None => Vec::new(),
                        };
                        said.push(end(session, None));
                        Step::Send(said)
                    }
                }
            }
        }
    }

    fn statement(
        &mut self,
        statement: Statement,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        match statement.kind {
            Kind::Query(query) => select(&query, world, at, session),
            Kind::Declare(declarations) => {
                for Declaration { name, ty, value } in declarations {
                    if let Some(expr) = value {
                        let value = one(&expr, ty, world, at, session)?;
                        session.variables.insert(Session::key(&name), (ty, value));
                    }
                }
                Ok(Step::Send(Vec::new()))
            }
            Kind::SetVariable { name, value } => {
                let key = Session::key(&name);
                let known = session.variables.get(&key);
                let ty = known.map(|known| known.0).ok_or_else(|| undeclared_variable(&name))?;
                let value = one(&value, ty, world, at, session)?;
                session.variables.insert(key, (ty, value));
                Ok(Step::Send(Vec::new()))
            }
            Kind::SetOption { name, on } => {
                if name == "NOCOUNT" {
                    session.no_count = on;
                }
                Ok(finished(session, None))
            }
            Kind::Use(name) => deeds::use_database(&name, world, at, session),
            Kind::Print(expr) => {
                let wide = Type::NVarChar(Length::Of(4000));
                let text = text_of(&one(&expr, wide, world, at, session)?, wide, 0)?;
                let info = Error::new(0, 0, text).at_line(statement.line);
                Ok(with_done(session, Output::Info(info)))
            }
            Kind::Raise(raise) => deeds::raised(&raise, statement.line, world, at, session),
            Kind::If { condition, then, otherwise } => {
                let truth = holds(&condition, world, at, session)?;
                let branch = if truth { then } else { otherwise };
                self.work.extend(branch.into_iter().rev());
                Ok(Step::Send(Vec::new()))
            }
            Kind::WaitFor(delay) => self.delay(&delay, world, at, session),
            Kind::Begin => {
                let step = deeds::begin(session);
                world.note_transactions(at, session.id, session.transactions);
                Ok(step)
            }
            Kind::Commit => {
                let step = deeds::commit(session);
                world.note_transactions(at, session.id, session.transactions);
                step
            }
            Kind::Rollback => {
                let step = deeds::roll_back(session);
                world.note_transactions(at, session.id, session.transactions);
                step
            }
            Kind::Backup(statement) => {
                let kind = if statement.log { BackupKind::Log } else { BackupKind::Full };
                self.backup = Some((kind.verb(), statement.stats));
                let order = backup::order(&statement, world, at, session)?;
                self.deed(Command::Backup(order), world, at, session)
            }
            Kind::Restore { what, device } => {
                let name = match what {
                    RestoreAction::VerifyOnly => backup::VERIFY,
                    RestoreAction::HeaderOnly => backup::HEADER,
                };
                self.backup = Some((name, None));
                backup::restore(what, &device, world, at, session)
            }
            Kind::Kill { session: id, status_only } => {
                deeds::kill(id, status_only, world, at, session)
            }
            Kind::Return => {
                self.work.clear();
                Ok(Step::Send(Vec::new()))
            }
            Kind::AlterGroup { name, action } => {
                let command = deeds::group_command(name, action, session)?;
                self.deed(command, world, at, session)
            }
            Kind::AlterDatabase { name, action } => {
                let command = deeds::database_command(name, action, session)?;
                self.deed(command, world, at, session)
            }
            Kind::SetUp(changes) => setup::change(changes, world, at, session),
            Kind::TraceStatus => Ok(setup::trace_status(world, at, session)),
            Kind::Execute { name, arguments } => {
                self.execute(&name, &arguments, world, at, session)
            }
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
        };
        let taken = world.execute(at, &session.origin(), command);
        let executed = taken.map_err(|error| of_world(&error))?;
        world.begin_request(at, session.id, words, Some(executed.operation));
        self.waiting = Some(Waiting::Operation(executed.operation));
        Ok(Step::Wait(Duration::ZERO))
    }
}

fn select(query: &ast::Query, world: &World, at: &str, session: &mut Session) -> Result<Step> {
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let query = bind::query(major(instance), session, query)?;
    let env = Env::new(world, instance, session);
    let rows = Evaluator::new(&env).rows(&query)?;
    let assign = match &query.body {
        Body::Select(select) => select.assign.as_ref(),
        Body::Combine { .. } | Body::Values(_) => None,
    };
    let Some(variables) = assign else { return Ok(sent(session, query.columns, rows)) };
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    // The last row is the one that stays.
    let last = rows.into_iter().next_back().unwrap_or_default();
    for ((name, ty), value) in variables.iter().zip(last) {
        session.variables.insert(name.clone(), (*ty, value));
    }
    Ok(finished(session, Some(count)))
}

fn holds(condition: &ast::Expr, world: &World, at: &str, session: &Session) -> Result<bool> {
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let predicate = bind::predicate(major(instance), session, condition)?;
    let env = Env::new(world, instance, session);
    Evaluator::new(&env).holds(&predicate)
}

/// One expression that stands alone, as a value of that type.
fn one(expr: &ast::Expr, ty: Type, world: &World, at: &str, session: &Session) -> Result<Value> {
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let scalar = bind::scalar(major(instance), session, expr)?;
    super::convert::check(scalar.ty, ty, false)?;
    let env = Env::new(world, instance, session);
    let value = Evaluator::new(&env).scalar(&scalar)?;
    convert(&value, scalar.ty, ty, 0)
}

fn sent(session: &mut Session, columns: Vec<Column>, rows: Vec<Row>) -> Step {
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    session.row_count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    session.error = 0;
    let counted = if session.no_count { None } else { Some(count) };
    let done = Output::Done { count: counted, command: SELECT, failed: false };
    Step::Send(vec![Output::Rows { columns, rows }, done])
}

fn finished(session: &mut Session, count: Option<u64>) -> Step {
    Step::Send(vec![end(session, count)])
}

fn end(session: &mut Session, count: Option<u64>) -> Output {
    session.row_count = count.and_then(|count| i64::try_from(count).ok()).unwrap_or(0);
    session.error = 0;
    let counted = if session.no_count { None } else { count };
    Output::Done { count: counted, command: OTHER, failed: false }
}

fn with_done(session: &mut Session, output: Output) -> Step {
    session.error = 0;
    Step::Send(vec![output, Output::Done { count: None, command: OTHER, failed: false }])
}

fn of_world(error: &SqlError) -> Error {
    Error {
        number: i32::try_from(error.number).unwrap_or(i32::MAX),
        class: error.class,
        state: error.state,
        message: error.message.clone(),
        line: 1,
    }
}
