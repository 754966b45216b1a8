//! What became of a command, by what came back of it: what it allows next, and words that tell people
//! what to do. The daemon and the simulation judge by this very code; what a reply can't settle is
//! left to a look.

mod hook;
mod order;
mod statement;

use alloc::{format, string::String};

pub use self::{
    hook::{HookEnd, hook, hook_status},
    order::{Obstacle, OrderReply, order},
    statement::{StatementReply, ends_open, statement},
};
use crate::{deed::Sent, event::Again};

/// The target has shown the state twice while the reply of the command was outstanding: that reply
/// may be lost, and nobody waits for it any more.
#[must_use]
pub fn outstanding(seen: &str) -> Sent {
    Sent::Unknown { why: format!("the reply is outstanding, and {seen}") }
}

/// The agent has found nobody to give the command to.
#[must_use]
pub fn nobody_there(why: &str) -> Sent {
    Sent::Refused { why: did_not_leave(why), again: Again::SameRoute }
}

fn did_not_leave(why: &str) -> String {
    format!("the command did not leave: {why}")
}
