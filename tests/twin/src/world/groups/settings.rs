//! What ALTER AVAILABILITY GROUP sets of a local group and of its replicas.
//!
//! Most of it is only shown, for the twin's groups neither check their health nor choose where to
//! back up; modes of replicas decide who can take over, and connections who gets in.

use std::collections::BTreeMap;

use super::{Groups, MemberClause, Side, SqlError, World, unknown};
use crate::world::{Link, LocalReplica, Role, command::not_primary_replica};

/// `automated_backup_preference`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupPreference {
    /// 0
    Primary,
    /// 1
    SecondaryOnly,
    /// 2
    Secondary,
    /// 3
    None,
}

/// ALLOW_CONNECTIONS of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// 0, NO
    None,
    /// 1, READ_ONLY: only those that say that they only read.
    ReadOnly,
    /// 2, ALL
    All,
    /// 3, READ_WRITE: none that says so.
    ReadWrite,
}

/// An option of a local group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupOption {
    /// AUTOMATED_BACKUP_PREFERENCE
    BackupPreference(BackupPreference),
    /// FAILURE_CONDITION_LEVEL
    FailureConditionLevel(u32),
    /// HEALTH_CHECK_TIMEOUT, in ms.
    HealthCheckTimeout(u32),
    /// DB_FAILOVER
    DatabaseFailover(bool),
    /// DTC_SUPPORT is PER_DB.
    DistributedTransactions(bool),
}

/// What was set of a local group; what was not is as it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSettings {
    /// `automated_backup_preference`
    pub backup_preference: Option<BackupPreference>,
    /// `failure_condition_level`
    pub failure_condition_level: Option<u32>,
    /// `health_check_timeout`, in ms.
    pub health_check_timeout: Option<u32>,
    /// `db_failover`
    pub database_failover: bool,
    /// `dtc_support`
    pub distributed_transactions: bool,
    replicas: BTreeMap<String, ReplicaSettings>,
}

/// What was set of one of its replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaSettings {
    /// `endpoint_url`
    pub url: Option<String>,
    /// `availability_mode` is SYNCHRONOUS_COMMIT.
    pub synchronous: Option<bool>,
    /// `failover_mode` is AUTOMATIC.
    pub automatic: Option<bool>,
    /// `seeding_mode` is AUTOMATIC.
    pub automatic_seeding: Option<bool>,
    /// `session_timeout`, in s.
    pub session_timeout: Option<u32>,
    /// `backup_priority`
    pub backup_priority: Option<u32>,
    /// `primary_role_allow_connections`
    pub as_primary: Option<Connections>,
    /// `secondary_role_allow_connections`
    pub as_secondary: Option<Connections>,
}

impl BackupPreference {
    /// The value of the column, and of the one that describes it.
    #[must_use]
    pub fn code(self) -> (u8, &'static str) {
        match self {
            BackupPreference::Primary => (0, "primary"),
            BackupPreference::SecondaryOnly => (1, "secondary_only"),
            BackupPreference::Secondary => (2, "secondary"),
            BackupPreference::None => (3, "none"),
        }
    }
}

impl GroupOption {
    /// The option and its value.
    #[must_use]
    pub fn words(self) -> String {
        let switch =
            |name: &str, on, yes: &str, no: &str| format!("{name} = {}", if on { yes } else { no });
        match self {
            GroupOption::BackupPreference(preference) => {
                let word = preference.code().1.to_uppercase();
                format!("AUTOMATED_BACKUP_PREFERENCE = {word}")
            }
            GroupOption::FailureConditionLevel(level) => {
                format!("FAILURE_CONDITION_LEVEL = {level}")
            }
            GroupOption::HealthCheckTimeout(ms) => format!("HEALTH_CHECK_TIMEOUT = {ms}"),
            GroupOption::DatabaseFailover(on) => switch("DB_FAILOVER", on, "ON", "OFF"),
            GroupOption::DistributedTransactions(on) => switch("DTC_SUPPORT", on, "PER_DB", "NONE"),
        }
    }
}

