//! A link, those who look after it, and what happens to it: enough to drive a turn.

use std::time::Duration;

use agent_core::{
    Approver, ApproverId, Ballot, DatabaseReading, DatabaseState, Decision, Estate, FailureDomain,
    Input, InstanceId, LinkId, LinkSpec, Observation, PlanKind, Planned, Policy, Report, Role,
    Roster, Seen, SideReading, Silence, SilenceKind, StepRef, StormBrake, SyncHealth, SyncState,
    Vantage,
};
use dr_agent::recorder::Settings;
use ed25519_dalek::SigningKey;
use jiff::{SignedDuration, Timestamp};

pub(crate) const START: &str = "2026-01-02T03:00:00Z";
const APPROVERS: [&str; 2] = ["alice", "bob"];

pub(crate) fn at(second: i64) -> Timestamp {
    let start: Timestamp = START.parse().expect("a timestamp");
    start + SignedDuration::from_secs(second)
}

pub(crate) fn link(name: &str) -> LinkId {
    LinkId::new(name).expect("a name")
}

fn spec(name: &str) -> LinkSpec {
    let instance = |side: &str| InstanceId::new(&format!("{side}-{name}")).expect("a name");
    let domain = |name: &str| FailureDomain::new(name).expect("a name");
    LinkSpec {
        id: link(name),
        sql_server: instance("sql"),
        managed_instance: instance("mi"),
        group: name.to_owned(),
        database: name.to_owned(),
        arm_path: None,
        agent_domain: domain("office"),
        managed_instance_domain: domain("azure"),
        agent_azure_domain: domain("internet"),
        policy: Policy {
            misses: 2,
            propose_after: Duration::from_secs(10),
            stale_after: Duration::from_secs(3600),
            retry_after: Duration::from_secs(5),
            ..Policy::default()
        },
        planned: Planned::default(),
        repair: agent_core::Repair::default(),
        guard: agent_core::StandingOrder::default(),
        cutover: agent_core::Cutover::default(),
    }
}

/// An estate of these links, as its configuration makes it.
pub(crate) fn estate(names: &[&str]) -> Estate {
    settings(names).estate()
}

/// What the configuration says of these links.
pub(crate) fn settings(names: &[&str]) -> Settings {
    let approvers = APPROVERS
        .iter()
        .map(|name| Approver {
            id: ApproverId::new(name).expect("a name"),
            key: key(name).verifying_key(),
        })
        .collect();
    let roster = Roster { approvers, planned_quorum: 1, forced_quorum: 2, break_glass: None };
    let links = names.iter().map(|name| spec(name)).collect();
    Settings { links, roster, brake: StormBrake::default() }
}

fn key(name: &str) -> SigningKey {
    let mut seed = [7; 32];
    seed[0] = name.as_bytes()[0];
    SigningKey::from_bytes(&seed)
}

/// SQL Server serves, the managed instance follows.
pub(crate) fn healthy(name: &str, second: i64) -> Vec<Observation> {
    let sql = reading(Role::Primary, true, second);
    let mi = reading(Role::Secondary, true, second);
    vec![
        look(name, Vantage::SqlServer, second, Seen::Side(sql)),
        look(name, Vantage::ManagedInstance, second, Seen::Side(mi)),
    ]
}

/// Nobody hears SQL Server any more.
pub(crate) fn lost(name: &str, second: i64) -> Vec<Observation> {
    let silence = Silence { kind: SilenceKind::Refused, detail: "refused".to_owned() };
    let mi = reading(Role::Secondary, false, second);
    vec![
        look(name, Vantage::SqlServer, second, Seen::Silence(silence)),
        look(name, Vantage::ManagedInstance, second, Seen::Side(mi)),
    ]
}

/// Nobody answers any more.
pub(crate) fn silent(name: &str, second: i64) -> Vec<Observation> {
    let silence = || Silence { kind: SilenceKind::TimedOut, detail: "timed out".to_owned() };
    [Vantage::SqlServer, Vantage::ManagedInstance]
        .map(|vantage| look(name, vantage, second, Seen::Silence(silence())))
        .to_vec()
}

/// Both answer and neither is primary: SQL Server's own group is electing one.
pub(crate) fn resolving(name: &str, second: i64) -> Vec<Observation> {
    without_primary(name, false, second)
}

/// No replica of SQL Server says that it is primary; the managed instance hears one, or does not.
pub(crate) fn without_primary(name: &str, heard: bool, second: i64) -> Vec<Observation> {
    let sql = reading(Role::Resolving, false, second);
    let mi = reading(Role::Secondary, heard, second);
    vec![
        look(name, Vantage::SqlServer, second, Seen::Side(sql)),
        look(name, Vantage::ManagedInstance, second, Seen::Side(mi)),
    ]
}

