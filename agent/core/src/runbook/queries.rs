//! Looks, as T-SQL that people run: each stands on the page once, under a name. They change nothing.

use alloc::{format, string::String, vec::Vec};

use super::Writer;
use crate::names::Side;

/// A question, known on the page by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Roles,
    Link,
    Database,
    Sessions,
    Kills,
    FullBackups,
    LogBackups,
    LogReuse,
    Agent,
    Replicas,
}

impl Question {
    pub(super) const ALL: [Self; 10] = [
        Self::Roles,
        Self::Link,
        Self::Database,
        Self::Sessions,
        Self::Kills,
        Self::FullBackups,
        Self::LogBackups,
        Self::LogReuse,
        Self::Agent,
        Self::Replicas,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Roles => "ROLES",
            Self::Link => "LINK",
            Self::Database => "DATABASE",
            Self::Sessions => "SESSIONS",
            Self::Kills => "KILLS",
            Self::FullBackups => "FULL BACKUPS",
            Self::LogBackups => "LOG BACKUPS",
            Self::LogReuse => "LOG REUSE",
            Self::Agent => "AGENT",
            Self::Replicas => "REPLICAS",
        }
    }

    /// What it tells, and how it is read.
    pub(super) fn reading(self) -> &'static str {
        match self {
            Self::Roles => {
                "The role of the server that is asked, in the link. No row: wrong server, or no such group there. RESOLVING: a failover or a restart is under way; wait and ask again. No answer: try from another place before you believe that the server is gone. The other side goes on saying CONNECTED up to its session timeout (20 s by Microsoft's scripts) after that."
            }
            Self::Link => {
                "What a primary last heard of its partner. No row: you are not on the primary. secondary_lag_seconds alone proves nothing: it is 0 while data movement is suspended."
            }
            Self::Database => {
                "The database on the server that is asked: whether it takes writes, and how far its log goes. last_hardened_lsn of a primary is NULL as long as the link is asynchronous, which is the ordinary case; its end_of_log_lsn counts then. More than one row: that of the link's group; on a Business Critical instance the one with is_primary_replica 1."
            }
            Self::Sessions => "Who is in the database, or has a transaction open that touches it.",
            Self::Kills => {
                "The statements that end those sessions: run what it gives, then SESSIONS again. They change nothing before they are run."
            }
            Self::FullBackups => {
                "Full backups, the newest first. Only is_copy_only 0 begins a chain."
            }
            Self::LogBackups => "When the log was backed up last.",
            Self::LogReuse => {
                "Why the log is kept; only the answer of the PRIMARY counts. AVAILABILITY_REPLICA: for a replica, which may be the link. LOG_BACKUP: for want of a log backup."
            }
            Self::Agent => {
                "Sessions of the agent, and the command that each runs. One named `dr-agent` and three numbers carries out a step of a proposal."
            }
            Self::Replicas => {
                "The server's own groups: who is in them, who is PRIMARY there, and cluster_type_desc, by which part 8 goes. Only the primary tells the roles of all."
            }
        }
    }

    fn sql(self, group: &str, database: &str) -> String {
        match self {
            Self::Roles => roles(group),
            Self::Link => link(group),
            Self::Database => database_on(database),
            Self::Sessions => sessions(database),
            Self::Kills => kills(database),
            Self::FullBackups => full_backups(database),
            Self::LogBackups => log_backups(database),
            Self::LogReuse => log_reuse(database),
            Self::Agent => agent().into(),
            Self::Replicas => replicas().into(),
        }
    }
}

impl Writer<'_> {
    /// All questions, in full.
    pub(super) fn questions(&mut self) {
        let spec = &self.sheet.spec;
        let (group, database) = (text(&spec.group), text(&spec.database));
        for question in Question::ALL {
            self.page.title(3, question.name());
            self.page.text(question.reading());
            self.page.code("sql", &question.sql(&group, &database));
        }
    }

    /// Whom to ask what, as it stands in a sentence.
    pub(super) fn ask(&self, question: Question, sides: &[Side]) -> String {
        let names: Vec<String> = sides.iter().map(|side| self.name(*side)).collect();
        format!("{} on {}", question.name(), names.join(" and "))
    }
}

fn roles(group: &str) -> String {
    format!(
        "SELECT ag.name, rs.role_desc, rs.connected_state_desc,
       rs.synchronization_health_desc
FROM sys.availability_groups ag
JOIN sys.dm_hadr_availability_replica_states rs
  ON ag.group_id = rs.group_id
WHERE rs.is_local = 1 AND ag.is_distributed = 1
  AND ag.name = {group};"
    )
}

fn link(group: &str) -> String {
    format!(
        "SELECT ars2.connected_state_desc, ars2.synchronization_health_desc,
       drs.synchronization_state_desc,
       drs.is_suspended, drs.suspend_reason_desc,
       drs.secondary_lag_seconds, drs.log_send_queue_size,
       drs.redo_queue_size
FROM sys.availability_groups ag
JOIN sys.dm_hadr_availability_replica_states ars1
  ON ag.group_id = ars1.group_id
JOIN sys.dm_hadr_availability_replica_states ars2
  ON ag.group_id = ars2.group_id
JOIN sys.dm_hadr_database_replica_states drs
  ON ars2.replica_id = drs.replica_id
WHERE ag.is_distributed = 1 AND ag.name = {group}
  AND ars1.is_local = 1 AND ars2.is_local = 0;"
    )
}

