//! Functions of time.

use jiff::tz::TimeZone;

use crate::sql::env::Env;
use crate::sql::error::{Error, Result, overflow_converting};
use crate::sql::moment::{
    self, Fields, LAST_TICK, TICKS_PER_DAY, TICKS_PER_SECOND, days_in_month, days_of_date,
};
use crate::sql::types::Type;
use crate::sql::value::Value;

use super::{Function, as_int, as_text};

/// A part of a date, as DATEDIFF and its relatives name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatePart {
    Year,
    Quarter,
    Month,
    DayOfYear,
    Day,
    Week,
    WeekDay,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    TzOffset,
}

impl DatePart {
    pub(crate) fn find(word: &str) -> Option<DatePart> {
        Some(match word.to_ascii_lowercase().as_str() {
            "year" | "yy" | "yyyy" => DatePart::Year,
            "quarter" | "qq" | "q" => DatePart::Quarter,
            "month" | "mm" | "m" => DatePart::Month,
            "dayofyear" | "dy" | "y" => DatePart::DayOfYear,
            "day" | "dd" | "d" => DatePart::Day,
            "week" | "wk" | "ww" => DatePart::Week,
            "weekday" | "dw" | "w" => DatePart::WeekDay,
            "hour" | "hh" => DatePart::Hour,
            "minute" | "mi" | "n" => DatePart::Minute,
            "second" | "ss" | "s" => DatePart::Second,
            "millisecond" | "ms" => DatePart::Millisecond,
            "microsecond" | "mcs" => DatePart::Microsecond,
            "nanosecond" | "ns" => DatePart::Nanosecond,
            "tzoffset" | "tz" => DatePart::TzOffset,
            _ => return None,
        })
    }

    /// Ticks of one unit, if it has always the same length.
    fn ticks(self) -> Option<i64> {
        match self {
            DatePart::Day | DatePart::DayOfYear | DatePart::WeekDay => Some(TICKS_PER_DAY),
            DatePart::Week => Some(7 * TICKS_PER_DAY),
            DatePart::Hour => Some(3600 * TICKS_PER_SECOND),
            DatePart::Minute => Some(60 * TICKS_PER_SECOND),
            DatePart::Second => Some(TICKS_PER_SECOND),
            DatePart::Millisecond => Some(TICKS_PER_SECOND / 1000),
            DatePart::Microsecond => Some(TICKS_PER_SECOND / 1_000_000),
            DatePart::Year
            | DatePart::Quarter
            | DatePart::Month
            | DatePart::Nanosecond
            | DatePart::TzOffset => None,
        }
    }
}

/// Windows names of time zones, with their names in the IANA database.
const ZONES: [(&str, &str); 18] = [
    ("UTC", "UTC"),
    ("GMT Standard Time", "Europe/London"),
    ("W. Europe Standard Time", "Europe/Berlin"),
    ("Central Europe Standard Time", "Europe/Budapest"),
    ("Romance Standard Time", "Europe/Paris"),
    ("FLE Standard Time", "Europe/Kiev"),
    ("Eastern Standard Time", "America/New_York"),
    ("Central Standard Time", "America/Chicago"),
    ("Mountain Standard Time", "America/Denver"),
    ("Pacific Standard Time", "America/Los_Angeles"),
    ("E. South America Standard Time", "America/Sao_Paulo"),
    ("India Standard Time", "Asia/Kolkata"),
    ("China Standard Time", "Asia/Shanghai"),
    ("Singapore Standard Time", "Asia/Singapore"),
    ("Tokyo Standard Time", "Asia/Tokyo"),
    ("Korea Standard Time", "Asia/Seoul"),
    ("AUS Eastern Standard Time", "Australia/Sydney"),
    ("New Zealand Standard Time", "Pacific/Auckland"),
];

/// The zones that this server knows: name, and the zone itself.
pub(crate) fn zone_names() -> impl Iterator<Item = (&'static str, TimeZone)> {
    ZONES.iter().filter_map(|(windows, iana)| Some((*windows, TimeZone::get(iana).ok()?)))
}

