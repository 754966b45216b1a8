//! Cutover: both sides have the same, nobody writes, and the link is given up. The copy in Azure goes on
//! by itself, and the one on SQL Server can only be read from then on.
//!
//! It is the way over for versions that can't change roles over a link. Once the link is deleted both
//! copies could take writes until the old one is READ_ONLY, which the engine refuses as long as it is
//! in a group: so writers are shut out and have been seen to be gone before that.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::time::Duration;

use super::{
    Action, Lane, Method, Plan, PlanKind, Quiet, Route, Step, Undo, guard::logins, ms,
    planned_failover::quiesce, quoted, repair::ending, text,
};
use crate::{
    evidence::Members,
    names::{InstanceId, Side},
    policy::LinkSpec,
};

/// Tries of one step: before the link is deleted the applications are waiting, and behind it some ten
/// minutes of them, in which a source that restarts is back.
pub(crate) const ATTEMPTS: u32 = 10;

/// The plan that ends the link of a SQL Server, whose groups are called `members`, with a managed
/// instance.
pub(crate) fn cutover(spec: &LinkSpec, members: &Members) -> Plan {
    let target = Side::ManagedInstance;
    let (source, instance) = (spec.instance(Side::SqlServer), spec.instance(target));
    let usual = spec.policy.step_deadline;
    let planned = &spec.planned;
    let quiet = Quiet { for_ms: ms(planned.quiet_for), log_kb: planned.quiet_log_kb };
    let at = |instance: &InstanceId| (instance.clone(), spec.group.clone(), spec.database.clone());
    let look = |action, within: Duration| step(action, None, Undo::Nothing, within);
    let (instance_at, group, database) = at(instance);
    let ready = Action::TargetReady { instance: instance_at, group, database };
    let (instance_at, group, database) = at(source);
    let caught_up = Action::CaughtUp {
        instance: instance_at,
        target: instance.clone(),
        group,
        database,
        quiet,
    };
    let mut steps = Vec::from([
        look(ready, usual),
        quiesce(spec, source, quiet),
        commits(spec, members, true, planned.catch_up_within),
    ]);
    steps.extend(fence(spec, source, quiet));
    steps.push(look(caught_up, planned.catch_up_within));
    steps.push(ending_link(spec, Some(source)));
    steps.extend(retirement(spec, source, Some(members)));
    steps.push(first_backup(spec));
    let lanes = Vec::from([Lane { link: spec.id.clone(), target, steps, guard: Vec::new() }]);
    Plan { kind: PlanKind::Cutover, lanes }
}

/// Lets a group go on SQL Server, local or distributed.
pub(crate) fn drop_group(group: &str) -> String {
    format!("DROP AVAILABILITY GROUP {}", quoted(group))
}

/// Takes a database out of the group of its own server: together with the group, if that is seen to have
/// nothing else, no other database, replica or link. What is not seen is left alone.
fn leave_group(group: &str, database: &str) -> String {
    let name = text(group);
    let one = |view: &str| {
        format!(
            "(SELECT COUNT(*) FROM {view} AS m JOIN sys.availability_groups AS g ON g.group_id = m.group_id WHERE g.name = {name}) = 1"
        )
    };
    format!(
        "IF HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW ANY DEFINITION') = 1 AND {} AND {} AND (SELECT COUNT(*) FROM sys.availability_replicas AS m JOIN sys.availability_groups AS g ON g.group_id = m.group_id WHERE g.is_distributed = 1 AND m.replica_server_name = {name}) = 0 {} ELSE ALTER AVAILABILITY GROUP {} REMOVE DATABASE {}",
        one("sys.availability_databases_cluster"),
        one("sys.availability_replicas"),
        drop_group(group),
        quoted(group),
        quoted(database),
    )
}

/// Keeps everybody from writing into a database that is in no group.
pub(crate) fn read_only(database: &str) -> String {
    format!("ALTER DATABASE {} SET READ_ONLY WITH ROLLBACK IMMEDIATE", quoted(database))
}

