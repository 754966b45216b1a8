//! What a look means for the state that a step is to bring about: the eyes bring readings, and here
//! is what follows from them. The daemon and the simulation judge by this very code.
//!
//! Of two readings the one that could be overtaken is taken first: commands at work before the role,
//! the primary before its secondary. What changes in between then shows in the second one.

mod aftercare;
mod calm;
mod cutover;
mod logins;
mod planned;
mod repair;

use alloc::{format, string::String};

use jiff::{SignedDuration, Timestamp};

pub(crate) use self::{aftercare::nobody_looked, cutover::no_first_backup};
pub use self::{
    aftercare::{
        BackupTaken, JobStep, LogBackups, backed_up, log_backups_seen, saved, still_saved,
    },
    calm::{Steadiness, Stillness},
    cutover::{commit_mode, first_backup, still_equal},
    logins::{LoginState, logins_set},
    planned::{
        Activity, Status, User, admitted, caught_up, not_stopped, quiesced, roles_changed,
        source_secondary,
    },
};
use crate::{
    deed::Sight,
    estate::Work,
    evidence::{
        ControlReading, DatabaseReading, DatabaseState, Role, SideReading, Silence, SyncState,
    },
    names::InstanceId,
    plan::{Action, Route},
};

/// Whether something on the target may still change its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnderWay {
    Yes,
    No,
    /// Its sessions can't be seen, and why.
    Unseen(String),
}

/// How long a control plane that contradicts a new primary is waited for. It repeats with delay
/// what the instance itself tells at once.
const CONTRADICTION: SignedDuration = SignedDuration::from_secs(30);

/// What the replicas of a side say of commands at work there, once the side has been read.
/// `speaker`: the place of the one that speaks for it. One that does not answer matters only if it
/// may be the one that can change the group: on one that is not primary there, a command that is
/// still at work can't come into effect any more.
#[must_use]
pub fn under_way(told: &[Result<bool, Silence>], speaker: Option<usize>) -> UnderWay {
    if told.iter().any(|told| matches!(told, Ok(true))) {
        return UnderWay::Yes;
    }
    let unseen = |at: usize| told.get(at).and_then(|told| told.as_ref().err());
    let silence = match speaker {
        Some(at) if at < told.len() => unseen(at),
        // By the listener nobody knows which one it is.
        Some(_) | None => (0..told.len()).find_map(unseen),
    };
    silence.map_or(UnderWay::No, |silence| UnderWay::Unseen(silence.detail.clone()))
}

/// Whether the control plane is asked too, after the target itself has shown `sight`.
#[must_use]
pub fn asks_control(work: &Work, sight: &Sight) -> bool {
    let by_arm = matches!(work.route, Some(Route::Arm { .. }));
    match (&work.action, sight) {
        (Action::TargetReady { .. }, Sight::Blind { .. })
        | (Action::TargetServing { .. }, Sight::Holds { .. })
        | (Action::LinkDeleted { .. }, Sight::Holds { .. } | Sight::Not { .. }) => true,
        // A POST over an instance that is primary already would make it secondary again, so the
        // control plane must not believe that.
        (Action::TargetPrimary { .. }, Sight::Blind { .. } | Sight::Not { .. }) => by_arm,
        (
            Action::TargetReady { .. }
            | Action::TargetPrimary { .. }
            | Action::TargetServing { .. }
            | Action::Quiesced { .. }
            | Action::Admitted { .. }
            | Action::CaughtUp { .. }
            | Action::RolesChanged { .. }
            | Action::SourceSecondary { .. }
            | Action::BackedUp { .. }
            | Action::Saved { .. }
            | Action::Demoted { .. }
            | Action::Following { .. }
            | Action::LoginsSet { .. }
            | Action::CommitMode { .. }
            | Action::LinkDeleted { .. }
            | Action::GroupDropped { .. }
            | Action::LocalGroupDropped { .. }
            | Action::ReadOnly { .. }
            | Action::FirstBackup { .. }
            | Action::LogBackupsSeen { .. },
            Sight::Holds { .. }
            | Sight::Warned { .. }
            | Sight::Not { .. }
            | Sight::Coming { .. }
            | Sight::Unfit { .. }
            | Sight::Blind { .. },
        ) => false,
    }
}

