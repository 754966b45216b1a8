//! Errors in ARM's shape: `{"error":{"code","message"}}`.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::world::ArmError;

const FAILURE_CAUSE: HeaderName = HeaderName::from_static("x-ms-failure-cause");

/// An error that ARM or the SQL resource provider answers.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: String,
    message: String,
    /// `target` of the one detail, if there is one.
    target: Option<String>,
    headers: Vec<(HeaderName, String)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Problem {
        let (code, message) = (code.to_owned(), message.into());
        Problem { status, code, message, target: None, headers: Vec::new() }
    }

    /// Said by ARM itself, not by the resource provider (addendum 2.6: the way to tell two 404s
    /// of the same code apart).
    pub(super) fn by_gateway(self) -> Problem {
        self.with(FAILURE_CAUSE, "gateway")
    }

    pub(super) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Problem {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn unauthorized(code: &str, message: impl Into<String>) -> Problem {
        let message = message.into();
        let challenge = format!(
            "Bearer authorization_uri=\"https://login.windows.net/\", error=\"invalid_token\", \
             error_description=\"{}\"",
            message.replace('"', "'")
        );
        Problem::new(StatusCode::UNAUTHORIZED, code, message)
            .with(header::WWW_AUTHENTICATE, challenge)
            .by_gateway()
    }

    /// An enumeration has no such word; the code and its words mislead, as recorded (addendum 2.6).
    pub(super) fn invalid_segment(property: &str) -> Problem {
        let message = "The segment in the url is invalid: parameters.";
        let problem = Problem::new(StatusCode::BAD_REQUEST, "InvalidResourceIdSegment", message);
        Problem { target: Some(format!("parameters.properties.{property}")), ..problem }
    }

    pub(super) fn instance_not_found(instance: &str, group: &str) -> Problem {
        let message = format!(
            "The Resource 'Microsoft.Sql/managedInstances/{instance}' under resource group \
             '{group}' was not found. For more details please go to \
             https://aka.ms/ARMResourceNotFoundFix"
        );
        Problem::new(StatusCode::NOT_FOUND, "ResourceNotFound", message).by_gateway()
    }
}

impl From<ArmError> for Problem {
    fn from(error: ArmError) -> Problem {
        let status =
            StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Problem::new(status, &error.code, error.message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": { "code": self.code, "message": self.message } });
        if let Some(target) = self.target {
            let detail = json!({ "code": self.code, "message": "", "target": target });
            body["error"]["details"] = json!([detail]);
        }
        let mut response = (self.status, Json(body)).into_response();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
