//! Arithmetic in the type that the binder has found for the result.

use super::super::convert::money;
use super::super::decimal::Numeric;
use super::super::error::{Result, divide_by_zero, overflow_converting};
use super::super::functions::may_grow_to;
use super::super::ir::Arithmetic;
use super::super::moment;
use super::super::types::Type;
use super::super::value::Value;

pub(super) fn apply(operator: Arithmetic, ty: Type, left: &Value, right: &Value) -> Result<Value> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
        (Value::Bit(a), Value::Bit(b)) => Ok(Value::Bit(match operator {
            Arithmetic::BitAnd => a & b,
            Arithmetic::BitOr => a | b,
            _ => a ^ b,
        })),
        (Value::Int(a), Value::Int(b)) => integers(operator, ty, *a, *b),
        (Value::Numeric(a), Value::Numeric(b)) => numerics(operator, ty, *a, *b),
        (Value::Float(a), Value::Float(b)) => floats(operator, ty, *a, *b),
        (Value::Moment(a), Value::Moment(b)) => {
            // The old datetime counts from 1900: adding two of them adds what lies behind that.
            let days = b - moment::DAYS_TO_1900 * moment::TICKS_PER_DAY;
            let sum = if operator == Arithmetic::Subtract { a - days } else { a + days };
            if !(moment::FIRST_DATETIME..=moment::LAST_TICK).contains(&sum) {
                return Err(overflow_converting(ty.name()));
            }
            Ok(Value::Moment(moment::round_to_datetime(sum)))
        }
        (Value::Text(a), Value::Text(b)) => {
            may_grow_to(a.len() + b.len())?;
            Ok(Value::Text(format!("{a}{b}")))
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            may_grow_to(a.len() + b.len())?;
            Ok(Value::Bytes([a.as_slice(), b].concat()))
        }
        _ => Err(overflow_converting(ty.name())),
    }
}

pub(super) fn negate(ty: Type, value: Value) -> Result<Value> {
    match value {
        Value::Int(n) => in_range(ty, n.checked_neg()),
        Value::Numeric(n) => Ok(Value::Numeric(Numeric::new(-n.units, n.scale))),
        Value::Float(n) => Ok(Value::Float(-n)),
        _ => Ok(Value::Null),
    }
}

fn integers(operator: Arithmetic, ty: Type, a: i64, b: i64) -> Result<Value> {
    let result = match operator {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide | Arithmetic::Modulo if b == 0 => return Err(divide_by_zero()),
        Arithmetic::Divide => a.checked_div(b),
        Arithmetic::Modulo => a.checked_rem(b),
        Arithmetic::BitAnd => Some(a & b),
        Arithmetic::BitOr => Some(a | b),
        Arithmetic::BitXor => Some(a ^ b),
        Arithmetic::Concat => None,
    };
    in_range(ty, result)
}

fn in_range(ty: Type, n: Option<i64>) -> Result<Value> {
    let (least, most) = match ty {
        Type::TinyInt => (0, 255),
        Type::SmallInt => (i64::from(i16::MIN), i64::from(i16::MAX)),
        Type::Int => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    match n {
        Some(n) if (least..=most).contains(&n) => Ok(Value::Int(n)),
        Some(_) | None => Err(overflow_converting(ty.name())),
    }
}

fn numerics(operator: Arithmetic, ty: Type, a: Numeric, b: Numeric) -> Result<Value> {
    let (precision, scale) = match ty {
        Type::Numeric { precision, scale } => (precision, scale),
        ty if ty.is_money() => (38, 4),
        _ => return Err(overflow_converting(ty.name())),
    };
    let result = match operator {
        Arithmetic::Add => a.add(b)?,
        Arithmetic::Subtract => a.subtract(b)?,
        Arithmetic::Multiply => a.multiply(b)?,
        Arithmetic::Divide => a.divide(b, scale)?,
        Arithmetic::Modulo => a.remainder(b)?,
        Arithmetic::BitAnd | Arithmetic::BitOr | Arithmetic::BitXor | Arithmetic::Concat => {
            return Err(overflow_converting(ty.name()));
        }
    };
    let fitted = result.rescale(precision, scale);
    let fitted = fitted.map(Value::Numeric);
    if ty.is_money() {
        let fitted = fitted.and_then(|value| money(value, ty));
        return fitted.ok_or_else(|| overflow_converting(ty.name()));
    }
    fitted.ok_or_else(|| overflow_converting("numeric"))
}

fn floats(operator: Arithmetic, ty: Type, a: f64, b: f64) -> Result<Value> {
    let result = match operator {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide | Arithmetic::Modulo if b == 0.0 => return Err(divide_by_zero()),
        Arithmetic::Divide => a / b,
        Arithmetic::Modulo => a % b,
        Arithmetic::BitAnd | Arithmetic::BitOr | Arithmetic::BitXor | Arithmetic::Concat => {
            f64::NAN
        }
    };
    if result.is_finite() { Ok(Value::Float(result)) } else { Err(overflow_converting(ty.name())) }
}
