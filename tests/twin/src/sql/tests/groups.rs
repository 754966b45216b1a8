//! Options of local groups and of their replicas.

use super::Bench;

const ALTER: &str = "ALTER AVAILABILITY GROUP [AG_Orders]";

/// A group of one replica, in no link.
fn bench() -> Bench {
    let mut bench = Bench::admin("sql01");
    let made = bench.run(
        "CREATE DATABASE Orders; BACKUP DATABASE Orders TO DISK = N'C:\\Backup\\o.bak'; CREATE AVAILABILITY GROUP [AG_Orders] WITH (CLUSTER_TYPE = NONE) \
         FOR DATABASE [Orders] REPLICA ON N'SQL01' WITH (ENDPOINT_URL = 'TCP://10.0.1.8:5022', \
         AVAILABILITY_MODE = SYNCHRONOUS_COMMIT, FAILOVER_MODE = MANUAL, BACKUP_PRIORITY = 30)",
    );
    assert!(!made.contains("Msg"), "{made}");
    bench
}

#[test]
fn options_of_a_group_are_shown_as_they_are_set() {
    let mut bench = bench();
    let shown = "SELECT failure_condition_level, health_check_timeout, \
                 automated_backup_preference_desc, db_failover, dtc_support \
                 FROM sys.availability_groups WHERE name = 'AG_Orders'";
    assert!(bench.run(shown).ends_with("\n3 | 30000 | secondary | 0 | 0\n"));
    for set in [
        "FAILURE_CONDITION_LEVEL = 5",
        "HEALTH_CHECK_TIMEOUT = 60000",
        "AUTOMATED_BACKUP_PREFERENCE = SECONDARY_ONLY",
        "DB_FAILOVER = ON",
        "DTC_SUPPORT = PER_DB",
    ] {
        assert_eq!(bench.run(&format!("{ALTER} SET ({set})")), "done\n", "{set}");
    }
    assert!(bench.run(shown).ends_with("\n5 | 60000 | secondary_only | 1 | 1\n"));
    for (set, number) in [
        ("FAILURE_CONDITION_LEVEL = 6", 35_228),
        ("HEALTH_CHECK_TIMEOUT = 14999", 35_229),
        ("AUTOMATED_BACKUP_PREFERENCE = SOMETIMES", 156),
        ("DB_FAILOVER = MAYBE", 156),
    ] {
        let said = bench.run(&format!("{ALTER} SET ({set})"));
        assert!(said.starts_with(&format!("Msg {number},")), "{set}: {said}");
    }
    let none = bench.run("ALTER AVAILABILITY GROUP [none] SET (DB_FAILOVER = ON)");
    assert!(none.starts_with("Msg 15151,"), "{none}");
    let managed = Bench::admin("mi-dr").run(&format!("{ALTER} SET (DB_FAILOVER = ON)"));
    assert!(managed.starts_with("Msg 41906,"), "{managed}");
}

