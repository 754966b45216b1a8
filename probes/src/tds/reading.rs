//! From rows to evidence: what one server says of each of its links. Pure.

use agent_core::{
    DatabaseReading, DatabaseState, Lsn, Members, PartnerReading, Role, SideReading, Silence,
    SilenceKind, SyncHealth, SyncState,
};
use jiff::{SignedDuration, Timestamp};

use crate::{target::LinkTarget, text::plain};

/// The answer to one look, as plain values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) server: ServerRow,
    pub(crate) groups: Vec<GroupRow>,
    pub(crate) databases: Vec<DatabaseRow>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerRow {
    pub(crate) product_version: String,
    pub(crate) edition: String,
    pub(crate) engine_edition: i32,
    pub(crate) utc_time: Option<Timestamp>,
    /// The server's local time, read as if it were UTC.
    pub(crate) local_time: Option<Timestamp>,
    pub(crate) sees_groups: Option<bool>,
    pub(crate) sees_databases: Option<bool>,
}

/// One state row of a distributed availability group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupRow {
    pub(crate) group: Option<String>,
    pub(crate) is_local: Option<bool>,
    pub(crate) role: Option<i32>,
    pub(crate) connected_state: Option<i32>,
    pub(crate) synchronization_health: Option<i32>,
    /// The member of the group that the row is about.
    pub(crate) member: Option<String>,
    /// The group of this server that the row's replica is, if it is one.
    pub(crate) local_group: Option<String>,
    /// What this server is within that group.
    pub(crate) local_role: Option<i32>,
}

/// One database with one of its replica rows, if it has any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DatabaseRow {
    pub(crate) database: Option<String>,
    pub(crate) state: Option<i32>,
    pub(crate) updateability: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) is_distributed: Option<bool>,
    pub(crate) is_local: Option<bool>,
    pub(crate) is_primary_replica: Option<bool>,
    pub(crate) synchronization_state: Option<i32>,
    pub(crate) is_suspended: Option<bool>,
    pub(crate) suspend_reason: Option<String>,
    pub(crate) last_hardened_lsn: Option<Lsn>,
    pub(crate) last_commit_lsn: Option<Lsn>,
    pub(crate) end_of_log_lsn: Option<Lsn>,
    /// The server's local time, read as if it were UTC.
    pub(crate) last_commit_time: Option<Timestamp>,
    pub(crate) log_send_queue_kb: Option<i64>,
    pub(crate) redo_queue_kb: Option<i64>,
    pub(crate) redo_rate_kb_per_s: Option<i64>,
    pub(crate) lag_s: Option<i64>,
}

/// What one server says of one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub reading: SideReading,
    /// Its role in the side's own availability group; None where it knows of none.
    pub local: Option<Role>,
}

/// What the answer of one server says of one link.
pub(crate) fn told(answer: &Answer, target: &LinkTarget) -> Result<Told, Silence> {
    let clock = Clock::read(&answer.server)?;
    let rows: Vec<_> =
        answer.groups.iter().filter(|row| same(row.group.as_deref(), &target.dag)).collect();
    let own = own_row(answer, target, &rows)?;
    let role = own.map_or(Ok(Role::Absent), |row| role("role", row.role))?;
    let local = own.and_then(|row| row.local_role);
    let local =
        local.map(|local| self::role("role in the local group", Some(local))).transpose()?;
    let reading = SideReading {
        product_version: plain(&answer.server.product_version),
        edition: plain(&answer.server.edition),
        engine_edition: answer.server.engine_edition,
        server_time: clock.utc,
        role,
        // On a primary the local row says CONNECTED of itself; what it hears stands in `partner`.
        connected: own.filter(|_| role != Role::Primary).map(connected).transpose()?.flatten(),
        sync_health: own.map(health).transpose()?.flatten(),
        database: database(answer, target, clock)?,
        partner: if role == Role::Primary { partner(answer, target, &rows, clock)? } else { None },
        replicas: Vec::new(),
        members: members(&rows),
    };
    Ok(Told { reading, local })
}

/// What the two groups of the link are called, by a server that has one of them.
fn members(rows: &[&GroupRow]) -> Option<Members> {
    let own = rows.iter().find_map(|row| row.local_group.as_deref())?;
    let other = rows.iter().filter(|row| row.local_group.is_none());
    let other = other.filter_map(|row| row.member.as_deref()).next()?;
    // They become part of statements, which quote them: nothing of a name may be lost.
    Some(Members { own: own.to_owned(), other: other.to_owned() })
}

