//! The two members of a link notice each other's silence, find each other again, agree on where to
//! go on, and tell each other how they are.
//!
//! Sources: mi-link 1, 3, 4 and 7; addendum 4.1 and 11 (session timeout).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    Copy, DatabaseState, Instance, Link, Side, SuspendReason, SyncState,
    azure::trusted,
    copy::Heard,
    fault::Faults,
    movement::Movement,
    replication::{passes, stop_flight, transfer},
    version::Ways,
};

const SIDES: [Side; 2] = [Side::SqlServer, Side::ManagedInstance];

/// Takes the connection of a side down, and the other's too if it can learn of it.
pub(super) fn disconnect(
    link: &mut Link,
    side: Side,
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
    now: Timestamp,
) {
    let told = passes(link, side, instances, faults);
    lose(link, side, now);
    if told {
        lose(link, side.other(), now);
    }
    stop_flight(link);
}

/// Makes the copies of a fresh pair of primary and secondary agree on where to go on.
pub(super) fn handshake(link: &mut Link, primary: Side, now: Timestamp) {
    for database in 0..link.databases.len() {
        agree(link, primary, database, now);
    }
}

pub(super) fn hear(link: &mut Link, primary: Side, database: usize, now: Timestamp) {
    let other = link.member(primary.other());
    let secondary = &other.copies[database];
    let (role, state, suspended) = (other.role, reported(secondary), secondary.suspended);
    let shut = secondary.state.is_shut();
    let Some(before) = link.member(primary).copies[database].heard else { return };
    // Before both agree on where to go on, the other copy's length says nothing about this log.
    if !secondary.movement.receives() {
        let copy = &mut link.member_mut(primary).copies[database];
        copy.heard = Some(Heard { role, state, suspended, shut, ..before });
        return;
    }
    let heard = Heard {
        role,
        state,
        suspended,
        shut,
        hardened: secondary.log.len(),
        redone: secondary.redone,
        hardened_at: secondary.hardened_at.unwrap_or(now),
        redone_at: secondary.redone_at.unwrap_or(now),
    };
    let behind = link.bytes_between(
        primary,
        database,
        heard.hardened,
        link.member(primary).copies[database].log.len(),
    );
    let keeps_up = behind <= u64::from(link.log.bandwidth_kb_s) << 7;
    let synchronous = link.member(primary).mode();
    let copy = &mut link.member_mut(primary).copies[database];
    copy.heard = Some(heard);
    // What it has not redone it may need again.
    copy.held = heard.hardened.min(heard.redone);
    // Whoever has caught up once is waited for from then on, until the connection is lost.
    copy.synchronized = synchronous && (copy.synchronized || keeps_up);
}

/// What a secondary learns of its primary with the log, and by every sign of life.
pub(super) fn tell(link: &mut Link, primary: Side, database: usize) {
    let from = link.member(primary);
    let (mode, source) = (from.mode(), &from.copies[database]);
    let (synchronized, kept) = (source.synchronized, source.room.from);
    let fed = !source.state.is_shut();
    let redone = link.member(primary.other()).copies[database].redone;
    let redone = link.last_record(primary.other(), database, redone).map(|record| record.lsn);
    let other = link.member_mut(primary.other());
    other.mirrors = mode;
    let copy = &mut other.copies[database];
    (copy.synchronized, copy.fed) = (synchronized, fed);
    // A secondary truncates what its primary has truncated, and what it needs itself it keeps.
    copy.room.from = kept.min(redone.unwrap_or(kept)).max(copy.room.from);
    copy.room.wait = "NOTHING";
}

pub(super) fn lose(link: &mut Link, side: Side, now: Timestamp) {
    let member = link.member_mut(side);
    if member.connected {
        member.connected = false;
        member.lost_at = Some(now);
    }
    // Nobody waits for a secondary that is not there.
    member.copies.iter_mut().for_each(|copy| copy.synchronized = false);
    member.reconnect_at = None;
}

/// Makes the two copies of a database agree on where to go on.
fn agree(link: &mut Link, primary: Side, database: usize, now: Timestamp) {
    let source = &link.member(primary).copies[database].log;
    let target = &link.member(primary.other()).copies[database];
    // Record numbers are handed out once, and a copy's log only grows or is cut at its end:
    // what the two have in common is where they begin alike.
    let alike = source.iter().zip(&target.log).take_while(|(here, there)| here == there);
    let common = alike.count();
    let divergent = link.bytes_between(primary.other(), database, common, target.log.len());
    let undo = transfer(divergent, link.log.undo_kb_s) + SignedDuration::from_secs(2);
    let too_far = divergent > u64::from(link.log.undo_mb) << 20;
    let forks = link.databases[database].forks;
    let suspends = link.unconfirmed.suspended_after_force;
    let secondary = &mut link.member_mut(primary.other()).copies[database];
    if secondary.fork != forks {
        secondary.fork = forks;
        // Its partner was forced: somebody has to let it follow (mi-link 4).
        if suspends {
            secondary.suspended = Some(SuspendReason::Partner);
        }
    }
    let lost = secondary.suspended == Some(SuspendReason::Undo);
    let stays = secondary.state.is_shut();
    secondary.movement = if stays || secondary.suspended == Some(SuspendReason::Partner) {
        Movement::None
    } else if too_far {
        secondary.suspended = Some(SuspendReason::Undo);
        Movement::Apart
    } else if secondary.log.len() > common {
        Movement::Reverting { until: now + undo }
    } else {
        secondary.suspended = secondary.suspended.filter(|_| !lost);
        Movement::Flowing
    };
    let redone = secondary.redone.min(common);
    let source = &mut link.member_mut(primary).copies[database];
    source.sent = common;
    source.held = redone;
    source.heard = Some(Heard::at(common, redone, now));
    hear(link, primary, database, now);
    tell(link, primary, database);
}

