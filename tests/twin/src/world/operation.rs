//! Role changes and other deeds that need time.

use jiff::Timestamp;
use serde::Serialize;

use super::{BackupRun, Guid, Origin, RestoreRun, SqlError};

/// The number of an operation in this world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OperationId(pub u64);

/// A deed that was taken, from its arrival to its end.
#[derive(Clone, Debug, Serialize)]
pub struct Operation {
    /// Its number.
    pub id: OperationId,
    /// Its id in ARM.
    pub guid: Guid,
    /// What it does.
    pub kind: OperationKind,
    /// The link that it concerns; empty for a backup.
    pub link: String,
    /// The instance on which it runs.
    pub instance: String,
    /// From whom it came.
    pub who: Origin,
    /// Whether it came by ARM.
    pub by_arm: bool,
    /// When it arrived.
    pub received: Timestamp,
    /// When it took effect: from then on it cannot be withdrawn.
    pub accepted: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// How it fares.
    pub status: OperationStatus,
    /// How the client's statement fares.
    pub statement: Statement,
    /// Whether the client gets the reply.
    pub reply: Reply,
    /// The instance whose standstill stops it: the old primary until the role is on its way to the
    /// new one.
    #[serde(skip)]
    pub(super) runs_on: String,
    pub(super) next: Option<Timestamp>,
    pub(super) phase: Phase,
    /// Whether it outlives its client even before it is accepted.
    pub(super) lands_anyway: bool,
    /// Its failure was told before it took effect.
    pub(super) given_up: bool,
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Makes this side primary, whatever the other has.
    ForceFailover,
    /// Makes the other side primary without loss.
    PlannedFailover,
    /// Makes this side secondary.
    Demote,
    /// Stops data movement of a database.
    Suspend {
        /// The database.
        database: String,
    },
    /// Lets data move again.
    Resume {
        /// The database.
        database: String,
    },
    /// Backs a database up.
    Backup(Box<BackupRun>),
    /// Restores one.
    Restore(Box<RestoreRun>),
}

/// How an operation fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationStatus {
    /// It is on its way.
    InProgress,
    /// It has done what it says.
    Succeeded,
    /// It has ended without, as ARM tells it.
    Failed {
        /// `error.code`
        code: String,
        /// `error.message`
        message: String,
    },
}

/// How the client's statement fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Statement {
    /// The client waits.
    Running,
    /// It returned; a forced failover goes on in the background after that.
    Returned,
    /// It was refused.
    Failed(SqlError),
    /// The instance went away, or the client did, before it returned.
    Broken,
}

/// Whether a reply reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is sent.
    Sent,
    /// The deed is done, its reply is lost.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It has arrived, and nothing has come of it.
    Received,
    /// Forced: the role is RESOLVING.
    Accepted,
    /// Forced: PRIMARY, databases recover.
    Recovering,
    /// Planned: the secondary catches up, writes go on; from when it keeps up they wait for it.
    CatchingUp,
    /// Planned: the primary takes no more writes, the last of the log is on its way.
    Draining,
    /// Planned: the primary has given its role away, the other has not confirmed it.
    HandingOver,
    /// Planned: the other side is PRIMARY, databases recover.
    TakingOver,
    /// It has ended.
    Over,
}

impl Operation {
    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.finished.is_none()
    }

    /// Whether the end of its client ends it too, after it was accepted: a planned failover that
    /// has not given the role away may stop or go on, which nobody can tell from outside.
    pub(super) fn gives_way(&self) -> bool {
        if let OperationKind::Backup(_) | OperationKind::Restore(_) = self.kind {
            return true;
        }
        match self.phase {
            Phase::CatchingUp | Phase::Draining => self.favoured(),
            Phase::Received
            | Phase::Accepted
            | Phase::Recovering
            | Phase::HandingOver
            | Phase::TakingOver
            | Phase::Over => false,
        }
    }

    /// Whether it restores this database.
    pub(super) fn restores(&self, at: &str, database: &str) -> bool {
        let OperationKind::Restore(run) = &self.kind else { return false };
        self.instance == at && run.order.database.eq_ignore_ascii_case(database)
    }

    /// One side of a coin that was tossed when the operation began.
    pub(super) fn favoured(&self) -> bool {
        self.guid.0 & 1 == 1
    }
}
