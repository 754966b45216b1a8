//! What is looked at.

use agent_core::{InstanceId, LinkId, Side};
use jiff::Timestamp;

use crate::tds::TdsEndpoint;

/// Tells the time; the one clock of the workspace lives elsewhere and is handed in.
pub type Now = std::sync::Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// One link as an instance knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkTarget {
    pub link: LinkId,
    /// Name of the distributed availability group; in ARM it is also the name of the link.
    pub dag: String,
    pub database: String,
}

/// One SQL Server or managed instance with all its links: a single look answers for each of them.
#[derive(Clone, Debug)]
pub struct InstanceTarget {
    pub instance: InstanceId,
    pub side: Side,
    pub links: Vec<LinkTarget>,
    pub endpoint: TdsEndpoint,
}

/// One managed instance as Azure Resource Manager knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlTarget {
    pub subscription: String,
    pub resource_group: String,
    /// Short name of the managed instance.
    pub instance: String,
    /// For example `https://management.azure.com`.
    pub base_url: String,
    /// For example `2025-01-01`.
    pub api_version: String,
    pub links: Vec<LinkTarget>,
}
