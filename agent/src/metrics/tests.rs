//! What is exported against what the alerting rules ask for.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use agent_core::{
    Approver, ApproverId, DatabaseReading, DatabaseState, Estate, Event, FailureDomain, InstanceId,
    LinkId, LinkSpec, Observation, PartnerReading, Planned, Policy, ReplicaReading, Role, Roster,
    Seen, SideReading, Silence, SilenceKind, StepRef, StormBrake, Subject, SyncHealth, SyncState,
    Vantage,
};
use ed25519_dalek::SigningKey;
use jiff::{SignedDuration, Timestamp};

use super::{Bus, Metrics, Sink, View};
use crate::{
    clock::Clock,
    schedule::{self, Cron, Job},
};

/// What Prometheus itself adds to a target.
const OF_PROMETHEUS: [&str; 1] = ["up"];

#[test]
fn every_metric_of_a_rule_is_exported_with_its_labels() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus/dr-agent.rules.yml");
    let rules = fs::read_to_string(path).expect("the rules are there");
    let samples = everything();
    let names: BTreeSet<&str> =
        samples.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let used = selectors(&rules);
    assert!(used.len() > 20, "the rules are understood: {used:?}");
    for (name, matchers) in used {
        if OF_PROMETHEUS.contains(&name) {
            continue;
        }
        assert!(names.contains(name), "{name} is in a rule and is not exported:\n{samples}");
        for (label, values) in matchers {
            let of_this = |line: &&str| line.starts_with(&format!("{name}{{"));
            let has = |value: &str| {
                let label = format!("{label}=\"{value}\"");
                samples.lines().filter(of_this).any(|line| line.contains(&label))
            };
            assert!(values.split('|').all(has), "{name} never has {label} as one of {values}");
        }
    }
}

#[test]
fn each_replica_has_its_role_and_no_more() {
    let mut estate = estate();
    let primary = SideReading { replicas: replicas(), ..reading(Role::Primary, true, 1) };
    estate.observe(at(1), look(1, Vantage::SqlServer, Seen::Side(primary)));
    let metrics = Metrics::new("1", 0).expect("metrics");
    let text = metrics.render(Some(&View::take(&estate, at(1))), None, &[]).expect("a text");
    let mut samples: Vec<&str> =
        text.lines().filter(|line| line.starts_with("dr_agent_replica_role{")).collect();
    assert_eq!(samples.len(), 8, "{samples:#?}");
    samples.retain(|line| line.ends_with(" 1"));
    assert_eq!(
        samples,
        [
            r#"dr_agent_replica_role{link="orders",replica="sql-1b",role="primary",side="sql_server"} 1"#
        ]
    );
}

