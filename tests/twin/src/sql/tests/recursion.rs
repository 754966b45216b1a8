//! Common table expressions that refer to themselves, hints, and statements behind WITH.

use super::{Bench, run};

#[test]
fn rounds_go_on_until_nothing_is_added() {
    let numbers = "WITH c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5)";
    assert_eq!(run(&format!("{numbers} SELECT * FROM c")), "n int\n1\n2\n3\n4\n5\n");
    assert_eq!(run(&format!("{numbers} SELECT SUM(n) s FROM c a")), "s int\n15\n");
    let tree = "WITH t AS (SELECT * FROM (VALUES (1, NULL, N'a'), (2, 1, N'b'), (3, 1, N'c'), \
                (4, 3, N'd')) v(id, up, name)), p (id, path) AS (SELECT id, CAST(name AS \
                nvarchar(50)) FROM t WHERE up IS NULL UNION ALL SELECT t.id, CAST(p.path + N'/' + \
                t.name AS nvarchar(50)) FROM t JOIN p ON t.up = p.id) SELECT path FROM p ORDER BY id";
    assert_eq!(run(tree), "path nvarchar(50)\na\na/b\na/c\na/c/d\n");
}

#[test]
fn rounds_have_a_limit() {
    let to =
        |most| format!("WITH c AS (SELECT 1 n UNION ALL SELECT n + 1 FROM c WHERE n < {most})");
    assert_eq!(run(&format!("{} SELECT MAX(n) m FROM c", to(101))), "m int\n101\n");
    let said = run(&format!("{} SELECT MAX(n) m FROM c", to(102)));
    assert!(said.contains("530") && said.contains("maximum recursion 100"), "{said}");
    let far = format!("{} SELECT MAX(n) m FROM c OPTION (RECOMPILE, MAXRECURSION 0)", to(500));
    assert_eq!(run(&far), "m int\n500\n");
    let said = run(&format!("{} SELECT 1 FROM c OPTION (MAXRECURSION 3)", to(500)));
    assert!(said.contains("maximum recursion 3 has"), "{said}");
    assert!(run("SELECT 1 OPTION (MAXRECURSION 32768)").contains("310"));
    assert!(run("SELECT 1 OPTION (NONSENSE)").contains("102"));
}

#[test]
fn what_a_recursive_part_may_not_be_is_refused() {
    for (query, number) in [
        ("SELECT n FROM c", 252),
        ("SELECT 1 n UNION SELECT n FROM c", 252),
        ("SELECT n FROM c UNION ALL SELECT 1", 246),
        ("SELECT 1 n UNION ALL SELECT n FROM c UNION ALL SELECT 2", 247),
        ("SELECT 1 n UNION ALL SELECT a.n FROM c a JOIN c b ON 1 = 1", 253),
        ("SELECT 1 n UNION ALL SELECT CAST(n AS bigint) FROM c", 240),
        ("SELECT 1 n UNION ALL SELECT DISTINCT n FROM c", 460),
        ("SELECT 1 n UNION ALL SELECT TOP 1 n FROM c", 461),
        ("SELECT 1 n UNION ALL SELECT c.n FROM (SELECT 1 x) y LEFT JOIN c ON 1 = 1", 462),
        ("SELECT 1 n UNION ALL SELECT MAX(n) FROM c", 467),
        ("SELECT 1 n UNION ALL SELECT n FROM c WHERE n < (SELECT COUNT(*) FROM c)", 465),
    ] {
        let said = run(&format!("WITH c AS ({query}) SELECT * FROM c"));
        assert!(said.contains(&number.to_string()), "{query}: {said}");
    }
}

#[test]
fn statements_stand_behind_with() {
    let mut bench = Bench::admin("sql01");
    bench.run("CREATE TABLE t (a int); ");
    bench.run(
        "WITH c AS (SELECT 1 n UNION ALL SELECT n + 1 FROM c WHERE n < 4) INSERT t SELECT n FROM c",
    );
    bench.run("WITH c AS (SELECT 2 n) UPDATE t SET a = a * 10 FROM t JOIN c ON t.a = c.n");
    bench.run("WITH c AS (SELECT 3 n) DELETE t FROM t JOIN c ON t.a = c.n OPTION (MAXDOP 1)");
    assert_eq!(bench.run("SELECT a FROM t ORDER BY a"), "a int\n1\n4\n20\n");
}

#[test]
fn what_doubles_itself_ends() {
    let doubling = "WITH c AS (SELECT CAST('x' AS varchar(max)) p UNION ALL SELECT p + p FROM c) \
                    SELECT 1 FROM c";
    let said = run(doubling);
    assert!(said.contains("7119") || said.contains("8623"), "{said}");
    let loops = "DECLARE @p varchar(max) = 'x', @n int = 0; WHILE @n < 99 BEGIN SET @p = @p + @p; \
                 SET @n = @n + 1 END";
    assert!(run(loops).contains("7119"));
    let replaced = "DECLARE @p varchar(max) = REPLICATE(CAST('x' AS varchar(max)), 1000000); \
                    SET @p = REPLACE(@p, 'x', REPLICATE('y', 1000))";
    assert!(run(replaced).contains("7119"));
}

#[test]
fn changes_heed_their_hints_and_expressions() {
    let numbers = "WITH n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 150)";
    let said = run(&format!(
        "CREATE TABLE #t (a int); INSERT #t VALUES (1), (150); \
         {numbers} UPDATE #t SET a = -a WHERE a IN (SELECT a FROM n) OPTION (MAXRECURSION 200); \
         SELECT a FROM #t"
    ));
    assert!(said.ends_with("a int\n-1\n-150\n"), "{said}");
    let said = run(&format!(
        "CREATE TABLE #t (a int); INSERT #t VALUES (150); \
         {numbers} DELETE #t WHERE a IN (SELECT a FROM n) OPTION (MAXRECURSION 9)"
    ));
    assert!(said.contains("Msg 530, ") && said.contains("maximum recursion 9 "), "{said}");
    let said = run("CREATE TABLE #t (a int, b int); \
         WITH c AS (SELECT 7 AS x) INSERT #t VALUES ((SELECT x FROM c), 1), (2, (SELECT MAX(x) FROM c)); \
         SELECT * FROM #t");
    assert!(said.ends_with("7 | 1\n2 | 7\n"), "{said}");
}
