//! Backups: who may take which where, how long they need, how they fail, and what they leave.
//!
//! Sources: Microsoft's page on backups of secondary replicas (copy-only full and regular log
//! backups there, none on a secondary replica of a secondary group); S8 (a full backup that is not
//! copy-only succeeds on a forwarder); the managed instance takes copy-only ones to a URL only.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Executed, Instance, Link, Lsn, Operation, OperationId, OperationKind, Origin, Role, Side,
    Source, SqlError, World,
    backup_rules::{allowed_on, cannot_open, opens},
    command::NewOperation,
    log::Record,
    operation::Phase,
};

/// Without a linked database's size to go by: `master` and its like.
const SYSTEM_BYTES: u64 = 5 << 20;
/// What any backup needs, however small.
const LEAST: SignedDuration = SignedDuration::from_millis(300);
const PAGE: u64 = 8 << 10;

/// One row of `msdb.dbo.backupset`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// The database.
    pub database: String,
    /// Full or log.
    pub kind: BackupKind,
    /// Whether it is outside the chain.
    pub copy_only: bool,
    /// Whether it has checksums.
    pub checksums: bool,
    /// Whether it is compressed.
    pub compressed: bool,
    /// `name`
    pub name: Option<String>,
    /// `user_name`
    pub user: String,
    /// Where it went; one row of `backupmediafamily` each.
    pub devices: Vec<Device>,
    /// Its place in its first file.
    pub position: u32,
    /// When it began.
    pub start: Timestamp,
    /// When it was done; in msdb from then on.
    pub finish: Timestamp,
    /// The first position in it.
    pub first_lsn: Lsn,
    /// The position after it.
    pub last_lsn: Lsn,
    /// `checkpoint_lsn`
    pub checkpoint_lsn: Lsn,
    /// `database_backup_lsn`: where the full backup before it began.
    pub database_backup_lsn: Lsn,
    /// `last_recovery_fork_guid`
    pub fork: super::Guid,
    /// Bytes.
    pub size: u64,
    /// What it was taken of.
    pub source: Source,
}

/// `type` of `msdb.dbo.backupset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupKind {
    /// `D`
    Full,
    /// `L`
    Log,
}

/// Where a backup goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Device {
    /// `TO DISK`
    Disk(String),
    /// `TO URL`
    Url(String),
}

/// `BACKUP DATABASE` and `BACKUP LOG`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupOrder {
    /// The database.
    pub database: String,
    /// What.
    pub kind: BackupKind,
    /// Where to.
    pub devices: Vec<Device>,
    /// `COPY_ONLY`
    pub copy_only: bool,
    /// `CHECKSUM`
    pub checksums: bool,
    /// `COMPRESSION`
    pub compressed: bool,
    /// `INIT` or `FORMAT`: what is in the files is overwritten.
    pub overwrite: bool,
    /// `NAME`
    pub name: Option<String>,
    /// `STATS`
    pub stats: Option<u8>,
}

/// A backup that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupRun {
    /// What was asked for.
    pub order: BackupOrder,
    /// By whom.
    pub user: String,
    /// When it will be done.
    pub until: Timestamp,
    /// Bytes.
    pub size: u64,
    first_lsn: Lsn,
    checkpoint: Lsn,
}

impl BackupKind {
    /// The value of the `type` column.
    #[must_use]
    pub fn code(self) -> char {
        match self {
            BackupKind::Full => 'D',
            BackupKind::Log => 'L',
        }
    }

    /// The statement.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            BackupKind::Full => "BACKUP DATABASE",
            BackupKind::Log => "BACKUP LOG",
        }
    }
}

impl Device {
    /// Its path or address.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Device::Disk(name) | Device::Url(name) => name,
        }
    }

    /// `device_type` of `msdb.dbo.backupmediafamily`.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            Device::Disk(_) => 2,
            Device::Url(_) => 9,
        }
    }
}

