//! A SQL Server or a managed instance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::Serialize;

use super::{
    Backup, BackupKind, ClusterType, DoorSpec, Edition, Guid, InstanceSpec, Job, Lsn, Party,
    Platform, Principal, Restored, SeedingFacts, Session, Side, SqlError, Tier, UpdatePolicy,
    Volume,
    azure::{Resource, authority},
    groups::Groups,
    restore::Restoring,
    setup::Setup,
};
use crate::tables::Contents;

/// So many backups are remembered, beside those that no newer one replaces.
const BACKUPS_KEPT: usize = 20_000;

/// A SQL Server or a managed instance.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The name by which the world knows it.
    pub name: String,
    /// What it is.
    pub kind: InstanceKind,
    /// `@@SERVERNAME`.
    pub server_name: String,
    /// `SERVERPROPERTY('ProductVersion')`.
    pub product_version: String,
    /// `SERVERPROPERTY('Collation')`.
    pub collation: String,
    /// The zone of its DMV and msdb times.
    pub time_zone: TimeZone,
    /// What its server properties and ids are derived from.
    pub id: Guid,
    pub(super) party: Party,
    pub(super) power: Power,
    pub(super) refusing: bool,
    /// Stopped with its host, and nobody there to say so.
    pub(super) vanished: bool,
    pub(super) started: Timestamp,
    pub(super) recovered: Timestamp,
    pub(super) frozen_since: Option<Timestamp>,
    pub(super) restart: SignedDuration,
    /// What its disk needs for a commit, beyond next to nothing.
    pub(super) commit_delay: SignedDuration,
    /// How often it has moved to another node.
    pub(super) moves: u32,
    /// What was seeded from or to it.
    pub(super) seedings: Vec<SeedingFacts>,
    pub(super) sessions: BTreeMap<u16, Session>,
    /// Numbers of sessions that nobody gets.
    pub(super) reserved: BTreeSet<u16>,
    /// When all connections were closed last.
    pub(super) closed_at: Timestamp,
    pub(super) transactions: u64,
    pub(super) backups: Vec<Backup>,
    /// Beginnings of paths and addresses that backups can be written to.
    pub(super) backup_paths: Vec<String>,
    pub(super) disk_full: bool,
    /// Disks on which nothing grows.
    pub(super) full: BTreeSet<Volume>,
    pub(super) jobs: Vec<Job>,
    pub(super) agent_running: bool,
    pub(super) next_database_id: u32,
    pub(super) setup: Setup,
    /// `host:port` of its endpoint for mirroring, as others reach it.
    pub(super) endpoint: Option<String>,
    /// What its door does otherwise than usual, and at which port that is.
    pub(super) door: DoorSpec,
    pub(super) port: Option<u16>,
    pub(super) resource: Resource,
    /// Tables of databases that are in no link, by lower-case name.
    pub(super) contents: BTreeMap<String, Arc<Contents>>,
    /// Availability groups that are in no link.
    pub(super) groups: Groups,
    /// Logins that its door knows.
    pub(super) principals: Vec<Principal>,
    /// Where RESTORE has put data and log of a database, by its lower-case name.
    /// Databases that are being restored, by lower-case name.
    pub(super) restoring: BTreeMap<String, Restoring>,
    pub(super) restored: Vec<Restored>,
    pub(super) moved_files: BTreeMap<String, [Option<String>; 2]>,
}

/// What an instance is, with what only that kind has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceKind {
    /// SQL Server on a machine of one's own.
    SqlServer {
        /// Its edition.
        edition: Edition,
        /// What it runs on.
        platform: Platform,
    },
    /// Azure SQL Managed Instance.
    ManagedInstance {
        /// Its service tier.
        tier: Tier,
        /// Its `databaseFormat`.
        update_policy: UpdatePolicy,
    },
}

impl InstanceKind {
    pub(super) fn is_business_critical(self) -> bool {
        matches!(self, InstanceKind::ManagedInstance { tier: Tier::BusinessCritical, .. })
    }
}

