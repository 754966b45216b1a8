//! How role changes go on once they have been taken, phase by phase.
//!
//! Sources: mi-link 3.1 and 4; addendum 2.9 (timings), 4 (aftermath), 5 (error numbers), 12.4.

use jiff::{SignedDuration, Timestamp};

use super::{
    Backup, BackupKind, Command, DatabaseState, Link, Lsn, Operation, OperationId, OperationKind,
    OperationStatus, Role, Side, SqlError, Statement, SuspendReason, World,
    command::{check_role, not_primary_replica},
    contact, groups,
    housekeeping::blob,
    link::{Movement, Running, Trouble},
    log::{Record, RecordKind},
    operation::Phase,
    planned, replication,
    version::Ways,
};

const TIMED_OUT: &str =
    "The operation timed out and automatically rolled back. Please retry the operation.";
const ARM_POLL: SignedDuration = SignedDuration::from_secs(2);
/// Bytes of log that a role change itself writes.
pub(super) const ROLE_CHANGE_BYTES: u32 = 4_096;

impl World {
    /// Takes every running operation as far as it is by now.
    pub(super) fn step_operations(&mut self) {
        let due: Vec<OperationId> =
            self.active.iter().copied().filter(|id| self.is_due(*id)).collect();
        for id in due {
            let Some(mut operation) = self.operations.remove(&id) else { continue };
            self.step(&mut operation);
            self.operations.insert(id, operation);
        }
        let operations = &self.operations;
        self.active.retain(|id| operations.get(id).is_some_and(Operation::is_running));
    }

    /// An instance has stopped: what ran there has ended, one way or the other.
    pub(super) fn break_operations(&mut self, instance: &str) {
        let now = self.now;
        for id in self.active.clone() {
            let Some(mut operation) = self.operations.remove(&id) else { continue };
            if operation.instance == instance && operation.statement == Statement::Running {
                operation.statement = Statement::Broken;
            }
            if operation.runs_on == instance {
                self.break_one(&mut operation, now);
            }
            self.operations.insert(id, operation);
        }
        let operations = &self.operations;
        self.active.retain(|id| operations.get(id).is_some_and(Operation::is_running));
    }

    fn is_due(&self, id: OperationId) -> bool {
        let Some(operation) = self.operations.get(&id) else { return false };
        let frozen =
            self.instances.get(&operation.runs_on).is_some_and(|i| i.frozen_since.is_some());
        !frozen && operation.next.is_some_and(|next| next <= self.now)
    }

    fn step(&mut self, operation: &mut Operation) {
        let now = self.now;
        if let OperationKind::Backup(_) = operation.kind {
            return self.end_backup(operation);
        }
        if let OperationKind::Restore(_) = operation.kind {
            return self.end_restore(operation);
        }
        let link = self.links.get(&operation.link);
        let Some(link) = link.filter(|link| link.side_with(&operation.instance).is_some()) else {
            // It was deleted meanwhile, and nothing is left to be done.
            return operation.end(now, Err(groups::unknown("alter", &operation.link)));
        };
        if operation.phase == Phase::Received && !self.instance_takes(operation) {
            let patience = SignedDuration::from_millis(i64::from(link.failover.arm_timeout_ms));
            if operation.by_arm && now.duration_since(operation.received) < patience {
                operation.next = Some(now + ARM_POLL);
            } else if operation.by_arm {
                operation.fail_arm(now, "OperationTimedOut", TIMED_OUT);
            } else {
                operation.end(
                    now,
                    Err(SqlError::new(
                        596,
                        "Cannot continue the execution because the session is in the kill state.",
                    )),
                );
            }
            return;
        }
        let Some(link) = self.links.get_mut(&operation.link) else { return };
        let Some(side) = link.side_with(&operation.instance) else { return };
        match operation.phase {
            Phase::Received if !link.commands(&operation.instance, side) => {
                if let OperationKind::Resume { database } = &operation.kind {
                    link.resume_replica(&operation.instance, database);
                    return operation.end(now, Ok(()));
                }
                operation.end(now, Err(not_primary_replica(&link.group)));
            }
            Phase::Received => {
                let command = operation.command(link);
                let ways = Ways::of(link, &self.instances);
                let refusal =
                    check_role(link, side, &command, ways, operation.by_arm, operation.id);
                let refusal =
                    refusal.and_then(|()| self.is_part_of_a_link(&operation.link, side, &command));
                match refusal {
                    Err(error) => operation.end(now, Err(error)),
                    Ok(()) => self.accept(operation, side),
                }
            }
            Phase::Accepted => self.take_over(operation, side),
            Phase::Recovering => self.come_online(operation, side),
            Phase::CatchingUp => planned::catch_up(link, operation, side, now),
            Phase::Draining => self.drain(operation, side),
            Phase::HandingOver => self.hand_over(operation, side),
            Phase::TakingOver => self.complete(operation, side),
            Phase::Over => {}
        }
    }

