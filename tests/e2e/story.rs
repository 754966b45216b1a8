//! The whole story on real processes, and the ways in which people take part in it.

use agent_core::Decision;
use lab::agent::name;
use serde_json::Value;
use tests::harness::{promtool_check_metrics, wait};
use twin::world::Fault;

use crate::rig::{
    Follower, LIMIT, MI, Rig, SHOP, SQL, Wish, approval, attested, refusal, side_by_side,
};

#[test]
fn the_loss_lies_within_what_was_signed() {
    side_by_side(vec![1, 2, 3, 4], 3, |seed| {
        let mut wish = Wish::new(seed);
        wish.world.workloads[0].commits_per_s = 40.0 * seed as f64;
        // A link that lags, more with each seed.
        wish.world.links[0].log.latency_ms = 50 * u32::try_from(seed).expect("small");
        wish.world.links[0].log.bandwidth_kb_s = 120;
        let rig = Rig::healthy(wish);
        let mut journal = rig.follow(0);
        arrived(&rig);
        // The line breaks a little before the server does, so that something is lost for sure.
        rig.cut(SQL, MI);
        rig.commits(10 * seed);
        let id = opened(&rig, &mut journal);
        let bound = rig.proposal(id).terms.bounds.loss_most_ms.expect("the forecast is known");
        both_approve(&rig, id);
        succeeded(&mut journal);
        rig.assert_one_failover();
        rig.assert_loss_within(bound);
        let loss = rig.twin.loss().expect("the twin tells the loss");
        assert!(loss.count >= 10 * seed, "{loss:?}");
        println!("seed {seed}: {} commits lost, {bound} ms signed: {loss:?}", loss.count);
    });
}

#[test]
fn from_healthy_to_a_split_brain_that_is_seen() {
    let rig = Rig::healthy(Wish::new(11));
    let mut journal = rig.follow(0);
    clean(&rig, "healthy");
    let id = opened(&rig, &mut journal);
    clean(&rig, "a proposal is open");
    both_approve(&rig, id);
    succeeded(&mut journal);
    clean(&rig, "after the failover");
    rig.twin.repoint(SHOP, MI).expect("the application is pointed elsewhere");
    rig.commits(5);

    rig.fault(&Fault::Start { instance: SQL.to_owned() });
    let split = journal.until_health("split_brain");
    assert_eq!(split["rule"], "health_changed");
    clean(&rig, "a split brain");
    rig.looks(4);
    rig.assert_one_failover();
    let proposals = journal.names().into_iter().filter(|name| *name == "proposal_opened").count();
    assert_eq!(proposals, 1, "{:?}", journal.names());
}

#[test]
fn a_cold_agent_can_be_asked_with_the_forecast_unknown() {
    let wish = Wish::new(12)
        .set("links.0.agent_domain", "same")
        .set("links.0.managed_instance_domain", "same")
        .set("policy.propose_after", "10m");
    let mut rig = Rig::cold(wish);
    rig.stop(SQL);
    rig.start();
    let mut journal = rig.follow(0);
    journal.until_health("primary_unreachable");
    let answer = rig.agent.propose(rig.link(), "carol").expect("the agent answers");
    assert_eq!(answer.status, 201, "{}", answer.body);
    let opened = journal.until("proposal_opened");
    let id = opened["seq"].as_u64().expect("a place");
    let terms = rig.proposal(id).terms;
    assert_eq!(terms.bounds.loss_most_ms, None);
    assert!(terms.notes.iter().any(|note| note.starts_with("forecast unknown")), "{terms:#?}");

    let attestation = Some("power was cut by hand".to_owned());
    let silent = Decision::Approve {
        break_glass: false,
        forecast_unknown: false,
        attestation: attestation.clone(),
    };
    assert_eq!(
        refusal(&rig.cast(id, "alice", silent)),
        "the forecast is unknown; sign again and accept it in these words"
    );
    for who in ["alice", "bob"] {
        let decision = Decision::Approve {
            break_glass: false,
            forecast_unknown: true,
            attestation: attestation.clone(),
        };
        assert_eq!(rig.cast(id, who, decision).status, 201);
    }
    succeeded(&mut journal);
    rig.assert_one_failover();
    let ballots = journal.seen.iter().filter(|entry| name(entry) == "ballot_received");
    for ballot in ballots {
        let signed: agent_core::Ballot =
            serde_json::from_value(ballot["event"]["ballot"].clone()).expect("a ballot");
        assert!(signed.statement().contains("I accept: forecast unknown\n"));
    }
}

