//! What a run costs: planned failovers over and back, and a forced one, step by step.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use lab::{agent::name, wait, wire::Events};
use serde_json::Value;
use twin::world::Fault;

use super::{
    SOON, entry, patient,
    steps::{Run, Span, Step, Table},
    time, verdict,
};
use crate::stage::{APPROVERS, Props, Stage};

/// Where the hook notes when it ran, in the folder of the stage.
const HOOK_LOG: &str = "hook.log";

/// All runs by kind.
#[derive(Debug, Default)]
pub(super) struct Moves {
    over: Table,
    back: Table,
    forced: Table,
}

impl Moves {
    pub(super) fn lines(&self) -> Vec<String> {
        [
            self.over.lines("planned, SQL Server to managed instance"),
            self.back.lines("planned, managed instance to SQL Server"),
            self.forced.lines("forced, SQL Server to managed instance"),
        ]
        .concat()
    }

    pub(super) fn add(&mut self, [over, back, forced]: [Run; 3]) {
        self.over.add(over);
        self.back.add(back);
        self.forced.add(forced);
    }
}

/// Over and back in the ordinary way, then over by force, on a stage of its own.
pub(super) fn play(seed: u64) -> Result<[Run; 3]> {
    let mut stage = Stage::set(Props { seed, ..patient() })?;
    time_the_hook(&stage)?;
    stage.start_agent()?;
    let mut events = stage.agent.events(0)?;
    verdict(&mut events, "healthy")?;
    let over = planned(&stage, &mut events, APPROVERS[0])?;
    point_at(&stage, &stage.twin.endpoints.managed_instance.name)?;
    well(&stage, "managed_instance")?;
    let back = planned(&stage, &mut events, APPROVERS[1])?;
    let instance = stage.twin.endpoints.sql_server.name.clone();
    point_at(&stage, &instance)?;
    well(&stage, "sql_server")?;
    stage.twin.fault(&Fault::Stop { instance })?;
    verdict(&mut events, "primary_down")?;
    let forced = forced(&stage, &mut events)?;
    Ok([over, back, forced])
}

/// Has the hook's script note when it begins and ends. The agent takes the file as it is when a
/// plan is proposed.
fn time_the_hook(stage: &Stage) -> Result<()> {
    let path = stage.folder().join("applications");
    let text = std::fs::read_to_string(&path)?;
    let call = text.lines().find_map(|line| line.strip_prefix("exec "));
    let call = call.context("the lab's hook is one command")?;
    let log = stage.folder().join(HOOK_LOG);
    let note = format!("echo \"$$ $(date +%s%3N)\" >> '{}'", log.display());
    std::fs::write(&path, format!("#!/bin/sh\n{note}\n{call}\ncode=$?\n{note}\nexit $code\n"))?;
    Ok(())
}

fn planned(stage: &Stage, events: &mut Events, who: &str) -> Result<Run> {
    stage.agent.propose_planned(stage.twin.link(), "bench")?.json()?;
    carried_out(stage, events, &[who])
}

fn forced(stage: &Stage, events: &mut Events) -> Result<Run> {
    stage.agent.propose(stage.twin.link(), "bench")?.json()?;
    carried_out(stage, events, &APPROVERS)
}

/// Signs the proposal that was just asked for, and reads off how it was carried out.
fn carried_out(stage: &Stage, events: &mut Events, signers: &[&str]) -> Result<Run> {
    let opened = entry(events, "proposal_opened")?;
    let id = opened["seq"].to_string();
    for who in signers {
        let key = stage.key(who);
        let key = key.to_str().context("a path of the lab is text")?;
        stage.cli(&["approve", &id, "--key", key, "--approver", who, "--yes"])?.good()?;
    }
    let mut entries = Vec::new();
    let deadline = wait::now() + SOON + SOON;
    while entries.last().map(name) != Some("proposal_closed") {
        let left = deadline.saturating_duration_since(wait::now());
        let sent = events.next(left).context("the plan does not come to its end")?;
        entries.push(sent.data);
    }
    let closed = entries.last().context("there are entries")?;
    if closed["event"]["end"] != "succeeded" {
        bail!("it has not succeeded: {closed}");
    }
    let decisive = entries.iter().rfind(|entry| name(entry) == "ballot_received");
    let decisive = at(decisive.context("somebody has signed")?)?;
    let whole = (decisive, at(closed)?);
    let plan = opened["event"]["texts"]["plan"].as_str().context("a proposal has a plan")?;
    let plan: Value = serde_json::from_str(plan)?;
    Ok(Run {
        whole,
        steps: steps(&plan, &entries)?,
        engine: engine(stage, whole)?,
        hook: hook(stage)?,
    })
}

