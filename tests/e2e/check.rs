//! `dr-agent check` on set-ups that are broken on purpose, one after the other: what is wrong is
//! found and rightly named, and what the finding tells to do mends it.

mod alerts;
mod azure;
mod bench;
mod bus;
mod files;
mod login;
mod server;
mod sides;
mod way;

use bench::{Bench, Case};

/// A healthy pair, so that nothing but the case is wrong.
fn each_is_found_and_mended(cases: &[Case]) {
    let mut bench = Bench::new();
    let report = bench.check();
    assert_eq!(report.wrong(), Vec::<String>::new(), "nothing is wrong in the beginning");
    assert_eq!(report.code, 0);
    for case in cases {
        bench.play(case);
    }
}

#[test]
fn what_is_wrong_on_the_way() {
    each_is_found_and_mended(way::CASES);
}

#[test]
fn what_is_wrong_with_logins_and_rights() {
    each_is_found_and_mended(login::CASES);
}

#[test]
fn what_is_wrong_with_accounts_and_tokens() {
    each_is_found_and_mended(login::ACCOUNTS);
}

#[test]
fn what_is_wrong_with_servers_and_links() {
    each_is_found_and_mended(server::CASES);
}

#[test]
fn what_is_wrong_between_the_sides() {
    each_is_found_and_mended(sides::CASES);
}

#[test]
fn what_is_wrong_with_azure() {
    each_is_found_and_mended(azure::CASES);
}

#[test]
fn what_is_wrong_with_files_and_places() {
    each_is_found_and_mended(files::CASES);
}
