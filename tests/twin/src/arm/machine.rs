//! The identity of a machine: of a virtual machine in Azure (IMDS), and of one elsewhere that Azure
//! Arc connects (HIMDS). The second gives a token to whoever can read a file of its folder only.

use std::{
    collections::VecDeque,
    fs,
    io::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{Door, gate::new_guid, token_service::issue};

/// Where both are asked.
pub(super) const PATH: &str = "/metadata/identity/oauth2/token";
const VIRTUAL_MACHINE: [&str; 6] =
    ["2018-02-01", "2019-06-04", "2019-08-01", "2019-11-01", "2020-06-01", "2021-02-01"];
const CONNECTED: [&str; 4] = ["2019-08-15", "2019-11-01", "2020-06-01", "2021-02-01"];
/// Challenges that are open at once; the oldest is forgotten.
const OPEN: usize = 32;

/// Challenges that wait for an answer: what the file holds, and where it is.
#[derive(Clone, Default)]
pub(crate) struct Challenges(Arc<Mutex<VecDeque<(String, PathBuf)>>>);

#[derive(Deserialize)]
pub(super) struct Asked {
    resource: Option<String>,
    #[serde(rename = "api-version")]
    api_version: Option<String>,
    client_id: Option<String>,
}

/// `GET /metadata/identity/oauth2/token` at 169.254.169.254.
pub(super) async fn virtual_machine(
    State(door): State<Door>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    if headers.contains_key("x-forwarded-for") {
        return refused(StatusCode::BAD_REQUEST, "invalid_request", "a proxy must not ask");
    }
    let resource = match right(&asked, &headers, &VIRTUAL_MACHINE) {
        Ok(resource) => resource,
        Err(refusal) => return *refusal,
    };
    if asked.client_id.is_some_and(|id| !id.eq_ignore_ascii_case(&door.cloud.client_id)) {
        return refused(StatusCode::BAD_REQUEST, "invalid_request", "Identity not found");
    }
    granted(&door, &door.cloud.client_id, &resource)
}

/// The same at the agent of a machine that Azure Arc connects: 401 names a file first.
pub(super) async fn connected(
    State(door): State<Door>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let resource = match right(&asked, &headers, &CONNECTED) {
        Ok(resource) => resource,
        Err(refusal) => return *refusal,
    };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(shown) = shown else { return challenge(&door) };
    let key = shown.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    if key.is_some_and(|(_, key)| door.machine.meet(key)) {
        return granted(&door, &door.cloud.machine_id, &resource);
    }
    let text = "The authorization header does not hold the content of the challenge's file";
    refused(StatusCode::UNAUTHORIZED, "unauthorized_client", text)
}

fn right(asked: &Asked, headers: &HeaderMap, versions: &[&str]) -> Result<String, Box<Response>> {
    let bad = |text| Box::new(refused(StatusCode::BAD_REQUEST, "invalid_request", text));
    let metadata = headers.get("metadata").and_then(|value| value.to_str().ok());
    if !metadata.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(bad("Required metadata header not specified"));
    }
    if !asked.api_version.as_deref().is_some_and(|version| versions.contains(&version)) {
        return Err(bad("Required api-version is missing or not supported"));
    }
    let resource = asked.resource.clone().filter(|resource| !resource.is_empty());
    resource.ok_or_else(|| bad("Required resource parameter not specified"))
}

fn challenge(door: &Door) -> Response {
    match door.machine.open(&door.cloud.machine_folder) {
        Ok(path) => {
            let realm = format!("Basic realm={}", path.display());
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, realm)]).into_response()
        }
        Err(error) => {
            tracing::error!("a challenge cannot be written: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn granted(door: &Door, client: &str, resource: &str) -> Response {
    let lifetime = door.world.with(|world| world.token_lifetime());
    let (token, expires) = issue(door, client, resource);
    let begun = expires - i64::from(lifetime);
    let body = json!({
        "access_token": token,
        "client_id": client,
        "expires_in": lifetime.to_string(),
        "expires_on": expires.to_string(),
        "ext_expires_in": lifetime.to_string(),
        "not_before": begun.to_string(),
        "resource": resource,
        "token_type": "Bearer",
    });
    Json(body).into_response()
}

fn refused(status: StatusCode, error: &str, text: &str) -> Response {
    (status, Json(json!({ "error": error, "error_description": text }))).into_response()
}

impl Challenges {
    /// Writes a file that the owner and the group alone can read, and says where.
    fn open(&self, folder: &std::path::Path) -> std::io::Result<PathBuf> {
        let path = folder.join(format!("{}.key", new_guid()));
        let key: String = (0..64).map(|_| fastrand::alphanumeric()).collect();
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
        options.open(&path)?.write_all(key.as_bytes())?;
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() == OPEN
            && let Some((_, oldest)) = open.pop_front()
        {
            // It may have been taken away already.
            let _ = fs::remove_file(oldest);
        }
        open.push_back((key, path.clone()));
        Ok(path)
    }

    /// Whether this is the content of a challenge's file, which is used up then.
    fn meet(&self, key: &str) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = open.iter().position(|(known, _)| known == key) else { return false };
        if let Some((_, path)) = open.remove(place) {
            let _ = fs::remove_file(path);
        }
        true
    }
}
