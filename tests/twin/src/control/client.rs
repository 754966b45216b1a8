//! The control door as subcommands.

use std::io::Write;

use anyhow::{Context, bail};
use clap::Subcommand;
use serde::{Serialize, de::DeserializeOwned};

use super::{Named, WorkloadChange, azure::Azure};
use crate::world::{AttentionStyle, Encryption, Fault, Party, Setting, Stage, Trouble, Volume};

/// What can be asked of a running twin. Parties are `agent`, `operator`, `arm`, `token-service`,
/// `app:NAME` or the name of an instance.
#[derive(Subcommand)]
pub enum Command {
    /// Let an instance's whole host be gone: nobody closes its connections, nobody refuses.
    Vanish {
        /// The instance.
        instance: String,
    },
    /// Kill an instance: connections close, its port refuses.
    Stop {
        /// The instance.
        instance: String,
    },
    /// Start a stopped instance, with the roles that it had.
    Start {
        /// The instance.
        instance: String,
    },
    /// Let an instance take connections and answer none.
    Hang {
        /// The instance.
        instance: String,
    },
    /// Let an instance's host stand still.
    Freeze {
        /// The instance.
        instance: String,
    },
    /// End hang or freeze.
    Resume {
        /// The instance.
        instance: String,
    },
    /// Have support repair the databases that a managed instance has lost at a restart.
    Repair {
        /// The instance.
        instance: String,
    },
    /// Let nothing pass between two parties.
    Cut {
        /// One party; the sender, if one way.
        a: Party,
        /// The other; the receiver, if one way.
        b: Party,
        /// Only from the first to the second.
        #[arg(long)]
        one_way: bool,
    },
    /// End cuts and delays between two parties.
    Heal {
        /// One party.
        a: Party,
        /// The other.
        b: Party,
    },
    /// Delay everything between two parties.
    Slow {
        /// One party.
        a: Party,
        /// The other.
        b: Party,
        /// By how many milliseconds, each way.
        ms: u32,
    },
    /// Delay everything between two parties by a time that varies.
    Jitter {
        /// One party.
        a: Party,
        /// The other.
        b: Party,
        /// By up to how many milliseconds, each way.
        ms: u32,
    },
    /// Let the path between two instances, or between a client and a server, have less bandwidth.
    Throttle {
        /// One end.
        a: Party,
        /// The other.
        b: Party,
        /// KB/s.
        kb_per_s: u32,
    },
    /// Let an instance's port refuse, though it runs.
    Refuse {
        /// The instance.
        instance: String,
    },
    /// End refuse.
    Accept {
        /// The instance.
        instance: String,
    },
    /// Stop an instance now and start it again later.
    Restart {
        /// The instance.
        instance: String,
        /// After how many milliseconds.
        #[arg(long, default_value_t = 30_000)]
        down_ms: u32,
    },
    /// Let another replica of a link's group on SQL Server become the primary one; nobody is
    /// meanwhile.
    LocalFailover {
        /// The link.
        link: String,
        /// The replica that takes over; whichever can, if left out.
        #[arg(long)]
        to: Option<String>,
        /// For how many milliseconds nobody is primary; as the world says, if left out.
        #[arg(long)]
        ms: Option<u32>,
        /// Also where what it does not have is lost; needs `--to`.
        #[arg(long, requires = "to")]
        force: bool,
    },
    /// Restart all replicas of a link's group on SQL Server, one after the other.
    RollingRestart {
        /// The link.
        link: String,
        /// For how many milliseconds each is down.
        #[arg(long, default_value_t = 30_000)]
        down_ms: u32,
        /// How many milliseconds pass after each.
        #[arg(long, default_value_t = 30_000)]
        pause_ms: u32,
    },
    /// Carry out the next deeds at an instance or at `arm`, and lose their replies.
    LoseReply {
        /// An instance, or `arm`.
        at: Party,
        /// How many.
        #[arg(long, default_value_t = 1)]
        times: u32,
    },
    /// Carry out the next deed at an instance or at `arm` later, even if its client is gone.
    DelayDeed {
        /// An instance, or `arm`.
        at: Party,
        /// By how many milliseconds.
        ms: u32,
    },
    /// Say of the next failover at an instance or at `arm` that it has failed, and carry it out
    /// later all the same.
    GiveUp {
        /// An instance, or `arm`.
        at: Party,
        /// By how many milliseconds.
        ms: u32,
    },
    /// Set an instance's clock ahead of the world's time, or behind it.
    Clock {
        /// The instance.
        instance: String,
        /// By how many milliseconds; negative: behind.
        #[arg(allow_negative_numbers = true)]
        ahead_ms: i64,
    },
    /// Let an instance's disk be slow with commits; 0 ends that.
    SlowCommits {
        /// The instance.
        instance: String,
        /// How many milliseconds each needs.
        ms: u32,
    },
    /// Let a managed instance move to another node.
    Move {
        /// The instance.
        instance: String,
    },
    /// Keep the world as it is now under a name, in the twin's memory.
    Snapshot {
        /// The name.
        name: String,
    },
    /// Go on from a snapshot; sessions that are open end.
    Restore {
        /// Its name.
        name: String,
    },
    /// Let the next commands at an instance fail before effect.
    FailNext {
        /// The instance.
        instance: String,
        /// With which error number.
        number: u32,
        /// How many.
        #[arg(long, default_value_t = 1)]
        times: u32,
    },
    /// Let the next logins at an instance fail.
    FailLogin {
        /// The instance.
        instance: String,
        /// With which error number: 18456, 4060, 18470, 40613, 40197, 49918...
        number: u32,
        /// And with which state.
        #[arg(long)]
        state: Option<u8>,
        /// How many; 0 ends it.
        #[arg(long, default_value_t = 1)]
        times: u32,
    },
    /// Let something go wrong on the wire of an instance's next connections or answers.
    Wire {
        /// The instance.
        instance: String,
        /// At which stage of a connection: `accept`, `prelogin`, `tls`, `login`, `before-answer`,
        /// `within-answer` or `before-done`.
        #[arg(value_parser = word::<Stage>)]
        stage: Stage,
        /// What: `stall`, `dribble`, `eof`, `reset`, `garbage`, `short-length`,
        /// `long-length` or `reordered`.
        #[arg(value_parser = word::<Trouble>)]
        trouble: Trouble,
        /// How long a stall is, or the pause after each byte, in ms.
        #[arg(long)]
        ms: Option<u32>,
        /// To how many; 0 ends it.
        #[arg(long, default_value_t = 1)]
        times: u32,
    },
    /// Change what an instance's TDS door agrees to.
    Door {
        /// The instance.
        instance: String,
        /// `available`, `forced`, `not-supported` or `strict`, for connections that come from now on.
        #[arg(long, value_parser = word::<Encryption>)]
        encryption: Option<Encryption>,
        /// How cancelled requests end: `one-message`, `two-messages`, `never`, `late` or `twice`.
        #[arg(long, value_parser = word::<AttentionStyle>)]
        attention: Option<AttentionStyle>,
        /// The instance to which whoever logs in is sent; its own name: nobody is any more.
        #[arg(long)]
        redirect: Option<String>,
    },
    #[command(flatten)]
    Azure(Azure),
    /// Let an instance's disk for backups, data or logs have no room, or end that.
    DiskFull {
        /// The instance.
        instance: String,
        /// `on` or `off`.
        #[arg(value_parser = on_off, action = clap::ArgAction::Set)]
        on: bool,
        /// Which disk: `backups`, `data` or `log`.
        #[arg(long, default_value = "backups", value_parser = ["backups", "data", "log"])]
        volume: String,
    },
    /// Start or stop an instance's agent, which runs its jobs.
    SqlAgent {
        /// The instance.
        instance: String,
        /// `on` or `off`.
        #[arg(value_parser = on_off, action = clap::ArgAction::Set)]
        on: bool,
    },
    /// Enable or disable a job.
    Job {
        /// The instance.
        instance: String,
        /// The job.
        job: String,
        /// `on` or `off`.
        #[arg(value_parser = on_off, action = clap::ArgAction::Set)]
        on: bool,
    },
    /// Point a workload at another instance, change its rate, stop or start it.
    Workload {
        /// The workload.
        name: String,
        /// The instance that it writes to.
        #[arg(long)]
        target: Option<String>,
        /// Commits per second; at 0 its sessions stay.
        #[arg(long)]
        commits_per_s: Option<f64>,
        /// Stop the application: its sessions end.
        #[arg(long, conflicts_with = "start")]
        stop: bool,
        /// Start it again.
        #[arg(long)]
        start: bool,
    },
    /// Show what can be seen, all sides at once.
    State,
    /// Show what is true: loss, who could write when, every command.
    Truth,
    /// Show the commits of a link: whose they are, and where each of them lives.
    Commits {
        /// The link.
        link: String,
        /// The number of the first one.
        #[arg(long, default_value_t = 0)]
        from: u32,
    },
}

