//! `kill -9` of the agent between any two entries of a planned failover and in the middle of every
//! step, and each reply lost in turn: it ends by itself, the roles change once, nothing is lost.

use std::{collections::BTreeMap, time::Duration};

use lab::{agent::name, wait as lab_wait};
use serde_json::Value;
use tests::harness::wait;
use twin::world::Fault;

use crate::{
    kill::{restart, shown},
    planned::{asked, asked_for, ended, handed_over, nothing_lost, wish},
    rig::{LIMIT, MI, Rig, SQL, Wish, party, side_by_side},
};

/// When the agent is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So many milliseconds after the n-th of these events, counted from 1.
    After(&'static str, usize, u64),
    /// When the statement has reached the twin.
    Landed,
    /// When the old primary has given its role away.
    Resolving,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    from: &'static str,
    moment: Moment,
    /// The last entry that the agent is to have written when it is killed.
    boundary: &'static str,
    seed: u64,
    /// How long everything takes between the agent and each instance.
    slow_ms: u32,
}

/// Tries to hit one boundary. On a machine with much else to do a kill may come too late, so each
/// try has wider windows than the one before.
const TRIES: u32 = 5;
const SLOW_MS: u32 = 40;

use Moment::{After, Landed, Resolving};

/// The ones that do not depend on the direction.
const MOMENTS: [(Moment, &str); 16] = [
    (After("proposal_opened", 1, 0), "proposal_opened"),
    // The approval and the quorum are one transaction; the first step joins it if both sides are
    // seen to be well just then.
    (After("ballot_received", 1, 0), "proposal_approved"),
    (After("step_started", 1, 0), "step_started 1"),
    // So are the end of a step and the beginning of the next one.
    (After("step_done", 1, 0), "step_started 2"),
    // The hook is at work.
    (After("step_sending", 1, 0), "step_sending 2"),
    (After("step_sending", 1, 700), "step_sending 2"),
    (After("step_done", 2, 0), "step_started 3"),
    (After("step_started", 3, 300), "step_started 3"),
    (After("step_done", 3, 0), "step_started 4"),
    (After("step_sending", 2, 0), "step_sending 4"),
    (Landed, "step_sending 4"),
    (Resolving, "step_sending 4"),
    (After("step_done", 4, 0), "step_started 5"),
    (After("step_done", 5, 0), "step_started 6"),
    (After("step_started", 6, 50), "step_started 6"),
    (After("step_done", 6, 0), "proposal_closed"),
];

#[test]
fn over_killed_anywhere_it_finishes_and_nothing_is_lost() {
    play(SQL, &MOMENTS, 200);
}

#[test]
fn back_killed_anywhere_it_finishes_and_nothing_is_lost() {
    // What comes before the statement has no direction.
    let mut moments = MOMENTS[9..15].to_vec();
    moments.extend([
        (After("step_done", 6, 0), "step_started 7"),
        (After("step_sending", 3, 0), "step_sending 7"),
        // The backup is being made.
        (After("step_sending", 3, 700), "step_sending 7"),
        (After("step_done", 7, 0), "step_started 8"),
        (After("step_done", 8, 0), "proposal_closed"),
    ]);
    play(MI, &moments, 300);
}

fn play(from: &'static str, moments: &[(Moment, &'static str)], seeds: u64) {
    let cases = (seeds..).zip(moments);
    let cases = cases.map(|(seed, &(moment, boundary))| Case {
        from,
        moment,
        boundary,
        seed,
        slow_ms: SLOW_MS,
    });
    side_by_side(cases.collect(), 4, at_its_boundary);
}

/// Plays a case until it was killed just where it was meant to be. All of its tries have to end
/// well.
fn at_its_boundary(wanted: Case) {
    let mut hit = Vec::new();
    for again in 0..TRIES {
        let slow_ms = SLOW_MS + SLOW_MS / 2 * again;
        let boundary = case(Case { seed: wanted.seed + 20 * u64::from(again), slow_ms, ..wanted });
        if is_that(&boundary, wanted.boundary) {
            return;
        }
        hit.push(boundary);
    }
    panic!("{wanted:?}: {TRIES} tries have hit {hit:?}");
}

