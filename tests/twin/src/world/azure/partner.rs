//! What the making of a link asks of SQL Server, and what it takes over from there.

use jiff::Timestamp;

use super::making::{Making, authority};
use crate::world::{
    Backup, BackupKind, Instance, Link, LinkSpec, SeedingFacts, Side, World, copy::Heard, reach,
};

/// The database does not answer.
pub(super) const DATABASE: u32 = 41_977;
/// The log that the other side still needs has been truncated while it was seeded.
pub(super) const LOG_IS_GONE: u32 = 1_412;
/// So many seedings that have ended are remembered by an instance.
const SEEDINGS_KEPT: usize = 100;
/// By this trace flag log is not truncated before seeding has ended (mi-link 2.3).
const KEEPS_LOG: u16 = 12_381;
/// The link was not initiated in five minutes: the network, or nobody there.
const NOT_BEGUN: u32 = 41_962;
/// The managed instance does not know SQL Server's certificate.
const NO_PARTNER_CERTIFICATE: u32 = 41_973;
/// SQL Server does not know the managed instance's certificate.
const NO_INSTANCE_CERTIFICATE: u32 = 41_974;
/// The group does not answer: names or parameters.
const GROUP: u32 = 41_976;
/// The connection failed.
const CONNECTION: u32 = 41_986;
/// The endpoint does not encrypt.
const ENCRYPTION: u32 = 41_998;

impl World {
    /// The SQL Server at the endpoint, if its administrator has done what a link needs; else the
    /// engine's number of what is wrong (mi-link 10).
    pub(super) fn partner_of(&self, making: &Making) -> Result<String, u32> {
        let order = &making.order;
        let wanted = authority(&order.partner_endpoint).ok_or(CONNECTION)?;
        let at = |it: &&Instance| it.side() == Side::SqlServer && it.answers_at(&wanted);
        let sql = self.instances.values().find(at).ok_or(NOT_BEGUN)?;
        let instance = self.instances.get(&making.instance).ok_or(NOT_BEGUN)?;
        let up = |it: &Instance| it.is_up() && it.has_recovered(self.now);
        let cut = |from: &Instance, to: &Instance| {
            reach::is_cut(&self.instances, &self.faults, &from.name, &to.name)
        };
        if !up(sql) || !up(instance) || cut(sql, instance) || cut(instance, sql) {
            return Err(NOT_BEGUN);
        }
        trusted(sql, instance, self.now)?;
        let distributed = sql.groups.distributed(&order.name).ok_or(GROUP)?;
        let short = making.instance.as_str();
        let named = distributed.own.eq_ignore_ascii_case(&order.partner_group)
            && [order.instance_group.as_str(), short]
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&distributed.other));
        if !named {
            return Err(GROUP);
        }
        let ready = if order.from_instance {
            let takes = sql.groups.local(&order.partner_group).is_some_and(|it| it.may_create);
            let there = self.databases(&sql.name);
            takes
                && order.databases.iter().all(|name| {
                    let free = !there.iter().any(|own| own.name.eq_ignore_ascii_case(name));
                    instance.resource.has(name) && free
                })
        } else {
            let waits = |name: &String| sql.waits_with(&order.partner_group, name);
            order.databases.iter().all(waits)
        };
        if !ready {
            return Err(DATABASE);
        }
        let source = if order.from_instance { instance } else { sql };
        let mut features = order.databases.iter().filter_map(|name| {
            let feature = source.setup.database(name).feature?;
            feature.refused_by(instance.kind)
        });
        features.next().map_or_else(|| Ok(sql.name.clone()), Err)
    }

    /// Whether somebody has backed up the log of a database, and so freed it, while it is being
    /// seeded (mi-link 2.3, 10).
    pub(super) fn lost_log_of(&self, making: &Making, partner: &str) -> bool {
        let from = if making.order.from_instance { &making.instance } else { partner };
        let (Some(begun), Some(source)) = (making.seeding, self.instance(from)) else {
            return false;
        };
        let keeps = source.is_managed() || source.setup.trace_flags.contains(&KEEPS_LOG);
        let names = &making.order.databases;
        let frees = |backup: &Backup| {
            let log = backup.kind == BackupKind::Log && !backup.copy_only && backup.start >= begun;
            log && names.iter().any(|name| name.eq_ignore_ascii_case(&backup.database))
        };
        !keeps && source.backups(self.now).any(frees)
    }
}

/// Whether a number says that the database is the reason.
pub(super) fn of_database(number: u32) -> bool {
    number == DATABASE || (41_947..=41_952).contains(&number)
}

