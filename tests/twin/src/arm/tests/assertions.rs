//! Assertions and certificates: taken only if they are what they say.

use aws_lc_rs::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest},
    rand::SystemRandom,
    rsa::KeyPair as RsaKey,
    signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use super::*;
use crate::world::{DirectoryChange, directory::Federated};

/// A certificate and what signs with its key.
struct Signer {
    key: RsaKey,
    pem: String,
    der: Vec<u8>,
}

impl Signer {
    fn new() -> Signer {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        let params = CertificateParams::new(vec!["app".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("signed");
        let rsa = RsaKey::from_pkcs8(&key.serialize_der()).expect("the same key");
        Signer { key: rsa, pem: certificate.pem(), der: certificate.der().to_vec() }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let text = format!("{}.{}", encode(header), encode(claims));
        let encoding: &'static dyn RsaEncoding =
            if header["alg"] == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(encoding, &random, text.as_bytes(), &mut signature).expect("signed");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The header that names the certificate.
    fn header(&self, alg: &str) -> Value {
        match alg {
            "PS256" => json!({
                "alg": alg, "typ": "JWT",
                "x5t#S256": URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.der)),
            }),
            _ => json!({
                "alg": alg, "typ": "JWT",
                "x5t": URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.der)),
            }),
        }
    }
}

impl Rig {
    fn direct(&self, change: DirectoryChange) {
        self.twin.world.with(|world| world.change_directory(change)).expect("it is known");
    }

    /// The number of the error, or 0 for a token.
    async fn assert_with(&self, assertion: &str) -> i64 {
        let arm = &self.twin.endpoints.arm;
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let form = [
            ("client_id", arm.client_id.clone()),
            ("client_assertion_type", kind.into()),
            ("client_assertion", assertion.to_owned()),
            ("grant_type", "client_credentials".into()),
            ("scope", "https://management.azure.com/.default".into()),
        ];
        let answer = self.ask_token(&form).await;
        let status = answer.status();
        let body = body(answer).await;
        match body["error_codes"][0].as_i64() {
            Some(number) => {
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
                number
            }
            None => {
                assert!(body["access_token"].is_string(), "{body}");
                0
            }
        }
    }

    fn claims(&self, jti: &str) -> Value {
        let arm = &self.twin.endpoints.arm;
        let now = self.twin.world.wall().as_second();
        json!({
            "aud": format!("{}/{}/oauth2/v2.0/token", arm.authority, arm.tenant),
            "iss": arm.client_id, "sub": arm.client_id, "jti": jti,
            "iat": now, "nbf": now - 60, "exp": now + 600,
        })
    }
}

fn with(mut claims: Value, key: &str, value: impl Into<Value>) -> Value {
    claims[key] = value.into();
    claims
}

#[tokio::test]
async fn a_certificate_proves_an_application_by_its_signature() {
    let rig = Rig::start().await;
    let (own, other) = (Signer::new(), Signer::new());
    let application = rig.twin.endpoints.arm.client_id.clone();
    let early = own.sign(&own.header("PS256"), &rig.claims("0"));
    assert_eq!(rig.assert_with(&early).await, 700_027, "it is not registered");
    let certificate = own.pem.clone();
    rig.direct(DirectoryChange::AddCertificate { application: application.clone(), certificate });
    for alg in ["PS256", "RS256"] {
        let right = own.sign(&own.header(alg), &rig.claims(alg));
        assert_eq!(rig.assert_with(&right).await, 0, "{alg}");
        assert_eq!(rig.assert_with(&right).await, 50_013, "{alg}: once is enough");
        let foreign = other.sign(&own.header(alg), &rig.claims("x"));
        assert_eq!(rig.assert_with(&foreign).await, 700_027, "{alg}: another key signed it");
    }
    let now = rig.twin.world.wall().as_second();
    let header = own.header("PS256");
    for (key, value, number) in [
        ("aud", json!("https://login.example/"), 700_023),
        ("sub", json!("somebody"), 700_021),
        ("exp", json!(now - 400), 700_024),
        ("exp", json!(now + 90_000), 700_024),
        ("nbf", json!(now + 400), 700_024),
        ("jti", Value::Null, 50_027),
    ] {
        let wrong = own.sign(&header, &with(rig.claims(key), key, value));
        assert_eq!(rig.assert_with(&wrong).await, number, "{key}");
    }
    let none = own.sign(&json!({ "alg": "none" }), &rig.claims("n"));
    assert_eq!(rig.assert_with(&none).await, 5_002_738);
    for text in ["", "a.b", "a.b.c", &"x".repeat(20_000)] {
        assert_eq!(rig.assert_with(text).await, 50_027, "{text:.9}");
    }
    rig.direct(DirectoryChange::RemoveCertificates { application });
    let late = own.sign(&header, &rig.claims("late"));
    assert_eq!(rig.assert_with(&late).await, 700_027);
}

