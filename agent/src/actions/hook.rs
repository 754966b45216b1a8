//! Programs of the operator's: exactly the file that was signed, under a bound that holds even if
//! the agent dies, and with nothing of the agent's own environment.

use std::{
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use agent_core::{
    Hook, LinkSpec, StepRef, Work,
    deed::Sent,
    reply::{self, HookEnd},
    sight::Status,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use crate::hook_file::fingerprint;

/// Of coreutils. It outlives the agent, and kills the hook and what the hook started.
const TIMEOUT: &str = "/usr/bin/timeout";
/// From the polite signal to the one that nobody can ignore.
const KILL_AFTER: Duration = Duration::from_secs(2);
/// How much later than it should the end may come.
const SLACK: Duration = Duration::from_secs(2);
/// For the question whether the applications run: a look has to end before the executor calls it
/// blind.
const STATUS_MOST: Duration = Duration::from_secs(10);
/// For what is still in the pipes when the hook has ended. What it has left behind may hold them
/// open for ever.
const DRAIN_MOST: Duration = Duration::from_millis(200);
/// Of the output only the end is kept.
const TAIL_BYTES: usize = 2048;
const WORDS_MOST: usize = 200;

/// `timeout` has ended it, politely and not so.
const TIMED_OUT: [i32; 2] = [124, 137];

/// What a hook is told of the plan.
type Surroundings = [(&'static str, String); 5];

/// Runs the hook, once.
pub(super) async fn send(hook: &Hook, work: &Work, limit: Duration) -> Sent {
    let name = hook.command.join(" ");
    let within = within(hook).min(limit);
    let end = run(hook, surroundings(work), within).await;
    if let HookEnd::Code { code: 0, last } = &end {
        tracing::info!(hook = name, last, "the hook has done it");
    }
    reply::hook(&name, within, end)
}

/// Asks the hook, at most for 10 s. An answer that is neither 0 nor 3 is none, and told in words.
pub(super) async fn status(hook: &Hook, work: &Work) -> Result<Status, String> {
    let name = hook.command.join(" ");
    let within = within(hook).min(STATUS_MOST);
    reply::hook_status(&name, within, run(hook, surroundings(work), within).await)
}

/// The same where no plan is carried out: as proposal and step it gets 0.
pub(crate) async fn answer(hook: &Hook, link: &LinkSpec) -> Result<Status, String> {
    let name = hook.command.join(" ");
    let within = within(hook).min(STATUS_MOST);
    let around = [
        ("DR_AGENT_LINK", link.id.to_string()),
        ("DR_AGENT_DATABASE", link.database.clone()),
        ("DR_AGENT_INSTANCE", link.sql_server.to_string()),
        ("DR_AGENT_PROPOSAL", "0".to_owned()),
        ("DR_AGENT_STEP", "0".to_owned()),
    ];
    reply::hook_status(&name, within, run(hook, around, within).await)
}

async fn run(hook: &Hook, around: Surroundings, within: Duration) -> HookEnd {
    let Some((program, arguments)) = hook.command.split_first() else {
        return HookEnd::NotRun("the signed hook names no program".into());
    };
    if let Err(why) = same_file(program.clone(), hook.sha256.clone()).await {
        return HookEnd::NotRun(why);
    }
    // 0 would be no bound at all.
    let within = within.max(Duration::from_millis(100));
    let mut command = Command::new(TIMEOUT);
    command
        .arg(format!("--kill-after={}s", KILL_AFTER.as_secs()))
        .arg(format!("{}.{:03}s", within.as_secs(), within.subsec_millis()))
        .arg(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .envs(around)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Signals for the agent's own group, as from a terminal, are none for the hook.
        .process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            return HookEnd::NotRun(format!(
                "{TIMEOUT} can't be run: {error}; right: install coreutils"
            ));
        }
    };
    let tail = Arc::new(Mutex::new(Vec::new()));
    let mut pipes = JoinSet::new();
    if let Some(out) = child.stdout.take() {
        pipes.spawn(drain(out, Arc::clone(&tail)));
    }
    if let Some(err) = child.stderr.take() {
        pipes.spawn(drain(err, Arc::clone(&tail)));
    }
    let group = child.id();
    let ended = timeout(within + KILL_AFTER + SLACK, child.wait()).await;
    // What was not done in time must not be done later: `timeout` ends with its own child, and what
    // that one had started and ignores TERM would go on.
    let late = match &ended {
        Ok(Ok(status)) => status.code().is_none_or(|code| TIMED_OUT.contains(&code)),
        Ok(Err(_)) | Err(_) => true,
    };
    if late {
        end_group(group);
    }
    // What is not closed by then is given up with the set.
    let closed = async { while pipes.join_next().await.is_some() {} };
    let _ = timeout(DRAIN_MOST, closed).await;
    let last = last_line(&tail.lock().unwrap_or_else(PoisonError::into_inner));
    match ended {
        Ok(Ok(status)) => {
            // `timeout` itself belongs to those whom it kills.
            let by_signal = || status.signal().map_or(i32::MAX, |signal| 128 + signal);
            HookEnd::Code { code: status.code().unwrap_or_else(by_signal), last }
        }
        Ok(Err(error)) => {
            HookEnd::Lost(with_words(format!("its end was not seen: {error}"), &last))
        }
        Err(_) => HookEnd::Lost(with_words("it could not be ended".into(), &last)),
    }
}

/// Kills everybody in the group that `timeout` leads. Who has left it by `setsid` is out of reach.
fn end_group(leader: Option<u32>) {
    let pid = leader.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // There may be nobody left.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

/// What was signed is a file, not a path.
async fn same_file(program: String, signed: String) -> Result<(), String> {
    let judged = spawn_blocking(move || {
        let found = fingerprint(Path::new(&program)).map_err(|unfit| unfit.to_string())?;
        if found.eq_ignore_ascii_case(&signed) {
            return Ok(());
        }
        Err(format!(
            "{program} is not the file that was signed: its sha256 is {found}; right: the file with {signed}, or a new proposal from an agent that was restarted with this one"
        ))
    });
    judged.await.unwrap_or_else(|error| Err(format!("the hook was not read: {error}")))
}

fn surroundings(work: &Work) -> Surroundings {
    let step = work.step;
    [
        ("DR_AGENT_LINK", work.link.to_string()),
        ("DR_AGENT_DATABASE", work.action.database().to_owned()),
        ("DR_AGENT_INSTANCE", work.action.instance().to_string()),
        ("DR_AGENT_PROPOSAL", step.proposal.to_string()),
        ("DR_AGENT_STEP", key(step)),
    ]
}

/// By which a hook can tell that it is run again for the same: the same in every try.
fn key(step: StepRef) -> String {
    let back = if step.undo { "/undo" } else { "" };
    format!("{}/{}/{}{back}", step.proposal, step.lane, step.step)
}

fn within(hook: &Hook) -> Duration {
    Duration::from_millis(hook.within_ms)
}

/// Reads to the end, so that the hook never waits for a full pipe, and keeps the tail.
async fn drain(mut pipe: impl AsyncRead + Unpin, tail: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&buffer[..read]);
        let over = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..over);
    }
}

/// The last line with something in it, fit for the journal.
fn last_line(tail: &[u8]) -> String {
    let text = String::from_utf8_lossy(tail);
    let spaced: String =
        text.chars().map(|c| if c != '\n' && c.is_control() { ' ' } else { c }).collect();
    let line = spaced.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(WORDS_MOST).collect()
}

fn with_words(why: String, last: &str) -> String {
    if last.is_empty() { why } else { format!("{why}: {last}") }
}

#[cfg(test)]
#[path = "hook_tests.rs"]
mod tests;
