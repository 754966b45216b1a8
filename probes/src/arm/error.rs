//! What can go wrong at the control plane, and what that means for a request that was under way.

use std::{io, time::Duration};

use agent_core::{Silence, SilenceKind};

use super::credential::CredentialError;
use crate::text::{causes, plain};

/// A failure to get an answer from Azure Resource Manager.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArmError {
    /// There is no token to be had, so nothing was asked.
    #[error("no token: {0}")]
    Credential(#[from] CredentialError),
    /// 401: the token was not accepted.
    #[error("401: {message}")]
    Unauthorized { message: String },
    /// 403: the identity lacks a permission.
    #[error("403 {code}: {message}")]
    Forbidden { code: String, message: String },
    /// Not found (404). If the `gateway` says so, the managed instance or its resource group does not exist;
    /// if the resource provider does, the link or the operation.
    #[error("404 {code} ({}): {message}", if *gateway { "gateway" } else { "resource provider" })]
    NotFound { gateway: bool, code: String, message: String },
    /// 409: something else is going on there; refused before any effect.
    #[error("409 {code}: {message}")]
    Conflict { code: String, message: String },
    /// 429.
    #[error("429: asked to wait {} s", retry_after.as_secs())]
    Throttled { retry_after: Duration },
    /// Any other answer that is a refusal.
    #[error("{status} {code}: {message}")]
    Rejected { status: u16, code: String, message: String },
    /// 408 and 5xx: whatever was asked may have been done or not.
    #[error("{status} {code}: {message}")]
    Unavailable { status: u16, code: String, message: String },
    /// `sent`: the request was, or may have been, on its way.
    #[error("no answer in time {}", if *sent { "to the request" } else { "before anything was sent" })]
    TimedOut { sent: bool },
    /// The connection could not be made (`sent` is false) or broke.
    #[error("{}: {detail}", if *sent { "connection broke" } else { "cannot connect" })]
    Io { sent: bool, kind: SilenceKind, detail: String },
    /// The peer's certificate could not be verified; nothing was sent.
    #[error("TLS failed: {detail}")]
    Tls { detail: String },
    /// A success that cannot be understood.
    #[error("answer not understood: {detail}")]
    Garbled { detail: String },
}

impl ArmError {
    /// The request cannot have had an effect, because it never left.
    #[must_use]
    pub fn nothing_sent(&self) -> bool {
        match self {
            Self::Credential(_) | Self::Tls { .. } => true,
            Self::TimedOut { sent } | Self::Io { sent, .. } => !sent,
            Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Conflict { .. }
            | Self::Throttled { .. }
            | Self::Rejected { .. }
            | Self::Unavailable { .. }
            | Self::Garbled { .. } => false,
        }
    }

    /// The request was understood and refused before any effect.
    #[must_use]
    pub fn refused(&self) -> bool {
        match self {
            Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Conflict { .. }
            | Self::Throttled { .. }
            | Self::Rejected { .. } => true,
            Self::Credential(_)
            | Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::Io { .. }
            | Self::Tls { .. }
            | Self::Garbled { .. } => false,
        }
    }

    /// The request may have had an effect or may still have one: only a look can tell.
    #[must_use]
    pub fn unknown(&self) -> bool {
        !self.nothing_sent() && !self.refused()
    }

    /// The same as evidence.
    #[must_use]
    pub fn silence(&self) -> Silence {
        let kind = match self {
            Self::Credential(error) => error.kind,
            Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Conflict { .. }
            | Self::Rejected { .. }
            | Self::Unavailable { .. } => SilenceKind::Denied,
            Self::Throttled { .. } => SilenceKind::Throttled,
            Self::TimedOut { .. } => SilenceKind::TimedOut,
            Self::Io { kind, .. } => *kind,
            Self::Tls { .. } => SilenceKind::TlsFailed,
            Self::Garbled { .. } => SilenceKind::Garbled,
        };
        Silence { kind, detail: plain(&self.to_string()) }
    }

    pub(crate) fn garbled(detail: impl std::fmt::Display) -> Self {
        Self::Garbled { detail: plain(&detail.to_string()) }
    }

    /// From a request that got no answer, or only part of one.
    pub(crate) fn from_request(error: reqwest::Error) -> Self {
        // A connection that was never made carried nothing; reqwest counts TLS to its making.
        let sent = !(error.is_connect() || error.is_builder());
        let found = Found::among_causes(&error);
        // The signed addresses of operations must not reach a log by way of an error text.
        let error = error.without_url();
        if found.tls && !sent {
            return Self::Tls { detail: causes(&error) };
        }
        if error.is_timeout() {
            return Self::TimedOut { sent };
        }
        Self::Io { sent, kind: found.kind(sent), detail: causes(&error) }
    }
}

/// What the chain of causes of an error holds.
#[derive(Default)]
struct Found {
    tls: bool,
    io: Option<io::ErrorKind>,
}

impl Found {
    fn among_causes(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut found = Self::default();
        let mut next = Some(error);
        for _ in 0..16 {
            let Some(cause) = next else { break };
            found.tls |= cause.is::<rustls::Error>();
            // What an io::Error wraps is not its source; it has to be asked for, and may be another.
            next = match cause.downcast_ref::<io::Error>() {
                Some(io) => {
                    found.io = Some(io.kind());
                    io.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static))
                }
                None => cause.source(),
            };
        }
        found
    }

    fn kind(&self, sent: bool) -> SilenceKind {
        match self.io {
            Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) => {
                SilenceKind::Refused
            }
            Some(_) | None if sent => SilenceKind::Refused,
            Some(_) | None => SilenceKind::Unroutable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_of_nothing_sent_refused_and_unknown() {
        let text = String::new;
        let cases = [
            (ArmError::Unauthorized { message: text() }, "refused"),
            (ArmError::Forbidden { code: text(), message: text() }, "refused"),
            (ArmError::NotFound { gateway: true, code: text(), message: text() }, "refused"),
            (ArmError::Conflict { code: text(), message: text() }, "refused"),
            (ArmError::Throttled { retry_after: Duration::ZERO }, "refused"),
            (ArmError::Rejected { status: 400, code: text(), message: text() }, "refused"),
            (ArmError::Unavailable { status: 503, code: text(), message: text() }, "unknown"),
            (ArmError::TimedOut { sent: true }, "unknown"),
            (ArmError::TimedOut { sent: false }, "nothing sent"),
            (ArmError::Tls { detail: text() }, "nothing sent"),
            (ArmError::garbled(""), "unknown"),
        ];
        for (error, expected) in cases {
            let facts = [
                ("nothing sent", error.nothing_sent()),
                ("refused", error.refused()),
                ("unknown", error.unknown()),
            ];
            let said: Vec<_> = facts.iter().filter(|(_, is)| *is).map(|(what, _)| *what).collect();
            assert_eq!(said, [expected], "{error}");
        }
    }
}
