//! What has to follow a move to SQL Server before anybody can rely on its backups.

use alloc::{format, vec::Vec};

use jiff::Timestamp;

use super::{Action, Route, Step, Undo, ms, quoted, text};
use crate::{
    names::{InstanceId, ProposalId, Side},
    policy::LinkSpec,
};

/// Steps that come after the change of roles; none on a managed instance, which backs up by itself.
/// The number and the time go into the name of the backup, so that it is found again whatever the
/// clocks say.
pub(super) fn aftercare(
    spec: &LinkSpec,
    target: Side,
    proposal: ProposalId,
    now: Timestamp,
) -> Vec<Step> {
    if target != Side::SqlServer {
        return Vec::new();
    }
    let instance = spec.instance(target);
    let looked = Step {
        action: Action::LogBackupsSeen {
            instance: instance.clone(),
            group: spec.group.clone(),
            database: spec.database.clone(),
        },
        routes: Vec::new(),
        undo: Undo::Nothing,
        deadline_ms: ms(spec.policy.step_deadline),
    };
    backup(spec, instance, proposal, now).into_iter().chain([looked]).collect()
}

/// The log backups of the managed instance are not in the chain of SQL Server: without a full
/// backup of its own nothing after the change of roles can be restored there.
fn backup(
    spec: &LinkSpec,
    instance: &InstanceId,
    proposal: ProposalId,
    now: Timestamp,
) -> Option<Step> {
    let place = spec.planned.backup.as_ref()?;
    let seconds = now.as_second();
    let name = format!("dr-agent {proposal} {seconds}");
    let device = if place.to.to_ascii_lowercase().starts_with("https://") { "URL" } else { "DISK" };
    let file = format!("{}{}-dr-agent-{proposal}-{seconds}.bak", place.to, spec.database);
    let statement = format!(
        "BACKUP DATABASE {} TO {device} = {} WITH CHECKSUM, FORMAT, NAME = {}",
        quoted(&spec.database),
        text(&file),
        text(&name),
    );
    let action = Action::BackedUp {
        instance: instance.clone(),
        group: spec.group.clone(),
        database: spec.database.clone(),
        name,
    };
    let routes = Vec::from([Route::Tsql { instance: instance.clone(), statement }]);
    Some(Step { action, routes, undo: Undo::Nothing, deadline_ms: ms(place.within) })
}