    fn instance_takes(&self, operation: &Operation) -> bool {
        let Some(instance) = self.instances.get(&operation.instance) else { return false };
        let reached = !operation.by_arm || self.arm_sees(instance);
        reached && instance.transports() && instance.has_recovered(self.now)
    }

    /// From here on the deed cannot be withdrawn.
    fn accept(&mut self, operation: &mut Operation, side: Side) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&operation.link) else { return };
        operation.accepted = Some(now);
        let role = link.member(side).role;
        // ARM's forced failover turns a primary into a secondary (addendum 12.4); which it is
        // shows only when the engine gets it.
        if operation.by_arm
            && operation.kind == OperationKind::ForceFailover
            && role == Role::Primary
        {
            operation.kind = OperationKind::Demote;
        }
        match &operation.kind {
            OperationKind::ForceFailover => {
                let told = replication::passes(link, side, &self.instances, &self.faults);
                link.running = Some(Running { id: operation.id, by: side, told });
                link.member_mut(side).set_role(Role::Resolving, now);
                replication::stop_flight(link);
                contact::disconnect(link, side, &self.instances, &self.faults, now);
                operation.phase = Phase::Accepted;
                operation.next = Some(now + millis(link.failover.role_ms));
                // The forced statement returns once the target has accepted it (mi-link 3.1).
                operation.statement.returned();
            }
            OperationKind::Demote if !operation.by_arm && fails_to_come_online(link, side) => {
                link.member_mut(side).failed_demotions += 1;
                operation.end(now, Err(not_online(&link.group)));
            }
            OperationKind::Demote => {
                demote(link, side, now);
                if let Some(instance) = self.instances.get_mut(&link.member(side).instance) {
                    instance.drop_unfinished(now, |name| link.databases().any(|of| of == name));
                }
                contact::disconnect(link, side, &self.instances, &self.faults, now);
                if operation.by_arm {
                    link.arm.trouble = Some(Trouble {
                        replica_state: "LinkSynchronizationError",
                        error: Some(41_976),
                        healthy: true,
                    });
                }
                operation.end(now, Ok(()));
            }
            OperationKind::PlannedFailover => {
                let told = replication::passes(link, side, &self.instances, &self.faults);
                link.running = Some(Running { id: operation.id, by: side, told });
                link.member_mut(side).lifted = true;
                link.member_mut(side.other()).mirrors |= told;
                operation.phase = Phase::CatchingUp;
                operation.next = Some(now);
            }
            // They never come here: both are stepped elsewhere.
            OperationKind::Backup(_) | OperationKind::Restore(_) => operation.end(now, Ok(())),
            OperationKind::Suspend { database } => {
                link.set_suspended(side, database, Some(SuspendReason::User));
                operation.end(now, Ok(()));
            }
            OperationKind::Resume { database } => {
                link.resume(side, database, now);
                contact::resume(link, &self.instances, &self.faults, now);
                operation.end(now, Ok(()));
            }
        }
    }

    fn take_over(&mut self, operation: &mut Operation, side: Side) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&operation.link) else { return };
        let mut recovered = now + millis(link.failover.recovery_ms);
        for copy in &mut link.member_mut(side).copies {
            // All that was hardened is redone before the database opens.
            recovered = recovered.max(copy.redo.back().map_or(now, |(at, _)| *at));
        }
        begin_recovery(link, side);
        promote(link, side, now);
        // What only the old primary has is left aside: history forks here.
        for place in 0..link.databases.len() {
            link.databases[place].forks += 1;
            link.member_mut(side).copies[place].fork = link.databases[place].forks;
        }
        operation.phase = Phase::Recovering;
        operation.next = Some(recovered);
        if let Some(instance) = self.instances.get_mut(&operation.instance)
            && side == Side::ManagedInstance
        {
            instance.backups.extend(backups_after_failover(link, now));
        }
    }

    fn come_online(&mut self, operation: &mut Operation, side: Side) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&operation.link) else { return };
        open_databases(link, side);
        for database in 0..link.databases.len() {
            link.append(side, database, ROLE_CHANGE_BYTES, RecordKind::Background, now);
        }
        link.ended(operation.id);
        // Both forms were recorded some seconds after a forced failover (addendum 1, row 2).
        let (replica_state, error) = if self.rng.bool() {
            ("LinkSynchronizationError", Some(41_977))
        } else {
            ("LinkSynchronizing", None)
        };
        link.arm.trouble = Some(Trouble { replica_state, error, healthy: false });
        operation.end(now, Ok(()));
    }

    pub(super) fn break_one(&mut self, operation: &mut Operation, now: Timestamp) {
        if let OperationKind::Backup(_) | OperationKind::Restore(_) = operation.kind {
            let text = "Cannot continue the execution because the session is in the kill state.";
            return operation.end(now, Err(SqlError::new(596, text)));
        }
        let Some(link) = self.links.get_mut(&operation.link) else { return };
        let Some(side) = link.side_with(&operation.instance) else { return };
        match operation.phase {
            // ARM tries again until its own time-out; a delayed deed waits in the network.
            Phase::Received if operation.by_arm || operation.lands_anyway => return,
            Phase::Received => {}
            Phase::Accepted => link.member_mut(side).set_role(Role::Secondary, now),
            Phase::Recovering => {
                // The role was on disk already: the next start finishes the recovery.
                open_databases(link, side);
                link.ended(operation.id);
                operation.end(now, Ok(()));
                return;
            }
            Phase::CatchingUp | Phase::Draining => planned::release(link, side, operation.id),
            // The old primary asks again; what it has given away it does not take back.
            Phase::HandingOver | Phase::Over => return,
            Phase::TakingOver => return self.complete(operation, side),
        }
        link.ended(operation.id);
        let refusal = not_online(&operation.link);
        operation.end(now, Err(refusal));
    }
}

