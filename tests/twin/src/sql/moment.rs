//! Dates and times: ticks of 100 ns since the first day of year 1, as `datetime2` counts.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

pub(crate) const TICKS_PER_SECOND: i64 = 10_000_000;
pub(crate) const TICKS_PER_DAY: i64 = 86_400 * TICKS_PER_SECOND;
/// Days from year 1 to 1900, where `datetime` starts to count.
pub(crate) const DAYS_TO_1900: i64 = 693_595;
/// Days from year 1 to 1970, where Unix time starts to count.
const DAYS_TO_1970: i64 = 719_162;
/// 9999-12-31 23:59:59.9999999
pub(crate) const LAST_TICK: i64 = 3_652_059 * TICKS_PER_DAY - 1;
/// `datetime` starts with year 1753.
pub(crate) const FIRST_DATETIME: i64 = 639_905 * TICKS_PER_DAY;

/// Calendar fields of a tick count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    /// Ticks of 100 ns within the second.
    pub(crate) fraction: i64,
}

impl Fields {
    pub(crate) fn of(ticks: i64) -> Fields {
        let days = ticks.div_euclid(TICKS_PER_DAY);
        let rest = ticks.rem_euclid(TICKS_PER_DAY);
        let (year, month, day) = date_of_days(days);
        let seconds = rest / TICKS_PER_SECOND;
        Fields {
            year,
            month,
            day,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            fraction: rest % TICKS_PER_SECOND,
        }
    }

    /// The tick count, if these are fields of a day between years 1 and 9999.
    pub(crate) fn ticks(self) -> Option<i64> {
        let fits = (1..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=days_in_month(self.year, self.month)).contains(&self.day)
            && (0..24).contains(&self.hour)
            && (0..60).contains(&self.minute)
            && (0..60).contains(&self.second)
            && (0..TICKS_PER_SECOND).contains(&self.fraction);
        fits.then(|| {
            let seconds = self.hour * 3600 + self.minute * 60 + self.second;
            days_of_date(self.year, self.month, self.day) * TICKS_PER_DAY
                + seconds * TICKS_PER_SECOND
                + self.fraction
        })
    }
}

/// What a world's instant is in UTC.
pub(crate) fn utc_ticks(at: Timestamp) -> i64 {
    let ticks = at.as_nanosecond().div_euclid(100);
    i64::try_from(ticks).unwrap_or(i64::MAX / 2) + DAYS_TO_1970 * TICKS_PER_DAY
}

/// What a world's instant is on a wall clock in that zone, and the zone's offset in minutes.
pub(crate) fn local_ticks(at: Timestamp, zone: &TimeZone) -> (i64, i16) {
    let seconds = zone.to_offset(at).seconds();
    let ticks = utc_ticks(at) + i64::from(seconds) * TICKS_PER_SECOND;
    (ticks, i16::try_from(seconds / 60).unwrap_or(0))
}

/// Rounds to `scale` digits of a second, half up.
pub(crate) fn round_to_scale(ticks: i64, scale: u8) -> i64 {
    let step = 10i64.pow(u32::from(7 - scale.min(7)));
    (ticks + step / 2).div_euclid(step) * step
}

/// Rounds to what `datetime` can hold: thirds of a hundredth of a second.
pub(crate) fn round_to_datetime(ticks: i64) -> i64 {
    let days = ticks.div_euclid(TICKS_PER_DAY);
    let units = datetime_units(ticks.rem_euclid(TICKS_PER_DAY));
    days * TICKS_PER_DAY + (units * TICKS_PER_SECOND + 150) / 300
}

/// How many 1/300 s a time of day is.
pub(crate) fn datetime_units(ticks_of_day: i64) -> i64 {
    (ticks_of_day * 300 + TICKS_PER_SECOND / 2) / TICKS_PER_SECOND
}

