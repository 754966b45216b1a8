//! Tables of databases, and what sessions have changed in them and not yet committed.
//!
//! A commit puts one record into the log, and what the database holds from then on beside it. What
//! a copy of the database shows is what belongs to the last record that it has redone: so it ships,
//! survives or is undone with the log. Databases that are in no link keep theirs on their instance.
//!
//! Whoever has changed a table has it locked until its transaction ends. Nothing smaller is locked.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Instance, Link, Party, Session, Side, SqlError, World,
    commit::{By, Committer, write},
    log::RecordKind,
    reach,
    views::Access,
};
use crate::tables::{Changes, Contents, Table};

/// So many states of a database are kept before those are dropped that nobody can go back to.
const KEPT: usize = 64;

/// What a session has changed, by lower-case name of the database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    databases: BTreeMap<String, Changed>,
    /// Save points, the last one last.
    saved: Vec<(String, BTreeMap<String, Changed>)>,
    /// Whose lock it waits for.
    waits_for: Option<u16>,
}

#[derive(Clone, Debug)]
struct Changed {
    name: String,
    tables: Changes,
    bytes: u64,
    /// Since when the database has been in its role: a change of role ends the transaction.
    since: Timestamp,
}

impl Work {
    /// The database that it has written to; of several the first by name.
    pub(super) fn writes(&self) -> Option<String> {
        let mut changed = self.databases.values().filter(|changed| changed.bytes > 0);
        changed.next().map(|changed| changed.name.clone())
    }
}

/// Why a table cannot be had.
#[derive(Debug)]
pub(crate) enum Barred {
    /// Another session has it locked.
    By(u16),
    No(SqlError),
}

/// A commit that waits for the other side.
#[derive(Clone, Debug)]
pub(crate) struct Mirroring {
    link: String,
    database: usize,
    record: usize,
}

/// What has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Waits,
    Done,
    /// Nobody will ever say.
    Unknown,
}

/// What databases of a link hold after some of their records.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(BTreeMap<u32, Arc<Contents>>);

impl History {
    /// The state that belongs to the last of these records that has one.
    fn at(&self, log: &[u32]) -> Option<&Arc<Contents>> {
        self.0.iter().rev().find(|(id, _)| log.binary_search(id).is_ok()).map(|(_, state)| state)
    }
}

impl History {
    /// Records are forgotten of which the log had these, and `first` is the first that is left: what
    /// the tables held before it they hold with it.
    pub(super) fn rebase(&mut self, gone: &[u32], first: u32) {
        let kept = self.0.split_off(&first);
        let before = std::mem::take(&mut self.0);
        let base = before.into_iter().rev().find(|(id, _)| gone.binary_search(id).is_ok());
        self.0.extend(base.map(|(_, state)| (0, state)));
        self.0.extend(kept.into_iter().map(|(id, state)| (id - first, state)));
    }
}

impl World {
    /// What a table of a database is for a session; none if there is no such table. A `dirty` read
    /// sees what others have not committed, and waits for nobody.
    pub(crate) fn table(
        &self,
        at: &str,
        session: u16,
        database: &str,
        key: &str,
        dirty: bool,
    ) -> Result<Option<Arc<Table>>, Barred> {
        let contents = self.contents(at, database).map_err(Barred::No)?;
        if let Some(own) = self.changed(at, session, database, key) {
            return Ok(own.clone());
        }
        if let Some(holder) = self.holder(at, session, database, key) {
            let uncommitted = self.changed(at, holder, database, key).cloned().flatten();
            return if dirty { Ok(uncommitted) } else { Err(Barred::By(holder)) };
        }
        Ok(contents.and_then(|contents| contents.get(key).cloned()))
    }

    /// The tables of a database as a session's catalog shows them, whoever has them locked.
    pub(crate) fn tables(&self, at: &str, session: u16, database: &str) -> Vec<Arc<Table>> {
        let contents = self.contents(at, database).ok().flatten().unwrap_or_default();
        let own = self.work(at, session).and_then(|work| work.databases.get(&lower(database)));
        let shown = own.map_or(contents.clone(), |own| Arc::new(contents.changed(&own.tables)));
        shown.iter().map(|(_, table)| table.clone()).collect()
    }

    /// 3906 if a database cannot be written to, and the errors of [`World::access`].
    pub(crate) fn may_write(&self, at: &str, database: &str) -> Result<(), SqlError> {
        match self.access(at, database)? {
            Access::Write => Ok(()),
            Access::Read => {
                let text = format!(
                    "Failed to update database \"{database}\" because the database is read-only."
                );
                Err(SqlError::new(3_906, &text))
            }
        }
    }

