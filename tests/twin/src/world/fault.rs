//! What goes wrong, and who can still talk to whom.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Party, World};

/// Something that goes wrong, or right again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// The process dies: connections close, its port refuses. Disks keep what was hardened.
    Stop {
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
    /// Ends every cut and delay between the two.
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

/// Whether something sent by one party reaches another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It arrives after this delay.
    Open {
        /// How much later than without a fault.
        delay: SignedDuration,
    },
    /// A connect is refused, an established connection is closed.
    Refused,
    /// It is lost without a word.
    Silent,
}

/// A fault names something that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no {kind} named {name:?}; there is {known}")]
pub struct UnknownName {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) known: String,
}

/// The faults that last, or wait for their occasion.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) cuts: BTreeSet<(Party, Party)>,
    pub(crate) delays: BTreeMap<(Party, Party), SignedDuration>,
    pub(crate) lost_replies: BTreeMap<Party, u32>,
    pub(crate) delayed_deeds: BTreeMap<Party, SignedDuration>,
    pub(crate) failing: BTreeMap<String, (u32, u32)>,
    pub(crate) arm_unavailable: bool,
    pub(crate) arm_throttle: (u32, u32),
    pub(crate) arm_conflicts: u32,
    pub(crate) token_service_down: bool,
    pub(crate) token_lifetime: Option<u32>,
}

fn one() -> u32 {
    1
}

impl World {
    /// Makes something go wrong, or right again, now.
    ///
    /// # Errors
    /// An instance or workload that does not exist; nothing is changed then.
    pub fn fault(&mut self, fault: Fault) -> Result<(), UnknownName> {
        let _ = fault;
        Ok(())
    }

    /// Whether what `from` sends now reaches `to`. A request needs one direction, its reply the
    /// other: doors ask per connection and per reply.
    #[must_use]
    pub fn reachable(&self, from: &Party, to: &Party) -> Reach {
        let _ = (from, to, &self.faults.cuts);
        Reach::Open { delay: SignedDuration::ZERO }
    }

    /// Points a workload's connection string at another instance.
    ///
    /// # Errors
    /// A workload or instance that does not exist.
    pub fn repoint(&mut self, workload: &str, target: &str) -> Result<(), UnknownName> {
        let _ = (workload, target);
        Ok(())
    }
}
