//! Parameters as a client sends them: TYPE_INFO and a value (MS-TDS 2.2.6.6).

use crate::sql::moment::{DAYS_TO_1900, LAST_TICK, TICKS_PER_DAY};
use crate::sql::{Length, Numeric, Type, Value, guid_from_wire};

use super::bytes::{Bytes, utf16};
use super::codepage;
use super::packet::invalid;

/// Why a parameter cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The message ends too early, or a length is wrong.
    Broken(std::io::Error),
    /// A type that the twin does not take.
    Type(u8),
}

impl From<std::io::Error> for Unreadable {
    fn from(error: std::io::Error) -> Unreadable {
        Unreadable::Broken(error)
    }
}

type Result<T> = std::result::Result<T, Unreadable>;

/// Reads a type and the value that follows it.
pub(super) fn typed_value(from: &mut Bytes<'_>) -> Result<(Type, Value)> {
    let token = from.u8()?;
    match token {
        0x1F | 0x30 | 0x32 | 0x34 | 0x38 | 0x3A..=0x3E | 0x7A | 0x7F => fixed(token, from),
        0x24 | 0x26 | 0x28 | 0x68 | 0x6D..=0x6F => nullable(token, from),
        0x29..=0x2B => moment(token, from),
        0x6A | 0x6C => numeric(from),
        0xA5 | 0xA7 | 0xAD | 0xAF | 0xE7 | 0xEF => string(token, from),
        0x23 | 0x63 => old_text(token, from),
        other => Err(Unreadable::Type(other)),
    }
}

/// Types without a length, which are never NULL, and the type of NULL alone.
fn fixed(token: u8, from: &mut Bytes<'_>) -> Result<(Type, Value)> {
    Ok(match token {
        0x30 => (Type::TinyInt, integer(from.take(1)?)),
        0x32 => (Type::Bit, Value::Bit(from.u8()? != 0)),
        0x34 => (Type::SmallInt, integer(from.take(2)?)),
        0x38 => (Type::Int, integer(from.take(4)?)),
        0x7F => (Type::BigInt, integer(from.take(8)?)),
        0x3B => (Type::Real, float(from.take(4)?)?),
        0x3E => (Type::Float, float(from.take(8)?)?),
        0x3C => (Type::Money, money(from.take(8)?)),
        0x7A => (Type::SmallMoney, money(from.take(4)?)),
        0x3A => (Type::SmallDateTime, datetime(from.take(4)?)?),
        0x3D => (Type::DateTime, datetime(from.take(8)?)?),
        _ => (Type::Int, Value::Null),
    })
}

/// Types whose values stand behind one byte of length.
fn nullable(token: u8, from: &mut Bytes<'_>) -> Result<(Type, Value)> {
    if token == 0x28 {
        return Ok((Type::Date, sized(from)?.map(date).transpose()?.unwrap_or(Value::Null)));
    }
    let most = from.u8()?;
    let found = sized(from)?;
    let or_null = |value: Option<Value>| value.unwrap_or(Value::Null);
    Ok(match token {
        0x26 => {
            let ty = match most {
                1 => Type::TinyInt,
                2 => Type::SmallInt,
                4 => Type::Int,
                8 => Type::BigInt,
                _ => return Err(invalid("an integer of an odd length").into()),
            };
            if found.is_some_and(|bytes| bytes.len() > 8) {
                return Err(invalid("an integer that is too long").into());
            }
            (ty, or_null(found.map(integer)))
        }
        0x68 => {
            let set = |bytes: &[u8]| Value::Bit(bytes.iter().any(|byte| *byte != 0));
            (Type::Bit, or_null(found.map(set)))
        }
        0x6D => {
            let ty = if most == 4 { Type::Real } else { Type::Float };
            (ty, or_null(found.map(float).transpose()?))
        }
        0x6E => {
            if found.is_some_and(|bytes| !matches!(bytes.len(), 4 | 8)) {
                return Err(invalid("an amount of money of an odd length").into());
            }
            let ty = if most == 4 { Type::SmallMoney } else { Type::Money };
            (ty, or_null(found.map(money)))
        }
        0x6F if most == 4 => (Type::SmallDateTime, or_null(found.map(datetime).transpose()?)),
        0x6F => (Type::DateTime, or_null(found.map(datetime).transpose()?)),
        _ => {
            let guid = found.map(|bytes| {
                let wire: [u8; 16] =
                    bytes.try_into().map_err(|_| invalid("a GUID of an odd length"))?;
                Ok::<_, std::io::Error>(Value::Guid(guid_from_wire(wire)))
            });
            (Type::UniqueIdentifier, or_null(guid.transpose()?))
        }
    })
}

