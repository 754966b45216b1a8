//! `check`: looks at every endpoint, file and setting, says what is wrong, and how to mend it, in the
//! order in which to mend it. Changes nothing.

mod gather;
mod local;
mod page;
mod ready;

use std::{path::Path, time::Duration};

use clap::Args;
use probes::readiness::{Finding, Verdict, in_order_of_mending};
use serde::Serialize;
use serde_json::Value;

use super::{Context, Output, client::CONFIG_PATH, exit::Failure};
use crate::config::Config;

/// For one question: resolving a name, a connection, a login, a query are one each.
const EACH: Duration = Duration::from_secs(5);

/// Looks at configuration, files, every endpoint, rights, links and placement. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = EXIT)]
pub(super) struct Check {
    /// The same as `--output json`
    #[arg(long)]
    json: bool,
    /// Leave out the configuration and everything that is as it should be
    #[arg(long)]
    brief: bool,
    /// Let warnings count as wrong
    #[arg(long)]
    strict: bool,
    /// Seconds for all questions to one endpoint; endpoints are asked side by side
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    within: u64,
    /// Send a message through the bus to see whether a queue wants it. It expires at once, but a
    /// consumer that waits there gets it
    #[arg(long)]
    bus_message: bool,
}

const EXIT: &str = "\
Exit codes:
  0  nothing is wrong (with --strict: and nothing is warned of)
  1  something is wrong
  4  the configuration file is no TOML of this form, so nothing could be asked";

/// All that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The configuration with every default, secrets only as the place where they are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Value>,
    counts: Counts,
    /// In the order in which they were asked.
    findings: Vec<Finding>,
    /// What to mend, in this order.
    mend: Vec<Finding>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    ok: usize,
    warnings: usize,
    wrong: usize,
    unasked: usize,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let output = if self.json { Output::Json } else { context.output };
        let path = context.connection.config.as_deref().unwrap_or(Path::new(CONFIG_PATH));
        let (config, problems) = Config::examine(path);
        let mut findings = local::of_config(path, config.as_ref(), &problems);
        if let Some(config) = &config {
            let each = EACH.min(Duration::from_secs(self.within));
            let within = Duration::from_secs(self.within);
            let wish = gather::Wish { each, within, bus_message: self.bus_message };
            findings.extend(gather::all(config, &problems, context, wish)?);
        }
        let usable = config.is_some();
        let report = Report::new(config.as_ref(), findings, self.brief);
        output.show(&report, |page| report.page(page, config.as_ref(), self.brief))?;
        let Counts { wrong, warnings, .. } = report.counts;
        if !usable {
            return Err(Failure::file("the configuration can't be used: see above"));
        }
        if wrong > 0 || (self.strict && warnings > 0) {
            return Err(Failure::refused(format!("{wrong} wrong, {warnings} warned of")));
        }
        Ok(())
    }
}

impl Report {
    fn new(config: Option<&Config>, findings: Vec<Finding>, brief: bool) -> Self {
        let mut counts = Counts::default();
        for finding in &findings {
            match finding.verdict {
                Verdict::Ok => counts.ok += 1,
                Verdict::Warning => counts.warnings += 1,
                Verdict::Wrong => counts.wrong += 1,
                Verdict::Unasked => counts.unasked += 1,
            }
        }
        let mend = in_order_of_mending(&findings).into_iter().cloned().collect();
        let config = config.filter(|_| !brief).map(Config::effective_json);
        Self { config, counts, findings, mend }
    }
}
