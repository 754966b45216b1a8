//! How the command line ends: one code for each kind of end, and the words that go with it.

use std::{fmt, process::ExitCode};

use serde_json::{Value, json};

use crate::{
    config::ConfigError, journal::JournalError, keys::KeyError, replay::ReplayError, run::RunError,
};

/// It is done, or the answer is yes.
pub const OK: u8 = 0;
/// The agent refused, or the answer is no.
pub const REFUSED: u8 = 1;
/// The command line itself is wrong.
pub const USAGE: u8 = 2;
/// The agent can't be reached, or can't answer at present.
pub const UNREACHABLE: u8 = 3;
/// A configuration, key, token or other file is wrong.
pub const CONFIG: u8 = 4;
/// The journal is damaged.
pub const JOURNAL: u8 = 5;
/// Everything else: a bug, or a machine that fails.
pub const INTERNAL: u8 = 70;

/// Each code with its meaning, as help and manual tell them.
pub(super) const CODES: [(u8, &str); 7] = [
    (OK, "it is done, or the answer is yes"),
    (REFUSED, "the agent refused, or the answer is no"),
    (USAGE, "the command line is wrong"),
    (UNREACHABLE, "the agent can't be reached, or can't answer at present"),
    (CONFIG, "a configuration, key, token or other file is wrong"),
    (JOURNAL, "the journal is damaged"),
    (INTERNAL, "anything else: a bug, or a machine that fails"),
];

/// The codes as `--help` tells them.
pub(super) fn help() -> String {
    let lines = CODES.map(|(code, meaning)| format!("\n  {code:<3} {meaning}"));
    format!("Exit codes:{}", lines.concat())
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    word: &'static str,
    message: String,
    /// What machines are told beside the message, under a name.
    more: Option<(&'static str, Value)>,
}

impl Failure {
    fn new(code: u8, word: &'static str, message: impl ToString) -> Self {
        Self { code, word, message: message.to_string(), more: None }
    }

    pub(super) fn refused(message: impl ToString) -> Self {
        Self::new(REFUSED, "refused", message)
    }

    pub(super) fn usage(message: impl ToString) -> Self {
        Self::new(USAGE, "usage", message)
    }

    pub(super) fn unreachable(message: impl ToString) -> Self {
        Self::new(UNREACHABLE, "unreachable", message)
    }

    pub(super) fn file(message: impl ToString) -> Self {
        Self::new(CONFIG, "config", message)
    }

    pub(super) fn internal(message: impl ToString) -> Self {
        Self::new(INTERNAL, "internal", message)
    }

    pub(super) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.more = Some((name, value));
        self
    }

    /// Whether it may be another time: the agent was not there, or not able to answer.
    pub(super) fn passes(&self) -> bool {
        self.code == UNREACHABLE
    }

    /// The end of the process that goes with it.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// As machines read it, in the shape of the API's errors.
    pub(super) fn json(&self) -> Value {
        let mut error = json!({ "code": self.word, "message": self.message });
        if let Some((name, value)) = &self.more {
            error[*name] = value.clone();
        }
        json!({ "error": error })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let problems = serde_json::to_value(&error.problems).unwrap_or_default();
        Self::file(&error).with("problems", problems)
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        match &error {
            KeyError::Exists { .. }
            | KeyError::Unwritable { .. }
            | KeyError::Unreadable { .. }
            | KeyError::OpenToOthers { .. }
            | KeyError::NoKey { .. } => Self::file(error),
            KeyError::Randomness(_) => Self::internal(error),
        }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        match &error {
            JournalError::Broken { seq, .. } => {
                let seq = Value::from(*seq);
                Self::new(JOURNAL, "journal_damaged", error).with("seq", seq)
            }
            JournalError::Conflict { .. } | JournalError::Illegal(_) => {
                Self::new(JOURNAL, "journal_damaged", error)
            }
            JournalError::Locked { .. }
            | JournalError::Unusable { .. }
            | JournalError::Io { .. } => Self::file(error),
            JournalError::Unsettled { .. } | JournalError::Disk { .. } => Self::internal(error),
        }
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Journal(error) => error.into(),
            ReplayError::Recording(_) => Self::file(error),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Journal(error) | RunError::Loop(error) => error.into(),
            RunError::Tokens(_) | RunError::Http(_) | RunError::Setup(_) => Self::file(error),
            RunError::NoStart(_)
            | RunError::LoopPanicked
            | RunError::PartEnded(_)
            | RunError::System { .. } => Self::internal(error),
        }
    }
}
