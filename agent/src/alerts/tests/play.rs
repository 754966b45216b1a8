//! A link, those who look after it and what happens to it. The core decides all the rest.

use agent_core::{
    Again, Approver, ApproverId, Ballot, DatabaseReading, DatabaseState, Decision, Entry, Estate,
    FailureDomain, Input, InstanceId, LinkId, LinkSpec, Observation, PartnerReading, PlanKind,
    Planned, Policy, Report, Role, Roster, Seen, SideReading, Silence, SilenceKind, StormBrake,
    SyncHealth, SyncState, Vantage,
};
use ed25519_dalek::SigningKey;
use jiff::{SignedDuration, Timestamp};

pub(super) fn start() -> Timestamp {
    "2026-01-02T03:00:00Z".parse().expect("a time")
}

/// What there is to see of a link.
#[derive(Clone, Copy)]
pub(super) enum Scene {
    /// SQL Server serves, the managed instance follows.
    Healthy,
    /// SQL Server is silent, and the managed instance does not hear it either.
    Lost,
    /// The managed instance serves, SQL Server is silent.
    Promoted,
    /// The managed instance serves, and SQL Server is back and does so too.
    Both,
    /// The managed instance is in no link any more and takes writes, and SQL Server does too.
    Parted,
}

/// The estate on a stage: one look at every link each second.
pub(super) struct Play {
    estate: Estate,
    pub(super) entries: Vec<Entry>,
    pub(super) second: i64,
    links: Vec<LinkId>,
}

impl Play {
    pub(super) fn new() -> Self {
        Self::of(&["orders"])
    }

    pub(super) fn of(names: &[&str]) -> Self {
        let specs = names.iter().map(|name| spec(name)).collect();
        let estate = Estate::new(specs, roster(), StormBrake::default());
        let mut play = Self { estate, entries: Vec::new(), second: 0, links: Vec::new() };
        play.links = names.iter().map(|name| link(name)).collect();
        play.restart();
        play
    }

    pub(super) fn now(&self) -> Timestamp {
        start() + SignedDuration::from_secs(self.second)
    }

    /// The agent begins.
    pub(super) fn restart(&mut self) {
        let start = Input::Start { version: "1.2.3".into(), config_digest: "sha256:0".into() };
        self.input(start);
    }

    /// Looks each second, for so many.
    pub(super) fn see(&mut self, scene: Scene, seconds: i64) {
        for _ in 0..seconds {
            self.second += 1;
            for link in self.links.clone() {
                self.look(&link, scene);
            }
            self.settle();
        }
    }

    pub(super) fn input(&mut self, input: Input) {
        let now = self.now();
        let (subject, event) = self.estate.admit(now, input).expect("taken");
        let entry = self.estate.entry(now, subject, None, event);
        self.apply(entry);
        self.settle();
    }

    pub(super) fn propose(&mut self, kind: PlanKind) {
        let (link, by) = (self.links[0].clone(), "carol".to_owned());
        self.input(Input::Propose { link, kind, by, winner: None });
    }

    pub(super) fn approve(&mut self, name: &str) {
        let run = self.estate.record(&self.links[0]).and_then(|record| record.run.as_ref());
        let proposal = &run.expect("a proposal").proposal;
        let decision = Decision::Approve {
            break_glass: false,
            forecast_unknown: proposal.terms.bounds.loss_most_ms.is_none(),
            attestation: proposal.terms.attestation_required.then(|| "power is off".to_owned()),
        };
        let ballot = Ballot::sign(proposal, approver(name), decision, self.now(), &key(name));
        self.input(Input::Cast { ballot });
    }

    pub(super) fn reject(&mut self, name: &str, reason: &str) {
        let run = self.estate.record(&self.links[0]).and_then(|record| record.run.as_ref());
        let proposal = &run.expect("a proposal").proposal;
        let decision = Decision::Reject { reason: reason.to_owned() };
        let ballot = Ballot::sign(proposal, approver(name), decision, self.now(), &key(name));
        self.input(Input::Cast { ballot });
    }

    pub(super) fn acknowledge(&mut self) {
        let (link, by) = (self.links[0].clone(), "dave".to_owned());
        self.input(Input::Acknowledge { link, by, note: "looked at both sides".to_owned() });
    }

    /// The executor's reports on the step that is under way.
    pub(super) fn report(&mut self, reports: &[Report]) {
        for report in reports {
            let work = self.estate.work();
            let work = work.first().expect("a step is under way");
            // A step that only looks asks for no permission.
            if work.route.is_some() || *report != Report::Sending {
                self.input(Input::Report { step: work.step, report: report.clone() });
            }
        }
    }

