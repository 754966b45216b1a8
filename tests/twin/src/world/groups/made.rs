//! CREATE AVAILABILITY GROUP, local and distributed, and what it asks for first.

use jiff::Timestamp;

use super::{
    ClusterType, Connections, Distributed, Guid, Instance, MemberClause, OwnGroup, SqlError, World,
};
use crate::world::{DatabaseState, Edition, InstanceKind};

/// By default a member is given up after 10 s of silence.
const SESSION_TIMEOUT: u32 = 10;

impl World {
    pub(super) fn create_local(
        &mut self,
        at: &str,
        name: String,
        databases: Vec<String>,
        cluster: Option<ClusterType>,
        replicas: &[MemberClause],
    ) -> Result<(), SqlError> {
        let Some(instance) = self.instances.get(at) else { return Ok(()) };
        if cluster.is_some() && !instance.build().has_cluster_type() {
            let text = "Incorrect syntax near 'CLUSTER_TYPE'.";
            return Err(SqlError { class: 15, ..SqlError::new(102, text) });
        }
        self.is_free(at, &name)?;
        let own =
            |replica: &&MemberClause| replica.name.eq_ignore_ascii_case(&instance.server_name);
        let Some(replica) = replicas.iter().find(own) else {
            return Err(SqlError::new(
                35_237,
                &format!(
                    "None of the specified replicas for availability group {name} maps to the instance of SQL Server to which you are connected. Reenter the command, specifying this server instance to host one of the replicas. This replica will be the initial primary replica."
                ),
            ));
        };
        let Some(url) = replica.url.clone() else {
            let text = format!(
                "The endpoint URL was not specified for the availability replica hosted by server instance '{}'. Reenter the command, specifying the endpoint URL of this instance of SQL Server.",
                replica.name
            );
            return Err(SqlError { class: 15, ..SqlError::new(35_236, &text) });
        };
        if databases.len() > 1 && is_basic(instance) {
            return Err(SqlError::new(41_190, "A basic availability group holds one database."));
        }
        for (place, database) in databases.iter().enumerate() {
            if databases[..place].iter().any(|other| other.eq_ignore_ascii_case(database)) {
                return Err(SqlError::new(
                    35_234,
                    &format!(
                        "Database name '{database}' was specified more than once. Reenter the command, specifying each database name only once."
                    ),
                ));
            }
            self.may_join(at, &name, database)?;
        }
        let now = self.now;
        let readable = replica.as_secondary.is_some_and(|allowed| allowed != Connections::None);
        let mut id = || Guid::random(&mut self.rng);
        let (id, replica_id) = (id(), id());
        let cluster = cluster.unwrap_or(ClusterType::Wsfc);
        if let Some(instance) = self.instances.get_mut(at) {
            let group = OwnGroup {
                name,
                id,
                replica_id,
                databases,
                cluster,
                readable,
                url,
                may_create: false,
                offline: false,
                created: now,
            };
            instance.groups.note(&group.name, replica);
            instance.groups.local.push(group);
        }
        Ok(())
    }

    /// Whether a database can join a group of this name.
    pub(in crate::world) fn may_join(
        &self,
        at: &str,
        group: &str,
        database: &str,
    ) -> Result<(), SqlError> {
        let found = self.databases(at);
        let found = found.iter().find(|known| known.name.eq_ignore_ascii_case(database));
        let Some(found) = found else {
            return Err(SqlError::new(
                35_238,
                &format!(
                    "Database '{database}' cannot be added to availability group '{group}'. The database does not exist on this SQL Server instance. Verify that the database name is correct, then retry the operation."
                ),
            ));
        };
        if found.database_id <= 4 {
            return Err(SqlError::new(
                35_249,
                &format!(
                    "An attempt to add or join a system database, '{database}', to an availability group failed. Specify only user databases for this operation."
                ),
            ));
        }
        if found.replica_id.is_some() {
            return Err(SqlError::new(
                35_244,
                &format!(
                    "Database '{database}' cannot be added to availability group '{group}'. The database is currently joined to another availability group. Verify that the database name is correct and that the database is not joined to an availability group, then retry the operation."
                ),
            ));
        }
        let Some(instance) = self.instances.get(at) else { return Ok(()) };
        let setup = instance.setup().database(&found.name);
        if setup.simple {
            return Err(SqlError::new(
                1_465,
                &format!(
                    "Database \"{database}\" is not in full recovery mode on each of the server instances. The full recovery model is required for a database to participate in database mirroring or in the availability group."
                ),
            ));
        }
        if setup.single_user {
            return Err(SqlError::new(
                1_488,
                &format!(
                    "Database \"{database}\" is in single user mode which is incompatible with participating in database mirroring or in an availability group. Set database to multi-user mode, and retry the operation."
                ),
            ));
        }
        takes_changes(group, database, (found.state, setup.read_only))?;
        if !instance.has_full_backup(&found.name, Timestamp::MIN, self.now) {
            return Err(SqlError::new(
                1_475,
                &format!(
                    "Database \"{database}\" might contain bulk logged changes that have not been backed up. Take a log backup on the principal database or primary database. Then restore this backup either on the mirror database to enable database mirroring or on every secondary database to enable you to join it to the availability group."
                ),
            ));
        }
        Ok(())
    }