/// The metrics that expressions name, each with what its labels have to be. Those in templates of
/// annotations are named by variables and have no values to compare.
fn selectors(rules: &str) -> BTreeSet<(&str, Vec<(&str, &str)>)> {
    let mut found = BTreeSet::new();
    for (at, _) in rules.match_indices(|c: char| c.is_ascii_lowercase()) {
        let before = rules[..at].chars().next_back();
        if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &rules[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        // The word `up` is also one of English.
        let ours = name.starts_with("dr_agent_") || (name == "up" && after.starts_with('{'));
        if !ours {
            continue;
        }
        let inside = after.strip_prefix('{').and_then(|rest| rest.split('}').next());
        let matchers = inside.unwrap_or_default().split(',').filter_map(|matcher| {
            let (label, value) = matcher.split_once('=')?;
            let value = value.trim_start_matches('~').strip_prefix('"')?.strip_suffix('"')?;
            Some((label, value))
        });
        found.insert((name, matchers.collect()));
    }
    found
}

/// Scrapes of an agent in every state that rules are about: a primary was lost, a proposal is open.
fn everything() -> String {
    let mut estate = estate();
    let mut text = String::new();
    let folder = tempfile::tempdir().expect("a folder");
    let journal = folder.path().join("journal.db");
    fs::write(&journal, "").expect("written");
    let metrics = Metrics::new("1", 0).expect("metrics").on_machine(Clock::start(None), journal);
    let run: schedule::Run = Arc::new(|_| Box::pin(async { Ok(()) }));
    let job = Job {
        name: "runbook",
        when: Cron::parse("0 5 6 * * *").expect("a calendar"),
        last: None,
        limit: schedule::RUN,
        run,
        gauge: schedule::Gauge::default(),
    };
    metrics.calendar(&[job]).expect("metrics of the calendar");
    let metrics = Arc::new(metrics);
    let step = StepRef { proposal: 3, lane: 0, step: 8, attempt: 1, undo: false };
    let (seen, warning) = ("looked".into(), Some("nobody backs up the log".into()));
    let done = Event::StepDone { step, seen, engine_ms: 0, warning };
    let subject = Subject::Link(LinkId::new("orders").expect("a name"));
    metrics.count(&estate.entry(at(0), subject, None, done));
    let eye = metrics.eye("sql-1");
    for second in 0..120 {
        let lost = second > 10;
        let primary = match second {
            0..=10 => {
                let replicas = replicas();
                Seen::Side(SideReading { replicas, ..reading(Role::Primary, true, second) })
            }
            _ => silence(SilenceKind::Refused),
        };
        let secondary = Seen::Side(reading(Role::Secondary, !lost, second.min(9)));
        for (vantage, seen) in
            [(Vantage::SqlServer, primary), (Vantage::ManagedInstance, secondary)]
        {
            let seen = look(second, vantage, seen);
            eye.saw(&seen);
            estate.observe(at(second), seen);
        }
        for _ in 0..8 {
            let Some((rule, subject, event)) = estate.next(at(second)) else { break };
            let entry = estate.entry(at(second), subject, Some(rule), event);
            estate.apply(&entry).expect("legal");
            metrics.count(&entry);
        }
        if second == 10 {
            let view = View::take(&estate, at(second));
            text += &metrics.render(Some(&view), None, &[]).expect("a text");
        }
    }
    for kind in [
        SilenceKind::LoginFailed,
        SilenceKind::TlsFailed,
        SilenceKind::Garbled,
        SilenceKind::Denied,
        SilenceKind::Throttled,
    ] {
        eye.saw(&look(120, Vantage::SqlServer, silence(kind)));
    }
    metrics.machine.as_ref().expect("a machine").look_at_disk();
    let view = View::take(&estate, at(120));
    let sinks = [Sink { kind: "webhook".into(), name: "pager".into(), ..Sink::default() }];
    text + &metrics.render(Some(&view), Some(&Bus::default()), &sinks).expect("a text")
}

fn at(second: i64) -> Timestamp {
    let start: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a time");
    start + SignedDuration::from_secs(second)
}

fn link() -> LinkId {
    LinkId::new("orders").expect("a name")
}

fn estate() -> Estate {
    let domain = |name| FailureDomain::new(name).expect("a name");
    let spec = LinkSpec {
        id: link(),
        sql_server: InstanceId::new("sql-1").expect("a name"),
        managed_instance: InstanceId::new("mi-1").expect("a name"),
        group: "orders".into(),
        database: "orders".into(),
        arm_path: None,
        agent_domain: domain("site"),
        managed_instance_domain: domain("circuit"),
        agent_azure_domain: domain("internet"),
        policy: Policy::default(),
        planned: Planned::default(),
        repair: agent_core::Repair::default(),
        guard: agent_core::StandingOrder::default(),
        cutover: agent_core::Cutover::default(),
    };
    let id = ApproverId::new("ann").expect("a name");
    let approver = Approver { id, key: SigningKey::from_bytes(&[7; 32]).verifying_key() };
    let roster = Roster {
        approvers: vec![approver],
        planned_quorum: 1,
        forced_quorum: 1,
        break_glass: None,
    };
    Estate::new(vec![spec], roster, StormBrake::default())
}

fn look(second: i64, vantage: Vantage, seen: Seen) -> Observation {
    let at = at(second);
    Observation { link: link(), vantage, begun_at: at, at, late: false, seen }
}

fn silence(kind: SilenceKind) -> Seen {
    Seen::Silence(Silence { kind, detail: "as the test wants it".into() })
}

/// One that does not answer, and the primary one.
fn replicas() -> Vec<ReplicaReading> {
    vec![
        ReplicaReading { name: "sql-1a".into(), role: None, said: "connection refused".into() },
        ReplicaReading { name: "sql-1b".into(), role: Some(Role::Primary), said: "PRIMARY".into() },
    ]
}

fn reading(role: Role, connected: bool, commit: i64) -> SideReading {
    let primary = role == Role::Primary;
    SideReading {
        product_version: "16.0.4215.2".into(),
        edition: "Enterprise Edition".into(),
        engine_edition: if primary { 3 } else { 8 },
        server_time: at(commit + 1),
        role,
        connected: Some(connected),
        sync_health: Some(SyncHealth::Healthy),
        replicas: Vec::new(),
        members: None,
        database: Some(DatabaseReading {
            state: DatabaseState::Online,
            read_write: primary,
            suspended: false,
            suspend_reason: None,
            synchronization: Some(SyncState::Synchronizing),
            last_hardened_lsn: None,
            last_commit_lsn: None,
            end_of_log_lsn: None,
            last_commit_at: Some(at(commit)),
            redo_queue_kb: Some(0),
            redo_rate_kb_per_s: Some(1000),
        }),
        partner: primary.then_some(PartnerReading {
            connected: Some(true),
            sync_health: Some(SyncHealth::Healthy),
            last_hardened_lsn: None,
            last_commit_at: Some(at(commit)),
            log_send_queue_kb: Some(12),
            redo_queue_kb: Some(3),
            lag_s: Some(2),
            suspended: Some(false),
        }),
    }
}
