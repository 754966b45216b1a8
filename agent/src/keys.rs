//! Keys of approvers: Ed25519. The private one is a PKCS#8 PEM file that only its owner can read;
//! the public one is a line in the configuration of the agent.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::{
    SigningKey, VerifyingKey,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, spki::der::pem::LineEnding},
};

/// What a public key begins with in the configuration.
const PREFIX: &str = "ed25519:";
/// Public keys whose private ones are printed where everybody reads them: the examples of RFC 8032,
/// section 7.1. Whoever copies one from there lets the world sign.
const PUBLISHED: [&str; 5] = [
    "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=",
    "/FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU=",
    "J4EX/BRMcjQPZ9DyMW6Dhs7/vyskKMnFH+98WX8dQm4=",
    "7Bcrk61eVjv0kyxw4SRQNMNUZ+8u/U1k6/gZaDRn4r8=",
];
/// A key of ours has some 120 bytes.
const LONGEST_BYTES: u64 = 16 * 1024;

/// Why a key can't be made, kept or used. Never holds any part of it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the key file {} is there already; a key is never overwritten", path.display())]
    Exists { path: PathBuf },
    #[error("the key file {} can't be written: {error}", path.display())]
    Unwritable { path: PathBuf, error: io::Error },
    #[error("the key file {} can't be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error(
        "the key file {} is open to others (mode {mode:03o}): chmod 600 {}",
        path.display(),
        path.display()
    )]
    OpenToOthers { path: PathBuf, mode: u32 },
    #[error(
        "{} is not a private Ed25519 key in PKCS#8 PEM without a passphrase: `dr-agent key new` makes one",
        path.display()
    )]
    NoKey { path: PathBuf },
    #[error("the operating system gives no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// A new key from the randomness of the operating system.
///
/// # Errors
///
/// There is none to be had.
pub fn generate() -> Result<SigningKey, KeyError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(KeyError::Randomness)?;
    Ok(SigningKey::from_bytes(&seed))
}

/// Writes a key to a new file that only its owner can read.
///
/// # Errors
///
/// The file is there already, or can't be written.
pub fn write_new(path: &Path, key: &SigningKey) -> Result<(), KeyError> {
    let unwritable = |error| KeyError::Unwritable { path: path.to_owned(), error };
    let pem = key
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| unwritable(io::Error::other(error.to_string())))?;
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return KeyError::Exists { path: path.to_owned() };
        }
        unwritable(error)
    })?;
    file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(unwritable)
}

/// Reads a private key.
///
/// # Errors
///
/// The file can't be read, others can read it, or it is no such key.
pub fn read(path: &Path) -> Result<SigningKey, KeyError> {
    let unreadable = |error| KeyError::Unreadable { path: path.to_owned(), error };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::OpenToOthers { path: path.to_owned(), mode });
    }
    let mut pem = String::new();
    file.take(LONGEST_BYTES).read_to_string(&mut pem).map_err(unreadable)?;
    SigningKey::from_pkcs8_pem(&pem).map_err(|_| KeyError::NoKey { path: path.to_owned() })
}

/// A public key as it stands in the configuration: `ed25519:` and the 32 bytes in base64.
#[must_use]
pub fn show_public(key: &VerifyingKey) -> String {
    format!("{PREFIX}{}", BASE64_STANDARD.encode(key.as_bytes()))
}

/// Reads a public key as it stands in the configuration.
///
/// # Errors
///
/// Says what is wrong with it.
pub fn parse_public(text: &str) -> Result<VerifyingKey, String> {
    let digits = text
        .trim()
        .strip_prefix(PREFIX)
        .ok_or_else(|| format!("a public key begins with `{PREFIX}`"))?;
    let bytes = BASE64_STANDARD.decode(digits).map_err(|_| "this is not base64".to_owned())?;
    let bytes: [u8; 32] = bytes
        .as_slice()
        .try_into()
        .map_err(|_| format!("a public key has 32 bytes, this has {}", bytes.len()))?;
    let key = VerifyingKey::from_bytes(&bytes)
        .map_err(|_| "these bytes are not an Ed25519 public key".to_owned())?;
    if key.is_weak() {
        return Err("this key is weak: anybody could sign for it".to_owned());
    }
    if PUBLISHED.contains(&digits) {
        return Err(
            "this key is an example whose private key is published: anybody could sign with it"
                .to_owned(),
        );
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn a_key_that_everybody_has_is_refused() {
        for digits in PUBLISHED {
            let why = parse_public(&format!("{PREFIX}{digits}")).expect_err("it is published");
            assert!(why.contains("published"), "{why}");
        }
    }

    #[test]
    fn a_key_goes_to_its_file_and_comes_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alice.pem");
        let key = generate().expect("randomness");
        write_new(&path, &key).expect("written");
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert!(fs::read_to_string(&path).expect("text").starts_with("-----BEGIN PRIVATE KEY"));
        assert_eq!(read(&path).expect("read").to_bytes(), key.to_bytes());
        let line = show_public(&key.verifying_key());
        assert_eq!(parse_public(&line).expect("parsed"), key.verifying_key());
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alice.pem");
        fs::write(&path, "precious").expect("written");
        let error = write_new(&path, &generate().expect("randomness")).expect_err("it is there");
        assert!(matches!(error, KeyError::Exists { .. }));
        assert_eq!(fs::read_to_string(&path).expect("text"), "precious");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alice.pem");
        write_new(&path, &generate().expect("randomness")).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("mode set");
        let error = read(&path).expect_err("open to others");
        assert!(error.to_string().contains("(mode 640): chmod 600 "), "{error}");
    }

    #[test]
    fn two_keys_differ() {
        let (one, other) = (generate().expect("one"), generate().expect("another"));
        assert_ne!(one.to_bytes(), other.to_bytes());
    }

    #[test]
    fn what_is_no_key_is_refused_in_words() {
        let check = |text: &str, words: &str| {
            assert_eq!(parse_public(text).expect_err(text), words);
        };
        check("abc", "a public key begins with `ed25519:`");
        check("ed25519:***", "this is not base64");
        check("ed25519:AAAA", "a public key has 32 bytes, this has 3");
        let zeros = BASE64_STANDARD.encode([0; 32]);
        check(&format!("ed25519:{zeros}"), "this key is weak: anybody could sign for it");
    }
}
