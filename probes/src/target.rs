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
    /// Its own; of a side with several replicas their listener's, or else the first one's.
    pub endpoint: TdsEndpoint,
    /// Each replica of the availability group that the side is of its own; empty where it is none.
    pub replicas: Vec<Replica>,
    /// Beside the replicas, `endpoint` is the listener that leads to the one that is primary there.
    pub listener: bool,
}

/// A server of a side.
#[derive(Clone, Debug)]
pub struct Replica {
    /// By which it is known here.
    pub name: String,
    pub endpoint: TdsEndpoint,
}

impl InstanceTarget {
    /// How many servers it is.
    #[must_use]
    pub fn servers(&self) -> usize {
        self.replicas.len().max(1)
    }

    /// All ways to it by name: its servers, then their listener.
    #[must_use]
    pub fn ways(&self) -> Vec<(&str, &TdsEndpoint)> {
        if self.replicas.is_empty() {
            return vec![(self.instance.as_str(), &self.endpoint)];
        }
        let replicas = self.replicas.iter().map(|replica| (&*replica.name, &replica.endpoint));
        replicas.chain(self.listener.then_some((LISTENER, &self.endpoint))).collect()
    }

    /// Each way as if it were all there is, to be asked by itself.
    #[must_use]
    pub fn apart(&self) -> Vec<(String, Self)> {
        let one = |(name, endpoint): (&str, &TdsEndpoint)| {
            let alone = Self {
                endpoint: endpoint.clone(),
                replicas: Vec::new(),
                listener: false,
                ..self.clone()
            };
            (name.to_owned(), alone)
        };
        self.ways().into_iter().map(one).collect()
    }
}

/// How the listener is called beside the replicas.
const LISTENER: &str = "listener";

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
