//! ARM's view of links, and what it takes and refuses.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    CommandRecord, Guid, Link, Lsn, Operation, OperationId, OperationKind, Origin, Party, Reply,
    Role, Side, SyncHealth, World, command::NewOperation, ledger::CommandWords,
    progress::heard_state, views::health,
};

/// What ARM can be asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArmCommand {
    /// `POST .../distributedAvailabilityGroups/{link}/failover`
    Failover {
        /// The managed instance.
        instance: String,
        /// The link.
        link: String,
        /// The type.
        kind: FailoverType,
    },
}

/// `failoverType`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum FailoverType {
    /// Without loss; from the managed instance only.
    Planned,
    /// Whatever the other side has. Accepted on a primary too, which it makes secondary.
    ForcedAllowDataLoss,
}

/// What ARM has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The long-running operation.
    pub operation: OperationId,
    /// Whether the 202 reaches the client.
    pub reply: Reply,
}

/// What ARM refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmError {
    /// The HTTP status.
    pub status: u16,
    /// `error.code`
    pub code: String,
    /// `error.message`
    pub message: String,
}

/// A link as ARM reads it. Absent values are left out, as ARM does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArmLink {
    /// Its name.
    pub name: String,
    /// `distributedAvailabilityGroupId`
    pub id: Guid,
    /// `instanceLinkRole`
    pub instance_role: Role,
    /// `partnerLinkRole`: what the managed instance believes, no proof of anything.
    pub partner_role: Role,
    /// `partnerAvailabilityGroupName`
    pub partner_group: String,
    /// `partnerEndpoint`
    pub partner_endpoint: String,
    /// `instanceAvailabilityGroupName`
    pub instance_group: String,
    /// `failoverMode` is `Manual`.
    pub two_way: bool,
    /// `databases`
    pub databases: Vec<ArmDatabase>,
}

/// `databases[]` of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArmDatabase {
    /// `databaseName`
    pub name: String,
    /// `instanceReplicaId`
    pub instance_replica: Guid,
    /// `partnerReplicaId`
    pub partner_replica: Guid,
    /// `replicaState`
    pub replica_state: String,
    /// `synchronizationHealth`
    pub health: SyncHealth,
    /// `connectedState`
    pub connected: bool,
    /// Whether the managed instance is primary.
    pub primary: bool,
    /// `lastReceivedLsn` on a secondary, `lastSentLsn` on a primary.
    pub moved_lsn: Lsn,
    /// The time of that.
    pub moved_time: Option<Timestamp>,
    /// `lastCommitLsn`
    pub commit_lsn: Lsn,
    /// `lastCommitTime`
    pub commit_time: Option<Timestamp>,
    /// `lastHardenedLsn`
    pub hardened_lsn: Lsn,
    /// `lastHardenedTime`
    pub hardened_time: Option<Timestamp>,
    /// `lastBackupLsn` and `lastBackupTime`
    pub backup: Option<(Lsn, Timestamp)>,
    /// `mostRecentLinkError`
    pub error: Option<u32>,
    /// `instanceSendReplicationLagSeconds`; -1 is unknown.
    pub send_lag: i64,
    /// `instanceRedoReplicationLagSeconds`
    pub redo_lag: i64,
}

impl World {
    /// Takes a request at the control plane.
    ///
    /// # Errors
    /// What ARM refuses at once.
    pub fn arm(&mut self, who: &Origin, request: ArmCommand) -> Result<Accepted, ArmError> {
        let ArmCommand::Failover { instance, link, kind } = request;
        let outcome = self.take_failover(who, &instance, &link, kind);
        self.ledger.note_command(CommandRecord {
            at: self.now,
            target: Party::Arm.to_string(),
            who: who.clone(),
            command: CommandWords(format!("POST {instance}/{link}/failover {kind:?}")),
            operation: outcome.as_ref().ok().map(|accepted| accepted.operation),
            refused: outcome.as_ref().err().map(|error| error.code.clone()),
            error: None,
        });
        outcome
    }

