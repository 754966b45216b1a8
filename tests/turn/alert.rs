//! Alerts ask, and are over, while a link is in trouble.

use std::time::Duration;

use agent_core::{End, Entry, Estate, Health, Input, Observation, PlanKind, Refusal, Status};

use crate::story::{approval, at, estate, healthy, link, lost, resolving, silent};

const LINK: &str = "orders";

/// An estate of one link and the entries that made it.
struct Life {
    estate: Estate,
    journal: Vec<Entry>,
}

impl Life {
    fn new() -> Self {
        let mut life = Self { estate: estate(&[LINK]), journal: Vec::new() };
        life.hand_in(0, start()).expect("it starts");
        for second in [0, 1] {
            life.see(second, healthy(LINK, second));
        }
        assert_eq!(life.health(), Health::Healthy);
        life
    }

    fn see(&mut self, second: i64, seen: Vec<Observation>) {
        for look in seen {
            self.estate.observe(at(second), look);
        }
        self.settle(second);
    }

    fn settle(&mut self, second: i64) {
        for _ in 0..20 {
            let Some((rule, subject, event)) = self.estate.next(at(second)) else { return };
            let entry = self.estate.entry(at(second), subject, Some(rule), event);
            self.append(entry);
        }
        panic!("the rules do not come to rest");
    }

    fn hand_in(&mut self, second: i64, input: Input) -> Result<(), Refusal> {
        let (subject, event) = self.estate.admit(at(second), input)?;
        let entry = self.estate.entry(at(second), subject, None, event);
        self.append(entry);
        self.settle(second);
        Ok(())
    }

    fn append(&mut self, entry: Entry) {
        self.estate.apply(&entry).expect("it follows");
        self.journal.push(entry);
    }

    /// The agent is killed, and started again: evidence is gone, the journal is not.
    fn restart(&mut self, second: i64) {
        self.estate = estate(&[LINK]);
        for entry in &self.journal {
            self.estate.apply(entry).expect("it follows");
        }
        self.hand_in(second, start()).expect("it starts");
    }

    fn health(&self) -> Health {
        self.estate.record(&link(LINK)).expect("the link").health
    }

    fn status(&self) -> Status {
        let run = self.estate.record(&link(LINK)).expect("the link").run.as_ref();
        run.expect("a proposal").status.clone()
    }

    fn signatures(&self) -> usize {
        let run = self.estate.record(&link(LINK)).expect("the link").run.as_ref();
        run.expect("a proposal").ballots.len()
    }

    /// The primary is lost, an alert has asked for a failover, and alice has signed it.
    fn signed() -> Self {
        let mut life = Self::new();
        for second in [10, 13, 16] {
            life.see(second, lost(LINK, second));
        }
        assert_eq!(life.health(), Health::PrimaryDown);
        life.hand_in(17, fires()).expect("the alert may ask");
        let vote = approval(&life.estate, LINK, "alice", 18);
        life.hand_in(18, vote).expect("a vote");
        life
    }
}

fn start() -> Input {
    Input::Start { version: "1".to_owned(), config_digest: "d".to_owned() }
}

/// By a rule that does not wait.
fn fires() -> Input {
    fires_after(Some(Duration::ZERO))
}

fn fires_after(lost_for: Option<Duration>) -> Input {
    Input::ProposeForAlert {
        link: link(LINK),
        kind: PlanKind::ForcedFailover,
        rule: "rule".to_owned(),
        alertname: "Down".to_owned(),
        fingerprint: "f1".to_owned(),
        lost_for,
    }
}

fn over() -> Input {
    Input::AlertResolved {
        link: link(LINK),
        alertname: "Down".to_owned(),
        fingerprint: "f1".to_owned(),
    }
}

#[test]
fn an_alert_that_is_over_because_the_agent_was_away_takes_no_signature_back() {
    let mut life = Life::signed();
    life.restart(60);
    let refused = life.hand_in(61, over()).expect_err("nobody sees a primary");
    assert!(matches!(refused, Refusal::StillLost { .. }), "{refused}");
    assert_eq!((life.status(), life.signatures()), (Status::Open, 1));
    let vote = approval(&life.estate, LINK, "bob", 62);
    life.hand_in(62, vote).expect("the other vote");
    assert!(matches!(life.status(), Status::Approved { .. }), "{:?}", life.status());
}

