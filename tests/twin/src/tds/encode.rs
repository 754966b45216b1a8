//! Types and values as the server sends them (MS-TDS 2.2.5.4 and 2.2.5.5).

use crate::sql::moment::{DAYS_TO_1900, TICKS_PER_DAY, TICKS_PER_SECOND, datetime_units};
use crate::sql::{Column, Length, Numeric, Type, Value, guid_to_wire};

use super::codepage;

/// `SQL_Latin1_General_CP1_CI_AS`.
pub(super) const COLLATION: [u8; 5] = [0x09, 0x04, 0xD0, 0x00, 0x34];
/// What a `sql_variant` may hold.
const MAX_VARIANT: u32 = 8009;

/// TYPE_INFO of a column.
pub(super) fn type_info(column: &Column, out: &mut Vec<u8>) {
    if !column.nullable
        && let Some(fixed) = fixed_token(column.ty)
    {
        out.push(fixed);
        return;
    }
    match column.ty {
        Type::Bit => out.extend([0x68, 1]),
        Type::TinyInt => out.extend([0x26, 1]),
        Type::SmallInt => out.extend([0x26, 2]),
        Type::Int => out.extend([0x26, 4]),
        Type::BigInt => out.extend([0x26, 8]),
        Type::Numeric { precision, scale } => {
            out.extend([0x6C, numeric_size(precision), precision, scale]);
        }
        Type::Money => out.extend([0x6E, 8]),
        Type::SmallMoney => out.extend([0x6E, 4]),
        Type::Real => out.extend([0x6D, 4]),
        Type::Float => out.extend([0x6D, 8]),
        Type::Date => out.push(0x28),
        Type::Time(scale) => out.extend([0x29, scale]),
        Type::SmallDateTime => out.extend([0x6F, 4]),
        Type::DateTime => out.extend([0x6F, 8]),
        Type::DateTime2(scale) => out.extend([0x2A, scale]),
        Type::DateTimeOffset(scale) => out.extend([0x2B, scale]),
        Type::UniqueIdentifier => out.extend([0x24, 16]),
        Type::Char(n) => text_info(0xAF, Length::Of(n), 1, out),
        Type::VarChar(n) => text_info(0xA7, n, 1, out),
        Type::NChar(n) => text_info(0xEF, Length::Of(n), 2, out),
        Type::NVarChar(n) => text_info(0xE7, n, 2, out),
        Type::Binary(n) => {
            out.push(0xAD);
            out.extend(n.to_le_bytes());
        }
        Type::VarBinary(n) => {
            out.push(0xA5);
            out.extend(max_bytes(n, 1).to_le_bytes());
        }
        Type::Variant => {
            out.push(0x62);
            out.extend(MAX_VARIANT.to_le_bytes());
        }
    }
}

/// A value of a column, as it stands in a row.
pub(super) fn value(column: &Column, value: &Value, out: &mut Vec<u8>) {
    let fixed = !column.nullable && fixed_token(column.ty).is_some();
    if value.is_null() {
        null(column.ty, out);
        return;
    }
    match column.ty {
        Type::Char(n) | Type::VarChar(Length::Of(n)) => long(text8(value, usize::from(n)), out),
        Type::NChar(n) | Type::NVarChar(Length::Of(n)) => long(text16(value, usize::from(n)), out),
        Type::VarChar(Length::Max) => plp(&text8(value, usize::MAX), out),
        Type::NVarChar(Length::Max) => plp(&text16(value, usize::MAX), out),
        Type::Binary(n) | Type::VarBinary(Length::Of(n)) => {
            long(bytes(value, usize::from(n)), out);
        }
        Type::VarBinary(Length::Max) => plp(&bytes(value, usize::MAX), out),
        Type::Variant => variant(value, out),
        Type::Bit
        | Type::TinyInt
        | Type::SmallInt
        | Type::Int
        | Type::BigInt
        | Type::Numeric { .. }
        | Type::Money
        | Type::SmallMoney
        | Type::Real
        | Type::Float
        | Type::Date
        | Type::Time(_)
        | Type::SmallDateTime
        | Type::DateTime
        | Type::DateTime2(_)
        | Type::DateTimeOffset(_)
        | Type::UniqueIdentifier => {
            let data = short(column.ty, value);
            if !fixed {
                out.push(u8::try_from(data.len()).unwrap_or(0));
            }
            out.extend(data);
        }
    }
}

