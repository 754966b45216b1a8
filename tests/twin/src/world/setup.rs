//! How an instance is set up for a link: what its administrators made, granted and switched on, and
//! may have got wrong. The world's own log, roles and times do not depend on it; what clients see
//! does.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

pub use super::certificate::Certificate;
pub use super::configured::{Configurations, Configured};
pub use super::endpoint::{Endpoint, EndpointChange};
pub use super::feature::Feature;
use super::{
    Backup, BackupKind, Edition, Instance, InstanceKind, Lsn, UnknownName, UpdatePolicy, World,
    certificate::ROOTS,
};
use crate::der;

/// Set-up of one instance.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `SERVERPROPERTY('IsHadrEnabled')`.
    pub hadr: bool,
    /// Trace flags that are on for the whole server.
    pub trace_flags: BTreeSet<u16>,
    /// Whether master has a master key.
    pub master_key: bool,
    /// Certificates in master, by name.
    pub certificates: BTreeMap<String, Certificate>,
    /// The endpoint for mirroring.
    pub endpoint: Option<Endpoint>,
    /// `SERVERPROPERTY('Edition')`, where it is none that a link can use.
    pub edition: Option<String>,
    /// `state` of the managed instance in Azure.
    pub state: String,
    /// How far the server's clock is ahead of the world's time.
    pub clock_ahead: SignedDuration,
    /// Actions that Azure does not let the agent do on the managed instance, by their names.
    pub denied: BTreeSet<String>,
    /// Whether links may have several databases.
    pub several: bool,
    /// What others need to trust the endpoint of a managed instance: DER.
    pub endpoint_key: Option<Vec<u8>>,
    /// Credentials for storage, by the address that they are for.
    pub credentials: BTreeMap<String, Credential>,
    logins: BTreeMap<String, LoginSetup>,
    databases: BTreeMap<String, DatabaseSetup>,
    /// Options of the server that were set, and what msdb has forgotten.
    pub(super) configured: Configurations,
}

/// A credential; nobody needs to know its secret here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// `IDENTITY`
    pub identity: String,
    /// When it was made or altered.
    pub created: Timestamp,
}

/// The end of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Until {
    /// In so many days; negative: it has been.
    Days(i64),
    /// On a day, `2031-12-31`.
    Day(jiff::civil::Date),
}

/// What an administrator has made of a login.
#[derive(Clone, Debug, Default)]
pub struct LoginSetup {
    /// Why it does not come in: 18470 disabled, 18486 locked, 18488 its password must be changed.
    pub refused: Option<u32>,
    /// Another password than it had in the beginning.
    pub password: Option<String>,
    /// Permissions that it does not have, though it has all others by name. With none here it is a
    /// member of sysadmin.
    pub without: BTreeSet<String>,
    /// Permissions that it has beside those that it began with, by name.
    pub with: BTreeSet<String>,
    /// The groups, by lower-case name, on which it was granted ALTER, or denied it.
    pub groups: BTreeMap<String, bool>,
}

/// What an administrator has made of a database.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatabaseSetup {
    /// SIMPLE, else FULL.
    pub simple: bool,
    /// SINGLE_USER, else MULTI_USER.
    pub single_user: bool,
    /// READ_ONLY, else READ_WRITE.
    pub read_only: bool,
    /// RESTRICTED_USER
    pub restricted: bool,
    /// OFFLINE, else ONLINE.
    pub offline: bool,
    /// The session that has set SINGLE_USER.
    pub only: Option<u16>,
    /// COMPATIBILITY_LEVEL, if it was set.
    pub compatibility: Option<u32>,
    /// READ_COMMITTED_SNAPSHOT
    pub committed_snapshot: bool,
    /// ALLOW_SNAPSHOT_ISOLATION
    pub snapshot: bool,
    /// ACCELERATED_DATABASE_RECOVERY
    pub accelerated_recovery: bool,
    /// ENABLE_BROKER
    pub broker: bool,
    /// How often NEW_BROKER was set.
    pub brokers: u32,
    /// Something in it that keeps it out of a link.
    pub feature: Option<Feature>,
}

