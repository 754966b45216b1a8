//! Procedures and views that administrators look at a server with.

use super::{Bench, Login, run};

#[test]
fn messages_are_those_that_are_said() {
    let said = run("SELECT severity, is_event_logged, text FROM sys.messages \
                    WHERE message_id = 911 AND language_id = 1033");
    assert!(
        said.ends_with(
            "\n16 | 0 | Database '%.*ls' does not exist. Make sure that the name is entered correctly.\n"
        ),
        "{said}"
    );
    let known = run("SELECT COUNT(*) FROM sys.messages WHERE message_id IN \
                     (208, 1480, 3906, 18456, 19406, 35250, 35264, 41140, 47513)");
    assert!(known.ends_with("\n9\n"), "{known}");
    let once = run("SELECT message_id FROM sys.messages GROUP BY message_id HAVING COUNT(*) > 1");
    assert_eq!(once, "message_id int not null\n");
}

#[test]
fn every_login_is_a_user_of_every_database() {
    let said =
        run("SELECT name, type, authentication_type_desc FROM Sales.sys.database_principals \
                    WHERE principal_id IN (0, 1, 16384) ORDER BY principal_id");
    assert!(
        said.ends_with("\npublic | R | NONE\ndbo | S | INSTANCE\ndb_owner | R | NONE\n"),
        "{said}"
    );
    let owners = run("SELECT r.name, m.name FROM sys.database_role_members x \
                      JOIN sys.database_principals r ON r.principal_id = x.role_principal_id \
                      JOIN sys.database_principals m ON m.principal_id = x.member_principal_id");
    assert!(owners.ends_with("\ndb_owner | dbo\n"), "{owners}");
    let ports = run(
        "SELECT port, type_desc FROM sys.dm_tcp_listener_states WHERE is_ipv4 = 1 ORDER BY port",
    );
    assert!(ports.ends_with("\n1433 | TSQL\n1434 | TSQL\n5022 | DATABASE_MIRRORING\n"), "{ports}");
    let denied = Bench::new("sql01", &Login::with("nobody", "x", []))
        .run("SELECT 1 FROM sys.dm_tcp_listener_states");
    assert!(denied.starts_with("Msg 300,"), "{denied}");
}

#[test]
fn options_of_the_server_are_set_and_installed() {
    let mut bench = Bench::admin("sql01");
    let all = bench.run("EXEC sp_configure");
    let heads = "name nvarchar(35) not null | minimum int | maximum int | config_value int | run_value int\n";
    assert!(all.starts_with(heads) && all.contains("\nclr enabled | 0 | 1 | 0 | 0\n"), "{all}");
    assert!(!all.contains("max server memory"), "{all}");
    let hidden = bench.run("EXEC sp_configure 'max server memory (MB)', 4096");
    assert!(hidden.starts_with("Msg 15123,"), "{hidden}");
    let said = bench.run("EXEC sp_configure 'show advanced', 1; RECONFIGURE; EXEC sp_configure 'max server memory (MB)', 4096");
    assert!(
        said.contains("info 15457: Configuration option 'max server memory (MB)' changed from 2147483647 to 4096. Run the RECONFIGURE statement to install.\n"),
        "{said}"
    );
    let shown = "EXEC sp_configure 'max server memory (MB)'";
    assert!(bench.run(shown).ends_with("| 4096 | 2147483647\n"), "{}", bench.run(shown));
    assert_eq!(bench.run("RECONFIGURE WITH OVERRIDE"), "done\n");
    assert!(bench.run(shown).ends_with("| 4096 | 4096\n"));
    let view = "SELECT value, value_in_use FROM sys.configurations WHERE configuration_id = 1544";
    assert!(bench.run(view).ends_with("\n4096 | 4096\n"));
    // What is not dynamic waits for a start.
    bench.run("EXEC sp_configure 'remote access', 0; RECONFIGURE");
    assert!(bench.run("EXEC sp_configure 'remote access'").ends_with("| 0 | 1\n"));
    for (call, number) in [
        ("EXEC sp_configure 'no such'", 15_123),
        ("EXEC sp_configure 'max'", 15_124),
        ("EXEC sp_configure 'clr enabled', 2", 15_129),
    ] {
        let said = bench.run(call);
        assert!(said.starts_with(&format!("Msg {number},")), "{call}: {said}");
    }
    let mut eye = Bench::new("sql01", &Login::watching("eye", ""));
    assert!(eye.run("EXEC sp_configure 'clr enabled', 1").starts_with("Msg 15247,"));
    assert!(eye.run("RECONFIGURE").starts_with("Msg 15247,"));
}

