//! Restores, and databases that are made, dropped, renamed and fenced.

use super::super::Permission;
use super::*;

const DISK: &str = r"N'C:\Backup\s.bak'";
const URL: &str = "N'https://backup.blob.core.windows.net/c/s.bak'";

fn numbers(said: &str) -> Vec<&str> {
    said.lines()
        .filter_map(|line| line.strip_prefix("Msg "))
        .filter_map(|rest| rest.split(',').next())
        .collect()
}

fn value(bench: &mut Bench, query: &str) -> String {
    bench.run(query).lines().nth(1).unwrap_or_default().to_owned()
}

/// The way back where no failover leads: a copy of the managed instance's database, restored here.
#[test]
fn a_copy_of_the_managed_instance_is_restored_under_another_name() {
    let mut bench = Bench::admin("sql01");
    bench.run("CREATE TABLE Sales.dbo.Orders (id int); INSERT Sales.dbo.Orders VALUES (1), (2)");
    bench.world.advance(bench.world.now() + jiff::SignedDuration::from_secs(5));
    bench.go("mi-dr");
    let copy = format!("BACKUP DATABASE Sales TO URL = {URL} WITH COPY_ONLY, CHECKSUM");
    assert!(bench.run(&copy).contains("info 3014"));
    bench.go("sql01");
    let header = bench.run(&format!("RESTORE HEADERONLY FROM URL = {URL}"));
    assert!(header.contains("mi-dr.0a1b2c3d4e5f.database.windows.net") && header.contains("957"));
    let files = bench.run(&format!("RESTORE FILELISTONLY FROM URL = {URL}"));
    assert!(files.contains("data_0 | https://") && files.contains("\nlog | "), "{files}");
    let plain = bench.run(&format!("RESTORE DATABASE Back FROM URL = {URL}"));
    assert_eq!(numbers(&plain), ["5133", "3013"], "its files are nowhere here: {plain}");
    let restore = format!(
        "RESTORE DATABASE [Back] FROM URL = {URL} WITH MOVE N'data_0' TO N'C:\\Data\\Back.mdf', \
         MOVE N'log' TO N'C:\\Data\\Back.ldf', STATS = 50"
    );
    let said = bench.run(&restore);
    for wanted in
        ["3211: 100 percent", "database 'Back', file 'data_0'", "RESTORE DATABASE success"]
    {
        assert!(said.contains(wanted), "{said}");
    }
    assert_eq!(value(&mut bench, "SELECT COUNT(*) FROM Back.dbo.Orders"), "2");
    let facts =
        "SELECT state_desc, physical_name FROM sys.master_files WHERE database_id = DB_ID('Back')";
    assert_eq!(value(&mut bench, facts), r"ONLINE | C:\Data\Back.mdf");
    let history =
        "SELECT destination_database_name, restore_type, recovery FROM msdb.dbo.restorehistory";
    assert_eq!(value(&mut bench, history), "Back | D | 1");
    let said = bench.run(&restore);
    assert_eq!(numbers(&said), ["3154", "3013"], "it is there: {said}");
    assert!(bench.run(&format!("{restore}, REPLACE")).contains("info 3014"));
}

#[test]
fn files_of_another_database_are_not_overwritten() {
    let mut bench = Bench::admin("sql01");
    bench.run(&format!("BACKUP DATABASE Sales TO DISK = {DISK} WITH INIT"));
    let said = bench.run(&format!("RESTORE DATABASE Other FROM DISK = {DISK}"));
    assert_eq!(numbers(&said), ["1834", "3156", "1834", "3156", "3119", "3013"], "{said}");
    for (statement, wanted) in [
        (format!("RESTORE DATABASE Sales FROM DISK = {DISK} WITH REPLACE"), vec!["3104", "3013"]),
        (
            format!("RESTORE DATABASE Other FROM DISK = {DISK} WITH MOVE 'x' TO 'C:\\a'"),
            vec!["3234", "3013"],
        ),
        (format!("RESTORE DATABASE Other FROM DISK = {DISK} WITH FILE = 7"), vec!["4038", "3013"]),
        (
            "RESTORE DATABASE Other FROM DISK = N'C:\\Backup\\no.bak'".to_owned(),
            vec!["3201", "3013"],
        ),
        (format!("RESTORE LOG Other FROM DISK = {DISK}"), vec!["3118", "3013"]),
        ("RESTORE DATABASE msdb WITH RECOVERY".to_owned(), vec!["3153", "3013"]),
        (format!("RESTORE DATABASE Other FROM DISK = {DISK} WITH SOMEHOW"), vec!["155"]),
    ] {
        let said = bench.run(&statement);
        assert_eq!(numbers(&said), wanted, "{statement}: {said}");
    }
    let poor = Login::with("p", "x", [Permission::ConnectAnyDatabase]);
    let said =
        Bench::new("sql01", &poor).run(&format!("RESTORE DATABASE Other FROM DISK = {DISK}"));
    assert_eq!(numbers(&said), ["3110", "3013"]);
}

