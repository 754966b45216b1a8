//! What became of a statement: SQL Server's error numbers, in what they allow and in words that
//! tell a DBA what to do. The numbers are those of the link's own error list and of `sys.messages`.

use alloc::{borrow::ToOwned as _, format, string::String};

use crate::{deed::Sent, event::Again, plan::Action};

/// Errors with which a running statement may end although its effect came or is still to come:
/// cancelled or killed, connection time-out, waiting for the primary role failed, access time-out.
const ENDS_OPEN: [u32; 5] = [596, 3617, 41149, 41163, 41165];
/// From this class on the server ends the session.
const ENDS_SESSION: u8 = 20;

/// What came back of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementReply {
    Done,
    /// It never left; `number`: of the error with which the login was refused.
    NotLeft {
        number: Option<u32>,
        why: String,
    },
    /// The server refused it, or failed at it.
    Failed {
        number: u32,
        why: String,
    },
    /// It may have landed: only a look can tell.
    Open {
        why: String,
    },
}

/// What an error number means for the command that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// It is so already, or another one is at it.
    Already,
    /// Conclusively without effect.
    Refused(Again),
    /// Only a look can tell.
    Open,
}

/// Whether an error of this number and class leaves it open if its statement had an effect.
#[must_use]
pub fn ends_open(number: u32, class: u8) -> bool {
    class >= ENDS_SESSION || ENDS_OPEN.contains(&number)
}

/// What became of the statement that was to bring `action` about. `login` is who acted.
#[must_use]
pub fn statement(reply: StatementReply, action: &Action, login: &str) -> Sent {
    let (n, error) = match reply {
        StatementReply::Done => return Sent::Accepted { operation: None },
        StatementReply::Open { why } => return Sent::Unknown { why },
        StatementReply::NotLeft { number, why } => {
            let passes = number.is_some_and(passes);
            let again = if passes { Again::SameRoute } else { Again::NextRoute };
            return Sent::Refused { why: super::did_not_leave(&why), again };
        }
        StatementReply::Failed { number, why } => (number, why),
    };
    let (meaning, advice) = match action {
        Action::RolesChanged { .. } => handing_over(n).unwrap_or_else(|| meaning(n, login)),
        Action::BackedUp { database, .. } | Action::Saved { database, .. } => {
            backing_up(n, database, login)
        }
        Action::Demoted { .. } => demoting(n).unwrap_or_else(|| meaning(n, login)),
        Action::Quiesced { .. } => ending(n, login),
        Action::LoginsSet { .. } => setting_logins(n, login),
        Action::Following { .. } => resuming(n).unwrap_or_else(|| meaning(n, login)),
        Action::ReadOnly { database, .. } => shutting(n, database, login),
        Action::TargetReady { .. }
        | Action::CommitMode { .. }
        | Action::LinkDeleted { .. }
        | Action::GroupDropped { .. }
        | Action::LocalGroupDropped { .. }
        | Action::FirstBackup { .. }
        | Action::TargetPrimary { .. }
        | Action::TargetServing { .. }
        | Action::Admitted { .. }
        | Action::CaughtUp { .. }
        | Action::SourceSecondary { .. }
        | Action::LogBackupsSeen { .. } => meaning(n, login),
    };
    let why = advice.map_or_else(|| error.clone(), |advice| format!("{error}; {advice}"));
    match meaning {
        Meaning::Already => Sent::Already { why },
        Meaning::Refused(again) => Sent::Refused { why, again },
        Meaning::Open => Sent::Unknown { why },
    }
}

/// Login failures that go by themselves: the look before logged in with the same name and password.
fn passes(number: u32) -> bool {
    match number {
        // Limits and maintenance of Azure SQL, too many logins, the server is starting or stopping.
        10928 | 10929 | 17142 | 17197 | 17830 | 40197 | 40501 | 40613 | 49918 | 49919 | 49920 => {
            true
        }
        // A login race at a server whose roles change.
        18401 | 18451 | 18456 => true,
        _ => false,
    }
}

/// What is different where the statement goes to the primary, for it to hand over.
fn handing_over(number: u32) -> Option<(Meaning, Option<String>)> {
    use Again::{NextRoute, SameRoute};
    use Meaning::{Already, Refused};
    let (meaning, advice) = match number {
        // It may have handed over already, or another has taken over: the roles tell.
        47517 | 41195 => (Already, "it is not the primary any more"),
        41122 => (
            Refused(NextRoute),
            "this build takes it for an ordinary failover to where it is primary already: handing over comes with SQL Server 2022 CU13",
        ),
        47514 => {
            (Refused(SameRoute), "the secondary can't catch up: look at the health of the link")
        }
        47515 => (Refused(SameRoute), "too much log is still to be sent: is everybody out?"),
        47516 => (Refused(SameRoute), "too much log is still to be redone on the secondary"),
        _ => return None,
    };
    Some((meaning, Some(advice.to_owned())))
}

/// What is different where an old primary is to become a secondary.
fn demoting(number: u32) -> Option<(Meaning, Option<String>)> {
    let (meaning, advice) = match number {
        41195 => (Meaning::Already, "it is a secondary already"),
        41104 => (
            Meaning::Refused(Again::SameRoute),
            "it is tried again; if it never works take the local group OFFLINE or stop the service, and give the link up",
        ),
        _ => return None,
    };
    Some((meaning, Some(advice.to_owned())))
}

