//! A database joins a link with several, or leaves it, while the link lives (mi-link 1.2, addendum
//! 12.7).
//!
//! Who joins is seeded over the path of the link and then moves with the others. Who leaves is what
//! the database of a deleted link is: two copies, each writable where it is. What the ledger knows of
//! it goes with it, as that of a link of its own which has ended.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    Guid, Link, LinkSpec, OwnDatabase, Role, SeedingFacts, Side, SqlError, World, contact,
    failover, replication,
};

/// A database on its way into a link.
#[derive(Clone, Debug)]
pub(super) struct Joining {
    pub(super) link: String,
    pub(super) database: String,
    id: Guid,
    next: Timestamp,
    begun: Timestamp,
    seeded_kb: u64,
    in_s: u64,
    /// The role of SQL Server when it began.
    primary: Side,
}

const LOOK: SignedDuration = SignedDuration::from_secs(1);

impl World {
    /// A database begins to be seeded into a link from its primary.
    pub(super) fn begin_joining(&mut self, link: &str, database: &str) {
        let Some(primary) = self.links.get(link).and_then(Link::only_primary) else { return };
        let is = |it: &Joining| it.link == link && it.database.eq_ignore_ascii_case(database);
        if self.joinings.iter().any(is) {
            return;
        }
        let id = Guid::random(&mut self.rng);
        let (link, database) = (link.to_owned(), database.to_owned());
        let (begun, next) = (self.now, self.now + LOOK);
        self.joinings.push(Joining {
            link,
            database,
            id,
            next,
            begun,
            seeded_kb: 0,
            in_s: 0,
            primary,
        });
    }

    /// Whether a database is on its way into a link.
    pub(super) fn joins(&self, link: &str) -> bool {
        self.joinings.iter().any(|joining| joining.link == link)
    }

    /// When somebody who joins is looked at next.
    pub(super) fn next_joining(&self) -> Option<Timestamp> {
        self.joinings.iter().map(|joining| joining.next).min()
    }

    /// Seeding goes on, as long as the two sides are in contact; a change of roles ends it.
    pub(super) fn step_joinings(&mut self) {
        let now = self.now;
        for mut joining in std::mem::take(&mut self.joinings) {
            if joining.next > now {
                self.joinings.push(joining);
                continue;
            }
            joining.next = now + LOOK;
            let found = self.links.get(&joining.link);
            let lives = |link: &&Link| {
                let sides = [Side::SqlServer, Side::ManagedInstance];
                sides.into_iter().all(|side| !link.left_by(side))
            };
            let Some(link) = found.filter(lives) else { continue };
            if link.only_primary() != Some(joining.primary) {
                continue;
            }
            let ends = [joining.primary, joining.primary.other()];
            let passes = |side| replication::passes(link, side, &self.instances, &self.faults);
            if !ends.into_iter().all(|side| link.member(side).connected && passes(side)) {
                // Seeding is not resumed where it was, but begun again (mi-link 10).
                (joining.seeded_kb, joining.in_s) = (0, 0);
                self.joinings.push(joining);
                continue;
            }
            let [from, to] = ends.map(|side| link.member(side).instance.clone());
            let (most, total) = (link.log.bandwidth_kb_s, u64::from(link.log.data_mb) << 10);
            joining.in_s = self.seed_for_a_second(&from, &to, most);
            joining.seeded_kb += joining.in_s;
            if joining.seeded_kb < total {
                self.joinings.push(joining);
            } else {
                self.join(&joining);
            }
        }
    }

