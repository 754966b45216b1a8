//! What Azure has begun and will have done at some time.

use jiff::{SignedDuration, Timestamp};

use super::{AzureOperation, InstanceChange, LinkPatch, Taken, TrustCertificate};
use crate::world::{ArmError, Guid, Party, World};

/// A job of Azure.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id.
    pub guid: Guid,
    /// Whose polls answer for it.
    pub family: Family,
    /// Its name.
    pub name: &'static str,
    /// The managed instance.
    pub instance: String,
    /// The link, certificate or database; empty for the instance itself.
    pub subject: String,
    /// When it was taken.
    pub received: Timestamp,
    /// How it fares.
    pub status: JobStatus,
    pub(super) due: Option<Timestamp>,
    pub(super) effect: Effect,
}

/// Which resource type's URLs are polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Links.
    Links,
    /// Certificates of servers that are trusted.
    TrustCertificates,
    /// The instance itself.
    Instances,
    /// Databases.
    Databases,
    /// Aliases in DNS.
    Aliases,
}

/// How a job fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// It is on its way.
    InProgress,
    /// It has done what it says.
    Succeeded,
    /// It has ended without.
    Failed {
        /// `error.code`
        code: String,
        /// `error.message`
        message: String,
    },
    /// Somebody cancelled it.
    Canceled,
}

/// What happens when a job is due.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// Nothing: it only ends.
    Nothing,
    /// It ends with an error.
    Fail(ArmError),
    /// A link has gone on being made, which ends it.
    MakeLink,
    ChangeLink(LinkPatch),
    DropLink,
    ChangeInstance(InstanceChange),
    PutCertificate(TrustCertificate),
    DropCertificate,
    DropDatabase,
    /// Made with or without its records, moved from elsewhere, or dropped.
    Alias {
        recorded: Option<bool>,
        from: Option<String>,
    },
}

/// All jobs; the newest [`KEPT`] of those that have ended are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Jobs(Vec<Job>);

const KEPT: usize = 1_000;
/// When a job that has to wait is looked at again.
const AGAIN: SignedDuration = SignedDuration::from_secs(1);

impl Jobs {
    pub(super) fn find(&self, guid: &str) -> Option<&Job> {
        self.0.iter().find(|job| job.guid.to_string().eq_ignore_ascii_case(guid))
    }

    pub(super) fn of(&self, instance: &str) -> impl Iterator<Item = &Job> {
        self.0.iter().filter(move |job| job.instance == instance)
    }

    pub(super) fn due(&self) -> impl Iterator<Item = Timestamp> {
        self.0.iter().filter_map(|job| job.due)
    }

    /// Whether something of this kind runs on a subject.
    pub(super) fn busy(&self, instance: &str, family: Family, subject: &str) -> bool {
        self.of(instance).any(|job| {
            job.status == JobStatus::InProgress && job.family == family && job.subject == subject
        })
    }

    pub(super) fn end(&mut self, guid: Guid, status: JobStatus) {
        let found = self.0.iter_mut().find(|job| job.guid == guid);
        if let Some(job) = found.filter(|job| job.status == JobStatus::InProgress) {
            (job.status, job.due) = (status, None);
        }
    }
}

impl Job {
    pub(super) fn told(&self) -> AzureOperation {
        AzureOperation {
            guid: self.guid,
            family: self.family,
            name: self.name,
            instance: self.instance.clone(),
            subject: self.subject.clone(),
            deletes: self.deletes(),
            received: self.received,
            status: self.status.clone(),
        }
    }

    /// Whether it can still be stopped.
    #[must_use]
    pub fn is_cancellable(&self) -> bool {
        self.status == JobStatus::InProgress && self.family == Family::Instances
    }

    fn deletes(&self) -> bool {
        match self.effect {
            Effect::Alias { recorded, .. } => recorded.is_none(),
            Effect::DropLink | Effect::DropCertificate | Effect::DropDatabase => true,
            Effect::Nothing
            | Effect::Fail(_)
            | Effect::MakeLink
            | Effect::ChangeLink(_)
            | Effect::ChangeInstance(_)
            | Effect::PutCertificate(_) => false,
        }
    }
}

