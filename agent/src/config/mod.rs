//! Configuration: a TOML file, read once and strictly, before anything else exists.
//!
//! `file` is the file as it is written, `check` what has to hold beyond its form, `build` turns it
//! into what the parts of the agent take. Everything that is wrong with a file is a [`Problem`] with
//! its line, its key and what would be right; as many as can be found are told at once.

mod alert_rules;
mod alerts;
mod build;
mod check;
mod file;
mod instance;
mod instances;
mod keeping;
mod locate;
mod logins;
mod placement;
mod planned;
mod problem;
mod secret;
mod span;
mod targets;
mod thresholds;
mod topology;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use agent_core::{LinkSpec, Roster, Side, StormBrake, runbook::Places};
use ed25519_dalek::VerifyingKey;
use probes::{
    ControlTarget, InstanceTarget, Schedule, Secret, SecretSource, arm::CredentialSource,
    readiness::Sites,
};

use crate::schedule::Cron;

pub use self::{
    alert_rules::{AlertLink, AlertRule},
    alerts::{AlertSettings, AlertmanagerSettings, Destination, Login, Severity, WebhookSettings},
    problem::{ConfigError, Problem},
    topology::{Topology, topology},
};

/// The reference: every key with its default and its reason. It is a valid file of its own.
pub const REFERENCE: &str = include_str!("../../../config/agent.toml");

/// Name of the folder with runbooks in the data folder, if no other is configured.
pub const RUNBOOK_FOLDER: &str = "runbook";

/// Name of the flight recorder's folder in the data folder, if no other is configured.
pub const RECORDER_FOLDER: &str = "recorder";

/// Name of the journal in the data folder.
pub const JOURNAL_FILE: &str = "journal.db";

/// Everything the agent is told, checked and with its secrets read.
#[derive(Debug)]
pub struct Config {
    /// Where it was read from.
    pub path: PathBuf,
    /// `sha256:<hex>` over the exact bytes of the file; secrets are not part of it.
    pub digest: String,
    pub agent: AgentSettings,
    pub log: LogSettings,
    /// None: what is seen is not recorded.
    pub recorder: Option<RecorderSettings>,
    pub schedule: ScheduleSettings,
    pub placement: PlacementSettings,
    /// Where people get in, for the runbook.
    pub places: Places,
    pub http: HttpSettings,
    /// None: nothing is published; the journal holds everything all the same.
    pub bus: Option<BusSettings>,
    pub alerts: AlertSettings,
    /// In the order in which they are asked.
    pub alert_rules: Vec<AlertRule>,
    /// SQL Servers first, then managed instances, each in the order of the file.
    pub instances: Vec<InstanceSettings>,
    pub links: Vec<LinkSpec>,
    pub roster: Roster,
    pub brake: StormBrake,
    /// The file with every default filled in, as it is shown.
    effective: file::File,
}

#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// By which the agent is known: in sessions on the servers and as the source of its messages.
    pub name: String,
    /// Holds the journal, the cursors and the lock file.
    pub data_dir: PathBuf,
    /// How long a part may take to stop before it is named and left behind.
    pub grace: Duration,
}

/// Calendar jobs; None: that one is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleSettings {
    pub daily_report: Option<Cron>,
    pub runbook: Option<RunbookSettings>,
}

/// The job that issues runbooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunbookSettings {
    pub when: Cron,
    /// Each gets a copy.
    pub folders: Vec<PathBuf>,
    /// Copies of each link that are kept in each.
    pub keep: usize,
}

/// What only an operator can say of where people and machines are.
#[derive(Clone, Debug, Default)]
pub struct PlacementSettings {
    /// Hosts. None: nobody has said.
    pub mail_relays: Option<Vec<String>>,
    /// Hosts through which approvers come to the agent. None: nobody has said.
    pub approver_access: Option<Vec<String>>,
    pub sites: Sites,
}

/// The flight recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderSettings {
    pub folder: PathBuf,
    /// Of all segments together.
    pub keep_bytes: u64,
    /// Room on the disk that is left to others.
    pub leave_bytes: u64,
}

#[derive(Clone, Debug)]
pub struct LogSettings {
    /// Directives of `tracing-subscriber`'s `EnvFilter`.
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// The API and the metrics.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    pub listen: SocketAddr,
    pub tls: Option<TlsFiles>,
    /// Files with the tokens that open the API, one a line; at least one file.
    pub token_files: Vec<PathBuf>,
    /// Files with the tokens that open the webhook for alerts and nothing else; may be none.
    pub webhook_token_files: Vec<PathBuf>,
    /// Scrapes of `/metrics` need no token.
    pub metrics_open: bool,
    /// Where to write the address that is listened on, for port 0.
    pub address_file: Option<PathBuf>,
}

