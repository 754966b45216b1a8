//! Each account in a folder, as JSON and as a page: written when a proposal is closed, and again when
//! more is known of what was lost. What is in the journal can be written again, so nothing of this is
//! kept elsewhere.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use agent_core::{
    Entry, Event, ProposalId, Seq,
    account::{Account, Measured},
};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{AFTER, PAGE, account, page};
use crate::journal::{JournalError, Reader};

/// Runs whose files are kept; the oldest make room.
const KEPT: usize = 500;
/// After a failure, before the next try.
const PAUSE: Duration = Duration::from_secs(30);
/// For the last ones, when the agent stops.
const LAST_LAP: Duration = Duration::from_secs(2);
const BEGIN: &str = "run-";

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
}

struct Keeper {
    journal: PathBuf,
    folder: PathBuf,
    /// Everything up to this entry is in the files.
    at: Seq,
    /// Those of which it may yet become known what was lost, each with the entry that closed it.
    waiting: BTreeSet<(Seq, ProposalId)>,
    /// Those of which more may be known since the files were written.
    stale: BTreeSet<(Seq, ProposalId)>,
}

/// Keeps the accounts until `stop`.
pub async fn run(
    journal: PathBuf,
    folder: PathBuf,
    mut head: watch::Receiver<Seq>,
    stop: CancellationToken,
) {
    let at = head.borrow().saturating_sub(AFTER);
    let mut keeper = Keeper::new(journal, folder, at);
    loop {
        let newest = *head.borrow_and_update();
        let (kept, failed) = caught_up(keeper, newest).await;
        keeper = kept;
        if let Some(error) = &failed {
            tracing::warn!(%error, "the account of a run is not written");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(PAUSE), if failed.is_some() => {}
            changed = head.changed(), if failed.is_none() => if changed.is_err() { break },
        }
    }
    let newest = *head.borrow();
    // What is not written then is written after the next start.
    let _ = timeout(LAST_LAP, caught_up(keeper, newest)).await;
}

async fn caught_up(mut keeper: Keeper, newest: Seq) -> (Keeper, Option<Failed>) {
    let (journal, folder, at) = (keeper.journal.clone(), keeper.folder.clone(), keeper.at);
    let done = spawn_blocking(move || {
        let failed = keeper.catch_up(newest).err();
        (keeper, failed)
    });
    match done.await {
        Ok(done) => done,
        // It panicked: it goes on behind what made it do so.
        Err(_) => {
            let at = newest.max(at);
            (Keeper::new(journal, folder, at), None)
        }
    }
}

impl Keeper {
    fn new(journal: PathBuf, folder: PathBuf, at: Seq) -> Self {
        Self { journal, folder, at, waiting: BTreeSet::new(), stale: BTreeSet::new() }
    }

    fn catch_up(&mut self, newest: Seq) -> Result<(), Failed> {
        if self.at >= newest {
            return Ok(());
        }
        let reader = Reader::open(&self.journal)?;
        while self.at < newest {
            let page = reader.read_after(self.at, PAGE)?;
            if page.is_empty() {
                break;
            }
            for stored in page {
                self.take(&stored.entry);
                self.at = stored.entry.seq;
            }
        }
        // Each once, however much has come meanwhile.
        for run in self.stale.clone() {
            self.write(&reader, run)?;
            self.stale.remove(&run);
        }
        Ok(())
    }

    fn take(&mut self, entry: &Entry) {
        if let Event::ProposalClosed { proposal, .. } = &entry.event {
            self.stale.insert((entry.seq, *proposal));
        } else if let Event::HealthChanged { .. } = &entry.event {
            self.stale.extend(self.waiting.iter().copied());
        }
        self.waiting.retain(|(closed, _)| closed.saturating_add(AFTER) > entry.seq);
    }

    fn write(&mut self, reader: &Reader, (closed, id): (Seq, ProposalId)) -> Result<(), Failed> {
        let found = account(id, |after| {
            let page = reader.read_after(after, PAGE)?;
            Ok::<_, JournalError>(page.into_iter().map(|stored| stored.entry).collect())
        })?;
        let Some(account) = found else { return Ok(()) };
        let unknown = matches!(account.loss.measured, Measured::NotKnown { .. });
        if unknown && account.kind.forces() {
            self.waiting.insert((closed, id));
        } else {
            self.waiting.remove(&(closed, id));
        }
        keep(&self.folder, &account)
            .map_err(|error| Failed::File { path: self.folder.clone(), error })
    }
}

/// Writes both files, each whole or not at all.
fn keep(folder: &Path, account: &Account) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o750);
    builder.create(folder)?;
    let name = format!("{BEGIN}{:010}", account.proposal);
    let json = serde_json::to_string_pretty(account).unwrap_or_default();
    for (ending, text) in [("json", json), ("html", page(account))] {
        let path = folder.join(format!("{name}.{ending}"));
        let half = folder.join(format!(".{name}.{ending}.half"));
        let written = whole(&half, &text).and_then(|()| fs::rename(&half, &path));
        if written.is_err() {
            // It may not even be there.
            let _ = fs::remove_file(&half);
        }
        written?;
    }
    prune(folder)
}

fn whole(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o640).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn prune(folder: &Path) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if let Some(name) = name.to_str().filter(|name| name.starts_with(BEGIN)) {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    names.truncate(names.len().saturating_sub(2 * KEPT));
    names.iter().try_for_each(|old| fs::remove_file(folder.join(old)))
}
