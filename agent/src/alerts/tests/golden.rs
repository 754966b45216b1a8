//! What is said of whole stories, word for word.

use std::{fmt::Write as _, time::Duration};

use agent_core::{PlanKind, Report};
use expect_test::{Expect, expect, expect_file};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    super::{
        alertmanager,
        story::{Change, Stories},
        webhook,
        words::text,
    },
    play::{Play, Scene, done, not_done, start},
};
use crate::config::Severity;

const PAGE_AFTER: Duration = Duration::from_secs(90);

/// Everything that is told of a play, until some seconds after its end.
fn changes(play: &Play, page_after: Duration, after: i64) -> Vec<Change> {
    let mut stories = Stories::new(page_after);
    let mut changes = Vec::new();
    for entry in &play.entries {
        while let Some(change) = stories.pass(entry.at) {
            changes.push(change);
        }
        changes.extend(stories.take(entry));
    }
    let end = play.now() + jiff::SignedDuration::from_secs(after);
    while let Some(change) = stories.pass(end) {
        changes.push(change);
    }
    changes
}

fn webhook() -> webhook::Make {
    webhook::Make {
        agent: "dr-agent".into(),
        external_url: Some("https://dr.example.com".into()),
        min_severity: Severity::Warning,
    }
}

fn alertmanager(min_severity: Severity) -> alertmanager::Make {
    alertmanager::Make {
        agent: "dr-agent".into(),
        external_url: Some("https://dr.example.com".into()),
        min_severity,
        repeat_every: Duration::from_secs(60),
    }
}

fn message(change: &Change) -> Value {
    serde_json::from_slice(&webhook().body(change)).expect("JSON")
}

fn alerts(change: &Change) -> Value {
    let make = alertmanager(Severity::Warning);
    serde_json::to_value(make.alerts(change, change.at)).expect("JSON")
}

/// Each message in a line, and behind it which alerts fire then.
fn told(changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        let message = message(change);
        let seconds = change.at.duration_since(start()).as_secs();
        let firing: Vec<String> = alerts(change)
            .as_array()
            .expect("a list")
            .iter()
            .map(|alert| {
                let ends: Timestamp =
                    alert["endsAt"].as_str().expect("a time").parse().expect("one");
                let over = if ends > change.at { "" } else { " over" };
                format!("{}{over}", alert["labels"]["severity"].as_str().expect("a word"))
            })
            .collect();
        let word = |name: &str| message[name].as_str().expect("a word").to_owned();
        writeln!(
            text,
            "{seconds:<4} s  {}-{} {} {} [{}]  {}",
            message["episode"],
            message["sequence"],
            word("status"),
            word("severity"),
            firing.join(", "),
            word("title"),
        )
        .expect("written");
    }
    text
}

fn check(play: &Play, after: i64, expected: &Expect) {
    expected.assert_eq(&told(&changes(play, PAGE_AFTER, after)));
}

/// An outage up to its proposal.
fn outage() -> Play {
    let mut play = Play::new();
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 65);
    play
}

