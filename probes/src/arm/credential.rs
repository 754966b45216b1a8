//! Tokens for Azure Resource Manager, from azure_identity, and kept for as long as they are valid.
//!
//! azure_identity throws a token away that is still good for minutes when the token service cannot
//! be reached, which is just when a disaster recovery agent needs it. [`KeptCredential`] does not,
//! and it renews early, so that an outage of the token service is survived for at least half the
//! life of a token.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use agent_core::SilenceKind;
use azure_core::{
    cloud::CustomConfiguration,
    credentials::{Secret as Token, TokenCredential},
    error::ErrorKind,
    http::{ClientOptions, RetryOptions, Transport},
};
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{Now, Secret, text::causes};

/// What Azure Resource Manager of the public cloud wants to be asked for.
pub const ARM_SCOPE: &str = "https://management.azure.com/.default";

/// A token is renewed at half its life, or this long before its end if that is earlier.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_mins(5);
/// A token is not used in its last seconds, which the way to the service would eat.
const TOO_SHORT: SignedDuration = SignedDuration::from_secs(10);
/// Between attempts to renew: after a success at least the first, after failures up to the second.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Who the agent is towards Azure.
#[derive(Clone, Debug)]
pub enum CredentialSource {
    /// Of the machine; `client_id` chooses a user-assigned one.
    ManagedIdentity {
        client_id: Option<String>,
    },
    /// Of a Kubernetes pod; what is missing comes from the `AZURE_*` variables of its environment.
    WorkloadIdentity {
        tenant: Option<String>,
        client_id: Option<String>,
        token_file: Option<PathBuf>,
    },
    ClientSecret {
        tenant: String,
        client_id: String,
        secret: Secret,
    },
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct CredentialError {
    pub kind: SilenceKind,
    pub detail: String,
}

type Fresh = Box<dyn Fn() -> azure_core::Result<Arc<dyn TokenCredential>> + Send + Sync>;

/// Keeps the last token and serves it for as long as it is valid.
pub struct KeptCredential {
    /// A credential keeps its own token and would give it out again instead of renewing it, so
    /// each renewal has a new one.
    fresh: Fresh,
    scope: String,
    now: Now,
    within: Duration,
    kept: Mutex<Option<Kept>>,
    /// One renewal at a time.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Kept {
    token: Token,
    expires_at: Timestamp,
}

impl KeptCredential {
    /// `authority` is for other clouds than the public one and must be https. `http` carries the
    /// certificate authorities to be believed. One renewal takes `within` at most.
    ///
    /// Fails if the source cannot work, for example without the variables that it needs.
    pub fn new(
        source: CredentialSource,
        authority: Option<String>,
        scope: &str,
        http: reqwest::Client,
        now: Now,
        within: Duration,
    ) -> Result<Self, CredentialError> {
        let fresh: Fresh =
            Box::new(move || credential(&source, authority.as_deref(), http.clone()));
        fresh().map_err(|error| refused(&error))?;
        Ok(Self::with(fresh, scope, now, within))
    }

    fn with(fresh: Fresh, scope: &str, now: Now, within: Duration) -> Self {
        Self {
            fresh,
            scope: scope.to_owned(),
            now,
            within,
            kept: Mutex::new(None),
            renewing: tokio::sync::Mutex::new(()),
        }
    }

    /// A token that is valid now: the kept one, or a new one. Takes two renewals' time at most.
    pub(crate) async fn token(&self) -> Result<Token, CredentialError> {
        if let Some(kept) = self.valid() {
            return Ok(kept.token);
        }
        let _one = timeout(self.within, self.renewing.lock()).await.map_err(|_| self.late())?;
        // Whoever was here before may have got one.
        if let Some(kept) = self.valid() {
            return Ok(kept.token);
        }
        Ok(self.renew().await?.token)
    }

