//! `assess`: what the evidence says of a link, with its reasons. A pure function of a bounded window.

mod both;

use alloc::{string::String, vec::Vec};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::both::{at_once, both_by_themselves, both_write_at_once, parted, split_brain, unlinked};
use crate::{
    evidence::{
        DatabaseState, Evidence, Role, Seen, SideReading, SilenceKind, SyncHealth, Vantage, signed,
    },
    names::Side,
    policy::LinkSpec,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Too little is seen to say anything; nothing is decided on it, nothing is withdrawn for it.
    Unknown,
    /// One side serves, the other hears it and keeps up.
    Healthy,
    /// Something is wrong, and a primary is seen or heard of all the same.
    Degraded,
    /// The primary is not reached, and nobody independent confirms that it is gone.
    PrimaryUnreachable,
    /// The primary is not reached, and a vantage in another failure domain does not hear it either.
    PrimaryDown,
    /// Both sides answer and neither is primary.
    NoPrimary,
    /// Both sides say that they are primary.
    SplitBrain,
    /// A side, or the control plane, answers and knows no such link.
    Unlinked,
    /// There is no link any more, and each side takes writes by itself.
    Parted,
}

/// Why the health is what it is. Numbers in here never make a new verdict by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Reason {
    Serving {
        side: Side,
    },
    Follows {
        side: Side,
    },
    /// It takes writes and is in no link.
    ByItself {
        side: Side,
    },
    NotServing {
        side: Side,
        state: Option<DatabaseState>,
    },
    Suspended {
        side: Side,
        reason: Option<String>,
    },
    NotHealthy {
        side: Side,
    },
    Silent {
        side: Side,
        looks: u32,
        since: Timestamp,
    },
    Refuses {
        side: Side,
        kind: SilenceKind,
    },
    NotLookedAt {
        side: Side,
    },
    /// A vantage still hears the primary.
    Heard {
        by: Vantage,
    },
    /// A vantage does not hear the primary any more.
    NotHeard {
        by: Vantage,
    },
    /// Those who miss the primary share a failure domain.
    OneWitness,
    /// Nobody else who could be asked says anything.
    NoWitness,
    InRole {
        side: Side,
        role: Role,
    },
    NoLink {
        by: Vantage,
    },
    AllSilent,
}

/// What `assess` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    pub health: Health,
    pub primary: Option<Side>,
    pub reasons: Vec<Reason>,
}

/// What is known of one side at a time.
enum Standing<'a> {
    Seen(&'a SideReading),
    Silent {
        looks: u32,
        since: Timestamp,
    },
    /// Alive, and not telling.
    Refuses(SilenceKind),
    /// Not looked at lately, or missed too few times to say so.
    Undecided,
}

/// Whether a side that nothing is known of is about to be: it was looked at lately, or never yet.
fn awaited(evidence: &Evidence, spec: &LinkSpec, side: Side, now: Timestamp) -> bool {
    let last = evidence.of(Vantage::from(side)).last();
    let most = signed(spec.policy.stale_after * 2);
    last.is_none_or(|look| now.duration_since(look.begun_at) <= most)
}

