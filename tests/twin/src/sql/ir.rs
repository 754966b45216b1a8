//! Bound queries: every name is a place, every expression has a type.

use std::sync::Arc;

use super::functions::Function;
use super::types::Type;
use super::value::Value;
use super::views::View;
use crate::tables::Table;

/// An expression that gives a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) ty: Type,
    /// Whether the value can be NULL, as COLMETADATA tells.
    pub(crate) nullable: bool,
    pub(crate) node: Node,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Literal(Value),
    /// A column of a row in scope: `up` query levels out, at that place in the joined row.
    Column {
        up: usize,
        index: usize,
    },
    Variable(String),
    Convert {
        inner: Box<Scalar>,
        style: Option<Box<Scalar>>,
        or_null: bool,
    },
    Arithmetic {
        operator: Arithmetic,
        left: Box<Scalar>,
        right: Box<Scalar>,
    },
    Negate(Box<Scalar>),
    Case {
        branches: Vec<(Predicate, Scalar)>,
        otherwise: Option<Box<Scalar>>,
    },
    /// The first that is not NULL.
    Coalesce(Vec<Scalar>),
    Call(Function, Vec<Scalar>),
    Subquery(Box<Query>),
    /// The result of an aggregate of the query that this expression is in.
    Aggregate(usize),
    /// The result of a window function of that query.
    Window(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    BitAnd,
    BitOr,
    BitXor,
    Concat,
}

/// A condition: true, false or unknown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Predicate {
    Compare {
        operator: Comparison,
        left: Scalar,
        right: Scalar,
    },
    And(Box<Predicate>, Box<Predicate>),
    Or(Box<Predicate>, Box<Predicate>),
    Not(Box<Predicate>),
    IsNull(Scalar),
    Like {
        value: Scalar,
        pattern: Scalar,
        escape: Option<Scalar>,
    },
    /// The query has been given the type of `value` by the binder.
    InQuery {
        value: Scalar,
        query: Box<Query>,
    },
    Exists(Box<Query>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    pub(crate) body: Body,
    pub(crate) columns: Vec<Column>,
    pub(crate) order: Vec<(OrderKey, bool)>,
    pub(crate) offset: Option<Scalar>,
    pub(crate) fetch: Option<Scalar>,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name; empty if it has none.
    pub name: String,
    /// Its static type.
    pub ty: Type,
    /// Whether it can be NULL.
    pub nullable: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Select(Box<Select>),
    /// Both sides have the same number of columns, and the types of the result.
    Combine {
        operator: Combine,
        left: Box<Query>,
        right: Box<Query>,
    },
    Values(Vec<Vec<Scalar>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combine {
    UnionAll,
    Union,
    Intersect,
    Except,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Select {
    pub(crate) source: Source,
    pub(crate) filter: Option<Predicate>,
    /// Set if the query groups, by no key if it only aggregates.
    pub(crate) group: Option<Group>,
    pub(crate) having: Option<Predicate>,
    pub(crate) windows: Vec<Window>,
    pub(crate) items: Vec<Scalar>,
    /// Expressions of ORDER BY that are not in the select list; see [`OrderKey::Hidden`].
    pub(crate) hidden: Vec<Scalar>,
    pub(crate) distinct: bool,
    pub(crate) top: Option<Top>,
    /// Variables that the items are assigned to, if this is `SELECT @a = …`.
    pub(crate) assign: Option<Vec<(String, Type)>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Top {
    pub(crate) count: Scalar,
    pub(crate) percent: bool,
    pub(crate) with_ties: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) keys: Vec<Scalar>,
    pub(crate) aggregates: Vec<Aggregate>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aggregate {
    pub(crate) kind: AggregateKind,
    pub(crate) argument: Option<Scalar>,
    pub(crate) separator: Option<Scalar>,
    pub(crate) distinct: bool,
    pub(crate) ty: Type,
}

/// A function with OVER.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) kind: WindowKind,
    pub(crate) partition: Vec<Scalar>,
    /// Keys, and whether they descend.
    pub(crate) order: Vec<(Scalar, bool)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum WindowKind {
    RowNumber,
    Rank,
    DenseRank,
    /// The value of the row so many places before, or after if that is negative.
    Lag(Scalar, i64),
    /// Over the whole partition, or up to the current row and its peers if there is an order.
    Aggregate(Aggregate),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AggregateKind {
    Count,
    Sum,
    Average,
    Min,
    Max,
    StringAgg,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OrderKey {
    /// A column of the result.
    Item(usize),
    /// One of [`Select::hidden`].
    Hidden(usize),
}

/// A user table as it is while its statement runs.
#[derive(Clone, Debug)]
pub(crate) struct TableSource {
    pub(crate) table: Arc<Table>,
    /// Whether the number of the row follows its columns.
    pub(crate) numbered: bool,
}

impl PartialEq for TableSource {
    fn eq(&self, other: &TableSource) -> bool {
        Arc::ptr_eq(&self.table, &other.table) && self.numbered == other.numbered
    }
}

/// Where rows come from. A joined row is the left side's columns, then the right side's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// No FROM: one row without columns.
    One,
    /// A view, and the database that it was asked of.
    View(&'static View, String),
    Table(TableSource),
    Derived(Box<Query>),
    /// A function that gives rows.
    Call(Box<Call>),
    /// A common table expression that refers to itself.
    Recursive(Box<Recursive>),
    /// What it refers to there: the row that a round begins with.
    Working {
        id: usize,
        width: usize,
    },
    Join {
        kind: JoinKind,
        left: Box<Source>,
        right: Box<Source>,
        on: Option<Box<Predicate>>,
    },
}

/// A call of a function that gives rows; its arguments see the row beside it if it is applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) rowset: Rowset,
    pub(crate) arguments: Vec<Scalar>,
    pub(crate) width: usize,
}

/// A function that gives rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rowset {
    /// One of the catalog.
    Catalog(&'static View),
    /// STRING_SPLIT, and whether each part has its number.
    Split { ordinal: bool },
}

/// A common table expression that refers to itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recursive {
    pub(crate) id: usize,
    pub(crate) anchor: Query,
    pub(crate) steps: Vec<Query>,
    pub(crate) columns: Vec<Column>,
    /// How many rounds it may go on; no limit if it is 0.
    pub(crate) most: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    CrossApply,
    OuterApply,
}

impl Scalar {
    pub(crate) fn literal(ty: Type, value: Value) -> Scalar {
        let nullable = value.is_null();
        Scalar { ty, nullable, node: Node::Literal(value) }
    }

    pub(crate) fn is_null_literal(&self) -> bool {
        matches!(self.node, Node::Literal(Value::Null))
    }
}

impl Source {
    /// How many columns a row of it has.
    pub(crate) fn width(&self) -> usize {
        match self {
            Source::One => 0,
            Source::View(view, _) => view.columns.len(),
            Source::Table(source) => source.table.columns.len() + usize::from(source.numbered),
            Source::Derived(query) => query.columns.len(),
            Source::Call(call) => call.width,
            Source::Recursive(recursive) => recursive.columns.len(),
            Source::Working { width, .. } => *width,
            Source::Join { left, right, .. } => left.width() + right.width(),
        }
    }
}
