//! What looks mean for the steps that give up a link for its copy in Azure.

use alloc::{borrow::ToOwned as _, format, string::String};

use super::{LogBackups, UnderWay, aftercare::lasting, shown, shown_at, unfit};
use crate::{
    deed::Sight,
    evidence::{ControlReading, DatabaseState, Role, SideReading, Silence, SyncState},
    plan::Action,
};

/// Does the primary wait for its secondary, and does that one have everything? Or does it not wait any
/// more? The primary has to have been read first.
pub fn commit_mode(
    action: &Action,
    primary: Result<SideReading, Silence>,
    target: Result<SideReading, Silence>,
) -> Sight {
    let primary = match primary {
        Ok(reading) => reading,
        Err(silence) => return Sight::Blind { why: silence.detail },
    };
    let seen = shown(action, &primary);
    let Some(own) = primary.database.as_ref().filter(|_| primary.serving()) else {
        return unfit(seen, "which is not a primary that serves");
    };
    let both = own.synchronization == Some(SyncState::Synchronized);
    if let Action::CommitMode { synchronous: false, .. } = action {
        return if both { Sight::Not { seen, first_hand: true } } else { Sight::Holds { seen } };
    }
    let target = match target {
        Ok(reading) => reading,
        Err(silence) => return Sight::Blind { why: silence.detail },
    };
    let besides = action.partner().unwrap_or_else(|| action.instance());
    let seen = format!("{seen}; {}", shown_at(besides, action, &target));
    let copy = target.database.as_ref().and_then(|database| database.synchronization);
    if both && copy == Some(SyncState::Synchronized) && target.connected == Some(true) {
        return Sight::Holds { seen };
    }
    Sight::Not { seen: format!("{seen}, not SYNCHRONIZED"), first_hand: true }
}

/// Does the managed instance go on by itself?
pub(super) fn link_deleted(reading: &SideReading, seen: String) -> Sight {
    match (reading.role, &reading.database) {
        (Role::Absent, Some(_)) if reading.alone() => Sight::Holds { seen },
        (Role::Absent, Some(_)) | (Role::Resolving, _) => Sight::Coming { seen },
        (Role::Absent, None) => unfit(seen, "and there is no such database"),
        (Role::Primary, _) => unfit(seen, "so the link is to be kept until it is decided anew"),
        (Role::Secondary, _) => Sight::Not { seen, first_hand: true },
    }
}

/// What Azure says too: the link is gone only when both say so, and it is not deleted twice.
pub(super) fn by_both(sight: Sight, control: Result<ControlReading, Silence>) -> Sight {
    let known = control.map(|reading| reading.link.is_some());
    match (sight, known) {
        (Sight::Holds { seen }, Ok(false)) => {
            Sight::Holds { seen: format!("{seen}; ARM knows no such link") }
        }
        (Sight::Holds { seen }, Ok(true)) => {
            Sight::Coming { seen: format!("{seen}; ARM still knows the link") }
        }
        (Sight::Holds { seen }, Err(silence)) => {
            Sight::Holds { seen: format!("{seen}; no word from ARM: {}", silence.detail) }
        }
        (Sight::Not { seen, .. }, Ok(false)) => {
            Sight::Coming { seen: format!("{seen}; ARM knows no such link any more") }
        }
        (sight, Ok(_) | Err(_)) => sight,
    }
}

