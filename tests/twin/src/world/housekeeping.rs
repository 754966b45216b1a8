//! What an engine does of itself: log records without a commit, log backups.

use jiff::{SignedDuration, Timestamp};

use super::{
    Backup, BackupKind, DatabaseState, Device, Instance, Link, Lsn, Role, Side,
    log::{Record, RecordKind},
};

/// The managed instance backs up the log about this often.
const LOG_BACKUP_EVERY: SignedDuration = SignedDuration::from_mins(10);
const BACKGROUND_BYTES: u32 = 512;

pub(super) fn write_background(link: &mut Link, side: Side, now: Timestamp) {
    if link.member(side).role != Role::Primary {
        return;
    }
    let every = SignedDuration::from_millis(i64::from(link.log.background_ms));
    for database in 0..link.databases.len() {
        let copy = &mut link.member_mut(side).copies[database];
        let due = now.duration_since(copy.last_background) >= every;
        if due && copy.state == DatabaseState::Online {
            copy.last_background = now;
            link.append(side, database, BACKGROUND_BYTES, RecordKind::Background, now);
        }
    }
}

/// The managed instance backs its log up, also as secondary; a SQL Server has jobs for it.
pub(super) fn back_up_log(link: &mut Link, side: Side, instance: &mut Instance, now: Timestamp) {
    if side == Side::SqlServer {
        return;
    }
    for place in 0..link.databases.len() {
        let copy = &link.member(side).copies[place];
        if copy.gone || copy.state != DatabaseState::Online {
            continue;
        }
        let database = &mut link.databases[place];
        let last = instance.backups.iter().rev().find(|b| b.database == database.name);
        let (due, from) = match last {
            Some(last) => (last.finish + LOG_BACKUP_EVERY <= now, last.last_lsn),
            None => (true, Lsn::first()),
        };
        if !due {
            continue;
        }
        let name = database.name.clone();
        let upto = link.member(side).copies[place].log.len();
        let end = link.last_record(side, place, upto).map_or_else(Lsn::first, Record::end);
        if link.member(side).role == Role::Primary {
            link.databases[place].log_kept = end;
        }
        let time = (now, now + SignedDuration::from_secs(2));
        let log = (from.min(end), end);
        instance.backups.push(Backup::automatic(&name, BackupKind::Log, blob(&name), time, log));
    }
}

/// A full backup was a prerequisite of the link (mi-link 2.3), and both sides take log backups.
pub(super) fn backups_before(side: Side, database: &str, start: Timestamp) -> [Backup; 2] {
    let backup = |kind, finish: Timestamp, end: &str| {
        let device = match side {
            Side::SqlServer => Device::Disk(format!(r"C:\Backup\{database}.{end}")),
            Side::ManagedInstance => blob(database),
        };
        let time = (finish - SignedDuration::from_secs(8), finish);
        let log = (Lsn::first(), Lsn::first().after(4_096));
        Backup::automatic(database, kind, device, time, log)
    };
    [
        backup(BackupKind::Full, start - SignedDuration::from_hours(49), "bak"),
        backup(BackupKind::Log, start - SignedDuration::from_mins(7), "trn"),
    ]
}

/// Where a managed instance keeps what it backs up of itself.
pub(super) fn blob(database: &str) -> Device {
    Device::Url(format!("https://managed.blob.core.windows.net/{}", database.to_lowercase()))
}
