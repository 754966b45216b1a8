//! What a path names, which provider answers for it, and what one must be allowed to do there.

use axum::http::{Method, StatusCode};

use super::{Cloud, errors::Problem};
use crate::world::Family;

/// What a path names, with the names as they were given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// `/metadata/endpoints`, open to everybody.
    Metadata,
    Subscription,
    Permissions(Option<String>),
    Health {
        instance: String,
        current: bool,
    },
    Instance(String),
    Links(String),
    Link(String, String),
    Failover(String, String),
    SetRole(String, String),
    Databases(String),
    Database(String, String),
    TrustCertificates(String),
    TrustCertificate(String, String),
    EndpointCertificates(String),
    EndpointCertificate(String, String),
    Aliases(String),
    Alias(String, String),
    Acquire(String, String),
    Operations(String),
    Operation(String, String),
    Cancel(String, String),
    Poll(Family, String),
    Result(Family, String),
}

/// Which provider's versions a path has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    Metadata,
    Resources,
    Authorization,
    Health,
    /// Links, in the shape that they have since 2023-08-01-preview.
    Links,
    /// Everything else of Microsoft.Sql.
    Sql,
}

/// api-versions of links (mi-link 6.5). Failover is on the wire since 2023-08-01-preview
/// (addendum 1.6); older shapes are not modelled.
const OF_LINKS: [&str; 8] = [
    "2023-08-01-preview",
    "2023-08-01",
    "2024-05-01-preview",
    "2024-11-01-preview",
    "2025-01-01",
    "2025-02-01-preview",
    "2025-08-01-preview",
    "2026-08-01-preview",
];

/// Those that the other types had before.
const BEFORE: [&str; 10] = [
    "2021-05-01-preview",
    "2021-08-01-preview",
    "2021-11-01-preview",
    "2021-11-01",
    "2022-02-01-preview",
    "2022-05-01-preview",
    "2022-08-01-preview",
    "2022-11-01-preview",
    "2023-02-01-preview",
    "2023-05-01-preview",
];

const OF_METADATA: [&str; 5] =
    ["2015-01-01", "2019-05-01", "2020-06-01", "2022-09-01", "2023-11-01"];
const OF_RESOURCES: [&str; 5] =
    ["2016-06-01", "2020-01-01", "2021-01-01", "2022-12-01", "2024-03-01"];
const OF_AUTHORIZATION: [&str; 3] = ["2015-07-01", "2018-07-01", "2022-04-01"];
const OF_HEALTH: [&str; 5] = ["2018-07-01", "2020-05-01", "2022-10-01", "2024-02-01", "2025-05-01"];

impl Provider {
    /// The versions that it knows.
    pub(super) fn versions(self) -> Vec<&'static str> {
        match self {
            Provider::Metadata => OF_METADATA.into(),
            Provider::Resources => OF_RESOURCES.into(),
            Provider::Authorization => OF_AUTHORIZATION.into(),
            Provider::Health => OF_HEALTH.into(),
            Provider::Links => OF_LINKS.into(),
            Provider::Sql => BEFORE.into_iter().chain(OF_LINKS).collect(),
        }
    }
}