#[test]
fn one_signer_breaks_the_glass_and_waits() {
    let rig = Rig::healthy(Wish::new(13).set("break_glass.wait", "2s"));
    let mut journal = rig.follow(0);
    let id = opened(&rig, &mut journal);
    assert_eq!(rig.cast(id, "alice", glass()).status, 201);
    let approved = journal.until("proposal_approved");
    assert_eq!(approved["event"]["break_glass"], true);
    let received = journal.seen.iter().find(|entry| name(entry) == "ballot_received");
    let waited = time(&approved).duration_since(time(received.expect("it was received")));
    assert!(waited.as_millis() >= 2_000, "the waiting time is kept: {waited}");
    succeeded(&mut journal);
    rig.assert_one_failover();
}

#[test]
fn without_the_rule_the_glass_does_not_break_and_with_it_a_second_one_may_reject() {
    let rig = Rig::healthy(Wish::new(14));
    let mut journal = rig.follow(0);
    let id = opened(&rig, &mut journal);
    assert_eq!(
        refusal(&rig.cast(id, "alice", glass())),
        "this proposal has no break-glass rule; it was not configured beforehand"
    );
    drop(rig);

    let rig = Rig::healthy(Wish::new(15).set("break_glass.wait", "4m"));
    let mut journal = rig.follow(0);
    let id = opened(&rig, &mut journal);
    assert_eq!(rig.cast(id, "alice", glass()).status, 201);
    let reason = "the primary is being restarted".to_owned();
    assert_eq!(rig.cast(id, "bob", Decision::Reject { reason }).status, 201);
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "rejected");
    assert_eq!(closed["event"]["why"], "bob rejected it: the primary is being restarted");

    // A rejection silences the episode, longer than an expiry would.
    rig.looks(15);
    let because = rig.because();
    assert!(
        because.contains("an approver rejected a proposal in this episode"),
        "it says: {because}"
    );
    let late = rig.cast(id, "alice", approval());
    assert_eq!(refusal(&late), format!("proposal {id} is not open for decisions any more"));
    let proposals = journal.names().into_iter().filter(|name| *name == "proposal_opened").count();
    assert_eq!(proposals, 1);
    assert!(rig.failovers().is_empty());
}

#[test]
fn a_primary_that_serves_again_withdraws_the_proposal() {
    let rig = Rig::healthy(Wish::new(16));
    let mut journal = rig.follow(0);
    let id = opened(&rig, &mut journal);
    rig.approve(id, "alice");
    rig.fault(&Fault::Start { instance: SQL.to_owned() });
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "withdrawn", "{closed:#}");
    assert_eq!(closed["rule"], "contrary_evidence");
    assert!(rig.failovers().is_empty());
    // Signing now changes nothing any more.
    let late = rig.cast(id, "bob", attested());
    assert_eq!(refusal(&late), format!("proposal {id} is not open for decisions any more"));
}

fn opened(rig: &Rig, journal: &mut Follower) -> u64 {
    rig.stop(SQL);
    journal.until_health("primary_down");
    journal.until("proposal_opened")["seq"].as_u64().expect("a place")
}

/// Waits until the managed instance tells of a commit that has arrived there.
fn arrived(rig: &Rig) {
    wait::until("a commit to arrive", LIMIT, || {
        let link = rig.agent.link(rig.link()).ok()?;
        let database = &link["sides"]["managed_instance"]["seen"]["side"]["database"];
        database["last_commit_at"].is_string().then_some(())
    });
}

fn both_approve(rig: &Rig, id: u64) {
    rig.approve(id, "alice");
    rig.approve(id, "bob");
}

#[track_caller]
fn succeeded(journal: &mut Follower) {
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "succeeded", "{closed:#}\n{:?}", journal.names());
}

fn glass() -> Decision {
    Decision::Approve { break_glass: true, forecast_unknown: false, attestation: None }
}

fn time(entry: &Value) -> jiff::Timestamp {
    entry["at"].as_str().and_then(|at| at.parse().ok()).expect("an entry has a time")
}

/// That Prometheus itself has nothing to complain of.
#[track_caller]
fn clean(rig: &Rig, when: &str) {
    let metrics = rig.agent.metrics().expect("the agent has metrics");
    assert!(metrics.contains(rig.link()), "{when}: the link is in the metrics");
    promtool_check_metrics(&metrics).unwrap_or_else(|words| panic!("{when}: {words}\n{metrics}"));
}
