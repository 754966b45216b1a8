//! The queries of a link on both sides, before and after a failover (mi-link 3.6, literally).

use expect_test::{Expect, expect};
use jiff::SignedDuration;

use crate::sql::views;

use super::super::Login;
use super::Bench;
use crate::world::Fault;

const Q1: &str = "SELECT ag.name, ars1.role_desc, ars2.connected_state_desc, ars2.synchronization_health_desc, drs.secondary_lag_seconds
FROM sys.availability_groups ag
JOIN sys.dm_hadr_availability_replica_states ars1 ON ag.group_id = ars1.group_id
JOIN sys.dm_hadr_availability_replica_states ars2 ON ag.group_id = ars2.group_id
JOIN sys.dm_hadr_database_replica_states drs ON ars2.replica_id = drs.replica_id
WHERE ag.is_distributed = 1 AND ag.name = N'LinkSales' AND ars1.is_local = 1 AND ars2.is_local = 0;";

const Q1B: &str = "SELECT rs.synchronization_health_desc FROM sys.availability_groups ag JOIN sys.dm_hadr_availability_replica_states rs ON ag.group_id = rs.group_id
WHERE rs.is_local = 0 AND rs.role = 2 AND ag.is_distributed = 1 AND ag.name = N'LinkSales'";

const Q3: &str = "SELECT ag.name, ag.is_distributed, ar.replica_server_name, ar.availability_mode_desc, ars.connected_state_desc,
       ars.role_desc, ars.operational_state_desc, ars.synchronization_health_desc
FROM sys.availability_groups ag JOIN sys.availability_replicas ar ON ag.group_id = ar.group_id
LEFT JOIN sys.dm_hadr_availability_replica_states ars ON ars.replica_id = ar.replica_id
WHERE ag.is_distributed = 1;";

const Q4: &str = "SELECT ag.name, db.name, drs.database_id, drs.group_id, drs.replica_id, drs.synchronization_state_desc, drs.end_of_log_lsn, drs.last_hardened_lsn
FROM sys.dm_hadr_database_replica_states drs
JOIN sys.databases db ON db.database_id = drs.database_id
JOIN sys.availability_groups ag ON drs.group_id = ag.group_id
WHERE ag.is_distributed = 1 AND db.name = N'Sales';";

const Q5: &str = "SELECT drs.database_id, drs.synchronization_state_desc, drs.end_of_log_lsn, drs.last_hardened_lsn
FROM sys.dm_hadr_database_replica_states drs
JOIN sys.databases db ON db.database_id = drs.database_id
WHERE db.name = N'Sales' AND drs.is_primary_replica = 1";

const Q6: &str = "SELECT ag.name, rs.role_desc FROM sys.availability_groups ag
JOIN sys.dm_hadr_availability_replica_states rs ON ag.group_id = rs.group_id
WHERE rs.is_local = 1 AND ag.is_distributed = 1 AND ag.name = N'LinkSales';
-- both PRIMARY => split brain";

const Q7: &str = "SELECT TOP (100) bs.database_name, bs.is_copy_only, bs.has_backup_checksums, bs.backup_start_date, bs.backup_finish_date FROM msdb.dbo.backupset bs WHERE bs.type = 'D' ORDER BY bs.backup_finish_date DESC";

const Q8: &str = "SELECT r.replica_server_name, r.endpoint_url, rs.connected_state_desc, rs.last_connect_error_description,
       rs.last_connect_error_number, rs.last_connect_error_timestamp
FROM sys.dm_hadr_availability_replica_states rs JOIN sys.availability_replicas r ON rs.replica_id = r.replica_id;";

fn check(bench: &mut Bench, text: &str, expected: Expect) {
    expected.assert_eq(&masked(&bench.run(text)));
}

/// What depends on the seed and on how the world counts its log is not what these tests are for.
fn masked(text: &str) -> String {
    let word = |word: &str| -> String {
        let bare = word.trim_matches(['[', ']', '.', ',']);
        let digits = bare.bytes().filter(u8::is_ascii_digit).count();
        let shown = if bare.len() == 36 && bare.matches('-').count() == 4 {
            "<guid>"
        } else if digits == bare.len() && digits > 12 {
            "<lsn>"
        } else {
            bare
        };
        word.replace(bare, shown)
    };
    text.split('\n')
        .map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n")
}

