//! What people are told: a title that fits on a telephone, a text with what has to be known before
//! acting, and what to type.

use agent_core::{Action, Event, Health, Loss, PlanKind, Proposal, Side, Status, StepRef, seconds};
use jiff::SignedDuration;

use super::story::{Change, Episode, News, Proposed};

/// Characters of what others said that are repeated.
const QUOTE: usize = 500;

/// One line, beginning with the link.
pub(super) fn title(change: &Change) -> String {
    let episode = &change.episode;
    let what = match &change.news {
        News::Entry { event, .. } => event_title(episode, event),
        News::Lasting { .. } => match &episode.need {
            Some(need) => need.to_string(),
            None => health(episode),
        },
        News::Calm { .. } => "nobody has to act any more".to_owned(),
        News::Dropped => "the configuration does not name the link any more".to_owned(),
        News::Standing => format!("as it stands: {}", health(episode)),
    };
    let over = if episode.over.is_some() { "; the episode is over" } else { "" };
    format!("{}: {what}{over}", episode.link)
}

/// Everything that has to be known, in lines.
pub(super) fn text(change: &Change) -> String {
    let episode = &change.episode;
    let mut lines = Vec::new();
    if let News::Entry { event, .. } = &change.news {
        lines.extend(detail(event));
        lines.extend(pointer(episode, event));
    }
    let since = episode.health_since;
    let reasons: Vec<String> = episode.reasons.iter().map(ToString::to_string).collect();
    let because =
        if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
    lines.push(format!("Health: {} since {since:.0}{because}", episode.health));
    if let Some(proposed) = &episode.proposal {
        proposal(proposed, &mut lines);
    }
    if let Some(need) = &episode.need {
        lines.push(format!("A human has to act: {need}"));
    }
    let commands = commands(episode);
    if !commands.is_empty() {
        lines.push("Type:".to_owned());
        lines.extend(commands.iter().map(|command| format!("  {command}")));
    }
    lines.join("\n")
}

/// What to type now.
pub(super) fn commands(episode: &Episode) -> Vec<String> {
    if episode.over.is_some() {
        return Vec::new();
    }
    let link = word(episode.link.as_str());
    let mend = (episode.health == Health::SplitBrain)
        .then(|| format!("dr-agent propose {link} --kind repair --by YOU"));
    let Some(proposed) = &episode.proposal else {
        let mut commands = vec!["dr-agent status".to_owned(), format!("dr-agent explain {link}")];
        commands.extend(mend);
        return commands;
    };
    let id = proposed.id();
    let mut commands = vec![format!("dr-agent show {id}")];
    match proposed.status {
        Status::Open => {
            let terms = &proposed.proposal.terms;
            let mut approve = format!("dr-agent approve {id} --approver YOU --key YOUR.pem");
            if terms.attestation_required {
                approve.push_str(" --attest 'HOW WRITES ON THE OTHER SIDE WERE STOPPED'");
            }
            if terms.bounds.loss_most_ms.is_none() {
                approve.push_str(" --accept-unknown-forecast");
            }
            commands.push(approve);
            let reject =
                format!("dr-agent reject {id} --approver YOU --key YOUR.pem --reason 'WHY'");
            commands.push(reject);
        }
        Status::Approved { .. } | Status::Undoing { .. } => {}
        Status::Closed(_) if proposed.acknowledged => {
            commands.push(format!("dr-agent explain {link}"));
        }
        Status::Closed(_) => {
            commands.push(format!("dr-agent explain {link}"));
            commands.push(format!("dr-agent acknowledge {link} --by YOU --note 'WHAT YOU SAW'"));
        }
    }
    if matches!(proposed.status, Status::Closed(_)) {
        commands.extend(mend);
    }
    commands
}

/// What would be lost, in words.
pub(super) fn loss(proposal: &Proposal) -> String {
    let terms = &proposal.terms;
    match (&terms.forecast.loss, terms.bounds.loss_most_ms) {
        (loss @ Loss::Within { .. }, Some(most)) => {
            format!("{loss}; no step starts if the forecast exceeds {}", seconds(most))
        }
        (loss @ (Loss::Within { .. } | Loss::Unknown { .. }), _) => loss.to_string(),
    }
}

