//! The faults that last, in words.

use super::World;

impl World {
    /// Cuts and delays that last, in words.
    #[must_use]
    pub fn lasting_faults(&self) -> Vec<String> {
        let cuts = self.faults.cuts.iter().map(|(from, to)| format!("cut {from} -> {to}"));
        let delays =
            self.faults.delays.iter().map(|((from, to), delay)| {
                format!("slow {from} -> {to} by {} ms", delay.as_millis())
            });
        let jitters = self.faults.jitters.iter();
        let jitters =
            jitters.map(|((from, to), ms)| format!("jitter {from} -> {to} of up to {ms} ms"));
        let throttles = self.faults.throttles.iter();
        let throttles =
            throttles.map(|((from, to), kb)| format!("throttle {from} -> {to} to {kb} KB/s"));
        let refusing = self.instances.values().filter(|i| i.refusing);
        let slow = self.instances.values().filter(|i| i.commit_delay.is_positive());
        let clocks = self.instances.values().filter(|i| !i.setup.clock_ahead.is_zero());
        let mut all: Vec<String> = cuts.chain(delays).chain(jitters).chain(throttles).collect();
        all.extend(refusing.map(|instance| format!("refuse {}", instance.name)));
        all.extend(slow.map(|it| {
            format!("slow commits at {} of {} ms", it.name, it.commit_delay.as_millis())
        }));
        all.extend(clocks.map(|it| {
            format!("clock of {} ahead by {} ms", it.name, it.setup.clock_ahead.as_millis())
        }));
        let replies = self.faults.lost_replies.iter().filter(|(_, times)| **times > 0);
        all.extend(replies.map(|(at, times)| format!("lose the next {times} replies of {at}")));
        all.extend(self.wire_faults());
        let failing = self.faults.failing.iter().filter(|(_, (_, times))| *times > 0);
        all.extend(failing.map(|(at, (number, times))| {
            format!("fail the next {times} commands at {at} with {number}")
        }));
        all.extend(self.faults.arm_unavailable.then(|| "arm unavailable".to_owned()));
        all.extend(self.faults.azure.words());
        all.extend(self.faults.token_service_down.then(|| "token service down".to_owned()));
        all
    }
}
