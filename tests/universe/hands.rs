//! The hands: looks, commands and polls of the executor against the world, with replies that get
//! lost and commands that arrive after the agent has died.

use agent_core::{
    Action, Again, InstanceId, Route, StepRef, Work,
    deed::{Answer, Polled, Sent, Sight},
};
use jiff::{SignedDuration, Timestamp};
use twin::world::{
    ArmCommand, Command, DatabaseState, FailoverType, OperationId, OperationStatus, Origin, Party,
    Reply, Role, SqlError, Statement, SyncState,
};

use super::{
    DATABASE, LINK, MANAGED_INSTANCE, SQL_SERVER, Sabotage, Universe, Violation, look::Passage,
    planned::HookRun,
};

/// A statement has this long to return.
const STATEMENT_MS: i64 = 12_000;

pub(super) enum Happening {
    LookLands { step: StepRef },
    Arrives { step: StepRef, route: Route },
    Returns { step: StepRef },
    PollLands { step: StepRef, operation: String },
    Abandon(OperationId),
    Hook(HookRun),
}

/// A statement of ours that runs on the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    operation: OperationId,
    since: Timestamp,
    reply: Reply,
}

fn party(instance: &InstanceId) -> Party {
    Party::Instance(instance.as_str().to_owned())
}

impl Universe {
    pub(super) fn hands_look(&mut self, step: StepRef) {
        let latency = self.rng.i64(1..15);
        self.after_ms(latency, super::Happening::Hands(Happening::LookLands { step }));
    }

    pub(super) fn hands_poll(&mut self, step: StepRef, operation: String) {
        let latency = self.rng.i64(5..60);
        let lands = Happening::PollLands { step, operation };
        self.after_ms(latency, super::Happening::Hands(lands));
    }

    pub(super) fn hands_send(&mut self, step: StepRef, route: Route) {
        let to = match &route {
            Route::Tsql { instance, .. } => party(instance),
            Route::Arm { .. } => Party::Arm,
            // A hook runs on the agent's own host.
            Route::Hook(_) => {
                let arrives = Happening::Arrives { step, route };
                self.after_ms(1, super::Happening::Hands(arrives));
                return;
            }
        };
        match self.passage(&to) {
            Passage::Open(ms) => {
                let route = self.addressed(route);
                if self.settings.sabotage == Some(Sabotage::Twice) {
                    let arm = Route::Arm { path: String::new(), body: String::new() };
                    let again = Happening::Arrives { step, route: arm };
                    self.after_ms(9_000, super::Happening::Hands(again));
                }
                let arrives = Happening::Arrives { step, route };
                self.after_ms(ms / 2, super::Happening::Hands(arrives));
            }
            Passage::Refused | Passage::Silent => {
                let why = "the connection could not be made".to_owned();
                self.reply(step, 50, Sent::Refused { why, again: Again::NextRoute });
            }
        }
    }

    /// What is sent to a side goes to the server that acts for it now, whatever it is on arrival.
    fn addressed(&self, route: Route) -> Route {
        match route {
            Route::Tsql { instance, statement } => {
                let at = self.acting(instance.as_str());
                Route::Tsql { instance: InstanceId::new(&at).expect("a name"), statement }
            }
            other @ (Route::Arm { .. } | Route::Hook(_)) => other,
        }
    }