#[test]
fn log_follows_a_restore_without_recovery() {
    let mut bench = Bench::admin("sql01");
    bench.run("CREATE TABLE Sales.dbo.T (id int)");
    bench.run(&format!("BACKUP DATABASE Sales TO DISK = {DISK} WITH INIT"));
    bench.run("INSERT Sales.dbo.T VALUES (1)");
    bench.run(r"BACKUP LOG Sales TO DISK = N'C:\Backup\1.trn' WITH INIT");
    bench.run("INSERT Sales.dbo.T VALUES (2)");
    bench.run(r"BACKUP LOG Sales TO DISK = N'C:\Backup\2.trn' WITH INIT");
    let full = format!(
        "RESTORE DATABASE Two FROM DISK = {DISK} WITH NORECOVERY, MOVE 'Sales' TO 'C:\\D\\2.mdf', \
         MOVE 'Sales_log' TO 'C:\\D\\2.ldf'"
    );
    assert!(bench.run(&full).contains("3014"));
    assert_eq!(
        value(&mut bench, "SELECT state_desc FROM sys.databases WHERE name = 'Two'"),
        "RESTORING"
    );
    assert_eq!(numbers(&bench.run("SELECT COUNT(*) FROM Two.dbo.T")), ["927"]);
    let log = |n: u8| format!("RESTORE LOG Two FROM DISK = N'C:\\Backup\\{n}.trn' WITH NORECOVERY");
    assert_eq!(numbers(&bench.run(&log(2))), ["4305", "3013"], "one is missing");
    assert!(bench.run(&log(1)).contains("RESTORE LOG successfully"));
    assert!(bench.run(&log(2)).contains("RESTORE LOG successfully"));
    assert!(bench.run("RESTORE DATABASE Two WITH RECOVERY").contains("3014"));
    assert_eq!(value(&mut bench, "SELECT COUNT(*) FROM Two.dbo.T"), "2");
    assert_eq!(numbers(&bench.run(&log(2))), ["3117", "3013"]);
    let kinds = "SELECT COUNT(*), SUM(CAST(recovery AS int)) FROM msdb.dbo.restorehistory";
    assert_eq!(value(&mut bench, kinds), "3 | 0");
}

#[test]
fn a_newer_format_cannot_be_read_and_a_managed_instance_takes_no_options() {
    let mut spec = WorldSpec::default();
    let managed = spec.instances.iter_mut().find(|instance| instance.name == "mi-dr");
    managed.expect("it is there").update_policy = crate::world::UpdatePolicy::AlwaysUpToDate;
    let mut bench = Bench::in_world(&spec, "mi-dr");
    bench.run(&format!("BACKUP DATABASE Sales TO URL = {URL} WITH COPY_ONLY"));
    let restore = |options: &str| format!("RESTORE DATABASE [New] FROM URL = {URL}{options}");
    assert_eq!(numbers(&bench.run(&restore(" WITH REPLACE"))), ["41901", "3013"]);
    assert!(bench.run(&restore("")).contains("3014"));
    assert_eq!(numbers(&bench.run(&restore(""))), ["1801", "3013"]);
    let disk = format!("RESTORE DATABASE [Newer] FROM DISK = {DISK}");
    assert_eq!(numbers(&bench.run(&disk)), ["41902", "3013"]);
    bench.go("sql01");
    assert_eq!(numbers(&bench.run(&restore(""))), ["3169", "3013"]);
}

