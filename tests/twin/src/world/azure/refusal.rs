//! Creations that are taken and then fail: what only Azure finds out on the way (mi-link 2.2, 6.4;
//! addendum 2.3 and 5).

use std::net::IpAddr;

use super::{LinkOrder, making::authority};
use crate::world::{
    ArmError, Edition, InstanceKind, Side, Tier, UpdatePolicy, World,
    version::{FROM_INSTANCE, reads_back},
};

/// Databases on one managed instance, and on one of the next generation (mi-link 1).
const MOST_DATABASES: usize = 100;
const MOST_OF_NEXT_GENERATION: usize = 500;

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
        let most = match self.instances.get(instance)?.kind {
            InstanceKind::ManagedInstance { tier: Tier::NextGenGeneralPurpose, .. } => {
                MOST_OF_NEXT_GENERATION
            }
            InstanceKind::ManagedInstance { .. } | InstanceKind::SqlServer { .. } => MOST_DATABASES,
        };
        let message = format!("The instance would have {all} databases; {most} it may.");
        let error = || ArmError::new(400, "DatabaseNumberLimitReached", &message);
        (all > most).then(error)
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
        let sql = partner.build();
        let InstanceKind::ManagedInstance { update_policy, .. } =
            self.instances.get(instance)?.kind
        else {
            return None;
        };
        let same = reads_back(sql, update_policy);
        let engine = |message: &str| Some(ArmError::new(500, "InternalServerError", message));
        if !order.from_instance && sql.0[0] > 16 && update_policy == UpdatePolicy::SQLServer2022 {
            let message = "The database has a newer format than the managed instance takes.";
            let code = "ManagedInstanceRestoreToInstanceWithOlderVersionEdition";
            return Some(ArmError::new(400, code, message));
        }
        // The number for a build without what a link needs is not known (mi-link 2.1).
        if sql < sql.release().first_linkable {
            return engine("41986: The connection failed, or the secondary is not responsive.");
        }
        if order.several && !(sql.takes_several() && takes_groups(partner.kind)) {
            return engine("47502: The link takes one database only.");
        }
        if order.from_instance && (!same || sql < FROM_INSTANCE) {
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

/// Standard Edition has basic groups only, of one database each (mi-link 1.2).
fn takes_groups(kind: InstanceKind) -> bool {
    match kind {
        InstanceKind::SqlServer { edition, .. } => edition != Edition::Standard,
        InstanceKind::ManagedInstance { .. } => true,
    }
}
