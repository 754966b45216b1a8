//! Loops, errors that are caught, batches within batches.

use expect_test::{Expect, expect};

use super::{Bench, run};

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&run(text));
}

#[test]
fn a_variable_grows_row_by_row() {
    let mut bench = Bench::admin("sql01");
    bench.run("USE Sales CREATE TABLE grown (id int, word nvarchar(10)); INSERT INTO grown VALUES (1, N'a'), (2, N'b'), (3, N'c')");
    let grown = bench.run("DECLARE @all nvarchar(30) = N'', @last int; SELECT @all = @all + word, @last = id FROM grown WHERE id > 1; SELECT @all a, @last l");
    assert!(grown.contains("bc | 3"), "{grown}");
}

#[test]
fn loops_go_on_until_they_are_left() {
    check(
        "DECLARE @i int = 0, @s varchar(50) = '' WHILE @i < 10 BEGIN SET @i += 1 IF @i = 3 CONTINUE \
         IF @i > 6 BREAK SET @s += CAST(@i AS varchar(9)) END SELECT @i i, @s s",
        expect![[r#"
            i int | s varchar(50)
            7 | 12456
        "#]],
    );
    check(
        "BREAK",
        expect![[r#"
        Msg 135, Level 15, State 1, Line 1: Cannot use a BREAK statement outside the scope of a WHILE statement.
    "#]],
    );
    check(
        "DECLARE @i int = 0 WHILE 1 = 1 BEGIN SET @i += 1 BEGIN TRY SELECT 1 / (3 - @i) q END TRY \
         BEGIN CATCH PRINT ERROR_MESSAGE() BREAK END CATCH END SELECT ERROR_NUMBER() n, @i i",
        expect![[r#"
            q int
            0
            q int
            1
            info 0: Divide by zero error encountered.
            done
            n int | i int
            NULL | 3
        "#]],
    );
}

#[test]
fn a_try_catches_what_its_statements_raise() {
    check(
        "BEGIN TRY\nSELECT 1 a\nRAISERROR('no %s, %d of %i%%', 16, 3, N'luck', 1, 2)\nSELECT 2 never\nEND TRY\nBEGIN CATCH\n\
         SELECT ERROR_NUMBER() n, ERROR_SEVERITY() s, ERROR_STATE() t, ERROR_LINE() l, ERROR_MESSAGE() m, ERROR_PROCEDURE() p\n\
         END CATCH\nSELECT ERROR_NUMBER() after",
        expect![[r#"
            a int not null
            1
            n int | s int | t int | l int | m nvarchar(4000) | p nvarchar(128)
            50000 | 16 | 3 | 3 | no luck, 1 of 2% | NULL
            after int
            NULL
        "#]],
    );
    check(
        "BEGIN TRY\nBEGIN TRY THROW 50001, 'inner', 5 END TRY BEGIN CATCH\nTHROW; END CATCH\nEND TRY BEGIN CATCH \
         SELECT ERROR_MESSAGE() m, ERROR_LINE() l; THROW 50002, 'outer', 6 END CATCH SELECT 1 never",
        expect![[r#"
            m nvarchar(4000) | l int
            inner | 2
            Msg 50002, Level 16, State 6, Line 4: outer
        "#]],
    );
    check(
        "THROW",
        expect![[r#"
        Msg 10704, Level 15, State 1, Line 1: To rethrow an error, a THROW statement must be used inside a CATCH block. Insert the THROW statement inside a CATCH block, or add error parameters to the THROW statement.
    "#]],
    );
    // What is wrong with the name of an object is caught one level further out.
    check(
        "BEGIN TRY SELECT * FROM nowhere END TRY BEGIN CATCH SELECT 1 never END CATCH",
        expect![[r#"
            Msg 208, Level 16, State 1, Line 1: Invalid object name 'nowhere'.
        "#]],
    );
    check(
        "BEGIN TRY EXEC('SELECT * FROM nowhere SELECT 1 never') END TRY BEGIN CATCH SELECT ERROR_NUMBER() n END CATCH \
         EXEC('SELECT 1 +') SELECT 2 goes_on",
        expect![[r#"
            n int
            208
            Msg 102, Level 15, State 1, Line 1: Incorrect syntax near '+'.
            goes_on int not null
            2
        "#]],
    );
}

#[test]
fn an_error_of_conversion_leaves_a_transaction_that_can_only_be_undone() {
    let mut bench = Bench::admin("sql01");
    bench.run("USE Sales CREATE TABLE t (a int)");
    let said = bench.run(
        "BEGIN TRAN BEGIN TRY INSERT t VALUES (1) INSERT t VALUES ('x') END TRY BEGIN CATCH \
         SELECT XACT_STATE() x, ERROR_NUMBER() n INSERT t VALUES (2) END CATCH",
    ) + &bench.run("SELECT @@TRANCOUNT n, (SELECT COUNT(*) FROM t) c")
        + &bench.run("BEGIN TRAN BEGIN TRY SELECT CAST('x' AS int) END TRY BEGIN CATCH PRINT 'caught' END CATCH SELECT 1 a")
        + &bench.run(
            "BEGIN TRAN BEGIN TRY INSERT t VALUES (1) SELECT 1 / 0 END TRY BEGIN CATCH IF XACT_STATE() = 1 COMMIT ELSE ROLLBACK \
             END CATCH SELECT COUNT(*) n FROM t",
        );
    expect![[r#"
        begun
        done
        x smallint not null | n int
        -1 | 245
        Msg 3930, Level 16, State 1, Line 1: The current transaction cannot be committed and cannot support operations that write to the log file. Roll back the transaction.
        rolled back
        n int not null | c int
        0 | 0
        begun
        done
        info 0: caught
        done
        a int not null
        1
        Msg 3998, Level 16, State 1, Line 1: Uncommittable transaction is detected at the end of the batch. The transaction is rolled back.
        rolled back
        begun
        done
        committed
        done
        n int not null
        1
    "#]].assert_eq(&said);
}

#[test]
fn parameters_go_in_and_come_out() {
    check(
        "DECLARE @n int = 1 EXEC sp_executesql N'SET @a = @a + @b SELECT @a inner_a', N'@a int OUTPUT, @b int', @a = @n OUTPUT, @b = 4 SELECT @n n",
        expect![[r#"
            inner_a int
            5
            n int
            5
        "#]],
    );
}

#[test]
fn rows_are_numbered_and_ranked() {
    check(
        "SELECT v.n, v.g, ROW_NUMBER() OVER (PARTITION BY v.g ORDER BY v.n DESC) r, RANK() OVER (ORDER BY v.g) k, \
         DENSE_RANK() OVER (ORDER BY v.g) d, SUM(v.n) OVER (PARTITION BY v.g) s, COUNT(*) OVER () c \
         FROM (VALUES (1, 'a'), (2, 'a'), (3, 'b')) v (n, g) ORDER BY v.n",
        expect![[r#"
            n int not null | g varchar(1) not null | r bigint | k bigint | d bigint | s int | c int not null
            1 | a | 2 | 1 | 1 | 3 | 3
            2 | a | 1 | 1 | 1 | 3 | 3
            3 | b | 1 | 3 | 2 | 3 | 3
        "#]],
    );
    check(
        "WITH x AS (SELECT name, ROW_NUMBER() OVER (ORDER BY database_id) r FROM sys.databases) SELECT name FROM x WHERE r = 2",
        expect![[r#"
            name nvarchar(128) not null
            tempdb
        "#]],
    );
    check(
        "SELECT 1 WHERE ROW_NUMBER() OVER (ORDER BY 1) = 1",
        expect![[r#"
        Msg 4108, Level 15, State 1, Line 1: Windowed functions can only appear in the SELECT or ORDER BY clauses.
    "#]],
    );
}

#[test]
fn functions_of_scripts() {
    check(
        "SELECT STUFF('abcdef', 2, 3, 'X') a, REPLICATE('ab', 2) b, SPACE(2) + '.' c, REVERSE('abc') d, CONCAT_WS('-', 1, NULL, 'b') e, \
         CHAR(65) f, ASCII('a') g, ISNUMERIC('1e3') h, ISNUMERIC('x') i, EOMONTH('2024-02-10') j, DATENAME(weekday, '2026-03-02') k, \
         DATEFROMPARTS(2026, 3, 2) l",
        expect![[r#"
            a varchar(max) | b varchar(max) | c varchar(8000) | d varchar(3) not null | e varchar(max) not null | f char(1) | g int | h int not null | i int not null | j date | k nvarchar(30) | l date
            aXef | abab |   . | cba | 1-b | A | 97 | 1 | 0 | 2024-02-29 | Monday | 2026-03-02
        "#]],
    );
}

#[test]
fn a_batch_may_begin_with_the_name_of_a_procedure() {
    let mut bench = Bench::admin("sql01");
    assert_eq!(bench.run("sp_executesql N'PRINT 1'"), bench.run("EXEC sp_executesql N'PRINT 1'"));
    assert!(bench.run("sp_nobody").contains("2812"), "{}", bench.run("sp_nobody"));
    assert!(bench.run("GO").contains("2812"), "{}", bench.run("GO"));
    assert!(bench.run("PRINT 1 sp_executesql N'PRINT 1'").contains("102"), "not in the middle");
}

#[test]
fn the_level_of_isolation_is_shown() {
    let mut bench = Bench::admin("sql01");
    let shown = "SELECT transaction_isolation_level FROM sys.dm_exec_sessions \
                 WHERE session_id = @@SPID";
    let first = bench.run(shown);
    assert!(first.contains('2'), "{first}");
    for (level, number) in [
        ("READ UNCOMMITTED", '1'),
        ("REPEATABLE READ", '3'),
        ("SERIALIZABLE", '4'),
        ("SNAPSHOT", '5'),
        ("READ COMMITTED", '2'),
    ] {
        bench.run(&format!("SET TRANSACTION ISOLATION LEVEL {level}"));
        let now = bench.run(shown);
        assert!(now.contains(number), "{level}: {now}");
    }
}
