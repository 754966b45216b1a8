//! A private Prometheus and a private Alertmanager, each on a port and in a folder of its own.

use super::http::{self, Answer};
use super::ports::free_ports;
use super::process::Process;
use super::wait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A third of a second on an idle machine.
const READY: Duration = Duration::from_secs(60);
/// For a reload, which answers when it is done.
const RELOAD: Duration = Duration::from_secs(30);

/// A running Prometheus. Dropped, it is killed and its data go.
pub struct Prometheus {
    server: Server,
}

/// A running Alertmanager, alone and in no cluster. Dropped, it is killed and its data go.
pub struct Alertmanager {
    server: Server,
}

/// One sample of an answer to a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Every label, the name of the metric too (`__name__`).
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

struct Server {
    process: Process,
    port: u16,
    config: &'static str,
    // Last, for the process writes into it until it ends.
    folder: TempDir,
}

impl Prometheus {
    /// Starts one with this configuration; `files` are written beside it, for it to name.
    ///
    /// # Panics
    /// When it is not installed, the configuration is wrong, or it is not ready within a minute on
    /// any of three ports.
    #[must_use]
    pub fn start(config: &str, files: &[(&str, &str)]) -> Self {
        let server = Server::start("prometheus", "prometheus.yml", config, files, |port| {
            vec![
                "--config.file=prometheus.yml".to_owned(),
                "--storage.tsdb.path=data".to_owned(),
                format!("--web.listen-address=127.0.0.1:{port}"),
                // What fires before Alertmanager has been discovered, 5 s after the start, is lost until
                // it is sent again: after a minute if nobody says otherwise.
                "--rules.alert.resend-delay=1s".to_owned(),
                "--log.level=warn".to_owned(),
            ]
        });
        Self { server }
    }

    /// What an expression says now.
    ///
    /// # Panics
    /// When it is not an expression that gives an instant vector.
    #[must_use]
    pub fn query(&self, expression: &str) -> Vec<Sample> {
        let answer = self.server.get(&format!("/api/v1/query?query={}", escaped(expression)));
        let result = &answer["data"]["result"];
        let result = result.as_array().unwrap_or_else(|| panic!("{expression}: {answer}"));
        let sample = |found: &Value| {
            let labels = found["metric"].as_object().expect("labels").iter();
            Sample {
                labels: labels.map(|(name, value)| (name.clone(), word(value))).collect(),
                value: word(&found["value"][1]).parse().expect("a number"),
            }
        };
        result.iter().map(sample).collect()
    }

    /// The alerts that are pending or firing, as `/api/v1/alerts` gives them.
    #[must_use]
    pub fn alerts(&self) -> Vec<Value> {
        let answer = self.server.get("/api/v1/alerts");
        answer["data"]["alerts"].as_array().expect("a list").clone()
    }

    /// The rules with their state, as `/api/v1/rules` gives them.
    #[must_use]
    pub fn rules(&self) -> Vec<Value> {
        let answer = self.server.get("/api/v1/rules");
        let groups = answer["data"]["groups"].as_array().expect("a list");
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("a list"));
        rules.cloned().collect()
    }

    /// What it complains of.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.process.stderr()
    }
}

impl Alertmanager {
    /// Starts one with this configuration; `files` are written beside it, for it to name.
    ///
    /// # Panics
    /// As [`Prometheus::start`].
    #[must_use]
    pub fn start(config: &str, files: &[(&str, &str)]) -> Self {
        let program = "prometheus-alertmanager";
        let server = Server::start(program, "alertmanager.yml", config, files, |port| {
            vec![
                "--config.file=alertmanager.yml".to_owned(),
                "--storage.path=data".to_owned(),
                format!("--web.listen-address=127.0.0.1:{port}"),
                // Alone: no gossip, and no port for it.
                "--cluster.listen-address=".to_owned(),
                "--log.level=warn".to_owned(),
            ]
        });
        Self { server }
    }

