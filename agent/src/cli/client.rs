//! The agent's API as the command line asks it. Every wait has a limit.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use reqwest::{Certificate, Method, StatusCode, Url, redirect};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::exit::Failure;
use crate::config;

/// Where the daemon's file is looked for if nobody says.
pub(super) const CONFIG_PATH: &str = "/etc/dr-agent/agent.toml";
/// Where an agent listens if nothing else is configured.
const DEFAULT_URL: &str = "http://127.0.0.1:8420";
/// Bytes of an answer that are read; a page of the journal has some hundred KB.
const LARGEST: usize = 64 * 1024 * 1024;
/// For name resolution, TCP and TLS.
const CONNECT: Duration = Duration::from_secs(5);

/// How to reach the agent.
#[derive(Clone, Debug, Args)]
pub struct Connection {
    /// Configuration file of the agent [default: /etc/dr-agent/agent.toml]
    #[arg(long, global = true, env = "DR_AGENT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address of the agent [default: from the configuration file, else http://127.0.0.1:8420]
    #[arg(long, global = true, env = "DR_AGENT_URL")]
    pub url: Option<String>,
    /// File with the token for it [default: from the configuration file, with its address]
    #[arg(long, global = true, env = "DR_AGENT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// PEM of the authorities to believe instead of those of the operating system
    #[arg(long, global = true, env = "DR_AGENT_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Seconds to wait for an answer
    #[arg(long, global = true, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout: u64,
}

/// A connection to one agent.
pub(super) struct Client {
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    base: Url,
    token: Option<probes::Secret>,
}

/// The one shape of the API's errors.
#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorWords,
}

#[derive(Deserialize)]
struct ErrorWords {
    code: String,
    message: String,
    refusal: Option<Value>,
}

impl Connection {
    /// The configuration file, if one is named or is where it is looked for.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        let default = || Some(PathBuf::from(CONFIG_PATH)).filter(|path| path.exists());
        self.config.clone().or_else(default)
    }

    /// Makes ready to ask. Nothing is sent yet.
    pub(super) fn open(&self) -> Result<Client, Failure> {
        let (url, token_file) = self.door()?;
        let base = base_url(&url)?;
        let token = token_file.as_deref().map(read_token).transpose()?;
        if token.is_some() && base.scheme() == "http" && !loopback(&base) {
            return Err(Failure::usage(format!(
                "{base} is neither https nor on this machine: the token would be read on the way"
            )));
        }
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(Duration::from_secs(self.timeout))
            .redirect(redirect::Policy::none())
            .user_agent(concat!("dr-agent/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &self.ca {
            http = http.tls_certs_only(authorities(path)?);
        }
        if loopback(&base) {
            http = http.no_proxy();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Client {
            http: http.build().map_err(|error| Failure::internal(chain(&error)))?,
            runtime: runtime.map_err(Failure::internal)?,
            base,
            token,
        })
    }

    /// Address and token. The configured token goes to the configured address alone.
    fn door(&self) -> Result<(String, Option<PathBuf>), Failure> {
        if let Some(url) = &self.url {
            return Ok((url.clone(), self.token_file.clone()));
        }
        let Some(path) = self.config_file() else {
            return Ok((DEFAULT_URL.to_owned(), self.token_file.clone()));
        };
        let found = config::client_defaults(&path)?;
        Ok((found.url, self.token_file.clone().or(found.token_file)))
    }
}

impl Client {
    pub(super) fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.ask(self.http.request(Method::GET, url))
    }

    pub(super) fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &B,
    ) -> Result<T, Failure> {
        self.ask(self.http.request(Method::POST, self.url(path)?).json(body))
    }

    /// Waits; the runtime has nothing else to do.
    pub(super) fn pause(&self, span: Duration) {
        // A timer is made within a runtime, not before it.
        self.runtime.block_on(async { tokio::time::sleep(span).await });
    }

    fn url(&self, path: &[&str]) -> Result<Url, Failure> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::usage("the address can't have a path"))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        Ok(url)
    }

    fn ask<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, Failure> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        };
        let (status, body) = self.runtime.block_on(send(request)).map_err(|why| {
            Failure::unreachable(format!("the agent at {} can't be reached: {why}", self.base))
        })?;
        if !status.is_success() {
            return Err(refusal(status, &body));
        }
        serde_json::from_slice(&body).map_err(|error| {
            Failure::unreachable(format!(
                "what answers at {} is not an agent of this version: {error}",
                self.base
            ))
        })
    }
}

async fn send(request: reqwest::RequestBuilder) -> Result<(StatusCode, Vec<u8>), String> {
    let mut response = request.send().await.map_err(|error| chain(&error.without_url()))?;
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| chain(&error.without_url()))? {
        if body.len() + part.len() > LARGEST {
            return Err(format!("the answer has more than {LARGEST} bytes"));
        }
        body.extend_from_slice(&part);
    }
    Ok((response.status(), body))
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let Ok(ErrorBody { error }) = serde_json::from_slice(body) else {
        return Failure::unreachable(format!("the answer is {status}, and not an agent's"));
    };
    let ErrorWords { code, message, refusal } = error;
    let failure = match status {
        StatusCode::CONFLICT | StatusCode::NOT_FOUND => Failure::refused(message),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Failure::file(format!("the agent lets nobody in with this token: {message}"))
        }
        status if status.is_client_error() => Failure::usage(message),
        _ => Failure::unreachable(format!("the agent can't answer: {message}")),
    };
    match refusal {
        Some(refusal) => failure.with("refusal", refusal),
        None => failure.with("answer", Value::from(code)),
    }
}

fn base_url(text: &str) -> Result<Url, Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!(
            "{text:?} is no address of an agent: {why}; right would be https://HOST:PORT"
        ))
    };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("it begins neither with https:// nor with http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Failure::usage("credentials do not belong into the address: use --token-file"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("there is something behind the path"));
    }
    Ok(url)
}

fn loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let ip: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    ip.is_ok_and(|ip| ip.is_loopback()) || host.eq_ignore_ascii_case("localhost")
}

fn read_token(path: &Path) -> Result<probes::Secret, Failure> {
    config::read_token(path).map_err(Failure::file)
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|error| {
        Failure::file(format!("the authorities in {shown} can't be read: {error}"))
    })?;
    let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() {
        return Err(Failure::file(format!("{shown} is not a PEM file with certificates")));
    }
    Ok(found)
}

/// An error with its causes; the outer one alone says next to nothing.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    for _ in 0..8 {
        let Some(inner) = cause else { break };
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}
