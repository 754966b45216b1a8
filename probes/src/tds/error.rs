//! What can go wrong on the way to an instance, and what that means for a command that was under way.

use std::{fmt, io};

use agent_core::{Silence, SilenceKind, reply};

use crate::text::{causes, plain};

/// How far a connection had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Resolving the name, TCP.
    Connecting,
    /// PRELOGIN and the TLS handshake.
    Securing,
    LoggingIn,
    /// The statement is, or may be, on its way: from here on it can have an effect.
    Asking,
}

/// A failure to get an answer from an instance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TdsError {
    /// The port is closed: the host, or something on the path, is alive.
    #[error("connection refused: {detail}")]
    Refused { detail: String },
    /// The name is unknown or no route leads there.
    #[error("cannot be reached: {detail}")]
    Unroutable { detail: String },
    #[error("no answer in time while {stage}")]
    TimedOut { stage: Stage },
    /// The connection broke.
    #[error("connection broke while {stage}: {detail}")]
    Io { stage: Stage, detail: String },
    /// The peer's certificate is not the expected one, or it has no encryption to offer.
    #[error("TLS failed: {detail}")]
    Tls { detail: String },
    /// The peer is there, and there is no token, of Entra or of Kerberos, to log in with.
    #[error("no token to log in with: {detail}")]
    NoToken { detail: String },
    /// The peer answered and refused the login.
    #[error("login refused with error {number}, state {state}: {message}")]
    Login { number: u32, class: u8, state: u8, message: String },
    /// The peer understood the statement and refused it or failed at it.
    #[error("error {number}, class {class}, state {state}: {message}")]
    Server { number: u32, class: u8, state: u8, message: String },
    /// The answer cannot be understood, or rows are missing where rows must be.
    #[error("answer not understood while {stage}: {detail}")]
    Garbled { stage: Stage, detail: String },
}

/// "Come again later": resource limits of Azure SQL, a database that is being moved, too many logins.
const ASKS_PATIENCE: [u32; 10] =
    [10928, 10929, 17197, 17830, 40197, 40501, 40613, 49918, 49919, 49920];

