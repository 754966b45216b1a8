//! Long-running operations: where to ask how they fare, and what the answers mean.

use std::{fmt, time::Duration};

use reqwest::{
    Url,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;

use super::{body::Failure, error::ArmError};
use crate::text::plain;

/// Longest address that is accepted. Real ones have some 3 KB, most of it a signature.
const LONGEST: usize = 32 * 1024;
/// When the answer does not say when to come back, and the longest that is believed.
const COME_BACK: Duration = Duration::from_secs(15);
const COME_BACK_AT_MOST: Duration = Duration::from_secs(60);

/// The address at which an operation tells how it fares. It is signed and must be replayed byte
/// for byte; its `Display` shows no signature.
#[derive(Clone, PartialEq, Eq)]
pub struct OperationUrl(String);

/// Why an address is not asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationUrlError {
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    #[error("it is no URL: {0}")]
    NoUrl(String),
    /// The token is sent along: it must not go anywhere else, or in the clear.
    #[error("it leads to {0} and not to the control plane by https")]
    Elsewhere(String),
    #[error("it cannot be sent as it is written")]
    NotVerbatim,
}

/// What an operation said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    pub state: OperationState,
    /// When to ask again, if it still runs.
    pub retry_after: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationState {
    /// Still running, in a word of the service's; words that nobody has heard of count as this.
    Running {
        word: String,
    },
    Succeeded,
    Failed {
        code: String,
        message: String,
    },
    Canceled,
}

impl OperationUrl {
    /// Takes an address as a response header or the journal has it, if it leads to `base` by https.
    pub fn new(text: &str, base: &Url) -> Result<Self, OperationUrlError> {
        if text.len() > LONGEST {
            return Err(OperationUrlError::TooLong);
        }
        let url = Url::parse(text).map_err(|error| OperationUrlError::NoUrl(error.to_string()))?;
        let same_place = url.scheme() == "https"
            && base.scheme() == "https"
            && url.host() == base.host()
            && url.port_or_known_default() == base.port_or_known_default()
            && url.username().is_empty()
            && url.password().is_none();
        if !same_place {
            let place = plain(url.host_str().unwrap_or("nowhere"));
            return Err(OperationUrlError::Elsewhere(format!("{}://{place}", url.scheme())));
        }
        // Parsing may re-encode what follows the host, which would spoil the signature.
        let verbatim = text
            .split_once("://")
            .and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]))
            .is_some_and(|rest| url.as_str().ends_with(rest) && rest.len() == tail(&url));
        if verbatim { Ok(Self(text.to_owned())) } else { Err(OperationUrlError::NotVerbatim) }
    }

    /// The whole address with its signature, for the journal.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OperationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split(['?', '#']).next().unwrap_or_default())
    }
}

impl fmt::Debug for OperationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperationUrl({self})")
    }
}

/// Bytes of path, query and fragment.
fn tail(url: &Url) -> usize {
    let extra = |part: Option<&str>| part.map_or(0, |part| part.len() + 1);
    url.path().len() + extra(url.query()) + extra(url.fragment())
}

/// The answer to a poll: HTTP 200 is no success, the word inside is.
pub(crate) fn poll(headers: &HeaderMap, body: &[u8]) -> Result<Poll, ArmError> {
    #[derive(Deserialize)]
    struct Body {
        status: String,
        error: Option<Failure>,
    }
    let body: Body = serde_json::from_slice(body)
        .map_err(|error| ArmError::garbled(format!("operation without a status: {error}")))?;
    let state = match body.status.to_ascii_lowercase().as_str() {
        "succeeded" => OperationState::Succeeded,
        "failed" => {
            let failure = body.error.unwrap_or_default();
            OperationState::Failed { code: plain(&failure.code), message: plain(&failure.message) }
        }
        "canceled" | "cancelled" => OperationState::Canceled,
        _ => OperationState::Running { word: plain(&body.status) },
    };
    Ok(Poll { state, retry_after: retry_after(headers) })
}

