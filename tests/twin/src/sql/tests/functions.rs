//! Functions that scripts have now and then.

use super::run;

/// What a query of one row gives.
fn row(items: &str) -> String {
    let said = run(&format!("SELECT {items}"));
    said.lines().nth(1).unwrap_or(&said).to_owned()
}

#[test]
fn patterns_are_found() {
    assert_eq!(
        row("PATINDEX('%[0-9]%', 'ab12'), PATINDEX('b%', 'abc'), PATINDEX('%C', 'abc')"),
        "3 | 0 | 3"
    );
    assert_eq!(
        row(
            "PATINDEX('a%', 'abc'), PATINDEX('%x%', 'abc'), PATINDEX(NULL, 'a'), PATINDEX('%', '')"
        ),
        "1 | 0 | NULL | 1"
    );
}

#[test]
fn offsets_are_switched() {
    assert_eq!(
        row("SWITCHOFFSET(CAST('2026-03-02 10:00 +00:00' AS datetimeoffset(0)), '+02:00')"),
        "2026-03-02 12:00:00 +02:00"
    );
    assert_eq!(
        row("TODATETIMEOFFSET(CAST('2026-03-02 10:00' AS datetime2(0)), -90)"),
        "2026-03-02 10:00:00 -01:30"
    );
    for wrong in ["'2:00'", "'+15:00'", "900", "'+02:60'"] {
        let said = run(&format!("SELECT SWITCHOFFSET(SYSDATETIMEOFFSET(), {wrong})"));
        assert!(said.contains("Msg 9812, Level 16, State 0"), "{wrong}: {said}");
    }
}

#[test]
fn messages_are_filled() {
    assert_eq!(
        row("FORMATMESSAGE('%s has %d of %%, %5.2s', 'Sales', 7, NULL)"),
        "Sales has 7 of %, (null)"
    );
    assert_eq!(
        row("FORMATMESSAGE(15010, 'nowhere')"),
        "The database 'nowhere' does not exist. Supply a valid database name. To see available databases, use sys.databases."
    );
    assert_eq!(row("FORMATMESSAGE(1)"), "NULL");
    let said = run("RAISERROR (911, 16, 2, N'Sales')");
    assert_eq!(
        said,
        "Msg 911, Level 16, State 2, Line 1: Database 'Sales' does not exist. Make sure that the name is entered correctly.\n"
    );
    assert!(run("RAISERROR (60001, 16, 1)").starts_with("Msg 18054, Level 16,"));
    assert!(
        run("RAISERROR ('%s!', 16, 1, 'x')")
            .starts_with("Msg 50000, Level 16, State 1, Line 1: x!")
    );
}

#[test]
fn files_have_names_and_numbers() {
    assert_eq!(
        row("FILE_NAME(1), FILE_NAME(9), FILE_ID('mastlog'), FILE_IDEX('nothing')"),
        "master | NULL | 2 | NULL"
    );
}
