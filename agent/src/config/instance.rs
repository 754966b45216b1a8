//! Instances as they are written in the file: where they are, how to log in, whom to believe.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{secret::Source, span::Span};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) instance: Option<String>,
    pub(super) browser_port: Option<u16>,
    #[serde(default)]
    pub(super) encrypt: Encrypt,
    /// SQL Servers only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) replicas: Vec<Replica>,
    pub(super) login: Login,
    pub(super) action_login: Option<Login>,
    #[serde(default)]
    pub(super) trust: Trust,
    #[serde(default)]
    pub(super) probe: Probe,
    /// Managed instances only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) arm: Option<Arm>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Encrypt {
    #[default]
    Negotiated,
    Strict,
}

/// What is not said here is that of the instance.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replica {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) instance: Option<String>,
    pub(super) trust: Option<Trust>,
}

/// Exactly one of `user`, `windows`, `entra` and `kerberos`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) windows: Option<String>,
    pub(super) entra: Option<bool>,
    pub(super) kerberos: Option<bool>,
    pub(super) password: Option<Source>,
    /// None: that of `arm`.
    pub(super) credential: Option<Credential>,
    pub(super) scope: Option<String>,
    pub(super) ca: Option<PathBuf>,
}

/// At most one of the first three; none is the trust of the operating system.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Trust {
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) fingerprint: Option<String>,
    pub(super) name: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Probe {
    pub(super) every: Span,
    pub(super) deadline: Span,
    pub(super) connect_within: Span,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arm {
    pub(super) subscription: String,
    pub(super) resource_group: String,
    pub(super) instance: String,
    #[serde(default = "base_url")]
    pub(super) base_url: String,
    #[serde(default = "api_version")]
    pub(super) api_version: String,
    pub(super) ca: Option<PathBuf>,
    #[serde(default = "arm_every")]
    pub(super) every: Span,
    #[serde(default = "arm_deadline")]
    pub(super) deadline: Span,
    #[serde(default = "arm_connect_within")]
    pub(super) connect_within: Span,
    #[serde(default)]
    pub(super) credential: Credential,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Credential {
    pub(super) kind: CredentialKind,
    pub(super) authority: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<Source>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) private_key: Option<Source>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) identity_endpoint: Option<String>,
    pub(super) token_folder: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CredentialKind {
    #[default]
    ManagedIdentity,
    ArcManagedIdentity,
    WorkloadIdentity,
    ClientSecret,
    ClientCertificate,
    ClientAssertion,
}

/// Where one server listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// Its place among the replicas; None is the instance itself, or the listener of them all.
    pub(super) replica: Option<usize>,
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
    pub(super) instance: Option<&'a str>,
}

/// Where SQL Server listens unless it is told otherwise.
pub(super) const PORT: u16 = 1433;

impl Instance {
    /// Its own place, if it has one, and those of its replicas.
    pub(super) fn places(&self) -> Vec<Place<'_>> {
        let own = self.host.as_deref().map(|host| Place {
            replica: None,
            host,
            port: self.port,
            instance: self.instance.as_deref(),
        });
        let replicas = self.replicas.iter().enumerate().map(|(at, replica)| Place {
            replica: Some(at),
            host: &replica.host,
            port: replica.port,
            instance: replica.instance.as_deref(),
        });
        own.into_iter().chain(replicas).collect()
    }
}

impl Default for Probe {
    fn default() -> Self {
        let deadline = Span::secs(3);
        Self { every: Span::secs(1), deadline, connect_within: deadline }
    }
}

fn base_url() -> String {
    "https://management.azure.com".into()
}

fn api_version() -> String {
    "2025-01-01".into()
}

fn arm_every() -> Span {
    Span::secs(5)
}

fn arm_deadline() -> Span {
    Span::secs(8)
}

fn arm_connect_within() -> Span {
    Span::secs(3)
}
