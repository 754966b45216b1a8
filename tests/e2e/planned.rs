//! A planned failover over and back on real processes, with an application at work: nothing is
//! lost, by the twin's own ledger.

use agent_core::Proposal;
use lab::agent::name;
use serde_json::Value;
use twin::world::Fault;

use crate::rig::{Follower, MI, Rig, SHOP, SQL, Wish, party, refusal};

/// A twin whose `primary` is one of its two instances, and an agent that has the hook of its
/// application.
pub(crate) fn wish(seed: u64, primary: &str) -> Wish {
    let mut wish = Wish::new(seed);
    wish.hook = true;
    let link = &mut wish.world.links[0];
    link.failover.planned_online_ms = 500;
    link.log.background_ms = 2_000;
    // A full backup takes a second and a half.
    (link.log.data_mb, link.log.backup_mb_s) = (300, 200);
    if primary == MI {
        link.primary = twin::world::Side::ManagedInstance;
    }
    wish.world.workloads[0].target = primary.to_owned();
    wish.set("links.0.planned.applications.within", "3s").set("links.0.planned.backup.to", BACKUPS)
}

/// Where the twin's SQL Server can put backups.
const BACKUPS: &str = "/var/opt/mssql/";

/// Asks for a planned failover. The number of its proposal.
#[track_caller]
pub(crate) fn asked(rig: &Rig, journal: &mut Follower) -> u64 {
    let answer = rig.agent.propose_planned(rig.link(), "carol").expect("the agent answers");
    assert_eq!(answer.status, 201, "{}", answer.body);
    journal.until("proposal_opened")["seq"].as_u64().expect("a place")
}

/// The planned failovers that the twin has carried out. One that was withdrawn with its session
/// before the role was given away is none.
pub(crate) fn handed_over(rig: &Rig) -> usize {
    let truth = rig.twin.truth().expect("the twin tells what is true");
    let operations = truth["operations"].as_array().expect("a list");
    let done = |operation: &&Value| {
        operation["kind"] == "planned_failover" && operation["status"] == "succeeded"
    };
    operations.iter().filter(done).count()
}

/// The planned failovers that have reached the twin.
pub(crate) fn asked_for(rig: &Rig) -> usize {
    let commands = rig.twin.commands().expect("the twin tells its commands");
    let planned = |words: &str| words.ends_with("] FAILOVER") || words.contains("Planned");
    commands.iter().filter(|command| command.refused.is_none() && planned(&command.words)).count()
}

/// That not one commit that was acknowledged is missing on `primary`, and that it is the only one.
#[track_caller]
pub(crate) fn nothing_lost(rig: &Rig, primary: &str) {
    let loss = rig.twin.loss().expect("the twin tells the loss");
    assert_eq!(loss.count, 0, "{loss:?}");
    assert!(loss.acknowledged > 0, "somebody has worked: {loss:?}");
    let state = rig.twin.state().expect("the twin shows its state");
    let role = |side: &str| state["links"][0][side]["role"].as_str().map(str::to_lowercase);
    let roles = (role("sql_server"), role("managed_instance"));
    let expected = if primary == MI { ("secondary", "primary") } else { ("primary", "secondary") };
    assert_eq!((roles.0.as_deref(), roles.1.as_deref()), (Some(expected.0), Some(expected.1)));
}

#[track_caller]
pub(crate) fn ended(journal: &mut Follower, end: &str) -> Value {
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], end, "{closed:#}\n{:#?}", journal.seen);
    closed
}

/// The application goes where the primary is now, and works there.
pub(crate) fn move_on(rig: &Rig, primary: &str) {
    rig.twin.repoint(SHOP, primary).expect("the application is pointed elsewhere");
    assert!(rig.hook("start"), "the application is started again");
    rig.commits(10);
}

#[test]
fn over_and_back_nothing_is_lost() {
    let rig = Rig::healthy(wish(81, SQL));
    let mut journal = rig.follow(0);
    rig.commits(5);
    let over = asked(&rig, &mut journal);
    review(&rig.proposal(over));
    rig.approve(over, "alice");
    ended(&mut journal, "succeeded");
    nothing_lost(&rig, MI);
    move_on(&rig, MI);
    rig.wait_health("healthy");

    let back = asked(&rig, &mut journal);
    rig.approve(back, "bob");
    ended(&mut journal, "succeeded");
    nothing_lost(&rig, SQL);
    let backup = seen(&journal, back, 6);
    assert!(backup.starts_with("the backup is there") && backup.ends_with("with checksums"));
    let jobs = seen(&journal, back, 7);
    assert!(jobs.starts_with("log backups by `"), "{jobs}");
    move_on(&rig, SQL);
    assert_eq!(handed_over(&rig), 2);
    let runs = rig.hooks_run();
    for id in [over, back] {
        let stops = runs.iter().filter(|run| **run == format!("stop {id}/0/1")).count();
        assert_eq!(stops, 1, "{runs:#?}");
    }
    nothing_lost(&rig, SQL);
}

/// What was seen when a step was done.
fn seen(journal: &Follower, id: u64, step: u64) -> String {
    let done = |entry: &&Value| {
        let place = &entry["event"]["step"];
        name(entry) == "step_done" && place["proposal"] == id && place["step"] == step
    };
    let entry = journal.seen.iter().find(done).expect("the step is done");
    entry["event"]["seen"].as_str().expect("there are words").to_owned()
}

