//! One twin and one agent on a stage: a private folder with keys of two approvers, a token and a
//! configuration; two processes; and the command line that works on them.

use std::{
    ffi::OsStr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use lab::{agent::Agent, process::Process, setup::Setup, twin::Twin, wait};
use serde_json::Value;
use tempfile::TempDir;
use twin::world::WorldSpec;

/// Who signs.
pub(crate) const APPROVERS: [&str; 2] = ["alice", "bob"];
/// For a process to come up.
const UP: Duration = Duration::from_secs(30);

/// What a stage is set up with.
pub(crate) struct Props {
    pub(crate) world: WorldSpec,
    pub(crate) seed: u64,
    /// Keys of the configuration that are not as in `config/lab.toml`.
    pub(crate) settings: Vec<(&'static str, toml::Value)>,
    /// Where events are published too.
    pub(crate) amqp: Option<String>,
    /// Leave the folder with the logs, and the throw-away keys in it, behind.
    pub(crate) keep: bool,
}

pub(crate) struct Stage {
    pub(crate) twin: Twin,
    pub(crate) agent: Agent,
    pub(crate) config: PathBuf,
    pub(crate) running: Option<Process>,
    pub(crate) setup: Setup,
    _twin: Process,
    // Last: the processes end first.
    folder: TempDir,
}

/// How the command line ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Props {
    /// The twin's default pair, with a session timeout and restarts that nobody has to wait for.
    pub(crate) fn short() -> Self {
        let mut world = WorldSpec::default();
        for instance in &mut world.instances {
            instance.restart_ms = 1_000;
        }
        let link = &mut world.links[0];
        link.session_timeout_s = 3;
        link.notice_ms = 1_000;
        link.log.reconnect_ms = 1_000;
        Self { world, seed: 1, settings: Vec::new(), amqp: None, keep: false }
    }
}

/// A twin and no agent.
pub(crate) struct TwinAlone {
    pub(crate) twin: Twin,
    pub(crate) process: Process,
    // Last: the process ends first.
    _folder: TempDir,
}

impl TwinAlone {
    pub(crate) fn start(world: &WorldSpec) -> Result<Self> {
        let folder = folder()?;
        let (process, twin) = start_twin(folder.path(), world, 1)?;
        Ok(Self { twin, process, _folder: folder })
    }
}

fn folder() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("dr-agent-lab-").tempdir()?)
}

fn start_twin(folder: &Path, spec: &WorldSpec, seed: u64) -> Result<(Process, Twin)> {
    let world = folder.join("world.toml");
    std::fs::write(&world, toml::to_string(spec)?)?;
    let endpoints = folder.join("endpoints.json");
    let mut command = ours("twin")?;
    command.arg("run").arg("--endpoints").arg(&endpoints).arg("--world").arg(&world);
    command.arg("--seed").arg(seed.to_string());
    let mut process = Process::start(command, &folder.join("twin.log"))?;
    up(&mut process, "the twin", || endpoints.exists().then_some(()))?;
    let twin = Twin::open(&endpoints)?;
    Ok((process, twin))
}

impl Stage {
    /// Starts the twin, and makes ready to start the agent.
    pub(crate) fn set(props: Props) -> Result<Self> {
        let mut folder = folder()?;
        folder.disable_cleanup(props.keep);
        let (process, twin) = start_twin(folder.path(), &props.world, props.seed)?;
        let mut setup = Setup::new(folder.path(), &twin.endpoints)?;
        for who in APPROVERS {
            let key = folder.path().join(format!("{who}.pem"));
            let said =
                run(ours("agent")?.args(["key", "new", "--output", "json", "--out"]).arg(&key))?;
            let made: Value = serde_json::from_str(&said.out)
                .with_context(|| format!("a key for {who}: {}", said.err))?;
            let public = made["public_key"].as_str().context("a key has a public half")?;
            setup.set(&format!("approvers.{who}.public_key"), public)?;
        }
        let workload = &props.world.workloads[0];
        let hook = hook(folder.path(), &twin, &workload.name)?;
        setup.set("links.0.planned.applications.command", vec![hook])?;
        for (key, value) in props.settings {
            setup.set(key, value)?;
        }
        if let Some(url) = props.amqp {
            setup.secret("amqp-url", &url)?;
            setup.set("bus.url.file", "amqp-url")?;
        }
        let config = setup.write()?;
        let agent = Agent::new(setup.port, &setup.token)?;
        let running = None;
        Ok(Self { twin, agent, config, running, setup, _twin: process, folder })
    }

