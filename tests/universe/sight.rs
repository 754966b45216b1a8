//! The eyes of the executor: what a look reads of the world, in two halves, as the daemon reads one
//! thing after the other. What the readings mean is for the core to say.

use std::collections::BTreeMap;

use agent_core::{
    Action, ControlReading, InstanceId, Lsn, Quiet, Seen, SideReading, Silence, SilenceKind,
    StepRef, Vantage, Work,
    deed::{Answer, Sight},
    reply::{self, HookEnd},
    sight::{self, Activity, BackupTaken, JobStep, LogBackups, LoginState, Status, User},
};
use twin::world::{BackupKind, OperationKind, Party, Statement};

use super::{
    DATABASE, Happening, MANAGED_INSTANCE, SQL_SERVER, Sabotage, Universe, Violation, hands,
    look::{self, Passage, best},
};

type Read = Result<SideReading, Silence>;
/// Of each server of a side, whether a command is at work there.
type Told = Vec<Result<bool, Silence>>;

type Taken = Result<Option<BackupTaken>, Silence>;
/// How far a backup of ours has come, if one runs.
type Running = Result<Option<Option<i64>>, Silence>;

/// What a look has read first, and what it still needs to know.
pub(super) enum Half {
    Target(Told),
    Roles { target: Read, told: Told, source: InstanceId },
    Quiesced { status: Option<Result<Status, String>>, quiet: Quiet },
    Admitted(Result<Status, String>),
    CaughtUp { primary: Read, target: InstanceId, quiet: Quiet },
    Source,
    Backup { running: Running, name: String },
    Saved { running: Running, taken: Taken },
    Demoted { told: Told, taken: Taken },
    Logins,
    CommitMode { primary: Read, target: InstanceId },
    Deleted { told: Told, primary: Read },
    FirstBackup,
    LogBackups,
}

impl Universe {
    pub(super) fn look_begins(&mut self, step: StepRef) {
        let Some(work) = self.work_of(step) else { return };
        let main = work.action.instance().clone();
        let half = match work.action.clone() {
            Action::TargetReady { .. }
            | Action::TargetPrimary { .. }
            | Action::TargetServing { .. } => Half::Target(self.told(&main, step)),
            Action::RolesChanged { source, .. } => {
                Half::Roles { target: self.side(&main).0, told: self.told(&source, step), source }
            }
            Action::Quiesced { status, quiet, .. } => {
                Half::Quiesced { status: status.map(|_| self.hook_status(false)), quiet }
            }
            Action::Admitted { .. } => Half::Admitted(self.hook_status(true)),
            Action::CaughtUp { target, quiet, .. } => {
                Half::CaughtUp { primary: self.side(&main).0, target, quiet }
            }
            Action::SourceSecondary { .. } => Half::Source,
            Action::BackedUp { name, .. } => {
                Half::Backup { running: self.backup_running(&main, step), name }
            }
            Action::Saved { name, .. } => {
                let running = self.backup_running(&main, step);
                Half::Saved { running, taken: self.backup_taken(&main, &name, true) }
            }
            Action::Demoted { saved, .. } => {
                let told = self.told(&main, step);
                Half::Demoted { told, taken: self.backup_taken(&main, &saved, true) }
            }
            Action::Following { .. } => Half::Target(Vec::new()),
            Action::LoginsSet { .. } => Half::Logins,
            Action::CommitMode { target, .. } => {
                Half::CommitMode { primary: self.side(&main).0, target }
            }
            Action::LinkDeleted { source: Some(source), .. } => {
                Half::Deleted { told: self.told(&main, step), primary: self.side(&source).0 }
            }
            Action::LinkDeleted { source: None, .. } => Half::Target(self.told(&main, step)),
            Action::GroupDropped { .. }
            | Action::LocalGroupDropped { .. }
            | Action::ReadOnly { .. } => Half::Target(self.told(&main, step)),
            Action::FirstBackup { .. } => Half::FirstBackup,
            Action::LogBackupsSeen { .. } => Half::LogBackups,
        };
        let (life, half) = (self.life, Box::new(half));
        let latency = self.rng.i64(1..15);
        self.after_ms(latency, Happening::Hands(hands::Happening::LookLands { step, life, half }));
    }

    /// # Errors
    ///
    /// The look says what is not so.
    pub(super) fn look_ends(
        &mut self,
        step: StepRef,
        life: u32,
        half: Half,
    ) -> Result<(), Violation> {
        let Some(work) = self.work_of(step).filter(|_| life == self.life) else { return Ok(()) };
        let sight = self.judged(&work, half);
        if matches!(sight, Sight::Holds { .. }) {
            self.is_true(&work.action)?;
        }
        self.after_ms(0, Happening::Answer(step, Answer::Looked(sight)));
        Ok(())
    }

