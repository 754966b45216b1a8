//! Evidence: what was seen of a link lately, from where, and how long ago. Volatile and bounded.

use alloc::{collections::VecDeque, string::String, vec::Vec};
use core::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::{LinkId, Lsn, Side};

/// Observations kept of each vantage; older ones are forgotten.
pub const WINDOW: usize = 64;

/// One look at a link from one vantage, silence included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    pub link: LinkId,
    pub vantage: Vantage,
    /// When the look was begun; what it shows is at least this old.
    pub begun_at: Timestamp,
    /// When the answer, or the lack of one, was there.
    pub at: Timestamp,
    /// The prober's own timer ran late: a miss then says more about this host than about the other.
    #[serde(default)]
    pub late: bool,
    pub seen: Seen,
}

/// From where something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vantage {
    /// The agent's TDS look at SQL Server.
    SqlServer,
    /// The agent's TDS look at the managed instance, which also tells what that one hears of its partner.
    ManagedInstance,
    /// Azure Resource Manager, which repeats what the managed instance believes.
    ControlPlane,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "the large variant is the ordinary one")]
pub enum Seen {
    Side(SideReading),
    Control(ControlReading),
    /// Failing to see is also something seen.
    Silence(Silence),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    pub kind: SilenceKind,
    /// For humans; no secrets, at most some hundred characters.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SilenceKind {
    /// The connection was refused or reset: something on the path is alive, the service is not.
    Refused,
    TimedOut,
    /// The name could not be resolved or there was no route.
    Unroutable,
    /// The peer answered and refused the login: it is alive, its role is unknown.
    LoginFailed,
    /// The peer answered and TLS could not be verified: something is alive, perhaps something else.
    TlsFailed,
    /// The answer could not be understood, or rows were missing where rows must be.
    Garbled,
    /// The peer is alive and asks for patience (429, 10928, 40501).
    Throttled,
    /// The peer is alive and said no (ARM 401/403/5xx, T-SQL 300 or 229).
    Denied,
}

impl SilenceKind {
    /// Whether this silence counts towards the verdict that the peer is gone.
    #[must_use]
    pub fn is_miss(self) -> bool {
        match self {
            Self::Refused | Self::TimedOut | Self::Unroutable => true,
            Self::LoginFailed
            | Self::TlsFailed
            | Self::Garbled
            | Self::Throttled
            | Self::Denied => false,
        }
    }
}

/// The role of a side in the distributed availability group, from the row with `is_local = 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Primary,
    Secondary,
    Resolving,
    /// The side answers and knows no such group.
    Absent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncHealth {
    NotHealthy,
    PartiallyHealthy,
    Healthy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncState {
    NotSynchronizing,
    Synchronizing,
    Synchronized,
    Reverting,
    Initializing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseState {
    Online,
    Restoring,
    Recovering,
    RecoveryPending,
    Suspect,
    Emergency,
    Offline,
}

/// What one instance says of one link: only what it knows of itself, and on a primary what it last
/// heard of its partner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideReading {
    /// `SERVERPROPERTY('ProductVersion')`, for example `16.0.4125.3`.
    pub product_version: String,
    pub edition: String,
    /// `SERVERPROPERTY('EngineEdition')`; 8 is a managed instance.
    pub engine_edition: i32,
    /// The server's own clock, UTC.
    pub server_time: Timestamp,
    pub role: Role,
    /// `connected_state` of a secondary's own row: whether it hears the primary. None on a primary,
    /// whose row only says that it hears itself: see `partner`.
    pub connected: Option<bool>,
    pub sync_health: Option<SyncHealth>,
    /// None where the database does not exist on this side.
    pub database: Option<DatabaseReading>,
    /// Only a primary has it: what it last heard, which may be stale.
    pub partner: Option<PartnerReading>,
    /// What each replica of the side's own availability group said, if more than one was asked. The
    /// rest of the reading is by the one that is primary there; where none is, by one of the others,
    /// and `role` is [`Role::Resolving`] then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaReading>,
    /// What the two members of the link are called here. Only a server with a group of its own tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Members>,
}

/// The two availability groups that a link joins, as one server names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Members {
    /// The server's own group.
    pub own: String,
    pub other: String,
}

/// What one replica of a side's own availability group said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaReading {
    /// As it is configured.
    pub name: String,
    /// Its role in the side's own group. None where it did not say.
    pub role: Option<Role>,
    /// For humans: its role, or why there is none.
    pub said: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseReading {
    pub state: DatabaseState,
    /// `DATABASEPROPERTYEX(…, 'Updateability')` is READ_WRITE.
    pub read_write: bool,
    pub suspended: bool,
    pub suspend_reason: Option<String>,
    pub synchronization: Option<SyncState>,
    pub last_hardened_lsn: Option<Lsn>,
    pub last_commit_lsn: Option<Lsn>,
    /// Server clock, converted to UTC.
    pub last_commit_at: Option<Timestamp>,
    pub redo_queue_kb: Option<u64>,
    pub redo_rate_kb_per_s: Option<u64>,
    /// Where the log ends. On a primary in asynchronous commit the hardened position is NULL, and
    /// this is what the other side has to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_of_log_lsn: Option<Lsn>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnerReading {
    pub connected: Option<bool>,
    pub sync_health: Option<SyncHealth>,
    pub last_hardened_lsn: Option<Lsn>,
    pub last_commit_at: Option<Timestamp>,
    pub log_send_queue_kb: Option<u64>,
    pub redo_queue_kb: Option<u64>,
    /// `secondary_lag_seconds`; 0 while suspended, so it proves nothing alone.
    pub lag_s: Option<u64>,
    pub suspended: Option<bool>,
}

