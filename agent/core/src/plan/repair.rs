//! Repair of a split brain: the side that lost becomes the secondary of the one that won.
//!
//! What only the loser has committed leaves its database when it becomes secondary. So it is saved
//! first, and the plan goes no further until all of it is in the backup.

use alloc::{format, string::String, vec::Vec};
use core::time::Duration;

use jiff::Timestamp;

use super::{Action, Lane, Plan, PlanKind, Quiet, Route, Step, Undo, ms, quoted, text};
use crate::{
    names::{InstanceId, ProposalId, Side},
    policy::{BackupPlace, LinkSpec},
};

/// Tries of one step: some five minutes of them. A demotion that fails with 41104 may take the next
/// time, and a server that has gone again is for people.
pub(crate) const ATTEMPTS: u32 = 8;

/// The plan that keeps what `winner` has. `save`: where the backup of the other side goes.
pub(crate) fn repair(
    spec: &LinkSpec,
    winner: Side,
    save: &BackupPlace,
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
    let steps = Vec::from([
        step(serving, None, Undo::Nothing, usual),
        step(quiesced, Some(ending(&spec.database)), Undo::Nothing, spec.planned.quiesce_within),
        step(saved, Some(backup), Undo::Nothing, save.within),
        step(demoted, Some(demote), Undo::Impossible, usual),
        step(following, Some(resume), Undo::Nothing, spec.planned.catch_up_within),
    ]);
    let lanes = Vec::from([Lane { link: spec.id.clone(), target: winner, steps }]);
    Plan { kind: PlanKind::Repair, lanes }
}

/// Ends whoever is at work in the database; nothing of it is written into the database itself, where
/// it would reach the winner.
fn ending(database: &str) -> String {
    format!(
        "DECLARE @end nvarchar(max) = N''; SELECT @end = @end + N'KILL ' + CAST(session_id AS nvarchar(10)) + N'; ' FROM sys.dm_exec_sessions WHERE is_user_process = 1 AND database_id = DB_ID({}) AND session_id <> @@SPID; EXEC (@end)",
        text(database)
    )
}

/// Name and statement of the backup. The number and the time go into the name, so that it is found
/// again whatever the clocks say.
fn saving(
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
