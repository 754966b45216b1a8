//! The return guard: what is done to a side that comes back as primary though another has become it.
//!
//! Its steps are part of the forced failover that leaves that side unfenced, so whoever signs that
//! one signs them. They stop writers and save what is there; nothing of it is taken away, and each
//! can be reversed. The demotion is a repair, which takes signatures of its own.

use alloc::{format, string::String, vec::Vec};

use jiff::Timestamp;

use super::{
    Action, Quiet, Route, Step, Undo, ms, quoted,
    repair::{ending, ending_of, saving},
};
use crate::{
    names::{InstanceId, ProposalId, Side},
    policy::LinkSpec,
};

/// Tries of one step. Sessions that come back are ended again; who never stays away is for people.
pub(crate) const ATTEMPTS: u32 = 10;

/// The standing order for `loser`; nothing if the configuration wants none.
pub(crate) fn standing_order(
    spec: &LinkSpec,
    loser: Side,
    proposal: ProposalId,
    now: Timestamp,
) -> Vec<Step> {
    if !spec.guard.on {
        return Vec::new();
    }
    let instance = spec.instance(loser);
    let mut steps = Vec::new();
    if !spec.guard.logins.is_empty() {
        steps.push(logins(spec, instance, true));
    }
    let quiet = Quiet { for_ms: ms(spec.planned.quiet_for), log_kb: spec.planned.quiet_log_kb };
    steps.push(Step {
        action: Action::Quiesced {
            instance: instance.clone(),
            group: spec.group.clone(),
            database: spec.database.clone(),
            status: None,
            quiet,
        },
        routes: Vec::from([tsql(instance, ending(&spec.database))]),
        undo: Undo::Nothing,
        deadline_ms: ms(spec.planned.quiesce_within),
    });
    if let Some(place) = spec.repair.place(loser) {
        let (name, statement) = saving(spec, place, proposal, now);
        steps.push(Step {
            action: Action::Saved {
                instance: instance.clone(),
                group: spec.group.clone(),
                database: spec.database.clone(),
                name,
            },
            routes: Vec::from([tsql(instance, statement)]),
            undo: Undo::Nothing,
            deadline_ms: ms(place.within),
        });
    }
    steps
}

/// The applications' logins on one instance are disabled and their sessions ended, or they are let in
/// again.
pub(super) fn logins(spec: &LinkSpec, instance: &InstanceId, disabled: bool) -> Step {
    let verb = if disabled { "DISABLE" } else { "ENABLE" };
    let each = spec.guard.logins.iter().map(|name| format!("ALTER LOGIN {} {verb}", quoted(name)));
    // Who is in already stays in: also where a session sits in another database and writes to this
    // one by names of three parts.
    let statement: Vec<String> =
        each.chain(disabled.then(|| ending_of(&spec.guard.logins))).collect();
    Step {
        action: Action::LoginsSet {
            instance: instance.clone(),
            group: spec.group.clone(),
            database: spec.database.clone(),
            logins: spec.guard.logins.clone(),
            disabled,
        },
        routes: Vec::from([tsql(instance, statement.join("; "))]),
        undo: Undo::Nothing,
        deadline_ms: ms(spec.policy.step_deadline),
    }
}

fn tsql(instance: &InstanceId, statement: String) -> Route {
    Route::Tsql { instance: instance.clone(), statement }
}