/// Words of others, cut where they get long.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn event_title(episode: &Episode, event: &Event) -> String {
    match event {
        Event::HealthChanged { .. } => health(episode),
        Event::ProposalOpened { .. } => match &episode.proposal {
            Some(proposed) if proposed.proposal.terms.kind == PlanKind::ReturnGuard => format!(
                "the return guard begins: {} is back as primary beside {}",
                proposed
                    .proposal
                    .plan
                    .lanes
                    .first()
                    .map_or(String::new(), |lane| lane.target.other().to_string()),
                target(&proposed.proposal)
            ),
            Some(proposed) => format!(
                "proposal {} waits for {} ({} to {})",
                proposed.id(),
                counted(proposed.proposal.terms.quorum, "approval"),
                proposed.proposal.terms.kind,
                target(&proposed.proposal)
            ),
            None => "a proposal is open".to_owned(),
        },
        Event::BallotReceived { ballot } => {
            let so_far = episode.proposal.as_ref().map_or_else(String::new, |proposed| {
                format!(" ({} of {})", proposed.approved_by.len(), proposed.proposal.terms.quorum)
            });
            format!("{} approved proposal {}{so_far}", ballot.approver, ballot.proposal)
        }
        Event::ProposalApproved { proposal, break_glass, .. } => {
            let how = if *break_glass { ", by breaking the glass" } else { "" };
            format!("proposal {proposal} is approved{how}; it is being carried out")
        }
        Event::ProposalClosed { proposal, end, .. } => format!("proposal {proposal} {end}"),
        Event::UndoStarted { proposal, .. } => {
            format!("what proposal {proposal} has done is being taken back")
        }
        Event::StepSending { step } => format!("{}: the command leaves", place(episode, *step)),
        Event::StepDone { step, .. } => {
            let done = if step.undo { "is taken back" } else { "is done" };
            format!("{} {done}", place(episode, *step))
        }
        Event::StepNotDone { step, .. } => format!("{} was without effect", place(episode, *step)),
        Event::StepUnknown { step, .. } => {
            format!("nobody can tell whether {} took effect", place(episode, *step))
        }
        Event::GuardLifted { by, .. } => format!("the return guard is lifted by {}", quote(by)),
        Event::EpisodeAcknowledged { by, .. } => format!("acknowledged by {}", quote(by)),
        // None of them is told; their names are right all the same.
        Event::AgentStarted { .. }
        | Event::StepStarted { .. }
        | Event::StepNoted { .. }
        | Event::StateReported { .. }
        | Event::RunbookIssued { .. } => event.name().replace('_', " "),
    }
}

fn detail(event: &Event) -> Option<String> {
    match event {
        Event::ProposalClosed { why, .. }
        | Event::UndoStarted { why, .. }
        | Event::StepNotDone { why, .. }
        | Event::StepUnknown { why, .. } => Some(quote(why)),
        Event::StepDone { seen, warning, .. } => {
            let missing =
                warning.as_ref().map_or(String::new(), |w| format!(". Missing: {}", quote(w)));
            Some(format!("Seen: {}{missing}", quote(seen)))
        }
        Event::EpisodeAcknowledged { note, .. } | Event::GuardLifted { note, .. } => {
            Some(quote(note))
        }
        Event::AgentStarted { .. }
        | Event::HealthChanged { .. }
        | Event::ProposalOpened { .. }
        | Event::BallotReceived { .. }
        | Event::ProposalApproved { .. }
        | Event::StepStarted { .. }
        | Event::StepSending { .. }
        | Event::StepNoted { .. }
        | Event::StateReported { .. }
        | Event::RunbookIssued { .. } => None,
    }
}

