//! One recording against a twin in the same situation.
//!
//! The names of a recording (subscription, resource group, region, host) are put in the place of
//! the twin's before anything is compared; what is left is compared word by word, but for what is
//! listed in `difference`.

use std::collections::BTreeMap;

use reqwest::{Certificate, Client, Method, Response, header::HeaderMap};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use twin::{
    serve::{Twin, TwinOptions},
    world::{InstanceSpec, PreparedSpec, WorldSpec},
};

use crate::difference::Difference;

/// Counters of Azure's limits: there, and a number.
const COUNTERS: &str = "x-ms-ratelimit-remaining-";

/// Polls of one operation, a tick of the twin apart.
const MOST_POLLS: usize = 2000;

#[derive(Deserialize)]
pub(crate) struct Recording {
    recorded: String,
    exchanges: Vec<Exchange>,
}

#[derive(Deserialize)]
struct Exchange {
    n: u32,
    request: Request,
    response: Answer,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    body: Option<Value>,
}

#[derive(Deserialize)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Option<Value>,
}

/// What the twin is brought into before a recording is replayed.
#[derive(Clone, Copy)]
pub(crate) struct Situation {
    /// The file.
    pub(crate) file: &'static str,
    /// The managed instance, and the number in its full name.
    pub(crate) instance: (&'static str, &'static str),
    /// Its databases.
    pub(crate) databases: &'static [&'static str],
    /// What SQL Server's administrator has made: the link's name, and both groups'.
    pub(crate) groups: Option<(&'static str, &'static str, &'static str)>,
    /// Its collation.
    pub(crate) collation: &'static str,
    /// Another managed instance beside it, and an alias in DNS that the first one has.
    pub(crate) alias: Option<(&'static str, &'static str)>,
    /// A certificate that it trusts.
    pub(crate) certificate: Option<&'static str>,
    /// Settings that differ from those of a new instance.
    pub(crate) settings: Option<fn() -> Value>,
    /// Fields that hold a certificate of the instance's own.
    pub(crate) own: &'static [&'static str],
    /// From this exchange on, the resource group is gone.
    pub(crate) no_group_from: Option<u32>,
    /// Exchanges that the twin does not model, and why.
    pub(crate) left_out: &'static [(u32, u32, &'static str)],
}

/// Compared and left out.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) compared: usize,
    pub(crate) left_out: usize,
}

struct Stage {
    twin: Twin,
    http: Client,
    token: String,
    group: String,
    location: String,
    /// The twin's operation ids by those of the recording, and where they are polled and end.
    operations: BTreeMap<String, (String, [String; 2])>,
    _folder: TempDir,
}

pub(crate) async fn replay(situation: &Situation, recording: &Recording) -> Tally {
    let mut stage = Stage::set(situation, recording).await;
    let mut tally = Tally::default();
    let difference = Difference { recorded: &recording.recorded, own: situation.own };
    for exchange in &recording.exchanges {
        let left_out =
            situation.left_out.iter().any(|(from, to, _)| (*from..=*to).contains(&exchange.n));
        if left_out {
            tally.left_out += 1;
            continue;
        }
        let gone = situation.no_group_from.is_some_and(|from| exchange.n >= from);
        let place = format!("{}, exchange {}", situation.file, exchange.n);
        stage.compare(exchange, &difference, gone, &place).await;
        tally.compared += 1;
    }
    stage.twin.shutdown().await;
    tally
}

