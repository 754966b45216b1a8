//! Microsoft's tedious, the client of SQL Server for Node.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{shared::installed, start};

/// What the script may take for all that it does.
const PATIENCE: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_tedious_asks_both_sides_of_a_link() {
    let found = installed("TWIN_TEDIOUS", "tedious-19.2.2/node_modules", "Microsoft's tedious");
    let Some(modules) = found else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let twin = start(&folder).await;
    let files = crate::files(&folder, &twin);
    let script = Command::new("node")
        .args(["-e", include_str!("tedious.js"), "tedious"])
        .args(&files)
        .env("NODE_PATH", modules)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, script).await.expect("it ends in time");
    let said = crate::lines(&output.expect("Node starts"));
    check_connections(&said);
    crate::check_queries(&said);
    check_rows(&said);
    let cancelled = crate::step(&said, "cancelled");
    assert_eq!(
        (&cancelled["timeout"], &cancelled["cancelled"]),
        (&json!("ETIMEOUT"), &json!("ECANCEL"))
    );
    assert_eq!((&cancelled["between"], &cancelled["after"]), (&json!([[1]]), &json!([[1]])));
    twin.shutdown().await;
}

fn check_connections(said: &[Value]) {
    // tedious says that it cannot encrypt if it is not to, and a managed instance insists.
    for (side, plain) in
        [("sql_server", json!([["FALSE", 4096]])), ("managed_instance", json!("EENCRYPT"))]
    {
        let found = said.iter().find(|line| line["step"] == "connected" && line["side"] == side);
        let said = found.unwrap_or_else(|| panic!("no connection to {side}"));
        assert_eq!(said["ways"]["false"], plain, "{side}");
        for way in ["true", "strict"] {
            assert_eq!(said["ways"][way], json!([["TRUE", 4096]]), "{side}, {way}");
        }
        assert_eq!(said["long"], 100_000, "{side}: a value of many packets");
    }
}

fn check_rows(said: &[Value]) {
    let written = crate::step(said, "written");
    assert_eq!(written["depth"], json!([[1]]));
    assert_eq!(written["prepared"], json!([[1, "Zoë"], [2, null]]));
    assert_eq!(written["output"], json!({"sum": 42, "text": "hé"}));
    assert_eq!(written["afterReset"], 208, "temporary tables end with the session's reset");
    assert_eq!(written["differing"], json!([]), "every type comes back as it went in");
    assert_eq!(written["empty"], true, "NULL of every type comes back as NULL");
    assert_eq!(written["refused"], 3_906, "a secondary takes no writes");
    let after = crate::step(said, "failed over");
    assert_eq!(after["rows"], json!([["Zoë"], [null], ["after"]]));
    assert_eq!(after["refused"], 976, "SQL Server's secondary is not readable");
}
