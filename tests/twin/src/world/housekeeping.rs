//! What an engine does of itself: log records without a commit, log backups.

use jiff::{SignedDuration, Timestamp};

use super::{
    Backup, BackupKind, DatabaseState, Instance, Link, Lsn, Role, Side,
    log::{Record, RecordKind},
};

/// Both sides back up the log about this often.
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

pub(super) fn back_up_log(link: &Link, side: Side, instance: &mut Instance, now: Timestamp) {
    for (place, database) in link.databases.iter().enumerate() {
        let last = instance.backups.iter().rev().find(|b| b.database == database.name);
        let (due, from) = match last {
            Some(last) => (last.finish + LOG_BACKUP_EVERY <= now, last.last_lsn),
            None => (true, Lsn::first()),
        };
        if due {
            let upto = link.member(side).copies[place].log.len();
            let end = link.last_record(side, place, upto).map_or_else(Lsn::first, Record::end);
            instance.backups.push(Backup {
                database: database.name.clone(),
                kind: BackupKind::Log,
                copy_only: false,
                checksums: true,
                start: now,
                finish: now + SignedDuration::from_secs(2),
                first_lsn: from,
                last_lsn: end,
                size: 1 << 20,
            });
        }
    }
}

/// A full backup was a prerequisite of the link (mi-link 2.3), and both sides take log backups.
pub(super) fn backups_before(database: &str, start: Timestamp) -> [Backup; 2] {
    let backup = |kind, finish: Timestamp, size| Backup {
        database: database.to_owned(),
        kind,
        copy_only: false,
        checksums: true,
        start: finish - SignedDuration::from_secs(8),
        finish,
        first_lsn: Lsn::first(),
        last_lsn: Lsn::first().after(4_096),
        size,
    };
    [
        backup(BackupKind::Full, start - SignedDuration::from_hours(49), 200 << 20),
        backup(BackupKind::Log, start - SignedDuration::from_mins(7), 1 << 20),
    ]
}
