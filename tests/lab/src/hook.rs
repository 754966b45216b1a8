//! `lab hook`: what an operator would write to stop and start the applications of a link. The agent
//! runs it as the lab's configuration says, by way of a script in the lab's folder.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use lab::wire::Http;
use serde_json::{Value, json};

use crate::view::complain;

/// As init scripts do.
const STOPPED: u8 = 3;

/// Stops and starts an application of the twin.
#[derive(Debug, Parser)]
#[command(name = "lab hook")]
pub(crate) struct Hook {
    /// Address of the twin's control door
    control: String,
    /// Name of the application
    workload: String,
    verb: Verb,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Verb {
    Stop,
    Start,
    /// Ends with 0 while it runs and with 3 while it is stopped
    Status,
}

impl Hook {
    pub(crate) fn run(self) -> ExitCode {
        self.act().unwrap_or_else(|error| {
            complain(&format!("lab hook: {error:#}"));
            ExitCode::FAILURE
        })
    }

    fn act(&self) -> Result<ExitCode> {
        let twin = Http::new(&self.control, None)?;
        let set = |running: bool| -> Result<ExitCode> {
            let body = json!({ "name": self.workload, "running": running });
            twin.post("/workload", &body)?.json()?;
            Ok(ExitCode::SUCCESS)
        };
        match self.verb {
            Verb::Stop => set(false),
            Verb::Start => set(true),
            Verb::Status => {
                let state = twin.get("/state")?.json()?;
                let runs = runs(&state, &self.workload).context("there is no such workload")?;
                Ok(if runs { ExitCode::SUCCESS } else { ExitCode::from(STOPPED) })
            }
        }
    }
}

fn runs(state: &Value, name: &str) -> Option<bool> {
    let found = state["workloads"].as_array()?.iter().find(|workload| workload["name"] == name);
    found?["running"].as_bool()
}