#[test]
fn a_credential_opens_storage_and_nobody_shows_its_secret() {
    let mut bench = Bench::admin("sql01");
    let url = "https://other.blob.core.windows.net/c";
    let backup = format!("BACKUP DATABASE Sales TO URL = N'{url}/s.bak' WITH COPY_ONLY");
    assert_eq!(numbers(&bench.run(&backup)), ["3201", "3013"]);
    let create = format!(
        "CREATE CREDENTIAL [{url}] WITH IDENTITY = N'SHARED ACCESS SIGNATURE', SECRET = N'sv=s3cret'"
    );
    assert_eq!(bench.run(&create), "done\n");
    assert_eq!(numbers(&bench.run(&create)), ["15530"]);
    assert!(bench.run(&backup).contains("3014"));
    let shown = bench.run("SELECT name, credential_identity FROM sys.credentials");
    assert!(shown.contains(url) && !format!("{:?}", bench.world).contains("s3cret"), "{shown}");
    let drop = format!("DROP CREDENTIAL [{url}]");
    assert_eq!(bench.run(&drop), "done\n");
    assert_eq!(numbers(&bench.run(&drop)), ["15151"]);
    assert_eq!(numbers(&bench.run(&backup)), ["3201", "3013"]);
}

#[test]
fn a_database_is_made_renamed_and_dropped() {
    let mut bench = Bench::admin("sql01");
    assert_eq!(bench.run("CREATE DATABASE [New]"), "done\n");
    assert_eq!(numbers(&bench.run("CREATE DATABASE new")), ["1801"]);
    bench.run("CREATE TABLE New.dbo.T (id int); INSERT New.dbo.T VALUES (7)");
    assert_eq!(bench.run("ALTER DATABASE [New] MODIFY NAME = [Newer]"), "done\n");
    assert_eq!(value(&mut bench, "SELECT id FROM Newer.dbo.T"), "7");
    let mut other = bench.another();
    bench.run_in(&mut other, "USE Newer");
    assert_eq!(numbers(&bench.run("DROP DATABASE Newer")), ["3702"]);
    assert_eq!(numbers(&bench.run("ALTER DATABASE Newer MODIFY NAME = X")), ["5030", "5069"]);
    bench.run_in(&mut other, "USE master");
    assert_eq!(bench.run("DROP DATABASE Newer"), "done\n");
    assert_eq!(numbers(&bench.run("DROP DATABASE Newer")), ["3701"]);
    assert_eq!(bench.run("DROP DATABASE IF EXISTS Newer"), "done\n");
    assert_eq!(numbers(&bench.run("DROP DATABASE msdb")), ["3708"]);
    assert_eq!(numbers(&bench.run("DROP DATABASE Sales")), ["3752"]);
    for option in ["READ_ONLY", "SINGLE_USER", "RESTRICTED_USER", "OFFLINE"] {
        let said = bench.run(&format!("ALTER DATABASE Sales SET {option} WITH ROLLBACK IMMEDIATE"));
        assert_eq!(numbers(&said), ["1468", "5069"], "{option}");
    }
}

