//! What looks mean for the steps of a planned failover.

use alloc::{borrow::ToOwned, format, string::String, vec, vec::Vec};
use core::time::Duration;

use super::{
    UnderWay, as_secondary,
    calm::{Calm, Steadiness, Stillness},
    shown, shown_at,
};
use crate::{
    deed::Sight,
    evidence::{
        DatabaseReading, PartnerReading, Role, SideReading, Silence, SyncHealth, SyncState,
    },
    plan::{Action, Quiet, Route},
};

/// A lag in whole seconds that counts as none. More is in the way; 0 proves nothing, for it is 0 too
/// while data movement is suspended.
const LAG_S: u64 = 1;
/// Of those who are still at work so many are named.
const NAMED_USERS: usize = 3;

/// What goes on in a database at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// The server's own monotonic clock, in ms; after a restart of the host it begins anew.
    pub at_ms: i64,
    /// Bytes of log that the database has written since its server started.
    pub log_bytes_flushed: i64,
    /// Those who are in the database or have a transaction open that touches it. The asking session
    /// does not count.
    pub users: Vec<User>,
}

/// Sessions of one login, program and host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub login: String,
    pub program: String,
    pub host: String,
    pub sessions: i64,
    /// Open transactions of theirs that touch the database, from wherever.
    pub transactions: i64,
}

/// Whether the applications run, by the word of the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Running,
    Stopped,
}

/// What the hook says of the applications, where that settles it: as long as they run or nobody
/// can say, the server need not be asked.
pub fn not_stopped(status: Result<Status, String>, still: &mut Stillness) -> Option<Sight> {
    let sight = match status {
        Ok(Status::Stopped) => return None,
        Ok(Status::Running) => {
            let seen = "the applications run, by the word of the hook".into();
            Sight::Not { seen, first_hand: true }
        }
        Err(why) => Sight::Blind { why },
    };
    still.broken();
    Some(sight)
}

/// Has everybody left the database? `route`: what the step does about those who have not.
pub fn quiesced(
    route: Option<&Route>,
    activity: Result<Activity, Silence>,
    quiet: Quiet,
    still: &mut Stillness,
) -> Sight {
    let activity = match activity {
        Ok(activity) => activity,
        Err(silence) => {
            still.broken();
            return Sight::Blind { why: silence.detail };
        }
    };
    if !activity.users.is_empty() {
        still.broken();
        let seen = format!("still at work: {}", users(&activity.users));
        // A hook has asked them to leave; a statement ends them, and whoever comes back too.
        return match route {
            Some(Route::Tsql { .. }) => Sight::Not { seen, first_hand: true },
            Some(Route::Hook(_) | Route::Arm { .. }) | None => Sight::Coming { seen },
        };
    }
    let whole = seconds(Duration::from_millis(quiet.for_ms));
    match still.seen(activity.at_ms, activity.log_bytes_flushed, quiet) {
        Calm::Kept => Sight::Holds {
            seen: format!(
                "no session, no open transaction and at most {} KB of log for {whole}",
                quiet.log_kb
            ),
        },
        Calm::Since(span) => {
            let seen = format!("nobody is at work, quiet for {} of {whole}", seconds(span));
            Sight::Coming { seen }
        }
    }
}

/// Are the applications let in again, where they can work?
pub fn admitted(
    action: &Action,
    status: Result<Status, String>,
    side: Result<SideReading, Silence>,
) -> Sight {
    let (seen, serving) = match side {
        Ok(reading) => (shown(action, &reading), reading.serving()),
        Err(silence) => (format!("the server can't be seen: {}", silence.detail), false),
    };
    match (status, serving) {
        (Err(why), _) => Sight::Blind { why },
        // Whatever is seen of the server: letting the applications in again harms nobody.
        (Ok(Status::Stopped), _) => {
            Sight::Not { seen: format!("the applications are stopped; {seen}"), first_hand: true }
        }
        (Ok(Status::Running), true) => {
            Sight::Holds { seen: format!("the applications run; {seen}") }
        }
        (Ok(Status::Running), false) => Sight::Coming { seen },
    }
}

/// Has the target all that the primary has? The primary has to have been read first: what it had
/// then is what the target has to have now.
pub fn caught_up(
    action: &Action,
    primary: Result<SideReading, Silence>,
    target: Result<SideReading, Silence>,
    quiet: Quiet,
    steady: &mut Steadiness,
) -> Sight {
    let (primary, target) = match (primary, target) {
        (Ok(primary), Ok(target)) => (primary, target),
        (Err(silence), _) | (_, Err(silence)) => {
            steady.broken();
            return Sight::Blind { why: silence.detail };
        }
    };
    let besides = action.partner().unwrap_or_else(|| action.instance());
    let seen = format!("{}; {}", shown(action, &primary), shown_at(besides, action, &target));
    let (Some(copy), Role::Secondary, true) = (&target.database, target.role, primary.serving())
    else {
        steady.broken();
        let seen = format!("{seen}, which is not a primary that serves and its secondary");
        return Sight::Unfit { seen };
    };
    let Some(end) = primary.database.as_ref().and_then(|database| database.end_of_log_lsn) else {
        steady.broken();
        return Sight::Blind { why: format!("{seen}, but not where the log ends") };
    };
    let mut missing = hears(target.connected, copy);
    missing.extend(told(primary.partner.as_ref(), quiet));
    match copy.last_hardened_lsn {
        Some(hardened) if hardened >= end => {}
        Some(hardened) => missing.push(format!("it has {hardened} of {end}")),
        None => missing.push("it does not say how far its log goes".into()),
    }
    if let Some(kb) = copy.redo_queue_kb.filter(|kb| *kb > quiet.log_kb) {
        missing.push(format!("{kb} KB are to be redone"));
    }
    if let Calm::Since(span) = steady.seen(primary.server_time, end, quiet) {
        let whole = seconds(Duration::from_millis(quiet.for_ms));
        missing.push(format!("the log is still for {} of {whole}", seconds(span)));
    }
    if missing.is_empty() {
        return Sight::Holds { seen: format!("{seen}; it has all of the log, up to {end}") };
    }
    Sight::Coming { seen: format!("{seen}; {}", missing.join(", ")) }
}

