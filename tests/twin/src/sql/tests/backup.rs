//! Backups and the jobs that take them.

use super::super::Permission;
use super::*;
use crate::world::{Command, Setting};

const FULL: &str = "BACKUP DATABASE [Sales] TO DISK = N'C:\\Backup\\after.bak' \
                    WITH CHECKSUM, COMPRESSION, INIT, NAME = N'after the move', STATS = 50";

fn numbers(said: &str) -> Vec<&str> {
    said.lines()
        .filter_map(|line| line.strip_prefix("Msg "))
        .filter_map(|rest| rest.split(',').next())
        .collect()
}

fn value(bench: &mut Bench, query: &str) -> String {
    bench.run(query).lines().nth(1).unwrap_or_default().to_owned()
}

fn later(bench: &mut Bench, seconds: i64) {
    let to = bench.world.now() + jiff::SignedDuration::from_secs(seconds);
    bench.world.advance(to);
}

fn fail_over(bench: &mut Bench, at: &str) {
    let origin = bench.session.origin();
    let group = "LinkSales".to_owned();
    bench.world.execute(at, &origin, Command::Failover { group }).expect("it is primary");
    later(bench, 20);
}

#[test]
fn a_full_backup_tells_of_itself_and_is_in_the_history() {
    let mut bench = Bench::admin("sql01");
    let said = bench.run(FULL);
    let told: Vec<&str> = said.lines().collect();
    assert_eq!(
        told[..3],
        [
            "info 3211: 50 percent processed.",
            "info 3211: 100 percent processed.",
            "info 4035: Processed 25600 pages for database 'Sales', file 'Sales' on file 1."
        ]
    );
    assert!(
        told[3].starts_with("info 3014: BACKUP DATABASE successfully processed 25600 pages in 2.")
    );
    let row = "SELECT TOP (1) bs.name, bs.type, bs.is_copy_only, bs.has_backup_checksums, bs.user_name, \
               bs.server_name, bs.position, bs.time_zone, mf.physical_device_name, mf.device_type, \
               ms.is_compressed, IIF(bs.backup_finish_date BETWEEN DATEADD(minute, -1, GETDATE()) AND GETDATE(), 1, 0), \
               IIF(bs.last_lsn >= bs.first_lsn AND bs.checkpoint_lsn >= bs.first_lsn \
               AND bs.database_backup_lsn > 0 AND bs.database_backup_lsn < bs.checkpoint_lsn, 1, 0) \
               FROM msdb.dbo.backupset bs \
               JOIN msdb.dbo.backupmediaset ms ON ms.media_set_id = bs.media_set_id \
               JOIN msdb.dbo.backupmediafamily mf ON mf.media_set_id = bs.media_set_id \
               ORDER BY bs.backup_finish_date DESC";
    assert_eq!(
        value(&mut bench, row),
        "after the move | D | 0 | 1 | sa | SQL01 | 1 | 4 | C:\\Backup\\after.bak | 2 | 1 | 1 | 1"
    );
    let verify = "RESTORE VERIFYONLY FROM DISK = N'c:\\backup\\AFTER.bak' WITH CHECKSUM";
    assert_eq!(bench.run(verify), "info 3262: The backup set on file 1 is valid.\ndone\n");
    let header = bench.run("RESTORE HEADERONLY FROM DISK = N'C:\\Backup\\after.bak'");
    assert!(
        header.lines().nth(1).is_some_and(|row| row.starts_with("after the move | NULL | 1 |")),
        "{header}"
    );
}

#[test]
fn a_running_backup_is_seen_and_ends_without_a_trace_if_its_client_leaves() {
    let mut bench = Bench::admin("sql01");
    let history = "SELECT COUNT(*) FROM msdb.dbo.backupset";
    let before = value(&mut bench, history);
    let mut run = Run::batch(FULL, Vec::new(), &mut bench.session).expect("T-SQL");
    let mut session = bench.session.clone();
    for _ in 0..3 {
        assert!(matches!(run.next(&mut bench.world, "sql01", &mut session), Step::Wait(_)));
    }
    later(&mut bench, 1);
    let mut watcher =
        Bench { world: bench.world.clone(), at: "sql01".into(), session: session.clone() };
    watcher.go("sql01");
    let seen = "SELECT command, status, wait_type, percent_complete FROM sys.dm_exec_requests \
                WHERE command LIKE N'BACKUP%'";
    assert_eq!(value(&mut watcher, seen), "BACKUP DATABASE | suspended | BACKUPIO | 50");
    run.cancel(&mut bench.world, "sql01", &mut session);
    later(&mut bench, 10);
    assert_eq!(value(&mut bench, history), before);
}