/// The expression `moment AT TIME ZONE name`.
fn at_time_zone(value: &Value, zone: &str) -> Result<Value> {
    let found = zone_names().find(|(name, _)| name.eq_ignore_ascii_case(zone.trim()));
    let Some((_, zone)) = found else {
        let text =
            format!("The time zone parameter '{zone}' provided to AT TIME ZONE clause is invalid.");
        return Err(Error::new(9820, 16, text));
    };
    Ok(match value {
        Value::Moment(local) => {
            // The offset depends on the instant, which depends on the offset: two steps settle it
            // but in the hour that a change skips or repeats.
            let guess = offset_at(&zone, *local);
            let offset = offset_at(&zone, local - minutes(guess));
            Value::Zoned { utc: local - minutes(offset), offset }
        }
        Value::Zoned { utc, .. } => Value::Zoned { utc: *utc, offset: offset_at(&zone, *utc) },
        _ => Value::Null,
    })
}

pub(super) fn zoned_type(of: Option<Type>) -> Type {
    match of {
        Some(Type::DateTime2(scale) | Type::DateTimeOffset(scale)) => Type::DateTimeOffset(scale),
        Some(Type::DateTime) => Type::DateTimeOffset(3),
        Some(_) | None => Type::DateTimeOffset(7),
    }
}

pub(super) fn evaluate(
    function: Function,
    ty: Type,
    arguments: &[(Type, Value)],
    env: &Env<'_>,
) -> Result<Value> {
    let argument = |n: usize| arguments.get(n).map_or(&Value::Null, |argument| &argument.1);
    let utc = moment::utc_ticks(env.now());
    let (local, offset) = moment::local_ticks(env.now(), &env.instance.time_zone);
    Ok(match function {
        Function::GetDate => Value::Moment(moment::round_to_datetime(local)),
        Function::GetUtcDate => Value::Moment(moment::round_to_datetime(utc)),
        Function::SysDateTime => Value::Moment(local),
        Function::SysUtcDateTime => Value::Moment(utc),
        Function::SysDateTimeOffset => Value::Zoned { utc, offset },
        Function::CurrentTimezoneId | Function::CurrentTimezone => {
            let iana = env.instance.time_zone.iana_name().unwrap_or("UTC");
            let windows = ZONES.iter().find(|zone| zone.1 == iana).map_or(iana, |zone| zone.0);
            if function == Function::CurrentTimezoneId {
                windows.into()
            } else {
                // The long form shows the standard offset.
                let winter = zone_offset_in_winter(&env.instance.time_zone, env);
                Value::Text(format!("(UTC{}) {windows}", moment::offset_text(winter)))
            }
        }
        Function::DateDiff(part) => {
            let difference = difference(part, argument(0), argument(1));
            let fits = difference.and_then(|n| i32::try_from(n).ok());
            Value::from(fits.ok_or_else(too_far)?)
        }
        Function::DateDiffBig(part) => {
            Value::Int(difference(part, argument(0), argument(1)).ok_or_else(too_far)?)
        }
        Function::DateAdd(part) => add(part, as_int(argument(0)), argument(1), ty)?,
        Function::DatePart(part) => Value::Int(part_of(part, argument(0), env.session.date_first)),
        Function::DateName(part) => name_of(part, argument(0)),
        Function::EndOfMonth => {
            let months = if arguments.len() > 1 { as_int(argument(1)) } else { 0 };
            end_of_month(argument(0), months)
        }
        Function::DateFromParts => date_of([0, 1, 2].map(|n| as_int(argument(n))))?,
        Function::AtTimeZone => at_time_zone(argument(0), as_text(argument(1)))?,
        Function::SwitchOffset => {
            let offset = offset_of(argument(1), "switchoffset")?;
            let utc = if let Value::Zoned { utc, .. } = argument(0) {
                *utc
            } else {
                ticks_of(argument(0), false)
            };
            Value::Zoned { utc, offset }
        }
        Function::ToDateTimeOffset => {
            let offset = offset_of(argument(1), "todatetimeoffset")?;
            let local = ticks_of(argument(0), false);
            Value::Zoned { utc: local - i64::from(offset) * MINUTE, offset }
        }
        _ => Value::Null,
    })
}