    /// The private folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file of an approver's private key.
    pub(crate) fn key(&self, who: &str) -> PathBuf {
        self.folder.path().join(format!("{who}.pem"))
    }

    /// Starts the agent. Its API answers when this returns.
    pub(crate) fn start_agent(&mut self) -> Result<()> {
        if self.running.is_some() {
            bail!("the agent runs already");
        }
        let mut command = ours("agent")?;
        command.arg("run").arg("--config").arg(&self.config);
        let mut process = Process::start(command, &self.folder.path().join("agent.log"))?;
        let agent = &self.agent;
        up(&mut process, "the agent", || agent.status().ok())?;
        self.running = Some(process);
        Ok(())
    }

    /// `kill -9` of the agent, by its process id.
    pub(crate) fn kill_agent(&mut self) -> Result<u32> {
        let mut process = self.running.take().context("the agent does not run")?;
        process.kill9()?;
        Ok(process.pid())
    }

    /// Runs the agent's command line, which finds the agent by its configuration.
    pub(crate) fn cli<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Said> {
        run(ours("agent")?.args(arguments).env("DR_AGENT_CONFIG", &self.config))
    }

    /// Runs the twin's command line, which finds this twin.
    pub(crate) fn twin_cli<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Said> {
        let control = &self.twin.endpoints.control.base_url;
        run(ours("twin")?.args(arguments).env("TWIN_CONTROL", control))
    }

    /// The agent's on a machine that knows neither the agent nor its configuration.
    pub(crate) fn offline_cli<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Said> {
        // An address that nobody listens on: whoever asks for it, fails.
        run(ours("agent")?.args(arguments).env("DR_AGENT_URL", "http://127.0.0.1:1"))
    }
}

impl Said {
    /// What it said, if it ended well.
    pub(crate) fn good(self) -> Result<String> {
        if self.code == Some(0) {
            return Ok(self.out);
        }
        Err(anyhow!("exit code {:?}: {}{}", self.code, self.out, self.err))
    }
}

/// Writes the script that stops and starts an application, as an operator would have.
fn hook(folder: &Path, twin: &Twin, workload: &str) -> Result<String> {
    let path = folder.join("applications");
    let program = std::env::current_exe().context("who am I?")?;
    let control = &twin.endpoints.control.base_url;
    let text =
        format!("#!/bin/sh\nexec '{}' hook '{control}' '{workload}' \"$1\"\n", program.display());
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
    path.into_os_string().into_string().map_err(|_| anyhow!("a path of the lab is text"))
}

/// This very program, as one of its other selves.
fn ours(what: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("who am I?")?);
    command.arg(what);
    Ok(command)
}

fn run(command: &mut Command) -> Result<Said> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) })
}

fn up<T>(process: &mut Process, what: &str, look: impl Fn() -> Option<T>) -> Result<T> {
    let found = wait::until(UP, || match (look(), process.ended()) {
        (Some(found), _) => Some(Ok(found)),
        (None, Some(status)) => Some(Err(anyhow!("{what} ended at once ({status})"))),
        (None, None) => None,
    });
    let found = found.unwrap_or_else(|| Err(anyhow!("{what} is not up after {UP:?}")));
    found.with_context(|| process.tail())
}
