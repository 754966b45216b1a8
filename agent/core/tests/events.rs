//! The format of the journal is a promise: for every event there is a file that was once written,
//! and it has to be read for ever, and written again in the same bytes.
//!
//! `UPDATE_GOLDEN=1` writes the files anew; a change to a file that is there already is a change
//! of the format and needs an upcast.

use std::{collections::BTreeSet, fs, path::PathBuf};

use agent_core::{
    Again, ApproverId, Ballot, Decision, End, Entry, Event, FORMAT, Forecast, Happened, Health,
    Ignorance, InstanceId, LinkId, LinkState, Loss, Move, Observation, OpenProposal, Reason, Role,
    Runbook, Sample, Seen, Side, SideState, Silence, SilenceKind, StateReport, StepRef, Subject,
    Texts, Vantage, read, write,
};
use jiff::Timestamp;

#[test]
fn every_event_has_a_golden_file_that_reads_and_writes_the_same() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/events");
    let mut names = BTreeSet::new();
    let full = fuller().into_iter().map(|entry| (".full", entry));
    for (kind, entry) in entries().into_iter().map(|entry| ("", entry)).chain(full) {
        let name = entry.event.name();
        names.insert(name);
        let path = folder.join(format!("v{FORMAT}.{name}{kind}.json"));
        let text = write(&entry);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(&folder).expect("the folder can be made");
            fs::write(&path, format!("{text}\n")).expect("the file can be written");
        }
        let golden = fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; UPDATE_GOLDEN=1 makes it", path.display())
        });
        assert_eq!(golden.trim_end(), text, "{} is written differently", path.display());
        assert_eq!(read(golden.trim_end()).expect("it was written once"), entry);
    }
    // The file of an event that is gone must still be read, so there may be more of them.
    for file in fs::read_dir(&folder).expect("the folder is there") {
        let path = file.expect("it can be listed").path();
        let text = fs::read_to_string(&path).expect("it can be read");
        read(text.trim_end()).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    }
    assert_eq!(names.len(), 16, "an event has no example");
}

fn entries() -> Vec<Entry> {
    (1..)
        .zip(events())
        .map(|(seq, event)| Entry {
            v: FORMAT,
            seq,
            at: time(10),
            subject: match seq {
                1 => Subject::Agent,
                2 => Subject::Instance(InstanceId::new("sql01").expect("a name")),
                _ => Subject::Link(link()),
            },
            rule: (seq == 2).then(|| "health_changed".into()),
            event,
        })
        .collect()
}

fn events() -> Vec<Event> {
    let step = StepRef { proposal: 7, lane: 0, step: 1, attempt: 1, undo: false };
    Vec::from([
        Event::AgentStarted { version: "0.1.0".into(), config_digest: "sha256:00".into() },
        health_changed(),
        Event::ProposalOpened { texts: Texts { plan: "{}".into(), terms: "{}".into() } },
        ballot_received(),
        Event::ProposalApproved { proposal: 7, break_glass: false, execute_by: time(9) },
        Event::StepStarted { step, route: 0 },
        Event::StepSending { step },
        Event::StepNoted { step, operation: "https://localhost/op?s=1".into() },
        Event::StepDone { step, seen: "PRIMARY".into(), engine_ms: 4200, warning: None },
        Event::StepNotDone { step, why: "40613".into(), again: Again::SameRoute },
        Event::StepUnknown { step, why: "no answer".into() },
        Event::ProposalClosed { proposal: 7, end: End::Succeeded, why: "every step".into() },
        Event::EpisodeAcknowledged { by: "carol".into(), note: "seen".into() },
        Event::UndoStarted { proposal: 7, why: "step 3 can't be done".into() },
        Event::StateReported { report: state_report() },
        Event::RunbookIssued {
            runbook: Runbook {
                digest: "sha256:03".into(),
                bytes: 7,
                text: Some("# Title".into()),
                places: vec!["/var/lib/dr-agent/runbook/1.md".into()],
                missed: 1,
                link: None,
                failed: Vec::new(),
            },
        },
    ])
}

