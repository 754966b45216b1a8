//! What a planned failover needs around it: applications that a hook stops and starts, and the looks
//! of its steps.

use agent_core::{
    Action, Again, End, Entry, Event, InstanceId, PlanKind, Route, StepRef, Work,
    deed::{Answer, Sent, Sight},
};
use jiff::{SignedDuration, Timestamp};
use twin::world::{Party, Role, SyncState};

use super::{
    DATABASE, LINK, MANAGED_INSTANCE, SQL_SERVER, Sabotage, Universe, Violation, hands,
    look::Passage,
};

/// The applications of the link, as the operator's hook knows them.
#[derive(Clone, Debug, Default)]
pub struct Applications {
    pub stopped: bool,
    /// This many runs of the hook from now on go wrong, in one way or another.
    pub fail: u32,
    /// What goes wrong then has no effect at all, and says so at once.
    pub broken: bool,
    /// Runs of the hook whose effect is still to come: whether they stop, and when it lands.
    pending: Vec<(bool, Timestamp)>,
    /// Backups that are on disk, by name, and since when.
    backups: Vec<(String, Timestamp)>,
}

/// A run of the hook, or of a person who does the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HookRun {
    Stop {
        works: bool,
    },
    Start {
        works: bool,
    },
    /// People point the applications at whichever side takes writes now.
    Repoint,
}

impl Universe {
    pub(super) fn run_hook(&mut self, step: StepRef, route: &Route) -> Result<(), Violation> {
        let Route::Hook(hook) = route else { return Ok(()) };
        self.checker.command(step, self.agent_now(), &self.settings)?;
        let stop = hook.command.last().is_some_and(|verb| verb == "stop");
        let within = i64::try_from(hook.within_ms).unwrap_or(i64::MAX);
        let fails = self.applications.fail > 0;
        self.applications.fail = self.applications.fail.saturating_sub(1);
        let broken = self.applications.broken;
        let hangs = fails && !broken && self.rng.bool();
        // What hangs or fails may have done its work all the same.
        let works = !fails || (!broken && self.rng.bool());
        let takes = if hangs { within } else { self.rng.i64(50..2_000).min(within) };
        let lands = if hangs { self.rng.i64(0..within) } else { takes };
        let now = self.now;
        self.applications.pending.retain(|(_, at)| *at > now);
        if self.applications.pending.iter().any(|(stops, _)| *stops != stop) {
            let what = "the hook is run while its opposite may still be at work";
            return Err(Violation::new("4", what));
        }
        self.applications.pending.push((stop, now + SignedDuration::from_millis(lands)));
        let run = if stop { HookRun::Stop { works } } else { HookRun::Start { works } };
        self.after_ms(lands, super::Happening::Hands(hands::Happening::Hook(run)));
        let sent = match (fails, hangs) {
            (false, _) => Sent::Accepted { operation: None },
            (true, false) => {
                Sent::Refused { why: "the hook ended with 1".into(), again: Again::SameRoute }
            }
            (true, true) => Sent::Refused {
                why: "the hook was killed when its time was over".into(),
                again: Again::SameRoute,
            },
        };
        self.after_ms(takes, super::Happening::Answer(step, Answer::Sent(sent)));
        Ok(())
    }

    pub(super) fn hook_lands(&mut self, run: HookRun) {
        let (stopped, works) = match run {
            HookRun::Stop { works } => (true, works),
            HookRun::Start { works } => (false, works),
            HookRun::Repoint => {
                let Some(side) = self.writable_side() else {
                    let again = super::Happening::Hands(hands::Happening::Hook(run));
                    self.after_ms(3_000, again);
                    return;
                };
                let address = self.address(side);
                for name in self.workloads() {
                    self.world.repoint(&name, &address).expect("the names are the world's");
                }
                (false, true)
            }
        };
        let lies = self.settings.sabotage == Some(Sabotage::LyingHook) && !stopped;
        if !works || lies {
            return;
        }
        self.applications.stopped = stopped;
        let rate = if stopped { 0.0 } else { self.settings.rate };
        for name in self.workloads() {
            self.world.set_rate(&name, rate).expect("the names are the world's");
        }
    }

