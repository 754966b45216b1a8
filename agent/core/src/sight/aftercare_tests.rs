use expect_test::expect;

use super::*;
use crate::evidence::DatabaseState;

fn denied() -> Silence {
    let detail = "SELECT was denied on the object 'backupset'".into();
    Silence { kind: SilenceKind::Denied, detail }
}

fn lost() -> Silence {
    let detail = "no answer in time while waiting for the result".into();
    Silence { kind: SilenceKind::TimedOut, detail }
}

fn line(sight: &Sight) -> String {
    match sight {
        Sight::Holds { seen } => format!("HOLDS   {seen}\n"),
        Sight::Warned { seen, warning } => format!("WARNED  {seen}\n        ! {warning}\n"),
        Sight::Not { seen, .. } => format!("NOT     {seen}\n"),
        Sight::Coming { seen } => format!("COMING  {seen}\n"),
        Sight::Unfit { seen } => format!("UNFIT   {seen}\n"),
        Sight::Blind { why } => format!("BLIND   {why}\n"),
    }
}

#[test]
fn a_backup_is_there_when_its_row_is() {
    let taken = |checksums| {
        let (took_s, size_bytes) = (Some(75), Some(1_234_567_890));
        Ok(Some(BackupTaken { took_s, size_bytes, checksums, last_lsn: None }))
    };
    let sights = [
        backed_up(Ok(None), taken(true)),
        backed_up(Ok(Some(None)), taken(false)),
        backed_up(Err(lost()), taken(true)),
        backed_up(Ok(None), Ok(None)),
        backed_up(Ok(Some(Some(42))), Ok(None)),
        backed_up(Ok(Some(None)), Ok(None)),
        backed_up(Err(lost()), Ok(None)),
        backed_up(Ok(None), Err(denied())),
        backed_up(Ok(None), Err(lost())),
    ];
    expect![[r#"
        HOLDS   the backup is there, 1234 MB in 75 s, with checksums
        HOLDS   the backup is there, 1234 MB in 75 s, WITHOUT checksums
        HOLDS   the backup is there, 1234 MB in 75 s, with checksums
        NOT     there is no such backup, and none is being made
        COMING  the backup is being made, 42 % done
        COMING  the backup is being made
        BLIND   no such backup yet, but not whether one runs: no answer in time while waiting for the result
        BLIND   SELECT was denied on the object 'backupset'
        BLIND   no answer in time while waiting for the result
    "#]].assert_eq(&sights.iter().map(line).collect::<String>());
}

/// A database whose last commit is at this position.
fn committed(at: Option<u128>) -> Result<Option<DatabaseReading>, Silence> {
    Ok(Some(DatabaseReading {
        state: DatabaseState::Online,
        read_write: true,
        suspended: false,
        suspend_reason: None,
        synchronization: None,
        last_hardened_lsn: None,
        last_commit_lsn: at.map(Lsn),
        last_commit_at: None,
        redo_queue_kb: None,
        redo_rate_kb_per_s: None,
        end_of_log_lsn: None,
    }))
}

#[test]
fn what_is_committed_after_the_backup_is_not_saved() {
    let taken = |last: Option<u128>| {
        let last_lsn = last.map(Lsn);
        Ok(Some(BackupTaken { took_s: Some(2), size_bytes: None, checksums: true, last_lsn }))
    };
    let sights = [
        saved(Ok(None), taken(Some(700)), committed(Some(699))),
        saved(Ok(None), taken(Some(700)), committed(Some(700))),
        saved(Ok(None), taken(None), committed(Some(1))),
        saved(Ok(None), taken(Some(700)), committed(None)),
        saved(Ok(None), taken(Some(700)), Err(lost())),
        saved(Ok(None), taken(Some(700)), Ok(None)),
        saved(Ok(Some(None)), Ok(None), committed(Some(1))),
        saved(Ok(None), Ok(None), committed(Some(1))),
    ];
    expect![[r#"
        HOLDS   the backup is there in 2 s, with checksums; it has all up to 700
        NOT     the backup is there in 2 s, with checksums, up to 700, but there is a commit at 700
        BLIND   the backup is there in 2 s, with checksums, but not up to where, or where the last commit is
        BLIND   the backup is there in 2 s, with checksums, but not up to where, or where the last commit is
        BLIND   no answer in time while waiting for the result
        UNFIT   the database is gone
        COMING  the backup is being made
        NOT     there is no such backup, and none is being made
    "#]].assert_eq(&sights.iter().map(line).collect::<String>());
}

#[test]
fn nothing_is_taken_away_unless_it_is_saved_even_now() {
    let taken = || {
        let last_lsn = Some(Lsn(700));
        Ok(Some(BackupTaken { took_s: Some(2), size_bytes: None, checksums: true, last_lsn }))
    };
    let primary = || Sight::Not { seen: "sql01 is PRIMARY".into(), first_hand: true };
    let done = Sight::Holds { seen: "sql01 is SECONDARY".into() };
    let sights = [
        still_saved(primary(), taken(), committed(Some(699))),
        still_saved(primary(), taken(), committed(Some(701))),
        still_saved(primary(), Ok(None), committed(Some(1))),
        still_saved(primary(), Err(lost()), committed(Some(1))),
        still_saved(done, Ok(None), Ok(None)),
    ];
    expect![[r#"
        NOT     sql01 is PRIMARY
        UNFIT   sql01 is PRIMARY; the backup is there in 2 s, with checksums, up to 700, but there is a commit at 701. Nothing is taken away that is not saved: find who still works there, and ask for another repair
        UNFIT   sql01 is PRIMARY; there is no such backup, and none is being made. Nothing is taken away that is not saved: find who still works there, and ask for another repair
        BLIND   sql01 is PRIMARY; no answer in time while waiting for the result
        HOLDS   sql01 is SECONDARY
    "#]].assert_eq(&sights.iter().map(line).collect::<String>());
}

type Ago = Option<i64>;

/// The roles were changed ten minutes ago.
fn seen(commands: &[(&str, &str)], [log, full]: [Ago; 2], agent_running: Option<bool>) -> Sight {
    let step = |(job, command): &(&str, &str)| JobStep {
        job: (*job).to_owned(),
        command: (*command).to_owned(),
    };
    let steps = commands.iter().map(step).collect();
    let found = LogBackups { steps, last_s: log, full_s: full, agent_running };
    log_backups_seen("Shop", Some(600), Ok(found))
}

#[test]
fn log_backups_are_told_and_what_is_missing_is_never_in_the_way() {
    let job = ("Logs", "BACKUP LOG [shop] TO DISK = N'x'");
    let sights = [
        seen(&[job], [Some(90), Some(30)], Some(true)),
        seen(&[job], [None, Some(600)], None),
        // By another program than a job of this server.
        seen(&[], [Some(20), Some(30)], Some(true)),
        seen(&[job], [Some(20), Some(30)], Some(false)),
        seen(&[job], [Some(40), Some(30)], Some(false)),
        seen(&[], [Some(40), Some(30)], Some(true)),
        // The last full backup is one of before.
        seen(&[job], [Some(20), Some(700)], Some(true)),
        seen(
            &[
                ("A", "BACKUP LOG @db"),
                ("A", "BACKUP LOG @db"),
                ("B", "backup  log Shop\n to disk"),
            ],
            [None, None],
            None,
        ),
        seen(&[], [None, None], Some(true)),
        log_backups_seen("Shop", Some(600), Err(denied())),
        log_backups_seen("Shop", Some(600), Err(lost())),
    ];
    expect![[r#"
        HOLDS   log backups by `Logs`; the last log backup ended 90 s ago; the last full backup ended 30 s ago
        HOLDS   log backups by `Logs`; there is no log backup yet; the last full backup ended 10 min ago
        HOLDS   no enabled, scheduled job that backs up the log of Shop was found; maintenance plans and other programs are not seen here; the last log backup ended 20 s ago; the last full backup ended 30 s ago
        HOLDS   log backups by `Logs`; SQL Server Agent does not run, so no job does; the last log backup ended 20 s ago; the last full backup ended 30 s ago
        WARNED  log backups by `Logs`; SQL Server Agent does not run, so no job does; the last log backup ended 40 s ago; the last full backup ended 30 s ago
                ! SQL Server Agent does not run, so no job backs up the log of Shop. Start it
        WARNED  no enabled, scheduled job that backs up the log of Shop was found; maintenance plans and other programs are not seen here; the last log backup ended 40 s ago; the last full backup ended 30 s ago
                ! no job backs up the log of Shop and no log backup is newer than the full one, so the log grows until its disk is full. Enable the job, or see to it that another program takes them
        WARNED  log backups by `Logs`; the last log backup ended 20 s ago; the last full backup ended 11 min ago
                ! there is no full backup of Shop since the roles changed, so nothing from then on can be restored. Take one that is not COPY_ONLY; `planned.backup` has it taken the next time
        WARNED  log backups by `A`, `B`; there is no log backup yet; there is no full backup yet
                ! there is no full backup of Shop since the roles changed, so nothing from then on can be restored. Take one that is not COPY_ONLY; `planned.backup` has it taken the next time
        WARNED  no enabled, scheduled job that backs up the log of Shop was found; maintenance plans and other programs are not seen here; there is no log backup yet; there is no full backup yet
                ! there is no full backup of Shop since the roles changed, so nothing from then on can be restored. Take one that is not COPY_ONLY; `planned.backup` has it taken the next time; no job backs up the log of Shop and no log backup is newer than the full one, so the log grows until its disk is full. Enable the job, or see to it that another program takes them
        WARNED  backups and jobs were not seen: SELECT was denied on the object 'backupset'
                ! nobody could look at the backups of Shop: see for yourself that there is a full one since the roles changed, and that somebody backs up the log
        BLIND   no answer in time while waiting for the result
    "#]]
    .assert_eq(&sights.iter().map(line).collect::<String>());
}

#[test]
fn which_steps_back_up_the_log() {
    let yes = [
        "BACKUP LOG [Shop] TO URL = 'https://x'",
        "EXECUTE dbo.DatabaseBackup @Databases = 'USER_DATABASES', @BackupType = 'LOG', @Verify = 'Y'",
        "EXEC master.dbo.DatabaseBackup @Databases='shop', @BackupType=N'Log'",
        "EXEC sp_MSforeachdb 'BACKUP LOG ? TO DISK = ''x'''",
        "SET @sql = 'BACKUP LOG ' + QUOTENAME(@name)",
    ];
    let no = [
        "BACKUP DATABASE [Shop] TO DISK = 'x'",
        "BACKUP LOG [Other] TO DISK = 'x'",
        "EXECUTE dbo.DatabaseBackup @Databases = 'USER_DATABASES', @BackupType = 'FULL', @LogToTable = 'Y'",
        "EXECUTE dbo.DatabaseBackup @Databases = 'Other', @BackupType = 'LOG'",
        "DELETE FROM dbo.CommandLog",
    ];
    for command in yes {
        assert!(backs_up_log(command, "Shop"), "{command}");
    }
    for command in no {
        assert!(!backs_up_log(command, "Shop"), "{command}");
    }
}