#[test]
fn what_keeps_a_backup_from_being_taken_comes_with_3013() {
    let mut bench = Bench::admin("sql01");
    let wrong = "BACKUP DATABASE Sales TO DISK = N'D:\\nowhere\\a.bak'";
    let said = bench.run(wrong);
    assert_eq!(numbers(&said), ["3201", "3013"]);
    assert!(said.contains("Operating system error 3("), "{said}");
    let foreign =
        "BACKUP DATABASE Sales TO URL = N'https://elsewhere.blob.core.windows.net/c/a.bak'";
    assert_eq!(numbers(&bench.run(foreign)), ["3201", "3013"]);
    assert_eq!(
        numbers(&bench.run("BACKUP DATABASE Nope TO DISK = N'C:\\Backup\\a.bak'")),
        ["911", "3013"]
    );
    assert_eq!(
        numbers(&bench.run("BACKUP LOG master TO DISK = N'C:\\Backup\\a.trn'")),
        ["4208", "3013"]
    );
    assert_eq!(
        numbers(&bench.run("BACKUP DATABASE tempdb TO DISK = N'C:\\Backup\\a.bak'")),
        ["3147", "3013"]
    );
    assert_eq!(
        numbers(&bench.run("BACKUP DATABASE Sales TO DISK = N'C:\\Backup\\a.bak' WITH FASTER")),
        ["155"]
    );
    assert_eq!(
        numbers(&bench.run("RESTORE VERIFYONLY FROM DISK = N'C:\\Backup\\none.bak'")),
        ["3201", "3013"]
    );
    bench.world.set(Setting::DiskFull { instance: "sql01".into(), on: true }).expect("it is there");
    let began = bench.world.now();
    let said = bench.run(FULL);
    assert_eq!(numbers(&said), ["3202", "3013"]);
    assert!(said.contains("112(There is not enough space on the disk.)"), "{said}");
    assert!(bench.world.now() > began, "it fails while it writes");
    bench
        .world
        .set(Setting::DiskFull { instance: "sql01".into(), on: false })
        .expect("it is there");
    assert!(bench.run(FULL).contains("info 3014"));
}

#[test]
fn backups_need_their_permission() {
    let allowed = [Permission::ConnectAnyDatabase, Permission::ReadMsdb];
    let mut poor = Bench::new("sql01", &Login::with("poor", "x", allowed));
    assert_eq!(numbers(&poor.run(FULL)), ["262", "3013"]);
    assert_eq!(
        numbers(&poor.run("RESTORE HEADERONLY FROM DISK = N'C:\\Backup\\a.bak'")),
        ["262", "3013"]
    );
    let mut rich = Bench::new("sql01", &Login::with("rich", "x", [Permission::BackupDatabase]));
    assert!(rich.run(FULL).contains("info 3014"));
    let asks = "SELECT HAS_PERMS_BY_NAME(N'Sales', 'DATABASE', 'BACKUP LOG')";
    assert_eq!((value(&mut poor, asks), value(&mut rich, asks)), ("0".into(), "1".into()));
}

#[test]
fn log_backups_follow_each_other_and_sets_share_a_file() {
    let mut bench = Bench::admin("sql01");
    bench.world.set(Setting::AgentRunning { instance: "sql01".into(), on: false }).expect("there");
    let log = "BACKUP LOG Sales TO DISK = N'C:\\Backup\\sales.trn' WITH CHECKSUM";
    for _ in 0..3 {
        later(&mut bench, 30);
        assert!(bench.run(log).contains("info 3014"));
    }
    let chain = "SELECT COUNT(*) FROM msdb.dbo.backupset a JOIN msdb.dbo.backupset b \
                 ON b.first_lsn = a.last_lsn AND b.backup_set_id > a.backup_set_id \
                 WHERE a.type = 'L' AND b.type = 'L' AND b.database_name = N'Sales'";
    assert_eq!(value(&mut bench, chain), "3");
    let sets = "SELECT COUNT(DISTINCT media_set_id), MAX(position) FROM msdb.dbo.backupset \
                WHERE type = 'L' AND backup_set_id > 2";
    assert_eq!(value(&mut bench, sets), "1 | 3");
    let header = bench.run("RESTORE HEADERONLY FROM DISK = N'C:\\Backup\\sales.trn'");
    assert_eq!(header.lines().count(), 4, "{header}");
}

#[test]
fn the_forwarder_takes_full_backups_and_the_chain_has_a_gap_after_the_way_back() {
    let mut bench = Bench::admin("sql01");
    later(&mut bench, 200);
    fail_over(&mut bench, "sql01");
    assert!(bench.run(FULL).contains("info 3014"), "a full backup succeeds on a forwarder");
    // As advised, the jobs rest while the other side is primary.
    let agent = |on| Setting::AgentRunning { instance: "sql01".into(), on };
    bench.world.set(agent(false)).expect("it is there");
    later(&mut bench, 1_200);
    fail_over(&mut bench, "mi-dr");
    bench.world.set(agent(true)).expect("it is there");
    later(&mut bench, 700);
    let logs = "SELECT first_lsn, last_lsn FROM msdb.dbo.backupset WHERE type = 'L' ORDER BY backup_set_id";
    let shown = bench.run(logs);
    let mut ends: Vec<(u128, u128)> = Vec::new();
    for line in shown.lines().skip(1) {
        let (first, last) = line.split_once(" | ").expect("two");
        ends.push((first.parse().expect("a number"), last.parse().expect("a number")));
    }
    let gaps = ends.windows(2).filter(|pair| pair[1].0 > pair[0].1).count();
    assert!(gaps >= 1, "what the managed instance backed up is missing here: {shown}");
}

