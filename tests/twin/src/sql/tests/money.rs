//! Amounts of money.

use super::run;

/// What a query of one row gives.
fn row(items: &str) -> String {
    let said = run(&format!("SELECT {items}"));
    said.lines().nth(1).unwrap_or(&said).to_owned()
}

#[test]
fn money_is_counted_in_ten_thousandths() {
    let said =
        run("SELECT $1.5 AS a, CAST('-$1,234.56789' AS money) AS b, CAST(7 AS smallmoney) AS c");
    assert_eq!(
        said,
        "a money | b money not null | c smallmoney not null\n1.50 | -1234.57 | 7.00\n"
            .replace("a money |", "a money not null |")
    );
    assert_eq!(
        row("CONVERT(varchar(20), $1234567.5, 1), CONVERT(varchar(20), -$1234567.5, 2)"),
        "1,234,567.50 | -1234567.5000"
    );
    assert_eq!(
        row("CONVERT(varchar(30), $10 / 3, 2), CONVERT(varchar(30), $2.5 * 2.5, 2)"),
        "3.3333 | 6.25000"
    );
    assert_eq!(
        row("CAST($1.5 AS int), CAST($1.4 AS int), CAST(1.25 AS money) * 4, $3 + 1"),
        "2 | 1 | 5.00 | 4.00"
    );
    assert_eq!(row("SUM(m), MAX(m), COUNT(*) FROM (VALUES ($1.25), ($2)) t(m)"), "3.25 | 2.00 | 2");
    assert_eq!(
        row(
            "CASE WHEN $1 = 1.0 AND $2 > 1 THEN 1 END, DATALENGTH($1), SQL_VARIANT_PROPERTY(CAST($1 AS sql_variant), 'BaseType')"
        ),
        "1 | 8 | money"
    );
    for (text, number) in [
        ("SELECT CAST('a' AS money)", 235),
        ("SELECT CAST(922337203685478 AS money) * 10", 8115),
        ("SELECT CAST(214749 AS smallmoney)", 8115),
    ] {
        let said = run(text);
        assert!(said.contains(&format!("Msg {number}, ")), "{text}: {said}");
    }
    let said = run(
        "CREATE TABLE #t (a money NOT NULL, b smallmoney); INSERT #t VALUES ($12.34, '5'); SELECT * FROM #t",
    );
    assert!(said.ends_with("a money not null | b smallmoney\n12.34 | 5.00\n"), "{said}");
}
