//! PATINDEX.

use crate::sql::env::Env;
use crate::sql::error::Result;
use crate::sql::eval::like;
use crate::sql::types::Type;
use crate::sql::value::Value;

use super::as_text;

/// Where the first text begins in the second that is like it, counted from 1; 0 if none does.
pub(super) fn index(arguments: &[(Type, Value)], env: &Env<'_>) -> Result<Value> {
    let [(_, pattern), (_, text)] = arguments else { return Ok(Value::Null) };
    let (pattern, text) = (as_text(pattern), as_text(text));
    let found = |from: &str, pattern: &str| {
        like(&Value::text(from), &Value::text(pattern), None, env).map(|it| it == Some(true))
    };
    let Some(rest) = pattern.strip_prefix('%') else {
        return Ok(Value::Int(i64::from(found(text, pattern)?)));
    };
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    for (place, at) in ends.enumerate() {
        if found(&text[at..], rest)? {
            return Ok(Value::Int(i64::try_from(place + 1).unwrap_or(i64::MAX)));
        }
    }
    Ok(Value::Int(0))
}
