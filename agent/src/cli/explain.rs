//! `explain`: why the agent would, or would not, propose a failover now.

use agent_core::{Forecast, Health, LinkId, Seq, Side};
use clap::Args;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Context,
    exit::Failure,
    text::{Page, time},
    words,
};

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Name of the link
    link: String,
}

/// An [`agent_core::Explanation`] as the API gives it.
#[derive(Debug, Deserialize, Serialize)]
struct Told {
    link: LinkId,
    health: Health,
    since: Option<Timestamp>,
    primary: Option<Side>,
    reasons: Vec<String>,
    episode: Option<Seq>,
    forecast: Forecast,
    would_propose: bool,
    because: Vec<String>,
    ways: Vec<String>,
}

impl Explain {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let told: Told = context.connection.open()?.get(&["links", &self.link, "explain"], &[])?;
        context.output.show(&told, |page| told.page(page))
    }
}

impl Told {
    fn page(&self, page: &mut Page) {
        let since = self.since.map(|at| format!(" since {}", time(at))).unwrap_or_default();
        page.title(format!("{} is {}{since}", self.link, self.health));
        for reason in &self.reasons {
            page.line(1, format!("- {reason}"));
        }
        page.title(if self.would_propose {
            "The agent would propose a forced failover now"
        } else {
            "The agent would not propose a failover now, because"
        });
        for because in &self.because {
            page.line(1, format!("- {because}"));
        }
        if !self.ways.is_empty() {
            page.title("What can be done about the link as it stands");
        }
        for way in &self.ways {
            page.line(1, format!("- {way}"));
        }
        page.title("A forced failover now");
        words::forecast(page, &self.forecast);
    }
}
