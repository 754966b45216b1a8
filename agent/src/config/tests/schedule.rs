//! Times of the calendar that make no sense, with the exact words that each gets.

use expect_test::expect;

use super::check;

#[test]
fn times_of_the_calendar() {
    let schedule = |when: &str| format!("[schedule]\ndaily_report = \"{when}\"\n\n[[links]]");
    check(
        "[[links]]",
        &schedule("0 6 * * *"),
        &expect![[r#"
            agent.toml:23:1: schedule.daily_report: it has 5 fields, and there are six, the first one seconds
              right: `off`, or six fields in UTC: second minute hour day month weekday, each `*`, a number, or ranges, steps and lists of them, such as "0 0 6 * * *" for every day at six"#]],
    );
    check(
        "[[links]]",
        &schedule("0 0 24 * * *"),
        &expect![[r#"
            agent.toml:23:1: schedule.daily_report: `24` is no hour, which are 0 to 23
              right: `off`, or six fields in UTC: second minute hour day month weekday, each `*`, a number, or ranges, steps and lists of them, such as "0 0 6 * * *" for every day at six"#]],
    );
    check(
        "[[links]]",
        &schedule("* * * * * *"),
        &expect![[r#"
            agent.toml:23:1: schedule.daily_report: every run is an entry of the journal, and these are too many
              right: at least 10 seconds from one to the next"#]],
    );
    check(
        "[[links]]",
        &schedule("0 0 6 30 2 *"),
        &expect![[r#"
            agent.toml:23:1: schedule.daily_report: there is no such day in any year
              right: `off`, or six fields in UTC: second minute hour day month weekday, each `*`, a number, or ranges, steps and lists of them, such as "0 0 6 * * *" for every day at six"#]],
    );
}