impl Stage {
    async fn set(situation: &Situation, recording: &Recording) -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        let options = TwinOptions {
            spec: spec(situation),
            seed: 7,
            speed: 5.0,
            directory: folder.path().to_owned(),
        };
        let twin = Twin::start(options).await.expect("it starts");
        let ca = std::fs::read(&twin.endpoints.ca).expect("the authority");
        let ca = Certificate::from_pem(&ca).expect("PEM");
        let http = Client::builder().tls_certs_only([ca]).build().expect("a client");
        let arm = twin.endpoints.arm.clone();
        let form = [
            ("client_id", arm.client_id.as_str()),
            ("client_secret", arm.client_secret.as_str()),
            ("grant_type", "client_credentials"),
            ("scope", "https://management.azure.com/.default"),
        ];
        let url = format!("{}/{}/oauth2/v2.0/token", arm.authority, arm.tenant);
        let answer = http.post(url).form(&form).send().await.expect("an answer");
        let token: Value = answer.json().await.expect("JSON");
        let token = token["access_token"].as_str().expect("a token").to_owned();
        let all = recording.exchanges.iter();
        let group = all.clone().find_map(|one| segment(&one.request.path, "resourceGroups"));
        let location = all.clone().find_map(|one| segment(&one.request.path, "locations"));
        let told = all.filter_map(|one| one.response.body.as_ref()?["location"].as_str());
        let location = location.or_else(|| told.map(str::to_owned).next());
        let mut stage = Stage {
            twin,
            http,
            token,
            group: group.unwrap_or_default(),
            location: location.unwrap_or_else(|| "westeurope".to_owned()),
            operations: BTreeMap::new(),
            _folder: folder,
        };
        stage.prepare(situation).await;
        stage
    }

    /// What an administrator had done before the recording began.
    async fn prepare(&mut self, situation: &Situation) {
        let arm = &self.twin.endpoints.arm;
        let instance = format!(
            "{}/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Sql/managedInstances/{}",
            arm.base_url, arm.subscription, arm.resource_group, situation.instance.0
        );
        if let Some(settings) = situation.settings {
            let url = format!("{instance}?api-version=2025-01-01");
            self.settle(Method::PATCH, &url, settings()).await;
        }
        if let Some((_, alias)) = situation.alias {
            let url = format!("{instance}/dnsAliases/{alias}?api-version=2025-01-01");
            self.settle(Method::PUT, &url, json!({ "createDnsRecord": true })).await;
        }
        if let Some(name) = situation.certificate {
            let der = self.shown();
            let blob: String = der.iter().map(|byte| format!("{byte:02X}")).collect();
            let url = format!("{instance}/serverTrustCertificates/{name}?api-version=2025-01-01");
            let body = json!({ "properties": { "publicBlob": format!("0x{blob}") } });
            self.settle(Method::PUT, &url, body).await;
        }
    }

    /// The certificate that the recorded SQL Server shows at its endpoint, DER.
    fn shown(&self) -> Vec<u8> {
        self.twin.world.with(|world| {
            let setup = world.instance("recorded").expect("it is in the world").setup();
            let endpoint = setup.endpoint.as_ref().expect("it has an endpoint");
            let name = endpoint.certificate.as_ref().expect("with a certificate");
            setup.certificates[name].blob.clone().expect("it was made there")
        })
    }

    async fn settle(&self, method: Method, url: &str, body: Value) {
        let answer = self.ask(method, url, Some(&body)).await;
        assert_eq!(answer.status().as_u16(), 202, "{url}");
        let poll = answer.headers()["azure-asyncoperation"].to_str().expect("text").to_owned();
        let ended = self.ended(&poll).await;
        assert_eq!(ended.1["status"], "Succeeded", "{url}");
    }

    async fn ask(&self, method: Method, url: &str, body: Option<&Value>) -> Response {
        let request = self.http.request(method, url).bearer_auth(&self.token);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        request.send().await.expect("an answer")
    }

    /// Polls until the operation has ended; the time that takes is nothing to compare, but it does
    /// end.
    async fn ended(&self, poll: &str) -> (HeaderMap, Value) {
        let mut ticks = self.twin.world.ticks();
        for _ in 0..MOST_POLLS {
            let answer = self.ask(Method::GET, poll, None).await;
            let headers = answer.headers().clone();
            let body: Value = answer.json().await.expect("JSON");
            if body["status"] != "InProgress" {
                return (headers, body);
            }
            ticks.changed().await.expect("the twin ticks");
        }
        panic!("{poll} is in progress after {MOST_POLLS} polls");
    }

    async fn compare(
        &mut self,
        exchange: &Exchange,
        difference: &Difference<'_>,
        gone: bool,
        place: &str,
    ) {
        let expected = &exchange.response;
        let request = &exchange.request;
        let operation = request.path.rsplit('/').next().unwrap_or_default().to_owned();
        if let Some((_, [poll, result])) = self.operations.get(&operation) {
            if request.path.contains("OperationResults") {
                let answer = self.ask(Method::GET, result, None).await;
                assert_eq!(answer.status().as_u16(), expected.status, "{place}");
                let body = self.renamed(answer.json().await.expect("JSON"));
                let wanted = expected.body.clone().unwrap_or(Value::Null);
                assert_eq!(difference.find(&wanted, &body, ""), None, "{place}");
                return;
            }
            let (headers, body) = if expected.body.as_ref().is_some_and(in_progress) {
                let answer = self.ask(Method::GET, poll, None).await;
                assert_eq!(answer.status().as_u16(), expected.status, "{place}");
                (answer.headers().clone(), answer.json().await.expect("JSON"))
            } else {
                self.ended(poll).await
            };
            let mut body = self.renamed(body);
            // How often it is still in progress is time.
            if expected.body.as_ref().is_some_and(in_progress) {
                body["status"] = json!("InProgress");
            }
            self.headers(expected, &headers, place);
            let wanted = expected.body.clone().unwrap_or(Value::Null);
            let problem = difference.find(&wanted, &body, "");
            assert_eq!(problem, None, "{place}");
            return;
        }
        let mut problem = String::new();
        let mut ticks = self.twin.world.ticks();
        // What is read may need some moments to become what was read then.
        for _ in 0..200 {
            let url = self.url(request, gone);
            let method: Method = request.method.parse().expect("a method");
            let answer = self.ask(method, &url, request.body.as_ref()).await;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let body: Value = answer.json().await.unwrap_or(Value::Null);
            assert_eq!(status, expected.status, "{place}: {body}");
            self.remember(expected, &headers);
            self.headers(expected, &headers, place);
            let body = self.renamed(body);
            let wanted = expected.body.clone().unwrap_or(Value::Null);
            let Some(found) = difference.find(&wanted, &body, "") else { return };
            problem = found;
            if request.method != "GET" {
                break;
            }
            ticks.changed().await.expect("the twin ticks");
        }
        panic!("{place}: {problem}");
    }

    /// Every header of the recording has to be there. The recorder has left out `Retry-After`,
    /// `-reads` and the request ids, which our own tests state.
    fn headers(&self, expected: &Answer, headers: &HeaderMap, place: &str) {
        for (name, wanted) in &expected.headers {
            let value = headers.get(name).unwrap_or_else(|| panic!("{place}: no header {name}"));
            let value = self.renamed(json!(value.to_str().expect("text")));
            let value = value.as_str().unwrap_or_default();
            if name.starts_with(COUNTERS) {
                assert!(value.parse::<u32>().is_ok(), "{place}: {name} is {value}");
            } else if name == "location" || name == "azure-asyncoperation" {
                assert_eq!(like(value), like(wanted), "{place}: {name}");
            } else {
                assert_eq!(value, wanted, "{place}: {name}");
            }
        }
    }

    fn remember(&mut self, expected: &Answer, headers: &HeaderMap) {
        let id = |url: &str| {
            let path = url.split('?').next().unwrap_or_default();
            path.rsplit('/').next().unwrap_or_default().to_owned()
        };
        let recorded = expected.headers.get("azure-asyncoperation");
        let own = ["azure-asyncoperation", "location"]
            .map(|name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned));
        if let (Some(recorded), [Some(poll), Some(result)]) = (recorded, own) {
            self.operations.insert(id(recorded), (id(&poll), [poll, result]));
        }
    }

    /// The recording's address in the twin.
    fn url(&self, request: &Request, gone: bool) -> String {
        let arm = &self.twin.endpoints.arm;
        let group = if gone { self.group.as_str() } else { &arm.resource_group };
        let path = request
            .path
            .replace("00000000-0000-0000-0000-000000000000", &arm.subscription)
            .replace(&format!("/{}/", self.group), &format!("/{group}/"));
        let version = request.query.get("api-version").map(String::as_str).unwrap_or_default();
        format!("{}{path}?api-version={version}", arm.base_url)
    }

    /// The twin's words with the names of the recording.
    fn renamed(&self, value: Value) -> Value {
        let arm = &self.twin.endpoints.arm;
        let mut text = value.to_string();
        for (own, recorded) in [
            (arm.base_url.as_str(), "https://management.azure.com"),
            (&arm.subscription, "00000000-0000-0000-0000-000000000000"),
            (&arm.resource_group, &self.group),
            ("westeurope", &self.location),
        ] {
            text = text.replace(own, recorded);
        }
        for (recorded, (own, _)) in &self.operations {
            text = text.replace(own, recorded);
        }
        serde_json::from_str(&text).expect("JSON still")
    }
}

