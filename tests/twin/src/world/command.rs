//! What a client can ask of an instance in T-SQL, beside reading.

use jiff::SignedDuration;
use serde::Serialize;
use thiserror::Error;

use super::{
    BackupOrder, CommandRecord, Guid, Link, Operation, OperationId, OperationKind, OperationStatus,
    Origin, Party, Reply, RestoreOrder, Role, Side, Statement, World, groups,
    ledger::CommandWords,
    operation::Phase,
    planned, replication,
    version::{self, Ways},
};

/// A statement with effects. Names are as in the statement, without brackets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// `ALTER AVAILABILITY GROUP [group] FORCE_FAILOVER_ALLOW_DATA_LOSS`, on the secondary.
    ForceFailover {
        /// The distributed group.
        group: String,
    },
    /// `ALTER AVAILABILITY GROUP [group] FAILOVER`, on the primary.
    Failover {
        /// The distributed group.
        group: String,
    },
    /// `ALTER AVAILABILITY GROUP [group] SET (ROLE = SECONDARY)`, on an old primary.
    SetRoleSecondary {
        /// The distributed group.
        group: String,
    },
    /// `ALTER DATABASE [database] SET HADR SUSPEND`
    Suspend {
        /// The database.
        database: String,
    },
    /// `ALTER DATABASE [database] SET HADR RESUME`
    Resume {
        /// The database.
        database: String,
    },
    /// `BACKUP DATABASE` and `BACKUP LOG`
    Backup(BackupOrder),
    /// `RESTORE DATABASE` and `RESTORE LOG`
    Restore(RestoreOrder),
}

/// A command that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Ask [`World::operation`] how it fares; its `statement` says when the client's statement
    /// returns, and with what.
    pub operation: OperationId,
    /// Whether the reply reaches the client.
    pub reply: Reply,
}

/// An error as SQL Server sends it.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[error("Msg {number}, Level {class}, State {state}: {message}")]
pub struct SqlError {
    /// The number.
    pub number: u32,
    /// The severity.
    pub class: u8,
    /// The state.
    pub state: u8,
    /// The words.
    pub message: String,
}

impl World {
    /// Takes a command at an instance. Most become an operation that needs time: see
    /// [`Executed::operation`].
    ///
    /// # Errors
    /// What the engine refuses at once, with its number.
    pub fn execute(
        &mut self,
        at: &str,
        who: &Origin,
        command: Command,
    ) -> Result<Executed, SqlError> {
        let words = command.words();
        let outcome = self.take(at, who, command);
        self.ledger.note_command(CommandRecord {
            at: self.now,
            target: at.to_owned(),
            who: who.clone(),
            command: words,
            operation: outcome.as_ref().ok().map(|executed| executed.operation),
            refused: outcome.as_ref().err().map(ToString::to_string),
            error: outcome.as_ref().err().map(|error| error.number),
        });
        self.note_writers();
        outcome
    }

    /// Says that the client of a statement is gone or has cancelled it. `true` if it was withdrawn
    /// before it took effect; else it goes on. A planned failover that has not yet given the role
    /// away may go either way.
    pub fn abandon(&mut self, operation: OperationId) -> bool {
        let Some(found) = self.operations.get_mut(&operation) else { return false };
        if found.statement == Statement::Running {
            found.statement = Statement::Broken;
        }
        let early = found.accepted.is_none() && !found.lands_anyway;
        let stopped = found.is_running() && !found.by_arm && (early || found.gives_way());
        if stopped {
            if let Some(link) = self.links.get_mut(&found.link).filter(|_| !early)
                && let Some(side) = link.side_with(&found.instance)
            {
                planned::release(link, side, operation);
            }
            found.end(self.now, Err(SqlError::new(0, "The client withdrew the statement.")));
            self.active.retain(|id| *id != operation);
            self.settle_pending();
            self.note_writers();
        }
        stopped
    }

