//! Whether what is said arrives: all of it, in order, once.

use std::time::Duration;

use agent_core::{Entry, Report};
use jiff::SignedDuration;
use tokio::net::TcpListener;

use super::{
    super::{
        Receiver as To,
        story::{Change, Stories},
        tail::Told,
    },
    play::{Play, Scene, done, not_done},
    receiver::{LIMIT, Manner, Receiver, Request},
    stage::{Stage, alertmanager, webhook},
};
use crate::journal::{Hash, Mark};

/// A whole failover, and the split brain after it that a human mends.
pub(super) fn story() -> Play {
    let mut play = Play::new();
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 65);
    play.approve("alice");
    play.approve("bob");
    play.report(&done());
    play.report(&not_done());
    play.see(Scene::Lost, 6);
    play.report(&done());
    play.see(Scene::Promoted, 2);
    play.report(&done());
    play.see(Scene::Promoted, 200);
    play.see(Scene::Both, 10);
    play.see(Scene::Healthy, 10);
    play
}

/// What has to be told of it: numbers and titles.
pub(super) fn expected(entries: &[Entry]) -> Vec<String> {
    let mut stories = Stories::new(Duration::from_secs(90));
    let mut all = Vec::new();
    for entry in entries {
        while let Some(change) = stories.pass(entry.at) {
            all.push(change);
        }
        all.extend(stories.take(entry));
    }
    let id = |change: &Change| format!("{}-{}", change.episode.id, change.episode.sequence);
    all.iter().map(id).collect()
}

pub(super) fn ids(requests: &[Request]) -> Vec<String> {
    let id = |request: &Request| request.json()["id"].as_str().expect("an id").to_owned();
    requests.iter().map(id).collect()
}

