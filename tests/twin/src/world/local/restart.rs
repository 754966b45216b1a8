//! What administrators do to a local group over minutes: restarts, one replica after the other.

use super::super::UnknownName;
use super::super::fault::unknown;
use super::*;

/// Something that the world does by itself at its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Scheduled {
    Stop {
        instance: String,
    },
    Start {
        instance: String,
    },
    /// To whichever replica can take over; nothing happens if none can.
    LocalFailover {
        link: String,
    },
}

impl World {
    /// Stops an instance now and starts it again later.
    pub(in super::super) fn restart(&mut self, instance: &str, down: SignedDuration) {
        self.stop(instance);
        let start = Scheduled::Start { instance: instance.to_owned() };
        self.schedule(self.now + down, start);
    }

    /// Restarts all replicas of a local group, as for a patch: first those that are not primary,
    /// one after the other, then a local failover, then the one that was primary.
    ///
    /// # Errors
    /// No such link, or its group has one replica only.
    pub(in super::super) fn rolling_restart(
        &mut self,
        link: &str,
        down: SignedDuration,
        pause: SignedDuration,
    ) -> Result<(), UnknownName> {
        let with_replicas = || {
            let many = |link: &&Link| link.member(Side::SqlServer).local().is_some();
            self.links.values().filter(many).map(|link| &link.name)
        };
        let link = &self.link_key(link)?;
        let member = self.links.get(link).map(|found| found.member(Side::SqlServer));
        let found = member.and_then(|member| Some((member, member.local()?)));
        let Some((member, local)) = found else {
            return Err(unknown(
                "link with a local group of several replicas",
                link,
                with_replicas(),
            ));
        };
        let primary = member.instance.clone();
        let others = local.replicas.iter().map(|replica| replica.instance.clone());
        let others: Vec<String> = others.filter(|name| *name != primary).collect();
        let (failover, catch_up) = (local.failover, local.catch_up);
        let mut at = self.now;
        for instance in others {
            at = self.down_and_up(instance, at, down) + catch_up + pause;
        }
        self.schedule(at, Scheduled::LocalFailover { link: link.to_owned() });
        self.down_and_up(primary, at + failover + pause, down);
        Ok(())
    }

    /// When the world does something by itself next.
    pub(in super::super) fn next_scheduled(&self) -> Option<Timestamp> {
        self.scheduled.first().map(|(at, _)| *at)
    }

    /// Does what is due.
    pub(in super::super) fn do_scheduled(&mut self) {
        while self.next_scheduled().is_some_and(|at| at <= self.now) {
            match self.scheduled.remove(0).1 {
                Scheduled::Stop { instance } => self.stop(&instance),
                Scheduled::Start { instance } => self.start(&instance),
                Scheduled::LocalFailover { link } => {
                    // Whether a replica can take over by then is not known beforehand.
                    let _ = self.fail_over_locally(&link, None, None);
                }
            }
        }
    }

    /// When it has come up again.
    fn down_and_up(&mut self, instance: String, at: Timestamp, down: SignedDuration) -> Timestamp {
        let restart = self.instance(&instance).map_or(SignedDuration::ZERO, |found| found.restart);
        self.schedule(at, Scheduled::Stop { instance: instance.clone() });
        self.schedule(at + down, Scheduled::Start { instance });
        at + down + restart
    }

    fn schedule(&mut self, at: Timestamp, what: Scheduled) {
        let place = self.scheduled.partition_point(|(other, _)| *other <= at);
        self.scheduled.insert(place, (at, what));
    }
}
