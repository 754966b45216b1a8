//! Queries: select lists, grouping, ordering, set operators, common table expressions.

use sqlparser::ast;

use super::super::error::{Error, Result, syntax_near_keyword};
use super::super::ir::{
    Body, Column, Combine, Group, OrderKey, Predicate, Query, Scalar, Select, Top,
};
use super::super::parse::MOST_ROUNDS;
use super::super::types::Type;
use super::list::Items;
use super::{Binder, Cte, Place, Scope, converted, refused};

impl Binder<'_> {
    pub(super) fn query(&mut self, query: &ast::Query, place: Place) -> Result<Query> {
        self.deeper(|binder| {
            let ctes = binder.ctes.len();
            let result = binder.with_ctes(query, place);
            binder.ctes.truncate(ctes);
            result
        })
    }

    /// Common table expressions, by name from here on.
    pub(super) fn define(&mut self, with: Option<&ast::With>) {
        for cte in with.iter().flat_map(|with| &with.cte_tables) {
            let columns = cte.alias.columns.iter().map(|c| c.name.value.clone()).collect();
            let sees = self.ctes.len();
            let name = cte.alias.name.value.clone();
            let query = (*cte.query).clone();
            self.ctes.push(Cte { name, columns, query, sees, working: None });
        }
    }

    /// Hints, of which MAXRECURSION alone is kept.
    pub(super) fn heed(&mut self, hints: Option<&[ast::Setting]>) {
        for setting in hints.into_iter().flatten() {
            self.most_rounds = setting.value.to_string().parse().unwrap_or(self.most_rounds);
        }
    }

    fn with_ctes(&mut self, query: &ast::Query, place: Place) -> Result<Query> {
        refuse_foreign(query)?;
        self.define(query.with.as_ref());
        self.heed(query.settings.as_deref());
        let order: &[ast::OrderByExpr] = match &query.order_by {
            None => &[],
            Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(list), .. }) => list,
            Some(_) => return Err(syntax_near_keyword("ALL")),
        };
        let mut bound = self.body(&query.body, order, place)?;
        if let Some(ast::LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
            if limit.is_some() {
                return Err(super::super::error::syntax_near("LIMIT"));
            }
            if let Some(offset) = offset {
                if order.is_empty() {
                    return Err(super::super::error::syntax_near("OFFSET"));
                }
                bound.offset = Some(converted(self.scalar(&offset.value)?, Type::BigInt)?);
            }
        }
        if let Some(fetch) = &query.fetch {
            match (&fetch.quantity, &bound.offset) {
                (Some(count), Some(_)) if !fetch.percent && !fetch.with_ties => {
                    bound.fetch = Some(converted(self.scalar(count)?, Type::BigInt)?);
                }
                _ => return Err(syntax_near_keyword("FETCH")),
            }
        }
        let limited = bound.offset.is_some()
            || matches!(&bound.body, Body::Select(select) if select.top.is_some());
        if !order.is_empty() && place != Place::Top && !limited {
            let text = "The ORDER BY clause is invalid in views, inline functions, derived tables, \
                        subqueries, and common table expressions, unless TOP, OFFSET or FOR XML is \
                        also specified.";
            return Err(Error::new(1033, 15, text));
        }
        Ok(bound)
    }

    pub(super) fn body(
        &mut self,
        body: &ast::SetExpr,
        order: &[ast::OrderByExpr],
        place: Place,
    ) -> Result<Query> {
        match body {
            ast::SetExpr::Select(select) => self.select(select, order, place),
            ast::SetExpr::Query(query) if order.is_empty() => self.query(query, place),
            ast::SetExpr::SetOperation { left, op, set_quantifier, right } => {
                self.combination(left, *op, *set_quantifier, right, order)
            }
            ast::SetExpr::Values(values) if place == Place::Derived => self.values(values),
            _ => Err(refused(body)),
        }
    }

    fn values(&mut self, values: &ast::Values) -> Result<Query> {
        let mut columns: Vec<Vec<Scalar>> = Vec::new();
        let width = values.rows.first().map_or(0, |row| row.content.len());
        columns.resize_with(width, Vec::new);
        for row in &values.rows {
            if row.content.len() != width {
                let text = "All the queries in a table value constructor must have the same \
                            number of expressions.";
                return Err(Error::new(10709, 16, text));
            }
            for (column, expr) in columns.iter_mut().zip(&row.content) {
                column.push(self.scalar(expr)?);
            }
        }
        let mut rows = vec![Vec::new(); values.rows.len()];
        let mut described = Vec::new();
        for column in columns {
            let (ty, column) = super::expression::unified(column)?;
            let nullable = column.iter().any(|scalar| scalar.nullable);
            described.push(Column { name: String::new(), ty, nullable });
            for (row, scalar) in rows.iter_mut().zip(column) {
                row.push(scalar);
            }
        }
        Ok(plain(Body::Values(rows), described))
    }

    fn combination(
        &mut self,
        left: &ast::SetExpr,
        op: ast::SetOperator,
        quantifier: ast::SetQuantifier,
        right: &ast::SetExpr,
        order: &[ast::OrderByExpr],
    ) -> Result<Query> {
        use ast::{SetOperator, SetQuantifier};
        let operator = match (op, quantifier) {
            (SetOperator::Union, SetQuantifier::All) => Combine::UnionAll,
            (SetOperator::Union, SetQuantifier::None) => Combine::Union,
            (SetOperator::Intersect, SetQuantifier::None) => Combine::Intersect,
            (SetOperator::Except, SetQuantifier::None) => Combine::Except,
            _ => return Err(super::super::error::syntax_near(&quantifier.to_string())),
        };
        let left = self.body(left, &[], Place::Subquery)?;
        let right = self.body(right, &[], Place::Subquery)?;
        if left.columns.len() != right.columns.len() {
            let text = "All queries combined using a UNION, INTERSECT or EXCEPT operator must \
                        have an equal number of expressions in their target lists.";
            return Err(Error::new(205, 16, text));
        }
        let mut columns = Vec::new();
        for (a, b) in left.columns.iter().zip(&right.columns) {
            let ty = a.ty.unify(b.ty);
            super::convert::check(a.ty, ty, false)?;
            super::convert::check(b.ty, ty, false)?;
            let nullable = a.nullable || b.nullable;
            columns.push(Column { name: a.name.clone(), ty, nullable });
        }
        let mut keys = Vec::new();
        for item in order {
            let found = position(&item.expr, columns.len())?.or_else(|| {
                let ast::Expr::Identifier(ident) = &item.expr else { return None };
                columns.iter().position(|c| c.name.eq_ignore_ascii_case(&ident.value))
            });
            let Some(found) = found else {
                let text = "ORDER BY items must appear in the select list if the statement \
                            contains a UNION, INTERSECT or EXCEPT operator.";
                return Err(Error::new(104, 16, text));
            };
            keys.push((OrderKey::Item(found), descending(&item.options)));
        }
        let (left, right) = (Box::new(left), Box::new(right));
        let mut query = plain(Body::Combine { operator, left, right }, columns);
        query.order = keys;
        Ok(query)
    }

    fn select(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        place: Place,
    ) -> Result<Query> {
        let distinct = match &select.distinct {
            None | Some(ast::Distinct::All) => false,
            Some(ast::Distinct::Distinct) => true,
            Some(on) => return Err(refused(on)),
        };
        if select.into.is_some() {
            return Err(syntax_near_keyword("INTO"));
        }
        let (source, tables) = self.from(&select.from)?;
        let scope = Scope { tables, ..Scope::default() };
        let (filter, scope) = self.within(scope, |binder| {
            select.selection.as_ref().map(|filter| binder.predicate(filter)).transpose()
        })?;
        let (keys, scope) = self.within(scope, |binder| binder.keys(&select.group_by))?;
        let scope = Scope { windows: Some(Vec::new()), ..scope.aggregating(Vec::new()) };
        let ((listed, having, order), scope) = self.within(scope, |binder| {
            let listed = binder.items(&select.projection, place)?;
            let having =
                select.having.as_ref().map(|having| binder.predicate(having)).transpose()?;
            let order = binder.order(order, &listed, distinct)?;
            Ok((listed, having, order))
        })?;
        let aggregates = scope.aggregates.clone().unwrap_or_default();
        let windows = scope.windows.clone().unwrap_or_default();
        let grouped = !keys.is_empty() || !aggregates.is_empty() || having.is_some();
        if grouped {
            self.check_groups(scope, &keys, &listed, having.as_ref(), &order)?;
        }
        let top = self.top(select.top.as_ref(), !order.keys.is_empty())?;
        let columns = listed
            .items
            .iter()
            .zip(listed.names)
            .map(|(item, name)| Column { name, ty: item.ty, nullable: item.nullable })
            .collect();
        let select = Select {
            source,
            filter,
            group: grouped.then_some(Group { keys, aggregates }),
            having,
            windows,
            items: listed.items,
            hidden: order.hidden,
            distinct,
            top,
            assign: listed.assign,
        };
        let mut query = plain(Body::Select(Box::new(select)), columns);
        query.order = order.keys;
        Ok(query)
    }

    /// Whether nothing but keys and aggregates stands where rows are grouped.
    fn check_groups(
        &mut self,
        scope: Scope,
        keys: &[Scalar],
        listed: &Items,
        having: Option<&Predicate>,
        order: &Order,
    ) -> Result<()> {
        let windows = scope.windows.clone().unwrap_or_default();
        let checked = self.within(scope, |binder| {
            for item in &listed.items {
                binder.check_grouped(item, keys, "select list")?;
            }
            if let Some(having) = having {
                binder.check_grouped_predicate(having, keys, "HAVING clause")?;
            }
            for window in &windows {
                let order = window.order.iter().map(|(key, _)| key);
                for part in window.partition.iter().chain(order) {
                    binder.check_grouped(part, keys, "select list")?;
                }
            }
            let mut hidden = order.hidden.iter();
            hidden.try_for_each(|item| binder.check_grouped(item, keys, "ORDER BY clause"))
        });
        checked.map(|_| ())
    }

    fn keys(&mut self, group_by: &ast::GroupByExpr) -> Result<Vec<Scalar>> {
        match group_by {
            ast::GroupByExpr::Expressions(list, modifiers) if modifiers.is_empty() => {
                let keys = list.iter().map(|expr| self.scalar(expr)).collect::<Result<Vec<_>>>()?;
                if keys.iter().any(|key| matches!(key.node, super::Node::Literal(_))) {
                    let text = "Each GROUP BY expression must contain at least one column that is \
                                not an outer reference.";
                    return Err(Error::new(164, 15, text));
                }
                Ok(keys)
            }
            _ => Err(refused(group_by)),
        }
    }

    fn order(
        &mut self,
        order: &[ast::OrderByExpr],
        listed: &Items,
        distinct: bool,
    ) -> Result<Order> {
        let mut keys = Vec::new();
        let mut hidden: Vec<Scalar> = Vec::new();
        for item in order {
            if item.with_fill.is_some() || item.options.nulls_first.is_some() {
                return Err(super::super::error::syntax_near("NULLS"));
            }
            let mut at = position(&item.expr, listed.items.len())?;
            if let (None, ast::Expr::Identifier(ident)) = (at, &item.expr) {
                at = listed.names.iter().position(|n| n.eq_ignore_ascii_case(&ident.value));
            }
            let key = match at {
                Some(at) => OrderKey::Item(at),
                None => {
                    let scalar = self.scalar(&item.expr)?;
                    match listed.items.iter().position(|known| *known == scalar) {
                        Some(at) => OrderKey::Item(at),
                        None if distinct => {
                            let text = "ORDER BY items must appear in the select list if SELECT \
                                        DISTINCT is specified.";
                            return Err(Error::new(145, 15, text));
                        }
                        None => {
                            hidden.push(scalar);
                            OrderKey::Hidden(hidden.len() - 1)
                        }
                    }
                }
            };
            keys.push((key, descending(&item.options)));
        }
        Ok(Order { keys, hidden })
    }

    fn top(&mut self, top: Option<&ast::Top>, ordered: bool) -> Result<Option<Top>> {
        let Some(top) = top else { return Ok(None) };
        if top.with_ties && !ordered {
            let text = "The TOP N WITH TIES clause is not allowed without a corresponding ORDER \
                        BY clause.";
            return Err(Error::new(1062, 15, text));
        }
        let count = match &top.quantity {
            Some(ast::TopQuantity::Expr(expr)) => self.scalar(expr)?,
            Some(ast::TopQuantity::Constant(n)) => {
                let n = i64::try_from(*n).unwrap_or(i64::MAX);
                Scalar::literal(Type::BigInt, n.into())
            }
            None => return Err(syntax_near_keyword("TOP")),
        };
        let ty = if top.percent { Type::Float } else { Type::BigInt };
        let count = converted(count, ty)?;
        Ok(Some(Top { count, percent: top.percent, with_ties: top.with_ties }))
    }
}

