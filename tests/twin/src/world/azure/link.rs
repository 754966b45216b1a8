//! Links as resources: what is asked of them, and their end.

use jiff::SignedDuration;

use super::{
    Taken,
    job::{Effect, Family, JobStatus},
    making::Making,
};
use crate::world::{
    ArmError, Link, OperationId, OwnDatabase, Role, Side, World, contact, failover,
};

/// Until a job that has nothing to do, or only the metadata of a link, has ended.
pub(super) const SOON: SignedDuration = SignedDuration::from_secs(2);
/// Deletion was seen to take up to 15 s, 23 s with several databases (addendum 2.9).
const DELETION: SignedDuration = SignedDuration::from_secs(10);
const DELETION_OF_SEVERAL: SignedDuration = SignedDuration::from_secs(20);
/// Adding a database was seen to take 55 s, removing two 23 s (addendum 12.7).
const UPDATE: SignedDuration = SignedDuration::from_secs(20);

/// `operation` in the body of a 202 (addendum 2.1, 12.7).
const CREATE: &str = "DistributedAvailabilityGroupsLinkCreate";
const CREATE_FROM_INSTANCE: &str = "DistributedAvailabilityGroupsLinkCreateFromMI";
const CREATE_SEVERAL: &str = "CreateManagedFailoverGroup";
const DELETE: &str = "DistributedAvailabilityGroupsDropLink";
const DELETE_SEVERAL: &str = "DropManagedFailoverGroup";
const UPDATE_SEVERAL: &str = "UpdateManagedFailoverGroup";
/// Nobody has recorded what a change of the replication mode is called.
const UPDATE_ONE: &str = "DistributedAvailabilityGroupsLinkUpdate";

/// What the body of a PUT says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkOrder {
    /// The link.
    pub name: String,
    /// The databases.
    pub databases: Vec<String>,
    /// `instanceLinkRole` is Primary.
    pub from_instance: bool,
    /// `instanceAvailabilityGroupName`
    pub instance_group: String,
    /// `partnerAvailabilityGroupName`
    pub partner_group: String,
    /// `partnerEndpoint`
    pub partner_endpoint: String,
    /// `failoverMode` is Manual; `None` where nothing was said.
    pub two_way: Option<bool>,
    /// `seedingMode` is Automatic.
    pub automatic: bool,
    /// `linkMode` is MultiDatabase.
    pub several: bool,
}

/// What the body of a PATCH says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkPatch {
    /// `replicationMode` is Sync.
    pub synchronous: Option<bool>,
    /// `databases`, the whole list.
    pub databases: Option<Vec<String>>,
}

impl World {
    pub(super) fn take_creation(
        &mut self,
        instance: &str,
        order: LinkOrder,
    ) -> Result<Taken, ArmError> {
        self.ready(instance)?;
        self.conflicts(instance, &order.name)?;
        let name = order.name.clone();
        let key = self.azure_key(instance, &name);
        let kind = (Family::Links, creation(&order));
        // A second PUT changes nothing (addendum 12.2).
        if self.live_link(instance, &name).is_some() || self.azure.makings.contains_key(&key) {
            let after = SignedDuration::ZERO;
            return Ok(self.begin_job(kind, instance, &name, Effect::Nothing, Some(after)));
        }
        if let Some(error) = self.cannot_be_made(instance, &order) {
            let after = SignedDuration::from_secs(12);
            return Ok(self.begin_job(kind, instance, &name, Effect::Fail(error), Some(after)));
        }
        let taken = self.begin_job(kind, instance, &name, Effect::MakeLink, None);
        if let Some(job) = taken.operation {
            let making = Making::new(instance, order, job, self);
            self.azure.makings.insert(key, making);
        }
        Ok(taken)
    }

