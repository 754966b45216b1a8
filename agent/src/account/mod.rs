//! The account of a run for people and machines: from a journal, and as a page.

mod html;
mod keeper;

use agent_core::{
    Entry, ProposalId, Seq,
    account::{Account, Clerk},
};

pub use self::{html::page, keeper::run};
use crate::journal::redact;

/// Entries that are read at once.
pub(crate) const PAGE: usize = 500;
/// Entries before a proposal in which the loss is looked for that it answers.
const BEFORE: Seq = 2_000;
/// Entries behind its end in which the old primary is looked for.
const AFTER: Seq = 5_000;

/// Folds the account of a proposal from a journal. `read` gives entries behind a place, a page of
/// them, and an empty one at the end.
///
/// # Errors
///
/// That of `read`. None: there is no such proposal.
pub fn account<E>(
    proposal: ProposalId,
    mut read: impl FnMut(Seq) -> Result<Vec<Entry>, E>,
) -> Result<Option<Account>, E> {
    let mut clerk = Clerk::new(proposal);
    let mut at = proposal.saturating_sub(BEFORE);
    let mut last = Seq::MAX;
    while at < last {
        let page = read(at)?;
        if page.is_empty() {
            break;
        }
        for entry in &page {
            clerk.take(&redact(entry));
            at = entry.seq;
            if last == Seq::MAX && closes(entry, proposal) {
                last = at.saturating_add(AFTER);
            }
        }
        // There was none by this number.
        if at > proposal && !clerk.found() {
            break;
        }
    }
    Ok(clerk.account())
}

fn closes(entry: &Entry, wanted: ProposalId) -> bool {
    matches!(&entry.event, agent_core::Event::ProposalClosed { proposal, .. } if *proposal == wanted)
}
