//! How the texts of a proposal come about: plan, forecast, bounds, clocks, and what an approver has
//! to know, as of now.

use core::time::Duration;

use alloc::{string::String, vec::Vec};
use jiff::Timestamp;

use crate::{
    capability,
    evidence::{Members, Vantage, signed},
    forecast::{self, Basis, Loss},
    health::Health,
    names::Side,
    plan::{
        CUTOVER_ATTEMPTS, GUARD_ATTEMPTS, Lane, PLANNED_ATTEMPTS, Plan, PlanKind, REPAIR_ATTEMPTS,
        cutover, deletion, forced_failover, planned_failover, repair,
    },
    policy::Policy,
    proposal::{self, End, Origin, Proposal, Status, Terms},
    rules::View,
};

/// The texts of a proposal as of now.
pub(crate) fn draft(
    view: &View<'_>,
    kind: PlanKind,
    target: Side,
    origin: Origin,
) -> proposal::Texts {
    let policy = &view.spec.policy;
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let plan = plan(view, kind, target);
    let planned = kind.orderly();
    let down = view.record.health == Health::PrimaryDown;
    let mut forecast =
        forecast::forecast(view.evidence, view.record.sample.as_ref(), target, !down);
    let nothing_lost = match kind {
        PlanKind::ForcedFailover | PlanKind::Deletion => None,
        PlanKind::PlannedFailover | PlanKind::Cutover => Some(Basis::HandedOver),
        PlanKind::Repair => Some(Basis::Saved),
        PlanKind::ReturnGuard => Some(Basis::NothingTaken),
    };
    let bounds = match nothing_lost {
        Some(basis) => {
            let (least_ms, likely_ms, most_ms) = (0, 0, 0);
            forecast.loss = Loss::Within { least_ms, likely_ms, most_ms, basis };
            forecast::Bounds { loss_most_ms: Some(0) }
        }
        None => forecast::bounds(&forecast, view.spec),
    };
    let attestation_required = !down && nothing_lost.is_none();
    let mut notes = proposal::notes(&forecast, &bounds, attestation_required, &plan);
    if kind.parts() {
        notes.splice(0..0, capability::cutting(view.evidence, kind));
    } else if kind != PlanKind::ReturnGuard {
        notes.extend(capability::way_back(view.evidence, target));
    }
    let before =
        view.record.run.as_ref().filter(|run| run.status == Status::Closed(End::Overtaken));
    notes.extend(before.and_then(|run| run.why.clone()).filter(|_| !planned));
    let quorum = match kind {
        PlanKind::ForcedFailover | PlanKind::Deletion => view.roster.forced_quorum,
        PlanKind::PlannedFailover => view.roster.planned_quorum,
        // What the loser has is taken from it; a link that is deleted does not come back.
        PlanKind::Repair | PlanKind::Cutover => view.roster.forced_quorum,
        // Those who have signed the failover have signed it.
        PlanKind::ReturnGuard => 0,
    };
    let terms = Terms {
        proposal: view.next_seq,
        link: view.spec.id.clone(),
        kind,
        plan_digest: String::new(),
        opened_at: view.now,
        origin,
        health: view.record.health,
        reasons: view.record.reasons.clone(),
        evidence: view.evidence.newest(),
        forecast,
        bounds,
        attestation_required,
        quorum,
        approvers: view.roster.approvers.iter().map(|approver| approver.id.clone()).collect(),
        break_glass_wait_ms: view.roster.break_glass.map(|glass| ms(glass.wait)),
        approve_by: view.now.checked_add(signed(policy.approve_within)).unwrap_or(Timestamp::MAX),
        execute_within_ms: ms(policy.execute_within),
        stuck_after_ms: ms(policy.stuck_after),
        retry_after_ms: ms(policy.retry_after),
        attempts: attempts(policy, kind),
        notes,
    };
    Proposal::write(&plan, terms)
}

/// The steps of each kind.
fn plan(view: &View<'_>, kind: PlanKind, target: Side) -> Plan {
    match kind {
        PlanKind::ForcedFailover => forced_failover(view.spec, target, view.next_seq, view.now),
        PlanKind::PlannedFailover => planned_failover(view.spec, target, view.next_seq, view.now),
        PlanKind::Deletion => {
            let members = members(view);
            deletion(view.spec, members.as_ref(), view.next_seq, view.now)
        }
        PlanKind::Cutover => cutover(view.spec, &members(view).unwrap_or_default()),
        PlanKind::Repair => {
            let save = view.spec.repair.place(target.other()).cloned().unwrap_or_default();
            let locked = view.record.guard.as_ref().is_some_and(|guard| guard.winner != target);
            repair(view.spec, target, &save, locked, view.next_seq, view.now)
        }
        PlanKind::ReturnGuard => {
            // Word for word as it was signed.
            let steps = view.record.guard.as_ref().map(|guard| guard.steps.clone());
            let (link, steps) = (view.spec.id.clone(), steps.unwrap_or_default());
            let lanes = Vec::from([Lane { link, target, steps, guard: Vec::new() }]);
            Plan { kind, lanes }
        }
    }
}

/// What the groups of the link are called on SQL Server, if it has told. A group of several replicas is
/// not for a plan to drop.
fn members(view: &View<'_>) -> Option<Members> {
    let (_, reading) = view.evidence.of(Vantage::SqlServer).reading()?;
    reading.members.clone().filter(|_| reading.replicas.is_empty())
}

/// Tries of one step at the most.
fn attempts(policy: &Policy, kind: PlanKind) -> u32 {
    match kind {
        PlanKind::ForcedFailover | PlanKind::Deletion => policy.attempts,
        PlanKind::Cutover => policy.attempts.min(CUTOVER_ATTEMPTS),
        PlanKind::PlannedFailover => policy.attempts.min(PLANNED_ATTEMPTS),
        PlanKind::Repair => policy.attempts.min(REPAIR_ATTEMPTS),
        PlanKind::ReturnGuard => GUARD_ATTEMPTS,
    }
}
