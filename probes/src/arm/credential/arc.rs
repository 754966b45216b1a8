//! The identity of a machine that Azure Arc connects to Azure.
//!
//! The machine's own agent gives out tokens on loopback, to whoever can read a file that it names
//! in a challenge: only root and a group of its own can. The path in the challenge is not trusted:
//! whoever listens on that port could otherwise have any file read and sent to it.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use azure_core::{
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    error::{Error, ErrorKind},
};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE},
};
use serde::Deserialize;
use tokio::{fs::File, io::AsyncReadExt as _};

use crate::text::plain;

/// Where the machine's agent listens unless `IDENTITY_ENDPOINT` says otherwise.
const ENDPOINT: &str = "http://localhost:40342/metadata/identity/oauth2/token";
/// Where it keeps the files of its challenges.
const FOLDER: &str = "/var/opt/azcmagent/tokens";
const API_VERSION: &str = "2020-06-01";
/// The file of a challenge has some 40 bytes; the documentation speaks of 4096 at most.
const LARGEST_KEY: u64 = 4096;
const LARGEST_ANSWER: usize = 64 * 1024;
/// The agent asks Azure, which may take a while.
const WITHIN: Duration = Duration::from_secs(10);

/// Where the machine's agent gives out tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArcEndpoint {
    /// `http://` and loopback, as `IDENTITY_ENDPOINT` has it.
    pub url: String,
    /// The folder in which challenges may lie; files elsewhere are not read.
    pub folder: PathBuf,
}

impl ArcEndpoint {
    /// As the machine's agent is installed, unless told otherwise; `environment` is the value of
    /// `IDENTITY_ENDPOINT`.
    #[must_use]
    pub fn new(url: Option<String>, folder: Option<PathBuf>, environment: Option<String>) -> Self {
        Self {
            url: url.or(environment).unwrap_or_else(|| ENDPOINT.to_owned()),
            folder: folder.unwrap_or_else(|| PathBuf::from(FOLDER)),
        }
    }

    /// The address, if it is one on this machine: the challenge travels in clear.
    fn address(&self) -> Result<Url, String> {
        let wrong = || {
            let shown = plain(&self.url);
            format!("{shown:?} is not an http address of this machine, such as {ENDPOINT}")
        };
        let url = Url::parse(&self.url).map_err(|_| wrong())?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let here = host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if here && url.scheme() == "http" { Ok(url) } else { Err(wrong()) }
    }
}

/// Gets one token.
pub(super) struct ArcCredential {
    url: Url,
    folder: PathBuf,
    http: Client,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_on: Number,
}

/// Written as text by some versions of the agent.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(i64),
    Text(String),
}

impl ArcCredential {
    pub(super) fn new(endpoint: ArcEndpoint, http: Client) -> azure_core::Result<Self> {
        let url = endpoint.address().map_err(failed)?;
        Ok(Self { url, folder: endpoint.folder, http })
    }

    async fn ask(&self, resource: &str, key: Option<HeaderValue>) -> azure_core::Result<Response> {
        let query = [("api-version", API_VERSION), ("resource", resource)];
        let mut request = self
            .http
            .get(self.url.clone())
            .query(&query)
            .header("Metadata", "true")
            .timeout(WITHIN);
        if let Some(key) = key {
            request = request.header(AUTHORIZATION, key);
        }
        request.send().await.map_err(|error| {
            let detail = crate::text::causes(&error);
            let what = format!("the Azure Arc agent of this machine does not answer: {detail}");
            Error::with_message(ErrorKind::Io, what)
        })
    }
}

