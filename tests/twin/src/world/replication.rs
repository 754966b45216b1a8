//! Log moves from the primary to the secondary, and what happens about once a second.
//!
//! Sources: mi-link 1, 3, 4 and 7; addendum 4.1 and 11 (session timeout).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    Copy, DatabaseState, Instance, Link, Lsn, Role, Side, SuspendReason, Volume,
    contact::{finish_reverting, hear, notice, reconnect, resume, tell},
    fault::Faults,
    housekeeping,
    link::{Message, Movement},
    log::{Record, RecordKind, SECTOR_BYTES},
    path::Paths,
    planned, reach,
};

const SIDES: [Side; 2] = [Side::SqlServer, Side::ManagedInstance];
const PULSE: SignedDuration = SignedDuration::from_secs(1);
/// A message of the transport holds up to 60 KB of log.
const MESSAGE_BYTES: u64 = 60 << 10;
/// Messages on the way at most; a queue beyond that stays with the primary, where it can be lost.
const WINDOW: usize = 16;

/// Hardens what has arrived on the secondary.
pub(super) fn arrive(
    link: &mut Link,
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
    now: Timestamp,
) {
    while let Some(message) = link.wire.flight.front().copied().filter(|m| m.arrives <= now) {
        let Some(primary) = link.only_primary() else { return stop_flight(link) };
        let receiver = link.member(primary.other());
        let path = (&link.member(primary).instance, &receiver.instance);
        let taker = instances.get(path.1).filter(|found| found.transports());
        let Some(taker) = taker else { return stop_flight(link) };
        if !receiver.connected || reach::is_cut(instances, faults, path.0, path.1) {
            return stop_flight(link);
        }
        link.wire.flight.pop_front();
        let bytes = u32::try_from(message.bytes).unwrap_or(u32::MAX);
        if link.make_room(primary.other(), message.database, bytes, taker).is_err() {
            // It cannot write the log, and takes no more of it until somebody resumes it.
            let copy = &mut link.member_mut(primary.other()).copies[message.database];
            copy.suspended = Some(SuspendReason::Apply);
            link.wire.flight.retain(|flying| flying.database != message.database);
            rewind(link);
            continue;
        }
        harden(link, primary, message, now);
        tell(link, primary, message.database);
        if !reach::is_cut_back(instances, faults, link, primary) {
            hear(link, primary, message.database, now);
        }
    }
}

/// Counts redo that is done by now.
pub(super) fn settle_redo(link: &mut Link, instances: &BTreeMap<String, Instance>, now: Timestamp) {
    for member in &mut link.members {
        if !instances.get(&member.instance).is_some_and(Instance::transports) {
            continue;
        }
        for (copy, database) in member.copies.iter_mut().zip(&link.databases) {
            while let Some((at, upto)) = copy.redo.front().copied().filter(|(at, _)| *at <= now) {
                let ids = copy.log.get(copy.redone..upto).unwrap_or_default();
                let found = ids.iter().filter_map(|id| database.records.get(*id as usize));
                copy.moved.redone += found.map(|record| u64::from(record.bytes)).sum::<u64>();
                copy.redone = upto;
                copy.redone_at = Some(at);
                copy.redo.pop_front();
            }
        }
    }
}

