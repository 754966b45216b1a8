//! The file as it is written: its keys, their types and their defaults. What each is for stands in
//! `config/agent.toml`, and a test holds the two together.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    alert_rules, alerts,
    instance::Instance,
    keeping::{Recorder, Schedule},
    locate::Document,
    placement::Placement,
    problem::{ConfigError, Problem},
    secret::Source,
    span::Span,
};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) agent: Agent,
    #[serde(default)]
    pub(super) log: Log,
    #[serde(default)]
    pub(super) recorder: Recorder,
    #[serde(default)]
    pub(super) schedule: Schedule,
    #[serde(default)]
    pub(super) placement: Placement,
    #[serde(default)]
    pub(super) http: Http,
    pub(super) bus: Option<Bus>,
    #[serde(default)]
    pub(super) alerts: alerts::Alerts,
    #[serde(default)]
    pub(super) alert_rules: Vec<alert_rules::Rule>,
    #[serde(default)]
    pub(super) policy: Policy,
    #[serde(default)]
    pub(super) storm_brake: StormBrake,
    #[serde(default)]
    pub(super) quorum: Quorum,
    pub(super) break_glass: Option<BreakGlass>,
    #[serde(default)]
    pub(super) approvers: BTreeMap<String, Approver>,
    #[serde(default)]
    pub(super) sql_servers: Vec<Instance>,
    #[serde(default)]
    pub(super) managed_instances: Vec<Instance>,
    #[serde(default)]
    pub(super) links: Vec<Link>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) data_dir: PathBuf,
    pub(super) grace: Span,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) filter: String,
    pub(super) format: LogFormat,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    pub(super) listen: SocketAddr,
    pub(super) tls_cert: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) token_files: Vec<PathBuf>,
    pub(super) webhook_token_files: Vec<PathBuf>,
    pub(super) metrics_open: Option<bool>,
    pub(super) address_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bus {
    pub(super) url: Source,
    #[serde(default = "exchange")]
    pub(super) exchange: String,
    pub(super) ca: Option<PathBuf>,
    #[serde(default = "ten_seconds")]
    pub(super) connect_within: Span,
    #[serde(default = "ten_seconds")]
    pub(super) confirm_within: Span,
}

/// Each is a threshold of [`agent_core::Policy`], which has the defaults.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) misses: Option<u32>,
    pub(super) miss_spacing: Option<Span>,
    pub(super) stale_after: Option<Span>,
    pub(super) propose_after: Option<Span>,
    pub(super) withdraw_after: Option<Span>,
    pub(super) approve_within: Option<Span>,
    pub(super) execute_within: Option<Span>,
    pub(super) reopen_after: Option<Span>,
    pub(super) step_deadline: Option<Span>,
    pub(super) stuck_after: Option<Span>,
    pub(super) retry_after: Option<Span>,
    pub(super) attempts: Option<u32>,
    pub(super) loss_margin: Option<Span>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StormBrake {
    pub(super) open_proposals: usize,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Quorum {
    pub(super) planned: usize,
    pub(super) forced: usize,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BreakGlass {
    pub(super) wait: Span,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Approver {
    pub(super) public_key: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) sql_server: String,
    pub(super) managed_instance: String,
    pub(super) group: Option<String>,
    pub(super) database: String,
    #[serde(default = "unstated")]
    pub(super) agent_domain: String,
    #[serde(default = "unstated")]
    pub(super) managed_instance_domain: String,
    #[serde(default = "unstated")]
    pub(super) agent_azure_domain: String,
    #[serde(default)]
    pub(super) policy: Policy,
    #[serde(default)]
    pub(super) planned: Planned,
    #[serde(default)]
    pub(super) repair: Repair,
    #[serde(default)]
    pub(super) guard: Guard,
    #[serde(default)]
    pub(super) cutover: Cutover,
}

/// Of [`agent_core::Cutover`], which has the default.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cutover {
    pub(super) first_backup_within: Option<Span>,
}

/// Both are of [`agent_core::StandingOrder`], which has the defaults.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Guard {
    pub(super) on: Option<bool>,
    #[serde(default)]
    pub(super) logins: Vec<String>,
}

/// Both are of [`agent_core::Repair`].
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Repair {
    pub(super) save: Option<Backup>,
    pub(super) save_azure: Option<Backup>,
}

