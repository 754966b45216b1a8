//! What a batch gives its client, and what it has still to do.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlparser::ast;

use crate::sql::error::Error;
use crate::sql::ir::Column;
use crate::sql::session::Tables;
use crate::sql::statement::Statement;
use crate::sql::types::Type;
use crate::sql::value::Value;
use crate::sql::views::Row;
use crate::world::{Mirroring, OperationId};

use super::Run;

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
pub(super) enum Work {
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
pub(super) struct Inner {
    pub(super) run: Box<Run>,
    pub(super) variables: Variables,
    pub(super) tables: Tables,
    /// Variables of the outer batch that get what parameters of the inner one have in the end.
    pub(super) outputs: Vec<(String, String)>,
}

pub(super) type Variables = std::collections::BTreeMap<String, (Type, Value)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raised {
    /// By no statement that raises errors.
    Itself,
    RaisError,
    Throw,
}

#[derive(Debug)]
pub(super) enum Waiting {
    Operation(OperationId),
    Until(Timestamp),
    /// Somebody else's lock.
    Lock,
    /// The other side of a link, to harden what has been committed.
    Mirror(Vec<Mirroring>, Vec<Output>),
}

/// The `CurCmd` of DONE tokens.
pub(super) const SELECT: u16 = 0xC1;
pub(super) const INSERT: u16 = 0xC3;
pub(super) const DELETE: u16 = 0xC4;
pub(super) const UPDATE: u16 = 0xC5;
pub(super) const OTHER: u16 = 0xFD;