/// The day that weeks begin on in the United States.
const SUNDAY: u8 = 7;

const MINUTE: i64 = 60 * TICKS_PER_SECOND;
/// Offsets are at most 14 hours.
const FARTHEST: i16 = 14 * 60;

/// An offset as `+01:00`, or as minutes.
fn offset_of(value: &Value, function: &str) -> Result<i16> {
    let minutes = match value {
        Value::Int(minutes) => i16::try_from(*minutes).ok(),
        Value::Text(text) => minutes_of(text.trim()),
        _ => None,
    };
    minutes.filter(|minutes| minutes.abs() <= FARTHEST).ok_or_else(|| {
        let text = format!("The timezone provided to builtin function {function} is invalid.");
        Error::new(9812, 16, text).state(0)
    })
}

fn minutes_of(text: &str) -> Option<i16> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let known = (0..=14).contains(&hours) && (0..60).contains(&minutes) && rest.len() == 5;
    known.then_some(sign * (hours * 60 + minutes))
}

/// DATENAME
fn name_of(part: DatePart, value: &Value) -> Value {
    const MONTHS: &str = "January February March April May June July August September October \
                          November December";
    const DAYS: &str = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday";
    let number = part_of(part, value, SUNDAY);
    let place = usize::try_from(number - 1).unwrap_or(0);
    match part {
        DatePart::Month => MONTHS.split(' ').nth(place).into(),
        DatePart::WeekDay => DAYS.split(' ').nth(place).into(),
        _ => Value::Text(number.to_string()),
    }
}

/// EOMONTH
fn end_of_month(value: &Value, months: i64) -> Value {
    let fields = Fields::of(ticks_of(value, false));
    let month = fields.year * 12 + fields.month - 1 + months;
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
    Value::Moment(days_of_date(year, month, days_in_month(year, month)) * TICKS_PER_DAY)
}

/// DATEFROMPARTS
fn date_of([year, month, day]: [i64; 3]) -> Result<Value> {
    let valid = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day);
    if !valid {
        let text = "Cannot construct data type date, some of the arguments have values which are \
                    not valid.";
        return Err(Error::new(289, 16, text));
    }
    Ok(Value::Moment(days_of_date(year, month, day) * TICKS_PER_DAY))
}

fn too_far() -> Error {
    let text = "The datediff function resulted in an overflow. The number of dateparts separating \
                two date/time instances is too large. Try to use datediff with a less precise \
                datepart.";
    Error::new(535, 16, text)
}

fn minutes(n: i16) -> i64 {
    i64::from(n) * 60 * TICKS_PER_SECOND
}

fn offset_at(zone: &TimeZone, utc: i64) -> i16 {
    let seconds = (utc - moment::utc_ticks(jiff::Timestamp::UNIX_EPOCH)) / TICKS_PER_SECOND;
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    i16::try_from(zone.to_offset(at).seconds() / 60).unwrap_or(0)
}

fn zone_offset_in_winter(zone: &TimeZone, env: &Env<'_>) -> i16 {
    let year = Fields::of(moment::utc_ticks(env.now())).year;
    let at = |month| offset_at(zone, days_of_date(year, month, 1) * TICKS_PER_DAY);
    at(1).min(at(7))
}

/// The wall clock ticks that parts are taken of; DATEDIFF takes those in UTC.
fn ticks_of(value: &Value, in_utc: bool) -> i64 {
    match value {
        Value::Moment(ticks) => *ticks,
        Value::Time(ticks) => moment::DAYS_TO_1900 * TICKS_PER_DAY + ticks,
        Value::Zoned { utc, offset } => {
            if in_utc {
                *utc
            } else {
                utc + minutes(*offset)
            }
        }
        _ => 0,
    }
}