impl Address {
    /// Names of segments are compared without regard to case, as ARM does.
    pub(super) fn find(cloud: &Cloud, path: &str) -> Result<Address, Problem> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let is = |place: usize, name: &str| {
            segments.get(place).is_some_and(|segment| segment.eq_ignore_ascii_case(name))
        };
        if segments.len() == 2 && is(0, "metadata") && is(1, "endpoints") {
            return Ok(Address::Metadata);
        }
        if let Some(subscription) = segments.get(1).filter(|_| is(0, "subscriptions")) {
            check_subscription(cloud, subscription)?;
            if segments.len() == 2 {
                return Ok(Address::Subscription);
            }
        }
        let in_group = is(0, "subscriptions") && is(2, "resourceGroups");
        if let Some(group) = segments.get(3).filter(|_| in_group) {
            check_group(cloud, group)?;
        }
        let provided = in_group && is(4, "providers");
        let permissions = provided && is(5, "Microsoft.Authorization") && is(6, "permissions");
        if permissions && segments.len() == 7 {
            return Ok(Address::Permissions(None));
        }
        // Of some types, operations are in no group (addendum 12.9).
        let placed = is(2, "providers") && is(3, "Microsoft.Sql") && is(4, "locations");
        if let Some([kind, id]) = segments.get(6..).filter(|_| placed)
            && let Some(found) = located(kind, (*id).to_owned())
        {
            return Ok(found);
        }
        let found = match segments.get(6..) {
            Some(below) if provided && is(5, "Microsoft.Sql") => in_sql(below),
            Some(_) | None => None,
        };
        found.ok_or_else(|| {
            let message = format!("The resource type could not be found for the path '{path}'.");
            Problem::new(StatusCode::NOT_FOUND, "InvalidResourceType", message).by_gateway()
        })
    }

    pub(super) fn provider(&self) -> Provider {
        match self {
            Address::Metadata => Provider::Metadata,
            Address::Subscription => Provider::Resources,
            Address::Permissions(_) => Provider::Authorization,
            Address::Health { .. } => Provider::Health,
            Address::Links(_)
            | Address::Link(..)
            | Address::Failover(..)
            | Address::SetRole(..)
            | Address::Poll(Family::Links, _)
            | Address::Result(Family::Links, _) => Provider::Links,
            Address::Instance(_)
            | Address::Databases(_)
            | Address::Database(..)
            | Address::TrustCertificates(_)
            | Address::TrustCertificate(..)
            | Address::EndpointCertificates(_)
            | Address::EndpointCertificate(..)
            | Address::Aliases(_)
            | Address::Alias(..)
            | Address::Acquire(..)
            | Address::Operations(_)
            | Address::Operation(..)
            | Address::Cancel(..)
            | Address::Poll(..)
            | Address::Result(..) => Provider::Sql,
        }
    }

    /// The resource type, as ARM's errors name it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Address::Metadata => "endpoints",
            Address::Subscription => "subscriptions",
            Address::Permissions(_) => "permissions",
            Address::Health { .. } => "availabilityStatuses",
            Address::Instance(_) => "managedInstances",
            Address::Links(_)
            | Address::Link(..)
            | Address::Failover(..)
            | Address::SetRole(..) => "managedInstances/distributedAvailabilityGroups",
            Address::Databases(_) | Address::Database(..) => "managedInstances/databases",
            Address::TrustCertificates(_) | Address::TrustCertificate(..) => {
                "managedInstances/serverTrustCertificates"
            }
            Address::EndpointCertificates(_) | Address::EndpointCertificate(..) => {
                "managedInstances/endpointCertificates"
            }
            Address::Aliases(_) | Address::Alias(..) | Address::Acquire(..) => {
                "managedInstances/dnsAliases"
            }
            Address::Operations(_) | Address::Operation(..) | Address::Cancel(..) => {
                "managedInstances/operations"
            }
            Address::Poll(..) | Address::Result(..) => "locations",
        }
    }

    /// What one must be allowed to do; `None`: anybody with a token may.
    pub(super) fn action(&self, method: &Method) -> Option<String> {
        let verb = match *method {
            Method::PUT | Method::PATCH => "write",
            Method::DELETE => "delete",
            _ => "read",
        };
        let below = match self {
            Address::Metadata | Address::Subscription | Address::Permissions(_) => return None,
            Address::Health { .. } => {
                return Some("Microsoft.ResourceHealth/availabilityStatuses/read".to_owned());
            }
            Address::Poll(family, _) => {
                return Some(format!("Microsoft.Sql/locations/{}/read", poll_type(*family)));
            }
            Address::Result(family, _) => {
                return Some(format!("Microsoft.Sql/locations/{}/read", result_type(*family)));
            }
            Address::Failover(..) => "distributedAvailabilityGroups/failover/action".to_owned(),
            Address::SetRole(..) => "distributedAvailabilityGroups/setRole/action".to_owned(),
            Address::Cancel(..) => "operations/cancel/action".to_owned(),
            Address::Acquire(..) => "dnsAliases/acquire/action".to_owned(),
            Address::Instance(_) => verb.to_owned(),
            Address::Links(_)
            | Address::Link(..)
            | Address::Databases(_)
            | Address::Database(..)
            | Address::TrustCertificates(_)
            | Address::TrustCertificate(..)
            | Address::EndpointCertificates(_)
            | Address::EndpointCertificate(..)
            | Address::Aliases(_)
            | Address::Alias(..)
            | Address::Operations(_)
            | Address::Operation(..) => {
                let name = self.type_name().trim_start_matches("managedInstances/");
                format!("{name}/{verb}")
            }
        };
        Some(format!("Microsoft.Sql/managedInstances/{below}"))
    }
}

/// The resource type of `Azure-AsyncOperation`.
pub(super) fn poll_type(family: Family) -> &'static str {
    match family {
        Family::Links => "distributedAvailabilityGroupsAzureAsyncOperation",
        Family::TrustCertificates => "serverTrustCertificatesAzureAsyncOperation",
        Family::Instances => "managedInstanceAzureAsyncOperation",
        Family::Databases => "managedDatabaseAzureAsyncOperation",
        Family::Aliases => "managedDnsAliasAsyncOperation",
    }
}

