//! Entra's token endpoint for client credentials (secret or assertion), its metadata, and the App
//! Service flavour of managed identity. Errors carry Entra's AADSTS numbers, which clients show.

use axum::{
    Form, Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Door, assertion, gate::new_guid, tokens::Claims};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[derive(Deserialize)]
struct Asked {
    client_id: Option<String>,
    client_secret: Option<String>,
    client_assertion_type: Option<String>,
    client_assertion: Option<String>,
    grant_type: Option<String>,
    scope: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct IdentityQuery {
    resource: Option<String>,
    #[serde(rename = "api-version")]
    api_version: Option<String>,
    client_id: Option<String>,
}

struct Denied {
    status: StatusCode,
    error: &'static str,
    number: u32,
    text: String,
}

pub(super) fn router() -> Router<Door> {
    Router::new()
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .route("/{tenant}/v2.0/.well-known/openid-configuration", get(metadata))
        .route("/common/discovery/instance", get(discovery))
}

/// `GET {IDENTITY_ENDPOINT}?api-version=2019-08-01&resource=…` with `X-IDENTITY-HEADER`.
pub(super) async fn managed_identity(
    State(door): State<Door>,
    Query(query): Query<IdentityQuery>,
    headers: HeaderMap,
) -> Response {
    let refuse = |status: StatusCode, message: &str| {
        let body = json!({ "statusCode": status.as_u16(), "message": message });
        (status, Json(body)).into_response()
    };
    let secret = headers.get("x-identity-header").and_then(|value| value.to_str().ok());
    if secret != Some(door.cloud.identity_header.as_str()) {
        return refuse(StatusCode::UNAUTHORIZED, "X-IDENTITY-HEADER is missing or wrong");
    }
    if query.api_version.as_deref() != Some("2019-08-01") {
        return refuse(StatusCode::BAD_REQUEST, "api-version 2019-08-01 is required");
    }
    let Some(resource) = query.resource.filter(|resource| !resource.is_empty()) else {
        return refuse(StatusCode::BAD_REQUEST, "resource is required");
    };
    if query.client_id.is_some_and(|id| id != door.cloud.client_id) {
        return refuse(StatusCode::BAD_REQUEST, "No User Assigned Identity found for clientId");
    }
    let (token, expires) = issue(&door, &door.cloud.client_id, &resource);
    let body = json!({
        "access_token": token,
        "expires_on": expires.to_string(),
        "resource": resource,
        "token_type": "Bearer",
        "client_id": door.cloud.client_id,
    });
    Json(body).into_response()
}

async fn token(
    State(door): State<Door>,
    Path(tenant): Path<String>,
    Form(asked): Form<Asked>,
) -> Response {
    match grant(&door, &tenant, &asked) {
        Ok(body) => Json(body).into_response(),
        Err(denied) => denied.into_response(&door),
    }
}

fn grant(door: &Door, tenant: &str, asked: &Asked) -> Result<Value, Denied> {
    let bad = |error, number, text: String| Denied {
        status: StatusCode::BAD_REQUEST,
        error,
        number,
        text,
    };
    let missing = |name: &str| {
        let text = format!("The request body must contain the following parameter: '{name}'.");
        bad("invalid_request", 900_144, text)
    };
    if !tenant.eq_ignore_ascii_case(&door.cloud.tenant) {
        let text = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct \
                            tenant ID and are signing into the correct cloud."
        );
        return Err(bad("invalid_request", 90_002, text));
    }
    match asked.grant_type.as_deref() {
        Some("client_credentials") => {}
        Some(other) => {
            let text = format!("The app requested an unsupported grant type '{other}'.");
            return Err(bad("unsupported_grant_type", 70_003, text));
        }
        None => return Err(missing("grant_type")),
    }
    let client = asked.client_id.as_deref().ok_or_else(|| missing("client_id"))?;
    let known = door.world.with(|world| {
        world.directory().application(client).map(|application| application.disabled)
    });
    let Some(disabled) = known else {
        let text = format!(
            "Application with identifier '{client}' was not found in the directory \
                            '{tenant}'."
        );
        return Err(bad("unauthorized_client", 700_016, text));
    };
    if disabled {
        let text = format!("Application '{client}' is disabled.");
        return Err(bad("unauthorized_client", 7_000_112, text));
    }
    let scope = asked.scope.as_deref().ok_or_else(|| missing("scope"))?;
    let Some(audience) = scope.strip_suffix("/.default").filter(|text| !text.is_empty()) else {
        let text = format!(
            "The provided value for scope {scope} is not valid. Client credential \
                            flows must have a scope value with /.default suffixed to the resource \
                            identifier."
        );
        return Err(bad("invalid_scope", 1_002_012, text));
    };
    prove(door, client, asked)?;
    let lifetime = door.world.with(|world| world.token_lifetime());
    let (token, _) = issue(door, client, audience);
    Ok(json!({
        "token_type": "Bearer",
        "expires_in": lifetime,
        "ext_expires_in": lifetime,
        "access_token": token,
    }))
}