/// Each is a part of [`agent_core::Planned`], which has the defaults.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Planned {
    pub(super) applications: Option<Hook>,
    pub(super) quiesce_within: Option<Span>,
    pub(super) quiet_for: Option<Span>,
    pub(super) quiet_log_kb: Option<u64>,
    pub(super) catch_up_within: Option<Span>,
    pub(super) hand_over_within: Option<Span>,
    pub(super) backup: Option<Backup>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hook {
    pub(super) command: Vec<String>,
    #[serde(default = "one_minute")]
    pub(super) within: Span,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backup {
    pub(super) to: String,
    #[serde(default = "two_hours")]
    pub(super) within: Span,
}

/// Reads the form of a file: syntax, keys, types.
pub(super) fn read(path: &Path, text: &str) -> Result<File, ConfigError> {
    let wrong = |problems| ConfigError::wrong(path, problems);
    let document = Document::parse(text).map_err(|problem| wrong(vec![problem]))?;
    let unknown = document.unknown_keys();
    if !unknown.is_empty() {
        return Err(wrong(unknown));
    }
    toml::from_str(text).map_err(|error| wrong(vec![Problem::of_form(&document, &error)]))
}

impl Policy {
    /// These thresholds where they are given, `base` elsewhere.
    pub(super) fn over(&self, base: &agent_core::Policy) -> agent_core::Policy {
        let or = |own: Option<Span>, base| own.map_or(base, |span| span.0);
        agent_core::Policy {
            misses: self.misses.unwrap_or(base.misses),
            miss_spacing: or(self.miss_spacing, base.miss_spacing),
            stale_after: or(self.stale_after, base.stale_after),
            propose_after: or(self.propose_after, base.propose_after),
            withdraw_after: or(self.withdraw_after, base.withdraw_after),
            approve_within: or(self.approve_within, base.approve_within),
            execute_within: or(self.execute_within, base.execute_within),
            reopen_after: or(self.reopen_after, base.reopen_after),
            step_deadline: or(self.step_deadline, base.step_deadline),
            stuck_after: or(self.stuck_after, base.stuck_after),
            retry_after: or(self.retry_after, base.retry_after),
            attempts: self.attempts.unwrap_or(base.attempts),
            loss_margin: or(self.loss_margin, base.loss_margin),
        }
    }
}

impl From<&agent_core::Policy> for Policy {
    fn from(policy: &agent_core::Policy) -> Self {
        let span = |span| Some(Span(span));
        Self {
            misses: Some(policy.misses),
            miss_spacing: span(policy.miss_spacing),
            stale_after: span(policy.stale_after),
            propose_after: span(policy.propose_after),
            withdraw_after: span(policy.withdraw_after),
            approve_within: span(policy.approve_within),
            execute_within: span(policy.execute_within),
            reopen_after: span(policy.reopen_after),
            step_deadline: span(policy.step_deadline),
            stuck_after: span(policy.stuck_after),
            retry_after: span(policy.retry_after),
            attempts: Some(policy.attempts),
            loss_margin: span(policy.loss_margin),
        }
    }
}

impl Default for Agent {
    fn default() -> Self {
        let data_dir = PathBuf::from("/var/lib/dr-agent");
        Self { name: "dr-agent".into(), data_dir, grace: Span::secs(10) }
    }
}

impl Default for Log {
    fn default() -> Self {
        // The AMQP library logs whole messages at WARN.
        Self { filter: "info,lapin=error".into(), format: LogFormat::Text }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8420)),
            tls_cert: None,
            tls_key: None,
            token_files: Vec::new(),
            webhook_token_files: Vec::new(),
            metrics_open: None,
            address_file: None,
        }
    }
}

impl Default for StormBrake {
    fn default() -> Self {
        Self { open_proposals: agent_core::StormBrake::default().open_proposals }
    }
}

impl Default for Quorum {
    fn default() -> Self {
        Self { planned: 1, forced: 2 }
    }
}

fn exchange() -> String {
    "dr-agent".into()
}

fn ten_seconds() -> Span {
    Span::secs(10)
}

fn one_minute() -> Span {
    Span::secs(60)
}

fn two_hours() -> Span {
    Span::secs(7_200)
}

fn unstated() -> String {
    "unstated".into()
}
