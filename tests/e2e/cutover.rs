//! A cutover of a SQL Server that can't change roles over its link: the agent's own binary against both
//! servers and Azure Resource Manager, with an application at work.

use serde_json::Value;
use twin::world::Fault;

use crate::{
    planned::wish,
    rig::{Follower, MI, Rig, SHOP, SQL, Wish, refusal},
};

/// SQL Server 2019, and a managed instance that backs up soon.
fn old(seed: u64) -> Wish {
    let mut wish = wish(seed, SQL);
    for instance in &mut wish.world.instances {
        if instance.name == SQL {
            instance.product_version = "15.0.4430.1".into();
        }
    }
    wish.world.links[0].failover.first_backup_ms = 3_000;
    wish.set("links.0.guard.logins", vec![SHOP])
}

fn asked(rig: &Rig) -> u64 {
    let answer = rig.agent.propose_kind(rig.link(), "carol", "cutover").expect("it answers");
    assert_eq!(answer.status, 201, "{}", answer.body);
    let entry: Value = serde_json::from_str(&answer.body).expect("an entry");
    entry["seq"].as_u64().expect("a place")
}

fn effective(rig: &Rig, words: &str) -> usize {
    let commands = rig.twin.commands().expect("the twin tells its commands");
    commands.iter().filter(|c| c.refused.is_none() && c.words.contains(words)).count()
}

fn closed(journal: &mut Follower, id: u64, end: &str) {
    let closed = journal.until_that("proposal_closed", |entry| entry["event"]["proposal"] == id);
    assert_eq!(closed["event"]["end"], end, "{closed:#}\n{:?}", journal.names());
}

#[test]
fn the_link_is_given_up_and_nothing_is_lost() {
    let mut rig = Rig::healthy(old(71));
    let mut journal = rig.follow(0);
    rig.commits(10);
    let answer = rig.agent.propose_planned(rig.link(), "carol").expect("the agent answers");
    assert!(refusal(&answer).contains("can't change roles over a link"), "{}", answer.body);

    let id = asked(&rig);
    let notes = rig.proposal(id).terms.notes;
    assert!(notes[0].starts_with("NO WAY BACK but by export"), "{notes:#?}");
    rig.approve(id, "alice");
    rig.approve(id, "bob");
    // Whoever dies while the link is being deleted goes on with it.
    journal.until_that("step_noted", |entry| entry["event"]["step"]["proposal"] == id);
    let seen = rig.kill();
    rig.start();
    let mut journal = rig.follow(seen);
    closed(&mut journal, id, "succeeded");

    let loss = rig.twin.loss().expect("the twin tells the loss");
    assert_eq!((loss.count, loss.surviving.as_str()), (0, "managed_instance"), "{loss:?}");
    assert_eq!(effective(&rig, "DELETE"), 1);
    assert_eq!(effective(&rig, "DROP AVAILABILITY GROUP"), 2);
    assert_eq!(effective(&rig, "READ_ONLY"), 1);
    // Nobody works on what is left, and the application goes on in Azure.
    rig.twin.repoint(SHOP, MI).expect("the application is pointed elsewhere");
    assert!(rig.hook("start"), "the application is started again");
    rig.commits(10);
    let answer = rig.agent.propose_kind(rig.link(), "carol", "cutover").expect("it answers");
    refusal(&answer);
}

#[test]
fn a_link_is_deleted_without_its_primary_and_nothing_is_written_there_any_more() {
    let wish = old(73).set("links.0.repair.save.to", "/var/opt/mssql/backup/");
    let mut rig = Rig::healthy(wish.set("links.0.repair.save.within", "1m"));
    let mut journal = rig.follow(0);
    rig.commits(10);
    rig.stop(SQL);
    let id = journal.until("proposal_opened")["seq"].as_u64().expect("a place");
    let proposal = rig.proposal(id);
    assert_eq!(proposal.plan.kind, agent_core::PlanKind::Deletion);
    rig.approve(id, "alice");
    rig.approve(id, "bob");
    closed(&mut journal, id, "succeeded");
    let bound = proposal.terms.bounds.loss_most_ms.expect("a bound was signed");
    rig.assert_loss_within(bound);

    // The old primary comes back with its application; whoever dies over it goes on.
    rig.fault(&Fault::Start { instance: SQL.to_owned() });
    let guard = journal.until("proposal_opened")["seq"].as_u64().expect("a place");
    journal.until_that("step_done", |entry| entry["event"]["step"]["proposal"] == guard);
    let seen = rig.kill();
    rig.start();
    let mut journal = rig.follow(seen);
    closed(&mut journal, guard, "succeeded");
    assert_eq!(effective(&rig, "DELETE"), 1);
    assert_eq!(effective(&rig, "DROP AVAILABILITY GROUP"), 2);
    assert_eq!(effective(&rig, "READ_ONLY"), 1);
    assert!(effective(&rig, "COPY_ONLY") >= 1);
    rig.twin.repoint(SHOP, MI).expect("the application is pointed elsewhere");
    rig.commits(10);
}

#[test]
fn a_cutover_that_azure_refuses_is_taken_back() {
    let rig = Rig::healthy(old(72).set("policy.attempts", 3));
    let mut journal = rig.follow(0);
    let id = asked(&rig);
    rig.approve(id, "alice");
    rig.approve(id, "bob");
    rig.fault(&Fault::ArmConflict { times: 100 });
    journal.until_that("undo_started", |entry| entry["event"]["proposal"] == id);
    closed(&mut journal, id, "undone");
    assert_eq!(effective(&rig, "DELETE"), 0);
    // The applications are in again, and nobody waits for the other side any more.
    rig.commits(10);
    rig.wait_health("healthy");
    assert_eq!(effective(&rig, "MODIFY AVAILABILITY GROUP"), 2);
}
