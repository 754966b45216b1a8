//! `sys.dm_hadr_database_replica_states`: how far the log has got, as each side knows it.
//!
//! Sources: mi-link 7 and 3.6 (what is NULL where), addendum 1.16 (lag while suspended).

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    Copy, DatabaseState, Guid, Link, Lsn, Role, Side, SuspendReason, SyncHealth, SyncState, World,
    log::Record, views::health,
};

/// Rates are averages over this time.
const RATE_WINDOW: SignedDuration = SignedDuration::from_secs(10);

/// A row of `sys.dm_hadr_database_replica_states`. Queues in KB, rates in KB/s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseReplicaFacts {
    /// `database_id`
    pub database_id: u32,
    /// The database's name, for joins by name.
    pub database: String,
    /// `group_id`
    pub group_id: Guid,
    /// `replica_id`
    pub replica_id: Guid,
    /// `group_database_id`
    pub group_database_id: Guid,
    /// `is_local`
    pub is_local: bool,
    /// `is_primary_replica`
    pub is_primary_replica: bool,
    /// `synchronization_state`
    pub state: SyncState,
    /// `synchronization_health`
    pub health: SyncHealth,
    /// `database_state`; NULL for a remote row.
    pub database_state: Option<DatabaseState>,
    /// `is_suspended`, `suspend_reason`
    pub suspended: Option<SuspendReason>,
    /// `last_sent_lsn`
    pub last_sent_lsn: Option<Lsn>,
    /// `last_sent_time`
    pub last_sent_time: Option<Timestamp>,
    /// `last_received_lsn`
    pub last_received_lsn: Option<Lsn>,
    /// `last_received_time`
    pub last_received_time: Option<Timestamp>,
    /// `last_hardened_lsn`
    pub last_hardened_lsn: Option<Lsn>,
    /// `last_hardened_time`
    pub last_hardened_time: Option<Timestamp>,
    /// `last_redone_lsn`
    pub last_redone_lsn: Option<Lsn>,
    /// `last_redone_time`
    pub last_redone_time: Option<Timestamp>,
    /// `log_send_queue_size`, KB
    pub log_send_queue_size: Option<u64>,
    /// `log_send_rate`, KB/s
    pub log_send_rate: Option<u64>,
    /// `redo_queue_size`, KB
    pub redo_queue_size: Option<u64>,
    /// `redo_rate`, KB/s
    pub redo_rate: Option<u64>,
    /// `end_of_log_lsn`
    pub end_of_log_lsn: Option<Lsn>,
    /// `last_commit_lsn`
    pub last_commit_lsn: Option<Lsn>,
    /// `last_commit_time`
    pub last_commit_time: Option<Timestamp>,
    /// `recovery_lsn`; on a secondary where it would go on from.
    pub recovery_lsn: Option<Lsn>,
    /// `truncation_lsn`
    pub truncation_lsn: Option<Lsn>,
    /// `secondary_lag_seconds`
    pub secondary_lag_seconds: Option<u64>,
}

/// How much log a database has written and holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogFacts {
    /// The database.
    pub database: String,
    /// Bytes written as primary since the instance started.
    pub flushed_bytes: u64,
    /// Writes of the log since then.
    pub flushes: u64,
    /// Commits since then.
    pub commits: u64,
    /// Bytes of its log files.
    pub file_bytes: u64,
    /// Bytes of them that cannot be truncated: not backed up, or not at the other side.
    pub used_bytes: u64,
    /// Commits that have waited for the other side.
    pub mirrored: u64,
    /// How long they waited, all together, in ms.
    pub waited_ms: u64,
    /// The distributed group and its other member.
    pub group: (String, String),
    /// Bytes of log that have come since the instance started.
    pub received_bytes: u64,
    /// Those of them that are redone.
    pub redone_bytes: u64,
    /// Bytes of log that have gone since then.
    pub sent_bytes: u64,
    /// In so many messages.
    pub sends: u64,
    /// Bytes of log that are being undone.
    pub undo_bytes: u64,
}

