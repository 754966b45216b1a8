//! Capability: which ways over exist for this link now, and why the others do not. Read afresh at
//! each decision, never remembered.

mod engine;
mod ways;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

pub use self::{
    engine::{Engine, Format},
    ways::{Back, Facts, Offer, Over, Way, ways},
};
use crate::{
    evidence::{ControlReading, Evidence, Role, SideReading, SyncState, Vantage},
    names::Side,
    plan::PlanKind,
    policy::LinkSpec,
};

impl Facts {
    /// What has been seen, however long ago.
    #[must_use]
    pub fn of(evidence: &Evidence, primary: Option<Side>) -> Self {
        let reading = |side: Side| evidence.of(side.into()).reading().map(|(_, reading)| reading);
        let control = evidence.of(Vantage::ControlPlane).control().map(|(_, control)| control);
        let link = control.and_then(|control| control.link.as_ref());
        let mode = link.and_then(|link| link.failover_mode.as_deref());
        Self {
            engine: reading(Side::SqlServer).and_then(|sql| Engine::read(&sql.product_version)),
            format: control.map(|control| Format::read(&control.database_format)),
            primary,
            one_way: mode.is_some_and(|mode| mode.eq_ignore_ascii_case("None")),
            others: link.map(|link| link.other_databases.clone()).unwrap_or_default(),
            not_ready: control.and_then(not_ready),
            unfit: Side::BOTH.map(|side| reading(side).and_then(unfit)),
            unsaved: Vec::new(),
            unnamed: reading(Side::SqlServer).is_none_or(|sql| sql.members.is_none()),
            replicas: reading(Side::SqlServer).map_or(0, |sql| sql.replicas.len()),
            no_control: false,
        }
    }

    /// The same, with what the configuration says of the link.
    #[must_use]
    pub fn with(self, spec: &LinkSpec) -> Self {
        let unsaved = Side::BOTH.into_iter().filter(|side| spec.repair.place(*side).is_none());
        Self { unsaved: unsaved.collect(), no_control: spec.arm_path.is_none(), ..self }
    }
}

/// Why a plan of this kind can't be made for `target`, or nothing if it can as far as is known.
pub(crate) fn obstacle(
    evidence: &Evidence,
    spec: &LinkSpec,
    kind: PlanKind,
    target: Side,
) -> Option<String> {
    let facts = Facts::of(evidence, Some(target.other())).with(spec);
    match kind {
        PlanKind::ForcedFailover => facts.against_forced(target),
        PlanKind::PlannedFailover => facts.against_planned(target),
        PlanKind::Cutover => facts.against_cutover(),
        PlanKind::Deletion if target == Side::ManagedInstance => facts.against_deletion(),
        PlanKind::Deletion => Some(
            "only a managed instance goes on by itself when its link is deleted: force SQL Server"
                .to_string(),
        ),
        PlanKind::Repair => facts.against_repair(target),
        // Whatever the versions: it changes no role.
        PlanKind::ReturnGuard => None,
    }
}

/// How `target` would go on without its primary, or why it can't: by a forced failover, or where a link
/// can't be failed over at all, now or after a patch, by its deletion.
pub(crate) fn last_resort(
    evidence: &Evidence,
    spec: &LinkSpec,
    target: Side,
) -> Result<PlanKind, String> {
    let forced = PlanKind::ForcedFailover;
    let Some(because) = obstacle(evidence, spec, forced, target) else { return Ok(forced) };
    let facts = Facts::of(evidence, Some(target.other())).with(spec);
    let deletion = PlanKind::Deletion;
    if facts.never_fails_over() && obstacle(evidence, spec, deletion, target).is_none() {
        return Ok(deletion);
    }
    Err(because)
}

/// What whoever gives up a link for its copy in Azure has to know first.
pub(crate) fn cutting(evidence: &Evidence, kind: PlanKind) -> Vec<String> {
    let facts = Facts::of(evidence, Some(Side::SqlServer));
    let mut notes = Vec::new();
    let both_ways = facts.back_from_azure(true);
    match facts.engine {
        Some(engine) if engine.both_ways() && kind.forces() => notes.push(format!(
            "Advised instead: a forced failover of {engine}, by T-SQL or by Azure, which keeps the link. Delete it only if Azure refuses that for good (41985)"
        )),
        Some(engine) if engine.both_ways() && both_ways == Back::AfterPatch => notes.push(format!(
            "Patch first: with 2022 CU13 (16.0.4125.3) {engine} changes roles over the link and comes back over it, by a planned failover"
        )),
        Some(engine) if engine.both_ways() && both_ways == Back::OverTheLink => notes.push(format!(
            "Advised instead: {engine} hands over by a planned failover, which keeps the link and the way back over it. The link can be dropped later, after the first full backup of the managed instance"
        )),
        Some(_) | None => {}
    }
    notes.push(match facts.back_from_azure(false) {
        Back::Unknown => {
            "NO WAY BACK over the link: it is gone afterwards. Whether by a restore is not known, for the update policy was not seen".to_string()
        }
        Back::ByExport => {
            "NO WAY BACK but by export (bacpac, replication): the database in Azure can be restored on no SQL Server of this version".to_string()
        }
        back @ (Back::OverTheLink
        | Back::AfterRepair
        | Back::AfterPatch
        | Back::ByRestore
        | Back::ByNewLink) => format!("NO WAY BACK over the link: {back}"),
    });
    notes
}

