//! Applications that commit.

use jiff::{SignedDuration, Timestamp};

use super::{
    Party, WorkloadSpec,
    clients::{Slot, transaction},
};

/// An application that commits where its connection string points.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// The link whose database it writes to.
    pub link: String,
    /// The database, as a place in the link's list.
    pub(super) database: usize,
    pub(super) party: Party,
    pub(super) target: String,
    pub(super) bytes: u32,
    pub(super) every: Option<SignedDuration>,
    pub(super) next: Timestamp,
    /// When its path is free again, if that is throttled.
    pub(super) carried: Timestamp,
    pub(super) acknowledged: u64,
    pub(super) refused: u64,
    pub(super) last_commit: Option<Timestamp>,
    pub(super) last_refusal: Option<Timestamp>,
    pub(super) running: bool,
    pub(super) program: String,
    pub(super) host: String,
    pub(super) in_master: u16,
    pub(super) transaction: SignedDuration,
    pub(super) first_session: u16,
    pub(super) slots: Vec<Slot>,
    /// The session that commits next.
    pub(super) turn: usize,
}

impl Workload {
    pub(super) fn new(
        spec: &WorkloadSpec,
        database: usize,
        first_session: u16,
        start: Timestamp,
        rng: &mut fastrand::Rng,
    ) -> Workload {
        let every = interval(spec.commits_per_s);
        let first = every.map_or(SignedDuration::ZERO, |every| every.mul_f64(rng.f64()));
        let slot = Slot { at: Some(spec.target.as_str().into()), since: start, last: None };
        Workload {
            name: spec.name.clone(),
            link: spec.link.clone(),
            database,
            party: Party::Application(spec.name.clone()),
            target: spec.target.clone(),
            bytes: spec.bytes,
            every,
            next: start + first,
            carried: start,
            acknowledged: 0,
            refused: 0,
            last_commit: None,
            last_refusal: None,
            running: true,
            program: spec.program.clone().unwrap_or_else(|| spec.name.clone()),
            host: format!("APP-{}", spec.name.to_uppercase()),
            in_master: spec.sessions_in_master,
            transaction: transaction(spec.transaction_ms),
            first_session,
            slots: vec![slot; usize::from(spec.sessions)],
            turn: 0,
        }
    }

    /// It has been told that a commit is made.
    pub(super) fn acknowledge(&mut self, now: Timestamp) {
        self.acknowledged += 1;
        self.last_commit = Some(now);
    }

    /// It has been refused, or does not know.
    pub(super) fn refuse(&mut self, now: Timestamp) {
        self.refused += 1;
        self.last_refusal = Some(now);
    }

    /// When it commits next, if it does.
    pub(super) fn due(&self) -> Option<Timestamp> {
        (self.running && self.every.is_some()).then_some(self.next)
    }

    pub(super) fn set_running(&mut self, running: bool, now: Timestamp) {
        if self.running && !running {
            self.slots.iter_mut().for_each(|slot| slot.at = None);
        }
        self.running = running;
        self.next = self.next.max(now);
    }

    /// Whether it runs; a stopped one has no sessions.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// The instance that its connection string names.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Commits that it was told of.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Attempts that failed.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// When its last acknowledged commit was.
    #[must_use]
    pub fn last_commit(&self) -> Option<Timestamp> {
        self.last_commit
    }

    /// When its last failure was.
    #[must_use]
    pub fn last_refusal(&self) -> Option<Timestamp> {
        self.last_refusal
    }
}

/// The time between two commits; none at a rate of zero.
pub(super) fn interval(commits_per_s: f64) -> Option<SignedDuration> {
    (commits_per_s > 0.0).then(|| SignedDuration::from_secs_f64(1.0 / commits_per_s))
}
