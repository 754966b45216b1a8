//! Statements about user tables, as parsed.

use sqlparser::ast;

use super::types::Type;
use crate::tables::KeyKind;

/// A name of one to three parts.
pub(crate) type Name = Vec<String>;

/// `CREATE TABLE`, and what `DECLARE @t TABLE` says between its parentheses.
#[derive(Clone, Debug)]
pub(crate) struct TableDefinition {
    pub(crate) name: Name,
    pub(crate) columns: Vec<ColumnDefinition>,
    pub(crate) constraints: Vec<Constraint>,
}

#[derive(Clone, Debug)]
pub(crate) struct ColumnDefinition {
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// NULL or NOT NULL, if it is said.
    pub(crate) nullable: Option<bool>,
    pub(crate) identity: Option<(i64, i64)>,
}

/// A constraint, with its name if it is said.
#[derive(Clone, Debug)]
pub(crate) struct Constraint {
    pub(crate) name: Option<String>,
    pub(crate) rule: Rule,
}

#[derive(Clone, Debug)]
pub(crate) enum Rule {
    Key {
        kind: KeyKind,
        columns: Vec<String>,
    },
    Check(ast::Expr),
    Default {
        column: String,
        value: ast::Expr,
    },
    /// FOREIGN KEY; no columns are those of the other table's primary key.
    Reference {
        columns: Vec<String>,
        table: Name,
        to: Vec<String>,
    },
}

/// `ALTER TABLE`
#[derive(Clone, Debug)]
pub(crate) enum Alteration {
    Add { columns: Vec<ColumnDefinition>, constraints: Vec<Constraint> },
    DropColumns(Vec<String>),
    DropConstraints(Vec<String>),
    AlterColumn(ColumnDefinition),
}

/// `CREATE INDEX`
#[derive(Clone, Debug)]
pub(crate) struct IndexDefinition {
    pub(crate) name: String,
    pub(crate) unique: bool,
    pub(crate) table: Name,
    pub(crate) columns: Vec<String>,
}

/// `INSERT`
#[derive(Clone, Debug)]
pub(crate) struct Insert {
    /// The common table expressions before it.
    pub(crate) with: Option<ast::With>,
    pub(crate) target: Name,
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) output: Option<OutputClause>,
    pub(crate) source: InsertSource,
}

#[derive(Clone, Debug)]
pub(crate) enum InsertSource {
    /// Expressions; none is DEFAULT.
    Values(Vec<Vec<Option<ast::Expr>>>),
    Query(Box<ast::Query>),
    Defaults,
}

/// `UPDATE`, and `DELETE` which sets nothing.
#[derive(Clone, Debug)]
pub(crate) struct Modify {
    /// The common table expressions before it.
    pub(crate) with: Option<ast::With>,
    /// Its hints, as far as they change anything.
    pub(crate) hints: Option<Vec<ast::Setting>>,
    /// A table, or an alias of FROM.
    pub(crate) target: Name,
    pub(crate) top: Option<ast::Expr>,
    /// `None` in DELETE.
    pub(crate) set: Option<Vec<(Assigned, ast::Expr)>>,
    pub(crate) output: Option<OutputClause>,
    pub(crate) from: Vec<ast::TableWithJoins>,
    pub(crate) filter: Option<ast::Expr>,
}

/// What SET of UPDATE assigns to.
#[derive(Clone, Debug)]
pub(crate) enum Assigned {
    Column(String),
    Variable(String),
}

/// `OUTPUT list [INTO table [(columns)]]`
#[derive(Clone, Debug)]
pub(crate) struct OutputClause {
    pub(crate) items: Vec<ast::SelectItem>,
    pub(crate) into: Option<(Name, Option<Vec<String>>)>,
}
