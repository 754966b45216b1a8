//! Repair of a split brain: the side that lost becomes the secondary of the one that won.
//!
//! What only the loser has committed leaves its database when it becomes secondary. So it is saved
//! first, and the plan goes no further until all of it is in the backup.

use alloc::{format, string::String, vec::Vec};
use core::time::Duration;

use jiff::Timestamp;

use super::{
    Action, Lane, Plan, PlanKind, Quiet, Route, Step, Undo, guard::logins, ms, quoted, text,
};
use crate::{
    names::{InstanceId, ProposalId, Side},
    policy::{BackupPlace, LinkSpec},
};

/// Tries of one step: some five minutes of them. A demotion that fails with 41104 may take the next
/// time, and a server that has gone again is for people.
pub(crate) const ATTEMPTS: u32 = 8;

/// The plan that keeps what `winner` has. `save`: where the backup of the other side goes. `locked`: a
/// return guard has taken `winner` for the side that lost, and may have shut its applications out.
pub(crate) fn repair(
    spec: &LinkSpec,
    winner: Side,
    save: &BackupPlace,
    locked: bool,
    proposal: ProposalId,
    now: Timestamp,
) -> Plan {
    let (kept, loser) = (spec.instance(winner), spec.instance(winner.other()));
    let at = |instance: &InstanceId| (instance.clone(), spec.group.clone(), spec.database.clone());
    let step = |action, statement: Option<String>, undo, within: Duration| Step {
        action,
        routes: statement
            .map(|statement| Route::Tsql { instance: loser.clone(), statement })
            .into_iter()
            .collect(),
        undo,
        deadline_ms: ms(within),
    };
    let usual = spec.policy.step_deadline;
    let quiet = Quiet { for_ms: ms(spec.planned.quiet_for), log_kb: spec.planned.quiet_log_kb };
    let (instance, group, database) = at(kept);
    let serving = Action::TargetServing { instance, group, database };
    let (instance, group, database) = at(loser);
    let quiesced = Action::Quiesced { instance, group, database, status: None, quiet };
    let (name, backup) = saving(spec, save, proposal, now);
    let (instance, group, database) = at(loser);
    let saved = Action::Saved { instance, group, database, name: name.clone() };
    let (instance, group, database) = at(loser);
    let demoted = Action::Demoted { instance, group, database, saved: name };
    let demote = format!("ALTER AVAILABILITY GROUP {} SET (ROLE = SECONDARY)", quoted(&spec.group));
    let (instance, group, database) = at(loser);
    let following = Action::Following { instance, group, database };
    let resume = format!("ALTER DATABASE {} SET HADR RESUME", quoted(&spec.database));
    let mut steps = Vec::from([
        step(serving, None, Undo::Nothing, usual),
        step(quiesced, Some(ending(&spec.database)), Undo::Nothing, spec.planned.quiesce_within),
        step(saved, Some(backup), Undo::Nothing, save.within),
        step(demoted, Some(demote), Undo::Impossible, usual),
        step(following, Some(resume), Undo::Nothing, spec.planned.catch_up_within),
    ]);
    if locked && !spec.guard.logins.is_empty() {
        steps.insert(1, logins(spec, kept, false));
    }
    // Disabled by a return guard, or by people: a move back must not find its applications locked out.
    if !spec.guard.logins.is_empty() {
        steps.push(logins(spec, loser, false));
    }
    let (link, guard) = (spec.id.clone(), Vec::new());
    let lanes = Vec::from([Lane { link, target: winner, steps, guard }]);
    Plan { kind: PlanKind::Repair, lanes }
}

/// Ends whoever is at work in the database; nothing of it is written into the database itself, where
/// it would reach the winner.
pub(super) fn ending(database: &str) -> String {
    ending_where(&format!("database_id = DB_ID({})", text(database)))
}

/// Ends all sessions of some logins, in whichever database they are.
pub(super) fn ending_of(logins: &[String]) -> String {
    let names: Vec<String> = logins.iter().map(|name| text(name)).collect();
    ending_where(&format!("login_name IN ({})", names.join(", ")))
}

/// One session after the other, upwards: one that has gone by itself meanwhile is an error of its own
/// and keeps none of the others.
fn ending_where(which: &str) -> String {
    let next = format!(
        "(SELECT MIN(session_id) FROM sys.dm_exec_sessions WHERE is_user_process = 1 AND {which} AND session_id <> @@SPID AND session_id > @id)"
    );
    format!(
        "DECLARE @id int = 0, @end nvarchar(30); SET @id = {next}; WHILE @id IS NOT NULL BEGIN SET @end = N'KILL ' + CAST(@id AS nvarchar(10)); EXEC (@end); SET @id = {next}; END"
    )
}

/// Name and statement of the backup. The number and the time go into the name, so that it is found
/// again whatever the clocks say.
pub(super) fn saving(
    spec: &LinkSpec,
    save: &BackupPlace,
    proposal: ProposalId,
    now: Timestamp,
) -> (String, String) {
    let seconds = now.as_second();
    let name = format!("dr-agent {proposal} {seconds} saved");
    let device = if save.to.to_ascii_lowercase().starts_with("https://") { "URL" } else { "DISK" };
    let file = format!("{}{}-dr-agent-{proposal}-{seconds}-saved.bak", save.to, spec.database);
    let statement = format!(
        "BACKUP DATABASE {} TO {device} = {} WITH COPY_ONLY, CHECKSUM, FORMAT, NAME = {}",
        quoted(&spec.database),
        text(&file),
        text(&name),
    );
    (name, statement)
}