impl Connections {
    /// The value of the column, and of the one that describes it.
    #[must_use]
    pub fn code(self) -> (u8, &'static str) {
        match self {
            Connections::None => (0, "NO"),
            Connections::ReadOnly => (1, "READ_ONLY"),
            Connections::All => (2, "ALL"),
            Connections::ReadWrite => (3, "READ_WRITE"),
        }
    }
}

impl GroupSettings {
    /// What was set of a replica, by the name of its server.
    #[must_use]
    pub fn replica(&self, server: &str) -> Option<&ReplicaSettings> {
        self.replicas.get(&server.to_lowercase())
    }

    fn set(&mut self, option: GroupOption) {
        match option {
            GroupOption::BackupPreference(preference) => self.backup_preference = Some(preference),
            GroupOption::FailureConditionLevel(level) => self.failure_condition_level = Some(level),
            GroupOption::HealthCheckTimeout(ms) => self.health_check_timeout = Some(ms),
            GroupOption::DatabaseFailover(on) => self.database_failover = on,
            GroupOption::DistributedTransactions(on) => self.distributed_transactions = on,
        }
    }
}

impl ReplicaSettings {
    fn set(&mut self, clause: &MemberClause) {
        self.url = clause.url.clone().or(self.url.take());
        self.synchronous = clause.synchronous.or(self.synchronous);
        self.automatic = clause.automatic_failover.or(self.automatic);
        self.automatic_seeding = clause.automatic_seeding.or(self.automatic_seeding);
        self.session_timeout = clause.session_timeout.or(self.session_timeout);
        self.backup_priority = clause.backup_priority.or(self.backup_priority);
        self.as_primary = clause.as_primary.or(self.as_primary);
        self.as_secondary = clause.as_secondary.or(self.as_secondary);
    }
}

impl Groups {
    /// What CREATE says of a replica.
    pub(super) fn note(&mut self, group: &str, clause: &MemberClause) {
        let mut settings = GroupSettings::default();
        let mut own = ReplicaSettings::default();
        own.set(clause);
        // The group itself knows its address.
        own.url = None;
        settings.replicas.insert(clause.name.to_lowercase(), own);
        self.settings.insert(group.to_lowercase(), settings);
    }

    fn settings_mut(&mut self, group: &str) -> &mut GroupSettings {
        self.settings.entry(group.to_lowercase()).or_default()
    }
}

impl World {
    /// What was set of a local group of an instance.
    #[must_use]
    pub fn group_settings(&self, at: &str, group: &str) -> Option<&GroupSettings> {
        self.instance(at)?.groups.settings.get(&group.to_lowercase())
    }

    /// `ALTER AVAILABILITY GROUP … SET (option = value)`
    pub(super) fn set_options(
        &mut self,
        at: &str,
        name: &str,
        options: &[GroupOption],
    ) -> Result<(), SqlError> {
        let replicas = self.replicas_of(at, name)?;
        for option in options {
            let refused = match option {
                GroupOption::FailureConditionLevel(level) if !(1..=5).contains(level) => {
                    let text = format!(
                        "The attempt to set the failure condition level for availability group \
                         '{name}' failed. The specified level value is out of the valid range [1, \
                         5]. Reenter the command specifying a valid failure condition level value."
                    );
                    Some(SqlError::new(35_228, &text))
                }
                GroupOption::HealthCheckTimeout(ms) if *ms < 15_000 => {
                    let text = format!(
                        "The attempt to set the health check timeout value for availability group \
                         '{name}' failed. The specified timeout value is less than 15000 \
                         milliseconds. Reenter the command specifying a valid health check timeout \
                         value."
                    );
                    Some(SqlError::new(35_229, &text))
                }
                GroupOption::BackupPreference(_)
                | GroupOption::FailureConditionLevel(_)
                | GroupOption::HealthCheckTimeout(_)
                | GroupOption::DatabaseFailover(_)
                | GroupOption::DistributedTransactions(_) => None,
            };
            if let Some(refused) = refused {
                return Err(refused);
            }
        }
        self.each_settings(&replicas, name, |settings| {
            options.iter().for_each(|option| settings.set(*option));
        });
        Ok(())
    }