/// The resource type of `Location`.
pub(super) fn result_type(family: Family) -> &'static str {
    match family {
        Family::Links => "distributedAvailabilityGroupsOperationResults",
        Family::TrustCertificates => "serverTrustCertificatesOperationResults",
        Family::Instances => "managedInstanceOperationResults",
        Family::Databases => "managedDatabaseOperationResults",
        Family::Aliases => "managedDnsAliasOperationResults",
    }
}

fn check_subscription(cloud: &Cloud, subscription: &str) -> Result<(), Problem> {
    if subscription.eq_ignore_ascii_case(&cloud.subscription) {
        return Ok(());
    }
    let message = format!("The subscription '{subscription}' could not be found.");
    Err(Problem::new(StatusCode::NOT_FOUND, "SubscriptionNotFound", message).by_gateway())
}

fn check_group(cloud: &Cloud, group: &str) -> Result<(), Problem> {
    if group.eq_ignore_ascii_case(&cloud.resource_group) {
        return Ok(());
    }
    let message = format!("Resource group '{group}' could not be found.");
    Err(Problem::new(StatusCode::NOT_FOUND, "ResourceGroupNotFound", message).by_gateway())
}

/// What the segments after `providers/Microsoft.Sql` name.
fn in_sql(below: &[&str]) -> Option<Address> {
    let lower: Vec<String> = below.iter().map(|segment| segment.to_lowercase()).collect();
    let words: Vec<&str> = lower.iter().map(String::as_str).collect();
    let own = |place: usize| below.get(place).map(|name| (*name).to_owned()).unwrap_or_default();
    let instance = || own(1);
    Some(match words.as_slice() {
        ["locations", _, kind, _] => located(kind, own(3))?,
        ["managedinstances", _] => Address::Instance(instance()),
        ["managedinstances", _, "providers", "microsoft.authorization", "permissions"] => {
            Address::Permissions(Some(instance()))
        }
        [
            "managedinstances",
            _,
            "providers",
            "microsoft.resourcehealth",
            "availabilitystatuses",
        ] => Address::Health { instance: instance(), current: false },
        [
            "managedinstances",
            _,
            "providers",
            "microsoft.resourcehealth",
            "availabilitystatuses",
            "current",
        ] => Address::Health { instance: instance(), current: true },
        ["managedinstances", _, kind] => match *kind {
            "distributedavailabilitygroups" => Address::Links(instance()),
            "databases" => Address::Databases(instance()),
            "servertrustcertificates" => Address::TrustCertificates(instance()),
            "endpointcertificates" => Address::EndpointCertificates(instance()),
            "operations" => Address::Operations(instance()),
            "dnsaliases" => Address::Aliases(instance()),
            _ => return None,
        },
        ["managedinstances", _, kind, _] => match *kind {
            "distributedavailabilitygroups" => Address::Link(instance(), own(3)),
            "databases" => Address::Database(instance(), own(3)),
            "servertrustcertificates" => Address::TrustCertificate(instance(), own(3)),
            "endpointcertificates" => Address::EndpointCertificate(instance(), own(3)),
            "operations" => Address::Operation(instance(), own(3)),
            "dnsaliases" => Address::Alias(instance(), own(3)),
            _ => return None,
        },
        ["managedinstances", _, "distributedavailabilitygroups", _, "failover"] => {
            Address::Failover(instance(), own(3))
        }
        ["managedinstances", _, "distributedavailabilitygroups", _, "setrole"] => {
            Address::SetRole(instance(), own(3))
        }
        ["managedinstances", _, "dnsaliases", _, "acquire"] => Address::Acquire(instance(), own(3)),
        ["managedinstances", _, "operations", _, "cancel"] => Address::Cancel(instance(), own(3)),
        _ => return None,
    })
}

fn located(kind: &str, id: String) -> Option<Address> {
    const FAMILIES: [Family; 5] = [
        Family::Links,
        Family::TrustCertificates,
        Family::Instances,
        Family::Databases,
        Family::Aliases,
    ];
    FAMILIES.into_iter().find_map(|family| {
        if poll_type(family).eq_ignore_ascii_case(kind) {
            return Some(Address::Poll(family, id.clone()));
        }
        result_type(family).eq_ignore_ascii_case(kind).then(|| Address::Result(family, id.clone()))
    })
}
