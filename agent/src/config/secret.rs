//! Secrets never stand in the file: it says where they are kept.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use probes::{Secret, SecretSource};
use serde::{Deserialize, Deserializer, Serialize, de};

/// A secret is a line, not a book.
const LONGEST_BYTES: u64 = 16 * 1024;

/// What would be right; said wherever a secret is given in another way.
const RIGHT: &str = "{ file = \"/path/to/it\" } or { env = \"NAME_OF_A_VARIABLE\" }";

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    File(PathBuf),
    Env(String),
}

/// How a secret is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// On one line, as a password.
    Line,
    /// On several, as PEM.
    Text,
}

/// Why a secret can't be had. Never holds any part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    pub(super) what: String,
    pub(super) right: String,
}

impl Source {
    /// Reads the secret; relative paths are relative to `base`.
    pub(super) fn read(&self, base: &Path) -> Result<Secret, Unusable> {
        match self {
            Self::File(path) => read_file(&base.join(path)),
            Self::Env(name) => read_env(name),
        }
    }

    /// Reads the secret in the form that it has.
    pub(super) fn read_as(&self, form: Form, base: &Path) -> Result<Secret, Unusable> {
        match (form, self) {
            (Form::Line, _) => self.read(base),
            (Form::Text, Self::File(path)) => read_text(&base.join(path)).map(Secret::from),
            (Form::Text, Self::Env(name)) => {
                std::env::var(name).map(Secret::from).map_err(|_| unset(name))
            }
        }
    }

    /// The secret, which was read as `first`, read again for each use: a file may be changed while
    /// the agent runs, a variable of its environment can't.
    pub(super) fn kept(&self, first: Secret, form: Form, base: &Path) -> SecretSource {
        match self {
            Self::Env(_) => SecretSource::fixed(first),
            Self::File(_) => {
                let (source, base) = (self.clone(), base.to_owned());
                let again = move || source.read_as(form, &base).map_err(|unusable| unusable.what);
                SecretSource::kept(first, again)
            }
        }
    }
}

/// Reads a secret from a file that others can't read.
pub(super) fn read_file(path: &Path) -> Result<Secret, Unusable> {
    let shown = path.display();
    let text = read_text(path)?;
    one_line(&text).map(Secret::from).map_err(|what| Unusable {
        what: format!("the secret file {shown} {what}"),
        right: "a file with nothing but the secret in it, on one line".into(),
    })
}

/// Reads the first token of a file that others can't read.
pub(super) fn read_token(path: &Path) -> Result<Secret, Unusable> {
    let text = read_text(path)?;
    let token = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    token.map(Secret::from).ok_or_else(|| Unusable {
        what: format!("the token file {} has no token in it", path.display()),
        right: "one token on a line".into(),
    })
}

/// Opens a file with a secret in it, if others can't.
pub(super) fn open(path: &Path) -> Result<File, Unusable> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let about = file.metadata().map_err(|error| unreadable(path, &error))?;
    if !about.is_file() {
        return Err(Unusable {
            what: format!("{shown} is not a file"),
            right: "the path of a file with the secret in it".into(),
        });
    }
    let mode = about.permissions().mode() & 0o777;
    // A group may be let in on purpose (root:dr-agent 0640); everybody never is.
    if mode & 0o027 != 0 {
        return Err(Unusable {
            what: format!("the secret file {shown} is open to others (mode {mode:03o})"),
            right: format!("chmod 600 {shown}"),
        });
    }
    if about.len() > LONGEST_BYTES {
        return Err(Unusable {
            what: format!("the secret file {shown} has more than {LONGEST_BYTES} bytes"),
            right: "a file with nothing but the secret in it".into(),
        });
    }
    Ok(file)
}

fn read_text(path: &Path) -> Result<String, Unusable> {
    let mut text = String::new();
    let read = open(path)?.take(LONGEST_BYTES).read_to_string(&mut text);
    read.map_err(|error| unreadable(path, &error))?;
    Ok(text)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Unusable {
    Unusable {
        what: format!("the secret file {} can't be read: {error}", path.display()),
        right: "an existing file that the user of the agent can read".into(),
    }
}

fn read_env(name: &str) -> Result<Secret, Unusable> {
    let text = std::env::var(name).map_err(|_| unset(name))?;
    one_line(&text).map(Secret::from).map_err(|what| Unusable {
        what: format!("the environment variable {name} {what}"),
        right: "nothing but the secret, on one line".into(),
    })
}

fn unset(name: &str) -> Unusable {
    Unusable {
        what: format!("the environment variable {name} is not set, or is not UTF-8"),
        right: format!("set {name} in the environment of the agent"),
    }
}

fn one_line(text: &str) -> Result<&str, &'static str> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err("is empty");
    }
    if text.contains(['\n', '\r', '\0']) {
        return Err("has more than one line");
    }
    Ok(text)
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Whatever stands there instead may be the secret itself, so no message shows it.
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

fn inline<E: de::Error>() -> E {
    E::custom(format!("a secret does not stand in this file\n{RIGHT}"))
}

impl<'de> de::Visitor<'de> for SourceVisitor {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(RIGHT)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Source, E> {
        Err(inline())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Source, E> {
        Err(inline())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Source, E> {
        Err(inline())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Source, E> {
        Err(inline())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<Source, A::Error> {
        Err(inline())
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Source, A::Error> {
        let one =
            || de::Error::custom(format!("it takes exactly one of `file` and `env`\n{RIGHT}"));
        let key: String = map.next_key()?.ok_or_else(one)?;
        let source = match key.as_str() {
            "file" => Source::File(map.next_value()?),
            "env" => Source::Env(map.next_value()?),
            _ => return Err(one()),
        };
        match map.next_key::<String>()? {
            None => Ok(source),
            Some(_) => Err(one()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn file_with(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("mode set");
        (folder, path)
    }

    #[test]
    fn a_secret_file_gives_its_line() {
        use secrecy::ExposeSecret as _;
        for (text, mode) in [("s3cret\n", 0o600), ("s3cret", 0o400), ("s3cret\r\n", 0o640)] {
            let (_folder, path) = file_with(text, mode);
            let secret = read_file(&path).expect("readable");
            assert_eq!(secret.expose_secret(), "s3cret");
            assert!(!format!("{secret:?}").contains("s3cret"));
        }
    }

    #[test]
    fn a_secret_file_that_is_open_to_others_comes_with_the_mend() {
        for mode in [0o644, 0o604, 0o620, 0o666] {
            let (_folder, path) = file_with("s3cret\n", mode);
            let error = read_file(&path).expect_err("open to others");
            assert_eq!(error.right, format!("chmod 600 {}", path.display()));
            assert!(error.what.contains(&format!("mode {mode:03o}")), "{}", error.what);
        }
    }

    #[test]
    fn an_empty_or_long_secret_is_none() {
        for text in ["", "\n", "one\ntwo\n"] {
            let (_folder, path) = file_with(text, 0o600);
            assert!(read_file(&path).is_err(), "{text:?}");
        }
    }
}
