//! The queries of mi-link 3.6 over the wire on both sides, and a failover.

use tiberius::numeric::Numeric;

use crate::door::{Connection, Doors, LINK, code, connect, number, rows, text, until};

const Q1: &str = "SELECT ag.name, ars1.role_desc, ars2.connected_state_desc, ars2.synchronization_health_desc, drs.secondary_lag_seconds
FROM sys.availability_groups ag
JOIN sys.dm_hadr_availability_replica_states ars1 ON ag.group_id = ars1.group_id
JOIN sys.dm_hadr_availability_replica_states ars2 ON ag.group_id = ars2.group_id
JOIN sys.dm_hadr_database_replica_states drs ON ars2.replica_id = drs.replica_id
WHERE ag.is_distributed = 1 AND ag.name = N'LinkSales' AND ars1.is_local = 1 AND ars2.is_local = 0;";

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

const Q6: &str = "SELECT rs.role_desc FROM sys.availability_groups ag
JOIN sys.dm_hadr_availability_replica_states rs ON ag.group_id = rs.group_id
WHERE rs.is_local = 1 AND ag.is_distributed = 1 AND ag.name = N'LinkSales';";

const Q7: &str = "SELECT TOP (100) bs.database_name, bs.is_copy_only, bs.has_backup_checksums, bs.backup_start_date, bs.backup_finish_date FROM msdb.dbo.backupset bs WHERE bs.type = 'D' ORDER BY bs.backup_finish_date DESC";

const Q8: &str = "SELECT r.replica_server_name, r.endpoint_url, rs.connected_state_desc, rs.last_connect_error_description,
       rs.last_connect_error_number, rs.last_connect_error_timestamp
FROM sys.dm_hadr_availability_replica_states rs JOIN sys.availability_replicas r ON rs.replica_id = r.replica_id;";

async fn count(client: &mut Connection, query: &str) -> usize {
    rows(client, query).await.expect("it answers").len()
}

#[tokio::test]
async fn both_sides_answer_the_queries_of_a_link() {
    let doors = Doors::open().await;
    let (user, password) = ("agent", "päss wörd");
    let mut primary = connect(doors.config(doors.sql, user, password)).await.expect("a login");
    let mut secondary = connect(doors.config(doors.mi, user, password)).await.expect("a login");
    let counts = [(Q1, 1, 0), (Q3, 2, 2), (Q4, 2, 1), (Q6, 1, 1), (Q7, 1, 1), (Q8, 3, 2)];
    for (query, of_primary, of_secondary) in counts {
        assert_eq!(count(&mut primary, query).await, of_primary, "{query}");
        assert_eq!(count(&mut secondary, query).await, of_secondary, "{query}");
    }
    assert_eq!(text(&mut primary, Q6).await, "PRIMARY");
    assert_eq!(text(&mut secondary, Q6).await, "SECONDARY");
    let found = rows(&mut secondary, Q4).await.expect("it answers");
    let hardened: Numeric =
        found[0].try_get("last_hardened_lsn").expect("numeric").expect("not NULL");
    assert_eq!(hardened.scale(), 0);
    assert!(hardened.value() > 42_000_000_000_000_000, "{hardened}");
}

#[tokio::test]
async fn a_forced_failover_takes_time_and_blocks_nobody_else() {
    let doors = Doors::open().await;
    let mut operator = connect(doors.config(doors.mi, "agent", "päss wörd")).await.expect("in");
    let mut watcher = doors.admin(doors.mi).await;
    let statement = format!("ALTER AVAILABILITY GROUP [{LINK}] FORCE_FAILOVER_ALLOW_DATA_LOSS");
    let force = async {
        operator.simple_query(statement.as_str()).await?.into_results().await?;
        Ok::<_, tiberius::error::Error>(())
    };
    let seen = "SELECT command FROM sys.dm_exec_requests WHERE session_id > 50 AND session_id <> @@SPID \
                UNION ALL SELECT N'none' WHERE NOT EXISTS \
                (SELECT 1 FROM sys.dm_exec_requests WHERE session_id > 50 AND session_id <> @@SPID)";
    let (forced, ()) = tokio::join!(force, until(&mut watcher, seen, "ALTER AVAILABILITY GROUP"));
    forced.expect("it is taken");
    until(&mut watcher, Q6, "PRIMARY").await;
    let writable = "SELECT CAST(DATABASEPROPERTYEX(name, 'Updateability') AS nvarchar(20)) + N' ' + \
                    state_desc FROM sys.databases WHERE name = N'Sales'";
    until(&mut watcher, writable, "READ_WRITE ONLINE").await;
    assert_eq!(code(rows(&mut operator, &statement).await), 41_122);
    // The old primary knows nothing of it: both sides say PRIMARY.
    let mut old = doors.admin(doors.sql).await;
    assert_eq!(text(&mut old, Q6).await, "PRIMARY");
}

#[tokio::test]
async fn without_the_permission_nothing_happens() {
    let doors = Doors::open().await;
    let mut nobody = connect(doors.config(doors.mi, "nobody", "x")).await.expect("a login");
    let statement = format!("ALTER AVAILABILITY GROUP [{LINK}] FORCE_FAILOVER_ALLOW_DATA_LOSS");
    assert_eq!(code(rows(&mut nobody, &statement).await), 15_151);
    assert_eq!(code(rows(&mut nobody, Q4).await), 300);
    assert_eq!(number(&mut nobody, "SELECT COUNT(*) FROM sys.availability_groups").await, 0);
    let told = doors.world.with(|world| world.ledger().commands().to_vec());
    let [told] = told.as_slice() else { panic!("one command: {told:?}") };
    let told = (told.command.0.as_str(), told.error, told.who.login.as_str());
    assert_eq!(told, (statement.as_str(), Some(15_151), "nobody"));
}
