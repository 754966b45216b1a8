//! What runs next: loops, errors and who catches them, waiting.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use sqlparser::ast;

use crate::sql::error::{Error, Result, of_world};
use crate::sql::session::Session;
use crate::sql::statement::{Kind, Statement};
use crate::world::{Fate, Reply, Statement as Outcome, World};

use super::{
    OTHER, Output, Raised, Run, Step, Transaction, Waiting, Work, backup, end, finished, holds,
    select, table, transaction,
};

/// How often a lock, or a commit that waits for the other side, is looked at again.
const LOOK: Duration = Duration::from_millis(50);

impl Run {
    /// Puts statements in front of what is left to do.
    pub(super) fn push(&mut self, statements: &[Statement]) {
        self.work.extend(statements.iter().rev().cloned().map(Work::Do));
    }

    /// One more turn of a WHILE, if its condition holds.
    pub(super) fn turn(
        &mut self,
        line: u32,
        condition: Box<ast::Expr>,
        body: Arc<Vec<Statement>>,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Step {
        match holds(&condition, world, at, session) {
            Err(error) if error.holder().is_some() => {
                self.work.push(Work::Loop { line, condition, body });
                self.waiting = Some(Waiting::Lock);
                Step::Wait(LOOK)
            }
            Err(error) => self.failed(error.at_line(line), world, at, session),
            Ok(false) => Step::Send(Vec::new()),
            Ok(true) => {
                let statements = body.clone();
                self.work.push(Work::Loop { line, condition, body });
                self.push(&statements);
                Step::Send(Vec::new())
            }
        }
    }

    /// BREAK, and CONTINUE.
    pub(super) fn leave_loop(&mut self, for_good: bool, session: &mut Session) -> Result<Step> {
        let inside = self.work.iter().any(|work| matches!(work, Work::Loop { .. }));
        if !inside {
            let word = if for_good { "BREAK" } else { "CONTINUE" };
            let number = if for_good { 135 } else { 136 };
            let text =
                format!("Cannot use a {word} statement outside the scope of a WHILE statement.");
            return Err(Error::new(number, 15, text));
        }
        while let Some(work) = self.work.pop() {
            match work {
                Work::Loop { .. } => {
                    if !for_good {
                        self.work.push(work);
                    }
                    break;
                }
                Work::Caught => {
                    session.caught.pop();
                }
                Work::Do(_) | Work::Guard(_) => {}
            }
        }
        Ok(Step::Send(Vec::new()))
    }

    /// A query, or one that makes a table.
    pub(super) fn query(
        &mut self,
        query: &ast::Query,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        match table::into(query) {
            None => select(query, world, at, session),
            Some((name, query)) => {
                let done = table::select_into(&name, &query, world, at, session)?;
                self.settle(done, world, at, session)
            }
        }
    }

    /// What an error does: a TRY catches it, or the client hears of it.
    pub(super) fn failed(
        &mut self,
        error: Error,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Step {
        self.barred = None;
        world.note_lock_wait(at, session.id, None);
        session.error = error.number;
        session.row_count = 0;
        let aborts = match self.raised {
            Raised::RaisError => false,
            Raised::Throw => session.abort,
            Raised::Itself => error.dooms() || (session.abort && error.class > 10),
        };
        let catchable = error.class < 20 && self.backup.is_none();
        if catchable && error.number == 1205 {
            transaction::undo(world, at, session);
        }
        let own = !error.is_of_binding() && self.unwind(session);
        if catchable && (own || self.guarded) {
            session.doomed |= aborts && session.transactions > 0;
            if own {
                session.caught.push(error);
                return Step::Send(Vec::new());
            }
            self.uncaught = Some(error);
            self.work.clear();
            return Step::Send(Vec::new());
        }
        self.aborted = aborts || error.class >= 20;
        let thrown = self.raised == Raised::Throw;
        let ends = error.ends_batch() && self.raised == Raised::Itself;
        if ends || aborts || thrown {
            self.forget(session);
        }
        let mut outputs = self.said_of(error);
        if aborts && transaction::undo(world, at, session) {
            outputs.insert(outputs.len() - 1, Output::Transaction(Transaction::RolledBack));
        }
        Step::Send(outputs)
    }

    /// Goes to the CATCH of the innermost TRY of this batch; `false` if there is none.
    fn unwind(&mut self, session: &mut Session) -> bool {
        if !self.work.iter().any(|work| matches!(work, Work::Guard(_))) {
            return false;
        }
        while let Some(work) = self.work.pop() {
            match work {
                Work::Guard(catch) => {
                    self.work.push(Work::Caught);
                    self.push(&catch);
                    return true;
                }
                Work::Caught => {
                    session.caught.pop();
                }
                Work::Do(_) | Work::Loop { .. } => {}
            }
        }
        false
    }

    /// Drops what is left of the batch.
    pub(super) fn forget(&mut self, session: &mut Session) {
        for work in self.work.drain(..) {
            if matches!(work, Work::Caught) {
                session.caught.pop();
            }
        }
    }

    fn said_of(&mut self, error: Error) -> Vec<Output> {
        let mut outputs = Vec::new();
        let line = error.line;
        let denied = error.number == 300;
        let terminated = self.changing
            && matches!(error.number, 220 | 515 | 547 | 2601 | 2627 | 2628 | 8115 | 8134);
        let of_key =
            self.making && matches!(error.number, 1505 | 1767 | 1773 | 1776 | 1779 | 8111 | 8139);
        let terminated = terminated || error.number == 1505;
        let before = std::mem::take(&mut self.before);
        outputs.extend(before.into_iter().map(|error| Output::Error(error.at_line(line))));
        let alters = self.altering && error.number != 300 && error.class < 20;
        outputs.push(Output::Error(error));
        if alters {
            let text = "ALTER DATABASE statement failed.";
            outputs.push(Output::Error(Error::new(5069, 16, text).at_line(line)));
        }
        if of_key {
            let text = "Could not create constraint or index. See previous errors.";
            outputs.push(Output::Error(Error::new(1750, 16, text).at_line(line)));
        }
        if terminated {
            let text = "The statement has been terminated.";
            outputs.push(Output::Info(Error::new(3621, 0, text).state(0).at_line(line)));
        }
        if denied {
            let text = "The user does not have permission to perform this action.";
            outputs.push(Output::Error(Error::new(297, 16, text).at_line(line)));
        }
        if let Some((what, _)) = self.backup.take() {
            let text = format!("{what} is terminating abnormally.");
            outputs.push(Output::Error(Error::new(3013, 16, text).at_line(line)));
        }
        outputs.push(Output::Done { count: None, command: OTHER, failed: true });
        outputs
    }

    /// The end of a batch within this one: its variables are gone, and its error comes here.
    pub(super) fn leave_inner(
        &mut self,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Option<Step> {
        let inner = self.inner.take()?;
        let mut given = inner.variables;
        for (of_inner, own) in &inner.outputs {
            let value = session.variables.get(of_inner).cloned();
            if let (Some((from, value)), Some((ty, slot))) = (value, given.get_mut(own)) {
                *slot = super::super::convert::convert(&value, from, *ty, 0).ok()?;
            }
        }
        (session.variables, session.table_variables) = (given, inner.tables);
        self.aborted |= inner.run.aborted;
        if inner.run.aborted {
            self.forget(session);
        }
        let error = inner.run.uncaught?;
        // What was wrong with binding the inner batch is an error like any other out here.
        self.raised = inner.run.raised;
        Some(self.failed_inside(error, world, at, session))
    }

    fn failed_inside(
        &mut self,
        error: Error,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Step {
        session.error = error.number;
        if self.unwind(session) {
            session.caught.push(error);
            return Step::Send(Vec::new());
        }
        self.failed(error, world, at, session)
    }

    /// Nothing is left to do.
    pub(super) fn ended(&mut self, world: &mut World, at: &str, session: &mut Session) -> Step {
        if self.depth == 1 && session.doomed {
            let text = "Uncommittable transaction is detected at the end of the batch. The \
                        transaction is rolled back.";
            let mut outputs = self.said_of(Error::new(3998, 16, text));
            if transaction::undo(world, at, session) {
                outputs.insert(1, Output::Transaction(Transaction::RolledBack));
            }
            return Step::Send(outputs);
        }
        if self.depth == 1 {
            session.table_variables.clear();
        }
        world.end_request(at, session.id);
        Step::Done
    }

    /// Waits until a lock is free, for as long as the session has said.
    pub(super) fn bar(
        &mut self,
        statement: Statement,
        holder: u16,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Step {
        let now = world.now();
        let since = *self.barred.get_or_insert(now);
        let line = statement.line;
        if world.note_lock_wait(at, session.id, Some(holder)) {
            let text = format!(
                "Transaction (Process ID {}) was deadlocked on lock resources with another \
                 process and has been chosen as the deadlock victim. Rerun the transaction.",
                session.id
            );
            let error = Error::new(1205, 13, text).state(51).at_line(line);
            return self.failed(error, world, at, session);
        }
        let patience = session.lock_timeout;
        if patience >= 0 && now.duration_since(since) >= SignedDuration::from_millis(patience) {
            let text = "Lock request time out period exceeded.";
            let error = Error::new(1222, 16, text).state(51).at_line(line);
            return self.failed(error, world, at, session);
        }
        self.work.push(Work::Do(statement));
        self.waiting = Some(Waiting::Lock);
        Step::Wait(LOOK)
    }

    /// Whether what the batch waits for has come; nothing if it goes on with its work.
    pub(super) fn look(
        &mut self,
        waiting: Waiting,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Option<Step> {
        Some(match waiting {
            Waiting::Lock => {
                world.note_lock_wait(at, session.id, None);
                return None;
            }
            Waiting::Mirror(commits, outputs) => {
                let fates: Vec<Fate> =
                    commits.iter().map(|commit| world.mirrored(commit)).collect();
                if fates.contains(&Fate::Waits) {
                    self.waiting = Some(Waiting::Mirror(commits, outputs));
                    Step::Wait(LOOK)
                } else if fates.contains(&Fate::Unknown) {
                    Step::Close
                } else {
                    Step::Send(outputs)
                }
            }
            Waiting::Until(until) => {
                let left = until.duration_since(world.now());
                if left > SignedDuration::ZERO {
                    self.waiting = Some(Waiting::Until(until));
                    return Some(Step::Wait(left.unsigned_abs()));
                }
                finished(session, None)
            }
            Waiting::Operation(id) => {
                let Some(operation) = world.operation(id) else { return Some(Step::Close) };
                match operation.statement.clone() {
                    Outcome::Running => {
                        self.waiting = Some(Waiting::Operation(id));
                        Step::Wait(Duration::from_secs(1))
                    }
                    Outcome::Broken => Step::Close,
                    Outcome::Returned | Outcome::Failed(_) if operation.reply == Reply::Lost => {
                        Step::Silence
                    }
                    Outcome::Failed(error) => self.failed(of_world(&error), world, at, session),
                    Outcome::Returned => {
                        let mut said = match self.backup.take() {
                            Some((_, stats)) => {
                                let mut said = backup::told(id, stats, world);
                                said.extend(backup::told_of_restore(id, stats, world));
                                said
                            }
                            None => Vec::new(),
                        };
                        said.push(end(session, None));
                        Step::Send(said)
                    }
                }
            }
        })
    }

    /// Whether a statement begins a transaction by itself, where IMPLICIT_TRANSACTIONS is on.
    pub(super) fn begins(kind: &Kind) -> bool {
        match kind {
            Kind::Query(query) => match &*query.body {
                ast::SetExpr::Select(select) => !select.from.is_empty(),
                _ => true,
            },
            Kind::CreateTable(_)
            | Kind::AlterTable { .. }
            | Kind::DropTable { .. }
            | Kind::Truncate(_)
            | Kind::CreateIndex(_)
            | Kind::DropIndex { .. }
            | Kind::Insert(_)
            | Kind::Modify(_) => true,
            _ => false,
        }
    }
}