/// PEM files, known to be readable.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// The way to RabbitMQ.
#[derive(Clone, Debug)]
pub struct BusSettings {
    /// `amqp://` or `amqps://`, with user, password and virtual host.
    pub url: SecretSource,
    /// A topic exchange.
    pub exchange: String,
    /// PEM of the authorities to believe; None: those of the operating system.
    pub ca: Option<SecretSource>,
    /// For name resolution, TCP, TLS and the handshake of AMQP together.
    pub connect_within: Duration,
    /// For the broker's confirmation of one message.
    pub confirm_within: Duration,
}

/// One SQL Server or managed instance.
#[derive(Clone, Debug)]
pub struct InstanceSettings {
    /// With the login that only looks.
    pub look: InstanceTarget,
    /// With the login that carries out steps.
    pub act: InstanceTarget,
    pub schedule: Schedule,
    /// None: Azure Resource Manager is not asked about this instance, and can't be a route.
    pub control: Option<ControlSettings>,
}

/// A managed instance as Azure Resource Manager knows it.
#[derive(Clone, Debug)]
pub struct ControlSettings {
    pub target: ControlTarget,
    /// PEM of the authorities to believe; None: those of the operating system.
    pub ca: Option<SecretSource>,
    /// For TCP and TLS.
    pub connect_within: Duration,
    pub credential: CredentialSource,
    /// Where tokens come from; None: the public cloud's.
    pub authority: Option<String>,
    pub schedule: Schedule,
}

/// What the command line takes from the daemon's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientDefaults {
    pub url: String,
    pub token_file: Option<PathBuf>,
}

impl Config {
    /// Reads, checks and completes a file, and reads the secrets that it names.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, each with its place and what would be right.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = problem::read(path)?;
        Self::parse(path, &text)
    }

    /// The same from a text; relative paths in it are relative to the folder of `path`.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let file = file::read(path, text)?;
        build::config(path, text, file)
    }

    /// What can be used of a file, and everything that is wrong with it: for those who look at the
    /// rest all the same. Of a file that is wrong in its form nothing can be used.
    #[must_use]
    pub fn examine(path: &Path) -> (Option<Self>, Vec<Problem>) {
        let read = problem::read(path);
        let formed = read.and_then(|text| file::read(path, &text).map(|file| (text, file)));
        match formed {
            Ok((text, file)) => {
                let (config, problems) = build::examined(path, &text, file);
                (Some(config), problems)
            }
            Err(error) => (None, error.problems),
        }
    }

    /// The section of the file that has this instance, as `sql_servers[0]`.
    #[must_use]
    pub fn section_of(&self, side: Side, instance: &str) -> Option<String> {
        let (name, instances) = match side {
            Side::SqlServer => ("sql_servers", &self.effective.sql_servers),
            Side::ManagedInstance => ("managed_instances", &self.effective.managed_instances),
        };
        let place = instances.iter().position(|found| found.name == instance)?;
        Some(format!("{name}[{place}]"))
    }

    /// The file as it counts: with every default filled in. Secrets are in it only as the place
    /// where they are kept.
    #[must_use]
    pub fn effective_toml(&self) -> String {
        toml::to_string(&self.effective).unwrap_or_default()
    }

    /// As [`Config::effective_toml`], for machines.
    #[must_use]
    pub fn effective_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.effective).unwrap_or_default()
    }

    /// The journal of the agent.
    #[must_use]
    pub fn journal_path(&self) -> PathBuf {
        self.agent.data_dir.join(JOURNAL_FILE)
    }

    /// The folder of what became of each proposal.
    #[must_use]
    pub fn accounts_path(&self) -> PathBuf {
        self.agent.data_dir.join("reports")
    }
}

/// Where the agent of a configuration file is reached, without reading its secrets.
///
/// # Errors
///
/// The file can't be read or is wrong in its form.
pub fn client_defaults(path: &Path) -> Result<ClientDefaults, ConfigError> {
    let text = problem::read(path)?;
    let file = file::read(path, &text)?;
    Ok(build::client_defaults(path, &file.http))
}

/// The public keys of the approvers of a configuration file, without reading its secrets.
///
/// # Errors
///
/// The file can't be read, is wrong in its form, or has a key that is none.
pub fn approver_keys(path: &Path) -> Result<BTreeMap<String, VerifyingKey>, ConfigError> {
    let text = problem::read(path)?;
    let file = file::read(path, &text)?;
    build::approver_keys(path, &text, &file)
}

/// The first token of a token file: one a line, empty lines and lines that begin with `#` say
/// nothing.
///
/// # Errors
///
/// The file can't be read, is open to others or has no token in it, in words.
pub fn read_token(path: &Path) -> Result<Secret, String> {
    secret::read_token(path).map_err(|unusable| {
        let secret::Unusable { what, right } = unusable;
        format!("{what}\n  right: {right}")
    })
}
