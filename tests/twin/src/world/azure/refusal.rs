//! Creations that are taken and then fail: what only Azure finds out on the way (mi-link 2.2, 6.4;
//! addendum 2.3 and 5).

use std::net::IpAddr;

use super::{LinkOrder, making::authority};
use crate::world::{ArmError, InstanceKind, Side, UpdatePolicy, World};

/// Databases on one managed instance.
const MOST_DATABASES: usize = 100;

impl World {
    /// Why a link cannot come to be.
    pub(super) fn cannot_be_made(&self, instance: &str, order: &LinkOrder) -> Option<ArmError> {
        self.name_in_use(instance, order)
            .or_else(|| self.too_many(instance, order))
            .or_else(|| self.unresolved(order))
            .or_else(|| self.other_format(instance, order))
    }

    fn name_in_use(&self, instance: &str, order: &LinkOrder) -> Option<ArmError> {
        let linked = |name: &str| self.linked_databases(instance).any(|other| other == name);
        let owned =
            |name: &str| self.instances.get(instance).is_some_and(|found| found.resource.has(name));
        let mut names = order.databases.iter();
        let taken = names.find(|name| linked(name) || (!order.from_instance && owned(name)))?;
        let message = format!("Database '{taken}' already exists. Choose a different name.");
        Some(ArmError::new(400, "ManagedDatabaseNameInUse", &message))
    }

    fn too_many(&self, instance: &str, order: &LinkOrder) -> Option<ArmError> {
        let own = self.instances.get(instance)?.resource.databases.len();
        let coming = if order.from_instance { 0 } else { order.databases.len() };
        let all = self.linked_databases(instance).count() + own + coming;
        let message = format!("The instance would have {all} databases; {MOST_DATABASES} it may.");
        let error = || ArmError::new(400, "DatabaseNumberLimitReached", &message);
        (all > MOST_DATABASES).then(error)
    }

    /// A name that nobody knows; an address is never asked for.
    fn unresolved(&self, order: &LinkOrder) -> Option<ArmError> {
        let wanted = authority(&order.partner_endpoint)?;
        let (host, _) = wanted.rsplit_once(':')?;
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let known = |endpoint: &String| endpoint.rsplit_once(':').is_some_and(|(at, _)| at == host);
        let mut endpoints = self.instances.values().filter_map(|found| found.endpoint.as_ref());
        if address || endpoints.any(known) {
            return None;
        }
        let message = format!("Unable to resolve the remote server '{host}'.");
        Some(ArmError::new(400, "UnableToResolveRemoteServer", &message))
    }

    /// Whether the two versions go together. The number in the words is the engine's; which code
    /// ARM gives for 41984 and 41988 is not known.
    fn other_format(&self, instance: &str, order: &LinkOrder) -> Option<ArmError> {
        let wanted = authority(&order.partner_endpoint)?;
        let mut all = self.instances.values();
        let partner = all.find(|it| it.side() == Side::SqlServer && it.answers_at(&wanted))?;
        let major: u32 = partner.product_version.split('.').next()?.parse().ok()?;
        let InstanceKind::ManagedInstance { update_policy, .. } =
            self.instances.get(instance)?.kind
        else {
            return None;
        };
        let same = match update_policy {
            UpdatePolicy::SQLServer2022 => major == 16,
            UpdatePolicy::SQLServer2025 => major == 17,
            UpdatePolicy::AlwaysUpToDate => false,
        };
        let engine = |message: &str| Some(ArmError::new(500, "InternalServerError", message));
        if !order.from_instance && major > 16 && update_policy == UpdatePolicy::SQLServer2022 {
            let message = "The database has a newer format than the managed instance takes.";
            let code = "ManagedInstanceRestoreToInstanceWithOlderVersionEdition";
            return Some(ArmError::new(400, code, message));
        }
        if order.from_instance && !same {
            return engine("41984: The database format of the managed instance is incompatible.");
        }
        if order.two_way == Some(true) && !same {
            return engine("41988: A two-way link needs the same database format on both sides.");
        }
        None
    }

    fn linked_databases<'a>(&'a self, instance: &'a str) -> impl Iterator<Item = &'a str> {
        let live = self.links.values().filter(|link| link.arm.deleted.is_none());
        live.filter(|link| link.side_of(instance).is_some()).flat_map(|link| link.databases())
    }
}
