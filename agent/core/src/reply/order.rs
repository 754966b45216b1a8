//! What the control plane said to an order.

use alloc::{format, string::String};

use crate::{deed::Sent, event::Again};

/// What came back of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderReply {
    Accepted {
        /// Where to ask how it goes, if it said so.
        operation: Option<String>,
    },
    /// Conclusively without effect.
    Refused { why: String, by: Obstacle },
    /// It may have landed.
    Open { why: String },
}

/// What stood in the way of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It has not left.
    Way,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404 of the gateway: no such instance.
    NoInstance,
    /// 404 of the resource provider: no such link.
    NoLink,
    /// 409
    Conflict,
    /// 429
    Throttled,
    /// Another 4xx because of the role that the instance has.
    Role,
    /// Any other 4xx.
    Rejected,
}

impl Obstacle {
    /// The code of an error that means [`Obstacle::Role`].
    pub const ROLE: &str = "InvalidDistributedAvailabilityGroupFailoverInstanceRole";
}

/// What became of an order.
#[must_use]
pub fn order(reply: OrderReply) -> Sent {
    let (why, by) = match reply {
        OrderReply::Accepted { operation } => return Sent::Accepted { operation },
        OrderReply::Open { why } => return Sent::Unknown { why },
        OrderReply::Refused { why, by } => (why, by),
    };
    let (again, advice) = match by {
        Obstacle::Forbidden => (
            Again::NextRoute,
            "; the identity lacks Microsoft.Sql/managedInstances/distributedAvailabilityGroups/failover/action (or, for a deletion, ../delete)",
        ),
        Obstacle::Unauthorized => {
            (Again::NextRoute, "; check the identity's tenant, and that it has not been deleted")
        }
        Obstacle::NoInstance => {
            (Again::NextRoute, "; the managed instance or its resource group is not there")
        }
        Obstacle::NoLink => (Again::NextRoute, "; the link is not there, or has another name"),
        Obstacle::Conflict => {
            (Again::SameRoute, "; something else is going on there, it is tried again")
        }
        Obstacle::Throttled => (Again::SameRoute, ""),
        Obstacle::Role => {
            (Again::NextRoute, "; a planned failover is ordered from the primary's side only")
        }
        Obstacle::Rejected => (Again::NextRoute, ""),
        Obstacle::Way => (Again::NextRoute, "; the order did not leave"),
    };
    Sent::Refused { why: format!("Azure Resource Manager: {why}{advice}"), again }
}
