//! The truth: what was committed and whether it lives, who could take writes, who commanded what.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{Lsn, OperationId, Origin, Side, SqlError, World, log::RecordKind};

/// A commit's number within its database; commits are numbered in the order in which they happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CommitId(pub u32);

/// One commit of an application or a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// Its number.
    pub id: CommitId,
    /// The database.
    pub database: String,
    /// Whose it is: the party, and its session with login and program; none of what nobody outside
    /// the world has made.
    pub by: Option<String>,
    /// Where it was made.
    pub side: Side,
    /// Its position.
    pub lsn: Lsn,
    /// When it was made.
    pub at: Timestamp,
    /// Whether the application got to know of it.
    pub acknowledged: bool,
    /// Whether it is on the SQL Server's disk now.
    pub on_sql_server: bool,
    /// Whether it is on the managed instance's disk now.
    pub on_managed_instance: bool,
}

/// Acknowledged commits that are not where the data lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// The side on which the data lives: the member that became primary last.
    pub surviving: Side,
    /// How many.
    pub count: u64,
    /// When the first of them was made.
    pub first: Option<Timestamp>,
    /// When the last of them was made.
    pub last: Option<Timestamp>,
    /// How many acknowledged commits there are in all.
    pub acknowledged: u64,
}

/// Which sides of a link could take writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Writers {
    /// SQL Server.
    pub sql_server: bool,
    /// The managed instance.
    pub managed_instance: bool,
}

/// A stretch of time in which the same sides could take writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interval {
    /// From when.
    pub from: Timestamp,
    /// Until when; open if it lasts.
    pub to: Option<Timestamp>,
    /// Which sides.
    pub writers: Writers,
}

/// A command that reached the world.
#[derive(Clone, Debug, Serialize)]
pub struct CommandRecord {
    /// When.
    pub at: Timestamp,
    /// The instance, or `arm`.
    pub target: String,
    /// From whom.
    pub who: Origin,
    /// What.
    pub command: CommandWords,
    /// The operation that it became.
    pub operation: Option<OperationId>,
    /// Why it was refused at once.
    pub refused: Option<String>,
    /// The number of that error; ARM has codes instead.
    pub error: Option<u32>,
}

/// A command as T-SQL or as a request to ARM, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandWords(pub String);

impl CommandWords {
    /// Whether it is a statement that only changes rows of a table.
    fn changes_rows(&self) -> bool {
        ["INSERT [", "UPDATE [", "DELETE [", "MERGE ["].iter().any(|verb| self.0.starts_with(verb))
    }
}

/// What happened so far. Commits are asked of the [`World`], which has the logs.
#[derive(Clone, Debug)]
pub struct Ledger {
    intervals: BTreeMap<String, Vec<Interval>>,
    /// The same of each database of a link, in the order of its databases.
    databases: BTreeMap<String, Vec<Vec<Interval>>>,
    commands: Vec<CommandRecord>,
    /// How many of them only changed rows.
    changes: usize,
    /// How many older ones there were.
    commands_forgotten: u64,
}

/// So many commands are remembered.
const COMMANDS_KEPT: usize = 100_000;
/// And of those that only change rows so many beside them: applications send them all the time.
const CHANGES_KEPT: usize = 50_000;
/// And so many are forgotten at once.
const COMMANDS_AT_ONCE: usize = 10_000;

impl Ledger {
    pub(super) fn new(links: impl Iterator<Item = String>, start: Timestamp) -> Ledger {
        let first = |link| (link, vec![Interval::nobody(start)]);
        Ledger {
            intervals: links.map(first).collect(),
            databases: BTreeMap::new(),
            commands: Vec::new(),
            changes: 0,
            commands_forgotten: 0,
        }
    }

    /// Who could take writes in a link, from the beginning, for any of its databases; the last
    /// interval is open. Of a link with several databases [`Ledger::intervals_of`] says more: two
    /// sides here may have served one database each.
    #[must_use]
    pub fn intervals(&self, link: &str) -> &[Interval] {
        self.intervals.get(link).map_or(&[], Vec::as_slice)
    }

    /// Who could take writes to one database of a link, by its place among them; from the beginning,
    /// and the last interval is open.
    #[must_use]
    pub fn intervals_of(&self, link: &str, place: usize) -> &[Interval] {
        let database = self.databases.get(link).and_then(|databases| databases.get(place));
        database.map_or(&[], Vec::as_slice)
    }

    /// The commands that reached the world, oldest first: the newest hundred thousand at least.
    #[must_use]
    pub fn commands(&self) -> &[CommandRecord] {
        &self.commands
    }

    /// How many commands there were before those.
    #[must_use]
    pub fn commands_forgotten(&self) -> u64 {
        self.commands_forgotten
    }

    pub(super) fn note_command(&mut self, record: CommandRecord) {
        let changes = record.command.changes_rows();
        let (there, kept) = match changes {
            true => (self.changes, CHANGES_KEPT),
            false => (self.commands.len() - self.changes, COMMANDS_KEPT),
        };
        if there >= kept + COMMANDS_AT_ONCE {
            let mut left = COMMANDS_AT_ONCE;
            self.commands.retain(|old| {
                let goes = left > 0 && old.command.changes_rows() == changes;
                left -= usize::from(goes);
                !goes
            });
            self.commands_forgotten += COMMANDS_AT_ONCE as u64;
            self.changes -= if changes { COMMANDS_AT_ONCE } else { 0 };
        }
        self.changes += usize::from(changes);
        self.commands.push(record);
    }

    /// A link begins.
    pub(super) fn open(&mut self, link: &str, at: Timestamp) {
        self.intervals.entry(link.to_owned()).or_insert_with(|| vec![Interval::nobody(at)]);
    }