    /// Takes note of what a session's transaction has made of a table.
    pub(crate) fn change_table(
        &mut self,
        at: &str,
        session: u16,
        database: &str,
        key: &str,
        (table, bytes): (Option<Arc<Table>>, u64),
    ) {
        let since = self.role_since(at, database);
        let Some(work) = self.work_mut(at, session) else { return };
        let changed = work.databases.entry(lower(database)).or_insert_with(|| Changed {
            name: database.to_owned(),
            tables: Changes::new(),
            bytes: 0,
            since,
        });
        changed.tables.insert(key.to_owned(), table);
        changed.bytes += bytes;
    }

    /// Commits what a session has changed.
    ///
    /// # Errors
    /// A database that takes no writes any more; nothing is committed then, and all is undone.
    pub(crate) fn commit_work(
        &mut self,
        at: &str,
        session: u16,
        party: &Party,
    ) -> Result<Vec<Mirroring>, SqlError> {
        let Some(work) = self.work_mut(at, session) else { return Ok(Vec::new()) };
        let work = std::mem::take(work);
        let found = self.instance(at).and_then(|it| it.sessions().find(|it| it.id == session));
        let signature = found.map_or_else(String::new, |found| {
            format!("{party}, session {session} of {} ({})", found.login, found.program)
        });
        for changed in work.databases.values() {
            self.may_write(at, &changed.name)?;
        }
        for changed in work.databases.values() {
            let bytes = u32::try_from(changed.bytes).unwrap_or(u32::MAX).max(512);
            let Some(instance) = self.instances.get(at) else { continue };
            if let Some((link, side, database)) = place(&mut self.links, at, &changed.name) {
                link.make_room(side, database, bytes, instance)?;
            }
        }
        let now = self.now;
        let mut waiting = Vec::new();
        for changed in work.databases.values() {
            let contents = self.contents(at, &changed.name)?.unwrap_or_default();
            let contents = Arc::new(contents.changed(&changed.tables));
            let Some(instance) = self.instances.get(at) else { continue };
            let told = reach::reach(&self.instances, &self.faults, &instance.party, party);
            let disk = instance.commit_delay;
            let Some((link, side, database)) = place(&mut self.links, at, &changed.name) else {
                if let Some(instance) = self.instances.get_mut(at) {
                    instance.contents.insert(lower(&changed.name), contents);
                }
                continue;
            };
            let bytes = u32::try_from(changed.bytes).unwrap_or(u32::MAX).max(512);
            let who = Committer::Session(party, &signature);
            let by = By { who, told: told.is_open(), disk };
            let (_, waits) = write(link, side, database, bytes, by, now);
            let record = link.databases[database].records.len() - 1;
            link.remember(database, record, contents);
            let record = record + link.databases[database].forgotten.records;
            if waits {
                waiting.push(Mirroring { link: link.name.clone(), database, record });
            }
        }
        Ok(waiting)
    }

    /// Whether a commit still waits for the other side.
    pub(crate) fn mirrored(&self, commit: &Mirroring) -> Fate {
        let Some(link) = self.link(&commit.link) else { return Fate::Unknown };
        let database = link.databases.get(commit.database);
        let before = database.map_or(0, |database| database.forgotten.records);
        let same = |p: &&super::commit::Pending| {
            p.database == commit.database && p.record + before == commit.record
        };
        if link.pending.iter().any(|pending| same(&pending)) {
            return Fate::Waits;
        }
        let place = commit.record.checked_sub(before);
        let record = database.zip(place).and_then(|(database, at)| database.records.get(at));
        match record.map(|record| record.kind) {
            Some(RecordKind::Commit { acknowledged: true }) => Fate::Done,
            Some(RecordKind::Commit { .. } | RecordKind::Background) | None => Fate::Unknown,
        }
    }

    /// Undoes what a session has changed.
    pub(crate) fn discard_work(&mut self, at: &str, session: u16) {
        if let Some(work) = self.work_mut(at, session) {
            *work = Work::default();
        }
    }

    /// SAVE TRANSACTION.
    pub(crate) fn save_work(&mut self, at: &str, session: u16, name: &str) {
        if let Some(work) = self.work_mut(at, session) {
            let state = work.databases.clone();
            work.saved.push((lower(name), state));
        }
    }

    /// ROLLBACK TRANSACTION to a save point; `false` if there is none of that name.
    pub(crate) fn restore_work(&mut self, at: &str, session: u16, name: &str) -> bool {
        let Some(work) = self.work_mut(at, session) else { return false };
        let Some(found) = work.saved.iter().rposition(|(saved, _)| *saved == lower(name)) else {
            return false;
        };
        work.databases = work.saved[found].1.clone();
        work.saved.truncate(found + 1);
        true
    }

