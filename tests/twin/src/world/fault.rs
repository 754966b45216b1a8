//! What goes wrong, and who can still talk to whom.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    AnswerTrouble, Instance, Link, Party, PollTrouble, Power, Reach, Reply, Stage, SuspendReason,
    Trouble, WireFault, Workload, World, azure::Troubles, reach::reach, wire::Lanes,
    workload::interval,
};

/// Something that goes wrong, or right again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// The process dies: connections close, its port refuses. Disks keep what was hardened.
    Stop {
        /// Which.
        instance: String,
    },
    /// The whole host is gone without a word: as if the process died, but connections stay half
    /// open at their clients and new ones get no answer, until it starts again.
    Vanish {
        /// Which.
        instance: String,
    },
    /// A stopped instance starts, with the roles that it had.
    Start {
        /// Which.
        instance: String,
    },
    /// It takes connections and answers none; log still moves.
    Hang {
        /// Which.
        instance: String,
    },
    /// The host stands still.
    Freeze {
        /// Which.
        instance: String,
    },
    /// It stops now and starts again later.
    Restart {
        /// Which.
        instance: String,
        /// After how many ms.
        down_ms: u32,
    },
    /// A local failover on SQL Server, ordered by an administrator: nobody is primary for a while,
    /// then another replica is.
    LocalFailover {
        /// The link whose group it is.
        link: String,
        /// The replica that takes over; whichever can, if left out.
        #[serde(default)]
        to: Option<String>,
        /// For how long nobody is primary, in ms; as the world says, if left out.
        #[serde(default)]
        ms: Option<u32>,
    },
    /// An administrator forces another replica on SQL Server to be the primary one; what it does not
    /// have is lost, and all other databases stand still until they are resumed.
    ForceLocalFailover {
        /// The link whose group it is.
        link: String,
        /// The replica that takes over.
        to: String,
        /// For how long nobody is primary, in ms; as the world says, if left out.
        #[serde(default)]
        ms: Option<u32>,
    },
    /// All replicas on SQL Server are restarted one after the other, the primary one last, after a
    /// local failover.
    RollingRestart {
        /// The link whose group it is.
        link: String,
        /// How long each is down, in ms.
        down_ms: u32,
        /// How long the administrator waits after each, in ms.
        pause_ms: u32,
    },
    /// Something keeps a database of a link from moving on an instance, until somebody resumes it.
    Suspend {
        /// Which instance.
        instance: String,
        /// Which database.
        database: String,
        /// What the view says for a reason.
        reason: SuspendReason,
    },
    /// Microsoft's support repairs the databases that a managed instance has lost at a restart.
    Repair {
        /// Which.
        instance: String,
    },
    /// Ends `Hang` and `Freeze`.
    Resume {
        /// Which.
        instance: String,
    },
    /// Nothing passes from `from` to `to`; nor back, unless `one_way`.
    Cut {
        /// The sender.
        from: Party,
        /// The receiver.
        to: Party,
        /// Only this direction.
        #[serde(default)]
        one_way: bool,
    },
    /// Ends every cut, delay, jitter and throttling between the two.
    Heal {
        /// One end.
        from: Party,
        /// The other.
        to: Party,
    },
    /// Everything between the two needs `ms` longer each way.
    Slow {
        /// One end.
        from: Party,
        /// The other.
        to: Party,
        /// Milliseconds.
        ms: u32,
    },
    /// Everything between the two needs up to `ms` longer each way, now more, now less.
    Jitter {
        /// One end.
        from: Party,
        /// The other.
        to: Party,
        /// Milliseconds at the most.
        ms: u32,
    },
    /// The path between two parties carries no more than this each way: between two instances it
    /// holds for the log, whatever their link could carry.
    Throttle {
        /// One end.
        from: Party,
        /// The other.
        to: Party,
        /// KB/s, at least 1.
        kb_per_s: u32,
    },
    /// The port refuses, though the instance runs; open connections are closed.
    Refuse {
        /// Which.
        instance: String,
    },
    /// Ends `Refuse`.
    Accept {
        /// Which.
        instance: String,
    },
    /// The next deeds at an instance or at ARM happen, and their replies are lost.
    LoseReply {
        /// An instance, or `arm`.
        at: Party,
        /// How many.
        #[serde(default = "one")]
        times: u32,
    },
    /// The next deed at an instance or at ARM takes effect later, even if its client is gone.
    DelayDeed {
        /// An instance, or `arm`.
        at: Party,
        /// Milliseconds.
        ms: u32,
    },
    /// The next failover at an instance or at ARM is told to have failed, outcome unknown there and
    /// timed out here, and takes effect later all the same.
    GiveUp {
        /// An instance, or `arm`.
        at: Party,
        /// Milliseconds.
        ms: u32,
    },
    /// An instance's clock is ahead of the world's time by so much; behind it, if negative.
    Clock {
        /// Which.
        instance: String,
        /// Milliseconds.
        ahead_ms: i64,
    },
    /// An instance's disk needs so long for each commit; 0 ends it.
    SlowCommits {
        /// Which.
        instance: String,
        /// Milliseconds.
        ms: u32,
    },
    /// A managed instance moves to another node: its connections end, its databases recover, and
    /// its port for mirroring is another one.
    Move {
        /// Which.
        instance: String,
    },
    /// The next commands at an instance fail before effect with this error number.
    FailNext {
        /// Which.
        instance: String,
        /// For example 41104 or 40613.
        number: u32,
        /// How many.
        #[serde(default = "one")]
        times: u32,
    },
    /// The next logins at an instance fail with this error.
    FailLogin {
        /// Which.
        instance: String,
        /// For example 18456, 4060, 40613 or 49918.
        number: u32,
        /// Its state; 1 if left out.
        #[serde(default)]
        state: Option<u8>,
        /// How many.
        #[serde(default = "one")]
        times: u32,
    },
    /// Something goes wrong on the wire of an instance's next connections or answers.
    Wire {
        /// Which.
        instance: String,
        /// At which stage of a connection.
        stage: Stage,
        /// What.
        trouble: Trouble,
        /// How long a stall is, or the pause after each byte, in ms.
        #[serde(default)]
        ms: Option<u32>,
        /// To how many; 0 ends it.
        #[serde(default = "one")]
        times: u32,
    },
    /// ARM answers 503, or no longer does.
    ArmUnavailable {
        /// Whether it does.
        on: bool,
    },
    /// ARM answers 429 to the next requests.
    ArmThrottle {
        /// How many.
        #[serde(default = "one")]
        times: u32,
        /// `Retry-After`, in s.
        retry_after_s: u32,
    },
    /// ARM answers the next failover requests with 409 before any effect.
    ArmConflict {
        /// How many.
        #[serde(default = "one")]
        times: u32,
    },
    /// The next polls of operations are answered wrongly; what they ask for goes on.
    ArmPoll {
        /// How.
        trouble: PollTrouble,
        /// How many; 0 ends it.
        #[serde(default = "one")]
        times: u32,
    },
    /// The next requests that ARM takes are carried out and answered wrongly.
    ArmAnswer {
        /// How.
        trouble: AnswerTrouble,
        /// How many; 0 ends it.
        #[serde(default = "one")]
        times: u32,
    },
    /// The token service and the managed identity endpoint answer 503, or no longer do.
    TokenServiceDown {
        /// Whether they do.
        on: bool,
    },
    /// Tokens that are issued from now on live this long.
    TokenLifetime {
        /// Seconds.
        s: u32,
    },
}