    pub(super) fn take_update(
        &mut self,
        instance: &str,
        link: &str,
        patch: LinkPatch,
    ) -> Result<Taken, ArmError> {
        self.ready(instance)?;
        let found = self.live_link(instance, link);
        let found = found.ok_or_else(|| ArmError::link_not_found(link))?;
        let several = found.arm.several;
        if several && patch.databases.as_ref().is_none_or(Vec::is_empty) {
            return Err(ArmError::new(
                400,
                "InvalidMultiDbDistributedAvailabilityGroupDatabasesRequest",
                "The list of databases of a multi-database link is missing or empty.",
            ));
        }
        let known: Vec<&str> = found.databases().collect();
        let wanted = patch.databases.iter().flatten();
        let strange = |name: &&String| !known.iter().any(|it| it.eq_ignore_ascii_case(name));
        let fresh: Vec<String> = wanted.filter(strange).cloned().collect();
        let primary = found.member(Side::ManagedInstance).role == Role::Primary;
        let own = &self.ready(instance)?.resource;
        if let Some(new) = fresh.iter().find(|name| !several || !primary || !own.has(name)) {
            let message = format!(
                "Database '{new}' cannot be added: only a multi-database link whose primary is the \
                 managed instance takes databases of that instance."
            );
            let code = "InvalidMultiDbDistributedAvailabilityGroupDatabasesRequest";
            return Err(ArmError::new(400, code, &message));
        }
        self.conflicts(instance, link)?;
        let key = self.azure_key(instance, link);
        for name in fresh {
            self.begin_joining(&key, &name);
        }
        let (name, after) = if several { (UPDATE_SEVERAL, UPDATE) } else { (UPDATE_ONE, SOON) };
        let effect = Effect::ChangeLink(patch);
        Ok(self.begin_job((Family::Links, name), instance, link, effect, Some(after)))
    }

    /// A link that does not exist is deleted like one that does, and only the poll says so
    /// (addendum 12.1).
    pub(super) fn take_deletion(&mut self, instance: &str, link: &str) -> Result<Taken, ArmError> {
        self.ready(instance)?;
        self.conflicts_with_failover(instance, link)?;
        let found = self.live_link(instance, link);
        let making = self.azure.makings.get(&self.azure_key(instance, link));
        let several = found.map(|found| found.arm.several).or(making.map(Making::several));
        let Some(several) = several else {
            let message = "The operation id was not found: there is no such link.";
            let effect = Effect::Fail(ArmError::new(404, "OperationIdNotFound", message));
            let after = Some(SignedDuration::ZERO);
            return Ok(self.begin_job((Family::Links, DELETE), instance, link, effect, after));
        };
        let (name, after) =
            if several { (DELETE_SEVERAL, DELETION_OF_SEVERAL) } else { (DELETE, DELETION) };
        Ok(self.begin_job((Family::Links, name), instance, link, Effect::DropLink, Some(after)))
    }