/// Reads the ISO forms: a date, a time, or both with `T` or a blank between, and an offset in
/// minutes if one is written.
pub(crate) fn parse(text: &str) -> Option<(i64, Option<i16>)> {
    let text = text.trim();
    if text.is_empty() {
        return Some((DAYS_TO_1900 * TICKS_PER_DAY, None));
    }
    let split = text.find(['T', 't', ' ']);
    let (date, time) = match split {
        Some(at) => (Some(&text[..at]), Some(text[at + 1..].trim_start())),
        None if text.contains(':') => (None, Some(text)),
        None => (Some(text), None),
    };
    let days = match date {
        Some(date) => parse_date(date)?,
        None => DAYS_TO_1900,
    };
    let (ticks, offset) = match time {
        Some(time) => parse_time(time)?,
        None => (0, None),
    };
    Some((days * TICKS_PER_DAY + ticks, offset))
}

/// Writes `yyyy-mm-dd hh:mm:ss`, with `scale` digits of a second behind.
pub(crate) fn iso(ticks: i64, scale: u8, between: char) -> String {
    let f = Fields::of(ticks);
    let mut text = format!(
        "{:04}-{:02}-{:02}{between}{:02}:{:02}:{:02}",
        f.year, f.month, f.day, f.hour, f.minute, f.second
    );
    push_fraction(&mut text, f.fraction, scale);
    text
}

/// Writes `yyyy-mm-dd`.
pub(crate) fn iso_date(ticks: i64) -> String {
    let f = Fields::of(ticks);
    format!("{:04}-{:02}-{:02}", f.year, f.month, f.day)
}

/// Writes `hh:mm:ss` with `scale` digits behind.
pub(crate) fn iso_time(ticks: i64, scale: u8) -> String {
    let f = Fields::of(ticks);
    let mut text = format!("{:02}:{:02}:{:02}", f.hour, f.minute, f.second);
    push_fraction(&mut text, f.fraction, scale);
    text
}

/// Writes the form that `datetime` takes without a style: `Mar  7 2024  1:05PM`.
pub(crate) fn default_datetime(ticks: i64) -> String {
    let f = Fields::of(ticks);
    let month = MONTHS.get(usize::try_from(f.month - 1).unwrap_or(0)).copied().unwrap_or("");
    let (hour, half) = ((f.hour + 11) % 12 + 1, if f.hour < 12 { "AM" } else { "PM" });
    format!("{month} {:2} {} {hour:2}:{:02}{half}", f.day, f.year, f.minute)
}

/// Writes `+02:00`.
pub(crate) fn offset_text(minutes: i16) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.unsigned_abs();
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Days since the first day of year 1.
pub(crate) fn days_of_date(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let leap_days = before / 4 - before / 100 + before / 400;
    let of_months: i64 = (1..month).map(|m| days_in_month(year, m)).sum();
    before * 365 + leap_days + of_months + day - 1
}

pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    let (Ok(year), Ok(month)) = (i16::try_from(year), i8::try_from(month)) else { return 0 };
    civil::Date::new(year, month, 1).map_or(0, |date| i64::from(date.days_in_month()))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn date_of_days(days: i64) -> (i64, i64, i64) {
    // Count from March of year 0, so that the leap day is the last of its year.
    let days = days + 306;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn parse_date(text: &str) -> Option<i64> {
    let number = |part: &str| -> Option<i64> {
        let digits = part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty();
        if digits { part.parse().ok() } else { None }
    };
    let (year, month, day) = if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
        (number(&text[..4])?, number(&text[4..6])?, number(&text[6..])?)
    } else {
        let mut parts = text.split(['-', '/', '.']);
        let year = parts.next().filter(|part| part.len() == 4)?;
        let found = (number(year)?, number(parts.next()?)?, number(parts.next()?)?);
        if parts.next().is_some() {
            return None;
        }
        found
    };
    let fields = Fields { year, month, day, hour: 0, minute: 0, second: 0, fraction: 0 };
    fields.ticks().map(|ticks| ticks / TICKS_PER_DAY)
}