    /// What the record says of a step that is under way.
    pub(super) fn work_of(&self, step: StepRef) -> Option<Work> {
        self.estate()?.work().into_iter().find(|work| work.step == step)
    }

    fn judged(&mut self, work: &Work, half: Half) -> Sight {
        let action = &work.action;
        let main = action.instance().clone();
        match half {
            Half::Target(told) => self.at_target(work, &told),
            Half::Roles { target, told, source } => {
                let (seen, speaker) = self.side(&source);
                sight::roles_changed(action, target, &sight::under_way(&told, speaker), seen)
            }
            Half::Quiesced { status, quiet } => self.quiesced(work, status, quiet),
            Half::Admitted(status) => sight::admitted(action, status, self.side(&main).0),
            Half::CaughtUp { primary, target, quiet } => {
                let copy = self.side(&target).0.map(|reading| self.flattered(reading));
                let primary = primary.map(|reading| self.flattered(reading));
                let Some(doing) = self.doing(work.step) else { return gone() };
                sight::caught_up(action, primary, copy, quiet, &mut doing.steady)
            }
            Half::Source => match self.side(&main).0 {
                Ok(reading) => sight::source_secondary(action, &reading),
                Err(silence) => Sight::Blind { why: silence.detail },
            },
            Half::Backup { running, name } => {
                sight::backed_up(running, self.backup_taken(&main, &name, false))
            }
            Half::Saved { running, taken } => {
                let database = self.side(&main).0.map(|reading| reading.database);
                sight::saved(running, self.believed(taken), database)
            }
            Half::Demoted { told, taken } => {
                let by_role = self.at_target(work, &told);
                let database = self.side(&main).0.map(|reading| reading.database);
                sight::still_saved(by_role, self.believed(taken), database)
            }
            Half::Logins => {
                let Action::LoginsSet { logins, disabled, .. } = action else { return gone() };
                sight::logins_set(logins, *disabled, self.logins(&main, logins))
            }
            Half::CommitMode { primary, target } => {
                let target = self.side(&target).0;
                sight::commit_mode(action, primary, target)
            }
            Half::Deleted { told, primary } => {
                let sight = self.at_target(work, &told);
                sight::still_equal(sight, primary, self.side(&main).0)
            }
            Half::FirstBackup => {
                let now = self.agent_now();
                let since_s = work.turned_at.map(|at| now.duration_since(at).as_secs());
                sight::first_backup(since_s, self.log_backups(&main))
            }
            Half::LogBackups => {
                let now = self.agent_now();
                let since_s = work.turned_at.map(|at| now.duration_since(at).as_secs());
                sight::log_backups_seen(DATABASE, since_s, self.log_backups(&main))
            }
        }
    }

    fn at_target(&mut self, work: &Work, told: &Told) -> Sight {
        let now = self.agent_now();
        let main = work.action.instance().clone();
        let sight = match self.side(&main) {
            (Ok(reading), speaker) => {
                sight::of_side(&work.action, &reading, &sight::under_way(told, speaker))
            }
            (Err(silence), _) => Sight::Blind { why: silence.detail },
        };
        // Only the managed instance has a control plane.
        if main.as_str() != MANAGED_INSTANCE || !sight::asks_control(work, &sight) {
            return sight;
        }
        let control = self.control();
        sight::with_control(work, now, sight, control)
    }

    fn quiesced(
        &mut self,
        work: &Work,
        status: Option<Result<Status, String>>,
        quiet: Quiet,
    ) -> Sight {
        let hooked = status.is_some();
        let Some(doing) = self.doing(work.step) else { return gone() };
        if let Some(sight) = status.and_then(|status| sight::not_stopped(status, &mut doing.still))
        {
            return sight;
        }
        let sabotage = self.settings.sabotage;
        if hooked && sabotage == Some(Sabotage::TrustsTheHook) {
            return Sight::Holds { seen: "the hook says that they are stopped".into() };
        }
        let for_ms = if sabotage == Some(Sabotage::Impatient) { 0 } else { quiet.for_ms };
        let activity = self.activity(work.action.instance());
        let Some(doing) = self.doing(work.step) else { return gone() };
        let quiet = Quiet { for_ms, ..quiet };
        sight::quiesced(work.route.as_ref(), activity, quiet, &mut doing.still)
    }

