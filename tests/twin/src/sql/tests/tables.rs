//! User tables: definitions, rows, constraints.

use expect_test::{Expect, expect};

use super::Bench;
use crate::sql::Login;

/// What batches say in the link's database on its primary, one after the other.
fn check(batches: &[&str], expected: Expect) {
    let mut bench = Bench::admin("sql01");
    bench.run("USE Sales");
    let said: String = batches.iter().map(|batch| bench.run(batch)).collect();
    expected.assert_eq(&said);
}

#[test]
fn rows_come_in_change_and_go() {
    check(
        &[
            "CREATE TABLE dbo.Orders (id int IDENTITY(10,5) PRIMARY KEY, customer nvarchar(20) NOT NULL, \
             amount numeric(18,2) NOT NULL DEFAULT (0), at datetime2(3) NULL)",
            "INSERT dbo.Orders (customer, amount) VALUES (N'A', 1.5), (N'B', DEFAULT), (N'C', 1.005)\n\
             SELECT SCOPE_IDENTITY() s, @@IDENTITY i, @@ROWCOUNT n",
            "INSERT INTO Orders (customer, amount) OUTPUT inserted.id, inserted.customer AS who \
             SELECT customer + N'x', amount * 2 FROM Sales.dbo.Orders WHERE amount > 0",
            "UPDATE Orders SET amount += 1, at = '2026-01-02T03:04:05.678' OUTPUT deleted.amount before, inserted.amount \
             WHERE customer LIKE N'A%'",
            "UPDATE o SET customer = o.customer + N'!' FROM dbo.Orders o JOIN (SELECT MAX(id) m FROM Orders) x ON x.m = o.id",
            "DELETE TOP (1) FROM Orders OUTPUT deleted.* WHERE amount = 0",
            "SELECT id, customer, amount, at FROM Orders ORDER BY id",
            "DELETE o FROM Orders AS o WHERE o.id > 20; SELECT COUNT(*) n FROM Orders",
            "TRUNCATE TABLE Orders INSERT Orders (customer) VALUES ('z') SELECT id FROM Orders",
            "SELECT name, type, OBJECT_ID('dbo.Orders') - object_id zero FROM sys.tables \
             SELECT c.name, c.max_length, c.is_nullable, c.is_identity FROM Sales.sys.columns c ORDER BY c.column_id",
            "DROP TABLE IF EXISTS dbo.Orders, Nothing; SELECT OBJECT_ID(N'Orders') o SELECT * FROM Orders",
        ],
        expect![[r#"
            done
            s numeric(38,0) | i numeric(38,0) | n int not null
            20 | 20 | 3
            id int not null | who nvarchar(20) not null
            25 | Ax
            30 | Cx
            before numeric(18,2) not null | amount numeric(18,2) not null
            1.50 | 2.50
            3.00 | 4.00
            id int not null | customer nvarchar(20) not null | amount numeric(18,2) not null | at datetime2(3)
            15 | B | 0.00 | NULL
            id int not null | customer nvarchar(20) not null | amount numeric(18,2) not null | at datetime2(3)
            10 | A | 2.50 | 2026-01-02 03:04:05.678
            20 | C | 1.01 | NULL
            25 | Ax | 4.00 | 2026-01-02 03:04:05.678
            30 | Cx! | 2.02 | NULL
            n int not null
            2
            done
            id int not null
            10
            name nvarchar(128) not null | type char(2) | zero int
            Orders | U  | 0
            name nvarchar(128) | max_length smallint not null | is_nullable bit | is_identity bit not null
            id | 4 | 0 | 1
            customer | 40 | 0 | 0
            amount | 9 | 0 | 0
            at | 7 | 1 | 0
            done
            o int
            NULL
            Msg 208, Level 16, State 1, Line 1: Invalid object name 'Orders'.
        "#]],
    );
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_happens() {
    check(
        &[
            "CREATE TABLE t (a int NOT NULL CONSTRAINT pk PRIMARY KEY, b varchar(3) CONSTRAINT uq UNIQUE, \
             c tinyint CONSTRAINT ck CHECK (c < 100), d date)",
            "INSERT t VALUES (1, 'x', 1, '2026-01-01')",
            "INSERT t (a, b) VALUES (2, 'y'), (1, 'z')",
            "INSERT t (a, b) VALUES (3, 'X ')",
            "INSERT t (a) VALUES (NULL)",
            "INSERT t (a, c) VALUES (4, 100)",
            "INSERT t (a, c) VALUES (4, 300)",
            "INSERT t (a, b) VALUES (4, 'long')",
            "INSERT t (a, d) VALUES (4, 'soon')",
            "INSERT t (a) VALUES ('four')",
            "INSERT t (a) SELECT 1 / 0",
            "INSERT t VALUES (1, 2)",
            "INSERT t (a, b) VALUES (1)",
            "INSERT t (a, e) VALUES (1, 2)",
            "INSERT nothing VALUES (1)",
            "UPDATE t SET a = NULL",
            "UPDATE t SET e = 1",
            "CREATE TABLE T (a int)",
            "CREATE TABLE u (a int, A int)",
            "CREATE TABLE sales.u (a int)",
            "DROP TABLE u",
            "SELECT * FROM t",
            "CREATE TABLE i (id int IDENTITY, v int) INSERT i (id) VALUES (7)",
            "SET IDENTITY_INSERT i ON INSERT i (id, v) VALUES (7, 1) SET IDENTITY_INSERT i OFF INSERT i (v) VALUES (2) SELECT * FROM i",
        ],
        expect![[r#"
            done
            Msg 2627, Level 14, State 1, Line 1: Violation of PRIMARY KEY constraint 'pk'. Cannot insert duplicate key in object 'dbo.t'. The duplicate key value is (1).
            info 3621: The statement has been terminated.
            Msg 2627, Level 14, State 1, Line 1: Violation of UNIQUE KEY constraint 'uq'. Cannot insert duplicate key in object 'dbo.t'. The duplicate key value is (x).
            info 3621: The statement has been terminated.
            Msg 515, Level 16, State 2, Line 1: Cannot insert the value NULL into column 'a', table 'Sales.dbo.t'; column does not allow nulls. INSERT fails.
            info 3621: The statement has been terminated.
            Msg 547, Level 16, State 0, Line 1: The INSERT statement conflicted with the CHECK constraint "ck". The conflict occurred in database "Sales", table "dbo.t".
            info 3621: The statement has been terminated.
            Msg 8115, Level 16, State 2, Line 1: Arithmetic overflow error converting expression to data type tinyint.
            info 3621: The statement has been terminated.
            Msg 2628, Level 16, State 1, Line 1: String or binary data would be truncated in table 'Sales.dbo.t', column 'b'. Truncated value: 'lon'.
            info 3621: The statement has been terminated.
            Msg 241, Level 16, State 1, Line 1: Conversion failed when converting date and/or time from character string.
            Msg 245, Level 16, State 1, Line 1: Conversion failed when converting the varchar value 'four' to data type int.
            Msg 8134, Level 16, State 1, Line 1: Divide by zero error encountered.
            info 3621: The statement has been terminated.
            Msg 213, Level 16, State 1, Line 1: Column name or number of supplied values does not match table definition.
            Msg 109, Level 15, State 1, Line 1: There are more columns in the INSERT statement than values specified in the VALUES clause. The number of values in the VALUES clause must match the number of columns specified in the INSERT statement.
            Msg 207, Level 16, State 1, Line 1: Invalid column name 'e'.
            Msg 208, Level 16, State 1, Line 1: Invalid object name 'nothing'.
            Msg 515, Level 16, State 2, Line 1: Cannot insert the value NULL into column 'a', table 'Sales.dbo.t'; column does not allow nulls. UPDATE fails.
            info 3621: The statement has been terminated.
            Msg 207, Level 16, State 1, Line 1: Invalid column name 'e'.
            Msg 2714, Level 16, State 6, Line 1: There is already an object named 'T' in the database.
            Msg 2705, Level 16, State 3, Line 1: Column names in each table must be unique. Column name 'A' in table 'u' is specified more than once.
            Msg 2760, Level 16, State 1, Line 1: The specified schema name "sales" either does not exist or you do not have permission to use it.
            Msg 3701, Level 11, State 5, Line 1: Cannot drop the table 'u', because it does not exist or you do not have permission.
            a int not null | b varchar(3) | c tinyint | d date
            1 | x | 1 | 2026-01-01
            done
            Msg 544, Level 16, State 1, Line 1: Cannot insert explicit value for identity column in table 'i' when IDENTITY_INSERT is set to OFF.
            done
            done
            id int not null | v int
            7 | 1
            8 | 2
        "#]],
    );
}

#[test]
fn definitions_change_with_their_rows() {
    check(
        &[
            "CREATE TABLE t (a int NULL, b nvarchar(10)) INSERT t VALUES (1, N'one'), (1, N'two')",
            "ALTER TABLE t ADD c int NOT NULL",
            "ALTER TABLE t ADD c int NOT NULL CONSTRAINT df DEFAULT (7), d bit NULL",
            "ALTER TABLE t ADD CONSTRAINT uq UNIQUE (a)",
            "UPDATE t SET a = 2 WHERE b = N'two' ALTER TABLE t ADD CONSTRAINT uq UNIQUE (a)",
            "ALTER TABLE t DROP COLUMN a",
            "ALTER TABLE t DROP CONSTRAINT uq ALTER TABLE t DROP COLUMN a, d",
            "ALTER TABLE t ALTER COLUMN b nvarchar(2)",
            "ALTER TABLE t ALTER COLUMN b nvarchar(40) NOT NULL",
            "SELECT * FROM t",
            "CREATE UNIQUE INDEX ix ON t (b) INSERT t (b) VALUES (N'ONE')",
            "SELECT b, c * 2 AS d INTO u FROM t SELECT * FROM u SELECT * INTO u FROM t",
        ],
        expect![[r#"
            done
            Msg 4901, Level 16, State 1, Line 1: ALTER TABLE only allows columns to be added that can contain nulls, or have a DEFAULT definition specified, or the column being added is an identity or timestamp column, or alternatively if none of the previous conditions are satisfied the table must be empty to allow addition of this column. Column 'c' cannot be added to non-empty table 't' because it does not satisfy these conditions.
            done
            Msg 1505, Level 16, State 1, Line 1: The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name 'dbo.t' and the index name 'uq'. The duplicate key value is (1).
            Msg 1750, Level 16, State 1, Line 1: Could not create constraint or index. See previous errors.
            info 3621: The statement has been terminated.
            done
            Msg 5074, Level 16, State 1, Line 1: The object 'uq' is dependent on column 'a'.
            Msg 4922, Level 16, State 9, Line 1: ALTER TABLE DROP COLUMN a failed because one or more objects access this column.
            done
            done
            Msg 2628, Level 16, State 1, Line 1: String or binary data would be truncated in table 'Sales.dbo.t', column 'b'. Truncated value: 'tw'.
            done
            b nvarchar(40) not null | c int not null
            one | 7
            two | 7
            done
            Msg 2601, Level 14, State 1, Line 1: Cannot insert duplicate key row in object 'dbo.t' with unique index 'ix'. The duplicate key value is (one).
            info 3621: The statement has been terminated.
            b nvarchar(40) not null | d int not null
            one | 14
            two | 14
            Msg 2714, Level 16, State 6, Line 1: There is already an object named 'u' in the database.
        "#]],
    );
}

#[test]
fn temporary_tables_and_table_variables_belong_to_their_session() {
    check(
        &[
            "CREATE TABLE #t (a int PRIMARY KEY, b varchar(9)) INSERT #t VALUES (1, 'a'), (2, 'b')",
            "DECLARE @v TABLE (a int, b varchar(9)) INSERT @v SELECT a, b FROM #t WHERE a > 1 \
             DELETE #t OUTPUT deleted.a, deleted.b INTO @v WHERE a = 1 SELECT * FROM @v v ORDER BY v.a",
            "SELECT a FROM @v",
            "INSERT #t VALUES (2, 'c')",
            "IF OBJECT_ID('tempdb..#t') IS NOT NULL DROP TABLE #t SELECT * FROM #t",
            "SELECT 1 a INTO #u EXEC('SELECT a FROM #u')",
        ],
        expect![[r#"
            done
            a int | b varchar(9)
            1 | a
            2 | b
            Msg 1087, Level 15, State 1, Line 1: Must declare the table variable "@v".
            Msg 2627, Level 14, State 1, Line 1: Violation of PRIMARY KEY constraint 'PK__#t__E888A6B6'. Cannot insert duplicate key in object 'dbo.#t'. The duplicate key value is (2).
            info 3621: The statement has been terminated.
            done
            Msg 208, Level 16, State 1, Line 1: Invalid object name '#t'.
            a int not null
            1
        "#]],
    );
}

#[test]
fn rights_are_asked_for() {
    let mut bench = Bench::admin("sql01");
    bench.run("USE Sales CREATE TABLE t (a int)");
    let login = Login::least_privileged("agent", "x");
    let mut agent = bench.another();
    agent.permissions = login.permissions;
    let said = bench.run_in(
        &mut agent,
        "SELECT * FROM t\nINSERT t VALUES (1)\nCREATE TABLE u (a int)\nCREATE TABLE #t (a int) SELECT * FROM #t",
    );
    expect![[r#"
        Msg 229, Level 14, State 5, Line 1: The SELECT permission was denied on the object 't', database 'Sales', schema 'dbo'.
        Msg 229, Level 14, State 5, Line 2: The INSERT permission was denied on the object 't', database 'Sales', schema 'dbo'.
        Msg 262, Level 14, State 1, Line 3: CREATE TABLE permission denied in database 'Sales'.
        done
        a int
    "#]].assert_eq(&said);
}

#[test]
fn what_a_row_refers_to_has_to_be_there_and_stays() {
    let mut bench = Bench::admin("sql01");
    let number = |text: String| -> String {
        text.lines()
            .filter_map(|line| line.strip_prefix("Msg "))
            .map(|line| line.split(',').next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    bench.run(
        "USE Sales CREATE TABLE customers (id int PRIMARY KEY, boss int REFERENCES customers)",
    );
    bench.run("CREATE TABLE orders (id int PRIMARY KEY, customer int NULL CONSTRAINT FK_orders FOREIGN KEY REFERENCES dbo.customers (id) ON DELETE NO ACTION)");
    bench.run("INSERT INTO customers VALUES (1, NULL), (2, 1)");
    for (statement, expected) in [
        ("INSERT INTO orders VALUES (10, 1), (11, NULL)", ""),
        ("INSERT INTO orders VALUES (12, 3)", "547"),
        ("UPDATE orders SET customer = 4 WHERE id = 10", "547"),
        ("DELETE FROM customers WHERE id = 1", "547"),
        ("UPDATE customers SET id = 5 WHERE id = 1", "547"),
        ("INSERT INTO customers VALUES (6, 7)", "547"),
        ("INSERT INTO customers VALUES (6, 6)", ""),
        ("TRUNCATE TABLE customers", "4712"),
        ("DROP TABLE customers", "3726"),
        ("CREATE TABLE bad (a int REFERENCES nobody)", "1767 1750"),
        ("CREATE TABLE bad (a int REFERENCES orders (customer))", "1776 1750"),
        ("ALTER TABLE orders DROP CONSTRAINT FK_orders", ""),
        ("INSERT INTO orders VALUES (12, 3)", ""),
        (
            "ALTER TABLE orders ADD CONSTRAINT FK_orders FOREIGN KEY (customer) REFERENCES customers",
            "547",
        ),
        (
            "DELETE FROM orders WHERE id = 12; ALTER TABLE orders ADD CONSTRAINT FK_orders FOREIGN KEY (customer) REFERENCES customers",
            "",
        ),
        ("DELETE FROM customers WHERE id = 2", ""),
        ("DROP TABLE orders; DROP TABLE customers", ""),
    ] {
        let said = bench.run(statement);
        assert_eq!(number(said.clone()), expected, "{statement}: {said}");
    }
}
