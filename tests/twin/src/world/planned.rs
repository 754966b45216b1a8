//! Planned failover: catch up, hold writes back, drain, change roles (mi-link 3.1; addendum 5).

use jiff::{SignedDuration, Timestamp};

use super::{
    Link, Operation, Role, Side, SqlError, World,
    failover::{ROLE_CHANGE_BYTES, backups_after_failover, millis, promote},
    link::Movement,
    log::RecordKind,
    operation::Phase,
    replication,
};

const POLL: SignedDuration = SignedDuration::from_millis(200);

impl World {
    pub(super) fn drain(&mut self, operation: &mut Operation, side: Side) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&operation.link) else { return };
        let drained = (0..link.databases.len()).all(|database| {
            let from = &link.member(side).copies[database];
            let to = &link.member(side.other()).copies[database];
            to.log.len() == from.log.len() && to.redone == to.log.len()
        });
        if !drained {
            if let Some(error) = late_or_cut_off(link, operation, side, now) {
                give_up(link, operation, now, error);
            } else {
                operation.next = Some(now + POLL);
            }
            return;
        }
        link.member_mut(side).role = Role::Secondary;
        promote(link, side.other(), now);
        link.draining = false;
        link.running = None;
        for database in 0..link.databases.len() {
            let bytes = ROLE_CHANGE_BYTES;
            link.append(side.other(), database, bytes, RecordKind::Background, now);
        }
        replication::handshake(link, side.other(), now);
        let target = link.member(side.other()).instance.clone();
        if side == Side::SqlServer
            && let Some(instance) = self.instances.get_mut(&target)
        {
            instance.backups.extend(backups_after_failover(link, now));
        }
        operation.end(now, Ok(()));
    }
}

pub(super) fn catch_up(link: &mut Link, operation: &mut Operation, side: Side, now: Timestamp) {
    if let Some(error) = late_or_cut_off(link, operation, side, now) {
        return give_up(link, operation, now, error);
    }
    let behind: u64 = (0..link.databases.len())
        .map(|database| {
            let from = link.member(side.other()).copies[database].redone;
            let to = link.member(side).copies[database].log.len();
            link.bytes_between(side, database, from.min(to), to)
        })
        .sum();
    // Writes are held back only when what is left takes less than about a second.
    if behind <= u64::from(link.log.bandwidth_kb_s.min(link.log.redo_kb_s)) << 10 {
        link.draining = true;
        operation.phase = Phase::Draining;
    }
    operation.next = Some(now + POLL);
}

/// Why a planned failover cannot go on: 47514 no connection, 47515 send queue, 47516 redo queue.
pub(super) fn late_or_cut_off(
    link: &Link,
    operation: &Operation,
    side: Side,
    now: Timestamp,
) -> Option<SqlError> {
    let connected = link.member(side).connected && link.member(side.other()).connected;
    let moves = link
        .member(side.other())
        .copies
        .iter()
        .all(|copy| copy.movement == Movement::Flowing && copy.suspended.is_none());
    if !connected || !moves {
        return Some(SqlError::new(
            47_514,
            "The failover could not be carried out: the secondary cannot catch up because of a synchronization issue.",
        ));
    }
    let since = operation.accepted.unwrap_or(operation.received);
    if now.duration_since(since) < millis(link.failover.planned_timeout_ms) {
        return None;
    }
    let unsent = (0..link.databases.len()).any(|database| {
        let from = &link.member(side).copies[database];
        link.member(side.other()).copies[database].log.len() < from.log.len()
    });
    Some(if unsent {
        SqlError::new(
            47_515,
            "The failover could not be carried out: the log send queue is too large.",
        )
    } else {
        SqlError::new(47_516, "The failover could not be carried out: the redo queue is too large.")
    })
}

pub(super) fn give_up(link: &mut Link, operation: &mut Operation, now: Timestamp, error: SqlError) {
    link.draining = false;
    link.running = None;
    operation.end(now, Err(error));
}
