//! What a client of one instance can see: the facts behind catalog views and DMVs, with times in
//! UTC (the door turns them into the instance's zone) and positions as integers.
//!
//! A secondary sees only its own rows; what a primary says of the other side is what it last heard
//! (mi-link 7).

use jiff::Timestamp;
use serde::Serialize;

pub use super::progress::{DatabaseReplicaFacts, LogFacts};
use super::{
    ClusterType, Copy, DatabaseState, Guid, Link, Member, Role, Side, SqlError, SyncHealth,
    SyncState, World,
    access::{in_no_role, not_open, not_readable},
    link::Movement,
    progress::heard_state,
};

/// A row of `sys.availability_groups`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupFacts {
    /// `group_id`
    pub group_id: Guid,
    /// `name`
    pub name: String,
    /// `is_distributed`
    pub is_distributed: bool,
    /// `required_synchronized_secondaries_to_commit`
    pub required: u32,
    /// `cluster_type`
    pub cluster: ClusterType,
    /// Whether it is a local group with several replicas.
    pub several: bool,
}

/// A row of `sys.availability_replicas`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaFacts {
    /// `replica_id`
    pub replica_id: Guid,
    /// `group_id`
    pub group_id: Guid,
    /// `replica_server_name`: of a distributed group, the name of the member group.
    pub replica_server_name: String,
    /// `endpoint_url`
    pub endpoint_url: String,
    /// `availability_mode`: `true` is SYNCHRONOUS_COMMIT.
    pub synchronous: bool,
    /// `failover_mode` is AUTOMATIC.
    pub automatic: bool,
    /// `session_timeout`, in s.
    pub session_timeout: u32,
    /// `secondary_role_allow_connections` is ALL.
    pub readable: bool,
    /// `create_date` and `modify_date`
    pub created: Timestamp,
}

/// A row of `sys.dm_hadr_availability_replica_states`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaStateFacts {
    /// `replica_id`
    pub replica_id: Guid,
    /// `group_id`
    pub group_id: Guid,
    /// `is_local`
    pub is_local: bool,
    /// `role`
    pub role: Role,
    /// `connected_state`
    pub connected: bool,
    /// `synchronization_health`
    pub health: SyncHealth,
    /// `operational_state` is ONLINE; NULL for a remote row.
    pub online: Option<bool>,
    /// `recovery_health` is ONLINE; NULL for a remote row.
    pub recovered: Option<bool>,
    /// `last_connect_error_*`
    pub connect_error: Option<ConnectError>,
    /// `is_internal`: of a group for one database of a link with several.
    pub internal: bool,
}

/// `last_connect_error_*`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectError {
    /// `last_connect_error_number`
    pub number: u32,
    /// `last_connect_error_description`
    pub description: String,
    /// `last_connect_error_timestamp`
    pub at: Timestamp,
}

/// A row of `sys.databases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseFacts {
    /// `name`
    pub name: String,
    /// `database_id`
    pub database_id: u32,
    /// `create_date`
    pub create_date: Timestamp,
    /// `state`
    pub state: DatabaseState,
    /// `recovery_model` is FULL, else SIMPLE.
    pub full_recovery: bool,
    /// `DATABASEPROPERTYEX(name, 'Updateability')` is READ_WRITE. `is_read_only` stays 0 on a
    /// secondary.
    pub updateable: bool,
    /// `replica_id`: of the local availability group.
    pub replica_id: Option<Guid>,
    /// `group_database_id`
    pub group_database_id: Option<Guid>,
    /// `log_reuse_wait_desc`
    pub log_reuse_wait: &'static str,
}

/// What a session may do in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only: a secondary.
    Read,
    /// Read and write.
    Write,
}

impl World {
    /// `sys.availability_groups` of an instance: the local group and the distributed one of each
    /// of its links.
    #[must_use]
    pub fn availability_groups(&self, at: &str) -> Vec<GroupFacts> {
        let of = |(link, side): (&Link, Side)| {
            let member = link.member(side);
            let (name, group_id) = (member.group.clone(), member.group_id);
            let several = member.local().is_some();
            let cluster = member.cluster;
            let local =
                GroupFacts { group_id, name, is_distributed: false, required: 0, cluster, several };
            let distributed = GroupFacts {
                group_id: link.id,
                name: link.group.clone(),
                is_distributed: true,
                required: link.required,
                cluster: ClusterType::None,
                several: false,
            };
            [local, distributed]
        };
        let linked = self.seats(at).filter(|(link, side)| !link.left_by(*side)).flat_map(of);
        linked.chain(self.own_groups(at)).collect()
    }

