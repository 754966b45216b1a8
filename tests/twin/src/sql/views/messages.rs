//! `sys.messages`: the errors that the twin knows, and some that its error log tells.

use crate::sql::env::Env;

use super::{Row, View, row};

/// The only language here, us_english.
const LANGUAGE: i64 = 1_033;

pub(super) fn messages(_: &Env<'_>, view: &View) -> Vec<Row> {
    let of = |line: &str| {
        let mut parts = line.splitn(4, '|');
        let mut number = || parts.next()?.parse::<i64>().ok();
        let (id, severity, logged) = (number()?, number()?, number()?);
        Some(
            row(view)
                .set("message_id", id)
                .set("language_id", LANGUAGE)
                .set("severity", severity)
                .set("is_event_logged", logged == 1)
                .set("text", parts.next()?)
                .done(),
        )
    };
    include_str!("messages.txt").lines().filter_map(of).collect()
}

/// The text of a message, with its places.
pub(crate) fn message(number: i64) -> Option<&'static str> {
    let mut lines = include_str!("messages.txt").lines();
    lines.find_map(|line| {
        let mut parts = line.splitn(4, '|');
        (parts.next()?.parse() == Ok(number)).then(|| parts.nth(2))?
    })
}
