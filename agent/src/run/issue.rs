//! The calendar job that issues runbooks: for each link a page, a copy of it in each folder, and an
//! entry of the journal that takes it to everybody who listens.

use std::{path::PathBuf, sync::Arc, time::Duration};

use agent_core::{Input, LinkId, Runbook, runbook::Places, runbook::Sheet};
use jiff::Timestamp;
use tokio::{sync::Semaphore, task, time::timeout};

use crate::{
    config::RunbookSettings,
    http::view::configured,
    paper,
    schedule::{Gauge, RUN},
    turn::{Ended, Inbox},
};

use super::calendar::told;

/// For the page of one link, in all folders and the journal.
const LINK: Duration = RUN;
/// For a folder to take one page. It may be on another host that is gone.
const WRITE: Duration = Duration::from_secs(10);

/// Issues the runbooks of all links.
#[derive(Clone)]
pub(super) struct Issue {
    inbox: Inbox,
    places: Arc<Places>,
    folders: Arc<[Folder]>,
    keep: usize,
    gauge: Gauge,
}

struct Folder {
    path: PathBuf,
    /// A write that hangs keeps it, so that no second one hangs behind it.
    free: Arc<Semaphore>,
}

impl Issue {
    pub(super) fn new(
        inbox: Inbox,
        places: Arc<Places>,
        settings: &RunbookSettings,
        gauge: Gauge,
    ) -> Self {
        let folder =
            |path: &PathBuf| Folder { path: path.clone(), free: Arc::new(Semaphore::new(1)) };
        let folders = settings.folders.iter().map(folder).collect();
        Self { inbox, places, folders, keep: settings.keep, gauge }
    }

    /// One run. Neither a folder that fails nor a link that takes too long keeps the others from
    /// theirs. Those that have waited longest come first, so that a run that is cut off leaves other
    /// links behind than the one before it.
    pub(super) async fn run(self, missed: u64) -> Result<(), String> {
        let waiting = self.inbox.ask(|estate, _| {
            let mut links = configured(estate);
            links.sort_by_key(|link| estate.last_runbook(link));
            links
        });
        let links = waiting.await.map_err(ended)?;
        // What has failed once is not tried again for the next link: each try may take long.
        let mut failing: Vec<Option<String>> = vec![None; self.folders.len()];
        for link in links {
            match timeout(LINK, self.issue(&link, missed, &mut failing)).await {
                Ok(done) => done?,
                Err(_) => {
                    let why = format!("the page of {link} took longer than {LINK:?}");
                    self.gauge.failed_at("runbook", &why);
                }
            }
        }
        Ok(())
    }

    /// The page of one link. `failing` says of each folder why it takes none.
    async fn issue(
        &self,
        link: &LinkId,
        missed: u64,
        failing: &mut [Option<String>],
    ) -> Result<(), String> {
        let asked = link.clone();
        let sheet = self
            .inbox
            .ask(move |estate, now| Sheet::of(estate, &asked, now).map(|sheet| (sheet, now)));
        // It was there a moment ago, and the configuration does not change in a life.
        let Some((sheet, now)) = sheet.await.map_err(ended)? else { return Ok(()) };
        let places = Arc::clone(&self.places);
        let written = task::spawn_blocking(move || sheet.page(&places)).await;
        let text = written.map_err(|panicked| panicked.to_string())?;
        let mut runbook = Runbook::new(link.clone(), text.clone());
        runbook.missed = missed;
        for (folder, failing) in self.folders.iter().zip(failing) {
            let kept = match failing.clone() {
                Some(why) => Err(why),
                None => folder.keep(link, &text, now, self.keep).await,
            };
            match kept {
                Ok(path) => runbook.places.push(path.display().to_string()),
                Err(why) => {
                    runbook.failed.push(format!("{}: {why}", folder.path.display()));
                    if failing.is_none() {
                        self.gauge.failed_at("runbook", &why);
                        *failing = Some(why);
                    }
                }
            }
        }
        told(self.inbox.input(Input::IssueRunbook { runbook }).await)
    }
}

fn ended(ended: Ended) -> String {
    ended.to_string()
}

/// What a run for so many links may take at the most.
pub(super) fn limit(links: usize) -> Duration {
    LINK.saturating_mul(u32::try_from(links).unwrap_or(u32::MAX).max(1))
}

impl Folder {
    async fn keep(
        &self,
        link: &LinkId,
        text: &str,
        now: Timestamp,
        most: usize,
    ) -> Result<PathBuf, String> {
        let free = Arc::clone(&self.free).try_acquire_owned();
        let free = free.map_err(|_| "the copy before this one is still being written")?;
        let (path, link, text) = (self.path.clone(), link.clone(), text.to_owned());
        let writing = task::spawn_blocking(move || {
            let kept = paper::keep(&path, &link, &text, now, most);
            drop(free);
            kept
        });
        match timeout(WRITE, writing).await {
            Ok(Ok(kept)) => kept.map_err(|error| error.to_string()),
            Ok(Err(panicked)) => Err(panicked.to_string()),
            Err(_) => Err(format!("it took longer than {WRITE:?}")),
        }
    }
}
