//! A link: one distributed availability group, its two members and their copies of the databases.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

pub(crate) use super::movement::Movement;
use super::{
    ArmLink, Build, ClusterType, Copy, FailoverSpec, Guid, Instance, LinkSpec, LocalGroup, LogSpec,
    Lsn, OperationId, Role, Side, SuspendReason, UnconfirmedSpec,
    commit::Pending,
    forget::Forgotten,
    housekeeping::backups_before,
    log::{Record, RecordKind},
    past::Past,
    work::History,
};

/// One distributed availability group.
#[derive(Clone, Debug)]
pub struct Link {
    /// The name by which the world keeps it: that of its distributed group, with the managed
    /// instance before it (`INSTANCE/NAME`) where another link has that; of one that was deleted,
    /// another one once a new link has taken it.
    pub name: String,
    /// The name of the distributed group on its servers, and of the link in ARM, for good.
    pub group: String,
    /// `group_id` of the distributed group.
    pub id: Guid,
    /// `failoverMode`: whether roles can be switched at all.
    pub two_way: bool,
    /// `REQUIRED_SYNCHRONIZED_SECONDARIES_TO_COMMIT`, as it is shown; commits do not wait for it.
    pub required: u32,
    /// When it was made.
    pub created: Timestamp,
    pub(super) notice: SignedDuration,
    pub(super) log: LogSpec,
    pub(super) failover: FailoverSpec,
    pub(super) unconfirmed: UnconfirmedSpec,
    pub(super) members: [Member; 2],
    pub(super) databases: Vec<LinkedDatabase>,
    pub(super) wire: Wire,
    pub(super) next_pulse: Timestamp,
    /// The member that became primary last: where the data lives when both say PRIMARY.
    pub(super) rightful: Side,
    /// The role change that runs.
    pub(super) running: Option<Running>,
    /// Commits that wait for the other side, oldest first.
    pub(super) pending: Vec<Pending>,
    pub(super) arm: ArmMemory,
    /// When SQL Server dropped its distributed group: it has no part in the link any longer.
    pub(super) left: Option<Timestamp>,
}

/// A role change that runs, and who knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) id: OperationId,
    /// The side that was asked for it.
    pub(super) by: Side,
    /// Whether the other side knows.
    pub(super) told: bool,
}

/// One side of a link.
#[derive(Clone, Debug)]
pub struct Member {
    /// The instance; of several replicas the one by which it acts now.
    pub instance: String,
    /// The local availability group: the member's name in the distributed group.
    pub group: String,
    /// `group_id` of the local group.
    pub group_id: Guid,
    /// `replica_id` in the local group.
    pub local_replica_id: Guid,
    /// `replica_id` in the distributed group.
    pub replica_id: Guid,
    /// `endpoint_url` of this member.
    pub endpoint_url: String,
    /// The one instance to which that leads; none: to whichever replica is primary.
    pub(super) leads_to: Option<String>,
    pub(super) role: Role,
    /// When its role changed last; sessions in its databases are no older.
    pub(super) changed: Timestamp,
    /// Its roles before.
    pub(super) past: Past,
    /// It has given the role of the primary away and does not know yet whether the other has it.
    pub(super) hands_over: Option<OperationId>,
    /// Whether it believes that it is connected to the other.
    pub(super) connected: bool,
    /// How often it has failed to become secondary since it became primary.
    pub(super) failed_demotions: u32,
    /// Whether its databases can be read while it is secondary.
    pub(super) readable: bool,
    /// What watches over its local group.
    pub(super) cluster: ClusterType,
    /// Its local group was taken offline: until it is restarted it has no role.
    pub(super) offline: bool,
    /// `SESSION_TIMEOUT` of the distributed group, as it was told here.
    pub(super) session_timeout: SignedDuration,
    /// `AVAILABILITY_MODE` of both members, as it was told here, is synchronous: commits wait where
    /// both are.
    pub(super) modes: [bool; 2],
    /// As primary: a planned failover has it commit synchronously for its duration (mi-link 3.1).
    pub(super) lifted: bool,
    /// As primary: a planned failover holds writes back.
    pub(super) draining: bool,
    /// As secondary: whether the primary commits synchronously, as it last said.
    pub(super) mirrors: bool,
    pub(super) last_heard: Timestamp,
    pub(super) reconnect_at: Option<Timestamp>,
    /// When the connection was found lost, until it is there again.
    pub(super) lost_at: Option<Timestamp>,
    pub(super) copies: Vec<Copy>,
    /// The replicas of its group, if there are several.
    pub(super) local: Option<Box<LocalGroup>>,
}