#[test]
fn a_backup_that_cannot_be_taken_is_told_with_what_stands() {
    let wish = wish(86, MI).set("links.0.planned.backup.to", "/nowhere/");
    let rig = Rig::healthy(wish);
    let mut journal = rig.follow(0);
    let id = asked(&rig, &mut journal);
    rig.approve(id, "alice");
    let closed = ended(&mut journal, "stuck");
    let why = closed["event"]["why"].as_str().expect("a reason");
    assert!(why.contains("the roles have changed") && why.contains("3201"), "{why}");
    assert_eq!(handed_over(&rig), 1);
    nothing_lost(&rig, SQL);
}

#[test]
fn a_full_backup_that_nobody_takes_is_told_at_a_good_end() {
    let mut wish = wish(87, MI);
    wish.prepare = Some(|setup, _| {
        setup.unset("links.0.planned.backup").expect("a key is taken out");
    });
    let rig = Rig::healthy(wish);
    let mut journal = rig.follow(0);
    let id = asked(&rig, &mut journal);
    rig.approve(id, "alice");
    let closed = ended(&mut journal, "succeeded");
    let missing = "there is no full backup of Sales since the roles changed";
    let warned = |entry: &&Value| {
        let warning = entry["event"]["warning"].as_str();
        name(entry) == "step_done" && warning.is_some_and(|warning| warning.starts_with(missing))
    };
    assert_eq!(journal.seen.iter().filter(warned).count(), 1, "{:#?}", journal.seen);
    let why = closed["event"]["why"].as_str().expect("a reason");
    assert!(why.contains(&format!("Missing: {missing}")), "{why}");
    nothing_lost(&rig, SQL);
}

/// What is signed is the very file, and all of it can be seen.
fn review(proposal: &Proposal) {
    let plan = proposal.plan.to_text();
    for part in
        ["/applications\",\"stop\"", "/applications\",\"start\"", "/applications\",\"status\""]
    {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    assert_eq!(plan.matches("\"sha256\":").count(), 4, "{plan}");
    assert_eq!(proposal.terms.bounds.loss_most_ms, Some(0));
}

#[test]
fn a_link_that_breaks_before_the_roles_change_lets_the_application_in_again() {
    let wish = wish(82, SQL)
        // Long enough for both sides to notice that they have lost each other.
        .set("links.0.planned.quiet_for", "4s")
        .set("links.0.planned.catch_up_within", "8s")
        // Otherwise the primary's own view of its secondary pauses the run first.
        .set("policy.propose_after", "5m");
    let rig = Rig::healthy(wish);
    let mut journal = rig.follow(0);
    let id = asked(&rig, &mut journal);
    rig.approve(id, "alice");
    journal.until_that("step_done", |entry| entry["event"]["step"]["step"] == 1);
    rig.fault(&Fault::Cut { from: party(SQL), to: party(MI), one_way: false });
    let undo = journal.until("undo_started");
    assert!(
        undo["event"]["why"].as_str().is_some_and(|why| why.starts_with("step 3 can't be done"))
    );
    ended(&mut journal, "undone");
    rig.commits(5);
    assert_eq!(handed_over(&rig), 0);
    let started = format!("start {id}/0/1/undo");
    assert!(rig.hooks_run().contains(&started), "{:#?}", rig.hooks_run());
    rig.heal(SQL, MI);
    nothing_lost(&rig, SQL);
}

#[test]
fn an_application_that_stays_is_named_and_the_plan_is_taken_back() {
    let mut wish = wish(83, SQL)
        .set("links.0.planned.quiesce_within", "6s")
        .set("links.0.planned.quiet_for", "2s");
    wish.hook = false;
    wish.settings.retain(|(key, _)| *key != "links.0.planned.applications.within");
    let rig = Rig::healthy(wish);
    let mut journal = rig.follow(0);
    let id = asked(&rig, &mut journal);
    rig.approve(id, "alice");
    let undo = journal.until("undo_started");
    let why = undo["event"]["why"].as_str().expect("a reason");
    assert!(why.contains("still at work: ") && why.contains(SHOP), "{why}");
    ended(&mut journal, "undone");
    rig.commits(5);
    nothing_lost(&rig, SQL);
}

#[test]
fn a_hook_that_was_changed_after_it_was_signed_is_not_run() {
    let rig = Rig::healthy(wish(84, SQL));
    let mut journal = rig.follow(0);
    let id = asked(&rig, &mut journal);
    rig.alter_hook("#!/bin/sh\nexit 0\n");
    rig.approve(id, "alice");
    let undo = journal.until("undo_started");
    let why = undo["event"]["why"].as_str().expect("a reason");
    assert!(why.contains("is not the file that was signed"), "{why}");
    rig.commits(5);
    assert_eq!(handed_over(&rig), 0);
}

#[test]
fn what_is_not_healthy_is_not_handed_over() {
    let rig = Rig::healthy(wish(85, SQL));
    let mut journal = rig.follow(0);
    rig.cut(SQL, MI);
    journal.until_health("degraded");
    let answer = rig.agent.propose_planned(rig.link(), "carol").expect("the agent answers");
    assert!(refusal(&answer).contains("the health is Degraded"), "{answer:?}");
}
