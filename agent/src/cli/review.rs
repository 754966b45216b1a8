//! What an approver sees before signing: everything that the signature covers, in words. It is made
//! from the exact texts alone, so it is the same with and without a network.

use agent_core::{Action, Loss, Origin, Proposal, Route, Step, Terms, Undo, seconds};
use jiff::Timestamp;

use super::{
    text::{Page, lasting, time},
    words,
};

/// All of a proposal.
pub(super) fn proposal(page: &mut Page, proposal: &Proposal, now: Timestamp) {
    let terms = &proposal.terms;
    page.title(format!("Proposal {}: {} of link {}", terms.proposal, terms.kind, terms.link));
    let origin = match &terms.origin {
        Origin::Agent => "by the agent itself".to_owned(),
        Origin::Operator { name } => format!("because {name} asked for it"),
        Origin::Guard { proposal } => {
            format!("by the standing order that was signed with proposal {proposal}")
        }
        Origin::Alert { rule, alertname, fingerprint } => {
            format!("because the alert {alertname} ({fingerprint}) fires, by the rule {rule}")
        }
    };
    page.pair(1, "opened", format!("{} {origin}", time(terms.opened_at)));
    page.pair(1, "health", terms.health.to_string());
    for reason in &terms.reasons {
        page.line(2, format!("- {reason}"));
    }
    page.title("What was seen when it was opened, from each vantage");
    if terms.evidence.is_empty() {
        page.line(1, "nothing: the agent had not seen anything of this link");
    }
    for look in &terms.evidence {
        let late = if look.late { ", the agent's own timer was late" } else { "" };
        page.line(1, format!("{}, {}{late}", look.vantage, time(look.at)));
        page.line(2, words::seen(&look.seen));
    }
    plan(page, proposal);
    loss(page, terms);
    clocks(page, terms, now);
    signatures(page, terms);
    page.title("Notes");
    for note in &terms.notes {
        page.line(1, format!("- {note}"));
    }
    page.title("Digests, to compare with those that others see");
    page.pair(1, "proposal", &proposal.digest);
    page.pair(1, "plan", &terms.plan_digest);
}

fn plan(page: &mut Page, proposal: &Proposal) {
    page.title("Plan: exactly this is done, in this order, and nothing else");
    for (place, lane) in proposal.plan.lanes.iter().enumerate() {
        let number = place + 1;
        page.line(1, format!("lane {number}: link {}, {} becomes primary", lane.link, lane.target));
        for (place, step) in lane.steps.iter().enumerate() {
            self::step(page, place + 1, step);
        }
        if !lane.guard.is_empty() {
            let other = lane.target.other();
            page.line(
                1,
                format!("standing order: when {other} comes back as primary, at once and unasked"),
            );
            for (place, step) in lane.guard.iter().enumerate() {
                self::step(page, place + 1, step);
            }
        }
    }
}

fn step(page: &mut Page, number: usize, step: &Step) {
    page.line(2, format!("{number}. {}", step.action));
    looks(page, &step.action);
    match &step.undo {
        Undo::Nothing => {}
        Undo::With(undo) => {
            page.line(4, "taken back, if need be, by:");
            for route in &undo.routes {
                self::route(page, route);
            }
            page.line(4, format!("until {}", undo.action));
            looks(page, &undo.action);
        }
        Undo::Impossible => page.line(4, "POINT OF NO RETURN: it can't be taken back"),
    }
    if !step.acts() {
        page.line(4, "only looks");
    }
    for (place, route) in step.routes.iter().enumerate() {
        let only = if place == 0 { "" } else { ", only if nothing was sent before" };
        page.line(4, format!("route {}{only}:", place + 1));
        self::route(page, route);
    }
    page.line(4, format!("within {}", lasting(step.deadline_ms)));
}

/// By what a step that looks for more than roles judges.
fn looks(page: &mut Page, action: &Action) {
    let hook = match action {
        Action::Quiesced { status, .. } => status.as_ref(),
        Action::Admitted { status, .. } => Some(status),
        Action::TargetReady { .. }
        | Action::TargetPrimary { .. }
        | Action::TargetServing { .. }
        | Action::CaughtUp { .. }
        | Action::RolesChanged { .. }
        | Action::SourceSecondary { .. }
        | Action::BackedUp { .. }
        | Action::Saved { .. }
        | Action::Demoted { .. }
        | Action::Following { .. }
        | Action::LoginsSet { .. }
        | Action::CommitMode { .. }
        | Action::LinkDeleted { .. }
        | Action::GroupDropped { .. }
        | Action::LocalGroupDropped { .. }
        | Action::ReadOnly { .. }
        | Action::FirstBackup { .. }
        | Action::LogBackupsSeen { .. } => None,
    };
    if let Some(hook) = hook {
        page.line(4, "asked whether the applications run (exit code 0) or are stopped (3):");
        page.line(5, Route::Hook(hook.clone()).to_string());
    }
    if let Action::Quiesced { quiet, .. } | Action::CaughtUp { quiet, .. } = action {
        let (span, kb) = (lasting(quiet.for_ms), quiet.log_kb);
        page.line(4, format!("quiet for {span}, with at most {kb} KB of log in that time"));
    }
}

fn route(page: &mut Page, route: &Route) {
    page.line(5, route.to_string());
    if let Route::Hook(hook) = route {
        page.line(5, format!("killed after {}", lasting(hook.within_ms)));
    }
}

fn loss(page: &mut Page, terms: &Terms) {
    page.title("What it costs");
    words::forecast(page, &terms.forecast);
    let bound = match terms.bounds.loss_most_ms {
        Some(most) => {
            format!("{}: no step starts if the forecast exceeds it", seconds(most))
        }
        None => "none: whatever is lost is lost".to_owned(),
    };
    page.pair(1, "signed bound", bound);
}

fn clocks(page: &mut Page, terms: &Terms, now: Timestamp) {
    page.title("Clocks");
    let left = terms.approve_by.duration_since(now).as_millis();
    let left = match u64::try_from(left) {
        Ok(ms) if ms > 0 => format!("{} left by this machine's clock", lasting(ms)),
        _ => "OVER by this machine's clock".to_owned(),
    };
    page.pair(1, "approve by", format!("{} ({left})", time(terms.approve_by)));
    let within = lasting(terms.execute_within_ms);
    page.pair(1, "execute within", format!("{within} of the last signature that it takes"));
    page.pair(
        1,
        "refused steps",
        format!(
            "tried again after {}, {} times at the most",
            lasting(terms.retry_after_ms),
            terms.attempts
        ),
    );
    let stuck = lasting(terms.stuck_after_ms);
    page.pair(1, "unknown outcomes", format!("looked after for {stuck}, then a human is asked"));
}

fn signatures(page: &mut Page, terms: &Terms) {
    page.title("Signatures");
    let names: Vec<String> = terms.approvers.iter().map(ToString::to_string).collect();
    page.pair(1, "it takes", format!("{} of: {}", terms.quorum, names.join(", ")));
    let glass = match terms.break_glass_wait_ms {
        Some(wait) => format!("one signer alone, {} after breaking the glass", lasting(wait)),
        None => "not configured".to_owned(),
    };
    page.pair(1, "break glass", glass);
    if terms.attestation_required {
        page.pair(1, "attestation", "REQUIRED: say how writes on the other side were stopped");
    }
    if matches!(terms.forecast.loss, Loss::Unknown { .. }) || terms.bounds.loss_most_ms.is_none() {
        page.pair(1, "forecast unknown", "has to be ACCEPTED in these words");
    }
}
