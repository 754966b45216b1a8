//! RULES: all that the agent does on its own initiative. First match wins, one event at a time;
//! each rule's event makes its own condition false, so asking ends.

mod contrary;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use jiff::Timestamp;

use crate::{
    capability,
    clearance::{Blocked, clearance},
    draft::draft,
    event::{Again, Event, StepRef},
    evidence::{Evidence, Role, Vantage, signed},
    explain::why_not,
    forecast, guard,
    health::{Assessment, Health, assess, fresh_reading},
    link::Record,
    names::Seq,
    plan::{PlanKind, Step},
    policy::{LinkSpec, Roster},
    proposal::{self, End, Origin, Status},
    run::{Progress, Run, StepState},
};

/// What a rule may look at: one link at one time.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) spec: &'a LinkSpec,
    pub(crate) record: &'a Record,
    pub(crate) evidence: &'a Evidence,
    pub(crate) roster: &'a Roster,
    /// Whether the estate has as many proposals of its own open as it may.
    pub(crate) braked: bool,
    /// Place of the entry that comes next.
    pub(crate) next_seq: Seq,
    pub(crate) now: Timestamp,
}

type Rule = fn(&View<'_>) -> Option<Event>;

/// The rules in order. The name of the rule that fired stands in the journal.
pub(crate) const RULES: [(&str, Rule); 16] = [
    ("health_changed", health_changed),
    ("guard_moot", guard::moot),
    ("contrary_evidence", contrary::evidence),
    ("quorum_reached", quorum_reached),
    ("approval_expired", approval_expired),
    ("run_finished", run_finished),
    ("run_undone", run_undone),
    ("overtaken", overtaken),
    ("run_given_up", run_given_up),
    ("run_stuck", run_stuck),
    ("execution_expired", execution_expired),
    ("bounds_exceeded", bounds_exceeded),
    ("step_due", step_due),
    ("primary_returned", guard::returned),
    ("proposal_expired_again", propose_again),
    ("primary_lost", propose),
];

/// The names of all rules, for those who count which have fired.
#[must_use]
pub fn rule_names() -> Vec<&'static str> {
    RULES.iter().map(|(name, _)| *name).collect()
}

pub(crate) fn next(view: &View<'_>) -> Option<(&'static str, Event)> {
    RULES.iter().find_map(|(name, rule)| rule(view).map(|event| (*name, event)))
}

/// The times at which a rule might fire though nothing else happens.
pub(crate) fn wake(view: &View<'_>) -> Option<Timestamp> {
    let after = |at: Timestamp, span: Duration| at.checked_add(signed(span)).ok();
    let policy = &view.spec.policy;
    let mut times = Vec::new();
    for vantage in [Vantage::SqlServer, Vantage::ManagedInstance, Vantage::ControlPlane] {
        let recent = view.evidence.of(vantage);
        let just_stale = policy.stale_after + Duration::from_millis(1);
        times.extend(recent.last().and_then(|look| after(look.begun_at, just_stale)));
        times.extend(recent.reading().and_then(|(at, _)| after(at, just_stale)));
        times.extend(recent.serving_since().and_then(|at| after(at, policy.withdraw_after)));
    }
    times.extend(view.record.health_since.and_then(|at| after(at, policy.propose_after)));
    times.extend(guard::rest_until(view.record, view));
    if let Some(run) = &view.record.run {
        times.push(run.proposal.terms.approve_by);
        times.extend(run.proposal.glass_breaks_at(&run.ballots));
        times.extend(run.closed_at.and_then(|at| after(at, policy.reopen_after)));
        if let Status::Approved { execute_by, .. } = &run.status {
            times.push(*execute_by);
        }
        for lane in &run.lanes {
            times.extend(lane.not_before);
            let terms = &run.proposal.terms;
            match &lane.state {
                StepState::NotDone { at, .. } => times.push(retry_at(run, *at, lane.attempts)),
                StepState::Unknown { since, .. } => {
                    times.extend(after(*since, Duration::from_millis(terms.stuck_after_ms)));
                }
                StepState::Pending | StepState::Started(_) => {}
            }
        }
    }
    times.into_iter().filter(|at| *at > view.now).min()
}