    /// `sys.availability_replicas` of an instance.
    #[must_use]
    pub fn availability_replicas(&self, at: &str) -> Vec<ReplicaFacts> {
        let Some(instance) = self.instance(at) else { return Vec::new() };
        let seconds = |own: &Member| u32::try_from(own.session_timeout.as_secs()).unwrap_or(20);
        let of = |(link, side): (&Link, Side)| {
            let member = link.member(side);
            let local = ReplicaFacts {
                replica_id: member.local_replica_id,
                group_id: member.group_id,
                replica_server_name: instance.server_name.clone(),
                endpoint_url: member.endpoint_url.clone(),
                synchronous: true,
                automatic: false,
                session_timeout: 10,
                readable: member.readable,
                created: link.created,
            };
            let mut rows = vec![local];
            if side == Side::SqlServer && member.local().is_some() {
                rows = self.configured(link);
            }
            let own = member;
            let of_member = |side: Side| {
                let member = link.member(side);
                ReplicaFacts {
                    replica_id: member.replica_id,
                    group_id: link.id,
                    replica_server_name: member.group.clone(),
                    endpoint_url: member.endpoint_url.clone(),
                    synchronous: own.mode() || own.modes[side.index()],
                    automatic: false,
                    session_timeout: seconds(own),
                    readable: false,
                    created: link.created,
                }
            };
            let local = self.replicas_beside(link, side);
            rows.extend(
                local.iter().map(|replica| replica.configured(&instance.server_name, link)),
            );
            rows.extend([of_member(Side::SqlServer), of_member(Side::ManagedInstance)]);
            rows
        };
        let linked = self.seats(at).filter(|(link, side)| !link.left_by(*side)).flat_map(of);
        linked.chain(self.own_replicas(at)).collect()
    }

    /// `sys.dm_hadr_availability_replica_states` of an instance.
    #[must_use]
    pub fn replica_states(&self, at: &str) -> Vec<ReplicaStateFacts> {
        let own = self.memberships(at).flat_map(|(link, side)| {
            let local = self.replicas_beside(link, side).into_iter().map(|replica| replica.state());
            self.states_of(link, side).into_iter().chain(local)
        });
        let standby = self.standbys(at).flat_map(|of| self.standby_states(of));
        own.chain(standby).chain(self.own_states(at)).collect()
    }

    /// `sys.databases` of an instance, system databases first.
    #[must_use]
    pub fn databases(&self, at: &str) -> Vec<DatabaseFacts> {
        let Some(instance) = self.instance(at) else { return Vec::new() };
        let system = |(name, database_id): (&str, u32)| DatabaseFacts {
            name: name.to_owned(),
            database_id,
            create_date: instance.started(),
            state: DatabaseState::Online,
            full_recovery: name == "model",
            updateable: true,
            replica_id: None,
            group_database_id: None,
            log_reuse_wait: "NOTHING",
        };
        let mut all: Vec<DatabaseFacts> =
            [("master", 1), ("tempdb", 2), ("model", 3), ("msdb", 4)].map(system).into();
        for (link, side) in self.sights(at) {
            let member = link.member(side);
            for (database, copy) in link.databases.iter().zip(&member.copies) {
                if copy.gone {
                    continue;
                }
                let state = self.shown_state(link, side, copy);
                let primary = self.shown_role(link, side) == Role::Primary;
                let left = link.left_by(side);
                let behind = !left && (!member.connected || copy.sent < copy.log.len());
                let group = instance.groups.of(&database.name).map(|group| group.replica_id);
                let linked = Some(member.local_replica_id).filter(|_| !left);
                all.push(DatabaseFacts {
                    name: database.name.clone(),
                    database_id: copy.database_id,
                    create_date: link.created,
                    state,
                    full_recovery: !instance.setup().database(&database.name).simple,
                    updateable: primary && state == DatabaseState::Online,
                    replica_id: linked.or(group),
                    group_database_id: linked.or(group).map(|_| database.group_database_id),
                    log_reuse_wait: match (primary, copy.room.wait) {
                        (true, "NOTHING") if behind => "AVAILABILITY_REPLICA",
                        (true, wait) => wait,
                        (false, _) => "NOTHING",
                    },
                });
            }
        }
        all.extend(self.standbys(at).flat_map(|of| self.standby_databases(of)));
        let unlinked = self.unlinked(instance).map(|own| self.unlinked_facts(instance, own));
        all.extend(unlinked);
        all.extend(self.arriving_facts(instance));
        for database in all.iter_mut().filter(|database| database.database_id > 4) {
            let made = instance.setup().database(&database.name);
            if made.offline {
                database.state = DatabaseState::Offline;
            }
            database.updateable &= made.takes_writes();
        }
        all
    }

