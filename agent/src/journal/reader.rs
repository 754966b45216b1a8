//! Those that read: any number, while the writer writes and when there is none.

use std::path::Path;

use agent_core::{Entry, Estate, Seq};
use rusqlite::Connection;

use super::{
    chain::{Hash, Head},
    error::JournalError,
    sqlite,
};

/// A read-only connection to a journal.
#[derive(Debug)]
pub struct Reader {
    db: Connection,
}

/// An entry as it stands in the journal. It has been checked against the hash of the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub entry: Entry,
    /// The exact text that was written; not redacted.
    pub text: String,
    pub hash: Hash,
}

/// What [`Reader::verify`] has found in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    pub entries: u64,
    /// Compare it with a head that was noted elsewhere: a chain can't show that its end was cut off.
    pub head: Hash,
}

impl Reader {
    /// Opens the journal at `path`; its agent may be running or not.
    ///
    /// # Errors
    ///
    /// There is none, or it is something else.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        Ok(Self { db: sqlite::open_reader(path)? })
    }

    /// Up to `limit` entries behind entry `seq`, in order; fewer if they are long, none only if
    /// there is none.
    ///
    /// # Errors
    ///
    /// [`JournalError::Broken`] names the entry that is damaged.
    pub fn read_after(&self, seq: Seq, limit: usize) -> Result<Vec<Stored>, JournalError> {
        let head = sqlite::head(&self.db)?;
        if seq >= head.seq {
            return Ok(Vec::new());
        }
        let broken = || JournalError::Broken { seq, why: "it is missing".to_owned() };
        let mut at = sqlite::place(&self.db, seq)?.ok_or_else(broken)?;
        sqlite::page(&self.db, &mut at, limit)
    }

    /// Where the journal ends.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub fn head(&self) -> Result<Head, JournalError> {
        sqlite::head(&self.db)
    }

    /// The hash of entry `seq`, if it is there; [`Hash::GENESIS`] for 0.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub fn hash_of(&self, seq: Seq) -> Result<Option<Hash>, JournalError> {
        Ok(sqlite::place(&self.db, seq)?.map(|place| place.hash))
    }

    /// Reads all entries and checks that none is missing, none has changed and each can be read.
    ///
    /// # Errors
    ///
    /// [`JournalError::Broken`] names the first entry that is wrong.
    pub fn verify(&self) -> Result<Verified, JournalError> {
        let head = sqlite::walk(&self.db, Head::EMPTY, |_| Ok(()))?;
        Ok(Verified { entries: head.seq, head: head.hash })
    }

    /// Applies every entry to `estate`, which must be new: what a running agent would know of it.
    ///
    /// # Errors
    ///
    /// [`JournalError::Broken`] names the first entry that is damaged or can't follow.
    pub fn fold(&self, estate: &mut Estate) -> Result<Head, JournalError> {
        fold(&self.db, estate)
    }
}

pub(super) fn fold(db: &Connection, estate: &mut Estate) -> Result<Head, JournalError> {
    sqlite::walk(db, Head::EMPTY, |stored| {
        estate.apply(&stored.entry).map_err(|illegal| JournalError::Broken {
            seq: stored.entry.seq,
            why: illegal.to_string(),
        })
    })
}
