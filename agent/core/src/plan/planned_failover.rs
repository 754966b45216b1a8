//! Planned failover, link kept: the primary hands over when the other side has everything.
//!
//! Applications are stopped first, so that none of them meets a server that has just become a
//! secondary, and so that there is nothing to catch up with. Up to the change of roles all of it
//! can be taken back.

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};

use jiff::Timestamp;

use super::{
    Action, Hook, Lane, Method, Plan, PlanKind, Quiet, Route, Step, Undo, aftercare::aftercare, ms,
    quoted,
};
use crate::{
    names::{InstanceId, ProposalId, Side},
    policy::LinkSpec,
};

/// Tries of one step before the plan is given up and taken back: the applications are waiting.
pub(crate) const ATTEMPTS: u32 = 5;

/// The plan that lets the primary hand over to `target`. The number and the time go into the name
/// of the backup, so that it is found again whatever the clocks say.
pub(crate) fn planned_failover(
    spec: &LinkSpec,
    target: Side,
    proposal: ProposalId,
    now: Timestamp,
) -> Plan {
    let source = spec.instance(target.other());
    let instance = spec.instance(target);
    let (group, database) = (spec.group.clone(), spec.database.clone());
    let quiet = Quiet { for_ms: ms(spec.planned.quiet_for), log_kb: spec.planned.quiet_log_kb };
    let look = |action, within| Step {
        action,
        routes: Vec::new(),
        undo: Undo::Nothing,
        deadline_ms: ms(within),
    };
    let at = |instance: &InstanceId| (instance.clone(), group.clone(), database.clone());
    let usual = spec.policy.step_deadline;
    let (ready, serving, secondary) = (at(instance), at(instance), at(source));
    let mut steps = Vec::from([
        look(Action::TargetReady { instance: ready.0, group: ready.1, database: ready.2 }, usual),
        quiesce(spec, source, quiet),
        look(
            Action::CaughtUp {
                instance: source.clone(),
                target: instance.clone(),
                group: group.clone(),
                database: database.clone(),
                quiet,
            },
            spec.planned.catch_up_within,
        ),
        Step {
            action: Action::RolesChanged {
                instance: instance.clone(),
                source: source.clone(),
                group: group.clone(),
                database: database.clone(),
            },
            routes: routes(spec, target),
            undo: Undo::Impossible,
            deadline_ms: ms(spec.planned.hand_over_within),
        },
        look(
            Action::TargetServing { instance: serving.0, group: serving.1, database: serving.2 },
            usual,
        ),
        look(
            Action::SourceSecondary {
                instance: secondary.0,
                group: secondary.1,
                database: secondary.2,
            },
            usual,
        ),
    ]);
    steps.extend(aftercare(spec, target, proposal, now));
    let lanes = Vec::from([Lane { link: spec.id.clone(), target, steps, guard: Vec::new() }]);
    Plan { kind: PlanKind::PlannedFailover, lanes }
}

/// Applications are stopped by the operator's hook if there is one; else by people, and the step
/// waits until the server shows that they are gone.
pub(super) fn quiesce(spec: &LinkSpec, source: &InstanceId, quiet: Quiet) -> Step {
    let (group, database) = (spec.group.clone(), spec.database.clone());
    let hook = spec.planned.applications.as_ref();
    let called = |verb: &str| {
        hook.map(|hook| {
            let mut command = hook.command.clone();
            command.push(verb.to_string());
            Hook { command, ..hook.clone() }
        })
    };
    let deadline_ms = ms(spec.planned.quiesce_within);
    let undo = match (called("start"), called("status")) {
        (Some(start), Some(status)) => Undo::With(Box::new(Step {
            action: Action::Admitted {
                instance: source.clone(),
                group: group.clone(),
                database: database.clone(),
                status,
            },
            routes: Vec::from([Route::Hook(start)]),
            undo: Undo::Nothing,
            deadline_ms,
        })),
        _ => Undo::Nothing,
    };
    Step {
        action: Action::Quiesced {
            instance: source.clone(),
            group,
            database,
            status: called("status"),
            quiet,
        },
        routes: called("stop").map(Route::Hook).into_iter().collect(),
        undo,
        deadline_ms,
    }
}

/// The statement runs on the primary, which is the opposite of a forced failover. Azure Resource
/// Manager takes a planned one only while the managed instance is the primary.
fn routes(spec: &LinkSpec, target: Side) -> Vec<Route> {
    let statement = format!("ALTER AVAILABILITY GROUP {} FAILOVER", quoted(&spec.group));
    let instance = spec.instance(target.other()).clone();
    let mut routes = Vec::from([Route::Tsql { instance, statement }]);
    if let Some(path) = spec.arm_path.as_ref().filter(|_| target == Side::SqlServer) {
        routes.push(Route::Arm {
            method: Method::Post,
            path: format!("{path}/failover"),
            body: String::from(r#"{"failoverType":"Planned"}"#),
        });
    }
    routes
}