/// A fault names something that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no {kind} named {name:?}; there is {known}")]
pub struct UnknownName {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) known: String,
}

/// A fault that cannot happen.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FaultError {
    /// It names something that does not exist.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// It makes no sense; the text says why.
    #[error("{0}")]
    Impossible(String),
}

/// The faults that last, or wait for their occasion.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) cuts: BTreeSet<(Party, Party)>,
    pub(crate) delays: BTreeMap<(Party, Party), SignedDuration>,
    pub(crate) jitters: BTreeMap<(Party, Party), u32>,
    pub(crate) throttles: BTreeMap<(Party, Party), u32>,
    /// From which jitter is drawn: it changes with the time.
    pub(crate) moment: u64,
    pub(crate) lost_replies: BTreeMap<Party, u32>,
    pub(crate) delayed_deeds: BTreeMap<Party, SignedDuration>,
    pub(crate) given_up: BTreeMap<Party, SignedDuration>,
    pub(crate) failing: BTreeMap<String, (u32, u32)>,
    /// Number, state, and how many are left.
    pub(crate) failing_logins: BTreeMap<String, (u32, Option<u8>, u32)>,
    pub(crate) wire: BTreeMap<(String, Stage), WireFault>,
    pub(crate) lanes: Lanes,
    pub(crate) arm_unavailable: bool,
    pub(crate) arm_throttle: (u32, u32),
    pub(crate) arm_conflicts: u32,
    pub(crate) azure: Troubles,
    pub(crate) token_service_down: bool,
    pub(crate) token_lifetime: Option<u32>,
}

