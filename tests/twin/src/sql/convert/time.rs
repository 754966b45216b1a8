//! Values as dates and times.

use crate::sql::error::{Error, Result, overflow_converting};
use crate::sql::moment;
use crate::sql::types::Type;
use crate::sql::value::Value;

use super::{error_converting, scale_of, to_float};

pub(super) fn to_moment(value: &Value, from: Type, to: Type) -> Result<Value> {
    let wrong = || {
        let text = "Conversion failed when converting date and/or time from character string.";
        Error::new(241, 16, text)
    };
    // Everything becomes a wall clock time and the offset that belongs to it.
    let (local, offset) = match value {
        Value::Moment(ticks) => (*ticks, 0),
        Value::Time(ticks) => (moment::DAYS_TO_1900 * moment::TICKS_PER_DAY + ticks, 0),
        Value::Zoned { utc, offset } => {
            (utc + i64::from(*offset) * 60 * moment::TICKS_PER_SECOND, *offset)
        }
        Value::Text(text) => {
            let (local, offset) = moment::parse(text).ok_or_else(wrong)?;
            (local, offset.unwrap_or(0))
        }
        Value::Bit(_) | Value::Int(_) | Value::Numeric(_) | Value::Float(_) => {
            let Value::Float(days) = to_float(value, from, Type::Float)? else {
                return Err(overflow_converting(to.name()));
            };
            if !(-53_690.0..2_958_464.0).contains(&days) {
                return Err(overflow_converting(to.name()));
            }
            #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
            let ticks = (days * 864_000_000_000.0) as i64;
            (ticks + moment::DAYS_TO_1900 * moment::TICKS_PER_DAY, 0)
        }
        _ => return Err(error_converting(from, to)),
    };
    let in_range = |ticks: i64, first: i64| {
        if (first..=moment::LAST_TICK).contains(&ticks) {
            Ok(ticks)
        } else {
            let text = format!(
                "The conversion of a {} data type to a {} data type resulted in an out-of-range \
                 value.",
                from.name(),
                to.name()
            );
            Err(Error::new(242, 16, text).state(3))
        }
    };
    Ok(match to {
        Type::Date => {
            Value::Moment(local.div_euclid(moment::TICKS_PER_DAY) * moment::TICKS_PER_DAY)
        }
        Type::Time(scale) => Value::Time(
            moment::round_to_scale(local.rem_euclid(moment::TICKS_PER_DAY), scale)
                % moment::TICKS_PER_DAY,
        ),
        Type::SmallDateTime => {
            let minute = 60 * moment::TICKS_PER_SECOND;
            let rounded = (local + minute / 2).div_euclid(minute) * minute;
            let first = moment::DAYS_TO_1900 * moment::TICKS_PER_DAY;
            let ticks = in_range(rounded, first)?;
            // It counts days in two bytes.
            let last = first + 65_536 * moment::TICKS_PER_DAY;
            Value::Moment(in_range(if ticks < last { ticks } else { i64::MAX }, first)?)
        }
        Type::DateTime => {
            Value::Moment(in_range(moment::round_to_datetime(local), moment::FIRST_DATETIME)?)
        }
        Type::DateTimeOffset(scale) => {
            let utc = local - i64::from(offset) * 60 * moment::TICKS_PER_SECOND;
            Value::Zoned { utc: in_range(moment::round_to_scale(utc, scale), 0)?, offset }
        }
        _ => Value::Moment(in_range(moment::round_to_scale(local, scale_of(to)), 0)?),
    })
}