/// What the two copies of a database have in common.
#[derive(Clone, Debug)]
pub(crate) struct LinkedDatabase {
    pub(crate) name: String,
    pub(crate) group_database_id: Guid,
    pub(crate) records: Vec<Record>,
    /// Up to where a primary has backed its log up and may have truncated it.
    pub(crate) log_kept: Lsn,
    /// How often its history forked: by forced failovers.
    pub(crate) forks: u32,
    /// What its tables hold.
    pub(super) history: History,
    /// What there were records of that are forgotten.
    pub(super) forgotten: Forgotten,
}

/// Log that is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) free: Timestamp,
    /// Until when it waits for a path that it shares.
    pub(crate) waits: Option<Timestamp>,
    pub(crate) flight: VecDeque<Message>,
    /// The database that is the next to send.
    pub(crate) turn: usize,
}

/// Some records, up to `upto`, of one database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) arrives: Timestamp,
    pub(crate) database: usize,
    pub(crate) upto: usize,
    pub(crate) bytes: u64,
}

/// What only the control plane remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct ArmMemory {
    /// What it saw last, while it cannot see the managed instance.
    pub(crate) seen: Option<Box<ArmLink>>,
    /// After a forced role change, until the link is connected again: the trouble it reports.
    pub(crate) trouble: Option<Trouble>,
    /// `linkMode` is MultiDatabase.
    pub(crate) several: bool,
    /// When the link was deleted: the managed instance has no part in it any longer.
    pub(crate) deleted: Option<Timestamp>,
    /// It knows that SQL Server has dropped its distributed group.
    pub(crate) knows_left: bool,
    /// The link was deleted after a failover and before the first full backup: the next start does
    /// not bring the databases up (mi-link 3.4).
    pub(crate) harmed: bool,
}

/// How a link reads in ARM after a forced role change (addendum 2.5 and 12.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) replica_state: &'static str,
    pub(crate) error: Option<u32>,
    pub(crate) healthy: bool,
}

/// Before SQL Server 2022 every link is one-way (mi-link 2.1).
const FROM_2022: Build = Build([16, 0, 0, 0]);

impl Link {
    pub(super) fn new(
        spec: &LinkSpec,
        instances: &mut BTreeMap<String, Instance>,
        seed: u64,
        rng: &mut fastrand::Rng,
        start: Timestamp,
    ) -> Link {
        let created = start - SignedDuration::from_hours(48);
        let databases: Vec<LinkedDatabase> = spec
            .databases
            .iter()
            .map(|name| LinkedDatabase {
                name: name.clone(),
                group_database_id: spec.guid(seed, &format!("database/{name}")),
                records: vec![Record {
                    lsn: Lsn::first(),
                    bytes: 4_096,
                    at: created,
                    side: spec.primary,
                    kind: RecordKind::Background,
                    by: None,
                }],
                log_kept: Lsn::first().after(4_096),
                forks: 0,
                history: History::default(),
                forgotten: Forgotten::default(),
            })
            .collect();
        let members = [Side::SqlServer, Side::ManagedInstance]
            .map(|side| Member::new(spec, side, &databases, instances, seed, start));
        let phase = SignedDuration::from_millis(rng.i64(1..1_000));
        let oldest = instances.get(&spec.sql_server).is_some_and(|sql| sql.build() < FROM_2022);
        let two_way = spec.two_way && !oldest;
        Link {
            name: spec.name.clone(),
            group: spec.name.clone(),
            id: spec.guid(seed, "group"),
            two_way,
            required: 0,
            created,
            notice: SignedDuration::from_millis(i64::from(spec.notice_ms)),
            log: spec.log.clone(),
            failover: spec.failover.clone(),
            unconfirmed: spec.unconfirmed.clone(),
            members,
            databases,
            wire: Wire { free: start, waits: None, flight: VecDeque::new(), turn: 0 },
            next_pulse: start + phase,
            rightful: spec.primary,
            running: None,
            pending: Vec::new(),
            arm: ArmMemory { several: spec.databases.len() > 1, ..ArmMemory::default() },
            left: None,
        }
    }