impl Faults {
    fn cut_off(&mut self, from: Party, to: Party, one_way: bool) {
        if !one_way {
            self.cuts.insert((to.clone(), from.clone()));
        }
        self.cuts.insert((from, to));
    }

    fn heal(&mut self, from: Party, to: Party) {
        for pair in [(from.clone(), to.clone()), (to, from)] {
            self.cuts.remove(&pair);
            self.delays.remove(&pair);
            self.jitters.remove(&pair);
            self.throttles.remove(&pair);
            self.lanes.clear(&pair.0, &pair.1);
        }
    }
}

impl World {
    /// Makes something go wrong, or right again, now.
    ///
    /// # Errors
    /// An instance or workload that does not exist, or what cannot happen; nothing is changed then.
    pub fn fault(&mut self, fault: Fault) -> Result<(), FaultError> {
        self.check_names(&fault)?;
        self.keep_what_arm_sees();
        match fault {
            Fault::Stop { instance } => self.stop(&instance),
            Fault::Vanish { instance } => self.vanish(&instance),
            Fault::Start { instance } => self.start(&instance),
            Fault::Restart { instance, down_ms } => self.restart(&instance, millis(down_ms)),
            Fault::ForceLocalFailover { link, to, ms } => self.force_locally(&link, &to, ms)?,
            Fault::LocalFailover { link, to, ms } => {
                self.fail_over_locally(&link, to.as_deref(), ms)?;
            }
            Fault::RollingRestart { link, down_ms, pause_ms } => {
                self.rolling_restart(&link, millis(down_ms), millis(pause_ms))?;
            }
            Fault::Suspend { instance, database, reason } => {
                self.suspend(&instance, &database, reason)?;
            }
            Fault::Repair { instance } => self.repair(&instance),
            Fault::Hang { instance } => self.set_power(&instance, Power::Hung),
            Fault::Freeze { instance } => self.freeze(&instance),
            Fault::Resume { instance } => self.resume(&instance),
            Fault::Refuse { instance } => self.set_refusing(&instance, true),
            Fault::Accept { instance } => self.set_refusing(&instance, false),
            Fault::Cut { from, to, one_way } => self.faults.cut_off(from, to, one_way),
            Fault::Heal { from, to } => self.faults.heal(from, to),
            Fault::Slow { from, to, ms } => both(&mut self.faults.delays, from, to, millis(ms)),
            Fault::Jitter { from, to, ms } => both(&mut self.faults.jitters, from, to, ms),
            Fault::Throttle { from, to, kb_per_s } => {
                both(&mut self.faults.throttles, from, to, kb_per_s.max(1));
            }
            Fault::LoseReply { at, times } => {
                self.faults.lost_replies.insert(at, times);
            }
            Fault::DelayDeed { at, ms } => {
                self.faults.delayed_deeds.insert(at, millis(ms));
            }
            Fault::GiveUp { at, ms } => {
                self.faults.given_up.insert(at, millis(ms));
            }
            Fault::Clock { instance, ahead_ms } => {
                self.instance_mut(&instance)?.setup.clock_ahead =
                    SignedDuration::from_millis(ahead_ms);
            }
            Fault::SlowCommits { instance, ms } => {
                self.instance_mut(&instance)?.commit_delay = millis(ms);
            }
            Fault::Move { instance } => self.move_away(&instance)?,
            Fault::FailNext { instance, number, times } => {
                self.faults.failing.insert(instance, (number, times));
            }
            Fault::FailLogin { instance, number, state, times } => {
                self.fail_logins(instance, (number, state), times);
            }
            Fault::Wire { instance, stage, trouble, ms, times } => {
                self.set_wire(instance, WireFault { stage, trouble, ms, times })?;
            }
            Fault::ArmUnavailable { on } => self.faults.arm_unavailable = on,
            Fault::ArmThrottle { times, retry_after_s: s } => self.faults.arm_throttle = (times, s),
            Fault::ArmConflict { times } => self.faults.arm_conflicts = times,
            Fault::ArmPoll { trouble, times } => self.trouble_polls(trouble, times),
            Fault::ArmAnswer { trouble, times } => self.trouble_answers(trouble, times),
            Fault::TokenServiceDown { on } => self.faults.token_service_down = on,
            Fault::TokenLifetime { s } => self.faults.token_lifetime = Some(s),
        }
        let links: Vec<String> = self.links.keys().cloned().collect();
        self.tend_local_groups(&links);
        self.note_writers();
        Ok(())
    }

    /// Whether what `from` sends now reaches `to`. A request needs one direction, its reply the
    /// other: doors ask per connection and per reply.
    #[must_use]
    pub fn reachable(&self, from: &Party, to: &Party) -> Reach {
        reach(&self.instances, &self.faults, from, to)
    }