    /// What people do when a planned failover has ended, whichever way.
    ///
    /// # Errors
    ///
    /// A plan that was taken back has left the applications out.
    pub(super) fn people_repoint(&mut self, entries: &[Entry]) -> Result<(), Violation> {
        for entry in entries {
            let Event::ProposalClosed { end, .. } = &entry.event else { continue };
            let record = self.estate().and_then(|estate| estate.record(&Self::link()));
            let kind = record.and_then(|r| r.run.as_ref()).map(|run| run.proposal.plan.kind);
            if kind != Some(PlanKind::PlannedFailover) {
                continue;
            }
            if *end == End::Undone {
                if self.applications.stopped {
                    let what = "it was taken back, and the applications are still stopped";
                    return Err(Violation::new("3", what));
                }
                continue;
            }
            let wait = self.rng.i64(1_000..9_000);
            let repoint = hands::Happening::Hook(HookRun::Repoint);
            self.after_ms(wait, super::Happening::Hands(repoint));
        }
        Ok(())
    }

    /// People stop the applications, or let them in again, by themselves.
    pub fn people_stop(&mut self, stop: bool) {
        let works = true;
        self.hook_lands(if stop { HookRun::Stop { works } } else { HookRun::Start { works } });
    }

    fn workloads(&self) -> Vec<String> {
        self.world.workloads().map(|workload| workload.name.clone()).collect()
    }

