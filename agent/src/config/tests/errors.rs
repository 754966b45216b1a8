//! Mistakes in the form of a file and with its secrets, each with the exact words that it gets.

use expect_test::expect;

use super::{Folder, check, check_more};

#[test]
fn form() {
    check(
        "name = \"orders\"",
        "name = orders",
        &expect![
            "agent.toml:23:8: this is not TOML: string values must be quoted, expected literal string"
        ],
    );
    check(
        "[http]",
        "[http",
        &expect!["agent.toml:1:6: this is not TOML: unclosed table, expected `]`"],
    );
    check(
        "[http]",
        "[http]\nlistn = \"127.0.0.1:1\"",
        &expect![[r#"
        agent.toml:2:1: http.listn: there is no such key in http
          right: did you mean `listen`?"#]],
    );
    check(
        "[http]",
        "[http]\ncolour = 1",
        &expect![[r#"
            agent.toml:2:1: http.colour: there is no such key in http
              right: one of `address_file`, `listen`, `metrics_open`, `tls_cert`, `tls_key`, `token_files`, `webhook_token_files`"#]],
    );
    check(
        "[quorum]",
        "[quorums]",
        &expect![[r#"
        agent.toml:4:2: quorums: there is no such key at the top
          right: did you mean `quorum`?"#]],
    );
}

#[test]
fn types() {
    check(
        "[http]",
        "[http]\nlisten = \"localhost\"",
        &expect![[r#"
            agent.toml:2:10: http.listen: invalid socket address syntax
              right: for example `listen = "127.0.0.1:8420"`"#]],
    );
    check(
        "[http]",
        "[http]\nlisten = 8420",
        &expect![[r#"
            agent.toml:2:10: http.listen: it can't be integer `8420`
              right: an address and a port in quotes, for example `listen = "127.0.0.1:8420"`"#]],
    );
    check(
        "forced = 1",
        "forced = -1",
        &expect![[r#"
            agent.toml:5:10: quorum.forced: it can't be integer `-1`
              right: a whole number, 0 or more, for example `forced = 2`"#]],
    );
    check(
        "forced = 1",
        "forced = \"one\"",
        &expect![[r#"
            agent.toml:5:10: quorum.forced: it can't be string "one"
              right: a whole number, 0 or more, for example `forced = 2`"#]],
    );
    check(
        "name = \"sql-1\"\n",
        "",
        &expect![[r#"
        agent.toml:10:1: sql_servers[0].name: it is missing
          right: for example `name = "sql-1"`"#]],
    );
    check(
        "[[links]]",
        "[links]",
        &expect![[r#"
            agent.toml:22:1: links: it can't be a table
              right: an array, for example `[[links]]`"#]],
    );
    check_more(
        "[log]\nformat = \"xml\"",
        &expect![[r#"
            agent.toml:2:10: log.format: it can't be `xml`
              right: `text` or `json`"#]],
    );
    check_more(
        "[log]\nfilter = \"dr_agent=loud\"",
        &expect![[r#"
        agent.toml:2:1: log.filter: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5
          right: a level, or directives such as `info,dr_agent::bus=debug,lapin=error`"#]],
    );
}

#[test]
fn durations() {
    check_more(
        "[policy]\nstale_after = 15",
        &expect![[r#"
        agent.toml:2:15: policy.stale_after: it can't be integer `15`
          right: a whole number and one of ms, s, m, h, d, such as "250ms", "5s" or "15m""#]],
    );
    check_more(
        "[policy]\nstale_after = \"15\"",
        &expect![[r#"
        agent.toml:2:15: policy.stale_after: "15" is not a duration of at most 365 days
          right: a whole number and one of ms, s, m, h, d, such as "250ms", "5s" or "15m""#]],
    );
    check_more(
        "[policy]\nstale_after = \"fifteen seconds\"",
        &expect![[r#"
        agent.toml:2:15: policy.stale_after: "fifteen seconds" is not a duration of at most 365 days
          right: a whole number and one of ms, s, m, h, d, such as "250ms", "5s" or "15m""#]],
    );
    check_more(
        "[policy]\napprove_within = \"0s\"",
        &expect![[r#"
        agent.toml:2:1: policy.approve_within: no time at all
          right: more than 0"#]],
    );
}

#[test]
fn secrets() {
    let password = "{ file = \"password\" }";
    check(
        password,
        "\"hunter2\"",
        &expect![[r#"
        agent.toml:13:36: sql_servers[0].login.password: a secret does not stand in this file
          right: { file = "/path/to/it" } or { env = "NAME_OF_A_VARIABLE" }"#]],
    );
    check(
        password,
        "1234",
        &expect![[r#"
        agent.toml:13:36: sql_servers[0].login.password: a secret does not stand in this file
          right: { file = "/path/to/it" } or { env = "NAME_OF_A_VARIABLE" }"#]],
    );
    check(
        password,
        "{ file = \"open\" }",
        &expect![[r#"
        agent.toml:13:25: sql_servers[0].login.password: the secret file open is open to others (mode 644)
          right: chmod 600 open"#]],
    );
    check(
        password,
        "{ file = \"missing\" }",
        &expect![[r#"
        agent.toml:13:25: sql_servers[0].login.password: the secret file missing can't be read: No such file or directory (os error 2)
          right: an existing file that the user of the agent can read"#]],
    );
    check(
        password,
        "{ file = \"a\", env = \"B\" }",
        &expect![[r#"
            agent.toml:13:36: sql_servers[0].login.password: it takes exactly one of `file` and `env`
              right: { file = "/path/to/it" } or { env = "NAME_OF_A_VARIABLE" }"#]],
    );
    check(
        password,
        "{ value = \"hunter2\" }",
        &expect![[r#"
            agent.toml:13:36: sql_servers[0].login.password: it takes exactly one of `file` and `env`
              right: { file = "/path/to/it" } or { env = "NAME_OF_A_VARIABLE" }"#]],
    );
    check(
        password,
        "{ env = \"DR_AGENT_TEST_NO_SUCH_VARIABLE\" }",
        &expect![[r#"
            agent.toml:13:25: sql_servers[0].login.password: the environment variable DR_AGENT_TEST_NO_SUCH_VARIABLE is not set, or is not UTF-8
              right: set DR_AGENT_TEST_NO_SUCH_VARIABLE in the environment of the agent"#]],
    );
}

#[test]
fn secret_files() {
    check(
        "[\"token\"]",
        "[\"token\", \"open\"]",
        &expect![[r#"
        agent.toml:2:25: http.token_files[1]: the secret file open is open to others (mode 644)
          right: chmod 600 open"#]],
    );
    check(
        "[\"token\"]",
        "[]",
        &expect![[r#"
        agent.toml:2:1: http.token_files: without a token nobody can use the API
          right: at least one file with a token in it; `openssl rand -hex 32` makes one"#]],
    );
    check_more(
        "[bus]\nurl = \"amqp://guest:hunter2@localhost\"",
        &expect![[r#"
        agent.toml:2:7: bus.url: a secret does not stand in this file
          right: { file = "/path/to/it" } or { env = "NAME_OF_A_VARIABLE" }"#]],
    );
    check_more(
        "[bus]\nurl = { file = \"password\" }",
        &expect![[r#"
            agent.toml:2:1: bus.url: what is kept there is no AMQP address
              right: amqps://USER:PASSWORD@HOST:5671/%2f, with reserved characters percent-encoded"#]],
    );
}

#[test]
fn a_file_that_is_not_there() {
    let folder = Folder::new();
    let error = super::Config::load(&folder.path()).expect_err("missing");
    let shown = error.to_string().replace(&format!("{}/", folder.0.path().display()), "");
    expect![[r#"
        agent.toml: the file can't be read: No such file or directory (os error 2)
          right: a TOML file that can be read; `dr-agent config --defaults` prints one with every key"#]].assert_eq(&shown);
}