fn is_that(boundary: &str, wanted: &str) -> bool {
    boundary == wanted || (wanted == "proposal_approved" && boundary == "step_started 1")
}

fn slow(wish: Wish, ms: u32) -> Rig {
    let rig = Rig::healthy(wish);
    for instance in [SQL, MI] {
        rig.fault(&Fault::Slow { from: party("agent"), to: party(instance), ms });
    }
    rig
}

fn case(case: Case) -> String {
    let mut rig = slow(wish(case.seed, case.from), case.slow_ms);
    let mut journal = rig.follow(0);
    let answer = rig.agent.propose_planned(rig.link(), "carol").expect("the agent answers");
    assert_eq!(answer.status, 201, "{}", answer.body);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut boundary = None;
    let deadline = wait::now() + LIMIT * 2;
    while boundary.is_none() || !counts.contains_key("proposal_closed") {
        assert!(wait::now() < deadline, "{case:?}: {:#?}\n{}", journal.names(), rig.log());
        if boundary.is_none() && has_come(case, &counts, &rig) {
            restart(&mut rig, &mut journal, &mut counts);
            // A change of roles shows in the health too, sooner or later.
            let steps = |entry: &&Value| name(entry) != "health_changed";
            boundary = journal.seen.iter().rfind(steps).map(shown);
        }
        if let Some(entry) = journal.next(Duration::from_millis(5)) {
            *counts.entry(name(&entry).to_owned()).or_default() += 1;
        }
        let waits = boundary.is_none() && has_come_by_event(case.moment, &counts);
        if counts.contains_key("proposal_opened")
            && !counts.contains_key("ballot_received")
            && !waits
        {
            let link = rig.agent.link(rig.link()).expect("the agent tells of its link");
            let id = link["proposal"]["proposal"].as_u64().expect("a proposal has a number");
            rig.approve(id, "alice");
            *counts.entry("signed".to_owned()).or_default() += 1;
            wait_for(&mut journal, &mut counts, "ballot_received");
        }
    }
    let closed = journal.seen.iter().rfind(|entry| name(entry) == "proposal_closed");
    let closed = closed.expect("it was counted");
    assert_eq!(
        closed["event"]["end"],
        "succeeded",
        "{case:?}: {closed:#}\n{:?}\n{:?}",
        journal.names(),
        rig.hooks_run()
    );
    let commands = rig.twin.commands().expect("the twin tells its commands");
    let told = || format!("{case:?}: {commands:#?}\n{:#?}\n{}", journal.seen, rig.log());
    assert_eq!(handed_over(&rig), 1, "{}", told());
    nothing_lost(&rig, if case.from == SQL { MI } else { SQL });
    let verified = rig.reader().verify().expect("the chain of the journal holds");
    assert!(verified.entries >= journal.at);
    boundary.expect("the loop has waited for it")
}

fn wait_for(journal: &mut crate::rig::Follower, counts: &mut BTreeMap<String, usize>, event: &str) {
    while !counts.contains_key(event) {
        let entry = journal.next(LIMIT).expect("the ballot is in the journal");
        *counts.entry(name(&entry).to_owned()).or_default() += 1;
    }
}

fn has_come_by_event(moment: Moment, counts: &BTreeMap<String, usize>) -> bool {
    match moment {
        After(event, nth, _) => counts.get(event).is_some_and(|count| *count >= nth),
        Landed | Resolving => false,
    }
}

fn has_come(case: Case, counts: &BTreeMap<String, usize>, rig: &Rig) -> bool {
    let sent = || counts.get("step_sending").is_some_and(|count| *count >= 2);
    match case.moment {
        After(_, _, ms) => {
            let come = has_come_by_event(case.moment, counts);
            if come && ms > 0 {
                lab_wait::rest(Duration::from_millis(ms));
            }
            come
        }
        Landed => sent() && asked_for(rig) > 0,
        Resolving => {
            let side = if case.from == SQL { "sql_server" } else { "managed_instance" };
            let role = || {
                let state = rig.twin.state().expect("the twin shows its state");
                let role = state["links"][0][side]["role"].as_str().map(str::to_lowercase);
                role.expect("a role is a word")
            };
            sent() && role() != "primary"
        }
    }
}

