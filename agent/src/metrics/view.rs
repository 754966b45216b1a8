//! What one scrape needs of the estate, taken between two turns.

use agent_core::{Estate, Explanation, LinkId, Observation, Record, Seq};
use jiff::Timestamp;

/// The estate at one time.
#[derive(Clone, Debug)]
pub struct View {
    pub now: Timestamp,
    pub last_seq: Seq,
    pub links: Vec<LinkView>,
}

/// One link at one time.
#[derive(Clone, Debug)]
pub struct LinkView {
    pub link: LinkId,
    pub record: Record,
    /// None for a link that the configuration does not name any more.
    pub explanation: Option<Explanation>,
    /// The newest look of each vantage.
    pub looks: Vec<Observation>,
}

impl View {
    /// Runs on the loop's own thread: it copies and leaves the rest to whoever asked.
    #[must_use]
    pub fn take(estate: &Estate, now: Timestamp) -> Self {
        let links = estate.links().map(|(link, _, record)| LinkView {
            link: link.clone(),
            record: record.clone(),
            explanation: estate.explain(link, now),
            looks: estate.newest(link),
        });
        Self { now, last_seq: estate.last_seq(), links: links.collect() }
    }
}