    /// As it is when it has just been made.
    pub(super) fn begin_now(&mut self, id: Guid, now: Timestamp) {
        (self.id, self.created) = (id, now);
        self.members.iter_mut().for_each(|member| member.changed = now);
    }

    /// Whether an instance has no part in it any longer, though it may have its databases.
    pub(super) fn left_by(&self, side: Side) -> bool {
        match side {
            Side::SqlServer => self.left.is_some(),
            Side::ManagedInstance => self.arm.deleted.is_some(),
        }
    }

    /// Whether a side is a managed instance with a database that no role change opens.
    pub(super) fn is_inaccessible(&self, side: Side) -> bool {
        let shut = |copy: &Copy| !copy.gone && copy.state.is_shut();
        side == Side::ManagedInstance && self.member(side).copies.iter().any(shut)
    }

    /// Whether commands for the link are taken at an instance: it is the primary replica of a group
    /// that nobody took offline.
    pub(super) fn commands(&self, instance: &str, side: Side) -> bool {
        self.side_of(instance).is_some() && !self.member(side).offline
    }

    /// Whether SQL Server's address in the link is that of the replica by which it acts: after a
    /// local failover that of another one leads nowhere (mi-link 1.2, 10).
    pub(super) fn is_led_there(&self) -> bool {
        let sql = self.member(Side::SqlServer);
        sql.leads_to.as_ref().is_none_or(|instance| *instance == sql.instance)
    }

    /// Whether a side has none of its copies any more.
    pub(super) fn gone_from(&self, side: Side) -> bool {
        self.member(side).copies.iter().all(|copy| copy.gone)
    }

    /// The place of a database that a side still has, by its name in any case.
    pub(super) fn place_on(&self, side: Side, database: &str) -> Option<usize> {
        let copies = &self.member(side).copies;
        let mut places = self
            .databases
            .iter()
            .zip(copies)
            .map(|(database, copy)| (!copy.gone).then_some(database.name.as_str()));
        places.position(|name| name.is_some_and(|name| name.eq_ignore_ascii_case(database)))
    }

    /// The member on one side.
    #[must_use]
    pub fn member(&self, side: Side) -> &Member {
        &self.members[side.index()]
    }

    /// The side that acts by an instance: of several replicas by the primary one.
    #[must_use]
    pub fn side_of(&self, instance: &str) -> Option<Side> {
        [Side::SqlServer, Side::ManagedInstance]
            .into_iter()
            .find(|side| self.member(*side).instance == instance)
    }

    /// The names of its databases.
    pub fn databases(&self) -> impl Iterator<Item = &str> {
        self.databases.iter().map(|database| database.name.as_str())
    }

    /// The side that became primary last; where both say PRIMARY, the one that carries on.
    #[must_use]
    pub fn rightful(&self) -> Side {
        self.rightful
    }

    /// The role change that runs now.
    #[must_use]
    pub fn running(&self) -> Option<OperationId> {
        self.running.map(|running| running.id)
    }

    /// The role change that runs, as far as a side knows of one.
    pub(super) fn busy(&self, side: Side) -> Option<OperationId> {
        self.running.filter(|running| running.by == side || running.told).map(|running| running.id)
    }

