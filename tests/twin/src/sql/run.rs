//! Runs a batch, statement by statement.
//!
//! A statement may need time (a failover, WAITFOR): [`Run::next`] then says so and is asked again
//! later. It never waits itself, and the world is only borrowed for the length of one call.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::world::{Command, OperationId, Reply, SqlError, Statement as Fate, World};

use super::bind;
use super::convert::{convert, text_of};
use super::env::{Env, major};
use super::error::{Error, Result, unknown_database};
use super::eval::Evaluator;
use super::ir::{Body, Column};
use super::moment;
use super::parse::parse_batch;
use super::session::{Permission, Session};
use super::statement::{DatabaseAction, Declaration, GroupAction, Kind, Raise, Statement};
use super::types::{Length, Type};
use super::value::Value;
use super::views::Row;

/// Batches within batches, by `sp_executesql`.
const MAX_NESTING: usize = 32;

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
        Ok(Run { work, waiting: None, inner: None, depth, compiled: false })
    }

    /// Does the next piece of work.
    pub fn next(&mut self, world: &mut World, at: &str, session: &mut Session) -> Step {
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
                    Fate::Returned => finished(session, None),
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
        let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
        let version = major(instance);
        match statement.kind {
            Kind::Query(query) => {
                let query = bind::query(version, session, &query)?;
                let env = Env::new(world, instance, session);
                let rows = Evaluator::new(&env).rows(&query)?;
                let assign = match &query.body {
                    Body::Select(select) => select.assign.as_ref(),
                    Body::Combine { .. } | Body::Values(_) => None,
                };
                Ok(match assign {
                    Some(variables) => {
                        let count = rows.len();
                        for (name, value) in
                            variables.iter().zip(rows.into_iter().next_back().unwrap_or_default())
                        {
                            session.variables.insert(name.0.clone(), (name.1, value));
                        }
                        finished(session, u64::try_from(count).ok())
                    }
                    None => sent(session, query.columns, rows),
                })
            }
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
                let Some((ty, _)) = session.variables.get(&key) else {
                    return Err(super::error::undeclared_variable(&name));
                };
                let ty = *ty;
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
            Kind::Use(name) => use_database(&name, world, at, session),
            Kind::Print(expr) => {
                let wide = Type::NVarChar(Length::Of(4000));
                let text = text_of(&one(&expr, wide, world, at, session)?, wide, 0)?;
                let info = Error::new(0, 0, text).at_line(statement.line);
                Ok(with_done(session, Output::Info(info)))
            }
            Kind::Raise(raise) => raised(&raise, statement.line, world, at, session),
            Kind::If { condition, then, otherwise } => {
                let predicate = bind::predicate(version, session, &condition)?;
                let env = Env::new(world, instance, session);
                let branch = if Evaluator::new(&env).holds(&predicate)? { then } else { otherwise };
                self.work.extend(branch.into_iter().rev());
                Ok(Step::Send(Vec::new()))
            }
            Kind::WaitFor(delay) => {
                let ty = Type::Time(3);
                let Value::Time(ticks) = one(&delay, ty, world, at, session)? else {
                    return Err(Error::new(
                        148,
                        15,
                        "Incorrect time syntax in time string used with WAITFOR.",
                    ));
                };
                let millis = ticks / (moment::TICKS_PER_SECOND / 1000);
                let until = world.now() + SignedDuration::from_millis(millis);
                self.waiting = Some(Waiting::Until(until));
                Ok(Step::Wait(Duration::ZERO))
            }
            Kind::Begin => {
                session.transactions += 1;
                Ok(transaction(session, session.transactions == 1, Transaction::Begun))
            }
            Kind::Commit => {
                if session.transactions == 0 {
                    let text = "The COMMIT TRANSACTION request has no corresponding BEGIN \
                                TRANSACTION.";
                    return Err(Error::new(3902, 16, text));
                }
                session.transactions -= 1;
                Ok(transaction(session, session.transactions == 0, Transaction::Committed))
            }
            Kind::Rollback => {
                if session.transactions == 0 {
                    let text = "The ROLLBACK TRANSACTION request has no corresponding BEGIN \
                                TRANSACTION.";
                    return Err(Error::new(3903, 16, text));
                }
                session.transactions = 0;
                Ok(transaction(session, true, Transaction::RolledBack))
            }
            Kind::Return => {
                self.work.clear();
                Ok(Step::Send(Vec::new()))
            }
            Kind::AlterGroup { name, action } => {
                let command = group_command(name, action, session)?;
                self.deed(command, world, at, session)
            }
            Kind::AlterDatabase { name, action } => {
                let command = database_command(name, action, session)?;
                self.deed(command, world, at, session)
            }
            Kind::Execute { name, arguments } => {
                self.execute(&name, &arguments, world, at, session)
            }
        }
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
        };
        let taken = world.execute(at, &session.origin(), command);
        let executed = taken.map_err(|error| of_world(&error))?;
        world.begin_request(at, session.id, words, Some(executed.operation));
        self.waiting = Some(Waiting::Operation(executed.operation));
        Ok(Step::Wait(Duration::ZERO))
    }

    fn execute(
        &mut self,
        name: &str,
        arguments: &[(Option<String>, sqlparser::ast::Expr)],
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        let bare = name.rsplit('.').next().unwrap_or(name);
        if !bare.eq_ignore_ascii_case("sp_executesql") {
            let text = format!("Could not find stored procedure '{name}'.");
            return Err(Error::new(2812, 16, text).state(62));
        }
        if self.depth >= MAX_NESTING {
            let text = "Maximum stored procedure, function, trigger, or view nesting level \
                        exceeded (limit 32).";
            return Err(Error::new(217, 16, text));
        }
        let missing = || {
            let text = "Procedure or function 'sp_executesql' expects parameter '@statement', \
                        which was not supplied.";
            Error::new(201, 16, text).state(4)
        };
        let wide = Type::NVarChar(Length::Max);
        let mut rest = arguments.iter();
        let (_, first) = rest.next().ok_or_else(missing)?;
        let Value::Text(text) = one(first, wide, world, at, session)? else {
            return Err(missing());
        };
        let mut parameters = Vec::new();
        if let Some((_, definitions)) = rest.next() {
            let Value::Text(definitions) = one(definitions, wide, world, at, session)? else {
                return Err(missing());
            };
            for (position, (name, ty)) in
                super::parse::parse_parameters(&definitions)?.into_iter().enumerate()
            {
                let values = &arguments[2..];
                let named = values.iter().find(|(given, _)| {
                    given.as_ref().is_some_and(|given| given.eq_ignore_ascii_case(&name))
                });
                let placed = values.get(position).filter(|(given, _)| given.is_none());
                let Some((_, expr)) = named.or(placed) else {
                    let text = format!(
                        "The parameterized query '{text}' expects the parameter '{name}', which \
                         was not supplied."
                    );
                    return Err(Error::new(8178, 16, text));
                };
                parameters.push((name, ty, one(expr, ty, world, at, session)?));
            }
        }
        let outer = std::mem::take(&mut session.variables);
        match Run::nested(&text, parameters, session, self.depth + 1) {
            Ok(inner) => {
                self.inner = Some((Box::new(inner), outer));
                Ok(Step::Send(Vec::new()))
            }
            Err(error) => {
                session.variables = outer;
                Err(error)
            }
        }
    }
}

