//! Conversions between types: what is allowed, and what a value becomes.

mod text;
mod time;

use super::decimal::{MAX_PRECISION, Numeric};
use super::error::{Error, Result, overflow_converting};
use super::moment;
use super::types::{Length, Type};
use super::value::Value;
use text::fit_text;
use time::to_moment;

pub(crate) use text::{guid_text, text_length, text_of};

/// Whether a value may change its type at all, without or with CAST.
///
/// Errors: 206 or 257 for a conversion that does not happen by itself, 529 for one that CAST
/// does not do either.
pub(crate) fn check(from: Type, to: Type, explicit: bool) -> Result<()> {
    let (group_from, group_to) = (group(from), group(to));
    if group_from == group_to || to == Type::Variant {
        return Ok(());
    }
    let possible = match (group_from, group_to) {
        (Group::Guid, Group::Number) | (Group::Number, Group::Guid) => false,
        (Group::Guid, Group::Moment) | (Group::Moment, Group::Guid) => false,
        (Group::Number, Group::Moment) | (Group::Moment, Group::Number) => {
            // Only the old `datetime` counts in days.
            let plain = from == Type::DateTime || to == Type::DateTime;
            plain && (explicit || to == Type::DateTime)
        }
        (Group::Binary, _) | (_, Group::Binary) => explicit || group_to == Group::Binary,
        _ => true,
    };
    if !possible {
        return Err(if explicit {
            let text = format!(
                "Explicit conversion from data type {} to {} is not allowed.",
                from.name(),
                to.name()
            );
            Error::new(529, 16, text)
        } else {
            let text =
                format!("Operand type clash: {} is incompatible with {}", from.name(), to.name());
            Error::new(206, 16, text).state(2)
        });
    }
    if !explicit && from == Type::Variant {
        let text = format!(
            "Implicit conversion from data type sql_variant to {} is not allowed. Use the CONVERT \
             function to run this query.",
            to.name()
        );
        return Err(Error::new(257, 16, text).state(3));
    }
    Ok(())
}

/// What `value` of type `from` is as a `to`.
///
/// `style` is that of CONVERT, 0 if none was given. An `explicit` conversion cuts strings that
/// are too long, as CAST does.
pub(crate) fn convert(value: &Value, from: Type, to: Type, style: i64) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    if let Value::Variant(inner) = value {
        if to == Type::Variant {
            return Ok(value.clone());
        }
        check(inner.0, to, true)?;
        return convert(&inner.1, inner.0, to, style);
    }
    match to {
        Type::Variant => Ok(Value::variant(from, value.clone())),
        Type::Bit => to_bit(value, from),
        Type::TinyInt => to_integer(value, from, to, 0, 255),
        Type::SmallInt => to_integer(value, from, to, i64::from(i16::MIN), i64::from(i16::MAX)),
        Type::Int => to_integer(value, from, to, i64::from(i32::MIN), i64::from(i32::MAX)),
        Type::BigInt => to_integer(value, from, to, i64::MIN, i64::MAX),
        Type::Numeric { precision, scale } => to_numeric(value, from, precision, scale),
        Type::Money | Type::SmallMoney => to_money(value, from, to),
        Type::Real | Type::Float => to_float(value, from, to),
        Type::UniqueIdentifier => to_guid(value),
        Type::Char(_) | Type::VarChar(_) | Type::NChar(_) | Type::NVarChar(_) => {
            let text = text_of(value, from, style)?;
            fit_text(text, from, to)
        }
        Type::Binary(_) | Type::VarBinary(_) => to_bytes(value, from, to),
        Type::Date
        | Type::Time(_)
        | Type::SmallDateTime
        | Type::DateTime
        | Type::DateTime2(_)
        | Type::DateTimeOffset(_) => to_moment(value, from, to),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Number,
    Moment,
    Guid,
    Text,
    Binary,
    Variant,
}

fn group(ty: Type) -> Group {
    match ty {
        Type::Variant => Group::Variant,
        Type::UniqueIdentifier => Group::Guid,
        ty if ty.is_text() => Group::Text,
        ty if ty.is_binary() => Group::Binary,
        ty if ty.is_moment() => Group::Moment,
        _ => Group::Number,
    }
}

fn scale_of(ty: Type) -> u8 {
    match ty {
        Type::Time(scale) | Type::DateTime2(scale) | Type::DateTimeOffset(scale) => scale,
        _ => 7,
    }
}