impl fmt::Debug for ArcCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArcCredential").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenCredential for ArcCredential {
    async fn get_token(
        &self,
        scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let [scope] = scopes else { return Err(failed("one scope is asked for at a time")) };
        let resource = scope.strip_suffix("/.default").unwrap_or(scope);
        let challenge = self.ask(resource, None).await?;
        if challenge.status() != StatusCode::UNAUTHORIZED {
            return Err(unexpected("the challenge", challenge).await);
        }
        let path = challenged(&challenge, &self.folder).map_err(failed)?;
        let key = read_key(&path, &self.folder).await.map_err(failed)?;
        let answer = self.ask(resource, Some(key)).await?;
        if answer.status() != StatusCode::OK {
            return Err(unexpected("the token", answer).await);
        }
        let body = bounded(answer).await?;
        let granted: Granted = serde_json::from_slice(&body).map_err(|error| {
            failed(format!("the Azure Arc agent's token is not understood: {error}"))
        })?;
        let expires_on = match granted.expires_on {
            Number::Number(second) => Some(second),
            Number::Text(text) => text.parse().ok(),
        };
        let second = expires_on.and_then(|second| u64::try_from(second).ok());
        let second = second.ok_or_else(|| failed("the Azure Arc agent's token has no end"))?;
        let expires_on = std::time::SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(second))
            .ok_or_else(|| failed("the Azure Arc agent's token ends at an impossible time"))?;
        Ok(AccessToken::new(granted.access_token, expires_on.into()))
    }
}

/// The file that a challenge names, if it is one that may be read.
fn challenged(challenge: &Response, folder: &Path) -> Result<PathBuf, String> {
    let header = challenge.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    let header = header.ok_or("the Azure Arc agent's challenge names no file")?;
    let path = realm(header).ok_or_else(|| {
        format!("the Azure Arc agent's challenge is not understood: {:?}", plain(header))
    })?;
    let path = Path::new(path);
    let inside = path.parent() == Some(folder);
    let key = path.extension().is_some_and(|extension| extension == "key");
    if inside && key {
        return Ok(path.to_owned());
    }
    let (shown, folder) = (plain(&path.display().to_string()), folder.display());
    Err(format!("the challenge names {shown:?}, which is no .key file in {folder}: it is not read"))
}

fn realm(header: &str) -> Option<&str> {
    let (scheme, rest) = header.split_once(' ')?;
    let (name, path) = rest.trim().split_once('=')?;
    let known = scheme.eq_ignore_ascii_case("Basic") && name.trim().eq_ignore_ascii_case("realm");
    known.then(|| path.trim().trim_matches('"'))
}

async fn read_key(path: &Path, folder: &Path) -> Result<HeaderValue, String> {
    let unreadable = |error: std::io::Error| {
        format!(
            "{} can't be read: {error}; the user of the agent has to be in the group himds",
            path.display()
        )
    };
    // A link would lead out of the folder.
    let real = tokio::fs::canonicalize(path).await.map_err(unreadable)?;
    let home = tokio::fs::canonicalize(folder).await.map_err(unreadable)?;
    if real.parent() != Some(home.as_path()) {
        return Err(format!("{} leads out of its folder: it is not read", path.display()));
    }
    let mut text = String::new();
    let file = File::open(&real).await.map_err(unreadable)?;
    let read = file.take(LARGEST_KEY + 1).read_to_string(&mut text).await.map_err(unreadable)?;
    if u64::try_from(read).is_ok_and(|read| read > LARGEST_KEY) {
        return Err(format!("{} has more than {LARGEST_KEY} bytes", path.display()));
    }
    let mut header = HeaderValue::from_str(&format!("Basic {}", text.trim()))
        .map_err(|_| format!("{} holds no key", path.display()))?;
    header.set_sensitive(true);
    Ok(header)
}

async fn unexpected(what: &str, answer: Response) -> Error {
    let status = answer.status().as_u16();
    let body = bounded(answer).await.unwrap_or_default();
    let said = plain(&String::from_utf8_lossy(&body));
    failed(format!("the Azure Arc agent answered {status} where {what} must be: {said}"))
}

async fn bounded(mut answer: Response) -> azure_core::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|error| Error::with_message(ErrorKind::Io, crate::text::causes(&error)))?
    {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST_ANSWER {
            return Err(failed("the Azure Arc agent's answer is too long"));
        }
    }
    Ok(body)
}

fn failed(what: impl Into<String>) -> Error {
    Error::with_message(ErrorKind::Credential, what.into())
}

#[cfg(test)]
#[path = "arc_tests.rs"]
mod tests;