    /// Where it listens: `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.server.port)
    }

    /// Gives it another configuration and waits until that counts.
    ///
    /// # Panics
    /// When it does not take it.
    pub fn configure(&self, config: &str, files: &[(&str, &str)]) {
        write_files(self.server.folder.path(), self.server.config, config, files);
        let answer = wait::until("an answer to the reload", RELOAD, || {
            http::post(self.server.port, "/-/reload", None, "")
        });
        assert_eq!(answer.status, 200, "{}: {}", answer.body, self.log());
    }

    /// The alerts that it knows, as `/api/v2/alerts` gives them.
    #[must_use]
    pub fn alerts(&self) -> Vec<Value> {
        self.server.get("/api/v2/alerts").as_array().expect("a list").clone()
    }

    /// What it complains of.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.process.stderr()
    }
}

impl Server {
    fn start(
        program: &'static str,
        config_name: &'static str,
        config: &str,
        files: &[(&str, &str)],
        arguments: impl Fn(u16) -> Vec<String>,
    ) -> Self {
        let mut failure = String::new();
        // Somebody else may take a port between our choice and its use.
        for _ in 0..3 {
            let folder = tempfile::tempdir().expect("a temporary folder");
            write_files(folder.path(), config_name, config, files);
            let [port] = free_ports();
            let mut command = Command::new(program);
            command.args(arguments(port)).current_dir(folder.path());
            let mut process = Process::start(program, command, folder.path());
            let ready = wait::try_until(READY, || {
                let ended = process.ended().is_some();
                let answers = || http::get(port, "/-/ready", None).is_some_and(|a| a.status == 200);
                (ended || answers()).then_some(!ended)
            });
            if ready == Some(true) {
                return Self { process, port, config: config_name, folder };
            }
            failure = process.stderr();
        }
        panic!("{program} does not come up: {failure}");
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let Some(Answer { status, body }) = http::get(self.port, path, None) else {
            panic!("no answer to {path}: {}", self.process.stderr());
        };
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("an answer in JSON")
    }
}

fn write_files(folder: &Path, config_name: &str, config: &str, files: &[(&str, &str)]) {
    for (name, text) in files.iter().chain([&(config_name, config)]) {
        std::fs::write(folder.join(name), text).expect("the temporary folder can be written to");
    }
}

fn word(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// As a query string has it.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Listener;
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);
    /// An alert that fires at once, from nothing.
    const RULES: &str = "groups:\n  - name: test\n    rules:\n      - alert: Always\n        \
                         expr: vector(3) > 2\n        labels: { link: orders }\n";

    #[test]
    fn an_alert_goes_from_a_rule_to_a_receiver() {
        let quiet = "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n";
        let alertmanager = Alertmanager::start(quiet, &[]);
        let listener = Listener::start();
        let loud = format!(
            "route: {{ receiver: test, group_wait: 0s }}\nreceivers:\n  - name: test\n    \
             webhook_configs: [{{ url: '{}' }}]\n",
            listener.url()
        );
        alertmanager.configure(&loud, &[]);
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 500ms, evaluation_interval: 1s }}\n\
             rule_files: [rules.yml]\n\
             alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['{}'] }}] }}] }}\n",
            alertmanager.address()
        );
        let prometheus = Prometheus::start(&config, &[("rules.yml", RULES)]);
        let link = listener.wait_for("the alert", LIMIT, |body| {
            let alert = &body["alerts"][0];
            (alert["status"] == "firing").then(|| alert["labels"]["link"].clone())
        });
        assert_eq!(link, "orders");
        let sum = prometheus.query("vector(1) + 2");
        assert_eq!(sum, [Sample { labels: BTreeMap::new(), value: 3.0 }]);
        assert_eq!(prometheus.alerts()[0]["labels"]["alertname"], "Always");
        assert_eq!(prometheus.rules()[0]["health"], "ok", "{}", prometheus.log());
        assert_eq!(alertmanager.alerts()[0]["labels"]["alertname"], "Always");
    }
}
