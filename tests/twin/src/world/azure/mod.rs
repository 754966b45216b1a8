//! What Azure itself does beside the failover of a link: it makes, changes and deletes links, and
//! keeps what belongs to a managed instance as a resource. Everything it takes becomes a job that
//! needs time.
//!
//! Sources: mi-link 6 and 9, addendum 2, 3 and 12, the recordings.

mod alias;
mod instance;
mod job;
mod link;
mod making;
mod partner;
mod refusal;
mod switch;
mod trouble;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use self::{
    instance::{InstanceChange, OwnDatabase, Resource, TrustCertificate, Usage},
    job::{Family, Job, JobStatus},
    link::{LinkOrder, LinkPatch},
    making::{AzureDatabase, AzureLink},
    switch::{RoleChange, RoleOrder},
    trouble::{AnswerTrouble, PollTrouble},
};
use self::{job::Jobs, making::Making};
pub(super) use self::{
    making::authority,
    partner::trusted,
    refusal::{Pairing, most_databases},
    trouble::Troubles,
};
use super::{
    ArmError, CommandRecord, Guid, OperationStatus, Origin, Party, Reply, World,
    ledger::CommandWords,
};

/// What Azure remembers beside the resources themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Azure {
    jobs: Jobs,
    /// Links that are being made, by the names by which they will be kept.
    makings: BTreeMap<String, Making>,
    /// Failovers that were asked for as `setRole`.
    roles: Vec<Guid>,
}

/// What Azure can be asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureCommand {
    /// `PUT .../distributedAvailabilityGroups/{link}`
    CreateLink(LinkOrder),
    /// `PATCH .../distributedAvailabilityGroups/{link}`
    UpdateLink {
        /// The link.
        link: String,
        /// What about it.
        patch: LinkPatch,
    },
    /// `DELETE .../distributedAvailabilityGroups/{link}`
    DeleteLink(String),
    /// `POST .../distributedAvailabilityGroups/{link}/setRole`
    SetRole {
        /// The link.
        link: String,
        /// To what, and how.
        order: RoleOrder,
    },
    /// `PATCH .../managedInstances/{instance}`
    UpdateInstance(InstanceChange),
    /// `PUT .../serverTrustCertificates/{name}`
    PutCertificate {
        /// Its name.
        name: String,
        /// The certificate, DER.
        blob: Vec<u8>,
        /// The end of its validity, read out of it.
        expiry: Timestamp,
    },
    /// `DELETE .../serverTrustCertificates/{name}`
    DeleteCertificate(String),
    /// `PUT .../dnsAliases/{name}`
    PutAlias {
        /// Its name.
        name: String,
        /// `createDnsRecord`
        recorded: bool,
    },
    /// `POST .../dnsAliases/{name}/acquire`
    AcquireAlias {
        /// Its name.
        name: String,
        /// The managed instance that has it.
        from: String,
    },
    /// `DELETE .../dnsAliases/{name}`
    DeleteAlias(String),
    /// `DELETE .../databases/{name}`
    DeleteDatabase(String),
}

/// What Azure has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The id of its operation; none where there is nothing to do.
    pub operation: Option<Guid>,
    /// Whether the answer reaches the client.
    pub reply: Reply,
}

/// A long-running operation as Azure tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureOperation {
    /// Its id.
    pub guid: Guid,
    /// Whose polls answer for it.
    pub family: Family,
    /// `operation` in the body of the 202.
    pub name: &'static str,
    /// The managed instance.
    pub instance: String,
    /// The link, certificate or database; empty for the instance itself.
    pub subject: String,
    /// Whether it deletes its subject.
    pub deletes: bool,
    /// When it was taken.
    pub received: Timestamp,
    /// How it fares.
    pub status: JobStatus,
}

impl Azure {
    /// From whom to whom databases are being seeded, and how fast they could be, in KB/s.
    pub(super) fn seedings(&self) -> impl Iterator<Item = (&str, &str, u32)> {
        self.makings.values().filter_map(|making| {
            let (from, to) = making.path(making.partner.as_deref()?);
            Some((from, to, making.like.log.bandwidth_kb_s))
        })
    }
}

impl World {
    /// Takes a request at Azure for a managed instance.
    ///
    /// # Errors
    /// What it refuses at once.
    pub fn azure(
        &mut self,
        who: &Origin,
        instance: &str,
        command: AzureCommand,
    ) -> Result<Taken, ArmError> {
        let words = command.words(instance);
        let outcome = self.take_azure(who, instance, command);
        self.ledger.note_command(CommandRecord {
            at: self.now,
            target: Party::Arm.to_string(),
            who: who.clone(),
            command: CommandWords(words),
            operation: None,
            refused: outcome.as_ref().err().map(|error| error.code.clone()),
            error: None,
        });
        outcome
    }

