//! Deletion of a link whose primary is gone: the copy in Azure goes on with what it has.
//!
//! It is what a forced failover is where versions, or a one-way link, can't change roles. Nothing comes
//! back over the link, so what is done to the old primary when it returns goes further than a return
//! guard does: its data is saved, its groups are dropped, and it is made READ_ONLY.

use alloc::vec::Vec;

use jiff::Timestamp;

use super::{
    Action, Lane, Plan, PlanKind, Step, Undo,
    cutover::{ending_link, retirement},
    guard::standing_order,
    ms,
};
use crate::{
    evidence::Members,
    names::{ProposalId, Side},
    policy::LinkSpec,
};

/// The plan that lets the managed instance go on alone. `members`: what the groups of the link are called
/// on SQL Server, if it has ever told.
pub(crate) fn deletion(
    spec: &LinkSpec,
    members: Option<&Members>,
    proposal: ProposalId,
    now: Timestamp,
) -> Plan {
    let target = Side::ManagedInstance;
    let source = spec.instance(Side::SqlServer);
    let ready = Step {
        action: Action::TargetReady {
            instance: spec.instance(target).clone(),
            group: spec.group.clone(),
            database: spec.database.clone(),
        },
        routes: Vec::new(),
        undo: Undo::Nothing,
        deadline_ms: ms(spec.policy.step_deadline),
    };
    // Nobody waits for the first full backup here: a run that is at work would keep the guard waiting.
    let steps = Vec::from([ready, ending_link(spec, None)]);
    let mut guard = standing_order(spec, Side::SqlServer, proposal, now);
    if !guard.is_empty() {
        guard.extend(retirement(spec, source, members));
    }
    let lanes = Vec::from([Lane { link: spec.id.clone(), target, steps, guard }]);
    Plan { kind: PlanKind::Deletion, lanes }
}
