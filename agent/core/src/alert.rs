//! What an alert of a monitoring system may ask for, and what it takes back when it is over.

use alloc::format;

use crate::{
    event::Event,
    evidence::signed,
    health::Health,
    input::Refusal,
    link::Record,
    plan::PlanKind,
    proposal::{End, Origin},
    rules::View,
};

/// Whether an alert may ask for a proposal at all. It is a machine as the agent is: what a human
/// refused in this episode it does not ask for again, and it opens no more proposals than the
/// agent's own storm brake allows. `open` is how many there are.
pub(crate) fn may_ask(origin: &Origin, view: &View<'_>, open: usize) -> Result<(), Refusal> {
    match origin {
        Origin::Agent | Origin::Operator { .. } => Ok(()),
        Origin::Alert { .. } if view.record.silenced => Err(Refusal::Silenced),
        Origin::Alert { .. } if view.braked => Err(Refusal::Braked { open }),
        Origin::Alert { .. } => Ok(()),
    }
}

/// Whether the primary is lost enough for an alert to ask for a forced failover. A local failover
/// passes through healths that look bad and heal themselves, and the alerts of applications fire
/// meanwhile: those healths have to last as long as the agent itself would wait.
pub(crate) fn lost_enough(origin: &Origin, view: &View<'_>) -> Result<(), Refusal> {
    match origin {
        Origin::Agent | Origin::Operator { .. } => return Ok(()),
        Origin::Alert { .. } => {}
    }
    let health = view.record.health;
    let from = match health {
        Health::PrimaryDown | Health::PrimaryUnreachable => return Ok(()),
        Health::Unknown | Health::NoPrimary | Health::Degraded => {
            let wait = signed(view.spec.policy.propose_after);
            view.record.health_since.and_then(|since| since.checked_add(wait).ok())
        }
        Health::Healthy | Health::SplitBrain | Health::Unlinked => None,
    };
    if from.is_some_and(|from| from <= view.now) {
        return Ok(());
    }
    Err(Refusal::NotLost { health, from })
}

/// What follows when an alert is over: its own proposal is withdrawn, as long as nothing may have
/// taken effect. Proposals of others stay. An alert is over too when its series are gone, because
/// the agent or a witness fell silent: a forced failover, and what was signed for it, is given up
/// only while a primary is seen or heard. One that comes back later speaks for itself.
pub(crate) fn resolved(
    record: &Record,
    alertname: &str,
    fingerprint: &str,
) -> Result<Event, Refusal> {
    let asked = |origin: &Origin| match origin {
        Origin::Alert { fingerprint: asked, .. } => asked == fingerprint,
        Origin::Agent | Origin::Operator { .. } => false,
    };
    let run = record.live().filter(|run| !run.acted() && asked(&run.proposal.terms.origin));
    let run = run.ok_or(Refusal::NothingToWithdraw)?;
    let proposal = run.proposal.terms.proposal;
    let forced = run.proposal.plan.kind == PlanKind::ForcedFailover;
    if forced && !matches!(record.health, Health::Healthy | Health::Degraded) {
        return Err(Refusal::StillLost { proposal, health: record.health });
    }
    let why = format!("the alert {alertname} that asked for it is resolved");
    Ok(Event::ProposalClosed { proposal, end: End::Withdrawn, why })
}
