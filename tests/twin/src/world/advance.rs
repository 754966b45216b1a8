//! Time passes.
use jiff::Timestamp;

use super::World;

impl World {
    /// Lets everything happen up to `to`; an earlier time changes nothing.
    pub fn advance(&mut self, to: Timestamp) {
        self.now = self.now.max(to);
    }

    pub(super) fn note_writers(&mut self) {}
}
