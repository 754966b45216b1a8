//! Where `tests/run --install` has put the clients of others.

use std::path::PathBuf;

/// The file of a client: the one that the variable names, else `made` below the folder that
/// `tests/run --install` fills. Nothing if the variable is `none`: `tests/run` sets that, and says so,
/// where the client cannot be had.
///
/// # Panics
/// If neither is there.
pub(crate) fn installed(variable: &str, made: &str, client: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable);
    if named.as_ref().is_some_and(|named| named == "none") {
        eprintln!("{client} is not here: nothing was asked");
        return None;
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let made = cache.map(|cache| cache.join("dr-agent-tests").join(made));
    let found = named.map(PathBuf::from).or(made).unwrap_or_default();
    assert!(found.exists(), "{client} is not there ({}): run tests/run --install", found.display());
    Some(found)
}