/// A URL of an operation without what is signed into it: its path, and its parameters with how
/// long they are. That of the certificate (`c`) was another in summer 2024 than in autumn.
fn like(url: &str) -> (String, Vec<(String, usize)>) {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let parameters = query.split('&').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let placeholder = value.strip_prefix('<').and_then(|text| text.split(' ').nth(2));
        let length = placeholder.and_then(|text| text.parse().ok()).unwrap_or(value.len());
        (name.to_owned(), if name == "c" { length / 500 } else { length })
    });
    (path.to_owned(), parameters.collect())
}

fn in_progress(body: &Value) -> bool {
    body["status"] == "InProgress"
}

fn segment(path: &str, name: &str) -> Option<String> {
    let mut segments = path.split('/');
    segments.find(|segment| *segment == name)?;
    segments.next().map(str::to_owned)
}

/// The usual pair, out of the way, and beside it the instances of the recording.
fn spec(situation: &Situation) -> WorldSpec {
    let mut spec = WorldSpec::default();
    let [sql, managed] = [0, 1].map(|place| spec.instances[place].clone());
    spec.instances[0].endpoint = Some("TCP://10.0.9.9:5022".to_owned());
    let (name, number) = situation.instance;
    let prepared = |(link, group, partner_group): &(&str, &str, &str)| PreparedSpec {
        link: (*link).to_owned(),
        group: (*group).to_owned(),
        databases: Vec::new(),
        partner: format!("{name}.{number}.database.windows.net"),
        partner_group: (*partner_group).to_owned(),
    };
    spec.instances.push(InstanceSpec {
        name: "recorded".to_owned(),
        server_name: "WWI-2022-SQL02".to_owned(),
        prepared: situation.groups.iter().map(prepared).collect(),
        ..sql
    });
    spec.instances.push(InstanceSpec {
        name: name.to_owned(),
        server_name: format!("{name}.{number}.database.windows.net"),
        collation: situation.collation.to_owned(),
        databases: situation.databases.iter().map(|name| (*name).to_owned()).collect(),
        ..managed
    });
    if let Some((name, _)) = situation.alias {
        let beside = spec.instances.last().cloned().expect("the one just made");
        let server_name = format!("{name}.{number}.database.windows.net");
        spec.instances.push(InstanceSpec { name: name.to_owned(), server_name, ..beside });
    }
    spec
}