impl Operation {
    /// Ends it; the statement too, if its client still waits.
    pub(super) fn end(&mut self, now: Timestamp, outcome: Result<(), SqlError>) {
        self.finished = Some(now);
        self.next = None;
        self.phase = Phase::Over;
        if self.given_up {
            return;
        }
        match outcome {
            Ok(()) => {
                self.status = OperationStatus::Succeeded;
                self.statement.returned();
            }
            Err(error) => {
                self.status = OperationStatus::Failed {
                    code: "InternalServerError".to_owned(),
                    message: error.message.clone(),
                };
                self.statement.fail(error);
            }
        }
    }

    /// Says that it has failed, though it is still on its way.
    pub(super) fn given_up(mut self) -> Operation {
        self.statement.fail(planned::lost_contact(&self.link));
        self.status = OperationStatus::Failed {
            code: "OperationTimedOut".to_owned(),
            message: TIMED_OUT.to_owned(),
        };
        self
    }

    fn fail_arm(&mut self, now: Timestamp, code: &str, message: &str) {
        self.end(now, Err(SqlError::new(0, message)));
        self.status =
            OperationStatus::Failed { code: code.to_owned(), message: message.to_owned() };
    }

    fn command(&self, link: &Link) -> Command {
        let group = link.group.clone();
        match &self.kind {
            OperationKind::Backup(run) => Command::Backup(run.order.clone()),
            OperationKind::Restore(run) => Command::Restore(run.order.clone()),
            OperationKind::ForceFailover => Command::ForceFailover { group },
            OperationKind::PlannedFailover => Command::Failover { group },
            OperationKind::Demote => Command::SetRoleSecondary { group },
            OperationKind::Suspend { database } => Command::Suspend { database: database.clone() },
            OperationKind::Resume { database } => Command::Resume { database: database.clone() },
        }
    }
}

