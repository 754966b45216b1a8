//! What is said of a run afterwards, against what the journal and the world have.

use agent_core::{
    End, Event, PlanKind,
    account::{Account, Clerk, Measured},
};
use jiff::SignedDuration;
use twin::world::World;

use super::{Checker, Violation};
use crate::universe::{Disk, LINK};

/// Clocks of the servers differ from the agent's, and a look is as old as its way.
const SLACK: SignedDuration = SignedDuration::from_secs(5);

impl Checker {
    /// 9: the account of each run adds up, and is honest about what was lost.
    pub(super) fn accounts(&self, world: &World, disk: &Disk) -> Result<(), Violation> {
        let entries = disk.entries();
        let closed = entries.iter().filter_map(|entry| {
            let Event::ProposalClosed { proposal, .. } = &entry.event else { return None };
            Some(*proposal)
        });
        let closed: Vec<_> = closed.collect();
        let forced = closed.iter().filter(|id| {
            self.proposals.get(id).is_some_and(|p| p.plan.kind == PlanKind::ForcedFailover)
        });
        let once = forced.count() == 1;
        for id in closed {
            let mut clerk = Clerk::new(id);
            entries.iter().for_each(|entry| clerk.take(entry));
            let wrong = |what: String| Violation::new("9", format!("account of {id}: {what}"));
            let account = clerk.account().ok_or_else(|| wrong("there is none".into()))?;
            adds_up(&account).map_err(wrong)?;
            if once {
                honest(&account, world).map_err(wrong)?;
            }
        }
        Ok(())
    }
}

fn adds_up(account: &Account) -> Result<(), String> {
    if account.end.is_none() || account.closed_at.is_none() {
        return Err("it has no end".into());
    }
    if let Some(spent) = &account.spent {
        let parts: u64 = spent.parts().iter().map(|(_, ms)| ms).sum();
        if parts != spent.whole_ms {
            return Err(format!("{parts} ms in parts, {} as a whole", spent.whole_ms));
        }
    }
    let Some(recovery) = &account.recovery else {
        let over = account.end == Some(End::Succeeded)
            && matches!(account.kind, PlanKind::ForcedFailover | PlanKind::PlannedFailover);
        return if over { Err("it succeeded and has no recovery time".into()) } else { Ok(()) };
    };
    let parts: u64 = recovery.parts.iter().map(|part| part.ms).sum();
    // Each part is cut to whole milliseconds.
    if parts.abs_diff(recovery.whole_ms) > 8 {
        return Err(format!("{parts} ms in parts, {} until service", recovery.whole_ms));
    }
    Ok(())
}

/// Where one forced plan alone has lost something: the new primary has all that is said to be kept.
fn honest(account: &Account, world: &World) -> Result<(), String> {
    let forced = account.kind == PlanKind::ForcedFailover && account.end == Some(End::Succeeded);
    let Measured::Commits { kept_until, .. } = account.loss.measured else { return Ok(()) };
    let first = world.loss(LINK).filter(|_| forced).and_then(|loss| loss.first);
    let Some(first) = first else { return Ok(()) };
    if kept_until.duration_since(first) > SLACK {
        return Err(format!("all until {kept_until} is said to be kept, {first} is lost"));
    }
    Ok(())
}
