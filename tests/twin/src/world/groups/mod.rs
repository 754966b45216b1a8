//! The administrator's part of a link on SQL Server: availability groups, local and distributed,
//! made, changed and dropped by T-SQL (mi-link 1.1, 3.4, 3.6; addendum 4.2 and 5).
//!
//! A group stands here while it belongs to no link: before Azure has made the link, and after the
//! distributed group was dropped. In between the [`Link`] has them.

mod change;
mod facts;
mod made;
mod prepared;
mod settings;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use facts::SeedingFacts;
pub use prepared::PreparedSpec;
pub use settings::{BackupPreference, Connections, GroupOption, GroupSettings, ReplicaSettings};

use super::{ClusterType, Guid, Instance, Link, Origin, Side, SqlError, World};

/// A statement about availability groups, beside those that change roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupCommand {
    /// `CREATE AVAILABILITY GROUP [name] … FOR DATABASE … REPLICA ON …`
    Create {
        /// The group.
        name: String,
        /// Its databases; none where the managed instance begins as primary.
        databases: Vec<String>,
        /// `CLUSTER_TYPE`, if it is said.
        cluster: Option<ClusterType>,
        /// Its replicas.
        replicas: Vec<MemberClause>,
    },
    /// `CREATE AVAILABILITY GROUP [name] WITH (DISTRIBUTED) …`
    CreateDistributed {
        /// The group.
        name: String,
        /// Its members.
        members: Vec<MemberClause>,
    },
    /// `DROP AVAILABILITY GROUP [name]`
    Drop {
        /// The group.
        name: String,
    },
    /// `ALTER AVAILABILITY GROUP [name] GRANT CREATE ANY DATABASE`, or DENY.
    MayCreate {
        /// The group.
        name: String,
        /// Granted.
        granted: bool,
    },
    /// `ALTER AVAILABILITY GROUP [name] MODIFY AVAILABILITY GROUP ON …`
    Modify {
        /// The group.
        name: String,
        /// What about which member.
        members: Vec<MemberClause>,
    },
    /// `ALTER AVAILABILITY GROUP [name] ADD DATABASE …`, or REMOVE.
    Database {
        /// The group.
        name: String,
        /// The database.
        database: String,
        /// Added.
        added: bool,
    },
    /// `ALTER AVAILABILITY GROUP [name] MODIFY REPLICA ON …`
    Replica {
        /// The group.
        name: String,
        /// What about which replica.
        replicas: Vec<MemberClause>,
    },
    /// `ALTER AVAILABILITY GROUP [name] SET (option = value)`
    Set {
        /// The group.
        name: String,
        /// The options.
        options: Vec<GroupOption>,
    },
    /// `ALTER AVAILABILITY GROUP [name] OFFLINE`
    Offline {
        /// The group.
        name: String,
    },
    /// `ALTER AVAILABILITY GROUP [name] FAILOVER` of a local group, or
    /// `FORCE_FAILOVER_ALLOW_DATA_LOSS`.
    FailOver {
        /// The group.
        name: String,
        /// What the new primary replica does not have may be lost.
        forced: bool,
    },
}

/// What a statement says of a replica, or of a member of a distributed group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberClause {
    /// The server or the group.
    pub name: String,
    /// `ENDPOINT_URL` or `LISTENER_URL`
    pub url: Option<String>,
    /// `AVAILABILITY_MODE` is SYNCHRONOUS_COMMIT.
    pub synchronous: Option<bool>,
    /// `FAILOVER_MODE` is AUTOMATIC.
    pub automatic_failover: Option<bool>,
    /// `SEEDING_MODE` is AUTOMATIC.
    pub automatic_seeding: Option<bool>,
    /// `SESSION_TIMEOUT`, in s.
    pub session_timeout: Option<u32>,
    /// `BACKUP_PRIORITY`
    pub backup_priority: Option<u32>,
    /// `PRIMARY_ROLE (ALLOW_CONNECTIONS = …)`
    pub as_primary: Option<Connections>,
    /// `SECONDARY_ROLE (ALLOW_CONNECTIONS = …)`: who may read it as secondary.
    pub as_secondary: Option<Connections>,
}

/// The groups of an instance that are in no link.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    pub(super) local: Vec<OwnGroup>,
    pub(super) distributed: Vec<Distributed>,
    /// What was set of local groups, those of links too, by lower-case name.
    settings: BTreeMap<String, GroupSettings>,
}

/// A local group.
#[derive(Clone, Debug)]
pub(super) struct OwnGroup {
    pub(super) name: String,
    pub(super) id: Guid,
    pub(super) replica_id: Guid,
    pub(super) databases: Vec<String>,
    pub(super) cluster: ClusterType,
    /// Whether its databases can be read while it is secondary.
    pub(super) readable: bool,
    pub(super) url: String,
    /// GRANT CREATE ANY DATABASE: it takes databases that are seeded.
    pub(super) may_create: bool,
    /// It was taken offline: until the next start it has no role.
    pub(super) offline: bool,
    pub(super) created: Timestamp,
}

