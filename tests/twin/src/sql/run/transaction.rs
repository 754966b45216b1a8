//! Transactions of a session.

use crate::sql::error::{Error, Result, of_world};
use crate::sql::session::Session;
use crate::world::World;

use super::{Output, Run, Step, Transaction, Waiting, finished, with_done};

/// What a statement has done, before it is committed if it stands alone.
pub(super) struct Done {
    pub(super) outputs: Vec<Output>,
}

/// BEGIN TRANSACTION.
pub(super) fn begin(world: &mut World, at: &str, session: &mut Session) -> Step {
    session.transactions += 1;
    if session.transactions == 1 {
        session.saved = vec![(None, session.temporary.clone())];
    }
    world.note_transactions(at, session.id, session.transactions);
    transaction(session, session.transactions == 1, Transaction::Begun)
}

/// ROLLBACK of all transactions, or to a save point.
pub(super) fn roll_back(
    name: Option<&str>,
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<Step> {
    if session.transactions == 0 {
        let text = "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.";
        return Err(Error::new(3903, 16, text));
    }
    if let Some(name) = name {
        let same = |saved: &Option<String>| {
            saved.as_ref().is_some_and(|saved| saved.eq_ignore_ascii_case(name))
        };
        if let Some(found) = session.saved.iter().rposition(|(saved, _)| same(saved)) {
            if session.doomed {
                let text = "The current transaction cannot be rolled back to a savepoint, because \
                            it cannot be committed. Roll back the entire transaction.";
                return Err(Error::new(3931, 16, text));
            }
            world.restore_work(at, session.id, name);
            session.temporary.clone_from(&session.saved[found].1);
            session.saved.truncate(found + 1);
            return Ok(finished(session, None));
        }
    }
    undo(world, at, session);
    Ok(transaction(session, true, Transaction::RolledBack))
}

/// SAVE TRANSACTION.
pub(super) fn save(name: &str, world: &mut World, at: &str, session: &mut Session) -> Result<Step> {
    if session.transactions == 0 {
        return Err(Error::new(
            628,
            16,
            "Cannot issue SAVE TRANSACTION when there is no active transaction.",
        ));
    }
    world.save_work(at, session.id, name);
    session.saved.push((Some(name.to_owned()), session.temporary.clone()));
    Ok(finished(session, None))
}

/// Undoes all that the session's transaction has done; `false` if there was none.
pub(super) fn undo(world: &mut World, at: &str, session: &mut Session) -> bool {
    let open = session.transactions > 0;
    world.discard_work(at, session.id);
    if open && let Some((_, before)) = session.saved.first() {
        session.temporary.clone_from(before);
    }
    session.saved.clear();
    session.transactions = 0;
    session.doomed = false;
    world.note_transactions(at, session.id, 0);
    open
}

impl Run {
    /// COMMIT of the innermost transaction; that of the outermost one writes the log.
    pub(super) fn commit(
        &mut self,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        if session.transactions == 0 {
            let text = "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.";
            return Err(Error::new(3902, 16, text));
        }
        if session.doomed {
            return Err(doomed());
        }
        let outermost = session.transactions == 1;
        if outermost {
            let Step::Send(outputs) = transaction(session, true, Transaction::Committed) else {
                return Ok(Step::Close);
            };
            session.saved.clear();
            session.transactions = 0;
            world.note_transactions(at, session.id, 0);
            return self.harden(outputs, world, at, session);
        }
        session.transactions -= 1;
        world.note_transactions(at, session.id, session.transactions);
        Ok(finished(session, None))
    }

    /// The end of a statement that may have changed tables: outside of a transaction it commits.
    pub(super) fn settle(
        &mut self,
        done: Done,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        if session.transactions > 0 {
            return Ok(Step::Send(done.outputs));
        }
        self.harden(done.outputs, world, at, session)
    }

    /// Writes what the session has changed into the log, and answers when it may.
    fn harden(
        &mut self,
        outputs: Vec<Output>,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        let committed = world.commit_work(at, session.id, &session.party);
        let waiting = committed.map_err(|error| of_world(&error))?;
        if waiting.is_empty() {
            return Ok(Step::Send(outputs));
        }
        self.waiting = Some(Waiting::Mirror(waiting, outputs));
        Ok(Step::Wait(std::time::Duration::ZERO))
    }
}

/// 3930
pub(super) fn doomed() -> Error {
    let text = "The current transaction cannot be committed and cannot support operations that \
                write to the log file. Roll back the transaction.";
    Error::new(3930, 16, text)
}

fn transaction(session: &mut Session, outermost: bool, what: Transaction) -> Step {
    if outermost { with_done(session, Output::Transaction(what)) } else { finished(session, None) }
}
