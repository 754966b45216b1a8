//! The file: how it is opened, what stands in it, how rows become entries.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use agent_core::Seq;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row};

use super::{
    chain::{Hash, Head},
    error::JournalError,
    reader::Stored,
};

/// Says that a SQLite file is a journal of dr-agent: "drag".
const APPLICATION_ID: i32 = 0x6472_6167;
/// Version of the table, not of the entries in it.
const LAYOUT: i32 = 1;
/// How long one connection waits for another, for example during a checkpoint.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// Rows of one page when the whole journal is walked.
const PAGE: usize = 1024;
/// Text of one page at the most; one entry is always given, however long.
const PAGE_BYTES: usize = 4 << 20;
/// The write-ahead log is cut back to this after a checkpoint.
const WAL_BYTES: i64 = 16 << 20;

const TABLE: &str = "
    CREATE TABLE entry (
        seq  INTEGER PRIMARY KEY CHECK (seq > 0),
        term INTEGER NOT NULL CHECK (term > 0),
        hash BLOB    NOT NULL CHECK (length(hash) = 32),
        text TEXT    NOT NULL
    ) STRICT;
";

/// Opens the journal for writing and makes it if it is not there. Call it under the lock.
pub(super) fn open_writer(path: &Path) -> Result<Connection, JournalError> {
    make_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(disk("open the journal"))?;
    let written = db.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0));
    let written = written.map_err(|error| not_ours(path, error))?;
    let tables: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| not_ours(path, error))?;
    if written != 0 || tables != 0 {
        check_layout(&db, path)?;
    }
    close_to_others(path)?;
    prepare(&db).map_err(disk("prepare the journal"))?;
    if tables == 0 {
        let made = (|| {
            let transaction = db.transaction()?;
            transaction.execute_batch(TABLE)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", LAYOUT)?;
            transaction.commit()
        })();
        made.map_err(disk("make the journal"))?;
    }
    sync_folder(path)?;
    Ok(db)
}

/// Opens a journal only to read it, whether or not somebody writes to it meanwhile.
pub(super) fn open_reader(path: &Path) -> Result<Connection, JournalError> {
    // Asked without opening the file: closing a descriptor of it would drop SQLite's own locks.
    fs::metadata(path).map_err(io("find the journal", path))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(disk("open the journal"))?;
    db.busy_timeout(BUSY).map_err(disk("open the journal"))?;
    check_layout(&db, path)?;
    Ok(db)
}

/// Makes an empty file that only its owner can read, if there is none.
pub(super) fn make_private(path: &Path) -> Result<(), JournalError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io("make", path)(error)),
    }
}

pub(super) fn make_folder(folder: &Path) -> Result<(), JournalError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).map_err(io("make the folder", folder))
}

/// The last entry, or [`Head::EMPTY`].
pub(super) fn head(db: &Connection) -> Result<Head, JournalError> {
    let mut statement = db
        .prepare_cached("SELECT seq, term, hash, '' FROM entry ORDER BY seq DESC LIMIT 1")
        .map_err(disk("read the journal"))?;
    let row = statement.query_row([], raw).optional();
    row.map_err(|error| damaged(error, 0))?.map_or(Ok(Head::EMPTY), |row| row.head())
}

/// The place of one entry: where a walk that goes on behind it starts.
pub(super) fn place(db: &Connection, seq: Seq) -> Result<Option<Head>, JournalError> {
    if seq == 0 {
        return Ok(Some(Head::EMPTY));
    }
    let mut statement = db
        .prepare_cached("SELECT seq, term, hash, '' FROM entry WHERE seq = ?1")
        .map_err(disk("read the journal"))?;
    let row = statement.query_row([number(seq)?], raw).optional();
    row.map_err(|error| damaged(error, seq))?.map(|row| row.head()).transpose()
}

/// Hands over every entry behind `from`, each checked against the one before it, up to the head as
/// it was at the start. Reads in pages, so that no long read keeps the writer from checkpointing.
pub(super) fn walk(
    db: &Connection,
    from: Head,
    mut each: impl FnMut(Stored) -> Result<(), JournalError>,
) -> Result<Head, JournalError> {
    let end = head(db)?;
    let mut at = from;
    while at.seq < end.seq {
        for stored in page(db, &mut at, PAGE)? {
            each(stored)?;
        }
    }
    Ok(at)
}

/// Reads up to `limit` entries behind `at`, and moves it behind the last of them. Gives fewer if
/// they are long.
pub(super) fn page(
    db: &Connection,
    at: &mut Head,
    limit: usize,
) -> Result<Vec<Stored>, JournalError> {
    let mut statement = db
        .prepare_cached("SELECT seq, term, hash, text FROM entry WHERE seq > ?1 ORDER BY seq")
        .map_err(disk("read the journal"))?;
    let mut rows = statement.query([number(at.seq)?]).map_err(disk("read the journal"))?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while found.len() < limit && bytes < PAGE_BYTES {
        let Some(row) = rows.next().map_err(|error| damaged(error, at.seq + 1))? else { break };
        let row = raw(row).map_err(|error| damaged(error, at.seq + 1))?;
        bytes += row.text.len();
        found.push(row.follow(at)?);
    }
    Ok(found)
}

