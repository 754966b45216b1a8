//! The report as people read it: subject by subject, then what to mend.

use probes::readiness::{Finding, How, Verdict};

use super::{Counts, Report};
use crate::{cli::text::Page, config::Config};

impl Report {
    pub(super) fn page(&self, page: &mut Page, config: Option<&Config>, brief: bool) {
        if let Some(config) = config.filter(|_| !brief) {
            page.title(format!("The configuration as it counts ({})", config.path.display()));
            for line in config.effective_toml().lines() {
                page.line(1, line);
            }
        }
        for (subject, findings) in by_subject(&self.findings) {
            let shown: Vec<_> = findings
                .into_iter()
                .filter(|finding| !brief || finding.verdict != Verdict::Ok)
                .collect();
            if shown.is_empty() {
                continue;
            }
            page.title(first_up(subject));
            for finding in shown.iter().filter(|finding| finding.verdict != Verdict::Unasked) {
                page.line(1, format!("{:<8} {}", word(finding.verdict), finding.question));
                page.line(1, format!("{:<8} {} ({})", "", finding.evidence, finding.check));
            }
            unasked(page, &shown);
        }
        self.mends(page);
        self.sum(page);
    }

    fn mends(&self, page: &mut Page) {
        if self.mend.is_empty() {
            return;
        }
        page.title("To mend, in this order");
        for (place, finding) in self.mend.iter().enumerate() {
            let Finding { check, subject, evidence, verdict, .. } = finding;
            page.line(
                0,
                format!("{:>3}. {} {check}, {subject}: {evidence}", place + 1, word(*verdict)),
            );
            for fix in &finding.fix {
                let lead = match fix.how {
                    How::Sql => format!("T-SQL on {}", fix.at),
                    How::Azure => format!("Azure CLI, {}", fix.at),
                    How::Shell => format!("command on {}", fix.at),
                    How::Config => format!("configuration, {}", fix.at),
                    How::Words => fix.at.clone(),
                };
                page.line(2, format!("{lead}:"));
                page.line(3, &fix.text);
            }
        }
    }

    fn sum(&self, page: &mut Page) {
        let Counts { ok, warnings, wrong, unasked } = self.counts;
        page.title(format!(
            "{ok} as they should be, {wrong} wrong, {warnings} warned of, {unasked} could not be asked"
        ));
    }
}

/// In the order in which subjects first appear.
fn by_subject(findings: &[Finding]) -> Vec<(&str, Vec<&Finding>)> {
    let mut all: Vec<(&str, Vec<&Finding>)> = Vec::new();
    for finding in findings {
        match all.iter_mut().find(|(subject, _)| *subject == finding.subject) {
            Some((_, of_subject)) => of_subject.push(finding),
            None => all.push((&finding.subject, vec![finding])),
        }
    }
    all
}

/// Questions that could not be asked for one reason stand on one line.
fn unasked(page: &mut Page, findings: &[&Finding]) {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for finding in findings.iter().filter(|finding| finding.verdict == Verdict::Unasked) {
        let because = finding.because.as_deref().unwrap_or("it could not be asked");
        match reasons.iter_mut().find(|(reason, _)| *reason == because) {
            Some((_, checks)) => checks.push(finding.check),
            None => reasons.push((because, vec![finding.check])),
        }
    }
    for (because, checks) in reasons {
        page.line(1, format!("{:<8} not asked, because of {because}: {}", "-", checks.join(", ")));
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Wrong => "WRONG",
        Verdict::Unasked => "-",
    }
}

fn first_up(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
