//! Time passes: whatever is due happens in the order of time, never in the order of asking.

use jiff::Timestamp;

use super::{
    Side, Workload, World, Writers,
    commit::{attempt, takes_writes},
    replication,
};

impl World {
    /// Lets everything happen up to `to`; an earlier time changes nothing.
    pub fn advance(&mut self, to: Timestamp) {
        while let Some(next) = self.next_event().filter(|next| *next <= to) {
            self.now = self.now.max(next);
            self.faults.moment = self.now.as_millisecond().unsigned_abs();
            self.happen();
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
        let pulses = self.links.values().map(|link| link.next_pulse);
        let arrivals =
            self.links.values().filter_map(|link| Some(link.wire.flight.front()?.arrives));
        let steps = self.active.iter().filter_map(|id| {
            let operation = self.operations.get(id)?;
            let frozen = self.instances.get(&operation.runs_on)?.frozen_since.is_some();
            operation.next.filter(|_| !frozen)
        });
        let settled = self
            .links
            .values()
            .filter_map(|link| link.member(Side::SqlServer).local()?.settles(self.now));
        let recoveries = self.instances.values().map(|i| i.recovered).filter(|at| *at > self.now);
        commits
            .chain(pulses)
            .chain(arrivals)
            .chain(steps)
            .chain(self.next_azure())
            .chain(recoveries)
            .chain(settled)
            .chain(self.next_scheduled())
            .min()
    }

    /// Brings the ledger's account of who could take writes up to date.
    pub(super) fn note_writers(&mut self) {
        for link in self.links.values() {
            let takes = |side| takes_writes(link, side, &self.instances, self.now);
            let writers = Writers {
                sql_server: takes(Side::SqlServer),
                managed_instance: takes(Side::ManagedInstance),
            };
            self.ledger.note_writers(&link.name, self.now, writers);
        }
    }

    fn happen(&mut self) {
        let now = self.now;
        self.do_scheduled();
        self.tend_local_groups();
        for link in self.links.values_mut() {
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
        let mut pulsed = false;
        for link in self.links.values_mut() {
            if link.next_pulse <= now {
                replication::pulse(link, &mut self.instances, &self.faults, now);
                pulsed = true;
            }
            replication::pump(link, &self.instances, &self.faults, now);
        }
        if pulsed {
            self.run_jobs();
        }
        self.settle_pending();
        self.note_writers();
    }
}
