//! A file is right, or says exactly what is wrong with it.

mod alerts;
mod contradictions;
mod errors;
mod guard;
mod instances;
mod reference;
mod schedule;

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use expect_test::Expect;

use super::{Config, ConfigError};

/// The smallest file that is right.
const SMALL: &str = r#"[http]
token_files = ["token"]

[quorum]
forced = 1

[approvers.alice]
public_key = "ed25519:ZUkD6B2rMPXXiiXEeErwwQiCjoXrrk/+fscrZKk1d2I="

[[sql_servers]]
name = "sql-1"
host = "sql-1.example.com"
login = { user = "eye", password = { file = "password" } }
trust = { fingerprint = "d4c9d9027326271a89ce51fcaf328ed673f17be33469ff979e8ab8dd501e664f" }

[[managed_instances]]
name = "mi-1"
host = "mi-1.example.com"
login = { user = "eye", password = { file = "password" } }
trust = { fingerprint = "d4c9d9027326271a89ce51fcaf328ed673f17be33469ff979e8ab8dd501e664f" }

[[links]]
name = "orders"
sql_server = "sql-1"
managed_instance = "mi-1"
database = "orders"
"#;

/// A folder with the secrets that the files in these tests name.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for name in ["token", "password", "private"] {
            folder.write(name, "hunter2hunter2hunter2\n", 0o600);
        }
        folder.write("short", "hunter2\n", 0o600);
        folder.write("open", "hunter2hunter2hunter2\n", 0o644);
        folder.write("amqp", "amqp://guest:hunter2@localhost\n", 0o600);
        folder.write("certificate", "no certificate\n", 0o644);
        folder
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode set");
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("agent.toml")
    }

    fn parse(&self, text: &str) -> Result<Config, ConfigError> {
        Config::parse(&self.path(), text)
    }

    /// The errors, without the folder's own name.
    fn errors(&self, text: &str) -> String {
        let error = self.parse(text).expect_err("the file is wrong");
        error.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

/// The small file with one text in place of another.
fn check(from: &str, to: &str, expected: &Expect) {
    assert!(SMALL.contains(from), "{from:?} is not in the small file");
    let shown = Folder::new().errors(&SMALL.replacen(from, to, 1));
    assert!(!shown.contains("hunter2"), "a secret is shown: {shown}");
    expected.assert_eq(&shown);
}

/// The small file with more of it.
fn check_more(more: &str, expected: &Expect) {
    check("[http]", &format!("{more}\n[http]"), expected);
}
