//! Long-running operations: signed URLs of some 3 KB that must come back byte for byte, and what
//! they answer (addendum 2.2 to 2.4, 12.8, 12.9); and the operations of an instance as a list.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Door,
    address::{poll_type, result_type},
    aliases,
    errors::Problem,
    gate, instances,
    resources::{Asked, known, not_supported, with_instance},
    shapes,
    tokens::keyed_hash,
    trouble,
};
use crate::world::{AzureCommand, AzureJob, AzureOperation, Family, Guid, JobStatus, Reply};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
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

    pub(super) fn urls(&self, door: &Door, operation: &AzureOperation, version: &str) -> Urls {
        let ticks = ticks(door.world.wall());
        let (id, family) = (operation.guid.to_string(), operation.family);
        let (poll, result) = (poll_type(family), result_type(family));
        if family == Family::Links {
            return Urls {
                poll: self.url(door, poll, &id, version, ticks),
                result: self.url(door, result, &id, version, ticks + 70_000),
            };
        }
        // Those of other types were recorded without a signature (addendum 12.9).
        let plain = |kind: &str| {
            let path = match family {
                Family::Aliases => placed(door, kind, &id),
                Family::Links
                | Family::TrustCertificates
                | Family::Instances
                | Family::Databases => path(door, kind, &id),
            };
            format!("{}{path}?api-version={version}", door.cloud.base_url)
        };
        Urls { poll: plain(poll), result: plain(result) }
    }

    fn url(&self, door: &Door, kind: &str, id: &str, version: &str, ticks: i64) -> String {
        let path = path(door, kind, id);
        let query = format!("api-version={version}&t={ticks}&c={}", self.certificate);
        let (s, h) = self.sign(&path, &query);
        format!("{}{path}?{query}&s={s}&h={h}", door.cloud.base_url)
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

/// What was taken, and whether its answer reaches the client.
pub(super) struct Accepted {
    pub(super) operation: Option<Guid>,
    pub(super) reply: Reply,
}

/// Gives a command to Azure and answers as it does.
pub(super) async fn take(
    door: &Door,
    asked: &Asked,
    instance: &str,
    command: AzureCommand,
) -> Result<Response, Problem> {
    let who = gate::origin(&asked.headers, &gate::caller(door, &asked.headers));
    let taken = door.world.with(|world| world.azure(&who, instance, command))?;
    accept(door, asked, Accepted { operation: taken.operation, reply: taken.reply }).await
}

/// The 202 of what takes time (addendum 2.1, 2.2), or a 204 where there is nothing to do.
pub(super) async fn accept(
    door: &Door,
    asked: &Asked,
    accepted: Accepted,
) -> Result<Response, Problem> {
    door.world.wake();
    if accepted.reply == Reply::Lost {
        return Ok(gate::never().await);
    }
    let Some(guid) = accepted.operation else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let operation = find(door, &guid.to_string())?;
    let urls = door.signer.urls(door, &operation, asked.version());
    let body = shapes::accepted(&operation);
    let mut response = later(door, (StatusCode::ACCEPTED, Json(body)).into_response());
    let headers = response.headers_mut();
    for (name, url) in [("location", urls.result), ("azure-asyncoperation", urls.poll)] {
        if let Ok(url) = HeaderValue::from_str(&url) {
            headers.insert(name, url);
        }
    }
    // Recorded so for PUT and DELETE, and not for POST (addendum 2.2).
    if asked.method != Method::POST
        && let Ok(id) = HeaderValue::from_str(&guid.to_string())
    {
        headers.insert(REQUEST_ID, id);
    }
    match door.world.with(|world| world.take_answer_trouble()) {
        Some(trouble) => trouble::of_answer(door, response, trouble),
        None => Ok(response),
    }
}

/// `Azure-AsyncOperation`.
pub(super) fn poll(
    door: &Door,
    asked: &Asked,
    family: Family,
    id: &str,
) -> Result<Response, Problem> {
    let operation = polled(door, asked, family, id)?;
    if let Some(spoilt) = trouble::of_poll(door, &operation) {
        return spoilt;
    }
    Ok(later(door, Json(shapes::poll(&operation)).into_response()))
}

/// `Location`.
pub(super) fn result(
    door: &Door,
    asked: &Asked,
    family: Family,
    id: &str,
) -> Result<Response, Problem> {
    let operation = polled(door, asked, family, id)?;
    if let Some(spoilt) = trouble::of_poll(door, &operation) {
        return spoilt;
    }
    match &operation.status {
        JobStatus::InProgress => {
            let mut response = later(door, StatusCode::ACCEPTED.into_response());
            let urls = door.signer.urls(door, &operation, asked.version());
            if let Ok(url) = HeaderValue::from_str(&urls.result) {
                response.headers_mut().insert(header::LOCATION, url);
            }
            Ok(response)
        }
        JobStatus::Succeeded => {
            let body = Json(outcome(door, asked, &operation)?);
            // Recorded so for aliases in DNS (addendum 12.9).
            let status = match family {
                Family::Aliases => StatusCode::CREATED,
                Family::Links
                | Family::TrustCertificates
                | Family::Instances
                | Family::Databases => StatusCode::OK,
            };
            Ok(later(door, (status, body).into_response()))
        }
        JobStatus::Failed { code, message } => {
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, code, message.clone()))
        }
        JobStatus::Canceled => {
            let message = "The operation was cancelled.";
            Err(Problem::new(StatusCode::CONFLICT, "OperationCancelled", message))
        }
    }
}

