//! What is shipped in `deploy/`, as the tools that will read it judge it.

mod prometheus;
mod systemd;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A folder of `deploy/`.
fn folder(name: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package is one below the top").join("deploy").join(name)
}

/// What a tool says of it, both streams. It is installed by `tests/run --install`.
#[track_caller]
fn ask(tool: &str, arguments: &[&str], folder: &Path) -> Result<String, String> {
    let output = Command::new(tool)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{tool}: {error}: tests/run --install"));
    let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(words) } else { Err(words) }
}