impl Backup {
    /// One that the server takes of itself.
    pub(super) fn automatic(
        database: &str,
        kind: BackupKind,
        device: Device,
        time: (Timestamp, Timestamp),
        log: (Lsn, Lsn),
    ) -> Backup {
        Backup {
            database: database.to_owned(),
            kind,
            copy_only: false,
            checksums: true,
            compressed: true,
            name: None,
            user: "sa".to_owned(),
            devices: vec![device],
            position: 1,
            start: time.0,
            finish: time.1,
            first_lsn: log.0,
            last_lsn: log.1,
            checkpoint_lsn: log.1,
            database_backup_lsn: Lsn::first(),
            fork: super::Guid(0),
            size: match kind {
                BackupKind::Full => 200 << 20,
                BackupKind::Log => 1 << 20,
            },
            source: Source::default(),
        }
    }

    /// Pages that it holds.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.size.div_ceil(PAGE)
    }
}

impl BackupOrder {
    pub(super) fn words(&self) -> String {
        let device = |device: &Device| match device {
            Device::Disk(name) => format!("DISK = N'{name}'"),
            Device::Url(name) => format!("URL = N'{name}'"),
        };
        let devices: Vec<String> = self.devices.iter().map(device).collect();
        let options = [(self.copy_only, "COPY_ONLY"), (self.checksums, "CHECKSUM")];
        let options = options.iter().filter(|(on, _)| *on).map(|(_, word)| *word);
        let options: Vec<&str> = options.collect();
        let with = if options.is_empty() { "" } else { " WITH " };
        format!(
            "{} [{}] TO {}{with}{}",
            self.kind.verb(),
            self.database,
            devices.join(", "),
            options.join(", ")
        )
    }
}

impl BackupRun {
    /// `percent_complete`
    #[must_use]
    pub fn percent(&self, start: Timestamp, now: Timestamp) -> u8 {
        let whole = self.until.duration_since(start).as_millis().max(1);
        let done = now.duration_since(start).as_millis().clamp(0, whole);
        u8::try_from(done * 100 / whole).unwrap_or(100)
    }
}

impl World {
    /// The backup sets in a file that an instance can read, by position.
    ///
    /// # Errors
    /// 3201: there is no such file.
    pub fn backup_sets(&self, at: &str, device: &Device) -> Result<Vec<&Backup>, SqlError> {
        let key = self.media_key(at, device);
        let sets: Vec<&Backup> = self.media.get(&key).into_iter().flatten().collect();
        if sets.is_empty() {
            return Err(cannot_open(device, "2(The system cannot find the file specified.)", 2));
        }
        Ok(sets)
    }

    /// The backup that an operation has finished, for what the client is told of it.
    #[must_use]
    pub fn finished_backup(&self, operation: OperationId) -> Option<&Backup> {
        let operation = self.operation(operation)?;
        let OperationKind::Backup(run) = &operation.kind else { return None };
        let backups = &self.instance(&operation.instance)?.backups;
        let same = |backup: &&Backup| {
            Some(backup.start) == operation.accepted && backup.database == run.order.database
        };
        backups.iter().rev().find(same)
    }

    /// Begins a backup.
    ///
    /// # Errors
    /// Why it cannot begin, with the engine's number; 3013 follows it.
    pub(super) fn begin_backup(
        &mut self,
        at: &str,
        who: &Origin,
        order: BackupOrder,
    ) -> Result<Executed, SqlError> {
        let run = self.plan_backup(at, who, order)?;
        let party = super::Party::Instance(at.to_owned());
        let until = run.until;
        let start = NewOperation {
            kind: OperationKind::Backup(Box::new(run)),
            link: String::new(),
            instance: at.to_owned(),
            who,
            by_arm: false,
            after: SignedDuration::ZERO,
        };
        let executed = self.begin(&party, start);
        if let Some(operation) = self.operations.get_mut(&executed.operation) {
            operation.accepted = Some(self.now);
            operation.phase = Phase::Accepted;
            // A deed that is to be delayed is, by as much.
            operation.next = operation.next.map(|next| next.max(self.now) + (until - self.now));
        }
        Ok(executed)
    }

