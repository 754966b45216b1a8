//! How the calendar jobs go.

use super::{Kind, Metrics};
use crate::schedule::Job;

impl Metrics {
    /// Has each scrape tell how these jobs go.
    pub(crate) fn calendar(&self, jobs: &[Job]) -> prometheus::Result<()> {
        for job in jobs {
            // Not `job`, which is Prometheus' own label for who was scraped.
            let labels = &[("name", job.name)];
            let [done, failed, missed] = [(); 3].map(|()| job.gauge.clone());
            self.ask(
                "dr_agent_schedule_runs_total",
                "Runs of calendar jobs that did what they were to do.",
                labels,
                Kind::Counter,
                move || done.done(),
            )?;
            self.ask(
                "dr_agent_schedule_failures_total",
                "Runs of calendar jobs that failed; the log says why.",
                labels,
                Kind::Counter,
                move || failed.failed(),
            )?;
            self.ask(
                "dr_agent_schedule_missed_total",
                "Times of the calendar that went by unused: the agent was down, or the machine slept.",
                labels,
                Kind::Counter,
                move || missed.missed(),
            )?;
        }
        Ok(())
    }
}
