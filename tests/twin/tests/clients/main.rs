//! Unmodified clients of others at the TDS door: FreeTDS, pymssql, python-tds, Microsoft's ODBC Driver
//! 18 and its tedious.

mod freetds;
mod odbc;
mod python;
#[path = "../shared/clients.rs"]
mod shared;
mod tedious;

use std::{path::PathBuf, process::Output};

use serde_json::Value;
use tempfile::TempDir;
use twin::{
    serve::{Twin, TwinOptions},
    world::WorldSpec,
};

/// The documented queries of the link's own pages, parted by GO, and how many rows each has on the
/// primary and on the secondary: a secondary sees only its own.
const QUERIES: &str = include_str!("hadr.sql");
const COUNTS: [(usize, usize); 9] =
    [(1, 0), (1, 0), (2, 2), (2, 1), (2, 1), (1, 1), (1, 1), (3, 2), (3, 2)];

async fn start(folder: &TempDir) -> Twin {
    let options = TwinOptions {
        spec: WorldSpec::default(),
        seed: 5,
        speed: 10.0,
        directory: folder.path().to_owned(),
    };
    Twin::start(options).await.expect("it starts")
}

fn queries() -> impl Iterator<Item = &'static str> {
    QUERIES.split("\nGO\n")
}

/// What the scripts read: where the twin is, and the queries.
fn files(folder: &TempDir, twin: &Twin) -> [PathBuf; 2] {
    let files = [folder.path().join("endpoints.json"), folder.path().join("hadr.sql")];
    let endpoints = serde_json::to_vec(&twin.endpoints).expect("JSON");
    std::fs::write(&files[0], endpoints).expect("it is written");
    std::fs::write(&files[1], QUERIES).expect("it is written");
    files
}

/// What a script says: one JSON object a line.
fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::str::from_utf8(&output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What a script said of one of its steps.
fn step<'s>(said: &'s [Value], step: &str) -> &'s Value {
    let found = said.iter().find(|line| line["step"] == step);
    found.unwrap_or_else(|| panic!("nothing is {step}"))
}

/// How many rows the documented queries have had on both sides.
fn check_queries(said: &[Value]) {
    for (side, secondary) in [("sql_server", false), ("managed_instance", true)] {
        let asked: Vec<usize> = said
            .iter()
            .filter(|line| line["step"] == "asked" && line["side"] == side)
            .filter_map(|line| usize::try_from(line["rows"].as_u64()?).ok())
            .collect();
        let wanted = COUNTS.map(|(first, second)| if secondary { second } else { first });
        assert_eq!(asked, wanted, "{side}");
    }
}
