//! A planned failover there and back over the wire, and the proof of quiet before it.

use crate::door::{Connection, Doors, LINK, MI, SQL, code, connect, number, rows, until};

const ROLE: &str = "SELECT rs.role_desc FROM sys.availability_groups ag
JOIN sys.dm_hadr_availability_replica_states rs ON ag.group_id = rs.group_id
WHERE rs.is_local = 1 AND ag.is_distributed = 1 AND ag.name = N'LinkSales';";

const SHOP: &str = "SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE login_name = N'shop'";

async fn fail_over(client: &mut Connection) -> tiberius::Result<()> {
    let statement = format!("ALTER AVAILABILITY GROUP [{LINK}] FAILOVER");
    client.simple_query(statement).await?.into_results().await.map(|_| ())
}

#[tokio::test]
async fn the_statement_returns_after_the_roles_are_switched_in_both_directions() {
    let doors = Doors::open().await;
    let (mut sql, mut mi) = (doors.admin(doors.sql).await, doors.admin(doors.mi).await);
    assert_eq!(code(fail_over(&mut mi).await), 47_517);
    let (mut old, mut new) = (&mut sql, &mut mi);
    for at in [MI, SQL] {
        fail_over(old).await.expect("it is taken");
        until(new, ROLE, "PRIMARY").await;
        until(old, ROLE, "SECONDARY").await;
        doors.world.with(|world| world.repoint("shop", at)).expect("both exist");
        let healthy = "SELECT synchronization_health_desc FROM sys.dm_hadr_availability_replica_states \
                       WHERE is_local = 0";
        until(new, healthy, "HEALTHY").await;
        std::mem::swap(&mut old, &mut new);
    }
    let (loss, intervals) = doors
        .world
        .with(|world| (world.loss(LINK).expect("a link"), world.ledger().intervals(LINK).to_vec()));
    assert!(loss.count == 0 && loss.acknowledged > 20, "{loss:?}");
    assert!(intervals.iter().all(|interval| interval.writers.count() < 2), "{intervals:?}");
}

#[tokio::test]
async fn a_stopped_application_is_proven_quiet_by_sessions_and_log() {
    let doors = Doors::open().await;
    let agent = doors.config(doors.sql, "agent", "päss wörd");
    let mut client = connect(agent).await.expect("a login");
    assert_eq!(number(&mut client, SHOP).await, 4);
    let in_database = format!("{SHOP} AND database_id = DB_ID(N'Sales')");
    assert_eq!(number(&mut client, &in_database).await, 3);
    doors.world.with(|world| world.set_running("shop", false)).expect("it is there");
    assert_eq!(number(&mut client, SHOP).await, 0);
    assert_eq!(
        number(&mut client, "SELECT COUNT(*) FROM sys.dm_tran_session_transactions").await,
        0
    );
    let flushes = "SELECT CAST(cntr_value AS int) FROM sys.dm_os_performance_counters WHERE \
                   counter_name = N'Log Flushes/sec' AND instance_name = N'Sales'";
    let before = number(&mut client, flushes).await;
    rows(&mut client, "WAITFOR DELAY '00:00:10'").await.expect("it waits");
    let after = number(&mut client, flushes).await;
    assert!((0..3).contains(&(after - before)), "{before} {after}");
}

#[tokio::test]
async fn a_killed_session_is_told_and_closed() {
    let doors = Doors::open().await;
    let mut admin = doors.admin(doors.sql).await;
    let mut waiting = doors.admin(doors.sql).await;
    let mut idle = doors.admin(doors.sql).await;
    let spid = "SELECT CAST(@@SPID AS int)";
    let (first, second) = (number(&mut waiting, spid).await, number(&mut idle, spid).await);
    let wait = rows(&mut waiting, "WAITFOR DELAY '00:10:00'");
    let kill = async {
        let busy = format!("SELECT COUNT(*) FROM sys.dm_exec_requests WHERE session_id = {first}");
        while number(&mut admin, &busy).await == 0 {
            tokio::task::yield_now().await;
        }
        for id in [first, second] {
            rows(&mut admin, &format!("KILL {id}")).await.expect("it is killed");
        }
        assert_eq!(code(rows(&mut admin, "KILL @@SPID").await), 102);
        assert_eq!(code(rows(&mut admin, &format!("KILL {first}")).await), 6_106);
    };
    let (waited, ()) = tokio::join!(wait, kill);
    assert_eq!(code(waited), 596);
    assert_eq!(code(rows(&mut idle, "SELECT 1").await), 596);
    rows(&mut idle, "SELECT 1").await.expect_err("the connection is closed");
}
