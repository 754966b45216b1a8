//! What the calendar brings about, told to receivers beside the episodes: the state report, and the
//! runbook. It wakes nobody and nobody has to answer: whoever takes warnings gets it.

use agent_core::{Event, Health, LinkState, Runbook, Seq, StateReport};
use jiff::Timestamp;

use super::files::Place;

/// Links that are told of by name at the most.
const NAMED: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub(super) at: Timestamp,
    pub(super) seq: Seq,
    pub(super) event: Box<Event>,
    /// Where the sink is once it has been told.
    pub(super) place: Place,
}

impl Notice {
    /// Whether an event is told like this.
    pub(super) fn is(event: &Event) -> bool {
        report(event).is_some() || runbook(event).is_some()
    }

    /// The same for every try.
    pub(super) fn id(&self) -> String {
        format!("notice-{}", self.seq)
    }

    pub(super) fn report(&self) -> Option<&StateReport> {
        report(&self.event)
    }

    pub(super) fn runbook(&self) -> Option<&Runbook> {
        runbook(&self.event)
    }

    /// The link that it is about, if it is about one.
    pub(super) fn link(&self) -> Option<&str> {
        Some(self.runbook()?.link.as_ref()?.as_str())
    }

    /// One line.
    pub(super) fn title(&self) -> String {
        if let Some(report) = self.report() {
            let ill = report.links.iter().filter(|link| link.health != Health::Healthy).count();
            let all = report.links.len() + report.more_links;
            let missed = match report.missed {
                0 => String::new(),
                missed => format!("; {missed} reports before it were missed"),
            };
            return format!("state report: {} of {all} links are healthy{missed}", all - ill);
        }
        match self.runbook() {
            Some(runbook) => {
                let failed = match runbook.failed.len() {
                    0 => String::new(),
                    failed => format!("; {failed} places did not take it"),
                };
                format!("{}: a new runbook on paper{failed}", self.link().unwrap_or("all links"))
            }
            None => self.event.name().replace('_', " "),
        }
    }

    /// What is known without the text of a runbook.
    pub(super) fn text(&self) -> String {
        let mut lines = Vec::new();
        if let Some(report) = self.report() {
            // Those in trouble come first.
            lines.extend(report.links.iter().take(NAMED).map(link));
            let more = report.links.len().saturating_sub(NAMED) + report.more_links;
            if more > 0 {
                lines.push(format!("{more} further links"));
            }
            lines.extend(report.placement.iter().map(|words| format!("Placement: {words}")));
        }
        if let Some(runbook) = self.runbook() {
            lines.push(format!("Digest: {}, {} bytes", runbook.digest, runbook.bytes));
            lines.extend(runbook.places.iter().map(|place| format!("Kept in {place}")));
            lines.extend(runbook.failed.iter().map(|why| format!("NOT KEPT in {why}")));
            lines.push("Print it: dr-agent runbook".to_owned());
        }
        lines.join("\n")
    }
}

fn report(event: &Event) -> Option<&StateReport> {
    if let Event::StateReported { report } = event { Some(report) } else { None }
}

fn runbook(event: &Event) -> Option<&Runbook> {
    if let Event::RunbookIssued { runbook } = event { Some(runbook) } else { None }
}

fn link(state: &LinkState) -> String {
    let since = state.since.map_or_else(String::new, |at| format!(" since {at:.0}"));
    let primary = state.primary.map_or("unknown".to_owned(), |side| side.to_string());
    let lag = state.lag_s.map_or("unknown".to_owned(), |lag| format!("{lag} s"));
    let mut line = format!("{}: {}{since}, primary {primary}, lag {lag}", state.link, state.health);
    if state.health != Health::Healthy {
        line.push_str(&format!(": {}", state.reasons.join("; ")));
    }
    if let Some(open) = state.proposal {
        let of = (open.signatures, open.quorum);
        line.push_str(&format!("; proposal {} has {} of {} signatures", open.proposal, of.0, of.1));
    }
    if let Some(id) = state.unacknowledged {
        line.push_str(&format!("; proposal {id} is not acknowledged"));
    }
    line
}
