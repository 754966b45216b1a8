//! SQL Server → managed instance → SQL Server in one life of twin, agent and application: the agent is
//! killed behind each entry of every way once, and each reply is lost in turn. Nothing is lost by the
//! ledger of the twin, which knows nothing of the agent.

use std::collections::{BTreeMap, BTreeSet};

use lab::agent::name;
use serde_json::Value;
use twin::world::Fault;

use crate::{
    kill::restart,
    planned::{asked, ended, handed_over, move_on, nothing_lost, wish},
    rig::{Follower, LIMIT, MI, Rig, SQL, Wish, party},
};

/// How long everything takes between the agent and each instance, so that a kill comes in time.
const SLOW_MS: u32 = 60;

/// Both sides notice within the quiet time that they have lost each other.
fn noticing(wish: Wish) -> Wish {
    wish.set("links.0.planned.quiet_for", "3s")
        .set("links.0.planned.catch_up_within", "6s")
        .set("policy.propose_after", "5m")
}

#[test]
fn over_and_back_killed_behind_every_entry() {
    let mut rig = Rig::healthy(noticing(wish(500, SQL)));
    for instance in [SQL, MI] {
        rig.fault(&Fault::Slow { from: party("agent"), to: party(instance), ms: SLOW_MS });
    }
    let mut journal = rig.follow(0);
    let back = killed_all_the_way(&mut rig, &mut journal, true, "undone");
    assert_eq!(handed_over(&rig), 0);
    nothing_lost(&rig, SQL);
    rig.commits(5);
    let over = killed_all_the_way(&mut rig, &mut journal, false, "succeeded");
    nothing_lost(&rig, MI);
    move_on(&rig, MI);
    let home = killed_all_the_way(&mut rig, &mut journal, false, "succeeded");
    nothing_lost(&rig, SQL);
    move_on(&rig, SQL);
    assert_eq!(handed_over(&rig), 2);
    // Whatever acts was cut off from its reply; what only looks may be over before the kill comes.
    let acting: [(&BTreeSet<String>, &[&str]); 3] = [
        (&back, &["step_sending 2", "step_sending 2 back"]),
        (&over, &["step_sending 2", "step_sending 4"]),
        (&home, &["step_sending 2", "step_sending 4", "step_sending 7"]),
    ];
    for (hit, wanted) in acting {
        assert!(wanted.iter().all(|place| hit.contains(*place)), "{wanted:?} of {hit:#?}");
        assert!(hit.len() >= 7, "{hit:#?}");
    }
    nothing_lost(&rig, SQL);
    rig.reader().verify().expect("the chain of the journal holds");
}

/// One planned failover at whose every entry the agent is killed, once at each. Returns the entries
/// behind which it was. `cut`: the sides lose each other once the applications are out.
fn killed_all_the_way(
    rig: &mut Rig,
    journal: &mut Follower,
    cut: bool,
    end: &str,
) -> BTreeSet<String> {
    rig.wait_health("healthy");
    let begun = journal.seen.len();
    let id = asked(rig, journal);
    let (mut struck, mut hit) = (BTreeSet::new(), BTreeSet::new());
    let mut done = begun;
    let (mut signed, mut severed) = (false, false);
    loop {
        // Those too that were written and not told before a kill.
        let news: Vec<Value> = journal.seen[done..].to_vec();
        done = journal.seen.len();
        let closed = news.iter().any(|entry| name(entry) == "proposal_closed");
        let fresh = news.iter().rev().find(|entry| is_boundary(entry));
        if let Some(place) = fresh.map(shown).filter(|place| struck.insert(place.clone())) {
            restart(rig, journal, &mut BTreeMap::new());
            let last = journal.seen.iter().rev().find(|entry| is_boundary(entry));
            hit.insert(last.map_or(place, shown));
        }
        if !signed && news.iter().any(|entry| name(entry) == "proposal_opened") {
            rig.approve(id, "alice");
            signed = true;
        }
        let out = |entry: &Value| name(entry) == "step_done" && entry["event"]["step"]["step"] == 1;
        if cut && !severed && news.iter().any(out) {
            rig.cut(SQL, MI);
            severed = true;
        }
        if closed {
            break;
        }
        if journal.seen.len() == done {
            journal.next(LIMIT).unwrap_or_else(|| panic!("{:#?}\n{}", journal.names(), rig.log()));
        }
    }
    if severed {
        rig.heal(SQL, MI);
    }
    let closed = journal.seen.iter().rfind(|entry| name(entry) == "proposal_closed");
    let closed = closed.expect("the loop has waited for it");
    assert_eq!(closed["event"]["end"], end, "{closed:#}\n{:?}\n{}", journal.names(), rig.log());
    hit
}

