use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
};

use agent_core::{Observation, Seen, Silence, SilenceKind, Vantage};
use jiff::SignedDuration;
use reqwest::{Method, header};
use serde_json::json;

use super::{Agent, healthy};
use crate::metrics::{Bus, Metrics};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_says_what_is_known() {
    let agent = Agent::start().await;
    agent.look().await;
    let answer = agent.bare(Method::GET, "/metrics").send().await.expect("an answer");
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text().await.expect("text");
    let expected = [
        "dr_agent_build_info{version=\"1.2.3\"} 1",
        "dr_agent_turn_answers 1",
        "dr_agent_journal_last_seq 2",
        "dr_agent_entries_total{event=\"agent_started\"} 1",
        "dr_agent_entries_total{event=\"health_changed\"} 1",
        "dr_agent_rules_fired_total{rule=\"health_changed\"} 1",
        "dr_agent_rules_fired_total{rule=\"primary_lost\"} 0",
        "dr_agent_link_health{health=\"healthy\",link=\"orders\"} 1",
        "dr_agent_link_health{health=\"primary_down\",link=\"orders\"} 0",
        "dr_agent_link_primary{link=\"orders\",side=\"sql_server\"} 1",
        "dr_agent_link_role{link=\"orders\",role=\"secondary\",side=\"managed_instance\"} 1",
        "dr_agent_link_serving{link=\"orders\",side=\"sql_server\"} 1",
        "dr_agent_link_secondary_lag_seconds{link=\"orders\"} 2",
        "dr_agent_link_log_send_queue_bytes{link=\"orders\"} 12288",
        "dr_agent_link_redo_queue_bytes{link=\"orders\",side=\"managed_instance\"} 5120",
        "dr_agent_forecast_unknown{link=\"orders\"} 1",
        "dr_agent_proposal_open{link=\"orders\"} 0",
        "dr_agent_run_stuck{link=\"orders\"} 0",
        "dr_agent_journal_readable 1",
    ];
    for line in expected {
        assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
    }
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    let value = |name: &str| sample(&text, name);
    assert!(value("dr_agent_started_timestamp_seconds") > 1.0e9);
    assert!(value("dr_agent_clock_offset_seconds").abs() < 60.0);
    assert!(value("dr_agent_journal_size_bytes") > 1000.0);
    assert!(value("dr_agent_data_dir_free_bytes") > 1.0e6);
    check(&text);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_shows_with_its_clock() {
    let agent = Agent::start().await;
    let ask = json!({ "kind": "forced_failover", "by": "eve" });
    agent.post("/api/v1/links/orders/proposals", &ask).await;
    let text = agent.text("/metrics").await;
    let expected = [
        "dr_agent_proposal_open{link=\"orders\"} 1",
        "dr_agent_proposal_approved{link=\"orders\"} 0",
        "dr_agent_proposal_approvals{link=\"orders\"} 0",
        "dr_agent_proposal_approvals_needed{link=\"orders\"} 2",
        "dr_agent_run_steps_done{link=\"orders\"} 0",
    ];
    for line in expected {
        assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
    }
    assert!(sample(&text, "dr_agent_proposal_expires_timestamp_seconds{link=\"orders\"}") > 1.0e9);
    check(&text);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_of_a_side_is_compared_with_ours() {
    let agent = Agent::start().await;
    let now = agent.inbox.ask(|_, now| now).await.expect("the loop runs");
    let hour = SignedDuration::from_hours(1);
    for (vantage, ahead) in [(Vantage::SqlServer, hour), (Vantage::ManagedInstance, -hour)] {
        let mut seen = healthy(vantage, now);
        let Seen::Side(reading) = &mut seen.seen else { panic!("a reading") };
        seen.at = now + SignedDuration::from_secs(2);
        reading.server_time = now + SignedDuration::from_secs(1) + ahead;
        agent.inbox.see(seen);
    }
    let text = agent.text("/metrics").await;
    for (side, ahead) in [("sql_server", "3600"), ("managed_instance", "-3600")] {
        let line = format!(
            "dr_agent_side_clock_offset_seconds{{link=\"orders\",side=\"{side}\"}} {ahead}"
        );
        assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
    }
    agent.stop().await;
}

#[test]
fn looks_are_counted_by_what_was_seen() {
    let metrics = Arc::new(Metrics::new("1", 0).expect("metrics"));
    let eye = metrics.eye("sql");
    let at = "2026-01-02T03:04:05Z".parse().expect("a time");
    let answered = healthy(Vantage::SqlServer, at);
    let later = |ms| at + SignedDuration::from_millis(ms);
    // One look that answers for two links takes its time once.
    eye.saw(&Observation { at: later(30), ..answered.clone() });
    eye.saw(&Observation { at: later(30), ..answered.clone() });
    let silence = Silence { kind: SilenceKind::TimedOut, detail: "connect".into() };
    let seen = Seen::Silence(silence);
    eye.saw(&Observation { begun_at: later(1000), at: later(4000), seen, ..answered });
    let bus = Bus { connected: true, published: 7, lag_seconds: 1.5, ..Bus::default() };
    let text = metrics.render(None, Some(&bus), &[]).expect("a text");
    let looks = "dr_agent_probe_looks_total{link=\"orders\"";
    let duration = "dr_agent_probe_duration_seconds";
    let labels = "server=\"sql\",vantage=\"sql_server\"";
    let expected = [
        format!("{looks},result=\"answered\",vantage=\"sql_server\"}} 2"),
        format!("{looks},result=\"timed_out\",vantage=\"sql_server\"}} 1"),
        format!("{duration}_count{{{labels}}} 2"),
        format!("{duration}_sum{{{labels}}} 3.03"),
        format!("{duration}_bucket{{{labels},le=\"0.05\"}} 1"),
        "dr_agent_bus_connected 1".to_owned(),
        "dr_agent_bus_published_total 7".to_owned(),
        "dr_agent_bus_lag_seconds 1.5".to_owned(),
        "dr_agent_turn_answers 0".to_owned(),
    ];
    for line in expected {
        assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
    }
    check(&text);
}

/// The value of a sample that has this name and these labels.
fn sample(text: &str, name: &str) -> f64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}:\n{text}"))
}

/// The format's own rules, and where it is installed Prometheus' opinion.
fn check(text: &str) {
    let mut helped = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("name and help");
            assert!(helped.insert(name) && !help.is_empty(), "{line}");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().expect("a name");
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix).filter(|name| helped.contains(name)))
                .unwrap_or(name);
            assert!(helped.contains(family), "{line} has no help");
            let value = line.rsplit(' ').next().expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else { return };
    let mut input = promtool.stdin.take().expect("a pipe");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let output = promtool.wait_with_output().expect("it ends");
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    assert!(output.status.success() && words.trim().is_empty(), "{words}");
}