/// Databases that were let follow again agree with their primary where they have not yet.
pub(super) fn resume(
    link: &mut Link,
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
    now: Timestamp,
) {
    let Some(primary) = link.only_primary() else { return };
    let ready = SIDES
        .into_iter()
        .all(|side| link.member(side).connected && passes(link, side, instances, faults));
    let waits = |copy: &Copy| {
        copy.movement == Movement::None && copy.suspended.is_none() && !copy.state.is_shut()
    };
    for database in 0..link.databases.len() {
        if ready && waits(&link.member(primary.other()).copies[database]) {
            agree(link, primary, database, now);
        }
    }
}

/// What a secondary says of its copy, beside positions.
fn reported(copy: &Copy) -> SyncState {
    if copy.state != DatabaseState::Online || copy.suspended.is_some() {
        return SyncState::NotSynchronizing;
    }
    match copy.movement {
        Movement::None | Movement::Initializing { .. } => SyncState::Initializing,
        Movement::Reverting { .. } => SyncState::Reverting,
        Movement::Apart => SyncState::NotSynchronizing,
        Movement::Flowing => SyncState::Synchronizing,
    }
}

pub(super) fn notice(
    link: &mut Link,
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
    now: Timestamp,
) {
    for side in SIDES {
        let alive = instances.get(&link.member(side).instance).is_some_and(Instance::transports);
        let hears = passes(link, side.other(), instances, faults);
        if hears {
            link.member_mut(side).last_heard = now;
        }
        let member = link.member(side);
        let patience = member.session_timeout + link.notice;
        let timed_out = now.duration_since(member.last_heard) >= patience;
        // Two primaries, or none, have nothing to say to each other (mi-link 4), once they know.
        let switching = link.members.iter().any(|member| member.hands_over.is_some());
        let mismatch = hears && link.only_primary().is_none() && !switching;
        if alive && member.connected && (timed_out || mismatch) {
            disconnect(link, side, instances, faults, now);
        }
    }
}

pub(super) fn reconnect(
    link: &mut Link,
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
    now: Timestamp,
) {
    let both_up = SIDES
        .into_iter()
        .all(|side| link.acts(side, instances, now) && passes(link, side, instances, faults));
    let connected = SIDES.into_iter().all(|side| link.member(side).connected);
    let apart = SIDES.into_iter().any(|side| link.left_by(side));
    let [sql, managed] = SIDES.map(|side| instances.get(&link.member(side).instance));
    let known = sql.zip(managed).is_some_and(|(sql, other)| trusted(sql, other, now).is_ok());
    let possible = both_up && known && !connected && link.running.is_none() && !apart;
    let ways = Ways::of(link, instances);
    let primary = link.only_primary().filter(|primary| possible && ways.carries_from(*primary));
    let Some(primary) = primary else {
        link.members.iter_mut().for_each(|member| member.reconnect_at = None);
        return;
    };
    let wait = SignedDuration::from_millis(i64::from(link.log.reconnect_ms));
    let due = *link.members[0].reconnect_at.get_or_insert(now + wait);
    if due > now {
        return;
    }
    for member in &mut link.members {
        (member.connected, member.lost_at, member.reconnect_at) = (true, None, None);
        member.last_heard = now;
    }
    link.arm.trouble = None;
    stop_flight(link);
    handshake(link, primary, now);
}

/// The divergent tail of a demoted side is gone when it has been undone (mi-link 4.1).
pub(super) fn finish_reverting(
    link: &mut Link,
    instances: &BTreeMap<String, Instance>,
    now: Timestamp,
) {
    let Some(primary) = link.only_primary() else { return };
    let secondary = link.member(primary.other());
    let alive = instances.get(&secondary.instance).is_some_and(Instance::transports);
    if !alive || !secondary.connected {
        return;
    }
    for database in 0..link.databases.len() {
        let source = &link.member(primary).copies[database];
        let (sent, end) = (source.sent, source.log.len());
        let copy = &mut link.member_mut(primary.other()).copies[database];
        let done = matches!(copy.movement, Movement::Reverting { until } if until <= now);
        if done {
            cut_back(copy, sent, end);
        }
    }
}

/// What the secondary has undone it now gets anew, as far as the primary's log goes at this moment.
fn cut_back(copy: &mut Copy, upto: usize, end: usize) {
    copy.log.truncate(upto);
    copy.redo.retain(|(_, to)| *to <= upto);
    copy.redone = copy.redone.min(upto);
    copy.movement =
        if end > upto { Movement::Initializing { upto: end } } else { Movement::Flowing };
}
