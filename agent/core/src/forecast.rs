//! Forecast: what a forced failover would lose and how long it would take, as intervals with their
//! basis. A bound is what the approver signs.

use alloc::string::String;
use core::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    evidence::{Evidence, Vantage},
    names::Side,
    policy::LinkSpec,
};

/// Engine overhead of a forced failover beside redo, as recorded for tiny databases: 3 to 16 s.
const OVERHEAD_MS: (u64, u64) = (3_000, 30_000);

/// What was known of the primary when it fell silent: it outlives the evidence, in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Last commit seen on the primary, by its own clock.
    pub last_commit_at: Option<Timestamp>,
    /// KB of log that were waiting to be sent.
    pub log_send_queue_kb: Option<u64>,
    /// How far the primary's clock was ahead of the agent's, rounded up; negative if behind.
    pub clock_ahead_ms: i64,
    /// End of the first look that failed, by the agent's clock.
    pub missed_by: Option<Timestamp>,
    /// Until then the primary may have committed: the agent missed it, and the other witness did
    /// not hear it any more either. None if that was never observed.
    pub gone_by: Option<Timestamp>,
    /// Last commit that had arrived at the other side when the primary was found silent.
    pub arrived_at: Option<Timestamp>,
}

/// Milliseconds of commits that would be lost, counted back from the last moment at which the
/// primary may have committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "known")]
pub enum Loss {
    /// Between these two.
    Within {
        least_ms: u64,
        /// If the primary died when the agent lost it, which is the ordinary case.
        likely_ms: u64,
        most_ms: u64,
        basis: Basis,
    },
    /// Nobody can say; an approver has to accept it in these words.
    Unknown { because: Ignorance },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The target's last commit against the moment at which no witness heard the primary any more.
    TargetCommitAndSilence,
    /// The primary hands over only when the target has everything.
    HandedOver,
    /// What only one side has is in a backup before it is taken from there.
    Saved,
    /// Nothing is taken from either side.
    NothingTaken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignorance {
    /// The target has not been seen, or does not say what it has committed last.
    TargetNotSeen,
    /// When the primary stopped was never observed.
    SilenceNotObserved,
    /// The primary is unreachable and may go on taking writes.
    PrimaryMayBeAlive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    pub loss: Loss,
    /// Time from the command until the new primary takes writes.
    pub recovery_least_ms: u64,
    /// None: the target does not say how fast it redoes its queue.
    pub recovery_most_ms: Option<u64>,
}

/// What the approver signs: no forced step starts beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// None: signed as unknown.
    pub loss_most_ms: Option<u64>,
}

impl Sample {
    /// Whether it may take the place of an older one. A restarted agent has not seen the primary
    /// itself and can't say when it stopped: what the journal knows of that stays.
    pub(crate) fn tells_more_than(&self, older: Option<&Self>) -> bool {
        self.gone_by.is_some() || older.is_none_or(|older| older.gone_by.is_none())
    }
}

impl Bounds {
    /// Whether a forecast is within what was signed.
    #[must_use]
    pub fn allow(&self, forecast: &Forecast) -> bool {
        match (self.loss_most_ms, &forecast.loss) {
            (None, _) => true,
            (Some(most), Loss::Within { most_ms, .. }) => *most_ms <= most,
            (Some(_), Loss::Unknown { .. }) => false,
        }
    }
}

/// The forecast of forcing the link over to `target` now. `journaled` is the sample that the record
/// holds since the primary was found silent.
pub(crate) fn forecast(
    evidence: &Evidence,
    journaled: Option<&Sample>,
    target: Side,
    may_be_alive: bool,
) -> Forecast {
    let reading = evidence.of(Vantage::from(target)).reading();
    let database = reading.and_then(|(_, reading)| reading.database.as_ref());
    let redo = database.and_then(|db| redo_ms(db.redo_queue_kb, db.redo_rate_kb_per_s));
    let observed = sample(evidence, target.other());
    let loss = match database.and_then(|db| db.last_commit_at) {
        _ if may_be_alive => Loss::Unknown { because: Ignorance::PrimaryMayBeAlive },
        None => Loss::Unknown { because: Ignorance::TargetNotSeen },
        Some(arrived) => loss(journaled, observed.as_ref(), arrived),
    };
    Forecast {
        loss,
        recovery_least_ms: OVERHEAD_MS.0 + redo.unwrap_or(0),
        recovery_most_ms: redo.map(|redo| OVERHEAD_MS.1 + redo.saturating_mul(2)),
    }
}

/// The bound that goes with a forecast: a margin above it, since clocks differ.
pub(crate) fn bounds(forecast: &Forecast, spec: &LinkSpec) -> Bounds {
    let margin_ms = u64::try_from(spec.policy.loss_margin.as_millis()).unwrap_or(u64::MAX);
    Bounds {
        loss_most_ms: match forecast.loss {
            Loss::Within { most_ms, .. } => Some(most_ms.saturating_add(margin_ms)),
            Loss::Unknown { .. } => None,
        },
    }
}

