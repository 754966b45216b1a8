//! What Azure is asked for, and the statements on SQL Server that give up the groups of a link.

use agent_core::{
    StepRef,
    deed::Polled,
    reply::{self, OrderReply, StatementReply},
};
use twin::world::{
    ArmCommand, AzureCommand, Commit, DatabaseCommand, FailoverType, GroupCommand, JobStatus,
    MemberClause, Origin, Others, Reply, Side,
};

use super::{
    DATABASE, LINK, MANAGED_INSTANCE, SQL_SERVER, Universe, Violation,
    hands::{failed, refused},
};

impl Universe {
    /// What comes back of a statement about groups, or about a whole database; None of any other.
    pub(super) fn administered(
        &mut self,
        who: &Origin,
        at: &str,
        statement: &str,
    ) -> Option<StatementReply> {
        let server = self.acting(at);
        let told = if statement.ends_with("SET READ_ONLY WITH ROLLBACK IMMEDIATE") {
            let (command, others) = (DatabaseCommand::ReadOnly(true), Others::Ended);
            let shut = self.world.change_database(&server, (who, 0), DATABASE, &command, others);
            shut.map(drop)
        } else {
            self.world.administer(&server, who, group_command(statement)?)
        };
        Some(match told {
            Ok(()) => StatementReply::Done,
            Err(error) => failed(&error),
        })
    }

    pub(super) fn order_failover(&mut self, step: StepRef, who: &Origin, body: &str) {
        let kind = if body.contains("Planned") {
            FailoverType::Planned
        } else {
            FailoverType::ForcedAllowDataLoss
        };
        let (instance, link) = (MANAGED_INSTANCE.into(), LINK.into());
        let reply = match self.world.arm(who, ArmCommand::Failover { instance, link, kind }) {
            Ok(taken) if taken.reply == Reply::Lost => {
                OrderReply::Open { why: "the answer was lost".into() }
            }
            Ok(taken) => OrderReply::Accepted { operation: Some(taken.operation.0.to_string()) },
            Err(error) => refused(&error),
        };
        self.ordered(step, reply);
    }

    fn ordered(&mut self, step: StepRef, reply: OrderReply) {
        let ms = if matches!(reply, OrderReply::Open { .. }) { 5_000 } else { 30 };
        self.reply(step, ms, reply::order(reply));
    }

    pub(super) fn delete_link(&mut self, step: StepRef, who: &Origin) {
        let order = AzureCommand::DeleteLink(LINK.into());
        let reply = match self.world.azure(who, MANAGED_INSTANCE, order) {
            Ok(taken) if taken.reply == Reply::Lost => {
                OrderReply::Open { why: "the answer was lost".into() }
            }
            Ok(taken) => {
                OrderReply::Accepted { operation: taken.operation.map(|guid| guid.to_string()) }
            }
            Err(error) => refused(&error),
        };
        self.ordered(step, reply);
    }

    /// 3: between the end of the link and READ_ONLY both copies could take writes: nobody did on the
    /// old one.
    pub(super) fn nobody_wrote_behind(&self) -> Result<(), Violation> {
        let ledger = self.world.ledger();
        for interval in ledger.intervals(LINK).iter().filter(|i| i.writers.count() > 1) {
            let within = |commit: &Commit| {
                commit.at >= interval.from && interval.to.is_none_or(|to| commit.at < to)
            };
            let old = |commit: &Commit| commit.side == Side::SqlServer && commit.acknowledged;
            let mut commits = self.world.commits(LINK).filter(|commit| old(commit));
            if let Some(commit) = commits.find(|commit| within(commit)) {
                let what =
                    format!("{SQL_SERVER} took a commit at {}, behind the cutover", commit.at);
                return Err(Violation::new("3", what));
            }
        }
        Ok(())
    }
}

/// How a deletion goes.
pub(super) fn deleted(status: JobStatus) -> Polled {
    match status {
        JobStatus::InProgress => Polled::Running { again_in: std::time::Duration::from_secs(2) },
        JobStatus::Succeeded => Polled::Succeeded,
        JobStatus::Failed { message, .. } => Polled::Failed { why: message },
        JobStatus::Canceled => Polled::Failed { why: "it was canceled".into() },
    }
}

/// Of what is said with a condition, what comes of it here, where a group has one database and one
/// replica.
fn group_command(statement: &str) -> Option<GroupCommand> {
    let drops = statement.split_once(" = 0 DROP ").and_then(|(_, rest)| rest.split_once(" ELSE "));
    let unconditional = drops.map(|(rest, _)| format!("DROP {rest}"));
    let statement = unconditional.as_deref().unwrap_or(statement);
    let bracketed = |rest: &str| rest.split(['[', ']']).nth(1).map(str::to_owned);
    if let Some(rest) = statement.strip_prefix("DROP AVAILABILITY GROUP ") {
        return Some(GroupCommand::Drop { name: bracketed(rest)? });
    }
    let rest = statement.strip_prefix("ALTER AVAILABILITY GROUP ")?;
    let (name, members) = rest.split_once(" MODIFY AVAILABILITY GROUP ON ")?;
    let synchronous = Some(members.contains("= SYNCHRONOUS_COMMIT"));
    let names = members.split("N'").skip(1).filter_map(|part| part.split('\'').next());
    let clause =
        |name: &str| MemberClause { name: name.to_owned(), synchronous, ..MemberClause::default() };
    Some(GroupCommand::Modify { name: bracketed(name)?, members: names.map(clause).collect() })
}
