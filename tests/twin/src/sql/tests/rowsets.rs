//! Functions that give rows, in FROM and behind APPLY.

use expect_test::{Expect, expect};

use super::{Bench, Login, run};

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&run(text));
}

#[test]
fn a_text_is_split() {
    check(
        "SELECT value, ordinal FROM STRING_SPLIT('a,,b', ',', 1); SELECT * FROM STRING_SPLIT(N'x', ';') AS s(part)",
        expect![[r#"
            value varchar(4) | ordinal bigint
            a | 1
             | 2
            b | 3
            part nvarchar(1)
            x
        "#]],
    );
    check(
        "SELECT value FROM STRING_SPLIT(NULL, ',')",
        expect![[r#"
        value varchar(1)
    "#]],
    );
    check(
        "SELECT t.id, s.value FROM (VALUES (1, 'a b'), (2, NULL), (3, 'c')) t(id, list) OUTER APPLY STRING_SPLIT(t.list, ' ') s",
        expect![[r#"
            id int not null | value varchar(3)
            1 | a
            1 | b
            2 | NULL
            3 | c
        "#]],
    );
    check(
        "SELECT d.name FROM sys.databases d JOIN STRING_SPLIT('Sales,msdb', ',') s ON s.value = d.name WHERE EXISTS (SELECT 1 FROM STRING_SPLIT(d.name, 'a') WHERE value = 'les')",
        expect![[r#"
            name nvarchar(128) not null
            Sales
        "#]],
    );
    for (text, number) in [
        ("SELECT 1 FROM STRING_SPLIT('a', ',,')", 214),
        ("SELECT 1 FROM STRING_SPLIT(1, ',')", 8116),
        ("DECLARE @o int = 1; SELECT 1 FROM STRING_SPLIT('a', ',', @o)", 8748),
        ("SELECT 1 FROM STRING_SPLIT('a')", 313),
        ("SELECT 1 FROM STRING_SPLIT('a', ',', 1, 1)", 8144),
        ("SELECT 1 FROM sys.dm_io_virtual_file_stats(1)", 313),
        ("SELECT 1 FROM sys.dm_db_log_stats(1, 2)", 8144),
        ("SELECT 1 FROM sys.dm_db_log_stats", 216),
        ("SELECT 1 FROM sys.fn_nothing(1)", 208),
        ("SELECT 1 FROM dbo.split('a')", 208),
        ("SELECT 1 FROM STRING_SPLIT('a', ',') s(a, b)", 8158),
        ("SELECT 1 FROM sys.dm_exec_sql_text(0x00)", 569),
    ] {
        let said = run(text);
        assert!(said.starts_with(&format!("Msg {number}, ")), "{text}: {said}");
    }
    let old = Bench::in_world(&older(), "sql01").run("SELECT 1 FROM STRING_SPLIT('a', ',', 1)");
    assert!(old.starts_with("Msg 8144, "), "{old}");
}

/// The same world with SQL Server 2019.
fn older() -> crate::world::WorldSpec {
    let mut spec = crate::world::WorldSpec::default();
    for instance in &mut spec.instances {
        if instance.name == "sql01" {
            instance.product_version = "15.0.4430.1".to_owned();
        }
    }
    spec
}

#[test]
fn a_session_is_found_by_what_it_runs() {
    let mut bench = Bench::admin("sql01");
    let mut other = bench.another();
    bench.run_in(&mut other, "SELECT 42 AS answer");
    let said = bench.run(&format!(
        "SELECT c.session_id, DATALENGTH(c.most_recent_sql_handle), t.text, t.encrypted \
         FROM sys.dm_exec_connections c CROSS APPLY sys.dm_exec_sql_text(c.most_recent_sql_handle) t \
         WHERE c.session_id = {}",
        other.id
    ));
    assert!(said.ends_with(&format!("\n{} | 44 | SELECT 42 AS answer | 0\n", other.id)), "{said}");
    let own = bench.run("SELECT t.text FROM sys.dm_exec_requests r OUTER APPLY sys.dm_exec_sql_text(r.sql_handle) AS t WHERE r.session_id = @@SPID");
    assert!(own.contains("\nSELECT t.text FROM sys.dm_exec_requests r"), "{own}");
    bench.run_in(&mut other, "ALTER LOGIN sa WITH PASSWORD = N'gEheim'");
    let said =
        bench.run(&format!("SELECT event_info FROM sys.dm_exec_input_buffer({}, NULL)", other.id));
    assert!(said.contains("\n*PASSWORD-") && !said.contains("gEheim"), "{said}");
    let handle = "DECLARE @h varbinary(64) = (SELECT most_recent_sql_handle FROM sys.dm_exec_connections WHERE session_id = @@SPID); \
                  SELECT COUNT(*) FROM sys.dm_exec_sql_text(@h)";
    assert!(bench.run(handle).ends_with("\n1\n"));
}

#[test]
fn rights_are_listed() {
    let mut bench = Bench::new("sql01", &Login::least_privileged("dr", "x"));
    let said = bench.run("SELECT * FROM fn_my_permissions(NULL, 'SERVER')");
    expect![[r#"
        entity_name nvarchar(128) | subentity_name nvarchar(128) | permission_name nvarchar(60)
        server |  | ALTER ANY AVAILABILITY GROUP
        server |  | CONNECT ANY DATABASE
        server |  | CONNECT SQL
        server |  | CREATE AVAILABILITY GROUP
        server |  | VIEW ANY DATABASE
        server |  | VIEW ANY DEFINITION
        server |  | VIEW SERVER PERFORMANCE STATE
        server |  | VIEW SERVER SECURITY STATE
        server |  | VIEW SERVER STATE
    "#]]
    .assert_eq(&said);
    let said = bench.run("SELECT entity_name, permission_name FROM sys.fn_my_permissions('LinkSales', 'AVAILABILITY GROUP')");
    expect![[r#"
        entity_name nvarchar(128) | permission_name nvarchar(60)
        LinkSales | ALTER
        LinkSales | VIEW DEFINITION
    "#]]
    .assert_eq(&said);
    let all = run(
        "SELECT COUNT(*) FROM sys.fn_my_permissions(NULL, NULL) WHERE permission_name IN ('CONTROL SERVER', 'SHUTDOWN')",
    );
    assert!(all.ends_with("\n2\n"), "{all}");
    let said = bench.run("SELECT 1 FROM sys.fn_my_permissions(NULL, 'DATABASE') WHERE permission_name = 'CONTROL'; SELECT HAS_PERMS_BY_NAME(NULL, NULL, 'SHUTDOWN')");
    assert!(said.ends_with("\n0\n"), "{said}");
}

#[test]
fn the_log_has_virtual_files() {
    let mut bench = Bench::admin("sql01");
    let said = bench.run("SELECT recovery_model, total_log_size_mb, total_vlf_count, active_vlf_count, log_truncation_holdup_reason, log_min_lsn FROM sys.dm_db_log_stats(DB_ID('Sales'))");
    expect![[r#"
        recovery_model nvarchar(60) | total_log_size_mb float | total_vlf_count bigint | active_vlf_count bigint | log_truncation_holdup_reason nvarchar(60) | log_min_lsn nvarchar(24)
        FULL | 8192 | 128 | 1 | NOTHING | 0000002a:00000010:0001
    "#]].assert_eq(&said);
    let said = bench.run("SELECT COUNT(*) AS files, SUM(CAST(vlf_active AS int)) AS active, MIN(vlf_begin_offset) AS first FROM sys.dm_db_log_info(DB_ID('Sales'))");
    expect![[r#"
        files int not null | active int | first bigint
        128 | 1 | 8192
    "#]]
    .assert_eq(&said);
    let ends = "SELECT CASE WHEN l.log_end_lsn = MAX(i.vlf_first_lsn) THEN 0 WHEN l.log_end_lsn > MAX(i.vlf_first_lsn) THEN 1 END \
                FROM sys.dm_db_log_stats(DB_ID('Sales')) l CROSS APPLY sys.dm_db_log_info(l.database_id) i WHERE i.vlf_active = 1 GROUP BY l.log_end_lsn";
    assert!(bench.run(ends).ends_with("\n1\n"), "{}", bench.run(ends));
    // A secondary knows its recovery model, and nothing of its log.
    let said = Bench::admin("mi-dr").run("SELECT recovery_model, log_end_lsn, total_vlf_count FROM sys.dm_db_log_stats(DB_ID('Sales'))");
    expect![[r#"
        recovery_model nvarchar(60) | log_end_lsn nvarchar(24) | total_vlf_count bigint
        FULL | NULL | NULL
    "#]]
    .assert_eq(&said);
    // Without a database it is one's own.
    let said = bench.run("SELECT database_id FROM sys.dm_db_log_stats(NULL); SELECT COUNT(*) FROM sys.dm_db_log_info(DEFAULT)");
    expect![[r#"
        database_id int
        1
         int not null
        1
    "#]]
    .assert_eq(&said);
}

#[test]
fn files_write_and_disks_fill() {
    let mut bench = Bench::admin("sql01");
    let said = bench.run("SELECT database_id, file_id, num_of_writes, num_of_bytes_written, size_on_disk_bytes FROM sys.dm_io_virtual_file_stats(DB_ID('Sales'), NULL)");
    expect![[r#"
        database_id smallint not null | file_id smallint not null | num_of_writes bigint not null | num_of_bytes_written bigint not null | size_on_disk_bytes bigint not null
        5 | 1 | 0 | 0 | 209715200
        5 | 2 | 1221 | 1874432 | 8589934592
    "#]].assert_eq(&said);
    let flushed = "SELECT CASE WHEN v.num_of_writes = c.cntr_value THEN 1 END FROM sys.dm_io_virtual_file_stats(DB_ID('Sales'), 2) v \
                   CROSS JOIN sys.dm_os_performance_counters c WHERE c.counter_name = 'Log Flushes/sec' AND c.instance_name = 'Sales'";
    assert!(bench.run(flushed).ends_with("\n1\n"));
    let free = "SELECT v.volume_mount_point, v.total_bytes, v.available_bytes FROM Sales.sys.database_files f \
                CROSS APPLY sys.dm_os_volume_stats(DB_ID('Sales'), f.file_id) v ORDER BY f.file_id";
    expect![[r#"
        volume_mount_point nvarchar(512) | total_bytes bigint not null | available_bytes bigint not null
        C:\ | 1099511627776 | 1099268358144
        L:\ | 1099511627776 | 1090888138752
    "#]].assert_eq(&bench.run(free));
    let setting = crate::world::Setting::VolumeFull {
        instance: "sql01".to_owned(),
        volume: crate::world::Volume::Log,
        on: true,
    };
    bench.world.set(setting).expect("it is there");
    expect![[r#"
        volume_mount_point nvarchar(512) | total_bytes bigint not null | available_bytes bigint not null
        C:\ | 1099511627776 | 1099268358144
        L:\ | 1099511627776 | 0
    "#]].assert_eq(&bench.run(free));
    let denied = Bench::new("sql01", &Login::with("nobody", "x", [])).run(free);
    assert!(denied.starts_with("Msg 300, "), "{denied}");
}
