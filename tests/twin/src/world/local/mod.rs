//! The availability group on SQL Server, where it has several replicas.
//!
//! One of them is primary within the group: the member of the link acts by it, and a local
//! failover lets it act by another. Its commits are on the disks of all synchronous replicas before
//! anybody hears of them, so the group has one log, which goes on from whichever replica takes
//! over. A replica that was away is no candidate before it has caught up, and an asynchronous one
//! never is, unless it is forced: then what it does not have is lost, and its log forks.
//!
//! Sources: mi-link 2 and 9 (listener, certificates), addendum 6 (roles on replicas that are not
//! primary), Microsoft's pages on failover of availability groups.

mod change;
mod forced;
mod restart;
mod spec;
mod views;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{Guid, Instance, Link, Power, Role, Side, World, failover::millis, link::Member};

pub(super) use restart::Scheduled;
pub(super) use spec::check;
pub use spec::{ClusterType, LocalSpec, ReplicaSpec};

/// How far a replica is behind that was made asynchronous.
const USUAL_LAG_MS: u32 = 500;

/// An availability group on SQL Server with several replicas.
#[derive(Clone, Debug)]
pub struct LocalGroup {
    /// What watches over it.
    pub cluster_type: ClusterType,
    /// The name of its listener.
    pub listener: Option<String>,
    detect: SignedDuration,
    lease: SignedDuration,
    failover: SignedDuration,
    catch_up: SignedDuration,
    replicas: Vec<LocalReplica>,
    /// Since when the primary replica does not run.
    lost_at: Option<Timestamp>,
    /// Until then nobody is primary: a local failover is under way.
    settled: Timestamp,
}

/// A replica of a local group.
#[derive(Clone, Debug)]
pub struct LocalReplica {
    /// The instance.
    pub instance: String,
    /// `replica_server_name`
    pub server_name: String,
    /// `replica_id` in the local group.
    pub replica_id: Guid,
    /// `availability_mode` is SYNCHRONOUS_COMMIT.
    pub synchronous: bool,
    /// `failover_mode` is AUTOMATIC.
    pub automatic: bool,
    /// How far it is behind while it follows, if it commits asynchronously.
    lag: SignedDuration,
    database_ids: Vec<u32>,
    standing: Standing,
}

/// How a replica that is not primary stands to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// It has all of it.
    Current,
    /// It was away, and has this many records of each database.
    Away { had: Vec<usize> },
    /// It is back and fetches the rest.
    CatchingUp { had: Vec<usize>, until: Timestamp },
    /// Another was forced to be primary: of these databases it takes nothing until somebody has
    /// resumed them. `hears`: whether it is connected.
    Suspended { had: Vec<usize>, places: BTreeSet<usize>, hears: bool },
}

impl LocalGroup {
    /// The group as the world begins; each replica's databases get their numbers.
    pub(super) fn new(
        spec: &LocalSpec,
        first: (&str, Guid, Vec<u32>),
        replica_id: impl Fn(&str) -> Guid,
        instances: &mut BTreeMap<String, Instance>,
        start: Timestamp,
    ) -> LocalGroup {
        let replica = |name: &str, replica_id, modes: (bool, bool), lag_ms, ids: Vec<u32>| {
            let server_name = instances.get(name).map(|found| found.server_name.clone());
            LocalReplica {
                instance: name.to_owned(),
                server_name: server_name.unwrap_or_default(),
                replica_id,
                synchronous: modes.0,
                automatic: modes.0 && modes.1,
                lag: if modes.0 { SignedDuration::ZERO } else { millis(lag_ms) },
                database_ids: ids,
                standing: Standing::Current,
            }
        };
        let (name, id, database_ids) = first;
        let databases = database_ids.len();
        let mut replicas = vec![replica(name, id, (true, true), 0, database_ids)];
        for given in &spec.replicas {
            let modes = (given.synchronous, given.automatic);
            let name = given.instance.as_str();
            let id = replica_id(name);
            replicas.push(replica(name, id, modes, given.lag_ms, Vec::new()));
        }
        for replica in replicas.iter_mut().skip(1) {
            let Some(instance) = instances.get_mut(&replica.instance) else { continue };
            let next = instance.next_database_id;
            instance.next_database_id += u32::try_from(databases).unwrap_or(0);
            replica.database_ids = (next..instance.next_database_id).collect();
        }
        LocalGroup {
            cluster_type: spec.cluster_type,
            listener: spec.listener.clone(),
            detect: millis(spec.detect_ms),
            lease: millis(spec.lease_ms),
            failover: millis(spec.failover_ms),
            catch_up: millis(spec.catch_up_ms),
            replicas,
            lost_at: None,
            settled: start,
        }
    }

    /// All its replicas, in the order of the description.
    #[must_use]
    pub fn replicas(&self) -> &[LocalReplica] {
        &self.replicas
    }

    /// Modes of a replica, by its server, as they are set.
    pub(super) fn set_modes(
        &mut self,
        server: &str,
        (synchronous, automatic): (Option<bool>, Option<bool>),
    ) {
        let named = |it: &&mut LocalReplica| it.server_name.eq_ignore_ascii_case(server);
        let Some(replica) = self.replicas.iter_mut().find(named) else { return };
        replica.automatic = automatic.unwrap_or(replica.automatic);
        if let Some(synchronous) = synchronous {
            replica.synchronous = synchronous;
            replica.lag = if synchronous { SignedDuration::ZERO } else { millis(USUAL_LAG_MS) };
        }
    }

