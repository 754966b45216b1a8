//! Microsoft's azure-mgmt-sql, unmodified, with its own polling.

use std::{process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{ChildStdout, Command},
};
use twin::{
    serve::{Twin, TwinOptions},
    world::{Command as Sql, Origin, Party, Role, Side, WorldSpec},
};

use crate::shared::installed;

const LINK: &str = "LinkSales";

/// What the client says, line by line.
struct Said(tokio::io::Lines<BufReader<ChildStdout>>);

impl Said {
    async fn next(&mut self, step: &str) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(90), self.0.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{step}: the client says nothing"));
        let line = line.expect("text").unwrap_or_else(|| panic!("{step}: the client has ended"));
        let said: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(said["step"], step, "{said}");
        said
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_client_shows_updates_fails_over_and_deletes() {
    let made = "azure-mgmt-sql-4.0.0/bin/python";
    let found = installed("TWIN_AZURE_PYTHON", made, "Microsoft's azure-mgmt-sql");
    let Some(python) = found else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let twin = start(&folder).await;
    let file = folder.path().join("endpoints.json");
    let endpoints = serde_json::to_vec(&twin.endpoints).expect("JSON");
    std::fs::write(&file, endpoints).expect("it is written");
    let mut client = Command::new(python)
        .args(["-c", include_str!("sdk.py")])
        .arg(&file)
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Python starts");
    let mut input = client.stdin.take().expect("a pipe");
    let mut said = Said(BufReader::new(client.stdout.take().expect("a pipe")).lines());

    assert_eq!(said.next("list").await["names"], serde_json::json!([LINK]));
    let show = said.next("show").await;
    assert_eq!(
        (show["role"].as_str(), show["failover_mode"].as_str()),
        (Some("Secondary"), Some("Manual"))
    );
    assert_eq!(show["databases"][0][1], "LinkSynchronizing");
    let update = said.next("update").await;
    assert_eq!(update["replication_mode"], "Sync", "PATCH ends with a GET of the link");
    let wrong = said.next("planned on the wrong side").await;
    assert_eq!(wrong["status"], 400);
    assert_eq!(wrong["code"], "InvalidDistributedAvailabilityGroupFailoverInstanceRole");

    let forced = said.next("forced").await;
    assert_eq!(forced["role"], "Primary");
    assert_eq!(forced["failover_mode"], "None", "the stub at Location, which is not true");
    assert_eq!(said.next("after forced").await["failover_mode"], "Manual");
    said.next("started").await;
    demote(&twin).await;
    input.write_all(b"\n").await.expect("it reads");
    said.next("mended").await;

    // A 429 made the client send its POST again by itself.
    assert_eq!(said.next("planned").await["role"], "Secondary");
    let after = said.next("after planned").await;
    assert_eq!(after["databases"][0][2], "CONNECTED");
    assert_eq!(said.next("set role").await["role"], "Primary");
    assert_eq!(said.next("delete").await["result"], Value::Null);
    let gone = said.next("show after that").await;
    assert_eq!(
        (gone["status"].as_u64(), gone["code"].as_str()),
        (Some(404), Some("ResourceNotFound"))
    );
    let again = said.next("delete again").await;
    assert_eq!(again["code"], "OperationIdNotFound", "accepted, and failed at the first poll");
    assert_eq!(said.next("list after that").await["names"], serde_json::json!([]));
    assert!(client.wait().await.expect("it ends").success());
    let failovers = twin.world.with(|world| {
        let planned = |record: &&twin::world::CommandRecord| record.command.0.contains("Planned");
        world.ledger().commands().iter().filter(planned).count()
    });
    assert_eq!(failovers, 2, "the refused one, and one that went through, sent twice");
    twin.shutdown().await;
}

async fn start(folder: &tempfile::TempDir) -> Twin {
    let options = TwinOptions {
        spec: WorldSpec::default(),
        seed: 3,
        speed: 20.0,
        directory: folder.path().to_owned(),
    };
    Twin::start(options).await.expect("it starts")
}

/// What an operator does about the old primary: it is told that it is secondary.
async fn demote(twin: &Twin) {
    let who = Origin::new(Party::Operator, "operator", "test");
    let done = twin.world.until(Duration::from_secs(60), |world| {
        let order = Sql::SetRoleSecondary { group: LINK.to_owned() };
        let member = world.link(LINK)?.member(Side::SqlServer);
        // Refused while it is starting: then again at the next tick. Its database has to be let
        // follow after that.
        if member.role() != Role::Secondary {
            let _ = world.execute("sql01", &who, order);
            return None;
        }
        if !member.connected() {
            return None;
        }
        let resume = Sql::Resume { database: "Sales".to_owned() };
        let suspended = member.copies()[0].suspended().is_some();
        let _ = world.execute("sql01", &who, resume);
        (!suspended).then_some(())
    });
    assert!(done.await.is_some(), "it becomes secondary");
}