impl Statement {
    pub(super) fn fail(&mut self, error: SqlError) {
        if *self == Statement::Running {
            *self = Statement::Failed(error);
        }
    }

    fn returned(&mut self) {
        if *self == Statement::Running {
            *self = Statement::Returned;
        }
    }
}

pub(super) fn promote(link: &mut Link, side: Side, now: Timestamp) {
    link.rightful = side;
    let member = link.member_mut(side);
    member.set_role(Role::Primary, now);
    member.hands_over = None;
    member.failed_demotions = 0;
    for copy in &mut member.copies {
        copy.movement = Movement::None;
        copy.suspended = copy.suspended.filter(|reason| reason.is_ones_own());
        // Where it had its log from has all of it; what is new is kept for the other side.
        (copy.heard, copy.held) = (None, copy.log.len());
        copy.synchronized = false;
        copy.last_background = now;
    }
}

/// Whether a stale old primary fails to become secondary, for reasons of its own (addendum 1, row
/// 13, and 4.3).
fn fails_to_come_online(link: &Link, side: Side) -> bool {
    let stale = link.rightful != side;
    stale && link.member(side).failed_demotions < link.unconfirmed.stale_demotions_fail
}

/// 41104
fn not_online(group: &str) -> SqlError {
    let text = format!(
        "Failover of the availability group '{group}' to the local replica failed because the \
         availability group resource did not come online due to a previous error."
    );
    SqlError::new(41_104, &text)
}

fn demote(link: &mut Link, side: Side, now: Timestamp) {
    let member = link.member_mut(side);
    member.set_role(Role::Secondary, now);
    member.hands_over = None;
    for copy in &mut member.copies {
        if !copy.state.is_shut() {
            copy.state = DatabaseState::Online;
        }
        copy.movement = Movement::None;
    }
    if link.member(side.other()).role == Role::Primary {
        link.rightful = side.other();
    }
}

/// A side's databases recover in a new role; one that a restart has cost does not.
pub(super) fn begin_recovery(link: &mut Link, side: Side) {
    for copy in &mut link.member_mut(side).copies {
        if !copy.state.is_shut() {
            copy.state = DatabaseState::Recovering;
        }
    }
}

/// Opens a side's databases for writing. One that was between two states of its log cannot come up
/// as a primary: it is left restoring (mi-link 4). One that a restart has cost stays as it is: only
/// Microsoft's support mends it (mi-link 3.4).
pub(super) fn open_databases(link: &mut Link, side: Side) {
    for copy in &mut link.member_mut(side).copies {
        if copy.state.is_shut() {
            continue;
        }
        if copy.movement.is_between() {
            copy.state = DatabaseState::Restoring;
            continue;
        }
        copy.redo.clear();
        copy.redone = copy.log.len();
        copy.sent = copy.log.len();
        copy.state = DatabaseState::Online;
    }
}

/// The managed instance backs up soon after it has become primary: the log within seconds
/// (addendum 2.5), its first full backup some minutes later (mi-link 3.4, 10).
pub(super) fn backups_after_failover(link: &Link, now: Timestamp) -> Vec<Backup> {
    let full = millis(link.failover.first_backup_ms);
    let kinds = [
        (BackupKind::Log, SignedDuration::from_secs(2), SignedDuration::from_secs(3)),
        (BackupKind::Full, full - full.min(SignedDuration::from_secs(30)), full),
    ];
    let side = Side::ManagedInstance;
    let of = |place: usize, name: &str| {
        let upto = link.member(side).copies[place].log.len();
        let end = link.last_record(side, place, upto).map_or_else(Lsn::first, Record::end);
        kinds.map(|(kind, start, finish)| {
            let time = (now + start, now + finish);
            Backup::automatic(name, kind, blob(name), time, (end, end))
        })
    };
    let open = |place: usize| {
        let copy = &link.member(side).copies[place];
        !copy.state.is_shut() && !copy.gone
    };
    let all = link.databases().enumerate().filter(|(place, _)| open(*place));
    all.flat_map(|(place, name)| of(place, name)).collect()
}

pub(super) fn millis(ms: u32) -> SignedDuration {
    SignedDuration::from_millis(i64::from(ms))
}