/// How many boundaries of the part lie between two times.
fn difference(part: DatePart, from: &Value, to: &Value) -> Option<i64> {
    let (from, to) = (ticks_of(from, true), ticks_of(to, true));
    if part == DatePart::Nanosecond {
        return (to - from).checked_mul(100);
    }
    if part == DatePart::Week {
        // Weeks begin on Sunday, whatever DATEFIRST says; the first day of year 1 was a Monday.
        let week = |ticks: i64| (ticks.div_euclid(TICKS_PER_DAY) + 1).div_euclid(7);
        return Some(week(to) - week(from));
    }
    if let Some(unit) = part.ticks() {
        return Some(to.div_euclid(unit) - from.div_euclid(unit));
    }
    let months = |ticks: i64| {
        let fields = Fields::of(ticks);
        fields.year * 12 + fields.month - 1
    };
    let unit = match part {
        DatePart::Year => 12,
        DatePart::Quarter => 3,
        _ => 1,
    };
    Some(months(to).div_euclid(unit) - months(from).div_euclid(unit))
}

fn add(part: DatePart, count: i64, to: &Value, ty: Type) -> Result<Value> {
    let overflow = || {
        let text = format!("Adding a value to a '{}' column caused an overflow.", ty.name());
        Error::new(517, 16, text)
    };
    let shift = |ticks: i64| -> Option<i64> {
        if part == DatePart::Nanosecond {
            return ticks.checked_add(count / 100);
        }
        if let Some(unit) = part.ticks() {
            return ticks.checked_add(unit.checked_mul(count)?);
        }
        let months = match part {
            DatePart::Year => count.checked_mul(12)?,
            DatePart::Quarter => count.checked_mul(3)?,
            _ => count,
        };
        let fields = Fields::of(ticks);
        let month = (fields.year * 12 + fields.month - 1).checked_add(months)?;
        let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
        if !(1..=9999).contains(&year) {
            return None;
        }
        let day = fields.day.min(days_in_month(year, month));
        Fields { year, month, day, ..fields }.ticks()
    };
    let in_range = |ticks: i64| (0..=LAST_TICK).contains(&ticks).then_some(ticks);
    let moved = match to {
        Value::Moment(ticks) => {
            let moved = shift(*ticks).and_then(in_range).ok_or_else(overflow)?;
            let rounded =
                if ty == Type::DateTime { moment::round_to_datetime(moved) } else { moved };
            Value::Moment(rounded)
        }
        Value::Time(ticks) => {
            Value::Time(shift(*ticks).ok_or_else(overflow)?.rem_euclid(TICKS_PER_DAY))
        }
        Value::Zoned { utc, offset } => {
            let local = shift(utc + minutes(*offset)).ok_or_else(overflow)?;
            let utc = in_range(local - minutes(*offset)).ok_or_else(overflow)?;
            Value::Zoned { utc, offset: *offset }
        }
        _ => return Err(overflow_converting(ty.name())),
    };
    Ok(moved)
}

/// A part of a moment, where weeks begin on the day of that number.
fn part_of(part: DatePart, value: &Value, first: u8) -> i64 {
    let ticks = ticks_of(value, false);
    let fields = Fields::of(ticks);
    let days = ticks.div_euclid(TICKS_PER_DAY);
    let first_of_year = days_of_date(fields.year, 1, 1);
    match part {
        DatePart::Year => fields.year,
        DatePart::Quarter => (fields.month - 1) / 3 + 1,
        DatePart::Month => fields.month,
        DatePart::DayOfYear => days - first_of_year + 1,
        DatePart::Day => fields.day,
        DatePart::Week => {
            let before = (first_of_year + 1 - i64::from(first)).rem_euclid(7);
            (days - first_of_year + before) / 7 + 1
        }
        DatePart::WeekDay => (days + 1 - i64::from(first)).rem_euclid(7) + 1,
        DatePart::Hour => fields.hour,
        DatePart::Minute => fields.minute,
        DatePart::Second => fields.second,
        DatePart::Millisecond => fields.fraction / 10_000,
        DatePart::Microsecond => fields.fraction / 10,
        DatePart::Nanosecond => fields.fraction * 100,
        DatePart::TzOffset => match value {
            Value::Zoned { offset, .. } => i64::from(*offset),
            _ => 0,
        },
    }
}
