//! Common table expressions that refer to themselves.

use sqlparser::ast;

use super::super::error::{Error, Result};
use super::super::ir::{Body, Column, JoinKind, Query, Recursive, Source};
use super::source::derived;
use super::{Binder, Cte, Place, Table, Working, name_parts};

impl Binder<'_> {
    /// A reference to a common table expression that refers to itself; the scopes around it are
    /// hidden.
    pub(super) fn recursive(&mut self, cte: &Cte, table: &str) -> Result<(Source, Vec<Table>)> {
        let name = &cte.name;
        let mut members = Vec::new();
        members_of(&cte.query.body, &mut members);
        let no_union = || {
            let text = format!(
                "Recursive common table expression '{name}' does not contain a top-level UNION \
                 ALL operator."
            );
            Error::new(252, 16, text)
        };
        let first =
            members.iter().position(|member| references(member, name) > 0).ok_or_else(no_union)?;
        if members.len() < 2 {
            return Err(no_union());
        }
        let (anchors, steps) = members.split_at(first);
        if anchors.is_empty() {
            let text = format!("No anchor member was specified for recursive query \"{name}\".");
            return Err(Error::new(246, 16, text));
        }
        if !steps.iter().all(|step| references(step, name) > 0) {
            let text = format!(
                "An anchor member was found in the recursive query \"{name}\" recursive query part."
            );
            return Err(Error::new(247, 16, text));
        }
        let mut query = cte.query.clone();
        *query.body = all_of(anchors).ok_or_else(no_union)?;
        let anchor = self.query(&query, Place::Derived)?;
        let (source, mut tables) = derived(anchor, table, cte.columns.clone())?;
        let Source::Derived(anchor) = source else { return Err(no_union()) };
        // What a round adds may be NULL.
        let mut columns: Vec<Column> = anchor.columns.clone();
        columns.iter_mut().for_each(|column| column.nullable = true);
        self.recursions += 1;
        let id = self.recursions;
        let working = Working { id, columns: columns.clone() };
        self.ctes.push(Cte { working: Some(working), ..cte.clone() });
        let mut bound = Vec::new();
        for step in steps {
            bound.push(self.step(step, name, &columns)?);
        }
        for found in &mut tables {
            found.columns.clone_from(&columns);
        }
        let most = self.most_rounds;
        let recursive = Recursive { id, anchor: *anchor, steps: bound, columns, most };
        Ok((Source::Recursive(Box::new(recursive)), tables))
    }

    /// A recursive member, which must give what the anchor gives.
    fn step(&mut self, step: &ast::SetExpr, name: &str, columns: &[Column]) -> Result<Query> {
        let before = self.self_references;
        let query = self.body(step, &[], Place::Subquery)?;
        if query.columns.len() != columns.len() {
            let text = "All queries combined using a UNION, INTERSECT or EXCEPT operator must \
                        have an equal number of expressions in their target lists.";
            return Err(Error::new(205, 16, text));
        }
        let refused = |number, what: &str| {
            let text = format!(
                "{what} not allowed in the recursive part of a recursive common table expression \
                 '{name}'."
            );
            Error::new(number, 16, text)
        };
        if let Body::Select(select) = &query.body {
            if select.distinct {
                return Err(refused(460, "DISTINCT operator is"));
            }
            if select.top.is_some() {
                return Err(refused(461, "TOP operator is"));
            }
            if select.group.is_some() {
                return Err(refused(467, "GROUP BY, HAVING, or aggregate functions are"));
            }
            let found = working_in(&select.source);
            if found.beside_outer {
                return Err(refused(462, "Outer join is"));
            }
            if found.count > 1 {
                let text = format!(
                    "Recursive member of a common table expression '{name}' has multiple recursive \
                     references."
                );
                return Err(Error::new(253, 16, text));
            }
            if self.self_references - before > found.count {
                let text = "Recursive references are not allowed in subqueries.";
                return Err(Error::new(465, 16, text));
            }
        }
        for (own, wanted) in query.columns.iter().zip(columns) {
            if own.ty != wanted.ty {
                let column = &wanted.name;
                let text = format!(
                    "Types don't match between the anchor and the recursive part in column \
                     \"{column}\" of recursive query \"{name}\"."
                );
                return Err(Error::new(240, 16, text));
            }
        }
        Ok(query)
    }
}

/// How often a query refers to a name in its FROM clauses.
pub(super) fn references(body: &ast::SetExpr, name: &str) -> usize {
    match body {
        ast::SetExpr::Select(select) => {
            select.from.iter().map(|item| references_of(item, name)).sum()
        }
        ast::SetExpr::Query(query) => references(&query.body, name),
        ast::SetExpr::SetOperation { left, right, .. } => {
            references(left, name) + references(right, name)
        }
        _ => 0,
    }
}

fn references_of(item: &ast::TableWithJoins, name: &str) -> usize {
    let joined = item.joins.iter().map(|join| &join.relation);
    std::iter::once(&item.relation).chain(joined).map(|factor| in_factor(factor, name)).sum()
}

fn in_factor(factor: &ast::TableFactor, name: &str) -> usize {
    match factor {
        ast::TableFactor::Table { name: found, .. } => match name_parts(found).as_deref() {
            Some([only]) => usize::from(only.eq_ignore_ascii_case(name)),
            _ => 0,
        },
        ast::TableFactor::Derived { subquery, .. } => references(&subquery.body, name),
        ast::TableFactor::NestedJoin { table_with_joins, .. } => {
            references_of(table_with_joins, name)
        }
        _ => 0,
    }
}

/// The members that UNION ALL puts together, in their order.
fn members_of<'q>(body: &'q ast::SetExpr, into: &mut Vec<&'q ast::SetExpr>) {
    if let ast::SetExpr::SetOperation {
        left,
        op: ast::SetOperator::Union,
        set_quantifier: ast::SetQuantifier::All,
        right,
    } = body
    {
        members_of(left, into);
        members_of(right, into);
    } else {
        into.push(body);
    }
}

fn all_of(members: &[&ast::SetExpr]) -> Option<ast::SetExpr> {
    let owned = members.iter().map(|member| (*member).clone());
    owned.reduce(|left, right| ast::SetExpr::SetOperation {
        op: ast::SetOperator::Union,
        set_quantifier: ast::SetQuantifier::All,
        left: Box::new(left),
        right: Box::new(right),
    })
}

/// Where FROM refers to the rows of the last round.
#[derive(Default)]
struct Found {
    count: usize,
    beside_outer: bool,
}

fn working_in(source: &Source) -> Found {
    match source {
        Source::Working { .. } => Found { count: 1, beside_outer: false },
        Source::Derived(query) => match &query.body {
            Body::Select(select) => working_in(&select.source),
            Body::Combine { .. } | Body::Values(_) => Found::default(),
        },
        Source::Join { kind, left, right, .. } => {
            let (left, right) = (working_in(left), working_in(right));
            let outer = match kind {
                JoinKind::Left | JoinKind::OuterApply => right.count > 0,
                JoinKind::Right => left.count > 0,
                JoinKind::Full => left.count + right.count > 0,
                JoinKind::Inner | JoinKind::CrossApply => false,
            };
            Found {
                count: left.count + right.count,
                beside_outer: outer || left.beside_outer || right.beside_outer,
            }
        }
        Source::One
        | Source::View(..)
        | Source::Table(_)
        | Source::Call(_)
        | Source::Recursive(_) => Found::default(),
    }
}
