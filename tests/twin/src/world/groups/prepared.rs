//! What a SQL Server's administrator has made before the world begins.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ClusterType, Distributed, OwnGroup};
use crate::world::{Guid, Instance};

/// Both groups of a link that Azure is still to make, and trust in the other side.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreparedSpec {
    /// The distributed group: the name of the link to be.
    pub link: String,
    /// The local group.
    pub group: String,
    /// Its databases; none where the managed instance is to begin as primary.
    #[serde(default)]
    pub databases: Vec<String>,
    /// The server name of the managed instance: its certificate is imported.
    pub partner: String,
    /// The group on the managed instance.
    pub partner_group: String,
}

impl PreparedSpec {
    pub(in crate::world) fn apply(&self, instance: &mut Instance, seed: u64, start: Timestamp) {
        let id = |what: &str| Guid::derive(seed, &format!("prepared/{}/{what}", self.link));
        let url = format!("TCP://{}", instance.endpoint.as_deref().unwrap_or("10.0.1.8:5022"));
        instance.setup.trusts(&self.partner, start);
        instance.groups.local.push(OwnGroup {
            name: self.group.clone(),
            id: id("group"),
            replica_id: id("replica"),
            databases: self.databases.clone(),
            cluster: ClusterType::None,
            readable: false,
            url: url.clone(),
            may_create: true,
            offline: false,
            created: start,
        });
        let short = self.partner.split('.').next().unwrap_or(&self.partner);
        instance.groups.distributed.push(Distributed {
            name: self.link.clone(),
            id: id("distributed"),
            own: self.group.clone(),
            replica_id: id("own"),
            url,
            other: self.partner_group.clone(),
            other_id: id("other"),
            other_url: format!("tcp://{}:5022;Server=[{short}]", self.partner),
            session_timeout: 20,
            created: start,
        });
    }
}
