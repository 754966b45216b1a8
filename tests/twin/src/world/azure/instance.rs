//! A managed instance as a resource: its settings, its own databases, the certificates it trusts.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Taken,
    job::{Effect, Family},
};
use crate::world::{
    ArmError, Instance, InstanceKind, InstanceSpec, Role, Side, UpdatePolicy, World,
    setup::Certificate,
};

/// How long Azure takes for small things, and for a change of an instance.
const SOON: SignedDuration = SignedDuration::from_secs(3);
const CHANGE: SignedDuration = SignedDuration::from_secs(20);

/// Names as recorded; those of changing an instance and of dropping a database are not known.
const UPLOAD: (Family, &str) =
    (Family::TrustCertificates, "UploadManagedInstanceServerTrustCertificate");
const REMOVE: (Family, &str) =
    (Family::TrustCertificates, "DeleteManagedInstanceServerTrustCertificate");
const UPDATE: (Family, &str) = (Family::Instances, "UpsertManagedServer");
const DROP: (Family, &str) = (Family::Databases, "DropManagedDatabase");

/// What only Azure keeps about an instance.
#[derive(Clone, Debug)]
pub struct Resource {
    /// `licenseType` is BasePrice, else LicenseIncluded.
    pub base_price: bool,
    /// `hybridSecondaryUsage`
    pub usage: Usage,
    /// `proxyOverride`
    pub proxy: String,
    /// `publicDataEndpointEnabled`
    pub public_endpoint: bool,
    /// `vCores`
    pub v_cores: u32,
    /// `storageSizeInGB`
    pub storage_gb: u32,
    /// `tags`
    pub tags: BTreeMap<String, String>,
    /// What Azure's resource health is made to say, whatever is true.
    pub said_health: Option<String>,
    /// Certificates of servers that it trusts.
    pub certificates: BTreeMap<String, TrustCertificate>,
    /// Its aliases in DNS, and whether each has its records.
    pub aliases: BTreeMap<String, bool>,
    /// Databases that are in no link.
    pub databases: Vec<OwnDatabase>,
}

/// `hybridSecondaryUsage`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Usage {
    /// It is paid for.
    #[default]
    Active,
    /// It is a stand-by only, without licence costs (mi-link 9).
    Passive,
}

/// A certificate that an instance trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustCertificate {
    /// DER; none of one that is a certificate of nobody.
    pub blob: Option<Vec<u8>>,
    /// The end of its validity.
    pub expiry: Timestamp,
    /// When it was brought.
    pub since: Timestamp,
}

/// A database that is in no link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnDatabase {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// `database_id`
    pub database_id: u32,
}

/// What `PATCH` of an instance says; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceChange {
    /// `licenseType` is BasePrice, else LicenseIncluded.
    pub base_price: Option<bool>,
    /// `hybridSecondaryUsage`
    pub usage: Option<Usage>,
    /// `databaseFormat`
    pub policy: Option<UpdatePolicy>,
    /// `proxyOverride`
    pub proxy: Option<String>,
    /// `publicDataEndpointEnabled`
    pub public_endpoint: Option<bool>,
    /// `vCores`
    pub v_cores: Option<u32>,
    /// `storageSizeInGB`
    pub storage_gb: Option<u32>,
    /// `tags`, all of them.
    pub tags: Option<BTreeMap<String, String>>,
}

