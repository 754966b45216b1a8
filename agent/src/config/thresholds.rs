//! Thresholds of a link against each other, and against the pace at which its sides are looked at.

use agent_core::Policy;

use super::{
    check::{Findings, positive},
    file::{File, Link},
    instance::Instance,
    locate::Key,
    span::Span,
};

/// The thresholds of one link, and where each was set.
struct Thresholds<'f> {
    file: &'f File,
    link: &'f Link,
    key: &'f Key,
    policy: Policy,
}

/// Checks the thresholds of a link with its two instances, each under its key.
pub(super) fn thresholds(
    file: &File,
    link: &Link,
    key: &Key,
    sides: [(&Instance, Key); 2],
    found: &mut Findings,
) {
    let policy = link.policy.over(&file.policy.over(&Policy::default()));
    let all = Thresholds { file, link, key, policy };
    for (side, key) in sides {
        all.silence(side, &key, found);
        all.staleness(side, &key, found);
    }
    all.alone(found);
}

impl Thresholds<'_> {
    /// Where a threshold was set: at the link, for all, or nowhere.
    fn place(&self, name: &str, set: impl Fn(&super::file::Policy) -> bool) -> Option<Key> {
        if set(&self.link.policy) {
            return Some(self.key.at("policy").at(name));
        }
        set(&self.file.policy).then(|| Key::new("policy").at(name))
    }

    /// A side has to count as silent before the last look at it is too old.
    fn silence(&self, side: &Instance, key: &Key, found: &mut Findings) {
        let (misses, every) = (self.policy.misses, side.probe.every);
        let silent = every.0.saturating_mul(misses);
        if silent <= self.policy.stale_after {
            return;
        }
        let at = self
            .place("stale_after", |policy| policy.stale_after.is_some())
            .or_else(|| self.place("misses", |policy| policy.misses.is_some()))
            .unwrap_or_else(|| key.at("probe").at("every"));
        let stale_after = Span(self.policy.stale_after);
        found.add(
            &at,
            format!(
                "{misses} misses, {every} apart on {}, take longer than the {stale_after} of `stale_after`: the last look would be too old before the side counts as silent",
                side.name
            ),
            format!(
                "`stale_after` of at least {}, or less of `misses` or `probe.every`",
                Span(silent)
            ),
        );
    }

    /// Between two looks that succeed the older one must not go stale.
    fn staleness(&self, side: &Instance, key: &Key, found: &mut Findings) {
        let paces = [
            ("probe", Some((side.probe.every, side.probe.deadline))),
            ("arm", side.arm.as_ref().map(|arm| (arm.every, arm.deadline))),
        ];
        for (part, pace) in paces {
            let Some((every, deadline)) = pace else { continue };
            // The schedule has a jitter of a tenth.
            let old = every.0.saturating_mul(11) / 10 + deadline.0;
            if old <= self.policy.stale_after {
                continue;
            }
            let at = self
                .place("stale_after", |policy| policy.stale_after.is_some())
                .unwrap_or_else(|| key.at(part).at("every"));
            let stale_after = Span(self.policy.stale_after);
            found.add(
                &at,
                format!(
                    "a look at {} may be {} old before the next one is in (`{part}.every` and a tenth, `{part}.deadline`), which is more than the {stale_after} of `stale_after`: all would be stale between two looks",
                    side.name,
                    Span(old)
                ),
                format!("`stale_after` of at least {}, or shorter times there", Span(old)),
            );
        }
    }

    /// Those that make no sense whatever the others are.
    fn alone(&self, found: &mut Findings) {
        let policy = &self.policy;
        let misses = self.place("misses", |policy| policy.misses.is_some());
        let attempts = self.place("attempts", |policy| policy.attempts.is_some());
        for (key, count) in [(misses, policy.misses), (attempts, policy.attempts)] {
            if let Some(key) = key.filter(|_| count == 0) {
                found.add(&key, "0 is none at all", "at least 1");
            }
        }
        let approve = self.place("approve_within", |policy| policy.approve_within.is_some());
        let execute = self.place("execute_within", |policy| policy.execute_within.is_some());
        let step = self.place("step_deadline", |policy| policy.step_deadline.is_some());
        let reopen = self.place("reopen_after", |policy| policy.reopen_after.is_some());
        for (key, span) in [
            (approve, policy.approve_within),
            (execute.clone(), policy.execute_within),
            (step, policy.step_deadline),
            (reopen, policy.reopen_after),
        ] {
            if let Some(key) = key {
                positive(&key, Some(Span(span)), found);
            }
        }
        let retry = self.place("retry_after", |policy| policy.retry_after.is_some());
        if let Some(key) = retry.or(execute).filter(|_| policy.retry_after >= policy.execute_within)
        {
            found.add(
                &key,
                format!(
                    "a refused step would be tried again after {}, when the {} of `execute_within` are over",
                    Span(policy.retry_after),
                    Span(policy.execute_within)
                ),
                "`retry_after` less than `execute_within`",
            );
        }
    }
}