/// What Azure Resource Manager says; about the link it repeats the managed instance's belief.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlReading {
    /// `properties.state` of the instance; `Ready` in the ordinary case.
    pub instance_state: String,
    /// Update policy: `SQLServer2022`, `SQLServer2025` or `AlwaysUpToDate`.
    pub database_format: String,
    /// None where the control plane knows no such link.
    pub link: Option<ControlLink>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlLink {
    pub instance_role: Role,
    /// The managed instance's belief only: never proof that the other side was demoted.
    pub partner_role: Role,
    /// An open set; a text with `Error` in it is one.
    pub replica_state: Option<String>,
    pub connected: Option<bool>,
    pub sync_health: Option<SyncHealth>,
    /// `None` is a one-way link, `Manual` goes both ways.
    pub failover_mode: Option<String>,
    pub last_hardened_lsn: Option<Lsn>,
    /// Databases that the same link carries besides the one that is guarded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_databases: Vec<String>,
}

impl SideReading {
    /// Primary, and its database takes writes as far as one look can tell.
    #[must_use]
    pub fn serving(&self) -> bool {
        self.role == Role::Primary
            && self
                .database
                .as_ref()
                .is_some_and(|db| db.state == DatabaseState::Online && db.read_write)
    }
}

impl SideReading {
    /// In no link, and its database takes writes as far as one look can tell.
    #[must_use]
    pub fn alone(&self) -> bool {
        self.role == Role::Absent
            && self
                .database
                .as_ref()
                .is_some_and(|db| db.state == DatabaseState::Online && db.read_write)
    }
}

impl From<Side> for Vantage {
    fn from(side: Side) -> Self {
        match side {
            Side::SqlServer => Self::SqlServer,
            Side::ManagedInstance => Self::ManagedInstance,
        }
    }
}

impl core::fmt::Display for Vantage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::SqlServer => "TDS to SQL Server",
            Self::ManagedInstance => "TDS to the managed instance",
            Self::ControlPlane => "Azure Resource Manager",
        })
    }
}

/// The recent observations of one link, and what follows from older ones. It can be written down:
/// whoever goes on from it later decides the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    sql_server: Recent,
    managed_instance: Recent,
    control_plane: Recent,
}

/// The recent observations from one vantage, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recent {
    looks: VecDeque<Observation>,
    /// Whether the newest look that says so heard the primary from here.
    heard: Option<bool>,
    /// End of the first look that did not hear it any more, after one that did.
    pub(crate) unheard_by: Option<Timestamp>,
    /// When the primary was first seen serving in an unbroken run of looks.
    serving_since: Option<Timestamp>,
    /// When it was first seen to take writes, in a link or by itself, in an unbroken run of looks.
    #[serde(default)]
    writes_since: Option<Timestamp>,
    /// Whether the readings show PRIMARY, and the end of the first of them that says the same.
    primary: Option<(bool, Timestamp)>,
    /// Since when the readings say RESOLVING without a break.
    resolving_since: Option<Timestamp>,
    /// The misses since something alive was seen, if there are any.
    pub(crate) misses: Option<Misses>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Misses {
    /// Looks in a row that failed, far enough apart to count as looks of their own.
    pub(crate) count: u32,
    /// Beginning of the first look that failed.
    pub(crate) since: Timestamp,
    /// End of the first look that failed.
    pub(crate) gone_by: Timestamp,
    last_counted: Timestamp,
}

impl Evidence {
    /// How many looks are kept.
    #[must_use]
    pub fn looks(&self) -> usize {
        let all = [&self.sql_server, &self.managed_instance, &self.control_plane];
        all.iter().map(|recent| recent.looks.len()).sum()
    }

    pub(crate) fn of(&self, vantage: Vantage) -> &Recent {
        match vantage {
            Vantage::SqlServer => &self.sql_server,
            Vantage::ManagedInstance => &self.managed_instance,
            Vantage::ControlPlane => &self.control_plane,
        }
    }

    /// Files one look. Looks that are older than the newest of their vantage are dropped: late
    /// replies must not overwrite later knowledge.
    pub(crate) fn add(&mut self, seen: Observation, miss_spacing: Duration) {
        let recent = match seen.vantage {
            Vantage::SqlServer => &mut self.sql_server,
            Vantage::ManagedInstance => &mut self.managed_instance,
            Vantage::ControlPlane => &mut self.control_plane,
        };
        recent.add(seen, miss_spacing);
    }

