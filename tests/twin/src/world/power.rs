//! Instances stop, start, freeze and go on.

use jiff::Timestamp;

use super::{
    Copy, DatabaseState, Instance, Link, Power, Role, Side, SuspendReason, World, contact,
    copy::{Flushed, Mirrored, Moved},
    failover, replication,
};

impl Link {
    /// Whether the databases of a managed instance that has become primary have no full backup since
    /// then: a restart costs them, whether the link was kept or deleted, and Microsoft has to repair
    /// them (mi-link 3.4, 10).
    fn is_unprotected(&self, side: Side, instance: &Instance, now: Timestamp) -> bool {
        let kept = !self.left_by(side) && !self.unconfirmed.restart_before_backup;
        if side == Side::SqlServer || self.member(side).role != Role::Primary || kept {
            return false;
        }
        let changed = self.member(side).changed;
        let backed_up = |name: &str| instance.has_full_backup(name, changed, now);
        self.arm.harmed || (changed > self.created && !self.databases().all(backed_up))
    }
}

impl World {
    pub(super) fn stop(&mut self, name: &str) {
        self.set_power(name, Power::Stopped);
        self.break_operations(name);
        let now = self.now;
        for link in self.links.values_mut().filter(|link| link.side_of(name).is_some()) {
            if link.only_primary().is_some_and(|side| link.member(side).instance == name) {
                replication::sender_stops(link, now);
            }
        }
        self.settle_pending();
    }

    /// The host is gone, so that nobody is there to close or to refuse a connection.
    pub(super) fn vanish(&mut self, name: &str) {
        self.stop(name);
        if let Some(instance) = self.instances.get_mut(name) {
            instance.vanished = true;
        }
    }

    pub(super) fn start(&mut self, name: &str) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(name) else { return };
        if instance.power != Power::Stopped {
            return;
        }
        instance.power = Power::Running;
        instance.vanished = false;
        instance.started = now;
        instance.recovered = now + instance.restart;
        instance.groups.local.iter_mut().for_each(|group| group.offline = false);
        for link in self.links.values_mut() {
            let Some(side) = link.side_of(name) else { continue };
            let Some(instance) = self.instances.get(name) else { continue };
            // A new process knows nothing of the old connection, and says so to the other end.
            contact::disconnect(link, side, &self.instances, &self.faults, now);
            let lost = link.is_unprotected(side, instance, now);
            let before = link.unconfirmed.offline_comes_back_primary;
            let member = link.member_mut(side);
            member.last_heard = now;
            if member.offline {
                // It comes back as secondary, without asking the other side (addendum 4.2).
                member.offline = false;
                let role = if before { Role::Primary } else { Role::Secondary };
                member.set_role(role, now);
            }
            for copy in &mut member.copies {
                if lost && !copy.state.is_shut() {
                    copy.state = DatabaseState::RecoveryPending;
                }
                if copy.suspended == Some(SuspendReason::User) {
                    copy.suspended = Some(SuspendReason::Restart);
                }
                (copy.flushed, copy.mirrored) = (Flushed::default(), Mirrored::default());
                copy.moved = Moved::default();
                copy.redo.clear();
                // Crash recovery redoes all that was hardened.
                copy.redone = copy.log.len();
            }
        }
        self.owe_backups(name);
    }

    /// The backups that an instance takes of itself end with it, or while it stands still.
    fn break_off_backups(&mut self, name: &str) {
        let now = self.now;
        if let Some(instance) = self.instances.get_mut(name) {
            instance.drop_unfinished(now, |_| true);
        }
        for link in self.links.values_mut() {
            let Some(side) = link.side_of(name) else { continue };
            link.member_mut(side).copies.iter_mut().for_each(|copy| copy.next_backup = now);
        }
    }

    /// A managed instance that is there again takes the first full backup that it still owes.
    fn owe_backups(&mut self, name: &str) {
        let now = self.now;
        for link in self.links.values() {
            let side = Side::ManagedInstance;
            let Some(instance) = self.instances.get_mut(name) else { return };
            let member = link.member(side);
            let owes = |name: &str| !instance.has_full_backup(name, member.changed, now);
            let since_failover = member.role == Role::Primary && member.changed > link.created;
            let takes = link.side_of(name) == Some(side) && since_failover && !link.arm.harmed;
            if takes && link.databases().any(owes) {
                let at = now.max(instance.recovered);
                instance.backups.extend(failover::backups_after_failover(link, at));
            }
        }
    }

    /// What a restart has cost is there again, and is backed up.
    pub(super) fn repair(&mut self, name: &str) {
        let now = self.now;
        for link in self.links.values_mut() {
            let side = Side::ManagedInstance;
            if link.side_of(name) != Some(side) {
                continue;
            }
            link.arm.harmed = false;
            let lost = |copy: &&mut Copy| copy.state == DatabaseState::RecoveryPending;
            let mut repaired = false;
            for copy in link.member_mut(side).copies.iter_mut().filter(lost) {
                (copy.state, repaired) = (DatabaseState::Online, true);
            }
            if let Some(instance) = self.instances.get_mut(name).filter(|_| repaired) {
                instance.backups.extend(failover::backups_after_failover(link, now));
            }
        }
    }

    pub(super) fn freeze(&mut self, name: &str) {
        let now = self.now;
        self.set_power(name, Power::Frozen);
        if let Some(instance) = self.instances.get_mut(name) {
            instance.frozen_since.get_or_insert(now);
        }
        for link in self.links.values_mut() {
            if link.only_primary().is_some_and(|side| link.member(side).instance == name) {
                replication::sender_stops(link, now);
            }
        }
    }

    pub(super) fn resume(&mut self, name: &str) {
        let now = self.now;
        self.set_power(name, Power::Running);
        self.owe_backups(name);
        let since = self.instances.get_mut(name).and_then(|found| found.frozen_since.take());
        let Some(since) = since else { return };
        let pause = now.duration_since(since);
        for id in &self.active {
            let Some(operation) = self.operations.get_mut(id) else { continue };
            if operation.runs_on == name {
                operation.next = operation.next.map(|next| next + pause);
            }
        }
        for link in self.links.values_mut() {
            let Some(side) = link.side_of(name) else { continue };
            let member = link.member_mut(side);
            // Its own clock of silence stood still too.
            member.last_heard = (member.last_heard + pause).min(now);
            for copy in &mut member.copies {
                copy.redo.iter_mut().for_each(|(at, _)| *at += pause);
                copy.redo_free += pause;
            }
            // Whoever gave it up meanwhile answers its first message with an end, if that arrives.
            let told = replication::passes(link, side, &self.instances, &self.faults)
                && replication::passes(link, side.other(), &self.instances, &self.faults);
            if told && !link.member(side.other()).connected {
                contact::disconnect(link, side, &self.instances, &self.faults, now);
            }
        }
    }

    /// A stopped instance stays stopped: only `Start` ends that.
    pub(super) fn set_power(&mut self, name: &str, power: Power) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(name) else { return };
        if power == Power::Stopped {
            instance.sessions.clear();
            instance.closed_at = now;
            instance.frozen_since = None;
        }
        if instance.power != Power::Stopped || power == Power::Stopped {
            instance.power = power;
        }
        if power != Power::Running {
            self.break_off_backups(name);
            self.strand_replicas(name);
        }
    }

    pub(super) fn set_refusing(&mut self, name: &str, refusing: bool) {
        let now = self.now;
        if let Some(instance) = self.instances.get_mut(name) {
            instance.refusing = refusing;
            if refusing {
                instance.sessions.clear();
                instance.closed_at = now;
            }
        }
    }
}
