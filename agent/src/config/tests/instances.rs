//! Ways to an instance and ways to log in to it.

use expect_test::expect;
use probes::tds::{Encryption, Login};

use super::{Folder, SMALL, check};

const HOST: &str = "host = \"sql-1.example.com\"\n";
const LOGIN: &str = "login = { user = \"eye\", password = { file = \"password\" } }\n";

fn login(of: &str) -> String {
    format!("login = {{ {of} }}\n")
}

#[test]
fn replicas_are_looked_at_beside_their_listener() {
    let folder = Folder::new();
    let replicas = "encrypt = \"strict\"\nreplicas = [{ name = \"a\", host = \"a.example.com\" }, { name = \"b\", host = \"b.example.com\", instance = \"DR\" }]\n";
    let text = SMALL.replacen(HOST, &format!("{HOST}{replicas}"), 1);
    let config = folder.parse(&text).expect("valid");
    let ways = config.instances[0].look.ways();
    let names: Vec<_> = ways.iter().map(|(name, way)| (*name, way.host.as_str())).collect();
    let listener = ("listener", "sql-1.example.com");
    assert_eq!(names, [("a", "a.example.com"), ("b", "b.example.com"), listener]);
    assert!(ways.iter().all(|(_, way)| way.encryption == Encryption::Strict));
    let shown = config.effective_toml();
    assert!(shown.contains("browser_port = 1434") && shown.contains("port = 1433"), "{shown}");
    assert_eq!(folder.parse(&shown).expect("what is shown is valid").effective_toml(), shown);

    let text = SMALL.replacen(HOST, replicas, 1);
    let config = folder.parse(&text).expect("a listener is not needed");
    assert_eq!(config.instances[0].look.ways().len(), 2);
    assert_eq!(config.instances[1].look.ways().len(), 1);
}

#[test]
fn one_login_looks_and_another_one_acts() {
    let folder = Folder::new();
    let action = "action_login = { windows = 'DOMAIN\\hand', password = { file = \"private\" } }\n";
    let config = folder.parse(&SMALL.replacen(LOGIN, &format!("{LOGIN}{action}"), 1));
    let instance = &config.expect("valid").instances[0];
    assert_eq!(instance.look.ways()[0].1.login.name(), "eye");
    assert_eq!(instance.act.ways()[0].1.login.name(), "DOMAIN\\hand");
}

#[test]
fn a_token_is_asked_for_by_the_credential_of_the_login_or_of_the_control_plane() {
    let folder = Folder::new();
    let own = "entra = true, credential = { kind = \"client_secret\", tenant = \"t\", client_id = \"c\", client_secret = { file = \"private\" } }";
    let config = folder.parse(&SMALL.replacen(LOGIN, &login(own), 1)).expect("valid");
    let Login::Entra(look) = &config.instances[0].look.ways()[0].1.login else {
        panic!("it logs in with a token")
    };
    let Login::Entra(act) = &config.instances[0].act.ways()[0].1.login else {
        panic!("it acts with a token")
    };
    assert!(std::sync::Arc::ptr_eq(look, act), "one login, one token");
    assert!(format!("{look:?}").contains("https://database.windows.net/.default"), "{look:?}");

    let arm = "arm = { subscription = \"s\", resource_group = \"r\", instance = \"i\" }\n";
    let mut parts = SMALL.splitn(3, LOGIN);
    let (a, b, c) = (parts.next().expect("a"), parts.next().expect("b"), parts.next().expect("c"));
    let text = format!("{a}{LOGIN}{b}{arm}{}{c}", login("entra = true"));
    let config = folder.parse(&text).map_err(|error| error.to_string()).expect("valid");
    assert!(config.instances[1].look.ways()[0].1.login.credential().is_some());
}

#[test]
fn ways_to_log_in_that_make_no_sense() {
    check(
        LOGIN,
        &login("user = \"eye\", entra = true, password = { file = \"password\" }"),
        &expect![[r#"
            agent.toml:13:1: sql_servers[0].login: it takes exactly one way to log in
              right: one of `user`, `windows`, `entra = true` and `kerberos = true`"#]],
    );
    check(
        LOGIN,
        &login("windows = 'WERK\\Jörg', password = { file = \"password\" }"),
        &expect![[r#"
            agent.toml:13:11: sql_servers[0].login.windows: NTLM can't carry the name "WERK\\Jörg"
              right: an account whose name is ASCII, or another way to log in"#]],
    );
    check(
        LOGIN,
        &login("windows = 'eye', scope = \"x\""),
        &expect![[r#"
            agent.toml:13:1: sql_servers[0].login.password: it is missing
              right: { file = "/path/to/it" } or { env = "NAME_OF_A_VARIABLE" }
            agent.toml:13:11: sql_servers[0].login.windows: "eye" is no account
              right: 'DOMAIN\user', in single quotes
            agent.toml:13:28: sql_servers[0].login.scope: only a login with `entra` takes it
              right: leave it out, or `entra = true`"#]],
    );
    check(
        LOGIN,
        &login("entra = true, password = { file = \"password\" }"),
        &expect![[r#"
        agent.toml:13:1: sql_servers[0].login.credential: it is missing
          right: add it; only next to `arm` it may be left out
        agent.toml:13:25: sql_servers[0].login.password: this way to log in takes none
          right: leave it out, or give `user` or `windows`"#]],
    );
    check(
        LOGIN,
        &login(
            "entra = true, credential = { kind = \"client_certificate\", tenant = \"t\", client_id = \"c\", certificate = \"certificate\", private_key = { file = \"private\" } }",
        ),
        &expect![[r#"
            agent.toml:13:100: sql_servers[0].login.credential.certificate: the certificate of the application is unusable: no items found
              right: the certificate that is registered with the application, and its RSA key"#]],
    );
    check(
        LOGIN,
        &login("kerberos = true"),
        &expect![[r#"
        agent.toml:13:11: sql_servers[0].login.kerberos: this build can't do it
          right: a build with `--features kerberos`, or another way to log in"#]],
    );
}

#[test]
fn places_that_make_no_sense() {
    check(
        HOST,
        "",
        &expect![[r#"
        agent.toml:10:1: sql_servers[0].host: it is missing
          right: a host name or an address, or `replicas`"#]],
    );
    check(
        HOST,
        "host = 'sql-1\\DR'\n",
        &expect![[r#"
        agent.toml:12:1: sql_servers[0].host: "sql-1\\DR" is not a host
          right: a host name or an address alone; port and instance have keys of their own"#]],
    );
    check(
        HOST,
        &format!("{HOST}instance = \"DR\"\nport = 1433\n"),
        &expect![[r#"
        agent.toml:13:1: sql_servers[0].instance: the port of a named instance is asked for
          right: one of `instance` and `port`"#]],
    );
    check(
        HOST,
        "replicas = [{ name = \"a\", host = \"a\" }, { name = \"a\", host = \"b\", port = 0 }]\n",
        &expect![[r#"
            agent.toml:12:43: sql_servers[0].replicas[1].name: "a" is empty, or the name of another replica
              right: a name of its own for each replica
            agent.toml:12:67: sql_servers[0].replicas[1].port: port 0 can't be connected to
              right: 1433 in the ordinary case"#]],
    );
    check(
        "host = \"mi-1.example.com\"",
        "replicas = [{ name = \"a\", host = \"a\" }]",
        &expect![[r#"
            agent.toml:18:1: managed_instances[0].replicas: there is no such key in managed_instances[0]
              right: one of `action_login`, `arm`, `browser_port`, `encrypt`, `host`, `instance`, `login`, `name`, `port`, `probe`, `trust`"#]],
    );
}