/// Puts log on the wire as far as the window allows.
pub(super) fn pump(
    link: &mut Link,
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
    paths: &mut Paths,
    now: Timestamp,
) {
    link.wire.waits = None;
    let Some(primary) = link.only_primary() else { return };
    let connected = SIDES.into_iter().all(|side| link.member(side).connected);
    // Where nothing comes back, what was sent stays unconfirmed, and no more is sent.
    let open = SIDES.into_iter().all(|side| passes(link, side, instances, faults));
    if !connected || !open {
        return;
    }
    let delay = reach::delay_between(link, faults);
    let ends = (&link.member(primary).instance, &link.member(primary.other()).instance);
    let least = faults.throttle(ends.0, ends.1).unwrap_or(u32::MAX);
    let rate = link.log.bandwidth_kb_s.min(least);
    let mut path = paths.between(ends.0, ends.1);
    let latency = SignedDuration::from_millis(i64::from(link.log.latency_ms));
    while link.wire.flight.len() < WINDOW {
        let Some(database) = next_sender(link, primary) else { break };
        if let Some(until) = path.as_mut().and_then(|path| path.wait(&link.name, now)) {
            link.wire.waits = Some(until);
            return;
        }
        link.wire.turn = database + 1;
        let (upto, bytes) = next_message(link, primary, database);
        let start = link.wire.free.max(now);
        link.wire.free = start + transfer(bytes, rate);
        if let Some(path) = &mut path {
            link.wire.free = link.wire.free.max(path.carry(bytes, least, now));
        }
        // One after the other, however the time that they need varies.
        let before = link.wire.flight.back().map_or(now, |message| message.arrives);
        let arrives = (link.wire.free + latency + delay).max(before);
        link.wire.flight.push_back(Message { arrives, database, upto, bytes });
        let source = &mut link.member_mut(primary).copies[database];
        source.sent = upto;
        source.sent_at = Some(now);
        source.moved.sent += bytes;
        source.moved.sends += 1;
    }
    if let Some(path) = path {
        path.leave(&link.name);
    }
}

/// What happens about once a second: signs of life, time-outs, reconnects, progress reports,
/// the engine's own log records and backups.
pub(super) fn pulse(
    link: &mut Link,
    instances: &mut BTreeMap<String, Instance>,
    faults: &Faults,
    now: Timestamp,
) {
    link.next_pulse = now + PULSE;
    settle_redo(link, instances, now);
    notice(link, instances, faults, now);
    planned::resolve_doubt(link, instances, faults, now);
    reconnect(link, instances, faults, now);
    resume(link, instances, faults, now);
    finish_reverting(link, instances, now);
    // It calls, and nobody has such a group any more.
    let unknown = link.left.is_some() && !link.arm.knows_left && link.arm.deleted.is_none();
    if unknown && SIDES.into_iter().all(|side| passes(link, side, instances, faults)) {
        link.find_it_left();
    }
    if let Some(primary) = link.only_primary() {
        let other = primary.other();
        let hears = link.member(primary).connected && passes(link, other, instances, faults);
        let tells = link.member(other).connected && passes(link, primary, instances, faults);
        for database in 0..link.databases.len() {
            if hears {
                hear(link, primary, database, now);
            }
            if tells {
                tell(link, primary, database);
            }
        }
    }
    link.forget();
    for side in SIDES {
        let Some(instance) = instances.get_mut(&link.member(side).instance) else { continue };
        if instance.is_up() && link.member(side).acts_by(instance, now) {
            link.truncate(side, instance, now);
            link.stop_redo(side, instance, now);
            housekeeping::write_background(link, side, instance, now);
            housekeeping::back_up(link, side, instance, now);
        }
    }
}

impl Link {
    /// A secondary that cannot write what it has to redo stops, until somebody resumes it.
    fn stop_redo(&mut self, side: Side, instance: &Instance, now: Timestamp) {
        let member = self.member_mut(side);
        if member.role == Role::Primary || !instance.full.contains(&Volume::Data) {
            return;
        }
        let fresh = |at: Timestamp| at + PULSE >= now;
        let waits =
            |copy: &&mut Copy| copy.suspended.is_none() && copy.received_at.is_some_and(fresh);
        for copy in member.copies.iter_mut().filter(waits) {
            copy.suspended = Some(SuspendReason::Redo);
            copy.redo.clear();
        }
    }

    /// Writes a record at the end of a primary's log.
    pub(super) fn append(
        &mut self,
        side: Side,
        database: usize,
        bytes: u32,
        kind: RecordKind,
        now: Timestamp,
    ) -> Lsn {
        let upto = self.member(side).copies[database].log.len();
        let lsn = self.last_record(side, database, upto).map_or_else(Lsn::first, Record::end);
        let records = &mut self.databases[database].records;
        let id = u32::try_from(records.len()).expect("four thousand million records in one run");
        records.push(Record { lsn, bytes, at: now, side, kind, by: None });
        let copy = &mut self.member_mut(side).copies[database];
        copy.log.push(id);
        copy.redone = copy.log.len();
        copy.hardened_at = Some(now);
        copy.flushed.flushes += 1;
        copy.flushed.bytes += u64::from(bytes).next_multiple_of(SECTOR_BYTES);
        copy.flushed.commits += u64::from(matches!(kind, RecordKind::Commit { .. }));
        lsn
    }
}