/// The row that tells this side's own role. Everything else is hearsay.
fn own_row<'a>(
    answer: &Answer,
    target: &LinkTarget,
    rows: &[&'a GroupRow],
) -> Result<Option<&'a GroupRow>, Silence> {
    if rows.is_empty() {
        if answer.server.sees_groups == Some(false) {
            let what = format!("availability group `{}`", target.dag);
            return Err(unseen(&what, "VIEW ANY DEFINITION"));
        }
        return Ok(None);
    }
    let mut own = rows.iter().filter(|row| is_own(row));
    let Some(first) = own.next() else {
        return Err(garbled(format!("group `{}` has no state row of this side", target.dag)));
    };
    if own.any(|other| other.role != first.role) {
        return Err(garbled(format!("group `{}` has two roles on this side", target.dag)));
    }
    Ok(Some(first))
}

/// Of this side: by its own word, or because its replica is a group of this server.
fn is_own(row: &GroupRow) -> bool {
    row.is_local == Some(true) || row.local_group.is_some()
}

fn database(
    answer: &Answer,
    target: &LinkTarget,
    clock: Clock,
) -> Result<Option<DatabaseReading>, Silence> {
    let rows: Vec<_> = answer.databases.iter().filter(|row| named(row, target)).collect();
    let Some(any) = rows.first() else {
        if answer.server.sees_databases == Some(false) {
            let what = format!("database `{}`", target.database);
            return Err(unseen(&what, "VIEW ANY DATABASE"));
        }
        return Ok(None);
    };
    // The group of the link first, then the local group beneath it; with several local replicas
    // (Business Critical) the one that is primary there. Another link of this database is neither.
    let mut own: Vec<_> = rows
        .iter()
        .filter(|row| row.is_local == Some(true))
        .filter(|row| of_link(row, target) || row.is_distributed == Some(false))
        .collect();
    own.sort_by_key(|row| (!of_link(row, target), row.is_primary_replica != Some(true)));
    let best = own.first();
    Ok(Some(DatabaseReading {
        state: state(any.state)?,
        read_write: any.updateability.as_deref() == Some("READ_WRITE"),
        suspended: best.is_some_and(|row| row.is_suspended == Some(true)),
        suspend_reason: best.and_then(|row| row.suspend_reason.as_deref()).map(plain),
        synchronization: best.map(|row| synchronization(row)).transpose()?.flatten(),
        last_hardened_lsn: own.iter().find_map(|row| row.last_hardened_lsn),
        last_commit_lsn: own.iter().find_map(|row| row.last_commit_lsn),
        last_commit_at: own.iter().find_map(|row| clock.utc_of(row.last_commit_time)),
        redo_queue_kb: own.iter().find_map(|row| amount(row.redo_queue_kb)),
        redo_rate_kb_per_s: own.iter().find_map(|row| amount(row.redo_rate_kb_per_s)),
        end_of_log_lsn: own.iter().find_map(|row| row.end_of_log_lsn),
    }))
}

fn partner(
    answer: &Answer,
    target: &LinkTarget,
    groups: &[&GroupRow],
    clock: Clock,
) -> Result<Option<PartnerReading>, Silence> {
    let group = groups.iter().find(|row| row.is_local == Some(false) && !is_own(row));
    let database = answer
        .databases
        .iter()
        .find(|row| named(row, target) && of_link(row, target) && row.is_local == Some(false));
    if group.is_none() && database.is_none() {
        return Ok(None);
    }
    Ok(Some(PartnerReading {
        connected: group.map(|row| connected(row)).transpose()?.flatten(),
        sync_health: group.map(|row| health(row)).transpose()?.flatten(),
        last_hardened_lsn: database.and_then(|row| row.last_hardened_lsn),
        last_commit_at: database.and_then(|row| clock.utc_of(row.last_commit_time)),
        log_send_queue_kb: database.and_then(|row| amount(row.log_send_queue_kb)),
        redo_queue_kb: database.and_then(|row| amount(row.redo_queue_kb)),
        lag_s: database.and_then(|row| amount(row.lag_s)),
        suspended: database.and_then(|row| row.is_suspended),
    }))
}

/// The server's clock, and how far its local time is from UTC at this moment.
#[derive(Clone, Copy)]
struct Clock {
    utc: Timestamp,
    offset: SignedDuration,
}

