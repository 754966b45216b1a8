//! What has to hold of an instance beyond its form.

use agent_core::Side;

use super::{
    check::{Findings, pace},
    instance::{Arm, Credential, CredentialKind, Instance, Login, Trust},
    locate::Key,
};

/// Checks one instance.
pub(super) fn instance(instance: &Instance, side: Side, key: &Key, found: &mut Findings) {
    places(instance, side, key, found);
    trust(&instance.trust, &key.at("trust"), found);
    for (at, replica) in instance.replicas.iter().enumerate() {
        let key = key.at("replicas").nth(at);
        if let Some(own) = &replica.trust {
            trust(own, &key.at("trust"), found);
        }
        let before = &instance.replicas[..at];
        if replica.name.is_empty() || before.iter().any(|other| other.name == replica.name) {
            let what = format!("{:?} is empty, or the name of another replica", replica.name);
            found.add(&key.at("name"), what, "a name of its own for each replica");
        }
    }
    let arm = instance.arm.as_ref();
    login(&instance.login, arm, &key.at("login"), found);
    if let Some(own) = &instance.action_login {
        login(own, arm, &key.at("action_login"), found);
    }
    let probe = &instance.probe;
    pace(&key.at("probe"), probe.every, probe.deadline, probe.connect_within, found);
    let Some(arm) = arm else { return };
    let key = key.at("arm");
    pace(&key, arm.every, arm.deadline, arm.connect_within, found);
    address(&key.at("base_url"), &arm.base_url, found);
    credential(&arm.credential, &key.at("credential"), found);
}

/// Where it is.
fn places(instance: &Instance, side: Side, key: &Key, found: &mut Findings) {
    if instance.host.is_none() && instance.replicas.is_empty() {
        let right = match side {
            Side::SqlServer => "a host name or an address, or `replicas`",
            Side::ManagedInstance => "a host name or an address",
        };
        found.add(&key.at("host"), "it is missing", right);
    }
    for place in instance.places() {
        let key = match place.replica {
            Some(at) => key.at("replicas").nth(at),
            None => key.clone(),
        };
        let host = place.host;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "/,\\".contains(c)) {
            let right = "a host name or an address alone; port and instance have keys of their own";
            found.add(&key.at("host"), format!("{host:?} is not a host"), right);
        }
        if place.port == Some(0) {
            found.add(&key.at("port"), "port 0 can't be connected to", "1433 in the ordinary case");
        }
        let Some(name) = place.instance else { continue };
        if place.port.is_some() {
            let what = "the port of a named instance is asked for";
            found.add(&key.at("instance"), what, "one of `instance` and `port`");
        }
        if name.is_empty() || name.len() > 16 || !name.chars().all(|c| c.is_ascii_graphic()) {
            let right = "its name alone, of at most 16 letters, without the host";
            found.add(&key.at("instance"), format!("{name:?} names no instance"), right);
        }
    }
    if instance.browser_port == Some(0) {
        let right = "1434 in the ordinary case";
        found.add(&key.at("browser_port"), "port 0 can't be asked", right);
    }
}

fn trust(trust: &Trust, key: &Key, found: &mut Findings) {
    let ways = [trust.ca.is_some(), trust.certificate.is_some(), trust.fingerprint.is_some()];
    if ways.iter().filter(|given| **given).count() > 1 {
        let what = "there is more than one way to judge the certificate";
        found.add(key, what, "one of `ca`, `certificate` and `fingerprint`");
    }
}