    /// Points a workload's connection string at another instance.
    ///
    /// # Errors
    /// A workload or instance that does not exist.
    pub fn repoint(&mut self, workload: &str, target: &str) -> Result<(), UnknownName> {
        if !self.listeners().iter().any(|listener| listener == target) {
            self.check_instance(target)?;
        }
        let found = self.workload_mut(workload)?;
        target.clone_into(&mut found.target);
        found.slots.iter_mut().for_each(|slot| slot.at = None);
        Ok(())
    }

    /// Changes a workload's rate; zero stops it.
    ///
    /// # Errors
    /// A workload that does not exist.
    pub fn set_rate(&mut self, workload: &str, commits_per_s: f64) -> Result<(), UnknownName> {
        let now = self.now;
        let found = self.workload_mut(workload)?;
        found.every = interval(commits_per_s);
        found.next = found.next.max(now);
        Ok(())
    }

    pub(super) fn workload_mut(&mut self, name: &str) -> Result<&mut Workload, UnknownName> {
        if !self.workloads.contains_key(name) {
            return Err(unknown("workload", name, self.workloads.keys()));
        }
        Ok(self.workloads.get_mut(name).expect("it was there just now"))
    }

    /// Whether the next deed's reply is lost at this place; asking uses it up.
    pub(super) fn take_reply(&mut self, at: &Party) -> Reply {
        match self.faults.lost_replies.get_mut(at) {
            Some(left) if *left > 0 => {
                *left -= 1;
                Reply::Lost
            }
            Some(_) | None => Reply::Sent,
        }
    }

    /// Whether ARM can see an instance.
    pub(super) fn arm_sees(&self, instance: &Instance) -> bool {
        instance.transports()
            && !self.faults.cut(&Party::Arm, &instance.party)
            && !self.faults.cut(&instance.party, &Party::Arm)
    }

    /// Whether ARM answers 503 now.
    #[must_use]
    pub fn arm_unavailable(&self) -> bool {
        self.faults.arm_unavailable
    }

    /// `Retry-After` in s, if ARM throttles this request; asking uses it up.
    pub fn take_throttle(&mut self) -> Option<u32> {
        let (left, retry_after) = self.faults.arm_throttle;
        self.faults.arm_throttle.0 = left.checked_sub(1)?;
        Some(retry_after)
    }

    /// Whether the token service answers 503 now.
    #[must_use]
    pub fn token_service_down(&self) -> bool {
        self.faults.token_service_down
    }

    /// How long tokens live that are issued now, in s.
    #[must_use]
    pub fn token_lifetime(&self) -> u32 {
        self.faults.token_lifetime.unwrap_or(3_599)
    }

    pub(super) fn instance_mut(&mut self, name: &str) -> Result<&mut Instance, UnknownName> {
        self.check_instance(name)?;
        Ok(self.instances.get_mut(name).expect("it was there just now"))
    }

    pub(super) fn move_away(&mut self, instance: &str) -> Result<(), UnknownName> {
        self.stop(instance);
        self.start(instance);
        self.instance_mut(instance)?.moves += 1;
        Ok(())
    }

    fn suspend(
        &mut self,
        instance: &str,
        database: &str,
        reason: SuspendReason,
    ) -> Result<(), UnknownName> {
        for link in self.links.values_mut() {
            let side = link.side_of(instance).filter(|side| !link.left_by(*side));
            if let Some((side, place)) =
                side.and_then(|it| Some((it, link.place_on(it, database)?)))
            {
                link.member_mut(side).copies[place].suspended = Some(reason);
                return Ok(());
            }
        }
        let here = self.links.values().filter(|link| link.side_of(instance).is_some());
        let names: Vec<String> = here.flat_map(Link::databases).map(str::to_owned).collect();
        Err(unknown("linked database", database, names.iter()))
    }
}

/// Notes something for both directions between two parties.
fn both<V: Copy>(map: &mut BTreeMap<(Party, Party), V>, from: Party, to: Party, value: V) {
    map.insert((from.clone(), to.clone()), value);
    map.insert((to, from), value);
}

fn millis(ms: u32) -> SignedDuration {
    SignedDuration::from_millis(i64::from(ms))
}

pub(super) fn unknown<'a>(
    kind: &'static str,
    name: &str,
    known: impl Iterator<Item = &'a String>,
) -> UnknownName {
    let known = known.map(String::as_str).collect::<Vec<_>>().join(", ");
    UnknownName { kind, name: name.to_owned(), known }
}

fn one() -> u32 {
    1
}
