//! An administrator's failover of the local group by T-SQL, also one that loses what the new primary
//! replica does not have.
//!
//! Sources: Microsoft's pages on planned and forced manual failover of availability groups. After a
//! forced one the databases of all other replicas, and of the other side of the link, stand still
//! until somebody resumes them.

use super::super::{SqlError, UnknownName, fault::unknown, groups};
use super::change::Loss;
use super::*;

impl World {
    /// A local failover that may lose what the replica does not have, by the control door.
    ///
    /// # Errors
    /// No such link, no such group, or no such replica that is up.
    pub(in super::super) fn force_locally(
        &mut self,
        link: &str,
        to: &str,
        ms: Option<u32>,
    ) -> Result<(), UnknownName> {
        let link = &self.link_key(link)?;
        let Some(found) = self.links.get(link) else { return Ok(()) };
        if !self.can_be_forced(found, to) {
            let local = found.member(Side::SqlServer).local();
            let others = local.into_iter().flat_map(LocalGroup::replicas).map(|it| &it.instance);
            let others = others.filter(|name| self.can_be_forced(found, name));
            return Err(unknown("other replica of this link's local group that is up", to, others));
        }
        self.change_primary(link, to, ms.map(millis), Loss::Allowed);
        Ok(())
    }

    /// `ALTER AVAILABILITY GROUP [local group] FAILOVER` or `FORCE_FAILOVER_ALLOW_DATA_LOSS`, on the
    /// replica that is to be primary.
    ///
    /// # Errors
    /// 41122 on the primary replica, 47122 and 47104 where a cluster or nobody watches over the
    /// group, 41142 where something would be lost, 41140 while nobody is primary, 15151.
    pub(in super::super) fn fail_over_by_statement(
        &mut self,
        at: &str,
        group: &str,
        forced: bool,
    ) -> Result<(), SqlError> {
        if !self.is_local_group(at, group) {
            return Err(groups::unknown("alter", group));
        }
        let (cluster, primary) = self.cluster_of(at, group);
        match cluster {
            ClusterType::None if !forced => return Err(only_forced(group)),
            ClusterType::External if !forced => return Err(by_its_cluster(group)),
            ClusterType::Wsfc | ClusterType::External | ClusterType::None => {}
        }
        if primary {
            return Err(already_primary(group));
        }
        let Some(link) = self.standbys(at).map(|of| of.link()).find(|link| in_group(link, group))
        else {
            return Err(groups::unknown("alter", group));
        };
        let settled = link.member(Side::SqlServer).local().is_none_or(|it| it.settled <= self.now);
        let name = link.name.clone();
        if forced && settled && self.can_be_forced(link, at) {
            self.change_primary(&name, at, None, Loss::Allowed);
            return Ok(());
        }
        if forced || !settled {
            return Err(not_now(group));
        }
        self.fail_over_locally(&name, Some(at), None).map_err(|_| not_synchronized(group))
    }

    /// Whether a name is that of a local availability group which an instance has.
    #[must_use]
    pub fn is_local_group(&self, at: &str, group: &str) -> bool {
        let linked = self.seats(at).any(|(link, side)| {
            side == Side::SqlServer && !link.left_by(side) && in_group(link, group)
        });
        linked || self.instance(at).is_some_and(|found| found.groups.local(group).is_some())
    }

    /// What watches over a local group, and whether the instance is its primary replica.
    fn cluster_of(&self, at: &str, group: &str) -> (ClusterType, bool) {
        let own = self.instance(at).and_then(|found| found.groups.local(group));
        if let Some(own) = own {
            return (own.cluster, true);
        }
        let mut seats = self.seats(at).map(|(link, _)| link).filter(|link| in_group(link, group));
        seats.next().map_or((ClusterType::None, true), |link| {
            let member = link.member(Side::SqlServer);
            (member.cluster, member.instance == at)
        })
    }

    fn can_be_forced(&self, link: &Link, to: &str) -> bool {
        let up = self.instance(to).is_some_and(|it| it.is_up() && it.has_recovered(self.now));
        up && link.standby(to).is_some()
    }

    /// An instance has gone, or stands still: what asynchronous replicas had not got from it by
    /// then they will not get.
    pub(in super::super) fn strand_replicas(&mut self, primary: &str) {
        let now = self.now;
        for link in self.links.values_mut().filter(|link| link.side_of(primary).is_some()) {
            link.strand(|_| true, now);
        }
    }
}

impl Link {
    /// How many records of the local group's log had been written by then.
    pub(super) fn had_by(&self, place: usize, at: Timestamp) -> usize {
        let records = &self.databases[place].records;
        let by_then = |id: &u32| records.get(*id as usize).is_none_or(|record| record.at <= at);
        self.member(Side::SqlServer).copies[place].log.partition_point(by_then).max(1)
    }

