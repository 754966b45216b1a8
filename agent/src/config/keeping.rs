//! The sections of what the agent keeps and tells beside the journal.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{RecorderSettings, build::Builder, check::Findings, file::File, locate::Key};

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

/// What has to hold of these sections.
pub(super) fn check(file: &File, found: &mut Findings) {
    let key = Key::new("recorder").at("keep_mib");
    if !(16..=1 << 20).contains(&file.recorder.keep_mib) {
        let what = format!("{} MiB is no room to record in", file.recorder.keep_mib);
        found.add(&key, what, "16 to 1048576; `enabled = false` records nothing");
    }
}

impl Builder<'_> {
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