impl World {
    /// What the performance counters of an instance say of its linked databases' log.
    #[must_use]
    pub fn log_facts(&self, at: &str) -> Vec<LogFacts> {
        let Some(instance) = self.instance(at) else { return Vec::new() };
        let mut facts = Vec::new();
        for (link, side) in self.sights(at) {
            for (place, database) in link.databases.iter().enumerate() {
                let copy = &link.member(side).copies[place];
                if copy.gone {
                    continue;
                }
                let end = link.last_record(side, place, copy.log.len());
                let end = end.map_or_else(Lsn::first, Record::end);
                let kept = instance.log_saved(&database.name, self.now);
                // A secondary has truncated what its primary has.
                let from = match link.member(side).role {
                    Role::Secondary => copy.room.from,
                    Role::Primary | Role::Resolving => {
                        truncation(link, side, place, copy).min(kept)
                    }
                };
                facts.push(LogFacts {
                    database: database.name.clone(),
                    flushed_bytes: copy.flushed.bytes,
                    flushes: copy.flushed.flushes,
                    commits: copy.flushed.commits,
                    file_bytes: copy.room.bytes,
                    used_bytes: end.bytes().saturating_sub(from.bytes()),
                    mirrored: copy.mirrored.commits,
                    waited_ms: copy.mirrored.waited_ms,
                    group: (link.group.clone(), link.member(side.other()).group.clone()),
                    received_bytes: copy.moved.received,
                    redone_bytes: copy.moved.redone,
                    sent_bytes: copy.moved.sent,
                    sends: copy.moved.sends,
                    undo_bytes: link.to_undo(side, place),
                });
            }
        }
        facts
    }

    /// `sys.dm_hadr_database_replica_states` of an instance: of each linked database the row of
    /// the local group, this side's row of the distributed group, and on a primary the other
    /// side's row as last heard.
    #[must_use]
    pub fn database_replica_states(&self, at: &str) -> Vec<DatabaseReplicaFacts> {
        let mut rows = Vec::new();
        for (link, side) in self.memberships(at) {
            for place in 0..link.databases.len() {
                let own = self.own_row(link, side, place);
                let local = self.local_row(link, side, &own);
                let remote = own.is_primary_replica.then(|| self.remote_row(link, side, place));
                let peers = match side {
                    Side::SqlServer if link.acts(side, &self.instances, self.now) => {
                        self.peer_databases(link, place, &local)
                    }
                    Side::SqlServer | Side::ManagedInstance => Vec::new(),
                };
                let beside = self.replicas_beside(link, side);
                rows.extend(beside.iter().map(|replica| replica.database(&local)));
                rows.extend([local, own]);
                rows.extend(remote);
                rows.extend(peers);
            }
        }
        rows.extend(self.own_database_states(at));
        for of in self.standbys(at) {
            let link = of.link();
            for place in 0..link.databases.len() {
                let own = self.own_row(link, Side::SqlServer, place);
                rows.push(self.standby_database(of, place, &own));
            }
        }
        rows
    }

    /// `secondary_lag_seconds`: since when the oldest commit waits that the secondary, by what
    /// the primary last heard, has not redone.
    pub(super) fn lag_seconds(&self, link: &Link, primary: Side, place: usize) -> Option<u64> {
        let copy = &link.member(primary).copies[place];
        let heard = copy.heard?;
        if heard.suspended.is_some() || copy.suspended.is_some() {
            // Reported by a Microsoft engineer (addendum 1.16).
            return Some(0);
        }
        self.age_of_oldest(link, place, copy.log.get(heard.redone..)?)
    }

    /// ARM's lags of sending and of redo, in s: the first by what the secondary has hardened, the
    /// second by what of that it has not redone; of a primary as it last heard.
    pub(super) fn arm_lags(&self, link: &Link, side: Side, place: usize) -> (u64, u64) {
        let copy = &link.member(side).copies[place];
        let (hardened, redone) = match (link.member(side).role, copy.heard) {
            (Role::Primary, Some(heard)) => (heard.hardened, heard.redone),
            (Role::Primary | Role::Secondary | Role::Resolving, _) => (copy.log.len(), copy.redone),
        };
        let moves = copy.suspended.is_none() && copy.heard.is_none_or(|it| it.suspended.is_none());
        let lag = |part: Option<&[u32]>| {
            part.filter(|_| moves).and_then(|part| self.age_of_oldest(link, place, part))
        };
        let sent = lag(copy.log.get(hardened..));
        (sent.unwrap_or(0), lag(copy.log.get(redone..hardened)).unwrap_or(0))
    }

