//! How a world's description tells of the availability group on SQL Server.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::super::{Instance, LinkSpec, Side};

/// The availability group on SQL Server, where it has more replicas than one. Left out of the
/// file, the group has the one replica that the link names, as Microsoft's scripts make it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalSpec {
    /// `cluster_type` of `sys.availability_groups`. Only a cluster fails over by itself.
    #[serde(default)]
    pub cluster_type: ClusterType,
    /// The replicas beside `sql_server` of the link, which begins as the primary one. All of them
    /// are instances of their own, with a door each.
    pub replicas: Vec<ReplicaSpec>,
    /// The name of the group's listener. It gets a door of its own, and applications can name it
    /// as their target.
    #[serde(default)]
    pub listener: Option<String>,
    /// From the death of the primary replica's process until the cluster acts, in ms. The agent
    /// of the cluster looks every few seconds.
    #[serde(default = "default_detect")]
    pub detect_ms: u32,
    /// The same for one that hangs or stands still, in ms: the lease of an availability group
    /// ends after 20 s.
    #[serde(default = "default_lease")]
    pub lease_ms: u32,
    /// For how long nobody is primary in a local failover, in ms. Microsoft and the field say 10
    /// to 60 s, mostly by how much there is to redo.
    #[serde(default = "default_failover")]
    pub failover_ms: u32,
    /// How long a replica that was away needs to be synchronized again, in ms.
    #[serde(default = "default_catch_up")]
    pub catch_up_ms: u32,
}

/// A replica beside the first one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaSpec {
    /// The instance, a SQL Server.
    pub instance: String,
    /// Synchronous commit: it can take over without loss.
    #[serde(default = "default_true")]
    pub synchronous: bool,
    /// Whether the cluster may fail over to it by itself; of a synchronous one only.
    #[serde(default = "default_true")]
    pub automatic: bool,
    /// How far it is behind in asynchronous commit, in ms.
    #[serde(default = "default_lag")]
    pub lag_ms: u32,
}

/// What watches over an availability group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterType {
    /// Windows Server Failover Cluster.
    #[default]
    #[serde(rename = "WSFC")]
    Wsfc,
    /// Another one, as Pacemaker on Linux.
    #[serde(rename = "EXTERNAL")]
    External,
    /// Nothing: a failover is an administrator's.
    #[serde(rename = "NONE")]
    None,
}

impl ClusterType {
    /// The values of `cluster_type` and `cluster_type_desc`.
    #[must_use]
    pub fn code(self) -> (u8, &'static str) {
        match self {
            ClusterType::Wsfc => (0, "WSFC"),
            ClusterType::External => (1, "EXTERNAL"),
            ClusterType::None => (2, "NONE"),
        }
    }
}

/// What is wrong with the local group of a link.
pub(in super::super) fn check(
    given: &LinkSpec,
    instances: &BTreeMap<String, Instance>,
    listeners: &mut BTreeSet<String>,
) -> Result<(), String> {
    let Some(local) = &given.local else { return Ok(()) };
    if local.replicas.is_empty() || local.replicas.len() > 8 {
        return Err("local.replicas must name 1 to 8 replicas beside sql_server".to_owned());
    }
    let mut seen = BTreeSet::from([given.sql_server.as_str()]);
    for replica in &local.replicas {
        let name = &replica.instance;
        if instances.get(name).is_none_or(|found| found.side() != Side::SqlServer) {
            return Err(format!("local.replicas names no SQL Server of this world: {name:?}"));
        }
        if !seen.insert(name) {
            return Err(format!("local.replicas names {name:?} twice"));
        }
    }
    if let Some(listener) = &local.listener
        && (instances.contains_key(listener) || !listeners.insert(listener.clone()))
    {
        return Err(format!("local.listener {listener:?} is the name of something else already"));
    }
    if local.failover_ms == 0 {
        return Err("local.failover_ms must be at least 1".to_owned());
    }
    Ok(())
}

fn default_detect() -> u32 {
    5_000
}

fn default_lease() -> u32 {
    20_000
}

fn default_failover() -> u32 {
    10_000
}

fn default_catch_up() -> u32 {
    3_000
}

fn default_lag() -> u32 {
    500
}

fn default_true() -> bool {
    true
}
