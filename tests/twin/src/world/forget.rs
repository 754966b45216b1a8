//! Old log is forgotten, so that a world that lives for long does not grow for ever.
//!
//! Only what nobody can ask for again goes: records that both sides have and have redone, before the
//! last commit, and those that were undone on both. What they mean for the truth is kept as numbers.

use jiff::Timestamp;

use super::{Copy, Link, OperationId, Side, World, log::RecordKind, movement::Movement};

/// What was forgotten of a database.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Forgotten {
    /// Records.
    pub(crate) records: usize,
    /// Commits among them that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Those of them that lived nowhere any more.
    pub(crate) lost: u64,
    /// When the first and the last of the lost ones were made.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
    /// With so many records it is worth looking again.
    look_at: usize,
}

/// Fewer records are never worth it.
const LEAST: usize = 1_000;
/// So many operations that have ended are remembered.
const OPERATIONS_KEPT: usize = 10_000;

impl World {
    /// Forgets what has ended long ago.
    pub(super) fn forget_operations(&mut self) {
        if self.operations.len() < OPERATIONS_KEPT + OPERATIONS_KEPT / 8 {
            return;
        }
        let most = self.operations.len() - OPERATIONS_KEPT;
        let ended = self.operations.iter().filter(|(_, one)| !one.is_running());
        let old: Vec<OperationId> = ended.map(|(id, _)| *id).take(most).collect();
        for id in old {
            self.operations.remove(&id);
        }
    }
}

impl Link {
    /// Forgets what it can of databases that have more records than are to be kept.
    pub(super) fn forget(&mut self) {
        let most = usize::try_from(self.log.records_kept).unwrap_or(usize::MAX).max(LEAST);
        let sides = [Side::SqlServer, Side::ManagedInstance];
        // Several replicas, and links that have ended, remember places in the log of their own.
        let plain = self.members.iter().all(|member| member.local.is_none())
            && sides.into_iter().all(|side| !self.left_by(side) && !self.gone_from(side));
        let quiet = plain && self.pending.is_empty() && self.running.is_none();
        let Some(primary) = self.only_primary().filter(|_| quiet) else { return };
        for place in 0..self.databases.len() {
            let database = &mut self.databases[place];
            if database.records.len() < most.max(database.forgotten.look_at) {
                continue;
            }
            database.forgotten.look_at = database.records.len() + most / 8;
            let upto = self.not_needed(primary, place).saturating_sub(most / 2);
            if upto >= most / 4 {
                self.forget_upto(place, upto);
                self.databases[place].forgotten.look_at = 0;
            }
        }
    }

    /// How many records at the beginning of both logs nobody asks for.
    fn not_needed(&self, primary: Side, place: usize) -> usize {
        let source = &self.member(primary).copies[place];
        let target = &self.member(primary.other()).copies[place];
        let Some(heard) = source.heard.filter(|_| target.movement == Movement::Flowing) else {
            return 0;
        };
        let alike = source.log.iter().zip(&target.log).take_while(|(here, there)| here == there);
        let known = heard.redone.min(heard.hardened).min(target.redone).min(source.redone);
        let common = alike.count().min(known).min(source.sent).min(source.held);
        // The last commit is told, however long ago it was.
        let records = &self.databases[place].records;
        let commit = |id: &u32| records.get(*id as usize).is_some_and(|it| it.is_commit());
        let log = source.log.get(..common).unwrap_or_default();
        log.iter().rposition(commit).unwrap_or(common)
    }

    fn forget_upto(&mut self, place: usize, upto: usize) {
        let log = &self.members[0].copies[place].log;
        let Some(first) = log.get(upto).copied() else { return };
        let gone = log[..upto].to_vec();
        let database = &mut self.databases[place];
        let mut lived = gone.iter().peekable();
        for (id, record) in (0..first).zip(database.records.drain(..first as usize)) {
            let alive = lived.next_if(|next| **next == id).is_some();
            database.forgotten.note(alive, record.kind, record.at);
        }
        database.history.rebase(&gone, first);
        for member in &mut self.members {
            member.copies[place].rebase(upto, first);
        }
        let flying = self.wire.flight.iter_mut().filter(|message| message.database == place);
        flying.for_each(|message| message.upto -= upto);
    }
}

impl Forgotten {
    fn note(&mut self, alive: bool, kind: RecordKind, at: Timestamp) {
        self.records += 1;
        match kind {
            RecordKind::Commit { acknowledged: true } => {}
            RecordKind::Commit { acknowledged: false } | RecordKind::Background => return,
        }
        self.acknowledged += 1;
        if !alive {
            self.lost += 1;
            let (first, last) = self.span.unwrap_or((at, at));
            self.span = Some((first.min(at), last.max(at)));
        }
    }
}

impl Copy {
    /// `upto` records of its log are gone, the next one of which had the number `first`.
    fn rebase(&mut self, upto: usize, first: u32) {
        self.log.drain(..upto);
        self.log.iter_mut().for_each(|id| *id -= first);
        self.redone -= upto;
        self.redo.iter_mut().for_each(|(_, to)| *to -= upto);
        // Of a secondary these are from when it was primary last, and mean nothing.
        self.sent = self.sent.saturating_sub(upto).max(1);
        self.held = self.held.saturating_sub(upto).max(1);
        if let Some(heard) = &mut self.heard {
            heard.hardened = heard.hardened.saturating_sub(upto).max(1);
            heard.redone = heard.redone.saturating_sub(upto).max(1);
        }
    }
}
