//! `replay`: decide once more what was recorded, and compare it with the journal byte for byte.

use std::path::PathBuf;

use agent_core::{Input, LinkId, Observation, Seq, Subject, Vantage};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Context,
    exit::Failure,
    text::{Page, lasting, time},
    words,
};
use crate::{
    config::{JOURNAL_FILE, RECORDER_FOLDER},
    journal::{Reader, redact},
    recorder::Recording,
    replay::{Decided, Difference, Extent, Report, replay},
};

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Data folder of the agent, or a copy of it; the agent may run or not
    #[arg(long, value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Folder with the recording [default: `recorder` in the data folder]
    #[arg(long, value_name = "FOLDER")]
    recording: Option<PathBuf>,
    /// Begin before this entry, as near to it as the recording allows
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from: Seq,
    /// End with this entry
    #[arg(long, value_name = "SEQ")]
    to: Option<Seq>,
    /// Show every entry with what was seen just before it
    #[arg(long)]
    explain: bool,
    /// Decide again too what another version of the agent decided; this one may decide otherwise
    #[arg(long)]
    any_version: bool,
}

/// An entry with what it rests on.
#[derive(Serialize)]
struct Explained {
    entry: agent_core::Entry,
    turn_at: Timestamp,
    /// How much that turn was given; nothing at all if a rule fired because of time alone.
    turn_looks: usize,
    turn_inputs: usize,
    /// The newest look of each vantage at that time.
    looks: Vec<Observation>,
    reasons: Vec<String>,
    /// What kept the agent from proposing after it.
    because: Vec<String>,
}

impl Replay {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let folder = self.recording.clone().unwrap_or_else(|| self.data_dir.join(RECORDER_FOLDER));
        let mut recording = Recording::open(&folder).map_err(|error| {
            Failure::file(format!("there is no recording in {}: {error}", folder.display()))
        })?;
        let reader = Reader::open(&self.data_dir.join(JOURNAL_FILE))?;
        let extent = Extent { from: self.from, to: self.to, any_version: self.any_version };
        let mut shown = Ok(());
        let report = replay(&mut recording, &reader, extent, |decided| {
            let seq = decided.entry.seq;
            let wanted = seq >= self.from && self.to.is_none_or(|to| seq <= to);
            if self.explain && wanted && shown.is_ok() {
                let explained = explain(decided);
                shown = context.output.show_line(&explained, |page| explained.page(page));
            }
        });
        let report = report?;
        shown?;
        if self.explain {
            context.output.show_line(&report, |page| self::page(page, &report))?;
        } else {
            context.output.show(&report, |page| self::page(page, &report))?;
        }
        match (&report.difference, report.damages.len()) {
            (Some(difference), _) => {
                let seq = difference.seq;
                Err(Failure::refused(format!(
                    "entry {seq} does not come out as the journal has it"
                )))
            }
            (None, 0) => Ok(()),
            (None, _) => Err(Failure::refused("the recording is not what was written")),
        }
    }
}

fn explain(decided: &Decided<'_>) -> Explained {
    let Decided { entry, given, estate } = decided;
    let link = match &entry.subject {
        Subject::Link(link) => Some(link),
        Subject::Agent | Subject::Instance(_) => None,
    };
    let explanation = link.and_then(|link| estate.explain(link, given.now));
    let (reasons, because) =
        explanation.map_or_else(Default::default, |told| (told.reasons, told.because));
    Explained {
        entry: redact(entry),
        turn_at: given.now,
        turn_looks: given.seen.len(),
        turn_inputs: given.inputs.iter().filter(|input| about(input, link)).count(),
        looks: link.map(|link| estate.newest(link)).unwrap_or_default(),
        reasons,
        because,
    }
}

/// Whether an input may have been about this link.
fn about(input: &Input, link: Option<&LinkId>) -> bool {
    match input {
        Input::Propose { link: of, .. }
        | Input::ProposeForAlert { link: of, .. }
        | Input::AlertResolved { link: of, .. }
        | Input::Acknowledge { link: of, .. }
        | Input::LiftGuard { link: of, .. } => Some(of) == link,
        Input::Cast { ballot } => Some(&ballot.link) == link,
        Input::Start { .. } | Input::ReportState { .. } | Input::IssueRunbook { .. } => {
            link.is_none()
        }
        Input::Report { .. } => link.is_some(),
    }
}

impl Explained {
    fn page(&self, page: &mut Page) {
        page.line(0, words::entry(&self.entry));
        let given = match (self.turn_looks, self.turn_inputs) {
            (0, 0) => "nothing but time".to_owned(),
            (looks, 0) => format!("{looks} new looks"),
            (0, inputs) => format!("{inputs} inputs"),
            (looks, inputs) => format!("{looks} new looks and {inputs} inputs"),
        };
        page.line(4, format!("decided at {} on {given}", time(self.turn_at)));
        for look in &self.looks {
            let age = self.turn_at.duration_since(look.begun_at).as_millis();
            let age = lasting(u64::try_from(age).unwrap_or(0));
            let name = match look.vantage {
                Vantage::SqlServer => "SQL Server",
                Vantage::ManagedInstance => "managed instance",
                Vantage::ControlPlane => "control plane",
            };
            page.pair(4, name, format!("{age} before: {}", words::seen(&look.seen)));
        }
        for reason in &self.reasons {
            page.line(4, format!("- {reason}"));
        }
        for because in &self.because {
            page.line(4, format!("no proposal: {because}"));
        }
    }
}

fn page(page: &mut Page, report: &Report) {
    let Report { lives, turns, looks, same, first, last, gaps, damages, difference } = report;
    page.line(
        0,
        format!("{turns} turns with {looks} looks were run again, of {lives} starts of the agent"),
    );
    match (first, last) {
        (Some(first), Some(last)) => page
            .line(0, format!("{same} entries, from {first} to {last}, are the same to the byte")),
        (None | Some(_), _) => page.line(0, "no entry was decided in them"),
    }
    for gap in gaps {
        let what = match gap.to - gap.after {
            0 => format!("looks are missing behind entry {}", gap.after),
            1 => format!("entry {} is not decided again", gap.to),
            _ => format!("entries {} to {} are not decided again", gap.after + 1, gap.to),
        };
        page.line(0, format!("GAP: {what}: {}", gap.why));
    }
    for damage in damages {
        page.line(0, format!("DAMAGED: {damage}"));
    }
    if let Some(difference) = difference {
        self::difference(page, difference);
    }
}

fn difference(page: &mut Page, difference: &Difference) {
    page.title(format!("DIFFERENT: entry {}: {}", difference.seq, difference.why));
    for line in &difference.given {
        page.line(1, line);
    }
    match difference.parting() {
        Some((journal, rerun)) => {
            page.pair(1, "journal", format!("…{journal}…"));
            page.pair(1, "decided now", format!("…{rerun}…"));
        }
        None => {
            let sides = [("journal", &difference.journal), ("decided now", &difference.rerun)];
            for (label, text) in sides {
                page.pair(1, label, text.as_deref().unwrap_or("nothing"));
            }
        }
    }
}
