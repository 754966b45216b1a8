//! ALTER and DROP AVAILABILITY GROUP.

use jiff::SignedDuration;

use super::{ClusterType, Link, MemberClause, OwnGroup, Side, SqlError, World, unknown};
use crate::world::{
    Role, command::not_primary_replica, contact, failover, link::Trouble, replication,
};

impl World {
    /// Commit mode and session timeout; nothing else of a link can be changed (addendum 1, row 17).
    pub(super) fn modify(
        &mut self,
        at: &str,
        name: &str,
        members: &[MemberClause],
    ) -> Result<(), SqlError> {
        let Some((link, side)) = self.link_here(at, name) else {
            let instance = self.instances.get_mut(at);
            let waits = instance.and_then(|found| {
                found.groups.distributed.iter_mut().find(|it| it.name.eq_ignore_ascii_case(name))
            });
            let waits = waits.ok_or_else(|| unknown("alter", name))?;
            let timeout = members.iter().find_map(|member| member.session_timeout);
            waits.session_timeout = timeout.unwrap_or(waits.session_timeout);
            return Ok(());
        };
        if link.busy(side).is_some() {
            let text = format!("The option of '{name}' cannot be changed during a failover.");
            return Err(SqlError::new(47_512, &text));
        }
        let known = |member: &&MemberClause| {
            let is = |side| link.member(side).group.eq_ignore_ascii_case(&member.name);
            is(Side::SqlServer) || is(Side::ManagedInstance) || member.name == self.short(link)
        };
        if let Some(stranger) = members.iter().find(|member| !known(member)) {
            return Err(unknown("alter", &stranger.name));
        }
        let refused = |member: &&MemberClause| {
            member.url.is_some()
                || member.automatic_seeding.is_some()
                || member.automatic_failover.is_some()
        };
        if members.iter().any(|member| refused(&member)) {
            let text = format!(
                "The option is not supported for distributed availability group '{name}' whose \
                 other participant is Azure SQL Managed Instance."
            );
            return Err(SqlError::new(47_523, &text));
        }
        let name = link.name.clone();
        let Some(link) = self.links.get_mut(&name) else { return Ok(()) };
        if let Some(seconds) = members.iter().find_map(|member| member.session_timeout) {
            let timeout = SignedDuration::from_secs(i64::from(seconds));
            link.member_mut(side).session_timeout = timeout;
        }
        // Commits wait once both members are synchronous, as the primary has it.
        let mut modes = link.member(side).modes;
        for (clause, synchronous) in members.iter().filter_map(|it| Some((it, it.synchronous?))) {
            let own = link.member(Side::SqlServer).group.eq_ignore_ascii_case(&clause.name);
            let of = if own { Side::SqlServer } else { Side::ManagedInstance };
            modes[of.index()] = synchronous;
        }
        link.set_commit_mode(side, modes);
        Ok(())
    }

    pub(super) fn change_list(
        &mut self,
        at: &str,
        name: &str,
        database: &str,
        added: bool,
    ) -> Result<(), SqlError> {
        if let Some(link) = self.linked_group(at, name) {
            let (group, name_of, apart) = (name.to_owned(), link.name.clone(), link.group.clone());
            if self.change_members(at, (&group, &name_of), database, added)? {
                return Ok(());
            }
            let (number, what) = if added {
                (47_503, "already contains one database and adding more")
            } else {
                (47_520, "contains the database and removing it")
            };
            let text = format!(
                "AG '{name}' {what} is not supported because AG participates in distributed \
                 availability group '{}' with secondary on Azure SQL Managed Instance.",
                apart
            );
            return Err(SqlError::new(number, &text));
        }
        if added {
            let group = self.own_group_mut(at, name)?;
            let has = group.is_some_and(|group| {
                group.databases.iter().any(|known| known.eq_ignore_ascii_case(database))
            });
            if has {
                return Err(SqlError::new(
                    35_280,
                    &format!(
                        "Database '{database}' cannot be added to availability group '{name}'. The database is already joined to the specified availability group. Verify that the database name is correct and that the database is not joined to an availability group, then retry the operation."
                    ),
                ));
            }
            self.may_join(at, name, database)?;
            if let Some(group) = self.own_group_mut(at, name)? {
                group.databases.push(database.to_owned());
            }
            return Ok(());
        }
        let Some(group) = self.own_group_mut(at, name)? else { return Ok(()) };
        let before = group.databases.len();
        group.databases.retain(|known| !known.eq_ignore_ascii_case(database));
        if group.databases.len() == before {
            return Err(SqlError::new(
                35_281,
                &format!(
                    "Database '{database}' cannot be removed from availability group '{name}'. The database is not joined to the specified availability group. Verify that the database name and the availability group name are correct, then retry the operation."
                ),
            ));
        }
        Ok(())
    }