    pub(super) fn hands_happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::LookLands { step } => {
                let work = self
                    .estate()
                    .and_then(|estate| estate.work().into_iter().find(|work| work.step == step));
                if let Some(work) = work {
                    let sight = self.sight(&work);
                    self.after_ms(0, super::Happening::Answer(step, Answer::Looked(sight)));
                }
            }
            Happening::Arrives { step, route } => self.arrives(step, &route)?,
            Happening::Returns { step } => self.returns(step),
            Happening::PollLands { step, operation } => {
                let polled = self.polled(&operation);
                self.after_ms(0, super::Happening::Answer(step, Answer::Polled(polled)));
            }
            Happening::Abandon(operation) => {
                self.world.abandon(operation);
            }
            Happening::Hook(run) => self.hook_lands(run),
        }
        Ok(())
    }

    /// What becomes of statements under way when the agent dies: the server notices that its
    /// client is gone, sooner or later.
    pub(super) fn hands_die(&mut self) {
        for (_, in_flight) in std::mem::take(&mut self.statements) {
            let notices = self.rng.i64(0..3_000);
            let abandon = Happening::Abandon(in_flight.operation);
            self.after_ms(notices, super::Happening::Hands(abandon));
        }
    }

    fn reply(&mut self, step: StepRef, after_ms: i64, sent: Sent) {
        self.after_ms(after_ms, super::Happening::Answer(step, Answer::Sent(sent)));
    }

    fn arrives(&mut self, step: StepRef, route: &Route) -> Result<(), Violation> {
        let StepRef { proposal, lane, step: place, attempt, .. } = step;
        let program = format!("dr-agent {proposal}/{lane}/{place}/{attempt}");
        let who = Origin::new(Party::Agent, "dr_agent", &program);
        match route {
            Route::Hook(_) => self.run_hook(step, route)?,
            Route::Tsql { instance, statement } => {
                if !matches!(self.passage(&party(instance)), Passage::Open(_)) {
                    let why = "the connection broke".to_owned();
                    self.reply(step, 5_000, Sent::Unknown { why });
                    return Ok(());
                }
                self.checker.command(step, self.agent_now(), &self.settings)?;
                if statement.starts_with("BACKUP") {
                    self.backup(step, instance.as_str(), statement);
                    return Ok(());
                }
                let group = LINK.into();
                let command = if statement.ends_with(" FORCE_FAILOVER_ALLOW_DATA_LOSS") {
                    Command::ForceFailover { group }
                } else {
                    Command::Failover { group }
                };
                let sabotaged = self.settings.sabotage == Some(Sabotage::ForceInstead);
                let (at, command) = if sabotaged {
                    let at =
                        if instance.as_str() == SQL_SERVER { MANAGED_INSTANCE } else { SQL_SERVER };
                    (at, Command::ForceFailover { group: LINK.into() })
                } else {
                    (instance.as_str(), command)
                };
                match self.world.execute(at, &who, command) {
                    Ok(taken) => {
                        let (operation, reply) = (taken.operation, taken.reply);
                        let since = self.now;
                        self.statements.insert(step, InFlight { operation, since, reply });
                        let returns = Happening::Returns { step };
                        self.after_ms(50, super::Happening::Hands(returns));
                    }
                    Err(error) => {
                        let sent = refused(&error);
                        self.reply(step, 5, sent);
                    }
                }
            }
            Route::Arm { body, .. } => {
                self.checker.command(step, self.agent_now(), &self.settings)?;
                let request = ArmCommand::Failover {
                    instance: MANAGED_INSTANCE.into(),
                    link: LINK.into(),
                    kind: if body.contains("Planned") {
                        FailoverType::Planned
                    } else {
                        FailoverType::ForcedAllowDataLoss
                    },
                };
                let sent = match self.world.arm(&who, request) {
                    Ok(taken) if taken.reply == Reply::Lost => {
                        Sent::Unknown { why: "the answer was lost".into() }
                    }
                    Ok(taken) => Sent::Accepted { operation: Some(taken.operation.0.to_string()) },
                    Err(error) => Sent::Refused { why: error.message, again: Again::SameRoute },
                };
                let ms = if matches!(sent, Sent::Unknown { .. }) { 5_000 } else { 30 };
                self.reply(step, ms, sent);
            }
        }
        Ok(())
    }

    fn returns(&mut self, step: StepRef) {
        let Some(in_flight) = self.statements.get(&step).copied() else { return };
        let statement = self.world.operation(in_flight.operation).map(|found| &found.statement);
        let late =
            self.now.duration_since(in_flight.since) >= SignedDuration::from_millis(STATEMENT_MS);
        let sent = match statement {
            Some(Statement::Running) if !late => {
                let returns = Happening::Returns { step };
                self.after_ms(100, super::Happening::Hands(returns));
                return;
            }
            Some(Statement::Returned) if in_flight.reply == Reply::Sent => {
                Some(Sent::Accepted { operation: None })
            }
            Some(Statement::Failed(error)) if in_flight.reply == Reply::Sent => {
                Some(refused(error))
            }
            Some(Statement::Running) => {
                self.world.abandon(in_flight.operation);
                None
            }
            Some(Statement::Returned | Statement::Failed(_) | Statement::Broken) | None => None,
        };
        self.statements.remove(&step);
        match sent {
            Some(sent) => self.reply(step, 1, sent),
            None => {
                let left = STATEMENT_MS.saturating_sub(
                    i64::try_from(self.now.duration_since(in_flight.since).as_millis())
                        .unwrap_or(STATEMENT_MS),
                );
                let why = "no answer within the deadline".to_owned();
                self.reply(step, left.max(0), Sent::Unknown { why });
            }
        }
    }

    fn polled(&mut self, operation: &str) -> Polled {
        if !matches!(self.passage(&Party::Arm), Passage::Open(_)) {
            return Polled::Blind { why: "the control plane does not answer".into() };
        }
        let id = operation.parse().map(OperationId).ok();
        match id.and_then(|id| self.world.operation(id)).map(|found| &found.status) {
            None => Polled::Blind { why: "there is no such operation".into() },
            Some(OperationStatus::InProgress) => {
                Polled::Running { again_in: std::time::Duration::from_secs(2) }
            }
            Some(OperationStatus::Succeeded) => Polled::Succeeded,
            Some(OperationStatus::Failed { message, .. }) => {
                Polled::Failed { why: message.clone() }
            }
        }
    }

    /// What a look at the target shows, as the executor's own look tells it.
    fn sight(&mut self, work: &Work) -> Sight {
        if let Some(sight) = self.planned_sight(work) {
            return sight;
        }
        match self.passage(&party(work.action.instance())) {
            Passage::Open(_) => self.sight_by_tds(&work.action),
            Passage::Refused | Passage::Silent => self.sight_by_arm(work),
        }
    }

    fn sight_by_tds(&self, action: &Action) -> Sight {
        let at = self.acting(action.instance().as_str());
        let at = at.as_str();
        let groups = self.world.availability_groups(at);
        let group = groups.iter().find(|group| group.is_distributed && group.name == LINK);
        let Some(group) = group else {
            return Sight::Unfit { seen: "there is no such group".into() };
        };
        let states = self.world.replica_states(at);
        let local = states.iter().find(|s| s.is_local && s.group_id == group.group_id);
        let role = local.map_or(Role::Resolving, |state| state.role);
        let databases = self.world.databases(at);
        let database = databases.iter().find(|db| db.name == DATABASE);
        let rows = self.world.database_replica_states(at);
        let row = rows.iter().find(|row| row.is_local && row.database == DATABASE);
        let state = database.map_or("gone", |db| db.state.desc());
        let seen = format!("{}, database {state}", role.desc());
        let writable =
            database.is_some_and(|db| db.state == DatabaseState::Online && db.updateable);
        let under_way = self.world.link(LINK).is_some_and(|link| link.running().is_some())
            || self.statements.values().any(|statement| {
                self.world.operation(statement.operation).is_some_and(|found| found.is_running())
            });
        let unfit = row
            .is_some_and(|row| matches!(row.state, SyncState::Reverting | SyncState::Initializing));
        match action {
            Action::TargetReady { .. } => match role {
                Role::Primary => Sight::Holds { seen },
                Role::Secondary if unfit => Sight::Unfit { seen },
                Role::Secondary => Sight::Holds { seen },
                Role::Resolving => Sight::Coming { seen },
            },
            Action::TargetPrimary { .. } | Action::TargetServing { .. } => match role {
                Role::Primary if writable => Sight::Holds { seen },
                Role::Primary | Role::Resolving => Sight::Coming { seen },
                Role::Secondary if under_way => Sight::Coming { seen },
                Role::Secondary if unfit => Sight::Unfit { seen },
                Role::Secondary if local.is_some_and(|state| state.connected) => {
                    Sight::Unfit { seen: format!("{seen}, hears the primary") }
                }
                Role::Secondary => Sight::Not { seen, first_hand: true },
            },
            Action::Quiesced { .. }
            | Action::Admitted { .. }
            | Action::CaughtUp { .. }
            | Action::RolesChanged { .. }
            | Action::SourceSecondary { .. }
            | Action::BackedUp { .. }
            | Action::LogBackupsSeen { .. } => Sight::Blind { why: "not by this look".into() },
        }
    }

    fn sight_by_arm(&mut self, work: &Work) -> Sight {
        let blind = Sight::Blind { why: "the target does not answer".into() };
        if work.action.instance().as_str() != MANAGED_INSTANCE {
            return blind;
        }
        let asks_arm = matches!(work.action, Action::TargetReady { .. })
            || matches!(work.route, Some(Route::Arm { .. }));
        if !asks_arm || !matches!(self.passage(&Party::Arm), Passage::Open(_)) {
            return blind;
        }
        let Some(link) = self.world.arm_link(MANAGED_INSTANCE, LINK) else { return blind };
        let seen = format!("{} by the control plane", link.instance_role.desc());
        match (&work.action, link.instance_role) {
            (Action::TargetReady { .. }, Role::Secondary | Role::Primary) => Sight::Holds { seen },
            (Action::TargetPrimary { .. }, Role::Secondary) => {
                Sight::Not { seen, first_hand: false }
            }
            (_, Role::Primary | Role::Resolving | Role::Secondary) => Sight::Coming { seen },
        }
    }
}

fn refused(error: &SqlError) -> Sent {
    let why = error.to_string();
    match error.number {
        41_122 | 47_513 => Sent::Already { why },
        41_149 | 41_163 | 41_165 | 0 => Sent::Unknown { why },
        40_613 | 10_928 | 41_104 | 41_140 | 47_514 | 47_515 | 47_516 => {
            Sent::Refused { why, again: Again::SameRoute }
        }
        41_985 | 15_151 => Sent::Refused { why, again: Again::Never },
        _ => Sent::Refused { why, again: Again::NextRoute },
    }
}
