//! A throw-away certificate authority and one server certificate for all doors.

use std::sync::Arc;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
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
}

/// Makes an authority, and a certificate for `localhost`, its addresses and `names`.
pub(super) fn make(names: &[String]) -> anyhow::Result<Tls> {
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
    all.extend(names.iter().cloned());
    let key = KeyPair::generate().context("cannot make a key for the server")?;
    let mut params = CertificateParams::new(all).context("a server name is not fit for TLS")?;
    params.distinguished_name = named("localhost");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.use_authority_key_identifier_extension = true;
    let certificate =
        params.signed_by(&key, &issuer).context("cannot sign the server's certificate")?;
    let chain = vec![certificate.der().clone()];
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());

    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut web = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .and_then(|builder| with_key(builder.with_no_client_auth(), chain.clone(), &key))
        .context("cannot configure TLS for HTTPS")?;
    web.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tds = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .and_then(|builder| with_key(builder.with_no_client_auth(), chain, &key))
        .context("cannot configure TLS for TDS")?;
    Ok(Tls {
        authority_pem,
        certificate: certificate.der().to_vec(),
        web: Arc::new(web),
        tds: Arc::new(tds),
    })
}

fn with_key(
    builder: rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
    chain: Vec<CertificateDer<'static>>,
    key: &PrivatePkcs8KeyDer<'_>,
) -> Result<ServerConfig, rustls::Error> {
    builder.with_single_cert(chain, PrivateKeyDer::Pkcs8(key.clone_key()))
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}