fn failed(value: &Value, from: Type, to: Type) -> Error {
    let shown = match value {
        Value::Text(text) => text.as_str(),
        _ => "",
    };
    let text = format!(
        "Conversion failed when converting the {} value '{shown}' to data type {}.",
        from.name(),
        to.name()
    );
    Error::new(245, 16, text)
}

fn error_converting(from: Type, to: Type) -> Error {
    let text = format!("Error converting data type {} to {}.", from.name(), to.name());
    Error::new(8114, 16, text).state(5)
}

fn to_bit(value: &Value, from: Type) -> Result<Value> {
    Ok(Value::Bit(match value {
        Value::Bit(bit) => *bit,
        Value::Int(n) => *n != 0,
        Value::Numeric(n) => n.units != 0,
        Value::Float(n) => *n != 0.0,
        Value::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" => true,
            "false" | "" => false,
            other => match other.parse::<i64>() {
                Ok(n) => n != 0,
                Err(_) => return Err(failed(value, from, Type::Bit)),
            },
        },
        Value::Bytes(bytes) => bytes.iter().any(|byte| *byte != 0),
        _ => return Err(failed(value, from, Type::Bit)),
    }))
}

fn to_integer(value: &Value, from: Type, to: Type, least: i64, most: i64) -> Result<Value> {
    let wide: i128 = match value {
        Value::Bit(bit) => i128::from(*bit),
        Value::Int(n) => i128::from(*n),
        // Money is rounded, other numbers are cut.
        Value::Numeric(n) if from.is_money() => n.rescale(38, 0).unwrap_or(*n).truncate(),
        Value::Numeric(n) => n.truncate(),
        Value::Float(n) if n.is_finite() && n.abs() < 1e30 => {
            // Cut towards zero, as the server does; the range is checked below.
            #[expect(clippy::cast_possible_truncation, reason = "bounded by the guard")]
            let whole = n.trunc() as i128;
            whole
        }
        Value::Float(_) => return Err(overflow_converting(to.name())),
        Value::Text(text) if text.trim().is_empty() => 0,
        Value::Text(text) => match text.trim().parse::<i128>() {
            Ok(n) => n,
            Err(_) => return Err(failed(value, from, to)),
        },
        Value::Bytes(bytes) => {
            let tail = bytes.iter().rev().take(8).rev();
            let raw = tail.fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
            return Ok(Value::Int(match to {
                Type::TinyInt => i64::from(raw.to_le_bytes()[0]),
                Type::SmallInt => {
                    i64::from(i16::from_le_bytes([raw.to_le_bytes()[0], raw.to_le_bytes()[1]]))
                }
                Type::Int => {
                    let b = raw.to_le_bytes();
                    i64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                }
                _ => i64::from_le_bytes(raw.to_le_bytes()),
            }));
        }
        Value::Moment(ticks) if from == Type::DateTime => {
            let days = ticks - moment::DAYS_TO_1900 * moment::TICKS_PER_DAY;
            i128::from((days + moment::TICKS_PER_DAY / 2).div_euclid(moment::TICKS_PER_DAY))
        }
        _ => return Err(failed(value, from, to)),
    };
    match i64::try_from(wide) {
        Ok(n) if (least..=most).contains(&n) => Ok(Value::Int(n)),
        Ok(_) | Err(_) => Err(overflow_converting(to.name())),
    }
}

fn to_numeric(value: &Value, from: Type, precision: u8, scale: u8) -> Result<Value> {
    let to = Type::Numeric { precision, scale };
    let exact = match value {
        Value::Bit(bit) => Numeric::new(i128::from(*bit), 0),
        Value::Int(n) => Numeric::new(i128::from(*n), 0),
        Value::Numeric(n) => *n,
        Value::Float(n) => {
            let text = format!("{n:.*}", usize::from(scale));
            Numeric::parse(&text).ok_or_else(|| overflow_converting("numeric"))?
        }
        Value::Text(text) => Numeric::parse(text).ok_or_else(|| error_converting(from, to))?,
        _ => return Err(error_converting(from, to)),
    };
    exact
        .rescale(precision.min(MAX_PRECISION), scale)
        .map(Value::Numeric)
        .ok_or_else(|| overflow_converting("numeric"))
}