#[test]
fn an_alert_that_is_over_because_a_witness_fell_silent_takes_no_signature_back() {
    let mut life = Life::signed();
    for second in [20, 23, 26] {
        life.see(second, silent(LINK, second));
    }
    assert_eq!(life.health(), Health::Unknown);
    let refused = life.hand_in(27, over()).expect_err("nobody sees a primary");
    assert!(refused.to_string().contains("stays until a primary is seen"), "{refused}");
    assert_eq!((life.status(), life.signatures()), (Status::Open, 1));
}

#[test]
fn a_proposal_whose_alert_was_over_too_early_is_withdrawn_once_the_primary_serves() {
    let mut life = Life::signed();
    life.hand_in(19, over()).expect_err("nobody sees a primary");
    for second in (20..=200).step_by(5) {
        life.see(second, healthy(LINK, second));
    }
    assert_eq!(life.status(), Status::Closed(End::Withdrawn));
}

#[test]
fn an_alert_that_is_over_while_a_primary_is_seen_takes_its_proposal_back_at_once() {
    let mut life = Life::signed();
    life.see(20, healthy(LINK, 20));
    assert_eq!(life.status(), Status::Open);
    life.hand_in(20, over()).expect("it is taken back");
    assert_eq!(life.status(), Status::Closed(End::Withdrawn));
}

#[test]
fn an_alert_during_a_local_failover_has_to_wait_as_the_agent_does() {
    let mut life = Life::new();
    life.see(20, resolving(LINK, 20));
    life.see(21, resolving(LINK, 21));
    assert_eq!(life.health(), Health::NoPrimary);
    let refused = life.hand_in(22, fires_after(None)).expect_err("it is too early");
    assert!(matches!(refused, Refusal::NotLost { from: Some(_), .. }), "{refused}");
    assert!(refused.to_string().contains("may ask again from 2026-01-02T03:00:4"), "{refused}");
    life.see(40, resolving(LINK, 40));
    life.hand_in(40, fires_after(None)).expect("it has lasted");
}

#[test]
fn an_alert_in_a_blip_has_to_wait_as_the_agent_does_or_as_its_rule_says() {
    let mut life = Life::new();
    for second in [10, 13, 16] {
        life.see(second, lost(LINK, second));
    }
    assert_eq!(life.health(), Health::PrimaryDown);
    let refused = life.hand_in(17, fires_after(None)).expect_err("it is too early");
    assert!(matches!(refused, Refusal::NotLost { from: Some(_), .. }), "{refused}");
    let later = Some(Duration::from_secs(5));
    life.hand_in(17, fires_after(later)).expect_err("it is too early for the rule too");
    life.hand_in(22, fires_after(later)).expect("it has lasted");
}

#[test]
fn an_alert_asks_for_nothing_by_what_was_seen_in_a_life_before() {
    let mut life = Life::new();
    for second in [10, 13, 16] {
        life.see(second, lost(LINK, second));
    }
    life.restart(17);
    assert_eq!(life.health(), Health::PrimaryDown);
    let refused = life.hand_in(17, fires()).expect_err("nothing has been seen yet");
    assert!(matches!(refused, Refusal::NotLost { from: Some(_), .. }), "{refused}");
    for second in [18, 19, 20] {
        life.see(second, lost(LINK, second));
    }
    life.hand_in(20, fires()).expect("it is seen again");
}

#[test]
fn an_alert_asks_for_nothing_where_no_health_was_ever_seen() {
    let mut life = Life { estate: estate(&[LINK]), journal: Vec::new() };
    life.hand_in(0, start()).expect("it starts");
    let refused = life.hand_in(1, fires()).expect_err("nothing is known");
    assert!(matches!(refused, Refusal::NotLost { from: None, .. }), "{refused}");
}