/// What the target itself lacks to be following.
fn hears(connected: Option<bool>, copy: &DatabaseReading) -> Vec<String> {
    let mut missing = Vec::new();
    if connected != Some(true) {
        missing.push("it is not connected".into());
    }
    if copy.suspended {
        missing.push("its data movement is suspended".into());
    }
    match copy.synchronization {
        Some(SyncState::Synchronizing | SyncState::Synchronized) => {}
        Some(SyncState::NotSynchronizing | SyncState::Reverting | SyncState::Initializing)
        | None => missing.push("it is not synchronizing".into()),
    }
    missing
}

/// What the primary misses in its secondary. No lag is needed to be told, and none proves anything.
fn told(partner: Option<&PartnerReading>, quiet: Quiet) -> Vec<String> {
    let Some(partner) = partner else {
        return vec!["the primary says nothing of it".into()];
    };
    let mut missing = Vec::new();
    if partner.connected != Some(true) {
        missing.push("the primary does not call it connected".to_owned());
    }
    if partner.sync_health != Some(SyncHealth::Healthy) {
        missing.push("the primary does not call it HEALTHY".to_owned());
    }
    if partner.suspended != Some(false) {
        missing.push("the primary does not call its data movement running".to_owned());
    }
    for (what, queue) in [("sent", partner.log_send_queue_kb), ("redone", partner.redo_queue_kb)] {
        match queue {
            Some(kb) if kb <= quiet.log_kb => {}
            Some(kb) => missing.push(format!("by the primary {kb} KB are to be {what}")),
            None => missing.push(format!("the primary can't say how much is to be {what}")),
        }
    }
    if let Some(lag_s) = partner.lag_s.filter(|lag_s| *lag_s > LAG_S) {
        missing.push(format!("by the primary it is {lag_s} s behind"));
    }
    missing
}

/// Has the target taken over? The source has to have been asked for commands at work there before
/// its role was read; both count only where the target is not serving.
pub fn roles_changed(
    action: &Action,
    target: Result<SideReading, Silence>,
    under_way: &UnderWay,
    source: Result<SideReading, Silence>,
) -> Sight {
    let target = match target {
        Ok(reading) => reading,
        Err(silence) => return Sight::Blind { why: silence.detail },
    };
    let mut seen = shown(action, &target);
    if target.serving() {
        return Sight::Holds { seen };
    }
    // Past the point of no return, whatever its database does: that is never "not done".
    if matches!(target.role, Role::Primary | Role::Resolving) {
        return Sight::Coming { seen };
    }
    let source = match source {
        Ok(reading) => reading,
        Err(silence) => {
            return Sight::Blind { why: format!("{seen}; the source: {}", silence.detail) };
        }
    };
    let besides = action.partner().unwrap_or_else(|| action.instance());
    seen = format!("{seen}; {}", shown_at(besides, action, &source));
    match (under_way, source.role) {
        (UnderWay::Yes, _) => {
            Sight::Coming { seen: format!("{seen}, where a change of the group is under way") }
        }
        (UnderWay::No | UnderWay::Unseen(_), Role::Resolving | Role::Secondary) => {
            Sight::Coming { seen }
        }
        (UnderWay::No | UnderWay::Unseen(_), Role::Absent) => Sight::Unfit {
            seen: format!("{seen}, the distributed availability group is unknown there"),
        },
        (UnderWay::Unseen(why), Role::Primary) => Sight::Blind {
            why: format!("{seen}, but not whether a command is at work there: {why}"),
        },
        (UnderWay::No, Role::Primary) => as_secondary(&target, &UnderWay::No, seen),
    }
}

/// Is the old primary a secondary now?
pub fn source_secondary(action: &Action, reading: &SideReading) -> Sight {
    let seen = shown(action, reading);
    match reading.role {
        Role::Secondary => Sight::Holds { seen },
        Role::Resolving | Role::Primary => Sight::Coming { seen },
        Role::Absent => Sight::Unfit {
            seen: format!("{seen}, the distributed availability group is unknown there"),
        },
    }
}

fn users(users: &[User]) -> String {
    let one = |user: &User| {
        let mut words = format!("{} ({} on {})", user.login, user.program, user.host);
        words.push_str(&match user.sessions {
            1 => ", 1 session".to_owned(),
            sessions => format!(", {sessions} sessions"),
        });
        match user.transactions {
            0 => {}
            1 => words.push_str(" and 1 open transaction"),
            transactions => words.push_str(&format!(" and {transactions} open transactions")),
        }
        words
    };
    let mut words: Vec<String> = users.iter().take(NAMED_USERS).map(one).collect();
    if users.len() > NAMED_USERS {
        words.push(format!("and {} more", users.len() - NAMED_USERS));
    }
    words.join("; ")
}

fn seconds(span: Duration) -> String {
    format!("{}.{} s", span.as_secs(), span.subsec_millis() / 100)
}

#[cfg(test)]
#[path = "planned_tests.rs"]
mod tests;