/// The token of a type that has no length, for columns that are never NULL.
fn fixed_token(ty: Type) -> Option<u8> {
    match ty {
        Type::Bit => Some(0x32),
        Type::TinyInt => Some(0x30),
        Type::SmallInt => Some(0x34),
        Type::Int => Some(0x38),
        Type::BigInt => Some(0x7F),
        Type::Money => Some(0x3C),
        Type::SmallMoney => Some(0x7A),
        Type::Real => Some(0x3B),
        Type::Float => Some(0x3E),
        Type::SmallDateTime => Some(0x3A),
        Type::DateTime => Some(0x3D),
        Type::Numeric { .. }
        | Type::Date
        | Type::Time(_)
        | Type::DateTime2(_)
        | Type::DateTimeOffset(_)
        | Type::UniqueIdentifier
        | Type::Char(_)
        | Type::VarChar(_)
        | Type::NChar(_)
        | Type::NVarChar(_)
        | Type::Binary(_)
        | Type::VarBinary(_)
        | Type::Variant => None,
    }
}

fn null(ty: Type, out: &mut Vec<u8>) {
    match ty {
        Type::VarChar(Length::Max) | Type::NVarChar(Length::Max) | Type::VarBinary(Length::Max) => {
            out.extend(u64::MAX.to_le_bytes());
        }
        Type::Char(_)
        | Type::VarChar(_)
        | Type::NChar(_)
        | Type::NVarChar(_)
        | Type::Binary(_)
        | Type::VarBinary(_) => out.extend(u16::MAX.to_le_bytes()),
        Type::Variant => out.extend(0_u32.to_le_bytes()),
        Type::Bit
        | Type::TinyInt
        | Type::SmallInt
        | Type::Int
        | Type::BigInt
        | Type::Numeric { .. }
        | Type::Money
        | Type::SmallMoney
        | Type::Real
        | Type::Float
        | Type::Date
        | Type::Time(_)
        | Type::SmallDateTime
        | Type::DateTime
        | Type::DateTime2(_)
        | Type::DateTimeOffset(_)
        | Type::UniqueIdentifier => out.push(0),
    }
}

fn text_info(token: u8, length: Length, width: u16, out: &mut Vec<u8>) {
    out.push(token);
    out.extend(max_bytes(length, width).to_le_bytes());
    out.extend(COLLATION);
}

fn max_bytes(length: Length, width: u16) -> u16 {
    match length {
        Length::Of(n) => n.saturating_mul(width).max(1),
        Length::Max => u16::MAX,
    }
}

fn numeric_size(precision: u8) -> u8 {
    match precision {
        0..=9 => 5,
        10..=19 => 9,
        20..=28 => 13,
        _ => 17,
    }
}

fn long(data: Vec<u8>, out: &mut Vec<u8>) {
    out.extend(u16::try_from(data.len()).unwrap_or(u16::MAX - 1).to_le_bytes());
    out.extend(data);
}