    /// A reading in which the target is said to have all of the log, for those who break the
    /// house on purpose.
    fn flattered(&self, reading: SideReading) -> SideReading {
        let mut reading = reading;
        if let (Some(Sabotage::AnyLsn), Some(copy)) =
            (self.settings.sabotage, reading.database.as_mut())
        {
            copy.last_hardened_lsn = Some(Lsn(u128::MAX));
            // Nor does the primary tell how far behind it is.
            if let Some(partner) = reading.partner.as_mut() {
                partner.lag_s = None;
            }
        }
        reading
    }

    /// A backup that claims to have everything, for those who break the house on purpose.
    fn believed(&self, taken: Taken) -> Taken {
        let any = self.settings.sabotage == Some(Sabotage::AnySave);
        let claim = |taken: BackupTaken| BackupTaken {
            last_lsn: if any { Some(Lsn(u128::MAX)) } else { taken.last_lsn },
            ..taken
        };
        taken.map(|taken| taken.map(claim))
    }

    /// What the probes' own code makes of a side, and the place of the server that speaks for it.
    pub(super) fn side(&mut self, at: &InstanceId) -> (Read, Option<usize>) {
        let sql = at.as_str() == SQL_SERVER;
        let vantage = if sql { Vantage::SqlServer } else { Vantage::ManagedInstance };
        let ways = self.ways(vantage);
        if let Err(silence) = way_in(best(&ways)) {
            return (Err(silence), None);
        }
        let open = ways.iter().filter(|(_, way)| matches!(way, Passage::Open(_)));
        let answering: Vec<String> = open.map(|(name, _)| name.clone()).collect();
        match self.read(vantage, &answering) {
            (Seen::Side(reading), speaker) => (Ok(reading), speaker),
            (Seen::Silence(silence), _) => (Err(silence), None),
            (Seen::Control(_), _) => unreachable!("a side is no control plane"),
        }
    }

    fn control(&mut self) -> Result<ControlReading, Silence> {
        way_in(self.passage(&Party::Arm))?;
        match look::control(&self.world) {
            Seen::Control(reading) => Ok(reading),
            Seen::Side(_) | Seen::Silence(_) => unreachable!("it is the control plane's"),
        }
    }

    fn told(&mut self, at: &InstanceId, step: StepRef) -> Told {
        let servers = self.servers(at.as_str()).into_iter();
        let told = |name: String| {
            way_in(self.way(&Party::Instance(name.clone())))?;
            Ok(self.at_work(&name, step))
        };
        servers.map(told).collect()
    }

    /// Whether a server has a session of this step, which may have its command unread yet, or changes
    /// a group for anybody.
    fn at_work(&self, server: &str, step: StepRef) -> bool {
        let own = program(step);
        let running = self.world.operations().any(|operation| {
            let ours = operation.who.program.starts_with(&own);
            let change = !matches!(operation.kind, OperationKind::Backup(_));
            operation.statement == Statement::Running
                && operation.instance == server
                && !operation.by_arm
                && (ours || change)
        });
        running || self.sent_to(server, step)
    }

    fn activity(&mut self, at: &InstanceId) -> Result<Activity, Silence> {
        let server = self.speaking(at)?;
        let mut users: BTreeMap<(String, String, String), User> = BTreeMap::new();
        for session in self.world.session_facts(&server).into_iter().filter(|s| s.user) {
            let open = session.transaction.and_then(|open| open.writes);
            let writes = open.is_some_and(|database| database == DATABASE);
            if session.database != DATABASE && !writes {
                continue;
            }
            let (login, program, host) = (session.login, session.program, session.host);
            let key = (login.clone(), program.clone(), host.clone());
            let fresh = User { login, program, host, sessions: 0, transactions: 0 };
            let user = users.entry(key).or_insert(fresh);
            user.sessions += 1;
            user.transactions += i64::from(writes);
        }
        let logs = self.world.log_facts(&server);
        let log = logs.into_iter().find(|log| log.database == DATABASE);
        let bytes = log.and_then(|log| i64::try_from(log.flushed_bytes).ok());
        let log_bytes_flushed =
            bytes.ok_or_else(|| silence(SilenceKind::Garbled, "NULL as `log_bytes_flushed`"))?;
        let users = users.into_values().collect();
        Ok(Activity { at_ms: self.now.as_millisecond(), log_bytes_flushed, users })
    }

