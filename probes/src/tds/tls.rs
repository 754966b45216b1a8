//! Whom to believe: TLS towards an instance is always verified, in one of three ways. The file of
//! authorities, or of the one certificate, is looked at again before each handshake.
//!
//! The handshake is ours and not tiberius': its trust settings can only add authorities to those
//! of the operating system, and it knows no pinned certificate.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use secrecy::ExposeSecret as _;
use sha2::{Digest, Sha256};

use crate::{SecretSource, renewed::Renewed};

/// The protocol that TDS 8 asks for in its handshake.
const TDS_8: &[u8] = b"tds/8.0";

/// How the peer's certificate is judged.
#[derive(Clone, PartialEq, Eq)]
pub enum Trust {
    /// By the authorities of the operating system, and by the host's name.
    System,
    /// By these authorities alone (PEM, one or more certificates), and by the host's name.
    CaBundlePem(String),
    /// It must be exactly the certificate with this SHA-256 over its DER form (what `openssl x509
    /// -fingerprint -sha256` prints), and the peer must prove that it has the key. Name, issuer and
    /// expiry are not looked at: this is for the certificate that SQL Server makes for itself.
    PinnedCertificate([u8; 32]),
}

/// A [`Trust`] that was checked and is ready for use; cheap to clone.
#[derive(Clone)]
pub struct Tls {
    kept: Arc<Renewed<Ready>>,
    trust: &'static str,
}

/// What a handshake is begun with.
#[derive(Clone)]
pub(crate) struct Ready {
    /// Inside of TDS 7.4.
    pub(crate) wrapped: Arc<ClientConfig>,
    /// For TDS 8, around everything.
    pub(crate) strict: Arc<ClientConfig>,
}

/// Why a [`Trust`] cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error("the operating system has no usable certificate authority: {0}")]
    NoSystemAuthorities(String),
    #[error("no certificate in the PEM text: expected at least one `BEGIN CERTIFICATE` block")]
    NoCertificate,
    #[error("certificate {place} of the PEM text cannot be used: {detail}")]
    BadCertificate { place: usize, detail: String },
    #[error("a fingerprint is 64 hexadecimal digits (SHA-256), colons allowed; got {0} digits")]
    BadFingerprint(usize),
    #[error("TLS cannot be set up: {0}")]
    Provider(String),
}

impl Trust {
    /// A pin from a fingerprint as `openssl` or SQL Server print it: hexadecimal, with or without
    /// colons.
    pub fn pinned_fingerprint(text: &str) -> Result<Self, TrustError> {
        let digits: Vec<u8> = text
            .chars()
            .filter(|c| !matches!(c, ':' | ' '))
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()).unwrap_or(0xFF))
            .collect();
        let wrong = TrustError::BadFingerprint(digits.iter().filter(|d| **d < 16).count());
        if digits.len() != 64 || digits.contains(&0xFF) {
            return Err(wrong);
        }
        let mut pin = [0; 32];
        for (byte, pair) in pin.iter_mut().zip(digits.chunks(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self::PinnedCertificate(pin))
    }

    /// The authorities of a PEM text.
    pub fn authorities(pem: &str) -> Result<Self, TrustError> {
        Ok(Self::CaBundlePem(pem.to_owned()))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::System => "system authorities",
            Self::CaBundlePem(_) => "own authorities",
            Self::PinnedCertificate(_) => "pinned",
        }
    }

    /// A pin from the certificate itself (PEM; the first one of the text).
    pub fn pinned_pem(pem: &str) -> Result<Self, TrustError> {
        let certificates = certificates(pem)?;
        let first = certificates.first().ok_or(TrustError::NoCertificate)?;
        Ok(Self::PinnedCertificate(Sha256::digest(first).into()))
    }
}

impl Tls {
    /// Reads the authorities and makes them ready for use.
    pub fn new(trust: &Trust) -> Result<Self, TrustError> {
        Ok(Self { kept: Arc::new(Renewed::fixed(Ready::new(trust)?)), trust: trust.name() })
    }

    /// The same by a file that may be changed meanwhile: it is looked at before each handshake.
    /// `trust` says what its text means.
    pub fn kept(
        source: SecretSource,
        trust: fn(&str) -> Result<Trust, TrustError>,
    ) -> Result<Self, TrustError> {
        let name = trust(source.last().expose_secret())?.name();
        let kept = Renewed::kept(source, move |text| Ready::new(&trust(text)?))?;
        Ok(Self { kept: Arc::new(kept), trust: name })
    }

