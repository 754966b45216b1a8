//! Requests to Azure Resource Manager: no redirects, no retries, one deadline, and the token goes
//! to one host only.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{
    Certificate, Client, ClientBuilder, Method, RequestBuilder, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
    redirect,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{
    body::{self, Instance, Link},
    credential::KeptCredential,
    error::ArmError,
    operation::{self, OperationUrl, OperationUrlError, Poll, retry_after},
};
use crate::{
    SecretSource,
    renewed::Renewed,
    target::ControlTarget,
    tds::{TrustError, certificates},
    text::{causes, plain},
};

/// Bytes of an answer that are read; a link with all its databases has some 100 KB.
const LARGEST: usize = 4 * 1024 * 1024;
const USER_AGENT: &str = concat!("dr-agent/", env!("CARGO_PKG_VERSION"));

/// Why a client cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArmSetupError {
    #[error("`{0}` is no base URL: expected `https://` and a host, and nothing behind it")]
    BaseUrl(String),
    #[error("certificate authorities: {0}")]
    Trust(#[from] TrustError),
    #[error("HTTP cannot be set up: {0}")]
    Http(String),
}

/// The kinds of failover that ARM knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverType {
    /// Only accepted while the managed instance is the primary.
    Planned,
    /// Accepted always, over a living primary too: nothing at the other end guards against it.
    ForcedAllowDataLoss,
}

/// An order was accepted, which is not to say that it succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Where to ask how it fares. `None` if ARM named no usable address: then only the link tells.
    pub operation: Option<OperationUrl>,
    /// When to ask first.
    pub retry_after: Duration,
    /// `x-ms-correlation-request-id`, by which the service's own people find the request.
    pub correlation: Option<String>,
}

/// The control plane of one managed instance.
pub struct ArmClient {
    instance: Url,
    api_version: String,
    credential: Arc<KeptCredential>,
    /// Keeps connections open between looks.
    reads: Http,
    /// Opens one for each request: on one that was idle nobody can say what arrived.
    writes: Http,
}

/// An HTTP client, and another one in its place when the authorities that it believes are changed
/// in their file: no connection of the old one is used any more then. Cheap to clone.
#[derive(Clone)]
pub struct Http(Arc<Renewed<Client>>);

impl Http {
    /// One that does not change.
    #[must_use]
    pub fn fixed(client: Client) -> Self {
        Self(Arc::new(Renewed::fixed(client)))
    }

    /// The client as it is now.
    pub async fn now(&self) -> Client {
        self.0.now().await
    }

    pub(crate) fn last(&self) -> Client {
        self.0.last()
    }

