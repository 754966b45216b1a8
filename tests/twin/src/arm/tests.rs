//! The door over real HTTPS: status, headers and bodies of each situation.

mod assertions;
mod lifecycle;
mod links;
mod machine;
mod neighbours;
mod settings;
mod tokens;
mod trouble;

use std::time::Duration;

use reqwest::{Certificate, Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    serve::{Twin, TwinOptions},
    world::{Fault, WorldSpec},
};

const API: &str = "2025-01-01";

pub(super) struct Rig {
    pub(super) twin: Twin,
    pub(super) http: Client,
    pub(super) token: String,
    pub(super) directory: TempDir,
}

impl Rig {
    /// A twin whose time runs twenty times as fast, and a client that trusts it.
    pub(super) async fn start() -> Rig {
        Rig::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut WorldSpec)) -> Rig {
        let mut spec = WorldSpec::default();
        change(&mut spec);
        let directory = tempfile::tempdir().expect("a directory");
        let options =
            TwinOptions { spec, seed: 5, speed: 20.0, directory: directory.path().to_owned() };
        let twin = Twin::start(options).await.expect("it starts");
        let ca = std::fs::read(&twin.endpoints.ca).expect("the authority");
        let http = Client::builder()
            .tls_certs_only([Certificate::from_pem(&ca).expect("PEM")])
            .timeout(Duration::from_secs(20))
            .build()
            .expect("a client");
        let mut rig = Rig { twin, http, token: String::new(), directory };
        let body = body(rig.ask_token(&rig.client_form()).await).await;
        rig.token = body["access_token"].as_str().expect("a token").to_owned();
        rig
    }

    pub(super) fn client_form(&self) -> Vec<(&'static str, String)> {
        let arm = &self.twin.endpoints.arm;
        vec![
            ("client_id", arm.client_id.clone()),
            ("client_secret", arm.client_secret.clone()),
            ("grant_type", "client_credentials".into()),
            ("scope", "https://management.azure.com/.default".into()),
        ]
    }

    pub(super) async fn ask_token(&self, form: &[(&str, String)]) -> Response {
        let arm = &self.twin.endpoints.arm;
        let url = format!("{}/{}/oauth2/v2.0/token", arm.authority, arm.tenant);
        self.http.post(url).form(form).send().await.expect("an answer")
    }

    pub(super) fn instance_path(&self) -> String {
        let arm = &self.twin.endpoints.arm;
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Sql/managedInstances/{}",
            arm.subscription, arm.resource_group, arm.instance
        )
    }

    pub(super) fn link_path(&self) -> String {
        let link = &self.twin.endpoints.arm.link;
        format!("{}/distributedAvailabilityGroups/{link}", self.instance_path())
    }

    /// GET with another api-version; the body too.
    pub(super) async fn at(&self, path: &str, version: &str) -> (u16, Value) {
        let path = format!("{path}?api-version={version}");
        let answer = self.send(Method::GET, &path, None).await;
        (answer.status().as_u16(), body(answer).await)
    }

    /// A request of the newest stable api-version with a body.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        self.send(method, &format!("{path}?api-version={API}"), body).await
    }

    /// A request that must be accepted: its `operation`, and how that ended.
    pub(super) async fn done(
        &self,
        method: Method,
        path: &str,
        sent: Option<Value>,
    ) -> (String, Value) {
        let answer = self.ask(method, path, sent).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let poll = header(&answer, "azure-asyncoperation");
        let name = body(answer).await["operation"].as_str().expect("a name").to_owned();
        (name, self.settle(&poll).await)
    }

    pub(super) async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, &format!("{path}?api-version={API}"), None).await
    }

    pub(super) async fn get_url(&self, url: &str) -> Response {
        self.http.get(url).bearer_auth(&self.token).send().await.expect("an answer")
    }

    pub(super) async fn fail_over(&self, kind: &str) -> Response {
        let path = format!("{}/failover?api-version={API}", self.link_path());
        self.send(Method::POST, &path, Some(json!({ "failoverType": kind }))).await
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let url = format!("{}{path}", self.twin.endpoints.arm.base_url);
        let request = self.http.request(method, url).bearer_auth(&self.token);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        request.send().await.expect("an answer")
    }

    pub(super) fn fault(&self, fault: Fault) {
        self.twin.world.with(|world| world.fault(fault)).expect("it names what exists");
        self.twin.world.wake();
    }

    /// Polls until the operation has ended and gives the last body.
    pub(super) async fn settle(&self, poll: &str) -> Value {
        let mut ticks = self.twin.world.ticks();
        for _ in 0..1_000 {
            let answer = self.get_url(poll).await;
            assert_eq!(answer.status(), StatusCode::OK, "a poll is always 200");
            assert_eq!(header(&answer, "retry-after"), "1", "15 s at twenty times the speed");
            let body = body(answer).await;
            if body["status"] != "InProgress" {
                return body;
            }
            ticks.changed().await.expect("the twin ticks");
        }
        panic!("the operation did not end");
    }
}

pub(super) fn header(answer: &Response, name: &str) -> String {
    let value = answer.headers().get(name).unwrap_or_else(|| panic!("no header {name}"));
    value.to_str().expect("text").to_owned()
}

pub(super) async fn body(answer: Response) -> Value {
    answer.json().await.expect("JSON")
}

/// Status, code and whether ARM itself said it.
pub(super) async fn error(answer: Response) -> (u16, String, bool) {
    let status = answer.status().as_u16();
    let gateway = answer.headers().get("x-ms-failure-cause").is_some_and(|v| v == "gateway");
    let body = body(answer).await;
    assert!(body["error"]["message"].is_string(), "{body}");
    let code = body["error"]["code"].as_str().expect("a code").to_owned();
    (status, code, gateway)
}