    /// Takes note of whose lock a session waits for; `true` if that one waits for it in turn.
    pub(crate) fn note_lock_wait(&mut self, at: &str, session: u16, holder: Option<u16>) -> bool {
        if let Some(work) = self.work_mut(at, session) {
            work.waits_for = holder;
        }
        let mut next = holder;
        // Each session waits for one other: the chain is not longer than there are sessions.
        for _ in 0..=usize::from(u16::MAX) {
            match next {
                None => return false,
                Some(found) if found == session => return true,
                Some(found) => next = self.work(at, found).and_then(|work| work.waits_for),
            }
        }
        false
    }

    /// Whether a change of role has ended a session's transaction, and so the session.
    pub(super) fn is_stale(&self, at: &str, work: &Work) -> bool {
        work.databases.values().any(|changed| changed.since != self.role_since(at, &changed.name))
    }

    /// Whether a change of role has ended a session, because it was in the database. Whoever has
    /// ordered it still hears how it went; that a link is made ends nobody's.
    pub(super) fn is_thrown_out(&self, at: &str, session: &Session) -> bool {
        let inside = |(link, side): (&Link, Side)| {
            let since = link.member(side).changed;
            let here = link.databases().any(|name| name.eq_ignore_ascii_case(&session.database));
            here && since > link.created && session.entered < since
        };
        let orders = session.request.as_ref().is_some_and(|request| request.operation.is_some());
        self.is_stale(at, &session.work) || (!orders && self.sights(at).any(inside))
    }

    fn contents(&self, at: &str, database: &str) -> Result<Option<Arc<Contents>>, SqlError> {
        self.access(at, database)?;
        Ok(self.contents_of(at, database))
    }

    /// What a database holds, whether or not anybody may read it.
    pub(super) fn contents_of(&self, at: &str, database: &str) -> Option<Arc<Contents>> {
        let linked = self
            .sights(at)
            .find_map(|(link, side)| Some((link, side, link.place_on(side, database)?)));
        match linked {
            Some((link, side, place)) => {
                let copy = &link.member(side).copies[place];
                let redone = copy.log.get(..copy.redone).unwrap_or(&copy.log);
                link.databases[place].history.at(redone).cloned()
            }
            None => {
                self.instance(at).and_then(|found| found.contents.get(&lower(database))).cloned()
            }
        }
    }

    fn changed(
        &self,
        at: &str,
        session: u16,
        database: &str,
        key: &str,
    ) -> Option<&Option<Arc<Table>>> {
        self.work(at, session)?.databases.get(&lower(database))?.tables.get(key)
    }

    /// Another session that has changed a table.
    fn holder(&self, at: &str, session: u16, database: &str, key: &str) -> Option<u16> {
        let database = lower(database);
        let others = self.instance(at)?.sessions().filter(|other| other.id != session);
        let mut holding = others.filter(|other| {
            let changed = other.work.databases.get(&database);
            changed.is_some_and(|changed| changed.tables.contains_key(key))
                && !self.is_stale(at, &other.work)
        });
        holding.next().map(|other| other.id)
    }

    fn role_since(&self, at: &str, database: &str) -> Timestamp {
        let linked = self.sights(at).find(|(link, side)| link.place_on(*side, database).is_some());
        match linked {
            Some((link, side)) => link.member(side).changed,
            None => self.instance(at).map_or(Timestamp::MIN, Instance::started),
        }
    }

    fn work(&self, at: &str, session: u16) -> Option<&Work> {
        self.instance(at)?.sessions.get(&session).map(|session| &session.work)
    }

    fn work_mut(&mut self, at: &str, session: u16) -> Option<&mut Work> {
        let session = self.instances.get_mut(at)?.sessions.get_mut(&session)?;
        Some(&mut session.work)
    }
}

impl Link {
    /// What a database holds from a record on.
    pub(super) fn remember(&mut self, database: usize, record: usize, contents: Arc<Contents>) {
        let Ok(record) = u32::try_from(record) else { return };
        let logs = [0, 1].map(|side: usize| {
            let copy = &self.members[side].copies[database];
            copy.log.get(..copy.redone).unwrap_or(&copy.log)
        });
        let history = &self.databases[database].history;
        // What both have in common and have redone is never undone again.
        let both = |id: &&u32| logs.iter().all(|log| log.binary_search(id).is_ok());
        let base = if history.0.len() < KEPT {
            None
        } else {
            history.0.keys().rev().find(|id| both(id)).copied()
        };
        let history = &mut self.databases[database].history.0;
        if let Some(base) = base {
            *history = history.split_off(&base);
        }
        history.insert(record, contents);
    }
}

fn place<'l>(
    links: &'l mut BTreeMap<String, Link>,
    at: &str,
    database: &str,
) -> Option<(&'l mut Link, Side, usize)> {
    links.values_mut().find_map(|link| {
        let side = link.side_of(at)?;
        let place = link.place_on(side, database)?;
        Some((link, side, place))
    })
}

fn lower(name: &str) -> String {
    name.to_lowercase()
}
