//! Processes of the lab: they end when the lab does, however it ends.

use std::{
    fs::OpenOptions,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::wait;

/// Set for a child whose standard input is a pipe that the lab holds: it closes when the lab ends,
/// be it by `kill -9`, and the child goes too.
const TIED: &str = "DR_AGENT_LAB_TIED";

/// A child of the lab. Dropped, it is killed.
pub struct Process {
    child: Child,
    log: PathBuf,
}

/// Called first thing in every process of the lab: ends it when the one that started it has ended.
pub fn tie() {
    if std::env::var_os(TIED).is_none() {
        return;
    }
    std::thread::spawn(|| {
        let mut end = [0];
        while matches!(std::io::stdin().read(&mut end), Ok(1)) {}
        std::process::exit(130);
    });
}

impl Process {
    /// Starts `command`; what it says goes to `log`, behind what is there.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let file = open().with_context(|| format!("{} can't be written", log.display()))?;
        command.env(TIED, "1").stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("can't start {command:?}"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    /// It can't be waited for.
    pub fn kill9(&mut self) -> Result<()> {
        // `Child::kill` is SIGKILL; for one that has ended already there is nothing to do.
        let _ = self.child.kill();
        self.child.wait().context("a child can't be waited for")?;
        Ok(())
    }

    /// The end of what it said, for telling what went wrong.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Resident memory in KiB, from /proc.
    #[must_use]
    pub fn rss_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// Processor time that it has used, from /proc with its grain of 10 ms.
    #[must_use]
    pub fn cpu(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        // The name in parentheses may contain anything: count from behind it (proc(5), 14 and 15).
        let (_, rest) = stat.rsplit_once(')')?;
        let ticks = rest.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
        Some(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if wait::until(Duration::ZERO, || self.ended()).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