/// Whether two instances can open a connection: endpoint, encryption, certificates and their ends.
pub(in crate::world) fn trusted(
    sql: &Instance,
    instance: &Instance,
    now: Timestamp,
) -> Result<(), u32> {
    let endpoint = sql.setup.endpoint.as_ref().filter(|it| it.started).ok_or(CONNECTION)?;
    if !endpoint.encrypted {
        return Err(ENCRYPTION);
    }
    let brought = instance.resource.certificates.values().filter(|brought| brought.expiry > now);
    let mut blobs = brought.filter_map(|brought| brought.blob.as_deref());
    if !sql.shown(now).is_some_and(|shown| blobs.any(|blob| shown.is_for(blob))) {
        return Err(NO_PARTNER_CERTIFICATE);
    }
    if !sql.knows(instance, now) {
        return Err(NO_INSTANCE_CERTIFICATE);
    }
    Ok(())
}

impl World {
    /// The groups on SQL Server become those of the link.
    pub(super) fn take_groups(&mut self, link: &mut Link, partner: &str) {
        let Some(groups) = self.instances.get_mut(partner).map(|it| &mut it.groups) else { return };
        let is = |name: &str| name.eq_ignore_ascii_case(&link.group);
        let place = groups.distributed.iter().position(|group| is(&group.name));
        let Some(distributed) = place.map(|place| groups.distributed.remove(place)) else { return };
        let own = |group: &crate::world::groups::OwnGroup| {
            group.name.eq_ignore_ascii_case(&distributed.own)
        };
        let place = groups.local.iter().position(own);
        link.id = distributed.id;
        let timeout = i64::from(distributed.session_timeout);
        let timeout = jiff::SignedDuration::from_secs(timeout);
        link.members.iter_mut().for_each(|member| member.session_timeout = timeout);
        link.member_mut(Side::ManagedInstance).replica_id = distributed.other_id;
        let member = link.member_mut(Side::SqlServer);
        member.replica_id = distributed.replica_id;
        if let Some(local) = place.map(|place| groups.local.remove(place)) {
            (member.group_id, member.local_replica_id) = (local.id, local.replica_id);
            (member.cluster, member.readable) = (local.cluster, local.readable);
        }
    }

    /// A database that an earlier link has left behind brings its log, its number and its
    /// applications along: the new link goes on where it stands.
    pub(in crate::world) fn take_over_copies(
        &mut self,
        link: &mut Link,
        primary: Side,
        seeded: &[usize],
    ) {
        let owner = link.member(primary).instance.clone();
        for place in 0..link.databases.len() {
            let name = link.databases[place].name.clone();
            let had = |old: &&mut Link| {
                old.side_of(&owner) == Some(primary)
                    && old.left_by(primary)
                    && old.place_on(primary, &name).is_some()
            };
            let Some(old) = self.links.values_mut().find(had) else {
                // Its tables come along: they are there with the first record of its log.
                let known = self.instances.get_mut(&owner).map(|it| &mut it.contents);
                if let Some(contents) = known.and_then(|it| it.remove(&name.to_lowercase())) {
                    link.remember(place, 0, contents);
                }
                continue;
            };
            let Some(from) = old.place_on(primary, &name) else { continue };
            link.databases[place].records = old.databases[from].records.clone();
            link.databases[place].forgotten = old.databases[from].forgotten;
            link.databases[place].history = old.databases[from].history.clone();
            link.databases[place].log_kept = old.databases[from].log_kept;
            let left = &old.member(primary).copies[from];
            let all = left.log.len();
            // The other side has what there was when seeding began, and gets the rest.
            let there = seeded.get(place).copied().unwrap_or(all).min(all);
            for (side, upto) in [(primary, all), (primary.other(), there)] {
                let copy = &mut link.member_mut(side).copies[place];
                copy.log = left.log[..upto].to_vec();
                (copy.redone, copy.sent) = (upto, upto);
            }
            let (now, copy) = (self.now, &mut link.member_mut(primary).copies[place]);
            copy.database_id = left.database_id;
            copy.flushed = left.flushed;
            (copy.heard, copy.held) = (Some(Heard::at(all, all, now)), all);
            let old_name = old.name.clone();
            old.member_mut(primary).copies[from].gone = true;
            for workload in self.workloads.values_mut() {
                if workload.link == old_name && workload.database == from {
                    workload.link.clone_from(&link.name);
                    workload.database = place;
                }
            }
        }
    }

    /// How much log the databases of a link have that is about to be seeded.
    pub(super) fn lengths(&self, making: &Making, partner: &str) -> Vec<usize> {
        let from_instance = making.order.from_instance;
        let primary = if from_instance { Side::ManagedInstance } else { Side::SqlServer };
        let owner = if from_instance { &making.instance } else { partner };
        let left = |name: &String| {
            self.links.values().find_map(|link| {
                let here = link.side_of(owner) == Some(primary) && link.left_by(primary);
                let place = link.place_on(primary, name).filter(|_| here)?;
                Some(link.member(primary).copies[place].log.len())
            })
        };
        making.order.databases.iter().map(|name| left(name).unwrap_or(usize::MAX)).collect()
    }

