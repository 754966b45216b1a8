//! Bodies, as recorded: what is absent is left out, never null; positions are decimal strings.

use jiff::{Timestamp, Unit};
use serde_json::{Map, Value, json};

use super::{Cloud, gate::written};
use crate::world::{
    ArmDatabase, ArmLink, AzureDatabase, AzureJob, AzureLink, AzureOperation, DatabaseState, Guid,
    Instance, InstanceKind, JobStatus, LinkOrder, Role, Side, SyncHealth, Tier, UpdatePolicy,
    Usage, World,
};

/// The first versions with `databaseFormat` and `hybridSecondaryUsage`, with what was detected of
/// the latter, with `linkMode`, and with the newest error of a link (addendum 2.5, 2.8; of the
/// second only that 2023-05-01-preview lacks it is known).
const FORMAT_SINCE: &str = "2023-05-01-preview";
const DETECTED_SINCE: &str = "2023-08-01";
const MODE_SINCE: &str = "2025-08-01-preview";
const ERRORS_SINCE: &str = "2026-08-01-preview";

const LINK_TYPE: &str = "Microsoft.Sql/managedInstances/distributedAvailabilityGroups";

/// The id of a managed instance.
pub(super) fn instance_id(cloud: &Cloud, instance: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Sql/managedInstances/{instance}",
        cloud.subscription, cloud.resource_group
    )
}

/// A link, as GET and list answer it (addendum 2.5, 2.7, 12.6).
pub(super) fn azure_link(cloud: &Cloud, instance: &str, link: &AzureLink, version: &str) -> Value {
    let (name, mut properties, several) = match link {
        AzureLink::Made { link, several, synchronous, changed, certificate } => {
            let mut properties = made(link, *several, *synchronous);
            let certificate = certificate.as_ref().map_or_else(
                || json!({}),
                |(name, expiry)| json!({ "certificateName": name, "expiryDate": seconds(*expiry) }),
            );
            let databases = link.databases.iter().map(|db| database(db, &certificate));
            properties["databases"] = databases.collect();
            if version >= ERRORS_SINCE
                && let Some(number) = link.databases.iter().find_map(|database| database.error)
            {
                properties["mostRecentError"] = json!(number.to_string());
                properties["mostRecentErrorTime"] = json!(written(*changed));
                properties["mostRecentErrorMessage"] = json!(match number {
                    41_976 => "The availability group is not responding.",
                    _ => "The database is not responding.",
                });
            }
            (&link.name, properties, *several)
        }
        AzureLink::Making { order, id, databases } => {
            (&order.name, making(order, *id, databases.as_deref()), order.several)
        }
    };
    if version >= MODE_SINCE {
        let mode = if several { "MultiDatabase" } else { "SingleDatabase" };
        properties["linkMode"] = json!(mode);
    }
    json!({
        "properties": properties,
        "id": link_id(cloud, instance, name),
        "name": name,
        "type": LINK_TYPE,
    })
}

/// What the Location of a failover answers once it is done: new role, no databases, and a
/// `failoverMode` that is not true (addendum 2.4, 12.8).
pub(super) fn stub(cloud: &Cloud, instance: &str, link: &AzureLink) -> Value {
    let (name, primary) = match link {
        AzureLink::Made { link, .. } => (&link.name, link.instance_role == Role::Primary),
        AzureLink::Making { order, .. } => (&order.name, order.from_instance),
    };
    json!({
        "properties": {
            "distributedAvailabilityGroupName": name,
            "instanceLinkRole": if primary { "Primary" } else { "Secondary" },
            "failoverMode": "None",
            "seedingMode": "Automatic",
        },
        "id": link_id(cloud, instance, name),
        "name": name,
        "type": LINK_TYPE,
    })
}

/// What the Location of a deletion answers: a stub without a name (addendum 2.4).
pub(super) fn deleted(cloud: &Cloud) -> Value {
    json!({ "id": instance_id(cloud, ""), "type": LINK_TYPE })
}

