//! Times of the calendar, in UTC, as cron writes them: second, minute, hour, day, month, weekday.
//!
//! What triggers the jobs reads the same texts with a library; here they are read once more, to tell
//! what is wrong with one, and to know which times went by unused. So only what every cron
//! understands alike is taken: `*`, numbers, ranges, lists and steps.

use std::fmt;

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

/// What would be right; said wherever a text is wrong.
pub const RIGHT: &str = "six fields in UTC: second minute hour day month weekday, each `*`, a number, or ranges, steps and lists of them, such as \"0 0 6 * * *\" for every day at six";

/// Days that are looked through for the next time: longer than from one 29 February to the next that
/// is a given weekday.
const DAYS: i32 = 41 * 366;

/// Times of the calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    /// Bits of the values that each field takes.
    fields: [u64; 6],
}

struct Field {
    name: &'static str,
    least: u32,
    most: u32,
}

const FIELDS: [Field; 6] = [
    Field { name: "second", least: 0, most: 59 },
    Field { name: "minute", least: 0, most: 59 },
    Field { name: "hour", least: 0, most: 23 },
    Field { name: "day", least: 1, most: 31 },
    Field { name: "month", least: 1, most: 12 },
    // Both 0 and 7 are Sunday.
    Field { name: "weekday", least: 0, most: 7 },
];

impl Cron {
    /// Reads the text.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        let parts: [&str; 6] = parts.as_slice().try_into().map_err(|_| {
            format!("it has {} fields, and there are six, the first one seconds", parts.len())
        })?;
        let mut fields = [0; 6];
        for ((bits, part), field) in fields.iter_mut().zip(parts).zip(&FIELDS) {
            *bits = field.bits(part)?;
        }
        if fields[5] & 1 << 7 != 0 {
            fields[5] = (fields[5] | 1) & !(1 << 7);
        }
        if parts[3] != "*" && parts[5] != "*" {
            return Err(
                "day and weekday are both given, and not every cron takes that in the same way"
                    .to_owned(),
            );
        }
        let cron = Self { text: parts.join(" "), fields };
        match cron.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(cron),
            None => Err("there is no such day in any year".to_owned()),
        }
    }

    /// The first time behind `from`. None at the end of the calendar.
    #[must_use]
    pub fn next_after(&self, from: Timestamp) -> Option<Timestamp> {
        let from = Timestamp::from_second(from.as_second()).ok()?;
        let from = from.checked_add(SignedDuration::from_secs(1)).ok()?.to_zoned(TimeZone::UTC);
        let (mut date, time) = (from.date(), from.time());
        let second = |time: jiff::civil::Time| {
            let [hour, minute, second] = [time.hour(), time.minute(), time.second()].map(u32_of);
            hour * 3600 + minute * 60 + second
        };
        let mut earliest = second(time);
        for _ in 0..DAYS {
            if self.has(date)
                && let Some(second) = self.first_second(earliest)
            {
                let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
                return midnight.checked_add(SignedDuration::from_secs(second.into())).ok();
            }
            (date, earliest) = (date.tomorrow().ok()?, 0);
        }
        None
    }

    /// How many times lie behind `from` and not behind `to`; `most` if there are more.
    #[must_use]
    pub fn between(&self, from: Timestamp, to: Timestamp, most: u64) -> u64 {
        let mut at = from;
        for count in 0..most {
            match self.next_after(at).filter(|next| *next <= to) {
                Some(next) => at = next,
                None => return count,
            }
        }
        most
    }

    /// The text that it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn has(&self, date: Date) -> bool {
        let weekday = u32_of(date.weekday().to_sunday_zero_offset());
        let values = [u32_of(date.day()), u32_of(date.month()), weekday];
        values.into_iter().zip(&self.fields[3..]).all(|(value, bits)| bits & 1 << value != 0)
    }

    /// The first second of a day that is not before `earliest`.
    fn first_second(&self, earliest: u32) -> Option<u32> {
        let [seconds, minutes, hours, ..] = &self.fields;
        for hour in earliest / 3600..24 {
            if hours & 1 << hour == 0 {
                continue;
            }
            for minute in 0..60 {
                let begin = hour * 3600 + minute * 60;
                if minutes & 1 << minute == 0 || begin + 59 < earliest {
                    continue;
                }
                let first = earliest.saturating_sub(begin).min(59);
                if let Some(second) = (first..60).find(|second| seconds & 1 << second != 0) {
                    return Some(begin + second);
                }
            }
        }
        None
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Field {
    fn bits(&self, text: &str) -> Result<u64, String> {
        text.split(',').try_fold(0, |bits, part| Ok(bits | self.part(part)?))
    }

    fn part(&self, text: &str) -> Result<u64, String> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (text, None),
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (self.number(from)?, self.number(to)?),
            None if range == "*" => (self.least, self.most),
            None if step.is_some() => {
                return Err(format!("`{text}`: a step goes with `*` or a range, such as `*/5`"));
            }
            None => {
                let one = self.number(range)?;
                (one, one)
            }
        };
        if from > to {
            return Err(format!("`{range}` goes backwards"));
        }
        let values = (from..=to).step_by(step.unwrap_or(1));
        Ok(values.fold(0, |bits, value| bits | 1 << value))
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let Self { name, least, most } = self;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && (*least..=*most).contains(number));
        number.ok_or_else(|| format!("`{text}` is no {name}, which are {least} to {most}"))
    }

    fn step(&self, text: &str) -> Result<usize, String> {
        let step = text.parse().ok().filter(|step| (1..=60).contains(step));
        step.ok_or_else(|| format!("`{text}` is no step for the {}", self.name))
    }
}

