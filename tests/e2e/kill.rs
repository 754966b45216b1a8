//! `kill -9` of the agent between any two entries of a failover, and in the middle of every step:
//! started again it finishes by itself, and the command is let go once.
//!
//! Moments are found by the journal's own stream and by what the twin sees. A slow path between
//! agent and managed instance makes each of them wide enough to be hit.

use std::{collections::BTreeMap, time::Duration};

use lab::{agent::name, twin::Command, wait as lab_wait};
use serde_json::Value;
use tests::harness::wait;
use twin::world::Fault;

use crate::rig::{
    APPROVERS, ElapsedNow, Follower, LIMIT, MI, Rig, SQL, Wish, approval, attested, party,
    side_by_side,
};

/// When the agent is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after the n-th of these events, counted from 1.
    After(&'static str, usize, Duration),
    /// When the command has reached the twin.
    Landed,
    /// When the engine has taken it, and the role changes.
    Resolving,
    /// When the role is PRIMARY and the database recovers.
    Recovering,
}

/// By which way the command goes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Tsql,
    /// The login may not fail over, so the second route is taken.
    Arm,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    way: Way,
    moment: Moment,
    /// The last entry that the agent is to have written when it is killed.
    boundary: &'static str,
    seed: u64,
    /// How long everything takes between the agent and the managed instance, and Azure.
    slow_ms: u32,
}

/// What came of a case, for the figures.
struct Outcome {
    /// The last entry that the killed agent had written.
    boundary: String,
    /// From its start until the restarted agent answers with what it has to do.
    resumed: Duration,
}

const NOW: Duration = Duration::ZERO;
/// Tries to hit one boundary. On a machine with much else to do a kill may come too late, so each
/// try has wider windows than the one before.
const TRIES: u32 = 5;
const SLOW_MS: u32 = 80;

#[test]
fn by_tsql_killed_anywhere_it_finishes_with_one_command() {
    let after = |event, nth, ms| Moment::After(event, nth, Duration::from_millis(ms));
    let moments = [
        (after("health_changed", 2, 0), "health_changed"),
        (after("proposal_opened", 1, 0), "proposal_opened"),
        (after("ballot_received", 1, 0), "ballot_received"),
        // The second approval and the quorum are one transaction; the first step joins it if the
        // verdict holds just then.
        (after("ballot_received", 2, 0), "proposal_approved"),
        (after("step_started", 1, 60), "step_started 1"),
        // So are the end of a step and the beginning of the next one.
        (after("step_done", 1, 0), "step_started 2"),
        (after("step_started", 2, 60), "step_started 2"),
        (after("step_sending", 1, 0), "step_sending 2"),
        (after("step_sending", 1, 30), "step_sending 2"),
        (Moment::Landed, "step_sending 2"),
        (Moment::Resolving, "step_sending 2"),
        (Moment::Recovering, "step_sending 2"),
        (after("step_done", 2, 0), "step_started 3"),
        (after("step_started", 3, 60), "step_started 3"),
        (after("step_done", 3, 0), "proposal_closed"),
    ];
    play(Way::Tsql, &moments);
}

#[test]
fn by_arm_killed_anywhere_it_ends_with_one_command() {
    let after = |event, nth, ms| Moment::After(event, nth, Duration::from_millis(ms));
    let moments = [
        // The end of the first route is the beginning of the second.
        (after("step_not_done", 1, 0), "step_started 2"),
        (after("step_sending", 2, 0), "step_sending 2"),
        (Moment::Landed, "step_sending 2"),
        (after("step_noted", 1, 0), "step_noted 2"),
        (after("step_noted", 1, 300), "step_noted 2"),
        (Moment::Resolving, "step_noted 2"),
    ];
    play(Way::Arm, &moments);
}

#[test]
fn killed_again_and_again_it_finishes_with_one_command() {
    let outcomes = side_by_side(vec![71, 72], 2, storm);
    report("killed again and again", outcomes.into_iter().flatten().collect());
}

