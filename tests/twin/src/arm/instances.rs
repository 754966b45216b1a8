//! Requests that concern a managed instance itself: its settings, databases and certificates.

use std::{collections::BTreeMap, fmt::Write as _};

use aws_lc_rs::digest;
use axum::{
    Json,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Door,
    errors::Problem,
    operations,
    resources::{Asked, known, not_supported, with_instance},
    shapes,
};
use crate::der;
use crate::world::{ArmError, AzureCommand, InstanceChange, UpdatePolicy, Usage};

const TRUST_TYPE: &str = "Microsoft.Sql/managedInstances/serverTrustCertificates";
const ENDPOINT_TYPE: &str = "Microsoft.Sql/managedInstances/endpointCertificates";
/// In the order in which the recording has them.
const ENDPOINTS: [&str; 2] = ["SERVICE_BROKER", "DATABASE_MIRRORING"];
/// The first version with the roots (mi-link 6.5).
const ROOTS_SINCE: &str = "2026-08-01-preview";

pub(super) async fn instance(door: &Door, asked: &Asked, name: &str) -> Result<Response, Problem> {
    let (name, body) = with_instance(door, name, |world, found| {
        let detected = world.detected_usage(&found.name);
        shapes::instance(&door.cloud, found, detected, asked.version())
    })?;
    match asked.method {
        Method::GET => Ok(Json(body).into_response()),
        Method::PATCH => {
            let command = AzureCommand::UpdateInstance(change(asked)?);
            operations::take(door, asked, &name, command).await
        }
        _ => Err(not_supported(&asked.method)),
    }
}

pub(super) fn databases(door: &Door, asked: &Asked, name: &str) -> Result<Response, Problem> {
    if asked.method != Method::GET {
        return Err(not_supported(&asked.method));
    }
    let (_, value) =
        with_instance(door, name, |world, found| shapes::databases(&door.cloud, world, found))?;
    Ok(Json(json!({ "value": value })).into_response())
}

pub(super) async fn database(
    door: &Door,
    asked: &Asked,
    name: &str,
    database: &str,
) -> Result<Response, Problem> {
    let (name, found) = with_instance(door, name, |world, found| {
        let all = shapes::databases(&door.cloud, world, found);
        all.into_iter().find(|one| {
            one["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(database))
        })
    })?;
    match asked.method {
        Method::GET => {
            let found = found.ok_or_else(|| not_found("databases", database))?;
            Ok(Json(found).into_response())
        }
        Method::DELETE => {
            let command = AzureCommand::DeleteDatabase(database.to_owned());
            operations::take(door, asked, &name, command).await
        }
        _ => Err(not_supported(&asked.method)),
    }
}

pub(super) fn trusted(door: &Door, asked: &Asked, name: &str) -> Result<Response, Problem> {
    if asked.method != Method::GET {
        return Err(not_supported(&asked.method));
    }
    let (_, value) = with_instance(door, name, |_, found| {
        let all = &found.resource().certificates;
        all.iter()
            .map(|(name, certificate)| {
                trusted_one(door, &found.name, name, certificate.blob.as_deref())
            })
            .collect::<Vec<_>>()
    })?;
    Ok(Json(json!({ "value": value })).into_response())
}

pub(super) async fn trust(
    door: &Door,
    asked: &Asked,
    name: &str,
    certificate: &str,
) -> Result<Response, Problem> {
    let command = match asked.method {
        Method::GET => return Ok(Json(trusted_body(door, name, certificate)?).into_response()),
        Method::PUT => {
            let blob = blob(asked)?;
            let expiry = der::expiry(&blob).ok_or_else(invalid_blob)?;
            AzureCommand::PutCertificate { name: certificate.to_owned(), blob, expiry }
        }
        Method::DELETE => AzureCommand::DeleteCertificate(certificate.to_owned()),
        _ => return Err(not_supported(&asked.method)),
    };
    let name = known(door, name)?;
    operations::take(door, asked, &name, command).await
}

/// One certificate that an instance trusts.
pub(super) fn trusted_body(door: &Door, name: &str, certificate: &str) -> Result<Value, Problem> {
    let (_, found) = with_instance(door, name, |_, found| {
        let one = found.resource().certificates.get(certificate)?;
        Some(trusted_one(door, &found.name, certificate, one.blob.as_deref()))
    })?;
    found.ok_or_else(|| not_found("serverTrustCertificates", certificate))
}

pub(super) fn endpoints(door: &Door, asked: &Asked, name: &str) -> Result<Response, Problem> {
    if asked.method != Method::GET {
        return Err(not_supported(&asked.method));
    }
    let name = known(door, name)?;
    let value: Vec<_> =
        ENDPOINTS.iter().map(|kind| endpoint_one(door, &name, kind, asked.version())).collect();
    Ok(Json(json!({ "value": value })).into_response())
}

pub(super) fn endpoint(
    door: &Door,
    asked: &Asked,
    name: &str,
    kind: &str,
) -> Result<Response, Problem> {
    if asked.method != Method::GET {
        return Err(not_supported(&asked.method));
    }
    let name = known(door, name)?;
    let kind = ENDPOINTS.iter().find(|known| known.eq_ignore_ascii_case(kind));
    let kind = kind.ok_or_else(|| not_found("endpointCertificates", "unknown"))?;
    Ok(Json(endpoint_one(door, &name, kind, asked.version())).into_response())
}

fn trusted_one(door: &Door, instance: &str, name: &str, blob: Option<&[u8]>) -> Value {
    let blob = blob.unwrap_or(&door.cloud.certificate);
    let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, blob);
    let id =
        format!("{}/serverTrustCertificates/{name}", shapes::instance_id(&door.cloud, instance));
    json!({
        "properties": {
            "publicBlob": hex(blob),
            "thumbprint": hex(sha1.as_ref()),
            "certificateName": name,
        },
        "id": id,
        "name": name,
        "type": TRUST_TYPE,
    })
}

