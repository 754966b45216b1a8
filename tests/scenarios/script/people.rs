//! What people do around the agent, and what they ask it for.

use agent_core::{Input, PlanKind, Side};
use tests::universe::{LINK, MANAGED_INSTANCE, PORTAL, SQL_SERVER, Universe};
use twin::world::{AzureCommand, GroupCommand, Origin, Party};

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
            ["drop", "the", "groups", "of", at] => {
                let who = Origin::new(Party::Operator, "admin", PORTAL);
                for name in [LINK, "AG_Sales"] {
                    let drop = GroupCommand::Drop { name: name.into() };
                    let dropped = self.universe.world.administer(at, &who, drop);
                    dropped.map_err(|error| format!("{error:?}"))?;
                }
            }
            ["delete", "the", "link", "in", "the", "portal"] => {
                let (who, order) = (
                    Origin::new(Party::Operator, "admin", PORTAL),
                    AzureCommand::DeleteLink(LINK.into()),
                );
                let taken = self.universe.world.azure(&who, MANAGED_INSTANCE, order);
                taken.map_err(|error| format!("{error:?}"))?;
            }
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
