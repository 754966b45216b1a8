//! pymssql (FreeTDS' own library within) and python-tds (a protocol stack of its own).

use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{COUNTS, shared::installed, start};

/// What the script may take for all that it does.
const PATIENCE: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_clients_ask_both_sides_of_a_link() {
    let found = installed("TWIN_TDS_PYTHON", "tds-clients/bin/python", "pymssql and python-tds");
    let Some(python) = found else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let twin = start(&folder).await;
    let files = crate::files(&folder, &twin);
    let script = Command::new(python)
        .args(["-c", include_str!("clients.py")])
        .args(&files)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, script).await.expect("it ends in time");
    let said = crate::lines(&output.expect("Python starts"));
    for client in ["pymssql", "python-tds"] {
        check_queries(&said, client);
        check_rows(&said, client);
    }
    // What they have committed is in the same ledger as what applications commit.
    let here = twin.world.with(|world| {
        let commits = world.commits("LinkSales");
        commits.filter(|commit| commit.acknowledged && commit.on_sql_server).count()
    });
    assert!(here >= 2, "{here} commits");
    twin.shutdown().await;
}

fn check_queries(said: &[Value], client: &str) {
    for (side, secondary, role) in
        [("sql_server", false, "PRIMARY"), ("managed_instance", true, "SECONDARY")]
    {
        let of = |query: usize| {
            let found = said.iter().find(|line| {
                line["client"] == client && line["side"] == side && line["query"] == query
            });
            found.unwrap_or_else(|| panic!("{client} has not asked {query} of {side}"))["rows"]
                .as_array()
                .cloned()
                .expect("rows")
        };
        for (query, (on_primary, on_secondary)) in COUNTS.into_iter().enumerate() {
            let wanted = if secondary { on_secondary } else { on_primary };
            assert_eq!(of(query).len(), wanted, "{client}, {side}, query {query}");
        }
        assert_eq!(of(5)[0][1], role, "{client}, {side}");
        // numeric(25,0) is exact.
        let row = of(3).pop().expect("a row");
        let end = row[6].as_str().and_then(|digits| digits.parse::<u128>().ok());
        assert!(end.is_some_and(|end| end > 42_000_000_000_000_000), "{client}, {side}: {row}");
    }
}

fn check_rows(said: &[Value], client: &str) {
    let of = |step: &str| {
        let found = said.iter().find(|line| line["client"] == client && line["step"] == step);
        found.unwrap_or_else(|| panic!("{client}: nothing is {step}"))
    };
    let written = of("written");
    assert_eq!(written["depth"], json!([[1]]), "{client} is in a transaction");
    assert_eq!(written["rows"], json!([[1, "Zoë", "12.34"], [2, null, "0.07"]]), "{client}");
    assert_eq!(written["refused"], 3_906, "{client}: a secondary takes no writes");
    let after = of("failed over");
    let last = after["rows"].as_array().and_then(|rows| rows.last()).map(|row| &row[1]);
    assert_eq!(last, Some(&json!("after")), "{client}");
    assert_eq!(after["rows"].as_array().map(Vec::len), Some(3), "{client}");
    assert_eq!(after["refused"], 976, "{client}: SQL Server's secondary is not readable");
}
