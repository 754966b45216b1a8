//! Sessions of an instance, as its DMVs show them: its own, those of its agent, those of
//! applications and those that came in by TDS.
//!
//! Nothing is simulated for them. What an application has done last says which of its sessions are
//! there and what they do.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    Instance, Link, OperationId, OperationKind, Request, Role, Session, Side, SqlError, Wire,
    Workload, World, commit::takes_writes,
};

/// Two sessions of SQL Server's agent; sessions that come in by TDS follow.
const AGENT: [(u16, &str); 2] =
    [(51, "SQLAgent - Generic Refresher"), (52, "SQLAgent - Job invocation engine")];
/// The first session of TDS.
pub(super) const FIRST_FREE: u16 = 53;
/// Sessions of applications have the numbers from here on, so many for each.
pub(super) const APPLICATIONS: u16 = 1_000;
pub(super) const OF_ONE: u16 = 100;
/// All applications together have no more: numbers of sessions end at 32767.
pub(super) const OF_ALL: u16 = 30_000;
/// What the engine itself does, by session.
const SYSTEM: [(u16, &str); 6] = [
    (4, "LAZY WRITER"),
    (6, "LOG WRITER"),
    (9, "LOCK MONITOR"),
    (11, "SIGNAL HANDLER"),
    (14, "CHECKPOINT"),
    (20, "TASK MANAGER"),
];
/// The thread that redoes the log of a secondary database; more databases, more of them.
const REDO: u16 = 24;

/// A row of `sys.dm_exec_sessions`, and what its other DMVs say of the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionFacts {
    /// `session_id`
    pub id: u16,
    /// `is_user_process`
    pub user: bool,
    /// `login_name`
    pub login: String,
    /// `program_name`
    pub program: String,
    /// `host_name`
    pub host: String,
    /// The database that the session is in; what it writes to may be another.
    pub database: String,
    /// `login_time`
    pub login_time: Timestamp,
    /// `last_request_start_time`
    pub last_request_start: Timestamp,
    /// `last_request_end_time`
    pub last_request_end: Option<Timestamp>,
    /// `transaction_isolation_level`
    pub isolation: u8,
    /// The request that runs.
    pub request: Option<RequestFacts>,
    /// The transaction that is open.
    pub transaction: Option<TransactionFacts>,
    /// The batch that it runs, or has run last; of those that came in by TDS.
    #[serde(skip)]
    pub text: Option<Arc<str>>,
    /// A row of `sys.dm_exec_connections`.
    pub wire: Wire,
}

/// A row of `sys.dm_exec_requests`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestFacts {
    /// `start_time`
    pub start: Timestamp,
    /// `command`
    pub command: String,
    /// `wait_type`
    pub wait: Option<&'static str>,
    /// `percent_complete`, of a backup.
    pub percent: u8,
    /// The operation that it waits for.
    pub operation: Option<OperationId>,
}

/// A row of `sys.dm_tran_active_transactions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TransactionFacts {
    /// `transaction_id`
    pub id: u64,
    /// `transaction_begin_time`
    pub begun: Timestamp,
    /// `open_transaction_count` of its session.
    pub depth: u32,
    /// The database that it has written to, if it has.
    pub writes: Option<String>,
    /// Bytes of log that it has written there.
    pub bytes: u64,
}

impl World {
    /// All sessions of an instance, by number.
    #[must_use]
    pub fn session_facts(&self, at: &str) -> Vec<SessionFacts> {
        let Some(instance) = self.instance(at).filter(|instance| instance.is_up()) else {
            return Vec::new();
        };
        let mut all = self.engine_sessions(instance);
        all.extend(self.visitors(instance));
        all.extend(self.workloads.values().flat_map(|workload| self.sessions_of(workload, at)));
        all
    }

    /// Whether a session that came in by TDS is still there.
    #[must_use]
    pub fn has_session(&self, at: &str, id: u16) -> bool {
        let session = self.instance(at).and_then(|instance| instance.sessions.get(&id));
        session.is_some_and(|session| !self.is_thrown_out(at, session))
    }

    /// `KILL`: the session ends and what it had open is rolled back. An application connects again
    /// when it next wants something, after an error.
    ///
    /// # Errors
    /// 6101 no such number, 6104 one's own session, 6106 not active, 6107 one of the engine.
    pub fn kill(&mut self, at: &str, own: u16, id: i64) -> Result<(), SqlError> {
        let facts = u16::try_from(id).ok().filter(|id| (1..=32_767).contains(id));
        let Some(id) = facts else {
            return Err(SqlError::new(6_101, &format!("Session ID {id} is not valid.")));
        };
        if id == own {
            return Err(SqlError::new(6_104, "Cannot use KILL to kill your own process."));
        }
        let found = self.session_facts(at).into_iter().find(|session| session.id == id);
        let found = found.ok_or_else(|| {
            SqlError::new(6_106, &format!("Process ID {id} is not an active process ID."))
        })?;
        if !found.user {
            return Err(SqlError::new(6_107, "Only user processes can be killed."));
        }
        for workload in self.workloads.values_mut() {
            workload.lose(id);
        }
        self.close_session(at, id);
        if let Some(operation) = found.request.and_then(|request| request.operation) {
            self.abandon(operation);
        }
        Ok(())
    }

