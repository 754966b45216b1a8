//! The reference is a valid file, says each key there is, and each at its default.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use toml::{Table, Value};

use super::{
    super::{REFERENCE, file, locate::uncommented},
    Folder, SMALL,
};

/// Keys that nobody has the private ones of.
const KEYS: (&str, &str) = (
    "ed25519:ZUkD6B2rMPXXiiXEeErwwQiCjoXrrk/+fscrZKk1d2I=",
    "ed25519:r+u+hABgLXDcuyqRQUXW9wE81Y5O4rKsforyYhgf6YQ=",
);

/// The secrets that the reference names are where they are on the tester's machine.
fn in_folder(text: &str) -> String {
    let mut out = String::new();
    let mut keys = [KEYS.0, KEYS.1].into_iter();
    for line in text.lines() {
        let line = if line.contains("`dr-agent key show`>") {
            line.replace("<the line of `dr-agent key show`>", keys.next().expect("two approvers"))
        } else if line.contains("amqp-url") {
            line.replace("/etc/dr-agent/amqp-url", "amqp")
        } else if line.contains("/etc/dr-agent/") && !line.contains("tls") {
            let from = line.find("/etc/dr-agent/").expect("it is there");
            let to = from + line[from..].find('"').expect("a string ends");
            format!("{}private{}", &line[..from], &line[to..])
        } else {
            line.to_owned()
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[test]
fn the_reference_is_a_valid_file() {
    let folder = Folder::new();
    let config = folder.parse(&in_folder(REFERENCE)).expect("the reference is valid");
    assert_eq!((config.links.len(), config.instances.len()), (1, 2));
    assert_eq!(config.roster.approvers.len(), 2);
    assert!(config.bus.is_some() && config.roster.break_glass.is_none());
    assert_eq!(
        config.links[0].arm_path.as_deref(),
        Some(
            "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/dr/providers/Microsoft.Sql/managedInstances/mi-1/distributedAvailabilityGroups/orders"
        )
    );
}

#[test]
fn every_key_of_the_reference_is_required_or_at_its_default() {
    let folder = Folder::new();
    let text = in_folder(REFERENCE);
    let whole: Table = toml::from_str(&text).expect("TOML");
    let before = folder.parse(&text).expect("the reference is valid").effective_json();
    let mut required = BTreeSet::new();
    for path in leaves(&whole) {
        let mut without = whole.clone();
        remove(&mut without, &path);
        let text = toml::to_string(&without).expect("TOML");
        match folder.parse(&text) {
            Ok(config) => {
                assert_eq!(config.effective_json(), before, "{path:?} is not at its default");
            }
            Err(_) => {
                required.insert(path.join("."));
            }
        }
    }
    expect_test::expect![[r#"
        {
            "alerts.alertmanagers.name",
            "alerts.alertmanagers.url",
            "alerts.webhooks.name",
            "alerts.webhooks.secret",
            "alerts.webhooks.url",
            "approvers.alice.public_key",
            "approvers.bob.public_key",
            "bus.url",
            "http.token_files",
            "links.database",
            "links.managed_instance",
            "links.name",
            "links.sql_server",
            "managed_instances.arm.instance",
            "managed_instances.arm.resource_group",
            "managed_instances.arm.subscription",
            "managed_instances.host",
            "managed_instances.login",
            "managed_instances.name",
            "sql_servers.host",
            "sql_servers.login",
            "sql_servers.name",
        }
    "#]]
    .assert_debug_eq(&required);
}

#[test]
fn every_key_of_the_structs_is_in_the_reference() {
    let text = uncommented(REFERENCE);
    let said = serde_json::to_value(toml::from_str::<Table>(&text).expect("TOML")).expect("JSON");
    let read: file::File = toml::from_str(&text).expect("the form is right, all keys in force");
    let known = serde_json::to_value(&read).expect("JSON");
    let (mut said_keys, mut known_keys) = (BTreeSet::new(), BTreeSet::new());
    keys(&said, "", &mut said_keys);
    keys(&known, "", &mut known_keys);
    // A threshold for one link alone is any of those for all.
    // So is the second login any of the first.
    let same = |key: &String| key.starts_with("links.policy.") || key.contains(".action_login.");
    known_keys.retain(|key| !same(key));
    said_keys.retain(|key| !same(key));
    assert_eq!(known_keys, said_keys);
}

#[test]
fn every_key_has_words_before_it() {
    let same_as_above = |section: &str| section.starts_with("managed_instances");
    let mut section = String::new();
    let mut words = false;
    for line in REFERENCE.lines() {
        if line.starts_with("# ") {
            words = true;
        } else if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
            words = words || same_as_above(&section);
        } else if line.is_empty() {
            words = false;
        } else {
            let told = words || same_as_above(&section) || section == "approvers.bob";
            let plain = ["port", "tls_key", "instance", "resource_group", "managed_instance"];
            let name = line.trim_start_matches('#').split(' ').next().unwrap_or_default();
            assert!(told || plain.contains(&name), "{section}: {line}");
        }
    }
}

#[test]
fn what_is_shown_can_be_read_again_and_says_the_same() {
    let folder = Folder::new();
    let config = folder.parse(SMALL).expect("the small file is valid");
    let shown = config.effective_toml();
    let again = folder.parse(&shown).expect("what is shown is a valid file");
    assert_eq!(again.effective_toml(), shown);
    assert!(shown.contains("propose_after = \"1m\""), "{shown}");
    assert!(!shown.contains("hunter2") && !format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_link_takes_a_threshold_for_itself() {
    let folder = Folder::new();
    let text = format!("{SMALL}policy = {{ propose_after = \"7m\" }}\n\n[policy]\nmisses = 5\n");
    let config = folder.parse(&text).expect("valid");
    let policy = &config.links[0].policy;
    assert_eq!((policy.propose_after.as_secs(), policy.misses), (420, 5));
    assert_eq!(policy.attempts, agent_core::Policy::default().attempts);
}

#[test]
fn the_command_line_finds_the_agent_without_its_secrets() {
    let folder = Folder::new();
    let text = SMALL.replace("\"token\"", "\"missing\"");
    let text = text.replace("[http]", "[http]\nlisten = \"0.0.0.0:9000\"\ntls_cert = \"x\"");
    folder.write("agent.toml", &text, 0o644);
    let found = super::super::client_defaults(&folder.path()).expect("the form is right");
    assert_eq!(found.url, "https://127.0.0.1:9000");
    assert_eq!(found.token_file, Some(folder.0.path().join("missing")));
}

#[test]
fn the_file_of_the_lab_is_valid_once_it_is_filled_in() {
    let folder = Folder::new();
    for name in ["sql-password", "mi-password", "arm-secret"] {
        folder.write(name, "hunter2hunter2\n", 0o600);
    }
    let authority = rcgen::generate_simple_self_signed(["lab".to_owned()]).expect("a certificate");
    folder.write("ca.pem", &authority.cert.pem(), 0o644);
    let mut text = include_str!("../../../../config/lab.toml").to_owned();
    for of in [1, 2] {
        let key = ed25519_dalek::SigningKey::from_bytes(&[of; 32]).verifying_key();
        text = text.replacen("filled in by the lab", &crate::keys::show_public(&key), 1);
    }
    let config = folder.parse(&text).map_err(|error| error.to_string()).expect("valid");
    assert!(
        config.links[0].independent_witnesses(agent_core::Side::SqlServer)
            && config.links[0].arm_path.is_some()
    );
}

/// The ways to all values; arrays of tables have one element here.
fn leaves(table: &Table) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for (name, value) in table {
        let first = value.as_array().and_then(|items| items.first());
        let inner = first.unwrap_or(value).as_table();
        let inner = inner.filter(|inner| {
            !inner.is_empty() && !["login", "url", "secret"].contains(&name.as_str())
        });
        let inner = inner.map_or_else(|| vec![Vec::new()], leaves);
        all.extend(inner.into_iter().map(|mut path| {
            path.insert(0, name.clone());
            path
        }));
    }
    all
}

fn remove(table: &mut Table, path: &[String]) {
    let Some((name, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        table.remove(name);
        return;
    }
    match table.get_mut(name) {
        Some(Value::Table(inner)) => remove(inner, rest),
        Some(Value::Array(items)) => {
            if let Some(Value::Table(first)) = items.first_mut() {
                remove(first, rest);
            }
        }
        _ => {}
    }
}

fn keys(value: &Json, path: &str, out: &mut BTreeSet<String>) {
    match value {
        Json::Object(inner) => {
            for (name, value) in inner {
                let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                out.insert(key.clone());
                keys(value, &key, out);
            }
        }
        Json::Array(items) => items.iter().for_each(|item| keys(item, path, out)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}
