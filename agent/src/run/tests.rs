//! The whole composition in one process, with nobody at the other end.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use agent_core::Event;
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;

const TOKEN: &str = "a-token-of-the-tests";
const SOON: Duration = Duration::from_secs(30);

struct Running {
    url: String,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

impl Running {
    async fn start(folder: &Path) -> Self {
        let stop = CancellationToken::new();
        let mut task = tokio::spawn(run_until(config(folder), stop.clone()));
        let address = folder.join("address");
        let told = async {
            loop {
                if let Ok(url) = fs::read_to_string(&address) {
                    return url;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            url = tokio::time::timeout(SOON, told) => {
                let url = url.expect("the door opens").trim().to_owned();
                Self { url, stop, task }
            }
            ended = &mut task => panic!("it ended: {ended:?}"),
        }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let request = Client::new().get(format!("{}{path}", self.url)).bearer_auth(TOKEN);
        let answer = request.timeout(SOON).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// Once every vantage has been looked from.
    async fn ready(&self) {
        let ready = async {
            while self.get("/readyz").await.0 != 200 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, ready).await.expect("it gets ready");
    }

    async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(SOON, self.task).await.expect("it ends");
        ended.expect("no panic").expect("in order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_begins_looks_answers_stops_and_begins_again() {
    let folder = folder();
    for start in 1..=2 {
        let agent = Running::start(folder.path()).await;
        agent.ready().await;
        let (code, status) = agent.get("/api/v1/status").await;
        assert_eq!((code, &status["links"][0]["health"]), (200, &Value::from("unknown")));
        let seen = &status["links"][0]["sides"]["sql_server"]["seen"];
        assert_eq!(seen["silence"]["kind"], "refused", "{seen}");
        let (_, journal) = agent.get("/api/v1/journal").await;
        let entries = journal["entries"].as_array().expect("a list");
        let starts = entries.iter().filter(|kept| {
            let event = serde_json::from_value(kept["entry"]["event"].clone()).expect("an event");
            matches!(event, Event::AgentStarted { .. })
        });
        assert_eq!(starts.count(), start);
        agent.stop().await;
        assert!(!folder.path().join("address").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_surroundings_shows_before_anything_is_written() {
    let folder = folder();
    let agent = Running::start(folder.path()).await;
    let second = run_until(config(folder.path()), CancellationToken::new()).await;
    let locked = second.expect_err("the journal is taken");
    assert!(matches!(locked, RunError::Journal(JournalError::Locked { .. })), "{locked}");
    let (_, status) = agent.get("/api/v1/status").await;
    assert_eq!(status["last_seq"], 1);
    agent.stop().await;

    let mut config = config(folder.path());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    config.http.listen = taken.local_addr().expect("an address");
    let error = run_until(config, CancellationToken::new()).await.expect_err("the port is taken");
    assert!(matches!(error, RunError::Http(ServeError::Listen { .. })), "{error}");
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [("tokens", TOKEN), ("password", "s3cret")] {
        let path: PathBuf = folder.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode set");
    }
    folder
}

/// Nobody listens on port 1.
fn config(folder: &Path) -> Config {
    let instance = |section: &str, name: &str| {
        format!(
            r#"
            [[{section}]]
            name = "{name}"
            host = "127.0.0.1"
            port = 1
            login = {{ user = "u", password = {{ file = "password" }} }}
            trust = {{ fingerprint = "{}" }}
            "#,
            ["00"; 32].join(":")
        )
    };
    let text = format!(
        r#"
        [agent]
        data_dir = "data"
        [http]
        listen = "127.0.0.1:0"
        token_files = ["tokens"]
        address_file = "address"
        [schedule]
        daily_report = "off"
        runbook = "off"
        [quorum]
        forced = 1
        [approvers.alice]
        public_key = "ed25519:ZUkD6B2rMPXXiiXEeErwwQiCjoXrrk/+fscrZKk1d2I="
        {}{}
        [[links]]
        name = "orders"
        sql_server = "sql"
        managed_instance = "mi"
        database = "Orders"
        agent_domain = "site"
        managed_instance_domain = "azure"
        "#,
        instance("sql_servers", "sql"),
        instance("managed_instances", "mi"),
    );
    Config::parse(&folder.join("agent.toml"), &text).expect("a configuration")
}