    fn join(&mut self, joining: &Joining) {
        let (now, primary) = (self.now, joining.primary);
        let Some(link) = self.links.get(&joining.link) else { return };
        let [sql, managed] = [Side::SqlServer, Side::ManagedInstance].map(|side| link.member(side));
        let spec = LinkSpec {
            name: format!("{}+{}", link.name, joining.id),
            sql_server: sql.instance.clone(),
            managed_instance: managed.instance.clone(),
            sql_group: sql.group.clone(),
            instance_group: managed.group.clone(),
            databases: vec![joining.database.clone()],
            primary,
            log: link.log.clone(),
            failover: link.failover.clone(),
            unconfirmed: link.unconfirmed.clone(),
            ..LinkSpec::plain()
        };
        let ends = [spec.sql_server.clone(), spec.managed_instance.clone()];
        let backups =
            ends.clone().map(|name| self.instances.get(&name).map_or(0, |it| it.backups.len()));
        let mut fresh = Link::new(&spec, &mut self.instances, 0, &mut self.rng, now);
        for ((name, before), side) in
            ends.iter().zip(backups).zip([Side::SqlServer, Side::ManagedInstance])
        {
            let Some(instance) = self.instances.get_mut(name) else { continue };
            instance.backups.truncate(before);
            if let Some(own) = instance.resource.take(&joining.database)
                && side == primary
            {
                fresh.member_mut(side).copies[0].database_id = own.database_id;
            }
        }
        self.take_over_copies(&mut fresh, primary, &[usize::MAX]);
        let Some(link) = self.links.get_mut(&joining.link) else { return };
        let place = link.databases.len();
        link.databases.append(&mut fresh.databases);
        for (member, other) in link.members.iter_mut().zip(&mut fresh.members) {
            member.copies.append(&mut other.copies);
        }
        if let Some(local) = link.member_mut(Side::SqlServer).local.as_deref_mut() {
            local.takes_in(&mut self.instances);
        }
        for workload in self.workloads.values_mut().filter(|it| it.link == fresh.name) {
            workload.link.clone_from(&link.name);
            workload.database = place;
        }
        replication::stop_flight(link);
        contact::handshake(link, primary, now);
        self.note_writers();
    }

    /// A database leaves a link that goes on without it.
    pub(super) fn part_with(&mut self, name: &str, database: &str) {
        let now = self.now;
        let taken = |name: &String| self.links.contains_key(name);
        let mut numbered = (1_u32..).map(|number| format!("{name}~{number}"));
        let free = numbered.find(|name| !taken(name)).unwrap_or_default();
        let Some(link) = self.links.get_mut(name) else { return };
        let Some(place) = link.databases().position(|it| it.eq_ignore_ascii_case(database)) else {
            return;
        };
        replication::stop_flight(link);
        let mut former = link.clone();
        link.remove(place);
        former.keep_only(place);
        former.name.clone_from(&free);
        (former.left, former.arm.deleted) = (Some(now), Some(now));
        (former.running, former.arm.trouble) = (None, None);
        let was = former.member(Side::ManagedInstance);
        let (role, changed, id) = (was.role, was.changed, was.copies[0].database_id);
        let managed = was.instance.clone();
        for side in [Side::SqlServer, Side::ManagedInstance] {
            contact::lose(&mut former, side, now);
            let member = former.member_mut(side);
            (member.lifted, member.draining, member.hands_over) = (false, false, None);
            let was_primary = member.role == Role::Primary;
            member.set_role(Role::Primary, now);
            member.copies[0].suspended = None;
            if !was_primary {
                failover::open_databases(&mut former, side);
            }
        }
        let name_of = former.databases[0].name.clone();
        if let Some(instance) = self.instances.get_mut(&managed) {
            let backed_up = instance.has_full_backup(&name_of, changed, now);
            former.arm.harmed = role == Role::Primary && changed > former.created && !backed_up;
            if role != Role::Primary {
                instance.backups.extend(failover::backups_after_failover(&former, now));
            }
            let own = OwnDatabase { name: name_of, created: now, database_id: id };
            instance.resource.databases.push(own);
        }
        for workload in self.workloads.values_mut().filter(|it| it.link == name) {
            if workload.database == place {
                workload.link.clone_from(&free);
                workload.database = 0;
            } else if workload.database > place {
                workload.database -= 1;
            }
        }
        self.ledger.part(name, place, &free, now);
        self.links.insert(free, former);
        self.settle_pending();
        self.note_writers();
    }