    /// A backup has had its time.
    pub(super) fn end_backup(&mut self, operation: &mut Operation) {
        let now = self.now;
        let OperationKind::Backup(run) = &operation.kind else { return };
        let run = run.clone();
        let start = operation.accepted.unwrap_or(now);
        let at = operation.instance.clone();
        let still = match self.place_of(&at, &run.order.database) {
            Some((name, side, _)) => match self.links.get(&name) {
                Some(link) => self.allowed_in(link, side, &at, &run.order),
                None => Ok(()),
            },
            None => Ok(()),
        };
        if let Err(error) = still.and_then(|()| self.has_room(&at, &run.order)) {
            return operation.end(now, Err(error));
        }
        self.keep_backup(&at, &run, start, now);
        operation.end(now, Ok(()));
    }

    /// Writes a finished backup to its files and into msdb.
    pub(super) fn keep_backup(
        &mut self,
        at: &str,
        run: &BackupRun,
        start: Timestamp,
        finish: Timestamp,
    ) {
        let order = &run.order;
        let place = self.place_of(at, &order.database);
        let (end, fork) = match &place {
            Some((name, side, place)) => {
                let Some(link) = self.links.get_mut(name) else { return };
                let upto = link.member(*side).copies[*place].log.len();
                let end = link.last_record(*side, *place, upto);
                let end = end.map_or_else(Lsn::first, Record::end);
                if order.kind == BackupKind::Log
                    && !order.copy_only
                    && link.member(*side).role == Role::Primary
                {
                    link.databases[*place].log_kept = end;
                }
                (end, link.fork(*place))
            }
            None => {
                (Lsn::first().after(4_096), super::Guid(u128::from(order.database.len() as u64)))
            }
        };
        let base = self.instance(at).and_then(|instance| instance.base_of(&order.database));
        let first = order.devices.first().map(|device| self.media_key(at, device));
        let sets = first.and_then(|key| self.media.get(&key)).filter(|_| !order.overwrite);
        let position = u32::try_from(sets.map_or(0, Vec::len) + 1).unwrap_or(1);
        let backup = Backup {
            database: order.database.clone(),
            kind: order.kind,
            copy_only: order.copy_only,
            checksums: order.checksums,
            compressed: order.compressed,
            name: order.name.clone(),
            user: run.user.clone(),
            devices: order.devices.clone(),
            position,
            start,
            finish,
            first_lsn: run.first_lsn,
            last_lsn: end.max(run.first_lsn),
            checkpoint_lsn: run.checkpoint,
            database_backup_lsn: base.unwrap_or_default(),
            fork,
            size: run.size,
            source: self.source_of(at, &order.database),
        };
        for device in &order.devices {
            let key = self.media_key(at, device);
            let sets = self.media.entry(key).or_default();
            if order.overwrite {
                sets.clear();
            }
            sets.push(backup.clone());
        }
        if let Some(instance) = self.instances.get_mut(at) {
            instance.backups.push(backup);
            instance.forget_backups();
        }
    }