fn login(login: &Login, arm: Option<&Arm>, key: &Key, found: &mut Findings) {
    let entra = login.entra == Some(true);
    let kerberos = login.kerberos == Some(true);
    let ways = [login.user.is_some(), login.windows.is_some(), entra, kerberos];
    if ways.iter().filter(|given| **given).count() != 1 {
        let right = "one of `user`, `windows`, `entra = true` and `kerberos = true`";
        found.add(key, "it takes exactly one way to log in", right);
        return;
    }
    if login.user.as_deref() == Some("") {
        found.add(&key.at("user"), "it is empty", "the name of an SQL login");
    }
    let account = |text: &str| {
        text.split_once('\\').is_some_and(|(domain, user)| !domain.is_empty() && !user.is_empty())
    };
    if let Some(text) = login.windows.as_ref().filter(|text| !account(text)) {
        let right = r"'DOMAIN\user', in single quotes";
        found.add(&key.at("windows"), format!("{text:?} is no account"), right);
    }
    if let Some(text) = login.windows.as_ref().filter(|text| !text.is_ascii()) {
        let right = "an account whose name is ASCII, or another way to log in";
        found.add(&key.at("windows"), format!("NTLM can't carry the name {text:?}"), right);
    }
    let by_password = login.user.is_some() || login.windows.is_some();
    match (by_password, login.password.is_some()) {
        (true, false) => {
            let right = "{ file = \"/path/to/it\" } or { env = \"NAME_OF_A_VARIABLE\" }";
            found.add(&key.at("password"), "it is missing", right);
        }
        (false, true) => {
            let right = "leave it out, or give `user` or `windows`";
            found.add(&key.at("password"), "this way to log in takes none", right);
        }
        (true, true) | (false, false) => {}
    }
    let with_entra = [
        ("credential", login.credential.is_some()),
        ("scope", login.scope.is_some()),
        ("ca", login.ca.is_some()),
    ];
    for (name, _) in with_entra.into_iter().filter(|(_, there)| *there && !entra) {
        let right = "leave it out, or `entra = true`";
        found.add(&key.at(name), "only a login with `entra` takes it", right);
    }
    if kerberos && !cfg!(feature = "kerberos") {
        let right = "a build with `--features kerberos`, or another way to log in";
        found.add(&key.at("kerberos"), "this build can't do it", right);
    }
    match &login.credential {
        Some(own) => credential(own, &key.at("credential"), found),
        None if entra && arm.is_none() => {
            let right = "add it; only next to `arm` it may be left out";
            found.add(&key.at("credential"), "it is missing", right);
        }
        None => {}
    }
}

fn address(key: &Key, url: &str, found: &mut Findings) {
    let host = url.strip_prefix("https://").map(|rest| rest.trim_end_matches('/'));
    if host.is_none_or(|host| host.is_empty() || host.contains(['/', '?', '#', '@'])) {
        let right = "`https://` and a host, nothing else";
        found.add(key, format!("{url:?} is no address"), right);
    }
}

fn credential(given: &Credential, key: &Key, found: &mut Findings) {
    if let Some(authority) = &given.authority {
        address(&key.at("authority"), authority, found);
    }
    let (name, needed, taken): (_, &[&str], &[&str]) = match given.kind {
        CredentialKind::ManagedIdentity => ("managed_identity", &[], &["client_id"]),
        CredentialKind::ArcManagedIdentity => {
            ("arc_managed_identity", &[], &["identity_endpoint", "token_folder"])
        }
        CredentialKind::WorkloadIdentity => {
            ("workload_identity", &[], &["tenant", "client_id", "token_file"])
        }
        CredentialKind::ClientSecret => {
            let keys = &["tenant", "client_id", "client_secret"];
            ("client_secret", keys, keys)
        }
        CredentialKind::ClientCertificate => {
            let keys = &["tenant", "client_id", "certificate", "private_key"];
            ("client_certificate", keys, keys)
        }
        CredentialKind::ClientAssertion => {
            let keys = &["tenant", "client_id", "token_file"];
            ("client_assertion", keys, keys)
        }
    };
    let keys = [
        ("tenant", given.tenant.is_some()),
        ("client_id", given.client_id.is_some()),
        ("client_secret", given.client_secret.is_some()),
        ("certificate", given.certificate.is_some()),
        ("private_key", given.private_key.is_some()),
        ("token_file", given.token_file.is_some()),
        ("identity_endpoint", given.identity_endpoint.is_some()),
        ("token_folder", given.token_folder.is_some()),
    ];
    for (part, there) in keys {
        if there && !taken.contains(&part) {
            let right = format!("leave it out, or another `kind` than `{name}`");
            found.add(&key.at(part), format!("`{name}` takes no `{part}`"), right);
        } else if !there && needed.contains(&part) {
            let right = format!("add `{part}`, or another `kind`");
            found.add(&key.at(part), format!("`{name}` needs it"), right);
        }
    }
}
