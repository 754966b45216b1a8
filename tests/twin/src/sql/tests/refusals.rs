//! What is wrong, and the number that says so.

use super::run;

#[test]
fn what_cannot_be_bound_gets_the_right_number() {
    for (text, expected) in [
        ("SELECT nothing FROM sys.databases", 207),
        ("SELECT d.nothing FROM sys.databases d", 207),
        ("SELECT x.name FROM sys.databases d", 4104),
        ("SELECT x.* FROM sys.databases d", 107),
        ("SELECT * FROM nowhere", 208),
        ("SELECT * FROM sys.nowhere", 208),
        ("SELECT * FROM master.dbo.backupset", 208),
        ("SELECT * FROM other.msdb.dbo.backupset", 7202),
        ("SELECT name FROM sys.databases a, sys.databases b", 209),
        ("SELECT 1 FROM sys.databases a, sys.databases a", 1011),
        ("SELECT 1 FROM sys.databases, sys.databases", 1013),
        ("SELECT dbo.f(1)", 4121),
        ("SELECT f(1)", 195),
        ("SELECT sys.upper('a')", 4121),
        ("SELECT LEN()", 174),
        ("SELECT @nobody", 137),
        ("SELECT @@nobody", 137),
        ("SELECT *", 263),
        ("SELECT 1 WHERE 1", 4145),
        ("SELECT (SELECT 1, 2)", 116),
        ("SELECT 1 UNION SELECT 1, 2", 205),
        ("SELECT 1 ORDER BY 2", 108),
        ("SELECT a FROM (SELECT 1) t(a, b)", 8158),
        ("SELECT * FROM (SELECT 1) t", 8155),
        ("SELECT * FROM (SELECT 1 a, 2 a) t", 8156),
        ("SELECT * FROM (SELECT name FROM sys.databases ORDER BY name) t", 1033),
        ("SELECT NEWID() + 1", 206),
        ("SELECT 1 WHERE NEWID() = 1", 206),
        ("SELECT CAST(NEWID() AS int)", 529),
        ("SELECT CAST(1 AS nothing)", 2715),
        ("SELECT MAX(CAST(1 AS bit))", 8117),
        ("SELECT COUNT(MAX(1))", 130),
        ("SELECT CONVERT(varchar(30), GETDATE(), 999)", 281),
        ("SELECT CAST('20231301' AS datetime)", 241),
        ("SELECT CAST('x' AS uniqueidentifier)", 8169),
        ("SELECT CAST('x' AS numeric(5))", 8114),
        ("SELECT CAST(1000 AS tinyint)", 8115),
        ("SELECT 1 FROM sys.databases WITH (FASTER)", 321),
        ("SELECT TRUE", 207),
    ] {
        let said = run(text);
        assert!(said.contains(&format!("Msg {expected},")), "{text}: {said}");
    }
}

#[test]
fn what_is_no_transact_sql_is_a_syntax_error() {
    for text in [
        "SELEC * FROM x",
        "SELECT 1 FROM",
        "SELECT FROM t",
        "SELECT 1 LIMIT 1",
        "SELECT name FROM sys.databases LIMIT 1",
        "SELECT 1 ILIKE 2",
        "SELECT 'a' || 'b'",
        "SELECT 1::int",
        "SELECT 1 = 1",
        "SELECT name FROM sys.databases a JOIN sys.databases b USING (name)",
        "SELECT name FROM sys.databases a NATURAL JOIN sys.databases b",
        "SELECT 1 FOR XML PATH",
        "INSERT INTO t VALUES 1",
        "UPDATE t a = 1",
        "DELETE FROM",
        "CREATE TABLE t",
        "DROP TABLE",
        "TRUNCATE t",
        "SHUTDOWN WITH",
        "KILL",
        "KILL N'51'",
        "ALTER AVAILABILITY GROUP",
        "ALTER AVAILABILITY GROUP [x] FAILOVER_SOMEHOW",
        "ALTER AVAILABILITY GROUP [x] SET (ROLE = PRIMARY)",
        "ALTER DATABASE x SET HADR",
        "ALTER DATABASE x SET SIDEWAYS",
        "DECLARE x int",
        "IF 1 = 1",
        "BEGIN SELECT 1",
        "SELECT 1 END",
        "SELECT (1",
        "SELECT 1)",
        "SELECT [a",
        "SELECT 'a",
        "\u{0}",
        "SELECT $$a$$",
        "SELECT x'00'",
        "SELECT 1 WHERE a REGEXP 'x'",
    ] {
        let said = run(text);
        let known = ["Msg 102,", "Msg 156,", "Msg 105,", "Msg 207,", "Msg 4145,"];
        assert!(known.iter().any(|number| said.contains(number)), "{text}: {said}");
        assert_eq!(said.lines().count(), 1, "{text}: {said}");
    }
}

#[test]
fn deep_and_endless_input_is_refused() {
    let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(run(&deep).contains("Msg 191,"), "{}", run(&deep));
    let long = format!("SELECT 1{}", " + 1".repeat(5_000));
    assert!(run(&long).contains("Msg 8631,"), "{}", run(&long));
    let longest = format!("SELECT 1{}", " + 1".repeat(499));
    assert!(run(&longest).contains("\n500\n"), "{}", run(&longest));
    let nested = format!("{}SELECT 1", "IF 1 = 1 ".repeat(100));
    assert!(run(&nested).contains("Msg 191,"), "{}", run(&nested));
    let wide = "SELECT COUNT(*) FROM sys.databases a, sys.databases b, sys.databases c, \
                sys.databases d, sys.databases e, sys.databases f, sys.databases g, \
                sys.databases h, sys.databases i, sys.databases j, sys.databases k";
    assert!(run(wide).contains("Msg 8623,"), "{}", run(wide));
}