/// Whether what a side sends reaches the other: both run and nothing is cut on the way.
pub(super) fn passes(
    link: &Link,
    from: Side,
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
) -> bool {
    let (from, to) = (&link.member(from).instance, &link.member(from.other()).instance);
    let transports =
        |name: &String| instances.get(name).is_some_and(|it| it.transports() && it.has_endpoint());
    transports(from)
        && transports(to)
        && link.is_led_there()
        && !reach::is_cut(instances, faults, from, to)
}

/// Gives up what is on the wire; the primary will send it again.
pub(super) fn stop_flight(link: &mut Link) {
    link.wire.flight.clear();
    rewind(link);
}

/// A sender stops: what it had put on the wire arrives, what waited for the wire does not.
pub(super) fn sender_stops(link: &mut Link, now: Timestamp) {
    let latency = SignedDuration::from_millis(i64::from(link.log.latency_ms));
    link.wire.flight.retain(|message| message.arrives - latency <= now);
    link.wire.free = now;
    rewind(link);
}

/// How long `bytes` need at a rate.
pub(super) fn transfer(bytes: u64, kb_s: u32) -> SignedDuration {
    let micros = bytes.saturating_mul(1_000_000) / (u64::from(kb_s).max(1) << 10);
    SignedDuration::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// The database whose turn it is among those that have something to send.
fn next_sender(link: &Link, primary: Side) -> Option<usize> {
    let count = link.databases.len();
    let (from, to) = (link.member(primary), link.member(primary.other()));
    (0..count).map(|place| (link.wire.turn + place) % count).find(|database| {
        let (source, target) = (&from.copies[*database], &to.copies[*database]);
        target.movement.receives()
            && !target.state.is_shut()
            && target.suspended.is_none()
            && source.suspended.is_none()
            && source.state == DatabaseState::Online
            && source.sent < source.log.len()
    })
}

fn rewind(link: &mut Link) {
    let Some(primary) = link.only_primary() else { return };
    for database in 0..link.databases.len() {
        let flying = link.wire.flight.iter().rev().find(|m| m.database == database);
        let hardened = link.member(primary.other()).copies[database].log.len();
        let upto = flying.map_or(hardened, |message| message.upto);
        let source = &mut link.member_mut(primary).copies[database];
        source.sent = upto.min(source.log.len());
    }
}

fn next_message(link: &Link, primary: Side, database: usize) -> (usize, u64) {
    let source = &link.member(primary).copies[database];
    let records = &link.databases[database].records;
    let (mut upto, mut bytes) = (source.sent, 0);
    for id in &source.log[source.sent..] {
        let size = records.get(*id as usize).map_or(0, |record| u64::from(record.bytes));
        if bytes > 0 && bytes + size > MESSAGE_BYTES {
            break;
        }
        (upto, bytes) = (upto + 1, bytes + size);
    }
    (upto, bytes)
}

fn harden(link: &mut Link, primary: Side, message: Message, now: Timestamp) {
    let database = message.database;
    let [sql, instance] = &mut link.members;
    let (source, target) = match primary {
        Side::SqlServer => (&sql.copies[database], &mut instance.copies[database]),
        Side::ManagedInstance => (&instance.copies[database], &mut sql.copies[database]),
    };
    let have = target.log.len();
    let Some(fresh) = source.log.get(have..message.upto) else { return };
    target.log.extend_from_slice(fresh);
    if matches!(target.movement, Movement::Initializing { upto } if upto <= target.log.len()) {
        target.movement = Movement::Flowing;
    }
    target.received_at = Some(now);
    target.moved.received += message.bytes;
    target.hardened_at = Some(now);
    let begin = now + SignedDuration::from_millis(i64::from(link.log.redo_latency_ms));
    let done = begin.max(target.redo_free) + transfer(message.bytes, link.log.redo_kb_s);
    target.redo_free = done;
    target.redo.push_back((done, target.log.len()));
}