    /// Starts an operation; `at` is the party whose faults concern it.
    pub(super) fn begin(&mut self, at: &Party, start: NewOperation<'_>) -> Executed {
        self.begun += 1;
        let id = OperationId(self.begun);
        self.forget_operations();
        let delay = self.faults.delayed_deeds.remove(at);
        let late = self.faults.given_up.remove(at);
        let reply = self.take_reply(at);
        let guid = Guid::random(&mut self.rng);
        let operation = Operation {
            id,
            guid,
            kind: start.kind,
            link: start.link,
            runs_on: start.instance.clone(),
            instance: start.instance,
            who: start.who.clone(),
            by_arm: start.by_arm,
            received: self.now,
            accepted: None,
            finished: None,
            status: OperationStatus::InProgress,
            statement: Statement::Running,
            reply,
            next: Some(
                self.now + start.after + delay.unwrap_or_default() + late.unwrap_or_default(),
            ),
            phase: Phase::Received,
            lands_anyway: delay.or(late).is_some(),
            given_up: late.is_some(),
        };
        let operation = if late.is_some() { operation.given_up() } else { operation };
        self.operations.insert(id, operation);
        self.active.push(id);
        Executed { operation: id, reply }
    }

    fn take(&mut self, at: &str, who: &Origin, command: Command) -> Result<Executed, SqlError> {
        let instance = self.instances.get(at).filter(|found| found.is_up());
        let party = instance.map(|found| found.party.clone()).ok_or_else(|| SqlError {
            class: 20,
            ..SqlError::new(596, "The instance is not running.")
        })?;
        if let Some((number, left)) = self.faults.failing.get_mut(at).filter(|found| found.1 > 0) {
            *left -= 1;
            return Err(SqlError::new(*number, "The command failed (a fault of the twin)."));
        }
        if let Command::Restore(order) = command {
            return self.begin_restore(at, who, order);
        }
        let kind = match command.operation() {
            Ok(kind) => kind,
            Err(Some(order)) => return self.begin_backup(at, who, order.clone()),
            Err(None) => return Err(not_joined("")),
        };
        let delayed = self.faults.delayed_deeds.contains_key(&party)
            || self.faults.given_up.contains_key(&party);
        let (link, side) = self.concerned(at, &command)?;
        if !delayed {
            let accepting = self.active.iter().any(|id| self.is_role_change(*id, &link.name));
            if accepting && command.changes_roles() {
                return Err(already_running(&link.group));
            }
            let ways = Ways::of(link, &self.instances);
            check_role(link, side, &command, ways, false, OperationId(0))?;
            self.is_part_of_a_link(&link.name, side, &command)?;
        }
        let after = match kind {
            OperationKind::ForceFailover | OperationKind::PlannedFailover => {
                link.failover.accept_ms
            }
            OperationKind::Demote => link.failover.demote_ms,
            OperationKind::Suspend { .. }
            | OperationKind::Resume { .. }
            | OperationKind::Backup(_)
            | OperationKind::Restore(_) => 0,
        };
        let start = NewOperation {
            kind,
            link: link.name.clone(),
            instance: at.to_owned(),
            who,
            by_arm: false,
            after: SignedDuration::from_millis(i64::from(after)),
        };
        let executed = self.begin(&party, start);
        self.advance(self.now);
        Ok(executed)
    }

    /// 47511 for a planned failover of a group whose link was deleted on the managed instance, if
    /// that can be asked; if not, nobody knows, and the other side cannot catch up.
    pub(super) fn is_part_of_a_link(
        &self,
        link: &str,
        side: Side,
        command: &Command,
    ) -> Result<(), SqlError> {
        let Command::Failover { group } = command else { return Ok(()) };
        let orphan = self.links.get(link).is_some_and(|link| {
            let passes = |side| replication::passes(link, side, &self.instances, &self.faults);
            link.left_by(side.other()) && passes(side) && passes(side.other())
        });
        if orphan { Err(not_part_of_a_link(group)) } else { Ok(()) }
    }

    fn is_role_change(&self, id: OperationId, link: &str) -> bool {
        self.operations.get(&id).is_some_and(|operation| {
            operation.link == link && !operation.by_arm && !operation.lands_anyway
        })
    }

