//! Who may ask: bearer tokens from files.
//!
//! A file holds one token a line; empty lines and lines that begin with `#` say nothing. Files are
//! read again when they change, so a token is changed without a restart: add the new one, move the
//! clients over, take the old one out. A file that can't be read lets nobody in.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest as _, Sha256};

use super::{App, problem::Problem, webhook};

/// Characters that a token has at the least.
pub const SHORTEST_TOKEN: usize = 16;
/// Bytes of a token file that are read at the most.
const LONGEST_FILE: u64 = 64 * 1024;

/// The tokens that open the API. Only their hashes are kept.
#[derive(Debug)]
pub struct Tokens {
    files: Vec<Mutex<File>>,
}

/// Why a token file is no good.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the token file {} can't be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("the token file {} is larger than {LONGEST_FILE} bytes: it holds one token a line", path.display())]
    TooLarge { path: PathBuf },
    #[error(
        "line {line} of the token file {} has fewer than {SHORTEST_TOKEN} characters: `openssl rand -hex 32` makes a good one",
        path.display()
    )]
    TooShort { path: PathBuf, line: usize },
    #[error("the token file {} holds no token: write one a line", path.display())]
    Empty { path: PathBuf },
    #[error(
        "the token file {} can be read by others (mode {mode:o}): chmod 600 it",
        path.display()
    )]
    ReadByOthers { path: PathBuf, mode: u32 },
}

type Hash = [u8; 32];

#[derive(Debug)]
struct File {
    path: PathBuf,
    /// What the file was like when it was read; None while it can't be.
    stamp: Option<Stamp>,
    hashes: Vec<Hash>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    length: u64,
    inode: u64,
    mode: u32,
}

impl Tokens {
    /// Reads all files once, so that a mistake shows at the start and not at the first request.
    ///
    /// # Errors
    ///
    /// Which file is no good, and why.
    pub fn read(paths: &[PathBuf]) -> Result<Self, TokenError> {
        let file = |path: &PathBuf| {
            let (stamp, hashes) = read(path)?;
            Ok(Mutex::new(File { path: path.clone(), stamp: Some(stamp), hashes }))
        };
        Ok(Self { files: paths.iter().map(file).collect::<Result<_, _>>()? })
    }

    /// Whether the token is in one of the files as they are now. Both sides are hashed before they
    /// are compared, and all are compared: the time it takes says nothing about any token.
    #[must_use]
    pub fn know(&self, token: &str) -> bool {
        let asked: Hash = Sha256::digest(token.as_bytes()).into();
        let mut known = false;
        for file in &self.files {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.refresh();
            for hash in &file.hashes {
                known |= same(hash, &asked);
            }
        }
        known
    }
}

/// Lets nobody through who brings no token, except to what may be asked by everybody.
pub(super) async fn known(State(app): State<App>, request: Request, next: Next) -> Response {
    let open = match request.uri().path() {
        "/healthz" | "/readyz" => true,
        "/metrics" => app.parts.metrics_open,
        _ => false,
    };
    if open {
        return next.run(request).await;
    }
    let Some(token) = bearer(&request) else {
        let how = "send `Authorization: Bearer TOKEN` with a token of the configured token files";
        return Problem::unauthorized(how).into_response();
    };
    // A monitoring system must not read the journal, and whoever may read it has a better way to ask.
    let alerts = request.uri().path() == webhook::PATH;
    let (opens, elsewhere) = if alerts {
        (&app.parts.webhook_tokens, &app.parts.tokens)
    } else {
        (&app.parts.tokens, &app.parts.webhook_tokens)
    };
    if opens.know(token) {
        return next.run(request).await;
    }
    if elsewhere.know(token) {
        return Problem::forbidden("this token opens something else").into_response();
    }
    Problem::unauthorized("this token is not known here").into_response()
}

fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn same(one: &Hash, other: &Hash) -> bool {
    one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

impl File {
    fn refresh(&mut self) {
        let stamp = fs::metadata(&self.path).ok().map(|found| Stamp::of(&found));
        if stamp.is_some() && stamp == self.stamp {
            return;
        }
        match read(&self.path) {
            Ok((stamp, hashes)) => {
                tracing::info!(file = %self.path.display(), tokens = hashes.len(), "tokens read");
                (self.stamp, self.hashes) = (Some(stamp), hashes);
            }
            Err(error) => {
                // Said once for each state that the file is found in, not once for each request.
                if self.stamp != stamp || !self.hashes.is_empty() {
                    tracing::error!(%error, "tokens of this file are not accepted any more");
                }
                (self.stamp, self.hashes) = (stamp, Vec::new());
            }
        }
    }
}

impl Stamp {
    fn of(found: &fs::Metadata) -> Self {
        Self {
            modified: (found.mtime(), found.mtime_nsec()),
            length: found.len(),
            inode: found.ino(),
            mode: found.mode(),
        }
    }
}

fn read(path: &Path) -> Result<(Stamp, Vec<Hash>), TokenError> {
    let unreadable = |error| TokenError::Unreadable { path: path.to_owned(), error };
    let found = fs::metadata(path).map_err(unreadable)?;
    let mode = found.mode() & 0o7777;
    // The group may read it, never write it: that is how secrets are handed to a service.
    if mode & 0o027 != 0 {
        return Err(TokenError::ReadByOthers { path: path.to_owned(), mode });
    }
    if found.len() > LONGEST_FILE {
        return Err(TokenError::TooLarge { path: path.to_owned() });
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let mut hashes = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let token = line.trim();
        if token.is_empty() || token.starts_with('#') {
            continue;
        }
        if token.chars().count() < SHORTEST_TOKEN {
            return Err(TokenError::TooShort { path: path.to_owned(), line: place + 1 });
        }
        hashes.push(Sha256::digest(token.as_bytes()).into());
    }
    if hashes.is_empty() {
        return Err(TokenError::Empty { path: path.to_owned() });
    }
    Ok((Stamp::of(&found), hashes))
}
