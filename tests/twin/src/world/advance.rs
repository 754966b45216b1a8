//! Time passes: whatever is due happens in the order of time, never in the order of asking.
//!
//! Only what is due is looked at: of many links those that beat, that get log or that an
//! application commits to. What concerns several of them (role changes, Azure, the end of a
//! recovery) looks at all.

use std::{cmp::Reverse, collections::BinaryHeap};

use jiff::Timestamp;

use super::{
    Link, Side, Workload, World, Writers,
    commit::{attempt, takes_writes},
    replication,
};

/// What comes next of links, for as long as nobody else changes the world. An entry whose time is not
/// that of its link any more is passed over.
struct Agenda {
    /// All names, in order.
    links: Vec<String>,
    due: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

impl World {
    /// Lets everything happen up to `to`; an earlier time changes nothing.
    pub fn advance(&mut self, to: Timestamp) {
        let mut agenda = None;
        if self.next_event().is_some_and(|next| next <= to) {
            agenda = Some(self.agenda());
        }
        while let Some(coming) = &mut agenda {
            let shared = self.next_shared();
            let commit = self.workloads.values().filter_map(Workload::due).min();
            let next = [shared, coming.next(self), commit].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= to) else { break };
            let next = self.now.max(next);
            if shared.is_some_and(|at| at <= next) {
                self.happen(next, &coming.links);
                self.note_writers();
                agenda = Some(self.agenda());
                continue;
            }
            let concerned = coming.take(self, next);
            self.happen(next, &concerned);
            self.note_writers_of(&concerned);
            coming.note(self, &concerned);
        }
        self.now = self.now.max(to);
        self.faults.moment = self.now.as_millisecond().unsigned_abs();
        for link in self.links.values_mut() {
            replication::settle_redo(link, &self.instances, self.now);
        }
    }

    /// When something happens next of itself; there is always a next time if there is a link.
    #[must_use]
    pub fn next_event(&self) -> Option<Timestamp> {
        let commits = self.workloads.values().filter_map(Workload::due);
        let links = self.links.values().filter_map(|link| link.due(self.now));
        commits.chain(links).chain(self.next_shared()).min()
    }

    /// Brings the ledger's account of who could take writes up to date.
    pub(super) fn note_writers(&mut self) {
        let names: Vec<String> = self.links.keys().cloned().collect();
        self.note_writers_of(&names);
    }

    fn note_writers_of(&mut self, names: &[String]) {
        for link in names.iter().filter_map(|name| self.links.get(name)) {
            let takes = |side, place| takes_writes(link, side, place, &self.instances, self.now);
            let of = |place| Writers {
                sql_server: takes(Side::SqlServer, place),
                managed_instance: takes(Side::ManagedInstance, place),
            };
            let each: Vec<Writers> = (0..link.databases.len()).map(of).collect();
            self.ledger.note_writers(&link.name, self.now, &each);
        }
    }

    /// When something happens next that may concern any link.
    fn next_shared(&self) -> Option<Timestamp> {
        let steps = self.active.iter().filter_map(|id| {
            let operation = self.operations.get(id)?;
            let frozen = self.instances.get(&operation.runs_on)?.frozen_since.is_some();
            operation.next.filter(|_| !frozen)
        });
        let recoveries = self.instances.values().map(|i| i.recovered).filter(|at| *at > self.now);
        steps.chain(self.next_azure()).chain(recoveries).chain(self.next_scheduled()).min()
    }

    fn agenda(&self) -> Agenda {
        let links: Vec<String> = self.links.keys().cloned().collect();
        let due = self.links.values().map(|link| link.due(self.now)).enumerate();
        let due = due.filter_map(|(place, at)| Some(Reverse((at?, place)))).collect();
        Agenda { links, due }
    }

    /// All that happens at a moment, to these links.
    fn happen(&mut self, now: Timestamp, names: &[String]) {
        self.now = now;
        self.faults.moment = now.as_millisecond().unsigned_abs();
        self.do_scheduled();
        self.tend_local_groups(names);
        for name in names {
            let Some(link) = self.links.get_mut(name) else { continue };
            replication::settle_redo(link, &self.instances, now);
            replication::arrive(link, &self.instances, &self.faults, now);
        }
        self.step_operations();
        self.step_azure();
        for workload in self.workloads.values_mut() {
            let due = workload.due().is_some_and(|next| next <= now);
            let Some(every) = workload.every.filter(|_| due) else { continue };
            workload.next = now + every.mul_f64(0.5 + self.rng.f64());
            let Some(link) = self.links.get_mut(&workload.link) else { continue };
            attempt(workload, link, &self.instances, &self.faults, now);
        }
        let mut beating = Vec::new();
        for name in names {
            let Some(link) = self.links.get_mut(name) else { continue };
            if link.next_pulse <= now {
                replication::pulse(link, &mut self.instances, &self.faults, now);
                beating.extend(link.instances());
            }
            replication::pump(link, &self.instances, &self.faults, now);
        }
        self.run_jobs(&beating);
        self.settle_pending_of(names);
    }
}

impl Link {
    /// When it beats, gets log, has settled on a replica or written a commit to a slow disk.
    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let arrives = self.wire.flight.front().map(|message| message.arrives);
        let settles = self.member(Side::SqlServer).local().and_then(|local| local.settles(now));
        let commits = self.next_commit(now);
        [Some(self.next_pulse), arrives, settles, commits].into_iter().flatten().min()
    }

    /// The instances that have to do with it.
    fn instances(&self) -> impl Iterator<Item = String> {
        let local = self.member(Side::SqlServer).local().into_iter();
        let replicas = local.flat_map(|local| local.replicas()).map(|one| one.instance.clone());
        let members = self.members.iter().map(|member| member.instance.clone());
        members.chain(replicas)
    }
}

impl Agenda {
    /// When something happens next to a link.
    fn next(&mut self, world: &World) -> Option<Timestamp> {
        while let Some(Reverse((at, place))) = self.due.peek().copied() {
            if self.stands(world, at, place) {
                return Some(at);
            }
            self.due.pop();
        }
        None
    }

    /// The links for which something is due by then, or to which an application commits; the world
    /// is still at the time before.
    fn take(&mut self, world: &World, upto: Timestamp) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(Reverse((at, place))) = self.due.peek().copied().filter(|it| it.0.0 <= upto)
        {
            self.due.pop();
            if self.stands(world, at, place) {
                names.push(self.links[place].clone());
            }
        }
        let commits = world.workloads.values().filter(|it| it.due().is_some_and(|at| at <= upto));
        names.extend(commits.map(|workload| workload.link.clone()));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// When something happens next to links that have been looked at.
    fn note(&mut self, world: &World, names: &[String]) {
        for name in names {
            let due = world.links.get(name).and_then(|link| link.due(world.now));
            if let (Some(at), Ok(place)) = (due, self.links.binary_search(name)) {
                self.due.push(Reverse((at, place)));
            }
        }
    }

    fn stands(&self, world: &World, at: Timestamp, place: usize) -> bool {
        let link = self.links.get(place).and_then(|name| world.links.get(name));
        link.is_some_and(|link| link.due(world.now) == Some(at))
    }
}
