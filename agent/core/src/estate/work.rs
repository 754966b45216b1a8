//! What the record says ought to be under way.

use alloc::string::String;

use jiff::Timestamp;

use crate::{
    event::StepRef,
    names::LinkId,
    plan::{Action, Route},
};

/// A step that ought to be under way, with all that is needed to carry it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    pub link: LinkId,
    pub step: StepRef,
    pub action: Action,
    /// None for a step that only looks.
    pub route: Option<Route>,
    pub started_at: Timestamp,
    pub deadline: Timestamp,
    /// The command may have landed already: look, never send.
    pub sent: bool,
    pub operation: Option<String>,
    /// The deadline has passed once; it is looked after until the run ends.
    pub overdue: bool,
    /// When the step that changed the roles was begun; None if none has been done.
    pub turned_at: Option<Timestamp>,
}
