//! Statements of a batch, as parsed: names not yet bound, queries still as `sqlparser` has them.

use std::sync::Arc;

use sqlparser::ast;

use super::definition::{Alteration, IndexDefinition, Insert, Modify, Name, TableDefinition};
use super::types::Type;
use crate::world::{DatabaseCommand, GroupCommand, Others, setup::Change};

/// One statement and the line that it begins on.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) line: u32,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Query(Box<ast::Query>),
    Declare(Vec<Declaration>),
    SetVariable {
        name: String,
        value: Box<ast::Expr>,
    },
    /// An option of the session that the twin takes note of, or that changes nothing it does.
    /// SET TRANSACTION ISOLATION LEVEL, by the number in `sys.dm_exec_sessions`.
    Isolation(u8),
    SetOption {
        name: String,
        on: bool,
    },
    Use(String),
    Print(Box<ast::Expr>),
    Raise(Box<Raise>),
    If {
        condition: Box<ast::Expr>,
        then: Vec<Statement>,
        otherwise: Vec<Statement>,
    },
    While {
        condition: Box<ast::Expr>,
        body: Arc<Vec<Statement>>,
    },
    Break,
    Continue,
    /// BEGIN TRY … END TRY BEGIN CATCH … END CATCH
    Try {
        body: Vec<Statement>,
        catch: Arc<Vec<Statement>>,
    },
    WaitFor(Box<ast::Expr>),
    Begin,
    /// COMMIT
    Commit,
    /// ROLLBACK, with a name if one is said
    Rollback(Option<String>),
    /// SAVE TRANSACTION
    Save(String),
    Return,
    /// SET LOCK_TIMEOUT, in ms; negative: for ever
    LockTimeout(i64),
    /// DECLARE @t TABLE
    DeclareTable(Box<TableDefinition>),
    CreateTable(Box<TableDefinition>),
    AlterTable {
        name: Name,
        alteration: Box<Alteration>,
    },
    DropTable {
        names: Vec<Name>,
        if_exists: bool,
    },
    Truncate(Name),
    CreateIndex(Box<IndexDefinition>),
    DropIndex {
        name: String,
        table: Name,
        if_exists: bool,
    },
    Insert(Box<Insert>),
    Modify(Box<Modify>),
    /// `SET IDENTITY_INSERT table ON`, or OFF
    IdentityInsert {
        table: Name,
        on: bool,
    },
    /// EXEC ('text')
    ExecuteText(Box<ast::Expr>),
    AlterGroup {
        name: String,
        action: GroupAction,
    },
    AlterDatabase {
        name: String,
        action: DatabaseAction,
    },
    /// `BACKUP DATABASE` and `BACKUP LOG`
    Backup(Box<BackupStatement>),
    /// `RESTORE DATABASE` and `RESTORE LOG`
    RestoreDatabase(Box<RestoreStatement>),
    /// CREATE, ALTER and DROP DATABASE
    Database {
        name: String,
        command: DatabaseCommand,
        others: Others,
        if_exists: bool,
    },
    /// SHUTDOWN
    Shutdown,
    /// CHECKPOINT, of the session's database
    Checkpoint,
    /// The forms of RESTORE that only look.
    Restore {
        what: RestoreAction,
        device: Box<DeviceName>,
    },
    /// `KILL session`
    Kill {
        session: i64,
        status_only: bool,
    },
    /// What changes how the server is set up.
    SetUp(SetUp),
    /// What makes, changes and drops availability groups, beside their roles.
    Group(GroupCommand),
    /// DBCC that only looks; `quiet` is WITH NO_INFOMSGS.
    Console {
        what: Console,
        quiet: bool,
    },
    /// `SET DATEFIRST 1` and other settings with a value.
    Setting {
        name: Setting,
        value: Box<ast::Expr>,
    },
    /// A procedure call; parameters are read only for procedures that the twin has.
    Execute {
        name: String,
        arguments: Vec<Argument>,
    },
}

/// What DBCC looks at; a database by its name or number, if one is said.
#[derive(Clone, Debug)]
pub(crate) enum Console {
    TraceStatus,
    LogSpace,
    LogInfo(Option<String>),
    OpenTransaction(Option<String>),
    InputBuffer(i64),
    UserOptions,
}

/// A setting of a session that has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    DateFirst,
    DateFormat,
    Language,
    TextSize,
}

/// Changes of how the server is set up, and the statement without what is secret in it.
#[derive(Clone, Debug)]
pub(crate) struct SetUp {
    pub(crate) words: String,
    pub(crate) changes: Vec<Change>,
}

/// An argument of a procedure call.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    pub(crate) name: Option<String>,
    pub(crate) value: ast::Expr,
    /// OUTPUT: the variable gets what the parameter has in the end.
    pub(crate) output: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Declaration {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) value: Option<ast::Expr>,
}

/// `RAISERROR (text, severity, state, …)`, `THROW number, text, state` and `THROW`.
#[derive(Clone, Debug)]
pub(crate) enum Raise {
    RaisError {
        text: ast::Expr,
        severity: ast::Expr,
        state: ast::Expr,
        arguments: Vec<ast::Expr>,
    },
    Throw {
        number: ast::Expr,
        text: ast::Expr,
        state: ast::Expr,
    },
    /// What the CATCH around it has caught.
    Again,
}

/// What ALTER AVAILABILITY GROUP asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupAction {
    Failover,
    ForceFailoverAllowDataLoss,
    SetRoleSecondary,
}

/// What ALTER DATABASE asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatabaseAction {
    Suspend,
    Resume,
}

