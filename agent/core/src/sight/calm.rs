//! Whether something has stayed still for long enough. Pure: one sample after the other, each with
//! the server's own time.

use core::time::Duration;

use jiff::Timestamp;

use crate::{names::Lsn, plan::Quiet};

const KB: u64 = 1024;
/// Log is written in sectors, in which blocks are counted.
const SECTOR_BYTES: u128 = 512;
/// Of an LSN's decimal digits the last five are the slot, the ten before them the block.
const SLOTS: u128 = 100_000;
const BLOCKS: u128 = 10_000_000_000;

/// For how long it has been still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calm {
    /// For as long as it takes.
    Kept,
    /// For this long so far.
    Since(Duration),
}

/// Since when a database has been quiet, within one try of a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stillness {
    since: Option<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ms: i64,
    bytes: i64,
}

impl Stillness {
    /// Somebody is at work, or nobody can say.
    pub(super) fn broken(&mut self) {
        self.since = None;
    }

    /// Nobody is seen at work at `at_ms` of the server's clock, and so many bytes of log have been
    /// written since the server started.
    pub(super) fn seen(&mut self, at_ms: i64, bytes: i64, quiet: Quiet) -> Calm {
        let now = Sample { at_ms, bytes };
        let since = self.since.filter(|since| {
            // A clock or a sum that goes back has begun anew.
            let written = u64::try_from(bytes.saturating_sub(since.bytes));
            at_ms >= since.at_ms && written.is_ok_and(|written| written <= allowed(quiet))
        });
        let since = *self.since.insert(since.unwrap_or(now));
        calm(u64::try_from(at_ms.saturating_sub(since.at_ms)).unwrap_or_default(), quiet)
    }
}

/// Since when the end of a log has not moved by more than a server moves it itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steadiness {
    since: Option<(Timestamp, Lsn)>,
}

impl Steadiness {
    pub(super) fn broken(&mut self) {
        self.since = None;
    }

    pub(super) fn seen(&mut self, at: Timestamp, end: Lsn, quiet: Quiet) -> Calm {
        let near = |from: Lsn| distance(from, end).is_some_and(|bytes| bytes <= allowed(quiet));
        let since = self.since.filter(|(since, from)| at >= *since && near(*from));
        let (since, _) = *self.since.insert(since.unwrap_or((at, end)));
        let ms = at.duration_since(since).as_millis();
        calm(u64::try_from(ms).unwrap_or_default(), quiet)
    }
}

/// Bytes of log between two positions; None where it can't be told: in different files of the log,
/// or backwards.
fn distance(from: Lsn, to: Lsn) -> Option<u64> {
    let (from, to) = (from.0, to.0);
    let file = |lsn: u128| lsn / (SLOTS * BLOCKS);
    let block = |lsn: u128| lsn / SLOTS % BLOCKS;
    if to < from || file(from) != file(to) {
        return None;
    }
    u64::try_from((block(to) - block(from)) * SECTOR_BYTES).ok()
}

fn calm(elapsed_ms: u64, quiet: Quiet) -> Calm {
    if elapsed_ms >= quiet.for_ms {
        return Calm::Kept;
    }
    Calm::Since(Duration::from_millis(elapsed_ms))
}

fn allowed(quiet: Quiet) -> u64 {
    quiet.log_kb.saturating_mul(KB)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Quiet = Quiet { for_ms: 5_000, log_kb: 64 };

    fn since(ms: u64) -> Calm {
        Calm::Since(Duration::from_millis(ms))
    }

    #[test]
    fn quiet_is_kept_from_sample_to_sample() {
        let mut still = Stillness::default();
        assert_eq!(still.seen(1_000, 700, QUIET), since(0));
        assert_eq!(still.seen(5_999, 700 + 65_536, QUIET), since(4_999));
        assert_eq!(still.seen(6_000, 700 + 65_536, QUIET), Calm::Kept);
        still.broken();
        assert_eq!(still.seen(6_001, 0, QUIET), since(0), "whoever was there begins it anew");
    }

    #[test]
    fn too_much_log_begins_it_anew() {
        let mut still = Stillness::default();
        still.seen(0, 0, QUIET);
        assert_eq!(still.seen(9_000, 65_537, QUIET), since(0));
        assert_eq!(still.seen(14_000, 65_537, QUIET), Calm::Kept);
        // A restarted server counts from the beginning, by a clock that does too.
        assert_eq!(still.seen(15_000, 3, QUIET), since(0));
        assert_eq!(still.seen(20, 3, QUIET), since(0));
    }

    #[test]
    fn the_end_of_a_log_is_measured_in_sectors_of_one_file() {
        let at = |block: u128| Lsn(39 * SLOTS * BLOCKS + block * SLOTS + 1);
        assert_eq!(distance(at(576), at(576)), Some(0));
        assert_eq!(distance(at(576), at(704)), Some(65_536));
        assert_eq!(distance(at(576), at(575)), None);
        let next_file = Lsn(40 * SLOTS * BLOCKS + 8 * SLOTS + 1);
        assert_eq!(distance(at(576), next_file), None);
        let time = |second| Timestamp::from_second(second).expect("in range");
        let mut steady = Steadiness::default();
        assert_eq!(steady.seen(time(0), at(576), QUIET), since(0));
        assert_eq!(steady.seen(time(4), at(704), QUIET), since(4_000));
        assert_eq!(steady.seen(time(5), at(704), QUIET), Calm::Kept);
        assert_eq!(steady.seen(time(9), at(705), QUIET), since(0), "one sector too many");
        assert_eq!(steady.seen(time(3), at(705), QUIET), since(0), "the clock was set back");
        assert_eq!(steady.seen(time(60), next_file, QUIET), since(0), "a new file of the log");
    }
}
