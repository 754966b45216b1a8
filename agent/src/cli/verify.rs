//! `verify`: checks an exported proposal and ballots on it, without a network.

use std::{collections::BTreeMap, path::PathBuf};

use agent_core::{Ballot, Decision, Proposal};
use clap::Args;
use ed25519_dalek::VerifyingKey;
use serde::Serialize;

use super::{Context, exit::Failure, files, review, text::Page, words};
use crate::{clock::Clock, config, keys};

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// An exported proposal
    #[arg(value_name = "PROPOSAL_FILE")]
    proposal: PathBuf,
    /// Ballots on it
    #[arg(value_name = "BALLOT_FILE")]
    ballots: Vec<PathBuf>,
    /// Public key of an approver, as NAME=ed25519:... [default: those of the configuration file]
    #[arg(long = "public-key", value_name = "NAME=KEY", value_parser = named_key)]
    public_keys: Vec<(String, VerifyingKey)>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) proposal: u64,
    pub(super) digest: String,
    pub(super) plan_digest: String,
    pub(super) ballots: Vec<Checked>,
    /// Valid approvals, each approver counted once.
    pub(super) approvals: usize,
    pub(super) quorum: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Checked {
    pub(super) approver: String,
    pub(super) decision: Decision,
    /// None: it is valid.
    pub(super) wrong: Option<String>,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let proposal = files::read_proposal(&self.proposal)?;
        let read = |path: &PathBuf| files::read_ballot(path);
        let ballots: Vec<Ballot> = self.ballots.iter().map(read).collect::<Result<_, _>>()?;
        let mut known: BTreeMap<String, VerifyingKey> = self.public_keys.into_iter().collect();
        if known.is_empty() && !ballots.is_empty() {
            let file = context.connection.config_file().ok_or_else(|| {
                Failure::usage("give --public-key NAME=KEY, or --config with the approvers in it")
            })?;
            known = config::approver_keys(&file)?;
        }
        let verdict = verify(&proposal, &ballots, &known);
        let now = Clock::start(None).now();
        context.output.show(&verdict, |page| {
            review::proposal(page, &proposal, now);
            verdict.page(page);
        })?;
        let wrong = verdict.ballots.iter().filter(|ballot| ballot.wrong.is_some()).count();
        if wrong > 0 {
            return Err(Failure::refused(format!(
                "{wrong} of {} ballots are not valid",
                ballots.len()
            )));
        }
        Ok(())
    }
}

/// Checks every ballot against the proposal and the key of its approver.
pub(super) fn verify(
    proposal: &Proposal,
    ballots: &[Ballot],
    known: &BTreeMap<String, VerifyingKey>,
) -> Verdict {
    let checked: Vec<Checked> = ballots
        .iter()
        .map(|ballot| Checked {
            approver: ballot.approver.to_string(),
            decision: ballot.decision.clone(),
            wrong: wrong(proposal, ballot, known),
        })
        .collect();
    let mut approvers: Vec<&str> = checked
        .iter()
        .filter(|ballot| ballot.wrong.is_none())
        .filter(|ballot| matches!(ballot.decision, Decision::Approve { .. }))
        .map(|ballot| ballot.approver.as_str())
        .collect();
    approvers.sort_unstable();
    approvers.dedup();
    Verdict {
        proposal: proposal.terms.proposal,
        digest: proposal.digest.clone(),
        plan_digest: proposal.terms.plan_digest.clone(),
        approvals: approvers.len(),
        quorum: proposal.terms.quorum,
        ballots: checked,
    }
}

fn wrong(
    proposal: &Proposal,
    ballot: &Ballot,
    known: &BTreeMap<String, VerifyingKey>,
) -> Option<String> {
    let terms = &proposal.terms;
    if ballot.link != terms.link || ballot.proposal != terms.proposal {
        let (link, other) = (&ballot.link, ballot.proposal);
        return Some(format!("it is about proposal {other} of link {link}"));
    }
    if ballot.proposal_digest != proposal.digest || ballot.plan_digest != terms.plan_digest {
        return Some("it is about another text".to_owned());
    }
    if !terms.approvers.contains(&ballot.approver) {
        return Some("the approver is not among those of the proposal".to_owned());
    }
    let Some(key) = known.get(ballot.approver.as_str()) else {
        return Some("no key of this approver is known here".to_owned());
    };
    if let Some(wrong) = ballot.wording() {
        return Some(wrong.to_owned());
    }
    (!ballot.verify(key)).then(|| "the signature is not by this approver's key".to_owned())
}

impl Verdict {
    pub(super) fn page(&self, page: &mut Page) {
        page.title("Ballots");
        if self.ballots.is_empty() {
            page.line(1, "none; the proposal itself is whole");
        }
        for ballot in &self.ballots {
            let verdict = match &ballot.wrong {
                None => "VALID".to_owned(),
                Some(wrong) => format!("NOT VALID ({wrong})"),
            };
            let words = words::decision(&ballot.decision);
            page.line(1, format!("{verdict}: {} {words}", ballot.approver));
        }
        page.line(1, format!("{} of {} approvals", self.approvals, self.quorum));
    }
}

fn named_key(text: &str) -> Result<(String, VerifyingKey), String> {
    let (name, key) = text.split_once('=').ok_or("write it as NAME=ed25519:...")?;
    Ok((name.to_owned(), keys::parse_public(key)?))
}