/// Whether an instance does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// It runs.
    Running,
    /// The process is gone: connections are closed, new ones refused.
    Stopped,
    /// It takes connections and answers none; log still moves to and from it.
    Hung,
    /// The host stands still; on resume all goes on as if no time had passed.
    Frozen,
}

/// Before it come the databases of the system.
const FIRST_DATABASE: u32 = 5;

impl Instance {
    pub(super) fn new(
        spec: &InstanceSpec,
        kind: InstanceKind,
        time_zone: TimeZone,
        seed: u64,
        start: Timestamp,
    ) -> Instance {
        let own = u32::try_from(spec.databases.len()).unwrap_or(0);
        Instance {
            name: spec.name.clone(),
            kind,
            server_name: spec.server_name.clone(),
            product_version: spec.product_version.clone(),
            collation: spec.collation.clone(),
            time_zone,
            id: Guid::derive(seed, &format!("instance/{}", spec.name)),
            party: Party::Instance(spec.name.clone()),
            power: Power::Running,
            refusing: false,
            vanished: false,
            started: start - SignedDuration::from_hours(72),
            recovered: start - SignedDuration::from_hours(71),
            frozen_since: None,
            restart: SignedDuration::from_millis(i64::from(spec.restart_ms)),
            commit_delay: SignedDuration::ZERO,
            moves: 0,
            seedings: Vec::new(),
            sessions: BTreeMap::new(),
            reserved: BTreeSet::new(),
            closed_at: start - SignedDuration::from_hours(72),
            transactions: 0,
            backups: Vec::new(),
            backup_paths: spec.backup_paths(),
            disk_full: false,
            full: BTreeSet::new(),
            jobs: Vec::new(),
            agent_running: spec.agent_running,
            next_database_id: FIRST_DATABASE + own,
            setup: Setup::careful(&spec.server_name, start),
            endpoint: authority(spec.endpoint()),
            door: spec.door.clone(),
            port: None,
            resource: Resource::new(spec, FIRST_DATABASE, start),
            contents: BTreeMap::new(),
            groups: Groups::default(),
            principals: Vec::new(),
            restoring: BTreeMap::new(),
            restored: Vec::new(),
            moved_files: BTreeMap::new(),
        }
    }

