//! Operators that give a value, and the types of their results.

use sqlparser::ast;

use super::super::error::{Error, Result};
use super::super::ir::{Arithmetic, Node, Scalar};
use super::super::types::{Length, Type, capped};
use super::expression::numeric_of;
use super::{Binder, converted, refused};

impl Binder<'_> {
    pub(super) fn unary(
        &mut self,
        op: ast::UnaryOperator,
        inner: &ast::Expr,
        whole: &ast::Expr,
    ) -> Result<Scalar> {
        let inner = self.scalar(inner)?;
        match op {
            ast::UnaryOperator::Plus => Ok(inner),
            ast::UnaryOperator::Minus => {
                if !inner.ty.is_number() {
                    let text = format!(
                        "Operand data type {} is invalid for minus operator.",
                        inner.ty.name()
                    );
                    return Err(Error::new(8117, 16, text));
                }
                let ty = if inner.ty == Type::TinyInt { Type::SmallInt } else { inner.ty };
                let nullable = inner.nullable;
                Ok(Scalar { ty, nullable, node: Node::Negate(Box::new(inner)) })
            }
            _ => Err(refused(whole)),
        }
    }

    pub(super) fn binary(
        &mut self,
        left: &ast::Expr,
        op: &ast::BinaryOperator,
        right: &ast::Expr,
        whole: &ast::Expr,
    ) -> Result<Scalar> {
        use ast::BinaryOperator as Op;
        let operator = match op {
            Op::Plus => Arithmetic::Add,
            Op::Minus => Arithmetic::Subtract,
            Op::Multiply => Arithmetic::Multiply,
            Op::Divide => Arithmetic::Divide,
            Op::Modulo => Arithmetic::Modulo,
            Op::BitwiseAnd => Arithmetic::BitAnd,
            Op::BitwiseOr => Arithmetic::BitOr,
            Op::BitwiseXor => Arithmetic::BitXor,
            // A condition is no value in T-SQL.
            Op::Gt | Op::Lt | Op::GtEq | Op::LtEq | Op::Eq | Op::NotEq => {
                return Err(super::super::error::syntax_near(&op.to_string()));
            }
            Op::And | Op::Or => {
                return Err(super::super::error::syntax_near_keyword(&op.to_string()));
            }
            _ => return Err(refused(whole)),
        };
        let (left, right) = (self.scalar(left)?, self.scalar(right)?);
        arithmetic(operator, left, right)
    }
}

fn arithmetic(operator: Arithmetic, left: Scalar, right: Scalar) -> Result<Scalar> {
    let (l, r) = (left.ty, right.ty);
    let add = operator == Arithmetic::Add;
    if add && (l.is_text() || l.is_binary()) && l.is_text() == r.is_text() && r.length().is_some() {
        return Ok(concatenation(left, right));
    }
    let incompatible = || {
        let text = format!(
            "The data types {} and {} are incompatible in the {} operator.",
            l.name(),
            r.name(),
            word(operator)
        );
        Error::new(402, 16, text)
    };
    let bits = matches!(operator, Arithmetic::BitAnd | Arithmetic::BitOr | Arithmetic::BitXor);
    // Two NULLs, and a NULL beside a number, take the other's type.
    let meeting = match (left.is_null_literal(), right.is_null_literal()) {
        (true, false) => r,
        (false, true) => l,
        _ => l.unify(r),
    };
    let moves_moment =
        meeting == Type::DateTime && matches!(operator, Arithmetic::Add | Arithmetic::Subtract);
    let ty = match meeting {
        Type::Bit if bits => Type::Bit,
        ty if bits && ty.is_integer() => ty,
        _ if bits => return Err(incompatible()),
        Type::DateTime if moves_moment => Type::DateTime,
        Type::Float | Type::Real if operator == Arithmetic::Modulo => return Err(incompatible()),
        Type::Numeric { .. } => {
            let (Some(a), Some(b)) = (numeric_of(&left), numeric_of(&right)) else {
                return numeric_from_text(operator, left, right, meeting);
            };
            numeric_result(operator, a, b)
        }
        ty if ty.is_integer() || ty.is_money() || matches!(ty, Type::Float | Type::Real) => ty,
        Type::VarChar(_) | Type::NVarChar(_) | Type::Char(_) | Type::NChar(_) => {
            let text = format!(
                "Operand data type {} is invalid for {} operator.",
                meeting.name(),
                word(operator)
            );
            return Err(Error::new(8117, 16, text));
        }
        _ => return Err(incompatible()),
    };
    let (left, right) = if matches!(ty, Type::Numeric { .. }) {
        (exact(left)?, exact(right)?)
    } else {
        (converted(left, ty)?, converted(right, ty)?)
    };
    let nullable = left.nullable || right.nullable;
    let node = Node::Arithmetic { operator, left: Box::new(left), right: Box::new(right) };
    Ok(Scalar { ty, nullable, node })
}