/// Carries a subcommand out against the control door at `base_url`.
///
/// # Errors
/// A door that does not answer, or its refusal.
pub async fn run(base_url: &str, command: Command) -> anyhow::Result<()> {
    let fault = match command {
        Command::State => return show(base_url, "state").await,
        Command::Truth => return show(base_url, "truth").await,
        Command::Commits { link, from } => {
            let link = link.replace('/', "%2F");
            return show(base_url, &format!("truth/commits/{link}/{from}")).await;
        }
        Command::Workload { name, target, commits_per_s, stop, start } => {
            let running = (stop || start).then_some(start);
            let change = WorkloadChange { name, target, commits_per_s, running };
            return send(base_url, "workload", &change).await;
        }
        Command::Snapshot { name } => return send(base_url, "snapshot", &Named { name }).await,
        Command::Restore { name } => return send(base_url, "restore", &Named { name }).await,
        Command::DiskFull { instance, on, volume } => {
            return send(base_url, "set", &disk_full(instance, on, &volume)).await;
        }
        Command::SqlAgent { instance, on } => {
            return send(base_url, "set", &Setting::AgentRunning { instance, on }).await;
        }
        Command::Job { instance, job, on } => {
            return send(base_url, "set", &Setting::JobEnabled { instance, job, on }).await;
        }
        Command::Door { instance, encryption, attention, redirect } => {
            let setting = Setting::Door { instance, encryption, attention, redirect };
            return send(base_url, "set", &setting).await;
        }
        Command::Vanish { instance } => Fault::Vanish { instance },
        Command::Stop { instance } => Fault::Stop { instance },
        Command::Start { instance } => Fault::Start { instance },
        Command::Restart { instance, down_ms } => Fault::Restart { instance, down_ms },
        Command::LocalFailover { link, to, ms, force } => local_failover(link, to, ms, force),
        Command::RollingRestart { link, down_ms, pause_ms } => {
            Fault::RollingRestart { link, down_ms, pause_ms }
        }
        Command::Hang { instance } => Fault::Hang { instance },
        Command::Freeze { instance } => Fault::Freeze { instance },
        Command::Resume { instance } => Fault::Resume { instance },
        Command::Repair { instance } => Fault::Repair { instance },
        Command::Refuse { instance } => Fault::Refuse { instance },
        Command::Accept { instance } => Fault::Accept { instance },
        Command::Cut { a, b, one_way } => Fault::Cut { from: a, to: b, one_way },
        Command::Heal { a, b } => Fault::Heal { from: a, to: b },
        Command::Slow { a, b, ms } => Fault::Slow { from: a, to: b, ms },
        Command::Jitter { a, b, ms } => Fault::Jitter { from: a, to: b, ms },
        Command::Throttle { a, b, kb_per_s } => Fault::Throttle { from: a, to: b, kb_per_s },
        Command::LoseReply { at, times } => Fault::LoseReply { at, times },
        Command::DelayDeed { at, ms } => Fault::DelayDeed { at, ms },
        Command::GiveUp { at, ms } => Fault::GiveUp { at, ms },
        Command::Clock { instance, ahead_ms } => Fault::Clock { instance, ahead_ms },
        Command::SlowCommits { instance, ms } => Fault::SlowCommits { instance, ms },
        Command::Move { instance } => Fault::Move { instance },
        Command::FailNext { instance, number, times } => {
            Fault::FailNext { instance, number, times }
        }
        Command::FailLogin { instance, number, state, times } => {
            Fault::FailLogin { instance, number, state, times }
        }
        Command::Wire { instance, stage, trouble, ms, times } => {
            Fault::Wire { instance, stage, trouble, ms, times }
        }
        Command::Azure(azure) => azure.fault(),
    };
    send(base_url, "fault", &fault).await
}