/// Whether an entry belongs to the way itself.
fn is_boundary(entry: &Value) -> bool {
    !matches!(name(entry), "agent_started" | "health_changed")
}

/// An entry without its try: each of them is struck once.
fn shown(entry: &Value) -> String {
    let step = &entry["event"]["step"];
    let back = if step["undo"] == true { " back" } else { "" };
    match step["step"].as_u64() {
        Some(number) => format!("{} {}{back}", name(entry), number + 1),
        None => name(entry).to_owned(),
    }
}

#[test]
fn over_and_back_each_reply_lost_in_turn() {
    let rig = Rig::healthy(noticing(wish(510, SQL)));
    let mut journal = rig.follow(0);
    let lose = |at: &str| rig.fault(&Fault::LoseReply { at: party(at), times: 1 });

    // The exit of the hook that stops, and the reply of the old primary.
    rig.hang_hook("stop");
    lose(SQL);
    goes(&rig, &mut journal, MI);
    // The same on the way back, where the second statement on SQL Server is the backup.
    rig.hang_hook("stop");
    lose(MI);
    lose(SQL);
    goes(&rig, &mut journal, SQL);

    // The exit of the hook that starts, where all is taken back.
    rig.hang_hook("start");
    let id = asked(&rig, &mut journal);
    rig.approve(id, "alice");
    journal.until_that("step_done", |entry| entry["event"]["step"]["step"] == 1);
    rig.cut(SQL, MI);
    ended(&mut journal, "undone");
    rig.commits(5);
    rig.heal(SQL, MI);
    nothing_lost(&rig, SQL);

    // And the answer of the control plane, where it is the second way.
    goes(&rig, &mut journal, MI);
    rig.fault(&Fault::FailNext { instance: MI.to_owned(), number: 15_151, times: 5 });
    lose("arm");
    goes(&rig, &mut journal, SQL);

    assert_eq!(handed_over(&rig), 4);
    let commands = rig.twin.commands().expect("the twin tells its commands");
    let backups = commands.iter().filter(|command| command.words.starts_with("BACKUP DATABASE"));
    assert_eq!(backups.count(), 2, "one for each way to SQL Server: {commands:#?}");
    let runs = rig.hooks_run();
    let times = |run: &str| runs.iter().filter(|known| *known == run).count();
    assert_eq!(times(&format!("start {id}/0/1/undo")), 2, "the first exit was lost: {runs:#?}");
    let posts = commands.iter().filter(|command| command.target == "arm" && command.effective);
    assert_eq!(posts.count(), 1, "{commands:#?}");
    nothing_lost(&rig, SQL);
}

/// One planned failover to its good end, at which every reply that was to be lost has been; the
/// application follows it.
fn goes(rig: &Rig, journal: &mut Follower, to: &str) {
    rig.wait_health("healthy");
    let id = asked(rig, journal);
    rig.approve(id, "alice");
    ended(journal, "succeeded");
    let state = rig.twin.state().expect("the twin tells its state");
    let left = state["faults"].as_array().expect("a list of what lasts");
    let unlost = left.iter().filter(|fault| fault.as_str().is_some_and(|f| f.contains("replies")));
    assert_eq!(unlost.count(), 0, "a reply that was to be lost never came: {left:?}");
    nothing_lost(rig, to);
    move_on(rig, to);
}