fn prove(door: &Door, client: &str, asked: &Asked) -> Result<(), Denied> {
    let denied = |number, text: String| Denied {
        status: StatusCode::UNAUTHORIZED,
        error: "invalid_client",
        number,
        text,
    };
    if let Some(secret) = &asked.client_secret {
        let known = door.world.with(|world| {
            let application = world.directory().application(client)?;
            application
                .secrets
                .iter()
                .find(|(known, _)| known == secret)
                .map(|(_, expired)| *expired)
        });
        return match known {
            Some(false) => Ok(()),
            Some(true) => {
                let text = format!(
                    "The provided client secret keys for app '{client}' are expired. Visit the \
                     Azure portal to create new keys for your app."
                );
                Err(denied(7_000_222, text))
            }
            None => {
                let text = format!(
                    "Invalid client secret provided. Ensure the secret being sent in the request is \
                     the client secret value, not the client secret ID, for a secret added to app \
                     '{client}'."
                );
                Err(denied(7_000_215, text))
            }
        };
    }
    let Some(assertion) = &asked.client_assertion else {
        let text = "'client_assertion', 'client_secret' or 'request' is required for the \
                    'client_credentials' grant type.";
        return Err(denied(7_000_216, text.to_owned()));
    };
    if asked.client_assertion_type.as_deref() != Some(ASSERTION) {
        return Err(denied(50_027, "JWT token is invalid or malformed.".to_owned()));
    }
    let now = door.world.wall();
    let proven =
        door.world.with(|world| assertion::prove(world.directory_mut(), client, assertion, now));
    proven.map_err(|assertion::Wrong { number, text }| denied(number, text))
}

/// A token of an application, and its end.
pub(super) fn issue(door: &Door, client: &str, audience: &str) -> (String, i64) {
    let now = door.world.wall().as_second();
    let lifetime = door.world.with(|world| world.token_lifetime());
    let expires = now + i64::from(lifetime);
    let claims = Claims {
        aud: audience.to_owned(),
        iss: format!("https://sts.windows.net/{}/", door.cloud.tenant),
        iat: now,
        nbf: now,
        exp: expires,
        appid: client.to_lowercase(),
        tid: door.cloud.tenant.clone(),
        ver: "1.0".to_owned(),
    };
    (door.tokens.sign(&claims), expires)
}

async fn metadata(State(door): State<Door>, Path(tenant): Path<String>) -> Json<Value> {
    let base = format!("{}/{tenant}", door.cloud.authority);
    Json(json!({
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported":
            ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "issuer": format!("{base}/v2.0"),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
    }))
}

async fn discovery(State(door): State<Door>) -> Json<Value> {
    let (authority, tenant) = (&door.cloud.authority, &door.cloud.tenant);
    let host = authority.trim_start_matches("https://");
    Json(json!({
        "tenant_discovery_endpoint":
            format!("{authority}/{tenant}/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [{
            "preferred_network": host,
            "preferred_cache": host,
            "aliases": [host],
        }],
    }))
}

impl Denied {
    fn into_response(self, door: &Door) -> Response {
        let now = door.world.wall();
        let (trace, correlation) = (new_guid(), new_guid());
        let stamp = now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let body = json!({
            "error": self.error,
            "error_description": format!(
                "AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}",
                self.number, self.text
            ),
            "error_codes": [self.number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("{}/error?code={}", door.cloud.authority, self.number),
        });
        (self.status, Json(body)).into_response()
    }
}
