//! Each mistake with the exact words that it gets.

use expect_test::{Expect, expect};

use super::{Folder, SMALL};

/// The small file with one text in place of another.
fn check(from: &str, to: &str, expected: &Expect) {
    assert!(SMALL.contains(from), "{from:?} is not in the small file");
    let shown = Folder::new().errors(&SMALL.replacen(from, to, 1));
    assert!(!shown.contains("hunter2"), "a secret is shown: {shown}");
    expected.assert_eq(&shown);
}

/// The small file with more of it.
fn check_more(more: &str, expected: &Expect) {
    check("[http]", &format!("{more}\n[http]"), expected);
}

#[test]
fn form() {
    check("name = \"orders\"", "name = orders", &expect![""]);
    check("[http]", "[http", &expect![""]);
    check("[http]", "[http]\nlistn = \"127.0.0.1:1\"", &expect![""]);
    check("[http]", "[http]\ncolour = 1", &expect![""]);
    check("[quorum]", "[quorums]", &expect![""]);
    check("[http]", "[http]\nlisten = \"localhost\"", &expect![""]);
    check("[http]", "[http]\nlisten = 8420", &expect![""]);
    check("forced = 1", "forced = -1", &expect![""]);
    check("forced = 1", "forced = \"one\"", &expect![""]);
    check("name = \"sql-1\"\n", "", &expect![""]);
    check("[[links]]", "[links]", &expect![""]);
    check_more("[log]\nformat = \"xml\"", &expect![""]);
    check_more("[log]\nfilter = \"dr_agent=loud\"", &expect![""]);
}

#[test]
fn durations() {
    check_more("[policy]\nstale_after = 15", &expect![""]);
    check_more("[policy]\nstale_after = \"15\"", &expect![""]);
    check_more("[policy]\nstale_after = \"fifteen seconds\"", &expect![""]);
    check_more("[policy]\napprove_within = \"0s\"", &expect![""]);
}

#[test]
fn secrets() {
    let password = "{ file = \"password\" }";
    check(password, "\"hunter2\"", &expect![""]);
    check(password, "1234", &expect![""]);
    check(password, "{ file = \"open\" }", &expect![""]);
    check(password, "{ file = \"missing\" }", &expect![""]);
    check(password, "{ file = \"a\", env = \"B\" }", &expect![""]);
    check(password, "{ value = \"hunter2\" }", &expect![""]);
    check(password, "{ env = \"DR_AGENT_TEST_NO_SUCH_VARIABLE\" }", &expect![""]);
    check("[\"token\"]", "[\"token\", \"open\"]", &expect![""]);
    check("[\"token\"]", "[]", &expect![""]);
    check_more("[bus]\nurl = \"amqp://guest:hunter2@localhost\"", &expect![""]);
    check_more("[bus]\nurl = { file = \"password\" }", &expect![""]);
}

#[test]
fn names() {
    check("name = \"mi-1\"", "name = \"sql-1\"", &expect![""]);
    check("sql_server = \"sql-1\"", "sql_server = \"sql-11\"", &expect![""]);
    check("sql_server = \"sql-1\"", "sql_server = \"paris\"", &expect![""]);
    check("name = \"orders\"", "name = \"\"", &expect![""]);
    check("database = \"orders\"", "database = \"\"", &expect![""]);
    check(
        "[[links]]",
        "[[links]]\nname = \"orders\"\nsql_server = \"sql-1\"\nmanaged_instance = \"mi-1\"\ndatabase = \"a\"\n\n[[links]]",
        &expect![""],
    );
    check(
        "[[links]]",
        "[[links]]\nname = \"o\"\ngroup = \"orders\"\nsql_server = \"sql-1\"\nmanaged_instance = \"mi-1\"\ndatabase = \"a\"\n\n[[links]]",
        &expect![""],
    );
    check("host = \"sql-1.example.com\"", "host = \"sql-1.example.com,1433\"", &expect![""]);
}

#[test]
fn approvals() {
    check("forced = 1", "forced = 2", &expect![""]);
    check("forced = 1", "forced = 0", &expect![""]);
    check("public_key = \"ed25519:11q", "public_key = \"ed25519:", &expect![""]);
    check("public_key = \"ed25519:11q", "public_key = \"rsa:11q", &expect![""]);
    check_more(
        "[approvers.bob]\npublic_key = \"ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"",
        &expect![""],
    );
    check_more("[break_glass]\nwait = \"2h\"", &expect![""]);
}

#[test]
fn thresholds() {
    check_more("[policy]\nmisses = 20", &expect![""]);
    check_more("[policy]\nstale_after = \"3s\"", &expect![""]);
    check_more("[policy]\nretry_after = \"20m\"", &expect![""]);
    check(
        "[[managed_instances]]",
        "probe = { connect_within = \"5s\" }\n\n[[managed_instances]]",
        &expect![""],
    );
    check("database = \"orders\"", "database = \"orders\"\npolicy = { misses = 0 }", &expect![""]);
    check_more("[storm_brake]\nopen_proposals = 0", &expect![""]);
}

#[test]
fn doors() {
    check("[http]", "[http]\nlisten = \"0.0.0.0:8420\"", &expect![""]);
    check("[http]", "[http]\ntls_cert = \"certificate\"", &expect![""]);
    check("[http]", "[http]\ntls_cert = \"certificate\"\ntls_key = \"open\"", &expect![""]);
    check("trust = { fingerprint", "trust = { ca = \"certificate\", fingerprint", &expect![""]);
    let fingerprint =
        "{ fingerprint = \"d4c9d9027326271a89ce51fcaf328ed673f17be33469ff979e8ab8dd501e664f\" }";
    check(fingerprint, "{ fingerprint = \"AB:CD\" }", &expect![""]);
    check(fingerprint, "{ ca = \"certificate\" }", &expect![""]);
    check(fingerprint, "{ verify = false }", &expect![""]);
}

#[test]
fn control_plane() {
    let arm = |more: &str| {
        format!(
            "[managed_instances.arm]\nsubscription = \"s\"\nresource_group = \"g\"\ninstance = \"i\"\n{more}\n[[links]]"
        )
    };
    check("[[links]]", &arm("base_url = \"http://management.azure.com\""), &expect![""]);
    check(
        "[[links]]",
        &arm("credential = { kind = \"client_secret\", tenant = \"t\" }"),
        &expect![""],
    );
    check("[[links]]", &arm("credential = { kind = \"password\" }"), &expect![""]);
    check("[[links]]", &arm("credential = { token_file = \"private\" }"), &expect![""]);
    check("[[links]]", &arm("every = \"10s\""), &expect![""]);
    check(
        "[[managed_instances]]",
        "[sql_servers.arm]\nsubscription = \"s\"\n\n[[managed_instances]]",
        &expect![""],
    );
}

#[test]
fn several_at_once() {
    let text = SMALL.replace("forced = 1", "forced = 3").replace("\"sql-1\"\nm", "\"sql\"\nm");
    expect![""].assert_eq(&Folder::new().errors(&text));
}

#[test]
fn a_file_that_is_not_there() {
    let folder = Folder::new();
    let error = super::Config::load(&folder.path()).expect_err("missing");
    let shown = error.to_string().replace(&format!("{}/", folder.0.path().display()), "");
    expect![""].assert_eq(&shown);
}
