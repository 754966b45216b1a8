//! What speaks against a plan before anything of it has been done.

use alloc::format;

use super::{View, closed};
use crate::{
    event::Event,
    evidence::{Role, SideReading, Vantage, signed},
    health::fresh_reading,
    plan::PlanKind,
    proposal::{End, Status},
};

/// Positive contrary evidence withdraws; merely not seeing never does.
pub(super) fn evidence(view: &View<'_>) -> Option<Event> {
    let run = view.record.live()?;
    if run.acted() || run.proposal.plan.kind == PlanKind::ReturnGuard {
        return None;
    }
    let target = run.proposal.plan.lanes.first()?.target;
    if run.proposal.plan.kind == PlanKind::PlannedFailover {
        let moot = fresh_reading(view.evidence, view.spec, target, view.now)
            .is_some_and(SideReading::serving);
        return moot.then(|| closed(run, End::Withdrawn, format!("{target} is PRIMARY already")));
    }
    if run.proposal.plan.kind == PlanKind::Deletion {
        let reading = fresh_reading(view.evidence, view.spec, target, view.now);
        if reading.is_some_and(|reading| reading.role == Role::Absent) {
            return Some(closed(run, End::Withdrawn, format!("{target} has no link any more")));
        }
    }
    if run.proposal.plan.kind == PlanKind::Cutover {
        let reading = fresh_reading(view.evidence, view.spec, target, view.now);
        let why = match reading {
            Some(reading) if reading.serving() => format!("{target} is PRIMARY already"),
            Some(reading) if reading.role == Role::Absent => {
                format!("{target} has no link any more")
            }
            Some(_) | None => return None,
        };
        return Some(closed(run, End::Withdrawn, why));
    }
    if run.proposal.plan.kind == PlanKind::Repair {
        let moot = fresh_reading(view.evidence, view.spec, target.other(), view.now)
            .is_some_and(|reading| reading.role == Role::Secondary);
        let why = format!("{} is SECONDARY already", target.other());
        return moot.then(|| closed(run, End::Withdrawn, why));
    }
    let old = Vantage::from(target.other());
    let stably = view.evidence.of(old).serving_since().is_some_and(|since| {
        view.now.duration_since(since) >= signed(view.spec.policy.withdraw_after)
    });
    if stably && fresh_reading(view.evidence, view.spec, target.other(), view.now).is_some() {
        let why = format!("{} has been serving again for a while", target.other());
        return Some(closed(run, End::Withdrawn, why));
    }
    let moot = fresh_reading(view.evidence, view.spec, target, view.now)
        .is_some_and(|reading| reading.role == Role::Primary);
    if moot && run.status == Status::Open {
        return Some(closed(run, End::Withdrawn, format!("{target} is PRIMARY already")));
    }
    None
}
