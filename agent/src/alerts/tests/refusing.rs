//! What a receiver refuses as such: it goes, and takes no other with it.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{
    play::{Play, Scene},
    pushing::known,
    receiver::{Receiver, Request},
    sending::{expected, ids, story},
    stage::{Stage, alertmanager, webhook},
};

#[tokio::test]
async fn a_message_that_is_refused_as_such_does_not_hold_up_the_others() {
    let mut play = Play::new();
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 65);
    let mut stage = Stage::new();
    stage.write(&play.entries[..1]);
    let receiver = Receiver::start(&[]).await;
    let sink = stage.begin(webhook(receiver.url("/hook")));
    sink.told().await;
    let wanted = expected(&play.entries);
    receiver.refuse(&format!("\"{}\"", wanted[0]));
    stage.write(&play.entries);
    receiver.until_seen(5).await;
    // By the clock no time has gone by: it may be a receiver that is being replaced.
    assert_eq!((sink.report().given_up, receiver.taken().len()), (0, 0));
    stage.clock_to(play.now() + SignedDuration::from_mins(2));
    sink.until(|report| report.given_up == 1).await;
    let taken = receiver.until_taken(wanted.len() - 1).await;
    assert_eq!(ids(&taken), wanted[1..]);
    sink.told().await;
    assert_eq!(sink.report().given_up, 1);
    sink.stop().await;
}

#[tokio::test]
async fn a_receiver_that_refuses_everything_loses_nothing() {
    let play = story();
    let mut stage = Stage::new();
    stage.write(&play.entries[..1]);
    let (hook, pushed) = (Receiver::start(&[]).await, Receiver::start(&[]).await);
    let first = stage.begin(webhook(hook.url("/hook")));
    let second = stage.begin(alertmanager(pushed.url("/")));
    first.told().await;
    second.told().await;
    // As a gateway does that has lost what is behind it.
    for receiver in [&hook, &pushed] {
        receiver.refuse("");
    }
    stage.write(&play.entries);
    hook.until_seen(5).await;
    pushed.until_seen(5).await;
    stage.clock_to(play.now() + SignedDuration::from_mins(3));
    // The first one is set aside, those behind it are refused too, and it begins anew.
    let wanted = expected(&play.entries);
    let times = |id: &str| {
        let of = |request: &&Request| request.json()["id"] == id;
        hook.seen().iter().filter(of).count()
    };
    hook.until_seen(5 + 9 + 1).await;
    assert!(times(&wanted[1]) > 0 && times(&wanted[0]) > 5);
    assert_eq!((first.report().given_up, second.report().given_up), (0, 0));
    hook.forgive();
    pushed.forgive();
    // One behind the first may have been on its way just then.
    let taken: BTreeSet<_> = ids(&hook.until_taken(wanted.len()).await).into_iter().collect();
    assert_eq!(taken, wanted.into_iter().collect());
    pushed.until_taken(1).await;
    for sink in [first, second] {
        sink.told().await;
        assert_eq!(sink.report().given_up, 0);
        sink.stop().await;
    }
}

#[tokio::test]
async fn what_is_refused_alone_takes_no_other_with_it() {
    let mut play = Play::of(&["orders", "stock"]);
    play.see(Scene::Healthy, 10);
    let first = play.entries.len();
    play.see(Scene::Lost, 65);
    let mut stage = Stage::new();
    stage.write(&play.entries[..first]);
    let receiver = Receiver::start(&[]).await;
    let sink = stage.begin(alertmanager(receiver.url("/am")));
    sink.told().await;
    receiver.refuse("orders");
    stage.write(&play.entries);
    receiver.until_seen(5).await;
    assert_eq!(sink.report().given_up, 0);
    stage.clock_to(play.now() + SignedDuration::from_mins(2));
    sink.until(|report| report.given_up > 0).await;
    let known = known(&receiver.until_taken(1).await);
    assert!(known.keys().all(|name| name.starts_with("stock")) && known.len() == 2, "{known:?}");
    sink.stop().await;
}