/// Once the new primary takes writes the applications need not wait for the rest of the plan.
fn pointer(episode: &Episode, event: &Event) -> Option<String> {
    let Event::StepDone { step, .. } = event else { return None };
    let proposal = &episode.proposal.as_ref()?.proposal;
    let action = &proposal.plan.step(step.lane, step.step).filter(|_| !step.undo)?.action;
    let serves = matches!(action, Action::TargetServing { .. });
    serves.then(|| format!("Point the applications at {} now.", target(proposal)))
}

fn health(episode: &Episode) -> String {
    let primary = match episode.primary {
        Some(side) => format!("the primary ({side})"),
        None => "the primary".to_owned(),
    };
    match episode.health {
        Health::Unknown => "too little is seen to say how it is".to_owned(),
        Health::Healthy => "the link is healthy".to_owned(),
        Health::Degraded => "something is wrong, though a primary is there".to_owned(),
        Health::PrimaryUnreachable => format!("{primary} is not reached by the agent"),
        Health::PrimaryDown => format!("{primary} is down"),
        Health::NoPrimary => "no side is primary".to_owned(),
        Health::SplitBrain => "SPLIT BRAIN: both sides say that they are primary".to_owned(),
        Health::Unlinked => "there is no such link any more".to_owned(),
        Health::Parted => {
            "TWO DATABASES: each side takes writes by itself, and no link is between them"
                .to_owned()
        }
    }
}

fn proposal(proposed: &Proposed, lines: &mut Vec<String>) {
    let (proposal, terms) = (&proposed.proposal, &proposed.proposal.terms);
    let approved: Vec<String> = proposed.approved_by.iter().map(ToString::to_string).collect();
    let by =
        if approved.is_empty() { String::new() } else { format!(" ({})", approved.join(", ")) };
    lines.push(format!(
        "Proposal {}: {} to {}, {}; {} of {}{by}",
        terms.proposal,
        terms.kind,
        target(proposal),
        status(&proposed.status),
        approved.len(),
        counted(terms.quorum, "approval")
    ));
    lines.push(format!("Digest: {}", proposal.digest));
    match proposed.status {
        Status::Open => {
            lines.push(format!("Expected loss: {}", loss(proposal)));
            lines.push(format!(
                "Approve by {:.0}; after the last approval steps may start for {}",
                terms.approve_by,
                span(terms.execute_within_ms)
            ));
            if terms.attestation_required {
                lines.push(
                    "Nobody independent confirms that the primary is gone: approvers have to say how writes there were stopped"
                        .to_owned(),
                );
            }
        }
        Status::Approved { execute_by, .. } => {
            lines.push(format!("Expected loss: {}", loss(proposal)));
            lines.push(format!("Steps may start until {execute_by:.0}"));
        }
        Status::Undoing { .. } => {
            lines.extend(proposed.why.as_ref().map(|why| format!("Taken back: {}", quote(why))));
        }
        Status::Closed(_) => {
            lines.extend(proposed.why.as_ref().map(|why| format!("Closed: {}", quote(why))));
        }
    }
}

fn status(status: &Status) -> String {
    match status {
        Status::Open => "open".to_owned(),
        Status::Approved { .. } => "approved".to_owned(),
        Status::Undoing { .. } => "being taken back".to_owned(),
        Status::Closed(end) => end.to_string(),
    }
}

fn place(episode: &Episode, step: StepRef) -> String {
    let plan = episode.proposal.as_ref().map(|proposed| &proposed.proposal.plan);
    let count = plan.and_then(|plan| plan.lanes.get(step.lane)).map_or(0, |lane| lane.steps.len());
    let action = plan.and_then(|plan| plan.step(step.lane, step.step));
    let action = action.map_or_else(String::new, |step| format!(" ({})", step.action));
    format!("step {} of {count}{action}", step.step + 1)
}

fn target(proposal: &Proposal) -> Side {
    proposal.plan.lanes.first().map_or(Side::ManagedInstance, |lane| lane.target)
}

fn counted(many: usize, what: &str) -> String {
    let s = if many == 1 { "" } else { "s" };
    format!("{many} {what}{s}")
}

fn span(ms: u64) -> String {
    format!("{:#}", SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX)))
}

/// A name as one word of a shell.
fn word(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}