    /// A link of a managed instance as ARM reads it; while ARM cannot see the instance, as it saw
    /// it last.
    #[must_use]
    pub fn arm_link(&self, instance: &str, link: &str) -> Option<ArmLink> {
        let found = self.live_link(instance, link)?;
        match &found.arm.seen {
            Some(seen) if !self.arm_sees(self.instances.get(instance)?) => Some((**seen).clone()),
            Some(_) | None => Some(self.read_link(found)),
        }
    }

    /// When a link of a managed instance was made.
    #[must_use]
    pub fn link_created(&self, instance: &str, link: &str) -> Timestamp {
        self.live_link(instance, link).map_or(Timestamp::UNIX_EPOCH, |found| found.created)
    }

    /// The links of a managed instance, by name, as ARM reads them.
    #[must_use]
    pub fn arm_links(&self, instance: &str) -> Vec<ArmLink> {
        let names = self.links.values().filter(|link| link.side_of(instance).is_some());
        names.filter_map(|link| self.arm_link(instance, &link.group)).collect()
    }

    /// An operation that came by ARM, by its id there.
    #[must_use]
    pub fn arm_operation(&self, guid: &str) -> Option<&Operation> {
        self.operations
            .values()
            .find(|operation| operation.by_arm && operation.guid.to_string() == guid)
    }

    /// Keeps what ARM sees now, for the time when it no longer does.
    pub(super) fn keep_what_arm_sees(&mut self) {
        let seen: Vec<_> = self
            .links
            .values()
            .filter(|link| {
                let name = &link.member(Side::ManagedInstance).instance;
                self.instances.get(name).is_some_and(|found| self.arm_sees(found))
            })
            .map(|link| (link.name.clone(), Box::new(self.read_link(link))))
            .collect();
        for (name, view) in seen {
            if let Some(link) = self.links.get_mut(&name) {
                link.arm.seen = Some(view);
            }
        }
    }

    fn take_failover(
        &mut self,
        who: &Origin,
        instance: &str,
        name: &str,
        kind: FailoverType,
    ) -> Result<Accepted, ArmError> {
        let link = self.azure_key(instance, name);
        let Some(found) = self.live_link(instance, name) else {
            return Err(ArmError::link_not_found(name));
        };
        if self.faults.arm_conflicts > 0 {
            self.faults.arm_conflicts -= 1;
            return Err(ArmError::conflict());
        }
        let role = found.member(Side::ManagedInstance).role;
        self.ready(instance)?;
        if kind == FailoverType::Planned && role != Role::Primary {
            return Err(ArmError::wrong_role());
        }
        let busy =
            self.active.iter().filter_map(|id| self.operations.get(id)).any(|operation| {
                operation.by_arm && operation.link == link && !operation.lands_anyway
            });
        if busy {
            return Err(ArmError::conflict());
        }
        let after = SignedDuration::from_millis(i64::from(found.failover.arm_start_ms));
        let kind = match kind {
            FailoverType::Planned => OperationKind::PlannedFailover,
            FailoverType::ForcedAllowDataLoss => OperationKind::ForceFailover,
        };
        let start =
            NewOperation { kind, link, instance: instance.to_owned(), who, by_arm: true, after };
        let executed = self.begin(&Party::Arm, start);
        Ok(Accepted { operation: executed.operation, reply: executed.reply })
    }

    fn read_link(&self, link: &Link) -> ArmLink {
        let member = link.member(Side::ManagedInstance);
        let partner = link.member(Side::SqlServer);
        let (instance_role, partner_role) = match member.role {
            Role::Primary => (Role::Primary, Role::Secondary),
            Role::Secondary | Role::Resolving => (Role::Secondary, Role::Primary),
        };
        let databases = (0..link.databases.len()).map(|place| self.read_database(link, place));
        ArmLink {
            name: link.group.clone(),
            id: link.id,
            instance_role,
            partner_role,
            partner_group: partner.group.clone(),
            partner_endpoint: partner.endpoint_url.to_ascii_lowercase(),
            instance_group: member.group.clone(),
            two_way: link.two_way,
            databases: databases.collect(),
        }
    }

