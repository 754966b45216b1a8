//! From the file to what the parts of the agent take. Secrets are read here, and everything that
//! can only be checked by making it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use agent_core::{
    Approver, ApproverId, BreakGlass, FailureDomain, InstanceId, LinkId, LinkSpec, Roster,
    StormBrake,
};
use ed25519_dalek::VerifyingKey;
use lapin::uri::AMQPUri;
use probes::{
    Secret, SecretSource,
    tds::{BROWSER_PORT, usable_pem},
};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use super::{
    AgentSettings, BusSettings, ClientDefaults, Config, ConfigError, HttpSettings, LogFormat,
    LogSettings, Problem, TlsFiles, alert_rules, alerts,
    check::{self, Findings},
    file::{self, File},
    instance::{Arm, Instance, PORT},
    locate::Key,
    secret::{self, Form, Source},
    targets, topology,
};
use crate::keys;

/// A PEM file with authorities; the bundle of an operating system has some 200 KB.
const LONGEST_PEM_BYTES: u64 = 4 * 1024 * 1024;

/// What is built from a file in a folder, and what is wrong with it.
pub(super) struct Builder<'p> {
    /// Relative paths are relative to the folder of the file.
    base: &'p Path,
    pub(super) found: Findings,
}

/// Checks a file and builds the configuration from it.
pub(super) fn config(path: &Path, text: &str, file: File) -> Result<Config, ConfigError> {
    let (config, problems) = examined(path, text, file);
    if problems.is_empty() { Ok(config) } else { Err(ConfigError::wrong(path, problems)) }
}

/// What can be used of a file, beside what is wrong with it. What is wrong is missing in the
/// configuration, or empty there.
pub(super) fn examined(path: &Path, text: &str, mut file: File) -> (Config, Vec<Problem>) {
    let mut builder = Builder::new(path);
    check::file(&file, &mut builder.found);
    let links = builder.links(&file);
    let instances = targets::instances(&file, &mut builder);
    let http = builder.http(&file.http);
    let bus = builder.bus(&file);
    let alerts = alerts::settings(&file, &mut builder);
    let roster = builder.roster(&file);
    let log = builder.log(&file.log);
    let recorder = builder.recorder(&file);
    let schedule = builder.schedule(&file);
    let placement = builder.placement(&file);
    let agent = AgentSettings {
        name: file.agent.name.clone(),
        data_dir: builder.path(&file.agent.data_dir),
        grace: file.agent.grace.0,
    };
    let brake = StormBrake { open_proposals: file.storm_brake.open_proposals };
    complete(&mut file);
    let problems = builder.found.problems(text);
    let config = Config {
        path: path.to_owned(),
        digest: format!("sha256:{}", agent_core::to_hex(&Sha256::digest(text.as_bytes()))),
        agent,
        log,
        recorder,
        schedule,
        placement,
        places: topology::places(&file),
        http,
        bus,
        alerts,
        alert_rules: alert_rules::settings(&file),
        instances,
        links,
        roster,
        brake,
        effective: file,
    };
    (config, problems)
}

/// Where the API is, seen from the same machine.
pub(super) fn client_defaults(path: &Path, http: &file::Http) -> ClientDefaults {
    let scheme = if http.tls_cert.is_some() { "https" } else { "http" };
    let ip = match http.listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    let builder = Builder::new(path);
    // With port 0 only the agent knows where it listens; it writes that down.
    let written = http.address_file.as_ref().filter(|_| http.listen.port() == 0);
    let url = written
        .and_then(|file| std::fs::read_to_string(builder.path(file)).ok())
        .map(|url| url.trim().to_owned())
        .unwrap_or_else(|| format!("{scheme}://{}", SocketAddr::new(ip, http.listen.port())));
    ClientDefaults { url, token_file: http.token_files.first().map(|file| builder.path(file)) }
}

/// The keys of the roster alone.
pub(super) fn approver_keys(
    path: &Path,
    text: &str,
    file: &File,
) -> Result<BTreeMap<String, VerifyingKey>, ConfigError> {
    let mut builder = Builder::new(path);
    let roster = builder.roster(file);
    if !builder.found.is_empty() {
        return Err(ConfigError::wrong(path, builder.found.problems(text)));
    }
    let named = |approver: Approver| (approver.id.to_string(), approver.key);
    Ok(roster.approvers.into_iter().map(named).collect())
}

/// Fills in what follows from other keys, so that what is shown is what counts.
fn complete(file: &mut File) {
    let policy = file.policy.over(&agent_core::Policy::default());
    file.policy = file::Policy::from(&policy);
    file.http.metrics_open.get_or_insert(file.http.listen.ip().is_loopback());
    file.sql_servers.iter_mut().chain(&mut file.managed_instances).for_each(complete_instance);
    for link in &mut file.links {
        link.group.get_or_insert_with(|| link.name.clone());
        link.planned = link.planned.complete();
        link.cutover = link.cutover.complete();
    }
}

