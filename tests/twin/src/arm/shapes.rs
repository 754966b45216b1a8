//! Bodies, as recorded: what is absent is left out, never null; positions are decimal strings.

use jiff::{Timestamp, Unit};
use serde_json::{Map, Value, json};

use super::{Cloud, gate::written};
use crate::world::{
    ArmDatabase, ArmLink, Instance, InstanceKind, Operation, OperationStatus, Role, SyncHealth,
    Tier, UpdatePolicy,
};

const LINK_TYPE: &str = "Microsoft.Sql/managedInstances/distributedAvailabilityGroups";

/// The id of a managed instance.
pub(super) fn instance_id(cloud: &Cloud, instance: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Sql/managedInstances/{instance}",
        cloud.subscription, cloud.resource_group
    )
}

/// A link, as GET and list answer it (addendum 2.5, 2.7).
pub(super) fn link(cloud: &Cloud, instance: &str, link: &ArmLink) -> Value {
    let databases: Vec<Value> = link.databases.iter().map(database).collect();
    json!({
        "properties": {
            "distributedAvailabilityGroupName": link.name,
            "distributedAvailabilityGroupId": link.id,
            "replicationMode": "Async",
            "partnerLinkRole": role(link.partner_role),
            "partnerAvailabilityGroupName": link.partner_group,
            "partnerEndpoint": link.partner_endpoint,
            "instanceLinkRole": role(link.instance_role),
            "instanceAvailabilityGroupName": link.instance_group,
            "failoverMode": if link.two_way { "Manual" } else { "None" },
            "seedingMode": "Automatic",
            "databases": databases,
        },
        "id": link_id(cloud, instance, &link.name),
        "name": link.name,
        "type": LINK_TYPE,
    })
}

/// What the Location of a failover answers once it is done: new role, no databases, and a
/// `failoverMode` that is not true (addendum 2.4, 12.8).
pub(super) fn stub(cloud: &Cloud, instance: &str, link: &ArmLink) -> Value {
    json!({
        "properties": {
            "distributedAvailabilityGroupName": link.name,
            "instanceLinkRole": role(link.instance_role),
            "failoverMode": "None",
            "seedingMode": "Automatic",
        },
        "id": link_id(cloud, instance, &link.name),
        "name": link.name,
        "type": LINK_TYPE,
    })
}

/// A managed instance.
pub(super) fn instance(cloud: &Cloud, instance: &Instance) -> Value {
    let InstanceKind::ManagedInstance { tier, update_policy } = instance.kind else {
        return Value::Null;
    };
    let (sku, tier) = match tier {
        Tier::GeneralPurpose => ("GP_Gen5", "GeneralPurpose"),
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
    json!({
        "sku": { "name": sku, "tier": tier, "family": "Gen5", "capacity": 4 },
        "properties": {
            "provisioningState": "Succeeded",
            "fullyQualifiedDomainName": instance.server_name,
            "administratorLogin": "twin_admin",
            "subnetId": subnet,
            "state": instance.setup().state,
            "licenseType": "LicenseIncluded",
            "hybridSecondaryUsage": "Active",
            "vCores": 4,
            "storageSizeInGB": 32,
            "collation": instance.collation,
            "dnsZone": zone,
            "publicDataEndpointEnabled": false,
            "proxyOverride": "Redirect",
            "timezoneId": "UTC",
            "privateEndpointConnections": [],
            "minimalTlsVersion": "1.2",
            "currentBackupStorageRedundancy": "Geo",
            "requestedBackupStorageRedundancy": "Geo",
            "zoneRedundant": false,
            "databaseFormat": format,
        },
        "location": cloud.location,
        "tags": {},
        "id": instance_id(cloud, &instance.name),
        "name": instance.name,
        "type": "Microsoft.Sql/managedInstances",
    })
}

/// What the agent's role may do at the resource group (mi-link 6.5).
pub(super) fn permissions(denied: &[String]) -> Value {
    json!({
        "value": [{
            "actions": ["Microsoft.Sql/managedInstances/*", "Microsoft.Sql/locations/*/read"],
            "notActions": denied,
            "dataActions": [],
            "notDataActions": [],
        }],
    })
}

/// The body of a 202 (addendum 2.1).
pub(super) fn accepted(operation: &Operation) -> Value {
    json!({
        "operation": "DistributedAvailabilityGroupsLinkFailover",
        "startTime": written(operation.received),
    })
}

/// The body of a poll (addendum 2.3): always with HTTP 200, failed or not.
pub(super) fn poll(operation: &Operation) -> Value {
    let status = match &operation.status {
        OperationStatus::InProgress => "InProgress",
        OperationStatus::Succeeded => "Succeeded",
        OperationStatus::Failed { .. } => "Failed",
    };
    let mut body = json!({
        "name": operation.guid,
        "status": status,
        "startTime": written(operation.received),
    });
    if let OperationStatus::Failed { code, message } = &operation.status {
        body["error"] = json!({ "code": code, "message": message });
    }
    body
}

fn link_id(cloud: &Cloud, instance: &str, link: &str) -> String {
    format!("{}/distributedAvailabilityGroups/{link}", instance_id(cloud, instance))
}

fn database(db: &ArmDatabase) -> Value {
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
        put("lastBackupTime", json!(at.round(Unit::Second).unwrap_or(at)));
    }
    if let Some(error) = db.error {
        put("mostRecentLinkError", json!(error.to_string()));
    }
    // An empty object is what 2024's answers had: unknown, not expired.
    put("partnerAuthCertValidity", json!({}));
    put("instanceSendReplicationLagSeconds", json!(db.send_lag));
    put("instanceRedoReplicationLagSeconds", json!(db.redo_lag));
    Value::Object(body)
}

fn put_time(put: &mut impl FnMut(&str, Value) -> Option<Value>, name: &str, at: Option<Timestamp>) {
    if let Some(at) = at {
        put(name, json!(written(at)));
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Primary => "Primary",
        Role::Secondary | Role::Resolving => "Secondary",
    }
}
