//! How far each sink has got. A file of its own, so that nobody but the turn writes to the journal.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use agent_core::Seq;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{
    chain::Hash,
    error::JournalError,
    sqlite::{self, BUSY, disk, number},
};

/// The cursors beside one journal.
#[derive(Debug)]
pub struct Cursors {
    db: Connection,
}

/// An entry that a sink is done with, and its hash: a cursor into another journal, for example one
/// that was restored or begun anew, must not be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub seq: Seq,
    pub hash: Hash,
}

impl Mark {
    /// Before the first entry of any journal.
    pub const START: Self = Self { seq: 0, hash: Hash::GENESIS };
}

impl Cursors {
    /// Opens the cursors of the journal at `journal`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// The file can't be made or is something else.
    pub fn open(journal: &Path) -> Result<Self, JournalError> {
        let path = beside(journal);
        sqlite::make_private(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = (|| {
            let db = Connection::open_with_flags(&path, flags)?;
            db.busy_timeout(BUSY)?;
            db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
            // What a power cut takes from a cursor is delivered twice, which sinks allow for.
            db.pragma_update(None, "synchronous", "NORMAL")?;
            db.execute_batch(
                "CREATE TABLE IF NOT EXISTS cursor (
                    name TEXT PRIMARY KEY,
                    seq  INTEGER NOT NULL CHECK (seq >= 0),
                    hash BLOB NOT NULL CHECK (length(hash) = 32)
                ) STRICT, WITHOUT ROWID;",
            )?;
            Ok(db)
        })();
        Ok(Self { db: opened.map_err(disk("open the cursors"))? })
    }

    /// How far `name` has got; [`Mark::START`] if it never was anywhere.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub fn get(&self, name: &str) -> Result<Mark, JournalError> {
        let found = self
            .db
            .prepare_cached("SELECT seq, hash FROM cursor WHERE name = ?1")
            .and_then(|mut statement| {
                let row = statement.query_row([name], |row| Ok((row.get(0)?, row.get(1)?)));
                row.optional()
            })
            .map_err(disk("read the cursors"))?;
        Ok(found.map_or(Mark::START, |(seq, hash): (i64, [u8; 32])| Mark {
            seq: u64::try_from(seq).unwrap_or_default(),
            hash: Hash::from_bytes(hash),
        }))
    }

    /// Says that `name` is done with everything up to `mark`.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub fn set(&self, name: &str, mark: Mark) -> Result<(), JournalError> {
        let seq = number(mark.seq)?;
        self.db
            .prepare_cached(
                "INSERT INTO cursor (name, seq, hash) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
            )
            .and_then(|mut statement| statement.execute(params![name, seq, mark.hash.as_bytes()]))
            .map_err(disk("write the cursors"))?;
        Ok(())
    }
}

fn beside(journal: &Path) -> PathBuf {
    let mut name: OsString = journal.as_os_str().to_owned();
    name.push(".cursors");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_where_it_was_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = folder.path().join("journal.db");
        let mark = Mark { seq: 7, hash: Hash::GENESIS.then("x") };
        {
            let cursors = Cursors::open(&journal).expect("new");
            assert_eq!(cursors.get("bus").expect("readable"), Mark::START);
            cursors.set("bus", Mark::START).expect("writable");
            cursors.set("bus", mark).expect("writable");
        }
        let cursors = Cursors::open(&journal).expect("there");
        assert_eq!(cursors.get("bus").expect("readable"), mark);
        assert_eq!(cursors.get("other").expect("readable"), Mark::START);
    }

    #[test]
    fn two_sinks_have_a_connection_each() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = folder.path().join("journal.db");
        let one = Cursors::open(&journal).expect("new");
        let two = Cursors::open(&journal).expect("a second");
        let mark = Mark { seq: 1, hash: Hash::GENESIS };
        one.set("one", mark).expect("writable");
        two.set("two", mark).expect("writable");
        assert_eq!(one.get("two").expect("readable"), mark);
    }
}
