//! Texts with places to be filled, as RAISERROR and FORMATMESSAGE take them.

use crate::sql::convert::text_of;
use crate::sql::error::Result;
use crate::sql::types::Type;
use crate::sql::value::Value;
use crate::sql::views::message;

/// FORMATMESSAGE of a text, or of a message by its number.
pub(super) fn format(arguments: &[(Type, Value)]) -> Result<Value> {
    let Some(((_, first), rest)) = arguments.split_first() else { return Ok(Value::Null) };
    let text = match first {
        Value::Text(text) => Some(text.as_str()),
        Value::Int(number) => message(*number),
        _ => None,
    };
    let Some(text) = text else { return Ok(Value::Null) };
    let mut given = Vec::new();
    for (ty, value) in rest {
        given.push(match value {
            Value::Null => "(null)".to_owned(),
            value => text_of(value, *ty, 0)?,
        });
    }
    Ok(Value::Text(filled(text, &given)))
}

/// A text with `%s`, `%d`, `%i`, `%u` and `%%` filled in.
pub(crate) fn filled(format: &str, arguments: &[String]) -> String {
    let mut arguments = arguments.iter();
    let mut text = String::new();
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        // A width, and the sizes of C, say nothing here.
        while rest
            .peek()
            .is_some_and(|c| c.is_ascii_digit() || matches!(c, '-' | 'l' | 'I' | '.' | '*'))
        {
            rest.next();
        }
        match rest.next() {
            Some('%') | None => text.push('%'),
            Some('x' | 'X') => {
                let number = arguments.next().and_then(|given| given.parse::<i32>().ok());
                text += &number.map_or_else(|| "(null)".to_owned(), |n| format!("{n:x}"));
            }
            Some(_) => text += arguments.next().map_or("(null)", String::as_str),
        }
    }
    text
}