    fn concerned(&self, at: &str, command: &Command) -> Result<(&Link, Side), SqlError> {
        match command {
            Command::ForceFailover { group }
            | Command::Failover { group }
            | Command::SetRoleSecondary { group } => {
                let Some((link, side)) = self.link_here(at, group) else {
                    return Err(self.no_distributed_group(at, group));
                };
                let acts = link.acts(side, &self.instances, self.now);
                if link.side_of(at).is_some() && acts && !link.member(side).offline {
                    return Ok((link, side));
                }
                Err(not_primary_replica(group))
            }
            Command::Suspend { database }
            | Command::Resume { database }
            | Command::Backup(BackupOrder { database, .. })
            | Command::Restore(RestoreOrder { database, .. }) => {
                let mut links = self.links.values().filter(|link| {
                    link.databases().any(|name| name.eq_ignore_ascii_case(database))
                });
                let found = links.find_map(|link| {
                    Some((link, link.side_with(at).filter(|side| !link.left_by(*side))?))
                });
                found.ok_or_else(|| not_joined(database))
            }
        }
    }

    /// The local group takes only a forced failover (47122); any other name is unknown here.
    fn no_distributed_group(&self, at: &str, group: &str) -> SqlError {
        let local = self.links.values().any(|link| {
            link.side_of(at).is_some_and(|side| link.member(side).group.eq_ignore_ascii_case(group))
        });
        if local {
            return only_forced(group);
        }
        groups::unknown("alter", group)
    }
}

/// 35242
fn not_joined(database: &str) -> SqlError {
    let text = format!(
        "Cannot complete this ALTER DATABASE <database-name> SET HADR operation on database \
         '{database}'. The database is not joined to an availability group. After the database \
         has joined the availability group, retry the command."
    );
    SqlError::new(35_242, &text)
}

/// What [`World::begin`] needs to know.
pub(super) struct NewOperation<'a> {
    pub(super) kind: OperationKind,
    pub(super) link: String,
    pub(super) instance: String,
    pub(super) who: &'a Origin,
    pub(super) by_arm: bool,
    pub(super) after: SignedDuration,
}

/// Whether a command fits the roles (addendum 5).
pub(super) fn check_role(
    link: &Link,
    side: Side,
    command: &Command,
    ways: Ways,
    by_arm: bool,
    operation: OperationId,
) -> Result<(), SqlError> {
    let role = link.member(side).role;
    let group = &link.group;
    if command.changes_roles() && link.busy(side).is_some_and(|id| id != operation) {
        return Err(already_running(group));
    }
    match command {
        Command::ForceFailover { .. } if !link.two_way || too_old(ways, by_arm) => {
            Err(SqlError::new(
                41_985,
                &format!("Forced failover of '{group}' is not supported; delete the link instead."),
            ))
        }
        Command::ForceFailover { .. } if role == Role::Primary && by_arm => Ok(()),
        Command::ForceFailover { .. } if role == Role::Primary => Err(SqlError::new(
            41_122,
            &format!(
                "Cannot failover availability group '{group}' to this instance of SQL Server. The local availability replica is already the primary replica of the availability group. To fail over this availability group to another instance of SQL Server, run the failover command on that instance of SQL Server."
            ),
        )),
        Command::ForceFailover { .. } if side == Side::SqlServer && !ways.back => {
            Err(other_version(group))
        }
        Command::ForceFailover { .. } if link.is_inaccessible(side) => Err(planned::inaccessible()),
        Command::ForceFailover { .. } => {
            if !link.member(side).copies.iter().any(|copy| copy.movement.is_between()) {
                return Ok(());
            }
            // Never force a database that is REVERTING: it could not start (mi-link 4). Which
            // number the engine gives is not known.
            Err(SqlError::new(
                41_140,
                &format!(
                    "Availability group '{group}' cannot process the ALTER AVAILABILITY GROUP FAILOVER command at this time. The availability replica is not in a state that could process the command."
                ),
            ))
        }
        // Without failover of links the statement is one for ordinary groups, and a distributed
        // group has none of that kind. Which number the engine gives is not known.
        Command::Failover { .. } if side == Side::SqlServer && ways.sql < version::FAILOVER => {
            Err(only_forced(group))
        }
        Command::Failover { .. } if role != Role::Primary => Err(SqlError::new(
            47_517,
            &format!("This type of failover of '{group}' can only be run on the primary replica."),
        )),
        Command::Failover { .. } if !link.two_way => Err(not_part_of_a_link(group)),
        Command::Failover { .. } if !ways.carries_from(side) => Err(other_version(group)),
        Command::SetRoleSecondary { .. } if role == Role::Resolving => {
            Err(not_primary_replica(group))
        }
        // What the engine says where the role is SECONDARY already is not known; 41195 is the
        // number for a failover away from a secondary.
        Command::SetRoleSecondary { .. } if role != Role::Primary => Err(SqlError::new(
            41_195,
            &format!(
                "Availability group '{group}' failed to process the command: the local availability replica is already a secondary replica."
            ),
        )),
        Command::Failover { .. }
        | Command::SetRoleSecondary { .. }
        | Command::Suspend { .. }
        | Command::Resume { .. }
        | Command::Backup(_)
        | Command::Restore(_) => Ok(()),
    }
}

