//! A data folder with a journal and a recording, and agents that live in it one after the other.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use agent_core::{Entry, Observation, Subject};
use dr_agent::{
    config::RECORDER_FOLDER,
    journal::{Journal, Reader},
    recorder::{self, Bounds, Disk, Folder, Gauge, Life, Recording, Settings},
    replay::{Extent, Report, replay},
    turn::Turn,
};
use tempfile::TempDir;
use tests::harness::wait;

use crate::story::{Scene, at};

/// Reached only if the writer hangs.
const LIMIT: Duration = Duration::from_secs(30);

pub(super) const PLENTY: Bounds =
    Bounds { keep_bytes: 1 << 30, segment_bytes: 1 << 24, leave_bytes: 0 };

pub(super) struct BlackBox {
    folder: TempDir,
    bounds: Bounds,
    pub(super) version: &'static str,
}

/// An entry with what was seen just before it.
pub(super) struct Told {
    pub(super) entry: Entry,
    pub(super) looks: Vec<Observation>,
}

/// One agent that lives.
pub(super) struct Alive {
    pub(super) turn: Turn<Journal>,
    pub(super) gauge: Gauge,
    writer: recorder::WriterThread,
}

impl BlackBox {
    pub(super) fn new() -> Self {
        Self::bounded(PLENTY)
    }

    pub(super) fn bounded(bounds: Bounds) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, bounds, version: env!("CARGO_PKG_VERSION") }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn recording(&self) -> PathBuf {
        self.path().join(RECORDER_FOLDER)
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.path().join("journal.db")
    }

    /// An agent that starts, recording to its folder.
    pub(super) fn start(&self, settings: Settings) -> Alive {
        self.start_on(settings, Folder::new(&self.recording()))
    }

    /// The same on a disk of the test's own.
    pub(super) fn start_on<D: Disk + 'static>(&self, settings: Settings, disk: D) -> Alive {
        let journal = Journal::open(&self.journal()).expect("a journal");
        let mut estate = settings.estate();
        let (head, term) = journal.fold(&mut estate).expect("it is whole");
        let life = Life::new(self.version, term, "sha256:00", &settings);
        let (recorder, feed) = recorder::tape(life);
        let gauge = recorder.gauge();
        let writer = recorder::spawn(feed, disk, self.bounds).expect("a thread");
        let turn = Turn::new(estate, journal, head, term).recorded(recorder);
        Alive { turn, gauge, writer }
    }

    /// A whole life of an agent.
    pub(super) fn live(&mut self, settings: Settings, scenes: &[Scene]) {
        let mut alive = self.start(settings);
        for (place, scene) in scenes.iter().enumerate() {
            alive.play(scene);
            // In the daemon a turn is far slower than a line on the disk.
            if place % 10 == 9 {
                let gauge = &alive.gauge;
                wait::until("the writer", LIMIT, || (gauge.waiting() == 0).then_some(()));
            }
        }
        alive.stop();
    }

    pub(super) fn replay(&self, extent: Extent) -> (Report, Vec<Told>) {
        self.replay_with(&self.journal(), extent)
    }

    /// The same against another journal.
    pub(super) fn replay_with(&self, journal: &Path, extent: Extent) -> (Report, Vec<Told>) {
        let mut recording = Recording::open(&self.recording()).expect("a recording");
        let reader = Reader::open(journal).expect("a journal");
        let mut told = Vec::new();
        let report = replay(&mut recording, &reader, extent, |decided| {
            let looks = match &decided.entry.subject {
                Subject::Link(link) => decided.estate.newest(link),
                Subject::Agent | Subject::Instance(_) => Vec::new(),
            };
            told.push(Told { entry: decided.entry.clone(), looks });
        });
        (report.expect("both can be read"), told)
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        let reader = Reader::open(&self.journal()).expect("a journal");
        let (mut entries, mut after) = (Vec::new(), 0);
        loop {
            let page = reader.read_after(after, 1000).expect("it is whole");
            let Some(last) = page.last() else { return entries };
            after = last.entry.seq;
            entries.extend(page.into_iter().map(|stored| stored.entry));
        }
    }

    pub(super) fn head(&self) -> u64 {
        Reader::open(&self.journal()).and_then(|reader| reader.head()).expect("a journal").seq
    }

    pub(super) fn segments(&self) -> usize {
        self.files().len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files().iter().map(|file| file.metadata().expect("it is there").len()).sum()
    }

    /// The segments, the oldest first.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let listed = std::fs::read_dir(self.recording()).expect("the folder is there");
        let mut files: Vec<_> = listed.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }
}

impl Alive {
    pub(super) fn play(&mut self, scene: &Scene) {
        let Scene { second, seen, inputs } = scene;
        let inputs = inputs(self.turn.estate(), *second);
        self.turn.take(at(*second), seen.clone(), inputs).expect("the journal takes it");
    }

    /// Ends in order: whatever waits is written.
    pub(super) fn stop(self) {
        drop(self.turn);
        self.writer.join().expect("the writer does not panic");
    }
}
