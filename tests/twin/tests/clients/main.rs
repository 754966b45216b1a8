//! Unmodified clients of others at the TDS door: FreeTDS, pymssql, python-tds.

mod freetds;
mod python;

use tempfile::TempDir;
use twin::{
    serve::{Twin, TwinOptions},
    world::WorldSpec,
};

/// The documented queries of the link's own pages, parted by GO, and how many rows each has on the
/// primary and on the secondary: a secondary sees only its own.
const QUERIES: &str = include_str!("hadr.sql");
const COUNTS: [(usize, usize); 8] =
    [(1, 0), (1, 0), (2, 2), (2, 1), (2, 1), (1, 1), (1, 1), (3, 2)];

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