    /// Whether each vantage has been looked from at least once.
    pub(crate) fn complete(&self, has_control_plane: bool) -> bool {
        !self.sql_server.looks.is_empty()
            && !self.managed_instance.looks.is_empty()
            && (!has_control_plane || !self.control_plane.looks.is_empty())
    }

    /// The newest look of each vantage, for the snapshot that a decision carries.
    pub(crate) fn newest(&self) -> Vec<Observation> {
        [&self.sql_server, &self.managed_instance, &self.control_plane]
            .iter()
            .filter_map(|recent| recent.looks.back().cloned())
            .collect()
    }
}

impl Recent {
    pub(crate) fn last(&self) -> Option<&Observation> {
        self.looks.back()
    }

    /// The newest look that shows the side itself, with the time it was begun.
    pub(crate) fn reading(&self) -> Option<(Timestamp, &SideReading)> {
        self.looks.iter().rev().find_map(|look| match &look.seen {
            Seen::Side(reading) => Some((look.begun_at, reading)),
            Seen::Control(_) | Seen::Silence(_) => None,
        })
    }

    /// The newest look that shows the control plane's answer.
    pub(crate) fn control(&self) -> Option<(Timestamp, &ControlReading)> {
        self.looks.iter().rev().find_map(|look| match &look.seen {
            Seen::Control(reading) => Some((look.begun_at, reading)),
            Seen::Side(_) | Seen::Silence(_) => None,
        })
    }

    pub(crate) fn serving_since(&self) -> Option<Timestamp> {
        self.serving_since
    }

    pub(crate) fn writes_since(&self) -> Option<Timestamp> {
        self.writes_since
    }

    pub(crate) fn resolving_since(&self) -> Option<Timestamp> {
        self.resolving_since
    }

    /// Since when the readings say what the newest one says of being PRIMARY.
    pub(crate) fn role_since(&self) -> Option<Timestamp> {
        self.primary.map(|(_, since)| since)
    }

    /// How far the server's clock is ahead of the agent's, at the most, by the newest reading.
    pub(crate) fn clock_ahead_ms(&self) -> Option<i64> {
        let (begun_at, reading) = self.reading()?;
        let ahead = reading.server_time.duration_since(begun_at);
        i64::try_from(ahead.as_millis()).ok().map(|ms| ms.saturating_add(1))
    }

    fn add(&mut self, seen: Observation, miss_spacing: Duration) {
        if self.looks.back().is_some_and(|newest| seen.begun_at < newest.begun_at) {
            return;
        }
        self.listen(&seen);
        match &seen.seen {
            Seen::Side(reading) => {
                self.misses = None;
                let resolving = reading.role == Role::Resolving;
                self.resolving_since = resolving.then(|| self.resolving_since.unwrap_or(seen.at));
                let primary = reading.role == Role::Primary;
                if self.primary.is_none_or(|(was, _)| was != primary) {
                    self.primary = Some((primary, seen.at));
                }
                let since = |is: bool, was: Option<Timestamp>| is.then(|| was.unwrap_or(seen.at));
                self.serving_since = since(reading.serving(), self.serving_since);
                let writes = reading.serving() || reading.alone();
                self.writes_since = since(writes, self.writes_since);
            }
            Seen::Control(_) => self.misses = None,
            Seen::Silence(silence) => {
                self.serving_since = None;
                self.writes_since = None;
                if silence.kind.is_miss() {
                    self.miss(&seen, miss_spacing);
                } else {
                    self.misses = None;
                }
            }
        }
        if self.looks.len() == WINDOW {
            // The newest reading is what forecasts rest on: silence must not push it out.
            let newest_reading =
                self.looks.iter().rposition(|look| !matches!(look.seen, Seen::Silence(_)));
            let victim = if newest_reading == Some(0) { 1 } else { 0 };
            self.looks.remove(victim);
        }
        self.looks.push_back(seen);
    }

    /// Keeps the moment at which this vantage stopped hearing the primary.
    fn listen(&mut self, seen: &Observation) {
        let hears = match &seen.seen {
            Seen::Side(reading) if reading.role == Role::Secondary => reading.connected,
            Seen::Control(reading) => {
                let link = reading.link.as_ref();
                link.filter(|link| link.instance_role == Role::Secondary)
                    .and_then(|link| link.connected)
            }
            Seen::Side(_) | Seen::Silence(_) => None,
        };
        match (self.heard, hears) {
            (_, Some(true)) => self.unheard_by = None,
            (Some(true), Some(false)) => self.unheard_by = Some(seen.at),
            (_, Some(false) | None) => {}
        }
        self.heard = hears.or(self.heard);
    }

    fn miss(&mut self, seen: &Observation, spacing: Duration) {
        if seen.late {
            return;
        }
        self.misses = Some(match self.misses {
            None => Misses {
                count: 1,
                since: seen.begun_at,
                gone_by: seen.at,
                last_counted: seen.begun_at,
            },
            Some(run) if seen.begun_at.duration_since(run.last_counted) >= signed(spacing) => {
                Misses { count: run.count.saturating_add(1), last_counted: seen.begun_at, ..run }
            }
            Some(run) => run,
        });
    }
}

pub(crate) fn signed(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}