fn health_changed(view: &View<'_>) -> Option<Event> {
    let found = assess(view.evidence, view.spec, view.record.primary, view.now)?;
    let Assessment { health, primary, reasons } = found;
    let moved = primary.is_some() && primary != view.record.primary;
    if health == view.record.health && !moved {
        return None;
    }
    let lost = matches!(health, Health::PrimaryDown | Health::PrimaryUnreachable);
    let sample = primary
        .filter(|_| lost)
        .and_then(|primary| forecast::sample(view.evidence, primary))
        .filter(|sample| sample.tells_more_than(view.record.sample.as_ref()));
    Some(Event::HealthChanged {
        from: view.record.health,
        to: health,
        primary,
        reasons,
        evidence: view.evidence.newest(),
        sample,
    })
}

fn quorum_reached(view: &View<'_>) -> Option<Event> {
    let run = view.record.live().filter(|run| run.status == Status::Open)?;
    if view.now >= run.proposal.terms.approve_by || !run.proposal.decided(&run.ballots, view.now) {
        return None;
    }
    Some(Event::ProposalApproved {
        proposal: run.proposal.terms.proposal,
        break_glass: proposal::signers(&run.ballots) < run.proposal.terms.quorum,
        execute_by: proposal::execute_by(&run.proposal.terms, view.now),
    })
}

fn approval_expired(view: &View<'_>) -> Option<Event> {
    let run = view.record.live().filter(|run| run.status == Status::Open)?;
    (view.now >= run.proposal.terms.approve_by)
        .then(|| closed(run, End::Expired, "the time for approvals is over".to_string()))
}

fn run_finished(view: &View<'_>) -> Option<Event> {
    let run = approved(view)?;
    let guard = run.proposal.plan.kind == PlanKind::ReturnGuard;
    let mut why = match run.proposal.plan.lanes.first().map(|lane| lane.target) {
        Some(target) if guard => guard::done(view, target),
        Some(target) => format!("every step is done. Point the applications at {target}"),
        None => "every step is done".to_string(),
    };
    for warning in &run.warnings {
        why.push_str(&format!(". Missing: {warning}"));
    }
    run.finished().then(|| closed(run, End::Succeeded, why))
}

fn run_undone(view: &View<'_>) -> Option<Event> {
    let run = view.record.live().filter(|run| run.undoing() && run.finished())?;
    let why = format!("the old primary takes writes as before{}", run.for_people());
    Some(closed(run, End::Undone, why))
}

/// The primary is lost in the middle of a planned failover: what is left of it must not stand in
/// the way of a forced one. Where the command to hand over may have landed, the target has to say
/// that it did not, and that it hears nobody from whom it still could.
fn overtaken(view: &View<'_>) -> Option<Event> {
    let run = view.record.live()?;
    // A change of roles passes through it, and one that has changed them is not undone by it.
    let nobody = view.record.health == Health::NoPrimary && !run.handed_over();
    // A deletion that may have landed goes on to its end: it needs no primary.
    let deleting = run.proposal.plan.kind == PlanKind::Cutover && run.committed();
    if !run.proposal.plan.kind.orderly() || deleting || !(lost(view) || nobody) {
        return None;
    }
    let since = view.record.health_since?;
    if view.now.duration_since(since) < signed(view.spec.policy.propose_after) {
        return None;
    }
    let seen = assess(view.evidence, view.spec, view.record.primary, view.now)?;
    if seen.health != view.record.health {
        return None;
    }
    let (end, why) = if run.handed_over() {
        (End::Overtaken, "the new primary was lost before all that follows was seen to its end")
    } else if run.committed() {
        let target = run.proposal.plan.lanes.first()?.target;
        fresh_reading(view.evidence, view.spec, target, view.now).filter(|reading| {
            reading.role == Role::Secondary && reading.connected == Some(false)
        })?;
        let why = "the primary was lost while it was handing over, and the other side is still SECONDARY. The applications are stopped";
        (End::Overtaken, why)
    } else if run.undoing() {
        let why = "the primary was lost while the applications were being let in again: they may be at work on it where nobody sees it. Stop them before anything is forced";
        (End::Overtaken, why)
    } else if run.acted() {
        let why = "the primary was lost before the roles changed. The applications are stopped, or half of them";
        (End::Overtaken, why)
    } else {
        (End::Withdrawn, "the primary was lost before anything was done")
    };
    Some(closed(run, end, why.to_string()))
}