    pub(crate) async fn now(&self) -> Ready {
        self.kept.now().await
    }
}

impl Ready {
    fn new(trust: &Trust) -> Result<Self, TrustError> {
        // The process may have chosen a provider; the handshake must not depend on that.
        let provider = CryptoProvider::get_default()
            .cloned()
            .unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
        // TDS 7.4 wraps the handshake in its own packets and ends that with `Finished`. What TLS
        // 1.3 sends after it would fall between the two framings, so 1.2 is all there is.
        let wrapped = client(trust, &provider, &[&rustls::version::TLS12])?;
        let versions = [&rustls::version::TLS12, &rustls::version::TLS13];
        let mut strict = client(trust, &provider, &versions)?;
        strict.alpn_protocols = vec![TDS_8.to_vec()];
        Ok(Self { wrapped: Arc::new(wrapped), strict: Arc::new(strict) })
    }
}

fn client(
    trust: &Trust,
    provider: &Arc<CryptoProvider>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<ClientConfig, TrustError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)
        .map_err(|error| TrustError::Provider(error.to_string()))?;
    let builder = match trust {
        Trust::System => builder.with_root_certificates(system()?),
        Trust::CaBundlePem(pem) => builder.with_root_certificates(bundle(pem)?),
        Trust::PinnedCertificate(pin) => {
            let algorithms = provider.signature_verification_algorithms;
            let verifier = Arc::new(Pin { pin: *pin, algorithms });
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    };
    let mut config = builder.with_no_client_auth();
    // In a resumed handshake the client has the last word, which moves the end of the framing.
    config.resumption = Resumption::disabled();
    Ok(config)
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::CaBundlePem(_) => "CaBundlePem",
            Self::PinnedCertificate(_) => "PinnedCertificate",
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.trust)
    }
}

/// Whether there are certificates in a PEM text, and nothing but what can be one.
///
/// # Errors
///
/// Which of them can't be used, and why.
pub fn usable_pem(pem: &str) -> Result<(), TrustError> {
    certificates(pem).map(drop)
}

/// Certificates of a PEM text, for TDS and for HTTPS alike.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .enumerate()
        .map(|(at, certificate)| {
            certificate.map_err(|error| TrustError::BadCertificate {
                place: at + 1,
                detail: error.to_string(),
            })
        })
        .collect::<Result<_, _>>()?;
    if all.is_empty() { Err(TrustError::NoCertificate) } else { Ok(all) }
}

fn system() -> Result<RootCertStore, TrustError> {
    let native = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(native.certs);
    if added == 0 {
        let why = native.errors.first().map_or_else(|| "none found".into(), ToString::to_string);
        return Err(TrustError::NoSystemAuthorities(why));
    }
    Ok(roots)
}

fn bundle(pem: &str) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in certificates(pem)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| TrustError::BadCertificate {
            place: at + 1,
            detail: error.to_string(),
        })?;
    }
    Ok(roots)
}

#[derive(Debug)]
struct Pin {
    pin: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown: [u8; 32] = Sha256::digest(end_entity).into();
        if shown == self.pin {
            Ok(ServerCertVerified::assertion())
        } else {
            // The variant that says "not the one I was told to expect".
            Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_printed() {
        let printed = "AB:".repeat(31) + "0f";
        let Ok(Trust::PinnedCertificate(pin)) = Trust::pinned_fingerprint(&printed) else {
            panic!("64 digits are a fingerprint");
        };
        assert_eq!((pin[0], pin[31]), (0xAB, 0x0F));
        let short = Trust::pinned_fingerprint("AB:CD").expect_err("4 digits");
        assert_eq!(short, TrustError::BadFingerprint(4));
        let odd = Trust::pinned_fingerprint(&"xy".repeat(32)).expect_err("no digits");
        assert_eq!(odd, TrustError::BadFingerprint(0));
    }

    #[test]
    fn an_unusable_bundle_says_what_is_wrong() {
        let empty = Tls::new(&Trust::CaBundlePem("nothing here".into())).expect_err("no PEM");
        assert_eq!(empty, TrustError::NoCertificate);
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let error = Tls::new(&Trust::CaBundlePem(broken.into())).expect_err("not a certificate");
        assert!(matches!(error, TrustError::BadCertificate { place: 1, .. }), "{error}");
    }
}
