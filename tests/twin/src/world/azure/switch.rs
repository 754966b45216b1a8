//! `setRole`, the older sister of `failover` (addendum 3).

use serde::{Deserialize, Serialize};

use super::{
    Taken,
    job::{Effect, Family},
};
use crate::world::{ArmCommand, ArmError, FailoverType, Origin, Role, Side, World};

/// `operation` of a failover, as recorded, and of `setRole`, which nobody has recorded.
pub(super) const FAILOVER: &str = "DistributedAvailabilityGroupsLinkFailover";
pub(super) const SET_ROLE: &str = "DistributedAvailabilityGroupsSetRole";

/// The body of `setRole`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleOrder {
    /// `instanceRole` is Primary, else Secondary.
    pub role: Role,
    /// `roleChangeType`
    pub change: RoleChange,
}

/// `roleChangeType`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoleChange {
    /// Whatever the other side has.
    Forced,
    /// Without loss.
    Planned,
}

impl World {
    pub(super) fn take_role(
        &mut self,
        who: &Origin,
        instance: &str,
        link: &str,
        order: RoleOrder,
    ) -> Result<Taken, ArmError> {
        self.ready(instance)?;
        let found = self.live_link(instance, link).ok_or_else(|| ArmError::link_not_found(link))?;
        let now = found.member(Side::ManagedInstance).role;
        let primary = order.role == Role::Primary;
        // What ARM makes of what the engine refuses is not known; the numbers are the engine's.
        let refused = match (primary, order.change) {
            _ if (now == Role::Primary) == primary => {
                Some("41965: The link is already in the requested role.")
            }
            (true, RoleChange::Planned) => Some(
                "41970: Switching the role of the link to primary in a planned fashion is not \
                 supported.",
            ),
            (true, RoleChange::Forced) | (false, RoleChange::Planned | RoleChange::Forced) => None,
        };
        if let Some(message) = refused {
            let effect = Effect::Fail(ArmError::new(500, "InternalServerError", message));
            let after = Some(super::link::SOON);
            return Ok(self.begin_job((Family::Links, SET_ROLE), instance, link, effect, after));
        }
        let kind = match order.change {
            RoleChange::Forced => FailoverType::ForcedAllowDataLoss,
            RoleChange::Planned => FailoverType::Planned,
        };
        let command =
            ArmCommand::Failover { instance: instance.to_owned(), link: link.to_owned(), kind };
        let accepted = self.arm(who, command)?;
        let guid = self.operations.get(&accepted.operation).map(|operation| operation.guid);
        self.azure.roles.extend(guid);
        Ok(Taken { operation: guid, reply: accepted.reply })
    }
}
