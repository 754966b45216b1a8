//! Runs a batch, statement by statement.
//!
//! A statement may need time (a failover, WAITFOR): [`Run::next`] then says so and is asked again
//! later. It never waits itself, and the world is only borrowed for the length of one call.

mod admin;
mod alter;
mod backup;
mod catalog;
mod change;
mod compile;
mod console;
mod deeds;
mod expression;
mod flow;
mod procedure;
mod record;
mod reference;
mod setting;
mod setup;
mod statement;
mod step;
mod store;
mod system;
mod table;
mod transaction;

use std::sync::Arc;

use jiff::Timestamp;

use crate::world::{Instance, World};

use super::error::{Error, Result};
use super::parse::parse_batch;
use super::session::Session;
use super::statement::{Kind, Statement};
use super::types::Type;
use super::value::Value;
use compile::{compile, declare};
use expression::{end, finished, holds, one, select, with_done};

pub(crate) use deeds::enter;
use step::{DELETE, INSERT, Inner, OTHER, Raised, SELECT, UPDATE, Waiting, Work};
pub use step::{Output, Step, Transaction};

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
}