    fn with(
        ca: Option<&SecretSource>,
        connect_within: Duration,
        wish: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static,
    ) -> Result<Self, ArmSetupError> {
        let make = move |pem: Option<&str>| {
            let client = wish(settings(pem, connect_within)?).build();
            client.map_err(|error| ArmSetupError::Http(causes(&error)))
        };
        Ok(match ca {
            None => Self::fixed(make(None)?),
            Some(ca) => Self(Arc::new(Renewed::kept(ca.clone(), move |pem| make(Some(pem)))?)),
        })
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

/// An HTTP client that believes the PEM text of `ca` alone (or the operating system's authorities,
/// if there is none), follows no redirect and repeats nothing.
pub fn http_client(
    ca: Option<&SecretSource>,
    connect_within: Duration,
) -> Result<Http, ArmSetupError> {
    Http::with(ca, connect_within, |client| client)
}

impl ArmClient {
    /// `connect_within` is for TCP and TLS, and ought to be well below the deadlines of requests:
    /// only a connection that failed by itself shows that nothing was sent.
    pub fn new(
        target: &ControlTarget,
        ca: Option<&SecretSource>,
        connect_within: Duration,
        credential: Arc<KeptCredential>,
    ) -> Result<Self, ArmSetupError> {
        Ok(Self {
            instance: instance_url(target)?,
            api_version: target.api_version.clone(),
            credential,
            reads: Http::with(ca, connect_within, |client| client.https_only(true))?,
            writes: Http::with(ca, connect_within, |client| {
                client.https_only(true).pool_max_idle_per_host(0)
            })?,
        })
    }

    /// The managed instance.
    pub async fn instance(&self, limit: Duration) -> Result<Instance, ArmError> {
        let answer = self.get(self.url(&[]), limit).await?;
        answer.json()
    }

    /// The link, or `None` where the resource provider knows no such link. That the instance itself
    /// is missing is an error.
    pub async fn link(&self, name: &str, limit: Duration) -> Result<Option<Link>, ArmError> {
        match self.get(self.url(&["distributedAvailabilityGroups", name]), limit).await {
            Ok(answer) => answer.json().map(Some),
            Err(ArmError::NotFound { gateway: false, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Orders a failover of the link, once. See [`ArmError::nothing_sent`], [`ArmError::refused`]
    /// and [`ArmError::unknown`] for what a failure means.
    pub async fn failover(
        &self,
        name: &str,
        kind: FailoverType,
        limit: Duration,
    ) -> Result<Accepted, ArmError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Order {
            failover_type: &'static str,
        }
        let failover_type = match kind {
            FailoverType::Planned => "Planned",
            FailoverType::ForcedAllowDataLoss => "ForcedAllowDataLoss",
        };
        let url = self.url(&["distributedAvailabilityGroups", name, "failover"]);
        let request =
            self.writes.now().await.request(Method::POST, url).json(&Order { failover_type });
        let answer = self.send(request, limit).await?;
        Ok(self.accepted(&answer.headers))
    }

    /// Orders the deletion of the link, once. One that is not there is deleted like one that is: only
    /// the operation says so.
    pub async fn delete_link(&self, name: &str, limit: Duration) -> Result<Accepted, ArmError> {
        let url = self.url(&["distributedAvailabilityGroups", name]);
        let request = self.writes.now().await.request(Method::DELETE, url);
        let answer = self.send(request, limit).await?;
        Ok(self.accepted(&answer.headers))
    }

    /// Asks an operation how it fares.
    pub async fn operation(&self, url: &OperationUrl, limit: Duration) -> Result<Poll, ArmError> {
        let url = Url::parse(url.as_str()).map_err(ArmError::garbled)?;
        let answer = self.get(url, limit).await?;
        operation::poll(&answer.headers, &answer.body)
    }

    /// Takes the address of an operation from the journal, if it leads to this control plane.
    pub fn operation_url(&self, text: &str) -> Result<OperationUrl, OperationUrlError> {
        OperationUrl::new(text, &self.instance)
    }

    fn accepted(&self, headers: &HeaderMap) -> Accepted {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let operation = text("azure-asyncoperation").and_then(|text| {
            self.operation_url(text)
                .inspect_err(|error| tracing::warn!(%error, "address of an operation not usable"))
                .ok()
        });
        Accepted {
            operation,
            retry_after: retry_after(headers),
            correlation: text("x-ms-correlation-request-id").map(plain),
        }
    }

    pub(crate) async fn get(&self, url: Url, limit: Duration) -> Result<Answer, ArmError> {
        self.send(self.reads.now().await.request(Method::GET, url), limit).await
    }

    /// One request under one deadline, the token included.
    async fn send(&self, request: RequestBuilder, limit: Duration) -> Result<Answer, ArmError> {
        let sent = AtomicBool::new(false);
        let answer = timeout(limit, async {
            let token = self.credential.token().await?;
            let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.secret()))
                .map_err(|_| ArmError::garbled("the token cannot be sent in a header"))?;
            bearer.set_sensitive(true);
            // From here on, time that runs out leaves it open what arrived.
            sent.store(true, Ordering::Relaxed);
            let mut response = request
                .header(AUTHORIZATION, bearer)
                .send()
                .await
                .map_err(ArmError::from_request)?;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(ArmError::from_request)? {
                body.extend_from_slice(&chunk);
                if body.len() > LARGEST {
                    return Err(ArmError::garbled(format!("more than {LARGEST} bytes")));
                }
            }
            Ok(Answer { status, headers, body })
        })
        .await
        .map_err(|_| ArmError::TimedOut { sent: sent.load(Ordering::Relaxed) })??;
        if answer.status.is_success() {
            return Ok(answer);
        }
        if answer.status == StatusCode::UNAUTHORIZED {
            self.credential.forget();
        }
        Err(body::failure(answer.status, &answer.headers, &answer.body))
    }

    fn url(&self, below: &[&str]) -> Url {
        let mut url = self.instance.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(below);
        }
        url.query_pairs_mut().append_pair("api-version", &self.api_version);
        url
    }

    /// What lies in the resource group of the instance, by the version of its own provider.
    pub(crate) fn url_in_group(&self, below: &[&str], api_version: &str) -> Url {
        let mut url = self.instance.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            // Away with `providers/Microsoft.Sql/managedInstances/NAME`.
            for _ in 0..4 {
                path.pop();
            }
            path.extend(below);
        }
        url.query_pairs_mut().append_pair("api-version", api_version);
        url
    }
}

impl fmt::Debug for ArmClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArmClient")
            .field("instance", &self.instance.as_str())
            .field("api_version", &self.api_version)
            .finish_non_exhaustive()
    }
}

pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ArmError> {
        serde_json::from_slice(&self.body).map_err(ArmError::garbled)
    }
}

fn instance_url(target: &ControlTarget) -> Result<Url, ArmSetupError> {
    let wrong = || ArmSetupError::BaseUrl(plain(&target.base_url));
    let mut url = Url::parse(&target.base_url).map_err(|_| wrong())?;
    let bare = url.scheme() == "https"
        && url.host().is_some()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !bare {
        return Err(wrong());
    }
    url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend([
        "subscriptions",
        &target.subscription,
        "resourceGroups",
        &target.resource_group,
        "providers",
        "Microsoft.Sql",
        "managedInstances",
        &target.instance,
    ]);
    Ok(url)
}

fn settings(
    ca_pem: Option<&str>,
    connect_within: Duration,
) -> Result<ClientBuilder, ArmSetupError> {
    let client = Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(connect_within)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never());
    let Some(pem) = ca_pem else { return Ok(client) };
    let mut authorities = Vec::new();
    for (at, certificate) in certificates(pem)?.iter().enumerate() {
        authorities.push(Certificate::from_der(certificate).map_err(|error| {
            TrustError::BadCertificate { place: at + 1, detail: causes(&error) }
        })?);
    }
    Ok(client.tls_certs_only(authorities))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
