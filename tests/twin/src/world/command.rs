//! What a client can ask of an instance in T-SQL, beside reading.

use jiff::SignedDuration;
use serde::Serialize;
use thiserror::Error;

use super::{Lsn, OperationId, Origin, Reply, World, ledger::CommandWords};

/// A statement with effects. Names are as in the statement, without brackets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// `ALTER AVAILABILITY GROUP [group] FORCE_FAILOVER_ALLOW_DATA_LOSS`, on the secondary.
    ForceFailover {
        /// The distributed group.
        group: String,
    },
    /// `ALTER AVAILABILITY GROUP [group] FAILOVER`, on the primary.
    Failover {
        /// The distributed group.
        group: String,
    },
    /// `ALTER AVAILABILITY GROUP [group] SET (ROLE = SECONDARY)`, on an old primary.
    SetRoleSecondary {
        /// The distributed group.
        group: String,
    },
    /// `ALTER DATABASE [database] SET HADR SUSPEND`
    Suspend {
        /// The database.
        database: String,
    },
    /// `ALTER DATABASE [database] SET HADR RESUME`
    Resume {
        /// The database.
        database: String,
    },
}

/// A command that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Ask [`World::operation`] how it fares; its `statement` says when the client's statement
    /// returns, and with what.
    pub operation: OperationId,
    /// Whether the reply reaches the client.
    pub reply: Reply,
}

/// An error as SQL Server sends it.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[error("Msg {number}, Level {class}, State {state}: {message}")]
pub struct SqlError {
    /// The number.
    pub number: u32,
    /// The severity.
    pub class: u8,
    /// The state.
    pub state: u8,
    /// The words.
    pub message: String,
}

impl World {
    /// Takes a command at an instance. Most become an operation that needs time: see
    /// [`Executed::operation`].
    ///
    /// # Errors
    /// What the engine refuses at once, with its number.
    pub fn execute(
        &mut self,
        at: &str,
        who: &Origin,
        command: Command,
    ) -> Result<Executed, SqlError> {
        let _ = (at, who, command, SignedDuration::ZERO);
        Err(SqlError::new(41_104, "not yet"))
    }

    /// Says that the client of a statement is gone or has cancelled it. `true` if it was withdrawn
    /// before it took effect; else it goes on.
    pub fn abandon(&mut self, operation: OperationId) -> bool {
        let _ = operation;
        false
    }

    /// Commits a transaction of `bytes` of log in a database, as a session would.
    ///
    /// # Errors
    /// 3906 on a secondary, and those of [`World::access`].
    pub fn commit(&mut self, at: &str, database: &str, bytes: u32) -> Result<Lsn, SqlError> {
        let _ = (at, database, bytes);
        Err(SqlError::new(3_906, "not yet"))
    }
}

impl SqlError {
    pub(crate) fn new(number: u32, message: &str) -> SqlError {
        SqlError { number, class: 16, state: 1, message: message.to_owned() }
    }
}

impl Command {
    /// The command in T-SQL.
    #[must_use]
    pub fn words(&self) -> CommandWords {
        CommandWords(match self {
            Command::ForceFailover { group } => {
                format!("ALTER AVAILABILITY GROUP [{group}] FORCE_FAILOVER_ALLOW_DATA_LOSS")
            }
            Command::Failover { group } => format!("ALTER AVAILABILITY GROUP [{group}] FAILOVER"),
            Command::SetRoleSecondary { group } => {
                format!("ALTER AVAILABILITY GROUP [{group}] SET (ROLE = SECONDARY)")
            }
            Command::Suspend { database } => format!("ALTER DATABASE [{database}] SET HADR SUSPEND"),
            Command::Resume { database } => format!("ALTER DATABASE [{database}] SET HADR RESUME"),
        })
    }
}
