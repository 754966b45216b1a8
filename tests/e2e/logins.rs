//! Each way to log in, on real processes: both sides are looked at with it, and a failover goes
//! through it. Where there are two logins, the one that looks sends no command.

use lab::{setup::Setup, twin::Twin};
use serde_json::Value;
use toml::{Table, Value as Setting};
use twin::world::Side;

use crate::{
    planned::{asked, ended, handed_over, nothing_lost, wish},
    rig::{MI, Rig, SQL, Wish},
};

/// A table for a key of the configuration.
pub(crate) fn table<const N: usize>(entries: [(&str, Setting); N]) -> Setting {
    Setting::Table(
        entries.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<Table>(),
    )
}

pub(crate) fn secret(name: &str) -> Setting {
    table([("file", name.into())])
}

pub(crate) fn set(setup: &mut Setup, key: &str, value: impl Into<Setting>) {
    setup.set(key, value).unwrap_or_else(|error| panic!("{key}: {error}"));
}

/// A login of an instance, or an account of the domain, whose password lies in a file of this name.
pub(crate) fn by_password(setup: &Setup, twin: &Twin, who: &str, file: &str) -> Setting {
    let login = &twin.endpoints.logins[who];
    setup.secret(file, &login.password).expect("a secret is written");
    let key = if who.starts_with("windows") { "windows" } else { "user" };
    table([(key, login.user.clone().into()), ("password", secret(file))])
}

/// Planned over to the managed instance and back, in the ordinary way.
fn over_and_back(rig: &Rig) {
    let mut journal = rig.follow(0);
    rig.commits(5);
    for (to, who) in [(MI, "alice"), (SQL, "bob")] {
        let id = asked(rig, &mut journal);
        rig.approve(id, who);
        ended(&mut journal, "succeeded");
        nothing_lost(rig, to);
        crate::planned::move_on(rig, to);
        rig.wait_health("healthy");
    }
    assert_eq!(handed_over(rig), 2);
}