fn pass(bench: &mut Bench, seconds: i64) {
    let later = bench.world.now() + SignedDuration::from_secs(seconds);
    bench.world.advance(later);
}

#[test]
fn a_healthy_link_from_its_primary() {
    let mut primary = Bench::admin("sql01");
    check(
        &mut primary,
        Q1,
        expect![[r#"
        name nvarchar(128) | role_desc nvarchar(60) | connected_state_desc nvarchar(60) | synchronization_health_desc nvarchar(60) | secondary_lag_seconds bigint
        LinkSales | PRIMARY | CONNECTED | HEALTHY | 0
    "#]],
    );
    check(
        &mut primary,
        Q1B,
        expect![[r#"
        synchronization_health_desc nvarchar(60)
        HEALTHY
    "#]],
    );
    check(
        &mut primary,
        Q3,
        expect![[r#"
        name nvarchar(128) | is_distributed bit | replica_server_name nvarchar(256) | availability_mode_desc nvarchar(60) | connected_state_desc nvarchar(60) | role_desc nvarchar(60) | operational_state_desc nvarchar(60) | synchronization_health_desc nvarchar(60)
        LinkSales | 1 | AG_Sales | ASYNCHRONOUS_COMMIT | CONNECTED | PRIMARY | ONLINE | HEALTHY
        LinkSales | 1 | AG_Sales_MI | ASYNCHRONOUS_COMMIT | CONNECTED | SECONDARY | NULL | HEALTHY
    "#]],
    );
    check(
        &mut primary,
        Q4,
        expect![[r#"
        name nvarchar(128) | name nvarchar(128) not null | database_id int not null | group_id uniqueidentifier not null | replica_id uniqueidentifier not null | synchronization_state_desc nvarchar(60) | end_of_log_lsn numeric(25,0) | last_hardened_lsn numeric(25,0)
        LinkSales | Sales | 5 | <guid> | <guid> | SYNCHRONIZING | <lsn> | NULL
        LinkSales | Sales | 5 | <guid> | <guid> | SYNCHRONIZING | <lsn> | <lsn>
    "#]],
    );
    check(
        &mut primary,
        Q5,
        expect![[r#"
        database_id int not null | synchronization_state_desc nvarchar(60) | end_of_log_lsn numeric(25,0) | last_hardened_lsn numeric(25,0)
        5 | SYNCHRONIZING | <lsn> | NULL
        5 | SYNCHRONIZING | <lsn> | NULL
    "#]],
    );
    check(
        &mut primary,
        Q6,
        expect![[r#"
        name nvarchar(128) | role_desc nvarchar(60)
        LinkSales | PRIMARY
    "#]],
    );
    check(
        &mut primary,
        Q7,
        expect![[r#"
        database_name nvarchar(128) | is_copy_only bit | has_backup_checksums bit | backup_start_date datetime | backup_finish_date datetime
        Sales | 0 | 1 | 2026-02-28 09:59:52.000 | 2026-02-28 10:00:00.000
    "#]],
    );
    check(
        &mut primary,
        Q8,
        expect![[r#"
        replica_server_name nvarchar(256) | endpoint_url nvarchar(256) | connected_state_desc nvarchar(60) | last_connect_error_description nvarchar(1024) | last_connect_error_number int | last_connect_error_timestamp datetime
        SQL01 | TCP://10.0.1.8:5022 | CONNECTED | NULL | NULL | NULL
        AG_Sales | TCP://10.0.1.8:5022 | CONNECTED | NULL | NULL | NULL
        AG_Sales_MI | tcp://mi-dr.0a1b2c3d4e5f.database.windows.net:5022;Server=[mi-dr] | CONNECTED | NULL | NULL | NULL
    "#]],
    );
}

#[test]
fn a_healthy_link_from_its_secondary() {
    let mut secondary = Bench::admin("mi-dr");
    check(
        &mut secondary,
        Q1,
        expect![[r#"
        name nvarchar(128) | role_desc nvarchar(60) | connected_state_desc nvarchar(60) | synchronization_health_desc nvarchar(60) | secondary_lag_seconds bigint
    "#]],
    );
    check(
        &mut secondary,
        Q1B,
        expect![[r#"
        synchronization_health_desc nvarchar(60)
    "#]],
    );
    check(
        &mut secondary,
        Q3,
        expect![[r#"
        name nvarchar(128) | is_distributed bit | replica_server_name nvarchar(256) | availability_mode_desc nvarchar(60) | connected_state_desc nvarchar(60) | role_desc nvarchar(60) | operational_state_desc nvarchar(60) | synchronization_health_desc nvarchar(60)
        LinkSales | 1 | AG_Sales | ASYNCHRONOUS_COMMIT | NULL | NULL | NULL | NULL
        LinkSales | 1 | AG_Sales_MI | ASYNCHRONOUS_COMMIT | CONNECTED | SECONDARY | ONLINE | HEALTHY
    "#]],
    );
    check(
        &mut secondary,
        Q4,
        expect![[r#"
        name nvarchar(128) | name nvarchar(128) not null | database_id int not null | group_id uniqueidentifier not null | replica_id uniqueidentifier not null | synchronization_state_desc nvarchar(60) | end_of_log_lsn numeric(25,0) | last_hardened_lsn numeric(25,0)
        LinkSales | Sales | 5 | <guid> | <guid> | SYNCHRONIZING | <lsn> | <lsn>
    "#]],
    );
    check(
        &mut secondary,
        Q5,
        expect![[r#"
        database_id int not null | synchronization_state_desc nvarchar(60) | end_of_log_lsn numeric(25,0) | last_hardened_lsn numeric(25,0)
        5 | SYNCHRONIZING | <lsn> | <lsn>
    "#]],
    );
    check(
        &mut secondary,
        Q6,
        expect![[r#"
        name nvarchar(128) | role_desc nvarchar(60)
        LinkSales | SECONDARY
    "#]],
    );
    check(
        &mut secondary,
        Q7,
        expect![[r#"
        database_name nvarchar(128) | is_copy_only bit | has_backup_checksums bit | backup_start_date datetime | backup_finish_date datetime
        Sales | 0 | 1 | 2026-02-28 08:59:52.000 | 2026-02-28 09:00:00.000
    "#]],
    );
    check(
        &mut secondary,
        Q8,
        expect![[r#"
        replica_server_name nvarchar(256) | endpoint_url nvarchar(256) | connected_state_desc nvarchar(60) | last_connect_error_description nvarchar(1024) | last_connect_error_number int | last_connect_error_timestamp datetime
        mi-dr.0a1b2c3d4e5f.database.windows.net | tcp://mi-dr.0a1b2c3d4e5f.database.windows.net:5022;Server=[mi-dr] | CONNECTED | NULL | NULL | NULL
        AG_Sales_MI | tcp://mi-dr.0a1b2c3d4e5f.database.windows.net:5022;Server=[mi-dr] | CONNECTED | NULL | NULL | NULL
    "#]],
    );
}

#[test]
fn a_forced_failover_makes_both_sides_primary() {
    let login = Login::least_privileged("agent", "x");
    let mut secondary = Bench::new("mi-dr", &login);
    check(
        &mut secondary,
        "ALTER AVAILABILITY GROUP [LinkSales] FORCE_FAILOVER_ALLOW_DATA_LOSS",
        expect![[r#"
            done
        "#]],
    );
    pass(&mut secondary, 60);
    check(
        &mut secondary,
        Q6,
        expect![[r#"
        name nvarchar(128) | role_desc nvarchar(60)
        LinkSales | PRIMARY
    "#]],
    );
    check(
        &mut secondary,
        "SELECT state_desc, DATABASEPROPERTYEX(name, 'Updateability') u, sys.fn_hadr_is_primary_replica(name) p \
         FROM sys.databases WHERE name = 'sales'",
        expect![[r#"
            state_desc nvarchar(60) | u sql_variant | p bit
            ONLINE | READ_WRITE | 1
        "#]],
    );
    check(
        &mut secondary,
        "ALTER AVAILABILITY GROUP [LinkSales] FORCE_FAILOVER_ALLOW_DATA_LOSS",
        expect![[r#"
            Msg 41122, Level 16, State 1, Line 1: Cannot failover availability group 'LinkSales' to this instance of SQL Server. The local availability replica is already the primary replica of the availability group. To fail over this availability group to another instance of SQL Server, run the failover command on that instance of SQL Server.
        "#]],
    );
    secondary.go("sql01");
    check(
        &mut secondary,
        Q6,
        expect![[r#"
        name nvarchar(128) | role_desc nvarchar(60)
        LinkSales | PRIMARY
    "#]],
    );
}

#[test]
fn a_secondary_notices_a_lost_primary_late() {
    let mut secondary = Bench::admin("mi-dr");
    let states = "SELECT is_local, role_desc, connected_state_desc, synchronization_health_desc \
                  FROM sys.dm_hadr_availability_replica_states s JOIN sys.availability_groups g \
                  ON g.group_id = s.group_id AND g.is_distributed = 1";
    secondary.world.fault(Fault::Stop { instance: "sql01".to_owned() }).expect("it exists");
    pass(&mut secondary, 5);
    check(
        &mut secondary,
        states,
        expect![[r#"
        is_local bit not null | role_desc nvarchar(60) | connected_state_desc nvarchar(60) | synchronization_health_desc nvarchar(60)
        1 | SECONDARY | CONNECTED | HEALTHY
    "#]],
    );
    pass(&mut secondary, 60);
    check(
        &mut secondary,
        states,
        expect![[r#"
        is_local bit not null | role_desc nvarchar(60) | connected_state_desc nvarchar(60) | synchronization_health_desc nvarchar(60)
        1 | SECONDARY | DISCONNECTED | NOT_HEALTHY
    "#]],
    );
}

#[test]
fn times_are_those_of_the_servers_own_zone() {
    let mut primary = Bench::admin("sql01");
    check(
        &mut primary,
        "SELECT CURRENT_TIMEZONE_ID() z, DATEDIFF(minute, GETUTCDATE(), GETDATE()) d, \
         (SELECT MAX(ABS(DATEDIFF(second, last_commit_time, GETDATE()))) FROM sys.dm_hadr_database_replica_states WHERE is_local = 1) s",
        expect![[r#"
            z varchar(128) not null | d int not null | s int
            W. Europe Standard Time | 60 | 0
        "#]],
    );
}

#[test]
fn every_view_can_be_read_whole_on_both_sides() {
    for at in ["sql01", "mi-dr"] {
        let mut bench = Bench::admin(at);
        for line in include_str!("../views/catalog.txt").lines() {
            if line.starts_with(['#', ' ']) || line.is_empty() {
                continue;
            }
            let elsewhere = if at == "sql01" { "managed" } else { "boxed" };
            if line.split(' ').any(|word| word == elsewhere) {
                continue;
            }
            let view = line.split(' ').next().expect("a name");
            let object = view.rsplit('.').next().expect("a name");
            if views::find_function((17, at != "sql01"), object).is_some() {
                continue;
            }
            let said = bench.run(&format!("SELECT * FROM {view}"));
            assert!(!said.contains("Msg "), "{view}: {said}");
            // A column that is never NULL is not.
            let mut lines = said.lines();
            let heads: Vec<&str> = lines.next().expect("a heading").split(" | ").collect();
            for row in lines {
                // Ids of principals are bytes, and one of them breaks the line.
                let values: Vec<&str> = row.split(" | ").collect();
                let whole = values.len() == heads.len();
                for (head, value) in heads.iter().zip(values).filter(|_| whole) {
                    assert!(!head.ends_with(" not null") || value != "NULL", "{view}: {head}");
                }
            }
        }
    }
}
