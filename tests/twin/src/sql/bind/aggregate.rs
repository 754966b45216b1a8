//! Aggregates, and the rule that nothing else may stand beside them.

use sqlparser::ast;

use super::super::error::{Error, Result, wrong_argument_count};
use super::super::ir::{Aggregate, AggregateKind, Node, Predicate, Scalar};
use super::super::types::{Length, Type, capped};
use super::{Binder, Refusal, Scope, converted, refused};

impl Binder<'_> {
    /// Binds a call if it is one of an aggregate function.
    pub(super) fn aggregate(
        &mut self,
        name: &str,
        function: &ast::Function,
    ) -> Result<Option<Scalar>> {
        let Some(aggregate) = self.one_aggregate(name, function)? else { return Ok(None) };
        let (ty, nullable) = (aggregate.ty, aggregate.kind != AggregateKind::Count);
        let Some(scope) = self.scopes.last_mut() else { return Err(refused(function)) };
        let Some(found) = &mut scope.aggregates else {
            return Err(scope.refusal.error());
        };
        let index = match found.iter().position(|known| *known == aggregate) {
            Some(index) => index,
            None => {
                found.push(aggregate);
                found.len() - 1
            }
        };
        Ok(Some(Scalar { ty, nullable, node: Node::Aggregate(index) }))
    }

    /// An aggregate function and its arguments.
    pub(super) fn one_aggregate(
        &mut self,
        name: &str,
        function: &ast::Function,
    ) -> Result<Option<Aggregate>> {
        let kind = match name {
            "COUNT" | "COUNT_BIG" => AggregateKind::Count,
            "SUM" => AggregateKind::Sum,
            "AVG" => AggregateKind::Average,
            "MIN" => AggregateKind::Min,
            "MAX" => AggregateKind::Max,
            "STRING_AGG" => AggregateKind::StringAgg,
            _ => return Ok(None),
        };
        let ast::FunctionArguments::List(list) = &function.args else {
            return Err(wrong_argument_count(name, "1"));
        };
        if !list.clauses.is_empty() || !function.within_group.is_empty() {
            return Err(refused(function));
        }
        let distinct = list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct);
        let star = matches!(
            list.args.as_slice(),
            [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard)]
        );
        let mut bound = Vec::new();
        if !(star && kind == AggregateKind::Count) {
            let previous = self.suspend_aggregates();
            for argument in &list.args {
                let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) = argument else {
                    return Err(super::super::error::syntax_near("*"));
                };
                bound.push(self.scalar(expr)?);
            }
            self.resume_aggregates(previous);
            let count = if kind == AggregateKind::StringAgg { 2 } else { 1 };
            if bound.len() != count {
                return Err(wrong_argument_count(name, &count.to_string()));
            }
        }
        let separator = if kind == AggregateKind::StringAgg { bound.pop() } else { None };
        let mut argument = bound.pop();
        let ty = result_type(name, kind, argument.as_ref())?;
        if matches!(kind, AggregateKind::Sum | AggregateKind::Average | AggregateKind::StringAgg) {
            let own = argument.take().map(|scalar| {
                let wide = if scalar.ty == Type::Real { Type::Float } else { ty };
                // Numbers are added up in the type of the sum, but at their own scale.
                let target = match (scalar.ty, wide) {
                    (Type::Numeric { .. }, _) => scalar.ty,
                    (_, wide) => wide,
                };
                converted(scalar, target)
            });
            argument = own.transpose()?;
        }
        Ok(Some(Aggregate { kind, argument, separator, distinct, ty }))
    }

    /// 8120 (or 8121 in HAVING, 8127 in ORDER BY) if a column stands outside of aggregates and
    /// keys.
    pub(super) fn check_grouped(
        &self,
        scalar: &Scalar,
        keys: &[Scalar],
        clause: &str,
    ) -> Result<()> {
        if keys.contains(scalar) {
            return Ok(());
        }
        if let Node::Column { up: 0, index } = scalar.node {
            let name = self.column_name(index);
            let number = match clause {
                "HAVING clause" => 8121,
                "ORDER BY clause" => 8127,
                _ => 8120,
            };
            let text = format!(
                "Column '{name}' is invalid in the {clause} because it is not contained in either \
                 an aggregate function or the GROUP BY clause."
            );
            return Err(Error::new(number, 16, text));
        }
        let mut parts: Vec<&Scalar> = Vec::new();
        match &scalar.node {
            Node::Literal(_)
            | Node::Column { .. }
            | Node::Variable(_)
            | Node::Subquery(_)
            | Node::Window(_)
            | Node::Aggregate(_) => {}
            Node::Convert { inner, style, .. } => {
                parts.push(inner);
                parts.extend(style.as_deref());
            }
            Node::Arithmetic { left, right, .. } => parts.extend([&**left, &**right]),
            Node::Negate(inner) => parts.push(inner),
            Node::Coalesce(list) | Node::Call(_, list) => parts.extend(list),
            Node::Case { branches, otherwise } => {
                for (test, result) in branches {
                    self.check_grouped_predicate(test, keys, clause)?;
                    parts.push(result);
                }
                parts.extend(otherwise.as_deref());
            }
        }
        parts.into_iter().try_for_each(|part| self.check_grouped(part, keys, clause))
    }

    pub(super) fn check_grouped_predicate(
        &self,
        predicate: &Predicate,
        keys: &[Scalar],
        clause: &str,
    ) -> Result<()> {
        let scalar = |scalar: &Scalar| self.check_grouped(scalar, keys, clause);
        match predicate {
            Predicate::Compare { left, right, .. } => {
                scalar(left)?;
                scalar(right)
            }
            Predicate::And(left, right) | Predicate::Or(left, right) => {
                self.check_grouped_predicate(left, keys, clause)?;
                self.check_grouped_predicate(right, keys, clause)
            }
            Predicate::Not(inner) => self.check_grouped_predicate(inner, keys, clause),
            Predicate::IsNull(value) | Predicate::InQuery { value, .. } => scalar(value),
            Predicate::Like { value, pattern, escape } => {
                scalar(value)?;
                scalar(pattern)?;
                escape.as_ref().map_or(Ok(()), scalar)
            }
            Predicate::Exists(_) => Ok(()),
        }
    }

    fn suspend_aggregates(&mut self) -> Option<Vec<Aggregate>> {
        let scope = self.scopes.last_mut()?;
        if scope.aggregates.is_some() {
            scope.refusal = Refusal::Nested;
        }
        scope.aggregates.take()
    }

    fn resume_aggregates(&mut self, previous: Option<Vec<Aggregate>>) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.aggregates = previous;
        }
    }
}