    /// A role change has ended; another that has taken its place goes on.
    pub(super) fn ended(&mut self, operation: OperationId) {
        self.running = self.running.filter(|running| running.id != operation);
    }

    pub(super) fn member_mut(&mut self, side: Side) -> &mut Member {
        &mut self.members[side.index()]
    }

    /// The one primary, if there is exactly one and the other is a secondary.
    pub(super) fn only_primary(&self) -> Option<Side> {
        match (self.members[0].role, self.members[1].role) {
            (Role::Primary, Role::Secondary) => Some(Side::SqlServer),
            (Role::Secondary, Role::Primary) => Some(Side::ManagedInstance),
            (Role::Primary | Role::Secondary | Role::Resolving, _) => None,
        }
    }

    /// `last_recovery_fork_guid` of a database.
    pub(super) fn fork(&self, place: usize) -> Guid {
        let database = &self.databases[place];
        Guid(database.group_database_id.0 ^ u128::from(database.forks) << 64)
    }

    /// Stops or resumes data movement of a database, as said on one side.
    pub(super) fn set_suspended(
        &mut self,
        side: Side,
        database: &str,
        reason: Option<SuspendReason>,
    ) {
        let place = self.databases.iter().position(|db| db.name.eq_ignore_ascii_case(database));
        if let Some(place) = place {
            self.member_mut(side).copies[place].suspended = reason;
        }
    }

    /// Lets a database move again, as said on one side. Where the partner was forced just now, that
    /// is taken and does nothing (addendum 4.1).
    pub(super) fn resume(&mut self, side: Side, database: &str, now: Timestamp) {
        let Some(place) = self.place_on(side, database) else { return };
        let patience = SignedDuration::from_millis(i64::from(self.unconfirmed.early_resume_ms));
        let member = self.member_mut(side);
        let early = now.duration_since(member.changed) < patience;
        let copy = &mut member.copies[place];
        if !(early && copy.suspended == Some(SuspendReason::Partner)) {
            copy.suspended = None;
        }
    }

    /// The record at the end of a side's log.
    pub(super) fn last_record(&self, side: Side, database: usize, upto: usize) -> Option<&Record> {
        let log = self.members[side.index()].copies.get(database)?.log.get(..upto)?;
        self.databases.get(database)?.records.get(*log.last()? as usize)
    }

    /// The last commit among a side's first `upto` records.
    pub(super) fn last_commit(&self, side: Side, database: usize, upto: usize) -> Option<&Record> {
        let log = self.members[side.index()].copies.get(database)?.log.get(..upto)?;
        let records = &self.databases.get(database)?.records;
        log.iter().rev().filter_map(|id| records.get(*id as usize)).find(|r| r.is_commit())
    }

    /// Bytes of log that a side is undoing.
    pub(super) fn to_undo(&self, side: Side, place: usize) -> u64 {
        let copy = &self.member(side).copies[place];
        let kept = self.member(side.other()).copies[place].sent;
        let undoes = matches!(copy.movement, Movement::Reverting { .. });
        if undoes { self.bytes_between(side, place, kept, copy.log.len()) } else { 0 }
    }

    /// Log bytes of a side between two places.
    pub(super) fn bytes_between(&self, side: Side, database: usize, from: usize, to: usize) -> u64 {
        let Some(copy) = self.members[side.index()].copies.get(database) else { return 0 };
        let Some(log) = copy.log.get(from..to) else { return 0 };
        let records = &self.databases[database].records;
        log.iter().filter_map(|id| records.get(*id as usize)).map(|r| u64::from(r.bytes)).sum()
    }
}