/// What a move to `target` means for the way back, where a door closes.
pub(crate) fn way_back(evidence: &Evidence, target: Side) -> Option<String> {
    let facts = Facts::of(evidence, Some(target.other()));
    if target != Side::ManagedInstance {
        return None;
    }
    let format = facts.format.as_ref().map_or_else(String::new, ToString::to_string);
    match facts.back_from_azure(true) {
        Back::ByExport => Some(format!(
            "There is no way back over the link: the update policy of the managed instance is {format}, which is newer than this SQL Server. Data returns only by export"
        )),
        back @ (Back::AfterPatch | Back::ByRestore | Back::ByNewLink) => {
            Some(format!("The way back is {back}"))
        }
        Back::OverTheLink | Back::AfterRepair | Back::Unknown => None,
    }
}

/// Why there is no way over to `target` for people either, whatever they wait for: versions, formats
/// and a one-way link do not change by themselves.
pub(crate) fn by_hand(evidence: &Evidence, target: Side) -> Option<String> {
    let facts = Facts::of(evidence, Some(target.other()));
    facts.never(target).or_else(|| facts.unreadable(target))
}

fn not_ready(control: &ControlReading) -> Option<String> {
    let ready = control.instance_state.eq_ignore_ascii_case("Ready");
    (!ready).then(|| control.instance_state.clone())
}

/// A secondary that is being undone or seeded could not start as a primary.
fn unfit(target: &SideReading) -> Option<String> {
    if target.role == Role::Absent {
        return Some("the target knows no such distributed availability group".to_string());
    }
    let Some(database) = &target.database else {
        return Some("the target has no such database".to_string());
    };
    match database.synchronization {
        Some(SyncState::Reverting) => {
            Some("the target's database is REVERTING: it could not start as primary".to_string())
        }
        Some(SyncState::Initializing) => {
            Some("the target's database is INITIALIZING: it could not start as primary".to_string())
        }
        Some(SyncState::NotSynchronizing | SyncState::Synchronizing | SyncState::Synchronized)
        | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(change: impl Fn(&mut Facts)) -> Facts {
        let mut facts = Facts {
            engine: Engine::read("16.0.4125.3"),
            format: Some(Format::SqlServer2022),
            primary: Some(Side::SqlServer),
            ..Facts::default()
        };
        change(&mut facts);
        facts
    }

    #[test]
    fn a_link_of_one_database_that_goes_both_ways_has_no_obstacle() {
        assert_eq!(facts(|_| ()).against_planned(Side::ManagedInstance), None);
        let why = facts(|facts| facts.one_way = true).against_forced(Side::ManagedInstance);
        assert!(why.expect("it is one-way").contains("41985"));
    }

    #[test]
    fn a_link_of_several_databases_has_no_plan() {
        let several = facts(|facts| facts.others = Vec::from(["Stock", "Prices"].map(Into::into)));
        for why in [
            several.against_forced(Side::SqlServer),
            several.against_planned(Side::ManagedInstance),
            several.against_repair(Side::SqlServer),
            several.against_repair(Side::ManagedInstance),
        ] {
            let why = why.expect("there are others");
            assert!(why.starts_with("the link carries Stock, Prices too"), "{why}");
        }
    }

    #[test]
    fn nothing_is_taken_from_a_side_that_can_not_be_saved() {
        let facts = facts(|facts| facts.unsaved = Vec::from([Side::ManagedInstance]));
        let why = facts.against_repair(Side::SqlServer).expect("its loser is not saved");
        assert!(why.contains("links.repair.save_azure"), "{why}");
        assert_eq!(facts.against_repair(Side::ManagedInstance), None);
    }

    #[test]
    fn an_instance_that_is_left_may_be_in_any_state() {
        let stopped = facts(|facts| facts.not_ready = Some("Stopped".into()));
        assert_eq!(stopped.against_forced(Side::SqlServer), None);
        let why = stopped.against_forced(Side::ManagedInstance);
        assert!(why.expect("it is not ready").contains("Stopped"));
    }
}
