//! Version by version, update policy by update policy, role by role, situation by situation: which
//! ways there are, why the others are not, and how one comes back. `ways.txt` is for DBAs to read.
//!
//! `UPDATE_GOLDEN=1` writes it anew.

use std::{fmt::Write as _, fs, path::PathBuf};

use agent_core::{Engine, Facts, Format, Health, Offer, Side, Way, ways};

const VERSIONS: [(&str, &str); 10] = [
    ("2014 SP3", "12.0.6024.0"),
    ("2016 SP3 without the Azure Connect pack", "13.0.6300.2"),
    ("2016 SP3 with the Azure Connect pack", "13.0.7000.253"),
    ("2017 CU31 with the Azure Connect pack", "14.0.3490.10"),
    ("2019 CU20", "15.0.4312.2"),
    ("2022 RTM", "16.0.1000.6"),
    ("2022 CU10", "16.0.4095.4"),
    ("2022 CU13", "16.0.4125.3"),
    ("2025 RTM", "17.0.1000.7"),
    ("of a version that was not seen", ""),
];

const SITUATIONS: [(&str, Health); 5] = [
    ("both sides are well", Health::Healthy),
    ("the primary is lost", Health::PrimaryDown),
    ("the link is broken", Health::Degraded),
    ("both sides are primary", Health::SplitBrain),
    ("there is no link any more", Health::Unlinked),
];

/// Policies that come to the same stand together.
fn page() -> String {
    let mut page = String::from(
        "What can be done about a link, by the version of SQL Server, the update policy of the managed\n\
         instance, the side that is primary, and the situation.\n",
    );
    for (name, version) in VERSIONS {
        let _ = writeln!(page, "\n\nSQL Server {name} {version}");
        let mut told: Vec<(Vec<&str>, String)> = Vec::new();
        for policy in ["SQLServer2022", "SQLServer2025", "AlwaysUpToDate", "not seen"] {
            let text = of(version, policy);
            match told.iter_mut().find(|(_, other)| *other == text) {
                Some((policies, _)) => policies.push(policy),
                None => told.push((vec![policy], text)),
            }
        }
        for (policies, text) in told {
            let _ = writeln!(page, "\n  update policy {}\n{text}", policies.join(" or "));
        }
    }
    page
}

fn of(version: &str, policy: &str) -> String {
    let mut text = String::new();
    let mut notes: Vec<String> = Vec::new();
    let engine = Engine::read(version);
    // A managed instance is never primary over a link of a version that only goes one way.
    let sides = if engine.is_some_and(|engine| !engine.both_ways()) { 1 } else { 2 };
    for primary in Side::BOTH.into_iter().take(sides) {
        let facts = Facts {
            engine,
            format: (policy != "not seen").then(|| Format::read(policy)),
            primary: Some(primary),
            ..Facts::default()
        };
        let _ = writeln!(text, "    {primary} is primary");
        for (situation, health) in SITUATIONS {
            let _ = writeln!(text, "      {situation}");
            for way in ways(&facts, health) {
                let _ = writeln!(text, "        {}", noted(way, &mut notes));
            }
        }
    }
    for (number, note) in notes.iter().enumerate() {
        let _ = writeln!(text, "    [{}] {note}", number + 1);
    }
    text.trim_end().to_owned()
}

/// A reason that stands there already is named by its number.
fn noted(way: Way, notes: &mut Vec<String>) -> String {
    let Offer::Refused { because } = &way.offer else { return way.to_string() };
    let place = notes.iter().position(|note| note == because).unwrap_or_else(|| {
        notes.push(because.clone());
        notes.len() - 1
    });
    Way { offer: Offer::Refused { because: format!("[{}]", place + 1) }, ..way }.to_string()
}

#[test]
fn the_ways_are_as_written() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/ways.txt");
    let page = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &page).expect("it can be written");
    }
    let golden = fs::read_to_string(&path).expect("it is there; UPDATE_GOLDEN=1 makes it");
    similar(&golden, &page);
}

#[test]
fn what_was_never_seen_has_no_ways() {
    assert!(ways(&Facts::default(), Health::PrimaryDown).is_empty());
    let primary = Some(Side::SqlServer);
    assert!(ways(&Facts { primary, ..Facts::default() }, Health::Unknown).is_empty());
}

/// The first line that differs says more than two pages.
fn similar(golden: &str, page: &str) {
    for (number, (was, is)) in golden.lines().zip(page.lines()).enumerate() {
        assert_eq!(was, is, "line {} of ways.txt", number + 1);
    }
    assert_eq!(golden.lines().count(), page.lines().count(), "the length of ways.txt");
}