    /// How many seconds old the first commit among records is; 0 if there is none.
    fn age_of_oldest(&self, link: &Link, place: usize, ids: &[u32]) -> Option<u64> {
        let records = &link.databases[place].records;
        let mut waiting = ids.iter().filter_map(|id| records.get(*id as usize));
        let Some(oldest) = waiting.find(|record| record.is_commit()) else { return Some(0) };
        u64::try_from(self.now.duration_since(oldest.at).as_secs()).ok()
    }

    /// The row of the local group. Where it has other replicas it is in synchronous commit, which
    /// its primary shows.
    fn local_row(
        &self,
        link: &Link,
        side: Side,
        own: &DatabaseReplicaFacts,
    ) -> DatabaseReplicaFacts {
        let member = link.member(side);
        let acts = link.acts(side, &self.instances, self.now);
        let several = member.local().is_some();
        let state = if several && acts { SyncState::Synchronized } else { own.state };
        DatabaseReplicaFacts {
            group_id: member.group_id,
            replica_id: member.local_replica_id,
            is_primary_replica: !several || acts,
            state,
            health: if several { health(state, true) } else { own.health },
            ..own.clone()
        }
    }

    fn own_row(&self, link: &Link, side: Side, place: usize) -> DatabaseReplicaFacts {
        let copy = &link.member(side).copies[place];
        let (state, mode) = (self.sync_state(link, side, place), link.member(side).mode());
        let primary = self.shown_role(link, side) == Role::Primary;
        let end = |upto| link.last_record(side, place, upto).map(|record| record.end().block());
        let last = link.last_commit(side, place, copy.redone);
        let redo_queue = link.bytes_between(side, place, copy.redone, copy.log.len());
        let on_secondary = |value| if primary { None } else { value };
        DatabaseReplicaFacts {
            database_id: copy.database_id,
            database: link.databases[place].name.clone(),
            group_id: link.id,
            replica_id: link.member(side).replica_id,
            group_database_id: link.databases[place].group_database_id,
            is_local: true,
            is_primary_replica: primary,
            state,
            health: health(state, mode),
            database_state: Some(self.shown_state(link, side, copy)),
            suspended: copy.suspended,
            last_sent_lsn: None,
            last_sent_time: None,
            last_received_lsn: on_secondary(end(copy.log.len())),
            last_received_time: copy.received_at.filter(|_| !primary),
            // NULL on a primary in asynchronous commit (mi-link 3.6).
            last_hardened_lsn: end(copy.log.len()).filter(|_| !primary || mode),
            last_hardened_time: copy.hardened_at.filter(|_| !primary || mode),
            last_redone_lsn: on_secondary(last_lsn(link.last_record(side, place, copy.redone))),
            last_redone_time: copy.redone_at.filter(|_| !primary),
            log_send_queue_size: None,
            log_send_rate: None,
            redo_queue_size: (!primary).then_some(redo_queue.div_ceil(1_024)),
            redo_rate: (!primary).then(|| self.rate(link, side, place, copy.redone)),
            end_of_log_lsn: end(copy.log.len()),
            last_commit_lsn: last.map(|record| record.lsn.commit_slot()),
            last_commit_time: last.map(|record| record.at),
            recovery_lsn: end(copy.log.len()),
            truncation_lsn: Some(truncation(link, side, place, copy)),
            secondary_lag_seconds: None,
        }
    }