/// The databases of a managed instance: those of its links, and its own.
pub(super) fn databases(cloud: &Cloud, world: &World, instance: &Instance) -> Vec<Value> {
    let one = |name: &str, status: &str, created: Timestamp| {
        let id = format!("{}/databases/{name}", instance_id(cloud, &instance.name));
        json!({
            "properties": {
                "collation": instance.collation,
                "status": status,
                "creationDate": written(created),
                "defaultSecondaryLocation": cloud.location,
            },
            "location": cloud.location,
            "id": id,
            "name": name,
            "type": "Microsoft.Sql/managedInstances/databases",
        })
    };
    let states = world.databases(&instance.name);
    let status = |name: &str| {
        let found = states.iter().find(|database| database.name == name);
        match found.map_or(DatabaseState::Online, |database| database.state) {
            DatabaseState::RecoveryPending | DatabaseState::Suspect => "Inaccessible",
            DatabaseState::Restoring => "Restoring",
            DatabaseState::Offline => "Offline",
            DatabaseState::Online | DatabaseState::Recovering => "Online",
        }
    };
    let mut all = Vec::new();
    for link in world.azure_links(&instance.name) {
        match &link {
            AzureLink::Made { link, .. } => {
                let created = world.link_created(&instance.name, &link.name);
                let of_link = link.databases.iter();
                all.extend(of_link.map(|db| one(&db.name, status(&db.name), created)));
            }
            AzureLink::Making { order, databases, .. } if !order.from_instance => {
                let seeded = databases.iter().flatten();
                all.extend(seeded.map(|db| one(&db.name, "Restoring", world.now())));
            }
            AzureLink::Making { .. } => {}
        }
    }
    let own = instance.resource().databases.iter();
    all.extend(own.map(|own| one(&own.name, status(&own.name), own.created)));
    all
}

/// An entry in the list of an instance's operations (mi-link 6.5).
pub(super) fn instance_operation(cloud: &Cloud, job: &AzureJob) -> Value {
    let state = match &job.status {
        JobStatus::InProgress => "InProgress",
        JobStatus::Succeeded => "Succeeded",
        JobStatus::Failed { .. } => "Failed",
        JobStatus::Canceled => "Cancelled",
    };
    let id = format!("{}/operations/{}", instance_id(cloud, &job.instance), job.guid);
    let mut properties = json!({
        "managedInstanceName": job.instance,
        "operation": job.name,
        "operationFriendlyName": "UPDATE MANAGED SERVER",
        "percentComplete": if state == "InProgress" { 0 } else { 100 },
        "startTime": written(job.received),
        "state": state,
        "isCancellable": job.is_cancellable(),
    });
    if let JobStatus::Failed { message, .. } = &job.status {
        properties["errorDescription"] = json!(message);
    }
    json!({
        "properties": properties,
        "id": id,
        "name": job.guid,
        "type": "Microsoft.Sql/managedInstances/operations",
    })
}