    pub(super) fn create_distributed(
        &mut self,
        at: &str,
        name: String,
        members: &[MemberClause],
    ) -> Result<(), SqlError> {
        self.is_free(at, &name)?;
        let Some(instance) = self.instances.get(at) else { return Ok(()) };
        let local = |member: &MemberClause| instance.groups.local(&member.name);
        let own = members.iter().find(|member| local(member).is_some());
        let Some(own) = own else {
            let first = members.first().map_or("", |member| member.name.as_str());
            return Err(super::unknown("alter", first));
        };
        let other = members.iter().find(|member| member.name != own.name);
        let (Some(other), Some(group)) = (other.filter(|_| members.len() == 2), local(own)) else {
            let text = format!("Incorrect syntax near '{}'.", own.name);
            return Err(SqlError { class: 15, ..SqlError::new(102, &text) });
        };
        let (Some(url), Some(other_url)) = (own.url.clone(), other.url.clone()) else {
            let text = "The endpoint URL is invalid: LISTENER_URL is missing.";
            return Err(SqlError::new(35_232, text));
        };
        // Only a managed instance is reached by a server behind its name.
        if other_url.to_ascii_lowercase().contains(";server=[") {
            for_instance(instance, group, &name, own, other)?;
        }
        if own.automatic_failover == Some(true) || other.automatic_failover == Some(true) {
            let text =
                "Automatic failover is not supported for distributed availability group replica.";
            return Err(SqlError::new(35_277, text));
        }
        let (own_name, now) = (group.name.clone(), self.now);
        let mut id = || Guid::random(&mut self.rng);
        let group = Distributed {
            name,
            id: id(),
            own: own_name,
            replica_id: id(),
            url,
            other: other.name.clone(),
            other_id: id(),
            other_url,
            session_timeout: own.session_timeout.unwrap_or(SESSION_TIMEOUT),
            created: now,
        };
        if let Some(instance) = self.instances.get_mut(at) {
            instance.groups.distributed.push(group);
        }
        Ok(())
    }

    /// No other group has this name.
    fn is_free(&self, at: &str, name: &str) -> Result<(), SqlError> {
        let taken = self.availability_groups(at);
        if taken.iter().any(|group| group.name.eq_ignore_ascii_case(name)) {
            return Err(SqlError::new(
                41_042,
                &format!(
                    "The availability group '{name}' already exists. This error could be caused by a previous failed CREATE AVAILABILITY GROUP or DROP AVAILABILITY GROUP operation. If the availability group name you specified is correct, try dropping the availability group and then retry CREATE AVAILABILITY GROUP operation."
                ),
            ));
        }
        Ok(())
    }
}

/// 35239 and 1466: whether a database is open for writing.
fn takes_changes(
    group: &str,
    database: &str,
    (state, read_only): (DatabaseState, bool),
) -> Result<(), SqlError> {
    if state != DatabaseState::Online {
        return Err(SqlError::new(
            35_239,
            &format!(
                "Database '{database}' cannot be added to availability group '{group}'. The database is not online. Verify that the database is online and is not being restored, then retry the operation."
            ),
        ));
    }
    if read_only {
        return Err(SqlError::new(
            1_466,
            &format!(
                "Database \"{database}\" is read-only on one of the server instances which is incompatible with participating in database mirroring or in an availability group. Set the database to read-write mode, and retry the operation."
            ),
        ));
    }
    Ok(())
}

/// Standard Edition has basic availability groups.
fn is_basic(instance: &Instance) -> bool {
    matches!(instance.kind, InstanceKind::SqlServer { edition: Edition::Standard, .. })
}

/// What is asked of a distributed group whose other member is a managed instance (addendum 5).
fn for_instance(
    instance: &Instance,
    group: &OwnGroup,
    name: &str,
    own: &MemberClause,
    other: &MemberClause,
) -> Result<(), SqlError> {
    let url = other.url.as_deref().unwrap_or_default();
    let wrong = |number, what: &str| {
        Err(SqlError::new(
            number,
            &format!(
                "{what} '{name}' when secondary participant in distributed availability group is Azure SQL Managed Instance."
            ),
        ))
    };
    if other.automatic_seeding == Some(false) || own.automatic_seeding == Some(false) {
        return wrong(47_500, "Manual seeding is not supported option for secondary AG");
    }
    if other.synchronous == Some(true) {
        return wrong(
            47_501,
            "Synchronous commit is not supported option for the initial secondary AG",
        );
    }
    if group.databases.len() > 1 && !instance.build().takes_several() {
        return wrong(47_502, "More than one database in the local AG is not supported for");
    }
    let begins_there = url.to_ascii_lowercase().contains(";database=[");
    if group.databases.is_empty() && !begins_there {
        return wrong(47_519, "The local AG has no database, which is not supported for");
    }
    let endpoint = instance.setup.endpoint.as_ref();
    let certificate = endpoint.map(|endpoint| endpoint.certificate.is_some());
    match certificate {
        None => return wrong(47_505, "There is no database mirroring endpoint for"),
        Some(false) => return wrong(47_506, "The endpoint has no certificate for"),
        Some(true) => {}
    }
    Ok(())
}