fn steps(plan: &Value, entries: &[Value]) -> Result<Vec<Step>> {
    let planned = plan["lanes"][0]["steps"].as_array().context("a plan has steps")?;
    let mut steps = Vec::new();
    for (place, step) in planned.iter().enumerate() {
        let found = |event: &str| {
            let of =
                |entry: &&Value| name(entry) == event && entry["event"]["step"]["step"] == place;
            entries.iter().find(of).with_context(|| format!("step {place} has no {event}"))
        };
        steps.push(Step {
            name: step["action"]["action"].as_str().unwrap_or("step").to_owned(),
            span: (at(found("step_started")?)?, at(found("step_done")?)?),
            hold_ms: step["action"]["quiet"]["for_ms"].as_i64().unwrap_or_default(),
        });
    }
    Ok(steps)
}

/// What the twin worked on within a span: each command from its arrival until it had ended there,
/// a failover at the latest when the new primary took writes.
fn engine(stage: &Stage, within: Span) -> Result<Vec<Span>> {
    let truth = stage.twin.truth()?;
    let operations = truth["operations"].as_array().context("the truth has no operations")?;
    let mut spans = Vec::new();
    for operation in operations {
        let received = millis(&operation["received"])?;
        if received < within.0 || received > within.1 {
            continue;
        }
        let finished = millis(&operation["finished"]).unwrap_or(received);
        let writer = if operation["kind"].as_str().is_some_and(|kind| kind.ends_with("failover")) {
            new_writer(&truth["links"][0]["intervals"], received)
        } else {
            None
        };
        spans.push((received, writer.unwrap_or(finished).max(finished)));
    }
    Ok(spans)
}

/// When, after `since`, a side began to take writes.
fn new_writer(intervals: &Value, since: i64) -> Option<i64> {
    let begun = intervals.as_array()?.iter().filter_map(|interval| {
        let from = millis(&interval["from"]).ok()?;
        let writers = interval["writers"].as_object()?;
        (from > since && writers.values().any(|writes| *writes == true)).then_some(from)
    });
    begun.min()
}

/// When the hook ran. A run has two lines with its process id.
fn hook(stage: &Stage) -> Result<Vec<Span>> {
    let text = std::fs::read_to_string(stage.folder().join(HOOK_LOG))?;
    let (mut begun, mut spans) = (BTreeMap::new(), Vec::new());
    for line in text.lines() {
        let (id, at) = line.split_once(' ').context("the hook notes a number and a time")?;
        let at: i64 = at.parse().context("the hook notes milliseconds")?;
        match begun.remove(id) {
            Some(from) => spans.push((from, at)),
            None => {
                begun.insert(id, at);
            }
        }
    }
    Ok(spans)
}

fn point_at(stage: &Stage, target: &str) -> Result<()> {
    let state = stage.twin.state()?;
    let shop = state["workloads"][0]["name"].as_str().context("the twin has an application")?;
    stage.twin.repoint(shop, target)?;
    stage.twin.set_running(shop, true)
}

/// Waits until the link is healthy with this side as primary.
fn well(stage: &Stage, primary: &str) -> Result<()> {
    let link = || stage.agent.link(stage.twin.link()).ok();
    let well = |link: &Value| link["health"] == "healthy" && link["primary"] == primary;
    let found = wait::until(SOON, || link().filter(well));
    found.map(drop).with_context(|| format!("it is not well: {:?}", link()))?;
    // The application has to have worked, or there is nothing to stop.
    wait::rest(Duration::from_secs(1));
    Ok(())
}

fn at(entry: &Value) -> Result<i64> {
    millis(&entry["at"])
}

fn millis(value: &Value) -> Result<i64> {
    time(value).map(Timestamp::as_millisecond)
}