    fn remote_row(&self, link: &Link, side: Side, place: usize) -> DatabaseReplicaFacts {
        let copy = &link.member(side).copies[place];
        let connected = link.member(side).connected;
        let state = heard_state(link, side, place);
        let heard = copy.heard;
        let end = |upto| link.last_record(side, place, upto).map(|record| record.end().block());
        let redone = heard.and_then(|heard| link.last_commit(side, place, heard.redone));
        let queue = heard.map(|heard| {
            link.bytes_between(side, place, heard.hardened, copy.log.len()).div_ceil(1_024)
        });
        let redo = heard.map(|heard| {
            link.bytes_between(side, place, heard.redone, heard.hardened).div_ceil(1_024)
        });
        DatabaseReplicaFacts {
            replica_id: link.member(side.other()).replica_id,
            is_local: false,
            is_primary_replica: false,
            state,
            health: health(state, link.member(side).mode()),
            database_state: None,
            suspended: heard.filter(|_| connected).and_then(|heard| heard.suspended),
            last_sent_lsn: heard.and_then(|_| end(copy.sent)),
            last_sent_time: copy.sent_at.filter(|_| heard.is_some()),
            last_received_lsn: heard.and_then(|heard| end(heard.hardened)),
            last_received_time: heard.map(|heard| heard.hardened_at),
            last_hardened_lsn: heard.and_then(|heard| end(heard.hardened)),
            last_hardened_time: heard.map(|heard| heard.hardened_at),
            last_redone_lsn: heard
                .and_then(|heard| last_lsn(link.last_record(side, place, heard.redone))),
            last_redone_time: heard.map(|heard| heard.redone_at),
            log_send_queue_size: queue,
            log_send_rate: heard.map(|_| self.rate(link, side, place, copy.sent)),
            redo_queue_size: redo,
            redo_rate: heard.map(|heard| self.rate(link, side, place, heard.redone)),
            end_of_log_lsn: heard.and_then(|heard| end(heard.hardened)),
            last_commit_lsn: redone.map(|record| record.lsn.commit_slot()),
            last_commit_time: redone.map(|record| record.at),
            recovery_lsn: None,
            truncation_lsn: None,
            secondary_lag_seconds: self.lag_seconds(link, side, place),
            ..self.own_row(link, side, place)
        }
    }

    /// KB/s of the last records before a place in the log.
    fn rate(&self, link: &Link, side: Side, place: usize, upto: usize) -> u64 {
        let copy = &link.member(side).copies[place];
        let records = &link.databases[place].records;
        let since = self.now - RATE_WINDOW;
        let log = copy.log.get(..upto).unwrap_or_default();
        let recent = log.iter().rev().filter_map(|id| records.get(*id as usize));
        let bytes: u64 =
            recent.take_while(|record| record.at > since).map(|r| u64::from(r.bytes)).sum();
        let seconds = RATE_WINDOW.as_secs().unsigned_abs();
        bytes.div_ceil(1_024 * seconds)
    }
}

fn last_lsn(record: Option<&Record>) -> Option<Lsn> {
    record.map(|record| if record.is_commit() { record.lsn.commit_slot() } else { record.lsn })
}

/// How the other copy moves, as a primary last heard.
pub(super) fn heard_state(link: &Link, primary: Side, place: usize) -> SyncState {
    let member = link.member(primary);
    let copy = &member.copies[place];
    let sends = copy.state == DatabaseState::Online && copy.suspended.is_none();
    match copy.heard.filter(|_| member.connected && sends) {
        None => SyncState::NotSynchronizing,
        Some(heard) if heard.state == SyncState::Synchronizing && copy.synchronized => {
            SyncState::Synchronized
        }
        Some(heard) => heard.state,
    }
}

/// A primary cannot truncate what the secondary is not known to have hardened and redone, heard of
/// or not (mi-link 7, 10); a secondary what it has not redone itself.
pub(super) fn truncation(link: &Link, side: Side, place: usize, copy: &Copy) -> Lsn {
    let primary = link.member(side).role == Role::Primary && !link.left_by(side);
    let upto = if primary { copy.held.min(copy.log.len()) } else { copy.redone };
    link.last_record(side, place, upto).map_or_else(Lsn::first, |record| record.lsn)
}
