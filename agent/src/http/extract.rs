//! What handlers take from a request. A request that can't be read gets our kind of answer.

use axum::extract::{FromRequest, FromRequestParts};
use serde::Deserialize;

use super::problem::Problem;

#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(super) struct Json<T>(pub(super) T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(super) struct Path<T>(pub(super) T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct Query<T>(pub(super) T);

/// `?after=N&limit=M`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default)]
    pub(super) after: u64,
    pub(super) limit: Option<usize>,
}

/// `?after=N`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    pub(super) after: Option<u64>,
}

/// Words of a human that come to stand in the journal for ever.
pub(super) fn words(what: &str, text: &str, most: usize) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::bad_request(format!("{what} is empty")));
    }
    if text.chars().count() > most {
        return Err(Problem::bad_request(format!("{what} has more than {most} characters")));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Problem::bad_request(format!("{what} has a control character")));
    }
    Ok(text.to_owned())
}
