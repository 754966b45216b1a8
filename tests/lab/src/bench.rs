//! `cargo lab --bench`: how long things take, and what the agent needs, measured in one run.
//!
//! Times are compared across two processes by the clock of this machine, which both read.

mod figures;
mod planned;
mod steps;
mod twin;

use std::{process::ExitCode, sync::Mutex, time::Duration};

use ::twin::world::Fault;
use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use jiff::Timestamp;
use lab::{agent::name, wait, wire::Events};
use serde_json::Value;

use self::{
    figures::{Figures, ms},
    planned::Moves,
};
use crate::{
    stage::{APPROVERS, Props, Stage},
    view::say,
};

const SOON: Duration = Duration::from_secs(60);
/// Stages at once: most of the time each of them waits.
const AT_ONCE: usize = 4;
/// The same where every millisecond is accounted for.
const RUNS_AT_ONCE: usize = 2;
/// Losses of the primary on one stage, before it fails over for good.
const LOSSES: usize = 4;

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// From a loss to the verdict, and from the approval to the command.
    Detection,
    /// What a run costs, step by step: planned over and back, and forced.
    Steps,
    /// Memory and processor time.
    Upkeep,
    /// What the twin bears by itself.
    Twin,
}

/// Measures everything, or one part, and prints it.
pub(crate) fn measure(
    props: &Props,
    only: Option<Part>,
    runs: usize,
    watch_s: u64,
) -> Result<ExitCode> {
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    say(&format!("dr-agent {}, {build} build", dr_agent::run::VERSION));
    let wanted = |part| only.is_none_or(|only| only == part);
    let mut failed = Vec::new();
    if wanted(Part::Detection) {
        let link = &props.world.links[0];
        say(&format!(
            "detection: probes every 500 ms, 3 misses, session timeout {} s and {} ms until it is told",
            link.session_timeout_s, link.notice_ms
        ));
        let all = Mutex::new(Figures::default());
        failed.extend(stages(runs.div_ceil(LOSSES), AT_ONCE, |seed| {
            let figures = losses(Props { world: props.world.clone(), seed, ..patient() })?;
            all.lock().map_err(|_| anyhow!("a worker has panicked"))?.add(figures);
            Ok(())
        }));
        lines(&all.into_inner().map_err(|_| anyhow!("a worker has panicked"))?.lines());
    }
    if wanted(Part::Steps) {
        let all = Mutex::new(Moves::default());
        failed.extend(stages(runs, RUNS_AT_ONCE, |seed| {
            let moves = planned::play(seed)?;
            all.lock().map_err(|_| anyhow!("a worker has panicked"))?.add(moves);
            Ok(())
        }));
        lines(&all.into_inner().map_err(|_| anyhow!("a worker has panicked"))?.lines());
    }
    if wanted(Part::Upkeep) {
        match upkeep(watch_s) {
            Ok(upkeep) => lines(&upkeep),
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    if wanted(Part::Twin) {
        match twin::measure(watch_s) {
            Ok(twin) => lines(&twin),
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    failed.iter().for_each(|failure| say(&format!("FAILED: {failure}")));
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays on so many stages, `at_once` of them side by side, each with a seed of its own. Gives what
/// went wrong.
fn stages(count: usize, at_once: usize, play: impl Fn(u64) -> Result<()> + Sync) -> Vec<String> {
    let count = count.max(1);
    let left = Mutex::new((1..=count).map(|seed| seed as u64).collect::<Vec<_>>());
    std::thread::scope(|scope| {
        let worker = || -> Result<()> {
            loop {
                let next = left.lock().map_err(|_| anyhow!("a worker has panicked"))?.pop();
                let Some(seed) = next else { return Ok(()) };
                play(seed)?;
            }
        };
        let workers: Vec<_> = (0..at_once.min(count)).map(|_| scope.spawn(worker)).collect();
        let ends = workers.into_iter().map(|worker| match worker.join() {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(_) => Some("a worker has panicked".to_owned()),
        });
        ends.flatten().collect()
    })
}

fn lines(lines: &[String]) {
    lines.iter().for_each(|line| say(line));
}

/// Nothing is proposed by itself, so that a primary can be lost again and again.
fn patient() -> Props {
    Props { settings: vec![("policy.propose_after", "30m".into())], ..Props::short() }
}

/// Loses the primary several times, then fails over.
fn losses(props: Props) -> Result<Figures> {
    let mut stage = Stage::set(props)?;
    stage.start_agent()?;
    let mut figures = Figures::default();
    let mut events = stage.agent.events(0)?;
    verdict(&mut events, "healthy")?;
    let instance = stage.twin.endpoints.sql_server.name.clone();
    for loss in 1..=LOSSES {
        detection(&stage, &mut events, &instance, &mut figures)?;
        if loss < LOSSES {
            stage.twin.fault(&Fault::Start { instance: instance.clone() })?;
            verdict(&mut events, "healthy")?;
        }
    }
    failover(&stage, &mut events, &mut figures)?;
    Ok(figures)
}

/// From the fault to the verdict, with its parts.
fn detection(
    stage: &Stage,
    events: &mut Events,
    instance: &str,
    figures: &mut Figures,
) -> Result<()> {
    let state = stage.twin.state()?;
    let fault = time(&state["now"])?;
    stage.twin.fault(&Fault::Stop { instance: instance.to_owned() })?;
    let told = wait::until(SOON, || {
        let state = stage.twin.state().ok()?;
        let connected = &state["links"][0]["managed_instance"]["connected"];
        (*connected == false).then(|| time(&state["now"]).ok()).flatten()
    });
    let told = told.context("the managed instance never said DISCONNECTED")?;
    let (seen, down) = verdict(events, "primary_down")?;
    let degraded = seen.iter().find(|entry| entry["event"]["to"] == "degraded");
    let silent = |entry: &Value| {
        let reasons = entry["event"]["reasons"].as_array()?;
        let silent = reasons.iter().find(|reason| reason["why"] == "silent")?;
        time(&silent["since"]).ok()
    };
    let since = silent(&down).context("the verdict names no silence")?;
    let down = time(&down["at"])?;
    figures.detection.push(ms(fault, down));
    figures.first_miss.push(ms(fault, since));
    if let Some(degraded) = degraded {
        figures.misses.push(ms(since, time(&degraded["at"])?));
    }
    figures.session.push(ms(fault, told));
    figures.last_look.push(ms(told, down));
    Ok(())
}

/// From the decisive approval to the command at the twin, with its parts.
fn failover(stage: &Stage, events: &mut Events, figures: &mut Figures) -> Result<()> {
    stage.agent.propose(stage.twin.link(), "bench")?.json()?;
    let opened = entry(events, "proposal_opened")?;
    let id = opened["seq"].to_string();
    for who in APPROVERS {
        let key = stage.key(who);
        let key = key.to_str().context("a path of the lab is text")?;
        let arguments = ["approve", &id, "--key", key, "--approver", who, "--yes"];
        stage.cli(&arguments)?.good()?;
    }
    entry(events, "ballot_received")?;
    let decisive = time(&entry(events, "ballot_received")?["at"])?;
    let ready = time(&entry(events, "step_done")?["at"])?;
    let sending = time(&entry(events, "step_sending")?["at"])?;
    let closed = entry(events, "proposal_closed")?;
    if closed["event"]["end"] != "succeeded" {
        return Err(anyhow!("the failover has not succeeded: {closed}"));
    }
    let commands = stage.twin.commands()?;
    let command = commands.first().context("no command has reached the twin")?;
    figures.approval.push(ms(decisive, command.at));
    figures.ready.push(ms(decisive, ready));
    figures.permission.push(ms(ready, sending));
    figures.way.push(ms(sending, command.at));
    figures.whole.push(ms(decisive, time(&closed["at"])?));
    Ok(())
}

/// Memory and processor time of the agent with one link that it looks at every second.
fn upkeep(watch_s: u64) -> Result<Vec<String>> {
    let mut props = Props::short();
    for key in ["sql_servers.0.probe.every", "managed_instances.0.probe.every"] {
        props.settings.push((key, "1s".into()));
    }
    props.settings.push(("managed_instances.0.arm.every", "5s".into()));
    props.settings.push(("policy.stale_after", "15s".into()));
    let mut stage = Stage::set(props)?;
    stage.start_agent()?;
    stage.agent.wait_ready(SOON)?;
    let agent = stage.running.as_ref().context("the agent runs")?;
    let before = agent.cpu().context("/proc tells")?;
    wait::rest(Duration::from_secs(watch_s));
    let used = agent.cpu().context("/proc tells")?.saturating_sub(before);
    let rss = agent.rss_kib().context("/proc tells")?;
    let share = used.as_secs_f64() / watch_s.max(1) as f64 * 100.0;
    Ok(vec![
        format!("upkeep, one link, probes every 1 s (ARM every 5 s), over {watch_s} s"),
        format!("  memory (RSS)          {:.1} MiB", rss as f64 / 1024.0),
        format!("  processor             {:.2} % of one core ({used:?})", share),
    ])
}

/// The next verdict of this kind, and all entries before it.
fn verdict(events: &mut Events, health: &str) -> Result<(Vec<Value>, Value)> {
    let mut seen = Vec::new();
    let deadline = wait::now() + SOON;
    while let Some(sent) = events.next(deadline.saturating_duration_since(wait::now())) {
        if name(&sent.data) == "health_changed" && sent.data["event"]["to"] == health {
            return Ok((seen, sent.data));
        }
        seen.push(sent.data);
    }
    Err(anyhow!("no verdict {health} within {SOON:?}"))
}

fn entry(events: &mut Events, event: &str) -> Result<Value> {
    let deadline = wait::now() + SOON;
    while let Some(sent) = events.next(deadline.saturating_duration_since(wait::now())) {
        if name(&sent.data) == event {
            return Ok(sent.data);
        }
    }
    Err(anyhow!("no {event} within {SOON:?}"))
}

fn time(value: &Value) -> Result<Timestamp> {
    let text = value.as_str().with_context(|| format!("{value} is no time"))?;
    text.parse().with_context(|| format!("{text} is no time"))
}
