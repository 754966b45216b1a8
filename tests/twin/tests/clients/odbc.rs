//! Microsoft's ODBC Driver 18, which its mssql-python brings along.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};
use twin::serve::Twin;

use crate::{shared::installed, start};

/// What the script may take for all that it does.
const PATIENCE: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_odbc_driver_asks_both_sides_of_a_link() {
    let found = installed(
        "TWIN_ODBC_PYTHON",
        "mssql-python-1.16.0/bin/python",
        "Microsoft's ODBC Driver 18",
    );
    let Some(python) = found else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let twin = start(&folder).await;
    let files = crate::files(&folder, &twin);
    let mut script = Command::new(python)
        .args(["-c", include_str!("odbc.py")])
        .args(&files)
        .env("SSL_CERT_FILE", &twin.endpoints.ca)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Python starts");
    let mut stdin = script.stdin.take().expect("a pipe");
    stdin.write_all(token(&twin).await.as_bytes()).await.expect("it reads");
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, script.wait_with_output()).await;
    let output = output.expect("it ends in time").expect("it ends");
    let said = crate::lines(&output);
    check_connections(&said);
    crate::check_queries(&said);
    check_rows(&said);
    check_refusals(&said);
    twin.shutdown().await;
}

fn check_connections(said: &[Value]) {
    let of = |side| {
        let found = said.iter().find(|line| line["step"] == "connected" && line["side"] == side);
        found.unwrap_or_else(|| panic!("no connection to {side}"))
    };
    // A managed instance forces encryption on those that do not ask for it.
    for (side, plain) in [("sql_server", "FALSE"), ("managed_instance", "TRUE")] {
        let said = of(side);
        let ways = json!({"no": [plain, "SQL"], "yes": ["TRUE", "SQL"], "strict": ["TRUE", "SQL"]});
        assert_eq!(said["ways"], ways, "{side}");
        assert_eq!(said["token"], json!([["dr-agent"]]), "{side}");
    }
}

fn check_rows(said: &[Value]) {
    let written = crate::step(said, "written");
    assert_eq!(written["depth"], json!([[1]]));
    assert_eq!(written["prepared"], json!([[1, "Zoë"], [2, null], [3, "a"], [4, "b"]]));
    assert_eq!(written["differing"], json!([]), "every type comes back as it went in");
    let catalog = json!({"tables": ["Typed"], "columns": 18, "kinds": 23});
    assert_eq!(written["catalog"], catalog, "the catalog functions");
    assert_eq!(written["empty"], true, "NULL of every type comes back as NULL");
    assert!(text(&written["refused"]).contains("because the database is read-only"), "{written}");
    let after = crate::step(said, "failed over");
    assert_eq!(after["rows"].as_array().and_then(|rows| rows.last()), Some(&json!(["after"])));
    assert!(text(&after["refused"]).contains("not accessible for queries"), "{after}");
}

fn check_refusals(said: &[Value]) {
    let refused = crate::step(said, "refused");
    for (what, wanted) in [
        ("missing", "Invalid object name 'nothere'."),
        ("backup", "Cannot open backup device"),
        ("password", "Login failed for user 'dr_agent'."),
        ("database", "Login failed for user 'dr_agent'."),
    ] {
        assert!(text(&refused[what]).contains(wanted), "{what}: {refused}");
    }
    let cancelled = crate::step(said, "cancelled");
    for what in ["batch", "prepared"] {
        assert!(text(&cancelled[what]).contains("Query timeout expired"), "{cancelled}");
    }
    assert_eq!(cancelled["after"], json!([[1]]), "the connection goes on");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A token of Entra for databases, as an application gets it with its secret.
async fn token(twin: &Twin) -> String {
    let arm = &twin.endpoints.arm;
    let ca = std::fs::read(&twin.endpoints.ca).expect("the authority");
    let ca = reqwest::Certificate::from_pem(&ca).expect("PEM");
    let http = reqwest::Client::builder().tls_certs_only([ca]).timeout(PATIENCE);
    let form = [
        ("client_id", arm.client_id.as_str()),
        ("client_secret", &arm.client_secret),
        ("grant_type", "client_credentials"),
        ("scope", "https://database.windows.net/.default"),
    ];
    let url = format!("{}/{}/oauth2/v2.0/token", arm.authority, arm.tenant);
    let request = http.build().expect("a client").post(url).form(&form).send();
    let body: Value = request.await.expect("an answer").json().await.expect("JSON");
    body["access_token"].as_str().expect("a token").to_owned()
}
