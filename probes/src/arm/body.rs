//! Bodies of Azure Resource Manager, and what they say as evidence. Absent properties are omitted
//! on the wire and never null.

use agent_core::{ControlLink, Lsn, Role, SyncHealth};
use reqwest::{StatusCode, header::HeaderMap};
use serde::Deserialize;

use super::{error::ArmError, operation::retry_after};
use crate::text::plain;

/// The managed instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Instance {
    #[serde(default)]
    pub properties: InstanceProperties,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceProperties {
    /// `Ready` in the ordinary case.
    pub state: Option<String>,
    /// The update policy.
    pub database_format: Option<String>,
    pub fully_qualified_domain_name: Option<String>,
    pub collation: Option<String>,
    pub hybrid_secondary_usage: Option<String>,
}

/// The link. Its `id` is not stable on the wire and therefore not read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Link {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub properties: LinkProperties,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LinkProperties {
    pub instance_link_role: Option<String>,
    pub partner_link_role: Option<String>,
    pub failover_mode: Option<String>,
    pub replication_mode: Option<String>,
    pub partner_endpoint: Option<String>,
    pub databases: Vec<LinkDatabase>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LinkDatabase {
    pub database_name: String,
    pub replica_state: Option<String>,
    pub synchronization_health: Option<String>,
    pub connected_state: Option<String>,
    pub last_hardened_lsn: Option<String>,
    pub most_recent_link_error: Option<String>,
    /// Of the certificate of SQL Server that the instance holds; empty where it does not say.
    pub partner_auth_cert_validity: CertificateValidity,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateValidity {
    pub certificate_name: Option<String>,
    /// RFC 3339.
    pub expiry_date: Option<String>,
}

impl Link {
    /// What the link says of this database.
    pub fn reading(&self, database: &str) -> Result<ControlLink, ArmError> {
        let properties = &self.properties;
        let (of_database, others): (Vec<_>, Vec<_>) = properties
            .databases
            .iter()
            .partition(|found| found.database_name.to_lowercase() == database.to_lowercase());
        let database = of_database.first().copied().cloned().unwrap_or_default();
        Ok(ControlLink {
            instance_role: role("instanceLinkRole", properties.instance_link_role.as_deref())?
                .ok_or_else(|| ArmError::garbled("a link without an instanceLinkRole"))?,
            // A link that is being made has no partner role yet.
            partner_role: role("partnerLinkRole", properties.partner_link_role.as_deref())?
                .unwrap_or(Role::Resolving),
            replica_state: database.replica_state.as_deref().map(plain),
            connected: connected(database.connected_state.as_deref())?,
            sync_health: health(database.synchronization_health.as_deref())?,
            failover_mode: properties.failover_mode.as_deref().map(plain),
            last_hardened_lsn: position(database.last_hardened_lsn.as_deref())?,
            other_databases: others.iter().map(|other| plain(&other.database_name)).collect(),
        })
    }
}

/// `code` and `message` of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// What an answer that is no success means.
pub(crate) fn failure(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ArmError {
    #[derive(Default, Deserialize)]
    struct Body {
        error: Failure,
    }
    let failure = serde_json::from_slice::<Body>(body).map_or_else(
        // A proxy's page, for example; the beginning of it says who spoke.
        |_| Failure { code: String::new(), message: String::from_utf8_lossy(body).into_owned() },
        |body| body.error,
    );
    let (code, message) = (plain(&failure.code), plain(&failure.message));
    match status.as_u16() {
        401 => ArmError::Unauthorized { message },
        403 => ArmError::Forbidden { code, message },
        404 => {
            // The code is the same for both; only this header tells who did not find it.
            let gateway = headers
                .get("x-ms-failure-cause")
                .is_some_and(|cause| cause.as_bytes() == b"gateway");
            ArmError::NotFound { gateway, code, message }
        }
        408 | 500..=599 => ArmError::Unavailable { status: status.as_u16(), code, message },
        409 => ArmError::Conflict { code, message },
        429 => ArmError::Throttled { retry_after: retry_after(headers) },
        other => ArmError::Rejected { status: other, code, message },
    }
}

fn role(property: &str, word: Option<&str>) -> Result<Option<Role>, ArmError> {
    match word {
        None => Ok(None),
        Some(word) if word.eq_ignore_ascii_case("Primary") => Ok(Some(Role::Primary)),
        Some(word) if word.eq_ignore_ascii_case("Secondary") => Ok(Some(Role::Secondary)),
        Some(word) => Err(ArmError::garbled(format!("`{word}` as {property}"))),
    }
}

fn connected(word: Option<&str>) -> Result<Option<bool>, ArmError> {
    match word {
        None => Ok(None),
        Some(word) if word.eq_ignore_ascii_case("CONNECTED") => Ok(Some(true)),
        Some(word) if word.eq_ignore_ascii_case("DISCONNECTED") => Ok(Some(false)),
        Some(word) => Err(ArmError::garbled(format!("`{word}` as connectedState"))),
    }
}

fn health(word: Option<&str>) -> Result<Option<SyncHealth>, ArmError> {
    match word {
        None => Ok(None),
        Some(word) if word.eq_ignore_ascii_case("NOT_HEALTHY") => Ok(Some(SyncHealth::NotHealthy)),
        Some(word) if word.eq_ignore_ascii_case("PARTIALLY_HEALTHY") => {
            Ok(Some(SyncHealth::PartiallyHealthy))
        }
        Some(word) if word.eq_ignore_ascii_case("HEALTHY") => Ok(Some(SyncHealth::Healthy)),
        Some(word) => Err(ArmError::garbled(format!("`{word}` as synchronizationHealth"))),
    }
}

/// "0" and "1" are what stands there when nothing is known.
fn position(digits: Option<&str>) -> Result<Option<Lsn>, ArmError> {
    let Some(digits) = digits else { return Ok(None) };
    match Lsn::parse(digits) {
        Some(Lsn(0 | 1)) => Ok(None),
        Some(lsn) => Ok(Some(lsn)),
        None => Err(ArmError::garbled(format!("`{digits}` as lastHardenedLsn"))),
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