/// What both show together, where [`asks_control`] said so.
#[must_use]
pub fn with_control(
    work: &Work,
    now: Timestamp,
    sight: Sight,
    control: Result<ControlReading, Silence>,
) -> Sight {
    if let Action::LinkDeleted { .. } = &work.action {
        return cutover::by_both(sight, control);
    }
    match sight {
        Sight::Blind { why } => match control {
            Ok(reading) => of_control(&work.action, &reading, &why),
            Err(silence) => {
                let detail = silence.detail;
                Sight::Blind { why: format!("{why}; Azure Resource Manager: {detail}") }
            }
        },
        Sight::Not { .. } => not_by_both(sight, &work.action, control),
        Sight::Holds { seen } => {
            agreed(seen, control, now.duration_since(work.started_at) >= CONTRADICTION)
        }
        Sight::Warned { .. } | Sight::Coming { .. } | Sight::Unfit { .. } => sight,
    }
}

/// The state in words, where the target shows by itself that it has come about while the reply of
/// the command is outstanding.
#[must_use]
pub fn held(action: &Action, reading: &SideReading) -> Option<String> {
    held_by(of_side(action, reading, &UnderWay::Yes))
}

/// The same of a backup.
#[must_use]
pub fn backup_held(taken: Result<Option<BackupTaken>, Silence>) -> Option<String> {
    held_by(backed_up(Ok(Some(None)), taken))
}

fn held_by(sight: Sight) -> Option<String> {
    match sight {
        Sight::Holds { seen } | Sight::Warned { seen, .. } => Some(seen),
        Sight::Not { .. } | Sight::Coming { .. } | Sight::Unfit { .. } | Sight::Blind { .. } => {
            None
        }
    }
}

/// What the target itself shows.
#[must_use]
pub fn of_side(action: &Action, reading: &SideReading, under_way: &UnderWay) -> Sight {
    let seen = shown(action, reading);
    match action {
        Action::TargetReady { .. } if reading.role == Role::Primary => Sight::Holds { seen },
        Action::TargetReady { .. } => match as_secondary(reading, under_way, seen) {
            // Nothing is in the way; whether that is sure matters only to who sends a command.
            Sight::Not { seen, .. } | Sight::Holds { seen } | Sight::Warned { seen, .. } => {
                Sight::Holds { seen }
            }
            Sight::Blind { .. } => Sight::Holds { seen: shown(action, reading) },
            other @ (Sight::Coming { .. } | Sight::Unfit { .. }) => other,
        },
        Action::TargetPrimary { .. } | Action::TargetServing { .. } => {
            if reading.serving() {
                return Sight::Holds { seen };
            }
            if reading.role == Role::Secondary && reading.connected == Some(true) {
                return unfit(seen, "and it still hears the primary");
            }
            match (reading.role, &reading.database) {
                (Role::Primary, Some(database)) => as_new_primary(database, under_way, seen),
                (Role::Primary, None) => unfit(seen, "and there is no such database"),
                (Role::Secondary | Role::Resolving | Role::Absent, _) => {
                    as_secondary(reading, under_way, seen)
                }
            }
        }
        // The target alone can say that it has come about, but not that it has not.
        Action::RolesChanged { .. } if reading.serving() => Sight::Holds { seen },
        Action::RolesChanged { .. } => Sight::Coming { seen },
        Action::SourceSecondary { .. } => source_secondary(action, reading),
        Action::Demoted { .. } => repair::demoted(reading, under_way, seen),
        Action::Following { .. } => repair::following(reading, seen),
        Action::LinkDeleted { .. } => cutover::link_deleted(reading, seen),
        Action::GroupDropped { .. } => cutover::group_dropped(reading, under_way, seen),
        Action::LocalGroupDropped { .. } => cutover::local_dropped(reading, under_way, seen),
        Action::ReadOnly { .. } => cutover::read_only(reading, seen),
        Action::Quiesced { .. }
        | Action::Admitted { .. }
        | Action::CaughtUp { .. }
        | Action::BackedUp { .. }
        | Action::Saved { .. }
        | Action::LoginsSet { .. }
        | Action::CommitMode { .. }
        | Action::FirstBackup { .. }
        | Action::LogBackupsSeen { .. } => {
            Sight::Blind { why: format!("{seen}, which says nothing of this step") }
        }
    }
}

