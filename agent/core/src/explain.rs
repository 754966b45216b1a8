//! `explain`: why the agent would, or would not, propose a failover of this link now. The rule that
//! proposes asks the same function, so the explanation can't drift from the deed.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    capability::{self, Facts, ways},
    evidence::{Vantage, signed},
    forecast::{self, Forecast},
    health::{Health, Reason, assess, primary_seen_by},
    input::Refusal,
    names::{LinkId, Seq, Side},
    plan::PlanKind,
    proposal::{End, Status},
    rules::View,
};

/// What the agent thinks of a link, in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub link: LinkId,
    pub health: Health,
    pub since: Option<Timestamp>,
    pub primary: Option<Side>,
    /// The reasons as they are now, each in words.
    pub reasons: Vec<String>,
    pub episode: Option<Seq>,
    /// What a forced failover now would lose.
    pub forecast: Forecast,
    pub would_propose: bool,
    /// Everything that keeps the agent from proposing, in words; empty if it would.
    pub because: Vec<String>,
    /// What can be done about the link as it stands, by whom, and how one comes back; in words.
    pub ways: Vec<String>,
}

pub(crate) fn explain(view: &View<'_>) -> Explanation {
    let found = assess(view.evidence, view.spec, view.record.primary, view.now);
    let reasons: Vec<Reason> =
        found.map_or_else(|| view.record.reasons.clone(), |found| found.reasons);
    let because = why_not(view);
    let target = view.record.primary.unwrap_or(Side::SqlServer).other();
    let down = view.record.health == Health::PrimaryDown;
    Explanation {
        link: view.spec.id.clone(),
        health: view.record.health,
        since: view.record.health_since,
        primary: view.record.primary,
        reasons: reasons.iter().map(ToString::to_string).collect(),
        episode: view.record.episode,
        forecast: forecast::forecast(view.evidence, view.record.sample.as_ref(), target, !down),
        would_propose: because.is_empty(),
        because,
        ways: ways(
            &Facts::of(view.evidence, view.record.primary).with(view.spec),
            view.record.health,
        )
        .iter()
        .map(ToString::to_string)
        .collect(),
    }
}

/// Everything that keeps the agent from proposing a forced failover on its own initiative.
pub(crate) fn why_not(view: &View<'_>) -> Vec<String> {
    let mut because = Vec::new();
    let record = view.record;
    match record.health {
        Health::PrimaryDown | Health::PrimaryUnreachable => {
            early(view, &mut because);
        }
        Health::Unknown => because.push(
            "the agent sees too little: it may be the agent that is cut off, not the primary"
                .to_string(),
        ),
        Health::NoPrimary => because.push(
            "no side is primary: that may heal by itself, so only people ask for a failover then, and attest that nobody takes writes"
                .to_string(),
        ),
        Health::Parted => because.push(
            "each side takes writes by itself: decide which one goes on, keep everybody out of the other, and save what only that has before a new link takes it away"
                .to_string(),
        ),
        health @ (Health::Healthy
        | Health::Degraded
        | Health::SplitBrain
        | Health::Unlinked) => {
            because.push(format!("the health is {health}, not a lost primary"));
        }
    }
    let Some(primary) = record.primary else {
        because.push("it was never seen which side is the primary".to_string());
        return because;
    };
    let by = primary_seen_by(view.evidence, view.spec, primary.other(), view.now);
    if !by.is_empty() {
        because.push(Refusal::PrimarySeen { by }.to_string());
    }
    because.extend(capability::last_resort(view.evidence, view.spec, primary.other()).err());
    earlier_proposals(view, &mut because);
    if view.braked {
        because.push(
            "as many proposals of the agent are open as it may have at once: when so many links fail together it is rarely the links"
                .to_string(),
        );
    }
    because
}

fn early(view: &View<'_>, because: &mut Vec<String>) {
    let Some(since) = view.record.health_since else { return };
    let due = since.checked_add(signed(view.spec.policy.propose_after)).unwrap_or(since);
    if view.now < due {
        because
            .push(format!("it waits until {due:.0}: local failovers and restarts heal themselves"));
    }
    // The verdict may have been journaled before a restart; it has to be seen again to be acted on.
    let confirmed = assess(view.evidence, view.spec, view.record.primary, view.now)
        .is_some_and(|found| found.health == view.record.health);
    if !confirmed {
        because.push("the verdict has not been seen again since the agent started".to_string());
    }
}

fn earlier_proposals(view: &View<'_>, because: &mut Vec<String>) {
    let record = view.record;
    if record.silenced {
        because.push("an approver rejected a proposal in this episode".to_string());
    }
    let Some(run) = &record.run else { return };
    let id = run.proposal.terms.proposal;
    let newest = run.proposal.plan.lanes.first().and_then(|lane| {
        let look = view.evidence.of(Vantage::from(lane.target)).last()?;
        Some(look.begun_at)
    });
    if run.closed_at.is_some_and(|closed| newest.is_none_or(|newest| newest < closed)) {
        because.push(format!("the target has not been looked at since proposal {id} was closed"));
    }
    match &run.status {
        Status::Open | Status::Approved { .. } | Status::Undoing { .. } => {
            because.push(format!("proposal {id} is open or being carried out"));
        }
        // A return guard changes no roles: it stands in the way of nothing.
        Status::Closed(_) if run.proposal.plan.kind == PlanKind::ReturnGuard => {}
        Status::Closed(End::Stuck) if !record.acknowledged => {
            because.push(Refusal::Unacknowledged { proposal: id }.to_string());
        }
        Status::Closed(End::Expired) if this_episode(view, id) => {
            if record.acknowledged {
                because.push(format!("proposal {id} expired and a human has acknowledged it"));
            } else if let Some(at) = run.closed_at {
                let due = at.checked_add(signed(view.spec.policy.reopen_after)).unwrap_or(at);
                if view.now < due {
                    because.push(format!("proposal {id} expired; it opens again at {due:.0}"));
                }
            }
        }
        Status::Closed(
            End::Stuck
            | End::Expired
            | End::Succeeded
            | End::Undone
            | End::Rejected
            | End::Withdrawn
            | End::Overtaken,
        ) => {}
    }
}

fn this_episode(view: &View<'_>, proposal: Seq) -> bool {
    view.record.episode.is_some_and(|episode| proposal > episode)
}