fn complete_instance(instance: &mut Instance) {
    if instance.places().iter().any(|place| place.instance.is_some()) {
        instance.browser_port.get_or_insert(BROWSER_PORT);
    }
    if instance.host.is_some() && instance.instance.is_none() {
        instance.port.get_or_insert(PORT);
    }
    for replica in instance.replicas.iter_mut().filter(|replica| replica.instance.is_none()) {
        replica.port.get_or_insert(PORT);
    }
}

impl<'p> Builder<'p> {
    pub(super) fn new(path: &'p Path) -> Self {
        Self { base: path.parent().unwrap_or(Path::new("")), found: Findings::default() }
    }

    /// A path as seen from the folder of the file.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// The value, or what is wrong with it.
    pub(super) fn take<T>(
        &mut self,
        key: &Key,
        value: Result<T, impl ToString>,
        right: &str,
    ) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(what) => {
                self.found.add(key, what.to_string(), right);
                None
            }
        }
    }

    /// A secret that is read again for each use; an empty one where it can't be had.
    pub(super) fn kept(&mut self, key: &Key, source: &Source, form: Form) -> SecretSource {
        match source.read_as(form, self.base) {
            Ok(first) => source.kept(first, form, self.base),
            Err(unusable) => {
                self.found.add(key, unusable.what, unusable.right);
                SecretSource::fixed(Secret::default())
            }
        }
    }

    /// A PEM file that was read as `first`, and is read again for each use.
    pub(super) fn kept_pem(&self, first: String, path: &Path) -> SecretSource {
        let path = self.path(path);
        SecretSource::kept(Secret::from(first), move || {
            let text = read_pem(&path)?;
            // Half of a file, or what is none, leaves in use what was read before.
            usable_pem(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(Secret::from(text))
        })
    }

    /// The same of a file that has still to be read.
    pub(super) fn pem_source(&mut self, key: &Key, path: &Path) -> Option<SecretSource> {
        let first = self.pem(key, path)?;
        Some(self.kept_pem(first, path))
    }

    /// The text of a PEM file.
    pub(super) fn pem(&mut self, key: &Key, path: &Path) -> Option<String> {
        let path = self.path(path);
        let text = read_pem(&path);
        self.take(key, text, "a PEM file that the user of the agent can read")
    }

    pub(super) fn links(&mut self, file: &File) -> Vec<LinkSpec> {
        let common = file.policy.over(&agent_core::Policy::default());
        let mut specs = Vec::new();
        for (place, link) in file.links.iter().enumerate() {
            let key = Key::new("links").nth(place);
            if link.database.is_empty() {
                self.found.add(&key.at("database"), "it is empty", "the name of the database");
            }
            let right = "1 to 128 characters, none of them a control character";
            let id = self.take(&key.at("name"), LinkId::new(&link.name), right);
            let mut domain = |name, text| self.take(&key.at(name), FailureDomain::new(text), right);
            let agent = domain("agent_domain", &link.agent_domain);
            let managed = domain("managed_instance_domain", &link.managed_instance_domain);
            let azure = domain("agent_azure_domain", &link.agent_azure_domain);
            let group = link.group.clone().unwrap_or_else(|| link.name.clone());
            let (
                Some(id),
                Some(agent_domain),
                Some(managed_instance_domain),
                Some(agent_azure_domain),
            ) = (id, agent, managed, azure)
            else {
                continue;
            };
            // Their names are judged where they stand.
            let (Ok(sql_server), Ok(managed_instance)) =
                (InstanceId::new(&link.sql_server), InstanceId::new(&link.managed_instance))
            else {
                continue;
            };
            let instance =
                file.managed_instances.iter().find(|other| other.name == link.managed_instance);
            let arm = instance.and_then(|instance| instance.arm.as_ref());
            let own = own_logins(file);
            let policy = link.policy.over(&common);
            let planned = self.planned(&link.planned, policy.execute_within, &key.at("planned"));
            specs.push(LinkSpec {
                id,
                sql_server,
                managed_instance,
                arm_path: arm.map(|arm| arm_path(arm, &group)),
                group,
                database: link.database.clone(),
                agent_domain,
                managed_instance_domain,
                agent_azure_domain,
                policy,
                planned,
                repair: self.repair(&link.repair, &key.at("repair")),
                guard: self.guard(&link.guard, &own, &key.at("guard")),
                cutover: self.cutover(&link.cutover, &key.at("cutover")),
            });
        }
        specs
    }

    fn http(&mut self, http: &file::Http) -> HttpSettings {
        let key = Key::new("http");
        let tls = http.tls_cert.as_ref().zip(http.tls_key.as_ref()).map(|(cert, private)| {
            self.pem(&key.at("tls_cert"), cert);
            self.private_file(&key.at("tls_key"), private);
            TlsFiles { cert: self.path(cert), key: self.path(private) }
        });
        for (name, files) in
            [("token_files", &http.token_files), ("webhook_token_files", &http.webhook_token_files)]
        {
            for (place, file) in files.iter().enumerate() {
                self.private_file(&key.at(name).nth(place), file);
            }
        }
        let paths = |files: &[PathBuf]| files.iter().map(|file| self.path(file)).collect();
        HttpSettings {
            listen: http.listen,
            tls,
            token_files: paths(&http.token_files),
            webhook_token_files: paths(&http.webhook_token_files),
            metrics_open: http.metrics_open.unwrap_or(http.listen.ip().is_loopback()),
            address_file: http.address_file.as_ref().map(|file| self.path(file)),
        }
    }

    fn private_file(&mut self, key: &Key, path: &Path) {
        if let Err(unusable) = secret::open(&self.path(path)) {
            self.found.add(key, unusable.what, unusable.right);
        }
    }

    fn bus(&mut self, file: &File) -> Option<BusSettings> {
        let bus = file.bus.as_ref()?;
        let key = Key::new("bus");
        let before = self.found.count();
        let url = self.kept(&key.at("url"), &bus.url, Form::Line);
        let address = url.last().expose_secret().parse::<AMQPUri>();
        let usable = address.is_ok_and(|address| !address.authority.host.is_empty());
        if self.found.count() == before && !usable {
            let right =
                "amqps://USER:PASSWORD@HOST:5671/%2f, with reserved characters percent-encoded";
            self.found.add(&key.at("url"), "what is kept there is no AMQP address", right);
        }
        if bus.exchange.is_empty() || bus.exchange.len() > 127 {
            let right = "1 to 127 bytes; the exchange has a name of its own";
            self.found.add(&key.at("exchange"), "this can't name an exchange", right);
        }
        let ca = bus.ca.as_ref().and_then(|ca| self.pem_source(&key.at("ca"), ca));
        Some(BusSettings {
            url,
            exchange: bus.exchange.clone(),
            ca,
            connect_within: bus.connect_within.0,
            confirm_within: bus.confirm_within.0,
        })
    }

    pub(super) fn roster(&mut self, file: &File) -> Roster {
        let mut approvers = Vec::new();
        for (name, approver) in &file.approvers {
            let key = Key::new("approvers").at(name);
            let right = "1 to 128 characters, none of them a control character";
            let id = self.take(&key, ApproverId::new(name), right);
            let right = "the line that `dr-agent key show` prints, `ed25519:` and 44 characters";
            let public = keys::parse_public(&approver.public_key);
            let public = self.take(&key.at("public_key"), public, right);
            approvers.extend(id.zip(public).map(|(id, key)| Approver { id, key }));
        }
        Roster {
            approvers,
            planned_quorum: file.quorum.planned,
            forced_quorum: file.quorum.forced,
            break_glass: file.break_glass.as_ref().map(|glass| BreakGlass { wait: glass.wait.0 }),
        }
    }

    fn log(&mut self, log: &file::Log) -> LogSettings {
        let filter = tracing_subscriber::EnvFilter::builder().parse(&log.filter);
        let right = "a level, or directives such as `info,dr_agent::bus=debug,lapin=error`";
        self.take(&Key::new("log").at("filter"), filter.map(drop), right);
        let format = match log.format {
            file::LogFormat::Text => LogFormat::Text,
            file::LogFormat::Json => LogFormat::Json,
        };
        LogSettings { filter: log.filter.clone(), format }
    }
}

fn read_pem(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| format!("{shown} can't be read: {error}");
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() || about.len() > LONGEST_PEM_BYTES {
        return Err(format!("{shown} is not a file of at most {LONGEST_PEM_BYTES} bytes"));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Where the resource provider has the link.
fn arm_path(arm: &Arm, group: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Sql/managedInstances/{}/distributedAvailabilityGroups/{}",
        segment(&arm.subscription),
        segment(&arm.resource_group),
        segment(&arm.instance),
        segment(group)
    )
}

/// A name as one segment of a path: what has a meaning there is escaped.
fn segment(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The names by which the agent itself logs in.
fn own_logins(file: &File) -> Vec<&str> {
    let instances = file.sql_servers.iter().chain(&file.managed_instances);
    let logins = instances.flat_map(|one| [Some(&one.login), one.action_login.as_ref()]).flatten();
    logins.flat_map(|login| [login.user.as_deref(), login.windows.as_deref()]).flatten().collect()
}