/// A part of a date, which is never negative.
fn u32_of(part: i8) -> u32 {
    u32::try_from(part).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn the_next_time_is_found() {
        for (cron, from, next) in [
            ("0 0 6 * * *", "2026-01-02T03:04:05Z", "2026-01-02T06:00:00Z"),
            ("0 0 6 * * *", "2026-01-02T06:00:00Z", "2026-01-03T06:00:00Z"),
            ("0 0 6 * * *", "2026-01-02T05:59:59.999Z", "2026-01-02T06:00:00Z"),
            ("0 0 6 * * *", "2026-12-31T06:00:00.001Z", "2027-01-01T06:00:00Z"),
            ("*/10 * * * * *", "2026-01-02T03:04:05Z", "2026-01-02T03:04:10Z"),
            ("*/10 * * * * *", "2026-01-02T23:59:50Z", "2026-01-03T00:00:00Z"),
            ("30 15,45 9-17/4 * * *", "2026-01-02T09:45:30Z", "2026-01-02T13:15:30Z"),
            ("0 0 0 29 2 *", "2026-01-02T03:04:05Z", "2028-02-29T00:00:00Z"),
            ("0 30 23 31 * *", "2026-02-01T00:00:00Z", "2026-03-31T23:30:00Z"),
            // The second of January 2026 is a Friday.
            ("0 0 12 * * 1", "2026-01-02T03:04:05Z", "2026-01-05T12:00:00Z"),
            ("0 0 12 * * 7", "2026-01-02T03:04:05Z", "2026-01-04T12:00:00Z"),
            ("0 0 12 * * 0,5", "2026-01-02T03:04:05Z", "2026-01-02T12:00:00Z"),
        ] {
            let found = Cron::parse(cron).expect("it can be read").next_after(at(from));
            assert_eq!(found, Some(at(next)), "{cron} behind {from}");
        }
        assert_eq!(Cron::parse("0 0 6 * * *").expect("cron").next_after(Timestamp::MAX), None);
    }

    #[test]
    fn times_that_went_by_are_counted() {
        let daily = Cron::parse("0 0 6 * * *").expect("cron");
        let (from, to) = (at("2026-01-02T06:00:00Z"), at("2026-01-09T06:00:00Z"));
        assert_eq!(daily.between(from, to, 100), 7);
        assert_eq!(daily.between(from, to, 3), 3);
        assert_eq!(daily.between(to, from, 100), 0);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (cron, what) in [
            ("0 6 * * *", "it has 5 fields, and there are six, the first one seconds"),
            ("", "it has 0 fields, and there are six, the first one seconds"),
            ("0 0 24 * * *", "`24` is no hour, which are 0 to 23"),
            ("0 0 6 0 * *", "`0` is no day, which are 1 to 31"),
            ("0 0 6 * JAN *", "`JAN` is no month, which are 1 to 12"),
            ("0 0 6 * * 8", "`8` is no weekday, which are 0 to 7"),
            ("0 0 +6 * * *", "`+6` is no hour, which are 0 to 23"),
            ("0 30-10 6 * * *", "`30-10` goes backwards"),
            ("0 */0 6 * * *", "`0` is no step for the minute"),
            ("0 5/10 6 * * *", "`5/10`: a step goes with `*` or a range, such as `*/5`"),
            ("0 0 6 30 2 *", "there is no such day in any year"),
            (
                "0 0 6 1 * 1",
                "day and weekday are both given, and not every cron takes that in the same way",
            ),
        ] {
            assert_eq!(Cron::parse(cron).expect_err(cron), what, "{cron}");
        }
    }
}