fn endpoint_one(door: &Door, instance: &str, kind: &str, version: &str) -> Value {
    let blob = hex(&door.cloud.certificate);
    let mut properties = json!({ "publicBlob": blob });
    if version >= ROOTS_SINCE {
        let root = json!({ "subject": "CN=twin authority", "publicBlob": blob });
        properties["trustedRootCertificates"] = json!([root]);
    }
    let id = format!("{}/endpointCertificates/{kind}", shapes::instance_id(&door.cloud, instance));
    json!({ "properties": properties, "id": id, "name": kind, "type": ENDPOINT_TYPE })
}

fn blob(asked: &Asked) -> Result<Vec<u8>, Problem> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        properties: Properties,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Properties {
        public_blob: String,
    }
    let body: Body = serde_json::from_slice(&asked.body).unwrap_or_default();
    let text = body.properties.public_blob;
    if text.is_empty() {
        let message = "The public key blob is missing.";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "MissingPublicBlob", message));
    }
    let digits = text.strip_prefix("0x").unwrap_or(&text).as_bytes();
    if !digits.len().is_multiple_of(2) {
        return Err(invalid_blob());
    }
    let pairs = digits.chunks_exact(2).map(|pair| {
        let pair = str::from_utf8(pair).ok().filter(|pair| !pair.contains('+'))?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect::<Option<Vec<u8>>>().ok_or_else(invalid_blob)
}

fn invalid_blob() -> Problem {
    let message = "The specified public key blob is invalid.";
    Problem::new(StatusCode::BAD_REQUEST, "InvalidPublicBlob", message)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}

fn not_found(kind: &str, name: &str) -> Problem {
    let message = format!(
        "The requested resource of type 'Microsoft.Sql/managedInstances/{kind}' with name \
         '{name}' was not found."
    );
    Problem::from(ArmError::not_found(&message))
}

fn change(asked: &Asked) -> Result<InstanceChange, Problem> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        tags: Option<BTreeMap<String, String>>,
        properties: Properties,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Properties {
        license_type: Option<String>,
        hybrid_secondary_usage: Option<String>,
        database_format: Option<String>,
        proxy_override: Option<String>,
        public_data_endpoint_enabled: Option<bool>,
        v_cores: Option<u32>,
        #[serde(rename = "storageSizeInGB")]
        storage_gb: Option<u32>,
    }
    let body: Body = serde_json::from_slice(&asked.body).map_err(|_| {
        let message = "The request content was invalid and could not be deserialized.";
        Problem::new(StatusCode::BAD_REQUEST, "InvalidRequestContent", message).by_gateway()
    })?;
    let given = body.properties;
    let one_of = |word: Option<&str>, property: &str, known: &[&str]| match word {
        None => Ok(None),
        Some(word) => {
            let found = known.iter().position(|known| known.eq_ignore_ascii_case(word));
            found.map(Some).ok_or_else(|| Problem::invalid_segment(property))
        }
    };
    let license =
        one_of(given.license_type.as_deref(), "licenseType", &["LicenseIncluded", "BasePrice"])?;
    let usage = given.hybrid_secondary_usage.as_deref();
    let usage = one_of(usage, "hybridSecondaryUsage", &["Active", "Passive"])?;
    let format = given.database_format.as_deref();
    let known = ["SQLServer2022", "SQLServer2025", "AlwaysUpToDate"];
    let policies =
        [UpdatePolicy::SQLServer2022, UpdatePolicy::SQLServer2025, UpdatePolicy::AlwaysUpToDate];
    let policy = one_of(format, "databaseFormat", &known)?.map(|place| policies[place]);
    let proxies = ["Proxy", "Redirect", "Default"];
    let proxy = one_of(given.proxy_override.as_deref(), "proxyOverride", &proxies)?;
    Ok(InstanceChange {
        base_price: license.map(|place| place == 1),
        usage: usage.map(|place| if place == 1 { Usage::Passive } else { Usage::Active }),
        policy,
        proxy: proxy.map(|place| proxies[place].to_owned()),
        public_endpoint: given.public_data_endpoint_enabled,
        v_cores: given.v_cores,
        storage_gb: given.storage_gb,
        tags: body.tags,
    })
}