/// A backup, its names not yet known: they may be variables.
#[derive(Clone, Debug)]
pub(crate) struct BackupStatement {
    pub(crate) log: bool,
    pub(crate) database: ast::Expr,
    pub(crate) devices: Vec<DeviceName>,
    pub(crate) copy_only: bool,
    pub(crate) checksums: bool,
    pub(crate) compressed: bool,
    pub(crate) overwrite: bool,
    pub(crate) name: Option<ast::Expr>,
    pub(crate) stats: Option<u8>,
}

/// `DISK = name` or `URL = name`.
#[derive(Clone, Debug)]
pub(crate) struct DeviceName {
    pub(crate) url: bool,
    pub(crate) name: ast::Expr,
}

/// A restore, its names not yet known: they may be variables.
#[derive(Clone, Debug)]
pub(crate) struct RestoreStatement {
    pub(crate) log: bool,
    pub(crate) database: ast::Expr,
    pub(crate) device: Option<DeviceName>,
    pub(crate) position: u32,
    pub(crate) moves: Vec<(ast::Expr, ast::Expr)>,
    pub(crate) no_recovery: bool,
    pub(crate) replace: bool,
    pub(crate) stats: Option<u8>,
    pub(crate) options: bool,
}

/// What RESTORE looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestoreAction {
    Verify,
    Header,
    FileList,
}

impl Kind {
    /// What decides whether the statements within it run.
    pub(crate) fn condition(&self) -> Option<&ast::Expr> {
        if let Kind::If { condition, .. } | Kind::While { condition, .. } = self {
            return Some(condition);
        }
        None
    }

    /// The statements within it, in their order.
    pub(crate) fn blocks(&self) -> Vec<&[Statement]> {
        if let Kind::If { then, otherwise, .. } = self {
            return vec![then, otherwise];
        }
        if let Kind::While { body, .. } = self {
            return vec![body];
        }
        if let Kind::Try { body, catch } = self {
            return vec![body, catch];
        }
        Vec::new()
    }

    /// The user table that it changes, or whose rows it changes, as it is called there: in UPDATE and
    /// DELETE perhaps by an alias of FROM.
    pub(crate) fn table(&self) -> Option<&Name> {
        if let Kind::CreateTable(definition) = self {
            return Some(&definition.name);
        }
        if let Kind::AlterTable { name, .. } | Kind::Truncate(name) = self {
            return Some(name);
        }
        if let Kind::DropTable { names, .. } = self {
            return names.first();
        }
        if let Kind::CreateIndex(definition) = self {
            return Some(&definition.table);
        }
        if let Kind::DropIndex { table, .. } = self {
            return Some(table);
        }
        if let Kind::Insert(insert) = self {
            return Some(&insert.target);
        }
        if let Kind::Modify(modify) = self { Some(&modify.target) } else { None }
    }

    /// `command` of `sys.dm_exec_requests`.
    pub(crate) fn command(&self) -> &'static str {
        match self {
            Kind::Query(_) => "SELECT",
            Kind::Declare(_) | Kind::SetVariable { .. } => "ASSIGN",
            Kind::SetOption { .. } | Kind::Isolation(_) => "SET OPTION",
            Kind::Use(_) => "USE DATABASE",
            Kind::Print(_) => "PRINT",
            Kind::Raise(_) => "RAISERROR",
            Kind::If { .. } => "CONDITIONAL",
            Kind::WaitFor(_) => "WAITFOR",
            Kind::Begin => "BEGIN TRANSACTION",
            Kind::Commit => "COMMIT TRANSACTION",
            Kind::Rollback(_) => "ROLLBACK TRANSACTION",
            Kind::Save(_) => "SAVE TRANSACTION",
            Kind::Return => "RETURN",
            Kind::While { .. } | Kind::Break | Kind::Continue | Kind::Try { .. } => "CONDITIONAL",
            Kind::LockTimeout(_) | Kind::IdentityInsert { .. } => "SET OPTION",
            Kind::DeclareTable(_) => "ASSIGN",
            Kind::CreateTable(_) => "CREATE TABLE",
            Kind::AlterTable { .. } => "ALTER TABLE",
            Kind::DropTable { .. } => "DROP TABLE",
            Kind::Truncate(_) => "TRUNCATE TABLE",
            Kind::CreateIndex(_) => "CREATE INDEX",
            Kind::DropIndex { .. } => "DROP INDEX",
            Kind::Insert(_) => "INSERT",
            Kind::Modify(modify) if modify.set.is_some() => "UPDATE",
            Kind::Modify(_) => "DELETE",
            Kind::AlterGroup { .. } => "ALTER AVAILABILITY GROUP",
            Kind::AlterDatabase { .. } => "ALTER DATABASE",
            Kind::SetUp(_) => "SET",
            Kind::Group(_) => "AVAILABILITY GROUP",
            Kind::Console { .. } => "DBCC",
            Kind::Setting { .. } => "SET OPTION",
            Kind::Backup(_) => "BACKUP DATABASE",
            Kind::Restore { .. } => "RESTORE HEADERONLY",
            Kind::RestoreDatabase(restore) if restore.log => "RESTORE LOG",
            Kind::RestoreDatabase(_) => "RESTORE DATABASE",
            Kind::Database { command: DatabaseCommand::Create, .. } => "CREATE DATABASE",
            Kind::Database { command: DatabaseCommand::Drop, .. } => "DROP DATABASE",
            Kind::Database { .. } => "ALTER DATABASE",
            Kind::Shutdown => "SHUTDOWN",
            Kind::Checkpoint => "CHECKPOINT",
            Kind::Kill { .. } => "KILL",
            Kind::Execute { .. } | Kind::ExecuteText(_) => "EXECUTE",
        }
    }
}
