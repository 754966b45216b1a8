//! Tokens of Entra, by a real client: who comes in, and what everybody else hears.

use tempfile::TempDir;
use tiberius::{AuthMethod, Config, EncryptionLevel};
use twin::serve::{Twin, TwinOptions};
use twin::world::setup::{Change, LoginChange};
use twin::world::{Fault, Proof, WorldSpec};

use crate::door::{Connection, MI, PATIENCE, SQL, connect, text};

struct Rig {
    twin: Twin,
    http: reqwest::Client,
    _directory: TempDir,
}

impl Rig {
    async fn start(spec: WorldSpec) -> Rig {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_owned();
        let options = TwinOptions { spec, seed: 3, speed: 1.0, directory: path };
        let twin = Twin::start(options).await.expect("it starts");
        let ca = std::fs::read(&twin.endpoints.ca).expect("the authority");
        let ca = reqwest::Certificate::from_pem(&ca).expect("PEM");
        let http = reqwest::Client::builder().tls_certs_only([ca]).timeout(PATIENCE);
        Rig { twin, http: http.build().expect("a client"), _directory: directory }
    }

    async fn token(&self, resource: &str) -> String {
        let arm = &self.twin.endpoints.arm;
        let form = [
            ("client_id", arm.client_id.clone()),
            ("client_secret", arm.client_secret.clone()),
            ("grant_type", "client_credentials".into()),
            ("scope", format!("{resource}.default")),
        ];
        let url = format!("{}/{}/oauth2/v2.0/token", arm.authority, arm.tenant);
        let answer = self.http.post(url).form(&form).send().await.expect("an answer");
        let body: serde_json::Value = answer.json().await.expect("JSON");
        body["access_token"].as_str().expect("a token").to_owned()
    }

    async fn log_in(&self, at: &str, how: AuthMethod) -> tiberius::Result<Connection> {
        let mut config = Config::new();
        config.host("localhost");
        config.port(self.twin.endpoints.instances[at].port);
        config.authentication(how);
        config.encryption(EncryptionLevel::Required);
        config.trust_cert_ca(self.twin.endpoints.ca.display());
        config.handshake_timeout(Some(PATIENCE));
        connect(config).await
    }

    /// Number and state of the refusal, and what it says.
    async fn refusal(&self, at: &str, token: &str) -> (u32, u8, String) {
        match self.log_in(at, AuthMethod::aad_token(token)).await {
            Err(tiberius::error::Error::Server(error)) => {
                (error.code(), error.state(), error.message().to_owned())
            }
            Err(other) => panic!("not from the server: {other}"),
            Ok(_) => panic!("it was let in"),
        }
    }
}

const DATABASE: &str = "https://database.windows.net/";

#[tokio::test]
async fn a_token_for_the_database_opens_both_sides() {
    let rig = Rig::start(WorldSpec::default()).await;
    let token = rig.token(DATABASE).await;
    for at in [SQL, MI] {
        let mut client = rig.log_in(at, AuthMethod::aad_token(&token)).await.expect("let in");
        assert_eq!(text(&mut client, "SELECT SUSER_SNAME()").await, "dr-agent");
    }
    let told = rig.twin.world.with(|world| {
        world.entries().map(|entry| (entry.proof, entry.refused)).collect::<Vec<_>>()
    });
    assert_eq!(told, [(Proof::Token, None); 2]);
}

#[tokio::test]
async fn any_other_token_is_refused_with_its_reason() {
    let mut spec = WorldSpec::default();
    spec.instances[0].product_version = "15.0.4335.1".into();
    let rig = Rig::start(spec).await;
    let wrong = "Login failed for user '<token-identified principal>'. Incorrect or invalid token.";
    let refused = |state, text: &str| (18_456, state, text.to_owned());
    let other = rig.token("https://management.azure.com/").await;
    assert_eq!(rig.refusal(MI, &other).await, refused(1, wrong));
    assert_eq!(rig.refusal(MI, "a.b.c").await, refused(1, wrong));
    let long = "x".repeat(9_000);
    assert_eq!(rig.refusal(MI, &long).await, refused(1, wrong), "it needs several packets");

    let right = rig.token(DATABASE).await;
    assert_eq!(rig.refusal(SQL, &right).await, refused(1, "Login failed for user ''."), "2019");
    let change = LoginChange::Refused(Some(18_470));
    let change = Change::Login { login: "dr-agent".into(), change };
    rig.twin.world.with(|world| world.set_up(MI, change)).expect("known");
    let disabled = "Login failed for user 'dr-agent'. Reason: The account is disabled.";
    assert_eq!(rig.refusal(MI, &right).await, (18_470, 1, disabled.to_owned()));

    rig.twin.world.with(|world| world.fault(Fault::TokenLifetime { s: 0 })).expect("known");
    let old = rig.token(DATABASE).await;
    let text = "Login failed for user '<token-identified principal>'. Token is expired.";
    assert_eq!(rig.refusal(MI, &old).await, refused(233, text));
}

#[tokio::test]
async fn a_password_is_changed_while_others_are_logged_in() {
    let rig = Rig::start(WorldSpec::default()).await;
    let endpoint = &rig.twin.endpoints.instances[SQL];
    let with = |password: &str| AuthMethod::sql_server(&endpoint.user, password);
    let mut open = rig.log_in(SQL, with(&endpoint.password)).await.expect("let in");
    let alter = "ALTER LOGIN [dr_agent] WITH PASSWORD = N'An0ther-one'";
    open.simple_query(alter).await.expect("it is sent").into_results().await.expect("changed");
    assert_eq!(text(&mut open, "SELECT SUSER_SNAME()").await, "dr_agent", "who is in stays in");
    let old = rig.log_in(SQL, with(&endpoint.password)).await.map(drop).expect_err("the old one");
    assert_eq!(old.code(), Some(18_456));
    rig.log_in(SQL, with("An0ther-one")).await.expect("the new one");
    // A Windows account and an application are no logins with a password of the instance.
    for user in [r"TWIN\dr_agent", "dr-agent"] {
        let refused = rig.log_in(SQL, AuthMethod::sql_server(user, "")).await.map(drop);
        assert_eq!(refused.expect_err("refused").code(), Some(18_456), "{user}");
    }
}