    /// Whether it is a managed instance.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        matches!(self.kind, InstanceKind::ManagedInstance { .. })
    }

    /// Which side of a link it can be.
    #[must_use]
    pub fn side(&self) -> Side {
        match self.kind {
            InstanceKind::SqlServer { .. } => Side::SqlServer,
            InstanceKind::ManagedInstance { .. } => Side::ManagedInstance,
        }
    }

    /// The port of its node for mirroring, of a managed instance: another one after each move to
    /// another node (mi-link 1).
    #[must_use]
    pub fn node_port(&self) -> u16 {
        // One of the thousand that are kept for it.
        let port = (self.id.0 % 1_000 + u128::from(self.moves) * 37) % 1_000;
        11_000 + u16::try_from(port).unwrap_or(0)
    }

    /// How it is set up.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What only Azure keeps about it; of a SQL Server, only its databases that are in no link.
    #[must_use]
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Whether its endpoint for mirroring is at this `host:port`.
    pub(super) fn answers_at(&self, authority: &str) -> bool {
        self.endpoint.as_deref() == Some(authority)
    }

    /// What it is doing at all.
    #[must_use]
    pub fn power(&self) -> Power {
        self.power
    }

    /// Whether nobody refuses at its port: not when stopped, unless the host is gone too, or told to
    /// refuse.
    #[must_use]
    pub fn listens(&self) -> bool {
        (self.power != Power::Stopped || self.vanished) && !self.refusing
    }

    /// Whether it answers queries.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.power == Power::Running
    }

    /// Whether roles and databases have come up since the last start.
    #[must_use]
    pub fn has_recovered(&self, now: Timestamp) -> bool {
        now >= self.recovered
    }

    /// When the process was started.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// Sessions that are logged in, by id.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// Backups that have finished, in the order in which they began.
    pub fn backups(&self, now: Timestamp) -> impl Iterator<Item = &Backup> {
        self.backups.iter().filter(move |backup| backup.finish <= now)
    }

    /// Of very many backups of the log the oldest are forgotten, where newer ones of the database
    /// are known; what they say of the log's room the newest says too.
    pub(super) fn forget_backups(&mut self) {
        if self.backups.len() < BACKUPS_KEPT {
            return;
        }
        let mut left = self.backups.len() - BACKUPS_KEPT * 7 / 8;
        let mut newest: BTreeMap<String, usize> = BTreeMap::new();
        for (place, backup) in self.backups.iter().enumerate() {
            if backup.kind == BackupKind::Log {
                newest.insert(backup.database.clone(), place);
            }
        }
        let mut place = 0;
        self.backups.retain(|backup| {
            let goes = left > 0
                && backup.kind == BackupKind::Log
                && newest.get(&backup.database).is_none_or(|newest| *newest != place);
            left -= usize::from(goes);
            place += 1;
            !goes
        });
    }

    /// What watches over a group that is made as Microsoft's scripts make it.
    pub(super) fn usual_cluster(&self) -> ClusterType {
        let oldest = !self.is_managed() && !self.build().has_cluster_type();
        if oldest { ClusterType::Wsfc } else { ClusterType::None }
    }

    /// What it was about to back up of itself it does not any longer.
    pub(super) fn drop_unfinished(&mut self, now: Timestamp, concerns: impl Fn(&str) -> bool) {
        self.backups.retain(|backup| backup.finish <= now || !concerns(&backup.database));
    }

    /// Whether a full backup that is not copy-only has finished between two moments.
    pub(super) fn has_full_backup(&self, name: &str, since: Timestamp, now: Timestamp) -> bool {
        self.backups(now).any(|backup| {
            let counts = backup.kind == BackupKind::Full && !backup.copy_only;
            counts && backup.database == name && backup.finish > since
        })
    }

    /// Whether a database has room for another row.
    ///
    /// # Errors
    /// 1105: the disk of its data is full.
    pub(super) fn has_data_room(&self, database: &str) -> Result<(), SqlError> {
        if !self.full.contains(&Volume::Data) {
            return Ok(());
        }
        let text = format!(
            "Could not allocate space for a new page in database '{database}' because the \
             'PRIMARY' filegroup is full due to lack of storage space or database files reaching \
             the maximum allowed size. Create the necessary space by dropping objects in the \
             filegroup, adding additional files to the filegroup, or setting autogrowth on for \
             existing files in the filegroup."
        );
        Err(SqlError { class: 17, state: 2, ..SqlError::new(1_105, &text) })
    }

    /// Up to where the log of a database is in backups, so that it can be truncated: only backups of
    /// the log count, and before the first of them the full backup that begins the chain.
    pub(super) fn log_saved(&self, name: &str, now: Timestamp) -> Lsn {
        let counts = |backup: &&Backup| backup.database == name && !backup.copy_only;
        let of = |kind| self.backups(now).filter(counts).filter(move |it| it.kind == kind);
        let log = of(BackupKind::Log).map(|backup| backup.last_lsn).max();
        let first = || of(BackupKind::Full).map(|backup| backup.last_lsn).min();
        log.or_else(first).unwrap_or_else(Lsn::first)
    }

    /// Jobs of its agent.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// Whether its agent runs: no job does without it.
    #[must_use]
    pub fn agent_running(&self) -> bool {
        self.agent_running
    }

    /// Whether others can talk to its endpoint for mirroring. That of a managed instance is
    /// Azure's.
    pub(super) fn has_endpoint(&self) -> bool {
        let started = self.setup.endpoint.as_ref().is_some_and(|endpoint| endpoint.started);
        self.side() == Side::ManagedInstance || started
    }

    /// Whether the transport between members runs: it does so in a hung instance.
    pub(super) fn transports(&self) -> bool {
        match self.power {
            Power::Running | Power::Hung => true,
            Power::Stopped | Power::Frozen => false,
        }
    }
}
