//! Names and types: from `sqlparser`'s tree to [`super::ir`].

mod aggregate;
mod call;
mod change;
mod expression;
mod list;
mod operator;
mod predicate;
mod query;
mod recursive;
mod rowset;
mod source;
mod window;

use sqlparser::ast;

use super::convert;
use super::env::Env;
use super::error::{
    Result, ambiguous_column, invalid_column, nested_too_deeply, syntax_near, unbound_identifier,
};
use super::ir::{Aggregate, Column, Node, Predicate, Query, Scalar, Window};
use super::session::Session;
use super::types::Type;
use super::value::Value;

pub(crate) use change::{Columns, Modification, aliased};

/// Expressions within expressions; a chain of operators counts each of its links.
const MAX_DEPTH: usize = 600;
/// MAXRECURSION, where it is not said.
const MOST_ROUNDS: u32 = 100;

/// Binds a query.
pub(crate) fn query(env: &Env<'_>, query: &ast::Query) -> Result<Query> {
    Binder::new(env).query(query, Place::Top)
}

/// Binds an expression that stands alone, in SET, PRINT and the like.
pub(crate) fn scalar(env: &Env<'_>, expr: &ast::Expr) -> Result<Scalar> {
    Binder::new(env).scalar(expr)
}

/// Binds a value of INSERT, which sees the common table expressions before the statement.
pub(crate) fn value(env: &Env<'_>, with: Option<&ast::With>, expr: &ast::Expr) -> Result<Scalar> {
    let mut binder = Binder::new(env);
    binder.define(with);
    binder.scalar(expr)
}

/// Binds the condition of IF.
pub(crate) fn predicate(env: &Env<'_>, expr: &ast::Expr) -> Result<Predicate> {
    Binder::new(env).predicate(expr)
}

/// The expression as a value of another type, if that happens without CAST.
pub(crate) fn converted(scalar: Scalar, ty: Type) -> Result<Scalar> {
    if scalar.ty == ty {
        return Ok(scalar);
    }
    if scalar.is_null_literal() {
        return Ok(Scalar::literal(ty, Value::Null));
    }
    convert::check(scalar.ty, ty, false)?;
    Ok(conversion(scalar, ty, None, false))
}

fn conversion(inner: Scalar, ty: Type, style: Option<Box<Scalar>>, or_null: bool) -> Scalar {
    let nullable = inner.nullable || or_null;
    Scalar { ty, nullable, node: Node::Convert { inner: Box::new(inner), style, or_null } }
}

/// Where a query stands: what it may do differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Top,
    /// In FROM: needs column names.
    Derived,
    /// A value, IN or EXISTS.
    Subquery,
}

struct Binder<'a> {
    env: &'a Env<'a>,
    session: &'a Session,
    /// Whether the rows of user tables bring their numbers.
    numbered: bool,
    scopes: Vec<Scope>,
    ctes: Vec<Cte>,
    /// How many recursive expressions have been bound, and how often they refer to themselves.
    recursions: usize,
    self_references: usize,
    /// MAXRECURSION; no limit if it is 0.
    most_rounds: u32,
    depth: usize,
}

/// The names that a query level brings.
#[derive(Default)]
struct Scope {
    tables: Vec<Table>,
    /// Set where aggregates may stand; the ones found so far.
    aggregates: Option<Vec<Aggregate>>,
    /// What is wrong with an aggregate here, if it is not set.
    refusal: Refusal,
    /// Set where window functions may stand; the ones found so far.
    windows: Option<Vec<Window>>,
}

#[derive(Clone, Copy, Default)]
enum Refusal {
    #[default]
    Where,
    Nested,
}

/// A named thing in FROM.
#[derive(Clone)]
struct Table {
    /// The alias, or the last part of the name.
    name: String,
    /// The name as far as it was written, for `sys.databases.name`; empty if there is an alias.
    qualified: Vec<String>,
    columns: Vec<Column>,
    /// Where its columns begin in the joined row.
    offset: usize,
}

#[derive(Clone)]
struct Cte {
    name: String,
    columns: Vec<String>,
    query: ast::Query,
    /// How many CTEs it sees itself.
    sees: usize,
    /// Set while the recursive part of it is bound.
    working: Option<Working>,
}

