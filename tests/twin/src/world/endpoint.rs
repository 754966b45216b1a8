//! The endpoint for mirroring of a server.

use serde::{Deserialize, Serialize};

/// The endpoint for mirroring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// STARTED, else STOPPED.
    pub started: bool,
    /// The certificate that it shows; none: Windows accounts only.
    pub certificate: Option<String>,
    /// Whether encryption is REQUIRED.
    pub encrypted: bool,
    /// AES or RC4.
    pub algorithm: String,
    /// Its TCP port.
    pub port: u16,
}

/// What CREATE or ALTER ENDPOINT says; what is left out stays, or is as the server has it by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointChange {
    /// Its name.
    pub name: String,
    /// CREATE, else ALTER.
    pub create: bool,
    /// STARTED, else STOPPED.
    pub started: Option<bool>,
    /// The certificate that it shows.
    pub certificate: Option<String>,
    /// No certificate: Windows accounts only.
    pub windows: bool,
    /// REQUIRED, else DISABLED.
    pub encrypted: Option<bool>,
    /// AES or RC4.
    pub algorithm: Option<String>,
    /// Its TCP port.
    pub port: Option<u16>,
}

impl Default for Endpoint {
    fn default() -> Endpoint {
        Endpoint {
            name: "database_mirroring_endpoint".to_owned(),
            started: true,
            certificate: None,
            encrypted: true,
            algorithm: "AES".to_owned(),
            port: 5022,
        }
    }
}

impl Endpoint {
    pub(super) fn changed(mut self, change: EndpointChange) -> Endpoint {
        if !change.name.is_empty() {
            self.name = change.name;
        }
        self.started = change.started.unwrap_or(self.started);
        self.encrypted = change.encrypted.unwrap_or(self.encrypted);
        self.algorithm = change.algorithm.unwrap_or(self.algorithm);
        self.port = change.port.unwrap_or(self.port);
        self.certificate = change.certificate.or(self.certificate).filter(|_| !change.windows);
        self
    }
}
