//! The journal: all entries in order, the only durable truth.
//!
//! One file in SQLite (write-ahead log, every commit on disk before it is told), one process that
//! writes, any number that read. Each entry is kept as the exact text that was written, never
//! re-serialised, in a hash chain, so that a byte that changed or a row that went is seen and named.

mod chain;
mod cursors;
mod error;
mod reader;
mod redact;
mod sqlite;
mod writer;

#[cfg(test)]
mod tests;

use agent_core::{Entry, Seq};

pub use chain::{Hash, Head};
pub use cursors::{Cursors, Mark};
pub use error::JournalError;
pub use reader::{Reader, Stored, Verified};
pub use redact::redact;
pub use writer::Journal;

/// Where entries become durable. SQLite here; a store that fails on purpose in the tests.
pub trait Store {
    /// Writes `entries` behind `after`, all or none, and gives the hash of the last one. They are
    /// on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`JournalError::Conflict`] if the journal does not end with entry `after` of hash `prev`, or
    /// if somebody wrote to it in a later term. After any error nothing of this call is in the
    /// journal, or, if the disk failed during the commit, all of it: fold again to find out.
    fn append(
        &mut self,
        after: Seq,
        prev: &Hash,
        term: u64,
        entries: &[Entry],
    ) -> Result<Hash, JournalError>;
}
