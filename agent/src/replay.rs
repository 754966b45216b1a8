//! Deciding everything once more: what the flight recorder kept is given to the same loop again, and
//! each entry that comes of it is compared with the journal's, byte for byte.
//!
//! It only reads, so it can be done while the agent runs, or elsewhere on a copy of its data folder.
//! Where turns are missing (the disk was slow, power was lost, an old segment made room) the replay
//! goes on at the next mark and says which entries were not decided again.

mod report;
mod rerun;

use std::path::Path;

use agent_core::{Estate, Evidence, LinkId, Seq};

pub use self::{
    report::{Decided, Difference, Gap, Report},
    rerun::{Broken, Rerun},
};
use crate::{
    journal::{JournalError, Reader},
    recorder::{Found, Frame, Recording},
};

/// Entries read from the journal at once.
const PAGE: usize = 256;

/// What is to be decided again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Begin at the last segment that begins before this entry. 0 is the oldest.
    pub from: Seq,
    /// End with this entry. None: as far as it goes.
    pub to: Option<Seq>,
    /// Lives of other versions too: this one may decide otherwise.
    pub any_version: bool,
}

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("can't read what was recorded: {0}")]
    Recording(#[from] std::io::Error),
}

/// Decides again what was recorded, and tells `each` of every entry that came out the same.
///
/// # Errors
///
/// Journal or recording can't be read. What is wrong with what they say stands in the report.
pub fn replay(
    recording: &mut Recording,
    reader: &Reader,
    extent: Extent,
    each: impl FnMut(&Decided<'_>),
) -> Result<Report, ReplayError> {
    let mut pages = Pages { reader, kept: Vec::new(), first: 1 };
    let mut rerun = Rerun::new(|seq| pages.text(seq), extent.any_version, each);
    let segments = recording.segments().to_vec();
    let begin =
        if extent.from > 1 { segment_before(recording, &segments, extent.from)? } else { 0 };
    if begin > 0 || extent.from > 1 {
        rerun.begin_anywhere();
    }
    let outcome = feed(recording, &segments[begin..], extent, &mut rerun);
    let head = reader.head()?.seq;
    match outcome {
        Ok(()) => Ok(rerun.finish(extent.to.map_or(head, |to| to.min(head)))?),
        Err(Ended::Broken(Broken::Difference(difference))) => Ok(rerun.differs(*difference)),
        Err(Ended::Broken(Broken::Journal(error))) => Err(error.into()),
        Err(Ended::Recording(error)) => Err(error.into()),
    }
}

/// Gives `estate` what had been seen when the recording ended: what a restarted agent, or one that is
/// dead, does not know any more. What it knows of links that were not seen since stays.
///
/// # Errors
///
/// The recording can't be read; the estate knows what it knew then.
pub fn recall(folder: &Path, estate: &mut Estate) -> std::io::Result<()> {
    let mut recording = Recording::open(folder)?;
    let Some(newest) = recording.segments().last().copied() else { return Ok(()) };
    let Some(segment) = recording.segment(newest)? else { return Ok(()) };
    for found in segment {
        match found {
            Found::Frame(Frame::Mark(mark)) => {
                let mut known: Vec<(LinkId, Evidence)> = mark.evidence;
                known.retain(|(_, evidence)| evidence.looks() > 0);
                let old = estate.evidence().filter(|(id, _)| known.iter().all(|(of, _)| of != *id));
                let old: Vec<_> =
                    old.map(|(id, evidence)| (id.clone(), evidence.clone())).collect();
                known.extend(old);
                estate.go_on_from(known);
            }
            Found::Frame(Frame::Turn(given)) => {
                given.seen.into_iter().for_each(|look| estate.observe(given.now, look));
            }
            Found::Frame(Frame::Foreign { .. }) | Found::Torn | Found::Altered { .. } => {}
        }
    }
    Ok(())
}

enum Ended {
    Broken(Broken),
    Recording(std::io::Error),
}

fn feed<J, E>(
    recording: &mut Recording,
    segments: &[u64],
    extent: Extent,
    rerun: &mut Rerun<J, E>,
) -> Result<(), Ended>
where
    J: FnMut(Seq) -> Result<Option<String>, JournalError>,
    E: FnMut(&Decided<'_>),
{
    let mut last: Option<u64> = None;
    for &number in segments {
        if let Some(last) = last.filter(|last| last + 1 != number) {
            rerun.break_off(&format!("segments {} to {} are missing", last + 1, number - 1));
        }
        last = Some(number);
        let Some(segment) = recording.segment(number).map_err(Ended::Recording)? else {
            rerun.break_off(&format!("segment {number} made room for newer ones"));
            continue;
        };
        for found in segment {
            match found {
                Found::Frame(frame) => rerun.frame(frame).map_err(Ended::Broken)?,
                // Whatever would have come there never happened for anybody, or is on its way.
                Found::Torn => {}
                Found::Altered { at, why } => {
                    rerun.altered(format!("segment {number} is damaged at byte {at}: {why}"));
                }
            }
            if extent.to.is_some_and(|to| rerun.at() >= to) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The place of the last segment that begins before an entry was decided.
fn segment_before(
    recording: &mut Recording,
    segments: &[u64],
    seq: Seq,
) -> Result<usize, ReplayError> {
    for (place, number) in segments.iter().enumerate().rev() {
        let Some(mut segment) = recording.segment(*number)? else { continue };
        if let Some(Found::Frame(Frame::Mark(mark))) = segment.next()
            && mark.follows < seq
        {
            return Ok(place);
        }
    }
    Ok(0)
}

/// The journal, page by page.
struct Pages<'r> {
    reader: &'r Reader,
    kept: Vec<String>,
    /// Place of the first of them.
    first: Seq,
}

impl Pages<'_> {
    fn text(&mut self, seq: Seq) -> Result<Option<String>, JournalError> {
        let place = |first: Seq| usize::try_from(seq.checked_sub(first)?).ok();
        if let Some(text) = place(self.first).and_then(|place| self.kept.get(place)) {
            return Ok(Some(text.clone()));
        }
        let Some(before) = seq.checked_sub(1) else { return Ok(None) };
        let page = self.reader.read_after(before, PAGE)?;
        self.first = seq;
        self.kept = page.into_iter().map(|stored| stored.text).collect();
        Ok(self.kept.first().cloned())
    }
}
