//! The way in and out: the network between the caller and the service, outages, throttling,
//! tokens, and the headers that every answer carries.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use jiff::{Timestamp, Unit};

use super::{
    Door,
    address::{Address, Provider},
    errors::Problem,
    tokens::Unfit,
};
use crate::world::{Guid, Origin, Party, Reach};

/// Silence lasts at most this long; a caller of any sense has given up by then.
pub(super) const SILENCE: Duration = Duration::from_secs(300);

const PARTY: HeaderName = HeaderName::from_static("x-twin-party");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");
const ROUTING_ID: HeaderName = HeaderName::from_static("x-ms-routing-request-id");
const CLIENT_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const RETURN_CLIENT_ID: HeaderName = HeaderName::from_static("x-ms-return-client-request-id");

/// ARM's side of the gate.
pub(super) async fn control_plane(
    State(door): State<Door>,
    request: Request,
    next: Next,
) -> Response {
    let from = party(request.headers());
    if !pass(&door, &from, &Party::Arm, length(request.headers())).await {
        return lost();
    }
    let (method, sent) = (request.method().clone(), request.headers().clone());
    let mut response = match admit(&door, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    dress(&door, &method, &sent, response.headers_mut());
    let bytes = size(&response);
    if pass(&door, &Party::Arm, &from, bytes).await { response } else { lost() }
}

/// The token service's side of the gate; the managed identity endpoint shares it.
pub(super) async fn token_service(
    State(door): State<Door>,
    request: Request,
    next: Next,
) -> Response {
    let from = party(request.headers());
    if !pass(&door, &from, &Party::TokenService, length(request.headers())).await {
        return lost();
    }
    let response = if door.world.with(|world| world.token_service_down()) {
        (StatusCode::SERVICE_UNAVAILABLE, "The service is unavailable.").into_response()
    } else {
        next.run(request).await
    };
    let bytes = size(&response);
    if pass(&door, &Party::TokenService, &from, bytes).await { response } else { lost() }
}

/// What a caller hears whose reply was lost, if it is still there after all that silence.
pub(super) async fn never() -> Response {
    tokio::time::sleep(SILENCE).await;
    lost()
}

/// Who asks, for the record.
pub(super) fn origin(headers: &HeaderMap, login: &str) -> Origin {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Origin::new(party(headers), login, agent.unwrap_or("unknown"))
}

/// The application id in the bearer token, which [`admit`] has checked.
pub(super) fn caller(door: &Door, headers: &HeaderMap) -> String {
    let claims = bearer(headers).and_then(|token| door.tokens.check(token, door.world.wall()).ok());
    claims.map(|claims| claims.appid).unwrap_or_default()
}

/// A parameter of the query, as it is written there.
pub(super) fn query<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    uri.query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// A time as ARM writes it: to the millisecond, without trailing zeros.
pub(super) fn written(at: Timestamp) -> String {
    at.round(Unit::Millisecond).unwrap_or(at).to_string()
}

pub(crate) fn new_guid() -> Guid {
    Guid::random(&mut fastrand::Rng::new())
}

/// What a body needs beside itself: the lines of a request or a response and its headers.
const AROUND: usize = 1_024;

fn length(headers: &HeaderMap) -> usize {
    let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    AROUND + told.and_then(|length| length.parse::<usize>().ok()).unwrap_or(0)
}

fn size(response: &Response) -> usize {
    let told = axum::body::HttpBody::size_hint(response.body()).lower();
    AROUND + usize::try_from(told).unwrap_or(0)
}

async fn pass(door: &Door, from: &Party, to: &Party, bytes: usize) -> bool {
    let way = door.world.with(|world| world.carry(from, to, bytes));
    if way.is_positive() {
        door.world.sleep(way).await;
    }
    let open = door.world.until(SILENCE, |world| match world.reachable(from, to) {
        Reach::Open { delay } => Some(delay),
        Reach::Refused | Reach::Silent => None,
    });
    match open.await {
        Some(delay) => {
            if !delay.is_zero() {
                door.world.sleep(delay).await;
            }
            true
        }
        None => false,
    }
}

fn lost() -> Response {
    (StatusCode::GATEWAY_TIMEOUT, "the twin kept silent for as long as it can").into_response()
}

fn party(headers: &HeaderMap) -> Party {
    let named = headers.get(PARTY).and_then(|value| value.to_str().ok());
    named.map_or(Party::Agent, |text| {
        text.parse().unwrap_or_else(|never: Infallible| match never {})
    })
}

fn admit(door: &Door, request: &Request) -> Result<(), Problem> {
    if door.world.with(|world| world.arm_unavailable()) {
        let message = "The service is temporarily unavailable. Please try again later.";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
            .by_gateway());
    }
    let address = Address::find(&door.cloud, request.uri().path());
    if let Ok(Address::Metadata) = address {
        return version(door, &Address::Metadata, request.uri());
    }
    authenticate(door, request.headers())?;
    if let Some(after) = door.world.with(|world| world.take_throttle()) {
        let message = format!(
            "Number of requests for subscription '{}' exceeded the limit. Please try again after \
             '{after}' seconds.",
            door.cloud.subscription
        );
        return Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "SubscriptionTooManyRequests",
            message,
        )
        .with(header::RETRY_AFTER, after.to_string())
        .by_gateway());
    }
    version(door, &address?, request.uri())
}