/// A change of the set-up, by T-SQL or by what is not T-SQL: a patch, the portal, a service restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Availability groups on the whole instance.
    Hadr(bool),
    /// Another build.
    ProductVersion(String),
    /// Another edition, by its name as the server shows it.
    Edition(String),
    /// Another collation; in earnest, another instance.
    Collation(String),
    /// How far its clock is ahead, in s.
    ClockAhead(i64),
    /// `state` in Azure.
    State(String),
    /// Another update policy.
    Policy(UpdatePolicy),
    /// What Azure's resource health says of it, whatever is true; none: the truth.
    SaidHealth(Option<String>),
    /// Takes an action away from the agent's role in Azure, or gives it.
    Action {
        /// Its name.
        action: String,
        /// Given, or taken away.
        granted: bool,
    },
    /// A trace flag for the whole server.
    TraceFlag {
        /// Its number.
        flag: u16,
        /// On or off.
        on: bool,
    },
    /// The master key of master.
    MasterKey(bool),
    /// Makes or replaces a certificate.
    Certificate {
        /// Its name.
        name: String,
        /// With its private key.
        own: bool,
        /// Its end.
        until: Until,
    },
    /// Brings somebody else's certificate.
    Imported {
        /// Its name.
        name: String,
        /// DER, in hexadecimal digits.
        blob: String,
    },
    /// From now on what this certificate has issued is trusted.
    Issuer(String),
    /// Makes or alters a credential.
    Credential {
        /// The address that it is for.
        name: String,
        /// `IDENTITY`
        identity: String,
        /// Whether a secret came with it, which nobody keeps.
        secret: bool,
        /// ALTER, else CREATE.
        alter: bool,
    },
    /// Drops a credential.
    NoCredential(String),
    /// Drops a certificate.
    NoCertificate(String),
    /// Makes or alters the endpoint.
    Endpoint(EndpointChange),
    /// Drops the endpoint.
    NoEndpoint,
    /// Sets an option of the server, by its number in `sys.configurations`.
    Configure {
        /// The option.
        option: u32,
        /// Its value from the next RECONFIGURE on, or the next start.
        value: i64,
    },
    /// RECONFIGURE: these options hold at once.
    Reconfigure(Vec<u32>),
    /// Takes what is older than this out of the history of backups.
    ForgetBackups {
        /// Of this database, or of all.
        database: Option<String>,
        /// Everything before.
        before: Timestamp,
    },
    /// Something about a login.
    Login {
        /// The login.
        login: String,
        /// What.
        change: LoginChange,
    },
    /// Something about a database.
    Database {
        /// The database.
        database: String,
        /// What.
        change: DatabaseChange,
    },
    /// Something about a link; it holds for both sides.
    Link {
        /// The link.
        link: String,
        /// What.
        change: LinkChange,
    },
}

/// A change of a login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LoginChange {
    /// Takes away or grants a permission, by its name in GRANT. `SELECT` is that on the tables of
    /// msdb.
    Permission {
        /// The permission.
        permission: String,
        /// Granted, or taken away.
        granted: bool,
    },
    /// Grants or denies ALTER on one availability group; none: neither any more.
    Group {
        /// The group.
        group: String,
        /// Granted or denied.
        may: Option<bool>,
    },
    /// The error with which it is refused; none: it comes in.
    Refused(Option<u32>),
    /// Another password.
    Password(String),
}

/// A change of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DatabaseChange {
    /// Recovery model SIMPLE, else FULL.
    Simple(bool),
    /// SINGLE_USER, else MULTI_USER.
    SingleUser(bool),
    /// Takes a backup that belongs to the chain: of the log, else full.
    BackUp {
        /// Of the log.
        log: bool,
    },
    /// Forgets what msdb knows of its backups.
    NoBackups,
    /// Gives it something that a link does not carry, before it is in one.
    Feature(Option<Feature>),
}

/// A change of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LinkChange {
    /// `REQUIRED_SYNCHRONIZED_SECONDARIES_TO_COMMIT`.
    Required(u32),
    /// `SESSION_TIMEOUT`, in s.
    SessionTimeout(u32),
    /// `failoverMode`: Manual, else None.
    TwoWay(bool),
}

impl LoginSetup {
    fn change(&mut self, change: LoginChange) {
        match change {
            LoginChange::Permission { permission, granted } => {
                switch(&mut self.without, permission.to_uppercase(), !granted);
                switch(&mut self.with, permission.to_uppercase(), granted);
            }
            LoginChange::Group { group, may } => {
                match may {
                    Some(may) => self.groups.insert(group.to_lowercase(), may),
                    None => self.groups.remove(&group.to_lowercase()),
                };
            }
            LoginChange::Refused(number) => self.refused = number,
            LoginChange::Password(password) => {
                self.password = Some(password);
                // A new password unlocks, and is a changed one; a disabled login stays disabled.
                self.refused = self.refused.filter(|number| *number == 18_470);
            }
        }
    }
}

impl DatabaseSetup {
    /// Whether it takes what an application sends it, in a session that is open.
    pub(super) fn takes_writes(self) -> bool {
        !self.read_only && !self.offline
    }

    /// Whether an application may open a session in it.
    pub(super) fn lets_in(self) -> bool {
        !self.offline && !self.single_user && !self.restricted
    }
}

