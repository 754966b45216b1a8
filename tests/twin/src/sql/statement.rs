//! Statements of a batch, as parsed: names not yet bound, queries still as `sqlparser` has them.

use sqlparser::ast;

use super::types::Type;

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
    /// `KILL session`
    Kill {
        session: i64,
        status_only: bool,
    },
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