fn play(way: Way, moments: &[(Moment, &'static str)]) {
    let cases = (1..).zip(moments);
    let cases = cases.map(|(seed, &(moment, boundary))| Case {
        way,
        moment,
        boundary,
        seed,
        slow_ms: SLOW_MS,
    });
    let outcomes = side_by_side(cases.collect(), 4, at_its_boundary);
    report(&format!("{way:?}"), outcomes.into_iter().flatten().collect());
}

/// Plays a case until it was killed just where it was meant to be. All of its tries have to end
/// well.
fn at_its_boundary(wanted: Case) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for again in 0..TRIES {
        let slow_ms = SLOW_MS + SLOW_MS / 2 * again;
        let outcome = case(Case { seed: wanted.seed + 100 * u64::from(again), slow_ms, ..wanted });
        let hit = is_that(&outcome.boundary, wanted.boundary);
        outcomes.push(outcome);
        if hit {
            return outcomes;
        }
    }
    let hit: Vec<_> = outcomes.iter().map(|outcome| &outcome.boundary).collect();
    panic!("{wanted:?}: {TRIES} tries have hit {hit:?}");
}

fn is_that(boundary: &str, wanted: &str) -> bool {
    boundary == wanted || (wanted == "proposal_approved" && boundary == "step_started 1")
}

fn rig(way: Way, seed: u64, slow_ms: u32) -> Rig {
    let mut wish = Wish::new(seed)
        .set("managed_instances.0.probe.deadline", "2500ms")
        .set("managed_instances.0.probe.connect_within", "2500ms");
    if matches!(way, Way::Arm) {
        wish = wish.set("policy.step_deadline", "25s").set("policy.stuck_after", "5s");
    }
    let rig = Rig::healthy(wish);
    if matches!(way, Way::Arm) {
        rig.fault(&Fault::FailNext { instance: MI.to_owned(), number: 15_151, times: 50 });
        rig.fault(&Fault::Slow { from: party("agent"), to: party("arm"), ms: slow_ms });
    }
    rig.fault(&Fault::Slow { from: party("agent"), to: party(MI), ms: slow_ms });
    rig
}

fn case(case: Case) -> Outcome {
    let mut rig = rig(case.way, case.seed, case.slow_ms);
    let mut journal = rig.follow(0);
    rig.stop(SQL);
    let mut outcome = None;
    let mut waiting = Some(case.moment);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let deadline = wait::now() + LIMIT * 2;
    loop {
        if let Some(moment) = waiting
            && has_come(moment, &counts, &rig, case.way)
        {
            waiting = None;
            let (boundary, resumed) = kill_and_start(&mut rig, &mut journal, &mut counts);
            outcome = Some(Outcome { boundary, resumed });
        }
        if counts.contains_key("proposal_closed") && waiting.is_none() {
            break;
        }
        assert!(wait::now() < deadline, "{case:?}: {:#?}\n{}", journal.names(), rig.log());
        let poll = Duration::from_millis(5);
        let Some(entry) = journal.next(poll) else { continue };
        *counts.entry(name(&entry).to_owned()).or_default() += 1;
        if !moment_is(waiting, &counts) {
            sign(&rig, &counts);
        }
    }
    ends_well(&mut rig, &mut journal, case);
    outcome.expect("the moment has come")
}

/// Kills the agent every now and then until the plan is closed.
fn storm(seed: u64) -> Vec<Outcome> {
    let mut rig = rig(Way::Tsql, seed, SLOW_MS);
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut journal = rig.follow(0);
    rig.stop(SQL);
    journal.until("proposal_opened");
    let mut counts = BTreeMap::from([("proposal_opened".to_owned(), 1)]);
    let mut outcomes = Vec::new();
    let deadline = wait::now() + LIMIT * 2;
    while !counts.contains_key("proposal_closed") {
        assert!(wait::now() < deadline, "{:#?}\n{}", journal.names(), rig.log());
        sign(&rig, &counts);
        let until = wait::now() + Duration::from_millis(dice.u64(50..900));
        while wait::now() < until && !counts.contains_key("proposal_closed") {
            if let Some(entry) = journal.next(Duration::from_millis(5)) {
                *counts.entry(name(&entry).to_owned()).or_default() += 1;
                sign(&rig, &counts);
            }
        }
        if outcomes.len() < 12 && !counts.contains_key("proposal_closed") {
            let (boundary, resumed) = kill_and_start(&mut rig, &mut journal, &mut counts);
            outcomes.push(Outcome { boundary, resumed });
        }
    }
    let case =
        Case { way: Way::Tsql, moment: Moment::Landed, boundary: "any", seed, slow_ms: SLOW_MS };
    ends_well(&mut rig, &mut journal, case);
    outcomes
}

/// Whether the event that a moment waits for has just come: then nobody does anything else first.
fn moment_is(moment: Option<Moment>, counts: &BTreeMap<String, usize>) -> bool {
    match moment {
        Some(Moment::After(event, nth, _)) => counts.get(event) == Some(&nth),
        Some(Moment::Landed | Moment::Resolving | Moment::Recovering) | None => false,
    }
}

fn has_come(moment: Moment, counts: &BTreeMap<String, usize>, rig: &Rig, way: Way) -> bool {
    let role = || {
        let state = rig.twin.state().expect("the twin shows its state");
        let role = state["links"][0]["managed_instance"]["role"].as_str().map(str::to_lowercase);
        role.expect("a role is a word")
    };
    let sent = || counts.contains_key("step_sending");
    match moment {
        Moment::After(event, nth, delay) => {
            let come = counts.get(event).is_some_and(|count| *count >= nth);
            if come && delay > NOW {
                lab_wait::rest(delay);
            }
            come
        }
        Moment::Landed => {
            let taken = |command: &Command| match way {
                Way::Tsql => command.refused.is_none(),
                Way::Arm => command.target == "arm",
            };
            sent() && rig.failovers().iter().any(taken)
        }
        Moment::Resolving => sent() && role() == "resolving",
        Moment::Recovering => sent() && role() == "primary",
    }
}

/// The approvers sign what they have not signed yet, one after the other.
fn sign(rig: &Rig, counts: &BTreeMap<String, usize>) {
    if !counts.contains_key("proposal_opened") || counts.contains_key("proposal_approved") {
        return;
    }
    let link = rig.agent.link(rig.link()).expect("the agent tells of its link");
    let Some(id) = link["proposal"]["proposal"].as_u64() else { return };
    let signed = counts.get("ballot_received").copied().unwrap_or_default();
    if link["proposal"]["approvals"].as_u64() == u64::try_from(signed).ok()
        && let Some(who) = APPROVERS.get(signed)
    {
        // Killed before it had said so, the agent can't know when the primary stopped.
        let unknown = rig.proposal(id).terms.bounds.loss_most_ms.is_none();
        let decision = if unknown { attested() } else { approval() };
        let answer = rig.cast(id, who, decision);
        assert_eq!(answer.status, 201, "{who} approves: {}", answer.body);
    }
}

fn kill_and_start(
    rig: &mut Rig,
    journal: &mut Follower,
    counts: &mut BTreeMap<String, usize>,
) -> (String, Duration) {
    let told = restart(rig, journal, counts);
    sign(rig, counts);
    told
}

/// Kills the agent and starts it again. Says what the journal's end was, and how long the restarted
/// agent took to answer.
pub(crate) fn restart(
    rig: &mut Rig,
    journal: &mut Follower,
    counts: &mut BTreeMap<String, usize>,
) -> (String, Duration) {
    let end = rig.kill();
    // What it had written and not told any more.
    for stored in rig.reader().read_after(journal.at, 100).expect("the journal can be read") {
        let entry: Value = serde_json::from_str(&stored.text).expect("an entry is JSON");
        *counts.entry(name(&entry).to_owned()).or_default() += 1;
        journal.seen.push(entry);
    }
    let boundary = journal.seen.last().map(shown).unwrap_or_default();
    let begun = wait::now();
    rig.start();
    let resumed = begun.elapsed_now();
    let seen = std::mem::take(&mut journal.seen);
    *journal = rig.follow(end);
    journal.seen = seen;
    (boundary, resumed)
}

/// The name of an entry's event, and the step that it is about.
pub(crate) fn shown(entry: &Value) -> String {
    match entry["event"]["step"]["step"].as_u64() {
        Some(step) => format!("{} {}", name(entry), step + 1),
        None => name(entry).to_owned(),
    }
}

fn ends_well(rig: &mut Rig, journal: &mut Follower, case: Case) {
    let closed = journal.seen.iter().rfind(|entry| name(entry) == "proposal_closed");
    let closed = closed.unwrap_or_else(|| panic!("{case:?}: {:?}", journal.names()));
    let commands = relevant(rig, case.way);
    let tell = || format!("{case:?}: {closed:#}\n{:?}\n{commands:#?}", journal.names());
    let end = closed["event"]["end"].as_str().unwrap_or_default();
    let verified = rig.reader().verify().expect("the chain of the journal holds");
    assert!(verified.entries >= journal.at);
    if matches!(case.way, Way::Arm) && commands.is_empty() {
        // Killed between the permission and the POST. Nobody can tell that from a POST whose
        // operation does not show yet, so it is not sent again: a human is asked.
        assert_eq!(end, "stuck", "{}", tell());
        return;
    }
    assert_eq!(end, "succeeded", "{}", tell());
    let effective = commands.iter().filter(|command| command.effective).count();
    let last = commands.last().is_some_and(|command| command.effective);
    assert!(effective == 1 && last, "one command takes effect, none follows: {}", tell());
    let id = closed["event"]["proposal"].as_u64().expect("a proposal has a number");
    rig.assert_loss_within(rig.proposal(id).terms.bounds.loss_most_ms.unwrap_or(u64::MAX));
}

/// The commands by the way that counts. What the login may not do is refused and does nothing.
fn relevant(rig: &Rig, way: Way) -> Vec<Command> {
    let mut commands = rig.failovers();
    match way {
        Way::Tsql => {}
        Way::Arm => commands.retain(|command| command.target == "arm"),
    }
    commands
}

#[expect(clippy::print_stdout, reason = "figures, for whoever looks at them")]
fn report(what: &str, mut outcomes: Vec<Outcome>) {
    let mut boundaries: BTreeMap<&str, usize> = BTreeMap::new();
    for outcome in &outcomes {
        *boundaries.entry(&outcome.boundary).or_default() += 1;
    }
    println!("{what}: {} kills, the last entries were {boundaries:?}", outcomes.len());
    outcomes.sort_by_key(|outcome| outcome.resumed);
    let Some(longest) = outcomes.last() else { return };
    let median = outcomes[outcomes.len() / 2].resumed;
    println!(
        "{what}: started again, it went on after p50 {median:?}, at most {:?}",
        longest.resumed
    );
}
