//! RESTORE: what a backup set makes of a database, how long that takes, and why it may not.
//!
//! Sources: Microsoft's pages on RESTORE and on restoring a managed instance's backup (a set of a
//! newer format is refused; only from a URL and without options on a managed instance), S1 for the
//! numbers.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    Backup, BackupKind, DatabaseState, Device, Executed, Lsn, Operation, OperationId,
    OperationKind, Origin, OwnDatabase, Party, SqlError, World,
    command::NewOperation,
    operation::Phase,
    restore_rules::{allowed, no_database, only_full, placed},
};
use crate::tables::Contents;

/// How fast data is written, in bytes a second.
const RATE: u64 = 100 << 20;
/// What any restore needs, however small.
const LEAST: SignedDuration = SignedDuration::from_millis(500);

/// `RESTORE DATABASE` and `RESTORE LOG`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreOrder {
    /// The database that it makes or goes on with.
    pub database: String,
    /// LOG, else DATABASE.
    pub log: bool,
    /// Where from; none to recover what has been restored so far.
    pub device: Option<Device>,
    /// `FILE`: which set of the file.
    pub position: u32,
    /// `MOVE`: logical names and where their files go.
    pub moves: Vec<(String, String)>,
    /// `NORECOVERY`: more is to come.
    pub no_recovery: bool,
    /// `REPLACE`
    pub replace: bool,
    /// `STATS`
    pub stats: Option<u8>,
    /// Whether anything stood behind WITH.
    pub options: bool,
}

/// A restore that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreRun {
    /// What was asked for.
    pub order: RestoreOrder,
    /// By whom.
    pub user: String,
    /// When it will be done.
    pub until: Timestamp,
    /// The set.
    pub backup: Option<Box<Backup>>,
    /// Where the files go: data and log.
    pub files: [String; 2],
}

/// A row of `msdb.dbo.restorehistory`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// When.
    pub at: Timestamp,
    /// The database.
    pub database: String,
    /// By whom.
    pub user: String,
    /// LOG, else DATABASE.
    pub log: bool,
    /// REPLACE was said.
    pub replace: bool,
    /// It was recovered.
    pub recovered: bool,
    /// The set's first device.
    pub device: String,
    /// When the set was made.
    pub of: Timestamp,
}

/// A database that is being restored, or waits for more.
#[derive(Clone, Debug)]
pub(super) struct Restoring {
    /// Up to where it has log.
    pub(super) upto: Lsn,
    contents: Option<Arc<Contents>>,
}

impl RestoreOrder {
    /// The statement.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        if self.log { "RESTORE LOG" } else { "RESTORE DATABASE" }
    }

    pub(super) fn words(&self) -> String {
        let from = self.device.as_ref().map(|device| match device {
            Device::Disk(name) => format!(" FROM DISK = N'{name}'"),
            Device::Url(name) => format!(" FROM URL = N'{name}'"),
        });
        let mut options: Vec<String> = Vec::new();
        options
            .extend(self.moves.iter().map(|(name, path)| format!("MOVE N'{name}' TO N'{path}'")));
        options.extend(self.replace.then(|| "REPLACE".to_owned()));
        let end = if self.no_recovery { "NORECOVERY" } else { "RECOVERY" };
        options.push(end.to_owned());
        let (verb, from) = (self.verb(), from.unwrap_or_default());
        format!("{verb} [{}]{from} WITH {}", self.database, options.join(", "))
    }
}

impl RestoreRun {
    /// `percent_complete`
    #[must_use]
    pub fn percent(&self, start: Timestamp, now: Timestamp) -> u8 {
        let whole = self.until.duration_since(start).as_millis().max(1);
        let done = now.duration_since(start).as_millis().clamp(0, whole);
        u8::try_from(done * 100 / whole).unwrap_or(100)
    }
}

impl World {
    /// The restore that an operation has carried out, for what the client is told of it.
    #[must_use]
    pub fn finished_restore(
        &self,
        operation: OperationId,
    ) -> Option<(&RestoreRun, SignedDuration)> {
        let operation = self.operation(operation)?;
        let OperationKind::Restore(run) = &operation.kind else { return None };
        let took = operation.finished?.duration_since(operation.accepted?);
        Some((run, took))
    }

    /// `msdb.dbo.restorehistory`
    #[must_use]
    pub fn restores(&self, at: &str) -> &[Restored] {
        self.instance(at).map_or(&[], |instance| &instance.restored)
    }

    /// What a session must be told before the error of a RESTORE: files that are in the way.
    #[must_use]
    pub fn files_in_the_way(&self, at: &str, order: &RestoreOrder) -> Vec<SqlError> {
        let Ok(backup) = self.set_of(at, order) else { return Vec::new() };
        let Some(instance) = self.instance(at) else { return Vec::new() };
        let Ok(paths) = placed(instance, backup, order) else { return Vec::new() };
        let names = [&backup.source.files[0].0, &backup.source.files[1].0];
        let mut said = Vec::new();
        for (name, path) in names.into_iter().zip(&paths) {
            let Some(error) = self.in_the_way(instance, &order.database, path) else { continue };
            said.push(error);
            let text = format!(
                "File '{name}' cannot be restored to '{path}'. Use WITH MOVE to identify a valid \
                 location for the file."
            );
            said.push(SqlError::new(3_156, &text));
        }
        said
    }

