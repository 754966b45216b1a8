//! Aggregates over the rows of a group.

use std::cmp::Ordering;

use super::super::convert::text_of;
use super::super::decimal::Numeric;
use super::super::error::{Result, overflow_converting};
use super::super::ir::{Aggregate, AggregateKind};
use super::super::types::Type;
use super::super::value::{Value, compare, same};
use super::super::views::Row;
use super::{Evaluator, Frame};

/// What an aggregate gives for these rows.
pub(super) fn over(
    evaluator: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    rows: &[Row],
) -> Result<Value> {
    let Some(argument) = &aggregate.argument else {
        return Ok(Value::Int(i64::try_from(rows.len()).unwrap_or(i64::MAX)));
    };
    let mut values: Vec<Value> = Vec::new();
    for row in rows {
        let value = evaluator.within(Frame::of(row.clone()), |e| e.scalar(argument))?;
        // NULLs do not take part.
        if value.is_null() || aggregate.distinct && values.iter().any(|v| same(v, &value)) {
            continue;
        }
        values.push(value);
    }
    match aggregate.kind {
        AggregateKind::Count => Ok(Value::Int(i64::try_from(values.len()).unwrap_or(i64::MAX))),
        AggregateKind::Min => Ok(extreme(values, Ordering::Less)),
        AggregateKind::Max => Ok(extreme(values, Ordering::Greater)),
        AggregateKind::Sum => sum(aggregate.ty, &values),
        AggregateKind::Average => average(aggregate.ty, &values),
        AggregateKind::StringAgg => {
            let separator = match &aggregate.separator {
                Some(separator) => match evaluator.scalar(separator)? {
                    Value::Text(text) => text,
                    _ => String::new(),
                },
                None => String::new(),
            };
            if values.is_empty() {
                return Ok(Value::Null);
            }
            let texts = values
                .iter()
                .map(|value| text_of(value, argument.ty, 0))
                .collect::<Result<Vec<_>>>()?;
            Ok(Value::Text(texts.join(&separator)))
        }
    }
}

fn extreme(values: Vec<Value>, wanted: Ordering) -> Value {
    let better = |a: Value, b: Value| if compare(&b, &a) == wanted { b } else { a };
    values.into_iter().reduce(better).unwrap_or(Value::Null)
}

fn sum(ty: Type, values: &[Value]) -> Result<Value> {
    let mut total = Value::Null;
    for value in values {
        total = match (&total, value) {
            (Value::Null, first) => first.clone(),
            (Value::Int(a), Value::Int(b)) => {
                let fits = a.checked_add(*b).filter(|n| {
                    ty != Type::Int || (i64::from(i32::MIN)..=i64::from(i32::MAX)).contains(n)
                });
                Value::Int(fits.ok_or_else(|| overflow_converting(ty.name()))?)
            }
            (Value::Numeric(a), Value::Numeric(b)) => Value::Numeric(a.add(*b)?),
            (Value::Float(a), Value::Float(b)) => Value::Float(a + b),
            (other, _) => (*other).clone(),
        };
    }
    Ok(total)
}

fn average(ty: Type, values: &[Value]) -> Result<Value> {
    let count = i64::try_from(values.len()).unwrap_or(i64::MAX);
    Ok(match sum(Type::BigInt, values)? {
        Value::Int(total) => Value::Int(total / count.max(1)),
        Value::Numeric(total) => {
            let scale = match ty {
                Type::Numeric { scale, .. } => scale,
                _ => total.scale,
            };
            Value::Numeric(total.divide(Numeric::new(i128::from(count), 0), scale)?)
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of rows is small")]
        Value::Float(total) => Value::Float(total / count as f64),
        _ => Value::Null,
    })
}
