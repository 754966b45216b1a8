//! Clearance: whether a step that sends commands may be begun, or its command let go, right now. It
//! is asked when a step is due, and once more when its command is about to leave.

use alloc::{
    format,
    string::{String, ToString},
};

use crate::{
    evidence::Role,
    forecast::{self, Loss},
    guard,
    health::{Assessment, Health, assess, fresh_reading, primary_seen_by},
    input::Refusal,
    names::Side,
    plan::PlanKind,
    proposal::Status,
    rules::View,
    run::Run,
};

/// Whether a step that sends commands may be begun, or its command let go, right now.
pub(crate) fn clearance(view: &View<'_>, run: &Run) -> Result<(), Blocked> {
    let execute_by = match run.status {
        Status::Approved { execute_by, .. } => execute_by,
        // Letting the applications in again harms nobody, whatever is seen.
        Status::Undoing { .. } => return Ok(()),
        Status::Open | Status::Closed(_) => {
            return Err(Blocked::Paused("it is not approved".to_string()));
        }
    };
    let Some(lane) = run.proposal.plan.lanes.first() else {
        return Err(Blocked::Paused("the plan has no lane".to_string()));
    };
    if run.settled() {
        return match run.proposal.plan.kind {
            // It is in no group any more, so it has no role.
            PlanKind::Cutover | PlanKind::Deletion => alone(view, lane.target),
            PlanKind::ForcedFailover
            | PlanKind::PlannedFailover
            | PlanKind::Repair
            | PlanKind::ReturnGuard => aftercare(view, lane.target),
        };
    }
    if view.now >= execute_by && !run.outlasts_its_clock() {
        return Err(Blocked::Expired);
    }
    if !view.evidence.complete(view.spec.arm_path.is_some()) {
        return Err(Blocked::Paused("not every vantage has been looked from yet".to_string()));
    }
    match run.proposal.plan.kind {
        PlanKind::ForcedFailover | PlanKind::Deletion => forced_clearance(view, run, lane.target),
        PlanKind::PlannedFailover | PlanKind::Cutover => planned_clearance(view, lane.target),
        PlanKind::Repair => repair_clearance(view, lane.target),
        PlanKind::ReturnGuard => guard::may_act(view, lane.target).map_err(Blocked::Paused),
    }
}

/// Nothing is taken from the loser unless the winner is there to go on with, and both are seen.
fn repair_clearance(view: &View<'_>, winner: Side) -> Result<(), Blocked> {
    aftercare(view, winner)?;
    let loser = winner.other();
    match fresh_reading(view.evidence, view.spec, loser, view.now) {
        Some(reading) if reading.role == Role::Absent => {
            Err(Blocked::Paused(format!("{loser} knows no such group")))
        }
        Some(_) => Ok(()),
        None => Err(Blocked::Paused(format!("{loser} is not seen now"))),
    }
}

/// The primary hands over only while both sides are well; the engine looks once more itself.
fn planned_clearance(view: &View<'_>, target: Side) -> Result<(), Blocked> {
    match assess(view.evidence, view.spec, view.record.primary, view.now) {
        Some(Assessment { health: Health::Healthy, primary, .. })
            if primary == Some(target.other()) =>
        {
            Ok(())
        }
        Some(Assessment { health: Health::Healthy, .. }) => {
            Err(Blocked::Paused(format!("{target} is the primary already")))
        }
        Some(found) => Err(Blocked::Paused(format!("the health is {} now", found.health))),
        None => {
            let why = "the verdict has not been seen again since the agent started";
            Err(Blocked::Paused(why.to_string()))
        }
    }
}

/// What follows a change of roles needs nothing but the new primary, and no clock ends it.
fn aftercare(view: &View<'_>, target: Side) -> Result<(), Blocked> {
    match fresh_reading(view.evidence, view.spec, target, view.now) {
        Some(reading) if reading.serving() => Ok(()),
        Some(_) => Err(Blocked::Paused(format!("{target} does not take writes now"))),
        None => Err(Blocked::Paused(format!("{target} is not seen now"))),
    }
}

/// Nothing of the old copy is closed unless the new one is there to go on with.
fn alone(view: &View<'_>, target: Side) -> Result<(), Blocked> {
    match fresh_reading(view.evidence, view.spec, target, view.now) {
        Some(reading) if reading.alone() => Ok(()),
        Some(_) => Err(Blocked::Paused(format!("{target} does not take writes by itself now"))),
        None => Err(Blocked::Paused(format!("{target} is not seen now"))),
    }
}

fn forced_clearance(view: &View<'_>, run: &Run, target: Side) -> Result<(), Blocked> {
    let by = primary_seen_by(view.evidence, view.spec, target, view.now);
    if !by.is_empty() {
        return Err(Blocked::Paused(Refusal::PrimarySeen { by }.to_string()));
    }
    let attested = run.proposal.terms.attestation_required;
    let verdict = assess(view.evidence, view.spec, view.record.primary, view.now);
    match verdict.map(|found| found.health) {
        Some(Health::PrimaryDown) => {}
        // What was signed with an attestation does not rest on a second witness.
        Some(Health::PrimaryUnreachable | Health::Unknown) if attested => {}
        // Nobody takes writes now, and people who saw just that have said that nobody will. Signed
        // under another health it may be a primary that starts, and is PRIMARY in a moment.
        Some(Health::NoPrimary) if attested && run.proposal.terms.health == Health::NoPrimary => {}
        Some(health) => return Err(Blocked::Paused(format!("the health is {health} now"))),
        None => {
            let why = "the verdict has not been seen again since the agent started";
            return Err(Blocked::Paused(why.to_string()));
        }
    }
    let now = current_forecast(view, run);
    if run.proposal.terms.bounds.allow(&now) {
        return Ok(());
    }
    match now.loss {
        Loss::Within { most_ms, .. } => Err(Blocked::Exceeded { most_ms }),
        Loss::Unknown { because } => Err(Blocked::Paused(because.to_string())),
    }
}

/// Why a step can't begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// For now: it may clear up while the clock runs.
    Paused(String),
    Expired,
    /// The forecast exceeds what was signed.
    Exceeded {
        most_ms: u64,
    },
}

impl core::fmt::Display for Blocked {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Paused(why) => f.write_str(why),
            Self::Expired => f.write_str("the time in which steps may start is over"),
            Self::Exceeded { most_ms } => write!(
                f,
                "the forecast is now up to {}, which exceeds the signed bound",
                forecast::seconds(*most_ms)
            ),
        }
    }
}

fn current_forecast(view: &View<'_>, run: &Run) -> forecast::Forecast {
    let target = run.proposal.plan.lanes.first().map(|lane| lane.target);
    let target = target.unwrap_or(Side::ManagedInstance);
    forecast::forecast(view.evidence, view.record.sample.as_ref(), target, false)
}
