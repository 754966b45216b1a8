//! Time passes: whatever is due happens in the order of time, never in the order of asking.
//!
//! Only what is due is looked at: of many links those that beat, that get log or that an
//! application commits to. What concerns several of them (role changes, Azure, the end of a
//! recovery) looks at all, and so costs as much as there are links: it is rare.

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
    /// The names of all applications, in order.
    workloads: Vec<String>,
    commits: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

/// What is looked at.
#[derive(Default)]
struct Concerned {
    links: Vec<String>,
    workloads: Vec<String>,
}

impl World {
    /// Lets everything happen up to `to`; an earlier time changes nothing.
    pub fn advance(&mut self, to: Timestamp) {
        let mut agenda = None;
        if self.next_event().is_some_and(|next| next <= to) {
            self.find_paths();
            agenda = Some(self.agenda());
        }
        while let Some(coming) = &mut agenda {
            let shared = self.next_shared();
            let next = [shared, coming.next(self), coming.next_commit(self)];
            let next = next.into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= to) else { break };
            let next = self.now.max(next);
            if shared.is_some_and(|at| at <= next) {
                self.happen(next, &coming.all());
                self.note_writers();
                self.find_paths();
                agenda = Some(self.agenda());
                continue;
            }
            let concerned = coming.take(self, next);
            self.happen(next, &concerned);
            self.note_writers_of(&concerned.links);
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
        let workloads: Vec<String> = self.workloads.keys().cloned().collect();
        let commits = self.workloads.values().map(Workload::due).enumerate();
        let commits = commits.filter_map(|(place, at)| Some(Reverse((at?, place)))).collect();
        Agenda { links, due, workloads, commits }
    }

    /// All that happens at a moment, to these links and applications.
    fn happen(&mut self, now: Timestamp, concerned: &Concerned) {
        let names = concerned.links.as_slice();
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
        for name in &concerned.workloads {
            let Some(workload) = self.workloads.get_mut(name) else { continue };
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
            replication::pump(link, &self.instances, &self.faults, &mut self.paths, now);
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
        let waits = self.wire.waits.filter(|at| *at > now);
        [Some(self.next_pulse), arrives, settles, commits, waits].into_iter().flatten().min()
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

    /// When an application commits next.
    fn next_commit(&mut self, world: &World) -> Option<Timestamp> {
        while let Some(Reverse((at, place))) = self.commits.peek().copied() {
            if self.commits_at(world, at, place).is_some() {
                return Some(at);
            }
            self.commits.pop();
        }
        None
    }

    /// All that there is.
    fn all(&self) -> Concerned {
        Concerned { links: self.links.clone(), workloads: self.workloads.clone() }
    }

    /// The applications that commit by then, and the links to which they do or for which something
    /// else is due; the world is still at the time before.
    fn take(&mut self, world: &World, upto: Timestamp) -> Concerned {
        let mut names = Vec::new();
        while let Some(Reverse((at, place))) = self.due.peek().copied().filter(|it| it.0.0 <= upto)
        {
            self.due.pop();
            if self.stands(world, at, place) {
                names.push(self.links[place].clone());
            }
        }
        let mut places = Vec::new();
        while let Some(Reverse((at, place))) =
            self.commits.peek().copied().filter(|it| it.0.0 <= upto)
        {
            self.commits.pop();
            if let Some(workload) = self.commits_at(world, at, place) {
                places.push(place);
                names.push(workload.link.clone());
            }
        }
        names.sort_unstable();
        names.dedup();
        places.sort_unstable();
        places.dedup();
        let workloads = places.into_iter().map(|place| self.workloads[place].clone()).collect();
        Concerned { links: names, workloads }
    }

    /// When something happens next to what has been looked at.
    fn note(&mut self, world: &World, concerned: &Concerned) {
        for name in &concerned.workloads {
            let due = world.workloads.get(name).and_then(Workload::due);
            if let (Some(at), Ok(place)) = (due, self.workloads.binary_search(name)) {
                self.commits.push(Reverse((at, place)));
            }
        }
        for name in &concerned.links {
            let due = world.links.get(name).and_then(|link| link.due(world.now));
            if let (Some(at), Ok(place)) = (due, self.links.binary_search(name)) {
                self.due.push(Reverse((at, place)));
            }
        }
    }

    /// The application at a place, if it still commits then.
    fn commits_at<'w>(
        &self,
        world: &'w World,
        at: Timestamp,
        place: usize,
    ) -> Option<&'w Workload> {
        let workload = self.workloads.get(place).and_then(|name| world.workloads.get(name));
        workload.filter(|workload| workload.due() == Some(at))
    }

    fn stands(&self, world: &World, at: Timestamp, place: usize) -> bool {
        let link = self.links.get(place).and_then(|name| world.links.get(name));
        link.is_some_and(|link| link.due(world.now) == Some(at))
    }
}