/// The managed instance serves, SQL Server is still gone.
fn promoted(name: &str, second: i64) -> Vec<Observation> {
    let mi = reading(Role::Primary, false, second);
    vec![look(name, Vantage::ManagedInstance, second, Seen::Side(mi))]
}

fn look(name: &str, vantage: Vantage, second: i64, seen: Seen) -> Observation {
    let at = at(second);
    Observation { link: link(name), vantage, begun_at: at, at, late: false, seen }
}

fn reading(role: Role, connected: bool, second: i64) -> SideReading {
    let database = DatabaseReading {
        state: if role == Role::Primary { DatabaseState::Online } else { DatabaseState::Restoring },
        read_write: role == Role::Primary,
        suspended: false,
        suspend_reason: None,
        synchronization: Some(SyncState::Synchronizing),
        last_hardened_lsn: None,
        last_commit_lsn: None,
        last_commit_at: Some(at(second)),
        redo_queue_kb: Some(0),
        redo_rate_kb_per_s: Some(1000),
        end_of_log_lsn: None,
    };
    SideReading {
        product_version: "16.0.4175.1".to_owned(),
        edition: "Enterprise Edition".to_owned(),
        engine_edition: 3,
        server_time: at(second),
        role,
        connected: Some(connected),
        sync_health: connected.then_some(SyncHealth::Healthy),
        database: Some(database),
        partner: None,
        replicas: Vec::new(),
        members: None,
    }
}

/// An approval of the proposal that is open.
pub(crate) fn approval(estate: &Estate, name: &str, approver: &str, second: i64) -> Input {
    let record = estate.record(&link(name)).expect("the link is known");
    let run = record.run.as_ref().expect("a proposal is there");
    let decision = Decision::Approve {
        break_glass: false,
        forecast_unknown: run.proposal.terms.bounds.loss_most_ms.is_none(),
        attestation: Some("the power is off".to_owned()),
    };
    let id = ApproverId::new(approver).expect("a name");
    Input::Cast { ballot: Ballot::sign(&run.proposal, id, decision, at(second), &key(approver)) }
}

pub(crate) fn propose(name: &str) -> Input {
    Input::Propose {
        link: link(name),
        kind: PlanKind::ForcedFailover,
        by: "carol".to_owned(),
        winner: None,
    }
}

pub(crate) fn start() -> Input {
    Input::Start { version: "0.1.0".to_owned(), config_digest: "sha256:00".to_owned() }
}

pub(crate) fn report(step: StepRef, report: Report) -> Input {
    Input::Report { step, report }
}

/// What happens in one turn. Inputs are made from the estate as it is then, the way approvers and
/// the executor read it.
pub(crate) struct Scene {
    pub(crate) second: i64,
    pub(crate) seen: Vec<Observation>,
    pub(crate) inputs: fn(&Estate, i64) -> Vec<Input>,
}

/// A primary is lost, a proposal opens, two approvers sign, the steps are carried out.
pub(crate) fn failover() -> Vec<Scene> {
    let scene = |second, seen, inputs| Scene { second, seen, inputs };
    let nothing: fn(&Estate, i64) -> Vec<Input> = |_, _| Vec::new();
    let mut scenes = vec![
        scene(0, Vec::new(), |_, _| vec![start()]),
        scene(1, healthy("orders", 1), nothing),
        scene(2, lost("orders", 2), nothing),
        scene(4, lost("orders", 4), nothing),
        scene(20, lost("orders", 20), nothing),
        scene(21, Vec::new(), |estate, s| vec![approval(estate, "orders", "alice", s)]),
        scene(22, lost("orders", 22), |estate, s| vec![approval(estate, "orders", "bob", s)]),
    ];
    // Refused without effect once, then done; every further step only has to be confirmed.
    scenes.push(scene(23, Vec::new(), |estate, _| under_way(estate, &[Report::Sending])));
    scenes.push(scene(24, Vec::new(), |estate, _| {
        let again = agent_core::Again::SameRoute;
        under_way(estate, &[Report::NotDone { why: "40613".to_owned(), again }])
    }));
    for second in 30..36 {
        let seen = if second < 33 { Vec::new() } else { promoted("orders", second) };
        scenes.push(scene(second, seen, |estate, _| {
            let done = Report::Done { seen: "PRIMARY".to_owned(), engine_ms: 1200, warning: None };
            under_way(estate, &[Report::Sending, done])
        }));
    }
    scenes
}

/// The executor's reports on the step that is under way, if there is one.
fn under_way(estate: &Estate, reports: &[Report]) -> Vec<Input> {
    let work = estate.work();
    let step = work.first().map(|work| work.step);
    step.into_iter()
        .flat_map(|step| reports.iter().map(move |told| report(step, told.clone())))
        .collect()
}
