//! The hands: commands and polls of the executor against the world, with replies that get lost and
//! commands that arrive after the agent has died. What a reply means is said by the core.

use agent_core::{
    Action, InstanceId, Method, Route, StepRef,
    deed::{Answer, Polled, Sent},
    reply::{self, Obstacle, OrderReply, StatementReply},
    sight,
};
use jiff::{SignedDuration, Timestamp};
use twin::world::{
    ArmError, BackupKind, BackupOrder, Command, Device, OperationId, OperationStatus, Origin,
    Party, Reply, SessionFacts, SqlError, Statement,
    setup::{Change, LoginChange},
};

use super::{
    DATABASE, LINK, MANAGED_INSTANCE, SQL_SERVER, Sabotage, Universe, Violation,
    cutting::deleted,
    look::Passage,
    planned::HookRun,
    sight::{Half, program},
};

/// Between looks at the target while the reply of a statement is outstanding.
const GLANCE_MS: i64 = 2_000;
/// The login that acts.
const LOGIN: &str = "dr_agent";

pub(super) enum Happening {
    LookLands { step: StepRef, life: u32, half: Box<Half> },
    Arrives { step: StepRef, route: Route, life: u32 },
    Returns { step: StepRef },
    PollLands { step: StepRef, operation: String },
    Abandon(OperationId),
    Hook(HookRun),
}

/// A statement of ours that runs on the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    operation: OperationId,
    reply: Reply,
    /// When the executor gives it up.
    until: Timestamp,
    /// When it looks at the target next.
    glance: Timestamp,
    /// Whether the target has shown the state at the last one.
    held: bool,
}

fn party(instance: &InstanceId) -> Party {
    Party::Instance(instance.as_str().to_owned())
}

impl Universe {
    pub(super) fn hands_poll(&mut self, step: StepRef, operation: String) {
        let latency = self.rng.i64(5..60);
        let lands = Happening::PollLands { step, operation };
        self.after_ms(latency, super::Happening::Hands(lands));
    }