    /// Stops or starts an application: a stopped one has no sessions and commits nothing.
    ///
    /// # Errors
    /// A workload that does not exist.
    pub fn set_running(&mut self, workload: &str, running: bool) -> Result<(), super::UnknownName> {
        let now = self.now;
        let found = self.workload_mut(workload)?;
        found.set_running(running, now);
        Ok(())
    }

    fn engine_sessions(&self, instance: &Instance) -> Vec<SessionFacts> {
        let of_engine = |id: u16, command: &str, database: &str| SessionFacts {
            id,
            user: false,
            login: "sa".to_owned(),
            program: String::new(),
            host: String::new(),
            database: database.to_owned(),
            login_time: instance.started,
            last_request_start: instance.started,
            last_request_end: None,
            isolation: 2,
            request: Some(RequestFacts {
                start: instance.started,
                command: command.to_owned(),
                wait: None,
                percent: 0,
                operation: None,
            }),
            transaction: None,
            text: None,
            wire: Wire::default(),
        };
        let mut all: Vec<SessionFacts> =
            SYSTEM.map(|(id, command)| of_engine(id, command, "master")).into();
        let redone = self
            .sights(&instance.name)
            .filter(|(link, side)| link.member(*side).role == Role::Secondary)
            .flat_map(|(link, _)| link.databases());
        let redo = redone.zip(REDO..).map(|(name, id)| of_engine(id, "DB STARTUP", name));
        all.extend(redo);
        if instance.side() == Side::SqlServer && instance.agent_running {
            all.extend(AGENT.map(|(id, program)| SessionFacts {
                user: true,
                login: r"NT SERVICE\SQLSERVERAGENT".to_owned(),
                program: program.to_owned(),
                host: instance.server_name.clone(),
                last_request_end: Some(instance.started),
                request: None,
                ..of_engine(id, "", "msdb")
            }));
        }
        all
    }

    /// Whoever came in by TDS.
    fn visitors<'a>(&'a self, instance: &'a Instance) -> impl Iterator<Item = SessionFacts> + 'a {
        let there = |session: &&Session| !self.is_thrown_out(&instance.name, session);
        instance.sessions().filter(there).map(|session| SessionFacts {
            id: session.id,
            user: true,
            login: session.login.clone(),
            program: session.program.clone(),
            host: session.host.clone(),
            database: session.database.clone(),
            login_time: session.login_time,
            last_request_start: session.last_request_start,
            last_request_end: session.last_request_end,
            isolation: session.isolation,
            request: session.request.as_ref().map(|request| self.request(request)),
            transaction: session.transaction.map(|(id, begun, depth)| TransactionFacts {
                id,
                begun,
                depth,
                writes: session.work.writes(),
                bytes: 0,
            }),
            text: session.text.clone(),
            wire: session.wire,
        })
    }

    fn request(&self, request: &Request) -> RequestFacts {
        let operation = request.operation.and_then(|id| self.operation(id));
        let (wait, percent) = match operation.map(|operation| &operation.kind) {
            None => (None, 0),
            Some(OperationKind::Backup(run)) => {
                (Some("BACKUPIO"), run.percent(request.start, self.now))
            }
            Some(OperationKind::Restore(run)) => {
                (Some("BACKUPTHREAD"), run.percent(request.start, self.now))
            }
            // Whoever waits for a role change waits for the group's own machinery.
            Some(
                OperationKind::ForceFailover
                | OperationKind::PlannedFailover
                | OperationKind::Demote
                | OperationKind::Suspend { .. }
                | OperationKind::Resume { .. },
            ) => (Some("HADR_AG_MUTEX"), 0),
        };
        let (start, command) = (request.start, request.command.clone());
        RequestFacts { start, command, wait, percent, operation: request.operation }
    }