    /// `ALTER AVAILABILITY GROUP [group] ADD DATABASE` or `REMOVE DATABASE` for the local group of a
    /// link with several databases; `false` if it has one only.
    ///
    /// # Errors
    /// What the engine refuses: those of joining a group, and what the link's roles do not let.
    pub(super) fn change_members(
        &mut self,
        at: &str,
        (group, link): (&str, &str),
        database: &str,
        added: bool,
    ) -> Result<bool, SqlError> {
        let Some(found) = self.links.get(link).filter(|found| found.takes_several()) else {
            return Ok(false);
        };
        let known = found.databases().any(|name| name.eq_ignore_ascii_case(database));
        if found.member(Side::SqlServer).role != Role::Primary {
            let text = format!(
                "Availability group '{group}' cannot process the command: the local availability \
                 replica is not the primary replica of the distributed availability group."
            );
            return Err(SqlError::new(41_190, &text));
        }
        match (added, known) {
            (true, true) => Err(SqlError::new(
                35_280,
                &format!(
                    "Database '{database}' cannot be added to availability group '{group}'. The database is already joined to the specified availability group. Verify that the database name is correct and that the database is not joined to an availability group, then retry the operation."
                ),
            )),
            (true, false) => {
                self.may_join(at, group, database)?;
                self.begin_joining(link, database);
                Ok(true)
            }
            (false, false) => Err(SqlError::new(
                35_281,
                &format!(
                    "Database '{database}' cannot be removed from availability group '{group}'. The database is not joined to the specified availability group. Verify that the database name and the availability group name are correct, then retry the operation."
                ),
            )),
            (false, true) => {
                if found.databases.len() < 2 {
                    return Ok(false);
                }
                self.part_with(link, database);
                Ok(true)
            }
        }
    }

    /// The databases that are on their way to an instance, and since when.
    pub(super) fn joining_at<'a>(
        &'a self,
        at: &'a str,
    ) -> impl Iterator<Item = (String, Timestamp)> + 'a {
        let coming = move |it: &&Joining| it.path(&self.links).is_some_and(|(_, to, _)| to == at);
        self.joinings.iter().filter(coming).map(|it| (it.database.clone(), it.begun))
    }

    /// What an instance sends, or gets, of databases that join a link.
    pub(super) fn joining_facts(&self, at: &str) -> Vec<SeedingFacts> {
        let row = |joining: &Joining| {
            let link = self.links.get(&joining.link)?;
            let side = link.side_of(at)?;
            let other = link.member(side.other());
            let remote = self.instance(&other.instance)?;
            let known = self.databases(at);
            let id = known.iter().find(|it| it.name.eq_ignore_ascii_case(&joining.database));
            Some(SeedingFacts {
                group_id: link.id,
                group_database_id: joining.id,
                remote_replica_id: other.replica_id,
                operation_id: Guid(link.id.0 ^ joining.id.0),
                database: joining.database.clone(),
                database_id: id.map_or(0, |found| found.database_id),
                remote: remote.server_name.clone(),
                is_source: side == joining.primary,
                start: joining.begun,
                bytes: (joining.seeded_kb << 10, u64::from(link.log.data_mb) << 20),
                rate: joining.in_s << 10,
                attempts: 1,
                ended: None,
            })
        };
        self.joinings.iter().filter_map(row).collect()
    }
}

impl Joining {
    /// From whom to whom it is seeded, and how fast that could be, in KB/s.
    pub(super) fn path<'a>(
        &self,
        links: &'a BTreeMap<String, Link>,
    ) -> Option<(&'a str, &'a str, u32)> {
        let link = links.get(&self.link)?;
        let [from, to] =
            [self.primary, self.primary.other()].map(|side| link.member(side).instance.as_str());
        Some((from, to, link.log.bandwidth_kb_s))
    }
}

impl Link {
    /// Whether it is one that takes several databases.
    pub(super) fn takes_several(&self) -> bool {
        self.arm.several || self.databases.len() > 1
    }

    /// Forgets one of its databases.
    fn remove(&mut self, place: usize) {
        self.databases.remove(place);
        for member in &mut self.members {
            member.copies.remove(place);
        }
        if let Some(local) = self.member_mut(Side::SqlServer).local.as_deref_mut() {
            local.lets_go(place);
        }
        self.pending.retain(|pending| pending.database != place);
        for pending in &mut self.pending {
            pending.database -= usize::from(pending.database > place);
        }
    }

    /// Forgets all of its databases but one.
    fn keep_only(&mut self, place: usize) {
        self.databases = vec![self.databases.swap_remove(place)];
        for member in &mut self.members {
            member.copies = vec![member.copies.swap_remove(place)];
            member.local = None;
        }
        self.pending.retain(|pending| pending.database == place);
        self.pending.iter_mut().for_each(|pending| pending.database = 0);
    }
}
