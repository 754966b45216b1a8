//! What a planned failover needs around it: applications that a hook or people stop and start, and
//! what is true of them whatever a look has shown.

use agent_core::{
    Action, End, Entry, Estate, Event, Health, InstanceId, PlanKind, Quiet, Route, Side, StepRef,
    reply::{self, HookEnd},
};
use jiff::{SignedDuration, Timestamp};
use twin::world::{BackupKind, Commit, Role};

use super::{DATABASE, LINK, MANAGED_INSTANCE, SQL_SERVER, Sabotage, Universe, Violation, hands};

/// The applications of the link, as the operator's hook knows them.
#[derive(Clone, Debug, Default)]
pub struct Applications {
    pub stopped: bool,
    /// This many runs of the hook from now on go wrong, in one way or another.
    pub fail: u32,
    /// What goes wrong then has no effect at all, and says so at once.
    pub broken: bool,
    /// So many runs of the hook end without anybody seeing how.
    pub lose: u32,
    /// So many questions whether the applications run get no answer.
    pub(super) mute: u32,
    /// Runs of the hook whose effect is still to come: whether they stop, and when it lands.
    pending: Vec<(bool, Timestamp)>,
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
    /// People point them at a side of their own choice.
    RepointTo(Side),
}

impl Universe {
    pub(super) fn run_hook(&mut self, step: StepRef, route: &Route) -> Result<(), Violation> {
        let Route::Hook(hook) = route else { return Ok(()) };
        self.checker.command(step, self.agent_now(), &self.settings)?;
        let stop = hook.command.last().is_some_and(|verb| verb == "stop");
        let within = i64::try_from(hook.within_ms).unwrap_or(i64::MAX);
        let lost = self.applications.lose > 0;
        self.applications.lose = self.applications.lose.saturating_sub(1);
        let fails = self.applications.fail > 0;
        self.applications.fail = self.applications.fail.saturating_sub(1);
        let broken = self.applications.broken;
        let hangs = lost || (fails && !broken && self.rng.bool());
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
        let code = |code| HookEnd::Code { code, last: String::new() };
        let end = match (lost, hangs, fails) {
            (true, _, _) => HookEnd::Lost("its end was not seen".into()),
            (false, true, _) => code(124),
            (false, false, true) => code(1),
            (false, false, false) => code(0),
        };
        let limit = std::time::Duration::from_millis(hook.within_ms);
        self.reply(step, takes, reply::hook(&hook.command.join(" "), limit, end));
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
                self.point_at(side);
                (false, true)
            }
            HookRun::RepointTo(side) => {
                self.point_at(at(side));
                (false, true)
            }
        };
        let lies = self.settings.sabotage == Some(Sabotage::LyingHook) && !stopped;
        if !works || lies {
            return;
        }
        self.applications.stopped = stopped;
        for name in self.workloads() {
            self.world.set_running(&name, !stopped).expect("the names are the world's");
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
            let run = record.and_then(|r| r.run.as_ref());
            let kind = run.map(|run| run.proposal.plan.kind);
            if !kind.is_some_and(PlanKind::orderly) {
                continue;
            }
            let cut = kind == Some(PlanKind::Cutover);
            let turned = run.is_some_and(|run| run.handed_over());
            let run_committed = run.is_some_and(|run| run.committed());
            if *end == End::Undone {
                if self.applications.stopped {
                    let what = "it was taken back, and the applications are still stopped";
                    return Err(Violation::new("3", what));
                }
                continue;
            }
            if cut && !turned && run_committed {
                // Nobody can tell where the data lives: people look first.
                continue;
            }
            let wait = self.rng.i64(1_000..9_000);
            let run = if cut && turned {
                HookRun::RepointTo(Side::ManagedInstance)
            } else {
                HookRun::Repoint
            };
            let repoint = hands::Happening::Hook(run);
            self.after_ms(wait, super::Happening::Hands(repoint));
        }
        Ok(())
    }

    /// People point the applications at an instance, by its name.
    pub fn people_point_at(&mut self, instance: &str) {
        self.point_at(instance);
    }

    fn point_at(&mut self, side: &str) {
        let address = self.address(side);
        for name in self.workloads() {
            self.world.repoint(&name, &address).expect("the names are the world's");
        }
    }

    /// What people do about two primaries: some ask for a repair, and most see to it that the
    /// applications work on the side that is kept, before they sign.
    pub(super) fn people_mend(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Event::HealthChanged { to: Health::SplitBrain, .. } = &entry.event
                && self.rng.bool()
            {
                let wait = self.rng.i64(2_000..15_000);
                let winner = *self
                    .rng
                    .choice(&[None, Some(Side::SqlServer), Some(Side::ManagedInstance)])
                    .unwrap_or(&None);
                self.after_ms(wait, super::Happening::Chaos(super::Chaos::Mend(winner)));
            }
            let Some(proposal) = super::opened(entry) else { continue };
            let winner = proposal.plan.lanes.first().map(|lane| lane.target);
            if proposal.plan.kind == PlanKind::Repair && self.rng.u8(0..4) > 0 {
                let run = HookRun::RepointTo(winner.expect("there is a lane"));
                let wait = self.rng.i64(100..3_000);
                self.after_ms(wait, super::Happening::Hands(hands::Happening::Hook(run)));
            }
        }
    }

    /// 10: nothing that only the loser has is missing in the backup, but for what came after the
    /// last look.
    pub(super) fn everything_is_saved(
        &self,
        instance: &InstanceId,
        but: SignedDuration,
    ) -> Result<(), Violation> {
        // A command goes to one replica of a side by its name.
        let sql = instance.as_str() != MANAGED_INSTANCE;
        let side = if sql { SQL_SERVER } else { MANAGED_INSTANCE };
        // On whichever replica it was made.
        let servers = self.servers(side);
        let servers = servers.iter().filter_map(|name| self.world.instance(name));
        let saved = servers.flat_map(|server| server.backups(self.now));
        let saved = saved.filter(|b| b.copy_only && b.kind == BackupKind::Full).map(|b| b.last_lsn);
        let saved = saved.max();
        let old = self.world.commits(LINK).filter(|commit| commit.at + but <= self.now);
        let own = old
            .filter(|commit| if sql { commit.on_sql_server } else { commit.on_managed_instance });
        match own.map(|commit| commit.lsn).max().filter(|last| saved.is_none_or(|s| s <= *last)) {
            Some(last) => {
                let until = saved.map_or("none".to_owned(), |saved| saved.to_string());
                let what = format!(
                    "{instance} has a commit at {last}, and the newest backup goes up to {until}"
                );
                Err(Violation::new("10", what))
            }
            None => Ok(()),
        }
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

    /// 7: what a look takes for granted before the roles change is so: nobody works in the primary's
    /// database and nobody has for a while, and the target has every commit that the primary has.
    pub(super) fn is_true(&self, action: &Action) -> Result<(), Violation> {
        match action {
            Action::Quiesced { instance, quiet, status, .. } => {
                // Who is ended and comes back for a moment between two looks is not seen: nothing
                // rests on it, for what is committed then is saved, or stays.
                let quiet = status.as_ref().map(|_| *quiet);
                self.nobody_works(instance, quiet)
            }
            Action::CaughtUp { target, .. } => self.nothing_is_missing(target),
            Action::TargetReady { .. }
            | Action::TargetPrimary { .. }
            | Action::TargetServing { .. }
            | Action::Admitted { .. }
            | Action::RolesChanged { .. }
            | Action::SourceSecondary { .. }
            | Action::BackedUp { .. }
            | Action::Demoted { .. }
            | Action::Following { .. }
            | Action::LoginsSet { .. }
            | Action::CommitMode { .. }
            | Action::LinkDeleted { .. }
            | Action::GroupDropped { .. }
            | Action::LocalGroupDropped { .. }
            | Action::ReadOnly { .. }
            | Action::FirstBackup { .. }
            | Action::LogBackupsSeen { .. } => Ok(()),
            Action::Saved { instance, .. } => {
                self.everything_is_saved(instance, SignedDuration::ZERO)
            }
        }
    }

    fn nobody_works(&self, at: &InstanceId, quiet: Option<Quiet>) -> Result<(), Violation> {
        let server = self.acting(at.as_str());
        let here = self.world.session_facts(&server).into_iter().find(|session| {
            let writes = session.transaction.as_ref().and_then(|open| open.writes.as_deref());
            session.user && (session.database == DATABASE || writes == Some(DATABASE))
        });
        if let Some(session) = here {
            let what = format!("{} works where nobody is said to", session.program);
            return Err(Violation::new("7", what));
        }
        let Some(quiet) = quiet else { return Ok(()) };
        let sql = at.as_str() == SQL_SERVER;
        let there = |commit: &Commit| (commit.side == twin::world::Side::SqlServer) == sql;
        let last = self.world.commits(LINK).filter(|c| c.acknowledged && there(c)).last();
        let ms = last.map(|commit| self.now.duration_since(commit.at).as_millis());
        match ms.filter(|ms| *ms < i128::from(quiet.for_ms)) {
            Some(ms) => {
                let what = format!("a commit of {ms} ms ago, where it is said to be quiet");
                Err(Violation::new("7", what))
            }
            None => Ok(()),
        }
    }

    fn nothing_is_missing(&self, target: &InstanceId) -> Result<(), Violation> {
        let to_sql = target.as_str() == SQL_SERVER;
        let missing = self.world.commits(LINK).find(|commit| {
            let (from, to) = if to_sql {
                (commit.on_managed_instance, commit.on_sql_server)
            } else {
                (commit.on_sql_server, commit.on_managed_instance)
            };
            commit.acknowledged && from && !to
        });
        match missing {
            Some(commit) => {
                let what =
                    format!("{target} is said to have it all and lacks a commit of {}", commit.at);
                Err(Violation::new("7", what))
            }
            None => Ok(()),
        }
    }

    /// A step by its direction and number, as coverage counts it.
    pub(super) fn place_of(&self, step: StepRef) -> Option<String> {
        place(self.estate()?, step)
    }
}

fn at(side: Side) -> &'static str {
    match side {
        Side::SqlServer => SQL_SERVER,
        Side::ManagedInstance => MANAGED_INSTANCE,
    }
}

/// The same for whoever has the estate.
pub(super) fn place(estate: &Estate, step: StepRef) -> Option<String> {
    let run = estate.record(&Universe::link())?.run.as_ref()?;
    let plan = &run.proposal.plan;
    let ours = run.proposal.terms.proposal == step.proposal;
    let way = match (plan.kind, plan.lanes.get(step.lane).filter(|_| ours)?.target) {
        (PlanKind::PlannedFailover, Side::ManagedInstance) => "over",
        (PlanKind::PlannedFailover, Side::SqlServer) => "home",
        (PlanKind::Cutover, _) => "cut",
        (PlanKind::Repair, _) => "mend",
        (PlanKind::ReturnGuard, _) => "guard",
        (PlanKind::Deletion, _) => "delete",
        (PlanKind::ForcedFailover, _) => return None,
    };
    let back = if step.undo { " back" } else { "" };
    Some(format!("{way} {}{back}", step.step + 1))
}
