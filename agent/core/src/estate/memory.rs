//! What an estate knows beside the record, and when it was told to do things by the calendar.

use alloc::vec::Vec;

use jiff::Timestamp;

use super::Estate;
use crate::{evidence::Evidence, names::LinkId};

impl Estate {
    /// What is known of each link beside the record, for whoever is to go on from here.
    pub fn evidence(&self) -> impl Iterator<Item = (&LinkId, &Evidence)> {
        self.links.iter().map(|(id, link)| (id, &link.evidence))
    }

    /// Forgets what was seen so far and goes on from this evidence. Links that it does not name have
    /// not been looked at.
    pub fn go_on_from(&mut self, evidence: Vec<(LinkId, Evidence)>) {
        for link in self.links.values_mut() {
            link.evidence = Evidence::default();
        }
        for (id, evidence) in evidence {
            if let Some(link) = self.links.get_mut(&id) {
                link.evidence = evidence;
            }
        }
    }

    /// When each kind of calendar job was done last: the report, and the runbooks. Those were done when
    /// the link that has waited longest got its own; one that never had any does not count.
    #[must_use]
    pub fn last_jobs(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let configured = self.links.iter().filter(|(_, link)| link.spec.is_some());
        let oldest = configured.filter_map(|(id, _)| self.last_runbook(id)).min();
        (self.tally.since, oldest)
    }

    /// When the runbook of a link was issued last.
    #[must_use]
    pub fn last_runbook(&self, link: &LinkId) -> Option<Timestamp> {
        self.tally.issued.get(link).copied()
    }
}