    pub(super) fn begin_restore(
        &mut self,
        at: &str,
        who: &Origin,
        order: RestoreOrder,
    ) -> Result<Executed, SqlError> {
        let run = self.plan_restore(at, who, order)?;
        let until = run.until;
        if run.backup.is_some() && !run.order.log {
            self.make_room_for(at, &run);
        }
        let start = NewOperation {
            kind: OperationKind::Restore(Box::new(run)),
            link: String::new(),
            instance: at.to_owned(),
            who,
            by_arm: false,
            after: SignedDuration::ZERO,
        };
        let executed = self.begin(&Party::Instance(at.to_owned()), start);
        if let Some(operation) = self.operations.get_mut(&executed.operation) {
            operation.accepted = Some(self.now);
            operation.phase = Phase::Accepted;
            operation.next = operation.next.map(|next| next.max(self.now) + (until - self.now));
        }
        Ok(executed)
    }

    /// A restore has had its time.
    pub(super) fn end_restore(&mut self, operation: &mut Operation) {
        let now = self.now;
        let OperationKind::Restore(run) = &operation.kind else { return };
        let (run, at) = (run.clone(), operation.instance.clone());
        let key = run.order.database.to_lowercase();
        let Some(instance) = self.instances.get_mut(&at) else { return };
        let Some(state) = instance.restoring.get_mut(&key) else {
            let text = format!("RESTORE could not start database '{}'.", run.order.database);
            return operation.end(now, Err(SqlError::new(3_167, &text)));
        };
        if let Some(backup) = &run.backup {
            state.upto = backup.last_lsn;
            state.contents.clone_from(&backup.source.contents.0);
            instance.restored.push(Restored {
                at: now,
                database: run.order.database.clone(),
                user: run.user.clone(),
                log: run.order.log,
                replace: run.order.replace,
                recovered: !run.order.no_recovery,
                device: run.order.device.as_ref().map_or("", Device::name).to_owned(),
                of: backup.finish,
            });
        }
        if !run.order.no_recovery
            && let Some(done) = instance.restoring.remove(&key)
            && let Some(contents) = done.contents
        {
            instance.contents.insert(key, contents);
        }
        operation.end(now, Ok(()));
    }

    /// Whether a database is being restored or waits for more.
    pub(super) fn is_restoring(&self, at: &str, database: &str) -> bool {
        let key = database.to_lowercase();
        self.instance(at).is_some_and(|instance| instance.restoring.contains_key(&key))
    }

    fn plan_restore(
        &self,
        at: &str,
        who: &Origin,
        order: RestoreOrder,
    ) -> Result<RestoreRun, SqlError> {
        let instance = self.instance(at).filter(|found| found.is_up()).ok_or_else(|| SqlError {
            class: 20,
            ..SqlError::new(596, "The instance is not running.")
        })?;
        let name = order.database.clone();
        allowed(instance, &order)?;
        let known = self.databases(at);
        let found = known.iter().find(|known| known.name.eq_ignore_ascii_case(&name));
        let now = self.now;
        if order.device.is_none() {
            return match found.map(|found| found.state) {
                Some(DatabaseState::Restoring) => Ok(run_of(order, who, None, now + LEAST)),
                Some(_) => Err(SqlError::new(3_153, "The database is already fully recovered.")),
                None => Err(no_database(&name)),
            };
        }
        let backup = self.set_of(at, &order)?;
        let newer = instance.build().release().format;
        if backup.source.format > newer {
            let text = format!(
                "The database was backed up on a server running database version {}. That version \
                 is incompatible with this server, which is running database version {newer}. \
                 Either restore the database on a server that supports the backup, or use a backup \
                 that is compatible with this server.",
                backup.source.format
            );
            return Err(SqlError::new(3_169, &text));
        }
        if order.log {
            self.follows(at, &name, found.is_some(), backup)?;
        } else {
            let exists = found.filter(|found| found.state != DatabaseState::Restoring);
            if let Some(found) = exists {
                self.may_replace(at, found.database_id <= 4, &order, backup)?;
            }
            if backup.kind == BackupKind::Log {
                return Err(only_full(&name));
            }
        }
        let files = placed(instance, backup, &order)?;
        if !order.log && !self.files_in_the_way(at, &order).is_empty() {
            let text = "Problems were identified while planning for the RESTORE statement. Previous \
                        messages provide details.";
            return Err(SqlError::new(3_119, text));
        }
        let millis = i64::try_from(backup.size * 1_000 / RATE).unwrap_or(i64::MAX);
        let until = now + SignedDuration::from_millis(millis).max(LEAST);
        let mut run = run_of(order, who, Some(Box::new(backup.clone())), until);
        run.files = files;
        Ok(run)
    }

    fn set_of(&self, at: &str, order: &RestoreOrder) -> Result<&Backup, SqlError> {
        let Some(device) = &order.device else { return Err(no_database(&order.database)) };
        let sets = self.backup_sets(at, device)?;
        let found = sets.into_iter().find(|set| set.position == order.position.max(1));
        found.ok_or_else(|| {
            let text =
                format!("Cannot find file ID {} on device '{}'.", order.position, device.name());
            SqlError::new(4_038, &text)
        })
    }

    /// The database is there from now on, RESTORING.
    fn make_room_for(&mut self, at: &str, run: &RestoreRun) {
        self.forget_database(at, &run.order.database);
        let now = self.now;
        let Some(instance) = self.instances.get_mut(at) else { return };
        let key = run.order.database.to_lowercase();
        let database_id = instance.next_database_id;
        instance.next_database_id += 1;
        instance.resource.databases.push(OwnDatabase {
            name: run.order.database.clone(),
            created: now,
            database_id,
        });
        instance.moved_files.insert(key.clone(), run.files.clone().map(Some));
        instance.restoring.insert(key, Restoring { upto: Lsn::first(), contents: None });
    }
}

fn run_of(
    order: RestoreOrder,
    who: &Origin,
    backup: Option<Box<Backup>>,
    until: Timestamp,
) -> RestoreRun {
    let user = who.login.clone();
    RestoreRun { order, user, until, backup, files: [String::new(), String::new()] }
}