    fn writable_side(&self) -> Option<&'static str> {
        [SQL_SERVER, MANAGED_INSTANCE].into_iter().find(|at| {
            let up = self.world.instance(&self.acting(at)).is_some_and(|instance| instance.is_up());
            up && self.role(at) == Some(Role::Primary) && self.takes_writes(at)
        })
    }

    pub(super) fn role(&self, at: &str) -> Option<Role> {
        let at = self.acting(at);
        let at = at.as_str();
        let groups = self.world.availability_groups(at);
        let group = groups.iter().find(|group| group.is_distributed && group.name == LINK)?;
        let states = self.world.replica_states(at);
        let local = states.iter().find(|s| s.is_local && s.group_id == group.group_id)?;
        Some(local.role)
    }

    fn takes_writes(&self, at: &str) -> bool {
        self.world.databases(&self.acting(at)).iter().any(|db| db.name == DATABASE && db.updateable)
    }

    fn sees(&mut self, instance: &InstanceId) -> bool {
        let party = Party::Instance(instance.as_str().to_owned());
        matches!(self.passage(&party), Passage::Open(_))
    }

    /// What a look of one of the steps of a planned failover shows; None for all others.
    pub(super) fn planned_sight(&mut self, work: &Work) -> Option<Sight> {
        let blind = || Sight::Blind { why: "it does not answer".into() };
        let main = work.action.instance().clone();
        Some(match &work.action {
            Action::TargetReady { .. }
            | Action::TargetPrimary { .. }
            | Action::TargetServing { .. } => return None,
            Action::RolesChanged { source, .. } => self.roles_changed(&main, &source.clone()),
            // Letting the applications in again needs nothing of the server.
            Action::Admitted { .. } => self.admitted(&main),
            _ if !self.sees(&main) => blind(),
            Action::Quiesced { status, quiet, .. } => {
                let quiet_for =
                    SignedDuration::from_millis(i64::try_from(quiet.for_ms).unwrap_or(i64::MAX));
                self.quiesced(main.as_str(), status.is_some(), quiet_for)
            }
            Action::CaughtUp { target, .. } => {
                let target = target.clone();
                if self.sees(&target) { self.caught_up(&main, &target) } else { blind() }
            }
            Action::SourceSecondary { .. } => match self.role(main.as_str()) {
                Some(Role::Secondary) => Sight::Holds { seen: "SECONDARY".into() },
                other => Sight::Coming { seen: format!("{other:?}") },
            },
            Action::BackedUp { name, .. } => self.backed_up(name),
            Action::LogBackupsSeen { .. } => Sight::Holds { seen: "a job is enabled".into() },
        })
    }

    fn admitted(&mut self, instance: &InstanceId) -> Sight {
        let serves = self.sees(instance) && self.role(instance.as_str()) == Some(Role::Primary);
        let lies = self.settings.sabotage == Some(Sabotage::LyingHook);
        match (self.applications.stopped && !lies, serves) {
            (false, true) => Sight::Holds { seen: "the applications run".into() },
            (false, false) => Sight::Coming { seen: "the server is not seen to serve".into() },
            (true, _) => Sight::Not { seen: "they are stopped".into(), first_hand: true },
        }
    }

    fn roles_changed(&mut self, target: &InstanceId, source: &InstanceId) -> Sight {
        let (sees_target, sees_source) = (self.sees(target), self.sees(source));
        let new = self.role(target.as_str()).filter(|_| sees_target);
        if new == Some(Role::Primary) {
            return if self.takes_writes(target.as_str()) {
                Sight::Holds { seen: "PRIMARY".into() }
            } else {
                Sight::Coming { seen: "PRIMARY, not open yet".into() }
            };
        }
        if !sees_source || !sees_target {
            return Sight::Blind { why: "one of them does not answer".into() };
        }
        let under_way = self.world.link(LINK).is_some_and(|link| link.running().is_some())
            || self.command_at(source.as_str());
        match (self.role(source.as_str()), new) {
            (Some(Role::Primary), Some(Role::Secondary)) if !under_way => {
                Sight::Not { seen: "the roles are as before".into(), first_hand: true }
            }
            (old, new) => Sight::Coming { seen: format!("{old:?} and {new:?}") },
        }
    }

    /// Whether a session of ours is still on a server: what it has sent may wait unread.
    pub(super) fn command_at(&self, at: &str) -> bool {
        self.world.operations().any(|operation| {
            operation.is_running()
                && self.servers(at).contains(&operation.instance)
                && operation.who.program.starts_with("dr-agent")
        })
    }

    fn quiesced(&self, at: &str, hooked: bool, quiet_for: SignedDuration) -> Sight {
        if hooked && !self.applications.stopped {
            return Sight::Not { seen: "the applications run".into(), first_hand: true };
        }
        let last = self.world.workloads().filter_map(|workload| {
            let here = self.leads_to(workload.target(), at);
            workload.last_commit().filter(|_| here)
        });
        let busy = last.max().is_some_and(|at| self.now.duration_since(at) < quiet_for);
        if busy {
            Sight::Coming { seen: "commits go on".into() }
        } else {
            Sight::Holds { seen: "nobody is there".into() }
        }
    }

    fn caught_up(&self, source: &InstanceId, target: &InstanceId) -> Sight {
        let row = |at: &InstanceId| {
            let rows = self.world.database_replica_states(&self.acting(at.as_str()));
            rows.into_iter().find(|row| row.is_local && row.database == DATABASE)
        };
        let (Some(from), Some(to)) = (row(source), row(target)) else {
            return Sight::Unfit { seen: "there are no rows".into() };
        };
        let moving = matches!(to.state, SyncState::Synchronizing | SyncState::Synchronized);
        let all = to.last_hardened_lsn >= from.end_of_log_lsn && from.end_of_log_lsn.is_some();
        let redone = to.redo_queue_size.is_some_and(|kb| kb == 0);
        let heard = self.role(source.as_str()) == Some(Role::Primary);
        if moving && all && redone && heard && to.suspended.is_none() {
            Sight::Holds { seen: "it has everything".into() }
        } else {
            Sight::Coming { seen: "it is behind".into() }
        }
    }

    fn backed_up(&self, name: &str) -> Sight {
        match self.applications.backups.iter().find(|(known, _)| known == name) {
            Some((_, at)) if *at <= self.now => Sight::Holds { seen: "the backup is there".into() },
            Some(_) => Sight::Coming { seen: "the backup is being made".into() },
            None => Sight::Not { seen: "no such backup".into(), first_hand: true },
        }
    }

    /// A BACKUP statement reaches a server: it works if that one is primary.
    pub(super) fn backup(&mut self, step: StepRef, at: &str, statement: &str) {
        let name = statement.rsplit("NAME = N'").next().unwrap_or_default().trim_end_matches('\'');
        let takes = self.rng.i64(300..4_000);
        let works = self.role(at) == Some(Role::Primary) && self.rng.u8(0..8) > 0;
        let sent = if works {
            let ready = self.now + SignedDuration::from_millis(takes);
            self.applications.backups.push((name.to_owned(), ready));
            Sent::Accepted { operation: None }
        } else {
            Sent::Refused { why: "3013".into(), again: Again::SameRoute }
        };
        self.after_ms(takes, super::Happening::Answer(step, Answer::Sent(sent)));
    }
}
