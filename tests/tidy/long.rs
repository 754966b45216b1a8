//! What may be longer than the budget, and why.

/// What is over budget and better whole: the file, the function in it (none: the whole file), and
/// the reason. Tables and exhaustive matches are good reasons. What is within its budget must not
/// stand here.
pub(crate) const LONG: &[(&str, &str, &str)] = &[
    ("probes/src/tds/fixture.rs", "healthy", "a table of the rows of one answer"),
    (
        "probes/src/tds/reading_tests.rs",
        "a_primary_tells_of_itself_and_of_what_it_heard",
        "an expected value, field by field",
    ),
    (
        "tests/twin/src/sql/tests/hadr.rs",
        "a_healthy_link_from_its_primary",
        "documented queries with their expected rows",
    ),
];
