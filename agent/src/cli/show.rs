//! `show`: proposals, and one of them in full.

use std::path::PathBuf;

use agent_core::{Proposal, ProposalId};
use clap::Args;
use jiff::Timestamp;

use super::{
    Context,
    client::Client,
    exit::Failure,
    files, review,
    text::{Page, time},
    words,
};
use crate::{
    clock::Clock,
    http::view::{Detail, Proposals, StatusWord, StepView, StepWord, Summary},
};

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Number of a proposal; all are listed without it
    proposal: Option<ProposalId>,
    /// Write its exact texts to a new file, which can be carried to approvers by any means
    #[arg(long, value_name = "FILE", requires = "proposal")]
    export: Option<PathBuf>,
}

impl Show {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.connection.open()?;
        let Some(id) = self.proposal else {
            let all: Proposals = client.get(&["proposals"], &[])?;
            return context.output.show(&all, |page| list(page, &all));
        };
        let (detail, proposal) = fetch(&client, id)?;
        if let Some(path) = &self.export {
            files::write_new(path, &files::export(&proposal)?)?;
        }
        let now = Clock::start(None).now();
        context.output.show(&detail, |page| {
            in_full(page, &detail, &proposal, now);
            if let Some(path) = &self.export {
                page.title(format!("Written to {}", path.display()));
            }
        })
    }
}

/// A proposal from the agent. What it is, is read from its texts and not from what the agent says
/// of them.
pub(super) fn fetch(client: &Client, id: ProposalId) -> Result<(Detail, Proposal), Failure> {
    let detail: Detail = client.get(&["proposals", &id.to_string()], &[])?;
    let wrong = |why: String| {
        Failure::refused(format!("what the agent shows as proposal {id} is not one: {why}"))
    };
    let proposal = Proposal::read(detail.texts.clone()).map_err(wrong)?;
    if proposal.terms.proposal != id {
        return Err(wrong(format!("it is proposal {}", proposal.terms.proposal)));
    }
    if proposal.digest != detail.digest {
        return Err(wrong(format!(
            "its digest is {}, and the agent says {}",
            proposal.digest, detail.digest
        )));
    }
    Ok((detail, proposal))
}

/// A proposal in short.
pub(super) fn summary(page: &mut Page, indent: usize, summary: &Summary) {
    let Summary { proposal, kind, approvals, quorum, .. } = summary;
    let state = match summary.status {
        StatusWord::Open => {
            let by = time(summary.approve_by);
            format!("open, {approvals} of {quorum} signatures, approve by {by}")
        }
        StatusWord::Approved => {
            let by = summary.execute_by.map(time).unwrap_or_default();
            let (done, all) = (summary.steps_done, summary.step_count);
            format!("approved, {done} of {all} steps done, steps may start until {by}")
        }
        StatusWord::Undoing => "what was done is being taken back".to_owned(),
        StatusWord::Closed => match &summary.closed {
            None => "closed".to_owned(),
            Some(closed) => {
                let at = closed.at.map(|at| format!(" {}", time(at))).unwrap_or_default();
                format!("{}{at}: {}", closed.end, closed.why)
            }
        },
    };
    page.pair(indent, &format!("proposal {proposal}"), format!("{kind}, {state}"));
    let next = match summary.status {
        StatusWord::Open => format!("dr-agent show {proposal}, then approve or reject"),
        StatusWord::Approved | StatusWord::Undoing => format!("dr-agent show {proposal}"),
        StatusWord::Closed if summary.acknowledged => return,
        StatusWord::Closed => format!("dr-agent acknowledge {} --note TEXT", summary.link),
    };
    page.pair(indent, "next", next);
}

fn list(page: &mut Page, all: &Proposals) {
    if all.proposals.is_empty() {
        page.line(0, "there has been no proposal");
    }
    for proposal in &all.proposals {
        page.title(proposal.link.to_string());
        summary(page, 1, proposal);
    }
}

pub(super) fn in_full(page: &mut Page, detail: &Detail, proposal: &Proposal, now: Timestamp) {
    review::proposal(page, proposal, now);
    page.title("Where it stands");
    summary(page, 1, &detail.summary);
    for cast in &detail.ballots {
        let words = words::decision(&cast.decision);
        page.line(2, format!("{} {} {words}", time(cast.at), cast.approver));
    }
    for step in &detail.steps {
        self::step(page, step);
    }
}

fn step(page: &mut Page, step: &StepView) {
    let word = match step.state {
        StepWord::Pending => "waits",
        StepWord::Started => "under way, nothing sent",
        StepWord::Sent => "under way, the command has left",
        StepWord::NotDone => "without effect so far",
        StepWord::Unknown => "UNKNOWN",
        StepWord::Done => "done",
    };
    let why = step.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let tries = if step.attempts > 1 { format!(", try {}", step.attempts) } else { String::new() };
    page.pair(2, &format!("step {}", step.step + 1), format!("{word}{tries}{why}"));
}
