use std::time::Duration;

use agent_core::PlanKind;
use reqwest::{Method, RequestBuilder, header};
use serde_json::{Value, json};

use super::{ALERT_TOKEN, Agent, TOKEN, link, read};
use crate::{
    config::{AlertLink, AlertRule},
    http::{WEBHOOK_ALERTS, WEBHOOK_BODY},
};

const PATH: &str = "/webhooks/alertmanager";

/// What the agent of these tests is configured with.
pub(super) fn rules() -> Vec<AlertRule> {
    let rule = |name: &str, alertname: &str, link| AlertRule {
        name: name.into(),
        matchers: [
            ("alertname".into(), vec![alertname.into()]),
            ("severity".into(), vec!["page".into(), "critical".into()]),
        ]
        .into(),
        link,
        kind: PlanKind::ForcedFailover,
        age_most: Duration::from_secs(900),
        cooldown: Duration::from_secs(3600),
        lost_for: (name != "patient").then_some(Duration::ZERO),
    };
    vec![
        rule("lost", "OrdersLost", AlertLink::Fixed(link())),
        rule("labelled", "LinkLost", AlertLink::Label("link".into())),
        rule("patient", "OrdersSlow", AlertLink::Fixed(link())),
    ]
}

/// An alert that began this long ago.
async fn alert(agent: &Agent, name: &str, fingerprint: &str, age_s: i64) -> Value {
    let now = agent.inbox.ask(|_, now| now).await.expect("the loop runs");
    let since = now - jiff::SignedDuration::from_secs(age_s);
    json!({
        "status": "firing",
        "labels": { "alertname": name, "severity": "critical", "instance": "sql-1" },
        "annotations": { "summary": "nobody answers" },
        "startsAt": since.to_string(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": fingerprint,
    })
}

fn resolved(mut alert: Value) -> Value {
    alert["status"] = json!("resolved");
    alert
}

fn body(alerts: &[Value]) -> Value {
    json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"OrdersLost\"}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "dr-agent",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": alerts,
    })
}

fn request(agent: &Agent) -> RequestBuilder {
    agent.bare(Method::POST, PATH).bearer_auth(ALERT_TOKEN)
}

