//! Tokens for Azure Resource Manager and for instances, kept for as long as they are valid.
//!
//! azure_identity throws a token away that is still good for minutes when the token service cannot
//! be reached, which is just when a disaster recovery agent needs it. [`KeptCredential`] does not,
//! and it renews early, so that an outage of the token service is survived for at least half the
//! life of a token.

mod arc;
mod assertion;
mod source;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use agent_core::SilenceKind;
use azure_core::{
    credentials::{Secret as Token, TokenCredential},
    error::ErrorKind,
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use self::{arc::ArcEndpoint, assertion::check_certificate, source::CredentialSource};
use super::Http;
use crate::{Now, text::causes};

/// What Azure Resource Manager of the public cloud wants to be asked for.
pub const ARM_SCOPE: &str = "https://management.azure.com/.default";

/// A token is renewed at half its life, or this long before its end if that is earlier.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_mins(5);
/// A connection that was opened with a token is opened anew this long before the token's end, if
/// there is a newer one by then.
const REPLACED_BEFORE: SignedDuration = SignedDuration::from_secs(60);
/// A token that was just got and is not accepted is not thrown away for another one.
const TOO_YOUNG: SignedDuration = SignedDuration::from_secs(60);
/// A token is not used in its last seconds, which the way to the service would eat.
const TOO_SHORT: SignedDuration = SignedDuration::from_secs(10);
/// Between attempts to renew: after a success at least the first, after failures up to the second.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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
    /// By which it is asked for; None where nobody is asked.
    http: Option<Http>,
    scope: String,
    now: Now,
    within: Duration,
    kept: Mutex<Option<Kept>>,
    /// One renewal at a time.
    renewing: tokio::sync::Mutex<()>,
}

/// A token with its life.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) token: Token,
    got_at: Timestamp,
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
        http: Http,
        now: Now,
        within: Duration,
    ) -> Result<Self, CredentialError> {
        let clock = Arc::clone(&now);
        let ask = http.clone();
        let fresh: Fresh =
            Box::new(move || source::credential(&source, authority.as_deref(), ask.last(), &clock));
        fresh().map_err(|error| refused(&error))?;
        Ok(Self { http: Some(http), ..Self::with(fresh, scope, now, within) })
    }

    fn with(fresh: Fresh, scope: &str, now: Now, within: Duration) -> Self {
        Self {
            fresh,
            http: None,
            scope: scope.to_owned(),
            now,
            within,
            kept: Mutex::new(None),
            renewing: tokio::sync::Mutex::new(()),
        }
    }

    /// A token that is valid now: the kept one, or a new one. Takes two renewals' time at most.
    pub(crate) async fn token(&self) -> Result<Token, CredentialError> {
        Ok(self.current().await?.token)
    }

    /// The same with its end.
    pub(crate) async fn current(&self) -> Result<Kept, CredentialError> {
        if let Some(kept) = self.valid() {
            return Ok(kept);
        }
        let _one = timeout(self.within, self.renewing.lock()).await.map_err(|_| self.late())?;
        // Whoever was here before may have got one.
        if let Some(kept) = self.valid() {
            return Ok(kept);
        }
        self.renew().await
    }

    /// Whether what was opened with `used` ought to be opened anew: its end is near, and there is
    /// a newer token.
    pub(crate) fn replaces(&self, used: &Kept) -> bool {
        let near = used.expires_at.duration_since((self.now)()) <= REPLACED_BEFORE;
        near && self.valid().is_some_and(|kept| kept.expires_at > used.expires_at)
    }

    /// Forgets the token, because it was not accepted.
    pub(crate) fn forget(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The same for one who asks every second: a token that was just got is kept, because another
    /// one would not fare better and the token service would be asked again and again.
    pub(crate) fn forget_unless_new(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.now)();
        if kept.as_ref().is_some_and(|kept| now.duration_since(kept.got_at) >= TOO_YOUNG) {
            *kept = None;
        }
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
        if let Some(http) = &self.http {
            // Whom to believe is read anew; what is made below uses it.
            http.now().await;
        }
        let credential = (self.fresh)().map_err(|error| refused(&error))?;
        let got = timeout(self.within, credential.get_token(&[&self.scope], None))
            .await
            .map_err(|_| self.late())?
            .map_err(|error| refused(&error))?;
        let expires_at = Timestamp::from_second(got.expires_on.unix_timestamp()).map_err(|_| {
            let detail = "the token expires at an impossible time".into();
            CredentialError { kind: SilenceKind::Garbled, detail }
        })?;
        let kept = Kept { token: got.token, got_at: (self.now)(), expires_at };
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
mod tests;
