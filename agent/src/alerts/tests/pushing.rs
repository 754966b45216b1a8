//! What an Alertmanager comes to know: the state of each episode, one page for each.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    play::{Play, Scene, start},
    receiver::{Manner, Receiver, Request},
    stage::{Stage, alertmanager},
};

/// Labels of an alert, and when it ends.
pub(super) type Known = BTreeMap<String, (Timestamp, Timestamp)>;

/// What an Alertmanager would know after these pushes, by the alert's identity.
pub(super) fn known(pushes: &[Request]) -> Known {
    let mut known = Known::new();
    for push in pushes {
        assert_eq!(push.path, "/am/api/v2/alerts");
        for alert in push.json().as_array().expect("a list") {
            let time = |name: &str| -> Timestamp {
                alert[name].as_str().expect("a time").parse().expect("RFC 3339")
            };
            let labels = &alert["labels"];
            if labels["event"] != Value::Null {
                continue;
            }
            let word = |name: &str| labels[name].as_str().expect("a label").to_owned();
            assert!(time("startsAt") <= time("endsAt"), "{alert}");
            let identity = format!("{} {} {}", word("link"), word("episode"), word("severity"));
            known.insert(identity, (time("startsAt"), time("endsAt")));
        }
    }
    known
}

fn over(known: &Known, now: Timestamp) -> BTreeSet<&str> {
    known.iter().filter(|(_, (_, ends))| *ends <= now).map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn an_episode_is_one_page_that_is_pushed_again_until_it_is_over() {
    let mut play = Play::new();
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 65);
    play.approve("alice");
    let mut stage = Stage::new();
    stage.write(&play.entries[..1]);
    let receiver = Receiver::start(&[]).await;
    let sink = stage.begin(alertmanager(receiver.url("/am/")));
    sink.told().await;
    stage.write(&play.entries);
    let seen = receiver.until_taken(1).await;
    let both = ["orders 3 page", "orders 3 warning"];
    let now = known(&seen);
    assert_eq!(now.keys().collect::<Vec<_>>(), both);
    let ends = play.now() + SignedDuration::from_secs(240);
    assert!(now.values().all(|(_, until)| *until == ends), "{now:?}");

    // Nothing changes for minutes: it is said again each minute, and each time that it lasts.
    for minute in 1..=3 {
        let at = play.now() + SignedDuration::from_secs(60 * minute);
        let before = receiver.taken().len();
        stage.clock_to(at);
        let now = known(&receiver.until_taken(before + 1).await);
        assert_eq!(now.keys().collect::<Vec<_>>(), both);
        let ends = at + SignedDuration::from_secs(240);
        assert!(now.values().all(|(_, until)| *until == ends), "{now:?}");
    }

    // A restart says it again at once, under the same labels.
    sink.kill().await;
    let before = receiver.taken().len();
    let sink = stage.begin(alertmanager(receiver.url("/am/")));
    let now = known(&receiver.until_taken(before + 1).await);
    assert_eq!(now.keys().collect::<Vec<_>>(), both);

    play.second += 300;
    play.see(Scene::Healthy, 80);
    stage.write(&play.entries);
    let seen = receiver.until(|seen| over(&known(seen), play.now()).len() == 2).await;
    let last = known(&seen);
    assert_eq!(last.len(), 2, "one page, whatever happened: {last:?}");
    sink.told().await;
    let before = receiver.taken().len();
    stage.clock_to(play.now() + SignedDuration::from_secs(3600));
    sink.told().await;
    sink.stop().await;
    assert_eq!(receiver.taken().len(), before, "what is over is not said again");
}

