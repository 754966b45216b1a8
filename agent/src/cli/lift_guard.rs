//! `lift-guard`: a human takes back the standing order for a side that was left unfenced.

use agent_core::Entry;
use clap::Args;
use serde_json::json;

use super::{Context, exit::Failure};

#[derive(Debug, Args)]
pub(super) struct LiftGuard {
    /// Name of the link
    link: String,
    /// Who takes it back
    #[arg(long, env = "USER", value_name = "NAME")]
    by: String,
    /// Why, for those who read the journal later
    #[arg(long, value_name = "TEXT")]
    note: String,
}

impl LiftGuard {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.connection.open()?;
        let body = json!({ "by": self.by, "note": self.note });
        let entry: Entry = client.post(&["links", &self.link, "lift-guard"], &body)?;
        let words = format!(
            "the return guard of link {} is lifted, entry {}: nobody stops writers on the other side when it returns. Logins that it has disabled stay so: ALTER LOGIN [name] ENABLE",
            self.link, entry.seq
        );
        context.output.show(&entry, |page| page.line(0, words))
    }
}
