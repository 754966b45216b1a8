//! Alerts of the real agent: killed and begun again while those who are told are away, it tells all
//! of an episode once, in order, and as one page.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::harness::wait;
use toml::{Table, Value as Setting};

use crate::{
    receiver::Receiver,
    rig::{APPROVERS, LIMIT, Rig, SQL, Wish},
};

fn receiver(name: &str, url: &str) -> Table {
    let pairs = [("name", name.to_owned()), ("url", url.to_owned())];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), Setting::from(value))).collect()
}

/// Whether a message is of this event.
fn is(message: &Value, event: &str) -> bool {
    message["event"] == event
}

#[test]
fn killed_while_nobody_listens_it_tells_all_of_the_episode_once() {
    let (pager, alertmanager) = (Receiver::start(), Receiver::start());
    let mut hook = receiver("pager", &pager.url);
    // The token of the API lies there, and signs as well as anything else.
    let secret = Table::from_iter([("file".to_owned(), Setting::from("token"))]);
    hook.insert("secret".to_owned(), Setting::from(secret));
    let mut main = receiver("main", &alertmanager.url);
    main.insert("repeat_every".to_owned(), Setting::from("1s"));
    let wish = Wish::new(71)
        .set("alerts.webhooks", vec![Setting::from(hook)])
        .set("alerts.alertmanagers", vec![Setting::from(main)]);
    let mut rig = Rig::healthy(wish);

    let mut stream = rig.follow(0);
    rig.stop(SQL);
    let proposal = stream.until("proposal_opened")["seq"].as_u64().expect("a number");
    wait::until("the page", LIMIT, || {
        pager.taken().iter().any(|told| is(told, "proposal_opened")).then_some(())
    });

    // Nobody listens while the plan is approved and carried out, and the agent is killed.
    pager.away(true);
    alertmanager.away(true);
    for who in APPROVERS {
        rig.approve(proposal, who);
    }
    stream.until("proposal_closed");
    wait::until("a try", LIMIT, || (pager.refused() > 0).then_some(()));
    rig.kill();
    rig.start();
    pager.away(false);
    alertmanager.away(false);
    let told = wait::until("the end", LIMIT, || {
        let told = pager.taken();
        told.iter().any(|told| is(told, "proposal_closed")).then_some(told)
    });

    let episode = &told[0]["episode"];
    assert!(told.iter().all(|message| message["episode"] == *episode), "{told:#?}");
    let numbers: Vec<u64> =
        told.iter().filter_map(|message| message["sequence"].as_u64()).collect();
    let expected: Vec<u64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected, "each once, in order: {told:#?}");
    for event in ["health_changed", "ballot_received", "proposal_approved", "step_done"] {
        assert!(told.iter().any(|message| is(message, event)), "{event} is missing: {told:#?}");
    }
    let digest = &rig.proposal(proposal).digest;
    let opened = told.iter().find(|message| is(message, "proposal_opened")).expect("it is there");
    assert_eq!(opened["proposal"]["digest"], digest.as_str());
    assert_eq!(opened["commands"][0], format!("dr-agent show {proposal}"));

    // All that the Alertmanager ever heard of is one page and one warning, however often.
    let identities = wait::until("the state after all", LIMIT, || {
        let pushed = alertmanager.taken();
        let alerts = || pushed.iter().flat_map(|push| push.as_array().into_iter().flatten());
        let closed = |alert: &Value| {
            alert["annotations"]["description"]
                .as_str()
                .is_some_and(|text| text.contains("succeeded"))
        };
        let labels = |alert: &Value| alert["labels"].to_string();
        alerts().any(closed).then(|| alerts().map(labels).collect::<BTreeSet<String>>())
    });
    assert_eq!(identities.len(), 2, "{identities:#?}");

    let metrics = rig.agent.metrics().expect("a scrape");
    for kind in ["webhook\",name=\"pager", "alertmanager\",name=\"main"] {
        let lag = format!("dr_agent_alerts_lag_seconds{{kind=\"{kind}\"}}");
        assert!(metrics.contains(&lag), "{lag}: {metrics}");
    }
}

const SECRET: &str = "between us and the pager alone";

/// By the webhook's own secret, in a file.
fn signed(url: &str) -> Vec<Setting> {
    let mut hook = receiver("pager", url);
    let secret = Table::from_iter([("file".to_owned(), Setting::from("webhook-secret"))]);
    hook.insert("secret".to_owned(), Setting::from(secret));
    vec![Setting::from(hook)]
}

#[test]
fn the_paper_runbook_comes_by_webhook_whole_and_signed() {
    let pager = Receiver::start();
    let wish = Wish::new(72)
        .set("schedule.runbook", "*/10 * * * * *")
        .set("alerts.webhooks", signed(&pager.url));
    let mut rig = Rig::cold(wish);
    rig.secret("webhook-secret", SECRET);
    rig.start();
    let mut journal = rig.follow(0);
    rig.wait_health("healthy");
    pager.away(true);
    let issued = journal.until("runbook_issued");
    wait::until("a try", LIMIT, || (pager.refused() > 0).then_some(()));
    pager.away(false);
    let request = wait::until("the runbook", LIMIT, || {
        let requests = pager.requests();
        requests.into_iter().find(|request| is(&request.json(), "runbook_issued"))
    });

    // The first one that was issued, though nobody was there at first.
    let told = request.json();
    assert_eq!(told["entry"], issued["seq"], "{told:#}");
    assert_eq!(told["runbook"], issued["event"]["runbook"], "{told:#}");
    let text = told["runbook"]["text"].as_str().expect("the page is in it");
    assert_eq!(told["runbook"]["digest"], agent_core::Runbook::digest(text));
    for part in ["FORCE_FAILOVER_ALLOW_DATA_LOSS", SQL, rig.link()] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }

    assert!(request.signed_with(SECRET), "{request:?}");
    assert!(!request.signed_with("another secret altogether"));
    let mut altered = request.clone();
    altered.body = String::from_utf8(altered.body)
        .expect("JSON is text")
        .replace("FORCE_FAILOVER_ALLOW_DATA_LOSS", "FAILOVER")
        .into_bytes();
    assert!(!altered.signed_with(SECRET), "an altered page is signed");
    let mut late = request.clone();
    late.head.insert("dr-agent-timestamp".to_owned(), "1".to_owned());
    assert!(!late.signed_with(SECRET), "the time is signed too");
}
