//! SQL Server's agent: jobs that back up, their runs, and who switches them off.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    AttentionStyle, BackupKind, BackupOrder, Device, Encryption, Guid, JobSpec, Origin, Party,
    SqlError, UnknownName, World, fault::unknown,
};

/// Runs that the history keeps.
const KEPT: usize = 50;

/// A job of an instance's agent.
#[derive(Clone, Debug)]
pub struct Job {
    /// `job_id`
    pub id: Guid,
    /// `name`
    pub name: String,
    /// `enabled`
    pub enabled: bool,
    /// The database that it backs up.
    pub database: String,
    /// What it takes.
    pub kind: BackupKind,
    /// How often it runs.
    pub every: SignedDuration,
    /// The directory or container that it writes to, with the separator at its end.
    pub path: String,
    pub(super) next: Timestamp,
    pub(super) runs: VecDeque<JobRun>,
}

/// One run of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobRun {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub finish: Timestamp,
    /// Why it failed, if it did.
    pub error: Option<SqlError>,
}

/// Something about an instance that is set from outside: no fault of a network or a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "set", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Setting {
    /// Its disk has no room for backups, or has again.
    DiskFull {
        /// Which.
        instance: String,
        /// Whether.
        on: bool,
    },
    /// The disk of its data or of its logs is full, so that no file on it grows, or no longer is.
    VolumeFull {
        /// Which.
        instance: String,
        /// Which of its disks.
        volume: Volume,
        /// Whether.
        on: bool,
    },
    /// Its agent is stopped or started.
    AgentRunning {
        /// Which.
        instance: String,
        /// Whether.
        on: bool,
    },
    /// Its TDS door does something otherwise; what is left out stays.
    Door {
        /// Which.
        instance: String,
        /// Whether connections are encrypted that come from now on.
        #[serde(default)]
        encryption: Option<Encryption>,
        /// How cancelled requests end.
        #[serde(default)]
        attention: Option<AttentionStyle>,
        /// The instance to which whoever logs in is sent; its own name: nobody is any more.
        #[serde(default)]
        redirect: Option<String>,
    },
    /// A job is enabled or disabled.
    JobEnabled {
        /// The instance.
        instance: String,
        /// The job.
        job: String,
        /// Whether.
        on: bool,
    },
}

/// A disk of an instance, beside the one for backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Volume {
    /// Where its data files are.
    Data,
    /// Where its log files are.
    Log,
}

impl JobSpec {
    /// The jobs that back up a database where nothing else is said.
    pub(super) fn usual(database: &str) -> [JobSpec; 2] {
        let job = |name: &str, kind, every_s, first_s| JobSpec {
            name: format!("DatabaseBackup - {database} - {name}"),
            database: database.to_owned(),
            kind,
            enabled: true,
            every_s,
            first_s,
            path: super::spec::default_path(),
        };
        [job("LOG", BackupKind::Log, 600, Some(180)), job("FULL", BackupKind::Full, 86_400, None)]
    }
}

impl Job {
    pub(super) fn new(spec: &JobSpec, id: Guid, start: Timestamp) -> Job {
        let every = SignedDuration::from_secs(i64::from(spec.every_s));
        let first = SignedDuration::from_secs(i64::from(spec.first_s.unwrap_or(spec.every_s)));
        Job {
            id,
            name: spec.name.clone(),
            enabled: spec.enabled,
            database: spec.database.clone(),
            kind: spec.kind,
            every,
            path: spec.path.clone(),
            next: start + first,
            runs: VecDeque::new(),
        }
    }

    /// When it runs next, if it does.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.enabled.then_some(self.next)
    }

    /// Its last runs, oldest first.
    pub fn runs(&self) -> impl Iterator<Item = &JobRun> {
        self.runs.iter()
    }

    /// The command of its one step.
    #[must_use]
    pub fn command(&self) -> String {
        let (verb, database) = (self.kind.verb(), &self.database);
        format!("{verb} [{database}] TO DISK = N'{}' WITH CHECKSUM, COMPRESSION", self.file("..."))
    }

    fn file(&self, stamp: &str) -> String {
        let end = match self.kind {
            BackupKind::Full => "bak",
            BackupKind::Log => "trn",
        };
        format!("{}{}_{stamp}.{end}", self.path, self.database)
    }
}