/// The command that ends the link is about to leave, by what the managed instance has shown. Has it
/// all of the primary's log, even now? The primary has to have been read first.
#[must_use]
pub fn still_equal(
    sight: Sight,
    primary: Result<SideReading, Silence>,
    target: Result<SideReading, Silence>,
) -> Sight {
    let Sight::Not { seen, first_hand } = sight else { return sight };
    let (primary, target) = match (primary, target) {
        (Ok(primary), Ok(target)) => (primary, target),
        (Err(silence), _) | (_, Err(silence)) => {
            return Sight::Blind { why: format!("{seen}; {}", silence.detail) };
        }
    };
    let end = primary.database.as_ref().and_then(|database| database.end_of_log_lsn);
    let hardened = target.database.as_ref().and_then(|database| database.last_hardened_lsn);
    match (primary.serving(), end, hardened) {
        (true, Some(end), Some(hardened)) if hardened >= end => {
            Sight::Not { seen: format!("{seen}; it has all of the log, up to {end}"), first_hand }
        }
        (true, Some(end), Some(hardened)) => {
            Sight::Unfit { seen: format!("{seen}; it has {hardened} of {end}: somebody writes") }
        }
        (true, _, _) => Sight::Blind { why: format!("{seen}; how far the logs go is not told") },
        (false, _, _) => unfit(seen, "and the other side is no primary that serves"),
    }
}

/// Is the distributed group gone here?
pub(super) fn group_dropped(reading: &SideReading, under_way: &UnderWay, seen: String) -> Sight {
    match reading.role {
        Role::Absent => Sight::Holds { seen },
        Role::Primary | Role::Secondary | Role::Resolving => idle(under_way, seen),
    }
}

/// Is the database in no group any more?
pub(super) fn local_dropped(reading: &SideReading, under_way: &UnderWay, seen: String) -> Sight {
    match (reading.role, &reading.database) {
        (_, None) => unfit(seen, "and there is no such database"),
        (Role::Absent, Some(database)) if database.synchronization.is_none() => {
            Sight::Holds { seen }
        }
        (Role::Absent, Some(_)) => idle(under_way, seen),
        (Role::Primary | Role::Secondary | Role::Resolving, _) => {
            unfit(seen, "so the distributed group is still there")
        }
    }
}

/// Does it take no writes any more?
pub(super) fn read_only(reading: &SideReading, seen: String) -> Sight {
    let Some(database) = &reading.database else {
        return unfit(seen, "and there is no such database");
    };
    match (database.state, database.read_write) {
        (DatabaseState::Online, false) => Sight::Holds { seen },
        (DatabaseState::Online, true) => Sight::Not { seen, first_hand: true },
        (
            DatabaseState::Restoring
            | DatabaseState::Recovering
            | DatabaseState::RecoveryPending
            | DatabaseState::Suspect
            | DatabaseState::Emergency
            | DatabaseState::Offline,
            _,
        ) => Sight::Coming { seen },
    }
}

fn idle(under_way: &UnderWay, seen: String) -> Sight {
    match under_way {
        UnderWay::Yes => {
            Sight::Coming { seen: format!("{seen}, a change of the group is under way") }
        }
        UnderWay::Unseen(why) => Sight::Blind {
            why: format!("{seen}, but not whether a command is at work there: {why}"),
        },
        UnderWay::No => Sight::Not { seen, first_hand: true },
    }
}

/// Has the managed instance backed the database up since the link was deleted? `since_s`: how long
/// ago the deletion was begun.
#[must_use]
pub fn first_backup(since_s: Option<i64>, seen: Result<LogBackups, Silence>) -> Sight {
    let found = match seen {
        Ok(found) => found,
        Err(silence) => return Sight::Blind { why: silence.detail },
    };
    let (Some(ago), Some(since)) = (found.full_s, since_s) else {
        return Sight::Coming { seen: "there is no full backup yet".to_owned() };
    };
    let seen = format!("the last full backup ended {} ago", lasting(ago));
    if ago < since {
        return Sight::Holds { seen };
    }
    Sight::Coming { seen: format!("{seen}, before the link was deleted") }
}

/// What people are told where that backup has not been seen.
pub(crate) fn no_first_backup(database: &str) -> String {
    format!(
        "no full backup of {database} has been seen on the managed instance since the link was deleted. Do not restart or stop it before there is one: the database could become unavailable"
    )
}

#[cfg(test)]
#[path = "cutover_tests.rs"]
mod tests;