/// `Retry-After` in seconds, within reason.
pub(crate) fn retry_after(headers: &HeaderMap) -> Duration {
    headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map_or(COME_BACK, Duration::from_secs)
        .clamp(Duration::from_secs(1), COME_BACK_AT_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("https://management.azure.com").expect("a URL")
    }

    fn signed() -> String {
        let (certificate, signature) = ("cA-_".repeat(2000), "s-_9".repeat(85));
        format!(
            "https://management.azure.com/subscriptions/1/resourceGroups/rg/providers/Microsoft.Sql\
             /locations/weu/distributedAvailabilityGroupsAzureAsyncOperation/7?api-version=2025-01-01\
             &t=638600000000000000&c={certificate}&s={signature}&h=abc"
        )
    }

    #[test]
    fn a_signed_address_is_kept_to_the_byte_and_shown_without_its_signature() {
        let text = signed();
        assert!(text.len() > 8192);
        let url = OperationUrl::new(&text, &base()).expect("it leads to the control plane");
        assert_eq!(url.as_str(), text);
        let shown = format!("{url} {url:?}");
        assert!(shown.ends_with("AzureAsyncOperation/7)"), "{shown}");
        assert!(!shown.contains("cA-_"));
    }

    #[test]
    fn the_token_goes_nowhere_else() {
        let base = base();
        for text in [
            "https://evil.example/subscriptions/1",
            "http://management.azure.com/subscriptions/1",
            "https://management.azure.com:8443/subscriptions/1",
            "https://user@management.azure.com/subscriptions/1",
            "https://management.azure.com.evil.example/subscriptions/1",
        ] {
            let error = OperationUrl::new(text, &base).expect_err(text);
            assert!(matches!(error, OperationUrlError::Elsewhere(_)), "{text}: {error}");
        }
        let error =
            OperationUrl::new("https://management.azure.com/a b", &base).expect_err("space");
        assert_eq!(error, OperationUrlError::NotVerbatim);
        let error = OperationUrl::new("/subscriptions/1", &base).expect_err("relative");
        assert!(matches!(error, OperationUrlError::NoUrl(_)), "{error}");
        let long = format!("https://management.azure.com/{}", "a".repeat(LONGEST));
        assert_eq!(OperationUrl::new(&long, &base), Err(OperationUrlError::TooLong));
    }

    #[test]
    fn the_word_counts_and_not_the_code() {
        let headers = HeaderMap::new();
        let state = |body: &str| poll(&headers, body.as_bytes()).map(|poll| poll.state);
        let failed = r#"{"name":"7","status":"Failed","startTime":"2026-11-22T10:00:00Z",
            "error":{"code":"ManagedDatabaseNameInUse","message":"taken"}}"#;
        assert_eq!(
            state(failed),
            Ok(OperationState::Failed {
                code: "ManagedDatabaseNameInUse".into(),
                message: "taken".into()
            })
        );
        let running = |word: &str| Ok(OperationState::Running { word: word.into() });
        assert_eq!(state(r#"{"status":"InProgress"}"#), running("InProgress"));
        assert_eq!(state(r#"{"status":"Dreaming"}"#), running("Dreaming"));
        assert_eq!(state(r#"{"status":"succeeded"}"#), Ok(OperationState::Succeeded));
        assert_eq!(state(r#"{"status":"Canceled"}"#), Ok(OperationState::Canceled));
        assert!(matches!(state("<html>"), Err(ArmError::Garbled { .. })));
    }

    #[test]
    fn the_wait_that_is_asked_for_is_kept_within_reason() {
        let wait = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().expect("a header"));
            retry_after(&headers).as_secs()
        };
        assert_eq!(wait("11"), 11);
        assert_eq!(wait("0"), 1);
        assert_eq!(wait("86400"), 60);
        assert_eq!(wait("Wed, 21 Oct 2026 07:28:00 GMT"), 15);
        assert_eq!(retry_after(&HeaderMap::new()).as_secs(), 15);
    }
}