/// A replica that is not primary in its own group takes no command for the distributed one. The
/// number is one of those for a wrong side; which of them the engine gives is not known.
pub(super) fn not_primary_replica(group: &str) -> SqlError {
    SqlError::new(
        41_140,
        &format!(
            "Availability group '{group}' cannot process the ALTER AVAILABILITY GROUP command: the \
             local availability replica is not the primary replica of its own availability group."
        ),
    )
}

/// SQL Server 2016 to 2019 end a link by its deletion; SQL Server 2022 has no failover of links by
/// T-SQL before CU13, on neither side, but by Azure (mi-link 2.1, 4).
fn too_old(ways: Ways, by_arm: bool) -> bool {
    ways.only_over() || (!by_arm && ways.sql < version::FAILOVER)
}

/// The database was last written by a newer version than the one that should take it over.
fn other_version(group: &str) -> SqlError {
    let text = format!(
        "The local availability replica of availability group '{group}' cannot become the primary \
         replica. The version of the target engine is lower than that of the last primary replica."
    );
    SqlError::new(41_191, &text)
}

fn not_part_of_a_link(group: &str) -> SqlError {
    SqlError::new(47_511, &format!("'{group}' is not part of a link that can fail over."))
}

fn only_forced(group: &str) -> SqlError {
    let text = format!(
        "Cannot failover an availability replica for availability group '{group}' since it has \
         CLUSTER_TYPE = NONE. Only force failover is supported in this version of SQL Server."
    );
    SqlError::new(47_122, &text)
}

fn already_running(group: &str) -> SqlError {
    SqlError::new(
        47_513,
        &format!("A failover of availability group '{group}' is already running."),
    )
}

impl SqlError {
    pub(crate) fn new(number: u32, message: &str) -> SqlError {
        SqlError { number, class: 16, state: 1, message: message.to_owned() }
    }
}

impl Command {
    fn changes_roles(&self) -> bool {
        match self {
            Command::ForceFailover { .. }
            | Command::Failover { .. }
            | Command::SetRoleSecondary { .. } => true,
            Command::Suspend { .. }
            | Command::Resume { .. }
            | Command::Backup(_)
            | Command::Restore(_) => false,
        }
    }

    /// What it becomes; backups and restores have still to be measured.
    fn operation(&self) -> Result<OperationKind, Option<&BackupOrder>> {
        Ok(match self {
            Command::ForceFailover { .. } => OperationKind::ForceFailover,
            Command::Failover { .. } => OperationKind::PlannedFailover,
            Command::SetRoleSecondary { .. } => OperationKind::Demote,
            Command::Suspend { database } => OperationKind::Suspend { database: database.clone() },
            Command::Resume { database } => OperationKind::Resume { database: database.clone() },
            Command::Backup(order) => return Err(Some(order)),
            Command::Restore(_) => return Err(None),
        })
    }

    /// The command in T-SQL.
    #[must_use]
    pub fn words(&self) -> CommandWords {
        CommandWords(match self {
            Command::ForceFailover { group } => {
                format!("ALTER AVAILABILITY GROUP [{group}] FORCE_FAILOVER_ALLOW_DATA_LOSS")
            }
            Command::Failover { group } => format!("ALTER AVAILABILITY GROUP [{group}] FAILOVER"),
            Command::SetRoleSecondary { group } => {
                format!("ALTER AVAILABILITY GROUP [{group}] SET (ROLE = SECONDARY)")
            }
            Command::Suspend { database } => {
                format!("ALTER DATABASE [{database}] SET HADR SUSPEND")
            }
            Command::Resume { database } => format!("ALTER DATABASE [{database}] SET HADR RESUME"),
            Command::Backup(order) => order.words(),
            Command::Restore(order) => order.words(),
        })
    }
}