/// Whoever could not be ended is looked for again.
fn ending(number: u32, login: &str) -> (Meaning, Option<String>) {
    let advice = match number {
        // The session has ended by itself, or ends at this moment.
        6101 | 6104 | 6106 | 6107 => "that session is gone, or none to be ended".to_owned(),
        6102 => format!("GRANT ALTER ANY CONNECTION TO [{login}] in master"),
        _ => return meaning(number, login),
    };
    (Meaning::Refused(Again::SameRoute), Some(advice))
}

/// Each login is altered by itself: what could be done has been, and the look tells what is left.
fn setting_logins(number: u32, login: &str) -> (Meaning, Option<String>) {
    let advice = match number {
        15151 => format!(
            "GRANT ALTER ANY LOGIN TO [{login}] in master, and see that the logins of `links.guard` exist"
        ),
        15434 | 15247 => format!("GRANT ALTER ANY LOGIN TO [{login}] in master"),
        _ => return meaning(number, login),
    };
    (Meaning::Refused(Again::SameRoute), Some(advice))
}

/// READ_ONLY takes a database that is in no group.
fn shutting(number: u32, database: &str, login: &str) -> (Meaning, Option<String>) {
    let advice = match number {
        1468 => "it is still in a group: its own group has to be dropped first".to_owned(),
        5011 | 15151 | 15247 | 262 => {
            format!(
                "GRANT ALTER ANY DATABASE TO [{login}] in master, or make {database} READ_ONLY yourself"
            )
        }
        5061 | 5070 | 1205 | 5064 => "somebody holds it; it is tried again".to_owned(),
        _ => return meaning(number, login),
    };
    (Meaning::Refused(Again::SameRoute), Some(advice))
}

/// Too early is no harm: it is sent again.
fn resuming(number: u32) -> Option<(Meaning, Option<String>)> {
    let early = [921, 922, 927, 945, 978, 983, 35250, 35262];
    let advice = "the database is not ready for it yet; it is sent again".to_owned();
    early.contains(&number).then_some((Meaning::Refused(Again::SameRoute), Some(advice)))
}

/// A backup that failed leaves no row of its own and may be tried again over what it left.
fn backing_up(number: u32, database: &str, login: &str) -> (Meaning, Option<String>) {
    let advice = match number {
        3013 | 3201 | 3202 | 3203 | 3271 | 3634 => {
            "is the place there, is there room, and may the account of the service write to it?"
                .to_owned()
        }
        262 | 229 | 916 => format!(
            "in {database}: CREATE USER [{login}] FOR LOGIN [{login}]; ALTER ROLE db_backupoperator ADD MEMBER [{login}]"
        ),
        3059 => "the database is a secondary now, and takes no full backup".to_owned(),
        3023 => "another backup or a change of its files is at work; it is tried again".to_owned(),
        3292 | 3298 | 3225 => {
            "the credential for that address is missing or not accepted".to_owned()
        }
        102 | 911 | 927 | 942 | 945 | 3009 | 3041 => String::new(),
        _ => return (Meaning::Open, None),
    };
    let advice = (!advice.is_empty()).then_some(advice);
    (Meaning::Refused(Again::SameRoute), advice)
}

fn meaning(number: u32, login: &str) -> (Meaning, Option<String>) {
    use Again::{Never, NextRoute, SameRoute};
    use Meaning::{Already, Open, Refused};
    let (meaning, advice) = match number {
        41122 => (Already, "it is primary there already"),
        41965 => (Already, "it has that role already"),
        47513 | 41113 | 41968 => (Already, "another failover is running there"),

        47512 | 47514 | 47515 | 47516 | 41142 => (
            Refused(SameRoute),
            "the secondary can't take over yet; it is tried again under the same approvals",
        ),
        41140 | 41190 | 35251 => (
            Refused(SameRoute),
            "the replica is not in a state for it; it is tried again under the same approvals",
        ),
        10928 | 10929 | 40501 => (Refused(SameRoute), "the instance asks for patience"),
        41993 => (
            Refused(SameRoute),
            "the instance can't open its replica of the database: give it back access to its TDE key",
        ),

        47517 | 41195 => {
            (Refused(NextRoute), "this server takes this kind of failover only on the other side")
        }
        102 | 156 | 319 => (
            Refused(NextRoute),
            "this build does not know the statement: it comes with SQL Server 2022 CU13",
        ),
        229 | 262 | 297 | 300 | 15151 | 15247 => {
            let advice = format!(
                "grant it in master: GRANT ALTER ANY AVAILABILITY GROUP TO [{login}]; GRANT VIEW SERVER STATE TO [{login}]"
            );
            return (Refused(NextRoute), Some(advice));
        }

        41985 => (
            Refused(Never),
            "a one-way link can't be failed over: delete the link, which makes its database writable",
        ),
        47511 => (
            Refused(Never),
            "the group belongs to no link of this instance: check the name of the group in the configuration",
        ),
        47122 => (
            Refused(Never),
            "this is the local group and not the distributed one: check the name of the group in the configuration",
        ),
        41191 => (Refused(Never), "this engine is older than that of the last primary"),

        _ => return (Open, None),
    };
    (meaning, Some(advice.to_owned()))
}
