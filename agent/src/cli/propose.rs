//! `propose`: asks for a plan.

use agent_core::{Entry, PlanKind, Side};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Context, exit::Failure};

#[derive(Debug, Args)]
pub(super) struct Propose {
    /// Name of the link
    link: String,
    /// What the plan is to do
    #[arg(long, value_enum)]
    kind: Kind,
    /// Who asks; it is in what approvers sign
    #[arg(long, env = "USER", value_name = "NAME")]
    by: String,
    /// Whose data a repair keeps; the side that the agent has made primary, if left out
    #[arg(long, value_enum, value_name = "SIDE")]
    winner: Option<Winner>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Winner {
    SqlServer,
    ManagedInstance,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Make the secondary the primary without asking the other side; its last commits may be lost
    ForcedFailover,
    /// Let the primary hand over to the secondary; nothing is lost and the link is kept
    PlannedFailover,
    /// Delete the link of a primary that is gone and can't be failed over, so that the copy in Azure goes
    /// on by itself; its last commits may be lost, and there is no way back over the link
    Deletion,
    /// Delete the link once both sides have the same, so that the copy in Azure goes on by itself; no
    /// way back over the link
    Cutover,
    /// Make one of two primaries the secondary of the other; what only it has is saved first
    Repair,
}

impl From<Kind> for PlanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::ForcedFailover => Self::ForcedFailover,
            Kind::PlannedFailover => Self::PlannedFailover,
            Kind::Deletion => Self::Deletion,
            Kind::Cutover => Self::Cutover,
            Kind::Repair => Self::Repair,
        }
    }
}

impl From<Winner> for Side {
    fn from(winner: Winner) -> Self {
        match winner {
            Winner::SqlServer => Self::SqlServer,
            Winner::ManagedInstance => Self::ManagedInstance,
        }
    }
}

impl Propose {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.connection.open()?;
        let mut body = json!({ "kind": PlanKind::from(self.kind), "by": self.by });
        if let Some(winner) = self.winner.map(Side::from) {
            body["winner"] = json!(winner);
        }
        let entry: Entry = client.post(&["links", &self.link, "proposals"], &body)?;
        context.output.show(&entry, |page| {
            page.line(0, format!("proposal {} is open for approvals", entry.seq));
            page.line(0, format!("next: dr-agent show {}", entry.seq));
        })
    }
}