/// Partially length-prefixed: the total, chunks, and an end.
fn plp(data: &[u8], out: &mut Vec<u8>) {
    out.extend((data.len() as u64).to_le_bytes());
    for chunk in data.chunks(0x4000) {
        out.extend(u32::try_from(chunk.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(chunk);
    }
    out.extend(0_u32.to_le_bytes());
}

fn text16(value: &Value, most: usize) -> Vec<u8> {
    let Value::Text(text) = value else { return Vec::new() };
    text.encode_utf16().take(most).flat_map(u16::to_le_bytes).collect()
}

fn text8(value: &Value, most: usize) -> Vec<u8> {
    let Value::Text(text) = value else { return Vec::new() };
    text.chars().take(most).map(codepage::to_byte).collect()
}

fn bytes(value: &Value, most: usize) -> Vec<u8> {
    let Value::Bytes(bytes) = value else { return Vec::new() };
    bytes.iter().copied().take(most).collect()
}

/// A value of a type with at most 255 bytes, without its length.
fn short(ty: Type, value: &Value) -> Vec<u8> {
    match (ty, value) {
        (_, Value::Bit(bit)) => vec![u8::from(*bit)],
        (Type::Bit, Value::Int(n)) => vec![u8::from(*n != 0)],
        (Type::TinyInt, Value::Int(n)) => n.to_le_bytes()[..1].to_vec(),
        (Type::SmallInt, Value::Int(n)) => n.to_le_bytes()[..2].to_vec(),
        (Type::Int, Value::Int(n)) => n.to_le_bytes()[..4].to_vec(),
        (_, Value::Int(n)) => n.to_le_bytes().to_vec(),
        (Type::Numeric { precision, scale }, Value::Numeric(n)) => numeric(precision, scale, *n),
        (Type::SmallMoney, Value::Numeric(n)) => units(*n).to_le_bytes()[..4].to_vec(),
        (Type::Money, Value::Numeric(n)) => {
            // The more significant half first.
            let bytes = units(*n).to_le_bytes();
            [&bytes[4..], &bytes[..4]].concat()
        }
        #[expect(clippy::cast_possible_truncation, reason = "that is what real is")]
        (Type::Real, Value::Float(n)) => (*n as f32).to_le_bytes().to_vec(),
        (_, Value::Float(n)) => n.to_le_bytes().to_vec(),
        (_, Value::Guid(guid)) => guid_to_wire(*guid).to_vec(),
        (Type::Date, Value::Moment(ticks)) => days(*ticks),
        (Type::SmallDateTime, Value::Moment(ticks)) => {
            let day = u16::try_from(ticks.div_euclid(TICKS_PER_DAY) - DAYS_TO_1900).unwrap_or(0);
            let minutes = ticks.rem_euclid(TICKS_PER_DAY) / (60 * TICKS_PER_SECOND);
            let minutes = u16::try_from(minutes).unwrap_or(0);
            [day.to_le_bytes(), minutes.to_le_bytes()].concat()
        }
        (Type::DateTime, Value::Moment(ticks)) => {
            let day = i32::try_from(ticks.div_euclid(TICKS_PER_DAY) - DAYS_TO_1900).unwrap_or(0);
            let units = datetime_units(ticks.rem_euclid(TICKS_PER_DAY));
            let units = u32::try_from(units).unwrap_or(0);
            [day.to_le_bytes(), units.to_le_bytes()].concat()
        }
        (Type::DateTime2(scale), Value::Moment(ticks)) => {
            [time(scale, ticks.rem_euclid(TICKS_PER_DAY)), days(*ticks)].concat()
        }
        (Type::DateTimeOffset(scale), Value::Zoned { utc, offset }) => {
            let time = time(scale, utc.rem_euclid(TICKS_PER_DAY));
            [time, days(*utc), offset.to_le_bytes().to_vec()].concat()
        }
        (Type::Time(scale), Value::Time(ticks)) => time(scale, *ticks),
        // The evaluator keeps values and types together; a slip becomes NULL, not nonsense.
        (_, _) => Vec::new(),
    }
}

/// An amount of money in ten-thousandths.
fn units(n: Numeric) -> i64 {
    i64::try_from(n.rescaled(4)).unwrap_or(0)
}

fn numeric(precision: u8, scale: u8, n: Numeric) -> Vec<u8> {
    let size = usize::from(numeric_size(precision)) - 1;
    let units = n.rescaled(scale).unsigned_abs().to_le_bytes();
    let mut data = vec![u8::from(n.units >= 0)];
    data.extend_from_slice(&units[..size]);
    data
}

/// Three bytes of days since year 1.
fn days(ticks: i64) -> Vec<u8> {
    ticks.div_euclid(TICKS_PER_DAY).to_le_bytes()[..3].to_vec()
}

/// A time of day in units of its scale.
fn time(scale: u8, ticks: i64) -> Vec<u8> {
    let size = match scale {
        0..=2 => 3,
        3 | 4 => 4,
        _ => 5,
    };
    let units = ticks / 10_i64.pow(u32::from(7 - scale.min(7)));
    units.to_le_bytes()[..size].to_vec()
}

/// A `sql_variant`: total, base type, its properties, data.
fn variant(value: &Value, out: &mut Vec<u8>) {
    let Value::Variant(inner) = value else {
        out.extend(0_u32.to_le_bytes());
        return;
    };
    let (ty, value) = &**inner;
    let most = usize::try_from(MAX_VARIANT).unwrap_or(8009) - 9;
    let (token, properties, data) = match *ty {
        Type::Char(_) | Type::VarChar(_) => {
            let data = text8(value, most);
            (0xA7, text_properties(data.len()), data)
        }
        Type::NChar(_) | Type::NVarChar(_) => {
            let data = text16(value, most / 2);
            (0xE7, text_properties(data.len()), data)
        }
        Type::Binary(_) | Type::VarBinary(_) => {
            let data = bytes(value, most);
            let length = u16::try_from(data.len().max(1)).unwrap_or(8000);
            (0xA5, length.to_le_bytes().to_vec(), data)
        }
        Type::Numeric { precision, scale } => (0x6C, vec![precision, scale], short(*ty, value)),
        Type::Time(scale) => (0x29, vec![scale], short(*ty, value)),
        Type::DateTime2(scale) => (0x2A, vec![scale], short(*ty, value)),
        Type::DateTimeOffset(scale) => (0x2B, vec![scale], short(*ty, value)),
        Type::Date => (0x28, Vec::new(), short(*ty, value)),
        Type::UniqueIdentifier => (0x24, Vec::new(), short(*ty, value)),
        Type::Bit
        | Type::TinyInt
        | Type::SmallInt
        | Type::Int
        | Type::BigInt
        | Type::Money
        | Type::SmallMoney
        | Type::Real
        | Type::Float
        | Type::SmallDateTime
        | Type::DateTime => (fixed_token(*ty).unwrap_or(0x38), Vec::new(), short(*ty, value)),
        Type::Variant => {
            out.extend(0_u32.to_le_bytes());
            return;
        }
    };
    let total = u32::try_from(2 + properties.len() + data.len()).unwrap_or(0);
    out.extend(total.to_le_bytes());
    out.extend([token, u8::try_from(properties.len()).unwrap_or(0)]);
    out.extend(properties);
    out.extend(data);
}

fn text_properties(length: usize) -> Vec<u8> {
    let length = u16::try_from(length.max(1)).unwrap_or(8000);
    [&COLLATION[..], &length.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(ty: Type, nullable: bool, given: &Value) -> (Vec<u8>, Vec<u8>) {
        let column = Column { name: String::new(), ty, nullable };
        let (mut info, mut data) = (Vec::new(), Vec::new());
        type_info(&column, &mut info);
        value(&column, given, &mut data);
        (info, data)
    }

    #[test]
    fn an_lsn_is_thirteen_bytes_with_every_digit() {
        let lsn = Numeric { units: 42_000_000_370_400_001, scale: 0 };
        let ty = Type::Numeric { precision: 25, scale: 0 };
        let (info, data) = encoded(ty, true, &Value::Numeric(lsn));
        assert_eq!(info, [0x6C, 0x0D, 0x19, 0x00]);
        assert_eq!((data[0], data[1], data.len()), (13, 1, 14));
        let mut magnitude = [0; 16];
        magnitude[..12].copy_from_slice(&data[2..]);
        assert_eq!(u128::from_le_bytes(magnitude), 42_000_000_370_400_001);
    }

    #[test]
    fn columns_that_are_never_null_have_no_length() {
        assert_eq!(
            encoded(Type::Int, false, &Value::Int(-2)),
            (vec![0x38], vec![0xFE, 255, 255, 255])
        );
        assert_eq!(encoded(Type::Int, true, &Value::Null), (vec![0x26, 4], vec![0]));
        assert_eq!(encoded(Type::Bit, false, &Value::Bit(true)), (vec![0x32], vec![1]));
    }

    #[test]
    fn text_is_counted_in_bytes_and_cut_at_its_type() {
        let ty = Type::NVarChar(Length::Of(3));
        let (info, data) = encoded(ty, true, &Value::from("añb€"));
        assert_eq!(&info[..3], &[0xE7, 6, 0]);
        assert_eq!(data, [6, 0, b'a', 0, 0xF1, 0, b'b', 0]);
        let (_, data) = encoded(Type::VarChar(Length::Of(9)), true, &Value::from("ñ€☃"));
        assert_eq!(data, [3, 0, 0xF1, 0x80, b'?']);
        let (info, data) = encoded(Type::NVarChar(Length::Max), true, &Value::Null);
        assert_eq!((&info[..3], data), (&[0xE7, 255, 255][..], vec![255; 8]));
    }

    #[test]
    fn money_has_its_upper_half_first() {
        let amount = |units| Value::Numeric(Numeric { units, scale: 4 });
        let (info, data) = encoded(Type::Money, true, &amount(0x0001_0000_0002));
        assert_eq!((info, data), (vec![0x6E, 8], vec![8, 1, 0, 0, 0, 2, 0, 0, 0]));
        let (info, data) = encoded(Type::SmallMoney, false, &amount(-1));
        assert_eq!((info, data), (vec![0x7A], vec![255; 4]));
        assert_eq!(encoded(Type::Money, true, &Value::Null).1, [0]);
    }

    #[test]
    fn times_are_split_into_days_and_units() {
        let noon_1900 = Value::Moment(DAYS_TO_1900 * TICKS_PER_DAY + TICKS_PER_DAY / 2);
        let (_, data) = encoded(Type::DateTime, true, &noon_1900);
        assert_eq!(data, [8, 0, 0, 0, 0, 0x00, 0xC1, 0xC5, 0x00]);
        let (info, data) = encoded(Type::DateTime2(7), true, &Value::Moment(1));
        assert_eq!((info, data), (vec![0x2A, 7], vec![8, 1, 0, 0, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn a_variant_carries_its_type() {
        let value = Value::Variant(Box::new((Type::Int, Value::Int(1))));
        let (_, data) = encoded(Type::Variant, true, &value);
        assert_eq!(data, [6, 0, 0, 0, 0x38, 0, 1, 0, 0, 0]);
        assert_eq!(encoded(Type::Variant, true, &Value::Null).1, [0, 0, 0, 0]);
    }
}
