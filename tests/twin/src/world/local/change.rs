//! The primary replica of a local group changes: by an administrator, or by the cluster when it
//! has lost it.

use super::super::{
    OperationId, UnknownName, contact,
    copy::{Flushed, Mirrored, Moved},
    fault::{Faults, unknown},
    operation::Phase,
    reach, replication,
};
use super::*;

impl World {
    /// A local failover, as an administrator orders it.
    ///
    /// # Errors
    /// No such link, no such group, or no replica that could take over without loss.
    pub(in super::super) fn fail_over_locally(
        &mut self,
        link: &str,
        to: Option<&str>,
        ms: Option<u32>,
    ) -> Result<(), UnknownName> {
        let link = &self.link_key(link)?;
        let Some(found) = self.links.get(link) else { return Ok(()) };
        let ready: Vec<String> = ready(found, &self.instances, self.now)
            .into_iter()
            .map(|replica| replica.instance.clone())
            .collect();
        let chosen = ready.iter().find(|name| to.is_none_or(|to| to == name.as_str())).cloned();
        let Some(chosen) = chosen else {
            return Err(unknown(
                "synchronized replica of this link's local group",
                to.unwrap_or("(any)"),
                ready.iter(),
            ));
        };
        self.change_primary(link, &chosen, ms.map(millis), Loss::None);
        Ok(())
    }

    /// Looks after the local groups of these links; what the cluster has to do is done.
    pub(in super::super) fn tend_local_groups(&mut self, links: &[String]) {
        let (instances, faults, now) = (&self.instances, &self.faults, self.now);
        let mut due = Vec::new();
        for name in links {
            let Some(link) = self.links.get_mut(name) else { continue };
            due.extend(tend(link, instances, faults, now).map(|to| (to, name)));
        }
        for (to, link) in due {
            self.change_primary(link, &to, None, Loss::None);
        }
    }

    /// From now on the member acts by another replica; until that has settled, nobody is primary.
    pub(super) fn change_primary(
        &mut self,
        name: &str,
        to: &str,
        lasts: Option<SignedDuration>,
        loss: Loss,
    ) {
        let now = self.now;
        let Some(link) = self.links.get(name) else { return };
        let old = link.member(Side::SqlServer).instance.clone();
        self.break_off(name, &old, to);
        let Some(link) = self.links.get_mut(name) else { return };
        let lives = self.instances.get(&old).is_some_and(Instance::transports);
        if lives {
            // It closes its connections itself, so the other side knows at once.
            contact::disconnect(link, Side::SqlServer, &self.instances, &self.faults, now);
        } else {
            contact::lose(link, Side::SqlServer, now);
            replication::stop_flight(link);
        }
        let had = lengths(link);
        if loss == Loss::Allowed {
            link.cut_to(to, &had, now);
        }
        let member = link.member_mut(Side::SqlServer);
        let Some(local) = member.local.as_deref_mut() else { return };
        local.lost_at = None;
        local.settled = now + lasts.unwrap_or(local.failover);
        for replica in &mut local.replicas {
            if replica.instance == old && !lives && loss == Loss::None {
                replica.standing = Standing::Away { had: had.clone() };
            }
            if replica.instance == to {
                replica.standing = Standing::Current;
                member.local_replica_id = replica.replica_id;
                for (copy, id) in member.copies.iter_mut().zip(&replica.database_ids) {
                    copy.database_id = *id;
                    (copy.flushed, copy.mirrored) = (Flushed::default(), Mirrored::default());
                    copy.moved = Moved::default();
                }
            }
        }
        to.clone_into(&mut member.instance);
        // Sessions in the databases end with it, and none is let in before it has settled.
        member.changed = now;
        member.last_heard = now;
        self.settle_pending();
        self.note_writers();
    }

    /// What runs on the old primary replica ends; what the other side does by now goes on there.
    fn break_off(&mut self, link: &str, old: &str, new: &str) {
        let now = self.now;
        for id in self.active.clone() {
            let Some(mut operation) = self.operations.remove(&id) else { continue };
            if operation.link == link && operation.runs_on == old {
                self.break_one(&mut operation, now);
                if matches!(operation.phase, Phase::HandingOver | Phase::TakingOver) {
                    new.clone_into(&mut operation.runs_on);
                }
            }
            self.operations.insert(id, operation);
        }
        let runs = |id: &OperationId| self.operations.get(id).is_some_and(|one| one.is_running());
        self.active.retain(runs);
    }
}