/// The same with what was added to it later.
fn fuller() -> Vec<Entry> {
    let mut report = state_report();
    report.placement = vec!["link orders: both are unstated".into()];
    report.links[0].sides = vec![
        SideState { side: Side::SqlServer, role: Some(Role::Primary), silence: None, at: time(9) },
        SideState {
            side: Side::ManagedInstance,
            role: None,
            silence: Some(SilenceKind::TimedOut),
            at: time(9),
        },
    ];
    report.links[0].reasons = vec!["SQL Server is primary".into()];
    let moved = Move { at: time(3), to: Side::SqlServer, proposal: Some(5) };
    report.links[0].last_failover = Some(moved);
    let mut runbook = Runbook::new(link(), "# Title".into());
    runbook.failed = vec!["/mnt/print: no space left on device".into()];
    let step = StepRef { proposal: 7, lane: 0, step: 7, attempt: 1, undo: false };
    let warning = Some("there is no full backup of Sales since the roles changed".into());
    let warned = Event::StepDone { step, seen: "no job".into(), engine_ms: 0, warning };
    [Event::StateReported { report }, Event::RunbookIssued { runbook }, warned]
        .into_iter()
        .map(|event| {
            let subject = Subject::Agent;
            Entry { v: FORMAT, seq: 17, at: time(10), subject, rule: None, event }
        })
        .collect()
}

fn state_report() -> StateReport {
    let link = LinkState {
        link: link(),
        configured: true,
        health: Health::Degraded,
        since: Some(time(4)),
        primary: Some(Side::SqlServer),
        lag_s: Some(3),
        log_send_queue_kb: Some(12),
        forecast: Some(Forecast {
            loss: Loss::Unknown { because: Ignorance::PrimaryMayBeAlive },
            recovery_least_ms: 3000,
            recovery_most_ms: None,
        }),
        proposal: Some(OpenProposal { proposal: 7, approved: false, signatures: 1, quorum: 2 }),
        silenced: false,
        unacknowledged: Some(5),
        blocked_by: vec!["the health is Degraded, not a lost primary".into()],
        sides: Vec::new(),
        reasons: Vec::new(),
        last_failover: None,
    };
    let happened =
        Happened { starts: 1, episodes: 2, proposals: 3, expired: 1, ..Happened::default() };
    StateReport {
        since: Some(time(1)),
        missed: 1,
        happened,
        links: vec![link],
        more_links: 0,
        placement: Vec::new(),
    }
}

fn health_changed() -> Event {
    let silence = Silence { kind: SilenceKind::Refused, detail: "connection refused".into() };
    let observation = Observation {
        link: link(),
        vantage: Vantage::SqlServer,
        begun_at: time(1),
        at: time(2),
        late: false,
        seen: Seen::Silence(silence),
    };
    Event::HealthChanged {
        from: Health::Healthy,
        to: Health::PrimaryDown,
        primary: Some(Side::SqlServer),
        reasons: vec![
            Reason::Silent { side: Side::SqlServer, looks: 3, since: time(1) },
            Reason::NotHeard { by: Vantage::ManagedInstance },
        ],
        evidence: vec![observation],
        sample: Some(Sample {
            last_commit_at: Some(time(0)),
            log_send_queue_kb: Some(12),
            clock_ahead_ms: -3,
            missed_by: Some(time(2)),
            gone_by: Some(time(4)),
            arrived_at: Some(time(0)),
        }),
    }
}

fn ballot_received() -> Event {
    Event::BallotReceived {
        ballot: Ballot {
            link: link(),
            proposal: 7,
            proposal_digest: "sha256:01".into(),
            plan_digest: "sha256:02".into(),
            approver: ApproverId::new("alice").expect("a name"),
            decision: Decision::Approve {
                break_glass: false,
                forecast_unknown: true,
                attestation: Some("power is off".into()),
            },
            signed_at: time(3),
            signature: "00".into(),
        },
    }
}

fn link() -> LinkId {
    LinkId::new("LinkSales").expect("a name")
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_582_000 + second).expect("in range")
}
