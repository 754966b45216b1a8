//! Evaluates bound queries against the world.
//!
//! Nested loops, without an optimiser: the views have some dozen rows each. [`Env::spend`] bounds
//! what a query may cost.

mod aggregate;
mod arithmetic;
mod like;
mod query;
mod window;

pub(crate) use like::like;

use std::cmp::Ordering;

use super::convert::convert;
use super::env::Env;
use super::error::{Error, Result};
use super::functions;
use super::ir::{Comparison, Node, Predicate, Query, Scalar, Source};
use super::types::{Length, Type};
use super::value::{Value, compare};
use super::views::Row;

pub(crate) struct Evaluator<'e> {
    env: &'e Env<'e>,
    frames: Vec<Frame>,
    /// The rows that recursive expressions are at, each with its number.
    working: Vec<(usize, Row)>,
}

/// The row that a query level is at.
struct Frame {
    row: Row,
    /// Results of the level's aggregates, for the group that it is at.
    aggregates: Vec<Value>,
    /// Results of its window functions, for its row.
    windows: Vec<Value>,
}

impl<'e> Evaluator<'e> {
    pub(crate) fn new(env: &'e Env<'e>) -> Evaluator<'e> {
        Evaluator { env, frames: Vec::new(), working: Vec::new() }
    }

    /// All rows of a query.
    pub(crate) fn rows(&mut self, query: &Query) -> Result<Vec<Row>> {
        query::rows(self, query)
    }

    pub(crate) fn scalar(&mut self, scalar: &Scalar) -> Result<Value> {
        self.env.spend(1)?;
        match &scalar.node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Column { up, index } => {
                let frame = self.frames.iter().rev().nth(*up);
                let value = frame.and_then(|frame| frame.row.get(*index));
                Ok(value.cloned().unwrap_or(Value::Null))
            }
            Node::Variable(name) => {
                let found = self.env.session.variables.get(name);
                Ok(found.map_or(Value::Null, |(_, value)| value.clone()))
            }
            Node::Convert { inner, style, or_null } => {
                let value = self.scalar(inner)?;
                let style = match style {
                    Some(style) => match self.scalar(style)? {
                        Value::Int(n) => n,
                        _ => return Ok(Value::Null),
                    },
                    None => 0,
                };
                match convert(&value, inner.ty, scalar.ty, style) {
                    Err(_) if *or_null => Ok(Value::Null),
                    other => other,
                }
            }
            Node::Arithmetic { operator, left, right } => {
                let (l, r) = (self.scalar(left)?, self.scalar(right)?);
                arithmetic::apply(*operator, scalar.ty, &l, &r)
            }
            Node::Negate(inner) => arithmetic::negate(scalar.ty, self.scalar(inner)?),
            Node::Case { branches, otherwise } => {
                for (test, result) in branches {
                    if self.holds(test)? {
                        return self.scalar(result);
                    }
                }
                otherwise.as_ref().map_or(Ok(Value::Null), |scalar| self.scalar(scalar))
            }
            Node::Coalesce(list) => {
                for item in list {
                    let value = self.scalar(item)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Ok(Value::Null)
            }
            Node::Call(function, list) => {
                let mut arguments = Vec::with_capacity(list.len());
                for item in list {
                    arguments.push((item.ty, self.scalar(item)?));
                }
                let value = functions::evaluate(*function, scalar.ty, &arguments, self.env)?;
                Ok(shortened(value, scalar.ty))
            }
            Node::Subquery(query) => self.single(query),
            Node::Window(index) => {
                let frame = self.frames.last();
                let value = frame.and_then(|frame| frame.windows.get(*index));
                Ok(value.cloned().unwrap_or(Value::Null))
            }
            Node::Aggregate(index) => {
                let frame = self.frames.last();
                let value = frame.and_then(|frame| frame.aggregates.get(*index));
                Ok(value.cloned().unwrap_or(Value::Null))
            }
        }
    }

    /// Whether a condition is true; unknown is not.
    pub(crate) fn holds(&mut self, predicate: &Predicate) -> Result<bool> {
        Ok(self.predicate(predicate)? == Some(true))
    }

    /// A value of one row.
    pub(crate) fn of_row(&mut self, scalar: &Scalar, row: &Row) -> Result<Value> {
        self.within(Frame::of(row.clone()), |evaluator| evaluator.scalar(scalar))
    }

    /// Whether a condition is false of a row; unknown is not.
    pub(crate) fn fails(&mut self, condition: &Predicate, row: &Row) -> Result<bool> {
        let found = self.within(Frame::of(row.clone()), |evaluator| evaluator.predicate(condition));
        Ok(found? == Some(false))
    }

    /// The joined rows of which a condition is true.
    pub(crate) fn matching(
        &mut self,
        from: &Source,
        filter: Option<&Predicate>,
    ) -> Result<Vec<Row>> {
        query::matching(self, from, filter)
    }

    /// True, false, or unknown.
    fn predicate(&mut self, predicate: &Predicate) -> Result<Option<bool>> {
        self.env.spend(1)?;
        Ok(match predicate {
            Predicate::Compare { operator, left, right } => {
                let (left, right) = (self.scalar(left)?, self.scalar(right)?);
                if left.is_null() || right.is_null() {
                    None
                } else {
                    Some(is(*operator, compare(&left, &right)))
                }
            }
            Predicate::And(left, right) => match self.predicate(left)? {
                Some(false) => Some(false),
                Some(true) => self.predicate(right)?,
                None => match self.predicate(right)? {
                    Some(false) => Some(false),
                    Some(true) | None => None,
                },
            },
            Predicate::Or(left, right) => match self.predicate(left)? {
                Some(true) => Some(true),
                Some(false) => self.predicate(right)?,
                None => match self.predicate(right)? {
                    Some(true) => Some(true),
                    Some(false) | None => None,
                },
            },
            Predicate::Not(inner) => self.predicate(inner)?.map(|truth| !truth),
            Predicate::IsNull(value) => Some(self.scalar(value)?.is_null()),
            Predicate::Like { value, pattern, escape } => {
                let (value, pattern) = (self.scalar(value)?, self.scalar(pattern)?);
                let escape = escape.as_ref().map(|escape| self.scalar(escape)).transpose()?;
                like(&value, &pattern, escape.as_ref(), self.env)?
            }
            Predicate::InQuery { value, query } => self.is_in(value, query)?,
            Predicate::Exists(query) => Some(!self.rows(query)?.is_empty()),
        })
    }

    /// The value of a subquery that is a value.
    fn single(&mut self, query: &Query) -> Result<Value> {
        let mut rows = self.rows(query)?;
        if rows.len() > 1 {
            let text = "Subquery returned more than 1 value. This is not permitted when the \
                        subquery follows =, !=, <, <= , >, >= or when the subquery is used as an \
                        expression.";
            return Err(Error::new(512, 16, text));
        }
        let row = rows.pop();
        Ok(row.and_then(|row| row.into_iter().next()).unwrap_or(Value::Null))
    }

    fn is_in(&mut self, value: &Scalar, query: &Query) -> Result<Option<bool>> {
        let wanted = self.scalar(value)?;
        let rows = self.rows(query)?;
        if rows.is_empty() {
            return Ok(Some(false));
        }
        let from = query.columns.first().map_or(value.ty, |column| column.ty);
        let mut unknown = wanted.is_null();
        for found in rows.iter().filter_map(|row| row.first()) {
            let found = convert(found, from, value.ty, 0)?;
            if found.is_null() {
                unknown = true;
            } else if !wanted.is_null() && compare(&wanted, &found) == Ordering::Equal {
                return Ok(Some(true));
            }
        }
        Ok(if unknown { None } else { Some(false) })
    }

    fn within<T>(&mut self, frame: Frame, run: impl FnOnce(&mut Self) -> T) -> T {
        self.frames.push(frame);
        let result = run(self);
        self.frames.pop();
        result
    }
}

impl Frame {
    fn of(row: Row) -> Frame {
        Frame { row, aggregates: Vec::new(), windows: Vec::new() }
    }
}

fn is(operator: Comparison, ordering: Ordering) -> bool {
    match operator {
        Comparison::Equal => ordering.is_eq(),
        Comparison::NotEqual => ordering.is_ne(),
        Comparison::Less => ordering.is_lt(),
        Comparison::LessOrEqual => ordering.is_le(),
        Comparison::Greater => ordering.is_gt(),
        Comparison::GreaterOrEqual => ordering.is_ge(),
    }
}

/// A text that fits its type: what is too long is cut, as functions do.
fn shortened(value: Value, ty: Type) -> Value {
    match (value, ty.length()) {
        (Value::Text(text), Some(Length::Of(most))) if ty.is_text() => {
            let most = usize::from(most);
            if text.len() <= most {
                return Value::Text(text);
            }
            let mut units = 0;
            let kept = text.chars().take_while(|c| {
                units += c.len_utf16();
                units <= most
            });
            Value::Text(kept.collect())
        }
        (value, _) => value,
    }
}
