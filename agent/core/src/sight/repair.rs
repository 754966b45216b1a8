//! What looks mean for the steps that make a secondary of an old primary.

use alloc::{borrow::ToOwned as _, format, string::String};

use super::{UnderWay, unfit};
use crate::{
    deed::Sight,
    evidence::{Role, SideReading, SyncHealth, SyncState},
};

/// Is the old primary a secondary now?
pub(super) fn demoted(reading: &SideReading, under_way: &UnderWay, seen: String) -> Sight {
    match (reading.role, under_way) {
        (Role::Secondary, _) => Sight::Holds { seen },
        (Role::Resolving, _) => Sight::Coming { seen },
        (Role::Absent, _) => unfit(seen, "the distributed availability group is unknown there"),
        (Role::Primary, UnderWay::Yes) => {
            Sight::Coming { seen: format!("{seen}, a change of the group is under way") }
        }
        (Role::Primary, UnderWay::Unseen(why)) => Sight::Blind {
            why: format!("{seen}, but not whether a command is at work there: {why}"),
        },
        (Role::Primary, UnderWay::No) => Sight::Not { seen, first_hand: true },
    }
}

/// Does it receive the log of the new primary?
pub(super) fn following(reading: &SideReading, seen: String) -> Sight {
    match reading.role {
        Role::Secondary => {}
        Role::Resolving => return Sight::Coming { seen },
        Role::Primary | Role::Absent => return unfit(seen, "and not SECONDARY any more"),
    }
    let Some(database) = &reading.database else {
        return unfit(seen, "and there is no such database");
    };
    // Movement that is suspended stays so until somebody resumes it, and a resume that comes too
    // early is taken and does nothing.
    if database.suspended {
        let because = database.suspend_reason.clone().unwrap_or_else(|| "suspended".to_owned());
        return Sight::Not { seen: format!("{seen}, {because}"), first_hand: true };
    }
    let moving = matches!(
        database.synchronization,
        Some(SyncState::Synchronizing | SyncState::Synchronized)
    );
    let healthy = reading.sync_health == Some(SyncHealth::Healthy);
    if moving && healthy && reading.connected == Some(true) {
        return Sight::Holds { seen };
    }
    Sight::Coming { seen: format!("{seen}, not connected and HEALTHY yet") }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::evidence::{DatabaseReading, DatabaseState};

    fn reading(role: Role) -> SideReading {
        SideReading {
            product_version: "16.0.4125.3".into(),
            edition: "Developer Edition".into(),
            engine_edition: 3,
            server_time: Timestamp::UNIX_EPOCH,
            role,
            connected: Some(true),
            sync_health: Some(SyncHealth::Healthy),
            database: Some(DatabaseReading {
                state: DatabaseState::Online,
                read_write: false,
                suspended: false,
                suspend_reason: None,
                synchronization: Some(SyncState::Synchronizing),
                last_hardened_lsn: None,
                last_commit_lsn: None,
                last_commit_at: None,
                redo_queue_kb: None,
                redo_rate_kb_per_s: None,
                end_of_log_lsn: None,
            }),
            partner: None,
            replicas: alloc::vec::Vec::new(),
            members: None,
        }
    }

    fn follows(change: impl Fn(&mut SideReading)) -> Sight {
        let mut reading = reading(Role::Secondary);
        change(&mut reading);
        following(&reading, String::new())
    }

    #[test]
    fn one_that_is_suspended_is_resumed_and_one_that_connects_is_waited_for() {
        assert!(matches!(follows(|_| ()), Sight::Holds { .. }));
        let suspended = |reading: &mut SideReading| {
            let database = reading.database.as_mut().expect("it is there");
            database.suspended = true;
            database.suspend_reason = Some("SUSPEND_FROM_USER".into());
        };
        assert!(matches!(follows(suspended), Sight::Not { first_hand: true, .. }));
        assert!(matches!(follows(|r| r.connected = Some(false)), Sight::Coming { .. }));
        assert!(matches!(
            follows(|r| r.sync_health = Some(SyncHealth::NotHealthy)),
            Sight::Coming { .. }
        ));
        let reverting = |reading: &mut SideReading| {
            reading.database.as_mut().expect("it is there").synchronization =
                Some(SyncState::Reverting);
        };
        assert!(matches!(follows(reverting), Sight::Coming { .. }));
        assert!(matches!(follows(|r| r.role = Role::Primary), Sight::Unfit { .. }));
    }

    #[test]
    fn a_demotion_is_sent_again_only_where_nothing_is_at_work() {
        let demoted = |role, under_way| demoted(&reading(role), &under_way, String::new());
        assert!(matches!(demoted(Role::Secondary, UnderWay::No), Sight::Holds { .. }));
        assert!(matches!(
            demoted(Role::Primary, UnderWay::No),
            Sight::Not { first_hand: true, .. }
        ));
        assert!(matches!(demoted(Role::Primary, UnderWay::Yes), Sight::Coming { .. }));
        let unseen = UnderWay::Unseen("denied".into());
        assert!(matches!(demoted(Role::Primary, unseen), Sight::Blind { .. }));
        assert!(matches!(demoted(Role::Resolving, UnderWay::No), Sight::Coming { .. }));
        assert!(matches!(demoted(Role::Absent, UnderWay::No), Sight::Unfit { .. }));
    }
}
