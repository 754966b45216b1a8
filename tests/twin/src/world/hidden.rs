//! What stands behind a link and shows in views that look too wide: the local replicas of a Business
//! Critical instance, and the groups for single databases in a link with several.
//!
//! That there are such rows is documented (mi-link 1.2, 3.6); no dump of them was ever published,
//! so what they hold beside keys and roles is a choice.

use super::{
    Guid, InstanceKind, Link, Role, Side, SyncHealth, SyncState, Tier, World,
    views::{DatabaseReplicaFacts, ReplicaFacts, ReplicaStateFacts},
};

/// A replica of a Business Critical instance beside the one that answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    number: u8,
    replica_id: Guid,
    group_id: Guid,
}

/// Business Critical has four replicas of everything.
const BESIDE: u8 = 3;

impl World {
    /// The replicas beside the one of a Business Critical instance that clients reach.
    pub(super) fn replicas_beside(&self, link: &Link, side: Side) -> Vec<Beside> {
        let member = link.member(side);
        let kind = self.instance(&member.instance).map(|found| found.kind);
        let tier = match kind {
            Some(InstanceKind::ManagedInstance { tier, .. }) => tier,
            Some(InstanceKind::SqlServer { .. }) | None => return Vec::new(),
        };
        if tier != Tier::BusinessCritical {
            return Vec::new();
        }
        let one = |number: u8| Beside {
            number,
            replica_id: Guid(member.local_replica_id.0 ^ (u128::from(number) << 8)),
            group_id: member.group_id,
        };
        (1..=BESIDE).map(one).collect()
    }
}

impl Beside {
    pub(super) fn state(self) -> ReplicaStateFacts {
        ReplicaStateFacts {
            replica_id: self.replica_id,
            group_id: self.group_id,
            is_local: false,
            role: Role::Secondary,
            connected: true,
            health: SyncHealth::Healthy,
            online: None,
            recovered: None,
            connect_error: None,
            internal: false,
        }
    }

    pub(super) fn configured(self, server: &str, link: &Link) -> ReplicaFacts {
        let (host, rest) = server.split_once('.').unwrap_or((server, ""));
        ReplicaFacts {
            replica_id: self.replica_id,
            group_id: self.group_id,
            replica_server_name: format!("{host}-{}", self.number),
            endpoint_url: format!("tcp://{host}-{}.{rest}:5022", self.number),
            synchronous: true,
            automatic: true,
            session_timeout: 10,
            readable: false,
            created: link.created,
        }
    }

    /// Its copy of a database: as far as the one that answers, and no primary.
    pub(super) fn database(self, local: &DatabaseReplicaFacts) -> DatabaseReplicaFacts {
        DatabaseReplicaFacts {
            replica_id: self.replica_id,
            group_id: self.group_id,
            is_local: false,
            is_primary_replica: false,
            state: SyncState::Synchronized,
            health: SyncHealth::Healthy,
            database_state: None,
            // It is one message behind: it hardens what the other has redone.
            last_hardened_lsn: local.last_redone_lsn.map(super::Lsn::block),
            end_of_log_lsn: local.last_redone_lsn.map(super::Lsn::block),
            ..local.clone()
        }
    }
}

impl Link {
    /// The rows of the groups that the engine keeps for single databases, where a link has several:
    /// `sys.availability_groups` does not list them.
    pub(super) fn internal_states(&self, side: Side, role: Role) -> Vec<ReplicaStateFacts> {
        if self.databases.len() < 2 {
            return Vec::new();
        }
        let key = self.member(side).replica_id.0;
        let row = |database: &super::link::LinkedDatabase| ReplicaStateFacts {
            replica_id: Guid(database.group_database_id.0 ^ key),
            group_id: Guid(database.group_database_id.0 ^ self.id.0),
            is_local: true,
            role,
            connected: true,
            health: SyncHealth::Healthy,
            online: Some(role != Role::Resolving),
            recovered: Some(role != Role::Resolving),
            connect_error: None,
            internal: true,
        };
        self.databases.iter().map(row).collect()
    }
}