#[test]
fn an_outage_to_its_good_end() {
    let mut play = outage();
    play.see(Scene::Lost, 60);
    play.approve("alice");
    play.see(Scene::Lost, 20);
    play.approve("bob");
    play.report(&done());
    play.see(Scene::Lost, 1);
    play.report(&not_done());
    play.see(Scene::Lost, 6);
    play.report(&not_done());
    play.see(Scene::Lost, 11);
    play.report(&done());
    play.see(Scene::Promoted, 2);
    play.report(&done());
    play.see(Scene::Promoted, 120);
    play.see(Scene::Both, 10);
    check(
        &play,
        3600,
        &expect![[r#"
            11   s  3-1 firing warning [warning]  orders: something is wrong, though a primary is there
            13   s  3-2 firing warning [warning]  orders: the primary (SQL Server) is down
            73   s  3-3 firing page [warning, page]  orders: proposal 5 waits for 2 approvals (forced failover to the managed instance)
            135  s  3-4 firing page [warning, page]  orders: alice approved proposal 5 (1 of 2)
            155  s  3-5 firing page [warning, page]  orders: bob approved proposal 5 (2 of 2)
            155  s  3-6 firing page [warning, page]  orders: proposal 5 is approved; it is being carried out
            155  s  3-7 firing page [warning, page]  orders: step 1 of 3 (mi-orders is ready to become primary of orders) is done
            156  s  3-8 firing page [warning, page]  orders: step 2 of 3 (mi-orders is PRIMARY of orders, ONLINE and READ_WRITE): the command leaves
            156  s  3-9 firing page [warning, page]  orders: step 2 of 3 (mi-orders is PRIMARY of orders, ONLINE and READ_WRITE) was without effect
            162  s  3-10 firing page [warning, page]  orders: step 2 of 3 (mi-orders is PRIMARY of orders, ONLINE and READ_WRITE): the command leaves
            173  s  3-11 firing page [warning, page]  orders: step 2 of 3 (mi-orders is PRIMARY of orders, ONLINE and READ_WRITE): the command leaves
            173  s  3-12 firing page [warning, page]  orders: step 2 of 3 (mi-orders is PRIMARY of orders, ONLINE and READ_WRITE) is done
            174  s  3-13 firing page [warning, page]  orders: something is wrong, though a primary is there
            175  s  3-14 firing page [warning, page]  orders: step 3 of 3 (mi-orders serves orders) is done
            175  s  3-15 firing page [warning, page]  orders: proposal 5 succeeded
            264  s  3-16 firing warning [warning, page over]  orders: nobody has to act any more
            296  s  3-17 firing page [warning, page]  orders: SPLIT BRAIN: both sides say that they are primary
            296  s  3-18 firing page [warning, page]  orders: the return guard begins: SQL Server is back as primary beside the managed instance
            296  s  3-19 firing page [warning, page]  orders: proposal 25 is approved; it is being carried out
        "#]],
    );
    // Not only at the end of the plan: every minute of waiting is a minute of outage.
    let changes = changes(&play, PAGE_AFTER, 0);
    let said = "Point the applications at the managed instance now.";
    let pointers: Vec<u64> = changes
        .iter()
        .filter(|change| text(change).contains(said))
        .map(|change| change.episode.sequence)
        .collect();
    assert_eq!(pointers, [14]);
}

#[test]
fn nobody_comes_and_it_opens_again() {
    let mut play = outage();
    play.see(Scene::Lost, 3600 + 310);
    play.approve("alice");
    play.see(Scene::Healthy, 70);
    check(
        &play,
        3600,
        &expect![[r#"
            11   s  3-1 firing warning [warning]  orders: something is wrong, though a primary is there
            13   s  3-2 firing warning [warning]  orders: the primary (SQL Server) is down
            73   s  3-3 firing page [warning, page]  orders: proposal 5 waits for 2 approvals (forced failover to the managed instance)
            3673 s  3-4 firing page [warning, page]  orders: proposal 5 expired
            3973 s  3-5 firing page [warning, page]  orders: proposal 7 waits for 2 approvals (forced failover to the managed instance)
            3985 s  3-6 firing page [warning, page]  orders: alice approved proposal 7 (1 of 2)
            3986 s  3-7 firing page [warning, page]  orders: the link is healthy
            4046 s  3-8 resolved warning [warning over, page over]  orders: proposal 7 withdrawn; the episode is over
        "#]],
    );
}

#[test]
fn a_human_says_no() {
    let mut play = outage();
    play.reject("bob", "the machine room says ten minutes");
    play.see(Scene::Lost, 600);
    play.see(Scene::Healthy, 5);
    check(
        &play,
        3600,
        &expect![[r#"
            11   s  3-1 firing warning [warning]  orders: something is wrong, though a primary is there
            13   s  3-2 firing warning [warning]  orders: the primary (SQL Server) is down
            73   s  3-3 firing page [warning, page]  orders: proposal 5 waits for 2 approvals (forced failover to the managed instance)
            75   s  3-4 firing page [warning, page]  orders: proposal 5 rejected
            676  s  3-5 resolved warning [warning over, page over]  orders: the link is healthy; the episode is over
        "#]],
    );
}

#[test]
fn nobody_can_tell_how_it_ended() {
    let mut play = outage();
    play.approve("alice");
    play.approve("bob");
    play.report(&done());
    play.report(&[Report::Sending, Report::Unknown { why: "no answer in 2 m".to_owned() }]);
    play.see(Scene::Lost, 700);
    play.see(Scene::Healthy, 100);
    play.acknowledge();
    check(
        &play,
        3600,
        &expect![[r#"
            11   s  3-1 firing warning [warning]  orders: something is wrong, though a primary is there
            13   s  3-2 firing warning [warning]  orders: the primary (SQL Server) is down
            73   s  3-3 firing page [warning, page]  orders: proposal 5 waits for 2 approvals (forced failover to the managed instance)
            75   s  3-4 firing page [warning, page]  orders: alice approved proposal 5 (1 of 2)
            75   s  3-5 firing page [warning, page]  orders: bob approved proposal 5 (2 of 2)
            75   s  3-6 firing page [warning, page]  orders: proposal 5 is approved; it is being carried out
            75   s  3-7 firing page [warning, page]  orders: step 1 of 3 (mi-orders is ready to become primary of orders) is done
            75   s  3-8 firing page [warning, page]  orders: step 2 of 3 (mi-orders is PRIMARY of orders, ONLINE and READ_WRITE): the command leaves
            75   s  3-9 firing page [warning, page]  orders: nobody can tell whether step 2 of 3 (mi-orders is PRIMARY of orders, ONLINE and READ_WRITE) took effect
            675  s  3-10 firing page [warning, page]  orders: proposal 5 stuck
            776  s  3-11 firing page [warning, page]  orders: the link is healthy
            875  s  3-12 resolved warning [warning over, page over]  orders: acknowledged by dave; the episode is over
        "#]],
    );
}

#[test]
fn a_blip_is_no_page() {
    let mut play = Play::new();
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 30);
    play.see(Scene::Healthy, 10);
    check(
        &play,
        3600,
        &expect![[r#"
            11   s  3-1 firing warning [warning]  orders: something is wrong, though a primary is there
            13   s  3-2 firing warning [warning]  orders: the primary (SQL Server) is down
            41   s  3-3 resolved warning [warning over]  orders: the link is healthy; the episode is over
        "#]],
    );
}

#[test]
fn what_is_planned_wakes_nobody() {
    let mut play = Play::new();
    play.see(Scene::Healthy, 10);
    play.propose(PlanKind::PlannedFailover);
    play.see(Scene::Healthy, 10);
    play.reject("alice", "not during the day");
    check(
        &play,
        3600,
        &expect![[r#"
        10   s  3-1 firing warning [warning]  orders: proposal 3 waits for 1 approval (planned failover to the managed instance)
        20   s  3-2 resolved warning [warning over]  orders: proposal 3 rejected; the episode is over
    "#]],
    );
}

#[test]
fn what_lasts_is_a_page_without_any_proposal() {
    let mut play = outage();
    play.reject("alice", "not tonight");
    play.see(Scene::Healthy, 5);
    // Told to page at once, the same is a page at once.
    expect![[r#"
        11   s  3-1 firing warning [warning]  orders: something is wrong, though a primary is there
        13   s  3-2 firing page [warning, page]  orders: the primary (SQL Server) is down
        73   s  3-3 firing page [warning, page]  orders: proposal 5 waits for 2 approvals (forced failover to the managed instance)
        75   s  3-4 firing page [warning, page]  orders: proposal 5 rejected
        76   s  3-5 resolved warning [warning over, page over]  orders: the link is healthy; the episode is over
    "#]].assert_eq(&told(&changes(&play, Duration::ZERO, 0)));
}

#[test]
fn two_links_are_two_stories() {
    let mut play = Play::of(&["orders", "stock"]);
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 65);
    play.reject("alice", "not tonight");
    play.see(Scene::Healthy, 70);
    check(
        &play,
        3600,
        &expect![[r#"
            11   s  4-1 firing warning [warning]  orders: something is wrong, though a primary is there
            11   s  5-1 firing warning [warning]  stock: something is wrong, though a primary is there
            13   s  4-2 firing warning [warning]  orders: the primary (SQL Server) is down
            13   s  5-2 firing warning [warning]  stock: the primary (SQL Server) is down
            73   s  4-3 firing page [warning, page]  orders: proposal 8 waits for 2 approvals (forced failover to the managed instance)
            73   s  5-3 firing page [warning, page]  stock: proposal 9 waits for 2 approvals (forced failover to the managed instance)
            75   s  4-4 firing page [warning, page]  orders: proposal 8 rejected
            76   s  4-5 resolved warning [warning over, page over]  orders: the link is healthy; the episode is over
            76   s  5-4 firing page [warning, page]  stock: the link is healthy
            136  s  5-5 resolved warning [warning over, page over]  stock: proposal 9 withdrawn; the episode is over
        "#]],
    );
}

#[test]
fn a_message_in_full() {
    let play = outage();
    let changes = changes(&play, PAGE_AFTER, 0);
    let opened = changes.last().expect("a change");
    for (shown, expected) in [
        (message(opened), expect_file!["webhook.json"]),
        (alerts(opened), expect_file!["alertmanager.json"]),
    ] {
        let shown = serde_json::to_string_pretty(&shown).expect("JSON");
        expected.assert_eq(&(without_digests(&shown) + "\n"));
    }
}

#[test]
fn a_receiver_of_pages_hears_of_nothing_else() {
    let mut play = outage();
    play.reject("bob", "no");
    play.see(Scene::Healthy, 5);
    play.see(Scene::Lost, 30);
    play.see(Scene::Healthy, 5);
    let all = changes(&play, PAGE_AFTER, 0);
    let mut make = webhook();
    make.min_severity = Severity::Page;
    let wanted: Vec<Change> = all.iter().filter(|change| make.wants(change)).cloned().collect();
    expect![[r#"
        73   s  3-3 firing page [warning, page]  orders: proposal 5 waits for 2 approvals (forced failover to the managed instance)
        75   s  3-4 firing page [warning, page]  orders: proposal 5 rejected
        76   s  3-5 resolved warning [warning over, page over]  orders: the link is healthy; the episode is over
    "#]].assert_eq(&told(&wanted));
    let make = alertmanager(Severity::Page);
    let severities: Vec<usize> =
        all.iter().map(|change| make.alerts(change, change.at).len()).collect();
    expect!["[0, 0, 1, 1, 1, 0, 0, 0]"].assert_eq(&format!("{severities:?}"));
}

fn without_digests(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("sha256:") {
        out.push_str(&rest[..at]);
        out.push_str("sha256:…");
        rest = rest[at + 7..].trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    out + rest
}

#[test]
fn two_databases_without_a_link_are_a_page() {
    let mut play = Play::new();
    play.see(Scene::Healthy, 10);
    play.see(Scene::Parted, 10);
    let told = changes(&play, PAGE_AFTER, 1);
    let page = text(told.last().expect("it is told"));
    let why =
        "A human has to act: both sides take writes, and no link is left to bring them together";
    assert!(page.contains(why), "{page}");
}