/// The operations of an instance.
pub(super) fn list(door: &Door, asked: &Asked, name: &str) -> Result<Response, Problem> {
    if asked.method != Method::GET {
        return Err(not_supported(&asked.method));
    }
    Ok(Json(json!({ "value": told(door, name)? })).into_response())
}

/// One of them.
pub(super) fn one(door: &Door, asked: &Asked, name: &str, id: &str) -> Result<Response, Problem> {
    if asked.method != Method::GET {
        return Err(not_supported(&asked.method));
    }
    let found = told(door, name)?
        .into_iter()
        .find(|one| one["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(id)));
    Ok(Json(found.ok_or_else(|| not_found(id))?).into_response())
}

/// Stops one of them.
pub(super) fn cancel(
    door: &Door,
    asked: &Asked,
    name: &str,
    id: &str,
) -> Result<Response, Problem> {
    if asked.method != Method::POST {
        return Err(not_supported(&asked.method));
    }
    let name = known(door, name)?;
    door.world.with(|world| world.cancel_job(&name, id))?;
    door.world.wake();
    Ok(StatusCode::OK.into_response())
}

fn told(door: &Door, name: &str) -> Result<Vec<Value>, Problem> {
    let (_, all) = with_instance(door, name, |world, found| {
        world
            .azure_jobs(&found.name)
            .filter(|job| job.family == Family::Instances)
            .map(|job: &AzureJob| shapes::instance_operation(&door.cloud, job))
            .collect()
    })?;
    Ok(all)
}

fn polled(door: &Door, asked: &Asked, family: Family, id: &str) -> Result<AzureOperation, Problem> {
    if asked.method != Method::GET {
        return Err(not_supported(&asked.method));
    }
    if family == Family::Links {
        door.signer.check(&asked.uri)?;
    }
    find(door, id).and_then(
        |found| {
            if found.family == family { Ok(found) } else { Err(not_found(id)) }
        },
    )
}

/// What `Location` answers after success. Of a link it is a stub whose words are not all true
/// (addendum 2.4).
fn outcome(door: &Door, asked: &Asked, operation: &AzureOperation) -> Result<Value, Problem> {
    let instance = &operation.instance;
    let gone = || not_found(&operation.guid.to_string());
    match operation.family {
        Family::Links if operation.deletes => Ok(shapes::deleted(&door.cloud)),
        Family::Links => {
            let role = door.world.with(|world| world.azure_link(instance, &operation.subject));
            let link = role.ok_or_else(gone)?;
            Ok(shapes::stub(&door.cloud, instance, &link))
        }
        Family::TrustCertificates if !operation.deletes => {
            instances::trusted_body(door, instance, &operation.subject)
        }
        Family::Instances => {
            let (_, body) = with_instance(door, instance, |world, found| {
                let detected = world.detected_usage(&found.name);
                shapes::instance(&door.cloud, found, detected, asked.version())
            })?;
            Ok(body)
        }
        Family::Aliases if !operation.deletes => {
            Ok(aliases::moved(&door.cloud, instance, &operation.subject))
        }
        Family::TrustCertificates | Family::Databases | Family::Aliases => Ok(json!({})),
    }
}

/// The same of a type whose operations are in no group.
fn placed(door: &Door, kind: &str, id: &str) -> String {
    let cloud = &door.cloud;
    format!(
        "/subscriptions/{}/providers/Microsoft.Sql/locations/{}/{kind}/{id}",
        cloud.subscription, cloud.location
    )
}

fn path(door: &Door, kind: &str, id: &str) -> String {
    let cloud = &door.cloud;
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Sql/locations/{}/{kind}/{id}",
        cloud.subscription, cloud.resource_group, cloud.location
    )
}

fn find(door: &Door, id: &str) -> Result<AzureOperation, Problem> {
    door.world.with(|world| world.azure_operation(id)).ok_or_else(|| not_found(id))
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