impl OwnDatabase {
    pub(in crate::world) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl Resource {
    /// `first` is the `database_id` of the first of its databases.
    pub(in crate::world) fn new(spec: &InstanceSpec, first: u32, start: Timestamp) -> Resource {
        let created = start - SignedDuration::from_hours(71);
        let own = |(name, database_id): (&String, u32)| OwnDatabase {
            name: name.clone(),
            created,
            database_id,
        };
        Resource {
            base_price: false,
            usage: Usage::Active,
            proxy: "Redirect".to_owned(),
            public_endpoint: false,
            v_cores: 4,
            storage_gb: 32,
            tags: BTreeMap::new(),
            said_health: None,
            certificates: BTreeMap::new(),
            aliases: BTreeMap::new(),
            databases: spec.databases.iter().zip(first..).map(own).collect(),
        }
    }

    /// What a link needs of the other side's certificate.
    pub(in crate::world) fn trusts(&mut self, name: &str, shown: &Certificate, start: Timestamp) {
        let blob = shown.blob.clone();
        let certificate = TrustCertificate { blob, expiry: shown.expiry, since: start };
        self.certificates.insert(name.to_owned(), certificate);
    }

    pub(in crate::world) fn take(&mut self, database: &str) -> Option<OwnDatabase> {
        let place = self.databases.iter().position(|own| own.name == database)?;
        Some(self.databases.remove(place))
    }

    pub(super) fn has(&self, database: &str) -> bool {
        self.databases.iter().any(|own| own.is(database))
    }
}

impl World {
    /// `hybridSecondaryUsageDetected`: Passive where it is nothing but the secondary of its links
    /// and nobody works on it (mi-link 9).
    #[must_use]
    pub fn detected_usage(&self, instance: &str) -> Usage {
        let mut links =
            self.links.values().filter(|link| link.side_of(instance).is_some()).peekable();
        let idle = links.peek().is_some()
            && links.all(|link| link.member(Side::ManagedInstance).role == Role::Secondary)
            && self.instances.get(instance).is_some_and(|it| it.resource.databases.is_empty())
            && !self.workloads.values().any(|workload| workload.target == instance);
        if idle { Usage::Passive } else { Usage::Active }
    }

    /// What Azure's resource health says of an instance. It may lie.
    #[must_use]
    pub fn resource_health(&self, instance: &str) -> Option<String> {
        let found = self.instances.get(instance)?;
        let true_one = if !self.arm_sees(found) {
            "Unknown"
        } else if found.is_up() && found.setup().state == "Ready" {
            "Available"
        } else {
            "Unavailable"
        };
        Some(found.resource.said_health.clone().unwrap_or_else(|| true_one.to_owned()))
    }

    pub(super) fn take_change(
        &mut self,
        instance: &str,
        change: InstanceChange,
    ) -> Result<Taken, ArmError> {
        let found = self.ready(instance)?;
        if let (InstanceKind::ManagedInstance { update_policy, .. }, Some(wanted)) =
            (found.kind, change.policy)
        {
            forward_only(update_policy, wanted)?;
        }
        if self.azure.makings.values().any(|making| making.instance() == instance) {
            return Err(ArmError::new(
                400,
                "OperationCanNotStartDueToMiLink",
                "The operation cannot start because a database is being created through a link.",
            ));
        }
        if self.azure.jobs.busy(instance, Family::Instances, "") {
            return Err(ArmError::new(
                400,
                "ManagedInstanceUpdateSloInProgress",
                "The managed instance is being updated already. Wait until that has finished.",
            ));
        }
        Ok(self.begin_job(UPDATE, instance, "", Effect::ChangeInstance(change), Some(CHANGE)))
    }

    pub(super) fn change_instance(&mut self, instance: &str, change: &InstanceChange) {
        let Some(found) = self.instances.get_mut(instance) else { return };
        if let (InstanceKind::ManagedInstance { update_policy, .. }, Some(wanted)) =
            (&mut found.kind, change.policy)
        {
            *update_policy = wanted;
        }
        let change = change.clone();
        let resource = &mut found.resource;
        resource.base_price = change.base_price.unwrap_or(resource.base_price);
        resource.usage = change.usage.unwrap_or(resource.usage);
        resource.public_endpoint = change.public_endpoint.unwrap_or(resource.public_endpoint);
        resource.v_cores = change.v_cores.unwrap_or(resource.v_cores);
        resource.storage_gb = change.storage_gb.unwrap_or(resource.storage_gb);
        resource.proxy = change.proxy.unwrap_or_else(|| resource.proxy.clone());
        resource.tags = change.tags.unwrap_or_else(|| std::mem::take(&mut resource.tags));
        if change.policy.is_some() {
            self.format_changed(instance);
        }
        if change.policy.is_some() || change.v_cores.is_some() {
            // It ends with a failover to a node that is what was asked for; the instance is there.
            let _ = self.move_away(instance);
        }
    }