/// What the evidence says of the primary now that it is silent, or None if it is not.
pub(crate) fn sample(evidence: &Evidence, primary: Side) -> Option<Sample> {
    let recent = evidence.of(Vantage::from(primary));
    let missed_by = recent.misses?.gone_by;
    let reading = recent.reading().map(|(_, reading)| reading);
    let target = evidence.of(Vantage::from(primary.other()));
    let unheard_by = target.unheard_by.or(evidence.of(Vantage::ControlPlane).unheard_by);
    // Without a reading of the primary nobody knows how far its clock is off.
    let clock_ahead_ms = recent.clock_ahead_ms();
    let gone_by = unheard_by.filter(|_| clock_ahead_ms.is_some()).map(|by| by.max(missed_by));
    Some(Sample {
        last_commit_at: reading
            .and_then(|reading| reading.database.as_ref())
            .and_then(|db| db.last_commit_at),
        log_send_queue_kb: reading
            .and_then(|reading| reading.partner.as_ref())
            .and_then(|partner| partner.log_send_queue_kb),
        clock_ahead_ms: clock_ahead_ms.unwrap_or(0),
        missed_by: Some(missed_by),
        gone_by,
        arrived_at: target
            .reading()
            .and_then(|(_, reading)| reading.database.as_ref())
            .and_then(|db| db.last_commit_at),
    })
}

/// A restarted agent sees the silence begin later than it did. The journal knows better, as long as
/// nothing has arrived from the primary since; otherwise it was back in between, and the later
/// observation is the safe one.
fn loss(journaled: Option<&Sample>, observed: Option<&Sample>, arrived: Timestamp) -> Loss {
    let journaled = journaled.filter(|sample| sample.arrived_at == Some(arrived));
    let known = journaled.filter(|sample| sample.gone_by.is_some()).or(observed);
    let Some((sample, gone_by)) = known.and_then(|sample| Some((sample, sample.gone_by?))) else {
        return Loss::Unknown { because: Ignorance::SilenceNotObserved };
    };
    let ahead = SignedDuration::from_millis(sample.clock_ahead_ms);
    let until = |moment: Timestamp| millis(moment.duration_since(arrived).saturating_add(ahead));
    let least = sample.last_commit_at.map_or(0, |seen| millis(seen.duration_since(arrived)));
    Loss::Within {
        least_ms: least,
        likely_ms: until(sample.missed_by.unwrap_or(gone_by)).max(least),
        most_ms: until(gone_by).max(least),
        basis: Basis::TargetCommitAndSilence,
    }
}

fn redo_ms(queue_kb: Option<u64>, rate_kb_per_s: Option<u64>) -> Option<u64> {
    match (queue_kb?, rate_kb_per_s) {
        (0, _) => Some(0),
        (queue, Some(rate)) if rate > 0 => Some(queue.saturating_mul(1000) / rate),
        (_, Some(_) | None) => None,
    }
}

/// Milliseconds of a span, rounded up; a span that points backwards is none.
fn millis(span: SignedDuration) -> u64 {
    u64::try_from(span.as_micros().max(0)).map_or(u64::MAX, |us| us.div_ceil(1000))
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within { most_ms: 0, .. } => f.write_str("no commits"),
            Self::Within { least_ms, likely_ms, most_ms, .. } => write!(
                f,
                "between {} and {} of commits, likely up to {}",
                seconds(*least_ms),
                seconds(*most_ms),
                seconds(*likely_ms)
            ),
            Self::Unknown { because } => write!(f, "forecast unknown: {because}"),
        }
    }
}

impl fmt::Display for Ignorance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TargetNotSeen => "the target does not say what it committed last",
            Self::SilenceNotObserved => "it was never seen when the primary stopped",
            Self::PrimaryMayBeAlive => "the primary may be alive and taking writes",
        })
    }
}

/// Milliseconds as seconds with one decimal, for people.
#[must_use]
pub fn seconds(ms: u64) -> String {
    alloc::format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_that_knows_less_does_not_replace_one_that_knows_more() {
        let known = Sample {
            last_commit_at: None,
            log_send_queue_kb: None,
            clock_ahead_ms: 0,
            missed_by: Some(Timestamp::UNIX_EPOCH),
            gone_by: Some(Timestamp::UNIX_EPOCH),
            arrived_at: None,
        };
        let unknown = Sample { gone_by: None, ..known };
        assert!(unknown.tells_more_than(None));
        assert!(unknown.tells_more_than(Some(&unknown)));
        assert!(known.tells_more_than(Some(&unknown)));
        assert!(known.tells_more_than(Some(&known)), "the later one is the safe one");
        assert!(!unknown.tells_more_than(Some(&known)));
    }
}
