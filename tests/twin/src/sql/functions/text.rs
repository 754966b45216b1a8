//! Functions of text and numbers.

use crate::sql::decimal::{Numeric, power_of_ten};
use crate::sql::error::{Error, Result, overflow_converting};
use crate::sql::types::{Length, SYSNAME, Type};
use crate::sql::value::{Value, compare_text, fold};

use super::{Function, as_int, as_text};

/// What a text of `(max)` may grow to here, in bytes.
const LONGEST: usize = 16 << 20;

/// Whether a value may be so many bytes long: what doubles itself must not take all memory.
///
/// # Errors
///
/// 7119, which the server raises at 2 GiB.
pub(in crate::sql) fn may_grow_to(bytes: usize) -> Result<()> {
    if bytes <= LONGEST {
        return Ok(());
    }
    let text = "Attempting to grow LOB beyond maximum allowed size of 2147483647 bytes.";
    Err(Error::new(7119, 16, text))
}

pub(super) fn evaluate(function: Function, ty: Type, arguments: &[(Type, Value)]) -> Result<Value> {
    const NULL: (Type, Value) = (Type::Int, Value::Null);
    let argument = |n: usize| arguments.get(n).unwrap_or(&NULL);
    let (own, first) = argument(0);
    let text = || as_text(first);
    let number = |n: usize| as_int(&argument(n).1);
    if let Function::Abs | Function::Floor | Function::Ceiling | Function::Round | Function::Sign =
        function
    {
        return arithmetic(function, ty, first, number(1));
    }
    Ok(match function {
        Function::Len => Value::from(units(text().trim_end_matches(' '))),
        Function::DataLength => Value::Int(data_length(*own, first)),
        Function::Upper => Value::text(text().to_uppercase()),
        Function::Lower => Value::text(text().to_lowercase()),
        Function::LTrim => text().trim_start_matches(' ').into(),
        Function::RTrim => text().trim_end_matches(' ').into(),
        Function::Trim => text().trim_matches(' ').into(),
        Function::Left => {
            let count = length_argument(number(1), "left")?;
            Value::Text(text().chars().take(count).collect())
        }
        Function::Right => {
            let count = length_argument(number(1), "right")?;
            let skip = text().chars().count().saturating_sub(count);
            Value::Text(text().chars().skip(skip).collect())
        }
        Function::Substring => {
            let (start, length) = (number(1), number(2));
            length_argument(length, "substring")?;
            let end = start.saturating_add(length).max(1);
            let start = start.max(1);
            let skip = usize::try_from(start - 1).unwrap_or(usize::MAX);
            let take = usize::try_from(end - start).unwrap_or(0);
            Value::Text(text().chars().skip(skip).take(take).collect())
        }
        Function::CharIndex => {
            let start = usize::try_from(number(2).max(1) - 1).unwrap_or(0);
            Value::Int(char_index(text(), as_text(&argument(1).1), start))
        }
        Function::Replace => {
            Value::Text(replace(text(), as_text(&argument(1).1), as_text(&argument(2).1))?)
        }
        Function::Concat => {
            may_grow_to(arguments.iter().map(|(_, value)| as_text(value).len()).sum())?;
            Value::Text(arguments.iter().map(|(_, value)| as_text(value)).collect())
        }
        Function::QuoteName => quote_name(text(), arguments.get(1).map(|a| as_text(&a.1))),
        Function::SqlVariantProperty => {
            let Value::Variant(inner) = first else { return Ok(Value::Null) };
            let property = as_text(&argument(1).1);
            if property.eq_ignore_ascii_case("BaseType") {
                Value::variant(SYSNAME, inner.0.name().into())
            } else {
                Value::Null
            }
        }
        _ => {
            if function == Function::ConcatWs {
                let long = |(_, value): &(Type, Value)| as_text(value).len() + text().len();
                may_grow_to(arguments.iter().map(long).sum())?;
            }
            made_of(function, arguments)
        }
    })
}

