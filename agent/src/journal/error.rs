//! What can go wrong with a journal, in words that say what to do.

use std::{io, path::PathBuf};

use agent_core::Seq;

use super::chain::Head;

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process writes to this journal.
    #[error(
        "the journal {} is in use by {}: stop that one first, or give this one another data folder",
        path.display(),
        holder(*pid)
    )]
    Locked { path: PathBuf, pid: Option<u32> },
    /// The journal does not end where the writer thinks it does.
    #[error("the journal ends with {found}, and not, as expected, with {expected}")]
    Conflict { expected: Box<Head>, found: Box<Head> },
    /// The journal is damaged: `seq` is the first entry that is wrong.
    #[error("the journal is damaged at entry {seq}: {why}")]
    Broken { seq: Seq, why: String },
    /// The file is no journal that this version can use.
    #[error("{} is no journal that this version of dr-agent can use: {why}", path.display())]
    Unusable { path: PathBuf, why: String },
    /// An entry that can't follow from those before it: a bug.
    #[error("an entry can't follow from those before it: {0}")]
    Illegal(String),
    /// A rule whose event does not make its own condition false: a bug.
    #[error("the rules have not come to rest after {events} events")]
    Unsettled { events: usize },
    /// SQLite or the disk beneath it failed.
    #[error("can't {doing}: {source}")]
    Disk { doing: &'static str, source: rusqlite::Error },
    /// The file system failed.
    #[error("can't {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}