/// A managed instance.
pub(super) fn instance(
    cloud: &Cloud,
    instance: &Instance,
    detected: Usage,
    version: &str,
) -> Value {
    let InstanceKind::ManagedInstance { tier, update_policy } = instance.kind else {
        return Value::Null;
    };
    let resource = instance.resource();
    let (sku, tier) = match tier {
        Tier::GeneralPurpose | Tier::NextGenGeneralPurpose => ("GP_Gen5", "GeneralPurpose"),
        Tier::BusinessCritical => ("BC_Gen5", "BusinessCritical"),
    };
    let format = match update_policy {
        UpdatePolicy::SQLServer2022 => "SQLServer2022",
        UpdatePolicy::SQLServer2025 => "SQLServer2025",
        UpdatePolicy::AlwaysUpToDate => "AlwaysUpToDate",
    };
    let zone = instance.server_name.split('.').nth(1).unwrap_or_default();
    let subnet = format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Network/virtualNetworks/vnet-dr\
         /subnets/ManagedInstance",
        cloud.subscription, cloud.resource_group
    );
    let maintenance = format!(
        "/subscriptions/{}/providers/Microsoft.Maintenance/publicMaintenanceConfigurations\
         /SQL_Default",
        cloud.subscription
    );
    let mut properties = json!({
        "provisioningState": "Succeeded",
        "fullyQualifiedDomainName": instance.server_name,
        "administratorLogin": "twin_admin",
        "subnetId": subnet,
        "state": instance.setup().state,
        "licenseType": if resource.base_price { "BasePrice" } else { "LicenseIncluded" },
        "vCores": resource.v_cores,
        "storageSizeInGB": resource.storage_gb,
        "collation": instance.collation,
        "dnsZone": zone,
        "publicDataEndpointEnabled": resource.public_endpoint,
        "proxyOverride": resource.proxy,
        "timezoneId": "UTC",
        "maintenanceConfigurationId": maintenance,
        "privateEndpointConnections": [],
        "currentBackupStorageRedundancy": "Geo",
        "requestedBackupStorageRedundancy": "Geo",
        "zoneRedundant": false,
    });
    if version >= FORMAT_SINCE {
        properties["databaseFormat"] = json!(format);
        properties["hybridSecondaryUsage"] = json!(resource.usage);
    }
    if instance_is_next_generation(instance) && version >= DETECTED_SINCE {
        properties["isGeneralPurposeV2"] = json!(true);
    }
    if version >= DETECTED_SINCE {
        properties["hybridSecondaryUsageDetected"] = json!(detected);
    }
    json!({
        "sku": { "name": sku, "tier": tier, "family": "Gen5", "capacity": resource.v_cores },
        "properties": properties,
        "location": cloud.location,
        "tags": resource.tags,
        "id": instance_id(cloud, &instance.name),
        "name": instance.name,
        "type": "Microsoft.Sql/managedInstances",
    })
}

fn instance_is_next_generation(instance: &Instance) -> bool {
    let InstanceKind::ManagedInstance { tier, .. } = instance.kind else { return false };
    tier == Tier::NextGenGeneralPurpose
}

/// The body of a 202 (addendum 2.1).
pub(super) fn accepted(operation: &AzureOperation) -> Value {
    json!({
        "operation": operation.name,
        "startTime": written(operation.received),
    })
}

/// The body of a poll (addendum 2.3): always with HTTP 200, failed or not.
pub(super) fn poll(operation: &AzureOperation) -> Value {
    let status = match &operation.status {
        JobStatus::InProgress => "InProgress",
        JobStatus::Succeeded => "Succeeded",
        JobStatus::Failed { .. } => "Failed",
        JobStatus::Canceled => "Canceled",
    };
    let mut body = json!({
        "name": operation.guid,
        "status": status,
        "startTime": written(operation.received),
    });
    if let JobStatus::Failed { code, message } = &operation.status {
        body["error"] = json!({ "code": code, "message": message });
    }
    body
}

fn link_id(cloud: &Cloud, instance: &str, link: &str) -> String {
    format!("{}/distributedAvailabilityGroups/{link}", instance_id(cloud, instance))
}

fn made(link: &ArmLink, several: bool, synchronous: bool) -> Value {
    let mut properties = json!({
        "distributedAvailabilityGroupName": link.name,
        "distributedAvailabilityGroupId": link.id,
        "replicationMode": if synchronous { "Sync" } else { "Async" },
        "partnerLinkRole": role(link.partner_role),
        "partnerAvailabilityGroupName": link.partner_group,
        "partnerEndpoint": link.partner_endpoint,
        "instanceLinkRole": role(link.instance_role),
        "instanceAvailabilityGroupName": link.instance_group,
        "seedingMode": "Automatic",
    });
    // A link with several databases never says None (addendum 12.6).
    if link.two_way || !several {
        properties["failoverMode"] = json!(if link.two_way { "Manual" } else { "None" });
    }
    properties
}

