//! What people do around the agent, and what they ask it for.

use agent_core::{Input, PlanKind, Side};
use tests::universe::{SQL_SERVER, Universe};

use super::Stage;

impl Stage {
    pub(super) fn ask_for(&mut self, words: &[&str]) -> Result<(), String> {
        let (kind, winner) = match words {
            ["forced", "failover"] => (PlanKind::ForcedFailover, None),
            ["planned", "failover"] => (PlanKind::PlannedFailover, None),
            ["deletion", "of", "the", "link"] => (PlanKind::Deletion, None),
            ["cutover"] => (PlanKind::Cutover, None),
            ["repair"] => (PlanKind::Repair, None),
            ["repair", "that", "keeps", side] => (PlanKind::Repair, Some(winner(side))),
            _ => return Err("nobody knows what that is".into()),
        };
        self.input(Input::Propose { link: Universe::link(), kind, by: "operator".into(), winner })
    }

    pub(super) fn people(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["stop", "the", "applications"] => self.universe.people_stop(true),
            ["let", "the", "applications", "in", "again"] => self.universe.people_stop(false),
            ["point", "the", "applications", "at", side] => self.universe.people_point_at(side),
            ["lift", "the", "guard"] => {
                let (by, note) = ("operator".into(), "SQL Server's data is to be kept".into());
                self.input(Input::LiftGuard { link: Universe::link(), by, note })?;
            }
            _ => return Err("nobody knows what people do then".into()),
        }
        Ok(())
    }
}

fn winner(side: &str) -> Side {
    if side == SQL_SERVER { Side::SqlServer } else { Side::ManagedInstance }
}
