//! Values as text.

use crate::sql::decimal::Numeric;
use crate::sql::error::{Error, Result, overflow_converting};
use crate::sql::moment;
use crate::sql::types::{Length, Type};
use crate::sql::value::Value;

use super::scale_of;

/// A value as text, as CAST to a long enough string gives it.
pub(crate) fn text_of(value: &Value, ty: Type, style: i64) -> Result<String> {
    Ok(match value {
        Value::Null => String::new(),
        Value::Bit(bit) => i32::from(*bit).to_string(),
        Value::Int(n) => n.to_string(),
        Value::Numeric(n) if ty.is_money() => money_text(*n, style),
        Value::Numeric(n) => n.to_string(),
        Value::Float(n) => float_text(*n),
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) if style == 1 || style == 2 => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            if style == 1 { format!("0x{digits}") } else { digits }
        }
        Value::Bytes(bytes) if ty.is_unicode() => String::from_utf16_lossy(
            &bytes.chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect::<Vec<_>>(),
        ),
        Value::Bytes(bytes) => bytes.iter().map(|byte| char::from(*byte)).collect(),
        Value::Guid(guid) => guid_text(*guid),
        Value::Moment(ticks) => return moment_text(*ticks, ty, style),
        Value::Time(ticks) => moment::iso_time(*ticks, scale_of(ty)),
        Value::Zoned { utc, offset } => {
            let local = utc + i64::from(*offset) * 60 * moment::TICKS_PER_SECOND;
            if style == 127 {
                format!("{}Z", moment::iso(*utc, scale_of(ty), 'T'))
            } else {
                let between = if style == 126 { 'T' } else { ' ' };
                let gap = if style == 126 { "" } else { " " };
                let text = moment::iso(local, scale_of(ty), between);
                format!("{text}{gap}{}", moment::offset_text(*offset))
            }
        }
        Value::Variant(inner) => return text_of(&inner.1, inner.0, style),
    })
}

/// Two places behind the point, with commas in style 1; four in style 2 and in those of ISO.
fn money_text(n: Numeric, style: i64) -> String {
    let places = if matches!(style, 2 | 126) { 4 } else { 2 };
    let text = n.rescale(38, places).unwrap_or(n).to_string();
    if style != 1 {
        return text;
    }
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}.{rest}")
}

/// `6F9619FF-8B86-D011-B42D-00C04FC964FF`
pub(crate) fn guid_text(guid: u128) -> String {
    let d = format!("{guid:032X}");
    format!("{}-{}-{}-{}-{}", &d[..8], &d[8..12], &d[12..16], &d[16..20], &d[20..])
}

/// How many characters a value of this type may take as text.
pub(crate) fn text_length(ty: Type) -> u16 {
    match ty {
        Type::Bit => 1,
        Type::TinyInt => 3,
        Type::SmallInt => 6,
        Type::Int => 12,
        Type::BigInt => 24,
        Type::Numeric { .. } => 41,
        Type::Money | Type::SmallMoney => 30,
        Type::Real | Type::Float => 30,
        Type::Date => 10,
        Type::Time(_) => 16,
        Type::DateTime | Type::SmallDateTime => 40,
        Type::DateTime2(_) => 27,
        Type::DateTimeOffset(_) => 34,
        Type::UniqueIdentifier => 36,
        Type::Char(n) | Type::NChar(n) | Type::Binary(n) => n,
        Type::VarChar(n) | Type::NVarChar(n) | Type::VarBinary(n) => match n {
            Length::Of(n) => n,
            Length::Max => 4000,
        },
        Type::Variant => 4000,
    }
}

/// Text in the length of its type: cut, filled with blanks, or refused.
pub(super) fn fit_text(text: String, from: Type, to: Type) -> Result<Value> {
    let Some(Length::Of(most)) = to.length() else { return Ok(Value::Text(text)) };
    let most = usize::from(most);
    let length = if to.is_unicode() { text.encode_utf16().count() } else { text.chars().count() };
    let fixed = matches!(to, Type::Char(_) | Type::NChar(_));
    if length <= most {
        let filled = if fixed { text + &" ".repeat(most - length) } else { text };
        return Ok(Value::Text(filled));
    }
    if from.is_integer() || from == Type::Bit {
        // A number that does not fit is shown as a star, or refused for the n types.
        return if to.is_unicode() { Err(overflow_converting(to.name())) } else { Ok("*".into()) };
    }
    if matches!(from, Type::Numeric { .. } | Type::UniqueIdentifier) || from.is_money() {
        return Err(overflow_converting(to.name()));
    }
    let mut cut = String::new();
    let mut taken = 0;
    for c in text.chars() {
        taken += if to.is_unicode() { c.len_utf16() } else { 1 };
        if taken > most {
            break;
        }
        cut.push(c);
    }
    Ok(Value::Text(cut))
}

fn moment_text(ticks: i64, ty: Type, style: i64) -> Result<String> {
    let scale = match ty {
        Type::DateTime => 3,
        Type::SmallDateTime => 0,
        other => scale_of(other),
    };
    let f = moment::Fields::of(ticks);
    let iso = |between| moment::iso(ticks, scale, between);
    Ok(match (ty, style) {
        (_, 112) => format!("{:04}{:02}{:02}", f.year, f.month, f.day),
        (_, 101) => format!("{:02}/{:02}/{:04}", f.month, f.day, f.year),
        (_, 103) => format!("{:02}/{:02}/{:04}", f.day, f.month, f.year),
        (_, 104) => format!("{:02}.{:02}.{:04}", f.day, f.month, f.year),
        (_, 23) => moment::iso_date(ticks),
        (_, 108) => moment::iso_time(ticks.rem_euclid(moment::TICKS_PER_DAY), 0),
        (Type::Date, 0 | 20 | 21 | 25 | 120 | 121 | 126 | 127) => moment::iso_date(ticks),
        (_, 20 | 120) => moment::iso(ticks, 0, ' '),
        (_, 21 | 25 | 121) => iso(' '),
        (Type::DateTime, 126 | 127) if f.fraction == 0 => moment::iso(ticks, 0, 'T'),
        (_, 126 | 127) => iso('T'),
        (Type::DateTime | Type::SmallDateTime, 0 | 100) => moment::default_datetime(ticks),
        (_, 0) => iso(' '),
        _ => {
            let text = format!(
                "{style} is not a valid style number when converting from {} to a character \
                 string.",
                ty.name()
            );
            return Err(Error::new(281, 16, text));
        }
    })
}

fn float_text(n: f64) -> String {
    // Six significant digits, with an exponent for very large and very small numbers.
    if n == 0.0 {
        return "0".to_owned();
    }
    let exponent = n.abs().log10().floor();
    if !(-5.0..6.0).contains(&exponent) {
        let text = format!("{n:.5e}");
        let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
        let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
        let power: i32 = power.parse().unwrap_or(0);
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:03}", power.abs());
    }
    #[expect(clippy::cast_possible_truncation, reason = "between -5 and 5")]
    let decimals = (5 - exponent as i32).max(0);
    let text = format!("{n:.*}", usize::try_from(decimals).unwrap_or(0));
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