#[test]
fn replicas_are_modified() {
    let mut bench = bench();
    let shown = "SELECT availability_mode_desc, failover_mode_desc, session_timeout, \
                 primary_role_allow_connections_desc, secondary_role_allow_connections_desc, \
                 backup_priority, seeding_mode_desc, endpoint_url FROM sys.availability_replicas r \
                 JOIN sys.availability_groups g ON g.group_id = r.group_id WHERE g.name = 'AG_Orders'";
    let usual =
        "\nSYNCHRONOUS_COMMIT | MANUAL | 10 | ALL | NO | 30 | AUTOMATIC | TCP://10.0.1.8:5022\n";
    assert!(bench.run(shown).ends_with(usual), "{}", bench.run(shown));
    for with in [
        "AVAILABILITY_MODE = ASYNCHRONOUS_COMMIT",
        "SESSION_TIMEOUT = 25",
        "PRIMARY_ROLE (ALLOW_CONNECTIONS = READ_WRITE)",
        "SECONDARY_ROLE (ALLOW_CONNECTIONS = READ_ONLY)",
        "SECONDARY_ROLE (READ_ONLY_ROUTING_URL = N'TCP://sql01:1433')",
        "BACKUP_PRIORITY = 80",
        "SEEDING_MODE = MANUAL",
        "ENDPOINT_URL = N'TCP://sql01:5023'",
    ] {
        let said = bench.run(&format!("{ALTER} MODIFY REPLICA ON N'SQL01' WITH ({with})"));
        assert_eq!(said, "done\n", "{with}");
    }
    let set = "\nASYNCHRONOUS_COMMIT | MANUAL | 25 | READ_WRITE | READ_ONLY | 80 | MANUAL | TCP://sql01:5023\n";
    assert!(bench.run(shown).ends_with(set), "{}", bench.run(shown));
    for (with, number) in [
        ("N'SQL01' WITH (FAILOVER_MODE = AUTOMATIC)", 35_211),
        ("N'SQL01' WITH (SESSION_TIMEOUT = 4)", 35_214),
        ("N'SQL01' WITH (BACKUP_PRIORITY = 101)", 35_209),
        ("N'SQL77' WITH (SESSION_TIMEOUT = 30)", 35_210),
        ("N'SQL01' WITH (PRIMARY_ROLE (ALLOW_CONNECTIONS = NO))", 156),
    ] {
        let said = bench.run(&format!("{ALTER} MODIFY REPLICA ON {with}"));
        assert!(said.starts_with(&format!("Msg {number},")), "{with}: {said}");
    }
    for refused in ["ADD REPLICA ON N'SQL02' WITH (SESSION_TIMEOUT = 10)", "REMOVE LISTENER N'x'"] {
        let said = bench.run(&format!("{ALTER} {refused}"));
        assert!(said.starts_with("Msg 156,"), "{refused}: {said}");
    }
}

#[test]
fn whoever_reads_only_has_to_say_so() {
    let mut bench = bench();
    let role = |what: &str| format!("{ALTER} MODIFY REPLICA ON N'SQL01' WITH ({what})");
    bench.run(&role("PRIMARY_ROLE (ALLOW_CONNECTIONS = READ_WRITE)"));
    assert!(bench.run("USE Orders").starts_with("database "));
    bench.session.read_only = true;
    let said = bench.run("USE master; USE Orders");
    assert!(said.contains("Msg 979, Level 14,"), "{said}");
    bench.run(&role("PRIMARY_ROLE (ALLOW_CONNECTIONS = ALL)"));
    assert!(bench.run("USE Orders").starts_with("database "));
    // The copy of a link, as secondary.
    let mut bench = Bench::admin("sql01");
    let group = "ALTER AVAILABILITY GROUP [AG_Sales]";
    let set = format!(
        "{group} MODIFY REPLICA ON N'SQL01' WITH (SECONDARY_ROLE (ALLOW_CONNECTIONS = READ_ONLY))"
    );
    assert_eq!(bench.run(&set), "done\n");
    assert!(bench.run("USE Sales; USE master").starts_with("database "));
    bench.go("mi-dr");
    let forced = "ALTER AVAILABILITY GROUP [LinkSales] FORCE_FAILOVER_ALLOW_DATA_LOSS";
    assert_eq!(bench.run(forced), "done\n");
    bench.go("sql01");
    let demoted =
        "WAITFOR DELAY '00:00:10'; ALTER AVAILABILITY GROUP [LinkSales] SET (ROLE = SECONDARY)";
    for _ in 0..3 {
        bench.run(demoted);
    }
    let said = bench.run("USE Sales");
    assert!(said.starts_with("Msg 978, Level 14,"), "{said}");
    bench.session.read_only = true;
    assert!(bench.run("USE Sales").starts_with("database "));
}

#[test]
fn backups_are_preferred_where_the_group_says() {
    let mut bench = Bench::admin("sql01");
    let asked = "SELECT sys.fn_hadr_backup_is_preferred_replica('Sales')";
    for (word, preferred) in [("SECONDARY", 1), ("SECONDARY_ONLY", 0), ("PRIMARY", 1), ("NONE", 1)]
    {
        let set = format!(
            "ALTER AVAILABILITY GROUP [AG_Sales] SET (AUTOMATED_BACKUP_PREFERENCE = {word})"
        );
        assert_eq!(bench.run(&set), "done\n");
        assert!(bench.run(asked).ends_with(&format!("\n{preferred}\n")), "{word}");
    }
}