    pub(super) fn hands_send(&mut self, step: StepRef, route: Route) {
        let life = self.life;
        let to = match &route {
            Route::Tsql { instance, .. } => party(instance),
            Route::Arm { .. } => Party::Arm,
            // A hook runs on the agent's own host.
            Route::Hook(_) => {
                let arrives = Happening::Arrives { step, route, life };
                self.after_ms(1, super::Happening::Hands(arrives));
                return;
            }
        };
        if self.found(&to).is_none() {
            self.reply(step, 50, reply::nobody_there("no server is primary of its own group now"));
            return;
        }
        match self.passage(&to) {
            Passage::Open(ms) => {
                let route = self.addressed(route);
                if self.settings.sabotage == Some(Sabotage::Twice) {
                    let (path, body) = (String::new(), String::new());
                    let arm = Route::Arm { method: Method::Post, path, body };
                    let again = Happening::Arrives { step, route: arm, life };
                    self.after_ms(9_000, super::Happening::Hands(again));
                }
                let arrives = Happening::Arrives { step, route, life };
                self.after_ms(ms / 2, super::Happening::Hands(arrives));
            }
            Passage::Refused | Passage::Silent => {
                let why = "the connection could not be made".to_owned();
                if matches!(route, Route::Arm { .. }) {
                    let by = Obstacle::Way;
                    self.reply(step, 50, reply::order(OrderReply::Refused { why, by }));
                } else {
                    self.replied(step, 50, StatementReply::NotLeft { number: None, why });
                }
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
            Happening::LookLands { step, life, half } => self.look_ends(step, life, *half)?,
            Happening::Arrives { step, route, life } => self.arrives(step, &route, life)?,
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
            self.abandon_soon(in_flight.operation);
        }
    }

    /// Whether a statement of a step is on its way to a server, where a session waits for it.
    pub(super) fn sent_to(&self, server: &str, step: StepRef) -> bool {
        self.queue.values().any(|happening| match happening {
            super::Happening::Hands(Happening::Arrives { step: other, route, .. }) => {
                let same = (other.proposal, other.lane, other.step)
                    == (step.proposal, step.lane, step.step);
                let there = |instance: &InstanceId| instance.as_str() == server;
                same && matches!(route, Route::Tsql { instance, .. } if there(instance))
            }
            super::Happening::Hands(_)
            | super::Happening::Look(_)
            | super::Happening::LookLands { .. }
            | super::Happening::Wake
            | super::Happening::Step(_)
            | super::Happening::Answer(..)
            | super::Happening::Human(_)
            | super::Happening::Chaos(_)
            | super::Happening::Start => false,
        })
    }

    pub(super) fn reply(&mut self, step: StepRef, after_ms: i64, sent: Sent) {
        if matches!(sent, Sent::Unknown { .. })
            && let Some(place) = self.place_of(step)
        {
            self.coverage.add(format!("reply lost at {place}"));
        }
        self.after_ms(after_ms, super::Happening::Answer(step, Answer::Sent(sent)));
    }

    /// What came back of a statement is told, unless nobody waits for it.
    fn replied(&mut self, step: StepRef, after_ms: i64, reply: StatementReply) {
        let Some(work) = self.work_of(step) else { return };
        self.reply(step, after_ms, reply::statement(reply, &work.action, LOGIN));
    }

    fn arrives(&mut self, step: StepRef, route: &Route, life: u32) -> Result<(), Violation> {
        let who = Origin::new(Party::Agent, LOGIN, &format!("{}{}", program(step), step.attempt));
        match route {
            Route::Hook(_) => self.run_hook(step, route)?,
            Route::Tsql { instance, statement } => {
                if !matches!(self.passage(&party(instance)), Passage::Open(_)) {
                    let why = "the connection broke".to_owned();
                    self.replied(step, 5_000, StatementReply::Open { why });
                    return Ok(());
                }
                self.checker.command(step, self.agent_now(), &self.settings)?;
                let instance = &self.misled(step, instance);
                self.checker.guards_rightly(step, instance)?;
                if self.settings.sabotage == Some(Sabotage::EarlyDeletion)
                    && statement.contains("= SYNCHRONOUS_COMMIT")
                {
                    self.delete_link(step, &who);
                    return Ok(());
                }
                if let Some(reply) = self.at_once(&who, instance.as_str(), statement) {
                    self.replied(step, 5, reply);
                    return Ok(());
                }
                let command = read(statement);
                if matches!(command, Command::SetRoleSecondary { .. }) {
                    self.everything_is_saved(instance, SignedDuration::from_secs(1))?;
                }
                let sabotaged = self.settings.sabotage == Some(Sabotage::ForceInstead)
                    && matches!(command, Command::Failover { .. });
                let (at, command) = if sabotaged {
                    let on_sql = instance.as_str() == SQL_SERVER;
                    let at = if on_sql { MANAGED_INSTANCE } else { SQL_SERVER };
                    (at, Command::ForceFailover { group: LINK.into() })
                } else {
                    (instance.as_str(), command)
                };
                match self.world.execute(at, &who, command) {
                    Ok(taken) if life == self.life => {
                        self.await_reply(step, taken.operation, taken.reply)
                    }
                    // Whoever was to hear the reply is dead, which the server notices at some time.
                    Ok(taken) => self.abandon_soon(taken.operation),
                    Err(error) => self.replied(step, 5, failed(&error)),
                }
            }
            Route::Arm { method: Method::Delete, .. } => {
                self.checker.command(step, self.agent_now(), &self.settings)?;
                self.delete_link(step, &who);
            }
            Route::Arm { method: Method::Post, body, .. } => {
                self.checker.command(step, self.agent_now(), &self.settings)?;
                self.order_failover(step, &who, body);
            }
        }
        Ok(())
    }

    /// Where a guard's command goes, for those who break the house on purpose.
    fn misled(&self, step: StepRef, instance: &InstanceId) -> InstanceId {
        let guard = self.place_of(step).is_some_and(|place| place.starts_with("guard"));
        if !guard || self.settings.sabotage != Some(Sabotage::WrongSide) {
            return instance.clone();
        }
        let other =
            if instance.as_str() == MANAGED_INSTANCE { SQL_SERVER } else { MANAGED_INSTANCE };
        InstanceId::new(other).expect("a name")
    }

    /// What comes back of a statement that takes no time; None of one that does.
    fn at_once(&mut self, who: &Origin, at: &str, statement: &str) -> Option<StatementReply> {
        let reply = match self.administered(who, at, statement) {
            Some(reply) => reply,
            None if self.serves(at, statement) => StatementReply::Done,
            None => return None,
        };
        let lost = self.deaf > 0;
        self.deaf = self.deaf.saturating_sub(1);
        Some(if lost { StatementReply::Open { why: "the connection broke".into() } } else { reply })
    }

    /// Statements about sessions and logins, which take no time. False for any other.
    fn serves(&mut self, at: &str, statement: &str) -> bool {
        if statement.starts_with("DECLARE @id") {
            self.end_sessions(at, |session| session.database == DATABASE);
            return true;
        }
        let (statement, ending) = match statement.split_once("; DECLARE @id") {
            Some((before, _)) => (before, true),
            None => (statement, false),
        };
        let one = |part: &str| {
            let (name, verb) = part.strip_prefix("ALTER LOGIN [")?.split_once("] ")?;
            let refused = (verb == "DISABLE").then_some(18_470);
            let change = LoginChange::Refused(refused);
            Some(Change::Login { login: name.to_owned(), change })
        };
        let changes: Option<Vec<Change>> = statement.split("; ").map(one).collect();
        let Some(changes) = changes else { return false };
        let named = |login: &str| {
            let is =
                |change: &Change| matches!(change, Change::Login { login: of, .. } if of == login);
            changes.iter().any(is)
        };
        if ending {
            self.end_sessions(at, |session| named(&session.login));
        }
        let server = self.acting(at);
        for change in changes {
            self.world.set_up(&server, change).expect("the instance is the world's");
        }
        true
    }

    /// What the batch does that ends whoever is at work in the database.
    fn end_sessions(&mut self, at: &str, which: impl Fn(&SessionFacts) -> bool) {
        let server = self.acting(at);
        for session in self.world.session_facts(&server) {
            if session.user && which(&session) {
                // One that has ended meanwhile is none.
                drop(self.world.kill(&server, 0, i64::from(session.id)));
            }
        }
    }

    fn await_reply(&mut self, step: StepRef, operation: OperationId, reply: Reply) {
        let by_clock = self.agent_now();
        let rest = self.work_of(step).map(|work| work.deadline.duration_since(by_clock));
        let until = self.now + rest.unwrap_or_default().max(SignedDuration::ZERO);
        let glance = self.now + SignedDuration::from_millis(GLANCE_MS);
        let in_flight = InFlight { operation, reply, until, glance, held: false };
        self.statements.insert(step, in_flight);
        self.after_ms(50, super::Happening::Hands(Happening::Returns { step }));
    }

    fn abandon_soon(&mut self, operation: OperationId) {
        let notices = self.rng.i64(0..3_000);
        self.after_ms(notices, super::Happening::Hands(Happening::Abandon(operation)));
    }

    fn returns(&mut self, step: StepRef) {
        let Some(in_flight) = self.statements.get(&step).copied() else { return };
        let found = self.world.operation(in_flight.operation);
        let found = found.map(|found| (found.statement.clone(), found.instance.clone()));
        let statement = found.map(|(statement, at)| {
            let way = self.way(&Party::Instance(at));
            (statement, in_flight.reply == Reply::Sent && matches!(way, Passage::Open(_)))
        });
        let open = |why: &str| StatementReply::Open { why: why.to_owned() };
        let reply = match statement {
            Some((Statement::Returned, true)) => Some(StatementReply::Done),
            Some((Statement::Failed(error), true)) => Some(failed(&error)),
            Some((Statement::Broken, _)) | None => Some(open("the connection broke")),
            Some((Statement::Running | Statement::Returned | Statement::Failed(_), _)) => {
                (self.now >= in_flight.until).then(|| open("no answer within the deadline"))
            }
        };
        if let Some(reply) = reply {
            self.let_go(step);
            self.replied(step, 1, reply);
        } else if let Some(sent) = self.glanced(step, in_flight) {
            self.let_go(step);
            self.reply(step, 1, sent);
        } else {
            self.after_ms(100, super::Happening::Hands(Happening::Returns { step }));
        }
    }

    /// The session of a statement is closed.
    fn let_go(&mut self, step: StepRef) {
        if let Some(in_flight) = self.statements.remove(&step) {
            self.world.abandon(in_flight.operation);
        }
    }

    /// Whether the target has shown twice that it has come about, though no reply came.
    fn glanced(&mut self, step: StepRef, in_flight: InFlight) -> Option<Sent> {
        if self.now < in_flight.glance {
            return None;
        }
        let action = self.work_of(step)?.action;
        let at = action.instance().clone();
        let seen = if let Action::Saved { .. } = &action {
            None
        } else if let Action::BackedUp { name, .. } = &action {
            sight::backup_held(self.backup_taken(&at, name, false))
        } else {
            self.side(&at).0.ok().and_then(|reading| sight::held(&action, &reading))
        };
        if let Some(seen) = seen.as_ref().filter(|_| in_flight.held) {
            self.coverage.add("a reply is not waited for");
            return Some(reply::outstanding(seen));
        }
        let glance = self.now + SignedDuration::from_millis(GLANCE_MS);
        self.statements.insert(step, InFlight { glance, held: seen.is_some(), ..in_flight });
        None
    }

    fn polled(&mut self, operation: &str) -> Polled {
        if !matches!(self.passage(&Party::Arm), Passage::Open(_)) {
            return Polled::Blind { why: "the control plane does not answer".into() };
        }
        if let Some(deletion) = self.world.azure_operation(operation) {
            return deleted(deletion.status);
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
}

/// What the server makes of the text of a statement.
fn read(statement: &str) -> Command {
    let group = LINK.to_owned();
    if statement.starts_with("BACKUP") {
        let quoted = |after: &str| {
            let rest = statement.split_once(after).map_or("", |(_, rest)| rest);
            rest.split('\'').next().unwrap_or_default().to_owned()
        };
        return Command::Backup(BackupOrder {
            database: DATABASE.to_owned(),
            kind: BackupKind::Full,
            devices: vec![if statement.contains(" URL = ") {
                Device::Url(quoted("URL = N'"))
            } else {
                Device::Disk(quoted("DISK = N'"))
            }],
            copy_only: statement.contains("COPY_ONLY"),
            checksums: statement.contains("CHECKSUM"),
            compressed: false,
            overwrite: statement.contains("FORMAT"),
            name: Some(quoted("NAME = N'")),
            stats: None,
        });
    }
    if statement.ends_with(" FORCE_FAILOVER_ALLOW_DATA_LOSS") {
        Command::ForceFailover { group }
    } else if statement.ends_with(" SET (ROLE = SECONDARY)") {
        Command::SetRoleSecondary { group }
    } else if statement.ends_with(" SET HADR RESUME") {
        Command::Resume { database: DATABASE.to_owned() }
    } else {
        Command::Failover { group }
    }
}

pub(super) fn failed(error: &SqlError) -> StatementReply {
    let (number, why) = (error.number, error.to_string());
    // The twin's word for a statement that its client has withdrawn.
    if number == 0 || reply::ends_open(number, error.class) {
        return StatementReply::Open { why };
    }
    StatementReply::Failed { number, why }
}

pub(super) fn refused(error: &ArmError) -> OrderReply {
    let why = error.message.clone();
    let by = match error.status {
        500.. => return OrderReply::Open { why },
        401 => Obstacle::Unauthorized,
        403 => Obstacle::Forbidden,
        404 => Obstacle::NoLink,
        409 => Obstacle::Conflict,
        429 => Obstacle::Throttled,
        _ if error.code == Obstacle::ROLE => Obstacle::Role,
        _ => Obstacle::Rejected,
    };
    OrderReply::Refused { why, by }
}