#[test]
fn the_managed_instance_takes_copies_to_a_url_only() {
    let mut bench = Bench::admin("mi-dr");
    let url = "https://backup.blob.core.windows.net/c/s.bak";
    let disk = "BACKUP DATABASE Sales TO DISK = N'C:\\Backup\\a.bak' WITH COPY_ONLY";
    assert_eq!(numbers(&bench.run(disk)), ["41902", "3013"]);
    assert_eq!(
        numbers(&bench.run(&format!("BACKUP DATABASE Sales TO URL = N'{url}'"))),
        ["41904", "3013"]
    );
    assert_eq!(
        numbers(&bench.run(&format!("BACKUP LOG Sales TO URL = N'{url}'"))),
        ["41904", "3013"]
    );
    let copy = format!("BACKUP DATABASE Sales TO URL = N'{url}' WITH COPY_ONLY, CHECKSUM");
    assert!(bench.run(&copy).contains("info 3014"));
    bench.go("sql01");
    assert!(bench.run(&format!("RESTORE VERIFYONLY FROM URL = N'{url}'")).contains("3262"));
}

#[test]
fn jobs_back_the_log_up_until_somebody_disables_them() {
    let mut bench = Bench::admin("sql01");
    let logs =
        "SELECT COUNT(*) FROM msdb.dbo.backupset WHERE name = N'DatabaseBackup - Sales - LOG'";
    later(&mut bench, 1_500);
    assert_eq!(value(&mut bench, logs), "3");
    let job = "SELECT j.name, j.enabled, s.subsystem, s.last_run_outcome, sc.freq_subday_interval \
               FROM msdb.dbo.sysjobs j JOIN msdb.dbo.sysjobsteps s ON s.job_id = j.job_id \
               JOIN msdb.dbo.sysjobschedules js ON js.job_id = j.job_id \
               JOIN msdb.dbo.sysschedules sc ON sc.schedule_id = js.schedule_id \
               WHERE s.command LIKE N'BACKUP LOG%'";
    assert_eq!(value(&mut bench, job), "DatabaseBackup - Sales - LOG | 1 | TSQL | 1 | 10");
    let history = "SELECT COUNT(*), MIN(run_status), MAX(run_date) FROM msdb.dbo.sysjobhistory WHERE step_id = 0";
    assert_eq!(value(&mut bench, history), "3 | 1 | 20260302");
    let disable =
        "EXEC msdb.dbo.sp_update_job @job_name = N'DatabaseBackup - Sales - LOG', @enabled = 0";
    assert_eq!(bench.run(disable), "done\n");
    later(&mut bench, 3_600);
    assert_eq!(value(&mut bench, logs), "3");
    assert_eq!(bench.run("EXEC msdb.dbo.sp_start_job N'DatabaseBackup - Sales - LOG'"), "done\n");
    later(&mut bench, 5);
    assert_eq!(value(&mut bench, logs), "4", "started by hand");
    let wrong = bench.run("EXEC msdb.dbo.sp_start_job @job_name = N'Nope'");
    assert_eq!(numbers(&wrong), ["14262"]);
    let mut poor = Bench::new("sql01", &Login::with("p", "x", [Permission::ReadMsdb]));
    assert_eq!(numbers(&poor.run(disable)), ["229"]);
}

#[test]
fn a_job_that_cannot_write_says_so_in_its_history() {
    let mut bench = Bench::admin("sql01");
    bench.world.set(Setting::DiskFull { instance: "sql01".into(), on: true }).expect("it is there");
    later(&mut bench, 400);
    let history = "SELECT TOP (1) run_status, sql_message_id FROM msdb.dbo.sysjobhistory \
                   WHERE step_id = 1 ORDER BY instance_id DESC";
    assert_eq!(value(&mut bench, history), "0 | 3202");
    bench.world.set(Setting::AgentRunning { instance: "sql01".into(), on: false }).expect("there");
    let service = "SELECT status_desc FROM sys.dm_server_services WHERE servicename LIKE N'SQL Server Agent%'";
    assert_eq!(value(&mut bench, service), "Stopped");
    assert_eq!(
        value(
            &mut bench,
            "SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE program_name LIKE N'SQLAgent%'"
        ),
        "0"
    );
}

#[test]
fn the_tail_of_a_log_is_taken_without_cutting_it() {
    let mut bench = Bench::admin("sql01");
    let tail = "BACKUP LOG Sales TO DISK = N'C:\\Backup\\tail.trn' WITH NO_TRUNCATE, CHECKSUM";
    assert!(!bench.run(tail).contains("Msg"), "it is taken");
    let last = "SELECT TOP 1 is_copy_only c FROM msdb.dbo.backupset ORDER BY backup_set_id DESC";
    assert_eq!(bench.run(last), "c bit\n1\n");
    let whole = "BACKUP DATABASE Sales TO DISK = N'C:\\Backup\\a.bak' WITH NO_TRUNCATE";
    assert!(bench.run(whole).contains("3032"));
}
