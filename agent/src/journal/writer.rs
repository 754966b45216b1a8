//! The one that writes. It holds a lock file for the life of the process.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use agent_core::{Entry, Estate, Seq};
use rusqlite::{Connection, TransactionBehavior, params};

use super::{
    Store,
    chain::{Hash, Head},
    error::JournalError,
    reader::fold,
    sqlite::{self, disk, io, number},
};

/// The journal, open for writing.
#[derive(Debug)]
pub struct Journal {
    db: Connection,
    path: PathBuf,
    /// Unlocked by the system when the process ends, however it ends.
    _lock: File,
}

impl Journal {
    /// Opens the journal at `path`, and makes it, with its folder, if it is not there.
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] if another process has it open for writing, [`JournalError::Unusable`]
    /// if the file is something else.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let path = real(path)?;
        let lock = lock(&path)?;
        let db = sqlite::open_writer(&path)?;
        Ok(Self { db, path, _lock: lock })
    }

    /// Applies every entry to `estate`, which must be new, and verifies the chain on the way. Gives
    /// the hash of the last entry and the term to write in: one more than the last, so that each
    /// process that wrote has its own.
    ///
    /// # Errors
    ///
    /// [`JournalError::Broken`] names the first entry that is damaged or can't follow.
    pub fn fold(&self, estate: &mut Estate) -> Result<(Hash, u64), JournalError> {
        let head = fold(&self.db, estate)?;
        Ok((head.hash, head.term + 1))
    }

    /// Where the file really is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: i64) {
        let limited = self.db.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
        limited.expect("a limit");
    }
}

impl Store for Journal {
    fn append(
        &mut self,
        after: Seq,
        prev: &Hash,
        term: u64,
        entries: &[Entry],
    ) -> Result<Hash, JournalError> {
        let rows = rows(after, prev, entries)?;
        let transaction = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(disk("write to the journal"))?;
        let found = sqlite::head(&transaction)?;
        if found.seq != after || found.hash != *prev || found.term > term {
            let expected = Box::new(Head { seq: after, hash: *prev, term });
            return Err(JournalError::Conflict { expected, found: Box::new(found) });
        }
        insert(&transaction, term, &rows)?;
        transaction.commit().map_err(disk("write to the journal"))?;
        Ok(rows.last().map_or(*prev, |row| row.hash))
    }
}

struct NewRow {
    seq: Seq,
    hash: Hash,
    text: String,
}

/// The texts with their hashes. What could not be read back must not get into the journal: the
/// agent would never start again.
fn rows(after: Seq, prev: &Hash, entries: &[Entry]) -> Result<Vec<NewRow>, JournalError> {
    let (mut rows, mut last, mut hash) = (Vec::with_capacity(entries.len()), after, *prev);
    for entry in entries {
        let text = agent_core::write(entry);
        if entry.seq != last + 1 {
            return Err(JournalError::Illegal(format!("entry {} after {last}", entry.seq)));
        }
        match agent_core::read(&text) {
            Ok(back) if back == *entry => {}
            Ok(_) => {
                let why = format!("entry {} reads back differently", entry.seq);
                return Err(JournalError::Illegal(why));
            }
            Err(why) => {
                let why = format!("entry {} can't be read back: {why}", entry.seq);
                return Err(JournalError::Illegal(why));
            }
        }
        (last, hash) = (entry.seq, hash.then(&text));
        rows.push(NewRow { seq: last, hash, text });
    }
    Ok(rows)
}

fn insert(db: &Connection, term: u64, rows: &[NewRow]) -> Result<(), JournalError> {
    let term = number(term)?;
    let mut statement = db
        .prepare_cached("INSERT INTO entry (seq, term, hash, text) VALUES (?1, ?2, ?3, ?4)")
        .map_err(disk("write to the journal"))?;
    for row in rows {
        statement
            .execute(params![number(row.seq)?, term, row.hash.as_bytes(), row.text])
            .map_err(disk("write to the journal"))?;
    }
    Ok(())
}

/// The path without links, so that one journal has one lock file.
fn real(path: &Path) -> Result<PathBuf, JournalError> {
    if let Ok(path) = fs::canonicalize(path) {
        return Ok(path);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    sqlite::make_folder(folder)?;
    let folder = fs::canonicalize(folder).map_err(io("find the folder", folder))?;
    let name = path.file_name().ok_or_else(|| JournalError::Unusable {
        path: path.to_owned(),
        why: "it names a folder".to_owned(),
    })?;
    Ok(folder.join(name))
}

fn lock(path: &Path) -> Result<File, JournalError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name)
        .map_err(io("open the lock file", &name))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Whoever holds it may not have written its number yet.
            drop(file.read_to_string(&mut pid));
            return Err(JournalError::Locked {
                path: path.to_owned(),
                pid: pid.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(io("lock", &name)(error)),
    }
    let told = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    told.map_err(io("write to the lock file", &name))?;
    Ok(file)
}