impl Setup {
    /// As a careful administrator leaves it, the certificate of the other side still missing.
    pub(super) fn careful(server_name: &str, start: Timestamp) -> Setup {
        let machine = server_name.split('.').next().unwrap_or(server_name);
        let own = format!("Cert_{machine}_endpoint");
        let certificate = Certificate::made(server_name, &own, start, start + days(5 * 365));
        Setup {
            hadr: true,
            trace_flags: BTreeSet::from([1800, 9567]),
            master_key: true,
            certificates: BTreeMap::from([(own.clone(), certificate)]),
            endpoint: Some(Endpoint { certificate: Some(own), ..Endpoint::default() }),
            edition: None,
            state: "Ready".to_owned(),
            clock_ahead: SignedDuration::ZERO,
            denied: BTreeSet::new(),
            several: false,
            endpoint_key: None,
            credentials: BTreeMap::new(),
            logins: BTreeMap::new(),
            databases: BTreeMap::new(),
            configured: Configurations::default(),
        }
    }

    /// What became of a login.
    #[must_use]
    pub fn login(&self, name: &str) -> LoginSetup {
        self.logins.get(&name.to_lowercase()).cloned().unwrap_or_default()
    }

    /// What became of a database.
    #[must_use]
    pub fn database(&self, name: &str) -> DatabaseSetup {
        self.databases.get(&name.to_lowercase()).copied().unwrap_or_default()
    }

    /// What a link needs of the other side's certificate.
    pub(super) fn trusts(&mut self, other: &str, start: Timestamp) {
        let brought = |years: i64| Certificate::brought(start, start + days(years * 365), None);
        self.certificates.insert(other.to_owned(), brought(2));
        for name in ROOTS {
            let root = Certificate { issuer: true, ..brought(10) };
            self.certificates.insert(name.to_owned(), root);
        }
    }

    fn login_mut(&mut self, name: &str) -> &mut LoginSetup {
        self.logins.entry(name.to_lowercase()).or_default()
    }

    pub(super) fn database_mut(&mut self, name: &str) -> &mut DatabaseSetup {
        self.databases.entry(name.to_lowercase()).or_default()
    }
}

impl World {
    /// Gives all managed instances the key that their endpoints show.
    pub fn endpoint_keys(&mut self, key: &[u8]) {
        for instance in self.instances.values_mut().filter(|instance| instance.is_managed()) {
            instance.setup.endpoint_key = Some(key.to_owned());
        }
    }

    /// Changes how an instance is set up.
    ///
    /// # Errors
    /// There is no such instance or link.
    pub fn set_up(&mut self, at: &str, change: Change) -> Result<(), UnknownName> {
        self.check_instance(at)?;
        if let Change::Link { link, change } = change {
            let link = self.link_named(&link)?;
            match change {
                LinkChange::Required(count) => link.required = count,
                LinkChange::SessionTimeout(seconds) => {
                    let timeout = SignedDuration::from_secs(i64::from(seconds));
                    link.members.iter_mut().for_each(|it| it.session_timeout = timeout);
                }
                LinkChange::TwoWay(two_way) => link.two_way = two_way,
            }
            return Ok(());
        }
        let now = self.now;
        if let Some(instance) = self.instances.get_mut(at) {
            apply(instance, change, now);
        }
        Ok(())
    }
}