/// The verdict of the evidence at `now`, or None while it is too early for one: the previous verdict
/// then stands. `known_primary` is the side that was primary by the record.
pub(crate) fn assess(
    evidence: &Evidence,
    spec: &LinkSpec,
    known_primary: Option<Side>,
    now: Timestamp,
) -> Option<Assessment> {
    let sql = standing(evidence, spec, Side::SqlServer, now);
    let mi = standing(evidence, spec, Side::ManagedInstance, now);
    if let (Standing::Seen(a), Standing::Seen(b)) = (&sql, &mi) {
        if a.role == Role::Primary && b.role == Role::Primary {
            return at_once(evidence).then(|| split_brain(a, b));
        }
        if parted(a, b) {
            return both_write_at_once(evidence).then(|| both_by_themselves(a, b));
        }
    }
    for (side, standing) in [(Side::SqlServer, &sql), (Side::ManagedInstance, &mi)] {
        match standing {
            Standing::Seen(reading) if reading.role == Role::Primary => {
                let other = if side == Side::SqlServer { &mi } else { &sql };
                // At the start one side answers first: that says nothing about the other.
                let never_seen = evidence.of(Vantage::from(side.other())).reading().is_none();
                if never_seen && matches!(other, Standing::Undecided) {
                    return None;
                }
                if let Standing::Seen(alone) = other
                    && alone.alone()
                {
                    return Some(unlinked(side, reading));
                }
                return Some(with_primary(side, reading, other));
            }
            Standing::Seen(reading) if reading.role == Role::Absent => {
                // Whether the other one takes writes too is not known yet.
                let other = if side == Side::SqlServer { &mi } else { &sql };
                let waited_for = awaited(evidence, spec, side.other(), now);
                if reading.alone() && matches!(other, Standing::Undecided) && waited_for {
                    return None;
                }
                let by = Vantage::from(side);
                let reasons = Vec::from([Reason::NoLink { by }]);
                return Some(Assessment { health: Health::Unlinked, primary: None, reasons });
            }
            Standing::Seen(_)
            | Standing::Silent { .. }
            | Standing::Refuses(_)
            | Standing::Undecided => {}
        }
    }
    // No side is seen as primary. A secondary tells by its role who ought to be.
    let primary = match (&sql, &mi) {
        (_, Standing::Seen(reading)) if reading.role == Role::Secondary => Some(Side::SqlServer),
        (Standing::Seen(reading), _) if reading.role == Role::Secondary => {
            Some(Side::ManagedInstance)
        }
        _ => known_primary,
    };
    without_primary(evidence, spec, primary, &sql, &mi, now)
}

/// The vantages that see or hear the primary now; each of them blocks a forced proposal.
pub(crate) fn primary_seen_by(
    evidence: &Evidence,
    spec: &LinkSpec,
    target: Side,
    now: Timestamp,
) -> Vec<Vantage> {
    let mut seen = Vec::new();
    match standing(evidence, spec, target.other(), now) {
        Standing::Seen(reading) if reading.role == Role::Primary => {
            seen.push(Vantage::from(target.other()));
        }
        Standing::Refuses(_) => seen.push(Vantage::from(target.other())),
        Standing::Seen(_) | Standing::Silent { .. } | Standing::Undecided => {}
    }
    if let Some((by, true)) = second_hand(evidence, spec, target, now) {
        seen.push(by);
    }
    seen
}

/// The reading of the side if it is fresh enough to decide on.
pub(crate) fn fresh_reading<'a>(
    evidence: &'a Evidence,
    spec: &LinkSpec,
    side: Side,
    now: Timestamp,
) -> Option<&'a SideReading> {
    match standing(evidence, spec, side, now) {
        Standing::Seen(reading) => Some(reading),
        Standing::Silent { .. } | Standing::Refuses(_) | Standing::Undecided => None,
    }
}

fn standing<'a>(
    evidence: &'a Evidence,
    spec: &LinkSpec,
    side: Side,
    now: Timestamp,
) -> Standing<'a> {
    let recent = evidence.of(Vantage::from(side));
    let stale_after = signed(spec.policy.stale_after);
    let fresh = recent.last().is_some_and(|last| now.duration_since(last.begun_at) <= stale_after);
    // Misses from before this host was suspended say nothing about now.
    if let Some(misses) = recent.misses.filter(|_| fresh)
        && misses.count >= spec.policy.misses
    {
        return Standing::Silent { looks: misses.count, since: misses.since };
    }
    if let Some(last) = recent.last().filter(|_| fresh)
        && let Seen::Silence(silence) = &last.seen
        && !silence.kind.is_miss()
    {
        return Standing::Refuses(silence.kind);
    }
    match recent.reading() {
        Some((at, reading)) if now.duration_since(at) <= stale_after => Standing::Seen(reading),
        Some(_) | None => Standing::Undecided,
    }
}

