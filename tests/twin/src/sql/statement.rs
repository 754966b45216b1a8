//! Statements of a batch, as parsed: names not yet bound, queries still as `sqlparser` has them.

use sqlparser::ast;

use super::types::Type;
use crate::world::setup::Change;

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
    WaitFor(Box<ast::Expr>),
    Begin,
    Commit,
    Rollback,
    Return,
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
    /// `RESTORE VERIFYONLY` and `RESTORE HEADERONLY`
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
    SetUp(Vec<Change>),
    /// DBCC TRACESTATUS
    TraceStatus,
    /// A procedure call; parameters are read only for procedures that the twin has.
    Execute {
        name: String,
        arguments: Vec<(Option<String>, ast::Expr)>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Declaration {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) value: Option<ast::Expr>,
}

/// `RAISERROR (text, severity, state)` and `THROW number, text, state`.
#[derive(Clone, Debug)]
pub(crate) struct Raise {
    /// `THROW` brings its number and always has severity 16.
    pub(crate) number: Option<ast::Expr>,
    pub(crate) text: ast::Expr,
    pub(crate) severity: Option<ast::Expr>,
    pub(crate) state: ast::Expr,
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

/// What RESTORE looks at. The twin restores nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestoreAction {
    VerifyOnly,
    HeaderOnly,
}

impl Kind {
    /// `command` of `sys.dm_exec_requests`.
    pub(crate) fn command(&self) -> &'static str {
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
            Kind::SetUp(_) => "SET",
            Kind::TraceStatus => "DBCC",
            Kind::Backup(_) => "BACKUP DATABASE",
            Kind::Restore { .. } => "RESTORE HEADERONLY",
            Kind::Kill { .. } => "KILL",
            Kind::Execute { .. } => "EXECUTE",
        }
    }
}
