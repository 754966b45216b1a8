//! Entries in words.

use agent_core::{
    Decision, Entry, Event, Happened, OpenProposal, Plan, Proposal, Side, SideState, StateReport,
    Step, StepRef, Undo,
};

/// One entry, with a line of its own for each thing that a DBA would ask about.
pub(crate) fn entry(entry: &Entry, plan: Option<&Plan>) -> Vec<String> {
    let step = |step: StepRef| {
        let what = plan.and_then(|plan| part(plan, step));
        let what = what.map_or_else(String::new, |step| format!(" ({})", step.action));
        let back = if step.undo { "taking back " } else { "" };
        format!("{back}step {}{what}", step.step + 1)
    };
    let rule = entry.rule.as_ref().map_or_else(String::new, |rule| format!("  [{rule}]"));
    let mut lines = match &entry.event {
        Event::AgentStarted { .. } => vec!["the agent has started".to_owned()],
        Event::HealthChanged { from, to, primary, reasons, .. } => {
            let primary = primary.map_or("unknown", |side| match side {
                Side::SqlServer => "SQL Server",
                Side::ManagedInstance => "managed instance",
            });
            let mut lines = vec![format!("health {from} -> {to}, primary {primary}")];
            lines.extend(reasons.iter().map(|reason| format!("    because {reason}")));
            lines
        }
        Event::ProposalOpened { texts } => match Proposal::read(texts.clone()) {
            Ok(proposal) => opened(&proposal),
            Err(why) => vec![format!("a proposal that can't be read: {why}")],
        },
        Event::BallotReceived { ballot } => {
            let how = match &ballot.decision {
                Decision::Approve { break_glass: true, .. } => " and breaks the glass",
                Decision::Approve { attestation: Some(_), .. } => " and attests",
                Decision::Approve { .. } | Decision::Reject { .. } => "",
            };
            vec![format!("{} approves{how}", ballot.approver)]
        }
        Event::ProposalApproved { break_glass, execute_by, .. } => {
            let how = if *break_glass { ", by breaking the glass" } else { "" };
            vec![format!("approved{how}; steps may start until {}", clock(*execute_by))]
        }
        Event::ProposalClosed { end, why, .. } => vec![format!("closed, {end}: {why}")],
        Event::StepStarted { step: place, route } => {
            let way =
                plan.and_then(|plan| part(plan, *place)).and_then(|step| step.routes.get(*route));
            let mut lines = vec![format!("{} started, try {}", step(*place), place.attempt)];
            lines.extend(way.map(|way| format!("    by {way}")));
            lines
        }
        Event::StepSending { step: place } => {
            vec![format!("step {}: the command leaves", place.step + 1)]
        }
        Event::StepNoted { step: place, .. } => {
            vec![format!("step {}: the control plane named an operation", place.step + 1)]
        }
        Event::StepDone { step: place, seen, warning, .. } => {
            let mut lines = vec![format!("step {} done: {seen}", place.step + 1)];
            lines.extend(warning.as_ref().map(|missing| format!("missing: {missing}")));
            lines
        }
        Event::StepNotDone { step: place, why, again } => {
            vec![format!("step {} not done ({again:?}): {why}", place.step + 1)]
        }
        Event::StepUnknown { step: place, why } => {
            vec![format!("step {}: nobody can tell: {why}", place.step + 1)]
        }
        Event::UndoStarted { why, .. } => vec![format!("what was done is taken back: {why}")],
        Event::GuardLifted { by, note } => vec![format!("{by} lifts the return guard: {note}")],
        Event::EpisodeAcknowledged { by, note } => vec![format!("{by} acknowledges: {note}")],
        Event::StateReported { report } => reported(report),
        Event::RunbookIssued { runbook } => vec![format!("a runbook of {} bytes", runbook.bytes)],
    };
    lines[0] = format!("{}  {}{rule}", clock(entry.at), lines[0]);
    lines
}

fn reported(report: &StateReport) -> Vec<String> {
    let StateReport { since, missed, happened, links, more_links, placement } = report;
    let since = since.map_or_else(|| "the beginning".to_owned(), clock);
    let mut lines = vec![format!("state report; the one before: {since}, missed: {missed}")];
    let Happened { starts, episodes, proposals, succeeded, .. } = happened;
    lines.push(format!(
        "since then: {starts} starts, {episodes} episodes, {proposals} proposals, {succeeded} succeeded"
    ));
    for link in links {
        let since = link.since.map_or_else(|| "ever".to_owned(), clock);
        lines.push(format!("{} is {} since {since}", link.link, link.health));
        lines.extend(link.reasons.iter().map(|reason| format!("  because {reason}")));
        for SideState { side, role, silence, .. } in &link.sides {
            lines.push(match (role, silence) {
                (Some(role), _) => format!("  {side}: {role}"),
                (None, Some(silence)) => format!("  {side}: no answer ({silence:?})"),
                (None, None) => format!("  {side}: nothing"),
            });
        }
        let known = |number: Option<u64>| number.map_or("unknown".to_owned(), |n| n.to_string());
        let (lag, queue) = (known(link.lag_s), known(link.log_send_queue_kb));
        lines.push(format!("  lag: {lag} s; to be sent: {queue} KB"));
        lines.extend(link.forecast.map(|forecast| format!("  forced now: {}", forecast.loss)));
        lines.extend(link.last_failover.map(|moved| {
            let by = moved.proposal.map_or_else(|| "others".to_owned(), |id| id.to_string());
            format!("  last failover: {} to {}, by {by}", clock(moved.at), moved.to)
        }));
        lines.extend(link.proposal.map(|open| {
            let OpenProposal { proposal, signatures, quorum, .. } = open;
            format!("  proposal {proposal} waits: {signatures} of {quorum}")
        }));
        lines.extend(link.unacknowledged.map(|id| format!("  not acknowledged: {id}")));
        lines.extend(link.blocked_by.iter().map(|why| format!("  no proposal, since {why}")));
    }
    if *more_links > 0 {
        lines.push(format!("{more_links} further links"));
    }
    lines.extend(placement.iter().map(|words| format!("placement: {words}")));
    lines
}

/// The step of a plan, or what takes it back.
fn part(plan: &Plan, place: StepRef) -> Option<&Step> {
    let step = plan.step(place.lane, place.step)?;
    match &step.undo {
        Undo::With(undo) if place.undo => Some(undo),
        Undo::With(_) | Undo::Nothing | Undo::Impossible => Some(step),
    }
}

/// The plan of the proposal that an entry opens, if it does.
pub(crate) fn plan(entry: &Entry) -> Option<Plan> {
    let Event::ProposalOpened { texts } = &entry.event else { return None };
    Proposal::read(texts.clone()).ok().map(|proposal| proposal.plan)
}

/// Time of day; every scenario begins at three in the morning.
pub(crate) fn clock(at: jiff::Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

fn opened(proposal: &Proposal) -> Vec<String> {
    let terms = &proposal.terms;
    let mut lines = vec![format!(
        "proposal of a {}, {} of {} signatures, to be approved by {}",
        terms.kind,
        terms.quorum,
        terms.approvers.len(),
        clock(terms.approve_by)
    )];
    lines.extend(terms.notes.iter().map(|note| format!("    note: {note}")));
    lines
}