/// The rows of a recursive expression's last round.
#[derive(Clone)]
struct Working {
    id: usize,
    columns: Vec<Column>,
}

impl<'a> Binder<'a> {
    fn new(env: &'a Env<'a>) -> Binder<'a> {
        Binder {
            env,
            session: env.session,
            numbered: false,
            scopes: Vec::new(),
            ctes: Vec::new(),
            recursions: 0,
            self_references: 0,
            most_rounds: MOST_ROUNDS,
            depth: 0,
        }
    }

    fn deeper<T>(&mut self, bind: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(nested_too_deeply());
        }
        self.depth += 1;
        let result = bind(self);
        self.depth -= 1;
        result
    }

    /// Binds with one more level of names.
    fn within<T>(
        &mut self,
        scope: Scope,
        bind: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<(T, Scope)> {
        self.scopes.push(scope);
        let result = bind(self);
        let scope = self.scopes.pop().unwrap_or_default();
        Ok((result?, scope))
    }

    /// A column by its name, from the innermost level outwards.
    fn column(&self, parts: &[ast::Ident]) -> Result<Scalar> {
        let Some((last, qualifier)) = parts.split_last() else { return Err(syntax_near("")) };
        let shown = || -> String {
            parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".")
        };
        for (up, scope) in self.scopes.iter().rev().enumerate() {
            let mut found = None;
            let mut table_found = false;
            for table in scope.tables.iter().filter(|table| table.is_called(qualifier)) {
                table_found = true;
                for (at, column) in table.columns.iter().enumerate() {
                    if !column.name.eq_ignore_ascii_case(&last.value) {
                        continue;
                    }
                    if found.is_some() {
                        return Err(ambiguous_column(&shown()));
                    }
                    let index = table.offset + at;
                    let node = Node::Column { up, index };
                    found = Some(Scalar { ty: column.ty, nullable: column.nullable, node });
                }
            }
            if let Some(found) = found {
                return Ok(found);
            }
            if table_found && !qualifier.is_empty() {
                return Err(invalid_column(&last.value));
            }
        }
        if qualifier.is_empty() {
            Err(invalid_column(&last.value))
        } else {
            Err(unbound_identifier(&shown()))
        }
    }

    /// The name of a column of the innermost level, with its table, for messages.
    fn column_name(&self, index: usize) -> String {
        let tables = self.scopes.last().map_or(&[][..], |scope| &scope.tables);
        let table = tables
            .iter()
            .find(|table| (table.offset..table.offset + table.columns.len()).contains(&index));
        match table {
            Some(table) => {
                let column = &table.columns[index - table.offset].name;
                if table.qualified.is_empty() {
                    format!("{}.{column}", table.name)
                } else {
                    format!("{}.{column}", table.qualified.join("."))
                }
            }
            None => String::new(),
        }
    }
}

impl Table {
    /// Whether `a.b` in `a.b.column` means this table.
    fn is_called(&self, qualifier: &[ast::Ident]) -> bool {
        match qualifier {
            [] => true,
            [name] => self.name.eq_ignore_ascii_case(&name.value),
            _ => {
                let own = self.qualified.iter().rev();
                self.qualified.len() >= qualifier.len()
                    && qualifier
                        .iter()
                        .rev()
                        .zip(own)
                        .all(|(asked, own)| own.eq_ignore_ascii_case(&asked.value))
            }
        }
    }
}

/// The refusal of a piece of the tree that is not in the subset: a complaint about its first word.
fn refused(piece: &impl std::fmt::Display) -> super::error::Error {
    let text = piece.to_string();
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '@' | '#' | '$')))
        .unwrap_or(text.len());
    let word = if end == 0 { text.chars().take(1).collect() } else { text[..end].to_owned() };
    if super::parse::is_reserved(&word) {
        super::error::syntax_near_keyword(&word)
    } else {
        syntax_near(&word)
    }
}

/// The parts of a name; `None` for something that is no plain name.
fn name_parts(name: &ast::ObjectName) -> Option<Vec<String>> {
    name.0.iter().map(|part| part.as_ident().map(|ident| ident.value.clone())).collect()
}
