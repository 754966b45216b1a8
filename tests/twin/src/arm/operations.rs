//! Long-running operations: signed URLs of some 3 KB that must come back byte for byte, and what
//! they answer (addendum 2.2 to 2.4, 12.8, 12.9).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;

use super::{Door, errors::Problem, gate::query, shapes, tokens::keyed_hash};
use crate::world::{Operation, OperationStatus};

const POLL: &str = "distributedAvailabilityGroupsAzureAsyncOperation";
const RESULT: &str = "distributedAvailabilityGroupsOperationResults";
/// Lengths of `c` and `s` as recorded.
const CERTIFICATE_CHARS: usize = 2_615;
const SIGNATURE_BYTES: usize = 256;

/// Signs operation URLs.
#[derive(Clone)]
pub(crate) struct Signer {
    key: [u8; 32],
    certificate: String,
}

/// The two URLs of a 202.
pub(super) struct Urls {
    pub(super) poll: String,
    pub(super) result: String,
}

impl Signer {
    pub(super) fn random(certificate: &[u8]) -> Signer {
        let mut key = [0; 32];
        fastrand::fill(&mut key);
        // ARM's certificate is longer than ours: the text is repeated up to its length.
        let text = URL_SAFE_NO_PAD.encode(certificate);
        let certificate = text.chars().cycle().take(CERTIFICATE_CHARS).collect();
        Signer { key, certificate }
    }

    pub(super) fn urls(&self, door: &Door, operation: &Operation, version: &str) -> Urls {
        let ticks = ticks(door.world.wall());
        let id = operation.guid.to_string();
        Urls {
            poll: self.url(door, POLL, &id, version, ticks),
            result: self.url(door, RESULT, &id, version, ticks + 70_000),
        }
    }

    fn url(&self, door: &Door, kind: &str, id: &str, version: &str, ticks: i64) -> String {
        let cloud = &door.cloud;
        let path = format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Sql/locations/{}/{kind}/{id}",
            cloud.subscription, cloud.resource_group, cloud.location
        );
        let query = format!("api-version={version}&t={ticks}&c={}", self.certificate);
        let (s, h) = self.sign(&path, &query);
        format!("{}{path}?{query}&s={s}&h={h}", cloud.base_url)
    }

    fn sign(&self, path: &str, query: &str) -> (String, String) {
        let h = keyed_hash(&self.key, format!("{path}?{query}").as_bytes());
        let mut s = Vec::with_capacity(SIGNATURE_BYTES);
        let mut block = h;
        while s.len() < SIGNATURE_BYTES {
            block = keyed_hash(&self.key, &block);
            s.extend_from_slice(&block);
        }
        (URL_SAFE_NO_PAD.encode(s), URL_SAFE_NO_PAD.encode(h))
    }

    /// What ARM answers to an altered URL is not known; that it does not answer it is.
    fn check(&self, uri: &Uri) -> Result<(), Problem> {
        let expected = uri.query().and_then(|text| text.split_once("&s=")).map(|(signed, _)| {
            let (s, h) = self.sign(uri.path(), signed);
            format!("{signed}&s={s}&h={h}")
        });
        if expected.is_some_and(|expected| uri.query() == Some(expected.as_str())) {
            return Ok(());
        }
        let message = "The signature of the asynchronous operation URL is missing or not valid.";
        Err(Problem::new(StatusCode::FORBIDDEN, "AuthorizationFailed", message).by_gateway())
    }
}

/// `Azure-AsyncOperation`.
pub(super) fn poll(door: &Door, id: &str, uri: &Uri) -> Result<Response, Problem> {
    door.signer.check(uri)?;
    let operation = find(door, id)?;
    Ok(later(door, Json(shapes::poll(&operation)).into_response()))
}

/// `Location`.
pub(super) fn result(door: &Door, id: &str, uri: &Uri) -> Result<Response, Problem> {
    door.signer.check(uri)?;
    let operation = find(door, id)?;
    match &operation.status {
        OperationStatus::InProgress => {
            let mut response = later(door, StatusCode::ACCEPTED.into_response());
            let version = query(uri, "api-version").unwrap_or_default();
            let urls = door.signer.urls(door, &operation, version);
            if let Ok(url) = HeaderValue::from_str(&urls.result) {
                response.headers_mut().insert(header::LOCATION, url);
            }
            Ok(response)
        }
        OperationStatus::Succeeded => {
            let instance = &operation.instance;
            let link = door.world.with(|world| world.arm_link(instance, &operation.link));
            let link = link.ok_or_else(|| not_found(id))?;
            let stub = shapes::stub(&door.cloud, instance, &link);
            Ok(later(door, Json(stub).into_response()))
        }
        OperationStatus::Failed { code, message } => {
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, code, message.clone()))
        }
    }
}

fn find(door: &Door, id: &str) -> Result<Operation, Problem> {
    let found = door.world.with(|world| world.arm_operation(id).cloned());
    found.ok_or_else(|| not_found(id))
}

fn not_found(id: &str) -> Problem {
    let message = format!("The operation with Id {id} does not exist.");
    Problem::new(StatusCode::NOT_FOUND, "OperationIdNotFound", message)
}

/// `Retry-After` is on every poll, the last one included (addendum 2.2).
fn later(door: &Door, mut response: Response) -> Response {
    let after = HeaderValue::from(door.cloud.retry_after_s);
    response.headers_mut().insert(header::RETRY_AFTER, after);
    response
}

/// .NET ticks: tenths of a microsecond since year 1.
fn ticks(at: Timestamp) -> i64 {
    const TICKS_BEFORE_1970: i64 = 621_355_968_000_000_000;
    TICKS_BEFORE_1970 + at.as_microsecond() * 10
}
