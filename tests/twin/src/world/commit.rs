//! Commits: who may make them, and when the application gets to know.
//!
//! In asynchronous commit that is at once. While a planned failover has the link in synchronous
//! commit and the secondary keeps up, a commit waits until the secondary has hardened it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    DatabaseState, Instance, Link, Lsn, Party, Power, Role, Side, SqlError, Workload, World,
    fault::Faults, log::RecordKind, reach, views::Access,
};

/// A commit that is on the primary's disk while its application waits.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) database: usize,
    /// The length of the primary's log with it.
    upto: usize,
    pub(crate) record: usize,
    /// The application; none for a session.
    pub(crate) workload: Option<String>,
    /// Which of its sessions.
    pub(crate) slot: usize,
    pub(crate) since: Timestamp,
}

impl World {
    /// Commits a transaction of `bytes` of log in a database, as a session would.
    ///
    /// # Errors
    /// 3906 on a secondary, and those of [`World::access`].
    pub fn commit(&mut self, at: &str, database: &str, bytes: u32) -> Result<Lsn, SqlError> {
        let read_only = || {
            let text = format!(
                "Failed to update database \"{database}\" because the database is read-only."
            );
            SqlError::new(3_906, &text)
        };
        match self.access(at, database)? {
            Access::Read => return Err(read_only()),
            Access::Write => {}
        }
        let now = self.now;
        let found = self.links.values_mut().find_map(|link| {
            let side = link.side_of(at).filter(|side| !link.gone_from(*side))?;
            let place = link.databases.iter().position(|db| db.name == database)?;
            if let Err(full) = link.make_room(side, place, bytes) {
                return Some(Err(full));
            }
            let (lsn, _) = write(link, side, place, bytes, None, true, now);
            Some(Ok(lsn))
        });
        found.unwrap_or_else(|| Err(read_only()))
    }

    /// Tells applications of the commits that need not wait any longer.
    pub(super) fn settle_pending(&mut self) {
        for link in self.links.values_mut() {
            if !link.pending.is_empty() {
                settle(link, &mut self.workloads, &self.instances, &self.faults, self.now);
            }
        }
    }
}

impl Link {
    /// Sets the commit mode as one side has it; the primary's counts.
    pub(super) fn set_commit_mode(&mut self, side: Side, synchronous: bool) {
        self.member_mut(side).synchronous = synchronous;
        self.settle_commit_mode();
    }

    /// Commits wait as the primary is told, unless a role change has a mode of its own.
    pub(super) fn settle_commit_mode(&mut self) {
        let wanted = self.member(self.rightful).synchronous;
        if self.running.is_some() || self.synchronous == wanted {
            return;
        }
        self.synchronous = wanted;
        for member in &mut self.members {
            member.copies.iter_mut().for_each(|copy| copy.synchronized = false);
        }
    }
}

/// Whether a side of a link would commit what an application sends it.
pub(super) fn takes_writes(
    link: &Link,
    side: Side,
    instances: &BTreeMap<String, Instance>,
    now: Timestamp,
) -> bool {
    let member = link.member(side);
    member.role == Role::Primary
        && !link.draining
        && instances.get(&member.instance).is_some_and(|instance| {
            let open = |name: &str| instance.setup.database(name).takes_writes();
            instance.is_up() && member.acts_by(instance, now) && link.databases().any(open)
        })
        && member.copies.iter().any(|copy| copy.state == DatabaseState::Online)
}