/// Digits with a sign, commas and `$`.
fn to_money(value: &Value, from: Type, to: Type) -> Result<Value> {
    let plain = match value {
        Value::Text(text) => {
            let digits: String = text.trim().chars().filter(|c| !matches!(c, ',' | '$')).collect();
            let digits = if digits.is_empty() { "0".to_owned() } else { digits };
            let parsed = Numeric::parse(&digits).ok_or_else(|| {
                let text = format!(
                    "Cannot convert a char value to {}. The char value has incorrect syntax.",
                    to.name()
                );
                Error::new(235, 16, text).state(0)
            })?;
            Value::Numeric(parsed)
        }
        other => other.clone(),
    };
    let out = || overflow_converting(to.name());
    let exact = to_numeric(&plain, from, MAX_PRECISION, 4).map_err(|_| out())?;
    money(exact, to).ok_or_else(out)
}

/// An amount in the bounds of its type, which are those of 8 and 4 bytes.
pub(crate) fn money(value: Value, to: Type) -> Option<Value> {
    let Value::Numeric(n) = value else { return Some(value) };
    let fits = match to {
        Type::SmallMoney => i32::try_from(n.units).is_ok(),
        _ => i64::try_from(n.units).is_ok(),
    };
    fits.then_some(Value::Numeric(n))
}

fn to_float(value: &Value, from: Type, to: Type) -> Result<Value> {
    Ok(Value::Float(match value {
        Value::Bit(bit) => f64::from(u8::from(*bit)),
        #[expect(clippy::cast_precision_loss, reason = "that is what the conversion does")]
        Value::Int(n) => *n as f64,
        Value::Numeric(n) => n.to_f64(),
        Value::Float(n) => *n,
        Value::Text(text) if text.trim().is_empty() => 0.0,
        Value::Text(text) => {
            let number = text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
            number.ok_or_else(|| error_converting(from, to))?
        }
        Value::Moment(ticks) => {
            #[expect(clippy::cast_precision_loss, reason = "that is what the conversion does")]
            let days = (ticks - moment::DAYS_TO_1900 * moment::TICKS_PER_DAY) as f64;
            days / 864_000_000_000.0
        }
        _ => return Err(error_converting(from, to)),
    }))
}

fn to_guid(value: &Value) -> Result<Value> {
    let wrong = || {
        Error::new(
            8169,
            16,
            "Conversion failed when converting from a character string to uniqueidentifier.",
        )
        .state(2)
    };
    match value {
        Value::Guid(guid) => Ok(Value::Guid(*guid)),
        Value::Text(text) => {
            let inner = text.trim().trim_start_matches('{').trim_end_matches('}');
            let groups: Vec<&str> = inner.split('-').collect();
            let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
            let digits = groups.concat();
            if lengths != [8, 4, 4, 4, 12] || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            u128::from_str_radix(&digits, 16).map(Value::Guid).map_err(|_| wrong())
        }
        Value::Bytes(bytes) => {
            let mut wire = [0u8; 16];
            for (to, from) in wire.iter_mut().zip(bytes) {
                *to = *from;
            }
            Ok(Value::Guid(guid_from_wire(wire)))
        }
        _ => Err(wrong()),
    }
}

/// The server keeps the first three groups of a GUID with their bytes swapped.
pub(crate) fn guid_to_wire(guid: u128) -> [u8; 16] {
    let mut bytes = guid.to_be_bytes();
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// The inverse of [`guid_to_wire`].
pub(crate) fn guid_from_wire(mut bytes: [u8; 16]) -> u128 {
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    u128::from_be_bytes(bytes)
}

fn to_bytes(value: &Value, from: Type, to: Type) -> Result<Value> {
    let mut bytes = match value {
        Value::Bytes(bytes) => bytes.clone(),
        Value::Text(text) if from.is_unicode() => {
            text.encode_utf16().flat_map(u16::to_le_bytes).collect()
        }
        Value::Text(text) => {
            text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
        }
        Value::Guid(guid) => guid_to_wire(*guid).to_vec(),
        Value::Bit(bit) => vec![u8::from(*bit)],
        Value::Int(n) => {
            let size = match from {
                Type::TinyInt => 1,
                Type::SmallInt => 2,
                Type::Int => 4,
                _ => 8,
            };
            n.to_be_bytes()[8 - size..].to_vec()
        }
        _ => return Err(error_converting(from, to)),
    };
    if let Some(Length::Of(most)) = to.length() {
        bytes.truncate(usize::from(most));
        if matches!(to, Type::Binary(_)) {
            bytes.resize(usize::from(most), 0);
        }
    }
    Ok(Value::Bytes(bytes))
}