    /// Asynchronous replicas that followed and do not any longer are left with what they had.
    pub(super) fn strand(&mut self, lost: impl Fn(&LocalReplica) -> bool, now: Timestamp) {
        let places = self.databases.len();
        let follows = |it: &LocalReplica| it.lag.is_positive() && it.standing == Standing::Current;
        let member = self.member(Side::SqlServer);
        let replicas = member.local().map_or(&[][..], LocalGroup::replicas).iter().enumerate();
        let others = replicas.filter(|(_, it)| it.instance != member.instance);
        let behind: Vec<(usize, Vec<usize>)> = others
            .filter(|(_, it)| follows(it) && lost(it))
            .map(|(at, it)| (at, (0..places).map(|of| self.had_by(of, now - it.lag)).collect()))
            .collect();
        let local = self.member_mut(Side::SqlServer).local.as_deref_mut();
        let Some(local) = local else { return };
        for (at, had) in behind {
            local.replicas[at].standing = Standing::Away { had };
        }
    }

    /// A replica is forced to be primary with what it has: the rest of the log is lost to its side,
    /// and all others stand still until they are resumed.
    pub(super) fn cut_to(&mut self, to: &str, all: &[usize], now: Timestamp) {
        let Some((_, replica)) = self.standby(to) else { return };
        let had: Vec<usize> = match &replica.standing {
            Standing::Current if replica.lag.is_positive() => {
                (0..all.len()).map(|place| self.had_by(place, now - replica.lag)).collect()
            }
            Standing::Current => all.to_vec(),
            Standing::Away { had }
            | Standing::CatchingUp { had, .. }
            | Standing::Suspended { had, .. } => had.clone(),
        };
        // What a forwarder has lost its primary sends again: the history does not fork there.
        let forks =
            self.rightful == Side::SqlServer && self.member(Side::SqlServer).role == Role::Primary;
        for (place, upto) in had.iter().enumerate() {
            self.databases[place].forks += u32::from(forks);
            let fork = self.databases[place].forks;
            let copy = &mut self.member_mut(Side::SqlServer).copies[place];
            if forks {
                copy.fork = fork;
            }
            copy.log.truncate((*upto).max(1));
            let end = copy.log.len();
            copy.redo.retain(|(_, to)| *to <= end);
            copy.redone = copy.redone.min(end);
            (copy.sent, copy.held) = (copy.sent.min(end), copy.held.min(end));
            if let Some(heard) = &mut copy.heard {
                heard.hardened = heard.hardened.min(end);
                heard.redone = heard.redone.min(end);
            }
        }
        let places: BTreeSet<usize> = (0..had.len()).collect();
        let local = self.member_mut(Side::SqlServer).local.as_deref_mut();
        for replica in local.into_iter().flat_map(|local| &mut local.replicas) {
            let theirs = match &replica.standing {
                Standing::Current => &had,
                Standing::Away { had }
                | Standing::CatchingUp { had, .. }
                | Standing::Suspended { had, .. } => had,
            };
            let had = theirs.iter().zip(&had).map(|(one, upto)| (*one).min(*upto)).collect();
            let places = places.clone();
            replica.standing = Standing::Suspended { had, places, hears: false };
        }
    }

    /// Lets a database of a replica that is not primary follow again.
    pub(in super::super) fn resume_replica(&mut self, at: &str, database: &str) {
        let place = self.databases().position(|name| name.eq_ignore_ascii_case(database));
        let local = self.member_mut(Side::SqlServer).local.as_deref_mut();
        let replica = local.and_then(|it| it.replicas.iter_mut().find(|it| it.instance == at));
        let (Some(replica), Some(place)) = (replica, place) else { return };
        let Standing::Suspended { had, places, .. } = &mut replica.standing else { return };
        places.remove(&place);
        if places.is_empty() {
            replica.standing = Standing::Away { had: std::mem::take(had) };
        }
    }
}

fn in_group(link: &Link, group: &str) -> bool {
    link.member(Side::SqlServer).group.eq_ignore_ascii_case(group)
}

fn already_primary(group: &str) -> SqlError {
    SqlError::new(
        41_122,
        &format!(
            "Cannot failover availability group '{group}' to this instance of SQL Server. The local availability replica is already the primary replica of the availability group. To fail over this availability group to another instance of SQL Server, run the failover command on that instance of SQL Server."
        ),
    )
}

fn only_forced(group: &str) -> SqlError {
    let text = format!(
        "Cannot failover an availability replica for availability group '{group}' since it has \
         CLUSTER_TYPE = NONE. Only force failover is supported in this version of SQL Server."
    );
    SqlError::new(47_122, &text)
}

fn by_its_cluster(group: &str) -> SqlError {
    let text = format!(
        "This operation cannot be performed on the availability group '{group}' because it has \
         EXTERNAL cluster type. Use the cluster management tools to perform the operation."
    );
    SqlError::new(47_104, &text)
}

fn not_now(group: &str) -> SqlError {
    let text = format!(
        "Availability group '{group}' cannot process the ALTER AVAILABILITY GROUP FAILOVER command \
         at this time. The availability replica is not in a state that could process the command."
    );
    SqlError::new(41_140, &text)
}

fn not_synchronized(group: &str) -> SqlError {
    SqlError::new(
        41_142,
        &format!(
            "The availability replica for availability group '{group}' on this instance of SQL Server cannot become the primary replica. One or more databases are not synchronized or have not joined the availability group. If the availability replica uses the asynchronous-commit mode, consider performing a forced manual failover (with possible data loss). Otherwise, once all local secondary databases are joined and synchronized, you can perform a planned manual failover to this secondary replica (without data loss). For more information, see SQL Server Books Online."
        ),
    )
}
