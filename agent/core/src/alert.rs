//! What an alert of a monitoring system may ask for, and what it takes back when it is over.

use alloc::format;
use core::time::Duration;

use crate::{
    event::Event,
    evidence::signed,
    health::{Health, Reason, assess},
    input::Refusal,
    link::Record,
    proposal::{End, Origin},
    rules::View,
};

/// Whether an alert may ask for a proposal at all. It is a machine as the agent is: what a human
/// refused in this episode it does not ask for again, and it opens no more proposals than the
/// agent's own storm brake allows. `open` is how many there are.
pub(crate) fn may_ask(origin: &Origin, view: &View<'_>, open: usize) -> Result<(), Refusal> {
    match origin {
        Origin::Agent | Origin::Operator { .. } | Origin::Guard { .. } => Ok(()),
        Origin::Alert { .. } if view.record.silenced => Err(Refusal::Silenced),
        Origin::Alert { .. } if view.braked => Err(Refusal::Braked { open }),
        Origin::Alert { .. } => Ok(()),
    }
}

/// Whether the primary is lost enough for an alert to ask for a forced failover. A blip or a local
/// failover heals itself, and the alerts of applications fire meanwhile: the trouble has to have
/// lasted for `lost_for`, or else as long as the agent itself would wait, and twice as long if it is of a
/// kind for which the agent itself never asks; and it has to be seen now.
pub(crate) fn lost_enough(
    origin: &Origin,
    view: &View<'_>,
    lost_for: Option<Duration>,
) -> Result<(), Refusal> {
    match origin {
        Origin::Agent | Origin::Operator { .. } | Origin::Guard { .. } => return Ok(()),
        Origin::Alert { .. } => {}
    }
    let health = view.record.health;
    let from = match health {
        Health::PrimaryDown
        | Health::PrimaryUnreachable
        | Health::Unknown
        | Health::NoPrimary
        | Health::Degraded => {
            let own = view.spec.policy.propose_after;
            let heals = matches!(health, Health::NoPrimary | Health::Degraded);
            let wait = lost_for.unwrap_or(if heals { own.saturating_mul(2) } else { own });
            let wait = signed(wait);
            view.record.health_since.and_then(|since| since.checked_add(wait).ok())
        }
        Health::Healthy | Health::SplitBrain | Health::Unlinked | Health::Parted => None,
    };
    // What the journal says of a life before is no evidence of now.
    let seen = assess(view.evidence, view.spec, view.record.primary, view.now);
    let seen = seen.is_some_and(|seen| seen.health == health);
    if seen && from.is_some_and(|from| from <= view.now) {
        return Ok(());
    }
    Err(Refusal::NotLost { health, from: from.map(|from| from.max(view.now)) })
}

/// What follows when an alert is over: its own proposal is withdrawn, as long as nothing may have
/// taken effect. Proposals of others stay. An alert is over too when its series are gone, because
/// the agent or a witness fell silent: a forced failover, and what was signed for it, is given up
/// only while a primary takes writes or is heard. One that comes back later speaks for itself.
pub(crate) fn resolved(
    record: &Record,
    alertname: &str,
    fingerprint: &str,
) -> Result<Event, Refusal> {
    let asked = |origin: &Origin| match origin {
        Origin::Alert { fingerprint: asked, .. } => asked == fingerprint,
        Origin::Agent | Origin::Operator { .. } | Origin::Guard { .. } => false,
    };
    let run = record.live().filter(|run| !run.acted() && asked(&run.proposal.terms.origin));
    let run = run.ok_or(Refusal::NothingToWithdraw)?;
    let proposal = run.proposal.terms.proposal;
    let forced = run.proposal.plan.kind.forces();
    let there = |reason: &Reason| matches!(reason, Reason::Serving { .. } | Reason::Heard { .. });
    let back = matches!(record.health, Health::Healthy | Health::Degraded)
        && record.reasons.iter().any(there);
    if forced && !back {
        return Err(Refusal::StillLost { proposal, health: record.health });
    }
    let why = format!("the alert {alertname} that asked for it is resolved");
    Ok(Event::ProposalClosed { proposal, end: End::Withdrawn, why })
}
