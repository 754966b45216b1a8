//! How a program of the operator's ended, and what that says.

use alloc::{format, string::String};
use core::time::Duration;

use crate::{deed::Sent, event::Again, sight::Status};

/// `timeout` has ended it, politely and not so.
const TIMED_OUT: [i32; 2] = [124, 137];
const CANNOT_BE_INVOKED: i32 = 126;
/// What init scripts say of a service that is stopped.
const STOPPED: i32 = 3;

/// How a hook ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookEnd {
    /// With this code, as a shell shows it, and the last line that it wrote.
    Code { code: i32, last: String },
    /// It was not run at all.
    NotRun(String),
    /// Nobody can say.
    Lost(String),
}

/// What became of a hook that was to do something. `name`: its command, `within`: its limit.
#[must_use]
pub fn hook(name: &str, within: Duration, end: HookEnd) -> Sent {
    let (code, last) = match end {
        HookEnd::Code { code, last } => (code, last),
        HookEnd::NotRun(why) => return Sent::Refused { why, again: Again::Never },
        HookEnd::Lost(why) => return Sent::Unknown { why: format!("{name}: {why}") },
    };
    let (why, again) = match code {
        0 => return Sent::Accepted { operation: None },
        code if TIMED_OUT.contains(&code) => {
            (format!("{name} was ended after {} ms", within.as_millis()), Again::SameRoute)
        }
        CANNOT_BE_INVOKED => (format!("{name} can't be run (exit code {code})"), Again::Never),
        code => (format!("{name} ended with exit code {code}"), Again::SameRoute),
    };
    Sent::Refused { why: with_words(why, &last), again }
}

/// Whether the applications run, by the word of a hook that was asked.
///
/// # Errors
///
/// An end that is no answer, in words.
pub fn hook_status(name: &str, within: Duration, end: HookEnd) -> Result<Status, String> {
    match end {
        HookEnd::Code { code: 0, .. } => Ok(Status::Running),
        HookEnd::Code { code: STOPPED, .. } => Ok(Status::Stopped),
        HookEnd::Code { code, last } if TIMED_OUT.contains(&code) => {
            let why = format!("{name} said nothing within {} ms", within.as_millis());
            Err(with_words(why, &last))
        }
        HookEnd::Code { code, last } => {
            let why = format!(
                "{name} ended with exit code {code}, which is neither 0 (running) nor 3 (stopped)"
            );
            Err(with_words(why, &last))
        }
        HookEnd::NotRun(why) => Err(why),
        HookEnd::Lost(why) => Err(format!("{name}: {why}")),
    }
}

fn with_words(why: String, last: &str) -> String {
    if last.is_empty() { why } else { format!("{why}: {last}") }
}
