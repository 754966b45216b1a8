//! Settings of a session that have a value: SET DATEFIRST, DATEFORMAT, LANGUAGE, TEXTSIZE.

use sqlparser::ast;

use crate::sql::convert::text_of;
use crate::sql::error::{Error, Result};
use crate::sql::session::{LANGUAGES, Session};
use crate::sql::statement::Setting;
use crate::sql::types::{SYSNAME, Type};
use crate::sql::value::Value;
use crate::world::World;

use super::{Output, Step, finished, one, with_done};

/// What SET TEXTSIZE takes for no limit.
const UNLIMITED: i64 = 2_147_483_647;
const FORMATS: [&str; 6] = ["mdy", "dmy", "ymd", "ydm", "myd", "dym"];

pub(super) fn set(
    setting: Setting,
    value: &ast::Expr,
    world: &World,
    at: &str,
    session: &mut Session,
) -> Result<Step> {
    match setting {
        Setting::DateFirst => {
            let day = number(value, world, at, session)?;
            let known = u8::try_from(day).ok().filter(|day| (1..=7).contains(day));
            let out = || Error::new(2742, 16, format!("SET DATEFIRST {day} is out of range."));
            session.date_first = known.ok_or_else(out)?;
        }
        Setting::TextSize => {
            let size = number(value, world, at, session)?;
            session.text_size = match size {
                -1 => UNLIMITED,
                0 => 4_096,
                size => size.clamp(0, UNLIMITED),
            };
        }
        Setting::DateFormat => {
            let order = name(value, world, at, session)?;
            let known = FORMATS.into_iter().find(|known| known.eq_ignore_ascii_case(&order));
            let text = format!("SET DATEFORMAT date order '{order}' is invalid.");
            session.date_format = known.ok_or_else(|| Error::new(2741, 16, text))?;
        }
        Setting::Language => {
            let asked = name(value, world, at, session)?;
            let known = LANGUAGES.iter().find(|language| language.is(&asked));
            let text = format!(
                "SET LANGUAGE failed because '{asked}' is not an official language name or a \
                 language alias on this SQL Server."
            );
            session.speak(known.ok_or_else(|| Error::new(2740, 16, text))?);
            let text = format!("Changed language setting to {}.", session.language.name);
            return Ok(with_done(session, Output::Info(Error::new(5703, 0, text))));
        }
    }
    Ok(finished(session, None))
}

fn number(value: &ast::Expr, world: &World, at: &str, session: &Session) -> Result<i64> {
    match one(value, Type::Int, world, at, session)? {
        Value::Int(number) => Ok(number),
        _ => Ok(0),
    }
}

/// A word, a text or what a variable holds.
fn name(value: &ast::Expr, world: &World, at: &str, session: &Session) -> Result<String> {
    match value {
        ast::Expr::Identifier(word) if !word.value.starts_with('@') => Ok(word.value.clone()),
        _ => text_of(&one(value, SYSNAME, world, at, session)?, SYSNAME, 0),
    }
}