impl Kind {
    /// `command` of `sys.dm_exec_requests`.
    fn command(&self) -> &'static str {
        match self {
            Kind::Query(_) => "SELECT",
            Kind::Declare(_) | Kind::SetVariable { .. } => "ASSIGN",
            Kind::SetOption { .. } => "SET OPTION",
            Kind::Use(_) => "USE DATABASE",
            Kind::Print(_) => "PRINT",
            Kind::Raise(_) => "RAISERROR",
            Kind::If { .. } => "CONDITIONAL",
            Kind::WaitFor(_) => "WAITFOR",
            Kind::Begin => "BEGIN TRANSACTION",
            Kind::Commit => "COMMIT TRANSACTION",
            Kind::Rollback => "ROLLBACK TRANSACTION",
            Kind::Return => "RETURN",
            Kind::AlterGroup { .. } => "ALTER AVAILABILITY GROUP",
            Kind::AlterDatabase { .. } => "ALTER DATABASE",
            Kind::Execute { .. } => "EXECUTE",
        }
    }
}

/// What is wrong in any statement keeps the whole batch from running; but names of objects are
/// only looked up when their statement is reached.
fn compile<'a>(
    statements: impl Iterator<Item = &'a Statement>,
    world: &World,
    at: &str,
    session: &Session,
) -> Option<Error> {
    let version = major(world.instance(at)?);
    let late = |error: &Error| matches!(error.number, 208 | 4121 | 7202);
    for statement in statements {
        let checked = match &statement.kind {
            Kind::Query(query) => bind::query(version, session, query).err(),
            Kind::SetVariable { value: expr, .. } | Kind::Print(expr) | Kind::WaitFor(expr) => {
                bind::scalar(version, session, expr).err()
            }
            Kind::Declare(list) => list
                .iter()
                .filter_map(|declaration| declaration.value.as_ref())
                .find_map(|value| bind::scalar(version, session, value).err()),
            Kind::If { condition, then, otherwise } => bind::predicate(version, session, condition)
                .err()
                .filter(|error| !late(error))
                .or_else(|| compile(then.iter().chain(otherwise), world, at, session)),
            Kind::SetOption { .. }
            | Kind::Use(_)
            | Kind::Raise(_)
            | Kind::Begin
            | Kind::Commit
            | Kind::Rollback
            | Kind::Return
            | Kind::AlterGroup { .. }
            | Kind::AlterDatabase { .. }
            | Kind::Execute { .. } => None,
        };
        if let Some(error) = checked.filter(|error| !late(error)) {
            let nested = matches!(statement.kind, Kind::If { .. }) && error.line > 1;
            return Some(if nested { error } else { error.at_line(statement.line) });
        }
    }
    None
}

