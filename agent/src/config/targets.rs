//! Instances as the probes and the actions take them.

use std::path::Path;

use agent_core::{InstanceId, LinkId, Side};
use probes::{
    ControlTarget, InstanceTarget, LinkTarget, Schedule,
    arm::CredentialSource,
    tds::{TdsEndpoint, Tls, Trust},
};

use super::{
    ControlSettings, InstanceSettings,
    build::Builder,
    file::{self, CredentialKind, File, Instance},
    locate::Key,
};

/// All instances, SQL Servers first.
pub(super) fn instances(file: &File, builder: &mut Builder<'_>) -> Vec<InstanceSettings> {
    let sides = [
        (Side::SqlServer, "sql_servers", &file.sql_servers),
        (Side::ManagedInstance, "managed_instances", &file.managed_instances),
    ];
    let mut all = Vec::new();
    for (side, section, instances) in sides {
        for (place, instance) in instances.iter().enumerate() {
            let key = Key::new(section).nth(place);
            all.extend(one(file, side, instance, &key, builder));
        }
    }
    all
}

fn one(
    file: &File,
    side: Side,
    instance: &Instance,
    key: &Key,
    builder: &mut Builder<'_>,
) -> Option<InstanceSettings> {
    let right = "1 to 128 characters, none of them a control character";
    let id = builder.take(&key.at("name"), InstanceId::new(&instance.name), right);
    let tls = tls(&instance.trust, &key.at("trust"), builder);
    let control = instance.arm.as_ref().map(|arm| control(file, instance, arm, key, builder));
    let look = login(&instance.login, &key.at("login"), builder);
    let act = match &instance.action_login {
        Some(own) => login(own, &key.at("action_login"), builder),
        None => look.clone(),
    };
    let (id, tls) = (id?, tls?);
    let target = |(user, password)| InstanceTarget {
        instance: id.clone(),
        side,
        links: links(file, side, &instance.name),
        endpoint: TdsEndpoint {
            host: instance.host.clone(),
            port: instance.port,
            user,
            password,
            tls: tls.clone(),
            tls_name: instance.trust.name.clone(),
            app_name: file.agent.name.clone(),
            connect_within: instance.probe.connect_within.0,
        },
    };
    let schedule = Schedule::new(instance.probe.every.0, instance.probe.deadline.0);
    Some(InstanceSettings { look: target(look), act: target(act), schedule, control })
}

fn login(login: &file::Login, key: &Key, builder: &mut Builder<'_>) -> (String, probes::Secret) {
    if login.user.is_empty() {
        builder.found.add(&key.at("user"), "it is empty", "the name of an SQL login");
    }
    (login.user.clone(), builder.secret(&key.at("password"), &login.password))
}

fn tls(trust: &file::Trust, key: &Key, builder: &mut Builder<'_>) -> Option<Tls> {
    let (key, trust) = match trust {
        file::Trust { ca: Some(path), .. } => {
            let key = key.at("ca");
            (key.clone(), Trust::CaBundlePem(builder.pem(&key, path)?))
        }
        file::Trust { certificate: Some(path), .. } => {
            let key = key.at("certificate");
            let pem = builder.pem(&key, path)?;
            let pinned = Trust::pinned_pem(&pem);
            (key.clone(), builder.take(&key, pinned, "a PEM file with one certificate")?)
        }
        file::Trust { fingerprint: Some(text), .. } => {
            let key = key.at("fingerprint");
            let right = "SHA-256, as `openssl x509 -noout -fingerprint -sha256` prints it";
            (key.clone(), builder.take(&key, Trust::pinned_fingerprint(text), right)?)
        }
        file::Trust { ca: None, certificate: None, fingerprint: None, .. } => {
            (key.clone(), Trust::System)
        }
    };
    builder.take(&key, Tls::new(&trust), "a PEM file with one or more certificates")
}

fn control(
    file: &File,
    instance: &Instance,
    arm: &file::Arm,
    key: &Key,
    builder: &mut Builder<'_>,
) -> ControlSettings {
    let key = key.at("arm");
    for (name, text) in [
        ("subscription", &arm.subscription),
        ("resource_group", &arm.resource_group),
        ("instance", &arm.instance),
        ("api_version", &arm.api_version),
    ] {
        if text.is_empty() || text.contains(['/', '?', '#']) {
            let right = "one name, as it stands in the resource id";
            builder.found.add(&key.at(name), format!("{text:?} is no such name"), right);
        }
    }
    let given = &arm.credential;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let credential = match given.kind {
        CredentialKind::ManagedIdentity => {
            CredentialSource::ManagedIdentity { client_id: given.client_id.clone() }
        }
        CredentialKind::WorkloadIdentity => CredentialSource::WorkloadIdentity {
            tenant: given.tenant.clone(),
            client_id: given.client_id.clone(),
            token_file: given.token_file.as_deref().map(|path: &Path| builder.path(path)),
        },
        CredentialKind::ClientSecret => {
            let key = key.at("credential").at("client_secret");
            let source = given.client_secret.as_ref();
            CredentialSource::ClientSecret {
                tenant: text(&given.tenant),
                client_id: text(&given.client_id),
                secret: source.map(|source| builder.secret(&key, source)).unwrap_or_default(),
            }
        }
    };
    ControlSettings {
        target: ControlTarget {
            subscription: arm.subscription.clone(),
            resource_group: arm.resource_group.clone(),
            instance: arm.instance.clone(),
            base_url: arm.base_url.clone(),
            api_version: arm.api_version.clone(),
            links: links(file, Side::ManagedInstance, &instance.name),
        },
        ca_pem: arm.ca.as_ref().and_then(|ca| builder.pem(&key.at("ca"), ca)),
        connect_within: arm.connect_within.0,
        credential,
        authority: given.authority.clone(),
        schedule: Schedule::new(arm.every.0, arm.deadline.0),
    }
}

/// The links of one instance; what is wrong with them is told where they stand.
fn links(file: &File, side: Side, instance: &str) -> Vec<LinkTarget> {
    let own = file.links.iter().filter(|link| match side {
        Side::SqlServer => link.sql_server == instance,
        Side::ManagedInstance => link.managed_instance == instance,
    });
    own.filter_map(|link| {
        Some(LinkTarget {
            link: LinkId::new(&link.name).ok()?,
            dag: link.group.clone().unwrap_or_else(|| link.name.clone()),
            database: link.database.clone(),
        })
    })
    .collect()
}
