//! Values, and how they compare under the server's collation.

use std::cmp::Ordering;

use super::decimal::Numeric;
use super::types::Type;

/// A value. Its static type travels beside it, in the column or the expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL of any type.
    Null,
    /// `bit`.
    Bit(bool),
    /// All four integer types.
    Int(i64),
    /// `numeric`.
    Numeric(Numeric),
    /// `real` and `float`.
    Float(f64),
    /// All character types.
    Text(String),
    /// `binary` and `varbinary`.
    Bytes(Vec<u8>),
    /// `uniqueidentifier`: the digits of its text, most significant first.
    Guid(u128),
    /// `date`, `datetime` and `datetime2`: ticks of 100 ns since year 1.
    Moment(i64),
    /// `time`: ticks of 100 ns since midnight.
    Time(i64),
    /// `datetimeoffset`.
    Zoned {
        /// Ticks of 100 ns since year 1, in UTC.
        utc: i64,
        /// Minutes east of UTC.
        offset: i16,
    },
    /// `sql_variant`: a value with a type of its own.
    Variant(Box<(Type, Value)>),
}

impl Value {
    /// Whether this is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    pub(crate) fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    pub(crate) fn variant(ty: Type, value: Value) -> Value {
        if value.is_null() { Value::Null } else { Value::Variant(Box::new((ty, value))) }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bit(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Value {
        Value::Int(i64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// Compares two values of one type, neither of which is NULL.
///
/// Values of different types never meet here: the binder has put conversions around them.
/// Should they, they are unequal, in a fixed order.
pub(crate) fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Bit(a), Value::Bit(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Numeric(a), Value::Numeric(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) => compare_text(a, b),
        (Value::Bytes(a), Value::Bytes(b)) => compare_bytes(a, b),
        (Value::Guid(a), Value::Guid(b)) => guid_order(*a).cmp(&guid_order(*b)),
        (Value::Moment(a), Value::Moment(b)) | (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Zoned { utc: a, .. }, Value::Zoned { utc: b, .. }) => a.cmp(b),
        (Value::Variant(a), Value::Variant(b)) => {
            let families = family(a.0).cmp(&family(b.0));
            families.then_with(|| compare_variants(a, b))
        }
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

/// Compares as `SQL_Latin1_General_CP1_CI_AS` does: without case, and without trailing blanks.
pub(crate) fn compare_text(left: &str, right: &str) -> Ordering {
    let folded = |text: &'_ str| -> Vec<char> {
        text.trim_end_matches(' ').chars().flat_map(fold).collect()
    };
    folded(left).cmp(&folded(right))
}

/// A character without its case.
pub(crate) fn fold(c: char) -> impl Iterator<Item = char> {
    c.to_lowercase()
}

/// The same values give the same key, for grouping and DISTINCT; NULLs are the same there.
pub(crate) fn same(left: &Value, right: &Value) -> bool {
    match (left.is_null(), right.is_null()) {
        (true, true) => true,
        (false, false) => compare(left, right) == Ordering::Equal,
        (true, false) | (false, true) => false,
    }
}

/// Orders for ORDER BY, where NULL comes first.
pub(crate) fn order(left: &Value, right: &Value) -> Ordering {
    match (left.is_null(), right.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => compare(left, right),
    }
}

fn compare_bytes(left: &[u8], right: &[u8]) -> Ordering {
    // The shorter one is as if it were filled up with zeros.
    let length = left.len().max(right.len());
    let filled = |bytes: &[u8]| -> Vec<u8> {
        let zeros = std::iter::repeat_n(0, length - bytes.len());
        bytes.iter().copied().chain(zeros).collect()
    };
    filled(left).cmp(&filled(right))
}

/// `uniqueidentifier` is ordered by its last six bytes first, then backwards by groups.
fn guid_order(guid: u128) -> [u8; 16] {
    let b = guid.to_be_bytes();
    [
        b[10], b[11], b[12], b[13], b[14], b[15], b[8], b[9], b[7], b[6], b[5], b[4], b[3], b[2],
        b[1], b[0],
    ]
}

/// Groups of base types that compare with each other inside a `sql_variant`.
fn family(ty: Type) -> u8 {
    match ty {
        Type::Variant => 9,
        Type::Date
        | Type::Time(_)
        | Type::SmallDateTime
        | Type::DateTime
        | Type::DateTime2(_)
        | Type::DateTimeOffset(_) => 8,
        Type::Real | Type::Float => 7,
        Type::Bit
        | Type::TinyInt
        | Type::SmallInt
        | Type::Int
        | Type::BigInt
        | Type::Numeric { .. }
        | Type::Money
        | Type::SmallMoney => 6,
        Type::Char(_) | Type::VarChar(_) | Type::NChar(_) | Type::NVarChar(_) => 5,
        Type::Binary(_) | Type::VarBinary(_) => 4,
        Type::UniqueIdentifier => 3,
    }
}

fn compare_variants(left: &(Type, Value), right: &(Type, Value)) -> Ordering {
    let exact = |value: &Value| match value {
        Value::Bit(b) => Some(Numeric::new(i128::from(*b), 0)),
        Value::Int(n) => Some(Numeric::new(i128::from(*n), 0)),
        Value::Numeric(n) => Some(*n),
        Value::Null
        | Value::Float(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Guid(_)
        | Value::Moment(_)
        | Value::Time(_)
        | Value::Zoned { .. }
        | Value::Variant(_) => None,
    };
    match (exact(&left.1), exact(&right.1)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (None, _) | (_, None) => compare(&left.1, &right.1),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bytes(_) => 1,
        Value::Text(_) => 2,
        Value::Guid(_) => 3,
        Value::Bit(_) => 4,
        Value::Int(_) => 5,
        Value::Numeric(_) => 6,
        Value::Float(_) => 7,
        Value::Time(_) => 8,
        Value::Moment(_) => 9,
        Value::Zoned { .. } => 10,
        Value::Variant(_) => 11,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_compares_without_case_and_trailing_blanks() {
        assert_eq!(compare_text("Primary ", "PRIMARY"), Ordering::Equal);
        assert_eq!(compare_text("Zürich", "zürich"), Ordering::Equal);
        assert_eq!(compare_text("a", "B"), Ordering::Less);
        assert_ne!(compare_text("e", "é"), Ordering::Equal);
    }

    #[test]
    fn guids_are_ordered_from_their_end() {
        let low = Value::Guid(0xffff_ffff_ffff_ffff_ffff_0000_0000_0001);
        let high = Value::Guid(0x0000_0000_0000_0000_0000_0000_0000_0002);
        assert_eq!(compare(&low, &high), Ordering::Less);
    }

    #[test]
    fn null_is_first_and_equal_only_to_null_in_groups() {
        assert_eq!(order(&Value::Null, &Value::Int(0)), Ordering::Less);
        assert!(same(&Value::Null, &Value::Null));
        assert!(!same(&Value::Null, &Value::Int(0)));
    }
}