#[test]
fn a_lost_reply_of_the_old_primary_is_settled_by_looking() {
    side_by_side(vec![(SQL, 0), (SQL, 3_000), (MI, 0), (MI, 3_000)], 2, |(from, late_ms)| {
        let rig = Rig::healthy(wish(400 + late_ms, from));
        let mut journal = rig.follow(0);
        let id = asked(&rig, &mut journal);
        rig.fault(&Fault::LoseReply { at: party(from), times: 1 });
        if late_ms > 0 {
            let ms = u32::try_from(late_ms).expect("short");
            rig.fault(&Fault::DelayDeed { at: party(from), ms });
        }
        rig.approve(id, "alice");
        ended(&mut journal, "succeeded");
        assert_eq!(handed_over(&rig), 1);
        nothing_lost(&rig, if from == SQL { MI } else { SQL });
    });
}

#[test]
fn a_lost_reply_of_the_control_plane_is_settled_by_looking_too() {
    let rig = Rig::healthy(wish(410, MI));
    let mut journal = rig.follow(0);
    rig.fault(&Fault::FailNext { instance: MI.to_owned(), number: 15_151, times: 50 });
    rig.fault(&Fault::LoseReply { at: party("arm"), times: 1 });
    let id = asked(&rig, &mut journal);
    rig.approve(id, "alice");
    ended(&mut journal, "succeeded");
    assert_eq!(handed_over(&rig), 1);
    nothing_lost(&rig, SQL);
}

#[test]
fn a_lost_reply_to_the_backup_is_settled_by_looking() {
    let rig = Rig::healthy(wish(411, MI));
    let mut journal = rig.follow(0);
    let id = asked(&rig, &mut journal);
    // The statement that hands over goes to the managed instance.
    rig.fault(&Fault::LoseReply { at: party(SQL), times: 1 });
    rig.approve(id, "alice");
    ended(&mut journal, "succeeded");
    let commands = rig.twin.commands().expect("the twin tells its commands");
    let backups = commands.iter().filter(|command| command.words.starts_with("BACKUP")).count();
    assert_eq!(backups, 1, "{commands:#?}");
    nothing_lost(&rig, SQL);
}

#[test]
fn killed_while_it_takes_back_it_lets_the_application_in() {
    let moments = [("undo_started", 0), ("step_started", 200), ("step_sending", 0)];
    let from = |primary| moments.map(|(event, ms)| (event, ms, primary));
    side_by_side([from(SQL), from(MI)].concat(), 3, |(event, ms, primary)| {
        let seed = if primary == SQL { 420 } else { 440 };
        let wish = wish(seed + ms, primary)
            .set("links.0.planned.quiet_for", "4s")
            .set("links.0.planned.catch_up_within", "8s")
            .set("policy.propose_after", "5m");
        let mut rig = slow(wish, SLOW_MS);
        let mut journal = rig.follow(0);
        let id = asked(&rig, &mut journal);
        rig.approve(id, "alice");
        journal.until_that("step_done", |entry| entry["event"]["step"]["step"] == 1);
        rig.cut(SQL, MI);
        journal.until("undo_started");
        if event != "undo_started" {
            journal.until(event);
        }
        lab_wait::rest(Duration::from_millis(ms));
        restart(&mut rig, &mut journal, &mut BTreeMap::new());
        let undone = |entry: &Value| name(entry) == "proposal_closed";
        if !journal.seen.iter().any(undone) {
            ended(&mut journal, "undone");
        }
        rig.commits(5);
        assert_eq!(handed_over(&rig), 0);
        rig.heal(SQL, MI);
        nothing_lost(&rig, primary);
    });
}