impl TdsError {
    /// The statement cannot have had an effect, because it never left.
    #[must_use]
    pub fn nothing_sent(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::Unroutable { .. }
            | Self::Tls { .. }
            | Self::NoToken { .. }
            | Self::Login { .. } => true,
            Self::TimedOut { stage } | Self::Io { stage, .. } | Self::Garbled { stage, .. } => {
                *stage < Stage::Asking
            }
            Self::Server { .. } => false,
        }
    }

    /// The statement may have had an effect or may still have one: only a look can tell.
    #[must_use]
    pub fn unknown(&self) -> bool {
        match self {
            Self::Server { number, class, .. } => reply::ends_open(*number, *class),
            Self::Refused { .. }
            | Self::Unroutable { .. }
            | Self::TimedOut { .. }
            | Self::Io { .. }
            | Self::Tls { .. }
            | Self::NoToken { .. }
            | Self::Login { .. }
            | Self::Garbled { .. } => !self.nothing_sent(),
        }
    }

    /// The server looked at the statement and refused it before any effect.
    #[must_use]
    pub fn refused(&self) -> bool {
        !self.nothing_sent() && !self.unknown()
    }

    /// Number of the server's error, where the server said one.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        match self {
            Self::Login { number, .. } | Self::Server { number, .. } => Some(*number),
            Self::Refused { .. }
            | Self::Unroutable { .. }
            | Self::TimedOut { .. }
            | Self::Io { .. }
            | Self::Tls { .. }
            | Self::NoToken { .. }
            | Self::Garbled { .. } => None,
        }
    }

    /// The same as evidence.
    #[must_use]
    pub fn silence(&self) -> Silence {
        let kind = match self {
            // A connection that breaks, like one that is refused, shows that something lives on
            // the path and the service does not.
            Self::Refused { .. } | Self::Io { .. } => SilenceKind::Refused,
            Self::Unroutable { .. } => SilenceKind::Unroutable,
            Self::TimedOut { .. } => SilenceKind::TimedOut,
            Self::Tls { .. } => SilenceKind::TlsFailed,
            Self::Login { number, .. } | Self::Server { number, .. }
                if ASKS_PATIENCE.contains(number) =>
            {
                SilenceKind::Throttled
            }
            // The peer has shown its certificate by then, so it lives.
            Self::NoToken { .. } | Self::Login { .. } => SilenceKind::LoginFailed,
            Self::Server { .. } => SilenceKind::Denied,
            Self::Garbled { .. } => SilenceKind::Garbled,
        };
        Silence { kind, detail: plain(&self.to_string()) }
    }

    pub(crate) fn garbled(detail: impl fmt::Display) -> Self {
        Self::Garbled { stage: Stage::Asking, detail: plain(&detail.to_string()) }
    }

    /// From an I/O error of our own socket or TLS code.
    pub(crate) fn from_io(stage: Stage, error: &io::Error) -> Self {
        if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
            return Self::Tls { detail: causes(error) };
        }
        Self::from_kind(stage, error.kind(), &causes(error))
    }

    /// From what tiberius makes of the same, and of what the server says.
    pub(crate) fn from_tiberius(stage: Stage, error: &tiberius::error::Error) -> Self {
        use tiberius::error::Error;
        match error {
            Error::Io { kind, message } => Self::from_kind(stage, *kind, message),
            Error::Tls(detail) => Self::Tls { detail: plain(detail) },
            #[cfg(feature = "kerberos")]
            Error::Gssapi(detail) => Self::NoToken { detail: plain(detail) },
            Error::Server(token) => {
                let (number, class, state) = (token.code(), token.class(), token.state());
                let message = plain(token.message());
                match stage {
                    Stage::Connecting | Stage::Securing | Stage::LoggingIn => {
                        Self::Login { number, class, state, message }
                    }
                    Stage::Asking => Self::Server { number, class, state, message },
                }
            }
            Error::Protocol(_)
            | Error::Encoding(_)
            | Error::Conversion(_)
            | Error::Utf8
            | Error::Utf16
            | Error::ParseInt(_)
            | Error::Routing { .. }
            | Error::BulkInput(_) => Self::Garbled { stage, detail: plain(&error.to_string()) },
        }
    }

    fn from_kind(stage: Stage, kind: io::ErrorKind, message: &str) -> Self {
        let detail = plain(message);
        if kind == io::ErrorKind::TimedOut {
            return Self::TimedOut { stage };
        }
        if stage > Stage::Connecting {
            return Self::Io { stage, detail };
        }
        if matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) {
            Self::Refused { detail }
        } else {
            Self::Unroutable { detail }
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Securing => "negotiating encryption",
            Self::LoggingIn => "logging in",
            Self::Asking => "waiting for the result",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(number: u32, class: u8) -> TdsError {
        TdsError::Server { number, class, state: 1, message: "m".into() }
    }

    fn login(number: u32) -> TdsError {
        TdsError::Login { number, class: 14, state: 1, message: "m".into() }
    }

    #[test]
    fn a_failure_is_one_of_nothing_sent_refused_and_unknown() {
        let asking = Stage::Asking;
        let cases = [
            (TdsError::Refused { detail: String::new() }, "nothing sent", SilenceKind::Refused),
            (TdsError::TimedOut { stage: Stage::LoggingIn }, "nothing sent", SilenceKind::TimedOut),
            (TdsError::TimedOut { stage: asking }, "unknown", SilenceKind::TimedOut),
            (
                TdsError::Io { stage: asking, detail: String::new() },
                "unknown",
                SilenceKind::Refused,
            ),
            (TdsError::Tls { detail: String::new() }, "nothing sent", SilenceKind::TlsFailed),
            (TdsError::NoToken { detail: String::new() }, "nothing sent", SilenceKind::LoginFailed),
            (login(18456), "nothing sent", SilenceKind::LoginFailed),
            (login(40613), "nothing sent", SilenceKind::Throttled),
            (server(47517, 16), "refused", SilenceKind::Denied),
            (server(300, 14), "refused", SilenceKind::Denied),
            (server(41163, 16), "unknown", SilenceKind::Denied),
            (server(596, 21), "unknown", SilenceKind::Denied),
            (TdsError::garbled("?"), "unknown", SilenceKind::Garbled),
        ];
        for (error, expected, silence) in cases {
            let facts = [
                ("nothing sent", error.nothing_sent()),
                ("refused", error.refused()),
                ("unknown", error.unknown()),
            ];
            let said: Vec<_> = facts.iter().filter(|(_, is)| *is).map(|(what, _)| *what).collect();
            assert_eq!(said, [expected], "{error}");
            assert_eq!(error.silence().kind, silence, "{error}");
        }
    }

    #[test]
    fn a_certificate_error_inside_an_io_error_is_a_tls_failure() {
        let inner = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = io::Error::new(io::ErrorKind::InvalidData, inner);
        let TdsError::Tls { detail } = TdsError::from_io(Stage::Securing, &error) else {
            panic!("expected a TLS failure");
        };
        assert!(detail.contains("UnknownIssuer"), "{detail}");
    }
}
