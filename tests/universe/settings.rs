//! What a universe is made of, and what can be broken in it on purpose.

use agent_core::{
    BackupPlace, Cutover, FailureDomain, Hook, InstanceId, LinkId, LinkSpec, Planned, Policy,
    Repair, Roster, StandingOrder,
};
use jiff::SignedDuration;
use twin::world::WorldSpec;

use super::{ARM_PATH, DATABASE, Human, LINK, MANAGED_INSTANCE, SQL_SERVER, Universe, human};

/// What a universe is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    pub policy: Policy,
    pub planned: Planned,
    pub repair: Repair,
    pub guard: StandingOrder,
    pub cutover: Cutover,
    /// Whether people ask for repairs by themselves; else only who writes the script does.
    pub people_mend: bool,
    /// Commits per second of each application.
    pub rate: f64,
    pub agent_domain: String,
    pub managed_instance_domain: String,
    pub agent_azure_domain: String,
    pub quorum: usize,
    pub break_glass: Option<std::time::Duration>,
    pub look_every: SignedDuration,
    pub world: WorldSpec,
    /// Clocks of the two servers against the agent's, at the most either way.
    pub skew_ms: i64,
    /// Whether every life is run again at the end from what it was given.
    pub replay: bool,
    /// What is broken on purpose, to see that the invariants notice.
    pub sabotage: Option<Sabotage>,
}

/// Ways to break the house by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The disk loses an entry that it said it had.
    ForgetfulDisk,
    /// The hands let a command go without asking.
    NoPermission,
    /// The hands send each command twice.
    Twice,
    /// Whoever counts votes takes any signature.
    AnyVote,
    /// The looks at the primary never arrive, though it is there.
    BlindToPrimary,
    /// The look at the target claims that everything arrived until just now.
    OpenBounds,
    /// The links are said to have independent witnesses when they have one.
    Unattested,
    /// After a restart a command that was let go is let go again.
    Amnesia,
    /// The hands force a failover where the plan says that the primary hands over.
    ForceInstead,
    /// The hook says that the applications run again, and does nothing.
    LyingHook,
    /// Nobody asks what became of a command that was let go.
    Asleep,
    /// The look whether everybody has left takes the hook's word for it.
    TrustsTheHook,
    /// The same look does not wait until it has been quiet for a while.
    Impatient,
    /// The look whether the target has everything does not compare how far the logs go.
    AnyLsn,
    /// The loser's data counts as saved whatever is in the backup.
    AnySave,
    /// The link is deleted where the plan only has it commit synchronously.
    EarlyDeletion,
    /// What the return guard does reaches the side that it guards.
    WrongSide,
}

impl Default for Settings {
    fn default() -> Self {
        let s = std::time::Duration::from_secs;
        Self {
            policy: Policy {
                propose_after: s(10),
                withdraw_after: s(10),
                approve_within: s(120),
                execute_within: s(60),
                reopen_after: s(20),
                step_deadline: s(20),
                stuck_after: s(40),
                retry_after: s(2),
                stale_after: s(8),
                ..Policy::default()
            },
            planned: Planned {
                applications: Some(Hook {
                    command: vec!["/hooks/shop".into()],
                    sha256: "00".into(),
                    within_ms: 8_000,
                }),
                quiesce_within: s(30),
                quiet_for: s(2),
                catch_up_within: s(20),
                hand_over_within: s(20),
                backup: Some(BackupPlace { to: "/var/opt/mssql/".into(), within: s(20) }),
                ..Planned::default()
            },
            repair: Repair {
                save: Some(BackupPlace { to: "/var/opt/mssql/backup/".into(), within: s(20) }),
                save_azure: Some(BackupPlace { to: "https://store/backup/".into(), within: s(20) }),
            },
            guard: StandingOrder { on: true, logins: vec!["shop".into()] },
            cutover: Cutover { first_backup_within: s(400) },
            people_mend: true,
            rate: 4.0,
            agent_domain: "site-a".into(),
            managed_instance_domain: "azure".into(),
            agent_azure_domain: "internet".into(),
            quorum: 2,
            break_glass: None,
            look_every: SignedDuration::from_secs(1),
            world: WorldSpec::default(),
            skew_ms: 0,
            replay: true,
            sabotage: None,
        }
    }
}

impl Settings {
    /// SQL Server is of a version that can't change roles over a link, and things take long enough for
    /// a link to be deleted.
    pub fn grown_old(&mut self) {
        for instance in &mut self.world.instances {
            if instance.name == SQL_SERVER {
                instance.product_version = "15.0.4430.1".into();
            }
        }
        for link in &mut self.world.links {
            link.failover.first_backup_ms = 30_000;
        }
        let s = std::time::Duration::from_secs;
        (self.planned.hand_over_within, self.policy.stuck_after) = (s(90), s(60));
        (self.policy.execute_within, self.planned.catch_up_within) = (s(120), s(30));
    }

    /// The thresholds of a configuration that says nothing of them, and nobody has said what shares a
    /// way with what.
    pub fn as_shipped(&mut self) {
        self.policy = Policy::default();
        for domain in [
            &mut self.agent_domain,
            &mut self.managed_instance_domain,
            &mut self.agent_azure_domain,
        ] {
            "unstated".clone_into(domain);
        }
    }
}

impl Universe {
    pub fn link() -> LinkId {
        LinkId::new(LINK).expect("a name")
    }

    pub fn spec(settings: &Settings) -> LinkSpec {
        LinkSpec {
            id: Self::link(),
            sql_server: InstanceId::new(SQL_SERVER).expect("a name"),
            managed_instance: InstanceId::new(MANAGED_INSTANCE).expect("a name"),
            group: LINK.into(),
            database: DATABASE.into(),
            arm_path: Some(ARM_PATH.into()),
            agent_domain: FailureDomain::new(&settings.agent_domain).expect("a name"),
            managed_instance_domain: FailureDomain::new(&settings.managed_instance_domain)
                .expect("a name"),
            agent_azure_domain: FailureDomain::new(&settings.agent_azure_domain).expect("a name"),
            policy: settings.policy.clone(),
            planned: settings.planned.clone(),
            repair: settings.repair.clone(),
            guard: settings.guard.clone(),
            cutover: settings.cutover.clone(),
        }
    }

    pub fn roster(settings: &Settings) -> Roster {
        Roster {
            approvers: human::cast(settings).iter().map(Human::approver).collect(),
            planned_quorum: 1,
            forced_quorum: settings.quorum,
            break_glass: settings.break_glass.map(|wait| agent_core::BreakGlass { wait }),
        }
    }
}