impl Clock {
    fn read(server: &ServerRow) -> Result<Self, Silence> {
        let (Some(utc), Some(local)) = (server.utc_time, server.local_time) else {
            return Err(garbled("the server did not tell its time".into()));
        };
        // Both clocks are read in one statement, some milliseconds apart at most, and zones are
        // whole minutes away from UTC.
        let minutes = (local.duration_since(utc).as_millis() + 30_000).div_euclid(60_000);
        let minutes = i64::try_from(minutes).unwrap_or(i64::MAX);
        if minutes.abs() > 15 * 60 {
            return Err(garbled(format!("the server's zone is {minutes} minutes from UTC")));
        }
        Ok(Self { utc, offset: SignedDuration::from_mins(minutes) })
    }

    /// Daylight saving is a trap here: a time that was written before the clock was changed is
    /// converted with the offset after it. In spring a commit then seems an hour older than it is,
    /// which overstates the loss. In autumn it seems an hour younger; as long as that puts it into
    /// the future it is caught and called unknown, in the hour after that it is not.
    fn utc_of(self, local: Option<Timestamp>) -> Option<Timestamp> {
        let utc = local?.checked_sub(self.offset).ok()?;
        (utc.duration_since(self.utc) <= SignedDuration::from_mins(1)).then_some(utc)
    }
}

fn named(row: &DatabaseRow, target: &LinkTarget) -> bool {
    same(row.database.as_deref(), &target.database)
}

fn of_link(row: &DatabaseRow, target: &LinkTarget) -> bool {
    row.is_distributed == Some(true) && same(row.group.as_deref(), &target.dag)
}

/// Most servers compare names without regard to case.
fn same(name: Option<&str>, asked: &str) -> bool {
    name.is_some_and(|name| name == asked || name.to_lowercase() == asked.to_lowercase())
}

/// Queues and lags are never negative; where they are, they are unknown.
fn amount(value: Option<i64>) -> Option<u64> {
    value.and_then(|value| u64::try_from(value).ok())
}

fn role(what: &str, value: Option<i32>) -> Result<Role, Silence> {
    match value {
        Some(0) => Ok(Role::Resolving),
        Some(1) => Ok(Role::Primary),
        Some(2) => Ok(Role::Secondary),
        other => Err(unheard_of(what, other)),
    }
}

fn connected(row: &GroupRow) -> Result<Option<bool>, Silence> {
    match row.connected_state {
        None => Ok(None),
        Some(0) => Ok(Some(false)),
        Some(1) => Ok(Some(true)),
        other => Err(unheard_of("connected_state", other)),
    }
}

fn health(row: &GroupRow) -> Result<Option<SyncHealth>, Silence> {
    match row.synchronization_health {
        None => Ok(None),
        Some(0) => Ok(Some(SyncHealth::NotHealthy)),
        Some(1) => Ok(Some(SyncHealth::PartiallyHealthy)),
        Some(2) => Ok(Some(SyncHealth::Healthy)),
        other => Err(unheard_of("synchronization_health", other)),
    }
}

fn synchronization(row: &DatabaseRow) -> Result<Option<SyncState>, Silence> {
    match row.synchronization_state {
        None => Ok(None),
        Some(0) => Ok(Some(SyncState::NotSynchronizing)),
        Some(1) => Ok(Some(SyncState::Synchronizing)),
        Some(2) => Ok(Some(SyncState::Synchronized)),
        Some(3) => Ok(Some(SyncState::Reverting)),
        Some(4) => Ok(Some(SyncState::Initializing)),
        other => Err(unheard_of("synchronization_state", other)),
    }
}

fn state(state: Option<i32>) -> Result<DatabaseState, Silence> {
    match state {
        Some(0) => Ok(DatabaseState::Online),
        Some(1) => Ok(DatabaseState::Restoring),
        Some(2) => Ok(DatabaseState::Recovering),
        Some(3) => Ok(DatabaseState::RecoveryPending),
        Some(4) => Ok(DatabaseState::Suspect),
        Some(5) => Ok(DatabaseState::Emergency),
        Some(6) => Ok(DatabaseState::Offline),
        other => Err(unheard_of("state of a database", other)),
    }
}

fn unheard_of(what: &str, value: Option<i32>) -> Silence {
    garbled(match value {
        Some(value) => format!("{value} as {what}"),
        None => format!("NULL as {what}"),
    })
}

fn garbled(detail: String) -> Silence {
    Silence { kind: SilenceKind::Garbled, detail: plain(&detail) }
}

fn unseen(what: &str, permission: &str) -> Silence {
    let detail = format!("{what} is not visible, and the login lacks {permission}");
    Silence { kind: SilenceKind::Denied, detail: plain(&detail) }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
