//! Who can still talk to whom.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::{Instance, Link, Party, Power, Side, fault::Faults, replication};

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

impl Reach {
    /// Whether it arrives.
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            Reach::Open { .. } => true,
            Reach::Refused | Reach::Silent => false,
        }
    }
}

/// Whether something sent by one party reaches another.
pub(super) fn reach(
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
    from: &Party,
    to: &Party,
) -> Reach {
    if faults.cut(from, to) {
        return Reach::Silent;
    }
    for (party, receives) in [(from, false), (to, true)] {
        let Party::Instance(name) = party else { continue };
        let Some(instance) = instances.get(name) else { return Reach::Refused };
        match instance.power {
            Power::Stopped if instance.vanished => return Reach::Silent,
            Power::Stopped => return Reach::Refused,
            Power::Hung | Power::Frozen => return Reach::Silent,
            Power::Running if receives && instance.refusing => return Reach::Refused,
            Power::Running => {}
        }
    }
    Reach::Open { delay: faults.delay(from, to) }
}

/// Whether the path from one instance to another is cut.
pub(super) fn is_cut(
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
    from: &str,
    to: &str,
) -> bool {
    let party = |name: &str| instances.get(name).map(|instance| &instance.party);
    match (party(from), party(to)) {
        (Some(from), Some(to)) => faults.cut(from, to),
        (None, _) | (_, None) => true,
    }
}

/// Whether a primary is kept from hearing its secondary.
pub(super) fn is_cut_back(
    instances: &BTreeMap<String, Instance>,
    faults: &Faults,
    link: &Link,
    primary: Side,
) -> bool {
    !replication::passes(link, primary.other(), instances, faults)
}

/// How much longer than usual a link's messages need.
pub(super) fn delay_between(link: &Link, faults: &Faults) -> SignedDuration {
    if faults.delays.is_empty() && faults.jitters.is_empty() {
        return SignedDuration::ZERO;
    }
    let party = |side| Party::Instance(link.member(side).instance.clone());
    faults.delay(&party(Side::SqlServer), &party(Side::ManagedInstance))
}

impl Faults {
    pub(crate) fn cut(&self, from: &Party, to: &Party) -> bool {
        self.cuts.iter().any(|(a, b)| a == from && b == to)
    }

    fn delay(&self, from: &Party, to: &Party) -> SignedDuration {
        let found = self.delays.iter().find(|((a, b), _)| a == from && b == to);
        found.map_or(SignedDuration::ZERO, |(_, delay)| *delay) + self.jitter(from, to)
    }

    fn jitter(&self, from: &Party, to: &Party) -> SignedDuration {
        let found = self.jitters.iter().find(|((a, b), _)| a == from && b == to);
        let Some((_, most)) = found else { return SignedDuration::ZERO };
        // The same in every run of the world, and another one at each moment of each path.
        let path = format!("{from}>{to}");
        let seed =
            path.bytes().fold(self.moment, |sum, byte| sum.wrapping_mul(31) ^ u64::from(byte));
        let drawn = fastrand::Rng::with_seed(seed).u32(0..=*most);
        SignedDuration::from_millis(i64::from(drawn))
    }

    /// What the path from one party to another carries at the most, in KB/s; none: no fault says.
    pub(crate) fn throttle_of(&self, from: &Party, to: &Party) -> Option<u32> {
        let found = self.throttles.iter().find(|((a, b), _)| a == from && b == to);
        found.map(|(_, most)| *most)
    }

    /// The same between two instances.
    pub(crate) fn throttle(&self, from: &str, to: &str) -> Option<u32> {
        let is = |party: &Party, name: &str| matches!(party, Party::Instance(n) if n == name);
        let found = self.throttles.iter().find(|((a, b), _)| is(a, from) && is(b, to));
        found.map(|(_, most)| *most)
    }
}