/// Whether the target side, or the control plane on its behalf, hears the primary. The control
/// plane repeats the managed instance's belief, so it is asked only where that one is not seen.
fn second_hand(
    evidence: &Evidence,
    spec: &LinkSpec,
    target: Side,
    now: Timestamp,
) -> Option<(Vantage, bool)> {
    match standing(evidence, spec, target, now) {
        Standing::Seen(reading) => {
            if reading.role != Role::Secondary {
                return None;
            }
            // A secondary that does not say is spoken for by the control plane.
            if let Some(heard) = reading.connected {
                return Some((Vantage::from(target), heard));
            }
        }
        Standing::Silent { .. } | Standing::Refuses(_) | Standing::Undecided => {}
    }
    if target != Side::ManagedInstance {
        return None;
    }
    let (at, control) = evidence.of(Vantage::ControlPlane).control()?;
    let link = control.link.as_ref()?;
    let fresh = now.duration_since(at) <= signed(spec.policy.stale_after);
    let heard = link.connected.filter(|_| fresh && link.instance_role == Role::Secondary)?;
    Some((Vantage::ControlPlane, heard))
}

fn with_primary(side: Side, primary: &SideReading, other: &Standing<'_>) -> Assessment {
    let mut reasons = Vec::new();
    let mut healthy = primary.serving();
    if healthy {
        reasons.push(Reason::Serving { side });
    } else {
        let state = primary.database.as_ref().map(|db| db.state);
        reasons.push(Reason::NotServing { side, state });
    }
    let follower = side.other();
    match other {
        Standing::Seen(reading) => {
            healthy &= follows(follower, reading, &mut reasons);
        }
        Standing::Silent { looks, since } => {
            healthy = false;
            reasons.push(Reason::Silent { side: follower, looks: *looks, since: *since });
        }
        Standing::Refuses(kind) => {
            healthy = false;
            reasons.push(Reason::Refuses { side: follower, kind: *kind });
        }
        Standing::Undecided => {
            healthy = false;
            reasons.push(Reason::NotLookedAt { side: follower });
        }
    }
    let health = if healthy { Health::Healthy } else { Health::Degraded };
    Assessment { health, primary: Some(side), reasons }
}

/// Whether a side follows its primary as it should; says why not.
fn follows(side: Side, reading: &SideReading, reasons: &mut Vec<Reason>) -> bool {
    let before = reasons.len();
    if reading.role != Role::Secondary {
        reasons.push(Reason::InRole { side, role: reading.role });
    }
    if reading.connected == Some(false) {
        reasons.push(Reason::NotHeard { by: Vantage::from(side) });
    }
    if let Some(db) = reading.database.as_ref().filter(|db| db.suspended) {
        reasons.push(Reason::Suspended { side, reason: db.suspend_reason.clone() });
    }
    if reading.sync_health.is_some_and(|health| health != SyncHealth::Healthy) {
        reasons.push(Reason::NotHealthy { side });
    }
    let fine = reasons.len() == before;
    if fine {
        reasons.push(Reason::Follows { side });
    }
    fine
}

fn without_primary(
    evidence: &Evidence,
    spec: &LinkSpec,
    primary: Option<Side>,
    sql: &Standing<'_>,
    mi: &Standing<'_>,
    now: Timestamp,
) -> Option<Assessment> {
    if let (Standing::Seen(a), Standing::Seen(b)) = (sql, mi) {
        if !at_once(evidence) {
            return None;
        }
        let mut reasons = Vec::from([
            Reason::InRole { side: Side::SqlServer, role: a.role },
            Reason::InRole { side: Side::ManagedInstance, role: b.role },
        ]);
        let by = primary.filter(|side| hears_behind(*side, a, b)).map(|side| side.other().into());
        let health = by.map_or(Health::NoPrimary, |by| {
            reasons.push(Reason::Heard { by });
            Health::Degraded
        });
        return Some(Assessment { health, primary, reasons });
    }
    if all_stale(evidence, spec, now) {
        let reasons = Vec::from([Reason::AllSilent]);
        return Some(Assessment { health: Health::Unknown, primary, reasons });
    }
    let side = primary?;
    let standing = if side == Side::SqlServer { sql } else { mi };
    match standing {
        Standing::Seen(reading) => {
            let reasons = Vec::from([Reason::InRole { side, role: reading.role }]);
            Some(Assessment { health: Health::NoPrimary, primary, reasons })
        }
        Standing::Refuses(kind) => {
            let reasons = Vec::from([Reason::Refuses { side, kind: *kind }]);
            Some(Assessment { health: Health::Degraded, primary, reasons })
        }
        // The other side is changing its role: the verdict from before stands until it has, but not
        // for ever. One whose partner died in the middle may never come to an end.
        Standing::Silent { .. } if resolving(evidence, spec, side.other(), now) => None,
        Standing::Silent { looks, since } => {
            let silent = Reason::Silent { side, looks: *looks, since: *since };
            Some(silent_primary(evidence, spec, side, silent, now))
        }
        Standing::Undecided => None,
    }
}