/// What the control plane shows where the target itself can't be seen. It repeats what the managed
/// instance believes and knows nothing of the database taking writes.
fn of_control(action: &Action, reading: &ControlReading, blind: &str) -> Sight {
    by_control(action, reading, &format!("; the target can't be seen: {blind}"))
}

/// The target says that it is not done, and the command would go by way of the control plane: does
/// that one see it so too? If it can't say, the command will tell.
fn not_by_both(by_side: Sight, action: &Action, control: Result<ControlReading, Silence>) -> Sight {
    let Ok(reading) = control else { return by_side };
    let Sight::Not { seen, .. } = &by_side else { return by_side };
    match by_control(action, &reading, &format!("; {seen}")) {
        Sight::Not { .. } | Sight::Blind { .. } | Sight::Holds { .. } | Sight::Warned { .. } => {
            by_side
        }
        other @ (Sight::Coming { .. } | Sight::Unfit { .. }) => other,
    }
}

/// The target serves. A control plane that says otherwise is waited for a while, and one that says
/// nothing is not: the target is what counts.
fn agreed(seen: String, control: Result<ControlReading, Silence>, waited: bool) -> Sight {
    let role = match control {
        Err(silence) => {
            let detail = silence.detail;
            return Sight::Holds { seen: format!("{seen}; no word from ARM: {detail}") };
        }
        Ok(reading) => reading.link.map(|link| link.instance_role),
    };
    match role {
        Some(Role::Primary) => Sight::Holds { seen: format!("{seen}; ARM agrees") },
        other => {
            let says = other.map_or("that it knows no such link", word);
            let seen = format!("{seen}; ARM still says {says}");
            if waited { Sight::Holds { seen } } else { Sight::Coming { seen } }
        }
    }
}

fn by_control(action: &Action, reading: &ControlReading, besides: &str) -> Sight {
    let Some(link) = &reading.link else {
        return Sight::Unfit { seen: format!("ARM knows no such link{besides}") };
    };
    let role = word(link.instance_role);
    if !reading.instance_state.eq_ignore_ascii_case("Ready") {
        let state = &reading.instance_state;
        let seen = format!("ARM says {role}, and that the instance is {state}{besides}");
        return Sight::Unfit { seen };
    }
    let seen = format!("ARM says {role}{besides}");
    match (action, link.instance_role) {
        (Action::TargetReady { .. }, Role::Primary | Role::Secondary) => Sight::Holds { seen },
        (
            Action::TargetPrimary { .. } | Action::TargetServing { .. },
            Role::Primary | Role::Resolving,
        )
        | (Action::TargetReady { .. }, Role::Resolving) => Sight::Coming { seen },
        (Action::TargetPrimary { .. } | Action::TargetServing { .. }, Role::Secondary) => {
            Sight::Not { seen, first_hand: false }
        }
        (
            Action::TargetReady { .. }
            | Action::TargetPrimary { .. }
            | Action::TargetServing { .. },
            Role::Absent,
        ) => Sight::Unfit { seen },
        (
            Action::Quiesced { .. }
            | Action::Admitted { .. }
            | Action::CaughtUp { .. }
            | Action::RolesChanged { .. }
            | Action::SourceSecondary { .. }
            | Action::BackedUp { .. }
            | Action::Saved { .. }
            | Action::Demoted { .. }
            | Action::Following { .. }
            | Action::LoginsSet { .. }
            | Action::CommitMode { .. }
            | Action::LinkDeleted { .. }
            | Action::GroupDropped { .. }
            | Action::LocalGroupDropped { .. }
            | Action::ReadOnly { .. }
            | Action::FirstBackup { .. }
            | Action::LogBackupsSeen { .. },
            _,
        ) => Sight::Blind { why: format!("{seen}, which says nothing of this step") },
    }
}

