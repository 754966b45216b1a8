//! What a replay found.

use agent_core::{Entry, Estate, Seq};
use serde::Serialize;

use crate::{journal::redact, recorder::Given};

/// An entry that was decided again and came out the same.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    pub entry: &'a Entry,
    /// What the turn was given that decided it.
    pub given: &'a Given,
    /// Everything that was known at the end of that turn.
    pub estate: &'a Estate,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Starts of the agent that it came by.
    pub lives: u64,
    pub turns: u64,
    pub looks: u64,
    /// Entries that were decided again and are the same to the byte.
    pub same: u64,
    /// The first and the last of them.
    pub first: Option<Seq>,
    pub last: Option<Seq>,
    /// Entries that could not be decided again, and why.
    pub gaps: Vec<Gap>,
    /// Where the recording is not what was written.
    pub damages: Vec<String>,
    /// The first entry that came out otherwise; it ends the replay.
    pub difference: Option<Difference>,
}

/// Entries that could not be decided again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The entry before the first of them.
    pub after: Seq,
    /// The last of them; the same as `after` if there is none, and only looks are missing.
    pub to: Seq,
    pub why: String,
}

/// An entry that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub seq: Seq,
    pub why: String,
    /// What the journal has there.
    pub journal: Option<String>,
    /// What comes out now.
    pub rerun: Option<String>,
    /// What the turn was given, in words.
    pub given: Vec<String>,
}

impl Report {
    /// Whether everything that could be decided again came out the same, and nothing was changed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.difference.is_none() && self.damages.is_empty()
    }
}

impl Difference {
    pub(super) fn new(seq: Seq, why: impl Into<String>) -> Self {
        Self { seq, why: why.into(), journal: None, rerun: None, given: Vec::new() }
    }

    /// With both texts, as far as they may be shown.
    pub(super) fn texts(mut self, journal: Option<&str>, rerun: Option<&str>) -> Self {
        (self.journal, self.rerun) = (journal.map(shown), rerun.map(shown));
        self
    }

    /// Where the two texts part, with what is around it.
    #[must_use]
    pub fn parting(&self) -> Option<(String, String)> {
        let (journal, rerun) = (self.journal.as_ref()?, self.rerun.as_ref()?);
        let same = journal.chars().zip(rerun.chars()).take_while(|(one, other)| one == other);
        let from = same.count().saturating_sub(AROUND);
        let around = |text: &str| text.chars().skip(from).take(3 * AROUND).collect::<String>();
        Some((around(journal), around(rerun)))
    }
}

/// Characters shown before the place where two texts part.
const AROUND: usize = 40;

/// Without what only the journal may hold.
fn shown(text: &str) -> String {
    match agent_core::read(text) {
        Ok(entry) => {
            let less = redact(&entry);
            if less == entry { text.to_owned() } else { agent_core::write(&less) }
        }
        Err(_) => text.to_owned(),
    }
}
