//! Commits: who may make them, and when the application gets to know.
//!
//! In asynchronous commit that is at once. Where a primary commits synchronously and its secondary
//! keeps up, a commit waits until the primary hears that the secondary has hardened it. Each side
//! has its own mode and its own waiting commits: what the other one is or does counts as far as it
//! was heard.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    Copy, DatabaseState, Instance, Link, Lsn, Party, Power, Role, Side, SqlError, Workload, World,
    fault::Faults, log::RecordKind, reach, views::Access,
};

/// A commit that is on the primary's disk while its application waits.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// Where it waits.
    pub(crate) side: Side,
    /// The instance that has it: after a local failover the new primary replica knows nobody who
    /// waited at the old one.
    at: String,
    pub(crate) database: usize,
    /// The length of the primary's log with it.
    upto: usize,
    /// Whether it waits for the other side.
    pub(crate) mirrored: bool,
    /// Until then it waits for the disk, where that is slow.
    until: Timestamp,
    pub(crate) record: usize,
    /// Whoever waits; none where nobody has to be reached.
    party: Option<Party>,
    /// The application; none for a session.
    pub(crate) workload: Option<String>,
    /// Which of its sessions.
    pub(crate) slot: usize,
    pub(crate) since: Timestamp,
}

/// Who commits, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct By<'a> {
    pub(super) who: Committer<'a>,
    /// Whether the answer would arrive now.
    pub(super) told: bool,
    /// What the disk needs.
    pub(super) disk: SignedDuration,
}

/// Who commits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Committer<'a> {
    /// Somebody inside the world, who always gets to know.
    Inside,
    /// A session, from that end of a path, and how it is told of.
    Session(&'a Party, &'a str),
    /// An application, and which of its sessions.
    Application(&'a str, usize, &'a Party),
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
        let Some(instance) = self.instances.get(at) else { return Err(read_only()) };
        instance.has_data_room(database)?;
        let found = self.links.values_mut().find_map(|link| {
            let side = link.side_of(at)?;
            let place = link.place_on(side, database)?;
            if let Err(full) = link.make_room(side, place, bytes, instance) {
                return Some(Err(full));
            }
            let disk = SignedDuration::ZERO;
            let by = By { who: Committer::Inside, told: true, disk };
            let (lsn, _) = write(link, side, place, bytes, by, now);
            Some(Ok(lsn))
        });
        found.unwrap_or_else(|| Err(read_only()))
    }

    /// Tells applications of the commits that need not wait any longer.
    pub(super) fn settle_pending(&mut self) {
        let waiting = self.links.iter().filter(|(_, link)| !link.pending.is_empty());
        let names: Vec<String> = waiting.map(|(name, _)| name.clone()).collect();
        self.settle_pending_of(&names);
    }

    pub(super) fn settle_pending_of(&mut self, names: &[String]) {
        for name in names {
            if let Some(link) = self.links.get_mut(name).filter(|link| !link.pending.is_empty()) {
                settle(link, &mut self.workloads, &self.instances, &self.faults, self.now);
            }
        }
    }
}

impl Link {
    /// Says whose the last record of a database is.
    fn sign(&mut self, database: usize, by: Option<&str>) {
        let Some(by) = by else { return };
        let records = &mut self.databases[database].records;
        // Most commits are of few sessions: what they are called is kept once.
        let recent = records.iter().rev().skip(1).take(8).filter_map(|record| record.by.as_ref());
        let known = recent.into_iter().find(|known| known.as_ref() == by).cloned();
        if let Some(last) = records.last_mut() {
            last.by = Some(known.unwrap_or_else(|| by.into()));
        }
    }

    /// When a commit that waits for the disk need not wait for it any longer.
    pub(super) fn next_commit(&self, now: Timestamp) -> Option<Timestamp> {
        self.pending.iter().map(|pending| pending.until).filter(|until| *until > now).min()
    }

    /// Sets the commit mode as one side has it; it counts while that side is primary, unless a role
    /// change has a mode of its own.
    pub(super) fn set_commit_mode(&mut self, side: Side, modes: [bool; 2]) {
        let member = self.member_mut(side);
        if member.modes == modes {
            return;
        }
        member.modes = modes;
        if member.role == Role::Primary && !member.mode() {
            member.copies.iter_mut().for_each(|copy| copy.synchronized = false);
        }
    }
}

