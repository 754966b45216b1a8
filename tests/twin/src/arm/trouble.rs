//! Answers that a fault has spoilt.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Door, errors::Problem};
use crate::world::{AnswerTrouble, AzureOperation, PollTrouble};

const LOCATION: &str = "location";
const OPERATION: &str = "azure-asyncoperation";

/// What a poll gets instead of its answer, if a fault says so.
pub(super) fn of_poll(
    door: &Door,
    operation: &AzureOperation,
) -> Option<Result<Response, Problem>> {
    let trouble = door.world.with(|world| world.take_poll_trouble())?;
    let id = operation.guid.to_string().to_lowercase();
    Some(match trouble {
        PollTrouble::NotFound => {
            let message = format!("The operation with Id {id} does not exist.");
            Err(Problem::new(StatusCode::NOT_FOUND, "OperationIdNotFound", message))
        }
        PollTrouble::Conflict => Err(Problem::new(
            StatusCode::CONFLICT,
            "ConflictingServerOperation",
            "An operation is currently in progress for the server.",
        )),
        PollTrouble::TooManyRequests => Err(too_many(door)),
        PollTrouble::ServerError => Err(failed()),
        PollTrouble::Unavailable => Err(unavailable()),
        PollTrouble::UnknownWord => {
            Ok(Json(json!({ "name": id, "status": "Reticulating" })).into_response())
        }
    })
}

/// What the answer to a request that was taken becomes.
pub(super) fn of_answer(
    door: &Door,
    mut response: Response,
    trouble: AnswerTrouble,
) -> Result<Response, Problem> {
    let headers = response.headers_mut();
    match trouble {
        AnswerTrouble::NoUrls => {
            headers.remove(LOCATION);
            headers.remove(OPERATION);
        }
        AnswerTrouble::LocationOnly => {
            headers.remove(OPERATION);
        }
        AnswerTrouble::NoRetryAfter => {
            headers.remove(header::RETRY_AFTER);
        }
        AnswerTrouble::RetryAfterZero => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(0));
        }
        AnswerTrouble::OtherHost => [LOCATION, OPERATION].iter().for_each(|it| lead(headers, it)),
        AnswerTrouble::TooManyRequests => return Err(too_many(door)),
        AnswerTrouble::ServerError => return Err(failed()),
        AnswerTrouble::Unavailable => return Err(unavailable()),
    }
    Ok(response)
}

/// Lets a URL lead to a host that is not Azure's.
fn lead(headers: &mut HeaderMap, name: &'static str) {
    let url = headers.get(name).and_then(|url| url.to_str().ok()?.split_once("://"));
    let path = url.and_then(|(_, rest)| Some(rest.split_once('/')?.1));
    let elsewhere = path.map(|path| format!("https://management.azure.com.example.invalid/{path}"));
    if let Some(Ok(url)) = elsewhere.map(|url| HeaderValue::from_str(&url)) {
        headers.insert(name, url);
    }
}

fn too_many(door: &Door) -> Problem {
    let message = "Number of requests exceeded the limit. Please try again later.";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "SubscriptionTooManyRequests", message)
        .with(header::RETRY_AFTER, door.cloud.retry_after_s.to_string())
        .by_gateway()
}

fn failed() -> Problem {
    let message = "The server encountered an internal error. Please retry the request.";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "GatewayInternalServerError", message)
}

fn unavailable() -> Problem {
    let message = "The service is temporarily unavailable. Please try again later.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message).by_gateway()
}
