//! The twin as seen from outside: what can go wrong with it, what it shows, what is true.

use std::path::Path;

use ::twin::{
    control::SetupChange,
    serve::Endpoints,
    world::{DirectoryChange, Fault, setup::Change},
};
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::wire::Http;

/// A running twin.
#[derive(Clone)]
pub struct Twin {
    /// Where its doors are, and who may enter.
    pub endpoints: Endpoints,
    http: Http,
}

/// A command that reached the twin, and what became of it.
#[derive(Clone, Debug)]
pub struct Command {
    /// When it arrived, by the twin's clock.
    pub at: Timestamp,
    /// The instance, or `arm`.
    pub target: String,
    /// In words.
    pub words: String,
    /// Why it was refused at once, if it was.
    pub refused: Option<String>,
    /// Whether it took effect.
    pub effective: bool,
    /// Whether it has not ended yet.
    pub running: bool,
}

/// The twin's own account of what a failover has cost.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Acknowledged commits that the surviving side does not have.
    pub count: u64,
    /// When the first and the last of them were made.
    pub between: Option<(Timestamp, Timestamp)>,
    /// Acknowledged commits in all.
    pub acknowledged: u64,
    /// `sql_server` or `managed_instance`.
    pub surviving: String,
}

impl Twin {
    /// The twin that has written this file.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn open(endpoints: &Path) -> Result<Self> {
        let endpoints = Endpoints::read(endpoints)?;
        let http = Http::new(&endpoints.control.base_url, None)?;
        Ok(Self { endpoints, http })
    }

    /// The name of the link.
    #[must_use]
    pub fn link(&self) -> &str {
        &self.endpoints.arm.link
    }

    /// Makes something go wrong, or right again.
    ///
    /// # Errors
    /// The twin does not answer, or knows no such name.
    pub fn fault(&self, fault: &Fault) -> Result<()> {
        let body = serde_json::to_value(fault)?;
        self.http.post("/fault", &body)?.json().with_context(|| format!("{fault:?}"))?;
        Ok(())
    }

    /// Changes how an instance is set up.
    ///
    /// # Errors
    /// The twin does not answer, or knows no such name.
    pub fn set_up(&self, instance: &str, change: Change) -> Result<()> {
        let asked = SetupChange { instance: instance.to_owned(), change };
        let body = serde_json::to_value(&asked)?;
        self.http.post("/setup", &body)?.json().with_context(|| format!("{asked:?}"))?;
        Ok(())
    }

    /// Changes secrets, certificates or accounts.
    ///
    /// # Errors
    /// The twin does not answer, or knows no such name.
    pub fn direct(&self, change: &DirectoryChange) -> Result<()> {
        self.http.post("/directory", &serde_json::to_value(change)?)?.json()?;
        Ok(())
    }

    /// Another authority and another certificate for all doors; the file of the authority is
    /// written anew.
    ///
    /// # Errors
    /// The twin does not answer.
    pub fn renew_certificates(&self) -> Result<()> {
        self.http.post("/certificates", &json!({}))?.json()?;
        Ok(())
    }

    /// Points the application at another instance.
    ///
    /// # Errors
    /// As [`Twin::fault`].
    pub fn repoint(&self, workload: &str, target: &str) -> Result<()> {
        self.http.post("/workload", &json!({ "name": workload, "target": target }))?.json()?;
        Ok(())
    }

    /// Sets the application's commits per second; 0 stops it.
    ///
    /// # Errors
    /// As [`Twin::fault`].
    pub fn set_rate(&self, workload: &str, commits_per_s: f64) -> Result<()> {
        let body = json!({ "name": workload, "commits_per_s": commits_per_s });
        self.http.post("/workload", &body)?.json()?;
        Ok(())
    }

    /// Stops the application, which ends its sessions, or starts it.
    ///
    /// # Errors
    /// As [`Twin::fault`].
    pub fn set_running(&self, workload: &str, running: bool) -> Result<()> {
        self.http.post("/workload", &json!({ "name": workload, "running": running }))?.json()?;
        Ok(())
    }

    /// What can be seen, all sides at once.
    ///
    /// # Errors
    /// The twin does not answer.
    pub fn state(&self) -> Result<Value> {
        self.http.get("/state")?.json()
    }

    /// What is true.
    ///
    /// # Errors
    /// The twin does not answer.
    pub fn truth(&self) -> Result<Value> {
        self.http.get("/truth")?.json()
    }

    /// The application's numbers: what it committed, where, what was refused.
    ///
    /// # Errors
    /// The twin does not answer, or has no such workload.
    pub fn workload(&self, name: &str) -> Result<Value> {
        let state = self.state()?;
        let found = state["workloads"].as_array().into_iter().flatten();
        let found = found.into_iter().find(|workload| workload["name"] == name);
        found.cloned().with_context(|| format!("the twin has no workload {name}"))
    }

    /// What has been lost by now.
    ///
    /// # Errors
    /// The twin does not answer so.
    pub fn loss(&self) -> Result<Loss> {
        let truth = self.truth()?;
        let loss = &truth["links"][0]["loss"];
        let time = |key: &str| loss[key].as_str().and_then(|text| text.parse().ok());
        Ok(Loss {
            count: loss["count"].as_u64().context("the truth has no loss")?,
            between: time("first").zip(time("last")),
            acknowledged: loss["acknowledged"].as_u64().context("the truth has no commits")?,
            surviving: loss["surviving"].as_str().unwrap_or_default().to_lowercase(),
        })
    }

    /// Every command that has reached it, oldest first.
    ///
    /// # Errors
    /// The twin does not answer so.
    pub fn commands(&self) -> Result<Vec<Command>> {
        let truth = self.truth()?;
        let operations = truth["operations"].as_array().context("the truth has no operations")?;
        let commands = truth["commands"].as_array().context("the truth has no commands")?;
        commands.iter().map(|command| read(command, operations)).collect()
    }
}

fn read(command: &Value, operations: &[Value]) -> Result<Command> {
    let text = |key: &str| command[key].as_str().map(str::to_owned);
    let id = &command["operation"];
    let operation = operations.iter().find(|found| !id.is_null() && found["id"] == *id);
    let ended = |operation: &Value| !operation["finished"].is_null();
    Ok(Command {
        at: text("at").and_then(|at| at.parse().ok()).context("a command has no time")?,
        target: text("target").context("a command has no target")?,
        words: text("command").context("a command has no words")?,
        refused: text("refused"),
        effective: operation
            .map_or(text("refused").is_none(), |found| !found["accepted"].is_null()),
        running: operation.is_some_and(|found| !ended(found)),
    })
}
