//! Replies that are lost, deeds that land late, and ballots that come twice: nothing is done twice.

use twin::world::Fault;

use crate::rig::{Follower, MI, Rig, SQL, Wish, approval, party, refusal};

#[test]
fn a_lost_reply_of_the_server_is_settled_by_looking() {
    let rig = Rig::healthy(Wish::new(31));
    rig.fault(&Fault::LoseReply { at: party(MI), times: 1 });
    let mut journal = rig.follow(0);
    approved(&rig, &mut journal);
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "succeeded", "{closed:#}");
    assert_eq!(rig.failovers().len(), 1, "{:#?}", rig.failovers());
    rig.assert_one_failover();
}

#[test]
fn a_deed_that_lands_late_is_not_done_again() {
    let rig = Rig::healthy(Wish::new(32));
    rig.fault(&Fault::LoseReply { at: party(MI), times: 1 });
    rig.fault(&Fault::DelayDeed { at: party(MI), ms: 3_000 });
    let mut journal = rig.follow(0);
    approved(&rig, &mut journal);
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "succeeded", "{closed:#}");
    rig.assert_one_failover();
}

#[test]
fn a_lost_reply_of_the_control_plane_is_settled_by_looking() {
    let rig = Rig::healthy(Wish::new(33));
    rig.fault(&Fault::FailNext { instance: MI.to_owned(), number: 15_151, times: 50 });
    rig.fault(&Fault::LoseReply { at: party("arm"), times: 1 });
    let mut journal = rig.follow(0);
    approved(&rig, &mut journal);
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "succeeded", "{closed:#}");
    let posts: Vec<_> = by_arm(&rig);
    assert_eq!(posts.len(), 1, "{posts:#?}");
}

#[test]
fn a_lost_reply_that_cannot_be_settled_ends_stuck_and_is_acknowledged() {
    let wish = Wish::new(34).set("policy.step_deadline", "4s").set("policy.stuck_after", "3s");
    let rig = Rig::healthy(wish);
    let mut journal = rig.follow(0);
    rig.fault(&Fault::FailNext { instance: MI.to_owned(), number: 15_151, times: 50 });
    rig.fault(&Fault::LoseReply { at: party("arm"), times: 1 });
    // The deed comes so late that nobody sees it within the time that the step has.
    rig.fault(&Fault::DelayDeed { at: party("arm"), ms: 60_000 });
    let id = approved(&rig, &mut journal);
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "stuck", "{closed:#}");
    let why = closed["event"]["why"].as_str().expect("a reason");
    assert!(why.starts_with("nobody can tell whether step 2 took effect"), "{why}");
    assert_eq!(by_arm(&rig).len(), 1, "no second command");

    // Nothing new happens before a human has looked.
    rig.looks(5);
    let because = rig.because();
    let words = format!("proposal {id} ended stuck and nobody has acknowledged it");
    assert!(because.contains(&words), "it says: {because}");
    let answer = rig.agent.propose(rig.link(), "carol").expect("the agent answers");
    assert!(refusal(&answer).starts_with(&words), "{answer:?}");
    let answer = rig.agent.acknowledge(rig.link(), "carol", "the roles were looked at");
    assert_eq!(answer.expect("the agent answers").status, 201);
    journal.until("episode_acknowledged");
    assert_eq!(by_arm(&rig).len(), 1);
}

#[test]
fn a_ballot_counts_once() {
    let rig = Rig::healthy(Wish::new(35));
    let mut journal = rig.follow(0);
    let id = opened(&rig, &mut journal);
    let ballot = rig.ballot(id, "alice", approval());
    let first = rig.agent.cast(&ballot).expect("the agent answers");
    assert_eq!(first.status, 201, "{}", first.body);
    let again = rig.agent.cast(&ballot).expect("the agent answers");
    assert_eq!(refusal(&again), "alice has decided on this proposal already");
    // Neither does a new signature by the same hand.
    let other = rig.cast(id, "alice", approval());
    assert_eq!(refusal(&other), "alice has decided on this proposal already");

    // An altered statement is not what was signed.
    let mut altered = rig.ballot(id, "bob", approval());
    altered["approver"] = "alice".into();
    altered["decision"]["approve"]["attestation"] = "never said".into();
    let answer = rig.agent.cast(&altered).expect("the agent answers");
    assert!(refusal(&answer).contains("is not by the key of"), "{answer:?}");
    let link = rig.agent.link(rig.link()).expect("the agent tells of its link");
    assert_eq!(link["proposal"]["approvals"], 1);
    assert_eq!(link["proposal"]["status"], "open");
    assert!(rig.failovers().is_empty());
}

/// The primary is lost and a proposal opened.
fn opened(rig: &Rig, journal: &mut Follower) -> u64 {
    rig.stop(SQL);
    journal.until("proposal_opened")["seq"].as_u64().expect("a place")
}

/// And both have signed it.
fn approved(rig: &Rig, journal: &mut Follower) -> u64 {
    let id = opened(rig, journal);
    rig.approve(id, "alice");
    rig.approve(id, "bob");
    id
}

fn by_arm(rig: &Rig) -> Vec<lab::twin::Command> {
    rig.failovers().into_iter().filter(|command| command.target == "arm").collect()
}