/// Whether the secondary hears a primary where none is seen: one of the replicas that the agent was
/// not told of, or cannot ask.
fn hears_behind(primary: Side, sql: &SideReading, mi: &SideReading) -> bool {
    let (source, target) = if primary == Side::SqlServer { (sql, mi) } else { (mi, sql) };
    source.role == Role::Resolving
        && target.role == Role::Secondary
        && target.connected == Some(true)
}

fn resolving(evidence: &Evidence, spec: &LinkSpec, side: Side, now: Timestamp) -> bool {
    let recent = evidence.of(Vantage::from(side));
    let lately = |since| now.duration_since(since) <= signed(spec.policy.stale_after * 2);
    matches!(standing(evidence, spec, side, now), Standing::Seen(reading) if reading.role == Role::Resolving)
        && recent.resolving_since().is_some_and(lately)
}

/// The primary is silent to the agent: what do the others hear?
fn silent_primary(
    evidence: &Evidence,
    spec: &LinkSpec,
    side: Side,
    silent: Reason,
    now: Timestamp,
) -> Assessment {
    let mut reasons = Vec::from([silent]);
    let health = match second_hand(evidence, spec, side.other(), now) {
        Some((by, true)) => {
            reasons.push(Reason::Heard { by });
            Health::Degraded
        }
        Some((by, false)) => {
            reasons.push(Reason::NotHeard { by });
            if spec.independent_witnesses(side) {
                Health::PrimaryDown
            } else {
                reasons.push(Reason::OneWitness);
                Health::PrimaryUnreachable
            }
        }
        None if blind(evidence, spec, now) => {
            reasons.push(Reason::AllSilent);
            Health::Unknown
        }
        None => {
            reasons.push(Reason::NoWitness);
            Health::PrimaryUnreachable
        }
    };
    Assessment { health, primary: Some(side), reasons }
}

/// No vantage has told anything lately: the fault may be the agent's own.
fn blind(evidence: &Evidence, spec: &LinkSpec, now: Timestamp) -> bool {
    let told = |at: Timestamp| now.duration_since(at) <= signed(spec.policy.stale_after);
    let side = |vantage| evidence.of(vantage).reading().is_some_and(|(at, _)| told(at));
    let gone = |vantage| {
        evidence.of(vantage).misses.is_some_and(|misses| misses.count >= spec.policy.misses)
    };
    let control = evidence.of(Vantage::ControlPlane).control().is_some_and(|(at, _)| told(at));
    let sql = side(Vantage::SqlServer) && !gone(Vantage::SqlServer);
    let mi = side(Vantage::ManagedInstance) && !gone(Vantage::ManagedInstance);
    !(sql || mi || control)
}

/// Nobody has even looked lately, as after a long suspension of this host.
fn all_stale(evidence: &Evidence, spec: &LinkSpec, now: Timestamp) -> bool {
    let newest = [Vantage::SqlServer, Vantage::ManagedInstance, Vantage::ControlPlane]
        .iter()
        .filter_map(|vantage| evidence.of(*vantage).last())
        .map(|look| look.begun_at)
        .max();
    newest.is_some_and(|at| now.duration_since(at) > signed(spec.policy.stale_after))
}
