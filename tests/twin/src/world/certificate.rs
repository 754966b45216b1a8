//! Certificates of endpoints: which one a server shows, and which ones the other side was given.

use jiff::Timestamp;

use super::{Guid, Instance};
use crate::der;

/// The roots of Azure's certificates, as they are called on SQL Server (mi-link 1).
pub(super) const ROOTS: [&str; 2] = ["DigiCertPKI", "MicrosoftPKI"];

/// A certificate in master.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Whether its private key is here too, under the master key.
    pub own: bool,
    /// `expiry_date`.
    pub expiry: Timestamp,
    /// When it was made or brought here.
    pub created: Timestamp,
    /// DER; none of one that was brought from a file, or was there in the beginning: it is what its
    /// name says.
    pub blob: Option<Vec<u8>>,
    /// Whether what it has issued is trusted (`sp_certificate_add_issuer`).
    pub issuer: bool,
}

impl Certificate {
    /// One that is made on a server.
    pub(super) fn made(server: &str, name: &str, now: Timestamp, expiry: Timestamp) -> Certificate {
        let id = Guid::derive(1, &format!("certificate/{server}/{name}/{now}"));
        let blob = Some(der::certificate(name, id.0, now, expiry));
        Certificate { own: true, expiry, created: now, blob, issuer: false }
    }

    /// One of somebody else.
    pub(super) fn brought(now: Timestamp, expiry: Timestamp, blob: Option<Vec<u8>>) -> Certificate {
        Certificate { own: false, expiry, created: now, blob, issuer: false }
    }

    /// The same key under a certificate with another end.
    pub(super) fn renewed(&self, name: &str, expiry: Timestamp) -> Certificate {
        let serial = self.blob.as_deref().and_then(der::serial).unwrap_or_default();
        let blob = self.own.then(|| der::certificate(name, serial, self.created, expiry));
        Certificate { expiry, blob, ..self.clone() }
    }

    /// Whether a certificate is for the same key.
    pub(super) fn is_for(&self, other: &[u8]) -> bool {
        let own = self.blob.as_deref();
        own == Some(other) || own.and_then(der::key).is_some_and(|key| der::key(other) == Some(key))
    }
}

impl Instance {
    /// The certificate that its endpoint for mirroring shows, if it is valid.
    pub(super) fn shown(&self, now: Timestamp) -> Option<&Certificate> {
        let name = self.setup.endpoint.as_ref()?.certificate.as_ref()?;
        self.setup.certificates.get(name).filter(|certificate| certificate.expiry > now)
    }

    /// Whether it knows the certificate of a managed instance, and who has issued it.
    pub(super) fn knows(&self, other: &Instance, now: Timestamp) -> bool {
        let all = &self.setup.certificates;
        let valid = |certificate: &&Certificate| certificate.expiry > now;
        let same = |certificate: &Certificate| match (&certificate.blob, &other.setup.endpoint_key)
        {
            (Some(_), Some(shown)) => certificate.is_for(shown),
            (Some(_) | None, _) => true,
        };
        let known = all.get(&other.server_name).filter(valid).is_some_and(same);
        let issued = |name: &&str| all.get(*name).filter(valid).is_some_and(|root| root.issuer);
        known && ROOTS.iter().all(issued)
    }
}