    /// What was known as one link is from now on known by another name.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(intervals) = self.intervals.remove(from) {
            self.intervals.insert(to.to_owned(), intervals);
        }
        if let Some(databases) = self.databases.remove(from) {
            self.databases.insert(to.to_owned(), databases);
        }
    }

    /// A database leaves a link, and is from now on known as one of its own.
    pub(super) fn part(&mut self, link: &str, place: usize, own: &str, at: Timestamp) {
        let databases = self.databases.get_mut(link).filter(|it| place < it.len());
        let intervals = databases.map(|databases| databases.remove(place));
        let intervals = intervals.unwrap_or_else(|| vec![Interval::nobody(at)]);
        self.databases.insert(own.to_owned(), vec![intervals.clone()]);
        self.intervals.insert(own.to_owned(), intervals);
    }

    /// Who can take writes to each of a link's databases from now on.
    pub(super) fn note_writers(&mut self, link: &str, at: Timestamp, each: &[Writers]) {
        let Some(intervals) = self.intervals.get_mut(link) else { return };
        let writers = Writers {
            sql_server: each.iter().any(|one| one.sql_server),
            managed_instance: each.iter().any(|one| one.managed_instance),
        };
        let begun = intervals.first().map_or(at, |first| first.from);
        note(intervals, at, writers);
        // One that joins later has no time before that.
        let fresh = !self.databases.contains_key(link);
        if fresh {
            self.databases.insert(link.to_owned(), Vec::new());
        }
        let Some(databases) = self.databases.get_mut(link) else { return };
        for (place, writers) in each.iter().enumerate() {
            if databases.len() <= place {
                databases.push(vec![Interval::nobody(if fresh { begun } else { at })]);
            }
            note(&mut databases[place], at, *writers);
        }
    }
}

impl Interval {
    fn nobody(from: Timestamp) -> Interval {
        let writers = Writers { sql_server: false, managed_instance: false };
        Interval { from, to: None, writers }
    }
}

fn note(intervals: &mut Vec<Interval>, at: Timestamp, writers: Writers) {
    match intervals.last_mut() {
        Some(last) if last.writers == writers => return,
        Some(last) if last.from == at => {
            last.writers = writers;
            return;
        }
        Some(last) => last.to = Some(at),
        None => {}
    }
    intervals.push(Interval { from: at, to: None, writers });
}

impl Writers {
    /// How many sides.
    #[must_use]
    pub fn count(self) -> usize {
        usize::from(self.sql_server) + usize::from(self.managed_instance)
    }
}

impl World {
    /// Notes a command that is carried out elsewhere, or was refused before it came here.
    pub fn note_command(
        &mut self,
        at: &str,
        who: Origin,
        words: String,
        outcome: Result<(), &SqlError>,
    ) {
        let error = outcome.err();
        self.ledger.note_command(CommandRecord {
            at: self.now,
            target: at.to_owned(),
            who,
            command: CommandWords(words),
            operation: None,
            refused: error.map(ToString::to_string),
            error: error.map(|error| error.number),
        });
    }

    /// Acknowledged commits that do not live on the surviving primary: the member that became
    /// primary last. `None` if there is no such link.
    #[must_use]
    pub fn loss(&self, link: &str) -> Option<Loss> {
        let surviving = self.link(link)?.rightful();
        let mut loss = Loss { surviving, count: 0, first: None, last: None, acknowledged: 0 };
        for forgotten in self.link(link)?.databases.iter().map(|database| database.forgotten) {
            loss.acknowledged += forgotten.acknowledged;
            loss.count += forgotten.lost;
            let (first, last) = forgotten.span.unzip();
            loss.first = loss.first.into_iter().chain(first).min();
            loss.last = loss.last.into_iter().chain(last).max();
        }
        for commit in self.commits(link).filter(|commit| commit.acknowledged) {
            loss.acknowledged += 1;
            let lives = match surviving {
                Side::SqlServer => commit.on_sql_server,
                Side::ManagedInstance => commit.on_managed_instance,
            };
            if !lives {
                loss.count += 1;
                loss.first = Some(loss.first.map_or(commit.at, |first| first.min(commit.at)));
                loss.last = Some(loss.last.map_or(commit.at, |last| last.max(commit.at)));
            }
        }
        Some(loss)
    }

    /// Every commit in a link's databases, in order, and where it lives now; of a database with very
    /// many the newest ones ([`LogSpec::records_kept`](super::LogSpec)).
    pub fn commits(&self, link: &str) -> impl Iterator<Item = Commit> + '_ {
        let link = self.link(link);
        link.into_iter().flat_map(|link| {
            link.databases.iter().enumerate().flat_map(move |(place, database)| {
                let log = |side: Side| link.member(side).copies[place].log.iter().peekable();
                // A copy's log ascends by record number, so walking it beside the records
                // answers for all of them in one pass.
                let (mut sql, mut instance) = (log(Side::SqlServer), log(Side::ManagedInstance));
                let before = u32::try_from(database.forgotten.records).unwrap_or(u32::MAX);
                database.records.iter().enumerate().filter_map(move |(id, record)| {
                    let id = u32::try_from(id).ok()?;
                    let on_sql_server = sql.next_if(|next| **next == id).is_some();
                    let on_managed_instance = instance.next_if(|next| **next == id).is_some();
                    let RecordKind::Commit { acknowledged } = record.kind else { return None };
                    Some(Commit {
                        id: CommitId(before + id),
                        database: database.name.clone(),
                        by: record.by.as_deref().map(str::to_owned),
                        side: record.side,
                        lsn: record.lsn.commit_slot(),
                        at: record.at,
                        acknowledged,
                        on_sql_server,
                        on_managed_instance,
                    })
                })
            })
        })
    }
}