/// Whether a local failover may lose what the new primary replica does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    None,
    Allowed,
}

/// Follows the replicas of a link's local group; the replica to which its cluster fails over, if
/// that is due.
fn tend(
    link: &mut Link,
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
    now: Timestamp,
) -> Option<String> {
    link.member(Side::SqlServer).local()?;
    let had = lengths(link);
    let up = |replica: &LocalReplica| {
        let found = instances.get(&replica.instance);
        found.is_some_and(|found| found.transports() && found.has_recovered(now))
    };
    let primary = link.member(Side::SqlServer).instance.clone();
    let cut = |from: &str, to: &str| reach::is_cut(instances, faults, from, to);
    let hears =
        |it: &LocalReplica| up(it) && !cut(&primary, &it.instance) && !cut(&it.instance, &primary);
    link.strand(|replica| !hears(replica), now);
    let acts = link.acts(Side::SqlServer, instances, now);
    let member = link.member_mut(Side::SqlServer);
    let primary = instances.get(&member.instance)?;
    let local = member.local.as_deref_mut()?;
    let serves = acts && primary.transports();
    let others = local.replicas.iter_mut().filter(|replica| replica.instance != primary.name);
    for replica in others {
        let hears = hears(replica);
        replica.standing.follow(serves, hears, &had, now + local.catch_up, now);
    }
    let patience = match primary.power {
        Power::Running => {
            local.lost_at = None;
            return None;
        }
        Power::Stopped => local.detect,
        Power::Hung | Power::Frozen => local.lease,
    };
    let since = *local.lost_at.get_or_insert(now);
    let due = now.duration_since(since) >= patience && local.settled <= now;
    if !due || local.cluster_type == ClusterType::None {
        return None;
    }
    let ready = ready(link, instances, now);
    ready.into_iter().find(|replica| replica.automatic).map(|replica| replica.instance.clone())
}

/// The replicas that could take over without loss.
fn ready<'a>(
    link: &'a Link,
    instances: &BTreeMap<String, Instance>,
    now: Timestamp,
) -> Vec<&'a LocalReplica> {
    let member = link.member(Side::SqlServer);
    let Some(local) = member.local().filter(|local| local.settled <= now) else {
        return Vec::new();
    };
    let fit = |replica: &&LocalReplica| {
        let up = instances
            .get(&replica.instance)
            .is_some_and(|found| found.is_up() && found.has_recovered(now));
        up && replica.instance != member.instance
            && replica.synchronous
            && replica.standing == Standing::Current
    };
    local.replicas.iter().filter(fit).collect()
}

pub(super) fn lengths(link: &Link) -> Vec<usize> {
    link.member(Side::SqlServer).copies.iter().map(|copy| copy.log.len()).collect()
}

impl Standing {
    /// A replica keeps what it has while there is no primary one: nothing is written then.
    fn follow(
        &mut self,
        primary_serves: bool,
        hears: bool,
        all: &[usize],
        until: Timestamp,
        now: Timestamp,
    ) {
        let next = match (&*self, primary_serves, hears) {
            (Standing::Current, true, false) => Standing::Away { had: all.to_vec() },
            (Standing::CatchingUp { had, .. }, false, _)
            | (Standing::CatchingUp { had, .. }, true, false) => {
                Standing::Away { had: had.clone() }
            }
            (Standing::Away { had }, true, true) => {
                Standing::CatchingUp { had: had.clone(), until }
            }
            (Standing::CatchingUp { until, .. }, true, true) if *until <= now => Standing::Current,
            (Standing::Suspended { had, places, .. }, ..) => {
                Standing::Suspended { had: had.clone(), places: places.clone(), hears }
            }
            (Standing::Current | Standing::Away { .. } | Standing::CatchingUp { .. }, _, _) => {
                return;
            }
        };
        *self = next;
    }
}