    /// The fence of the engine's own: the role is RESOLVING until the instance is restarted
    /// (addendum 4.2).
    pub(super) fn take_offline(&mut self, at: &str, name: &str) -> Result<(), SqlError> {
        let now = self.now;
        let Some(link) = self.linked_group(at, name) else {
            let group = self.own_group_mut(at, name)?.ok_or_else(|| unknown("alter", name))?;
            if group.cluster != ClusterType::None {
                return Err(by_its_cluster(name));
            }
            group.offline = true;
            return Ok(());
        };
        if link.member(Side::SqlServer).cluster != ClusterType::None {
            return Err(by_its_cluster(name));
        }
        let name = link.name.clone();
        let Some(link) = self.links.get_mut(&name) else { return Ok(()) };
        if link.busy(Side::SqlServer).is_some() {
            return Err(failover_runs(&link.group));
        }
        let member = link.member_mut(Side::SqlServer);
        member.set_role(Role::Resolving, now);
        member.offline = true;
        contact::disconnect(link, Side::SqlServer, &self.instances, &self.faults, now);
        self.settle_pending();
        Ok(())
    }

    pub(super) fn drop_group(&mut self, at: &str, name: &str) -> Result<(), SqlError> {
        if let Some((link, Side::SqlServer)) = self.link_here(at, name) {
            let name = link.name.clone();
            return self.leave_link(at, &name);
        }
        if let Some(link) = self.linked_group(at, name) {
            return Err(in_distributed(name, &link.group));
        }
        let Some(groups) = self.instances.get_mut(at).map(|found| &mut found.groups) else {
            return Ok(());
        };
        if groups.distributed(name).is_some() {
            groups.distributed.retain(|group| !group.name.eq_ignore_ascii_case(name));
            return Ok(());
        }
        if let Some(uses) =
            groups.distributed.iter().find(|group| group.own.eq_ignore_ascii_case(name))
        {
            return Err(in_distributed(name, &uses.name));
        }
        if groups.local(name).is_none() {
            return Err(unknown("drop", name));
        }
        groups.local.retain(|group| !group.name.eq_ignore_ascii_case(name));
        Ok(())
    }

    /// SQL Server gives a link up: its copy goes on by itself, writable, in the local group; what
    /// is on the managed instance stays as it is (mi-link 3.4, 4.2).
    fn leave_link(&mut self, at: &str, name: &str) -> Result<(), SqlError> {
        let now = self.now;
        let Some(link) = self.links.get_mut(name) else { return Ok(()) };
        if link.busy(Side::SqlServer).is_some() {
            return Err(failover_runs(&link.group));
        }
        let side = Side::SqlServer;
        if link.member(side).offline {
            return Err(not_primary_replica(&link.group));
        }
        let told = replication::passes(link, side, &self.instances, &self.faults);
        contact::disconnect(link, side, &self.instances, &self.faults, now);
        let member = link.member_mut(side);
        let was_primary = member.role == Role::Primary;
        member.set_role(Role::Primary, now);
        (member.lifted, member.draining) = (false, false);
        (member.hands_over, member.offline) = (None, false);
        if !was_primary {
            failover::open_databases(link, side);
            link.rightful = side;
        }
        for copy in &mut link.member_mut(side).copies {
            copy.suspended = None;
        }
        link.left = Some(now);
        if told {
            link.find_it_left();
        }
        let member = link.member(side);
        let group = OwnGroup {
            name: member.group.clone(),
            id: member.group_id,
            replica_id: member.local_replica_id,
            databases: link.databases().map(str::to_owned).collect(),
            cluster: member.cluster,
            readable: member.readable,
            url: member.endpoint_url.clone(),
            may_create: false,
            offline: false,
            created: link.created,
        };
        if let Some(instance) = self.instances.get_mut(at) {
            instance.groups.local.push(group);
        }
        self.settle_pending();
        Ok(())
    }

    /// The name by which SQL Server's statements know the managed instance.
    fn short<'a>(&self, link: &'a Link) -> &'a str {
        let name = &link.member(Side::ManagedInstance).instance;
        name.split('.').next().unwrap_or(name)
    }
}

impl Link {
    /// The managed instance learns that the other group is gone, and Azure of it.
    pub(in crate::world) fn find_it_left(&mut self) {
        self.arm.knows_left = true;
        self.arm.trouble = Some(Trouble {
            replica_state: "LinkSynchronizationError",
            error: Some(41_976),
            healthy: false,
        });
    }
}

fn in_distributed(group: &str, distributed: &str) -> SqlError {
    let text = format!(
        "Availability group '{group}' failed to process the DROP AVAILABILITY GROUP command: it is \
         a member of the distributed availability group '{distributed}'. Drop that one first."
    );
    SqlError::new(41_190, &text)
}

fn by_its_cluster(group: &str) -> SqlError {
    let text = format!(
        "Availability group '{group}' is taken offline by its cluster, not by this command."
    );
    SqlError::new(41_190, &text)
}

fn failover_runs(group: &str) -> SqlError {
    let text = format!("A failover of availability group '{group}' is already running.");
    SqlError::new(47_513, &text)
}