/// Whether the record says that the primary is lost.
fn lost(view: &View<'_>) -> bool {
    matches!(view.record.health, Health::PrimaryDown | Health::PrimaryUnreachable)
}

/// A planned failover that can't go on is taken back as long as it can be: applications must not
/// stay out because nobody is there.
fn run_given_up(view: &View<'_>) -> Option<Event> {
    let run = approved(view)?;
    let Status::Approved { execute_by, .. } = run.status else { return None };
    if !run.proposal.plan.kind.orderly() || run.committed() {
        return None;
    }
    let terms = &run.proposal.terms;
    let late = view.now >= execute_by && run.acted();
    let why = run.lanes.iter().find_map(|lane| {
        let number = lane.step + 1;
        match &lane.state {
            StepState::NotDone { again: Again::Never, why, .. } => {
                Some(format!("step {number} can't be done: {why}"))
            }
            StepState::NotDone { why, .. } if lane.attempts >= terms.attempts => {
                Some(format!("step {number} failed {} times, last: {why}", lane.attempts))
            }
            StepState::Unknown { since, why, .. } => {
                let span = signed(Duration::from_millis(terms.stuck_after_ms));
                (view.now.duration_since(*since) >= span)
                    .then(|| format!("nobody can tell whether step {number} took effect: {why}"))
            }
            StepState::Pending | StepState::NotDone { .. } => {
                late.then(|| Blocked::Expired.to_string())
            }
            StepState::Started(started) => {
                (late && !started.sent).then(|| Blocked::Expired.to_string())
            }
        }
    })?;
    Some(Event::UndoStarted { proposal: terms.proposal, why })
}

fn run_stuck(view: &View<'_>) -> Option<Event> {
    let run = running(view)?;
    // It is about to give way to a forced one, which must not wait for an acknowledgement.
    let planned = run.proposal.plan.kind == PlanKind::PlannedFailover
        || (run.proposal.plan.kind == PlanKind::Cutover && !run.committed());
    if planned && lost(view) && (!run.committed() || run.settled()) {
        return None;
    }
    let terms = &run.proposal.terms;
    run.lanes.iter().find_map(|lane| match &lane.state {
        StepState::Unknown { since, why, .. } => {
            let span = signed(Duration::from_millis(terms.stuck_after_ms));
            (view.now.duration_since(*since) >= span).then(|| {
                let what = stuck_at(run, lane);
                let why = format!("nobody can tell whether {what} took effect: {why}. Look at the roles of both sides before anything else");
                closed(run, End::Stuck, why)
            })
        }
        StepState::NotDone { again: Again::Never, why, .. } => {
            let why = format!("{} can't be done: {why}", stuck_at(run, lane));
            Some(closed(run, End::Stuck, why))
        }
        StepState::NotDone { why, .. } if lane.attempts >= terms.attempts => {
            let tries = lane.attempts;
            let why = format!("{} failed {tries} times, last: {why}", stuck_at(run, lane));
            Some(closed(run, End::Stuck, why))
        }
        StepState::NotDone { .. } | StepState::Pending | StepState::Started(_) => None,
    })
}

/// Where a run has come to, in words that say what stands already.
fn stuck_at(run: &Run, lane: &Progress) -> String {
    if let Some(place) = lane.undo.last().filter(|_| run.undoing()) {
        return format!(
            "the applications may be stopped, let them in by hand: taking back step {}",
            place + 1
        );
    }
    let step = lane.step + 1;
    if run.committed() && run.settled() && run.proposal.plan.kind.parts() {
        return format!(
            "the link is deleted and the managed instance goes on by itself; the old copy may still take writes, keep everybody out of it: step {step}"
        );
    }
    if run.committed() && run.settled() {
        return format!("the roles have changed and both sides were seen in them, but step {step}");
    }
    format!("step {step}")
}

/// After the second clock no step that acts starts any more. Steps that only look may: what has
/// been done has to be confirmed.
fn execution_expired(view: &View<'_>) -> Option<Event> {
    let run = approved(view)?;
    let Status::Approved { execute_by, .. } = run.status else { return None };
    let waiting = |state: &StepState| match state {
        StepState::Pending | StepState::NotDone { .. } => true,
        StepState::Started(started) => !started.sent,
        StepState::Unknown { .. } => false,
    };
    let due = |lane: usize| run.current(lane).is_some_and(|step| step.acts() || !run.acted());
    let late = view.now >= execute_by
        && !run.outlasts_its_clock()
        && run.lanes.iter().enumerate().any(|(lane, p)| waiting(&p.state) && due(lane));
    let end = if run.acted() { End::Stuck } else { End::Expired };
    late.then(|| closed(run, end, format!("{}{}", Blocked::Expired, run.for_people())))
}

