//! Transactions, what sessions see of each other, and what becomes of it over the link.

use expect_test::expect;

use super::Bench;
use crate::world::Side;

fn bench() -> Bench {
    let mut bench = Bench::admin("sql01");
    bench.run("USE Sales CREATE TABLE t (id int PRIMARY KEY, v int) INSERT t VALUES (1, 10)");
    bench
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let mut bench = bench();
    let said = [
        "BEGIN TRAN INSERT t VALUES (2, 20) CREATE TABLE u (a int) SELECT @@TRANCOUNT n, XACT_STATE() x",
        "SAVE TRAN here UPDATE t SET v = 0 DROP TABLE u ROLLBACK TRAN here SELECT id, v FROM t SELECT * FROM u",
        "ROLLBACK SELECT id, v FROM t SELECT * FROM u",
        "BEGIN TRAN BEGIN TRAN INSERT t VALUES (3, 30) COMMIT SELECT @@TRANCOUNT n",
        "COMMIT TRANSACTION COMMIT",
        "SELECT id FROM t",
    ]
    .map(|batch| bench.run(batch))
    .concat();
    expect![[r#"
        begun
        done
        done
        n int not null | x smallint not null
        1 | 1
        done
        done
        done
        id int not null | v int
        1 | 10
        2 | 20
        a int
        rolled back
        done
        id int not null | v int
        1 | 10
        Msg 208, Level 16, State 1, Line 1: Invalid object name 'u'.
        begun
        done
        done
        done
        n int not null
        1
        committed
        done
        Msg 3902, Level 16, State 1, Line 1: The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.
        id int not null
        1
        3
    "#]].assert_eq(&said);
}

#[test]
fn an_error_ends_its_statement_or_the_whole_transaction() {
    let mut bench = bench();
    bench.run("INSERT t VALUES (3, 30)");
    let said = [
        "SET XACT_ABORT ON BEGIN TRAN INSERT t VALUES (4, 40) INSERT t VALUES (1, 0) SELECT 1 never",
        "SELECT @@TRANCOUNT n, (SELECT COUNT(*) FROM t) c SET XACT_ABORT OFF",
        "BEGIN TRAN INSERT t VALUES (5, 50) INSERT t VALUES (1, 0) INSERT t VALUES (6, 60) COMMIT SELECT id FROM t",
        "BEGIN TRAN DELETE t SELECT CAST('x' AS int) SELECT 1 never",
        "SELECT @@TRANCOUNT n, (SELECT COUNT(*) FROM t) c",
        "SET IMPLICIT_TRANSACTIONS ON UPDATE t SET v = 1 SELECT @@TRANCOUNT n ROLLBACK SET IMPLICIT_TRANSACTIONS OFF SELECT MAX(v) m FROM t",
    ]
    .map(|batch| bench.run(batch))
    .concat();
    expect![[r#"
        done
        begun
        done
        Msg 2627, Level 14, State 1, Line 1: Violation of PRIMARY KEY constraint 'PK__t__E888A6B6'. Cannot insert duplicate key in object 'dbo.t'. The duplicate key value is (1).
        info 3621: The statement has been terminated.
        rolled back
        n int not null | c int
        0 | 2
        done
        begun
        done
        Msg 2627, Level 14, State 1, Line 1: Violation of PRIMARY KEY constraint 'PK__t__E888A6B6'. Cannot insert duplicate key in object 'dbo.t'. The duplicate key value is (1).
        info 3621: The statement has been terminated.
        committed
        done
        id int not null
        1
        3
        5
        6
        begun
        done
        Msg 245, Level 16, State 1, Line 1: Conversion failed when converting the varchar value 'x' to data type int.
        rolled back
        n int not null | c int
        0 | 4
        done
        begun
        n int not null
        1
        rolled back
        done
        done
        m int
        60
    "#]]
    .assert_eq(&said);
}

#[test]
fn another_session_waits_for_what_is_not_committed() {
    let mut bench = bench();
    let mut other = bench.another();
    bench.run("BEGIN TRAN UPDATE t SET v = 11");
    let said = [
        "SET LOCK_TIMEOUT 500 SELECT v FROM t",
        "SELECT v FROM t WITH (NOLOCK)",
        "UPDATE t SET v = 12",
        "SELECT @@LOCK_TIMEOUT l SELECT 1 goes_on",
    ]
    .map(|batch| bench.run_in(&mut other, batch))
    .concat();
    expect![[r#"
        done
        Msg 1222, Level 16, State 51, Line 1: Lock request time out period exceeded.
        v int
        11
        Msg 1222, Level 16, State 51, Line 1: Lock request time out period exceeded.
        l int not null
        500
        goes_on int not null
        1
    "#]]
    .assert_eq(&said);
    bench.run("COMMIT");
    assert!(bench.run_in(&mut other, "SELECT v FROM t").contains("11"));
}

#[test]
fn whoever_closes_a_circle_of_waiting_is_the_victim() {
    let mut bench = bench();
    bench.run("CREATE TABLE u (a int)");
    let mut other = bench.another();
    bench.run("BEGIN TRAN UPDATE t SET v = 1");
    bench.run_in(&mut other, "BEGIN TRAN INSERT u VALUES (1)");
    let id = other.id;
    assert!(!bench.world.note_lock_wait("sql01", id, Some(bench.session.id)));
    let said = bench.run("SELECT * FROM u SELECT 1 never") + &bench.run("SELECT @@TRANCOUNT n");
    expect![[r#"
        Msg 1205, Level 13, State 51, Line 1: Transaction (Process ID 53) was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction.
        n int not null
        0
    "#]].assert_eq(&said);
}

#[test]
fn a_commit_ships_is_in_the_ledger_and_is_read_on_the_secondary() {
    let mut bench = bench();
    let before = bench.world.commits("LinkSales").count();
    bench.run("INSERT t VALUES (2, 20)");
    let made = bench.world.commits("LinkSales").last().expect("a commit");
    assert!(bench.world.commits("LinkSales").count() > before);
    assert!(made.acknowledged && made.on_sql_server && !made.on_managed_instance, "{made:?}");
    assert_eq!((made.database.as_str(), made.side), ("Sales", Side::SqlServer));
    bench.go("mi-dr");
    assert!(!bench.run("USE Sales SELECT id FROM t").contains("2\n"), "it is not redone yet");
    bench.run("WAITFOR DELAY '00:00:10'");
    let said = bench.run("SELECT id, v FROM t ORDER BY id")
        + &bench.run("INSERT t VALUES (3, 30)")
        + &bench.run("CREATE TABLE u (a int)")
        + &bench
            .run("CREATE TABLE #u (a int) INSERT #u SELECT id FROM t SELECT COUNT(*) n FROM #u");
    expect![[r#"
        id int not null | v int
        1 | 10
        2 | 20
        Msg 3906, Level 16, State 1, Line 1: Failed to update database "Sales" because the database is read-only.
        Msg 3906, Level 16, State 1, Line 1: Failed to update database "Sales" because the database is read-only.
        done
        n int not null
        2
    "#]].assert_eq(&said);
}

#[test]
fn the_tail_that_did_not_ship_is_gone_after_all() {
    let mut bench = bench();
    bench.run("CREATE TABLE u (a int) WAITFOR DELAY '00:00:05'");
    let mut app = bench.another();
    bench.run_in(&mut app, "BEGIN TRAN INSERT u VALUES (9)");
    let snapshot = bench.world.clone();
    bench.go("mi-dr");
    bench.run("USE master ALTER AVAILABILITY GROUP [LinkSales] FORCE_FAILOVER_ALLOW_DATA_LOSS");
    bench.run("WAITFOR DELAY '00:00:30'");
    let said = bench.run("USE Sales SELECT id FROM t INSERT t VALUES (3, 30) SELECT id FROM t");
    expect![[r#"
        database master -> Sales
        info 5701: Changed database context to 'Sales'.
        done
        id int not null
        1
        id int not null
        1
        3
    "#]]
    .assert_eq(&said);
    // Both are primary, and have histories of their own.
    bench.go("sql01");
    assert_eq!(bench.run("INSERT t VALUES (2, 20) SELECT id FROM t"), "id int not null\n1\n2\n");
    let mine = |commit: &crate::world::Commit| commit.side == Side::SqlServer;
    let lost = bench.world.commits("LinkSales").filter(mine).last().expect("a commit").id;
    let demoted = "USE master ALTER AVAILABILITY GROUP [LinkSales] SET (ROLE = SECONDARY)";
    assert!(bench.run(demoted).contains("Msg 41104"), "it takes a second try");
    bench.run(demoted);
    bench.run("WAITFOR DELAY '00:00:15' ALTER DATABASE [Sales] SET HADR RESUME");
    bench.run("WAITFOR DELAY '00:01:30'");
    let said = bench.run("SELECT id FROM Sales.dbo.t INSERT Sales.dbo.t VALUES (4, 40)")
        + &bench.run_in(&mut app, "COMMIT");
    expect![[r#"
        Msg 976, Level 14, State 1, Line 1: The target database, 'Sales', is participating in an availability group and is currently not accessible for queries. Either data movement is suspended or the availability replica is not enabled for read access. To allow read-only access to this and other databases in the availability group, enable read access to one or more secondary availability replicas in the group. For more information, see the ALTER AVAILABILITY GROUP statement in SQL Server Books Online.
        Msg 976, Level 14, State 1, Line 1: The target database, 'Sales', is participating in an availability group and is currently not accessible for queries. Either data movement is suspended or the availability replica is not enabled for read access. To allow read-only access to this and other databases in the availability group, enable read access to one or more secondary availability replicas in the group. For more information, see the ALTER AVAILABILITY GROUP statement in SQL Server Books Online.
        Msg 596, Level 21, State 1, Line 1: Cannot continue the execution because the session is in the kill state.
        (closed)
    "#]].assert_eq(&said);
    bench.go("mi-dr");
    bench.run("ALTER AVAILABILITY GROUP [LinkSales] FAILOVER");
    bench.run("WAITFOR DELAY '00:00:30'");
    bench.go("sql01");
    let said = bench.run("SELECT id FROM Sales.dbo.t");
    expect![[r#"
        id int not null
        1
        3
    "#]]
    .assert_eq(&said);
    let truth = bench.world.commits("LinkSales").find(|commit| commit.id == lost).expect("known");
    assert!(!truth.on_sql_server && !truth.on_managed_instance, "{truth:?}");
    // And the world as it was before knows nothing of all this.
    bench.world = snapshot;
    assert!(!bench.run("USE Sales SELECT id FROM t").contains("2\n"));
}

#[test]
fn a_session_that_is_killed_leaves_nothing() {
    let mut bench = bench();
    let mut other = bench.another();
    bench.run_in(&mut other, "BEGIN TRAN UPDATE t SET v = 99");
    bench.run(&format!("KILL {}", other.id));
    assert!(bench.run("SELECT v FROM t").contains("10"));
    assert!(bench.run_in(&mut other, "COMMIT").contains("Msg 596"));
}
