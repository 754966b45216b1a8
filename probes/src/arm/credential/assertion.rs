//! An application proves by its certificate that it is who it says: a short-lived JSON web token,
//! signed with the certificate's key.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PSS_SHA256};
use azure_core::{
    error::{Error, ErrorKind},
    http::ClientMethodOptions,
};
use azure_identity::ClientAssertion;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use secrecy::ExposeSecret as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{Now, secret::SecretSource};

/// How long an assertion is good for; it is used at once. Clocks that differ are allowed for.
const LIFE_S: i64 = 600;
const SKEW_S: i64 = 60;

/// Signs with what the two sources hold at that moment.
pub(super) struct CertificateAssertion {
    pub(super) certificate: SecretSource,
    pub(super) key: SecretSource,
    pub(super) client_id: String,
    /// The address that the assertion goes to, which it is made out for.
    pub(super) audience: String,
    pub(super) now: Now,
}

impl std::fmt::Debug for CertificateAssertion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("CertificateAssertion");
        debug.field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

#[async_trait]
impl ClientAssertion for CertificateAssertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let (certificate, key) = (self.certificate.now().await, self.key.now().await);
        let at = (self.now)().as_second();
        signed(
            certificate.expose_secret(),
            key.expose_secret(),
            &self.client_id,
            &self.audience,
            at,
        )
        .map_err(|what| Error::with_message(ErrorKind::Credential, what))
    }
}

/// Whether an application can prove itself with this certificate and this key, both PEM.
///
/// # Errors
///
/// What is wrong with them, in words that hold nothing of the key.
pub fn check_certificate(certificate: &str, key: &str) -> Result<(), String> {
    signed(certificate, key, "", "", 0).map(drop)
}

fn signed(
    certificate: &str,
    key: &str,
    client_id: &str,
    audience: &str,
    at: i64,
) -> Result<String, String> {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
        .map_err(|error| format!("the certificate of the application is unusable: {error}"))?;
    let key = key_pair(key)?;
    let mut number = [0; 16];
    let random = SystemRandom::new();
    aws_lc_rs::rand::SecureRandom::fill(&random, &mut number)
        .map_err(|_| "the machine has no randomness".to_owned())?;
    let header = json!({
        "alg": "PS256",
        "typ": "JWT",
        "x5t#S256": URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate)),
    });
    let claims = json!({
        "aud": audience,
        "iss": client_id,
        "sub": client_id,
        "jti": URL_SAFE_NO_PAD.encode(number),
        "iat": at,
        "nbf": at - SKEW_S,
        "exp": at + LIFE_S,
    });
    let encode = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let text = format!("{}.{}", encode(header), encode(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PSS_SHA256, &random, text.as_bytes(), &mut signature)
        .map_err(|_| "the key of the application's certificate can't sign".to_owned())?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The first private key of a PEM text.
fn key_pair(pem: &str) -> Result<Arc<KeyPair>, String> {
    let unusable = |what: &str| format!("the key of the application's certificate {what}");
    // The error of the parser could quote the text.
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| unusable("is no unencrypted private key in PEM"))?;
    let pair = match &key {
        PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(_) | _ => {
            return Err(unusable("is no RSA key, and Entra takes no other"));
        }
    };
    pair.map(Arc::new)
        .map_err(|error| unusable(&format!("is no RSA key of 2048 bits or more ({error})")))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::{AsDer as _, Pkcs8V1Der},
        rsa::KeySize,
        signature::{KeyPair as _, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey},
    };
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use serde_json::Value;

    use super::*;

    fn part(text: &str) -> Value {
        let bytes = URL_SAFE_NO_PAD.decode(text).expect("base64");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[test]
    fn an_assertion_is_signed_by_the_key_and_names_the_certificate() {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("PKCS#8");
        let der = PrivatePkcs8KeyDer::from(der.as_ref().to_vec());
        let key = rcgen::KeyPair::try_from(&der).expect("a key");
        let certificate = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        let certificate = certificate.self_signed(&key).expect("signed");
        let (pem, key) = (certificate.pem(), key.serialize_pem());

        let both = format!("{key}\n{pem}");
        let jwt = signed(&both, &both, "app", "https://sts/t", 1_000_000).expect("an assertion");
        let (text, signature) = jwt.rsplit_once('.').expect("three parts");
        let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, pair.public_key().as_ref());
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        public.verify(text.as_bytes(), &signature).expect("the key's own signature");
        let (header, claims) = text.split_once('.').expect("two parts");
        let (header, claims) = (part(header), part(claims));
        let thumb = URL_SAFE_NO_PAD.encode(Sha256::digest(certificate.der()));
        assert_eq!(header, json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": thumb }));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("app"), &json!("app")));
        assert_eq!(claims["aud"], "https://sts/t");
        assert_eq!((&claims["nbf"], &claims["exp"]), (&json!(999_940), &json!(1_000_600)));
        let again = signed(&pem, &key, "app", "https://sts/t", 1_000_000).expect("an assertion");
        let other = part(again.split('.').nth(1).expect("claims"));
        assert_ne!(other["jti"], claims["jti"]);
    }

    #[test]
    fn what_can_not_sign_is_told_without_showing_it() {
        let elliptic = rcgen::generate_simple_self_signed(["x".to_owned()]).expect("a key");
        let (pem, key) = (elliptic.cert.pem(), elliptic.signing_key.serialize_pem());
        let error = check_certificate(&pem, &key).expect_err("no RSA");
        assert!(error.contains("no RSA key"), "{error}");
        let error = check_certificate(&pem, "not a key, but secret").expect_err("no key");
        assert!(error.ends_with("no unencrypted private key in PEM"), "{error}");
        assert!(check_certificate("nothing", &key).is_err());
    }
}