/// What became of one alert.
async fn hand_in(agent: &Agent, alert: Value) -> Value {
    let answer = request(agent).json(&body(&[alert])).send().await.expect("an answer");
    let (code, said) = read(answer).await;
    assert_eq!(code, 200, "{said}");
    said["alerts"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_firing_alert_asks_once_and_its_end_takes_the_proposal_back() {
    let agent = Agent::start().await;
    agent.lose().await;
    let fires = alert(&agent, "OrdersLost", "0123456789abcdef", 30).await;
    let said = hand_in(&agent, fires.clone()).await;
    assert_eq!(said["outcome"], "proposed", "{said}");
    let proposal = said["proposal"].as_u64().expect("a number");
    let (_, shown) = agent.get(&format!("/api/v1/proposals/{proposal}")).await;
    let origin = json!({
        "by": "alert", "rule": "lost", "alertname": "OrdersLost", "fingerprint": "0123456789abcdef"
    });
    assert_eq!((&shown["origin"], &shown["status"]), (&origin, &json!("open")), "{shown}");
    assert!(shown["texts"]["terms"].as_str().expect("signed").contains("OrdersLost"));

    // Alertmanager repeats itself.
    let said = hand_in(&agent, fires.clone()).await;
    assert_eq!((&said["outcome"], &said["proposal"]), (&json!("known"), &json!(proposal)));
    // Another alert neither opens a second one nor takes back what it has not asked for.
    let other = alert(&agent, "OrdersLost", "fedcba9876543210", 30).await;
    let said = hand_in(&agent, other.clone()).await;
    assert_eq!((&said["outcome"], &said["refusal"]), (&json!("refused"), &json!("proposal_open")));
    let said = hand_in(&agent, resolved(other)).await;
    assert_eq!(said["outcome"], "nothing_to_withdraw");

    // Nobody sees a primary: it is the series that are gone, not the trouble.
    let said = hand_in(&agent, resolved(fires.clone())).await;
    assert_eq!((&said["outcome"], &said["refusal"]), (&json!("refused"), &json!("still_lost")));
    agent.look().await;
    let said = hand_in(&agent, resolved(fires.clone())).await;
    assert_eq!((&said["outcome"], &said["proposal"]), (&json!("withdrawn"), &json!(proposal)));
    let (_, shown) = agent.get(&format!("/api/v1/proposals/{proposal}")).await;
    assert_eq!(shown["closed"]["end"], "withdrawn", "{shown}");
    assert_eq!(shown["closed"]["why"], "the alert OrdersLost that asked for it is resolved");
    let said = hand_in(&agent, resolved(fires.clone())).await;
    assert_eq!(said["outcome"], "nothing_to_withdraw");
    // Back again so soon it has to wait.
    let said = hand_in(&agent, fires).await;
    assert_eq!(said["outcome"], "ignored", "{said}");
    assert!(said["because"].as_str().expect("words").contains("closed not long ago"), "{said}");

    let metrics = agent.text("/metrics").await;
    for (outcome, count) in [
        ("proposed", 1),
        ("known", 1),
        ("refused", 2),
        ("nothing_to_withdraw", 2),
        ("withdrawn", 1),
        ("ignored", 1),
    ] {
        let line = format!("dr_agent_alerts_received_total{{outcome=\"{outcome}\"}} {count}");
        assert!(metrics.contains(&line), "{line} is missing: {metrics}");
    }
    agent.stop().await;
}

/// By itself Alertmanager would repeat it after hours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_fires_too_early_is_to_be_sent_again() {
    let agent = Agent::start().await;
    agent.lose().await;
    let fires = alert(&agent, "OrdersSlow", "ab", 30).await;
    let answer = request(&agent).json(&body(&[fires])).send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    let said: Value = answer.json().await.expect("JSON");
    assert_eq!(said["error"]["code"], "too_early", "{said}");
    let metrics = agent.text("/metrics").await;
    assert!(
        metrics.contains("dr_agent_alerts_received_total{outcome=\"too_early\"} 1"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proposals_of_others_are_left_alone() {
    let agent = Agent::start().await;
    let ask = json!({ "kind": "forced_failover", "by": "eve" });
    let (code, entry) = agent.post("/api/v1/links/orders/proposals", &ask).await;
    assert_eq!(code, 201, "{entry}");
    let fires = alert(&agent, "OrdersLost", "0123456789abcdef", 30).await;
    assert_eq!(hand_in(&agent, fires.clone()).await["outcome"], "refused");
    assert_eq!(hand_in(&agent, resolved(fires)).await["outcome"], "nothing_to_withdraw");
    let (_, list) = agent.get("/api/v1/proposals").await;
    assert_eq!(list["proposals"][0]["status"], "open");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_core_refuses_is_answered_and_not_to_be_sent_again() {
    let agent = Agent::start().await;
    agent.look().await;
    let said = hand_in(&agent, alert(&agent, "OrdersLost", "ab12", 0).await).await;
    assert_eq!((&said["outcome"], &said["refusal"]), (&json!("refused"), &json!("primary_seen")));
    assert!(said["because"].as_str().expect("words").contains("still seen or heard"), "{said}");
    let metrics = agent.text("/metrics").await;
    assert!(metrics.contains("dr_agent_refusals_total{refusal=\"primary_seen\"} 1"), "{metrics}");
    // A refusal changes nothing.
    assert_eq!(agent.get("/api/v1/status").await.1["last_seq"], 2);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_alert_of_a_body_is_judged_by_itself() {
    let agent = Agent::start().await;
    agent.lose().await;
    let lost = alert(&agent, "LinkLost", "a1", 30).await;
    let labelled = |link: Value| {
        let mut alert = lost.clone();
        alert["labels"]["link"] = link;
        alert
    };
    let mut minor = lost.clone();
    minor["labels"]["severity"] = json!("warning");
    let mut own = labelled(json!("orders"));
    own["labels"]["sender"] = json!("dr-agent");
    let alerts = [
        alert(&agent, "SomethingElse", "a2", 30).await,
        minor,
        own,
        lost.clone(),
        labelled(json!("nowhere")),
        alert(&agent, "OrdersLost", "a3", 3600).await,
        alert(&agent, "OrdersLost", "a4", -3600).await,
        labelled(json!("orders")),
    ];
    let answer = request(&agent).json(&body(&alerts)).send().await.expect("an answer");
    let (code, said) = read(answer).await;
    assert_eq!(code, 200, "{said}");
    let said = said["alerts"].as_array().expect("a list");
    let outcomes: Vec<&Value> = said.iter().map(|alert| &alert["outcome"]).collect();
    let expected =
        ["ignored", "ignored", "ignored", "ignored", "refused", "ignored", "ignored", "proposed"];
    assert_eq!(outcomes, expected, "{said:?}");
    for (place, words) in [
        (0, "no rule matches it"),
        (1, "no rule matches it"),
        (2, "an alert of an agent"),
        (3, "its label link names the link"),
        (4, "there is no link nowhere"),
        (5, "longer ago than the rule lost takes"),
        (6, "yet to come"),
    ] {
        let because = said[place]["because"].as_str().expect("words");
        assert!(because.contains(words), "{place}: {because}");
    }
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_tokens_open_nothing_else_and_no_others_open_it() {
    let agent = Agent::start().await;
    let send =
        async |request: RequestBuilder| read(request.send().await.expect("an answer")).await.0;
    let post = || agent.bare(Method::POST, PATH).json(&body(&[]));
    assert_eq!(send(post()).await, 401);
    assert_eq!(send(post().bearer_auth("a-token-that-nobody-knows")).await, 401);
    assert_eq!(send(post().bearer_auth(TOKEN)).await, 403);
    assert_eq!(send(post().bearer_auth(ALERT_TOKEN)).await, 200);
    for (method, path) in [
        (Method::GET, "/api/v1/status"),
        (Method::GET, "/api/v1/journal"),
        (Method::GET, "/api/v1/events"),
        (Method::POST, "/api/v1/ballots"),
        (Method::POST, "/api/v1/links/orders/proposals"),
        (Method::POST, "/webhooks/alertmanager/"),
        (Method::POST, "//webhooks/alertmanager"),
        (Method::POST, "/webhooks/alertmanage%72"),
    ] {
        assert_eq!(send(agent.bare(method, path).bearer_auth(ALERT_TOKEN)).await, 403, "{path}");
    }
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_notification_is_told_so() {
    let agent = Agent::start().await;
    let good = alert(&agent, "OrdersLost", "a1", 0).await;
    let with = |name: &str, value: Value| {
        let mut alert = good.clone();
        alert[name] = value;
        body(&[alert])
    };
    let mut old = body(&[]);
    old["version"] = json!("3");
    let mut nameless = good.clone();
    nameless["labels"].as_object_mut().expect("labels").remove("alertname");
    for (place, wrong) in [
        json!({}),
        json!([]),
        old,
        with("startsAt", json!("yesterday")),
        with("status", json!("maybe")),
        with("labels", json!({ "alertname": 7 })),
        with("fingerprint", json!("")),
        with("fingerprint", json!("a\nb")),
        body(&[nameless]),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = request(&agent).json(&wrong).send().await.expect("an answer");
        let (code, said) = read(answer).await;
        assert_eq!((code, &said["error"]["code"]), (400, &json!("bad_request")), "{place}: {said}");
    }
    let plain = request(&agent).header(header::CONTENT_TYPE, "application/json").body("{");
    assert_eq!(plain.send().await.expect("an answer").status(), 400);
    let many = body(&vec![good.clone(); WEBHOOK_ALERTS + 1]);
    let large = with("annotations", json!({ "summary": "x".repeat(WEBHOOK_BODY) }));
    for wrong in [many, large] {
        let answer = request(&agent).json(&wrong).send().await.expect("an answer");
        let (code, said) = read(answer).await;
        assert_eq!((code, &said["error"]["code"]), (413, &json!("body_too_large")));
    }
    // More than the API takes is no problem here.
    let long = with("annotations", json!({ "summary": "x".repeat(crate::http::BODY) }));
    let answer = request(&agent).json(&long).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_loop_it_is_to_be_sent_again() {
    let agent = Agent::start().await;
    let fires = alert(&agent, "OrdersLost", "a1", 0).await;
    agent.inbox.stop();
    while agent.inbox.ask(|_, _| ()).await.is_ok() {}
    let answer = request(&agent).json(&body(&[fires])).send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    agent.stop().await;
}