/// A distributed group that waits for its other member.
#[derive(Clone, Debug)]
pub(super) struct Distributed {
    pub(super) name: String,
    pub(super) id: Guid,
    /// The local group.
    pub(super) own: String,
    pub(super) replica_id: Guid,
    pub(super) url: String,
    /// The member on the managed instance.
    pub(super) other: String,
    pub(super) other_id: Guid,
    pub(super) other_url: String,
    pub(super) session_timeout: u32,
    pub(super) created: Timestamp,
}

impl World {
    /// Carries out a statement about groups.
    ///
    /// # Errors
    /// What the engine refuses, with its number.
    pub fn administer(
        &mut self,
        at: &str,
        who: &Origin,
        command: GroupCommand,
    ) -> Result<(), SqlError> {
        let words = command.words();
        let outcome = self.do_administer(at, command);
        self.note_command(at, who.clone(), words, outcome.as_ref().copied());
        self.note_writers();
        outcome
    }

    fn do_administer(&mut self, at: &str, command: GroupCommand) -> Result<(), SqlError> {
        let instance = self.instances.get(at).filter(|found| found.is_up());
        let instance = instance.ok_or_else(|| SqlError {
            class: 20,
            ..SqlError::new(596, "The instance is not running.")
        })?;
        if instance.side() == Side::ManagedInstance {
            return self.on_managed(at, command);
        }
        if !instance.setup.hadr {
            let text = "Could not process the operation. Always On Availability Groups replica \
                        manager is disabled on this instance of SQL Server. Enable Always On \
                        Availability Groups, by using the SQL Server Configuration Manager.";
            return Err(SqlError::new(35_221, text));
        }
        match command {
            GroupCommand::Create { name, databases, cluster, replicas } => {
                self.create_local(at, name, databases, cluster, &replicas)
            }
            GroupCommand::CreateDistributed { name, members } => {
                self.create_distributed(at, name, &members)
            }
            GroupCommand::Drop { name } => self.drop_group(at, &name),
            GroupCommand::MayCreate { name, granted } => {
                let group = self.own_group_mut(at, &name)?;
                if let Some(group) = group {
                    group.may_create = granted;
                }
                Ok(())
            }
            GroupCommand::Modify { name, members } => self.modify(at, &name, &members),
            GroupCommand::Replica { name, replicas } => self.modify_replica(at, &name, &replicas),
            GroupCommand::Database { name, database, added } => {
                self.change_list(at, &name, &database, added)
            }
            GroupCommand::Set { name, options } => self.set_options(at, &name, &options),
            GroupCommand::Offline { name } => self.take_offline(at, &name),
            GroupCommand::FailOver { name, forced } => {
                self.fail_over_by_statement(at, &name, forced)
            }
        }
    }

    /// The groups on a managed instance are made and dropped by Azure.
    fn on_managed(&mut self, at: &str, command: GroupCommand) -> Result<(), SqlError> {
        match command {
            GroupCommand::Modify { name, members } => self.modify(at, &name, &members),
            GroupCommand::Create { .. }
            | GroupCommand::CreateDistributed { .. }
            | GroupCommand::Drop { .. }
            | GroupCommand::MayCreate { .. }
            | GroupCommand::Database { .. }
            | GroupCommand::Replica { .. }
            | GroupCommand::Set { .. }
            | GroupCommand::Offline { .. }
            | GroupCommand::FailOver { .. } => {
                let statement = command.statement();
                let text = format!(
                    "Statement '{statement}' is not supported in SQL Database Managed Instance."
                );
                Err(SqlError::new(41_906, &text))
            }
        }
    }

    /// A local group by its name; none if it belongs to a link.
    fn own_group_mut(&mut self, at: &str, name: &str) -> Result<Option<&mut OwnGroup>, SqlError> {
        let linked = self.linked_group(at, name).is_some();
        let instance = self.instances.get_mut(at);
        let group = instance.and_then(|found| found.groups.local_mut(name));
        if group.is_none() && !linked { Err(unknown("alter", name)) } else { Ok(group) }
    }

    /// The link whose member on SQL Server is this local group.
    fn linked_group(&self, at: &str, name: &str) -> Option<&Link> {
        self.links.values().find(|link| {
            let member = link.member(Side::SqlServer);
            link.side_with(at) == Some(Side::SqlServer)
                && !link.left_by(Side::SqlServer)
                && member.group.eq_ignore_ascii_case(name)
        })
    }