    /// `ALTER AVAILABILITY GROUP … MODIFY REPLICA ON …`
    pub(super) fn modify_replica(
        &mut self,
        at: &str,
        name: &str,
        clauses: &[MemberClause],
    ) -> Result<(), SqlError> {
        let replicas = self.replicas_of(at, name)?;
        for clause in clauses {
            if !replicas.iter().any(|(_, server)| server.eq_ignore_ascii_case(&clause.name)) {
                let text = format!(
                    "Failed to modify options for availability replica '{}' in availability group \
                     '{name}'. The specified availability group does not contain an availability \
                     replica with specified name. Verify that availability group name and \
                     availability replica name are correct, then retry the operation.",
                    clause.name
                );
                return Err(SqlError::new(35_210, &text));
            }
            self.check_replica(at, name, clause)?;
        }
        for clause in clauses {
            self.each_settings(&replicas, name, |settings| {
                let key = clause.name.to_lowercase();
                settings.replicas.entry(key).or_default().set(clause);
            });
            self.take_modes(at, name, clause);
        }
        Ok(())
    }

    /// Whether a replica may be so.
    fn check_replica(&self, at: &str, name: &str, clause: &MemberClause) -> Result<(), SqlError> {
        let what = "MODIFY REPLICA";
        let server = &clause.name;
        if clause.backup_priority.is_some_and(|priority| priority > 100) {
            let text = format!(
                "The {what} operation failed for availability replica '{server}', because the \
                 backup priority value is outside the valid range. The valid range is between 0 \
                 and 100, inclusive. Set the backup priority to a value within this range, and \
                 retry the operation."
            );
            return Err(SqlError::new(35_209, &text));
        }
        if clause.session_timeout.is_some_and(|seconds| seconds < 5) {
            let text = format!(
                "The {what} operation failed for availability replica '{server}'. The minimum \
                 value for session timeout is 5. Retry the operation specifying a valid \
                 session-timeout value."
            );
            return Err(SqlError::new(35_214, &text));
        }
        let own = self.availability_replicas(at).into_iter();
        let own = own.filter(|row| row.replica_server_name.eq_ignore_ascii_case(server));
        let now = own.map(|row| (row.synchronous, row.automatic)).next().unwrap_or((true, false));
        let set = self.group_settings(at, name).and_then(|settings| settings.replica(server));
        let synchronous =
            clause.synchronous.or(set.and_then(|set| set.synchronous)).unwrap_or(now.0);
        let automatic =
            clause.automatic_failover.or(set.and_then(|set| set.automatic)).unwrap_or(now.1);
        if automatic && !synchronous {
            let text = format!(
                "The {what} operation is not allowed. The operation attempted to change the \
                 configuration of availability replica '{server}' to the asynchronous-commit \
                 availability mode with automatic failover, which is an invalid configuration. \
                 Either change the failover mode to manual or the availability mode to synchronous \
                 commit, and retry the operation."
            );
            return Err(SqlError::new(35_211, &text));
        }
        Ok(())
    }

    /// The replicas of a local group, instance and server: 41140 unless this is the primary one.
    fn replicas_of(&mut self, at: &str, name: &str) -> Result<Vec<(String, String)>, SqlError> {
        let server = self.instance(at).map(|found| found.server_name.clone()).unwrap_or_default();
        if let Some(link) = self.linked_group(at, name) {
            let member = link.member(Side::SqlServer);
            if member.instance != at || member.offline {
                return Err(not_primary_replica(name));
            }
            let Some(local) = member.local() else { return Ok(vec![(at.to_owned(), server)]) };
            let of = |it: &LocalReplica| (it.instance.clone(), it.server_name.clone());
            return Ok(local.replicas().iter().map(of).collect());
        }
        let group = self.own_group_mut(at, name)?.ok_or_else(|| unknown("alter", name))?;
        if group.offline {
            return Err(not_primary_replica(name));
        }
        Ok(vec![(at.to_owned(), server)])
    }