#[tokio::test]
async fn what_began_and_ended_while_it_was_away_is_told_as_over() {
    let mut play = Play::of(&["orders", "stock"]);
    play.see(Scene::Healthy, 10);
    let first = play.entries.len();
    play.see(Scene::Lost, 30);
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 65);
    let mut stage = Stage::new();
    stage.write(&play.entries[..first]);
    let failing = [
        Manner::Answer(503, Some(0)),
        Manner::HangUp,
        Manner::DieInAnswer,
        Manner::Answer(429, Some(1)),
        Manner::Silent,
    ];
    let receiver = Receiver::start(&failing).await;
    let sink = stage.begin(alertmanager(receiver.url("/am")));
    sink.told().await;
    stage.write(&play.entries);
    let seen = receiver.until_taken(1).await;
    sink.told().await;
    assert_eq!(sink.report().failed, 5);
    let known = known(&seen);
    let over = over(&known, play.now());
    assert_eq!(over.len(), 2, "the blips of both links: {known:?}");
    assert!(over.iter().all(|name| name.ends_with("warning")), "{over:?}");
    let lasting = known.iter().filter(|(_, (_, ends))| *ends > play.now());
    let lasting: Vec<&str> = lasting.map(|(name, _)| name.as_str()).collect();
    assert_eq!(lasting.len(), 4, "{lasting:?}");
    assert_eq!(lasting.iter().filter(|name| name.ends_with("page")).count(), 2);
    sink.stop().await;
}

/// Links of notices in these pushes.
fn noticed(pushes: &[Request], event: &str) -> Vec<String> {
    let alerts = pushes.iter().flat_map(|push| push.json().as_array().cloned().expect("a list"));
    let noticed = alerts.filter(|alert| alert["labels"]["event"] == event);
    noticed.map(|alert| alert["labels"]["link"].as_str().expect("a link").to_owned()).collect()
}

#[tokio::test]
async fn a_page_that_nobody_got_is_told_once_it_is_over() {
    let mut play = Play::new();
    play.see(Scene::Healthy, 10);
    let first = play.entries.len();
    play.see(Scene::Lost, 90);
    let paged = play.entries.len();
    play.see(Scene::Healthy, 80);
    for told in [false, true] {
        let mut stage = Stage::new();
        stage.write(&play.entries[..first]);
        let receiver = Receiver::start(&[]).await;
        let sink = stage.begin(alertmanager(receiver.url("/am")));
        sink.told().await;
        if told {
            stage.write(&play.entries[..paged]);
            receiver.until(|seen| seen.iter().any(|push| push.json()[1] != Value::Null)).await;
            sink.told().await;
        }
        receiver.treat(&[Manner::Answer(503, None)]);
        stage.write(&play.entries);
        sink.told().await;
        let missed = noticed(&receiver.taken(), "page_missed");
        assert_eq!(missed.len(), usize::from(!told), "{missed:?}");
        assert!(missed.iter().all(|link| link == "orders"), "{missed:?}");
        sink.stop().await;
    }
}

#[tokio::test]
async fn what_ended_right_before_a_kill_is_told_after_it() {
    let mut play = Play::new();
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 65);
    let mut stage = Stage::new();
    stage.write(&play.entries[..1]);
    let receiver = Receiver::start(&[]).await;
    let sink = stage.begin(alertmanager(receiver.url("/am")));
    sink.told().await;
    stage.write(&play.entries);
    receiver.until(|seen| known(seen).len() == 2).await;
    receiver.treat(&[Manner::Silent]);
    play.see(Scene::Healthy, 70);
    stage.write(&play.entries);
    let begun = receiver.seen().len();
    receiver.until_seen(begun.max(1)).await;
    sink.kill().await;
    let other = Receiver::start(&[]).await;
    let sink = stage.begin(alertmanager(other.url("/am")));
    let seen = other.until(|seen| over(&known(seen), play.now()).len() == 2).await;
    sink.stop().await;
    let alerts: Vec<Value> =
        seen.iter().flat_map(|push| push.json().as_array().cloned().expect("a list")).collect();
    let summary = alerts[0]["annotations"]["summary"].as_str().expect("words");
    assert!(summary.ends_with("the episode is over"), "{summary}");
    assert!(known(&seen).values().all(|(starts, _)| *starts > start()));
}