    pub(super) fn plan_backup(
        &self,
        at: &str,
        who: &Origin,
        order: BackupOrder,
    ) -> Result<BackupRun, SqlError> {
        let instance = self.instance(at).filter(|found| found.is_up()).ok_or_else(|| SqlError {
            class: 20,
            ..SqlError::new(596, "The instance is not running.")
        })?;
        let known = self.databases(at);
        let found = known.iter().find(|db| db.name.eq_ignore_ascii_case(&order.database));
        let Some(found) = found else {
            let text = format!(
                "Database '{}' does not exist. Make sure that the name is entered correctly.",
                order.database
            );
            return Err(SqlError::new(911, &text));
        };
        let order = BackupOrder { database: found.name.clone(), ..order };
        allowed_on(instance, &order)?;
        let place = self.place_of(at, &order.database);
        if let Some((name, side, _)) = &place {
            let link = self.links.get(name);
            link.map_or(Ok(()), |link| self.allowed_in(link, *side, at, &order))?;
        } else if order.kind == BackupKind::Log && !found.full_recovery {
            let text = "The statement BACKUP LOG is not allowed while the recovery model is SIMPLE. \
                        Use BACKUP DATABASE or change the recovery model using ALTER DATABASE.";
            return Err(SqlError::new(4_208, text));
        }
        for device in &order.devices {
            opens(instance, device)?;
        }
        self.check_alone(at, &order)?;
        Ok(self.measure(at, who, order, place))
    }

    /// How large it will be and how long it will take.
    fn measure(
        &self,
        at: &str,
        who: &Origin,
        order: BackupOrder,
        place: Option<(String, Side, usize)>,
    ) -> BackupRun {
        let found =
            place.and_then(|(name, side, place)| Some((self.links.get(&name)?, side, place)));
        let (size, first_lsn, checkpoint, mb_s) = match found {
            None => (SYSTEM_BYTES, Lsn::first(), Lsn::first(), 100),
            Some((link, side, place)) => {
                let upto = link.member(side).copies[place].log.len();
                let end = link.last_record(side, place, upto);
                let end = end.map_or_else(Lsn::first, Record::end);
                let (size, first) = match order.kind {
                    BackupKind::Full => (u64::from(link.log.data_mb) << 20, end),
                    BackupKind::Log => {
                        let from = self.log_begins(at, link, side, place).min(end);
                        (end.bytes().saturating_sub(from.bytes()).max(64 << 10), from)
                    }
                };
                (size, first, end, link.log.backup_mb_s)
            }
        };
        let millis = size * 1_000 / (u64::from(mb_s.max(1)) << 20);
        let time = SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
        let user = who.login.clone();
        BackupRun { order, user, until: self.now + time.max(LEAST), size, first_lsn, checkpoint }
    }

    /// Where the next log backup begins: after the last one here, and after whatever the primary
    /// has backed up and truncated, on whichever side that was.
    pub(super) fn log_begins(&self, at: &str, link: &Link, side: Side, place: usize) -> Lsn {
        let database = &link.databases[place];
        let own = self.instance(at).into_iter().flat_map(|instance| &instance.backups);
        let last = own.filter(|b| b.kind == BackupKind::Log && b.database == database.name);
        let last = last.map(|backup| backup.last_lsn).max().unwrap_or_else(Lsn::first);
        match link.member(side).role {
            Role::Primary => last.max(database.log_kept),
            Role::Secondary | Role::Resolving => last,
        }
    }

    /// The link, side and place of a linked database of an instance.
    pub(super) fn place_of(&self, at: &str, database: &str) -> Option<(String, Side, usize)> {
        self.seats(at).find_map(|(link, side)| {
            Some((link.name.clone(), side, link.place_on(side, database)?))
        })
    }

    /// A disk belongs to its server, a URL to everybody.
    fn media_key(&self, at: &str, device: &Device) -> (String, String) {
        let owner = match device {
            Device::Disk(path) if path.starts_with(r"\\") => String::new(),
            Device::Disk(_) => at.to_owned(),
            Device::Url(_) => String::new(),
        };
        (owner, device.name().to_lowercase())
    }
}

impl Instance {
    /// Where the last full backup in the chain began.
    pub(super) fn base_of(&self, database: &str) -> Option<Lsn> {
        let full = |backup: &&Backup| {
            backup.kind == BackupKind::Full && !backup.copy_only && backup.database == database
        };
        self.backups.iter().rev().find(full).map(|backup| backup.checkpoint_lsn)
    }
}