    /// All replicas know what is set of their group.
    fn each_settings(
        &mut self,
        replicas: &[(String, String)],
        group: &str,
        mut change: impl FnMut(&mut GroupSettings),
    ) {
        for (instance, _) in replicas {
            if let Some(found) = self.instances.get_mut(instance) {
                change(found.groups.settings_mut(group));
            }
        }
    }

    /// What of a clause the world itself goes by: who can take over, and who is let in.
    fn take_modes(&mut self, at: &str, name: &str, clause: &MemberClause) {
        let server = self.instance(at).map(|found| found.server_name.clone()).unwrap_or_default();
        let own = clause.name.eq_ignore_ascii_case(&server);
        let readable = clause.as_secondary.map(|allowed| allowed != Connections::None);
        let linked = self.linked_group(at, name).map(|link| link.name.clone());
        let Some(link) = linked.and_then(|linked| self.links.get_mut(&linked)) else {
            let found = self.instances.get_mut(at).and_then(|it| it.groups.local_mut(name));
            if let (Some(group), Some(readable), true) = (found, readable, own) {
                group.readable = readable;
            }
            return;
        };
        let member = link.member_mut(Side::SqlServer);
        if let (Some(readable), true) = (readable, own) {
            member.readable = readable;
        }
        if let Some(local) = member.local.as_deref_mut() {
            let modes = (clause.synchronous, clause.automatic_failover);
            local.set_modes(&clause.name, modes);
        }
    }
}

impl World {
    /// `sys.fn_hadr_backup_is_preferred_replica`: every replica, unless the group prefers one.
    #[must_use]
    pub fn is_preferred_for_backups(&self, at: &str, database: &str) -> bool {
        let mut links = self.seats(at).filter(|(_, side)| *side == Side::SqlServer);
        let has = |link: &Link| link.databases().any(|own| own.eq_ignore_ascii_case(database));
        let Some((link, _)) = links.find(|(link, _)| has(link)) else { return true };
        let member = link.member(Side::SqlServer);
        let primary = member.instance == at;
        let alone = member.local().is_none_or(|local| local.replicas().len() == 1);
        let chosen = self.group_settings(at, &member.group).and_then(|set| set.backup_preference);
        let usual = if alone { BackupPreference::Secondary } else { BackupPreference::Primary };
        match chosen.unwrap_or(usual) {
            BackupPreference::Primary => primary,
            BackupPreference::SecondaryOnly => !primary,
            BackupPreference::Secondary => !primary || alone,
            BackupPreference::None => true,
        }
    }

    /// 978 for whoever does not say that he only reads, on a secondary that is for such; 979 for
    /// whoever does, on a primary that is for others.
    ///
    /// # Errors
    /// As said.
    pub fn lets_intend(&self, at: &str, database: &str, read_only: bool) -> Result<(), SqlError> {
        let Some(instance) = self.instance(at) else { return Ok(()) };
        let mut links = self.memberships(at).filter(|(_, side)| *side == Side::SqlServer);
        let linked = links.find(|(link, side)| link.place_on(*side, database).is_some());
        let (group, primary) = match linked {
            Some((link, side)) => {
                (&link.member(side).group, self.shown_role(link, side) == Role::Primary)
            }
            None => match instance.groups.of(database) {
                Some(group) => (&group.name, true),
                None => return Ok(()),
            },
        };
        let settings = self.group_settings(at, group);
        let Some(own) = settings.and_then(|settings| settings.replica(&instance.server_name))
        else {
            return Ok(());
        };
        let (number, says) = if primary {
            let shut = own.as_primary == Some(Connections::ReadWrite) && read_only;
            (shut.then_some(979), "currently does not allow read only connections")
        } else {
            let shut = own.as_secondary == Some(Connections::ReadOnly) && !read_only;
            let says = "is currently accessible for connections when the application intent is \
                        set to read only";
            (shut.then_some(978), says)
        };
        let Some(number) = number else { return Ok(()) };
        let text = format!(
            "The target database ('{database}') is in an availability group and {says}. For more \
             information about application intent, see SQL Server Books Online."
        );
        Err(SqlError { class: 14, ..SqlError::new(number, &text) })
    }
}
