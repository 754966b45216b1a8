//! Joins, subqueries, groups, order.

use expect_test::{Expect, expect};

use super::run;

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&run(text));
}

const T: &str = "(VALUES (1, N'a'), (2, N'b'), (3, NULL)) t(id, name)";
const U: &str = "(VALUES (2, 'x'), (3, 'y'), (3, 'z'), (9, 'w')) u(id, code)";
const G: &str = "(VALUES ('a', 1, 1.5), ('A', 2, 2.5), ('b', 5, NULL)) t(k, n, d)";

#[test]
fn joins_and_derived_tables() {
    check(
        &format!("SELECT * FROM {T} JOIN {U} ON t.id = u.id"),
        expect![[r#"
        id int not null | name nvarchar(1) | id int not null | code varchar(1) not null
        2 | b | 2 | x
        3 | NULL | 3 | y
        3 | NULL | 3 | z
    "#]],
    );
    check(
        &format!("SELECT t.id, u.* FROM {T} LEFT JOIN {U} ON t.id = u.id AND u.code <> 'x'"),
        expect![[r#"
        id int not null | id int | code varchar(1)
        1 | NULL | NULL
        2 | NULL | NULL
        3 | 3 | y
        3 | 3 | z
    "#]],
    );
    check(
        &format!("SELECT t.id, u.id FROM {T} FULL JOIN {U} ON t.id = u.id"),
        expect![[r#"
        id int | id int
        1 | NULL
        2 | 2
        3 | 3
        3 | 3
        NULL | 9
    "#]],
    );
    check(
        &format!("SELECT COUNT(*) FROM {T} CROSS JOIN {U}"),
        expect![[r#"
         int not null
        12
    "#]],
    );
}

#[test]
fn rows_beside_rows() {
    check(
        &format!(
            "SELECT t.id, x.code FROM {T} OUTER APPLY (SELECT TOP 1 code FROM {U} WHERE u.id = t.id ORDER BY code DESC) x"
        ),
        expect![[r#"
        id int not null | code varchar(1)
        1 | NULL
        2 | x
        3 | z
    "#]],
    );
    check(
        &format!("SELECT t.id FROM {T} CROSS APPLY (SELECT code FROM {U} WHERE u.id = t.id) x"),
        expect![[r#"
        id int not null
        2
        3
        3
    "#]],
    );
    check(
        &format!("SELECT id FROM {T} WHERE EXISTS (SELECT 1 FROM {U} WHERE u.id = t.id)"),
        expect![[r#"
        id int not null
        2
        3
    "#]],
    );
    check(
        &format!(
            "SELECT id, (SELECT MAX(code) FROM {U} WHERE u.id = t.id) m FROM {T} WHERE id IN (SELECT id FROM {U})"
        ),
        expect![[r#"
        id int not null | m varchar(1)
        2 | x
        3 | z
    "#]],
    );
    check(
        &format!("SELECT (SELECT id FROM {U}) FROM {T}"),
        expect![[r#"
        Msg 512, Level 16, State 1, Line 1: Subquery returned more than 1 value. This is not permitted when the subquery follows =, !=, <, <= , >, >= or when the subquery is used as an expression.
    "#]],
    );
}

#[test]
fn queries_of_queries() {
    check(
        &format!(
            "WITH a AS (SELECT id FROM {T}), b(n) AS (SELECT id + 10 FROM a WHERE id > 1) SELECT a.id, b.n FROM a, b WHERE b.n - 10 = a.id"
        ),
        expect![[r#"
        id int not null | n int not null
        2 | 12
        3 | 13
    "#]],
    );
    check(
        &format!("SELECT id FROM {T} UNION SELECT id FROM {U} ORDER BY id DESC"),
        expect![[r#"
        id int not null
        9
        3
        2
        1
    "#]],
    );
    check(
        &format!("SELECT id FROM {T} EXCEPT SELECT id FROM {U}"),
        expect![[r#"
        id int not null
        1
    "#]],
    );
    check(
        &format!("SELECT id FROM {T} INTERSECT SELECT id FROM {U}"),
        expect![[r#"
        id int not null
        2
        3
    "#]],
    );
}

#[test]
fn groups_and_order() {
    check(
        &format!(
            "SELECT k, COUNT(*) c, SUM(n) s, AVG(n) a, MIN(d) mi, MAX(d) ma, AVG(d) ad, COUNT(d) cd, COUNT(DISTINCT k) FROM {G} GROUP BY k ORDER BY k"
        ),
        expect![[r#"
        k varchar(1) not null | c int not null | s int | a int | mi numeric(2,1) | ma numeric(2,1) | ad numeric(38,6) | cd int not null |  int not null
        a | 2 | 3 | 1 | 1.5 | 2.5 | 2.000000 | 2 | 1
        b | 1 | 5 | 5 | NULL | NULL | NULL | 0 | 1
    "#]],
    );
    check(
        &format!("SELECT SUM(n), COUNT_BIG(*), STRING_AGG(k, ',') FROM {G} WHERE n > 100"),
        expect![[r#"
         int |  bigint not null |  varchar(8000)
        NULL | 0 | NULL
    "#]],
    );
    check(
        &format!("SELECT k FROM {G} GROUP BY k HAVING SUM(n) > 3 ORDER BY SUM(n) DESC, k"),
        expect![[r#"
        k varchar(1) not null
        b
    "#]],
    );
    check(
        &format!("SELECT n FROM {G} GROUP BY k"),
        expect![[r#"
        Msg 8120, Level 16, State 1, Line 1: Column 't.n' is invalid in the select list because it is not contained in either an aggregate function or the GROUP BY clause.
    "#]],
    );
    check(
        &format!("SELECT k FROM {G} GROUP BY k HAVING n > 1"),
        expect![[r#"
        Msg 8121, Level 16, State 1, Line 1: Column 't.n' is invalid in the HAVING clause because it is not contained in either an aggregate function or the GROUP BY clause.
    "#]],
    );
    check(
        &format!("SELECT k FROM {G} WHERE COUNT(*) > 1"),
        expect![[r#"
        Msg 147, Level 15, State 1, Line 1: An aggregate may not appear in the WHERE clause unless it is in a subquery contained in a HAVING clause or a select list, and the column being aggregated is an outer reference.
    "#]],
    );
}

#[test]
fn order_and_limits() {
    check(
        &format!("SELECT DISTINCT k FROM {G}"),
        expect![[r#"
        k varchar(1) not null
        a
        b
    "#]],
    );
    check(
        &format!("SELECT TOP (2) n FROM {G} ORDER BY n DESC"),
        expect![[r#"
        n int not null
        5
        2
    "#]],
    );
    check(
        &format!("SELECT TOP 50 PERCENT n FROM {G} ORDER BY 1"),
        expect![[r#"
        n int not null
        1
        2
    "#]],
    );
    check(
        &format!("SELECT TOP 1 WITH TIES k FROM {G} ORDER BY k"),
        expect![[r#"
        k varchar(1) not null
        a
        A
    "#]],
    );
    check(
        &format!("SELECT n FROM {G} ORDER BY n OFFSET 1 ROWS FETCH NEXT 1 ROWS ONLY"),
        expect![[r#"
        n int not null
        2
    "#]],
    );
    check(
        &format!("SELECT n + 1 AS m FROM {G} ORDER BY m DESC"),
        expect![[r#"
        m int not null
        6
        3
        2
    "#]],
    );
    check(
        &format!("SELECT k FROM {G} ORDER BY d, n DESC"),
        expect![[r#"
        k varchar(1) not null
        b
        a
        A
    "#]],
    );
}