/// Strings and binaries.
fn string(token: u8, from: &mut Bytes<'_>) -> Result<(Type, Value)> {
    let width = if matches!(token, 0xE7 | 0xEF) { 2 } else { 1 };
    let length = long_length(from, width)?;
    if matches!(token, 0xA5 | 0xAD) {
        let bytes = long(from, length)?;
        return Ok((Type::VarBinary(length), bytes.map_or(Value::Null, Value::Bytes)));
    }
    let _collation = from.take(5)?;
    let ty = match (token, length) {
        (0xAF, Length::Of(n)) => Type::Char(n),
        (0xEF, Length::Of(n)) => Type::NChar(n),
        (0xA7 | 0xAF, length) => Type::VarChar(length),
        (_, length) => Type::NVarChar(length),
    };
    let text = long(from, length)?.map(|bytes| {
        if width == 2 { utf16(&bytes) } else { bytes.into_iter().map(codepage::to_char).collect() }
    });
    Ok((ty, text.map_or(Value::Null, Value::Text)))
}

/// What older clients use for long texts: a length of four bytes.
fn old_text(token: u8, from: &mut Bytes<'_>) -> Result<(Type, Value)> {
    from.u32()?;
    let _collation = from.take(5)?;
    let length = from.u32()?;
    let ty = Type::NVarChar(Length::Max);
    if length == u32::MAX {
        return Ok((ty, Value::Null));
    }
    let count = usize::try_from(length).map_err(|_| invalid("a text that is too long"))?;
    let bytes = from.take(count)?;
    let text = if token == 0x63 {
        utf16(bytes)
    } else {
        bytes.iter().map(|byte| codepage::to_char(*byte)).collect()
    };
    Ok((ty, Value::Text(text)))
}

/// A value behind one byte of length; none if that is zero.
fn sized<'a>(from: &mut Bytes<'a>) -> Result<Option<&'a [u8]>> {
    let length = usize::from(from.u8()?);
    Ok(if length == 0 { None } else { Some(from.take(length)?) })
}

/// The maximum length of a string: `FFFF` means `(max)`.
fn long_length(from: &mut Bytes<'_>, width: u16) -> Result<Length> {
    let length = from.u16()?;
    Ok(if length == u16::MAX { Length::Max } else { Length::Of((length / width).max(1)) })
}

/// A string, with two bytes of length or in chunks.
fn long(from: &mut Bytes<'_>, length: Length) -> Result<Option<Vec<u8>>> {
    if length != Length::Max {
        let count = from.u16()?;
        return Ok(match count {
            u16::MAX => None,
            count => Some(from.take(usize::from(count))?.to_vec()),
        });
    }
    if from.u64()? == u64::MAX {
        return Ok(None);
    }
    let mut data = Vec::new();
    loop {
        let chunk = from.size32()?;
        if chunk == 0 {
            return Ok(Some(data));
        }
        data.extend_from_slice(from.take(chunk)?);
    }
}

fn integer(bytes: &[u8]) -> Value {
    // One byte is unsigned, the others are signed.
    let negative = bytes.len() > 1 && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xFF } else { 0 }; 8];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    Value::Int(i64::from_le_bytes(wide))
}

/// Ten-thousandths; of eight bytes the more significant half first.
fn money(bytes: &[u8]) -> Value {
    let (high, low) = bytes.split_at(bytes.len() / 2);
    let whole = if bytes.len() == 8 { [low, high].concat() } else { bytes.to_vec() };
    let units = if let Value::Int(units) = integer(&whole) { units } else { 0 };
    Value::Numeric(Numeric { units: i128::from(units), scale: 4 })
}

fn float(bytes: &[u8]) -> Result<Value> {
    if let Ok(single) = <[u8; 4]>::try_from(bytes) {
        return Ok(Value::Float(f64::from(f32::from_le_bytes(single))));
    }
    let double = bytes.try_into().map_err(|_| invalid("a float of an odd length"))?;
    Ok(Value::Float(f64::from_le_bytes(double)))
}

fn numeric(from: &mut Bytes<'_>) -> Result<(Type, Value)> {
    let (_, precision, scale) = (from.u8()?, from.u8()?, from.u8()?);
    if !(1..=38).contains(&precision) || scale > precision {
        return Err(invalid("a numeric of an impossible size").into());
    }
    let ty = Type::Numeric { precision, scale };
    let Some(bytes) = sized(from)? else { return Ok((ty, Value::Null)) };
    let (sign, magnitude) = bytes.split_first().unwrap_or((&1, &[]));
    if magnitude.len() > 16 {
        return Err(invalid("a numeric that is too long").into());
    }
    let mut wide = [0; 16];
    wide[..magnitude.len()].copy_from_slice(magnitude);
    let units = i128::from_le_bytes(wide);
    if !(0..10_i128.pow(38)).contains(&units) {
        return Err(invalid("a numeric that is too large").into());
    }
    let units = if *sign == 0 { -units } else { units };
    Ok((ty, Value::Numeric(Numeric { units, scale })))
}

fn datetime(bytes: &[u8]) -> Result<Value> {
    let (days, units) = match bytes.len() {
        8 => {
            let mut from = Bytes::new(bytes);
            (i64::from(i32::from_le_bytes(from.array()?)), i64::from(from.u32()?))
        }
        // smalldatetime counts minutes.
        4 => {
            let mut from = Bytes::new(bytes);
            (i64::from(from.u16()?), i64::from(from.u16()?) * 60 * 300)
        }
        _ => return Err(invalid("a datetime of an odd length").into()),
    };
    let day = (days + DAYS_TO_1900).checked_mul(TICKS_PER_DAY).unwrap_or(-1);
    in_range(day.saturating_add((units * 10_000_000 + 150) / 300))
}