impl World {
    /// Begins a job; its effect comes after some time, `None` if something else ends it.
    pub(super) fn begin_job(
        &mut self,
        (family, name): (Family, &'static str),
        instance: &str,
        subject: &str,
        effect: Effect,
        after: Option<SignedDuration>,
    ) -> Taken {
        let delay = self.faults.delayed_deeds.remove(&Party::Arm).unwrap_or_default();
        let reply = self.take_reply(&Party::Arm);
        let guid = Guid::random(&mut self.rng);
        let jobs = &mut self.azure.jobs.0;
        if jobs.len() >= KEPT
            && let Some(old) = jobs.iter().position(|job| job.status != JobStatus::InProgress)
        {
            jobs.remove(old);
        }
        jobs.push(Job {
            guid,
            family,
            name,
            instance: instance.to_owned(),
            subject: subject.to_owned(),
            received: self.now,
            status: JobStatus::InProgress,
            due: after.map(|after| self.now + after + delay),
            effect,
        });
        Taken { operation: Some(guid), reply }
    }

    /// Stops a job of a managed instance.
    ///
    /// # Errors
    /// There is none of this id, or it can no longer be stopped.
    pub fn cancel_job(&mut self, instance: &str, guid: &str) -> Result<(), ArmError> {
        let mut jobs = self.azure.jobs.0.iter_mut();
        let found = jobs.find(|job| {
            job.instance == instance && job.guid.to_string().eq_ignore_ascii_case(guid)
        });
        let Some(job) = found else {
            let message = format!("The operation with Id '{guid}' does not exist.");
            return Err(ArmError::new(404, "OperationIdNotFound", &message));
        };
        if !job.is_cancellable() {
            let message = format!("The management operation '{guid}' can not be cancelled.");
            return Err(ArmError::new(409, "CannotCancelOperation", &message));
        }
        (job.status, job.due) = (JobStatus::Canceled, None);
        Ok(())
    }

    pub(super) fn step_jobs(&mut self) {
        let now = self.now;
        let due = |job: &Job| job.due.is_some_and(|due| due <= now);
        while let Some(place) = self.azure.jobs.0.iter().position(due) {
            let job = self.azure.jobs.0[place].clone();
            // What begins between the request and the deed is waited for: its length is bounded.
            let held = match job.effect {
                Effect::DropLink => self.holds_deletion(&job.instance, &job.subject).is_some(),
                Effect::ChangeLink(_) => self.joins(&self.azure_key(&job.instance, &job.subject)),
                Effect::Nothing
                | Effect::Fail(_)
                | Effect::MakeLink
                | Effect::ChangeInstance(_)
                | Effect::PutCertificate(_)
                | Effect::DropCertificate
                | Effect::DropDatabase
                | Effect::Alias { .. } => false,
            };
            if held {
                self.azure.jobs.0[place].due = Some(now + AGAIN);
                continue;
            }
            let outcome = self.carry_out(&job);
            let status = match outcome {
                Ok(()) => JobStatus::Succeeded,
                Err(error) => JobStatus::Failed { code: error.code, message: error.message },
            };
            let job = &mut self.azure.jobs.0[place];
            (job.status, job.due) = (status, None);
        }
    }

    fn carry_out(&mut self, job: &Job) -> Result<(), ArmError> {
        let (instance, subject) = (job.instance.as_str(), job.subject.as_str());
        match &job.effect {
            Effect::Nothing | Effect::MakeLink => {}
            Effect::Fail(error) => return Err(error.clone()),
            Effect::ChangeLink(patch) => self.change_link(instance, subject, patch),
            Effect::DropLink => self.drop_link(instance, subject)?,
            Effect::ChangeInstance(change) => self.change_instance(instance, change),
            Effect::PutCertificate(certificate) => {
                let name = subject.to_owned();
                if let Some(found) = self.instances.get_mut(instance) {
                    found.resource.certificates.insert(name, certificate.clone());
                }
            }
            Effect::DropCertificate => {
                if let Some(found) = self.instances.get_mut(instance) {
                    found.resource.certificates.remove(subject);
                }
            }
            Effect::DropDatabase => self.drop_database(instance, subject),
            Effect::Alias { recorded, from } => {
                self.change_alias(instance, subject, *recorded, from.as_deref());
            }
        }
        Ok(())
    }
}
