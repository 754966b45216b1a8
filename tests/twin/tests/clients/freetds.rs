//! FreeTDS: `tsql` speaks the protocol itself, `bsqldb` through DB-Library.

use std::{fs, path::Path, process::Stdio, time::Duration};

use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command};
use twin::serve::SqlEndpoint;

use crate::{COUNTS, queries, start};

/// What one run of a client may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freetds_asks_both_sides_of_a_link() {
    let folder = tempfile::tempdir().expect("a folder");
    let twin = start(&folder).await;
    let sides = [&twin.endpoints.sql_server, &twin.endpoints.managed_instance];
    for (at, on_secondary) in sides.into_iter().zip([false, true]) {
        let client = Client::new(&folder, at, &twin.endpoints.ca);
        let mut all = Vec::new();
        for (query, (primary, secondary)) in queries().zip(COUNTS) {
            let wanted = if on_secondary { secondary } else { primary };
            // bsqldb cannot print a uniqueidentifier; tsql can.
            if !query.contains("drs.replica_id, ") {
                let rows = client.bsqldb(query).await;
                assert_eq!(rows.len(), wanted, "{}: {query}: {rows:?}", at.name);
            }
            all.push(wanted);
        }
        // The same in one session, where each result has its count, but for empty ones.
        all.retain(|count| *count > 0);
        let said = client.tsql(crate::QUERIES).await;
        let counts = said.lines().filter_map(|line| {
            let (count, _) = line.trim().strip_prefix('(')?.split_once(" row")?;
            count.parse::<usize>().ok()
        });
        assert_eq!(counts.collect::<Vec<_>>(), all, "{}: {said}", at.name);
        let role = if on_secondary { "SECONDARY" } else { "PRIMARY" };
        assert!(said.contains(&format!("LinkSales\t{role}")), "{said}");
    }
    let [primary, secondary] = sides.map(|at| Client::new(&folder, at, &twin.endpoints.ca));
    primary.configure(&twin.endpoints.ca);
    let made = primary
        .tsql(
            "CREATE TABLE Sales.dbo.Orders (id int PRIMARY KEY, who nvarchar(40))\nGO\nBEGIN TRAN\n\
             INSERT Sales.dbo.Orders VALUES (1, N'Zoë'), (2, NULL)\nCOMMIT\nGO\n\
             SELECT id, who FROM Sales.dbo.Orders",
        )
        .await;
    assert!(made.contains("1\tZoë") && made.contains("2\tNULL"), "{made}");
    secondary.configure(&twin.endpoints.ca);
    let read = "SELECT id, who FROM Sales.dbo.Orders ORDER BY id";
    let arrived = async { while !secondary.tsql(read).await.contains("1\tZoë") {} };
    tokio::time::timeout(PATIENCE, arrived).await.expect("the rows arrive");
    assert_eq!(secondary.bsqldb(read).await.first().map(String::as_str), Some("1|Zoë"));
    let refused = secondary.tsql("DELETE Sales.dbo.Orders").await;
    assert!(refused.contains("Msg 3906"), "{refused}");
    twin.shutdown().await;
}

/// The documented change of mode, and the query that is to verify it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freetds_switches_a_link_to_synchronous_commit_and_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let twin = start(&folder).await;
    let primary = Client::new(&folder, &twin.endpoints.sql_server, &twin.endpoints.ca);
    let verify = queries().find(|query| query.contains("ar.availability_mode_desc"));
    let verify = verify.expect("it is one of the documented ones");
    for mode in ["SYNCHRONOUS_COMMIT", "ASYNCHRONOUS_COMMIT"] {
        let said = primary
            .tsql(&format!(
                "ALTER AVAILABILITY GROUP [LinkSales] MODIFY AVAILABILITY GROUP ON\n  \
                 'AG_Sales' WITH (AVAILABILITY_MODE = {mode}),\n  \
                 'mi-dr' WITH (AVAILABILITY_MODE = {mode});"
            ))
            .await;
        assert!(!said.contains("Msg "), "{said}");
        let rows = primary.bsqldb(verify).await;
        let modes: Vec<_> = rows.iter().filter_map(|row| row.split('|').nth(3)).collect();
        assert_eq!(modes, [mode, mode], "{rows:?}");
    }
    twin.shutdown().await;
}

struct Client<'a> {
    folder: &'a Path,
    at: &'a SqlEndpoint,
}

impl Client<'_> {
    fn new<'a>(folder: &'a TempDir, at: &'a SqlEndpoint, ca: &Path) -> Client<'a> {
        let client = Client { folder: folder.path(), at };
        client.configure(ca);
        client
    }

    /// Both sides share one file: it is written anew for the one that is asked next.
    fn configure(&self, ca: &Path) {
        let at = self.at;
        let text = format!(
            "[global]\n tds version = 7.4\n ca file = {}\n[twin]\n host = {}\n port = {}\n \
             encryption = require\n text size = 100000\n",
            ca.display(),
            at.host,
            at.port,
        );
        fs::write(self.folder.join("freetds.conf"), text).expect("it is written");
    }

    /// The rows of one query, columns parted by `|`.
    async fn bsqldb(&self, query: &str) -> Vec<String> {
        let mut command = Command::new("bsqldb");
        command.args(["-S", "twin", "-D", "master", "-q", "-t", "|"]);
        let (said, complaints) = self.run(command, query).await;
        assert!(complaints.is_empty(), "{query}: {complaints}");
        said.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
    }

    /// Everything that `tsql` says of batches parted by GO, messages last.
    async fn tsql(&self, text: &str) -> String {
        let mut command = Command::new("tsql");
        command.args(["-S", "twin"]);
        let (said, complaints) = self.run(command, &format!("{text}\nGO\n")).await;
        said + &complaints
    }

    async fn run(&self, mut command: Command, input: &str) -> (String, String) {
        let mut client = command
            .args(["-U", &self.at.user, "-P", &self.at.password])
            .env("FREETDSCONF", self.folder.join("freetds.conf"))
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("FreeTDS' tsql and bsqldb are not there: run tests/run --install");
        let mut stdin = client.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).await.expect("it reads");
        drop(stdin);
        let ended = tokio::time::timeout(PATIENCE, client.wait_with_output()).await;
        let output = ended.expect("it ends in time").expect("it ends");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    }
}