    fn backup_running(
        &mut self,
        at: &InstanceId,
        step: StepRef,
    ) -> Result<Option<Option<i64>>, Silence> {
        let server = self.speaking(at)?;
        let own = program(step);
        let mut ours = self.world.operations().filter(|operation| {
            operation.statement == Statement::Running
                && operation.instance == server
                && operation.who.program.starts_with(&own)
        });
        let done = ours.next().map(|operation| match &operation.kind {
            OperationKind::Backup(run) => {
                Some(i64::from(run.percent(operation.received, self.now)))
            }
            OperationKind::ForceFailover
            | OperationKind::PlannedFailover
            | OperationKind::Demote
            | OperationKind::Suspend { .. }
            | OperationKind::Resume { .. }
            | OperationKind::Restore(_) => None,
        });
        Ok(done.or_else(|| self.sent_to(&server, step).then_some(None)))
    }

    pub(super) fn backup_taken(
        &mut self,
        at: &InstanceId,
        name: &str,
        copy_only: bool,
    ) -> Result<Option<BackupTaken>, Silence> {
        let server = self.speaking(at)?;
        let instance = self.world.instance(&server).expect("it has just answered");
        let taken = instance.backups(self.now).filter(|backup| {
            let full = backup.kind == BackupKind::Full && backup.copy_only == copy_only;
            full && backup.database == DATABASE && backup.name.as_deref() == Some(name)
        });
        let newest = taken.max_by_key(|backup| backup.finish);
        Ok(newest.map(|backup| BackupTaken {
            last_lsn: Lsn::parse(&backup.last_lsn.to_string()),
            took_s: Some(backup.finish.duration_since(backup.start).as_secs()),
            size_bytes: i64::try_from(backup.size).ok(),
            checksums: backup.checksums,
        }))
    }

    fn log_backups(&mut self, at: &InstanceId) -> Result<LogBackups, Silence> {
        let server = self.speaking(at)?;
        let instance = self.world.instance(&server).expect("it has just answered");
        let steps = instance
            .jobs()
            .iter()
            .filter(|job| job.enabled)
            .map(|job| JobStep { job: job.name.clone(), command: job.command() });
        let ended = |kind: BackupKind| {
            let of_kind = instance.backups(self.now).filter(move |backup| {
                backup.kind == kind && !backup.copy_only && backup.database == DATABASE
            });
            let last = of_kind.map(|backup| backup.finish).max();
            last.map(|at| self.now.duration_since(at).as_secs())
        };
        Ok(LogBackups {
            steps: steps.collect(),
            last_s: ended(BackupKind::Log),
            full_s: ended(BackupKind::Full),
            agent_running: Some(instance.agent_running()),
        })
    }

    fn logins(&mut self, at: &InstanceId, names: &[String]) -> Result<Vec<LoginState>, Silence> {
        let server = self.speaking(at)?;
        let instance = self.world.instance(&server).expect("it has just answered");
        let sessions = self.world.session_facts(&server);
        let count = |name: &String| {
            let own = sessions.iter().filter(|session| session.user && session.login == *name);
            i64::try_from(own.count()).unwrap_or(i64::MAX)
        };
        let state = |name: &String| LoginState {
            name: name.clone(),
            disabled: instance.setup().login(name).refused == Some(18_470),
            sessions: count(name),
        };
        Ok(names.iter().map(state).collect())
    }

    /// The server that speaks for a side, if a question gets there and back.
    fn speaking(&mut self, at: &InstanceId) -> Result<String, Silence> {
        way_in(self.passage(&Party::Instance(at.as_str().to_owned())))?;
        Ok(self.acting(at.as_str()))
    }

    /// What the hook says when it is asked.
    fn hook_status(&mut self, back: bool) -> Result<Status, String> {
        let lies = back && self.settings.sabotage == Some(Sabotage::LyingHook);
        let code = if self.applications.mute > 0 {
            self.applications.mute -= 1;
            *self.rng.choice(&[1, 124]).unwrap_or(&1)
        } else if self.applications.stopped && !lies {
            3
        } else {
            0
        };
        let end = HookEnd::Code { code, last: String::new() };
        reply::hook_status("/hooks/shop status", std::time::Duration::from_secs(8), end)
    }
}

/// By which the session of a command is known at the server; the number of the try follows it.
pub(super) fn program(step: StepRef) -> String {
    format!("dr-agent {}/{}/{}/", step.proposal, step.lane, step.step)
}

fn way_in(passage: Passage) -> Result<(), Silence> {
    match passage {
        Passage::Open(_) => Ok(()),
        Passage::Refused => Err(silence(SilenceKind::Refused, "connection refused")),
        Passage::Silent => Err(silence(SilenceKind::TimedOut, "no answer within the deadline")),
    }
}

fn silence(kind: SilenceKind, detail: &str) -> Silence {
    Silence { kind, detail: detail.to_owned() }
}

/// The agent that looked is not there any more.
fn gone() -> Sight {
    Sight::Blind { why: "nobody looks any more".into() }
}