    fn apply(&mut self, entry: Entry) {
        self.estate.apply(&entry).expect("it follows");
        self.entries.push(entry);
    }

    fn settle(&mut self) {
        let now = self.now();
        while let Some((rule, subject, event)) = self.estate.next(now) {
            let entry = self.estate.entry(now, subject, Some(rule), event);
            self.apply(entry);
        }
    }

    fn look(&mut self, link: &LinkId, scene: Scene) {
        let (now, gone) = (self.now(), start());
        let (sql, mi) = match scene {
            Scene::Healthy => (Some(Role::Primary), reading(Role::Secondary, true, now)),
            Scene::Lost => (None, reading(Role::Secondary, false, gone)),
            Scene::Promoted => (None, reading(Role::Primary, false, now)),
            Scene::Both => (Some(Role::Primary), reading(Role::Primary, false, now)),
            Scene::Parted => {
                let role = Role::Absent;
                (Some(Role::Primary), SideReading { role, ..reading(Role::Primary, false, now) })
            }
        };
        let sql = match sql {
            Some(role) => Seen::Side(reading(role, matches!(scene, Scene::Healthy), now)),
            None => Seen::Silence(Silence { kind: SilenceKind::Refused, detail: "refused".into() }),
        };
        for (vantage, seen) in
            [(Vantage::ManagedInstance, Seen::Side(mi)), (Vantage::SqlServer, sql)]
        {
            let link = link.clone();
            let look = Observation { link, vantage, begun_at: now, at: now, late: false, seen };
            self.estate.observe(now, look);
        }
    }
}

pub(super) fn done() -> [Report; 2] {
    [Report::Sending, Report::Done { seen: "PRIMARY".to_owned(), engine_ms: 4200, warning: None }]
}

pub(super) fn not_done() -> [Report; 2] {
    let why = "error 40613: not available".to_owned();
    [Report::Sending, Report::NotDone { why, again: Again::SameRoute }]
}

pub(super) fn link(name: &str) -> LinkId {
    LinkId::new(name).expect("a name")
}

fn spec(name: &str) -> LinkSpec {
    let domain = |name| FailureDomain::new(name).expect("a name");
    let instance = |side: &str| InstanceId::new(&format!("{side}-{name}")).expect("a name");
    LinkSpec {
        id: link(name),
        sql_server: instance("sql"),
        managed_instance: instance("mi"),
        group: name.into(),
        database: name.into(),
        arm_path: None,
        agent_domain: domain("site"),
        managed_instance_domain: domain("azure"),
        agent_azure_domain: domain("internet"),
        policy: Policy::default(),
        planned: Planned::default(),
        repair: agent_core::Repair::default(),
        guard: agent_core::StandingOrder::default(),
        cutover: agent_core::Cutover::default(),
    }
}

fn roster() -> Roster {
    let approvers = ["alice", "bob"]
        .map(|name| Approver { id: approver(name), key: key(name).verifying_key() });
    Roster { approvers: approvers.into(), planned_quorum: 1, forced_quorum: 2, break_glass: None }
}

fn approver(name: &str) -> ApproverId {
    ApproverId::new(name).expect("a name")
}

fn key(name: &str) -> SigningKey {
    let mut seed = [7; 32];
    seed[0] = name.as_bytes()[0];
    SigningKey::from_bytes(&seed)
}

/// Of a side in a role; the managed instance's newest commit is of `commit`.
fn reading(role: Role, connected: bool, commit: Timestamp) -> SideReading {
    let primary = role == Role::Primary;
    let partner = PartnerReading {
        connected: Some(connected),
        sync_health: Some(SyncHealth::Healthy),
        last_hardened_lsn: None,
        last_commit_at: Some(commit),
        log_send_queue_kb: Some(12),
        redo_queue_kb: Some(3),
        lag_s: Some(2),
        suspended: Some(false),
    };
    let database = DatabaseReading {
        state: if primary { DatabaseState::Online } else { DatabaseState::Restoring },
        read_write: primary,
        suspended: false,
        suspend_reason: None,
        synchronization: Some(SyncState::Synchronizing),
        last_hardened_lsn: None,
        last_commit_lsn: None,
        end_of_log_lsn: None,
        last_commit_at: Some(commit),
        redo_queue_kb: Some(0),
        redo_rate_kb_per_s: Some(1000),
    };
    SideReading {
        product_version: "16.0.4175.1".into(),
        edition: "Enterprise Edition (64-bit)".into(),
        engine_edition: 3,
        server_time: commit,
        role,
        connected: Some(connected),
        sync_health: connected.then_some(SyncHealth::Healthy),
        database: Some(database),
        partner: primary.then_some(partner),
        replicas: Vec::new(),
        members: None,
    }
}
