use expect_test::expect;

use super::*;

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
        Ok(Some(BackupTaken { took_s, size_bytes, checksums }))
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

fn jobs(commands: &[(&str, &str)], last_s: Option<i64>, agent_running: Option<bool>) -> Sight {
    let step = |(job, command): &(&str, &str)| JobStep {
        job: (*job).to_owned(),
        command: (*command).to_owned(),
    };
    let steps = commands.iter().map(step).collect();
    log_backups_seen("Shop", Ok(LogBackups { steps, last_s, agent_running }))
}

#[test]
fn log_backups_are_told_and_never_in_the_way() {
    let sights = [
        jobs(&[("Logs", "BACKUP LOG [shop] TO DISK = N'x'")], Some(90), Some(true)),
        jobs(&[("Logs", "backup  log Shop\n to disk='x'")], Some(86_400 * 3), Some(false)),
        jobs(
            &[("A", "BACKUP LOG @db"), ("A", "BACKUP LOG @db"), ("B", "BACKUP LOG shop")],
            None,
            None,
        ),
        jobs(&[], None, Some(true)),
        log_backups_seen("Shop", Err(denied())),
        log_backups_seen("Shop", Err(lost())),
    ];
    expect![[r#"
        HOLDS   log backups by `Logs`; the last log backup ended 90 s ago
        HOLDS   log backups by `Logs`; SQL Server Agent does not run, so no job does; the last log backup ended 3 days ago
        HOLDS   log backups by `A`, `B`; there is no log backup yet
        HOLDS   no enabled, scheduled job that backs up the log of Shop was found: without one it grows until its disk is full. Maintenance plans and other programs are not seen here; there is no log backup yet
        HOLDS   the jobs were not seen: SELECT was denied on the object 'backupset'. Look yourself
        BLIND   no answer in time while waiting for the result
    "#]].assert_eq(&sights.iter().map(line).collect::<String>());
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