    pub(super) fn take_certificate(
        &mut self,
        instance: &str,
        name: String,
        blob: Vec<u8>,
        expiry: Timestamp,
    ) -> Result<Taken, ArmError> {
        let now = self.now;
        let known = &self.ready(instance)?.resource.certificates;
        if let Some(found) = known.get(&name) {
            // A second identical PUT changes nothing; another certificate under the same name is
            // refused, as Microsoft's list of errors has it.
            if found.blob.as_ref() == Some(&blob) {
                return Ok(self.begin_job(UPLOAD, instance, &name, Effect::Nothing, Some(SOON)));
            }
            let message = format!("A certificate with the name '{name}' already exists.");
            return Err(ArmError::new(409, "ServerTrustCertificateNameAlreadyExists", &message));
        }
        let certificate = TrustCertificate { blob: Some(blob), expiry, since: now };
        let effect = Effect::PutCertificate(certificate);
        Ok(self.begin_job(UPLOAD, instance, &name, effect, Some(SOON)))
    }

    pub(super) fn take_no_certificate(
        &mut self,
        instance: &str,
        name: &str,
    ) -> Result<Taken, ArmError> {
        if !self.ready(instance)?.resource.certificates.contains_key(name) {
            return Ok(self.nothing());
        }
        Ok(self.begin_job(REMOVE, instance, name, Effect::DropCertificate, Some(SOON)))
    }

    pub(super) fn take_no_database(
        &mut self,
        instance: &str,
        name: &str,
    ) -> Result<Taken, ArmError> {
        let found = self.ready(instance)?;
        let own = found.resource.has(name);
        let linked = self.links.values().any(|link| {
            link.arm.deleted.is_none()
                && link.side_of(instance).is_some()
                && link.databases().any(|database| database == name)
        });
        if linked {
            let message = format!("Database '{name}' is part of a link; delete the link first.");
            return Err(ArmError::new(409, "ConflictingDatabaseOperation", &message));
        }
        if !own {
            return Ok(self.nothing());
        }
        Ok(self.begin_job(DROP, instance, name, Effect::DropDatabase, Some(SOON)))
    }

    pub(super) fn drop_database(&mut self, instance: &str, name: &str) {
        // Of a link that was deleted, this is the last that the instance had.
        let ended = self.links.values_mut().filter(|link| link.arm.deleted.is_some());
        for link in ended.filter(|link| link.side_of(instance).is_some()) {
            if let Some(place) = link.place_on(Side::ManagedInstance, name) {
                link.member_mut(Side::ManagedInstance).copies[place].gone = true;
            }
        }
        if let Some(found) = self.instances.get_mut(instance) {
            found.resource.databases.retain(|own| !own.name.eq_ignore_ascii_case(name));
            found.backups.retain(|backup| !backup.database.eq_ignore_ascii_case(name));
        }
    }

    /// The managed instance, if it is in a state to be changed (mi-link 6.4).
    pub(in crate::world) fn ready(&self, instance: &str) -> Result<&Instance, ArmError> {
        let found = self.instances.get(instance);
        let Some(found) = found.filter(|found| found.side() == Side::ManagedInstance) else {
            let message = format!("The managed instance '{instance}' was not found.");
            return Err(ArmError::new(404, "ResourceNotFound", &message));
        };
        let state = found.setup().state.as_str();
        let (code, words) = match state {
            "Stopping" | "Stopped" => ("ManagedInstanceStoppingOrStopped", "stopped or stopping"),
            "Starting" => ("ManagedInstanceStarting", "starting"),
            "Updating" => ("ManagedInstanceUpdateSloInProgress", "being updated"),
            _ => return Ok(found),
        };
        let message = format!("The managed instance '{instance}' is {words}.");
        Err(ArmError::new(400, code, &message))
    }

    fn nothing(&mut self) -> Taken {
        Taken { operation: None, reply: self.take_reply(&super::Party::Arm) }
    }
}

/// The update policy only moves forward (mi-link 2.2).
fn forward_only(from: UpdatePolicy, to: UpdatePolicy) -> Result<(), ArmError> {
    let rank = |policy| match policy {
        UpdatePolicy::SQLServer2022 => 0,
        UpdatePolicy::SQLServer2025 => 1,
        UpdatePolicy::AlwaysUpToDate => 2,
    };
    if rank(to) >= rank(from) {
        return Ok(());
    }
    let code = if from == UpdatePolicy::AlwaysUpToDate {
        "ManagedInstanceUpdateSloFromVersionlessToVersionedNotAllowed"
    } else {
        "ManagedInstanceUpdateSloFromNewerToOlderVersionEditionNotAllowed"
    };
    let message = format!("The update policy cannot be changed from {from:?} to {to:?}.");
    Err(ArmError::new(400, code, &message))
}