/// A bound ORDER BY: keys with their direction, and what is not in the select list.
struct Order {
    keys: Vec<(OrderKey, bool)>,
    hidden: Vec<Scalar>,
}

fn plain(body: Body, columns: Vec<Column>) -> Query {
    Query { body, columns, order: Vec::new(), offset: None, fetch: None }
}

fn descending(options: &ast::OrderByOptions) -> bool {
    matches!(options.sort, Some(ast::OrderBySort::Desc))
}

/// `ORDER BY 2` means the second column.
fn position(expr: &ast::Expr, columns: usize) -> Result<Option<usize>> {
    let ast::Expr::Value(value) = expr else { return Ok(None) };
    let ast::Value::Number(digits, false) = &value.value else { return Ok(None) };
    let at: usize = digits.parse().unwrap_or(0);
    if at == 0 || at > columns {
        let text = format!(
            "The ORDER BY position number {digits} is out of range of the number of items in the \
             select list."
        );
        return Err(Error::new(108, 16, text));
    }
    Ok(Some(at - 1))
}

/// Clauses that only other dialects have.
fn refuse_foreign(query: &ast::Query) -> Result<()> {
    if query.for_clause.is_some() {
        return Err(syntax_near_keyword("FOR"));
    }
    if !query.locks.is_empty() {
        return Err(syntax_near_keyword("FOR"));
    }
    let foreign = |setting: &ast::Setting| setting.key.value != MOST_ROUNDS;
    if query.settings.iter().flatten().any(foreign) || query.format_clause.is_some() {
        return Err(super::super::error::syntax_near("SETTINGS"));
    }
    if !query.pipe_operators.is_empty() {
        return Err(super::super::error::syntax_near("|>"));
    }
    if matches!(query.limit_clause, Some(ast::LimitClause::OffsetCommaLimit { .. })) {
        return Err(super::super::error::syntax_near("LIMIT"));
    }
    if let ast::SetExpr::Select(select) = &*query.body {
        let foreign = !select.lateral_views.is_empty()
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || !select.named_window.is_empty()
            || select.qualify.is_some()
            || select.value_table_mode.is_some()
            || select.exclude.is_some();
        if foreign {
            return Err(refused(select));
        }
    }
    Ok(())
}