impl World {
    /// Sets something from outside.
    ///
    /// # Errors
    /// An instance or a job that does not exist.
    pub fn set(&mut self, setting: Setting) -> Result<(), UnknownName> {
        let now = self.now;
        match setting {
            Setting::DiskFull { instance, on } => self.instance_mut(&instance)?.disk_full = on,
            Setting::VolumeFull { instance, volume, on } => {
                let full = &mut self.instance_mut(&instance)?.full;
                if on {
                    full.insert(volume)
                } else {
                    full.remove(&volume)
                };
                self.note_writers();
            }
            Setting::AgentRunning { instance, on } => {
                self.instance_mut(&instance)?.agent_running = on;
            }
            Setting::Door { instance, encryption, attention, redirect } => {
                if let Some(to) = &redirect {
                    self.check_instance(to)?;
                }
                let own = redirect.as_deref() == Some(instance.as_str());
                let door = &mut self.instance_mut(&instance)?.door;
                door.encryption = encryption.or(door.encryption);
                door.attention = attention.or(door.attention);
                door.redirect = redirect.or(door.redirect.take()).filter(|_| !own);
            }
            Setting::JobEnabled { instance, job, on } => {
                let instance = self.instance_mut(&instance)?;
                let names: Vec<String> = instance.jobs.iter().map(|job| job.name.clone()).collect();
                let same = |found: &&mut Job| found.name.eq_ignore_ascii_case(&job);
                let Some(found) = instance.jobs.iter_mut().find(same) else {
                    return Err(unknown("job", &job, names.iter()));
                };
                found.enabled = on;
                found.next = found.next.max(now);
            }
        }
        Ok(())
    }

    /// Whether a disk of an instance is full.
    #[must_use]
    pub fn is_full(&self, at: &str, volume: Volume) -> bool {
        self.instance(at).is_some_and(|instance| instance.full.contains(&volume))
    }

    /// Runs the jobs that are due; a job is back at its schedule whatever became of it.
    pub(super) fn run_jobs(&mut self, at: &[String]) {
        let now = self.now;
        let due: Vec<(String, usize)> = self
            .instances
            .values()
            .filter(|instance| at.contains(&instance.name))
            .filter(|instance| {
                instance.is_up() && instance.has_recovered(now) && instance.agent_running
            })
            .flat_map(|instance| {
                let jobs = instance.jobs.iter().enumerate();
                let due = jobs.filter(|(_, job)| job.next().is_some_and(|next| next <= now));
                due.map(|(place, _)| (instance.name.clone(), place))
            })
            .collect();
        for (at, place) in due {
            self.run_job(&at, place);
        }
    }

    /// `sp_start_job`
    ///
    /// # Errors
    /// 14262: there is no such job.
    pub fn start_job(&mut self, at: &str, name: &str) -> Result<(), SqlError> {
        let place = self.job_place(at, name)?;
        self.run_job(at, place);
        Ok(())
    }

    /// `sp_update_job @enabled`
    ///
    /// # Errors
    /// 14262: there is no such job.
    pub fn enable_job(&mut self, at: &str, name: &str, on: bool) -> Result<(), SqlError> {
        self.job_place(at, name)?;
        let (instance, job) = (at.to_owned(), name.to_owned());
        // Both were found just now.
        let _ = self.set(Setting::JobEnabled { instance, job, on });
        Ok(())
    }

    fn job_place(&self, at: &str, name: &str) -> Result<usize, SqlError> {
        let jobs = self.instance(at).map(|instance| &instance.jobs);
        let place =
            jobs.and_then(|jobs| jobs.iter().position(|job| job.name.eq_ignore_ascii_case(name)));
        place.ok_or_else(|| {
            let text = format!("The specified @job_name ('{name}') does not exist.");
            SqlError::new(14_262, &text)
        })
    }

    fn run_job(&mut self, at: &str, place: usize) {
        let now = self.now;
        let Some(job) = self.instances.get_mut(at).and_then(|i| i.jobs.get_mut(place)) else {
            return;
        };
        while job.next <= now {
            job.next += job.every;
        }
        let stamp = now.strftime("%Y%m%d_%H%M%S").to_string();
        let file = job.file(&stamp);
        let url = file.starts_with("https://");
        let order = BackupOrder {
            database: job.database.clone(),
            kind: job.kind,
            devices: vec![if url { Device::Url(file) } else { Device::Disk(file) }],
            copy_only: false,
            checksums: true,
            compressed: true,
            overwrite: false,
            name: Some(job.name.clone()),
            stats: None,
        };
        let who = Origin::new(
            Party::Instance(at.to_owned()),
            r"NT SERVICE\SQLSERVERAGENT",
            "SQLAgent - TSQL JobStep",
        );
        if self.is_standby(at, &order.database) {
            // A job asks first whether its replica is the one to be backed up, and is done.
            return self.note_run(at, place, now, None);
        }
        let outcome = self.plan_backup(at, &who, order).and_then(|run| {
            self.has_room(at, &run.order)?;
            self.keep_backup(at, &run, now, run.until);
            Ok(run.until)
        });
        let (finish, error) = match outcome {
            Ok(finish) => (finish, None),
            Err(error) => (now, Some(error)),
        };
        self.note_run(at, place, finish, error);
    }

    fn note_run(&mut self, at: &str, place: usize, finish: Timestamp, error: Option<SqlError>) {
        let now = self.now;
        if let Some(job) = self.instances.get_mut(at).and_then(|i| i.jobs.get_mut(place)) {
            job.runs.push_back(JobRun { start: now, finish, error });
            if job.runs.len() > KEPT {
                job.runs.pop_front();
            }
        }
    }
}
