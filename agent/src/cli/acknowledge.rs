//! `acknowledge`: a human has seen how a proposal ended.

use agent_core::Entry;
use clap::Args;
use serde_json::json;

use super::{Context, exit::Failure};

#[derive(Debug, Args)]
pub(super) struct Acknowledge {
    /// Name of the link
    link: String,
    /// Who has seen it
    #[arg(long, env = "USER", value_name = "NAME")]
    by: String,
    /// What was seen and done, for those who read the journal later
    #[arg(long, value_name = "TEXT")]
    note: String,
}

impl Acknowledge {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.connection.open()?;
        let body = json!({ "by": self.by, "note": self.note });
        let entry: Entry = client.post(&["links", &self.link, "acknowledge"], &body)?;
        let words = format!("acknowledged for link {}, entry {}", self.link, entry.seq);
        context.output.show(&entry, |page| page.line(0, words))
    }
}
