//! `approve` and `reject`: show what is signed, ask, sign. With `--file` all of it works on a
//! machine without a network.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    path::PathBuf,
};

use agent_core::{ApproverId, Ballot, Decision, Proposal, ProposalId, Refusal};
use clap::Args;
use ed25519_dalek::SigningKey;
use jiff::Timestamp;

use super::{
    Context,
    exit::Failure,
    files,
    output::{json, print, tell, text},
    review, show,
    submit::hand_in,
};
use crate::{clock::Clock, keys};

#[derive(Debug, Args)]
pub(super) struct Approve {
    #[command(flatten)]
    sign: Sign,
    /// How writes on the other side were stopped, where the proposal asks for it
    #[arg(long, value_name = "TEXT")]
    attest: Option<String>,
    /// Accept that nobody can say what would be lost
    #[arg(long)]
    accept_unknown_forecast: bool,
    /// Alone and at once: the plan starts after the configured waiting time, unless somebody rejects
    #[arg(long)]
    break_glass: bool,
}

#[derive(Debug, Args)]
pub(super) struct Reject {
    #[command(flatten)]
    sign: Sign,
    /// Why, for those who read the journal later
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Args)]
struct Sign {
    /// Number of the proposal, which is then asked of the agent
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    proposal: Option<ProposalId>,
    /// An exported proposal instead; no agent is asked
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Your private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Your name, as the roster has it
    #[arg(long, value_name = "NAME")]
    approver: String,
    /// Write the ballot to a new file instead of handing it in
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Sign without asking; for those who have read it elsewhere
    #[arg(long)]
    yes: bool,
}

impl Approve {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let decision = Decision::Approve {
            break_glass: self.break_glass,
            forecast_unknown: self.accept_unknown_forecast,
            attestation: self.attest,
        };
        self.sign.run(context, decision)
    }
}

impl Reject {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        self.sign.run(context, Decision::Reject { reason: self.reason })
    }
}

impl Sign {
    fn run(self, context: &Context, decision: Decision) -> Result<(), Failure> {
        let approver = ApproverId::new(&self.approver).map_err(Failure::usage)?;
        let key = keys::read(&self.key)?;
        let (client, proposal) = match (&self.file, self.proposal) {
            (Some(file), _) => (None, files::read_proposal(file)?),
            (None, Some(id)) => {
                let client = context.connection.open()?;
                let (_, proposal) = show::fetch(&client, id)?;
                (Some(client), proposal)
            }
            (None, None) => return Err(Failure::usage("name a proposal, or a file with one")),
        };
        let now = Clock::start(None).now();
        let ballot = sign(&proposal, approver, decision, now, &key)?;
        self.confirm(&proposal, &ballot, now)?;
        let written = json(&ballot)?;
        match (&self.out, client) {
            (Some(path), _) => {
                files::write_new(path, &written)?;
                context.output.show(&ballot, |page| {
                    page.line(0, format!("signed; the ballot is in {}", path.display()));
                    page.line(0, format!("next: dr-agent submit {}", path.display()));
                })
            }
            (None, Some(client)) => hand_in(context, &client, &ballot),
            (None, None) => print(&written),
        }
    }

    /// Shows all that is signed, and asks.
    fn confirm(&self, proposal: &Proposal, ballot: &Ballot, now: Timestamp) -> Result<(), Failure> {
        tell(&text(|page| {
            review::proposal(page, proposal, now);
            page.title("You sign");
            ballot.statement().lines().for_each(|line| page.line(1, line));
        }));
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            let words = "there is no terminal to ask on: read the proposal, then sign with --yes";
            return Err(Failure::usage(words));
        }
        let id = proposal.terms.proposal;
        tell("\nType the number of the proposal to sign this statement: ");
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map_err(Failure::internal)?;
        if answer.trim() == id.to_string() {
            return Ok(());
        }
        Err(Failure::refused("nothing was signed"))
    }
}

/// Signs what the agent would take, and refuses what it would not, in the same words.
pub(super) fn sign(
    proposal: &Proposal,
    approver: ApproverId,
    decision: Decision,
    now: Timestamp,
    key: &SigningKey,
) -> Result<Ballot, Failure> {
    let terms = &proposal.terms;
    let refuse = |refusal: Refusal, hint: &str| {
        let words = if hint.is_empty() { String::new() } else { format!("\n  hint: {hint}") };
        let value = serde_json::to_value(&refusal).unwrap_or_default();
        Err(Failure::refused(format!("{refusal}{words}")).with("refusal", value))
    };
    if !terms.approvers.contains(&approver) {
        return refuse(Refusal::NotOnThisProposal { approver }, "");
    }
    if let Decision::Approve { break_glass, forecast_unknown, attestation } = &decision {
        if terms.attestation_required && attestation.is_none() {
            return refuse(Refusal::AttestationMissing, "--attest TEXT");
        }
        if terms.bounds.loss_most_ms.is_none() && !forecast_unknown {
            return refuse(Refusal::ForecastUnknown, "--accept-unknown-forecast");
        }
        if *break_glass && terms.break_glass_wait_ms.is_none() {
            return refuse(Refusal::NoBreakGlass, "");
        }
    }
    let ballot = Ballot::sign(proposal, approver, decision, now, key);
    match ballot.wording() {
        Some(because) => refuse(Refusal::BadWords { because: because.to_owned() }, ""),
        None => Ok(ballot),
    }
}
