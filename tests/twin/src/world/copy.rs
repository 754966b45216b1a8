//! A side's copy of a database, and what a primary knows of the other one.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::{
    DatabaseState, Instance, LogSpec, Lsn, Role, SuspendReason, SyncState, movement::Movement,
    room::Room,
};

/// A database on one side.
#[derive(Clone, Debug)]
pub struct Copy {
    /// `database_id` on its instance.
    pub database_id: u32,
    pub(super) state: DatabaseState,
    pub(super) suspended: Option<SuspendReason>,
    /// Records that are on this side's disk, in order.
    pub(super) log: Vec<u32>,
    /// How many of them are redone.
    pub(super) redone: usize,
    /// Redo that is under way: when it is done, up to which record.
    pub(super) redo: VecDeque<(Timestamp, usize)>,
    pub(super) redo_free: Timestamp,
    pub(super) movement: Movement,
    /// The fork of the database's history that it knows of.
    pub(super) fork: u32,
    /// As primary: how many records were sent.
    pub(super) sent: usize,
    pub(super) sent_at: Option<Timestamp>,
    pub(super) received_at: Option<Timestamp>,
    pub(super) hardened_at: Option<Timestamp>,
    pub(super) redone_at: Option<Timestamp>,
    pub(super) last_background: Timestamp,
    /// As primary: what it last heard of the other copy.
    pub(super) heard: Option<Heard>,
    /// As primary: how many records the other copy is known to have; those after them are kept for
    /// it, whether or not anything was heard of it since the last change of roles.
    pub(super) held: usize,
    /// As primary in synchronous commit: whether the other copy keeps up, so that commits wait
    /// for it. As secondary: what the primary last said of that.
    pub(super) synchronized: bool,
    /// As secondary: whether the primary's database is open, as it last said.
    pub(super) fed: bool,
    /// Dropped, or taken over by another link: the instance has it no more as part of this one.
    pub(super) gone: bool,
    /// As primary: commits that have waited for the other copy.
    pub(super) mirrored: Mirrored,
    pub(super) flushed: Flushed,
    pub(super) moved: Moved,
    /// On a managed instance: nothing is to be backed up of itself before that.
    pub(super) next_backup: Timestamp,
    pub(super) room: Room,
}

/// Log that this side has written as primary, since its process began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flushed {
    pub(crate) flushes: u64,
    pub(crate) commits: u64,
    pub(crate) bytes: u64,
}

/// Log that has come to this side or gone from it, since its process began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    pub(crate) received: u64,
    pub(crate) redone: u64,
    pub(crate) sent: u64,
    pub(crate) sends: u64,
}

/// Commits that have waited for the other side, since the beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mirrored {
    pub(crate) commits: u64,
    pub(crate) waited_ms: u64,
}

/// What a primary knows of the other copy: what it was at the time at which it last said so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) role: Role,
    pub(crate) state: SyncState,
    pub(crate) suspended: Option<SuspendReason>,
    /// Whether it cannot be opened.
    pub(crate) shut: bool,
    pub(crate) hardened: usize,
    pub(crate) redone: usize,
    pub(crate) hardened_at: Timestamp,
    pub(crate) redone_at: Timestamp,
}

impl Heard {
    /// The first word of a secondary that follows.
    pub(super) fn at(hardened: usize, redone: usize, now: Timestamp) -> Heard {
        Heard {
            role: Role::Secondary,
            state: SyncState::Synchronizing,
            suspended: None,
            shut: false,
            hardened,
            redone,
            hardened_at: now,
            redone_at: now,
        }
    }
}

impl Mirrored {
    pub(super) fn note(&mut self, waited: SignedDuration) {
        self.commits += 1;
        self.waited_ms += u64::try_from(waited.as_millis()).unwrap_or(0);
    }
}

impl Copy {
    pub(super) fn seeded(instance: Option<&mut Instance>, log: &LogSpec, start: Timestamp) -> Copy {
        let database_id = instance.map_or(5, |instance| {
            instance.next_database_id += 1;
            instance.next_database_id - 1
        });
        Copy {
            database_id,
            state: DatabaseState::Online,
            suspended: None,
            log: vec![0],
            redone: 1,
            redo: VecDeque::new(),
            redo_free: start,
            movement: Movement::Flowing,
            fork: 0,
            sent: 1,
            sent_at: Some(start),
            received_at: Some(start),
            hardened_at: Some(start),
            redone_at: Some(start),
            last_background: start,
            heard: Some(Heard::at(1, 1, start)),
            held: 1,
            synchronized: false,
            fed: true,
            gone: false,
            mirrored: Mirrored::default(),
            flushed: Flushed::default(),
            moved: Moved::default(),
            next_backup: start,
            room: Room { bytes: u64::from(log.file_mb) << 20, from: Lsn::first(), wait: "NOTHING" },
        }
    }

    /// `state` as the engine keeps it.
    #[must_use]
    pub fn state(&self) -> DatabaseState {
        self.state
    }

    /// Why data movement is suspended, if it is.
    #[must_use]
    pub fn suspended(&self) -> Option<SuspendReason> {
        self.suspended
    }
}
