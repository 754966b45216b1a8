//! `journal`: what was decided, from a running agent or from the file.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use agent_core::{Entry, Seq};
use clap::Args;
use serde_json::json;

use super::{Context, client::Client, exit::Failure, words};
use crate::{
    http::view::{JournalPage, Kept},
    journal::{Reader, redact},
};

/// Entries that are asked for at once.
const PAGE: usize = 500;
/// Between two looks for new entries.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// Looks in a row that may fail before following is given up.
const FOLLOW_TRIES: u32 = 60;

#[derive(Debug, Args)]
pub(super) struct Journal {
    /// Only entries behind this one
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: Seq,
    /// At most so many entries
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Go on with new entries until interrupted
    #[arg(long, conflicts_with_all = ["offline", "limit"])]
    follow: bool,
    /// Read the file itself, or the data folder with it; the agent may run or not
    #[arg(long, value_name = "PATH")]
    offline: Option<PathBuf>,
    /// Check the chain of all entries and tell its head, instead of showing them
    #[arg(long, requires = "offline", conflicts_with_all = ["after", "limit"])]
    verify: bool,
}

impl Journal {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        match &self.offline {
            Some(path) if self.verify => verify(context, path),
            Some(path) => self.offline(context, path),
            None => self.online(context),
        }
    }

    fn online(&self, context: &Context) -> Result<(), Failure> {
        let client = context.connection.open()?;
        let (mut after, mut left) = (self.after, self.limit.unwrap_or(u64::MAX));
        let mut failed = 0;
        loop {
            let page = match page(&client, after, left) {
                Ok(page) => page,
                // Whoever follows waits for an agent that restarts.
                Err(failure) if self.follow && failure.passes() && failed < FOLLOW_TRIES => {
                    failed += 1;
                    client.pause(FOLLOW_EVERY);
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            failed = 0;
            for kept in &page.entries {
                show(context, kept)?;
                after = kept.seq;
            }
            left -= u64::try_from(page.entries.len()).unwrap_or(left).min(left);
            let more = !page.entries.is_empty() && after < page.head;
            if left == 0 || (!more && !self.follow) {
                return Ok(());
            }
            if !more {
                client.pause(FOLLOW_EVERY);
            }
        }
    }

    fn offline(&self, context: &Context, path: &Path) -> Result<(), Failure> {
        let reader = Reader::open(&file(path))?;
        let (mut after, mut left) = (self.after, self.limit.unwrap_or(u64::MAX));
        while left > 0 {
            let found = reader.read_after(after, most(left))?;
            if found.is_empty() {
                break;
            }
            for stored in found {
                after = stored.entry.seq;
                left -= 1;
                let (entry, hash) = (redact(&stored.entry), stored.hash.to_string());
                show(context, &Kept { seq: after, hash, entry })?;
            }
        }
        Ok(())
    }
}

fn verify(context: &Context, path: &Path) -> Result<(), Failure> {
    let found = Reader::open(&file(path))?.verify()?;
    let (entries, head) = (found.entries, found.head.to_string());
    let value = json!({ "entries": entries, "head": head });
    context.output.show(&value, |page| {
        page.line(0, format!("the chain of {entries} entries is whole"));
        page.line(0, format!("head {head}"));
    })
}

fn page(client: &Client, after: Seq, left: u64) -> Result<JournalPage, Failure> {
    let query = [("after", after.to_string()), ("limit", most(left).to_string())];
    client.get(&["journal"], &query)
}

/// The entries behind a place, a page of them.
pub(super) fn entries(client: &Client, after: Seq) -> Result<Vec<Entry>, Failure> {
    let page = page(client, after, u64::MAX)?;
    Ok(page.entries.into_iter().map(|kept| kept.entry).collect())
}

fn most(left: u64) -> usize {
    usize::try_from(left).unwrap_or(PAGE).min(PAGE)
}

fn show(context: &Context, kept: &Kept) -> Result<(), Failure> {
    context.output.show_line(kept, |page| page.line(0, words::entry(&kept.entry)))
}

pub(super) fn file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(crate::config::JOURNAL_FILE) } else { path.to_owned() }
}
