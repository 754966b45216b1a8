//! What is said of a step whose time is over, by what it was to bring about.

use alloc::string::{String, ToString};

use crate::{
    event::Again,
    input::Report,
    plan::Action,
    sight::{no_first_backup, nobody_looked},
};

/// Of a step for which nothing was sent, or only looks were asked for. `last`: what was seen.
pub(super) fn watched(action: &Action, last: &str) -> Report {
    let why = || last.to_string();
    let looked = |warning: String| {
        let warning = Some(warning);
        Report::Done { seen: why(), engine_ms: 0, warning }
    };
    match action {
        Action::TargetReady { .. }
        | Action::TargetPrimary { .. }
        | Action::RolesChanged { .. }
        | Action::Admitted { .. }
        | Action::BackedUp { .. }
        | Action::Saved { .. }
        | Action::LoginsSet { .. }
        | Action::CommitMode { .. }
        | Action::LinkDeleted { .. }
        | Action::GroupDropped { .. }
        | Action::LocalGroupDropped { .. }
        | Action::ReadOnly { .. }
        | Action::Demoted { .. } => Report::NotDone { why: why(), again: Again::SameRoute },
        // A look is all that is asked for, and nobody is kept waiting for it.
        Action::LogBackupsSeen { database, .. } => looked(nobody_looked(database)),
        Action::FirstBackup { database, .. } => looked(no_first_backup(database)),
        // The applications are waiting: what has not come about by now is given up.
        Action::Quiesced { .. } | Action::CaughtUp { .. } => {
            Report::NotDone { why: why(), again: Again::Never }
        }
        Action::TargetServing { .. }
        | Action::SourceSecondary { .. }
        | Action::Following { .. } => Report::Unknown { why: why() },
    }
}

/// Of a hook that is dead.
pub(super) fn after_hook(action: &Action) -> Again {
    match action {
        Action::Quiesced { .. } => Again::Never,
        Action::TargetReady { .. }
        | Action::TargetPrimary { .. }
        | Action::TargetServing { .. }
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
        | Action::LogBackupsSeen { .. } => Again::SameRoute,
    }
}