fn parse_time(text: &str) -> Option<(i64, Option<i16>)> {
    let (text, offset) = split_offset(text.trim_end())?;
    let mut parts = text.splitn(3, ':');
    let number = |part: &str, most: i64| -> Option<i64> {
        let value: i64 = part.parse().ok()?;
        ((1..=2).contains(&part.len()) && (0..=most).contains(&value)).then_some(value)
    };
    let hour = number(parts.next()?, 23)?;
    let minute = number(parts.next()?, 59)?;
    let mut ticks = (hour * 3600 + minute * 60) * TICKS_PER_SECOND;
    if let Some(seconds) = parts.next() {
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
        if fraction.len() > 7 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        ticks += number(whole, 59)? * TICKS_PER_SECOND;
        ticks += format!("{fraction:0<7}").parse::<i64>().ok()?;
    }
    Some((ticks, offset))
}

fn split_offset(text: &str) -> Option<(&str, Option<i16>)> {
    if let Some(utc) = text.strip_suffix(['Z', 'z']) {
        return Some((utc, Some(0)));
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, None)) };
    let (hours, minutes) = text.get(at + 1..)?.split_once(':')?;
    let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
    if !(0..=14).contains(&hours) || !(0..60).contains(&minutes) {
        return None;
    }
    let offset = hours * 60 + minutes;
    let signed = if text.as_bytes().get(at) == Some(&b'-') { -offset } else { offset };
    Some((text.get(..at)?.trim_end(), Some(signed)))
}

fn push_fraction(text: &mut String, fraction: i64, scale: u8) {
    if scale > 0 {
        let shown = fraction / 10i64.pow(u32::from(7 - scale.min(7)));
        // Writing to a string cannot fail.
        let _ = write!(text, ".{shown:0width$}", width = usize::from(scale));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_survives_the_round_trip() {
        for days in DAYS_TO_1900..DAYS_TO_1900 + 146_097 {
            let fields = Fields::of(days * TICKS_PER_DAY);
            assert_eq!(fields.ticks(), Some(days * TICKS_PER_DAY), "{fields:?}");
        }
        assert_eq!(iso(LAST_TICK, 7, ' '), "9999-12-31 23:59:59.9999999");
        assert_eq!(iso_date(0), "0001-01-01");
        assert_eq!(iso_date(DAYS_TO_1900 * TICKS_PER_DAY), "1900-01-01");
        assert_eq!(iso_date(FIRST_DATETIME), "1753-01-01");
    }

    #[test]
    fn iso_texts_are_read_and_others_refused() {
        let read = |text: &str| parse(text).map(|(ticks, offset)| (iso(ticks, 7, ' '), offset));
        let at = |text: &str, offset| Some((text.to_owned(), offset));
        assert_eq!(read("2024-03-07"), at("2024-03-07 00:00:00.0000000", None));
        assert_eq!(read("20240307 01:02"), at("2024-03-07 01:02:00.0000000", None));
        assert_eq!(read("2024-03-07T01:02:03.5Z"), at("2024-03-07 01:02:03.5000000", Some(0)));
        let zoned = at("2024-03-07 01:02:03.0000000", Some(-90));
        assert_eq!(read("2024-03-07 01:02:03 -01:30"), zoned);
        for wrong in ["2023-02-29", "2024-13-01", "24:00", "yesterday", "2024-03-07T1", "1é:00"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn datetime_holds_three_hundredths() {
        let ticks = parse("2024-03-07 01:02:03.0049999").expect("valid").0;
        assert_eq!(iso(round_to_datetime(ticks), 3, ' '), "2024-03-07 01:02:03.003");
        assert_eq!(default_datetime(ticks), "Mar  7 2024  1:02AM");
        assert_eq!(iso(round_to_scale(ticks, 3), 3, ' '), "2024-03-07 01:02:03.005");
    }

    #[test]
    fn the_wall_clock_of_a_server_follows_its_zone() {
        let at: Timestamp = "2024-07-01T12:00:00.25Z".parse().expect("a time");
        let zone = TimeZone::get("America/New_York").expect("in the database");
        let (ticks, offset) = local_ticks(at, &zone);
        assert_eq!(iso(ticks, 3, 'T'), "2024-07-01T08:00:00.250");
        assert_eq!(offset_text(offset), "-04:00");
    }
}