    /// When a local failover that is under way ends.
    pub(super) fn settles(&self, now: Timestamp) -> Option<Timestamp> {
        Some(self.settled).filter(|at| *at > now)
    }

    /// Another database: every replica has a number for it.
    pub(super) fn takes_in(&mut self, instances: &mut BTreeMap<String, Instance>) {
        let places = self.replicas.first().map_or(0, |first| first.database_ids.len());
        for replica in &mut self.replicas {
            let Some(instance) = instances.get_mut(&replica.instance) else { continue };
            replica.database_ids.push(instance.next_database_id);
            instance.next_database_id += 1;
            replica.standing.resize(places + 1);
        }
    }

    /// A database is no longer one of it.
    pub(super) fn lets_go(&mut self, place: usize) {
        for replica in &mut self.replicas {
            if place < replica.database_ids.len() {
                replica.database_ids.remove(place);
            }
            replica.standing.lets_go(place);
        }
    }

    fn replica(&self, instance: &str) -> Option<&LocalReplica> {
        self.replicas.iter().find(|replica| replica.instance == instance)
    }
}

impl Standing {
    fn had(&mut self) -> Option<&mut Vec<usize>> {
        match self {
            Standing::Current => None,
            Standing::Away { had }
            | Standing::CatchingUp { had, .. }
            | Standing::Suspended { had, .. } => Some(had),
        }
    }

    fn resize(&mut self, places: usize) {
        if let Some(had) = self.had() {
            had.resize(places, 0);
        }
    }

    fn lets_go(&mut self, place: usize) {
        if let Some(had) = self.had().filter(|had| place < had.len()) {
            had.remove(place);
        }
        if let Standing::Suspended { places, .. } = self {
            let others = std::mem::take(places).into_iter().filter(|it| *it != place);
            *places = others.map(|it| it - usize::from(it > place)).collect();
        }
    }
}

impl Member {
    /// Whether it takes part through this replica, the one by which it acts: the instance has come
    /// up, and no local failover is under way.
    pub(super) fn acts_by(&self, instance: &Instance, now: Timestamp) -> bool {
        let settled = self.local.as_ref().is_none_or(|local| local.settled <= now);
        settled && instance.has_recovered(now)
    }

    /// The group behind it, if that has several replicas.
    #[must_use]
    pub fn local(&self) -> Option<&LocalGroup> {
        self.local.as_deref()
    }
}

impl Link {
    /// Whether a side takes part in the link: the instance by which it acts has come up, and no
    /// local failover is under way.
    pub(super) fn acts(
        &self,
        side: Side,
        instances: &BTreeMap<String, Instance>,
        now: Timestamp,
    ) -> bool {
        let member = self.member(side);
        instances.get(&member.instance).is_some_and(|found| member.acts_by(found, now))
    }

    /// The side that an instance belongs to, as whichever replica.
    #[must_use]
    pub fn side_with(&self, instance: &str) -> Option<Side> {
        let standby = || self.standby(instance).map(|_| Side::SqlServer);
        self.side_of(instance).or_else(standby)
    }

    /// A replica that is not the primary one of its local group.
    fn standby(&self, instance: &str) -> Option<(&LocalGroup, &LocalReplica)> {
        let member = self.member(Side::SqlServer);
        let local = member.local().filter(|_| member.instance != instance)?;
        Some((local, local.replica(instance)?))
    }

    /// The instance that a name leads to: its own, or the primary replica behind a listener; none
    /// while nobody is primary there.
    pub(super) fn led_to<'a>(
        &'a self,
        name: &'a str,
        instances: &BTreeMap<String, Instance>,
        now: Timestamp,
    ) -> Option<&'a str> {
        let member = self.member(Side::SqlServer);
        let listener = member.local().and_then(|local| local.listener.as_deref());
        if listener != Some(name) {
            return Some(name);
        }
        let primary = instances.get(&member.instance)?;
        let online = primary.listens() && member.acts_by(primary, now);
        online.then_some(member.instance.as_str())
    }
}

impl World {
    /// The names of all listeners.
    #[must_use]
    pub fn listeners(&self) -> Vec<String> {
        let local = |link: &Link| link.member(Side::SqlServer).local()?.listener.clone();
        self.links.values().filter_map(local).collect()
    }

    /// The instance that a listener leads to now; none while nobody is primary behind it, or if
    /// there is no such listener.
    #[must_use]
    pub fn behind<'a>(&'a self, listener: &'a str) -> Option<&'a str> {
        let known = |link: &&Link| {
            link.member(Side::SqlServer)
                .local()
                .is_some_and(|local| local.listener.as_deref() == Some(listener))
        };
        let link = self.links.values().find(known)?;
        link.led_to(listener, &self.instances, self.now)
    }

    /// The role of an instance in the local group of a link, as it shows it.
    #[must_use]
    pub fn local_role(&self, link: &Link, at: &str) -> Option<Role> {
        if let Some(side) = link.side_of(at) {
            let acts = link.acts(side, &self.instances, self.now);
            return Some(if acts { Role::Primary } else { Role::Resolving });
        }
        let (local, _) = link.standby(at)?;
        let up = self.instance(at).is_some_and(|found| found.has_recovered(self.now));
        // A cluster that has lost its primary looks for another; without one, the replicas stay
        // what they are.
        let headless = local.lost_at.is_some() && local.cluster_type != ClusterType::None;
        let resolving = !up || headless || local.settles(self.now).is_some();
        Some(if resolving { Role::Resolving } else { Role::Secondary })
    }
}
