//! Forced failover to the secondary: the primary is gone, and its last commits go with it.

use alloc::{format, string::String, vec::Vec};

use super::{Action, Lane, Plan, PlanKind, Route, Step, Undo, quoted};
use crate::{names::Side, policy::LinkSpec};

/// The plan that makes `target` the primary without asking the other side.
pub(crate) fn forced_failover(spec: &LinkSpec, target: Side) -> Plan {
    let instance = spec.instance(target).clone();
    let (group, database) = (spec.group.clone(), spec.database.clone());
    let deadline_ms = u64::try_from(spec.policy.step_deadline.as_millis()).unwrap_or(u64::MAX);
    let look = |action| Step { action, routes: Vec::new(), undo: Undo::Nothing, deadline_ms };
    // Runs on the target, which is the opposite of a planned failover on a link.
    let statement =
        format!("ALTER AVAILABILITY GROUP {} FORCE_FAILOVER_ALLOW_DATA_LOSS", quoted(&group));
    let mut routes = Vec::from([Route::Tsql { instance: instance.clone(), statement }]);
    if let Some(path) = spec.arm_path.as_ref().filter(|_| target == Side::ManagedInstance) {
        routes.push(Route::Arm {
            path: format!("{path}/failover"),
            body: String::from(r#"{"failoverType":"ForcedAllowDataLoss"}"#),
        });
    }
    let steps = Vec::from([
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
    let lanes = Vec::from([Lane { link: spec.id.clone(), target, steps }]);
    Plan { kind: PlanKind::ForcedFailover, lanes }
}
