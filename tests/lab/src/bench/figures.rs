//! Samples in milliseconds, and their quantiles.

use jiff::Timestamp;

/// Everything that is measured, in ms.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// From the fault to the verdict that the primary is down.
    pub(super) detection: Vec<i64>,
    /// From the fault to the beginning of the first look that failed.
    pub(super) first_miss: Vec<i64>,
    /// From there until enough looks had failed.
    pub(super) misses: Vec<i64>,
    /// From the fault until the managed instance says DISCONNECTED.
    pub(super) session: Vec<i64>,
    /// From there to the verdict.
    pub(super) last_look: Vec<i64>,
    /// From the decisive approval until the command is at the twin.
    pub(super) approval: Vec<i64>,
    /// From the decisive approval until the target has been found ready.
    pub(super) ready: Vec<i64>,
    /// From there to the permission for the command.
    pub(super) permission: Vec<i64>,
    /// From there until the command is at the twin.
    pub(super) way: Vec<i64>,
    /// From the decisive approval until the plan is closed.
    pub(super) whole: Vec<i64>,
}

/// Milliseconds from one time to another.
pub(super) fn ms(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.duration_since(from).as_millis()).unwrap_or(i64::MAX)
}

impl Figures {
    pub(super) fn add(&mut self, other: Self) {
        self.detection.extend(other.detection);
        self.first_miss.extend(other.first_miss);
        self.misses.extend(other.misses);
        self.session.extend(other.session);
        self.last_look.extend(other.last_look);
        self.approval.extend(other.approval);
        self.ready.extend(other.ready);
        self.permission.extend(other.permission);
        self.way.extend(other.way);
        self.whole.extend(other.whole);
    }

    pub(super) fn lines(&self) -> Vec<String> {
        vec![
            row("fault to verdict PrimaryDown", &self.detection),
            row("  fault to first failed look", &self.first_miss),
            row("  first to decisive failed look", &self.misses),
            row("  fault to DISCONNECTED (target)", &self.session),
            row("  DISCONNECTED to verdict", &self.last_look),
            row("approval to command at target", &self.approval),
            row("  approval to target found ready", &self.ready),
            row("  look, permission on disk", &self.permission),
            row("  permission to command", &self.way),
            row("approval to end of plan", &self.whole),
        ]
    }
}

fn row(what: &str, samples: &[i64]) -> String {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
        return format!("{what:<34} no samples");
    };
    let (p50, p99) = (quantile(&sorted, 50), quantile(&sorted, 99));
    let count = sorted.len();
    format!("{what:<34} p50 {p50:>6} ms  p99 {p99:>6} ms  ({least} to {most}, {count} samples)")
}

/// The smallest sample that so many percent do not exceed. `sorted` has one at least.
pub(super) fn quantile(sorted: &[i64], percent: usize) -> i64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let sorted: Vec<i64> = (1..=20).collect();
        assert_eq!((quantile(&sorted, 50), quantile(&sorted, 99)), (10, 20));
        assert_eq!(quantile(&[7], 50), 7);
    }
}