#[test]
fn the_error_log_tells_of_roles() {
    let mut bench = Bench::admin("sql01");
    let log = "EXEC sp_readerrorlog 0, 1, N'LinkSales', N'changed from'";
    assert_eq!(
        bench.run(log),
        "LogDate datetime | ProcessInfo nvarchar(50) | Text nvarchar(max)\n"
    );
    assert_eq!(bench.run("ALTER AVAILABILITY GROUP [LinkSales] FAILOVER"), "done\n");
    let said = bench.run(log);
    assert!(said.contains("from 'PRIMARY_NORMAL' to 'RESOLVING_NORMAL'"), "{said}");
    assert!(said.contains(" to 'SECONDARY_NORMAL'"), "{said}");
    let said = bench.run("EXEC xp_readerrorlog 0, 1, N'changing roles'");
    assert!(said.contains("The availability group database \"Sales\" is changing roles from \"PRIMARY\" to \"RESOLVING\""), "{said}");
    let started = bench.run("EXEC master.dbo.xp_readerrorlog 0, 1, N'ready for client'");
    assert_eq!(started.lines().count(), 2, "{started}");
    assert_eq!(bench.run("EXEC sp_readerrorlog 1").lines().count(), 1);
    let denied = Bench::new("sql01", &Login::watching("eye", "")).run("EXEC sp_readerrorlog");
    assert!(denied.starts_with("Msg 15003,"), "{denied}");
}

#[test]
fn who_is_there_and_what_is_kept() {
    let mut bench = Bench::admin("sql01");
    let other = bench.another();
    let said = bench.run(&format!("EXEC sp_who '{}'", other.id));
    let heads = "spid smallint not null | ecid smallint not null | status nchar(30) not null | loginame nchar(128) not null";
    assert!(
        said.starts_with(heads) && said.contains(&format!("\n{} | 0 | sleeping", other.id)),
        "{said}"
    );
    let said = bench.run("EXEC sp_who2 'active'");
    assert!(said.starts_with("SPID char(5)") && said.contains("LOG WRITER"), "{said}");
    let said = bench.run("EXEC sp_helpdb 'Sales'");
    assert!(
        said.contains("\nSales | ")
            && said.contains(
                "Status=ONLINE, Updateability=READ_WRITE, UserAccess=MULTI_USER, Recovery=FULL"
            ),
        "{said}"
    );
    assert!(said.contains("\nSales_log | 2 | ") && said.contains(" | log only\n"), "{said}");
    assert!(
        bench.run("EXEC sp_helpdb 'nowhere'").starts_with("Msg 15010, Level 16,"),
        "{}",
        bench.run("EXEC sp_helpdb 'nowhere'")
    );
    let said = bench.run("USE Sales; EXEC sp_spaceused");
    assert!(said.contains("\nSales | 8392.00 MB | 0.00 MB\n"), "{said}");
}

#[test]
fn history_of_backups_is_trimmed() {
    let mut bench = Bench::admin("sql01");
    let count = "SELECT (SELECT COUNT(*) FROM msdb.dbo.backupset), (SELECT COUNT(*) FROM msdb.dbo.backupmediafamily)";
    bench.run("BACKUP LOG Sales TO DISK = N'C:\\Backup\\a.trn'; WAITFOR DELAY '00:00:10'");
    bench.run(
        "CREATE DATABASE Own; BACKUP DATABASE Own TO DISK = N'C:\\Backup\\b.bak'; WAITFOR DELAY '00:00:10'",
    );
    assert!(!bench.run(count).ends_with("\n1 | 1\n"), "{}", bench.run(count));
    bench.run("EXEC msdb.dbo.sp_delete_database_backuphistory @database_name = N'Sales'");
    assert!(bench.run(count).ends_with("\n1 | 1\n"), "{}", bench.run(count));
    bench.run("DECLARE @d datetime = DATEADD(day, -1, GETDATE()); EXEC msdb.dbo.sp_delete_backuphistory @oldest_date = @d");
    assert!(bench.run(count).ends_with("\n1 | 1\n"));
    bench.run("DECLARE @d datetime = GETDATE(); EXEC msdb.dbo.sp_delete_backuphistory @d");
    assert!(bench.run(count).ends_with("\n0 | 0\n"));
    assert!(bench.run("EXEC msdb.dbo.sp_delete_backuphistory").starts_with("Msg 201,"));
}
