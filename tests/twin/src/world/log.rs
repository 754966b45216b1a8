//! Log records and their positions.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::Side;

/// A position in the log: `numeric(25,0)`, made of virtual log file, block and slot.
///
/// Two positions compare as integers (mi-link 3.6). Text is without zero padding, as ARM gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lsn(pub u128);

/// One block of log: a commit of an application, or the engine's own doing.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) lsn: Lsn,
    pub(crate) bytes: u32,
    pub(crate) at: Timestamp,
    pub(crate) side: Side,
    pub(crate) kind: RecordKind,
    /// Whose commit it is.
    pub(crate) by: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// A commit, and whether the application got to know of it.
    Commit { acknowledged: bool },
    /// A checkpoint, a role change and the like: moves the end of the log, holds no data.
    Background,
}

/// Sectors in a virtual log file; the first sectors hold its header.
const FILE_SECTORS: u64 = 131_072;
const FIRST_SECTOR: u64 = 16;
pub(crate) const SECTOR_BYTES: u64 = 512;

impl Lsn {
    /// Puts a position together.
    #[must_use]
    pub fn new(file: u64, block: u64, slot: u64) -> Lsn {
        let (file, block, slot) = (u128::from(file), u128::from(block), u128::from(slot));
        Lsn(file * 1_000_000_000_000_000 + block * 100_000 + slot)
    }

    /// The file, the block and the slot that it is made of.
    #[must_use]
    pub fn parts(self) -> (u64, u64, u64) {
        let part = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        (
            part(self.0 / 1_000_000_000_000_000),
            part(self.0 / 100_000 % 10_000_000_000),
            part(self.0 % 100_000),
        )
    }

    /// The block that this position lies in, as the columns show it that hold block ids (all but
    /// `last_redone_lsn` and `last_commit_lsn`, mi-link 3.6).
    #[must_use]
    pub fn block(self) -> Lsn {
        Lsn(self.0 / 100_000 * 100_000 + 1)
    }

    /// Bytes of log before this position, headers of its files included.
    #[must_use]
    pub fn bytes(self) -> u64 {
        let file = u64::try_from(self.0 / 1_000_000_000_000_000).unwrap_or(0);
        let sector = u64::try_from(self.0 / 100_000 % 10_000_000_000).unwrap_or(0);
        (file * FILE_SECTORS + sector).saturating_mul(SECTOR_BYTES)
    }

    /// The first position of a new database's history.
    pub(crate) fn first() -> Lsn {
        Lsn::new(42, FIRST_SECTOR, 1)
    }

    /// Where the block after one of `bytes` at this position begins.
    pub(crate) fn after(self, bytes: u32) -> Lsn {
        let file = u64::try_from(self.0 / 1_000_000_000_000_000).unwrap_or(u64::MAX);
        let block = u64::try_from(self.0 / 100_000 % 10_000_000_000).unwrap_or(u64::MAX);
        let next = block + u64::from(bytes).div_ceil(SECTOR_BYTES).max(1);
        if next < FILE_SECTORS {
            Lsn::new(file, next, 1)
        } else {
            Lsn::new(file + 1, FIRST_SECTOR, 1)
        }
    }

    /// The commit record in the block at this position.
    pub(crate) fn commit_slot(self) -> Lsn {
        Lsn(self.block().0 + 2)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Record {
    /// The LSN after this block.
    pub(crate) fn end(&self) -> Lsn {
        self.lsn.after(self.bytes)
    }

    pub(crate) fn is_commit(&self) -> bool {
        matches!(self.kind, RecordKind::Commit { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_as_on_a_real_instance() {
        let lsn = Lsn::new(42, 3_704, 1);
        assert_eq!(lsn.to_string(), "42000000370400001");
        assert_eq!(lsn.after(4_000).to_string(), "42000000371200001");
        assert_eq!(lsn.commit_slot().to_string(), "42000000370400003");
        assert_eq!(lsn.commit_slot().block(), lsn);
    }

    #[test]
    fn the_next_file_follows_a_full_one() {
        let last = Lsn::new(42, FILE_SECTORS - 1, 1);
        assert_eq!(last.after(1), Lsn::new(43, FIRST_SECTOR, 1));
        assert!(last < last.after(1));
    }
}
