//! The roles that a member of a link has had, as its error log tells them.

use jiff::Timestamp;

use super::{Member, Role};

/// So many changes are remembered.
const KEPT: usize = 200;

/// When a role changed, from which and to which; the newest last.
#[derive(Clone, Debug, Default)]
pub(super) struct Past(Vec<(Timestamp, Role, Role)>);

impl Past {
    pub(super) fn note(&mut self, at: Timestamp, from: Role, to: Role) {
        if self.0.len() >= KEPT {
            self.0.remove(0);
        }
        self.0.push((at, from, to));
    }
}

impl Member {
    /// Its changes of role, the newest last: when, from which and to which.
    #[must_use]
    pub fn past_roles(&self) -> &[(Timestamp, Role, Role)] {
        &self.past.0
    }
}