fn as_secondary(reading: &SideReading, under_way: &UnderWay, seen: String) -> Sight {
    match reading.role {
        Role::Resolving => return Sight::Coming { seen },
        Role::Absent => {
            return unfit(seen, "the distributed availability group is unknown there");
        }
        Role::Primary | Role::Secondary => {}
    }
    if *under_way == UnderWay::Yes {
        return Sight::Coming { seen: format!("{seen}, a change of the group is under way") };
    }
    let Some(database) = &reading.database else {
        return unfit(seen, "and there is no such database");
    };
    match database.synchronization {
        Some(SyncState::Reverting | SyncState::Initializing) => {
            return unfit(seen, "from which it could not start as primary");
        }
        Some(SyncState::NotSynchronizing | SyncState::Synchronizing | SyncState::Synchronized)
        | None => {}
    }
    match database.state {
        DatabaseState::Recovering | DatabaseState::RecoveryPending => Sight::Coming { seen },
        DatabaseState::Suspect | DatabaseState::Emergency | DatabaseState::Offline => {
            unfit(seen, "and that database could not start as primary")
        }
        DatabaseState::Online | DatabaseState::Restoring => match under_way {
            UnderWay::Unseen(why) => Sight::Blind {
                why: format!("{seen}, but not whether a command is at work there: {why}"),
            },
            UnderWay::Yes | UnderWay::No => Sight::Not { seen, first_hand: true },
        },
    }
}

/// The role is PRIMARY, and the database takes no writes yet.
fn as_new_primary(database: &DatabaseReading, under_way: &UnderWay, seen: String) -> Sight {
    match database.state {
        DatabaseState::Online
        | DatabaseState::Restoring
        | DatabaseState::Recovering
        | DatabaseState::RecoveryPending => Sight::Coming { seen },
        DatabaseState::Suspect | DatabaseState::Emergency | DatabaseState::Offline => {
            if *under_way == UnderWay::Yes {
                return Sight::Coming { seen };
            }
            unfit(seen, "and another failover would not mend that")
        }
    }
}

fn unfit(seen: String, because: &str) -> Sight {
    Sight::Unfit { seen: format!("{seen}, {because}") }
}

/// For humans and the journal: what was seen, in the server's own words.
fn shown(action: &Action, reading: &SideReading) -> String {
    shown_at(action.instance(), action, reading)
}

/// The same of another instance that has a part in it.
fn shown_at(instance: &InstanceId, action: &Action, reading: &SideReading) -> String {
    let mut seen = format!("{instance} is {}", word(reading.role));
    let Some(database) = &reading.database else { return seen };
    let state = match database.state {
        DatabaseState::Online => "ONLINE",
        DatabaseState::Restoring => "RESTORING",
        DatabaseState::Recovering => "RECOVERING",
        DatabaseState::RecoveryPending => "RECOVERY_PENDING",
        DatabaseState::Suspect => "SUSPECT",
        DatabaseState::Emergency => "EMERGENCY",
        DatabaseState::Offline => "OFFLINE",
    };
    let updateability = if database.read_write { "READ_WRITE" } else { "READ_ONLY" };
    seen.push_str(&format!(", {} {state} {updateability}", action.database()));
    if let Some(synchronization) = database.synchronization {
        seen.push_str(match synchronization {
            SyncState::NotSynchronizing => " NOT SYNCHRONIZING",
            SyncState::Synchronizing => " SYNCHRONIZING",
            SyncState::Synchronized => " SYNCHRONIZED",
            SyncState::Reverting => " REVERTING",
            SyncState::Initializing => " INITIALIZING",
        });
    }
    if database.suspended {
        seen.push_str(" (suspended)");
    }
    seen
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Primary => "PRIMARY",
        Role::Secondary => "SECONDARY",
        Role::Resolving => "RESOLVING",
        Role::Absent => "without the group",
    }
}

#[cfg(test)]
mod tests;