fn database_on(database: &str) -> String {
    format!(
        "SELECT ag.name AS group_name, db.state_desc,
       DATABASEPROPERTYEX(db.name, 'Updateability') AS updateability,
       drs.synchronization_state_desc, drs.is_suspended,
       drs.end_of_log_lsn, drs.last_hardened_lsn,
       drs.redo_queue_size, drs.last_commit_time,
       drs.is_primary_replica
FROM sys.databases db
LEFT JOIN sys.dm_hadr_database_replica_states drs
  ON db.database_id = drs.database_id AND drs.is_local = 1
LEFT JOIN sys.availability_groups ag ON drs.group_id = ag.group_id
WHERE db.name = {database};"
    )
}

fn sessions(database: &str) -> String {
    format!(
        "SELECT s.session_id, s.login_name, s.host_name, s.program_name
FROM sys.dm_exec_sessions s
WHERE {};",
        inside(database)
    )
}

fn kills(database: &str) -> String {
    format!(
        "SELECT 'KILL ' + CAST(s.session_id AS varchar(10)) + ';' AS statement
FROM sys.dm_exec_sessions s
WHERE {};",
        inside(database)
    )
}

/// Sessions that are in the database, or have a transaction open that touches it.
fn inside(database: &str) -> String {
    format!(
        "s.is_user_process = 1 AND s.session_id <> @@SPID
  AND (s.database_id = DB_ID({database})
   OR s.session_id IN (
     SELECT st.session_id
     FROM sys.dm_tran_session_transactions st
     JOIN sys.dm_tran_database_transactions dt
       ON dt.transaction_id = st.transaction_id
     WHERE dt.database_id = DB_ID({database})))"
    )
}

fn full_backups(database: &str) -> String {
    format!(
        "SELECT TOP (10) bs.name, bs.is_copy_only, bs.has_backup_checksums,
       bs.backup_start_date, bs.backup_finish_date
FROM msdb.dbo.backupset bs
WHERE bs.type = 'D' AND bs.database_name = {database}
ORDER BY bs.backup_finish_date DESC;"
    )
}

fn log_backups(database: &str) -> String {
    format!(
        "SELECT MAX(bs.backup_finish_date) AS last_log_backup
FROM msdb.dbo.backupset bs
WHERE bs.type = 'L' AND bs.database_name = {database};"
    )
}

fn log_reuse(database: &str) -> String {
    format!(
        "SELECT name, log_reuse_wait_desc, recovery_model_desc
FROM sys.databases WHERE name = {database};"
    )
}

/// The groups of a server that are not distributed.
pub(super) const fn local_groups() -> &'static str {
    "SELECT name FROM sys.availability_groups WHERE is_distributed = 0;"
}

/// Sessions of the agent; its commands have a name that begins like this, whatever it calls itself.
pub(super) const fn agent() -> &'static str {
    "SELECT s.session_id, s.host_name, s.program_name, s.status,
       r.command
FROM sys.dm_exec_sessions s
LEFT JOIN sys.dm_exec_requests r ON r.session_id = s.session_id
WHERE s.program_name LIKE N'dr-agent%' AND s.session_id <> @@SPID;"
}

/// Gives the statement that has both ends of the link commit synchronously. A link has two.
pub(super) fn synchronous(group: &str) -> String {
    format!(
        "SELECT N'ALTER AVAILABILITY GROUP ' + QUOTENAME(ag.name)
  + N' MODIFY AVAILABILITY GROUP ON '
  + QUOTENAME(MIN(ar.replica_server_name), '''')
  + N' WITH (AVAILABILITY_MODE = SYNCHRONOUS_COMMIT), '
  + QUOTENAME(MAX(ar.replica_server_name), '''')
  + N' WITH (AVAILABILITY_MODE = SYNCHRONOUS_COMMIT);' AS statement
FROM sys.availability_groups ag
JOIN sys.availability_replicas ar ON ag.group_id = ar.group_id
WHERE ag.is_distributed = 1 AND ag.name = {group}
GROUP BY ag.name;"
    )
}

/// Whether both ends of the link commit synchronously.
pub(super) fn modes(group: &str) -> String {
    format!(
        "SELECT ar.replica_server_name, ar.availability_mode_desc
FROM sys.availability_groups ag
JOIN sys.availability_replicas ar ON ag.group_id = ar.group_id
WHERE ag.is_distributed = 1 AND ag.name = {group};"
    )
}

/// The replicas of a server's own groups.
const fn replicas() -> &'static str {
    "SELECT ag.name, ag.cluster_type_desc, ar.replica_server_name,
       rs.role_desc
FROM sys.availability_groups ag
JOIN sys.availability_replicas ar ON ag.group_id = ar.group_id
JOIN sys.dm_hadr_availability_replica_states rs
  ON ar.replica_id = rs.replica_id
WHERE ag.is_distributed = 0;"
}

/// Version and edition.
pub(super) const fn version() -> &'static str {
    "SELECT SERVERPROPERTY('ProductVersion') AS version,
       SERVERPROPERTY('Edition') AS edition, GETUTCDATE() AS utc_now;"
}

/// A text as T-SQL quotes it.
pub(super) fn text(words: &str) -> String {
    format!("N'{}'", words.replace('\'', "''"))
}
