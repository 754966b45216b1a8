//! What stands around every route: how many at once, how long, and what every answer says.

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{App, REQUEST, problem::Problem};

/// The answer speaks for one moment and for nobody else, and is nothing to be shown by a browser.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// Turns away what is too much. Whether the process is alive can always be asked.
pub(super) async fn not_too_many(State(app): State<App>, request: Request, next: Next) -> Response {
    if request.uri().path() == "/healthz" {
        return next.run(request).await;
    }
    match app.requests.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => Problem::busy("too many requests at once; come again").into_response(),
    }
}

/// Gives up on a request that takes too long, its body included.
pub(super) async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timed_out().into_response(),
    }
}

pub(super) async fn headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