/// An operand of exact arithmetic, as a `numeric` of its own size.
fn exact(scalar: Scalar) -> Result<Scalar> {
    match numeric_of(&scalar) {
        Some((precision, scale)) => converted(scalar, Type::Numeric { precision, scale }),
        None => Ok(scalar),
    }
}

/// A string beside a `numeric` becomes one of the same size first.
fn numeric_from_text(
    operator: Arithmetic,
    left: Scalar,
    right: Scalar,
    ty: Type,
) -> Result<Scalar> {
    let fitted = |scalar: Scalar| {
        if scalar.ty.as_numeric().is_some() { Ok(scalar) } else { converted(scalar, ty) }
    };
    arithmetic(operator, fitted(left)?, fitted(right)?)
}

fn concatenation(left: Scalar, right: Scalar) -> Scalar {
    let (l, r) = (left.ty, right.ty);
    let wide = l.is_unicode() || r.is_unicode();
    let most: u32 = if wide { 4000 } else { 8000 };
    let length = match (l.length(), r.length()) {
        (Some(Length::Of(a)), Some(Length::Of(b))) => {
            let sum = (u32::from(a) + u32::from(b)).min(most);
            Length::Of(u16::try_from(sum).unwrap_or(u16::MAX))
        }
        _ => Length::Max,
    };
    let ty = if !l.is_text() {
        Type::VarBinary(length)
    } else if wide {
        Type::NVarChar(length)
    } else {
        Type::VarChar(length)
    };
    let nullable = left.nullable || right.nullable;
    let (left, right) = (Box::new(left), Box::new(right));
    Scalar { ty, nullable, node: Node::Arithmetic { operator: Arithmetic::Concat, left, right } }
}

/// Precision and scale of a result, as documented for `decimal` and `numeric`.
fn numeric_result(operator: Arithmetic, (p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> Type {
    let wide = u16::from;
    let scale = s1.max(s2);
    let whole = (p1 - s1).max(p2 - s2);
    match operator {
        Arithmetic::Multiply => capped(wide(p1) + wide(p2) + 1, s1 + s2),
        Arithmetic::Divide => {
            let scale = 6.max(wide(s1) + wide(p2) + 1);
            let precision = wide(p1 - s1) + wide(s2) + scale;
            capped(precision, u8::try_from(scale).unwrap_or(u8::MAX))
        }
        Arithmetic::Modulo => {
            let whole = (p1 - s1).min(p2 - s2);
            capped(wide(whole) + wide(scale), scale)
        }
        Arithmetic::Add
        | Arithmetic::Subtract
        | Arithmetic::BitAnd
        | Arithmetic::BitOr
        | Arithmetic::BitXor
        | Arithmetic::Concat => capped(wide(whole) + wide(scale) + 1, scale),
    }
}

fn word(operator: Arithmetic) -> &'static str {
    match operator {
        Arithmetic::Add | Arithmetic::Concat => "add",
        Arithmetic::Subtract => "subtract",
        Arithmetic::Multiply => "multiply",
        Arithmetic::Divide => "divide",
        Arithmetic::Modulo => "modulo",
        Arithmetic::BitAnd => "'&'",
        Arithmetic::BitOr => "'|'",
        Arithmetic::BitXor => "'^'",
    }
}