/// What is left once the groups are gone: the source is fenced by its own options.
#[test]
fn a_database_that_has_left_its_link_is_fenced() {
    let mut bench = Bench::admin("sql01");
    bench.run("CREATE TABLE Sales.dbo.T (id int)");
    assert_eq!(bench.run("DROP AVAILABILITY GROUP [LinkSales]"), "done\n");
    assert_eq!(bench.run("DROP AVAILABILITY GROUP [AG_Sales]"), "done\n");
    let shop = |bench: &Bench| bench.world.workload("shop").expect("it is there").acknowledged();
    let later = |bench: &mut Bench| {
        let before = shop(bench);
        bench.world.advance(bench.world.now() + jiff::SignedDuration::from_secs(5));
        shop(bench) - before
    };
    assert!(later(&mut bench) > 0, "the copy is writable");
    let alter = |option: &str| format!("ALTER DATABASE Sales SET {option}");
    let said = bench.run(&alter("READ_ONLY WITH NO_WAIT"));
    assert_eq!(numbers(&said), ["5070", "5069"], "an application is in it");
    bench.run("SET LOCK_TIMEOUT 1000");
    assert_eq!(numbers(&bench.run(&alter("READ_ONLY"))), ["1222", "5069"], "it waits");
    assert_eq!(bench.run(&alter("READ_ONLY WITH ROLLBACK IMMEDIATE")), "done\n");
    assert_eq!(later(&mut bench), 0, "nothing is committed any more");
    assert_eq!(numbers(&bench.run("INSERT Sales.dbo.T VALUES (1)")), ["3906"]);
    let facts = "SELECT is_read_only, DATABASEPROPERTYEX('Sales', 'Updateability') FROM sys.databases WHERE name = 'Sales'";
    assert_eq!(value(&mut bench, facts), "1 | READ_ONLY");
    assert_eq!(bench.run(&alter("READ_WRITE WITH ROLLBACK IMMEDIATE")), "done\n");
    assert!(later(&mut bench) > 0, "it is taken back");
    assert_eq!(bench.run(&alter("OFFLINE WITH ROLLBACK IMMEDIATE")), "done\n");
    assert_eq!(later(&mut bench), 0);
    assert_eq!(numbers(&bench.run("SELECT * FROM Sales.dbo.T")), ["942"]);
    assert_eq!(
        value(&mut bench, "SELECT state_desc FROM sys.databases WHERE name = 'Sales'"),
        "OFFLINE"
    );
    assert_eq!(bench.run(&alter("ONLINE")), "done\n");
    assert_eq!(bench.run(&alter("SINGLE_USER WITH ROLLBACK IMMEDIATE")), "done\n");
    let mut other = bench.another();
    assert_eq!(numbers(&bench.run_in(&mut other, "USE Sales")), ["924"]);
    assert_eq!(bench.run(&alter("MULTI_USER")), "done\n");
    assert!(later(&mut bench) > 0);
    assert_eq!(numbers(&Bench::admin("mi-dr").run(&alter("READ_ONLY"))), ["41901", "5069"]);
}

/// The rung of the ladder below that: nobody who is told to stop may come in again.
#[test]
fn a_login_that_is_disabled_stays_out_once_its_sessions_are_killed() {
    let mut bench = Bench::admin("sql01");
    let shop = |bench: &Bench| bench.world.workload("shop").expect("it is there").acknowledged();
    assert_eq!(bench.run("ALTER LOGIN [shop] DISABLE"), "done\n");
    let before = shop(&bench);
    bench.world.advance(bench.world.now() + jiff::SignedDuration::from_secs(5));
    assert!(shop(&bench) > before, "who is in stays in");
    let ids = bench.run("SELECT session_id FROM sys.dm_exec_sessions WHERE login_name = 'shop'");
    for id in ids.lines().filter_map(|line| line.parse::<u16>().ok()) {
        assert_eq!(bench.run(&format!("KILL {id}")), "done\n");
    }
    let before = shop(&bench);
    bench.world.advance(bench.world.now() + jiff::SignedDuration::from_secs(10));
    assert_eq!(shop(&bench), before, "and nobody comes in");
    bench.run("ALTER LOGIN [shop] ENABLE");
    bench.world.advance(bench.world.now() + jiff::SignedDuration::from_secs(10));
    assert!(shop(&bench) > before);
}

#[test]
fn a_server_shuts_down_when_it_is_told_to() {
    let mut bench = Bench::admin("sql01");
    let poor = Login::with("p", "x", [Permission::ConnectAnyDatabase]);
    assert_eq!(numbers(&Bench::new("sql01", &poor).run("SHUTDOWN")), ["6004"]);
    assert_eq!(numbers(&Bench::admin("mi-dr").run("SHUTDOWN WITH NOWAIT")), ["41906"]);
    assert_eq!(bench.run("SHUTDOWN WITH NOWAIT"), "(closed)\n");
    assert!(!bench.world.instance("sql01").expect("it is there").is_up());
}
