//! Functions with OVER.

use sqlparser::ast;

use super::super::error::{Error, Result, unknown_function, wrong_argument_count};
use super::super::ir::{AggregateKind, Node, Scalar, Window, WindowKind};
use super::super::types::Type;
use super::super::value::Value;
use super::call::plain_arguments;
use super::{Binder, refused};

impl Binder<'_> {
    /// Binds a call with OVER.
    pub(super) fn window(
        &mut self,
        name: &str,
        function: &ast::Function,
        over: &ast::WindowType,
    ) -> Result<Scalar> {
        let ast::WindowType::WindowSpec(window) = over else { return Err(refused(function)) };
        if window.window_name.is_some() || window.window_frame.is_some() {
            return Err(refused(function));
        }
        let Some(found) = self.scopes.last_mut().and_then(|scope| scope.windows.take()) else {
            let text = "Windowed functions can only appear in the SELECT or ORDER BY clauses.";
            return Err(Error::new(4108, 15, text));
        };
        let bound = self.window_parts(name, function, window);
        let Some(scope) = self.scopes.last_mut() else { return Err(refused(function)) };
        let found = scope.windows.insert(found);
        let (window, ty, nullable) = bound?;
        let index = match found.iter().position(|known| *known == window) {
            Some(index) => index,
            None => {
                found.push(window);
                found.len() - 1
            }
        };
        Ok(Scalar { ty, nullable, node: Node::Window(index) })
    }

    fn window_parts(
        &mut self,
        name: &str,
        function: &ast::Function,
        window: &ast::WindowSpec,
    ) -> Result<(Window, Type, bool)> {
        let partition = window.partition_by.iter().map(|expr| self.scalar(expr));
        let partition = partition.collect::<Result<Vec<_>>>()?;
        let mut order = Vec::new();
        for item in &window.order_by {
            let descends = matches!(item.options.sort, Some(ast::OrderBySort::Desc));
            let key = self.scalar(&item.expr)?;
            if matches!(key.node, Node::Literal(_)) {
                let text = "Windowed functions, aggregates and NEXT VALUE FOR functions do not \
                            support integer indices as ORDER BY clause expressions.";
                return Err(Error::new(5308, 16, text));
            }
            order.push((key, descends));
        }
        let ranks = match name {
            "ROW_NUMBER" => Some(WindowKind::RowNumber),
            "RANK" => Some(WindowKind::Rank),
            "DENSE_RANK" => Some(WindowKind::DenseRank),
            _ => None,
        };
        let needs_order = |kind: &str| {
            let text = format!("The function '{kind}' must have an OVER clause with ORDER BY.");
            Error::new(4112, 15, text)
        };
        if let Some(kind) = ranks {
            if !plain_arguments(function)?.is_empty() {
                return Err(wrong_argument_count(name, "0"));
            }
            if order.is_empty() {
                return Err(needs_order(name));
            }
            return Ok((Window { kind, partition, order }, Type::BigInt, true));
        }
        if matches!(name, "LAG" | "LEAD") {
            if order.is_empty() {
                return Err(needs_order(name));
            }
            let (value, places) = match plain_arguments(function)?.as_slice() {
                [value] => (self.scalar(value)?, 1),
                [value, places] => match self.scalar(places)?.node {
                    Node::Literal(Value::Int(places)) => (self.scalar(value)?, places),
                    _ => return Err(refused(function)),
                },
                _ => return Err(wrong_argument_count(name, "1 to 2")),
            };
            let ty = value.ty;
            let places = if name == "LAG" { places } else { -places };
            let kind = WindowKind::Lag(value, places);
            return Ok((Window { kind, partition, order }, ty, true));
        }
        let Some(aggregate) = self.one_aggregate(name, function)? else {
            return Err(unknown_function(name));
        };
        if aggregate.distinct {
            let text = "Use of DISTINCT is not allowed with the OVER clause.";
            return Err(Error::new(10_759, 15, text));
        }
        let (ty, nullable) = (aggregate.ty, aggregate.kind != AggregateKind::Count);
        let kind = WindowKind::Aggregate(aggregate);
        Ok((Window { kind, partition, order }, ty, nullable))
    }
}