impl Scope {
    /// A level where aggregates may stand.
    pub(super) fn aggregating(self, found: Vec<Aggregate>) -> Scope {
        Scope { aggregates: Some(found), ..self }
    }
}

impl Refusal {
    fn error(self) -> Error {
        match self {
            Refusal::Where => {
                let text = "An aggregate may not appear in the WHERE clause unless it is in a \
                            subquery contained in a HAVING clause or a select list, and the \
                            column being aggregated is an outer reference.";
                Error::new(147, 15, text)
            }
            Refusal::Nested => {
                let text = "Cannot perform an aggregate function on an expression containing an \
                            aggregate or a subquery.";
                Error::new(130, 16, text)
            }
        }
    }
}

fn result_type(name: &str, kind: AggregateKind, argument: Option<&Scalar>) -> Result<Type> {
    let own = argument.map_or(Type::Int, |argument| argument.ty);
    let invalid = || {
        let text = format!(
            "Operand data type {} is invalid for {} operator.",
            own.name(),
            name.to_lowercase()
        );
        Error::new(8117, 16, text)
    };
    Ok(match kind {
        AggregateKind::Count if name == "COUNT_BIG" => Type::BigInt,
        AggregateKind::Count => Type::Int,
        AggregateKind::Min | AggregateKind::Max => match own {
            Type::Bit | Type::Variant => return Err(invalid()),
            own => own,
        },
        AggregateKind::StringAgg => match own {
            own if own.is_unicode() => Type::NVarChar(Length::Of(4000)),
            own if own.is_text() => Type::VarChar(Length::Of(8000)),
            _ => Type::NVarChar(Length::Of(4000)),
        },
        AggregateKind::Sum | AggregateKind::Average => match own {
            Type::TinyInt | Type::SmallInt | Type::Int => Type::Int,
            Type::BigInt => Type::BigInt,
            Type::Numeric { scale, .. } if kind == AggregateKind::Sum => capped(38, scale),
            Type::Numeric { scale, .. } => capped(38, scale.max(6)),
            Type::Money | Type::SmallMoney => Type::Money,
            Type::Real | Type::Float => Type::Float,
            _ => return Err(invalid()),
        },
    })
}
