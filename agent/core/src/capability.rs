//! Capability: which ways over exist for this link now, and why the others do not. Read afresh at
//! each decision, never remembered.

use alloc::{
    format,
    string::{String, ToString},
};

use crate::{
    evidence::{ControlReading, Evidence, Role, SideReading, SyncState, Vantage},
    names::Side,
    plan::PlanKind,
};

/// First SQL Server 2022 build with failover of a link by T-SQL: CU13.
const SQL_2022_CU13: [u32; 4] = [16, 0, 4125, 3];

/// Why a plan of this kind can't be made for `target`, or nothing if it can as far as is known.
pub(crate) fn obstacle(evidence: &Evidence, kind: PlanKind, target: Side) -> Option<String> {
    match kind {
        PlanKind::ForcedFailover => forced(evidence, target),
        PlanKind::PlannedFailover => planned(evidence, target),
    }
}

/// What a planned failover to `target` means for the way back, where there is something to be said.
pub(crate) fn way_back(evidence: &Evidence, target: Side) -> Option<String> {
    if target != Side::ManagedInstance || formats_match(evidence) != Some(false) {
        return None;
    }
    let (_, control) = evidence.of(Vantage::ControlPlane).control()?;
    Some(format!(
        "There is no way back over the link: the update policy of the managed instance is {}, which is newer than this SQL Server. Data returns only by export",
        control.database_format
    ))
}

/// Why there is no way over to `target` for people either, whatever they wait for: versions, formats
/// and a one-way link do not change by themselves.
pub(crate) fn by_hand(evidence: &Evidence, target: Side) -> Option<String> {
    let sql = evidence.of(Vantage::SqlServer).reading().map(|(_, reading)| reading);
    let control = evidence.of(Vantage::ControlPlane).control();
    let one_way = || control.and_then(|(_, control)| one_way(control));
    sql.and_then(too_old).or_else(one_way).or_else(|| newer(evidence, target))
}

fn planned(evidence: &Evidence, target: Side) -> Option<String> {
    let sql = evidence.of(Vantage::SqlServer).reading().map(|(_, reading)| reading);
    if let Some(too_old) = sql.and_then(too_old) {
        return Some(too_old);
    }
    if let Some((_, reading)) = evidence.of(Vantage::from(target)).reading()
        && let Some(unfit) = unfit(reading)
    {
        return Some(unfit);
    }
    newer(evidence, target).or_else(|| azure(evidence, target))
}

/// The managed instance writes a log that SQL Server can't read.
fn newer(evidence: &Evidence, target: Side) -> Option<String> {
    let so = target == Side::SqlServer && formats_match(evidence) == Some(false);
    so.then(|| {
        "the update policy of the managed instance is newer than this SQL Server: its log can't be taken there"
            .to_string()
    })
}

/// Whether the managed instance's update policy is that of the SQL Server; None if it is not known.
fn formats_match(evidence: &Evidence) -> Option<bool> {
    let (_, sql) = evidence.of(Vantage::SqlServer).reading()?;
    let (_, control) = evidence.of(Vantage::ControlPlane).control()?;
    let expected = match build(&sql.product_version)?[0] {
        16 => "SQLServer2022",
        17 => "SQLServer2025",
        _ => return Some(false),
    };
    Some(control.database_format.eq_ignore_ascii_case(expected))
}

fn forced(evidence: &Evidence, target: Side) -> Option<String> {
    let sql = evidence.of(Vantage::SqlServer).reading().map(|(_, reading)| reading);
    if let Some(too_old) = sql.and_then(too_old) {
        return Some(too_old);
    }
    if let Some((_, reading)) = evidence.of(Vantage::from(target)).reading()
        && let Some(unfit) = unfit(reading)
    {
        return Some(unfit);
    }
    azure(evidence, target)
}

/// What the control plane has against it.
fn azure(evidence: &Evidence, target: Side) -> Option<String> {
    let (_, control) = evidence.of(Vantage::ControlPlane).control()?;
    against(control, target)
}

fn against(control: &ControlReading, target: Side) -> Option<String> {
    // One that is being left may be in any state.
    let taken = target == Side::ManagedInstance;
    if taken && !control.instance_state.eq_ignore_ascii_case("Ready") {
        return Some(format!(
            "the managed instance is {} by Azure Resource Manager, not Ready",
            control.instance_state
        ));
    }
    let others = control.link.as_ref().map_or(&[][..], |link| &link.other_databases);
    if !others.is_empty() {
        return Some(format!(
            "the link carries {} too: a failover moves every database of a group, and no plan of this version looks after more than one",
            others.join(", ")
        ));
    }
    one_way(control)
}

fn one_way(control: &ControlReading) -> Option<String> {
    let mode = control.link.as_ref().and_then(|link| link.failover_mode.as_deref())?;
    mode.eq_ignore_ascii_case("None").then(|| {
        "this is a one-way link (failoverMode None): it can't be failed over, only deleted (41985)"
            .to_string()
    })
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

fn too_old(sql: &SideReading) -> Option<String> {
    let build = build(&sql.product_version)?;
    (build < SQL_2022_CU13).then(|| {
        format!(
            "SQL Server {} is older than 2022 CU13 (16.0.4125.3), with which failover of a link by T-SQL begins; patch to CU13 or use the wizard",
            sql.product_version
        )
    })
}

fn build(version: &str) -> Option<[u32; 4]> {
    let mut parts = version.split('.').map(str::parse::<u32>);
    let mut next = || parts.next()?.ok();
    Some([next()?, next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::evidence::ControlLink;

    fn control(change: impl Fn(&mut ControlLink)) -> ControlReading {
        let mut link = ControlLink {
            instance_role: Role::Secondary,
            partner_role: Role::Primary,
            replica_state: None,
            connected: Some(true),
            sync_health: None,
            failover_mode: Some("Manual".to_string()),
            last_hardened_lsn: None,
            other_databases: Vec::new(),
        };
        change(&mut link);
        ControlReading {
            instance_state: "Ready".to_string(),
            database_format: "SQLServer2022".to_string(),
            link: Some(link),
        }
    }

    #[test]
    fn a_link_of_one_database_that_goes_both_ways_has_no_obstacle() {
        let against = |control: &ControlReading| against(control, Side::ManagedInstance);
        assert_eq!(against(&control(|_| ())), None);
        let why = against(&control(|link| link.failover_mode = Some("None".to_string())));
        assert!(why.expect("it is one-way").contains("41985"));
    }

    #[test]
    fn a_link_of_several_databases_has_no_plan() {
        let others = || ["Stock", "Prices"].map(ToString::to_string).to_vec();
        let link = control(|link| link.other_databases = others());
        let why = against(&link, Side::SqlServer);
        assert!(why.expect("there are others").starts_with("the link carries Stock, Prices too"));
    }

    #[test]
    fn builds_compare_as_numbers() {
        assert!(build("16.0.4125.3").expect("four parts") >= SQL_2022_CU13);
        assert!(build("16.0.4095.4").expect("four parts") < SQL_2022_CU13);
        assert!(build("17.0.1000.7").expect("four parts") > SQL_2022_CU13);
        assert_eq!(build("16.0"), None);
    }
}
