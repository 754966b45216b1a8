//! `submit`: hands in a ballot that was signed elsewhere.

use std::path::PathBuf;

use agent_core::{Ballot, Decision, Entry};
use clap::Args;

use super::{Context, client::Client, exit::Failure, files};

#[derive(Debug, Args)]
pub(super) struct Submit {
    /// A ballot, as `approve --out` and `reject --out` write it
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Submit {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let ballot = files::read_ballot(&self.file)?;
        hand_in(context, &context.connection.open()?, &ballot)
    }
}

/// Hands in a ballot and tells what became of it.
pub(super) fn hand_in(context: &Context, client: &Client, ballot: &Ballot) -> Result<(), Failure> {
    let entry: Entry = client.post(&["ballots"], ballot)?;
    let Ballot { approver, proposal, .. } = ballot;
    let words = match ballot.decision {
        Decision::Approve { .. } => {
            format!("approval of proposal {proposal} by {approver} is taken, entry {}", entry.seq)
        }
        Decision::Reject { .. } => {
            format!("proposal {proposal} is rejected by {approver}, entry {}", entry.seq)
        }
    };
    context.output.show(&entry, |page| page.line(0, words))
}
