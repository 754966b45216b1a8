//! A reply that is being put together, and sent as it grows.

use std::io;

use tokio::io::AsyncWrite;

use crate::sql::{Column, Output, Row, Transaction, Value};

use super::gate::Gate;
use super::packet::MessageWriter;
use super::token::{self, Change};

/// How statements end: in a batch, or within a procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Batch,
    Procedure,
}

/// What has gathered of a reply and is not sent yet.
pub(super) struct Reply {
    scope: Scope,
    server: String,
    pub(super) out: Vec<u8>,
    /// The end of the last statement, held back until it is known whether more follows.
    pending: Option<Done>,
    /// The number of the last error, for the status of a procedure.
    pub(super) failed: i32,
    /// An error that ends the connection.
    pub(super) fatal: bool,
    /// Whether the client takes NBCROW.
    compact: bool,
    /// Whether anything has come back beside messages.
    pub(super) told: bool,
}

#[derive(Clone, Copy)]
struct Done {
    status: u16,
    command: u16,
    count: Option<u64>,
}

/// The session's transaction descriptors.
#[derive(Default)]
pub(super) struct Descriptors {
    current: u64,
    next: u64,
}

impl Descriptors {
    pub(super) fn begin(&mut self) -> Change {
        self.next += 1;
        self.current = self.next;
        Change::TransactionBegun(self.current)
    }

    pub(super) fn end(&mut self, what: Transaction) -> Change {
        let ended = std::mem::take(&mut self.current);
        match what {
            Transaction::Begun => self.begin(),
            Transaction::Committed => Change::TransactionCommitted(ended),
            Transaction::RolledBack => Change::TransactionRolledBack(ended),
        }
    }
}

impl Reply {
    pub(super) fn new(scope: Scope, server: &str, compact: bool) -> Reply {
        Reply {
            scope,
            server: server.to_owned(),
            out: Vec::new(),
            pending: None,
            failed: 0,
            fatal: false,
            compact,
            told: false,
        }
    }

    pub(super) fn add(&mut self, output: Output, descriptors: &mut Descriptors) {
        self.settle(token::MORE);
        match output {
            Output::Rows { columns, rows } => {
                self.told = true;
                self.rows(columns, &rows);
            }
            Output::Done { count, command, failed } => {
                self.told |= !failed;
                let status = if failed { token::FAILED } else { 0 };
                self.pending = Some(Done { status, command, count });
            }
            Output::Info(info) => token::message(&info, &self.server, &mut self.out),
            Output::Error(error) => {
                self.failed = error.number;
                self.fatal |= error.class >= 20;
                token::message(&error, &self.server, &mut self.out);
            }
            Output::Database { old, new } => {
                token::change(&Change::Database { new, old }, &mut self.out);
            }
            Output::Transaction(what) => token::change(&descriptors.end(what), &mut self.out),
        }
    }

    /// Writes the end of the last statement.
    pub(super) fn settle(&mut self, status: u16) {
        let Some(done) = self.pending.take() else { return };
        let (kind, status) = match self.scope {
            Scope::Batch => (token::DONE, status),
            Scope::Procedure => (token::DONE_IN_PROC, token::MORE),
        };
        token::done(kind, done.status | status, done.command, done.count, &mut self.out);
    }

    /// Ends a reply after which the connection ends, too.
    pub(super) fn end_for_good(&mut self) {
        match self.scope {
            Scope::Batch => self.end_batch(),
            Scope::Procedure => {
                self.settle(token::MORE);
                let status = token::FAILED | token::SERVER_ERROR;
                token::done(token::DONE_PROC, status, 0xE0, None, &mut self.out);
            }
        }
    }

    /// Ends a batch.
    pub(super) fn end_batch(&mut self) {
        self.pending.get_or_insert(Done { status: 0, command: 0xFD, count: None });
        self.settle(if self.fatal { token::SERVER_ERROR } else { 0 });
    }

    /// Ends a procedure: status, values that the client wants back, and whether more follow.
    pub(super) fn end_procedure(&mut self, returned: &[(u16, Column, Value)], more: bool) {
        self.settle(token::MORE);
        token::return_status(self.failed, &mut self.out);
        for (ordinal, column, value) in returned {
            token::return_value(*ordinal, column, value, &mut self.out);
        }
        let mut status = if more { token::MORE } else { 0 };
        if self.failed != 0 {
            status |= token::FAILED;
        }
        token::done(token::DONE_PROC, status, 0xE0, None, &mut self.out);
        self.failed = 0;
    }

    /// Sends the packets that are full, and the rest if this is the end.
    pub(super) async fn send<W: AsyncWrite + Unpin>(
        &mut self,
        writer: &mut MessageWriter<W>,
        gate: &Gate,
        end: bool,
    ) -> io::Result<()> {
        if end || self.out.len() > writer.packet_size {
            gate.outbound(self.out.len()).await?;
            writer.write(&mut self.out, end).await?;
        }
        Ok(())
    }

    fn rows(&mut self, mut columns: Vec<Column>, rows: &[Row]) {
        // A NULL in a column that cannot say so would shift all that follows.
        for (at, column) in columns.iter_mut().enumerate() {
            column.nullable |= rows.iter().any(|row| row.get(at).is_none_or(Value::is_null));
        }
        token::columns(&columns, &mut self.out);
        for row in rows {
            token::row(&columns, row, self.compact, &mut self.out);
        }
    }
}
