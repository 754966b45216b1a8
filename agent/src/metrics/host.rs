//! The machine that the agent runs on, as far as the agent depends on it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;

/// The machine at the time of one scrape.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) started_at: Timestamp,
    /// How far the agent's clock is ahead of the wall's.
    pub(super) clock_offset: SignedDuration,
    pub(super) journal_readable: bool,
    /// None: not known.
    pub(super) journal_bytes: Option<u64>,
    pub(super) free_bytes: Option<u64>,
}

/// Looks at the machine. The disk is looked at apart, for that may block.
#[derive(Debug)]
pub(super) struct Machine {
    clock: Clock,
    journal: PathBuf,
    started_at: Timestamp,
    disk: Mutex<Disk>,
}

#[derive(Clone, Copy, Debug)]
struct Disk {
    readable: bool,
    journal_bytes: Option<u64>,
    free_bytes: Option<u64>,
}

impl Machine {
    pub(super) fn new(clock: Clock, journal: PathBuf) -> Self {
        let started_at = clock.now();
        let disk = Disk { readable: true, journal_bytes: None, free_bytes: None };
        Self { clock, journal, started_at, disk: Mutex::new(disk) }
    }

    pub(super) fn now(&self) -> Host {
        let disk = *self.disk();
        Host {
            started_at: self.started_at,
            clock_offset: self.clock.offset(),
            journal_readable: disk.readable,
            journal_bytes: disk.journal_bytes,
            free_bytes: disk.free_bytes,
        }
    }

    /// What an unreadable disk said before says nothing about now.
    pub(super) fn journal_readable(&self, readable: bool) {
        let mut disk = self.disk();
        disk.readable = readable;
        if !readable {
            disk.journal_bytes = None;
            disk.free_bytes = None;
        }
    }

    /// What can't be found out has no sample. Blocks on the disk.
    pub(super) fn look_at_disk(&self) {
        let (journal_bytes, free_bytes) = (size(&self.journal), free(&self.journal));
        let mut disk = self.disk();
        disk.journal_bytes = journal_bytes;
        disk.free_bytes = free_bytes;
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // Nothing that holds it can panic half-way.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The journal's file and its write-ahead log, which is not there when all of it is in the file.
fn size(journal: &Path) -> Option<u64> {
    let bytes = |path: &Path| fs::metadata(path).map(|about| about.len()).ok();
    let mut log = journal.as_os_str().to_owned();
    log.push("-wal");
    Some(bytes(journal)? + bytes(Path::new(&log)).unwrap_or_default())
}

fn free(journal: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(journal.parent()?).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