/// Functions that make texts of other texts and of numbers, and numbers of texts.
fn made_of(function: Function, arguments: &[(Type, Value)]) -> Value {
    let first = arguments.first().map_or(&Value::Null, |argument| &argument.1);
    let text = || as_text(first);
    let number = |n: usize| arguments.get(n).map_or(0, |argument| as_int(&argument.1));
    match function {
        Function::Stuff => {
            let (start, length) = (number(1), number(2));
            let whole: Vec<char> = text().chars().collect();
            let count = i64::try_from(whole.len()).unwrap_or(i64::MAX);
            if start < 1 || start > count || length < 0 {
                return Value::Null;
            }
            let start = usize::try_from(start - 1).unwrap_or(0);
            let end = start.saturating_add(usize::try_from(length).unwrap_or(0)).min(whole.len());
            let (before, after) = (&whole[..start], &whole[end..]);
            let middle = arguments.get(3).map_or("", |argument| as_text(&argument.1)).chars();
            Value::Text(before.iter().copied().chain(middle).chain(after.iter().copied()).collect())
        }
        Function::Replicate | Function::Space => {
            let (piece, count) = if function == Function::Space {
                (" ", as_int(first))
            } else {
                (text(), number(1))
            };
            let unbounded = arguments.first().is_some_and(|a| a.0.length() == Some(Length::Max));
            let most = if unbounded { LONGEST } else { 8_000 } / piece.len().max(1);
            match usize::try_from(count) {
                Ok(count) => Value::Text(piece.repeat(count.min(most))),
                Err(_) => Value::Null,
            }
        }
        Function::Reverse => Value::Text(text().chars().rev().collect()),
        Function::ConcatWs => {
            let parts = arguments.iter().skip(1).filter(|(_, value)| !value.is_null());
            Value::Text(parts.map(|(_, value)| as_text(value)).collect::<Vec<_>>().join(text()))
        }
        Function::Char | Function::NChar => {
            let most = if function == Function::Char { 255 } else { 0xFFFF };
            let code = u32::try_from(as_int(first)).ok().filter(|code| *code <= most);
            code.and_then(char::from_u32).map(String::from).into()
        }
        Function::Ascii | Function::Unicode => {
            text().chars().next().map(|c| i64::from(u32::from(c))).into()
        }
        Function::IsNumeric => Value::Int(i64::from(match first {
            Value::Int(_) | Value::Bit(_) | Value::Numeric(_) | Value::Float(_) => true,
            Value::Text(text) => text.trim().parse::<f64>().is_ok_and(f64::is_finite),
            _ => false,
        })),
        _ => Value::Null,
    }
}

/// STRING_SPLIT: the parts of a text, perhaps each with its number.
pub(crate) fn split(arguments: &[Value], ordinal: bool) -> Result<Vec<Vec<Value>>> {
    let [Value::Text(text), Value::Text(separator)] = arguments else { return Ok(Vec::new()) };
    let parts = text.split(separator.as_str()).zip(1..);
    let row = |(part, number): (&str, i64)| {
        let number = ordinal.then_some(Value::Int(number));
        std::iter::once(Value::text(part)).chain(number).collect()
    };
    Ok(parts.map(row).collect())
}

fn arithmetic(function: Function, ty: Type, value: &Value, places: i64) -> Result<Value> {
    Ok(match (function, value) {
        (Function::Abs, Value::Int(n)) => {
            Value::Int(n.checked_abs().ok_or_else(|| overflow_converting(ty.name()))?)
        }
        (Function::Abs, Value::Numeric(n)) => Value::Numeric(Numeric::new(n.units.abs(), n.scale)),
        (Function::Abs, Value::Float(n)) => Value::Float(n.abs()),
        (Function::Sign, Value::Int(n)) => Value::Int(n.signum()),
        (Function::Sign, Value::Numeric(n)) => {
            let one = power_of_ten(n.scale).unwrap_or(1);
            Value::Numeric(Numeric::new(n.units.signum() * one, n.scale))
        }
        (Function::Sign, Value::Float(n)) => Value::Float(if *n == 0.0 { 0.0 } else { n.signum() }),
        (Function::Floor, Value::Float(n)) => Value::Float(n.floor()),
        (Function::Ceiling, Value::Float(n)) => Value::Float(n.ceil()),
        (Function::Floor, Value::Numeric(n)) => {
            let one = power_of_ten(n.scale).unwrap_or(1);
            Value::Numeric(Numeric::new(n.units.div_euclid(one), 0))
        }
        (Function::Ceiling, Value::Numeric(n)) => {
            let one = power_of_ten(n.scale).unwrap_or(1);
            Value::Numeric(Numeric::new(-(-n.units).div_euclid(one), 0))
        }
        (Function::Round, Value::Numeric(n)) => {
            let Ok(places) = u8::try_from(places) else { return Ok(value.clone()) };
            let cut = n.rescale(38, places.min(n.scale)).and_then(|cut| cut.rescale(38, n.scale));
            Value::Numeric(cut.ok_or_else(|| overflow_converting("numeric"))?)
        }
        (Function::Round, Value::Float(n)) => {
            let factor = 10f64.powi(i32::try_from(places.clamp(-30, 30)).unwrap_or(0));
            Value::Float((n * factor).round() / factor)
        }
        _ => value.clone(),
    })
}

