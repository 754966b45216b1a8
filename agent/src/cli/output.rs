//! What a command hands back: text for people or JSON for machines, on stdout.

use std::io::{self, Write as _};

use clap::ValueEnum;
use serde::Serialize;

use super::{
    exit::Failure,
    text::{Page, plain_json},
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For machines; errors too, on stderr.
    Json,
}

impl Output {
    /// Writes a value in JSON, or the page that is made of it.
    pub(super) fn show<T: Serialize>(
        self,
        value: &T,
        page: impl FnOnce(&mut Page),
    ) -> Result<(), Failure> {
        match self {
            Self::Json => print(&json(value)?),
            Self::Text => print(&text(page)),
        }
    }

    /// The same with each value on a line of its own, for streams.
    pub(super) fn show_line<T: Serialize>(
        self,
        value: &T,
        page: impl FnOnce(&mut Page),
    ) -> Result<(), Failure> {
        match self {
            Self::Json => {
                let line = serde_json::to_string(value).map_err(Failure::internal)?;
                print(&(plain_json(&line) + "\n"))
            }
            Self::Text => print(&text(page)),
        }
    }

    /// Tells why a command failed, on stderr.
    pub(super) fn fail(self, failure: &Failure) {
        let shown = match self {
            Self::Json => json(&failure.json()).unwrap_or_default(),
            Self::Text => text(|page| {
                for (at, line) in failure.to_string().lines().enumerate() {
                    page.line(0, if at == 0 { format!("error: {line}") } else { line.to_owned() });
                }
            }),
        };
        tell(&shown);
    }
}

/// Writes a page to stderr, for what is read before a question is answered.
pub(super) fn tell(text: &str) {
    // There is nowhere left to complain if stderr is gone.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

pub(super) fn text(page: impl FnOnce(&mut Page)) -> String {
    let mut text = Page::default();
    page(&mut text);
    text.finish()
}

/// JSON as files and machines get it, with a line break at its end.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::internal)?;
    Ok(plain_json(&text) + "\n")
}

pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        // Whoever read it has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::internal(format!("can't write to stdout: {error}"))),
    }
}