    /// What a session may do in a database of an instance.
    ///
    /// # Errors
    /// The engine's own: 911 no such database, 922 recovering, 927 restoring, 976 a secondary that is not
    /// readable, 983 role resolving.
    pub fn access(&self, at: &str, database: &str) -> Result<Access, SqlError> {
        if ["master", "tempdb", "model", "msdb"]
            .iter()
            .any(|own| own.eq_ignore_ascii_case(database))
        {
            return Ok(Access::Write);
        }
        let made = self.instance(at).map(|found| found.setup().database(database));
        let made = made.unwrap_or_default();
        if made.offline {
            let text = format!("Database '{database}' cannot be opened because it is offline.");
            return Err(SqlError { class: 14, state: 4, ..SqlError::new(942, &text) });
        }
        if self.is_restoring(at, database) || self.arrives(at, database) {
            let text = format!(
                "Database '{database}' cannot be opened. It is in the middle of a restore."
            );
            return Err(SqlError { class: 14, state: 2, ..SqlError::new(927, &text) });
        }
        let write = if made.read_only { Access::Read } else { Access::Write };
        let found = self.sights(at).find_map(|(link, side)| {
            let place = link.place_on(side, database)?;
            Some((link, side, &link.member(side).copies[place]))
        });
        let Some((link, side, copy)) = found else {
            if let Some(refusal) = self.standby_refusal(at, database) {
                return Err(refusal);
            }
            let instance = self.instance(at);
            if instance.is_some_and(|found| self.unlinked(found).any(|own| own.is(database))) {
                let shut = instance.is_some_and(|found| found.groups.is_shut(database));
                return if shut { Err(in_no_role(database)) } else { Ok(write) };
            }
            let text = format!(
                "Database '{database}' does not exist. Make sure that the name is entered correctly."
            );
            return Err(SqlError::new(911, &text));
        };
        let role = self.shown_role(link, side);
        if role == Role::Resolving {
            return Err(in_no_role(database));
        }
        not_open(database, self.shown_state(link, side, copy))?;
        match (role, side) {
            (Role::Primary, _) if link.member(side).draining => Ok(Access::Read),
            (Role::Primary, _) => Ok(write),
            (Role::Secondary | Role::Resolving, _) if link.member(side).readable => {
                Ok(Access::Read)
            }
            // The group on SQL Server is made without SECONDARY_ROLE (mi-link 1.1): not readable.
            (Role::Secondary | Role::Resolving, _) => Err(not_readable(database)),
        }
    }

