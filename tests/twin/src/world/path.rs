//! What carries log from one instance to another: the links and the seedings of a pair share it, and
//! each gets its turn.
//!
//! Source: mi-link 10 (parallel links and seedings share the bandwidth). How much the path carries in
//! all is what its fastest link could have alone, or what it is throttled to.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::{Side, World, replication::transfer};

/// The paths that more than one link or seeding uses, by sender and receiver.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths(BTreeMap<(String, String), Path>);

#[derive(Clone, Debug)]
pub(super) struct Path {
    kb_s: u32,
    free: Timestamp,
    /// Links that have log to send, and whose turn it is first.
    queue: VecDeque<String>,
}

/// So far ahead log is put on a path that others wait for.
const AHEAD: SignedDuration = SignedDuration::from_millis(50);
/// Whoever does not take its turn for so long has lost it.
const TURN: SignedDuration = SignedDuration::from_secs(2);
const AGAIN: SignedDuration = SignedDuration::from_millis(1);

impl Paths {
    /// The path from one instance to another, if it is shared.
    pub(super) fn between(&mut self, from: &str, to: &str) -> Option<&mut Path> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get_mut(&(from.to_owned(), to.to_owned()))
    }
}

impl Path {
    /// When a link has to ask again; none where it is its turn now.
    pub(super) fn wait(&mut self, link: &str, now: Timestamp) -> Option<Timestamp> {
        if self.free + TURN < now && self.queue.front().is_some_and(|first| first != link) {
            self.queue.pop_front();
        }
        let first = self.queue.front().is_none_or(|first| first == link);
        if first && self.free <= now + AHEAD {
            self.queue.pop_front();
            return None;
        }
        if !self.queue.iter().any(|other| other == link) {
            self.queue.push_back(link.to_owned());
        }
        Some((self.free - AHEAD).max(now + AGAIN))
    }

    /// A link has nothing to send.
    pub(super) fn leave(&mut self, link: &str) {
        self.queue.retain(|other| other != link);
    }

    /// Puts log on the path; when it is through.
    pub(super) fn carry(&mut self, bytes: u64, most_kb_s: u32, now: Timestamp) -> Timestamp {
        self.free = self.free.max(now) + transfer(bytes, self.kb_s.min(most_kb_s));
        self.free
    }

    /// The part of a second's seeding that the others leave, in KB.
    fn seed(&mut self, kb: u64, most_kb_s: u32, now: Timestamp) -> u64 {
        let rate = u64::from(self.kb_s.min(most_kb_s));
        let busy = self.free.duration_since(now).as_millis().clamp(0, 1_000);
        let room = rate * u64::try_from(1_000 - busy).unwrap_or(0) / 1_000;
        let part = kb.min(room) / (self.queue.len() as u64 + 1);
        self.carry(part << 10, most_kb_s, now);
        part
    }
}

impl World {
    /// Finds out which paths are shared now.
    pub(super) fn find_paths(&mut self) {
        let mut users: BTreeMap<(&str, &str), (usize, u32)> = BTreeMap::new();
        let mut note = |from, to, kb_s: u32| {
            let found = users.entry((from, to)).or_default();
            *found = (found.0 + 1, found.1.max(kb_s));
        };
        for link in self.links.values() {
            let ends = [Side::SqlServer, Side::ManagedInstance];
            if ends.into_iter().any(|side| link.left_by(side)) {
                continue;
            }
            let [sql, managed] = ends.map(|side| link.member(side).instance.as_str());
            note(sql, managed, link.log.bandwidth_kb_s);
            note(managed, sql, link.log.bandwidth_kb_s);
        }
        for (from, to, kb_s) in self.azure.seedings() {
            note(from, to, kb_s);
        }
        for (from, to, kb_s) in self.joinings.iter().filter_map(|it| it.path(&self.links)) {
            note(from, to, kb_s);
        }
        users.retain(|_, found| found.0 > 1);
        let mut found = BTreeMap::new();
        for ((from, to), (_, kb_s)) in users {
            let key = (from.to_owned(), to.to_owned());
            let old = self.paths.0.remove(&key);
            let (free, queue) =
                old.map_or_else(|| (self.now, VecDeque::new()), |old| (old.free, old.queue));
            found.insert(key, Path { kb_s, free, queue });
        }
        self.paths = Paths(found);
    }

    /// How much is seeded from one instance to another in a second, in KB.
    pub(super) fn seed_for_a_second(&mut self, from: &str, to: &str, kb_s: u32) -> u64 {
        let most = self.faults.throttle(from, to).unwrap_or(u32::MAX);
        let own = u64::from(kb_s.min(most));
        match self.paths.between(from, to) {
            Some(path) => path.seed(own, most, self.now),
            None => own,
        }
    }
}
