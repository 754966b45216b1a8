//! What an engine does of itself: log records without a commit, log backups.

use jiff::{SignedDuration, Timestamp};

use super::{
    Backup, BackupKind, DatabaseState, Device, Instance, Link, Lsn, Role, Side,
    log::{Record, RecordKind},
};

/// A managed instance backs up in full, and its log, about this often.
const FULL_BACKUP_EVERY: SignedDuration = SignedDuration::from_hours(7 * 24);
/// It can restore to any moment of so long a time, and keeps no more than that needs.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
const LOG_BACKUP_EVERY: SignedDuration = SignedDuration::from_mins(10);
const BACKGROUND_BYTES: u32 = 512;

pub(super) fn write_background(link: &mut Link, side: Side, instance: &Instance, now: Timestamp) {
    if link.member(side).role != Role::Primary {
        return;
    }
    let every = SignedDuration::from_millis(i64::from(link.log.background_ms));
    for database in 0..link.databases.len() {
        let copy = &mut link.member_mut(side).copies[database];
        let due = now.duration_since(copy.last_background) >= every;
        if due && copy.state == DatabaseState::Online {
            copy.last_background = now;
            // A log that is full takes nothing from anybody.
            if link.make_room(side, database, BACKGROUND_BYTES, instance).is_err() {
                continue;
            }
            link.append(side, database, BACKGROUND_BYTES, RecordKind::Background, now);
        }
    }
}

/// The managed instance backs itself up, also as secondary: in full once a week, the log every ten
/// minutes, and nothing in between, for there are no differential backups of what is linked
/// (mi-link 1). Without a full backup there is no chain that a log backup could belong to. A SQL
/// Server has jobs for all that.
pub(super) fn back_up(link: &mut Link, side: Side, instance: &mut Instance, now: Timestamp) {
    if side == Side::SqlServer {
        return;
    }
    for place in 0..link.databases.len() {
        let copy = &link.member(side).copies[place];
        if !copy.gone && copy.state == DatabaseState::Online && copy.next_backup <= now {
            back_up_one(link, place, instance, now);
        }
    }
}

fn back_up_one(link: &mut Link, place: usize, instance: &mut Instance, now: Timestamp) {
    let side = Side::ManagedInstance;
    let name = link.databases[place].name.clone();
    let own = || instance.backups.iter().rev().filter(|backup| backup.database == name);
    let mut fulls = own().filter(|backup| backup.kind == BackupKind::Full && !backup.copy_only);
    let full = fulls.next();
    let chain =
        full.is_some_and(|full| full.finish <= now) || fulls.any(|backup| backup.finish <= now);
    let log = own().find(|backup| backup.kind == BackupKind::Log);
    let (finish, last) = (full.map(|full| full.finish), log.map(|log| log.finish));
    let from = log.or(full).map_or_else(Lsn::first, |last| last.last_lsn);
    let upto = link.member(side).copies[place].log.len();
    let end = link.last_record(side, place, upto).map_or_else(Lsn::first, Record::end);
    // After a deletion that came too early nobody takes the backup that would be the first.
    let mut next_full = finish.map_or(now, |finish| finish + FULL_BACKUP_EVERY);
    if next_full <= now && !link.arm.harmed {
        let takes = SignedDuration::from_millis(
            i64::from(link.log.data_mb) * 1_000 / i64::from(link.log.backup_mb_s.max(1)),
        );
        // The very first one has to wait for its turn.
        let first = SignedDuration::from_millis(i64::from(link.failover.first_backup_ms));
        let finish = if finish.is_none() { now + first.max(takes) } else { now + takes };
        let (kind, time) = (BackupKind::Full, (finish - takes, finish));
        instance.backups.push(Backup::automatic(&name, kind, blob(&name), time, (end, end)));
        next_full = finish;
    }
    let mut next_log = last.map_or(now, |last| last + LOG_BACKUP_EVERY);
    if next_log <= now && chain {
        if link.member(side).role == Role::Primary {
            link.databases[place].log_kept = end;
        }
        let (kind, log) = (BackupKind::Log, (from.min(end), end));
        let time = (now, now + SignedDuration::from_secs(2));
        instance.backups.push(Backup::automatic(&name, kind, blob(&name), time, log));
        next_log = time.1 + LOG_BACKUP_EVERY;
    }
    let old = now - KEPT_FOR;
    let newest = instance.backups.iter().rev().find(|backup| {
        let whole = backup.kind == BackupKind::Full && !backup.copy_only;
        whole && backup.database == name && backup.finish <= old
    });
    if let Some(begin) = newest.map(|full| full.start) {
        // The full backup from which the oldest kept log goes on stays.
        let kept =
            |backup: &Backup| backup.database != name || backup.copy_only || backup.start >= begin;
        instance.backups.retain(kept);
    }
    let next = if chain { next_log.min(next_full) } else { finish.unwrap_or(next_full) };
    link.member_mut(side).copies[place].next_backup = next;
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
