//! Creations that are taken and then fail: what only Azure finds out on the way (mi-link 2.2, 6.4;
//! addendum 2.3 and 5).

use std::net::IpAddr;

use super::{LinkOrder, making::authority};
use crate::world::{
    ArmError, Edition, Instance, InstanceKind, Side, Tier, UpdatePolicy, World,
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
            .or_else(|| self.group_in_use(instance, order))
    }

    /// The number is 41987; several links may name the instance itself for a group, as older pages
    /// of Microsoft have it.
    fn group_in_use(&self, instance: &str, order: &LinkOrder) -> Option<ArmError> {
        let wanted = order.instance_group.as_str();
        let live = self.links.values().filter(|link| link.arm.deleted.is_none());
        let mut here = live.filter(|link| link.side_of(instance).is_some());
        let taken =
            here.any(|link| link.member(Side::ManagedInstance).group.eq_ignore_ascii_case(wanted));
        let message = format!("41987: The availability group '{wanted}' exists on the instance.");
        (taken && !wanted.eq_ignore_ascii_case(instance))
            .then(|| ArmError::new(500, "InternalServerError", &message))
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
        let found = self.instances.get(instance)?;
        let own = found.resource.databases.len();
        let coming = if order.from_instance { 0 } else { order.databases.len() };
        let all = self.linked_databases(instance).count() + own + coming;
        let most = most_databases(found);
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
        let pairing = Pairing {
            from_instance: order.from_instance,
            several: order.several,
            two_way: order.two_way,
        };
        let mismatch = pairing.mismatch(partner, self.instances.get(instance)?)?;
        Some(match mismatch.number {
            Some(number) => {
                let message = format!("{number}: {}", mismatch.words);
                ArmError::new(500, "InternalServerError", &message)
            }
            None => {
                let code = "ManagedInstanceRestoreToInstanceWithOlderVersionEdition";
                ArmError::new(400, code, mismatch.words)
            }
        })
    }

    fn linked_databases<'a>(&'a self, instance: &'a str) -> impl Iterator<Item = &'a str> {
        let live = self.links.values().filter(|link| link.arm.deleted.is_none());
        live.filter(|link| link.side_of(instance).is_some()).flat_map(|link| link.databases())
    }
}

/// What a link is to be, as far as versions and editions have a say in it.
#[derive(Clone, Copy, Debug)]
pub(in crate::world) struct Pairing {
    /// The managed instance begins as primary.
    pub(in crate::world) from_instance: bool,
    /// It takes several databases.
    pub(in crate::world) several: bool,
    /// Whether roles can be switched; `None` where nothing was said.
    pub(in crate::world) two_way: Option<bool>,
}

/// Why two servers do not go together.
#[derive(Clone, Copy, Debug)]
pub(in crate::world) struct Mismatch {
    /// The engine's number, if it is the engine that says so.
    number: Option<u32>,
    words: &'static str,
    /// What would be right.
    pub(in crate::world) remedy: &'static str,
}

impl Pairing {
    /// Why a SQL Server and a managed instance cannot have such a link (mi-link 1.2, 2.1, 2.2).
    pub(in crate::world) fn mismatch(self, sql: &Instance, other: &Instance) -> Option<Mismatch> {
        let InstanceKind::ManagedInstance { update_policy, .. } = other.kind else { return None };
        let build = sql.build();
        let same = reads_back(build, update_policy);
        let engine = |number, words, remedy| Some(Mismatch { number: Some(number), words, remedy });
        let newer = build.0[0] > 16 && update_policy == UpdatePolicy::SQLServer2022;
        if !self.from_instance && newer {
            return Some(Mismatch {
                number: None,
                words: "The database has a newer format than the managed instance takes.",
                remedy: "update_policy SQLServer2025 or AlwaysUpToDate would take it",
            });
        }
        // The number for a build without what a link needs is not known (mi-link 2.1).
        if build < build.release().first_linkable {
            let words = "The connection failed, or the secondary is not responsive.";
            return engine(41_986, words, "a newer build of SQL Server has what a link needs");
        }
        if self.several && !(build.takes_several() && takes_groups(sql.kind)) {
            let remedy = "several need Enterprise or Developer Edition of 2022 CU27 or 2025 CU9";
            return engine(47_502, "The link takes one database only.", remedy);
        }
        if self.from_instance && (!same || build < FROM_INSTANCE) {
            let words = "The database format of the managed instance is incompatible.";
            let remedy = "a managed instance as the first primary needs SQL Server 2022 CU10 or \
                          later and the update policy of its version";
            return engine(41_984, words, remedy);
        }
        if self.two_way == Some(true) && !same {
            let words = "A two-way link needs the same database format on both sides.";
            return engine(41_988, words, "the update policy of SQL Server's version would do");
        }
        None
    }
}

impl Mismatch {
    /// For whoever has described a world in which the two have a link.
    pub(in crate::world) fn told(&self, sql: &str) -> String {
        format!("with {sql:?} there can be no such link: {} {}", self.words, self.remedy)
    }
}

/// How many databases a managed instance may have.
pub(in crate::world) fn most_databases(instance: &Instance) -> usize {
    match instance.kind {
        InstanceKind::ManagedInstance { tier: Tier::NextGenGeneralPurpose, .. } => {
            MOST_OF_NEXT_GENERATION
        }
        InstanceKind::ManagedInstance { .. } | InstanceKind::SqlServer { .. } => MOST_DATABASES,
    }
}

/// Standard Edition has basic groups only, of one database each (mi-link 1.2).
fn takes_groups(kind: InstanceKind) -> bool {
    match kind {
        InstanceKind::SqlServer { edition, .. } => edition != Edition::Standard,
        InstanceKind::ManagedInstance { .. } => true,
    }
}
