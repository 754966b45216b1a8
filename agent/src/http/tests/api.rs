use agent_core::{ApproverId, Ballot, Decision, Proposal};
use serde_json::{Value, json};

use super::{Agent, key};
use crate::http::view::{Detail, JournalPage, Status, StatusWord, StepWord};

const PROPOSALS: &str = "/api/v1/links/orders/proposals";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_shows_each_link_with_its_newest_looks() {
    let agent = Agent::start().await;
    agent.look().await;
    let (code, body) = agent.get("/api/v1/status").await;
    assert_eq!(code, 200, "{body}");
    let status: Status = serde_json::from_value(body.clone()).expect("what the command line reads");
    assert_eq!(status.links.len(), 1);
    let link = &body["links"][0];
    assert_eq!(link["health"], "healthy");
    assert_eq!(link["primary"], "sql_server");
    assert_eq!(link["sides"]["sql_server"]["seen"]["side"]["role"], "primary");
    assert_eq!(link["sides"]["managed_instance"]["seen"]["side"]["role"], "secondary");
    assert_eq!(link["sides"]["control_plane"], Value::Null);
    assert_eq!((&link["proposal"], &body["bus"]), (&Value::Null, &Value::Null));
    // The start and the first verdict.
    assert_eq!(body["last_seq"], 2);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_says_why_not() {
    let agent = Agent::start().await;
    agent.look().await;
    let (code, body) = agent.get("/api/v1/links/orders/explain").await;
    assert_eq!((code, &body["would_propose"]), (200, &json!(false)));
    let because = body["because"].as_array().expect("a list");
    assert!(because.contains(&json!("the health is Healthy, not a lost primary")), "{because:?}");
    let (code, body) = agent.get("/api/v1/links/nowhere/explain").await;
    assert_eq!((code, &body["error"]["code"]), (404, &json!("not_found")));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_core_refuses_is_409_with_its_words() {
    let agent = Agent::start().await;
    agent.look().await;
    let ask = json!({ "kind": "forced_failover", "by": "eve" });
    let (code, body) = agent.post(PROPOSALS, &ask).await;
    assert_eq!(code, 409, "{body}");
    let error = &body["error"];
    assert_eq!(error["code"], "refused");
    assert_eq!(error["refusal"]["refusal"], "primary_seen");
    let words = error["message"].as_str().expect("words");
    assert!(words.starts_with("the primary is still seen or heard"), "{words}");
    let (code, body) = agent.post("/api/v1/links/nowhere/proposals", &ask).await;
    assert_eq!((code, &body["error"]["refusal"]["refusal"]), (409, &json!("unknown_link")));
    let note = json!({ "by": "eve", "note": "seen" });
    let (code, body) = agent.post("/api/v1/links/orders/acknowledge", &note).await;
    let refusal = &body["error"]["refusal"]["refusal"];
    assert_eq!((code, refusal), (409, &json!("nothing_to_acknowledge")));
    // A refusal changes nothing.
    assert_eq!(agent.get("/api/v1/status").await.1["last_seq"], 2);
    let metrics = agent.text("/metrics").await;
    assert!(metrics.contains("dr_agent_refusals_total{refusal=\"primary_seen\"} 1"), "{metrics}");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_agent_can_be_asked_and_two_sign() {
    let agent = Agent::start().await;
    let ask = json!({ "kind": "forced_failover", "by": "eve" });
    let (code, entry) = agent.post(PROPOSALS, &ask).await;
    assert_eq!((code, &entry["event"]["type"]), (201, &json!("proposal_opened")), "{entry}");
    let id = entry["seq"].as_u64().expect("a number");
    let (code, body) = agent.post(PROPOSALS, &ask).await;
    assert_eq!((code, &body["error"]["refusal"]["proposal"]), (409, &json!(id)));

    let (code, list) = agent.get("/api/v1/proposals").await;
    assert_eq!((code, &list["proposals"][0]["status"]), (200, &json!("open")));
    let (code, body) = agent.get(&format!("/api/v1/proposals/{id}")).await;
    assert_eq!(code, 200, "{body}");
    let detail: Detail = serde_json::from_value(body).expect("what the command line reads");
    assert_eq!(detail.summary.status, StatusWord::Open);
    assert!(detail.steps.iter().all(|step| step.state == StepWord::Pending));
    let proposal = Proposal::read(detail.texts).expect("texts that belong together");
    assert_eq!(proposal.digest, detail.digest);

    let unsure = sign(&proposal, "ann", false);
    let (code, body) = agent.post("/api/v1/ballots", &unsure).await;
    assert_eq!((code, &body["error"]["code"]), (409, &json!("refused")), "{body}");
    for name in ["ann", "bob"] {
        let (code, body) = agent.post("/api/v1/ballots", &sign(&proposal, name, true)).await;
        assert_eq!((code, &body["event"]["type"]), (201, &json!("ballot_received")), "{body}");
    }
    let (_, body) = agent.get(&format!("/api/v1/proposals/{id}")).await;
    let detail: Detail = serde_json::from_value(body).expect("what the command line reads");
    assert_eq!((detail.summary.status, detail.ballots.len()), (StatusWord::Approved, 2));
    assert!(detail.summary.execute_by.is_some());
    let (code, body) = agent.get("/api/v1/proposals/1").await;
    assert_eq!((code, &body["error"]["code"]), (404, &json!("not_found")));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_is_read_in_pages() {
    let agent = Agent::start().await;
    agent.look().await;
    let (code, body) = agent.get("/api/v1/journal?limit=1").await;
    assert_eq!(code, 200, "{body}");
    let page: JournalPage = serde_json::from_value(body).expect("what the command line reads");
    assert_eq!((page.head, page.entries.len()), (2, 1));
    assert_eq!((page.entries[0].seq, page.entries[0].hash.len()), (1, 64));
    let (_, body) = agent.get("/api/v1/journal?after=1").await;
    assert_eq!(body["entries"][0]["entry"]["event"]["type"], "health_changed");
    let (_, body) = agent.get("/api/v1/journal?after=99").await;
    assert_eq!((&body["entries"], &body["head"]), (&json!([]), &json!(2)));
    for wrong in ["limit=0", "limit=1001", "after=-1", "after=x", "from=1"] {
        let (code, body) = agent.get(&format!("/api/v1/journal?{wrong}")).await;
        assert_eq!((code, &body["error"]["code"]), (400, &json!("bad_request")), "{wrong}");
    }
    agent.stop().await;
}

fn sign(proposal: &Proposal, name: &str, forecast_unknown: bool) -> Value {
    let approver = ApproverId::new(name).expect("a name");
    let attestation = Some("the machine room is under water".to_owned());
    let decision = Decision::Approve { break_glass: false, forecast_unknown, attestation };
    let at = "2026-01-02T03:04:05Z".parse().expect("a time");
    let ballot = Ballot::sign(proposal, approver, decision, at, &key(name));
    serde_json::to_value(ballot).expect("JSON")
}