/// The api-version has to be one that the type's provider knows.
fn version(door: &Door, address: &Address, uri: &Uri) -> Result<(), Problem> {
    let provider = address.provider();
    let known = provider.versions();
    let given = query(uri, "api-version").unwrap_or_default();
    if known.contains(&given) {
        return Ok(());
    }
    let wrong = |code: &str, message: String| {
        Err(Problem::new(StatusCode::BAD_REQUEST, code, message).by_gateway())
    };
    if given.is_empty() {
        let message =
            "The api-version query parameter (?api-version=) is required for all requests.";
        return wrong("MissingApiVersionParameter", message.to_owned());
    }
    let known = known.join(", ");
    match provider {
        Provider::Metadata | Provider::Resources => wrong(
            "InvalidApiVersionParameter",
            format!("The api-version '{given}' is invalid. The supported versions are '{known}'."),
        ),
        Provider::Authorization | Provider::Health | Provider::Links | Provider::Sql => wrong(
            "NoRegisteredProviderFound",
            format!(
                "No registered resource provider found for location '{}' and API version \
                 '{given}' for type '{}'. The supported api-versions are '{known}'.",
                door.cloud.location,
                address.type_name()
            ),
        ),
    }
}

fn authenticate(door: &Door, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = bearer(headers) else {
        let message = "Authentication failed. The 'Authorization' header is missing or has an \
                       invalid format.";
        return Err(Problem::unauthorized("AuthenticationFailed", message));
    };
    let claims = match door.tokens.check(token, door.world.wall()) {
        Ok(claims) => claims,
        Err(Unfit::Foreign) => {
            let message = "The access token is invalid.";
            return Err(Problem::unauthorized("InvalidAuthenticationToken", message));
        }
        Err(Unfit::Expired(until)) => {
            let message = format!(
                "The access token expiry UTC time '{until}' is earlier than current UTC time '{}'.",
                door.world.wall()
            );
            return Err(Problem::unauthorized("ExpiredAuthenticationToken", message));
        }
    };
    let audience = claims.aud.trim_end_matches('/');
    let right = ["https://management.azure.com", "https://management.core.windows.net"];
    if !right.contains(&audience) && audience != door.cloud.base_url {
        let message = format!(
            "The access token has been obtained for wrong audience or resource '{}'. It should \
             exactly match with one of the allowed audiences 'https://management.azure.com/', \
             'https://management.core.windows.net/'.",
            claims.aud
        );
        return Err(Problem::unauthorized("InvalidAuthenticationTokenAudience", message));
    }
    Ok(())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn dress(door: &Door, method: &Method, sent: &HeaderMap, headers: &mut HeaderMap) {
    let request_id = new_guid().to_string();
    let correlation = sent.get(CORRELATION_ID).cloned();
    let routing = format!(
        "{}:{}:{}",
        door.cloud.location.to_uppercase(),
        door.world.wall().strftime("%Y%m%dT%H%M%SZ"),
        new_guid()
    );
    let (kind, left, global) = match *method {
        Method::GET => ("reads", "11999", "16499"),
        Method::DELETE => ("deletes", "799", "11999"),
        _ => ("writes", "799", "11999"),
    };
    let rates = [
        (format!("x-ms-ratelimit-remaining-subscription-{kind}"), left),
        (format!("x-ms-ratelimit-remaining-subscription-global-{kind}"), global),
    ];
    for (name, value) in rates {
        if let Ok(name) = HeaderName::try_from(name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    let own = [(REQUEST_ID, request_id.clone()), (ROUTING_ID, routing)];
    for (name, value) in own {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.entry(name).or_insert(value);
        }
    }
    if let Some(value) = correlation.or_else(|| HeaderValue::from_str(&request_id).ok()) {
        headers.insert(CORRELATION_ID, value);
    }
    let echo = sent.get(RETURN_CLIENT_ID).is_some_and(|value| value == "true");
    if let Some(value) = sent.get(CLIENT_ID).filter(|_| echo) {
        headers.insert(CLIENT_ID, value.clone());
    }
    let fixed = [
        (header::CACHE_CONTROL, "no-cache"),
        (header::PRAGMA, "no-cache"),
        (header::EXPIRES, "-1"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let json = headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json");
    if json {
        let utf8 = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, utf8);
    }
}