/// An application's next commit, where its connection string points.
pub(super) fn attempt(
    workload: &mut Workload,
    link: &mut Link,
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
    now: Timestamp,
) {
    let slot = workload.turn;
    workload.turn = (slot + 1) % workload.slots.len();
    let Some(target) =
        link.led_to(&workload.target, instances, now).and_then(|name| instances.get(name))
    else {
        // A listener without anybody behind it refuses.
        workload.slots[slot].at = None;
        return workload.refuse(now);
    };
    let sent = reach::reach(instances, faults, &workload.party, &target.party).is_open();
    if sent && !workload.is_connected(slot, target, link, now) {
        // A broken session is noticed by an error; a closed one is opened before it is used.
        let broken = workload.slots[slot].at.is_some();
        let admitted = workload.connect(slot, target, link, now);
        if broken || !admitted {
            return workload.refuse(now);
        }
    }
    let side = link.side_of(&target.name);
    let name = &link.databases[workload.database].name;
    let open = target.setup.database(name).takes_writes();
    let committed = side.filter(|side| sent && open && takes_writes(link, *side, instances, now));
    let Some(side) = committed else { return workload.refuse(now) };
    workload.slots[slot].last = Some(now);
    if link.make_room(side, workload.database, workload.bytes).is_err() {
        return workload.refuse(now);
    }
    let told = reach::reach(instances, faults, &target.party, &workload.party).is_open();
    let (database, bytes) = (workload.database, workload.bytes);
    let who = Some((workload.name.as_str(), slot));
    let (_, waits) = write(link, side, database, bytes, who, told, now);
    if waits {
        return;
    }
    if told { workload.acknowledge(now) } else { workload.refuse(now) }
}

/// Puts a commit into the log; `true` if whoever made it has to wait.
pub(super) fn write(
    link: &mut Link,
    side: Side,
    database: usize,
    bytes: u32,
    who: Option<(&str, usize)>,
    told: bool,
    now: Timestamp,
) -> (Lsn, bool) {
    let waits = link.synchronous && link.member(side).copies[database].synchronized;
    let kind = RecordKind::Commit { acknowledged: told && !waits };
    let lsn = link.append(side, database, bytes, kind, now).commit_slot();
    if waits {
        let upto = link.member(side).copies[database].log.len();
        let record = link.databases[database].records.len() - 1;
        let workload = who.map(|(name, _)| name.to_owned());
        let slot = who.map_or(0, |(_, slot)| slot);
        link.pending.push(Pending { database, upto, record, workload, slot, since: now });
    }
    (lsn, waits)
}

fn settle(
    link: &mut Link,
    workloads: &mut BTreeMap<String, Workload>,
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
    now: Timestamp,
) {
    let power = |side: &Side| instances.get(&link.member(*side).instance).map(Instance::power);
    let primary = link.pending_on().filter(|side| power(side) != Some(Power::Stopped));
    if primary.is_some_and(|side| power(&side) != Some(Power::Running)) {
        // It answers nobody now; whoever waits goes on waiting.
        return;
    }
    for pending in std::mem::take(&mut link.pending) {
        let Some(primary) = primary else {
            // Its server is gone, or is no primary any more: the application never hears of it.
            if let Some(workload) = named(workloads, pending.workload.as_deref()) {
                workload.refuse(now);
            }
            continue;
        };
        let copy = &link.member(primary).copies[pending.database];
        let held = link.synchronous && copy.synchronized;
        let hardened = copy.heard.is_some_and(|heard| heard.hardened >= pending.upto);
        if held && !hardened {
            link.pending.push(pending);
            continue;
        }
        let server = Party::Instance(link.member(primary).instance.clone());
        let workload = named(workloads, pending.workload.as_deref());
        let told = workload.as_ref().is_none_or(|workload| {
            reach::reach(instances, faults, &server, &workload.party).is_open()
        });
        let record = &mut link.databases[pending.database].records[pending.record];
        record.kind = RecordKind::Commit { acknowledged: told };
        if let Some(workload) = workload {
            if told { workload.acknowledge(now) } else { workload.refuse(now) }
        }
        let copy = &mut link.member_mut(primary).copies[pending.database];
        copy.mirrored.note(now.duration_since(pending.since));
    }
}

fn named<'w>(
    workloads: &'w mut BTreeMap<String, Workload>,
    name: Option<&str>,
) -> Option<&'w mut Workload> {
    workloads.get_mut(name?)
}
