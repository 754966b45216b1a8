//! A login that was refused is tried again rarely.
//!
//! A server counts wrong passwords and locks the login out, its own and a domain's alike, and writes
//! each into its error log. So what was refused is remembered: until its time has come, or the
//! secret has changed, the way to the server is still gone, up to and with TLS, which shows that it
//! lives, and the refusal is repeated without asking.

use std::{pin::Pin, time::Duration};

use futures_util::FutureExt as _;
use secrecy::ExposeSecret as _;
use tokio::time::{Sleep, sleep};

use super::error::TdsError;
use crate::Secret;

/// From a refusal to the next try; doubled with each refusal in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// With these there are five tries in the first ten minutes by each way to a server. By two, as to a
/// primary replica and its listener, that is the ten at which Windows Server locks an account by its
/// baseline, with nobody else mistyping.
const LONGEST_PAUSE: Duration = Duration::from_secs(240);
/// Wrong, of a domain that is not trusted, disabled, locked, expired, to be changed.
const BY_LOGIN: [u32; 6] = [18452, 18456, 18470, 18486, 18487, 18488];

/// The last refusal of one login at one server.
pub(super) struct Refusal {
    error: TdsError,
    secret: Secret,
    pause: Duration,
    rest: Pin<Box<Sleep>>,
}

impl Refusal {
    /// What it would say again, if it is too early to ask with this secret.
    pub(super) fn again(&mut self, secret: &Secret) -> Option<TdsError> {
        let stands = self.is_of(secret) && self.rest.as_mut().now_or_never().is_none();
        stands.then(|| self.error.clone())
    }

    fn is_of(&self, secret: &Secret) -> bool {
        self.secret.expose_secret() == secret.expose_secret()
    }
}

/// What is to be remembered after a login with `secret` has ended so.
pub(super) fn after<T>(
    before: Option<Refusal>,
    secret: &Secret,
    ended: &Result<T, TdsError>,
) -> Option<Refusal> {
    match ended {
        Ok(_) => None,
        Err(error @ TdsError::Login { number, .. }) if BY_LOGIN.contains(number) => {
            let pause = before
                .filter(|before| before.is_of(secret))
                .map_or(FIRST_PAUSE, |before| (before.pause * 2).min(LONGEST_PAUSE));
            let rest = Box::pin(sleep(pause));
            Some(Refusal { error: error.clone(), secret: secret.clone(), pause, rest })
        }
        // Nothing was said of the login.
        Err(_) => before,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn refused(number: u32) -> Result<(), TdsError> {
        Err(TdsError::Login { number, class: 14, state: 1, message: "no".into() })
    }

    #[tokio::test(start_paused = true)]
    async fn each_refusal_doubles_the_pause_up_to_a_bound() {
        let (secret, other) = (Secret::from("one"), Secret::from("two"));
        let mut refusal = None;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            refusal = after(refusal, &secret, &refused(18456));
            let told = refusal.as_mut().expect("remembered");
            pauses.push(told.pause.as_secs());
            assert_eq!(told.again(&other), None, "another secret is tried at once");
            assert!(told.again(&secret).is_some());
            advance(told.pause).await;
            assert_eq!(told.again(&secret), None);
        }
        assert_eq!(pauses, [30, 60, 120, 240, 240, 240, 240]);
        refusal = after(refusal, &other, &refused(18456));
        assert_eq!(refusal.as_ref().map(|told| told.pause.as_secs()), Some(30));
    }

    #[tokio::test]
    async fn only_what_is_said_of_the_login_counts() {
        let secret = Secret::from("one");
        assert!(after(None, &secret, &refused(40613)).is_none());
        let refusal = after(None, &secret, &refused(18486));
        let silence = Err::<(), _>(TdsError::Refused { detail: String::new() });
        let refusal = after(refusal, &secret, &silence);
        assert!(refusal.is_some(), "a broken connection takes nothing back");
        assert!(after(refusal, &secret, &Ok(())).is_none());
    }
}
