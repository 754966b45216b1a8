//! What went wrong, in one shape: `{"error": {"code", "message", "refusal"?}}`.

use agent_core::Refusal;
use axum::{
    Json,
    extract::{
        OriginalUri,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;

use crate::{journal::JournalError, turn::Ended};

/// An answer that is none.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    refusal: Option<Value>,
    missing: Vec<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: Words<'a>,
}

#[derive(Serialize)]
struct Words<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    missing: &'a [String],
}

/// Everywhere that leads nowhere.
pub(super) async fn no_such_path(OriginalUri(uri): OriginalUri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
}

/// A path that is there and can't be asked like that.
pub(super) async fn no_such_method(method: Method, OriginalUri(uri): OriginalUri) -> Problem {
    let message = format!("{} can't be asked with {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), refusal: None, missing: Vec::new() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(super) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
    }

    pub(super) fn busy(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    }

    /// It is to be asked again later, which whoever asks does by itself.
    pub(super) fn too_early(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_early", message)
    }

    pub(super) fn not_ready(missing: Vec<String>) -> Self {
        let message = missing.join("; ");
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message);
        Self { missing, ..problem }
    }

    pub(super) fn timed_out() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timed_out",
            "the answer took too long; what was asked may have been done all the same: look at the journal before asking again",
        )
    }

    pub(super) fn shutting_down(ended: Ended) -> Self {
        let message = format!("{ended}; what was asked may have been done: look at the journal");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", message)
    }

    pub(super) fn internal(message: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    pub(super) fn unreadable(error: &JournalError) -> Self {
        tracing::error!(%error, "the journal can't be read for a request");
        Self::internal(&format!("the journal can't be read: {error}"))
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        let problem = Self::new(StatusCode::CONFLICT, "refused", refusal.to_string());
        Self { refusal: serde_json::to_value(refusal).ok(), ..problem }
    }

    /// The refusal's own name.
    pub(super) fn refusal_word(&self) -> &str {
        let word = self.refusal.as_ref().and_then(|refusal| refusal.get("refusal"));
        word.and_then(Value::as_str).unwrap_or("unknown")
    }

    /// Of a request that axum could not read: its words, our shape.
    fn unread(status: StatusCode, words: String) -> Self {
        let code = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "body_too_large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
            _ => return Self::bad_request(words),
        };
        Self::new(status, code, words)
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::unread(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::unread(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::unread(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            error: Words {
                code: self.code,
                message: &self.message,
                refusal: self.refusal.as_ref(),
                missing: &self.missing,
            },
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            let ask = HeaderValue::from_static("Bearer realm=\"dr-agent\"");
            headers.insert(header::WWW_AUTHENTICATE, ask);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