/// An error of SQLite, with what was being done.
pub(super) fn disk(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> JournalError {
    move |source| JournalError::Disk { doing, source }
}

/// An error of the file system, with what was being done to which file.
pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> JournalError {
    move |source| JournalError::Io { doing, path: path.to_owned(), source }
}

pub(super) fn number(seq: u64) -> Result<i64, JournalError> {
    i64::try_from(seq).map_err(|_| JournalError::Illegal(format!("{seq} is too large a number")))
}

/// The log and its index got the mode of the file when they were made.
fn close_to_others(path: &Path) -> Result<(), JournalError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::set_permissions(&name, fs::Permissions::from_mode(0o600)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io("close to others", Path::new(&name))(error)),
        }
    }
    Ok(())
}

fn prepare(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY)?;
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    debug_assert_eq!(mode, "wal");
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "trusted_schema", "OFF")?;
    db.pragma_update(None, "cell_size_check", "ON")?;
    db.pragma_update_and_check(None, "wal_autocheckpoint", 1000, |_| Ok(()))?;
    db.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES, |_| Ok(()))
}

fn check_layout(db: &Connection, path: &Path) -> Result<(), JournalError> {
    let pragma = |name| {
        let value = db.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        value.map_err(|error| not_ours(path, error))
    };
    let unusable = |why| Err(JournalError::Unusable { path: path.to_owned(), why });
    if pragma("application_id")? != APPLICATION_ID {
        return unusable("it is empty, or the file of another program".to_owned());
    }
    let layout = pragma("user_version")?;
    if layout != LAYOUT {
        return unusable(format!("its layout is {layout}, this version knows {LAYOUT}"));
    }
    Ok(())
}

fn not_ours(path: &Path, error: rusqlite::Error) -> JournalError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            let why = "it is no SQLite file".to_owned();
            JournalError::Unusable { path: path.to_owned(), why }
        }
        Some(ErrorCode::DatabaseCorrupt) => JournalError::Broken { seq: 0, why: error.to_string() },
        _ => disk("read the journal")(error),
    }
}

/// A new name in a folder is only safe once the folder is on disk.
fn sync_folder(path: &Path) -> Result<(), JournalError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync the folder", folder))
}

/// A row as it stands in the table, before it is believed.
struct Raw {
    seq: i64,
    term: i64,
    hash: Vec<u8>,
    text: Vec<u8>,
}

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    // As bytes: a text that is not UTF-8 any more is damage, not a wrong type.
    let text = row.get_ref(3)?.as_bytes().map(<[u8]>::to_vec).unwrap_or_default();
    Ok(Raw { seq: row.get(0)?, term: row.get(1)?, hash: row.get(2)?, text })
}

impl Raw {
    fn head(&self) -> Result<Head, JournalError> {
        let seq = u64::try_from(self.seq).unwrap_or_default();
        let broken = |why: &str| JournalError::Broken { seq, why: why.to_owned() };
        let hash = <[u8; 32]>::try_from(self.hash.as_slice());
        let hash = Hash::from_bytes(hash.map_err(|_| broken("its hash has not 32 bytes"))?);
        let term = u64::try_from(self.term).map_err(|_| broken("its term is negative"))?;
        Ok(Head { seq, hash, term })
    }

    /// Checks that this row follows the one at `at`, and moves there.
    fn follow(self, at: &mut Head) -> Result<Stored, JournalError> {
        let expected = at.seq + 1;
        let broken = |why: String| JournalError::Broken { seq: expected, why };
        let here = self.head()?;
        if here.seq != expected {
            return Err(broken(format!("it is missing, the next one is entry {}", here.seq)));
        }
        if here.term < at.term {
            return Err(broken(format!("its term {} is behind {}", here.term, at.term)));
        }
        let text =
            String::from_utf8(self.text).map_err(|_| broken("it is not UTF-8".to_owned()))?;
        let hash = at.hash.then(&text);
        if hash != here.hash {
            return Err(broken(format!(
                "its text, or one before it, has changed: the hash is {hash}, {} was written",
                here.hash
            )));
        }
        let entry = agent_core::read(&text).map_err(broken)?;
        if entry.seq != expected {
            return Err(broken(format!("its text says that it is entry {}", entry.seq)));
        }
        *at = here;
        Ok(Stored { entry, text, hash })
    }
}

fn damaged(error: rusqlite::Error, seq: Seq) -> JournalError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            JournalError::Broken { seq, why: error.to_string() }
        }
        _ => disk("read the journal")(error),
    }
}
