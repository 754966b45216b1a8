//! What an alert of a monitoring system may ask for, and what it takes back when it is over.

use alloc::format;

use crate::{
    event::Event,
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
        Origin::Agent | Origin::Operator { .. } => Ok(()),
        Origin::Alert { .. } if view.record.silenced => Err(Refusal::Silenced),
        Origin::Alert { .. } if view.braked => Err(Refusal::Braked { open }),
        Origin::Alert { .. } => Ok(()),
    }
}

/// What follows when an alert is over: its own proposal is withdrawn, as long as nothing may have
/// taken effect. Proposals of others stay.
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
    let proposal = run.ok_or(Refusal::NothingToWithdraw)?.proposal.terms.proposal;
    let why = format!("the alert {alertname} that asked for it is resolved");
    Ok(Event::ProposalClosed { proposal, end: End::Withdrawn, why })
}
