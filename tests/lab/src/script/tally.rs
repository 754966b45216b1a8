//! What was checked, and how it went.

use std::fmt::Display;

use anyhow::{Error, Result, anyhow};

use crate::view::say;

#[derive(Debug, Default)]
pub(super) struct Tally {
    passed: usize,
    failed: usize,
    steps: usize,
}

impl Tally {
    /// Says what comes now.
    pub(super) fn step(&mut self, what: &str) {
        self.steps += 1;
        say(&format!("\n{}. {what}", self.steps));
    }

    /// Says something that is no check.
    pub(super) fn note(&self, what: &str) {
        say(&format!("       {what}"));
    }

    /// Counts a check. `seen` is what it rests on.
    pub(super) fn check(&mut self, what: &str, holds: bool, seen: impl Display) -> bool {
        if holds {
            self.passed += 1;
            say(&format!("  ok   {what}"));
        } else {
            self.failed += 1;
            say(&format!("  FAIL {what}\n       seen: {seen}"));
        }
        holds
    }

    /// Counts a check without which the story can't go on.
    pub(super) fn must<T>(&mut self, what: &str, result: Result<T>) -> Result<T> {
        match result {
            Ok(value) => {
                self.check(what, true, "");
                Ok(value)
            }
            Err(error) => {
                self.check(what, false, format!("{error:#}"));
                Err(anyhow!("the story can't go on"))
            }
        }
    }

    /// The story broke off. If no check had failed before, this is one.
    pub(super) fn broken(&mut self, error: &Error) {
        say(&format!("\nThe story ends here: {error:#}"));
        if self.failed == 0 {
            self.failed = 1;
        }
    }

    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    pub(super) fn line(&self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_counted_and_ends_the_story() {
        let mut tally = Tally::default();
        assert!(tally.check("one", true, ""));
        assert!(!tally.check("two", false, "something else"));
        let error = tally.must::<()>("three", Err(anyhow!("why"))).expect_err("it failed");
        tally.broken(&error);
        assert_eq!(tally.line(), "1 passed, 2 failed");

        let mut tally = Tally::default();
        tally.broken(&anyhow!("nobody counted this"));
        assert_eq!(tally.line(), "0 passed, 1 failed");
    }
}
