//! The sections of what the agent keeps and tells beside the journal.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    RecorderSettings, RunbookSettings, ScheduleSettings, build::Builder, check::Findings,
    file::File, locate::Key,
};
use crate::schedule::{Cron, RIGHT};

/// A mebibyte.
const MIB: u64 = 1 << 20;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Recorder {
    pub(super) enabled: bool,
    pub(super) folder: Option<PathBuf>,
    pub(super) keep_mib: u64,
    pub(super) leave_mib: u64,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { enabled: true, folder: None, keep_mib: 256, leave_mib: 256 }
    }
}

/// Times of the calendar, or `off`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Schedule {
    pub(super) daily_report: String,
    pub(super) runbook: String,
    pub(super) runbook_folders: Vec<PathBuf>,
    pub(super) keep_runbooks: usize,
}

impl Default for Schedule {
    fn default() -> Self {
        let (daily_report, runbook) = ("0 0 6 * * *".into(), "0 5 6 * * *".into());
        Self { daily_report, runbook, runbook_folders: Vec::new(), keep_runbooks: 30 }
    }
}

/// What has to hold of these sections.
pub(super) fn check(file: &File, found: &mut Findings) {
    let key = Key::new("recorder").at("keep_mib");
    if !(16..=1 << 20).contains(&file.recorder.keep_mib) {
        let what = format!("{} MiB is no room to record in", file.recorder.keep_mib);
        found.add(&key, what, "16 to 1048576; `enabled = false` records nothing");
    }
    let Schedule { runbook_folders, keep_runbooks, .. } = &file.schedule;
    if !(1..=1000).contains(keep_runbooks) {
        let key = Key::new("schedule").at("keep_runbooks");
        found.add(&key, format!("{keep_runbooks} of each link can't be kept"), "1 to 1000");
    }
    if runbook_folders.len() > FOLDERS {
        let key = Key::new("schedule").at("runbook_folders");
        found.add(&key, "these are too many folders", format!("{FOLDERS} at the most"));
    }
}

/// Folders with copies of the runbook at the most.
const FOLDERS: usize = 8;
/// Runs of a job closer together than this would fill the journal.
const CLOSEST: i64 = 10;
/// Runs that are looked at for that.
const LOOKED_AT: usize = 100;

impl Builder<'_> {
    pub(super) fn schedule(&mut self, file: &File) -> ScheduleSettings {
        let Schedule { daily_report, runbook, runbook_folders, keep_runbooks } = &file.schedule;
        let mut folders: Vec<PathBuf> = runbook_folders.iter().map(|at| self.path(at)).collect();
        if folders.is_empty() {
            folders.push(self.path(&file.agent.data_dir.join(super::RUNBOOK_FOLDER)));
        }
        ScheduleSettings {
            daily_report: self.cron("daily_report", daily_report),
            runbook: self.cron("runbook", runbook).map(|when| RunbookSettings {
                when,
                folders,
                keep: *keep_runbooks,
            }),
        }
    }

    fn cron(&mut self, name: &str, text: &str) -> Option<Cron> {
        if text == "off" {
            return None;
        }
        let key = Key::new("schedule").at(name);
        let right = format!("`off`, or {RIGHT}");
        let cron = self.take(&key, Cron::parse(text), &right)?;
        let times = std::iter::successors(Some(Timestamp::UNIX_EPOCH), |at| cron.next_after(*at));
        let times: Vec<i64> = times.take(LOOKED_AT).map(Timestamp::as_second).collect();
        if times.windows(2).skip(1).any(|pair| pair[1] - pair[0] < CLOSEST) {
            let what = "every run is an entry of the journal, and these are too many";
            self.found.add(&key, what, format!("at least {CLOSEST} seconds from one to the next"));
        }
        Some(cron)
    }

    pub(super) fn recorder(&self, file: &File) -> Option<RecorderSettings> {
        let Recorder { enabled, folder, keep_mib, leave_mib } = &file.recorder;
        let beside = file.agent.data_dir.join(super::RECORDER_FOLDER);
        enabled.then(|| RecorderSettings {
            folder: self.path(folder.as_ref().unwrap_or(&beside)),
            keep_bytes: keep_mib.saturating_mul(MIB),
            leave_bytes: leave_mib.saturating_mul(MIB),
        })
    }
}
