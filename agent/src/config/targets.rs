//! Instances as the probes and the actions take them.

use agent_core::{InstanceId, LinkId, Side};
use probes::{
    ControlTarget, InstanceTarget, LinkTarget, Replica, Schedule,
    tds::{BROWSER_PORT, Encryption, Login, Port, TdsEndpoint, Tls, Trust},
};

use super::{
    ControlSettings, InstanceSettings,
    build::Builder,
    file::File,
    instance::{self, Arm, Encrypt, Instance, PORT, Place},
    locate::Key,
    logins,
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
    let arm = instance.arm.as_ref();
    let control = arm.map(|arm| control(file, instance, arm, key, builder));
    let host = instance.host.as_deref().unwrap_or_default();
    let look = logins::login(&instance.login, host, arm, &key.at("login"), builder);
    let act = match &instance.action_login {
        Some(own) => logins::login(own, host, arm, &key.at("action_login"), builder),
        None => look.clone(),
    };
    let trusts = Trusts::read(instance, key, builder);
    let (id, look, act, trusts) = (id?, look?, act?, trusts?);
    let control = match control {
        Some(control) => Some(control?),
        None => None,
    };
    let target = |login| trusts.target(file, instance, id.clone(), side, &login);
    let schedule = Schedule::new(instance.probe.every.0, instance.probe.deadline.0);
    Some(InstanceSettings { look: target(look)?, act: target(act)?, schedule, control })
}

/// Whom to believe, and by which name.
type Believed = (Tls, Option<String>);

/// The same for the instance, and for each of its replicas.
struct Trusts {
    common: Believed,
    replicas: Vec<Believed>,
}

impl Trusts {
    fn read(instance: &Instance, key: &Key, builder: &mut Builder<'_>) -> Option<Self> {
        let name = |trust: &instance::Trust| trust.name.clone();
        let common = tls(&instance.trust, &key.at("trust"), builder)?;
        let common = (common, name(&instance.trust));
        let mut replicas = Vec::new();
        for (at, replica) in instance.replicas.iter().enumerate() {
            let key = key.at("replicas").nth(at).at("trust");
            replicas.push(match &replica.trust {
                Some(own) => (tls(own, &key, builder)?, name(own)),
                None => common.clone(),
            });
        }
        Some(Self { common, replicas })
    }

    fn target(
        &self,
        file: &File,
        instance: &Instance,
        id: InstanceId,
        side: Side,
        login: &Login,
    ) -> Option<InstanceTarget> {
        let places = instance.places();
        let at = |place: Place<'_>| self.endpoint(file, instance, place, login);
        let replicas = places.iter().filter_map(|place| {
            let name = instance.replicas.get(place.replica?)?.name.clone();
            Some(Replica { name, endpoint: at(*place) })
        });
        // The instance itself, or the listener beside its replicas, comes first if it is there.
        let first = places.first()?;
        Some(InstanceTarget {
            instance: id,
            side,
            links: links(file, side, &instance.name),
            endpoint: at(*first),
            replicas: replicas.collect(),
            listener: first.replica.is_none() && !instance.replicas.is_empty(),
        })
    }

    fn endpoint(
        &self,
        file: &File,
        instance: &Instance,
        place: Place<'_>,
        login: &Login,
    ) -> TdsEndpoint {
        let (tls, tls_name) = match place.replica {
            Some(at) => &self.replicas[at],
            None => &self.common,
        };
        let browser_port = instance.browser_port.unwrap_or(BROWSER_PORT);
        TdsEndpoint {
            host: place.host.to_owned(),
            port: match place.instance {
                Some(name) => Port::of_instance(name, browser_port),
                None => Port::Number(place.port.unwrap_or(PORT)),
            },
            login: login.clone(),
            encryption: match instance.encrypt {
                Encrypt::Negotiated => Encryption::Negotiated,
                Encrypt::Strict => Encryption::Strict,
            },
            tls: tls.clone(),
            tls_name: tls_name.clone(),
            app_name: file.agent.name.clone(),
            connect_within: instance.probe.connect_within.0,
        }
    }
}

fn tls(trust: &instance::Trust, key: &Key, builder: &mut Builder<'_>) -> Option<Tls> {
    let right = "a PEM file with one or more certificates";
    let (key, trust) = match trust {
        instance::Trust { ca: Some(path), .. } => {
            let key = key.at("ca");
            let source = builder.pem_source(&key, path)?;
            return builder.take(&key, Tls::kept(source, Trust::authorities), right);
        }
        instance::Trust { certificate: Some(path), .. } => {
            let key = key.at("certificate");
            let source = builder.pem_source(&key, path)?;
            let right = "a PEM file with one certificate";
            return builder.take(&key, Tls::kept(source, Trust::pinned_pem), right);
        }
        instance::Trust { fingerprint: Some(text), .. } => {
            let key = key.at("fingerprint");
            let right = "SHA-256, as `openssl x509 -noout -fingerprint -sha256` prints it";
            (key.clone(), builder.take(&key, Trust::pinned_fingerprint(text), right)?)
        }
        instance::Trust { ca: None, certificate: None, fingerprint: None, .. } => {
            (key.clone(), Trust::System)
        }
    };
    builder.take(&key, Tls::new(&trust), right)
}

fn control(
    file: &File,
    instance: &Instance,
    arm: &Arm,
    key: &Key,
    builder: &mut Builder<'_>,
) -> Option<ControlSettings> {
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
    let credential = logins::credential(&arm.credential, &key.at("credential"), builder);
    Some(ControlSettings {
        target: ControlTarget {
            subscription: arm.subscription.clone(),
            resource_group: arm.resource_group.clone(),
            instance: arm.instance.clone(),
            base_url: arm.base_url.clone(),
            api_version: arm.api_version.clone(),
            links: links(file, Side::ManagedInstance, &instance.name),
        },
        ca: arm.ca.as_ref().and_then(|ca| builder.pem_source(&key.at("ca"), ca)),
        connect_within: arm.connect_within.0,
        credential: credential?,
        authority: arm.credential.authority.clone(),
        schedule: Schedule::new(arm.every.0, arm.deadline.0),
    })
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