/// The logins of the agent that came in at an instance, each once, and how.
fn came_in(rig: &Rig, at: &str) -> Vec<(String, String, bool)> {
    let mut all: Vec<_> = logins(rig, at)
        .iter()
        .filter(|entry| {
            entry["refused"].is_null()
                && entry["program"].as_str().is_some_and(|name| name.starts_with("dr-agent"))
        })
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            (text("login"), text("proof"), entry["strict"] == true)
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

pub(crate) fn logins(rig: &Rig, at: &str) -> Vec<Value> {
    let truth = rig.twin.truth().expect("the twin tells what is true");
    let entries = truth["logins"].as_array().expect("a list").iter();
    entries.filter(|entry| entry["instance"] == at).cloned().collect()
}

/// That each command which reached an instance came from this login.
#[track_caller]
fn commanded_by(rig: &Rig, at: &str, login: &str) {
    let truth = rig.twin.truth().expect("the twin tells what is true");
    let commands = truth["commands"].as_array().expect("a list").iter();
    let commands: Vec<_> = commands
        .filter(|command| command["target"] == at && command["who"]["party"] == "agent")
        .map(|command| command["who"]["login"].as_str().unwrap_or_default())
        .collect();
    assert!(!commands.is_empty(), "there was a command at {at}");
    assert!(commands.iter().all(|who| *who == login), "{at}: {commands:?}");
}

fn entry(login: &str, proof: &str, strict: bool) -> (String, String, bool) {
    (login.to_owned(), proof.to_owned(), strict)
}

/// The machine's identity looks, an application acts; the managed instance knows the application.
fn entra_and_arc(setup: &mut Setup, twin: &Twin) {
    let (arm, machine) = (&twin.endpoints.arm, &twin.endpoints.machine);
    let ca = twin.endpoints.ca.display().to_string();
    let folder = machine.folder.display().to_string();
    let arc = table([
        ("kind", "arc_managed_identity".into()),
        ("identity_endpoint", machine.endpoint.clone().into()),
        ("token_folder", folder.into()),
    ]);
    let application = table([
        ("kind", "client_secret".into()),
        ("authority", arm.authority.clone().into()),
        ("tenant", arm.tenant.clone().into()),
        ("client_id", arm.client_id.clone().into()),
        ("client_secret", secret("arm-secret")),
    ]);
    let login = table([("entra", true.into()), ("credential", arc)]);
    set(setup, "sql_servers.0.login", login);
    let login = table([("entra", true.into()), ("credential", application), ("ca", ca.into())]);
    set(setup, "sql_servers.0.action_login", login);
    set(setup, "managed_instances.0.login", table([("entra", true.into())]));
}

#[test]
fn entra_looks_and_acts_on_both_sides_and_arc_on_the_server() {
    let mut wish = wish(91, SQL);
    wish.prepare = Some(entra_and_arc);
    let rig = Rig::healthy(wish);
    over_and_back(&rig);
    assert_eq!(
        came_in(&rig, SQL),
        [entry("dr-agent", "token", false), entry("sql-machine", "token", false)]
    );
    assert_eq!(came_in(&rig, MI), [entry("dr-agent", "token", false)]);
    commanded_by(&rig, SQL, "dr-agent");
}

/// Windows accounts at a named instance, logins of its own at the managed instance; two each.
fn windows_and_named(setup: &mut Setup, twin: &Twin) {
    let sql = &twin.endpoints.sql_server;
    setup.unset("sql_servers.0.port").expect("a key is taken out");
    set(setup, "sql_servers.0.instance", sql.instance.clone().expect("it has a name"));
    set(setup, "sql_servers.0.browser_port", i64::from(twin.endpoints.browser));
    let look = by_password(setup, twin, "windows:watching", "watch-windows");
    let act = by_password(setup, twin, "windows", "act-windows");
    set(setup, "sql_servers.0.login", look);
    set(setup, "sql_servers.0.action_login", act);
    let look = by_password(setup, twin, "watching", "watch");
    let act = table([
        ("user", twin.endpoints.managed_instance.user.clone().into()),
        ("password", secret("mi-password")),
    ]);
    set(setup, "managed_instances.0.login", look);
    set(setup, "managed_instances.0.action_login", act);
}

fn named(mut wish: Wish) -> Wish {
    let own = wish.world.instances.iter_mut().find(|instance| instance.kind == Side::SqlServer);
    own.expect("there is a SQL Server").server_name = "SQL01\\DR".to_owned();
    wish
}

#[test]
fn windows_accounts_look_and_act_on_a_named_instance() {
    let mut wish = named(wish(92, SQL));
    wish.prepare = Some(windows_and_named);
    let rig = Rig::healthy(wish);
    over_and_back(&rig);
    assert_eq!(
        came_in(&rig, SQL),
        [entry("TWIN\\dr_agent", "windows", false), entry("TWIN\\dr_watch", "windows", false)]
    );
    assert_eq!(
        came_in(&rig, MI),
        [entry("dr_agent", "password", false), entry("dr_watch", "password", false)]
    );
    commanded_by(&rig, SQL, "TWIN\\dr_agent");
}

/// TLS from the first byte on both sides, with a Windows account, and with a token.
fn strict(setup: &mut Setup, twin: &Twin) {
    set(setup, "sql_servers.0.encrypt", "strict");
    set(setup, "managed_instances.0.encrypt", "strict");
    let login = by_password(setup, twin, "windows", "act-windows");
    set(setup, "sql_servers.0.login", login);
    set(setup, "managed_instances.0.login", table([("entra", true.into())]));
}

#[test]
fn tds_8_carries_looks_and_commands() {
    let mut wish = wish(93, SQL);
    wish.prepare = Some(strict);
    let rig = Rig::healthy(wish);
    over_and_back(&rig);
    assert_eq!(came_in(&rig, SQL), [entry("TWIN\\dr_agent", "windows", true)]);
    assert_eq!(came_in(&rig, MI), [entry("dr-agent", "token", true)]);
}
