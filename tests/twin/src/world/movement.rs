//! What a secondary does with the log, from finding its primary to following it.

use jiff::Timestamp;

/// What a secondary does with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Movement {
    /// It has not agreed with the primary on where to go on.
    None,
    /// It undoes what the primary does not have.
    Reverting { until: Timestamp },
    /// It receives what it needs, up to a place in the log, to be consistent again after that.
    Initializing { upto: usize },
    /// It receives.
    Flowing,
    /// The two logs have gone too far apart: only seeding it anew helps (mi-link 4.1).
    Apart,
}

impl Movement {
    /// Whether log is taken.
    pub(crate) fn receives(self) -> bool {
        match self {
            Movement::Initializing { .. } | Movement::Flowing => true,
            Movement::None | Movement::Reverting { .. } | Movement::Apart => false,
        }
    }

    /// Whether the database could not start as a primary now (mi-link 4).
    pub(crate) fn is_between(self) -> bool {
        match self {
            Movement::Reverting { .. } | Movement::Initializing { .. } => true,
            Movement::None | Movement::Flowing | Movement::Apart => false,
        }
    }
}
