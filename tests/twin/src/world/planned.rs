//! Planned failover: catch up, hold writes back, drain, give the role away, take it over.
//!
//! The engine goes over to synchronous commit for the duration (mi-link 3.1). The old primary
//! takes no writes from the moment at which it drains, and its role is RESOLVING before the other
//! side is asked to take it: there are never two writers. While it waits for the confirmation
//! nobody is primary, and only contact with the other side tells it how that ended. Sources beside
//! mi-link 3.1: addendum 2.9 (time), 5 (error numbers).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    Copy, Instance, Link, Operation, OperationId, Role, Side, SqlError, SyncState, World, contact,
    copy::Heard,
    failover::{
        ROLE_CHANGE_BYTES, backups_after_failover, begin_recovery, millis, open_databases, promote,
    },
    fault::Faults,
    link::{Movement, Trouble},
    log::RecordKind,
    operation::Phase,
    reach, replication,
    version::Ways,
};

const POLL: SignedDuration = SignedDuration::from_millis(200);

/// What the primary writes, the other side cannot read.
const NO_WAY_BACK: Trouble =
    Trouble { replica_state: "LinkSynchronizationError", error: Some(41_984), healthy: false };

impl World {
    /// A managed instance has another format from now on: a link in which it is primary ends where
    /// SQL Server cannot read that.
    pub(super) fn format_changed(&mut self, instance: &str) {
        let now = self.now;
        for link in self.links.values_mut() {
            let side = Side::ManagedInstance;
            let concerned = link.side_of(instance) == Some(side) && link.arm.deleted.is_none();
            let primary = concerned && link.only_primary() == Some(side);
            if primary && !Ways::of(link, &self.instances).carries_from(side) {
                contact::disconnect(link, side, &self.instances, &self.faults, now);
                link.arm.trouble = Some(NO_WAY_BACK);
            }
        }
        self.settle_pending();
    }

    pub(super) fn drain(&mut self, operation: &mut Operation, side: Side) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&operation.link) else { return };
        if replication::passes(link, side.other(), &self.instances, &self.faults) {
            for database in 0..link.databases.len() {
                contact::hear(link, side, database, now);
            }
        }
        self.settle_pending();
        let Some(link) = self.links.get_mut(&operation.link) else { return };
        let drained = link.pending.iter().all(|pending| pending.side != side)
            && (0..link.databases.len()).all(|database| {
                let copy = &link.member(side).copies[database];
                let all = copy.log.len();
                copy.heard.is_some_and(|heard| heard.hardened == all && heard.redone == all)
            });
        if let Some(error) = late_or_cut_off(link, operation, side, now) {
            return give_up(link, operation, side, now, error);
        }
        if !drained {
            operation.next = Some(now + POLL);
            return;
        }
        // From here on there is no way back: the role is on its way.
        let old = link.member_mut(side);
        old.set_role(Role::Resolving, now);
        old.hands_over = Some(operation.id);
        if let Some(running) = link.running.as_mut().filter(|it| it.id == operation.id) {
            running.told = true;
        }
        operation.phase = Phase::HandingOver;
        operation.runs_on.clone_from(&link.member(side.other()).instance);
        let delay = reach::delay_between(link, &self.faults) + millis(link.log.latency_ms);
        operation.next = Some(now + delay);
    }

    /// The other side is asked to take the role, again and again until it has answered or the
    /// connection is lost.
    pub(super) fn hand_over(&mut self, operation: &mut Operation, side: Side) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&operation.link) else { return };
        let target = side.other();
        let taken = link.member(side).hands_over == Some(operation.id)
            && link.member(target).role == Role::Secondary
            && link.acts(target, &self.instances, now)
            && replication::passes(link, side, &self.instances, &self.faults);
        if taken {
            promote(link, target, now);
            begin_recovery(link, target);
            for copy in &mut link.member_mut(side).copies {
                copy.movement = Movement::None;
            }
            operation.phase = Phase::TakingOver;
            operation.next = Some(now + millis(link.failover.planned_online_ms));
            confirm(link, side, &self.instances, &self.faults, now);
        } else if waits_for_answer(link, side, &self.instances) {
            operation.next = Some(now + POLL);
        } else {
            // Whether the role has arrived shows when the two are in contact again.
            release(link, side, operation.id);
            operation.end(now, Err(lost_contact(&link.group)));
        }
    }

    /// The new primary's databases are open.
    pub(super) fn complete(&mut self, operation: &mut Operation, side: Side) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&operation.link) else { return };
        let target = side.other();
        open_databases(link, target);
        // Asynchronous from here on, even if it was synchronous before (mi-link 3.1); the old
        // primary is so once it knows.
        link.member_mut(target).modes = [false; 2];
        for database in 0..link.databases.len() {
            link.append(target, database, ROLE_CHANGE_BYTES, RecordKind::Background, now);
        }
        release(link, side, operation.id);
        link.arm.trouble = None;
        confirm(link, side, &self.instances, &self.faults, now);
        if link.only_primary() == Some(target) {
            contact::handshake(link, target, now);
        }
        let ways = Ways::of(link, &self.instances);
        if !ways.carries_from(target) {
            contact::disconnect(link, side, &self.instances, &self.faults, now);
            link.arm.trouble = Some(NO_WAY_BACK);
        }
        if let Some(instance) = self.instances.get_mut(&link.member(side).instance) {
            // What it owed as primary the new one owes.
            instance.drop_unfinished(now, |name| link.databases().any(|of| of == name));
        }
        let heard = replication::passes(link, target, &self.instances, &self.faults);
        let unheard = lost_contact(&link.group);
        if target == Side::ManagedInstance
            && let Some(instance) = self.instances.get_mut(&link.member(target).instance)
        {
            instance.backups.extend(backups_after_failover(link, now));
        }
        // The statement's own server may not know how it ended.
        if !heard && !operation.by_arm {
            operation.statement.fail(unheard);
        }
        operation.end(now, Ok(()));
    }
}

