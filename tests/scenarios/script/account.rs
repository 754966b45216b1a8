//! What is said of a run afterwards.

use std::fmt::Write as _;

use agent_core::{PlanKind, account::Clerk, seconds};
use tests::universe;

use super::Stage;

impl Stage {
    /// Where the time of the newest run that people signed went, and what was lost.
    pub(super) fn account(&mut self) -> Result<(), String> {
        let entries = self.universe.journal();
        let asked = entries.iter().rfind(|entry| {
            let guard = PlanKind::ReturnGuard;
            universe::opened(entry).is_some_and(|proposal| proposal.plan.kind != guard)
        });
        let mut clerk = Clerk::new(asked.ok_or("nothing was proposed")?.seq);
        entries.iter().for_each(|entry| clerk.take(entry));
        let account = clerk.account().ok_or("it can't be read")?;
        let out = &mut self.out;
        if let Some(spent) = &account.spent {
            let parts = spent.parts().into_iter().filter(|(_, ms)| *ms > 0);
            let parts: Vec<_> = parts.map(|(what, ms)| format!("{what} {}", seconds(ms))).collect();
            let whole = seconds(spent.whole_ms);
            let _ = writeln!(out, "    from approval to end {whole}: {}", parts.join(", "));
        }
        if let Some(recovery) = &account.recovery {
            let _ = writeln!(out, "    service was away for {}", seconds(recovery.whole_ms));
            for part in &recovery.parts {
                let _ = writeln!(out, "      {:>8} {}", seconds(part.ms), part.what);
            }
        }
        let _ = writeln!(out, "    forecast: {}", account.loss.forecast);
        let _ = writeln!(out, "    measured: {}", account.loss.measured);
        Ok(())
    }
}
