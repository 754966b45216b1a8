//! `report`: the account of a run, from a running agent's journal or from the file.

use std::path::PathBuf;

use agent_core::{
    ProposalId,
    account::{Account, StepAccount, TryEnd},
    seconds,
};
use clap::Args;

use super::{
    Context,
    exit::Failure,
    files::write_new,
    journal::{entries, file},
    output::{Output, tell},
    text::{Page, lasting, time},
    words::decision,
};
use crate::{
    account::{PAGE, account, page},
    journal::Reader,
};

/// What was done when, where the time went, what was forecast, signed and lost.
#[derive(Debug, Args)]
pub(super) struct Report {
    /// The number of the proposal
    proposal: ProposalId,
    /// Write it as one self-contained HTML page to a new file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Read the journal's file itself, or the data folder with it; the agent may run or not
    #[arg(long, value_name = "PATH")]
    offline: Option<PathBuf>,
}

impl Report {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let found = match &self.offline {
            Some(path) => {
                let reader = Reader::open(&file(path))?;
                account(self.proposal, |after| {
                    let page = reader.read_after(after, PAGE)?;
                    Ok::<_, Failure>(page.into_iter().map(|stored| stored.entry).collect())
                })?
            }
            None => {
                let client = context.connection.open()?;
                account(self.proposal, |after| entries(&client, after))?
            }
        };
        let missing = || {
            Failure::refused(format!(
                "no entry {} of the journal opens a proposal; `dr-agent journal` shows which do",
                self.proposal
            ))
        };
        let account = found.ok_or_else(missing)?;
        if let Some(path) = &self.html {
            write_new(path, &page(&account))?;
            if context.output == Output::Text {
                tell(&format!("the page is in {}\n", path.display()));
            }
        }
        context.output.show(&account, |page| text(page, &account))
    }
}

fn text(page: &mut Page, account: &Account) {
    let kind = serde_json::to_value(account.kind).unwrap_or_default();
    let kind = kind.as_str().unwrap_or_default().replace('_', " ");
    page.title(format!("{kind} of {}, proposal {}", account.link, account.proposal));
    let end = account.end.map_or_else(|| "not over".to_owned(), |end| end.to_string());
    let why = account.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    page.pair(1, "end", format!("{end}{why}"));
    page.pair(1, "opened", time(account.opened_at));
    if let Some(at) = account.approved_at {
        page.pair(1, "approved", time(at));
    }
    if let Some(at) = account.closed_at {
        page.pair(1, "closed", time(at));
    }
    for signed in &account.signatures {
        let words = format!("{} at {}", decision(&signed.decision), time(signed.at));
        page.pair(1, "signature", format!("{} {words}", signed.approver));
    }
    for step in &account.steps {
        step_lines(page, step);
    }
    if let Some(turned) = &account.undone {
        page.pair(1, "taken back", format!("{}: {}", time(turned.at), turned.words));
    }
    times(page, account);
    page.title("Loss");
    page.pair(1, "forecast", account.loss.forecast.to_string());
    let signed = account.loss.signed_most_ms;
    let signed = signed.map_or("as unknown".to_owned(), |most| format!("up to {}", seconds(most)));
    page.pair(1, "signed", signed);
    page.pair(1, "measured", account.loss.measured.to_string());
}

fn step_lines(page: &mut Page, step: &StepAccount) {
    let back = if step.undo { ", back" } else { "" };
    page.title(format!("Step {}{back}: {}", step.step + 1, step.action));
    for tried in &step.tries {
        let took = tried.ended_at.map(|end| end.duration_since(tried.started_at).as_millis());
        let took = took.and_then(|ms| u64::try_from(ms).ok()).map(lasting);
        let how = match tried.end {
            TryEnd::UnderWay => "under way",
            TryEnd::Done => "seen",
            TryEnd::NotDone => "without effect",
            TryEnd::Unknown => "nobody can tell",
        };
        let engine = if tried.end == TryEnd::Done && tried.sent_at.is_some() {
            format!(", of it engine {}", lasting(tried.engine_ms))
        } else {
            String::new()
        };
        let took = took.map_or_else(String::new, |took| format!(" after {took}{engine}"));
        page.line(1, format!("{}  {how}{took}: {}", time(tried.started_at), tried.words));
        if let Some(route) = &tried.route {
            page.line(2, route);
        }
    }
    if let Some(warning) = &step.warning {
        page.line(1, format!("missing: {warning}"));
    }
}

fn times(page: &mut Page, account: &Account) {
    if let Some(spent) = &account.spent {
        page.title(format!("From approval to end: {}", seconds(spent.whole_ms)));
        for (what, ms) in spent.parts() {
            page.pair(1, what, seconds(ms));
        }
    }
    if let Some(recovery) = &account.recovery {
        let whole = seconds(recovery.whole_ms);
        page.title(format!("Recovery time: {whole}, without the way of the applications"));
        page.line(1, format!("from {}", time(recovery.from)));
        for part in &recovery.parts {
            page.line(1, format!("{:>9}  {}", seconds(part.ms), part.what));
        }
    }
}