#[tokio::test]
async fn another_issuer_is_believed_for_its_subject_only() {
    let rig = Rig::start().await;
    let (issuer, other) = (Signer::new(), Signer::new());
    let credential = Federated {
        issuer: "https://issuer.example".into(),
        subject: "system:serviceaccount:dr:agent".into(),
        certificate: issuer.pem.clone(),
    };
    let application = rig.twin.endpoints.arm.client_id.clone();
    rig.direct(DirectoryChange::Federate { application, credential: credential.clone() });
    let now = rig.twin.world.wall().as_second();
    let claims = json!({
        "aud": "api://AzureADTokenExchange", "iss": credential.issuer, "sub": credential.subject,
        "iat": now, "exp": now + 600,
    });
    let header = json!({ "alg": "RS256", "kid": "1" });
    let right = issuer.sign(&header, &claims);
    // A projected token is shown again and again until it is renewed.
    assert_eq!(rig.assert_with(&right).await, 0);
    assert_eq!(rig.assert_with(&right).await, 0);
    assert_eq!(rig.assert_with(&other.sign(&header, &claims)).await, 50_013);
    for (key, value, number) in [
        ("iss", json!("https://other.example"), 700_211),
        ("sub", json!("system:serviceaccount:dr:other"), 700_213),
        ("aud", json!("https://kubernetes.default"), 700_212),
        ("exp", json!(now - 400), 700_024),
    ] {
        let wrong = issuer.sign(&header, &with(claims.clone(), key, value));
        assert_eq!(rig.assert_with(&wrong).await, number, "{key}");
    }
}

#[tokio::test]
async fn a_secret_can_be_replaced_and_an_application_disabled() {
    let rig = Rig::start().await;
    let arm = &rig.twin.endpoints.arm;
    let application = || arm.client_id.clone();
    let number = async |secret: &str| {
        let mut form = rig.client_form();
        form.retain(|(key, _)| *key != "client_secret");
        form.push(("client_secret", secret.to_owned()));
        body(rig.ask_token(&form).await).await["error_codes"][0].as_i64().unwrap_or(0)
    };
    let new = || "another-one".to_owned();
    rig.direct(DirectoryChange::AddSecret { application: application(), secret: new() });
    assert_eq!((number(&arm.client_secret).await, number("another-one").await), (0, 0));
    let old = arm.client_secret.clone();
    rig.direct(DirectoryChange::RemoveSecret { application: application(), secret: old });
    assert_eq!((number(&arm.client_secret).await, number("another-one").await), (7_000_215, 0));
    rig.direct(DirectoryChange::ExpireSecret { application: application(), secret: new() });
    assert_eq!(number("another-one").await, 7_000_222);
    let disabled = true;
    rig.direct(DirectoryChange::DisableApplication { application: application(), disabled });
    assert_eq!(number("another-one").await, 7_000_112);
}
