//! Who the agent is to Entra other than by a secret: a certificate, another issuer's token, the
//! identity that its host is given. No secret is left that could help; each of them looks and acts,
//! and what is a file is replaced under the running agent.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lab::{setup::Setup, twin::Twin};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize, SigningKey as _};
use serde_json::{Value, json};
use toml::Value as Setting;
use twin::world::{DirectoryChange, Fault, directory::Federated};

use crate::{
    logins::{secret, set, table},
    planned::wish,
    rig::{MI, Rig, SQL},
    rotation::{came_in, goes_on, logs_in},
};

const PEM: &str = "app.pem";
const TOKEN: &str = "projected-token";
const ISSUER: &str = "https://issuer.example";
const SUBJECT: &str = "system:serviceaccount:dr:agent";
/// Clocks may differ by this at the token service.
const SKEW_S: i64 = 300;

/// A key and its certificate.
struct Signer {
    key: KeyPair,
    certificate: String,
}

impl Signer {
    fn new() -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        let params = CertificateParams::new(vec!["app".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("signed").pem();
        Self { key, certificate }
    }

    /// Both in one file, so that they are replaced at once.
    fn file(&self) -> String {
        format!("{}{}", self.certificate, self.key.serialize_pem())
    }

    /// The token of an issuer, good until `end`.
    fn token(&self, now: i64, end: i64) -> String {
        let claims = json!({
            "aud": "api://AzureADTokenExchange", "iss": ISSUER, "sub": SUBJECT,
            "iat": now, "exp": end,
        });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let text = format!("{}.{}", encode(&json!({ "alg": "RS256" })), encode(&claims));
        let signature = self.key.sign(text.as_bytes()).expect("signed");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Both the control plane and the managed instance are asked with this identity.
fn identity<const N: usize>(setup: &mut Setup, twin: &Twin, more: [(&str, Setting); N]) {
    let arm = &twin.endpoints.arm;
    let mut credential = table([
        ("authority", arm.authority.clone().into()),
        ("client_id", arm.client_id.clone().into()),
        ("tenant", arm.tenant.clone().into()),
    ]);
    let own = credential.as_table_mut().expect("a table");
    own.extend(more.map(|(key, value)| (key.to_owned(), value)));
    if own["kind"].as_str() == Some("managed_identity") {
        own.remove("tenant");
    }
    set(setup, "managed_instances.0.arm.credential", credential);
    set(setup, "managed_instances.0.login", table([("entra", true.into())]));
}

/// A rig whose tokens live for 20 s and whose application has no secret any more.
fn cold(seed: u64, prepare: fn(&mut Setup, &Twin)) -> Rig {
    let mut wish = wish(seed, SQL);
    wish.prepare = Some(prepare);
    let rig = Rig::cold(wish);
    rig.fault(&Fault::TokenLifetime { s: 20 });
    let secret = rig.twin.endpoints.arm.client_secret.clone();
    direct(&rig, DirectoryChange::RemoveSecret { application: application(&rig), secret });
    rig
}

fn application(rig: &Rig) -> String {
    rig.twin.endpoints.arm.client_id.clone()
}

fn direct(rig: &Rig, change: DirectoryChange) {
    rig.twin.direct(&change).expect("the directory changes");
}

#[test]
fn a_certificate_is_the_identity_and_is_replaced_without_a_restart() {
    let mut rig = cold(96, |setup, twin| {
        let kind = ("kind", "client_certificate".into());
        identity(setup, twin, [kind, ("certificate", PEM.into()), ("private_key", secret(PEM))]);
    });
    let add = |rig: &Rig, signer: &Signer| {
        let certificate = signer.certificate.clone();
        direct(rig, DirectoryChange::AddCertificate { application: application(rig), certificate });
    };
    let (first, second) = (Signer::new(), Signer::new());
    rig.secret(PEM, &first.file());
    add(&rig, &first);
    rig.start();
    rig.wait_health("healthy");
    add(&rig, &second);
    rig.rewrite(PEM, &second.file());
    direct(&rig, DirectoryChange::RemoveCertificates { application: application(&rig) });
    add(&rig, &second);
    // The last token of the first one is gone by then.
    logs_in(&rig, MI, came_in(&rig, MI) + 6);
    goes_on(&rig);
}

#[test]
fn another_issuers_token_is_the_identity_and_is_read_again() {
    let mut rig = cold(97, |setup, twin| {
        let kind = ("kind", "client_assertion".into());
        identity(setup, twin, [kind, ("token_file", TOKEN.into())]);
    });
    let issuer = Signer::new();
    let (issuer_name, subject) = (ISSUER.to_owned(), SUBJECT.to_owned());
    let certificate = issuer.certificate.clone();
    let credential = Federated { issuer: issuer_name, subject, certificate };
    direct(&rig, DirectoryChange::Federate { application: application(&rig), credential });
    let now = || {
        let state = rig.twin.state().expect("the twin shows its state");
        let now = state["now"].as_str().and_then(|now| now.parse::<jiff::Timestamp>().ok());
        now.expect("the twin has a clock").as_second()
    };
    // One that is about to be taken by nobody any more.
    let at = now();
    rig.secret(TOKEN, &issuer.token(at, at - SKEW_S + 15));
    let fresh = issuer.token(at, at + 3_600);
    rig.start();
    rig.wait_health("healthy");
    rig.rewrite(TOKEN, &fresh);
    logs_in(&rig, MI, came_in(&rig, MI) + 6);
    goes_on(&rig);
}

#[test]
fn the_identity_of_the_host_is_enough() {
    let mut rig = cold(98, |setup, twin| {
        identity(setup, twin, [("kind", "managed_identity".into())]);
    });
    let service = rig.twin.endpoints.managed_identity.clone();
    rig.environment("IDENTITY_ENDPOINT", &service.endpoint);
    rig.environment("IDENTITY_HEADER", &service.header);
    rig.start();
    rig.wait_health("healthy");
    logs_in(&rig, MI, came_in(&rig, MI) + 3);
    goes_on(&rig);
}