fn apply(instance: &mut Instance, change: Change, now: Timestamp) {
    let setup = &mut instance.setup;
    match change {
        Change::Hadr(on) => setup.hadr = on,
        Change::ProductVersion(version) => instance.product_version = version,
        Change::Edition(name) => edition(setup, &mut instance.kind, name),
        Change::Collation(name) => instance.collation = name,
        Change::ClockAhead(seconds) => setup.clock_ahead = SignedDuration::from_secs(seconds),
        Change::State(state) => setup.state = state,
        Change::Policy(policy) => {
            if let InstanceKind::ManagedInstance { update_policy, .. } = &mut instance.kind {
                *update_policy = policy;
            }
        }
        Change::SaidHealth(word) => instance.resource.said_health = word,
        Change::Action { action, granted } => switch(&mut setup.denied, action, !granted),
        Change::TraceFlag { flag, on } => switch(&mut setup.trace_flags, flag, on),
        Change::MasterKey(there) => setup.master_key = there,
        Change::Certificate { name, own, until } => {
            let expiry = match until {
                Until::Days(left) => now + days(left),
                Until::Day(day) => {
                    day.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |day| day.timestamp())
                }
            };
            // One that has its name already is the same, with another end.
            let certificate = match setup.certificates.get(&name) {
                Some(known) => Certificate { own, ..known.renewed(&name, expiry) },
                None if own => Certificate::made(&instance.server_name, &name, now, expiry),
                None => Certificate::brought(now, expiry, None),
            };
            setup.certificates.insert(name, certificate);
        }
        Change::Imported { name, blob } => {
            let blob = bytes(&blob);
            let expiry = der::expiry(&blob).unwrap_or(now + days(730));
            setup.certificates.insert(name, Certificate::brought(now, expiry, Some(blob)));
        }
        Change::Issuer(name) => {
            if let Some(certificate) = setup.certificates.get_mut(&name) {
                certificate.issuer = true;
            }
        }
        Change::Credential { name, identity, secret, .. } => {
            // An identity of Azure's own needs no secret.
            let works = secret || identity.eq_ignore_ascii_case("Managed Identity");
            instance.backup_paths.retain(|path| !path.eq_ignore_ascii_case(&name));
            if works && name.starts_with("https://") {
                instance.backup_paths.push(name.clone());
            }
            setup.credentials.insert(name, Credential { identity, created: now });
        }
        Change::NoCredential(name) => {
            instance.backup_paths.retain(|path| !path.eq_ignore_ascii_case(&name));
            setup.credentials.retain(|found, _| !found.eq_ignore_ascii_case(&name));
        }
        Change::NoCertificate(name) => {
            setup.certificates.retain(|found, _| !found.eq_ignore_ascii_case(&name));
        }
        Change::Endpoint(change) => {
            let kept = setup.endpoint.take().filter(|_| !change.create);
            setup.endpoint = Some(kept.unwrap_or_default().changed(change));
        }
        Change::NoEndpoint => setup.endpoint = None,
        Change::Configure { option, value } => setup.configured.set(option, value, now),
        Change::Reconfigure(options) => setup.configured.install(&options),
        Change::ForgetBackups { database, before } => setup.configured.forget(database, before),
        Change::Login { login, change } => setup.login_mut(&login).change(change),
        Change::Database { database, change } => apply_to(instance, database, change, now),
        // It does not concern one instance.
        Change::Link { .. } => {}
    }
}

fn apply_to(instance: &mut Instance, database: String, change: DatabaseChange, now: Timestamp) {
    let setup = instance.setup.database_mut(&database);
    match change {
        DatabaseChange::Simple(simple) => setup.simple = simple,
        DatabaseChange::SingleUser(single_user) => setup.single_user = single_user,
        DatabaseChange::Feature(feature) => setup.feature = feature,
        DatabaseChange::BackUp { log } => back_up(instance, database, log, now),
        DatabaseChange::NoBackups => {
            instance.backups.retain(|backup| !backup.database.eq_ignore_ascii_case(&database));
        }
    }
}

fn back_up(instance: &mut Instance, database: String, log: bool, now: Timestamp) {
    let last = instance.backups.iter().rev().find(|backup| backup.database == database);
    let from = last.map_or_else(Lsn::first, |last| last.last_lsn);
    let fork = last.map_or_else(|| super::Guid::derive(1, &database), |last| last.fork);
    instance.backups.push(Backup {
        database,
        kind: if log { BackupKind::Log } else { BackupKind::Full },
        copy_only: false,
        checksums: true,
        compressed: false,
        name: None,
        user: "sa".to_owned(),
        devices: Vec::new(),
        position: 1,
        checkpoint_lsn: from,
        database_backup_lsn: from,
        fork,
        start: now,
        finish: now,
        first_lsn: from,
        last_lsn: from,
        size: 1 << 20,
        source: super::Source::default(),
    });
}

fn edition(setup: &mut Setup, kind: &mut InstanceKind, name: String) {
    let known = match name.split(' ').next() {
        Some("Standard") => Some(Edition::Standard),
        Some("Developer") => Some(Edition::Developer),
        Some("Enterprise") => Some(Edition::Enterprise),
        Some(_) | None => None,
    };
    setup.edition = known.is_none().then_some(name);
    if let (InstanceKind::SqlServer { edition, .. }, Some(known)) = (kind, known) {
        *edition = known;
    }
}

/// What hexadecimal digits say; nothing where they are none.
fn bytes(digits: &str) -> Vec<u8> {
    let digits = digits.as_bytes().chunks_exact(2).map(str::from_utf8);
    let read = digits.map(|pair| u8::from_str_radix(pair.ok()?, 16).ok());
    read.collect::<Option<_>>().unwrap_or_default()
}

fn switch<T: Ord>(set: &mut BTreeSet<T>, what: T, on: bool) {
    if on {
        set.insert(what);
    } else {
        set.remove(&what);
    }
}

fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count.saturating_mul(24))
}
