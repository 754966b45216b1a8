//! The calendar jobs of the daemon. Each hands an input to the loop and waits for its verdict; what
//! takes time is done before that, beside the loop.

use std::sync::Arc;

use agent_core::{Input, Refusal};
use jiff::Timestamp;

use super::issue::{self, Issue};
use crate::{
    bus::BusSettings,
    clock::Clock,
    config::Config,
    placement::Places,
    schedule::{Gauge, Job, RUN, Run, Wall},
    turn::{Ended, Inbox},
};

/// When each was done last: the report, and the runbook.
pub(super) type Last = (Option<Timestamp>, Option<Timestamp>);

/// The jobs that are configured.
pub(super) fn jobs(
    config: &Config,
    broker: Option<&BusSettings>,
    inbox: &Inbox,
    last: Last,
) -> Vec<Job> {
    let mut jobs = Vec::new();
    if let Some(when) = config.schedule.daily_report.clone() {
        let places = Arc::new(Places::of(config, broker.map(|broker| broker.url.host())));
        let inbox = inbox.clone();
        let run: Run = Arc::new(move |missed| {
            let (inbox, places) = (inbox.clone(), Arc::clone(&places));
            Box::pin(async move {
                let placement = places.warnings().await;
                told(inbox.input(Input::ReportState { missed, placement }).await)
            })
        });
        let (last, gauge) = (last.0, Gauge::default());
        jobs.push(Job { name: "daily_report", when, last, limit: RUN, run, gauge });
    }
    if let Some(settings) = &config.schedule.runbook {
        let gauge = Gauge::default();
        let places = Arc::new(config.places.clone());
        let issue = Issue::new(inbox.clone(), places, settings, gauge.clone());
        let run: Run = Arc::new(move |missed| Box::pin(issue.clone().run(missed)));
        let (when, last) = (settings.when.clone(), last.1);
        let limit = issue::limit(config.links.len());
        jobs.push(Job { name: "runbook", when, last, limit, run, gauge });
    }
    jobs
}

/// Calendars go by the machine's wall clock, whatever the agent's own one has to be.
pub(super) fn wall(clock: Clock) -> Wall {
    Arc::new(move || {
        let now = clock.now();
        now.checked_sub(clock.offset()).unwrap_or(now)
    })
}

pub(super) fn told<T>(verdict: Result<Result<T, Refusal>, Ended>) -> Result<(), String> {
    match verdict {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(refusal)) => Err(refusal.to_string()),
        Err(ended) => Err(ended.to_string()),
    }
}