    /// The link whose distributed group has this name here.
    pub(super) fn link_here(&self, at: &str, name: &str) -> Option<(&Link, Side)> {
        let mut named = self.links.values().filter(|link| link.group.eq_ignore_ascii_case(name));
        named.find_map(|link| Some((link, link.side_with(at).filter(|side| !link.left_by(*side))?)))
    }
}

impl Groups {
    pub(super) fn local(&self, name: &str) -> Option<&OwnGroup> {
        self.local.iter().find(|group| group.name.eq_ignore_ascii_case(name))
    }

    fn local_mut(&mut self, name: &str) -> Option<&mut OwnGroup> {
        self.local.iter_mut().find(|group| group.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn distributed(&self, name: &str) -> Option<&Distributed> {
        self.distributed.iter().find(|group| group.name.eq_ignore_ascii_case(name))
    }

    /// Whether a database is in a group that was taken offline.
    pub(super) fn is_shut(&self, database: &str) -> bool {
        self.of(database).is_some_and(|group| group.offline)
    }

    /// The group that a database is in.
    pub(super) fn of(&self, database: &str) -> Option<&OwnGroup> {
        let has = |group: &&OwnGroup| {
            group.databases.iter().any(|name| name.eq_ignore_ascii_case(database))
        };
        self.local.iter().find(has)
    }
}

impl Instance {
    /// Whether it has a local group of that name which waits for a link.
    pub(super) fn waits_with(&self, group: &str, database: &str) -> bool {
        self.groups.local(group).is_some_and(|found| {
            found.databases.iter().any(|name| name.eq_ignore_ascii_case(database))
        })
    }
}

impl GroupCommand {
    fn statement(&self) -> &'static str {
        match self {
            GroupCommand::Create { .. } | GroupCommand::CreateDistributed { .. } => {
                "CREATE AVAILABILITY GROUP"
            }
            GroupCommand::Drop { .. } => "DROP AVAILABILITY GROUP",
            GroupCommand::MayCreate { .. }
            | GroupCommand::Modify { .. }
            | GroupCommand::Database { .. }
            | GroupCommand::Replica { .. }
            | GroupCommand::Set { .. }
            | GroupCommand::Offline { .. }
            | GroupCommand::FailOver { .. } => "ALTER AVAILABILITY GROUP",
        }
    }

    /// The group that it changes or drops, rather than makes one.
    #[must_use]
    pub fn changed(&self) -> Option<&str> {
        match self {
            GroupCommand::Create { .. } | GroupCommand::CreateDistributed { .. } => None,
            GroupCommand::Drop { name }
            | GroupCommand::MayCreate { name, .. }
            | GroupCommand::Modify { name, .. }
            | GroupCommand::Database { name, .. }
            | GroupCommand::Replica { name, .. }
            | GroupCommand::Set { name, .. }
            | GroupCommand::Offline { name }
            | GroupCommand::FailOver { name, .. } => Some(name),
        }
    }

    /// The statement in short.
    #[must_use]
    pub fn words(&self) -> String {
        let (name, rest) = match self {
            GroupCommand::Create { name, databases, .. } => {
                (name, format!(" FOR DATABASE {}", databases.join(", ")))
            }
            GroupCommand::CreateDistributed { name, members } => {
                let of: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
                (name, format!(" WITH (DISTRIBUTED) OF {}", of.join(", ")))
            }
            GroupCommand::Drop { name } => (name, String::new()),
            GroupCommand::MayCreate { name, granted } => {
                let word = if *granted { "GRANT" } else { "DENY" };
                (name, format!(" {word} CREATE ANY DATABASE"))
            }
            GroupCommand::Modify { name, .. } => (name, " MODIFY AVAILABILITY GROUP".to_owned()),
            GroupCommand::Database { name, database, added } => {
                let word = if *added { "ADD" } else { "REMOVE" };
                (name, format!(" {word} DATABASE [{database}]"))
            }
            GroupCommand::Replica { name, .. } => (name, " MODIFY REPLICA".to_owned()),
            GroupCommand::Set { name, options } => {
                let options: Vec<String> = options.iter().map(|option| option.words()).collect();
                (name, format!(" SET ({})", options.join(", ")))
            }
            GroupCommand::Offline { name } => (name, " OFFLINE".to_owned()),
            GroupCommand::FailOver { name, forced } => {
                let word = if *forced { "FORCE_FAILOVER_ALLOW_DATA_LOSS" } else { "FAILOVER" };
                (name, format!(" {word}"))
            }
        };
        format!("{} [{name}]{rest}", self.statement())
    }
}

/// 15151
pub(super) fn unknown(verb: &str, name: &str) -> SqlError {
    let text = format!(
        "Cannot {verb} the availability group '{name}', because it does not exist or you do not \
         have permission."
    );
    SqlError::new(15_151, &text)
}