fn making(order: &LinkOrder, id: Guid, databases: Option<&[AzureDatabase]>) -> Value {
    let (own, other) = if order.from_instance {
        (Side::ManagedInstance, "Secondary")
    } else {
        (Side::SqlServer, "Primary")
    };
    let mut properties = json!({
        "distributedAvailabilityGroupName": order.name,
        "distributedAvailabilityGroupId": id,
        "partnerLinkRole": other,
        "partnerAvailabilityGroupName": order.partner_group,
        "instanceLinkRole": if own == Side::ManagedInstance { "Primary" } else { "Secondary" },
        "instanceAvailabilityGroupName": order.instance_group,
        "seedingMode": if order.automatic { "Automatic" } else { "Manual" },
    });
    let Some(databases) = databases else { return properties };
    properties["replicationMode"] = json!("Async");
    properties["partnerEndpoint"] = json!(order.partner_endpoint);
    if order.two_way.unwrap_or(order.from_instance) {
        properties["failoverMode"] = json!("Manual");
    }
    let one = |db: &AzureDatabase| {
        let mut body = json!({
            "databaseName": db.name,
            "instanceReplicaId": db.instance_replica,
            "partnerReplicaId": db.partner_replica,
            "replicaState": db.replica_state,
            "partnerAuthCertValidity": {},
        });
        if let Some(percent) = db.progress {
            body["seedingProgress"] = json!(format!("{percent}%"));
        }
        if let Some(error) = db.error {
            body["mostRecentLinkError"] = json!(error.to_string());
        }
        body
    };
    properties["databases"] = databases.iter().map(one).collect();
    properties
}

fn database(db: &ArmDatabase, certificate: &Value) -> Value {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    put("databaseName", json!(db.name));
    put("instanceReplicaId", json!(db.instance_replica));
    put("partnerReplicaId", json!(db.partner_replica));
    put("replicaState", json!(db.replica_state));
    let health = match db.health {
        SyncHealth::Healthy => "HEALTHY",
        SyncHealth::PartiallyHealthy => "PARTIALLY_HEALTHY",
        SyncHealth::NotHealthy => "NOT_HEALTHY",
    };
    put("synchronizationHealth", json!(health));
    put("connectedState", json!(if db.connected { "CONNECTED" } else { "DISCONNECTED" }));
    let moved = if db.primary { "lastSent" } else { "lastReceived" };
    put(&format!("{moved}Lsn"), json!(db.moved_lsn));
    put_time(&mut put, &format!("{moved}Time"), db.moved_time);
    put("lastCommitLsn", json!(db.commit_lsn));
    put_time(&mut put, "lastCommitTime", db.commit_time);
    put("lastHardenedLsn", json!(db.hardened_lsn));
    put_time(&mut put, "lastHardenedTime", db.hardened_time);
    if let Some((lsn, at)) = db.backup {
        put("lastBackupLsn", json!(lsn));
        put("lastBackupTime", seconds(at));
    }
    if let Some(error) = db.error {
        put("mostRecentLinkError", json!(error.to_string()));
    }
    // Empty until the autumn of 2024: unknown, not expired (addendum 2.5).
    put("partnerAuthCertValidity", certificate.clone());
    put("instanceSendReplicationLagSeconds", json!(db.send_lag));
    put("instanceRedoReplicationLagSeconds", json!(db.redo_lag));
    Value::Object(body)
}

fn put_time(put: &mut impl FnMut(&str, Value) -> Option<Value>, name: &str, at: Option<Timestamp>) {
    if let Some(at) = at {
        put(name, json!(written(at)));
    }
}

fn seconds(at: Timestamp) -> Value {
    json!(at.round(Unit::Second).unwrap_or(at))
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Primary => "Primary",
        Role::Secondary | Role::Resolving => "Secondary",
    }
}