    /// Forgets the token, because it was not accepted.
    pub(crate) fn forget(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Keeps a fresh token at hand until told to stop: renews at half-life, tries again when the
    /// token service is away.
    pub async fn keep_fresh(&self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let renewal = async {
                let _one = self.renewing.lock().await;
                self.renew().await
            };
            let renewed = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                renewed = renewal => renewed,
            };
            let pause = match renewed {
                Ok(kept) => {
                    failures = 0;
                    self.until_renewal(&kept)
                }
                Err(error) => {
                    failures = (failures + 1).min(8);
                    tracing::warn!(%error, failures, "token not renewed");
                    (PAUSE * 2_u32.pow(failures - 1)).min(LONGEST_PAUSE)
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    fn valid(&self) -> Option<Kept> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        (kept.expires_at.duration_since((self.now)()) > TOO_SHORT).then_some(kept)
    }

    fn until_renewal(&self, kept: &Kept) -> Duration {
        let left = kept.expires_at.duration_since((self.now)());
        let pause = (left / 2).min(left - RENEW_BEFORE);
        pause.max(SignedDuration::ZERO).unsigned_abs().max(PAUSE)
    }

    async fn renew(&self) -> Result<Kept, CredentialError> {
        let credential = (self.fresh)().map_err(|error| refused(&error))?;
        let got = timeout(self.within, credential.get_token(&[&self.scope], None))
            .await
            .map_err(|_| self.late())?
            .map_err(|error| refused(&error))?;
        let expires_at = Timestamp::from_second(got.expires_on.unix_timestamp()).map_err(|_| {
            let detail = "the token expires at an impossible time".into();
            CredentialError { kind: SilenceKind::Garbled, detail }
        })?;
        let kept = Kept { token: got.token, expires_at };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept.clone());
        Ok(kept)
    }

    fn late(&self) -> CredentialError {
        let detail = format!("no token within {:?}", self.within);
        CredentialError { kind: SilenceKind::TimedOut, detail }
    }
}

impl fmt::Debug for KeptCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptCredential").field("scope", &self.scope).finish_non_exhaustive()
    }
}

fn credential(
    source: &CredentialSource,
    authority: Option<&str>,
    http: reqwest::Client,
) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let client_options = ClientOptions {
        transport: Some(Transport::new(Arc::new(http))),
        // Trying again is done here, under our own deadline.
        retry: RetryOptions::none(),
        cloud: authority.map(|authority| {
            let mut cloud = CustomConfiguration::default();
            authority.clone_into(&mut cloud.authority_host);
            Arc::new(cloud.into())
        }),
        ..ClientOptions::default()
    };
    Ok(match source {
        CredentialSource::ManagedIdentity { client_id } => {
            ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                client_options,
            }))?
        }
        CredentialSource::WorkloadIdentity { tenant, client_id, token_file } => {
            WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                client_id: client_id.clone(),
                tenant_id: tenant.clone(),
                token_file_path: token_file.clone(),
            }))?
        }
        CredentialSource::ClientSecret { tenant, client_id, secret } => {
            ClientSecretCredential::new(
                tenant,
                client_id.clone(),
                secret.expose_secret().to_owned().into(),
                Some(ClientSecretCredentialOptions { client_options }),
            )?
        }
    })
}

fn refused(error: &azure_core::Error) -> CredentialError {
    // The token service answered and said no, or it was not reached at all.
    let unreached = has_cause(error, |kind| matches!(kind, ErrorKind::Connection | ErrorKind::Io));
    let kind = if unreached { SilenceKind::Unroutable } else { SilenceKind::LoginFailed };
    CredentialError { kind, detail: causes(error) }
}

fn has_cause(error: &azure_core::Error, is: impl Fn(&ErrorKind) -> bool) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    for _ in 0..16 {
        let Some(cause) = next else { return false };
        if cause.downcast_ref::<azure_core::Error>().is_some_and(|error| is(error.kind())) {
            return true;
        }
        next = cause.source();
    }
    false
}

#[cfg(test)]
#[path = "credential_tests.rs"]
mod tests;
