//! Conditions.

use sqlparser::ast;

use super::super::error::{Error, Result};
use super::super::ir::{Comparison, Predicate, Scalar};
use super::super::types::{Length, Type};
use super::expression::{one_expression, unified};
use super::{Binder, Place, converted, refused};

impl Binder<'_> {
    pub(super) fn predicate(&mut self, expr: &ast::Expr) -> Result<Predicate> {
        self.deeper(|binder| binder.predicate_inner(expr))
    }

    fn predicate_inner(&mut self, expr: &ast::Expr) -> Result<Predicate> {
        use ast::{BinaryOperator as Op, Expr};
        let negated_if = |predicate, negated: bool| {
            if negated { Predicate::Not(Box::new(predicate)) } else { predicate }
        };
        Ok(match expr {
            Expr::Nested(inner) => self.predicate(inner)?,
            Expr::BinaryOp { left, op: Op::And, right } => {
                let (left, right) = (self.predicate(left)?, self.predicate(right)?);
                Predicate::And(Box::new(left), Box::new(right))
            }
            Expr::BinaryOp { left, op: Op::Or, right } => {
                let (left, right) = (self.predicate(left)?, self.predicate(right)?);
                Predicate::Or(Box::new(left), Box::new(right))
            }
            Expr::UnaryOp { op: ast::UnaryOperator::Not, expr } => {
                Predicate::Not(Box::new(self.predicate(expr)?))
            }
            Expr::BinaryOp { left, op, right } => {
                let operator = comparison(op).ok_or_else(|| not_a_condition(expr))?;
                let (left, right) = (self.scalar(left)?, self.scalar(right)?);
                compare(operator, left, right)?
            }
            Expr::IsNull(inner) => Predicate::IsNull(self.scalar(inner)?),
            Expr::IsNotNull(inner) => {
                Predicate::Not(Box::new(Predicate::IsNull(self.scalar(inner)?)))
            }
            Expr::Between { expr, negated, low, high } => {
                let value = self.scalar(expr)?;
                let (low, high) = (self.scalar(low)?, self.scalar(high)?);
                let from = compare(Comparison::GreaterOrEqual, value.clone(), low)?;
                let to = compare(Comparison::LessOrEqual, value, high)?;
                negated_if(Predicate::And(Box::new(from), Box::new(to)), *negated)
            }
            Expr::InList { expr, list, negated } => negated_if(self.in_list(expr, list)?, *negated),
            Expr::InSubquery { expr, subquery, negated } => {
                let value = self.scalar(expr)?;
                negated_if(self.in_query(value, subquery)?, *negated)
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                let text = |scalar: Scalar| {
                    let ty = scalar.ty;
                    let wide = Type::NVarChar(Length::Of(4000));
                    if ty.is_text() { Ok(scalar) } else { converted(scalar, wide) }
                };
                let value = text(self.scalar(expr)?)?;
                let pattern = text(self.scalar(pattern)?)?;
                let escape = match escape_char {
                    Some(escape) => Some(text(self.scalar(escape)?)?),
                    None => None,
                };
                negated_if(Predicate::Like { value, pattern, escape }, *negated)
            }
            Expr::Exists { subquery, negated } => {
                let query = self.query(subquery, Place::Subquery)?;
                negated_if(Predicate::Exists(Box::new(query)), *negated)
            }
            _ => {
                // A value where a condition must be; unless the value itself is wrong.
                self.scalar(expr)?;
                return Err(not_a_condition(expr));
            }
        })
    }

    fn in_list(&mut self, expr: &ast::Expr, list: &[ast::Expr]) -> Result<Predicate> {
        let value = self.scalar(expr)?;
        let mut any: Option<Predicate> = None;
        for item in list {
            let item = self.scalar(item)?;
            let equal = compare(Comparison::Equal, value.clone(), item)?;
            any = Some(match any {
                Some(before) => Predicate::Or(Box::new(before), Box::new(equal)),
                None => equal,
            });
        }
        any.ok_or_else(|| super::super::error::syntax_near(")"))
    }

    fn in_query(&mut self, value: Scalar, query: &ast::Query) -> Result<Predicate> {
        let query = self.query(query, Place::Subquery)?;
        let [column] = query.columns.as_slice() else { return Err(one_expression()) };
        // The query's values are converted as they come, to the type where both meet.
        let ty = value.ty.unify(column.ty);
        super::convert::check(column.ty, ty, false)?;
        let value = converted(value, ty)?;
        Ok(Predicate::InQuery { value, query: Box::new(query) })
    }
}

/// A comparison of two values in the type where they meet.
pub(super) fn compare(operator: Comparison, left: Scalar, right: Scalar) -> Result<Predicate> {
    let (_, both) = unified(vec![left, right])?;
    match <[Scalar; 2]>::try_from(both) {
        Ok([left, right]) => Ok(Predicate::Compare { operator, left, right }),
        Err(_) => Err(super::super::error::syntax_near("=")),
    }
}

fn comparison(op: &ast::BinaryOperator) -> Option<Comparison> {
    use ast::BinaryOperator as Op;
    Some(match op {
        Op::Eq => Comparison::Equal,
        Op::NotEq => Comparison::NotEqual,
        Op::Lt => Comparison::Less,
        Op::LtEq => Comparison::LessOrEqual,
        Op::Gt => Comparison::Greater,
        Op::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

/// 4145, or a syntax error if the piece is none of T-SQL's at all.
fn not_a_condition(expr: &ast::Expr) -> Error {
    match expr {
        ast::Expr::BinaryOp { op, .. } => match op {
            ast::BinaryOperator::Plus
            | ast::BinaryOperator::Minus
            | ast::BinaryOperator::Multiply
            | ast::BinaryOperator::Divide
            | ast::BinaryOperator::Modulo => {}
            _ => return super::super::error::syntax_near(&op.to_string()),
        },
        ast::Expr::ILike { .. } | ast::Expr::RLike { .. } | ast::Expr::SimilarTo { .. } => {
            return refused(expr);
        }
        _ => {}
    }
    let text = "An expression of non-boolean type specified in a context where a condition is \
                expected, near ';'.";
    Error::new(4145, 15, text)
}