fn declare(statements: &[Statement], session: &mut Session) -> Result<()> {
    for statement in statements {
        match &statement.kind {
            Kind::Declare(declarations) => {
                for Declaration { name, ty, .. } in declarations {
                    let key = Session::key(name);
                    if session.variables.insert(key, (*ty, Value::Null)).is_some() {
                        let text = format!(
                            "The variable name '{name}' has already been declared. Variable names \
                             must be unique within a query batch or stored procedure."
                        );
                        return Err(Error::new(134, 15, text).at_line(statement.line));
                    }
                }
            }
            Kind::If { then, otherwise, .. } => {
                declare(then, session)?;
                declare(otherwise, session)?;
            }
            Kind::Query(_)
            | Kind::SetVariable { .. }
            | Kind::SetOption { .. }
            | Kind::Use(_)
            | Kind::Print(_)
            | Kind::Raise(_)
            | Kind::WaitFor(_)
            | Kind::Begin
            | Kind::Commit
            | Kind::Rollback
            | Kind::Return
            | Kind::AlterGroup { .. }
            | Kind::AlterDatabase { .. }
            | Kind::Execute { .. } => {}
        }
    }
    Ok(())
}

/// One expression that stands alone, as a value of that type.
fn one(
    expr: &sqlparser::ast::Expr,
    ty: Type,
    world: &World,
    at: &str,
    session: &Session,
) -> Result<Value> {
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
    session.row_count = count.and_then(|count| i64::try_from(count).ok()).unwrap_or(0);
    session.error = 0;
    let counted = if session.no_count { None } else { count };
    Step::Send(vec![Output::Done { count: counted, command: OTHER, failed: false }])
}

fn with_done(session: &mut Session, output: Output) -> Step {
    session.error = 0;
    Step::Send(vec![output, Output::Done { count: None, command: OTHER, failed: false }])
}

fn transaction(session: &mut Session, outermost: bool, what: Transaction) -> Step {
    if outermost { with_done(session, Output::Transaction(what)) } else { finished(session, None) }
}

fn raised(
    raise: &Raise,
    line: u32,
    world: &World,
    at: &str,
    session: &mut Session,
) -> Result<Step> {
    let wide = Type::NVarChar(Length::Of(2048));
    let text = text_of(&one(&raise.text, wide, world, at, session)?, wide, 0)?;
    let number = |expr: &Option<sqlparser::ast::Expr>, default: i64| match expr {
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

fn use_database(name: &str, world: &mut World, at: &str, session: &mut Session) -> Result<Step> {
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

fn group_command(group: String, action: GroupAction, session: &Session) -> Result<Command> {
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

fn database_command(
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

fn of_world(error: &SqlError) -> Error {
    Error {
        number: i32::try_from(error.number).unwrap_or(i32::MAX),
        class: error.class,
        state: error.state,
        message: error.message.clone(),
        line: 1,
    }
}