fn units(text: &str) -> i64 {
    i64::try_from(text.encode_utf16().count()).unwrap_or(i64::MAX)
}

fn length_argument(length: i64, function: &str) -> Result<usize> {
    usize::try_from(length).map_err(|_| {
        let text = format!("Invalid length parameter passed to the {function} function.");
        Error::new(536, 16, text)
    })
}

fn data_length(ty: Type, value: &Value) -> i64 {
    match value {
        Value::Text(text) if ty.is_unicode() => units(text) * 2,
        Value::Text(text) => i64::try_from(text.chars().count()).unwrap_or(i64::MAX),
        Value::Bytes(bytes) => i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        Value::Variant(inner) => data_length(inner.0, &inner.1),
        _ => match ty {
            Type::Bit | Type::TinyInt => 1,
            Type::SmallInt => 2,
            Type::Int | Type::Real | Type::SmallMoney => 4,
            Type::Date => 3,
            Type::Numeric { precision, .. } => match precision {
                0..=9 => 5,
                10..=19 => 9,
                20..=28 => 13,
                _ => 17,
            },
            Type::Time(scale) => 3 + i64::from(scale > 2) + i64::from(scale > 4),
            Type::DateTime2(scale) => 6 + i64::from(scale > 2) + i64::from(scale > 4),
            Type::DateTimeOffset(scale) => 8 + i64::from(scale > 2) + i64::from(scale > 4),
            Type::UniqueIdentifier => 16,
            Type::SmallDateTime => 4,
            _ => 8,
        },
    }
}

fn char_index(wanted: &str, text: &str, start: usize) -> i64 {
    let folded = |s: &str| s.chars().flat_map(fold).collect::<Vec<char>>();
    let (wanted, text) = (folded(wanted), folded(text));
    if wanted.is_empty() || start >= text.len() {
        return 0;
    }
    let found = text[start..].windows(wanted.len()).position(|window| window == wanted);
    found.map_or(0, |at| i64::try_from(at + start + 1).unwrap_or(0))
}

fn replace(text: &str, wanted: &str, by: &str) -> Result<String> {
    let length = wanted.chars().count();
    if length == 0 {
        return Ok(text.to_owned());
    }
    let mut rest = text;
    let mut result = String::new();
    while let Some(next) = rest.chars().next() {
        let end = rest.char_indices().nth(length).map_or(rest.len(), |(at, _)| at);
        let candidate = &rest[..end];
        if candidate.chars().count() == length && compare_text(candidate, wanted).is_eq() {
            result.push_str(by);
            rest = &rest[end..];
        } else {
            result.push(next);
            rest = &rest[next.len_utf8()..];
        }
        may_grow_to(result.len())?;
    }
    Ok(result)
}

fn quote_name(text: &str, quote: Option<&str>) -> Value {
    let (open, close) = match quote.and_then(|quote| quote.chars().next()) {
        None | Some('[' | ']') => ('[', ']'),
        Some(quote @ ('\'' | '"')) => (quote, quote),
        Some(_) => return Value::Null,
    };
    if text.chars().count() > 128 {
        return Value::Null;
    }
    let doubled = text.replace(close, &format!("{close}{close}"));
    Value::Text(format!("{open}{doubled}{close}"))
}
