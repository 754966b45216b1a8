//! How commands are written.

use clap::{CommandFactory as _, Parser as _};
use expect_test::{Expect, expect};

use super::super::Cli;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn what_is_wrong_is_told() {
    let check = |line: &str, expected: &Expect| {
        let words = std::iter::once("dr-agent").chain(line.split(' '));
        let error = Cli::try_parse_from(words).expect_err(line).to_string();
        expected.assert_eq(error.lines().next().unwrap_or_default());
    };
    check(
        "approve --key k --approver a",
        &expect!["error: the following required arguments were not provided:"],
    );
    check(
        "approve 7 --file f --key k --approver a",
        &expect!["error: the argument '[PROPOSAL]' cannot be used with '--file <FILE>'"],
    );
    check(
        "approve 7 --approver a",
        &expect!["error: the following required arguments were not provided:"],
    );
    check(
        "approve seven --key k --approver a",
        &expect!["error: invalid value 'seven' for '[PROPOSAL]': invalid digit found in string"],
    );
    check(
        "reject 7 --key k --approver a",
        &expect!["error: the following required arguments were not provided:"],
    );
    check(
        "propose orders --by me --kind planned",
        &expect!["error: invalid value 'planned' for '--kind <KIND>'"],
    );
    check(
        "show --export f",
        &expect!["error: the following required arguments were not provided:"],
    );
    check(
        "journal --verify",
        &expect!["error: the following required arguments were not provided:"],
    );
    check(
        "journal --follow --offline d",
        &expect!["error: the argument '--follow' cannot be used with '--offline <PATH>'"],
    );
    check(
        "verify p b --public-key alice=abc",
        &expect![
            "error: invalid value 'alice=abc' for '--public-key <NAME=KEY>': a public key begins with `ed25519:`"
        ],
    );
    check(
        "status --timeout 0",
        &expect!["error: invalid value '0' for '--timeout <TIMEOUT>': 0 is not in 1..=600"],
    );
    check("stats", &expect!["error: unrecognized subcommand 'stats'"]);
}

#[test]
fn what_is_right_is_taken() {
    for line in [
        "run --config agent.toml",
        "status --output json --url https://dr.example:8420 --token-file t --ca c",
        "--output json status",
        "explain orders",
        "propose orders --kind forced-failover --by alice",
        "show",
        "show 7 --export proposal.json",
        "approve 7 --key k --approver alice --attest off --accept-unknown-forecast --break-glass",
        "approve --file p --key k --approver alice --out b --yes",
        "reject 7 --key k --approver alice --reason no",
        "submit b",
        "verify p b1 b2",
        "acknowledge orders --by alice --note seen",
        "journal --after 3 --limit 10",
        "journal --follow",
        "journal --offline /var/lib/dr-agent --verify",
        "key new --out k",
        "key show k",
        "config --defaults",
        "completions bash",
        "man --out pages",
    ] {
        let words = std::iter::once("dr-agent").chain(line.split(' '));
        Cli::try_parse_from(words).expect(line);
    }
}

#[test]
fn help_tells_the_exit_codes() {
    let help = Cli::command().render_long_help().to_string();
    let from = help.find("Exit codes:").expect("they are there");
    expect![[r#"
        Exit codes:
          0   it is done, or the answer is yes
          1   the agent refused, or the answer is no
          2   the command line is wrong
          3   the agent can't be reached, or can't answer at present
          4   a configuration, key, token or other file is wrong
          5   the journal is damaged
          70  anything else: a bug, or a machine that fails"#]]
    .assert_eq(help[from..].trim_end());
}
