//! Signing without a network, what people see, and how commands are written.

mod asking;
mod commands;
mod manual;
mod pages;
mod signing;

use std::time::Duration;

use agent_core::{
    Approver, ApproverId, BackupPlace, DatabaseReading, DatabaseState, Entry, Estate, Event,
    FailureDomain, Hook, Input, InstanceId, LinkId, LinkSpec, Observation, PartnerReading,
    PlanKind, Planned, Policy, Proposal, Role, Roster, Seen, SideReading, Silence, SilenceKind,
    StormBrake, SyncHealth, SyncState, Vantage,
};
use ed25519_dalek::SigningKey;
use jiff::{SignedDuration, Timestamp};

fn at(second: i64) -> Timestamp {
    let start: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a time");
    start.checked_add(SignedDuration::from_secs(second)).expect("a time")
}

fn key(of: u8) -> SigningKey {
    SigningKey::from_bytes(&[of; 32])
}

fn name(text: &str) -> ApproverId {
    ApproverId::new(text).expect("a name")
}

fn estate() -> Estate {
    estate_with(Planned::default())
}

fn estate_with(planned: Planned) -> Estate {
    let domain = |text| FailureDomain::new(text).expect("a name");
    let spec = LinkSpec {
        id: LinkId::new("orders").expect("a name"),
        sql_server: InstanceId::new("sql-1").expect("a name"),
        managed_instance: InstanceId::new("mi-1").expect("a name"),
        group: "orders".into(),
        database: "orders".into(),
        arm_path: Some("/subscriptions/s/links/orders".into()),
        agent_domain: domain("site"),
        managed_instance_domain: domain("circuit"),
        agent_azure_domain: domain("internet"),
        policy: Policy::default(),
        planned,
        repair: agent_core::Repair::default(),
        guard: agent_core::StandingOrder::default(),
        cutover: agent_core::Cutover::default(),
    };
    let approver = |text, of| Approver { id: name(text), key: key(of).verifying_key() };
    let roster = Roster {
        approvers: vec![approver("alice", 1), approver("bob", 2)],
        planned_quorum: 1,
        forced_quorum: 2,
        break_glass: None,
    };
    Estate::new(vec![spec], roster, StormBrake::default())
}

fn open(estate: &mut Estate, now: Timestamp, input: Input) -> Proposal {
    let (subject, event) = estate.admit(now, input).expect("admitted");
    let entry = estate.entry(now, subject, None, event);
    estate.apply(&entry).expect("legal");
    proposal_in(&entry).expect("a proposal")
}

fn proposal_in(entry: &Entry) -> Option<Proposal> {
    let Event::ProposalOpened { texts } = &entry.event else { return None };
    Some(Proposal::read(texts.clone()).expect("readable"))
}

/// Runs a command line as the binary does; the code that it ends with.
fn run(line: &[&str]) -> u8 {
    use clap::Parser as _;
    let words = ["dr-agent"].iter().chain(line);
    let code = super::Cli::try_parse_from(words).expect("a command").run();
    let known = (0..=u8::MAX).find(|known| code == std::process::ExitCode::from(*known));
    known.expect("a code")
}

/// The text without its digests, which change with every word of a proposal.
fn masked(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        assert_eq!(digits, 64, "a digest has 64 digits");
        out.push_str("sha256:DIGEST");
        out.push_str(&part[digits..]);
    }
    out
}

/// What a human asks of an agent that has seen nothing: forecast unknown, attestation required.
fn cold() -> Proposal {
    let (link, kind) = (LinkId::new("orders").expect("a name"), PlanKind::ForcedFailover);
    let input = Input::Propose { link, kind, by: "mallory\u{1b}[2J".into(), winner: None };
    open(&mut estate(), at(0), input)
}