    fn sessions_of(&self, workload: &Workload, at: &str) -> Vec<SessionFacts> {
        let Some(instance) = self.instance(at) else { return Vec::new() };
        let Some(link) = self.link(&workload.link) else { return Vec::new() };
        let database = &link.databases[workload.database].name;
        let side = link.side_of(at);
        let (place, now) = (workload.database, self.now);
        let writes = side.is_some_and(|side| takes_writes(link, side, place, &self.instances, now));
        let of = |number: usize| {
            let slot = &workload.slots[number];
            if !workload.is_connected(number, instance, link, self.now) {
                return None;
            }
            let waits = link.pending.iter().find(|pending| {
                pending.workload.as_deref() == Some(&workload.name) && pending.slot == number
            });
            let begun = match waits {
                Some(pending) => Some(pending.since - workload.transaction),
                None => workload.begun(number, self.now).filter(|_| writes),
            };
            let last = slot.last.unwrap_or(slot.since).max(slot.since);
            Some(SessionFacts {
                id: workload.first_session + u16::try_from(number).unwrap_or(0),
                user: true,
                login: workload.name.clone(),
                program: workload.program.clone(),
                host: workload.host.clone(),
                database: if workload.sits_in_master(number) { "master" } else { database }
                    .to_owned(),
                login_time: slot.since,
                last_request_start: begun.unwrap_or(last),
                last_request_end: Some(begun.unwrap_or(last)).filter(|_| waits.is_none()),
                isolation: 2,
                request: waits.map(|pending| RequestFacts {
                    start: pending.since,
                    command: "COMMIT TRANSACTION".to_owned(),
                    wait: Some(if pending.mirrored { "HADR_SYNC_COMMIT" } else { "WRITELOG" }),
                    percent: 0,
                    operation: None,
                }),
                transaction: begun.map(|begun| TransactionFacts {
                    id: workload.transaction_id(begun),
                    begun,
                    depth: 1,
                    writes: Some(database.clone()),
                    bytes: u64::from(workload.bytes),
                }),
                text: None,
                wire: Wire::default(),
            })
        };
        (0..workload.slots.len()).filter_map(of).collect()
    }
}

impl Workload {
    /// Whether a session of its pool is there, as the server sees it.
    pub(super) fn is_connected(
        &self,
        number: usize,
        instance: &Instance,
        link: &Link,
        now: Timestamp,
    ) -> bool {
        let slot = &self.slots[number];
        let here = slot.at.as_deref() == Some(instance.name.as_str());
        if !here || !self.running || slot.since <= instance.closed_at {
            return false;
        }
        // A role change ends the sessions in the database, not those that sit in master.
        let Some(side) = link.side_with(&instance.name) else { return true };
        self.sits_in_master(number)
            || (slot.since >= link.member(side).changed
                && is_open(link, side, self.database, instance, now))
    }

    /// Opens a session of the pool again; `false` if its database does not let it in.
    pub(super) fn connect(
        &mut self,
        number: usize,
        instance: &Instance,
        link: &Link,
        now: Timestamp,
    ) -> bool {
        let side = link.side_of(&instance.name);
        let open = side.is_some_and(|side| is_open(link, side, self.database, instance, now));
        let login = instance.setup.login(&self.name).refused.is_none();
        let in_master = self.sits_in_master(number) && instance.has_recovered(now);
        let admitted = login && (open || in_master);
        let slot = &mut self.slots[number];
        if admitted {
            slot.at = Some(instance.name.as_str().into());
            (slot.since, slot.last) = (now, None);
        } else {
            slot.at = None;
        }
        admitted
    }

    /// The last sessions of the pool sit in `master` and write by three-part names.
    fn sits_in_master(&self, number: usize) -> bool {
        number + usize::from(self.in_master) >= self.slots.len()
    }

    /// When the open transaction of a session began.
    fn begun(&self, number: usize, now: Timestamp) -> Option<Timestamp> {
        self.every?;
        let begun = self.next - self.transaction;
        (number == self.turn && begun <= now && begun >= self.slots[number].since).then_some(begun)
    }

    fn transaction_id(&self, begun: Timestamp) -> u64 {
        let millis = u64::try_from(begun.as_millisecond()).unwrap_or(0);
        (millis << 16) | u64::from(self.first_session)
    }

    fn lose(&mut self, id: u16) {
        let number = id.checked_sub(self.first_session).map(usize::from);
        if let Some(slot) = number.and_then(|number| self.slots.get_mut(number)) {
            // The client does not know yet: the next use of the session fails.
            slot.since = Timestamp::MIN;
        }
    }
}

/// Whether a session could be in the link's database there.
fn is_open(link: &Link, side: Side, place: usize, instance: &Instance, now: Timestamp) -> bool {
    let member = link.member(side);
    let readable = match (member.role, side) {
        (Role::Primary, _) | (Role::Secondary, Side::ManagedInstance) => true,
        (Role::Secondary, Side::SqlServer) | (Role::Resolving, _) => false,
    };
    let open = |copy: &super::Copy| copy.state == super::DatabaseState::Online && !copy.gone;
    let online = member.copies.get(place).is_some_and(open);
    let name = link.databases().nth(place);
    let lets_in = name.is_some_and(|name| instance.setup.database(name).lets_in());
    readable
        && online
        && lets_in
        && member.instance == instance.name
        && member.acts_by(instance, now)
}

/// One session of an application's pool, as the application last used it.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// The instance that it is connected to, as the application believes.
    pub(crate) at: Option<Arc<str>>,
    pub(crate) since: Timestamp,
    pub(crate) last: Option<Timestamp>,
}

/// How long before its commit a transaction begins.
pub(super) fn transaction(ms: u32) -> SignedDuration {
    SignedDuration::from_millis(i64::from(ms))
}