/// Whether a side of a link would commit what an application sends it for a database.
pub(super) fn takes_writes(
    link: &Link,
    side: Side,
    database: usize,
    instances: &BTreeMap<String, Instance>,
    now: Timestamp,
) -> bool {
    let member = link.member(side);
    let open = |copy: &Copy| copy.state == DatabaseState::Online && !copy.gone;
    member.role == Role::Primary
        && !member.draining
        && member.copies.get(database).is_some_and(open)
        && instances.get(&member.instance).is_some_and(|instance| {
            let name = &link.databases[database].name;
            let made = instance.setup.database(name).takes_writes();
            let room =
                link.has_log_room(side, database, instance) && instance.has_data_room(name).is_ok();
            made && room && instance.is_up() && member.acts_by(instance, now)
        })
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
    if let Some(most) = faults.throttle_of(&workload.party, &target.party) {
        // A path that is still busy with the last commit makes the next one wait.
        if now < workload.carried {
            return;
        }
        let micros = u64::from(workload.bytes) * 1_000 / u64::from(most.max(1));
        let micros = i64::try_from(micros).unwrap_or(i64::MAX);
        workload.carried = now + SignedDuration::from_micros(micros);
    }
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
    let database = workload.database;
    let takes = |side: &Side| sent && takes_writes(link, *side, database, instances, now);
    let committed = side.filter(takes);
    let Some(side) = committed else { return workload.refuse(now) };
    workload.slots[slot].last = Some(now);
    if link.make_room(side, workload.database, workload.bytes, target).is_err() {
        return workload.refuse(now);
    }
    let told = reach::reach(instances, faults, &target.party, &workload.party).is_open();
    let who = Committer::Application(&workload.name, slot, &workload.party);
    let by = By { who, told, disk: target.commit_delay };
    let (_, waits) = write(link, side, database, workload.bytes, by, now);
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
    by: By<'_>,
    now: Timestamp,
) -> (Lsn, bool) {
    let member = link.member(side);
    let mirrored = member.mode() && member.copies[database].synchronized;
    let waits = mirrored || by.disk.is_positive();
    let kind = RecordKind::Commit { acknowledged: by.told && !waits };
    let lsn = link.append(side, database, bytes, kind, now).commit_slot();
    let by_whom = match by.who {
        Committer::Inside => None,
        Committer::Session(_, session) => Some(session.to_owned()),
        Committer::Application(_, slot, party) => Some(format!("{party}, session {slot}")),
    };
    link.sign(database, by_whom.as_deref());
    if waits {
        let upto = link.member(side).copies[database].log.len();
        let record = link.databases[database].records.len() - 1;
        let (workload, slot, party) = match by.who {
            Committer::Inside => (None, 0, None),
            Committer::Session(party, _) => (None, 0, Some(party.clone())),
            Committer::Application(name, slot, party) => {
                (Some(name.to_owned()), slot, Some(party.clone()))
            }
        };
        link.pending.push(Pending {
            side,
            at: link.member(side).instance.clone(),
            database,
            upto,
            mirrored,
            until: now + by.disk,
            record,
            party,
            workload,
            slot,
            since: now,
        });
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
    for pending in std::mem::take(&mut link.pending) {
        let member = link.member(pending.side);
        let power = instances.get(&pending.at).map(Instance::power);
        let serves = member.role == Role::Primary && member.instance == pending.at;
        match power {
            // It answers nobody now; whoever waits goes on waiting.
            Some(Power::Hung | Power::Frozen) => {
                link.pending.push(pending);
                continue;
            }
            Some(Power::Running) if serves => {}
            // Its server is gone, or is no primary any more: nobody ever hears of it.
            Some(Power::Running | Power::Stopped) | None => {
                if let Some(workload) = named(workloads, pending.workload.as_deref()) {
                    workload.refuse(now);
                }
                continue;
            }
        }
        let copy = &member.copies[pending.database];
        let held = pending.mirrored && member.mode() && copy.synchronized;
        let hardened = copy.heard.is_some_and(|heard| heard.hardened >= pending.upto);
        if (held && !hardened) || now < pending.until {
            link.pending.push(pending);
            continue;
        }
        let server = Party::Instance(pending.at.clone());
        let told = pending
            .party
            .as_ref()
            .is_none_or(|party| reach::reach(instances, faults, &server, party).is_open());
        let workload = named(workloads, pending.workload.as_deref());
        let record = &mut link.databases[pending.database].records[pending.record];
        record.kind = RecordKind::Commit { acknowledged: told };
        if let Some(workload) = workload {
            if told { workload.acknowledge(now) } else { workload.refuse(now) }
        }
        if pending.mirrored {
            let copy = &mut link.member_mut(pending.side).copies[pending.database];
            copy.mirrored.note(now.duration_since(pending.since));
        }
    }
}

fn named<'w>(
    workloads: &'w mut BTreeMap<String, Workload>,
    name: Option<&str>,
) -> Option<&'w mut Workload> {
    workloads.get_mut(name?)
}
