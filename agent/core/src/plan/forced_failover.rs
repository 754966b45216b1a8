//! Forced failover to the secondary: the primary is gone, and its last commits go with it.

use alloc::{format, string::String, vec::Vec};

use jiff::Timestamp;

use super::{
    Action, Lane, Method, Plan, PlanKind, Route, Step, Undo, aftercare::aftercare,
    guard::standing_order, ms, quoted,
};
use crate::{
    names::{ProposalId, Side},
    policy::LinkSpec,
};

/// The plan that makes `target` the primary without asking the other side.
pub(crate) fn forced_failover(
    spec: &LinkSpec,
    target: Side,
    proposal: ProposalId,
    now: Timestamp,
) -> Plan {
    let instance = spec.instance(target).clone();
    let (group, database) = (spec.group.clone(), spec.database.clone());
    let deadline_ms = ms(spec.policy.step_deadline);
    let look = |action| Step { action, routes: Vec::new(), undo: Undo::Nothing, deadline_ms };
    // Runs on the target, which is the opposite of a planned failover on a link.
    let statement =
        format!("ALTER AVAILABILITY GROUP {} FORCE_FAILOVER_ALLOW_DATA_LOSS", quoted(&group));
    let mut routes = Vec::from([Route::Tsql { instance: instance.clone(), statement }]);
    if let Some(path) = spec.arm_path.as_ref().filter(|_| target == Side::ManagedInstance) {
        routes.push(Route::Arm {
            method: Method::Post,
            path: format!("{path}/failover"),
            body: String::from(r#"{"failoverType":"ForcedAllowDataLoss"}"#),
        });
    }
    let mut steps = Vec::from([
        look(Action::TargetReady {
            instance: instance.clone(),
            group: group.clone(),
            database: database.clone(),
        }),
        Step {
            action: Action::TargetPrimary {
                instance: instance.clone(),
                group: group.clone(),
                database: database.clone(),
            },
            routes,
            undo: Undo::Impossible,
            deadline_ms,
        },
        look(Action::TargetServing { instance, group, database }),
    ]);
    steps.extend(aftercare(spec, target, proposal, now));
    let guard = standing_order(spec, target.other(), proposal, now);
    let lanes = Vec::from([Lane { link: spec.id.clone(), target, steps, guard }]);
    Plan { kind: PlanKind::ForcedFailover, lanes }
}
