//! Sessions and running requests of an instance, for `dm_exec_sessions` and `dm_exec_requests`.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    Instance, OperationId, World,
    clients::{APPLICATIONS, FIRST_FREE},
    work::Work,
};

/// What a login brings.
#[derive(Clone, Debug, Default)]
pub struct NewSession {
    /// The login name.
    pub login: String,
    /// The program name of LOGIN7.
    pub program: String,
    /// The host name of LOGIN7.
    pub host: String,
    /// The initial database.
    pub database: String,
    /// How it is connected.
    pub wire: Wire,
}

/// What `sys.dm_exec_connections` says of how a session is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Wire {
    /// `net_packet_size`, in bytes.
    pub packet_size: u32,
    /// `encrypt_option`: whether TLS covers all of it.
    pub encrypted: bool,
    /// `auth_scheme`
    pub scheme: &'static str,
}

impl Default for Wire {
    fn default() -> Wire {
        Wire { packet_size: 4_096, encrypted: true, scheme: "SQL" }
    }
}

/// A session that is logged in.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// The session id.
    pub id: u16,
    /// The login name.
    pub login: String,
    /// The program name.
    pub program: String,
    /// The client's host name.
    pub host: String,
    /// The database that the session is in.
    pub database: String,
    /// Since when it has been in that database.
    pub entered: Timestamp,
    /// When it logged in.
    pub login_time: Timestamp,
    /// When its last request began.
    pub last_request_start: Timestamp,
    /// When its last request ended.
    pub last_request_end: Option<Timestamp>,
    /// What it is doing.
    pub request: Option<Request>,
    /// `transaction_isolation_level`
    pub isolation: u8,
    /// How it is connected.
    pub wire: Wire,
    /// Its open transaction: number, since when, how deeply nested.
    pub transaction: Option<(u64, Timestamp, u32)>,
    /// The batch that it runs, or has run last.
    #[serde(skip)]
    pub(super) text: Option<Arc<str>>,
    /// What it has changed and not committed.
    #[serde(skip)]
    pub(super) work: Work,
}

/// A request that runs.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// When it began.
    pub start: Timestamp,
    /// `command` of `dm_exec_requests`, such as `SELECT`.
    pub command: String,
    /// The operation that it waits for.
    pub operation: Option<OperationId>,
}

impl World {
    /// Logs a session in at an instance and gives its id; `None` if there is no such instance or
    /// it is not up. Ids of user sessions begin at 51 and are used again once free; the agent has
    /// the first two.
    pub fn open_session(&mut self, at: &str, new: NewSession) -> Option<u16> {
        let now = self.now;
        let instance = self.instances.get_mut(at).filter(|instance| instance.is_up())?;
        let taken = |id: &u16| instance.sessions.contains_key(id) || instance.reserved.contains(id);
        let id = (FIRST_FREE..APPLICATIONS).find(|id| !taken(id))?;
        let session = Session {
            isolation: 2,
            id,
            login: new.login,
            program: new.program,
            host: new.host,
            database: new.database,
            entered: now,
            login_time: now,
            last_request_start: now,
            last_request_end: Some(now),
            request: None,
            wire: new.wire,
            transaction: None,
            text: None,
            work: Work::default(),
        };
        instance.sessions.insert(id, session);
        Some(id)
    }

    /// Logs a session out. An operation that it waits for goes on, see [`World::abandon`].
    pub fn close_session(&mut self, at: &str, id: u16) {
        if let Some(instance) = self.instances.get_mut(at) {
            instance.sessions.remove(&id);
        }
    }

    /// Ends all sessions that came in by TDS, in a world that takes the place of another: those of
    /// that one are no sessions here, and their numbers are not given to others.
    pub fn end_sessions(&mut self, instead_of: &World) {
        for (name, instance) in &mut self.instances {
            instance.sessions.clear();
            let there = instead_of.instances.get(name).into_iter().flat_map(Instance::sessions);
            instance.reserved = there.map(|session| session.id).collect();
        }
    }

    /// Notes the database that a session has moved to.
    pub fn use_database(&mut self, at: &str, id: u16, database: &str) {
        let now = self.now;
        if let Some(session) = self.session_mut(at, id) {
            database.clone_into(&mut session.database);
            session.entered = now;
        }
    }

    /// Notes at which level a session isolates its transactions.
    pub(crate) fn set_isolation(&mut self, at: &str, id: u16, level: u8) {
        if let Some(session) = self.session_mut(at, id) {
            session.isolation = level;
        }
    }

    /// Notes the batch that a session runs.
    pub(crate) fn note_text(&mut self, at: &str, id: u16, text: Arc<str>) {
        if let Some(session) = self.session_mut(at, id) {
            session.text = Some(text);
        }
    }

    /// Notes that a session has begun a request.
    pub fn begin_request(
        &mut self,
        at: &str,
        id: u16,
        command: &str,
        operation: Option<OperationId>,
    ) {
        let now = self.now;
        if let Some(session) = self.session_mut(at, id) {
            session.last_request_start = now;
            session.request = Some(Request { start: now, command: command.to_owned(), operation });
        }
    }

    /// Notes that a session's request has ended.
    pub fn end_request(&mut self, at: &str, id: u16) {
        let now = self.now;
        if let Some(session) = self.session_mut(at, id) {
            session.request = None;
            session.last_request_end = Some(now);
        }
    }

    /// Notes how many transactions a session has open, one within the other.
    pub fn note_transactions(&mut self, at: &str, id: u16, depth: u32) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(at) else { return };
        let Some(session) = instance.sessions.get_mut(&id) else { return };
        session.transaction = match (session.transaction, depth) {
            (_, 0) => None,
            (Some((number, begun, _)), depth) => Some((number, begun, depth)),
            (None, depth) => {
                instance.transactions += 1;
                Some((instance.transactions, now, depth))
            }
        };
    }

    fn session_mut(&mut self, at: &str, id: u16) -> Option<&mut Session> {
        self.instances.get_mut(at)?.sessions.get_mut(&id)
    }
}
