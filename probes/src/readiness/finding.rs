//! What a check is and what it finds: a question, the evidence, a verdict, and the mend.

use serde::Serialize;

/// How far along the way something is asked. What is wrong earlier is mended first, because later
/// answers may rest on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Config,
    Files,
    Name,
    Port,
    Tls,
    Login,
    Rights,
    Answer,
    Server,
    Link,
    Placement,
}

/// A question that is asked of every subject of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// By which it is known for good, as `sql.endpoint_started`.
    pub id: &'static str,
    pub stage: Stage,
    pub question: &'static str,
    /// On what the verdict rests.
    pub source: &'static str,
}

/// The answer to one check on one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub stage: Stage,
    /// Which endpoint or link, as `SQL Server sql-1`.
    pub subject: String,
    pub question: &'static str,
    /// What was seen, in words. Never a secret.
    pub evidence: String,
    pub verdict: Verdict,
    /// Of a question that could not be asked: the check that failed first, or the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// What to do about it, in order; empty if there is nothing to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<Fix>,
    pub source: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    /// It works, and less well than it could on the day when it counts.
    Warning,
    /// It does not work, or will not when it counts.
    Wrong,
    /// Something else has to be mended before this can be asked.
    Unasked,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    pub how: How,
    /// Where: an instance, a file, a configuration key, a place in Azure.
    pub at: String,
    /// The statement, the command, the line, or the words. Never a secret: where one belongs stands
    /// a placeholder in angle brackets.
    pub text: String,
}

/// In which language a [`Fix`] is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// T-SQL, by somebody who may.
    Sql,
    /// The Azure command line.
    Azure,
    /// A command of the operating system.
    Shell,
    /// A line of the agent's configuration.
    Config,
    /// Words for a human: there is no one statement for it.
    Words,
}

impl Check {
    /// The answer is as it should be.
    #[must_use]
    pub fn ok(&self, subject: &str, evidence: impl Into<String>) -> Finding {
        self.finding(subject, Verdict::Ok, evidence)
    }

    /// See [`Verdict::Warning`].
    #[must_use]
    pub fn warning(&self, subject: &str, evidence: impl Into<String>) -> Finding {
        self.finding(subject, Verdict::Warning, evidence)
    }

    /// See [`Verdict::Wrong`].
    #[must_use]
    pub fn wrong(&self, subject: &str, evidence: impl Into<String>) -> Finding {
        self.finding(subject, Verdict::Wrong, evidence)
    }

    /// See [`Verdict::Unasked`].
    #[must_use]
    pub fn unasked(&self, subject: &str, because: impl Into<String>) -> Finding {
        let because = Some(because.into());
        Finding { because, ..self.finding(subject, Verdict::Unasked, "") }
    }

    fn finding(&self, subject: &str, verdict: Verdict, evidence: impl Into<String>) -> Finding {
        Finding {
            check: self.id,
            stage: self.stage,
            subject: subject.to_owned(),
            question: self.question,
            evidence: evidence.into(),
            verdict,
            because: None,
            fix: Vec::new(),
            source: self.source,
        }
    }
}

impl Finding {
    /// Adds what to do about it.
    #[must_use]
    pub fn mend(mut self, how: How, at: impl Into<String>, text: impl Into<String>) -> Self {
        self.fix.push(Fix { how, at: at.into(), text: text.into() });
        self
    }

    /// Whether something has to be done, or had better be.
    #[must_use]
    pub fn wants_mending(&self) -> bool {
        matches!(self.verdict, Verdict::Wrong | Verdict::Warning)
    }
}

/// What has to be mended, in the order in which to mend it: what is wrong before what is only
/// warned of, and of either what stands earlier on the way.
#[must_use]
pub fn in_order_of_mending(findings: &[Finding]) -> Vec<&Finding> {
    let mut open: Vec<_> = findings.iter().filter(|finding| finding.wants_mending()).collect();
    // The sort is stable: within a stage the order of the configuration stays.
    open.sort_by_key(|finding| (finding.verdict != Verdict::Wrong, finding.stage));
    open
}

/// Says of every one of these checks that has no finding for the subject yet that it could not be
/// asked, and why.
pub fn leave_unasked(findings: &mut Vec<Finding>, checks: &[&Check], subject: &str, because: &str) {
    for check in checks {
        let told = |finding: &Finding| finding.check == check.id && finding.subject == subject;
        if !findings.iter().any(told) {
            findings.push(check.unasked(subject, because));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Check =
        Check { id: "a.first", stage: Stage::Name, question: "Is it?", source: "a test" };
    const LATER: Check = Check { id: "a.later", stage: Stage::Link, ..FIRST };

    #[test]
    fn what_is_wrong_and_early_is_mended_first() {
        let findings = [
            FIRST.warning("one", ""),
            LATER.wrong("one", ""),
            LATER.ok("two", ""),
            FIRST.wrong("two", ""),
            FIRST.unasked("three", "a.first"),
        ];
        let order: Vec<_> = in_order_of_mending(&findings)
            .iter()
            .map(|finding| (finding.check, finding.subject.as_str()))
            .collect();
        assert_eq!(order, [("a.first", "two"), ("a.later", "one"), ("a.first", "one")]);
    }

    #[test]
    fn only_what_nobody_answered_is_left_unasked() {
        let mut findings = vec![FIRST.wrong("one", "")];
        leave_unasked(&mut findings, &[&FIRST, &LATER], "one", "a.first");
        let verdicts: Vec<_> = findings.iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Verdict::Wrong, Verdict::Unasked]);
        assert_eq!(findings[1].because.as_deref(), Some("a.first"));
    }
}