    fn read_database(&self, link: &Link, place: usize) -> ArmDatabase {
        let side = Side::ManagedInstance;
        let (member, partner) = (link.member(side), link.member(Side::SqlServer));
        let copy = &member.copies[place];
        let name = &link.databases[place].name;
        let primary = member.role == Role::Primary;
        let connected = member.connected;
        let trouble = link.arm.trouble;
        let replica_state = match trouble {
            _ if link.busy(side).is_some() => "LinkFailoverInProgress",
            Some(trouble) => trouble.replica_state,
            None => "LinkSynchronizing",
        };
        let health = match trouble {
            Some(trouble) if trouble.healthy && !copy.state.is_shut() => SyncHealth::Healthy,
            Some(_) => SyncHealth::NotHealthy,
            None => self.instance_health(link, place),
        };
        let end = |upto| link.last_record(side, place, upto).map(|record| record.end().block());
        let placeholder = Lsn(1);
        let (moved_lsn, moved_time) = match (primary, connected) {
            (true, true) => (end(copy.sent), copy.sent_at),
            (false, _) if trouble.is_none() => (end(copy.log.len()), copy.received_at),
            (true, false) | (false, _) => (None, copy.received_at.or(copy.sent_at)),
        };
        // A primary without its partner reads as if nothing were hardened (addendum 2.5).
        let hardened_lsn = if primary && !connected { None } else { end(copy.log.len()) };
        let last = link.last_commit(side, place, copy.redone);
        let backup = self.instances.get(&member.instance).and_then(|instance| {
            let taken = instance.backups(self.now).filter(|backup| backup.database == *name);
            taken.max_by_key(|backup| backup.finish).map(|last| (last.last_lsn, last.finish))
        });
        let lags = self.arm_lags(link, side, place);
        let send_lag = match (primary, connected) {
            (true, true) => i64::try_from(lags.0).unwrap_or(i64::MAX),
            (false, true) => 0,
            (false, false) if trouble.is_some() => 0,
            (true | false, false) => -1,
        };
        ArmDatabase {
            name: name.clone(),
            instance_replica: member.replica_id,
            partner_replica: partner.replica_id,
            replica_state: replica_state.to_owned(),
            health,
            connected,
            primary,
            moved_lsn: moved_lsn.unwrap_or(placeholder),
            moved_time,
            commit_lsn: last.map_or(Lsn(0), |record| record.lsn.commit_slot()),
            commit_time: last.map(|record| record.at),
            hardened_lsn: hardened_lsn.unwrap_or(Lsn(0)),
            hardened_time: copy.hardened_at,
            backup,
            error: trouble.and_then(|trouble| trouble.error),
            send_lag,
            redo_lag: if connected { i64::try_from(lags.1).unwrap_or(i64::MAX) } else { 0 },
        }
    }

    /// The health of a database as the managed instance has it: of both copies where it is primary.
    fn instance_health(&self, link: &Link, place: usize) -> SyncHealth {
        let side = Side::ManagedInstance;
        let member = link.member(side);
        let own = health(self.sync_state(link, side, place), member.mode());
        match member.role {
            Role::Primary => own.min(health(heard_state(link, side, place), member.mode())),
            Role::Secondary | Role::Resolving => own,
        }
    }
}

impl ArmError {
    /// The link does not exist: the resource provider's form (addendum 2.6).
    #[must_use]
    pub fn link_not_found(link: &str) -> ArmError {
        let message = format!(
            "The requested resource of type 'Microsoft.Sql/managedInstances/distributedAvailability\
             Groups' with name '{link}' was not found."
        );
        ArmError::new(404, "ResourceNotFound", &message)
    }

    /// Something else does not exist.
    #[must_use]
    pub fn not_found(message: &str) -> ArmError {
        ArmError::new(404, "ResourceNotFound", message)
    }

    fn wrong_role() -> ArmError {
        ArmError::new(
            400,
            "InvalidDistributedAvailabilityGroupFailoverInstanceRole",
            "Failover type planned can be executed on a link in the primary role only, but the \
             current state of the link is secondary.",
        )
    }

    pub(super) fn conflict() -> ArmError {
        ArmError::new(
            409,
            "ConflictingServerOperation",
            "An operation is currently in progress for the server. Please wait a few minutes \
             before trying again.",
        )
    }

    pub(super) fn new(status: u16, code: &str, message: &str) -> ArmError {
        ArmError { status, code: code.to_owned(), message: message.to_owned() }
    }
}
