//! One HTTP request to a receiver, and what its answer means.

use std::{error::Error as _, time::Duration};

use probes::{
    SecretSource,
    arm::{Http, http_client},
};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use secrecy::ExposeSecret as _;
use tokio::time::timeout;

use super::AlertError;
use crate::config::{Destination, Login};

/// Bytes of an answer that are read at the most, and characters of one that are shown.
const ANSWER: usize = 64 * 1024;
const SHOWN: usize = 200;
/// A receiver that asks for a longer pause is asked again after this all the same.
const AFTER_MOST: Duration = Duration::from_secs(300);

/// The way to one receiver. Never follows redirects: they would carry secrets elsewhere.
pub(super) struct Post {
    client: Http,
    url: Url,
    login: Login,
    within: Duration,
    /// What signs, if anything does; whoever signs has the same.
    signs: Option<SecretSource>,
}

/// A request to be made.
pub(super) struct Parcel {
    pub(super) headers: Vec<(&'static str, String)>,
    /// JSON.
    pub(super) body: Vec<u8>,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    /// It may have arrived or not, or is to be sent again: after a time that the receiver said.
    Failed {
        why: String,
        after: Option<Duration>,
    },
    /// The receiver does not want this very body.
    Refused {
        why: String,
    },
}

/// What a receiver says to a question that changes nothing.
pub(super) struct Asked {
    pub(super) status: StatusCode,
    pub(super) said: Vec<u8>,
}

impl Post {
    /// `path` is added to the address.
    pub(super) fn new(to: &Destination, path: &[&str]) -> Result<Self, AlertError> {
        let wrong = |why: String| AlertError::Setup { name: to.name.clone(), why };
        let client = http_client(to.ca.as_ref(), to.connect_within);
        let client = client.map_err(|error| wrong(error.to_string()))?;
        let mut url = to.url.clone();
        if !path.is_empty() {
            let segments = url.path_segments_mut();
            let mut segments = segments.map_err(|()| wrong("no path can be added".to_owned()))?;
            segments.pop_if_empty().extend(path);
        }
        Ok(Self { client, url, login: to.login.clone(), within: to.send_within, signs: None })
    }

    /// The same for messages that are signed.
    pub(super) fn signed_by(self, secret: &SecretSource) -> Self {
        Self { signs: Some(secret.clone()), ..self }
    }

    /// Reads what signs once more; whoever signs then has it.
    pub(super) async fn refresh(&self) {
        if let Some(secret) = &self.signs {
            secret.now().await;
        }
    }

    /// Where it goes, without what may be secret of it.
    pub(super) fn place(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    pub(super) async fn send(&self, parcel: Parcel) -> Outcome {
        match timeout(self.within, self.asked(parcel)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let why = format!("{} does not answer within {:?}", self.place(), self.within);
                Outcome::Failed { why, after: None }
            }
        }
    }

    async fn asked(&self, parcel: Parcel) -> Outcome {
        let failed = |doing: &str, error| Outcome::Failed {
            why: format!("{} {doing}: {}", self.place(), causes(error)),
            after: None,
        };
        let response = match self.request(parcel).await.send().await {
            Ok(response) => response,
            Err(error) => return failed("is not reached", error),
        };
        let (status, after) = (response.status(), retry_after(&response));
        // Who breaks off in its answer may have lost what it was told.
        let said = match read(response).await {
            Ok(said) => said,
            Err(error) => return failed("broke off", error),
        };
        if status.is_success() {
            return Outcome::Taken;
        }
        let why = format!("{} answers {status}{}", self.place(), shown(&said));
        match status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY => Outcome::Refused { why },
            _ => Outcome::Failed { why, after },
        }
    }

    /// The status of an Alertmanager, which stands beside its alerts.
    pub(super) async fn status(&self) -> Result<Asked, String> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop().push("status");
        }
        self.question(Method::GET, url).await
    }

    /// What a webhook takes.
    pub(super) async fn options(&self) -> Result<Asked, String> {
        self.question(Method::OPTIONS, self.url.clone()).await
    }

    async fn question(&self, method: Method, url: Url) -> Result<Asked, String> {
        let request = self.client.now().await.request(method, url);
        let response = timeout(self.within, self.with_login(request).await.send()).await;
        let response = response.map_err(|_| format!("no answer within {:?}", self.within))?;
        let response = response.map_err(causes)?;
        let status = response.status();
        let said = timeout(self.within, read(response)).await;
        let said = said.map_err(|_| format!("its answer does not end within {:?}", self.within))?;
        Ok(Asked { status, said: said.map_err(causes)? })
    }

    async fn with_login(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.login {
            Login::Nobody => request,
            Login::Bearer(token) => request.bearer_auth(token.now().await.expose_secret()),
            Login::Basic { user, password } => {
                request.basic_auth(user, Some(password.now().await.expose_secret()))
            }
        }
    }

    async fn request(&self, parcel: Parcel) -> RequestBuilder {
        let request = self.client.now().await.post(self.url.clone());
        let mut request = self.with_login(request).await;
        for (name, value) in parcel.headers {
            request = request.header(name, value);
        }
        request.header(header::CONTENT_TYPE, "application/json").body(parcel.body)
    }
}

/// In whole seconds; a date would need the receiver's clock.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(value.trim().parse().ok()?).min(AFTER_MOST))
}

async fn read(mut response: Response) -> reqwest::Result<Vec<u8>> {
    let mut said = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        said.extend_from_slice(&chunk);
        if said.len() > ANSWER {
            break;
        }
    }
    Ok(said)
}

fn shown(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let said: String =
        said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) }
}

/// An error with what lies beneath it, without the address: there may be a secret in it.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(beneath) = cause {
        text.push_str(&format!(": {beneath}"));
        cause = beneath.source();
    }
    text
}
