//! What the calendar brings about, as receivers get it.

use agent_core::{Input, Runbook};

use super::{
    play::{Play, Scene, link},
    receiver::{Manner, Receiver},
    stage::{Stage, alertmanager, webhook},
};

fn page() -> Runbook {
    let mut runbook = Runbook::new(link("orders"), "# Failover by hand\n".into());
    runbook.places = vec!["/var/lib/dr-agent/runbook/x.md".into()];
    runbook.failed = vec!["/mnt/print: it is gone".into()];
    runbook
}

fn morning() -> Play {
    let mut play = Play::new();
    play.see(Scene::Healthy, 10);
    let placement = vec!["the broker: on the same host".to_owned()];
    play.input(Input::ReportState { missed: 2, placement });
    play.input(Input::IssueRunbook { runbook: page() });
    play
}

#[tokio::test]
async fn a_webhook_gets_the_page_itself_once_it_is_back() {
    let play = morning();
    let mut stage = Stage::new();
    stage.write(&play.entries[..1]);
    let receiver = Receiver::start(&[Manner::Answer(503, None), Manner::HangUp]).await;
    let sink = stage.begin(webhook(receiver.url("/hook")));
    sink.told().await;
    stage.write(&play.entries);
    let taken = receiver.until_taken(2).await;
    let [report, runbook] = [taken[0].json(), taken[1].json()];
    assert_eq!(report["event"], "state_reported");
    assert_eq!(report["severity"], "info");
    assert_eq!(
        report["title"],
        "state report: 1 of 1 links are healthy; 2 reports before it were missed"
    );
    assert_eq!(report["report"]["placement"][0], "the broker: on the same host");
    assert_eq!(taken[0].header("dr-agent-id"), report["id"].as_str().expect("an id"));
    assert_eq!(runbook["runbook"]["text"], "# Failover by hand\n");
    assert_eq!(runbook["runbook"]["digest"], Runbook::digest("# Failover by hand\n"));
    assert_eq!(runbook["link"], "orders");
    let text = runbook["text"].as_str().expect("a text");
    assert!(text.contains("NOT KEPT in /mnt/print: it is gone"), "{text}");
    sink.stop().await;

    // It has been told: another life says nothing of it.
    let sink = stage.begin(webhook(receiver.url("/hook")));
    sink.told().await;
    sink.stop().await;
    assert_eq!(receiver.taken().len(), 2);
}

#[tokio::test]
async fn an_alertmanager_gets_a_short_notice_that_ends_by_itself() {
    let play = morning();
    let mut stage = Stage::new();
    stage.write(&play.entries[..1]);
    let receiver = Receiver::start(&[]).await;
    let sink = stage.begin(alertmanager(receiver.url("/")));
    sink.told().await;
    stage.write(&play.entries);
    sink.told().await;
    sink.stop().await;
    let alerts: Vec<serde_json::Value> = receiver
        .taken()
        .iter()
        .flat_map(|request| request.json().as_array().expect("a list").clone())
        .collect();
    let events: Vec<&str> =
        alerts.iter().filter_map(|alert| alert["labels"]["event"].as_str()).collect();
    assert_eq!(events, ["runbook_issued", "state_reported"]);
    for alert in &alerts {
        assert_eq!(alert["labels"]["severity"], "info");
        assert_eq!(alert["labels"]["sender"], "dr-agent");
        let whole = alert.to_string();
        assert!(!whole.contains("Failover by hand"), "only that there is one: {whole}");
        assert!(alert["endsAt"].as_str() > alert["startsAt"].as_str(), "{whole}");
    }
}
