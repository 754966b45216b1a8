//! A throw-away certificate authority and one server certificate for all doors. Both can be made
//! anew while the doors are open.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS12,
};

pub(super) struct Tls {
    /// The authority's certificate, PEM: what clients have to trust.
    pub(super) authority_pem: String,
    /// The server's certificate, DER.
    pub(super) certificate: Vec<u8>,
    /// For HTTPS.
    pub(super) web: Arc<ServerConfig>,
    /// For TDS 7.x: TLS 1.2 at most, because with 1.3 session tickets would land outside the
    /// PRELOGIN framing.
    pub(super) tds: Arc<ServerConfig>,
    /// What all doors show.
    pub(super) shown: Arc<Shown>,
}

/// The certificate that clients are shown, until it is made anew.
#[derive(Debug)]
pub(super) struct Shown {
    names: Vec<String>,
    now: Mutex<Arc<CertifiedKey>>,
}

impl Shown {
    /// Another authority and another certificate; connections that are open stay. Returns the
    /// authority's certificate, PEM.
    pub(super) fn renew(&self) -> anyhow::Result<String> {
        let (authority_pem, key) = certified(&self.names)?;
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
        Ok(authority_pem)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Makes an authority, and a certificate for `localhost`, its addresses and `names`.
pub(super) fn make(names: &[String]) -> anyhow::Result<Tls> {
    let (authority_pem, key) = certified(names)?;
    let certificate = key.cert.first().map(|der| der.to_vec()).unwrap_or_default();
    let shown = Arc::new(Shown { names: names.to_vec(), now: Mutex::new(Arc::new(key)) });
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut web = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context("cannot configure TLS for HTTPS")?
        .with_no_client_auth()
        .with_cert_resolver(shown.clone());
    web.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tds = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .context("cannot configure TLS for TDS")?
        .with_no_client_auth()
        .with_cert_resolver(shown.clone());
    Ok(Tls { authority_pem, certificate, web: Arc::new(web), tds: Arc::new(tds), shown })
}

/// The authority, PEM, and a certificate of it with its key.
fn certified(names: &[String]) -> anyhow::Result<(String, CertifiedKey)> {
    let authority_key = KeyPair::generate().context("cannot make a key for the authority")?;
    let mut authority = CertificateParams::default();
    authority.distinguished_name = named("Twin throw-away authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_pem = authority
        .self_signed(&authority_key)
        .context("cannot sign the authority's certificate")?
        .pem();
    let issuer = Issuer::new(authority, authority_key);

    let mut all = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    // A named instance shares the certificate of its machine.
    let machines = names.iter().map(|name| name.split('\\').next().unwrap_or(name).to_owned());
    all.extend(machines);
    let key = KeyPair::generate().context("cannot make a key for the server")?;
    let mut params = CertificateParams::new(all).context("a server name is not fit for TLS")?;
    params.distinguished_name = named("localhost");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.use_authority_key_identifier_extension = true;
    let certificate =
        params.signed_by(&key, &issuer).context("cannot sign the server's certificate")?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let chain = vec![certificate.der().clone()];
    let provider = aws_lc_rs::default_provider();
    let key = CertifiedKey::from_der(chain, PrivateKeyDer::Pkcs8(key), &provider)
        .context("the server's key is of no use")?;
    Ok((authority_pem, key))
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}
