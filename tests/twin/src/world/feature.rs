//! What a database may have that keeps it out of a link.

use serde::{Deserialize, Serialize};

use super::InstanceKind;

/// What a database has that a link does not carry (addendum 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// In-Memory OLTP; on Business Critical it is taken.
    InMemory,
    /// More than one log file.
    SeveralLogs,
    /// More files than a managed instance takes.
    TooManyFiles,
    /// FILESTREAM or FileTable.
    Filestream,
    /// A file that is DEFUNCT.
    DefunctFile,
    /// Anything else that is not supported.
    Other,
}

impl Feature {
    /// The engine's number where a managed instance does not take it.
    pub(super) fn refused_by(self, kind: InstanceKind) -> Option<u32> {
        let critical = InstanceKind::is_business_critical(kind);
        match self {
            Feature::InMemory if critical => None,
            Feature::InMemory => Some(41_947),
            Feature::SeveralLogs => Some(41_948),
            Feature::TooManyFiles => Some(41_949),
            Feature::Filestream => Some(41_950),
            Feature::DefunctFile => Some(41_951),
            Feature::Other => Some(41_952),
        }
    }
}