fn bounds_exceeded(view: &View<'_>) -> Option<Event> {
    let run = approved(view)?;
    if run.acted() || !run.proposal.plan.kind.forces() {
        return None;
    }
    match clearance(view, run) {
        Err(blocked @ Blocked::Exceeded { .. }) => {
            Some(closed(run, End::Withdrawn, blocked.to_string()))
        }
        Ok(()) | Err(Blocked::Paused(_) | Blocked::Expired) => None,
    }
}

fn step_due(view: &View<'_>) -> Option<Event> {
    let run = running(view)?;
    run.lanes.iter().enumerate().find_map(|(lane, progress)| {
        let step = run.current(lane)?;
        let route = match &progress.state {
            StepState::Pending => 0,
            StepState::NotDone { at, route, again, .. } => {
                let rested = view.now >= retry_at(run, *at, progress.attempts);
                next_route(step, *route, *again, rested)?
            }
            StepState::Started(_) | StepState::Unknown { .. } => return None,
        };
        if progress.not_before.is_some_and(|at| view.now < at) {
            return None;
        }
        // The first step waits for clearance too, so that a run does not begin and then stop.
        if (step.acts() || !run.acted()) && clearance(view, run).is_err() {
            return None;
        }
        let attempt = progress.attempts + 1;
        let proposal = run.proposal.terms.proposal;
        let place = run.place(lane)?;
        let step = StepRef { proposal, lane, step: place, attempt, undo: run.undoing() };
        Some(Event::StepStarted { step, route })
    })
}

/// The route of the next try, or None while it is not due. Another route is tried at once: nothing
/// was sent on the one before. After the last one it starts over with the first.
fn next_route(step: &Step, route: usize, again: Again, rested: bool) -> Option<usize> {
    match again {
        Again::Never => None,
        Again::NextRoute if route + 1 < step.routes.len() => Some(route + 1),
        Again::NextRoute => rested.then_some(0),
        Again::SameRoute => rested.then_some(route),
    }
}

/// When a step that was not done may be tried again: the pause doubles, so that the tries last
/// until the clock for executing ends.
fn retry_at(run: &Run, at: Timestamp, attempts: u32) -> Timestamp {
    let doubled = 1_u64 << attempts.saturating_sub(1).min(4);
    let pause = Duration::from_millis(run.proposal.terms.retry_after_ms.saturating_mul(doubled));
    at.checked_add(signed(pause)).unwrap_or(Timestamp::MAX)
}

fn propose_again(view: &View<'_>) -> Option<Event> {
    let expired = view.record.run.as_ref()?.status == Status::Closed(End::Expired);
    (expired && !view.record.acknowledged).then_some(())?;
    propose(view)
}

fn propose(view: &View<'_>) -> Option<Event> {
    if !why_not(view).is_empty() {
        return None;
    }
    let target = view.record.primary?.other();
    let kind = capability::last_resort(view.evidence, view.spec, target).ok()?;
    let texts = draft(view, kind, target, Origin::Agent);
    Some(Event::ProposalOpened { texts })
}

/// A run whose link has left the configuration can't go on: nobody looks at it any more.
pub(crate) fn link_dropped(run: &Run) -> Event {
    let end = if run.acted() { End::Stuck } else { End::Withdrawn };
    closed(run, end, "the link is not in the configuration any more".to_string())
}

fn approved<'a>(view: &View<'a>) -> Option<&'a Run> {
    view.record.live().filter(|run| matches!(run.status, Status::Approved { .. }))
}

/// The run that has steps to carry out, forward or back.
fn running<'a>(view: &View<'a>) -> Option<&'a Run> {
    let going = |run: &&Run| matches!(run.status, Status::Approved { .. } | Status::Undoing { .. });
    view.record.live().filter(going)
}

fn closed(run: &Run, end: End, mut why: String) -> Event {
    why.push_str(&run.shut_out());
    Event::ProposalClosed { proposal: run.proposal.terms.proposal, end, why }
}
