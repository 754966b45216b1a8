//! Statements other than queries.

use expect_test::{Expect, expect};

use super::super::{Login, Permission};
use super::{Bench, run};

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&run(text));
}

#[test]
fn variables_and_branches() {
    check(
        "DECLARE @a int = 3, @b nvarchar(20)\nSET @b = N'x'\nSELECT @a = @a + 1, @b = @b + 'y'\n\
         IF @a > 3 BEGIN SELECT @a a, @b b; PRINT 'yes' END ELSE SELECT 'no' c",
        expect![[r#"
            a int | b nvarchar(20)
            4 | xy
            info 0: yes
            done
        "#]],
    );
    check(
        "IF EXISTS (SELECT 1 FROM sys.databases WHERE name = 'nowhere') SELECT 1; ELSE SELECT 2 x",
        expect![[r#"
        x int not null
        2
    "#]],
    );
    check(
        "SELECT 1 a SELECT 2 b; SELECT 3 c",
        expect![[r#"
        a int not null
        1
        b int not null
        2
        c int not null
        3
    "#]],
    );
    check(
        "SELECT name FROM sys.databases WHERE database_id = 0 SELECT @@ROWCOUNT n",
        expect![[r#"
        name nvarchar(128) not null
        n int not null
        0
    "#]],
    );
    check(
        "DECLARE @a int DECLARE @A int",
        expect![[r#"
        Msg 134, Level 15, State 1, Line 1: The variable name '@A' has already been declared. Variable names must be unique within a query batch or stored procedure.
    "#]],
    );
    check(
        "SELECT 1 a RETURN SELECT 2 b",
        expect![[r#"
        a int not null
        1
    "#]],
    );
    check(
        "DECLARE @t datetime = 'soon'",
        expect![[r#"
        Msg 241, Level 16, State 1, Line 1: Conversion failed when converting date and/or time from character string.
    "#]],
    );
}

#[test]
fn errors_end_the_statement_or_the_batch() {
    check(
        "SELECT 1 / 0\nSELECT @@ERROR e",
        expect![[r#"
        Msg 8134, Level 16, State 1, Line 1: Divide by zero error encountered.
        e int not null
        8134
    "#]],
    );
    check(
        "SELECT 1 a\nSELECT nothing\nSELECT 2 b",
        expect![[r#"
        Msg 207, Level 16, State 1, Line 2: Invalid column name 'nothing'.
    "#]],
    );
    check(
        "SELECT 1 a\n\nSELECT FROM",
        expect![[r#"
        Msg 156, Level 15, State 1, Line 3: Incorrect syntax near the keyword 'FROM'.
    "#]],
    );
    check(
        "RAISERROR(N'half', 10, 3) RAISERROR('whole', 16, 2) WITH NOWAIT; THROW 51000, 'thrown', 7",
        expect![[r#"
        info 50000: half
        done
        Msg 50000, Level 16, State 2, Line 1: whole
        Msg 51000, Level 16, State 7, Line 1: thrown
    "#]],
    );
}

#[test]
fn options_databases_and_transactions() {
    check(
        "SET NOCOUNT ON; SET QUOTED_IDENTIFIER, ANSI_NULLS ON SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED \
         SET LOCK_TIMEOUT 5000 SET TEXTSIZE -1 SET DATEFORMAT mdy",
        expect![[r#"
            done
            done
            done
            done
            done
            done
        "#]],
    );
    check(
        "SET NOTHING ON",
        expect![[r#"
        Msg 195, Level 15, State 5, Line 1: 'NOTHING' is not a recognized SET option.
    "#]],
    );
    check(
        "SET FMTONLY ON",
        expect![[r#"
        Msg 156, Level 15, State 1, Line 1: Incorrect syntax near the keyword 'ON'.
    "#]],
    );
    check(
        "USE [msdb] SELECT DB_NAME() d, COUNT(*) n FROM backupset WHERE 1 = 0",
        expect![[r#"
        database master -> msdb
        info 5701: Changed database context to 'msdb'.
        done
        d nvarchar(128) | n int not null
        msdb | 0
    "#]],
    );
    check(
        "USE nowhere",
        expect![[r#"
        Msg 911, Level 16, State 1, Line 1: Database 'nowhere' does not exist. Make sure that the name is entered correctly.
    "#]],
    );
    check(
        "BEGIN TRAN SELECT @@TRANCOUNT n BEGIN TRANSACTION x COMMIT COMMIT TRAN",
        expect![[r#"
        begun
        done
        n int not null
        1
        done
        done
        committed
        done
    "#]],
    );
    check(
        "BEGIN TRAN ROLLBACK ROLLBACK",
        expect![[r#"
        begun
        done
        rolled back
        done
        Msg 3903, Level 16, State 1, Line 1: The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.
    "#]],
    );
}

#[test]
fn batches_within_batches() {
    check(
        "EXEC sp_executesql N'SELECT @x * 2 y', N'@x int', @x = 21",
        expect![[r#"
        y int
        42
    "#]],
    );
    check(
        "DECLARE @s nvarchar(50) = N'SELECT 1 a' EXECUTE sys.sp_executesql @s SELECT @s s",
        expect![[r#"
        a int not null
        1
        s nvarchar(50)
        SELECT 1 a
    "#]],
    );
    check(
        "EXEC sp_nothing",
        expect![[r#"
        Msg 2812, Level 16, State 62, Line 1: Could not find stored procedure 'sp_nothing'.
    "#]],
    );
    check(
        "EXEC sp_executesql N'SELECT @x', N'@x int'",
        expect![[r#"
        Msg 8178, Level 16, State 1, Line 1: The parameterized query 'SELECT @x' expects the parameter '@x', which was not supplied.
    "#]],
    );
}

#[test]
fn waiting_takes_the_time_of_the_world() {
    let mut bench = Bench::admin("sql01");
    let before = bench.world.now();
    assert_eq!(bench.run("WAITFOR DELAY '00:00:05'"), "done\n");
    let waited = bench.world.now().duration_since(before).as_secs();
    assert!((5..6).contains(&waited), "{waited}");
}

#[test]
fn without_permission_views_are_refused_or_empty() {
    let mut nobody = Bench::new("sql01", &Login::with("nobody", "x", []));
    let said = nobody.run("SELECT role_desc FROM sys.dm_hadr_availability_replica_states");
    expect![[r#"
        Msg 300, Level 14, State 1, Line 1: VIEW SERVER PERFORMANCE STATE permission was denied on object 'server', database 'master'.
        Msg 297, Level 16, State 1, Line 1: The user does not have permission to perform this action.
    "#]].assert_eq(&said);
    let said = nobody.run("SELECT COUNT(*) n FROM sys.availability_groups");
    expect![[r#"
        n int not null
        0
    "#]]
    .assert_eq(&said);
    let said = nobody.run("SELECT COUNT(*) n FROM sys.dm_exec_sessions");
    expect![[r#"
        n int not null
        1
    "#]]
    .assert_eq(&said);
    let said = nobody.run("SELECT COUNT(*) n FROM msdb.dbo.backupset");
    expect![[r#"
        Msg 229, Level 14, State 5, Line 1: The SELECT permission was denied on the object 'backupset', database 'msdb', schema 'dbo'.
    "#]].assert_eq(&said);
    let said = nobody.run("ALTER AVAILABILITY GROUP [LinkSales] FORCE_FAILOVER_ALLOW_DATA_LOSS");
    expect![[r#"
        Msg 15151, Level 16, State 1, Line 1: Cannot alter the availability group 'LinkSales', because it does not exist or you do not have permission.
    "#]].assert_eq(&said);
    let said = nobody.run("ALTER DATABASE [Sales] SET HADR RESUME");
    expect![[r#"
        Msg 5011, Level 14, State 9, Line 1: User does not have permission to alter database 'Sales', the database does not exist, or the database is not in a state that allows access checks.
    "#]].assert_eq(&said);
    let mut watcher =
        Bench::new("sql01", &Login::with("w", "x", [Permission::ViewServerPerformanceState]));
    let said = watcher.run(
        "SELECT HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER PERFORMANCE STATE') a, \
         HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE') b, HAS_PERMS_BY_NAME(NULL, NULL, 'NOTHING') c",
    );
    expect![[r#"
        a int | b int | c int
        1 | 0 | NULL
    "#]]
    .assert_eq(&said);
}