/// Whether the old primary still counts on an answer; where it is gone itself, whether the other
/// side does not know that yet.
fn waits_for_answer(link: &Link, side: Side, instances: &BTreeMap<String, Instance>) -> bool {
    let lives = instances.get(&link.member(side).instance).is_some_and(Instance::transports);
    let asks = if lives { side } else { side.other() };
    link.member(asks).connected
}

/// How a role that was given away and never confirmed is settled once the two are in contact:
/// where the other has it, or can have it, this side becomes secondary.
pub(super) fn resolve_doubt(
    link: &mut Link,
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
    now: Timestamp,
) {
    let doubtful = [Side::SqlServer, Side::ManagedInstance]
        .into_iter()
        .find(|side| link.member(*side).hands_over.is_some());
    let Some(side) = doubtful.filter(|_| link.running.is_none()) else { return };
    let both = [side, side.other()].into_iter().all(|side| {
        replication::passes(link, side, instances, faults) && link.acts(side, instances, now)
    });
    if !both {
        return;
    }
    match link.member(side.other()).role {
        Role::Primary => confirm(link, side, instances, faults, now),
        // The failover has failed, and both know it.
        Role::Secondary => {
            let member = link.member_mut(side);
            member.set_role(Role::Primary, now);
            member.hands_over = None;
        }
        Role::Resolving => return,
    }
    contact::disconnect(link, side, instances, faults, now);
}

/// The old primary learns that the other has the role.
fn confirm(
    link: &mut Link,
    side: Side,
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
    now: Timestamp,
) {
    let waits = link.member(side).hands_over.is_some();
    if waits && replication::passes(link, side.other(), instances, faults) {
        let member = link.member_mut(side);
        member.set_role(Role::Secondary, now);
        member.hands_over = None;
        (member.modes, member.mirrors) = ([false; 2], false);
        member.copies.iter_mut().for_each(|copy| copy.synchronized = false);
    }
}

pub(super) fn catch_up(link: &mut Link, operation: &mut Operation, side: Side, now: Timestamp) {
    if let Some(error) = late_or_cut_off(link, operation, side, now) {
        return give_up(link, operation, side, now, error);
    }
    let redo_kb_s = u64::from(link.log.redo_kb_s);
    let ready = (0..link.databases.len()).all(|database| {
        let copy = &link.member(side).copies[database];
        let redo = copy.heard.map_or(u64::MAX, |heard| {
            link.bytes_between(side, database, heard.redone, heard.hardened)
        });
        // Writes are held back only when what is left takes less than about a second.
        copy.synchronized && redo <= redo_kb_s << 10
    });
    if ready {
        link.member_mut(side).draining = true;
        operation.phase = Phase::Draining;
    }
    operation.next = Some(now + POLL);
}

/// Why a planned failover cannot go on: 47514 no connection, 47515 send queue, 47516 redo queue,
/// 41993 a database that does not open. The primary judges by what it last heard of the other side.
fn late_or_cut_off(
    link: &Link,
    operation: &Operation,
    side: Side,
    now: Timestamp,
) -> Option<SqlError> {
    let member = link.member(side);
    let told = |copy: &Copy| {
        let shut = |heard: Heard| heard.shut && side == Side::SqlServer;
        member.connected && copy.heard.is_some_and(shut)
    };
    if member.copies.iter().any(|copy| copy.state.is_shut() || told(copy)) {
        return Some(inaccessible());
    }
    let moves = member.copies.iter().all(|copy| {
        let follows =
            |heard: &Heard| heard.state == SyncState::Synchronizing && heard.suspended.is_none();
        copy.suspended.is_none() && copy.heard.as_ref().is_some_and(follows)
    });
    if !member.connected || !moves {
        return Some(SqlError::new(
            47_514,
            "The failover could not be carried out: the secondary cannot catch up because of a synchronization issue.",
        ));
    }
    let since = operation.accepted.unwrap_or(operation.received);
    if now.duration_since(since) < millis(link.failover.planned_timeout_ms) {
        return None;
    }
    let unsent = link.member(side).copies.iter().any(|copy| !copy.synchronized);
    Some(if unsent {
        SqlError::new(
            47_515,
            "The failover could not be carried out: the log send queue is too large.",
        )
    } else {
        SqlError::new(47_516, "The failover could not be carried out: the redo queue is too large.")
    })
}

/// 41993
pub(super) fn inaccessible() -> SqlError {
    let text = "The failover could not be carried out: a database of the group is inaccessible.";
    SqlError::new(41_993, text)
}

fn give_up(
    link: &mut Link,
    operation: &mut Operation,
    side: Side,
    now: Timestamp,
    error: SqlError,
) {
    release(link, side, operation.id);
    operation.end(now, Err(error));
}

/// The side that was to give its role away goes back to the commit mode from before; the other one
/// learns of that as of everything else.
pub(super) fn release(link: &mut Link, side: Side, operation: OperationId) {
    link.ended(operation);
    let member = link.member_mut(side);
    (member.draining, member.lifted) = (false, false);
    member.copies.iter_mut().for_each(|copy| copy.synchronized = false);
}

/// The outcome is unknown to whoever gets this (addendum 5).
pub(super) fn lost_contact(group: &str) -> SqlError {
    SqlError::new(
        41_149,
        &format!(
            "Operation on the availability group '{group}' has been cancelled or terminated, \
             either because of a connection timeout or cancellation by user."
        ),
    )
}