    /// What a new link of an instance has in common with those that it has already.
    pub(super) fn like_other_links(&self, instance: &str) -> LinkSpec {
        let plain = LinkSpec::plain();
        let other = self.links.values().find(|link| link.side_of(instance).is_some());
        other.map_or(plain.clone(), |other| LinkSpec {
            log: other.log.clone(),
            failover: other.failover.clone(),
            unconfirmed: other.unconfirmed.clone(),
            ..plain
        })
    }

    /// An earlier link of that name is known by another one from now on: what it has left on its
    /// instances is still there, and so is the truth about it.
    pub(super) fn rename_former(&mut self, name: &str) {
        let Some(mut former) = self.links.remove(name) else { return };
        let mut numbered = (1_u32..).map(|number| format!("{name}~{number}"));
        let free = numbered.find(|name| !self.links.contains_key(name)).unwrap_or_default();
        for workload in self.workloads.values_mut().filter(|it| it.link == name) {
            workload.link.clone_from(&free);
        }
        for id in &self.active {
            if let Some(operation) = self.operations.get_mut(id).filter(|it| it.link == name) {
                operation.link.clone_from(&free);
            }
        }
        self.ledger.rename(name, &free);
        former.name.clone_from(&free);
        self.links.insert(free, former);
    }

    /// What an instance sends, or gets, to begin a link, and what it last has.
    #[must_use]
    pub fn seeding(&self, at: &str) -> Vec<SeedingFacts> {
        let ended = self.instance(at).into_iter().flat_map(|instance| &instance.seedings);
        let mut rows: Vec<SeedingFacts> = ended.cloned().collect();
        rows.extend(self.joining_facts(at));
        let makings = self.azure.makings.values().filter(|making| !making.is_broken());
        rows.extend(makings.flat_map(|making| self.seeding_of(making, at)));
        rows
    }

    /// Keeps what views tell of a seeding that has ended.
    pub(super) fn note_seeded(&mut self, making: &Making, error: Option<u32>) {
        let Some(partner) = making.partner.clone() else { return };
        for at in [partner, making.instance.clone()] {
            let mut rows = self.seeding_of(making, &at);
            rows.iter_mut().for_each(|row| row.ended = Some((self.now, error)));
            let Some(instance) = self.instances.get_mut(&at) else { continue };
            instance.seedings.extend(rows);
            let most = instance.seedings.len().saturating_sub(SEEDINGS_KEPT);
            instance.seedings.drain(..most);
        }
    }

    /// The databases that are on their way to an instance, and since when.
    pub(in crate::world) fn arriving(&self, at: &str) -> Vec<(String, Timestamp)> {
        let makings = self.azure.makings.values().filter(|making| !making.is_broken());
        let to = makings.filter_map(|making| {
            let (_, to) = making.path(making.partner.as_deref()?);
            (to == at).then_some((making, making.seeding?))
        });
        let names =
            to.flat_map(|(making, begun)| making.order.databases.iter().map(move |it| (it, begun)));
        let mut all: Vec<(String, Timestamp)> =
            names.map(|(name, begun)| (name.clone(), begun)).collect();
        all.extend(self.joining_at(at));
        all
    }

    fn seeding_of(&self, making: &Making, at: &str) -> Vec<SeedingFacts> {
        let mut rows = Vec::new();
        if let (Some(partner), Some(start)) = (&making.partner, making.seeding) {
            if partner != at && making.instance != at {
                return rows;
            }
            let Some(sql) = self.instances.get(partner) else { return rows };
            let Some(group) = sql.groups.distributed(&making.order.name) else { return rows };
            let is_source = (making.instance == at) == making.order.from_instance;
            let known = self.databases(at);
            let count = making.order.databases.len() as u64;
            for name in &making.order.databases {
                let found = known.iter().find(|it| it.name.eq_ignore_ascii_case(name));
                let id = sql.groups.local(&group.own).map_or(group.id, |own| own.database_id(name));
                rows.push(SeedingFacts {
                    group_id: group.id,
                    group_database_id: id,
                    remote_replica_id: if making.instance == at {
                        group.replica_id
                    } else {
                        group.other_id
                    },
                    operation_id: crate::world::Guid(group.id.0 ^ id.0),
                    database: name.clone(),
                    database_id: found.map_or(0, |it| it.database_id),
                    remote: if making.instance == at {
                        partner.clone()
                    } else {
                        making.instance.clone()
                    },
                    is_source,
                    start,
                    bytes: (making.seeded_kb * 1_024 / count, making.total_kb() * 1_024 / count),
                    rate: making.seeded_in_s * 1_024,
                    attempts: making.attempts,
                    ended: None,
                });
            }
        }
        rows
    }
}