    /// An operation by its id, whoever carries it out.
    #[must_use]
    pub fn azure_operation(&self, guid: &str) -> Option<AzureOperation> {
        if let Some(job) = self.azure.jobs.find(guid) {
            return Some(job.told());
        }
        let found = self.arm_operation(guid)?;
        let role = self.azure.roles.contains(&found.guid);
        Some(AzureOperation {
            guid: found.guid,
            family: Family::Links,
            name: if role { switch::SET_ROLE } else { switch::FAILOVER },
            instance: found.instance.clone(),
            subject: self.links.get(&found.link).map_or(&found.link, |it| &it.group).clone(),
            deletes: false,
            received: found.received,
            status: match &found.status {
                OperationStatus::InProgress => JobStatus::InProgress,
                OperationStatus::Succeeded => JobStatus::Succeeded,
                OperationStatus::Failed { code, message } => {
                    JobStatus::Failed { code: code.clone(), message: message.clone() }
                }
            },
        })
    }

    /// The jobs of a managed instance, oldest first.
    pub fn azure_jobs(&self, instance: &str) -> impl Iterator<Item = &Job> {
        self.azure.jobs.of(instance)
    }

    /// Whether a managed instance is making the link that will be kept by this name.
    pub(super) fn makes(&self, key: &str, instance: &str) -> bool {
        self.azure.makings.get(key).is_some_and(|making| making.instance() == instance)
    }

    /// Whether somebody is.
    pub(super) fn makes_any(&self, key: &str) -> bool {
        self.azure.makings.contains_key(key)
    }

    /// When Azure does something next.
    pub(super) fn next_azure(&self) -> Option<Timestamp> {
        let makings = self.azure.makings.values().filter_map(Making::due);
        makings.chain(self.azure.jobs.due()).chain(self.next_joining()).min()
    }

    /// Azure does what is due.
    pub(super) fn step_azure(&mut self) {
        self.step_makings();
        self.step_joinings();
        self.step_jobs();
    }

    fn take_azure(
        &mut self,
        who: &Origin,
        instance: &str,
        command: AzureCommand,
    ) -> Result<Taken, ArmError> {
        match command {
            AzureCommand::CreateLink(order) => self.take_creation(instance, order),
            AzureCommand::UpdateLink { link, patch } => self.take_update(instance, &link, patch),
            AzureCommand::DeleteLink(link) => self.take_deletion(instance, &link),
            AzureCommand::SetRole { link, order } => self.take_role(who, instance, &link, order),
            AzureCommand::UpdateInstance(change) => self.take_change(instance, change),
            AzureCommand::PutCertificate { name, blob, expiry } => {
                self.take_certificate(instance, name, blob, expiry)
            }
            AzureCommand::DeleteCertificate(name) => self.take_no_certificate(instance, &name),
            AzureCommand::PutAlias { name, recorded } => {
                self.take_alias(instance, &name, Some(recorded), None)
            }
            AzureCommand::AcquireAlias { name, from } => {
                self.take_alias(instance, &name, Some(false), Some(from))
            }
            AzureCommand::DeleteAlias(name) => self.take_alias(instance, &name, None, None),
            AzureCommand::DeleteDatabase(name) => self.take_no_database(instance, &name),
        }
    }
}

impl AzureCommand {
    fn words(&self, instance: &str) -> String {
        match self {
            AzureCommand::CreateLink(order) => format!("PUT {instance}/{}", order.name),
            AzureCommand::UpdateLink { link, .. } => format!("PATCH {instance}/{link}"),
            AzureCommand::DeleteLink(link) => format!("DELETE {instance}/{link}"),
            AzureCommand::SetRole { link, order } => {
                format!("POST {instance}/{link}/setRole {:?} {:?}", order.role, order.change)
            }
            AzureCommand::UpdateInstance(_) => format!("PATCH {instance}"),
            AzureCommand::PutCertificate { name, .. } => {
                format!("PUT {instance}/serverTrustCertificates/{name}")
            }
            AzureCommand::DeleteCertificate(name) => {
                format!("DELETE {instance}/serverTrustCertificates/{name}")
            }
            AzureCommand::PutAlias { name, .. } => format!("PUT {instance}/dnsAliases/{name}"),
            AzureCommand::AcquireAlias { name, from } => {
                format!("POST {instance}/dnsAliases/{name}/acquire from {from}")
            }
            AzureCommand::DeleteAlias(name) => format!("DELETE {instance}/dnsAliases/{name}"),
            AzureCommand::DeleteDatabase(name) => format!("DELETE {instance}/databases/{name}"),
        }
    }
}