    pub(super) fn change_link(&mut self, instance: &str, link: &str, patch: &LinkPatch) {
        let link = self.azure_key(instance, link);
        let link = link.as_str();
        let Some(found) = self.links.get_mut(link) else { return };
        if let Some(synchronous) = patch.synchronous {
            found.set_commit_mode(Side::ManagedInstance, [synchronous; 2]);
        }
        // A database that is left out of the list leaves the link.
        let Some(wanted) = &patch.databases else { return };
        let left: Vec<String> = found
            .databases()
            .filter(|name| !wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)))
            .map(str::to_owned)
            .collect();
        for name in left.iter().take(left.len().min(found.databases.len() - 1)) {
            self.part_with(link, name);
        }
    }

    /// The end of a link on the managed instance: its databases go on there as databases of their
    /// own, writable; SQL Server keeps its group until somebody drops it (mi-link 3.4).
    pub(super) fn drop_link(&mut self, instance: &str, link: &str) -> Result<(), ArmError> {
        let link = self.azure_key(instance, link);
        let link = link.as_str();
        if let Some(making) = self.azure.makings.remove(link) {
            self.azure.jobs.end(making.job(), JobStatus::Canceled);
            return Ok(());
        }
        let now = self.now;
        let sees = self.instances.get(instance).is_some_and(|found| self.arm_sees(found));
        let Some(found) = self.links.get_mut(link) else { return Ok(()) };
        if !sees {
            let message = "The operation timed out and automatically rolled back. Please retry.";
            return Err(ArmError::new(500, "OperationTimedOut", message));
        }
        let side = Side::ManagedInstance;
        let (role, changed) = (found.member(side).role, found.member(side).changed);
        let backed_up = self
            .instances
            .get(instance)
            .is_some_and(|it| found.databases().all(|name| it.has_full_backup(name, changed, now)));
        contact::disconnect(found, side, &self.instances, &self.faults, now);
        // The other side learns of it by the end of the connection, or by silence.
        if role != Role::Primary {
            found.rightful = side;
        }
        let member = found.member_mut(side);
        (member.lifted, member.draining, member.hands_over) = (false, false, None);
        member.set_role(Role::Primary, now);
        failover::open_databases(found, side);
        found.arm.deleted = Some(now);
        found.arm.trouble = None;
        found.arm.harmed = role == Role::Primary && changed > found.created && !backed_up;
        let cut_over =
            (role != Role::Primary).then(|| failover::backups_after_failover(found, now));
        let harmed = found.arm.harmed;
        let copies = found.member(side).copies.iter().map(|copy| copy.database_id);
        let ids: Vec<u32> = copies.collect();
        let names: Vec<String> = found.databases().map(str::to_owned).collect();
        if let Some(instance) = self.instances.get_mut(instance) {
            if harmed {
                // What the engine still meant to back up for the link it does not any more.
                let linked = |name: &String| names.contains(name);
                instance.backups.retain(|it| it.finish <= now || !linked(&it.database));
            }
            instance.backups.extend(cut_over.into_iter().flatten());
            let named = names.into_iter().zip(ids);
            let own =
                named.map(|(name, database_id)| OwnDatabase { name, created: now, database_id });
            instance.resource.databases.extend(own);
        }
        self.note_writers();
        Ok(())
    }

    /// The role change of a link that its deletion has to wait for.
    pub(super) fn holds_deletion(&self, instance: &str, link: &str) -> Option<OperationId> {
        self.live_link(instance, link)?.busy(Side::ManagedInstance)
    }

    /// A link that ARM still knows.
    pub(in crate::world) fn live_link(&self, instance: &str, link: &str) -> Option<&Link> {
        let found = self.links.get(&self.azure_key(instance, link));
        let found = found.filter(|found| found.arm.deleted.is_none())?;
        (found.side_of(instance) == Some(Side::ManagedInstance)).then_some(found)
    }

    fn conflicts(&mut self, instance: &str, link: &str) -> Result<(), ArmError> {
        if self.azure.jobs.busy(instance, Family::Links, link)
            && !self.azure.makings.contains_key(&self.azure_key(instance, link))
        {
            return Err(ArmError::conflict());
        }
        self.conflicts_with_failover(instance, link)
    }

    fn conflicts_with_failover(&mut self, instance: &str, link: &str) -> Result<(), ArmError> {
        if self.faults.arm_conflicts > 0 {
            self.faults.arm_conflicts -= 1;
            return Err(ArmError::conflict());
        }
        let busy = |found: &Link| found.busy(Side::ManagedInstance).is_some();
        let running = self.live_link(instance, link).is_some_and(busy);
        if running { Err(ArmError::conflict()) } else { Ok(()) }
    }
}

fn creation(order: &LinkOrder) -> &'static str {
    match (order.several, order.from_instance) {
        (true, _) => CREATE_SEVERAL,
        (false, true) => CREATE_FROM_INSTANCE,
        (false, false) => CREATE,
    }
}
