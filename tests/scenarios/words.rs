//! Entries in words.

use agent_core::{Decision, Entry, Event, Plan, Proposal, Side, Step, StepRef, Undo};

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
        Event::StepDone { step: place, seen, .. } => {
            vec![format!("step {} done: {seen}", place.step + 1)]
        }
        Event::StepNotDone { step: place, why, again } => {
            vec![format!("step {} not done ({again:?}): {why}", place.step + 1)]
        }
        Event::StepUnknown { step: place, why } => {
            vec![format!("step {}: nobody can tell: {why}", place.step + 1)]
        }
        Event::UndoStarted { why, .. } => vec![format!("what was done is taken back: {why}")],
        Event::EpisodeAcknowledged { by, note } => vec![format!("{by} acknowledges: {note}")],
        Event::StateReported { report } => {
            vec![format!("{} links are reported", report.links.len())]
        }
        Event::RunbookIssued { runbook } => vec![format!("a runbook of {} bytes", runbook.bytes)],
    };
    lines[0] = format!("{}  {}{rule}", clock(entry.at), lines[0]);
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
