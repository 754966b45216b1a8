//! How much room the log has: what can be truncated, growth, and log full.
//!
//! A primary keeps what the other side has not hardened and what is in no backup of the log
//! (mi-link 7, 10): without the link it fills, and then nobody commits.

use jiff::Timestamp;

use super::{
    Instance, Link, Lsn, Side, SqlError, Volume,
    log::{Record, SECTOR_BYTES},
    progress::truncation,
};

/// The log's files and what they have to keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Bytes of the files.
    pub(crate) bytes: u64,
    /// What was written from here on cannot be truncated.
    pub(crate) from: Lsn,
    /// `log_reuse_wait_desc`
    pub(crate) wait: &'static str,
}

/// Below so much of the file nobody asks what could be truncated.
const SMALL: u64 = 16;
/// A block of the log holds at most 60 KB.
const LARGEST_BLOCK: u64 = 60 << 10;
/// A virtual log file: the log is truncated by them.
const VIRTUAL_FILE: u64 = 64 << 20;

impl Link {
    /// Finds out what the log of a side's copies has to keep.
    pub(super) fn truncate(&mut self, side: Side, instance: &Instance, now: Timestamp) {
        for place in 0..self.databases.len() {
            let copy = &self.member(side).copies[place];
            if self.used(side, place) < copy.room.bytes / SMALL {
                continue;
            }
            let name = self.databases[place].name.as_str();
            let simple = instance.setup().database(name).simple;
            let saved = instance.log_saved(name, now);
            let sent = truncation(self, side, place, copy);
            let saved = if simple { sent } else { saved };
            let (from, cause) =
                if sent <= saved { (sent, "AVAILABILITY_REPLICA") } else { (saved, "LOG_BACKUP") };
            let room = Room { from: from.max(copy.room.from), ..copy.room };
            self.member_mut(side).copies[place].room = room;
            let kept = self.used(side, place);
            let wait = if kept > VIRTUAL_FILE { cause } else { "NOTHING" };
            self.member_mut(side).copies[place].room.wait = wait;
        }
    }

    /// Whether the log has room for another whole block, so that any commit gets through.
    pub(super) fn has_log_room(&self, side: Side, place: usize, instance: &Instance) -> bool {
        let room = self.member(side).copies[place].room;
        let grows = self.log.growth_mb > 0 && !instance.full.contains(&Volume::Log);
        let largest = u64::from(self.log.max_mb) << 20;
        let most = if grows { room.bytes.max(largest) } else { room.bytes };
        self.used(side, place) + LARGEST_BLOCK <= most
    }

    /// Makes room for a record, growing the files if they may.
    ///
    /// # Errors
    /// 9002: the log is full.
    pub(super) fn make_room(
        &mut self,
        side: Side,
        place: usize,
        bytes: u32,
        instance: &Instance,
    ) -> Result<(), SqlError> {
        let wanted = self.used(side, place) + u64::from(bytes).next_multiple_of(SECTOR_BYTES);
        let most = u64::from(self.log.max_mb) << 20;
        let stuck = instance.full.contains(&Volume::Log);
        let growth = if stuck { 0 } else { u64::from(self.log.growth_mb) << 20 };
        let name = &self.databases[place].name;
        let room = &mut self.members[side.index()].copies[place].room;
        while room.bytes < wanted && growth > 0 && room.bytes < most {
            room.bytes = (room.bytes + growth).min(most);
        }
        if wanted <= room.bytes {
            return Ok(());
        }
        let text =
            format!("The transaction log for database '{name}' is full due to '{}'.", room.wait);
        Err(SqlError { class: 17, state: 2, ..SqlError::new(9_002, &text) })
    }

    /// Bytes of a copy's log that cannot be truncated, as far as somebody has asked.
    fn used(&self, side: Side, place: usize) -> u64 {
        let copy = &self.member(side).copies[place];
        let end = self.last_record(side, place, copy.log.len());
        let end = end.map_or_else(Lsn::first, Record::end);
        end.bytes().saturating_sub(copy.room.from.bytes())
    }
}