/// SQL Server alone is told: on the other side the mode counts only where that one is primary.
fn commits(spec: &LinkSpec, members: &Members, synchronous: bool, within: Duration) -> Step {
    let mode = if synchronous { "SYNCHRONOUS_COMMIT" } else { "ASYNCHRONOUS_COMMIT" };
    let statement = format!(
        "ALTER AVAILABILITY GROUP {} MODIFY AVAILABILITY GROUP ON {} WITH (AVAILABILITY_MODE = {mode}), {} WITH (AVAILABILITY_MODE = {mode})",
        quoted(&spec.group),
        text(&members.own),
        text(&members.other),
    );
    let undo = if synchronous {
        Undo::With(Box::new(commits(spec, members, false, spec.policy.step_deadline)))
    } else {
        Undo::Nothing
    };
    let instance = spec.instance(Side::SqlServer);
    let action = Action::CommitMode {
        instance: instance.clone(),
        target: spec.instance(Side::ManagedInstance).clone(),
        group: spec.group.clone(),
        database: spec.database.clone(),
        synchronous,
    };
    step(action, Some((instance, statement)), undo, within)
}

/// Who writes by the applications' logins is shut out, and whoever is still at work is ended.
fn fence(spec: &LinkSpec, source: &InstanceId, quiet: Quiet) -> Vec<Step> {
    let mut steps = Vec::new();
    if !spec.guard.logins.is_empty() {
        let undo = Undo::With(Box::new(logins(spec, source, false)));
        steps.push(Step { undo, ..logins(spec, source, true) });
    }
    let quiesced = Action::Quiesced {
        instance: source.clone(),
        group: spec.group.clone(),
        database: spec.database.clone(),
        status: None,
        quiet,
    };
    let ending = Some((source, ending(&spec.database)));
    steps.push(step(quiesced, ending, Undo::Nothing, spec.planned.quiesce_within));
    steps
}

/// Azure ends the link. `source`: the primary, if it is there to be compared with.
pub(super) fn ending_link(spec: &LinkSpec, source: Option<&InstanceId>) -> Step {
    let instance = spec.instance(Side::ManagedInstance);
    let path = spec.arm_path.clone().unwrap_or_default();
    Step {
        action: Action::LinkDeleted {
            instance: instance.clone(),
            source: source.cloned(),
            group: spec.group.clone(),
            database: spec.database.clone(),
        },
        routes: Vec::from([Route::Arm { method: Method::Delete, path, body: String::new() }]),
        undo: Undo::Impossible,
        deadline_ms: ms(spec.planned.hand_over_within),
    }
}

fn first_backup(spec: &LinkSpec) -> Step {
    let action = Action::FirstBackup {
        instance: spec.instance(Side::ManagedInstance).clone(),
        group: spec.group.clone(),
        database: spec.database.clone(),
    };
    step(action, None, Undo::Nothing, spec.cutover.first_backup_within)
}

/// What is left on SQL Server takes no writes any more, and then its logins may do in other databases
/// what they did before. Without the name of its own group that one stays, and READ_ONLY is refused in it.
pub(super) fn retirement(
    spec: &LinkSpec,
    source: &InstanceId,
    members: Option<&Members>,
) -> Vec<Step> {
    let (group, database) = (&spec.group, &spec.database);
    let within = spec.policy.step_deadline;
    let on_source =
        |action, statement| step(action, Some((source, statement)), Undo::Nothing, within);
    let at = || (source.clone(), group.clone(), database.clone());
    let (instance, group_at, database_at) = at();
    let dropped = Action::GroupDropped { instance, group: group_at, database: database_at };
    let mut steps = Vec::from([on_source(dropped, drop_group(group))]);
    let Some(Members { own, .. }) = members else { return steps };
    let (instance, group, database) = at();
    let local = own.clone();
    let local_dropped = Action::LocalGroupDropped { instance, group, database, local };
    steps.push(on_source(local_dropped, leave_group(own, &spec.database)));
    let (instance, group, database) = at();
    let statement = read_only(&database);
    steps.push(on_source(Action::ReadOnly { instance, group, database }, statement));
    if !spec.guard.logins.is_empty() {
        steps.push(logins(spec, source, false));
    }
    steps
}

fn step(
    action: Action,
    statement: Option<(&InstanceId, String)>,
    undo: Undo,
    within: Duration,
) -> Step {
    let route = |(instance, statement): (&InstanceId, _)| Route::Tsql {
        instance: instance.clone(),
        statement,
    };
    Step {
        action,
        routes: statement.map(route).into_iter().collect(),
        undo,
        deadline_ms: ms(within),
    }
}