#[tokio::test]
async fn every_message_arrives_in_order_however_the_receiver_behaves() {
    let play = story();
    let mut stage = Stage::new();
    stage.write(&play.entries[..1]);
    let receiver = Receiver::start(&[
        Manner::Answer(500, None),
        Manner::Take,
        Manner::HangUp,
        Manner::Take,
        Manner::Answer(429, Some(1)),
        Manner::Take,
        Manner::DieInAnswer,
        Manner::Take,
        Manner::Silent,
        Manner::Answer(503, None),
        Manner::Take,
        Manner::KeepAndHangUp,
        Manner::Answer(401, None),
        Manner::Answer(302, None),
        Manner::Take,
    ])
    .await;
    let sink = stage.begin(webhook(receiver.url("/hook?to=dba")));
    sink.told().await;
    stage.write(&play.entries);
    let wanted = expected(&play.entries);
    let taken = receiver.until_taken(wanted.len()).await;
    assert_eq!(ids(&taken), wanted);
    sink.told().await;
    let report = sink.report();
    assert_eq!((report.sent, report.failed), (u64::try_from(wanted.len()).expect("few"), 9));
    assert_eq!((report.given_up, report.last_error), (0, None));
    sink.stop().await;
    assert_eq!(ids(&receiver.taken()), wanted, "nothing is told twice");
    for request in receiver.seen() {
        assert_eq!(request.path, "/hook?to=dba");
        assert_eq!(request.header("authorization"), "Bearer a-token-of-the-tests");
        assert_eq!(request.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn a_receiver_that_is_away_is_told_when_it_is_back() {
    let play = story();
    let mut stage = Stage::new();
    stage.write(&play.entries[..1]);
    let receiver = Receiver::start(&[]).await;
    let url = receiver.url("/hook");
    let sink = stage.begin(webhook(url));
    sink.told().await;
    let address = receiver.stop().await;
    stage.write(&play.entries);
    let failing = async {
        while sink.report().failed < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, failing).await.expect("it tries");
    let report = sink.report();
    assert!(report.pending_entries > 0 && report.last_error.is_some(), "{report:?}");
    assert!(!report.last_error.expect("an error").contains("token"), "no secrets");
    let listener = TcpListener::bind(address).await.expect("its port is free");
    let receiver = Receiver::on(listener, &[]);
    let wanted = expected(&play.entries);
    assert_eq!(ids(&receiver.until_taken(wanted.len()).await), wanted);
    sink.stop().await;
}

#[tokio::test]
async fn a_killed_agent_goes_on_where_it_was() {
    let play = story();
    let wanted = expected(&play.entries);
    let mut stage = Stage::new();
    stage.write(&play.entries[..1]);
    let receiver = Receiver::start(&[]).await;
    let sink = stage.begin(webhook(receiver.url("/hook")));
    sink.told().await;
    sink.kill().await;
    stage.write(&play.entries);
    // It is killed while a request is on its way, again and again: that one comes twice at most.
    let mut before = 0;
    while receiver.taken().len() < wanted.len() {
        receiver.treat(&[Manner::Take, Manner::Take, Manner::Silent]);
        let sink = stage.begin(webhook(receiver.url("/hook")));
        let progress = receiver.until(|taken| taken.len() > before).await;
        before = progress.len();
        let silent = async {
            while receiver.seen().last().is_none_or(|newest| newest.manner != Manner::Silent)
                && receiver.taken().len() < wanted.len()
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, silent).await.expect("it goes on");
        sink.kill().await;
    }
    let got = ids(&receiver.taken());
    let mut once = got.clone();
    once.dedup();
    assert_eq!(once, wanted, "in order and without a gap");
    let sink = stage.begin(webhook(receiver.url("/hook")));
    sink.told().await;
    sink.stop().await;
    assert!(receiver.taken().len() <= got.len() + 1, "only what was not confirmed comes again");
}

#[tokio::test]
async fn begun_anew_after_each_message_it_says_the_same() {
    let play = story();
    let wanted = expected(&play.entries);
    for page_after in [0, 90] {
        let mut stage = Stage::new();
        stage.page_after = Duration::from_secs(page_after);
        stage.write(&play.entries[..1]);
        let mut tail = stage.tail("x");
        tail.begin(&stage.links, play.now()).await.expect("readable");
        tail.save(tail.at()).await.expect("writable");
        stage.write(&play.entries);
        let (head, now) = (play.entries.last().expect("some").seq, play.now());
        let mut said = Vec::new();
        loop {
            let mut tail = stage.tail("x");
            let begun = tail.begin(&stage.links, play.now()).await.expect("readable");
            assert!(begun.untold.is_empty(), "it is known here");
            let mut first = None;
            while first.is_none() && tail.at().mark.seq < head {
                first = tail.more(head, now).await.expect("readable").into_iter().next();
            }
            let Some(Told::Change(item)) = first else { break };
            let episode = &item.change.episode;
            said.push(format!("{}-{}", episode.id, episode.sequence));
            tail.save(item.place.expect("a place")).await.expect("writable");
        }
        if page_after == 90 {
            assert_eq!(said, wanted);
        }
        let mut numbers = said.clone();
        numbers.dedup();
        assert_eq!(numbers.len(), said.len(), "nothing is said twice: {said:?}");
    }
}

#[tokio::test]
async fn what_follows_from_time_alone_is_told_once_over_restarts() {
    let mut play = Play::new();
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 10);
    let mut stage = Stage::new();
    stage.page_after = Duration::from_secs(30);
    stage.write(&play.entries[..1]);
    let receiver = Receiver::start(&[]).await;
    let sink = stage.begin(webhook(receiver.url("/hook")));
    sink.told().await;
    stage.write(&play.entries);
    receiver.until_taken(2).await;
    stage.clock_to(play.now() + SignedDuration::from_secs(60));
    let taken = receiver.until_taken(3).await;
    let last = taken[2].json();
    assert_eq!((&last["event"], &last["severity"]), (&"page_begun".into(), &"page".into()));
    sink.stop().await;
    for _ in 0..3 {
        let other = Receiver::start(&[]).await;
        let sink = stage.begin(webhook(other.url("/hook")));
        sink.told().await;
        sink.stop().await;
        assert!(other.seen().is_empty(), "it is told already");
    }
    play.see(Scene::Healthy, 5);
    let sink = stage.begin(webhook(receiver.url("/hook")));
    stage.write(&play.entries);
    let last = receiver.until_taken(4).await[3].json();
    assert_eq!((&last["status"], &last["sequence"]), (&"resolved".into(), &4.into()), "{last}");
    sink.stop().await;
}

#[tokio::test]
async fn a_new_receiver_that_is_down_is_told_after_a_restart_too() {
    let mut play = Play::new();
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 65);
    let mut stage = Stage::new();
    stage.write(&play.entries);
    let receiver = Receiver::start(&[Manner::Answer(503, None); 64]).await;
    let sink = stage.begin(webhook(receiver.url("/hook")));
    receiver.until_seen(1).await;
    sink.kill().await;
    play.see(Scene::Healthy, 70);
    stage.write(&play.entries);
    receiver.forgive();
    let sink = stage.begin(webhook(receiver.url("/hook")));
    let wanted = expected(&play.entries);
    assert_eq!(ids(&receiver.until_taken(wanted.len()).await), wanted);
    sink.stop().await;
}

#[tokio::test]
async fn a_new_receiver_hears_how_things_stand_and_nothing_of_before() {
    let mut play = Play::of(&["orders", "stock"]);
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 30);
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 65);
    let mut stage = Stage::new();
    stage.write(&play.entries);
    // A cursor into a journal that was put away is as good as none.
    let stranger = Mark { seq: 3, hash: Hash::GENESIS.then("another journal") };
    stage.cursors().set("alerts/webhook/hook", stranger).expect("writable");
    let receiver = Receiver::start(&[]).await;
    let sink = stage.begin(webhook(receiver.url("/hook")));
    let taken = receiver.until_taken(2).await;
    sink.told().await;
    for (request, link) in taken.iter().zip(["orders", "stock"]) {
        let message = request.json();
        assert_eq!((&message["event"], &message["link"]), (&"standing".into(), &link.into()));
        assert_eq!((&message["status"], &message["severity"]), (&"firing".into(), &"page".into()));
        assert_eq!(message["proposal"]["status"], "open");
    }
    sink.stop().await;
    let sink = stage.begin(webhook(receiver.url("/hook")));
    sink.told().await;
    sink.stop().await;
    assert_eq!(receiver.seen().len(), 2);
}

