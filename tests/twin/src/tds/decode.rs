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
    Ok(match token {
        0x1F => (Type::Int, Value::Null),
        0x30 => (Type::TinyInt, integer(from.take(1)?)),
        0x32 => (Type::Bit, Value::Bit(from.u8()? != 0)),
        0x34 => (Type::SmallInt, integer(from.take(2)?)),
        0x38 => (Type::Int, integer(from.take(4)?)),
        0x7F => (Type::BigInt, integer(from.take(8)?)),
        0x3B => (Type::Real, float(from.take(4)?)?),
        0x3E => (Type::Float, float(from.take(8)?)?),
        0x3D => (Type::DateTime, datetime(from.take(8)?)?),
        0x26 => {
            let ty = match from.u8()? {
                1 => Type::TinyInt,
                2 => Type::SmallInt,
                4 => Type::Int,
                8 => Type::BigInt,
                _ => return Err(invalid("an integer of an odd length").into()),
            };
            (ty, sized(from)?.map_or(Value::Null, integer))
        }
        0x68 => {
            from.u8()?;
            (Type::Bit, sized(from)?.map_or(Value::Null, |b| Value::Bit(b.iter().any(|b| *b != 0))))
        }
        0x6D => {
            let ty = if from.u8()? == 4 { Type::Real } else { Type::Float };
            (ty, sized(from)?.map(float).transpose()?.unwrap_or(Value::Null))
        }
        0x6F => {
            from.u8()?;
            (Type::DateTime, sized(from)?.map(datetime).transpose()?.unwrap_or(Value::Null))
        }
        0x6A | 0x6C => numeric(from)?,
        0x24 => {
            from.u8()?;
            let guid = match sized(from)? {
                None => Value::Null,
                Some(bytes) => {
                    let wire = bytes.try_into().map_err(|_| invalid("a GUID of an odd length"))?;
                    Value::Guid(guid_from_wire(wire))
                }
            };
            (Type::UniqueIdentifier, guid)
        }
        0x28 => (Type::Date, sized(from)?.map(date).transpose()?.unwrap_or(Value::Null)),
        0x29..=0x2B => moment(token, from)?,
        0xA7 | 0xAF => {
            let length = long_length(from, 1)?;
            from.take(5)?;
            let ty = if token == 0xAF { char_type(length) } else { Type::VarChar(length) };
            let text = long(from, length)?;
            (
                ty,
                text.map_or(Value::Null, |b| {
                    Value::Text(b.into_iter().map(codepage::to_char).collect())
                }),
            )
        }
        0xE7 | 0xEF => {
            let length = long_length(from, 2)?;
            from.take(5)?;
            let text = long(from, length)?;
            let ty = match length {
                Length::Of(n) if token == 0xEF => Type::NChar(n),
                length => Type::NVarChar(length),
            };
            (ty, text.map_or(Value::Null, |bytes| Value::Text(utf16(&bytes))))
        }
        0xA5 | 0xAD => {
            let length = long_length(from, 1)?;
            (Type::VarBinary(length), long(from, length)?.map_or(Value::Null, Value::Bytes))
        }
        // Kept by older clients for long texts: a length of four bytes.
        0x23 | 0x63 => {
            from.u32()?;
            from.take(5)?;
            let length = from.u32()?;
            let value = if length == u32::MAX {
                Value::Null
            } else {
                let count =
                    usize::try_from(length).map_err(|_| invalid("a text that is too long"))?;
                let bytes = from.take(count)?;
                if token == 0x63 {
                    Value::Text(utf16(bytes))
                } else {
                    Value::Text(bytes.iter().map(|byte| codepage::to_char(*byte)).collect())
                }
            };
            (Type::NVarChar(Length::Max), value)
        }
        other => return Err(Unreadable::Type(other)),
    })
}

fn char_type(length: Length) -> Type {
    match length {
        Length::Of(n) => Type::Char(n),
        Length::Max => Type::VarChar(Length::Max),
    }
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