impl Member {
    fn new(
        spec: &LinkSpec,
        side: Side,
        databases: &[LinkedDatabase],
        instances: &mut BTreeMap<String, Instance>,
        seed: u64,
        start: Timestamp,
    ) -> Member {
        let (instance, group, endpoint_url) = names(spec, side, instances);
        let copies: Vec<Copy> = databases
            .iter()
            .map(|database| {
                let copy = Copy::seeded(instances.get_mut(instance), &spec.log, start);
                if let Some(instance) = instances.get_mut(instance) {
                    instance.backups.extend(backups_before(side, &database.name, start));
                }
                copy
            })
            .collect();
        let key = format!("{side:?}");
        let local_replica_id = spec.guid(seed, &format!("{key}/local"));
        let given = spec.local.as_ref().filter(|_| side == Side::SqlServer);
        let cluster = given.map_or_else(
            || instances.get(instance).map_or(ClusterType::None, Instance::usual_cluster),
            |given| given.cluster_type,
        );
        let local = given.map(|given| {
            let ids = copies.iter().map(|copy| copy.database_id).collect();
            let first = (instance.as_str(), local_replica_id, ids);
            let id = |name: &str| spec.guid(seed, &format!("{key}/local/{name}"));
            Box::new(LocalGroup::new(given, first, id, instances, start))
        });
        Member {
            instance: instance.clone(),
            group: group.clone(),
            group_id: spec.guid(seed, &format!("{key}/group")),
            local_replica_id,
            replica_id: spec.guid(seed, &format!("{key}/replica")),
            endpoint_url,
            leads_to: given.filter(|given| given.listener.is_none()).map(|_| instance.clone()),
            role: spec.role_of(side),
            changed: start - SignedDuration::from_hours(48),
            past: Past::default(),
            hands_over: None,
            connected: true,
            failed_demotions: 0,
            readable: side == Side::ManagedInstance || spec.sql_readable,
            cluster,
            offline: false,
            session_timeout: SignedDuration::from_secs(i64::from(spec.session_timeout_s)),
            modes: [false; 2],
            lifted: false,
            draining: false,
            mirrors: false,
            last_heard: start,
            reconnect_at: None,
            lost_at: None,
            copies,
            local,
        }
    }

    pub(super) fn set_role(&mut self, role: Role, now: Timestamp) {
        if self.role != role {
            self.past.note(now, self.role, role);
            (self.role, self.changed) = (role, now);
        }
    }

    /// The commit mode of the link as this member knows it: its own as a primary, else the one of
    /// which the primary has told it.
    pub(super) fn mode(&self) -> bool {
        match self.role {
            Role::Primary | Role::Resolving => self.is_synchronous() || self.lifted,
            Role::Secondary => self.mirrors,
        }
    }

    /// Whether it is told to commit synchronously.
    pub(super) fn is_synchronous(&self) -> bool {
        self.modes == [true; 2]
    }

    /// The role that the engine keeps, whether or not the instance is up.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether this member believes that it is connected to the other; late by the session timeout.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.connected
    }

    /// Its copies, in the order of the link's databases.
    #[must_use]
    pub fn copies(&self) -> &[Copy] {
        &self.copies
    }
}

/// The instance of a side, its local group, and where that is reached.
fn names<'s>(
    spec: &'s LinkSpec,
    side: Side,
    instances: &BTreeMap<String, Instance>,
) -> (&'s String, &'s String, String) {
    match side {
        Side::SqlServer => {
            let name = &spec.sql_server;
            let listener = spec.local.as_ref().and_then(|local| local.listener.as_ref());
            let at = match listener {
                Some(listener) => Some(format!("{listener}:5022")),
                None => instances.get(name).and_then(|found| found.endpoint.clone()),
            };
            let at = at.unwrap_or_else(|| "10.0.1.8:5022".to_owned());
            (name, &spec.sql_group, format!("TCP://{at}"))
        }
        Side::ManagedInstance => {
            let name = &spec.managed_instance;
            let host = instances.get(name).map_or(name, |found| &found.server_name);
            let url = format!("tcp://{host}:5022;Server=[{name}]");
            (name, &spec.instance_group, url)
        }
    }
}