fn disk_full(instance: String, on: bool, volume: &str) -> Setting {
    match volume {
        "data" => Setting::VolumeFull { instance, volume: Volume::Data, on },
        "log" => Setting::VolumeFull { instance, volume: Volume::Log, on },
        _ => Setting::DiskFull { instance, on },
    }
}

fn local_failover(link: String, to: Option<String>, ms: Option<u32>, force: bool) -> Fault {
    match to {
        Some(to) if force => Fault::ForceLocalFailover { link, to, ms },
        to => Fault::LocalFailover { link, to, ms },
    }
}

async fn show(base_url: &str, what: &str) -> anyhow::Result<()> {
    let url = format!("{base_url}/{what}");
    let answer = reqwest::get(&url).await.with_context(|| format!("no answer from {url}"))?;
    let body: serde_json::Value = answer.error_for_status()?.json().await?;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &body)?;
    writeln!(out)?;
    Ok(())
}

async fn send(base_url: &str, what: &str, body: &impl Serialize) -> anyhow::Result<()> {
    let url = format!("{base_url}/{what}");
    let answer = reqwest::Client::new().post(&url).json(body).send().await;
    let answer = answer.with_context(|| format!("no answer from {url}"))?;
    if answer.status().is_success() {
        return Ok(());
    }
    let status = answer.status();
    bail!("the twin answers {status}: {}", answer.text().await.unwrap_or_default())
}

/// One of the words that an enumeration has.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

pub(super) fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("{other:?} is neither \"on\" nor \"off\"")),
    }
}
