//! Approvals and rejections: statements that a human signs, offline if need be. The API and the
//! command line are only transport.

use alloc::{format, string::String, vec::Vec};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    names::{ApproverId, LinkId, ProposalId},
    proposal::Proposal,
};

/// Longest attestation or reason that is taken, in characters.
pub const WORDS: usize = 500;

/// One signed statement on one proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ballot {
    pub link: LinkId,
    pub proposal: ProposalId,
    /// Digest of the proposal: plan, frozen evidence, forecast and bounds.
    pub proposal_digest: String,
    /// Digest of the plan alone: the steps.
    pub plan_digest: String,
    pub approver: ApproverId,
    pub decision: Decision,
    /// When it was signed, by the signer's clock.
    pub signed_at: Timestamp,
    /// Ed25519 over [`Ballot::statement`], 128 hexadecimal digits.
    pub signature: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Decision {
    Approve {
        /// Alone and at once, after the waiting time that the configuration sets for it.
        #[serde(default)]
        break_glass: bool,
        /// Accepts that nobody can say what would be lost.
        #[serde(default)]
        forecast_unknown: bool,
        /// How writes on the other side were stopped, where the proposal asks for it.
        #[serde(default)]
        attestation: Option<String>,
    },
    Reject {
        reason: String,
    },
}

impl Ballot {
    /// Signs a decision on a proposal.
    #[must_use]
    pub fn sign(
        proposal: &Proposal,
        approver: ApproverId,
        decision: Decision,
        signed_at: Timestamp,
        key: &SigningKey,
    ) -> Self {
        let mut ballot = Self {
            link: proposal.terms.link.clone(),
            proposal: proposal.terms.proposal,
            proposal_digest: proposal.digest.clone(),
            plan_digest: proposal.terms.plan_digest.clone(),
            approver,
            decision,
            signed_at,
            signature: String::new(),
        };
        let signature = key.sign(ballot.statement().as_bytes());
        ballot.signature = to_hex(&signature.to_bytes());
        ballot
    }

    /// The exact text that is signed: lines that a human can read.
    #[must_use]
    pub fn statement(&self) -> String {
        let mut text = format!(
            "dr-agent ballot v1\nlink: {}\nproposal: {}\nproposal digest: {}\nplan digest: {}\napprover: {}\nsigned at: {}\n",
            self.link,
            self.proposal,
            self.proposal_digest,
            self.plan_digest,
            self.approver,
            self.signed_at
        );
        match &self.decision {
            Decision::Approve { break_glass, forecast_unknown, attestation } => {
                text.push_str("decision: approve\n");
                if *break_glass {
                    text.push_str("I break the glass: alone, after the waiting time\n");
                }
                if *forecast_unknown {
                    text.push_str("I accept: forecast unknown\n");
                }
                if let Some(attestation) = attestation {
                    text.push_str(&format!(
                        "writes on the other side were stopped: {attestation}\n"
                    ));
                }
            }
            Decision::Reject { reason } => {
                text.push_str(&format!("decision: reject\nreason: {reason}\n"));
            }
        }
        text
    }

    /// Whether the signature is this key's over this very statement.
    #[must_use]
    pub fn verify(&self, key: &VerifyingKey) -> bool {
        let Some(bytes) = from_hex(&self.signature) else { return false };
        let Ok(signature) = Signature::from_slice(&bytes) else { return false };
        key.verify_strict(self.statement().as_bytes(), &signature).is_ok()
    }

    /// What is wrong with the words in it, if anything: they stand on a line of the statement each,
    /// so a line break could forge another line.
    #[must_use]
    pub fn wording(&self) -> Option<&'static str> {
        let words = match &self.decision {
            Decision::Approve { attestation, .. } => attestation.as_deref(),
            Decision::Reject { reason } => Some(reason.as_str()),
        }?;
        if words.trim().is_empty() {
            return Some("the words of the statement are empty");
        }
        if words.chars().count() > WORDS {
            return Some("the words of the statement have more than 500 characters");
        }
        words
            .chars()
            .any(breaks_lines)
            .then_some("the statement has a line break or another control character in its words")
    }
}

/// Characters that end a line or turn its direction, and so could forge another line on a screen.
fn breaks_lines(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

/// Hexadecimal digits as bytes; None if there is anything else in them.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        })
        .collect()
}
