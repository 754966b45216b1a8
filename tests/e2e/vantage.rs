//! Who sees what: an agent that is blind or cut off proposes nothing, one witness is not two, and
//! the second one's word is waited for.

use lab::agent::name;
use serde_json::{Value, json};

use crate::rig::{MI, Rig, SHOP, SQL, Wish, approval, attested, refusal};

const EVERYBODY: [&str; 4] = [SQL, MI, "arm", "token-service"];

#[test]
fn a_blind_agent_proposes_nothing_and_says_why() {
    let rig = Rig::healthy(Wish::new(21));
    let mut journal = rig.follow(0);
    for other in EVERYBODY {
        rig.cut("agent", other);
    }
    journal.until_health("unknown");
    rig.looks(6);
    let because = rig.because();
    assert!(
        because.contains("it may be the agent that is cut off, not the primary"),
        "it says: {because}"
    );
    // Cut off is not down: the primary goes on, and comes back into sight.
    for other in EVERYBODY {
        rig.heal("agent", other);
    }
    journal.until_health("healthy");
    assert!(!journal.names().contains(&"proposal_opened"), "{:?}", journal.names());
}

#[test]
fn a_primary_that_the_other_side_still_hears_is_not_lost() {
    let rig = Rig::healthy(Wish::new(22));
    let mut journal = rig.follow(0);
    rig.cut("agent", SQL);
    let degraded = journal.until_health("degraded");
    assert!(reasons(&degraded).contains(&"heard"), "{degraded:#}");
    rig.looks(6);
    let because = rig.because();
    assert!(because.contains("the health is Degraded, not a lost primary"), "it says: {because}");
    assert!(because.contains("the primary is still seen or heard"), "it says: {because}");

    // Asked for, it refuses too.
    let answer = rig.agent.propose(rig.link(), "carol").expect("the agent answers");
    assert_eq!(
        refusal(&answer),
        "the primary is still seen or heard (TDS to the managed instance); forcing now would make \
         two primaries. Stop or fence it first"
    );
    rig.heal("agent", SQL);
    journal.until_health("healthy");
    assert!(!journal.names().contains(&"proposal_opened"), "{:?}", journal.names());
    assert!(rig.failovers().is_empty());
}

#[test]
fn one_witness_is_not_two_and_its_plan_wants_an_attestation() {
    let wish = Wish::new(23)
        .set("links.0.agent_domain", "site-a-vpn")
        .set("links.0.managed_instance_domain", "site-a-vpn");
    let rig = Rig::healthy(wish);
    let mut journal = rig.follow(0);
    // The path that both share breaks; the primary itself goes on.
    rig.cut("agent", SQL);
    rig.cut(MI, SQL);
    let unreachable = journal.until_health("primary_unreachable");
    assert!(reasons(&unreachable).contains(&"one_witness"), "{unreachable:#}");
    let opened = journal.until("proposal_opened");
    let id = opened["seq"].as_u64().expect("a place");
    let terms = rig.proposal(id).terms;
    assert!(terms.attestation_required);
    assert_eq!(terms.bounds.loss_most_ms, None, "it may go on taking writes");

    let plain = rig.cast(id, "alice", approval());
    assert_eq!(
        refusal(&plain),
        "nobody independent confirms that the primary is gone; sign again and attest how writes \
         there were stopped"
    );
    // What they attest is true.
    rig.twin.set_rate(SHOP, 0.0).expect("the application is stopped");
    for who in ["alice", "bob"] {
        let answer = rig.cast(id, who, attested());
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "succeeded", "{closed:#}");
    rig.assert_one_failover();
}

#[test]
fn the_second_vantage_is_believed_when_it_says_so_and_not_before() {
    let mut wish = Wish::new(24);
    wish.world.links[0].session_timeout_s = 4;
    let rig = Rig::healthy(wish);
    let mut journal = rig.follow(0);
    rig.stop(SQL);
    // The managed instance says CONNECTED until its session timeout is over.
    let degraded = journal.until_health("degraded");
    assert!(reasons(&degraded).contains(&"heard"), "{degraded:#}");
    let down = journal.until_health("primary_down");
    assert!(reasons(&down).contains(&"not_heard"), "{down:#}");
    let witness = looks(&down).into_iter().find(|look| look["vantage"] == "managed_instance");
    let witness = witness.expect("the witness is in the evidence");
    assert_eq!(witness["seen"]["side"]["connected"], json!(false), "{witness:#}");
    let verdicts = journal.seen.iter().filter(|entry| name(entry) == "health_changed");
    let verdicts: Vec<_> = verdicts.map(|entry| &entry["event"]["to"]).collect();
    assert!(!verdicts.contains(&&json!("primary_unreachable")), "{verdicts:?}");
}

fn reasons(entry: &Value) -> Vec<&str> {
    let reasons = entry["event"]["reasons"].as_array().into_iter().flatten();
    reasons.filter_map(|reason| reason["why"].as_str()).collect()
}

fn looks(entry: &Value) -> Vec<&Value> {
    entry["event"]["evidence"].as_array().into_iter().flatten().collect()
}