    /// The links that an instance is a member of, and as which side.
    pub(super) fn sights<'a>(&'a self, at: &str) -> impl Iterator<Item = (&'a Link, Side)> {
        let has = |(link, side): &(&Link, Side)| !link.gone_from(*side);
        self.links.values().filter_map(move |link| Some((link, link.side_of(at)?))).filter(has)
    }

    /// Those of them in whose groups it still is: a deleted link leaves its databases on the
    /// managed instance, and no group.
    pub(super) fn memberships<'a>(&'a self, at: &str) -> impl Iterator<Item = (&'a Link, Side)> {
        self.sights(at).filter(|(link, side)| !link.left_by(*side))
    }

    /// The role as the instance shows it: RESOLVING until it has come up.
    pub(super) fn shown_role(&self, link: &Link, side: Side) -> Role {
        let member = link.member(side);
        let up = link.acts(side, &self.instances, self.now);
        if up { member.role } else { Role::Resolving }
    }

    pub(super) fn shown_state(&self, link: &Link, side: Side, copy: &Copy) -> DatabaseState {
        let up = link.acts(side, &self.instances, self.now);
        if up { copy.state } else { DatabaseState::Recovering }
    }

    /// How far a side's copy moves, as that side sees it.
    pub(super) fn sync_state(&self, link: &Link, side: Side, place: usize) -> SyncState {
        let copy = &link.member(side).copies[place];
        if self.shown_state(link, side, copy) != DatabaseState::Online {
            return SyncState::NotSynchronizing;
        }
        // In asynchronous commit the healthy state is SYNCHRONIZING (mi-link 7).
        let moving = if copy.synchronized && link.member(side).mode() {
            SyncState::Synchronized
        } else {
            SyncState::Synchronizing
        };
        match self.shown_role(link, side) {
            Role::Resolving => SyncState::NotSynchronizing,
            Role::Primary if copy.suspended.is_some() => SyncState::NotSynchronizing,
            Role::Primary => moving,
            Role::Secondary => {
                if copy.suspended.is_some() || !link.member(side).connected || !copy.fed {
                    return SyncState::NotSynchronizing;
                }
                match copy.movement {
                    Movement::None | Movement::Initializing { .. } => SyncState::Initializing,
                    Movement::Reverting { .. } => SyncState::Reverting,
                    Movement::Apart => SyncState::NotSynchronizing,
                    Movement::Flowing => moving,
                }
            }
        }
    }

    fn states_of(&self, link: &Link, side: Side) -> Vec<ReplicaStateFacts> {
        let member = link.member(side);
        let role = self.shown_role(link, side);
        let up = role != Role::Resolving;
        let worst = |state: &dyn Fn(usize) -> SyncState| {
            let states = (0..link.databases.len()).map(state);
            let health = states.map(|state| health(state, member.mode())).min();
            health.unwrap_or(SyncHealth::NotHealthy)
        };
        let own = worst(&|place| self.sync_state(link, side, place));
        let row = |replica_id, group_id, role, connected, health| ReplicaStateFacts {
            replica_id,
            group_id,
            is_local: true,
            role,
            connected,
            health,
            online: Some(up),
            recovered: Some(up),
            connect_error: None,
            internal: false,
        };
        // On a forwarder the local group's role is PRIMARY though its database is not writable
        // (addendum 6).
        let local_role = if up { Role::Primary } else { Role::Resolving };
        let connected = member.connected || role == Role::Primary;
        let local = row(member.local_replica_id, member.group_id, local_role, up, own);
        let distributed = row(member.replica_id, link.id, role, connected, own);
        let mut rows = vec![local, distributed];
        let peers = if side == Side::SqlServer && up { self.peer_states(link) } else { Vec::new() };
        if role == Role::Primary {
            let partner = link.member(side.other());
            let heard = worst(&|place| heard_state(link, side, place));
            // Of one that it has not heard of since it became primary it knows that it was no
            // primary when it was made.
            let first = member.copies.first().and_then(|copy| copy.heard);
            let partner_role = first.map_or(Role::Secondary, |heard| heard.role);
            rows.push(ReplicaStateFacts {
                is_local: false,
                online: None,
                recovered: None,
                connect_error: self.connect_error(link, side),
                ..row(partner.replica_id, link.id, partner_role, member.connected, heard)
            });
        } else if !connected && let Some(distributed) = rows.last_mut() {
            distributed.connect_error = self.connect_error(link, side);
        }
        rows.extend(peers);
        rows.extend(link.internal_states(side, role));
        rows
    }

    fn connect_error(&self, link: &Link, side: Side) -> Option<ConnectError> {
        let at = link.member(side).lost_at?;
        let partner = link.member(side.other());
        Some(ConnectError {
            number: 35_206,
            description: format!(
                "A connection timeout has occurred on a previously established connection to \
                 availability replica '{}' with id [{}]. Either a networking or a firewall issue \
                 exists or the availability replica has transitioned to the resolving role.",
                partner.group, partner.replica_id
            ),
            at,
        })
    }
}

/// Health as it follows from a state and the commit mode.
pub(super) fn health(state: SyncState, synchronous: bool) -> SyncHealth {
    match state {
        SyncState::NotSynchronizing => SyncHealth::NotHealthy,
        SyncState::Reverting | SyncState::Initializing => SyncHealth::PartiallyHealthy,
        SyncState::Synchronizing if synchronous => SyncHealth::PartiallyHealthy,
        SyncState::Synchronizing | SyncState::Synchronized => SyncHealth::Healthy,
    }
}