fn date(bytes: &[u8]) -> Result<Value> {
    let days = bytes.iter().rev().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
    in_range(days.checked_mul(TICKS_PER_DAY).unwrap_or(-1))
}

fn in_range(ticks: i64) -> Result<Value> {
    if (0..=LAST_TICK).contains(&ticks) {
        Ok(Value::Moment(ticks))
    } else {
        Err(invalid("a date outside of the calendar").into())
    }
}

/// `time`, `datetime2` and `datetimeoffset`: units of the scale, days, minutes.
fn moment(token: u8, from: &mut Bytes<'_>) -> Result<(Type, Value)> {
    let scale = from.u8()?;
    if scale > 7 {
        return Err(invalid("a time with too many digits").into());
    }
    let ty = match token {
        0x29 => Type::Time(scale),
        0x2A => Type::DateTime2(scale),
        _ => Type::DateTimeOffset(scale),
    };
    let Some(bytes) = sized(from)? else { return Ok((ty, Value::Null)) };
    let tail = match token {
        0x29 => 0,
        0x2A => 3,
        _ => 5,
    };
    let (clock, rest) = bytes
        .len()
        .checked_sub(tail)
        .and_then(|at| bytes.split_at_checked(at))
        .filter(|(clock, _)| clock.len() <= 5)
        .ok_or_else(|| invalid("a time of an odd length"))?;
    let units = clock.iter().rev().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
    let ticks = units.saturating_mul(10_i64.pow(u32::from(7 - scale)));
    if ticks >= TICKS_PER_DAY {
        return Err(invalid("a time beyond midnight").into());
    }
    if token == 0x29 {
        return Ok((ty, Value::Time(ticks)));
    }
    let Value::Moment(day) = date(&rest[..3])? else { return Ok((ty, Value::Null)) };
    let whole = day + ticks;
    if token == 0x2A {
        return Ok((ty, Value::Moment(whole)));
    }
    let offset = i16::from_le_bytes([rest[3], rest[4]]);
    if !(-840..=840).contains(&offset) {
        return Err(invalid("an offset of more than 14 hours").into());
    }
    Ok((ty, Value::Zoned { utc: whole, offset }))
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;
    use crate::sql::Column;

    #[test]
    fn what_is_encoded_is_decoded() {
        for (ty, value) in [
            (Type::Bit, Value::Bit(true)),
            (Type::TinyInt, Value::Int(200)),
            (Type::SmallInt, Value::Int(-5)),
            (Type::Int, Value::Int(i64::from(i32::MIN))),
            (Type::BigInt, Value::Int(i64::MAX)),
            (Type::Float, Value::Float(-1.5)),
            (Type::Real, Value::Float(0.5)),
            (
                Type::Numeric { precision: 25, scale: 2 },
                Value::Numeric(Numeric { units: -123_456_789_012_345_678_901_234, scale: 2 }),
            ),
            (Type::Money, Value::Numeric(Numeric { units: -12_345_678_901_234, scale: 4 })),
            (Type::SmallMoney, Value::Numeric(Numeric { units: -5, scale: 4 })),
            (Type::UniqueIdentifier, Value::Guid(0x6F96_19FF_8B86_D011_B42D_00C0_4FC9_64FF)),
            (Type::Date, Value::Moment(738_000 * TICKS_PER_DAY)),
            (Type::DateTime, Value::Moment(738_000 * TICKS_PER_DAY + 33_333)),
            (Type::DateTime2(3), Value::Moment(738_000 * TICKS_PER_DAY + 10_000)),
            (Type::DateTimeOffset(7), Value::Zoned { utc: 738_000 * TICKS_PER_DAY, offset: -90 }),
            (Type::Time(0), Value::Time(10_000_000)),
            (Type::NVarChar(Length::Of(9)), Value::from("añb")),
            (Type::NVarChar(Length::Max), Value::Text("x€".repeat(20_000))),
            (Type::VarChar(Length::Of(9)), Value::from("€")),
            (Type::Char(3), Value::from("abc")),
            (Type::VarBinary(Length::Of(4)), Value::Bytes(vec![1, 2])),
            (Type::VarBinary(Length::Max), Value::Bytes(vec![0; 40_000])),
        ] {
            for (nullable, value) in [(true, &value), (false, &value), (true, &Value::Null)] {
                let column = Column { name: String::new(), ty, nullable };
                let mut wire = Vec::new();
                encode::type_info(&column, &mut wire);
                encode::value(&column, value, &mut wire);
                let mut from = Bytes::new(&wire);
                let read = typed_value(&mut from).expect("well formed");
                assert_eq!(read, (ty, value.clone()));
                assert!(from.is_empty());
                for length in 0..wire.len() {
                    assert!(typed_value(&mut Bytes::new(&wire[..length])).is_err());
                }
            }
        }
    }
}
