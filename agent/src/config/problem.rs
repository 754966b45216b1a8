//! What is wrong with a file: where, which key, what, and what would be right.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::locate::{Document, Key, example};

/// A longer file is not a configuration.
const LONGEST_BYTES: u64 = 1024 * 1024;

/// A file that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
pub struct ConfigError {
    pub path: PathBuf,
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong. Values that may be secrets are never part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Counted from 1; None if the file could not be read at all.
    pub line: Option<usize>,
    /// In characters, counted from 1.
    pub column: Option<usize>,
    /// The key, as `links[0].policy.misses`; empty if it is about the file as a whole.
    pub key: String,
    pub what: String,
    /// What would be right; empty if there is nothing to say.
    pub right: String,
}

/// Reads the text of a configuration file.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let whole = |what: String, right: &str| {
        ConfigError::wrong(path, vec![Problem::new(None, None, what, right.to_owned())])
    };
    let right =
        "a TOML file that can be read; `dr-agent config --defaults` prints one with every key";
    let about = std::fs::metadata(path)
        .map_err(|error| whole(format!("the file can't be read: {error}"), right))?;
    if !about.is_file() || about.len() > LONGEST_BYTES {
        return Err(whole("this is not a file of at most 1 MiB".to_owned(), right));
    }
    std::fs::read_to_string(path)
        .map_err(|error| whole(format!("the file can't be read: {error}"), right))
}

impl ConfigError {
    pub(super) fn wrong(path: &Path, problems: Vec<Problem>) -> Self {
        Self { path: path.to_owned(), problems }
    }
}

impl Problem {
    pub(super) fn new(
        place: Option<(usize, usize)>,
        key: Option<&Key>,
        what: String,
        right: String,
    ) -> Self {
        let (line, column) = (place.map(|(line, _)| line), place.map(|(_, column)| column));
        Self { line, column, key: key.map(ToString::to_string).unwrap_or_default(), what, right }
    }

    /// A type that does not fit, or a key that is missing, as serde tells it.
    pub(super) fn of_form(document: &Document<'_>, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or(0..0);
        let mut key = document.key_at(&span);
        let message = error.message();
        let (what, right) = if let Some(name) = quoted_after(message, "missing field ") {
            key = key.at(name);
            ("it is missing".to_owned(), String::new())
        } else if let Some((found, right)) = split(message) {
            (format!("it can't be {found}"), right)
        } else {
            let (what, right) = message.split_once('\n').unwrap_or((message, ""));
            (what.to_owned(), right.to_owned())
        };
        let example =
            example(&key).filter(|_| !right.contains("such as") && !right.contains(['{', '`']));
        let right = match (example, right.is_empty()) {
            (Some(line), true) => format!("for example `{line}`"),
            (Some(line), false) => format!("{right}, for example `{line}`"),
            (None, _) => right,
        };
        Self::new(Some(document.position(span.start)), Some(&key), what, right)
    }
}

/// The name in backticks behind some words.
fn quoted_after<'m>(message: &'m str, words: &str) -> Option<&'m str> {
    message.strip_prefix(words)?.strip_prefix('`')?.split('`').next()
}

/// What was found and what was expected.
fn split(message: &str) -> Option<(String, String)> {
    let rest = ["invalid type: ", "invalid value: ", "unknown variant ", "invalid length "]
        .iter()
        .find_map(|start| message.strip_prefix(start))?;
    let (found, expected) = rest.split_once(", expected ")?;
    let found = if found == "map" { "a table" } else { found };
    Some((found.to_owned(), right(expected).to_owned()))
}

/// Types as people call them.
fn right(expected: &str) -> &str {
    match expected {
        "usize" | "u32" => "a whole number, 0 or more",
        "u16" => "a whole number from 0 to 65535",
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        "a path" | "path string" => "a path in quotes",
        "a sequence" => "an array",
        "a map" => "a table",
        "socket address" => "an address and a port in quotes",
        record if record.starts_with("struct ") => "a table",
        other => other,
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}", self.path.display())?;
            if let (Some(line), Some(column)) = (problem.line, problem.column) {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)?;
        if !self.right.is_empty() {
            write!(f, "\n  right: {}", self.right)?;
        }
        Ok(())
    }
}
