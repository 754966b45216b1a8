//! Options of databases and of sessions, and what DBCC shows.

use super::{Bench, Login, run};

#[test]
fn options_of_a_database_are_shown_and_shipped() {
    let mut bench = Bench::admin("sql01");
    let shown = "SELECT compatibility_level, snapshot_isolation_state_desc, \
                 is_read_committed_snapshot_on, is_accelerated_database_recovery_on, \
                 is_broker_enabled FROM sys.databases WHERE name = ";
    let said = bench.run(&format!("{shown}'Sales'"));
    assert!(said.ends_with("\n160 | OFF | 0 | 0 | 0\n"), "{said}");
    for set in [
        "COMPATIBILITY_LEVEL = 150",
        "ALLOW_SNAPSHOT_ISOLATION ON",
        "READ_COMMITTED_SNAPSHOT ON WITH ROLLBACK IMMEDIATE",
        "ACCELERATED_DATABASE_RECOVERY = ON WITH ROLLBACK IMMEDIATE",
    ] {
        let said = bench.run(&format!("ALTER DATABASE Sales SET {set}"));
        assert_eq!(said, "done\n", "{set}");
    }
    assert!(bench.run(&format!("{shown}'Sales'")).ends_with("\n150 | ON | 1 | 1 | 0\n"));
    let there = Bench { at: "mi-dr".to_owned(), ..bench };
    let mut there = there;
    there.go("mi-dr");
    assert!(there.run(&format!("{shown}'Sales'")).ends_with("\n150 | ON | 1 | 1 | 0\n"));
    // A secondary takes no changes; neither does a group take a broker.
    let said = there.run("ALTER DATABASE Sales SET COMPATIBILITY_LEVEL = 160");
    assert!(said.contains("Msg 3906,") && said.contains("Msg 5069,"), "{said}");
    there.go("sql01");
    for (set, number) in [
        ("ENABLE_BROKER", 1_468),
        ("NEW_BROKER", 1_468),
        ("COMPATIBILITY_LEVEL = 155", 15_048),
        ("COMPATIBILITY_LEVEL = 170", 15_048),
        ("READ_COMMITTED_SNAPSHOT MAYBE", 156),
    ] {
        let said = there.run(&format!("ALTER DATABASE Sales SET {set}"));
        assert!(said.starts_with(&format!("Msg {number},")), "{set}: {said}");
    }
    let alone = "CREATE DATABASE Own; ALTER DATABASE Own SET NEW_BROKER WITH ROLLBACK IMMEDIATE; \
                 SELECT is_broker_enabled FROM sys.databases WHERE name = 'Own'";
    assert!(there.run(alone).ends_with("\n1\n"));
    let brokers = "SELECT service_broker_guid FROM sys.databases WHERE name = 'Own'";
    let before = there.run(brokers);
    there.run("ALTER DATABASE Own SET NEW_BROKER");
    assert_ne!(before, there.run(brokers));
    let managed = Bench::admin("mi-dr")
        .run("CREATE DATABASE Own; ALTER DATABASE Own SET ACCELERATED_DATABASE_RECOVERY = OFF");
    assert!(managed.contains("Msg 41901,"), "{managed}");
}

#[test]
fn a_session_has_its_own_week_and_language() {
    let said = run("SET DATEFIRST 1; SELECT @@DATEFIRST, DATEPART(weekday, '2026-03-02'), \
                    DATEPART(weekday, '2026-03-01'), DATENAME(weekday, '2026-03-02')");
    assert!(said.ends_with("\n1 | 1 | 7 | Monday\n"), "{said}");
    let said =
        run("SELECT @@DATEFIRST, DATEPART(weekday, '2026-03-02'), DATEPART(week, '2026-03-01'); \
                    SET DATEFIRST 1; SELECT DATEPART(week, '2026-03-01')");
    assert!(said.contains("\n7 | 2 | 10\n") && said.ends_with("\n9\n"), "{said}");
    let said = run("SET LANGUAGE German; SELECT @@LANGUAGE, @@LANGID, @@DATEFIRST; \
                    SELECT language, date_format, date_first FROM sys.dm_exec_sessions WHERE session_id = @@SPID");
    assert!(said.contains("info 5703: Changed language setting to Deutsch.\n"), "{said}");
    assert!(
        said.contains("\nDeutsch | 1 | 1\n") && said.ends_with("\nDeutsch | dmy | 1\n"),
        "{said}"
    );
    let said = run(
        "DECLARE @n int = 4096; SET TEXTSIZE @n; SELECT @@TEXTSIZE; SET TEXTSIZE -1; SELECT @@TEXTSIZE",
    );
    assert!(said.contains("\n4096\n") && said.ends_with("\n2147483647\n"), "{said}");
    for (text, number) in
        [("SET DATEFIRST 8", 2_742), ("SET DATEFORMAT abc", 2_741), ("SET LANGUAGE Klingon", 2_740)]
    {
        assert!(run(text).starts_with(&format!("Msg {number},")), "{text}: {}", run(text));
    }
    let said = run("SET DATEFORMAT dmy; SET NOCOUNT ON; DBCC USEROPTIONS WITH NO_INFOMSGS");
    for line in [
        "textsize | 2147483647",
        "dateformat | dmy",
        "nocount | SET",
        "isolation level | read committed",
    ] {
        assert!(said.contains(&format!("\n{line}\n")), "{line}: {said}");
    }
}

#[test]
fn dbcc_shows_logs_and_open_transactions() {
    let mut bench = Bench::admin("sql01");
    let done = "info 2528: DBCC execution completed. If DBCC printed error messages, contact your \
                system administrator.\n";
    let none = bench.run("DBCC OPENTRAN");
    assert_eq!(none, format!("info 7969: No active open transactions.\n{done}done\n"));
    let mut other = bench.another();
    bench.run_in(
        &mut other,
        "CREATE TABLE Sales.dbo.t (a int); BEGIN TRAN; INSERT Sales.dbo.t VALUES (1)",
    );
    let said = bench.run("DBCC OPENTRAN ('Sales') WITH NO_INFOMSGS");
    assert_eq!(said, "done\n");
    let said = bench.run("DBCC OPENTRAN ('Sales')");
    let spid = format!("info 7971:     SPID (server process ID): {}\n", other.id);
    assert!(said.contains(&spid) && said.contains("Name          : user_transaction"), "{said}");
    assert!(bench.run("DBCC OPENTRAN (nowhere)").starts_with("Msg 2520,"));
    let said = bench.run("USE Sales; DBCC LOGINFO");
    let first = "RecoveryUnitId int | FileId int | FileSize bigint | StartOffset bigint | FSeqNo int | Status int | Parity tinyint | CreateLSN numeric(25,0)\n0 | 2 | 67108864 | 8192 | 42 | 2 | 64 | 0\n";
    assert!(said.contains(first), "{said}");
    let said = bench.run(&format!("DBCC INPUTBUFFER({})", other.id));
    assert!(said.contains("Language Event | 0 | CREATE TABLE Sales.dbo.t"), "{said}");
    assert!(bench.run("DBCC INPUTBUFFER(999)").starts_with("Msg 7955,"));
    let mut eye = Bench::new("sql01", &Login::watching("eye", ""));
    assert!(eye.run("DBCC OPENTRAN").starts_with("Msg 2571,"));
    assert!(eye.run("DBCC LOGINFO").starts_with("Msg 2571,"));
    assert!(eye.run("DBCC SQLPERF(LOGSPACE) WITH NO_INFOMSGS").contains("\nSales | "));
}