/// What the agent proposes by itself when the primary is gone and the other side confirms it.
fn lost() -> Proposal {
    let mut estate = estate();
    for second in 0..120 {
        let gone = second > 10;
        let primary = if gone {
            let detail = "connection refused".into();
            Seen::Silence(Silence { kind: SilenceKind::Refused, detail })
        } else {
            Seen::Side(reading(Role::Primary, true, second))
        };
        let arrived = if gone { 9 } else { second - 1 };
        let target = reading(Role::Secondary, !gone, arrived);
        look(&mut estate, second, Vantage::SqlServer, primary);
        look(&mut estate, second, Vantage::ManagedInstance, Seen::Side(target));
        for _ in 0..8 {
            let Some((rule, subject, event)) = estate.next(at(second)) else { break };
            let entry = estate.entry(at(second), subject, Some(rule), event);
            estate.apply(&entry).expect("legal");
            if let Some(proposal) = proposal_in(&entry) {
                return proposal;
            }
        }
    }
    panic!("the agent proposes nothing");
}

/// What a human asks of an agent that sees both sides well, the managed instance as primary.
fn back() -> Proposal {
    let command = vec!["/usr/local/sbin/shop".to_owned(), "orders".to_owned()];
    let planned = Planned {
        applications: Some(Hook { command, sha256: "ab".repeat(32), within_ms: 60_000 }),
        backup: Some(BackupPlace { to: "/backup/".into(), within: Duration::from_secs(7_200) }),
        ..Planned::default()
    };
    let mut estate = estate_with(planned);
    for second in 0..10 {
        let partner = Some(PartnerReading {
            connected: Some(true),
            sync_health: Some(SyncHealth::Healthy),
            last_hardened_lsn: None,
            last_commit_at: Some(at(second)),
            log_send_queue_kb: Some(0),
            redo_queue_kb: Some(0),
            lag_s: Some(0),
            suspended: Some(false),
        });
        let primary = SideReading { partner, ..reading(Role::Primary, true, second) };
        look(&mut estate, second, Vantage::ManagedInstance, Seen::Side(primary));
        let secondary = Seen::Side(reading(Role::Secondary, true, second));
        look(&mut estate, second, Vantage::SqlServer, secondary);
        for _ in 0..8 {
            let Some((rule, subject, event)) = estate.next(at(second)) else { break };
            let entry = estate.entry(at(second), subject, Some(rule), event);
            estate.apply(&entry).expect("legal");
        }
    }
    let (link, kind) = (LinkId::new("orders").expect("a name"), PlanKind::PlannedFailover);
    open(&mut estate, at(10), Input::Propose { link, kind, by: "carol".into(), winner: None })
}

fn look(estate: &mut Estate, second: i64, vantage: Vantage, seen: Seen) {
    let link = LinkId::new("orders").expect("a name");
    let (begun_at, at) = (at(second), at(second));
    estate.observe(at, Observation { link, vantage, begun_at, at, late: false, seen });
}

fn reading(role: Role, connected: bool, commit: i64) -> SideReading {
    SideReading {
        product_version: "16.0.4215.2".into(),
        edition: "Enterprise Edition".into(),
        engine_edition: if role == Role::Primary { 3 } else { 8 },
        server_time: at(commit + 1),
        role,
        connected: Some(connected),
        sync_health: Some(SyncHealth::Healthy),
        database: Some(DatabaseReading {
            state: DatabaseState::Online,
            read_write: role == Role::Primary,
            suspended: false,
            suspend_reason: None,
            synchronization: Some(SyncState::Synchronizing),
            last_hardened_lsn: None,
            last_commit_lsn: None,
            last_commit_at: Some(at(commit)),
            redo_queue_kb: Some(0),
            redo_rate_kb_per_s: Some(1000),
            end_of_log_lsn: None,
        }),
        partner: None,
        replicas: Vec::new(),
        members: None,
    }
}

#[test]
fn the_proposals_of_these_tests_are_what_they_say() {
    assert!(cold().terms.attestation_required && cold().terms.bounds.loss_most_ms.is_none());
    assert!(!lost().terms.attestation_required && lost().terms.bounds.loss_most_ms.is_some());
    assert_eq!(lost().terms.execute_within_ms, Duration::from_secs(900).as_millis() as u64);
}