#[tokio::test]
async fn one_that_is_down_holds_up_no_other() {
    let play = story();
    let mut stage = Stage::new();
    stage.write(&play.entries[..1]);
    let good = Receiver::start(&[]).await;
    let silent = Receiver::start(&[Manner::Silent; 64]).await;
    let broken = Receiver::start(&[Manner::Answer(404, None); 64]).await;
    let sink = stage.begin(webhook(good.url("/hook")));
    let To::Webhook(mut other) = webhook(silent.url("/hook")) else { panic!("it is one") };
    other.to.name = "silent".to_owned();
    let silent_sink = stage.begin(To::Webhook(other));
    let broken_sink = stage.begin(alertmanager(broken.url("/")));
    sink.told().await;
    stage.write(&play.entries);
    let wanted = expected(&play.entries);
    assert_eq!(ids(&good.until_taken(wanted.len()).await), wanted);
    silent.until_seen(2).await;
    broken.until_seen(2).await;
    assert_eq!((silent_sink.report().sent, broken_sink.report().sent), (0, 0));
    assert!(silent_sink.report().pending_entries > 0 && broken_sink.report().pending_entries > 0);
    for sink in [sink, silent_sink, broken_sink] {
        sink.stop().await;
    }
}

#[tokio::test]
async fn a_link_that_left_the_configuration_is_told_once() {
    let mut play = Play::of(&["orders", "stock"]);
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 20);
    let mut stage = Stage::new();
    stage.write(&play.entries[..1]);
    let (hook, pushed) = (Receiver::start(&[]).await, Receiver::start(&[]).await);
    let first = stage.begin(webhook(hook.url("/hook")));
    let second = stage.begin(alertmanager(pushed.url("/")));
    first.told().await;
    second.told().await;
    stage.write(&play.entries);
    hook.until_taken(4).await;
    pushed.until_taken(1).await;
    first.stop().await;
    second.stop().await;
    stage.links.clear();
    let (told, told_pushes) = (hook.taken().len(), pushed.taken().len());
    for _ in 0..2 {
        let first = stage.begin(webhook(hook.url("/hook")));
        let second = stage.begin(alertmanager(pushed.url("/")));
        hook.until_taken(told + 2).await;
        pushed.until_taken(told_pushes + 1).await;
        first.stop().await;
        second.stop().await;
    }
    let taken = hook.taken();
    assert_eq!(taken.len(), told + 2, "once");
    for request in &taken[told..] {
        let message = request.json();
        assert_eq!(
            (&message["event"], &message["status"]),
            (&"link_dropped".into(), &"resolved".into())
        );
    }
    assert_eq!(pushed.taken().len(), told_pushes + 1, "and not pushed again");
}

#[tokio::test]
async fn the_signed_address_of_an_operation_never_leaves() {
    let mut play = Play::new();
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 65);
    play.approve("alice");
    play.approve("bob");
    play.report(&done());
    let operation = "https://management.example/operations/1?t=s3cret".to_owned();
    play.report(&[Report::Sending, Report::Noted { operation }]);
    play.report(&done()[1..]);
    assert!(play.entries.iter().any(|entry| entry.event.name() == "step_noted"));
    let mut stage = Stage::new();
    stage.write(&play.entries[..1]);
    let (hook, pushed) = (Receiver::start(&[]).await, Receiver::start(&[]).await);
    let first = stage.begin(webhook(hook.url("/hook")));
    let second = stage.begin(alertmanager(pushed.url("/")));
    first.told().await;
    second.told().await;
    stage.write(&play.entries);
    hook.until_taken(expected(&play.entries).len()).await;
    pushed.until_taken(1).await;
    first.stop().await;
    second.stop().await;
    for request in hook.seen().into_iter().chain(pushed.seen()) {
        let body = String::from_utf8(request.body).expect("text");
        assert!(!body.contains("s3cret") && !body.contains("management.example"), "{body}");
    }
}

#[test]
fn what_can_not_be_a_way_is_told_at_the_start() {
    let url = || "https://alerts.example.com".parse().expect("an address");
    assert!(webhook(url()).check().is_ok());
    for pem in ["no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let To::Webhook(mut settings) = webhook(url()) else { panic!("it is one") };
        settings.to.ca = Some(probes::SecretSource::fixed(pem.into()));
        let error = To::Webhook(settings).check().expect_err("no authorities");
        assert!(error.to_string().starts_with("alerts can't be sent to hook: "), "{error}");
    }
}
