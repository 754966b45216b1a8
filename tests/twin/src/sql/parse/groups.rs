//! Statements about availability groups, beside those that change roles.

use crate::world::{
    BackupPreference, ClusterType, Connections, GroupCommand, GroupOption, MemberClause,
};

use super::setup::{Item, find, word};

/// Whether a statement is one of these.
pub(super) fn concerns(items: &[Item]) -> bool {
    let other = word(items, 4) == "SET" && !sets(&word(items, 6));
    word(items, 1) == "AVAILABILITY" && word(items, 2) == "GROUP" && !other
}

/// The words of ALTER AVAILABILITY GROUP that belong here.
pub(super) const CHANGES: [&str; 7] =
    ["MODIFY", "GRANT", "DENY", "JOIN", "ADD", "REMOVE", "OFFLINE"];

pub(super) fn statement(first: &str, items: &[Item]) -> Option<GroupCommand> {
    let name = items.get(3)?.text.clone();
    match first {
        "DROP" => Some(GroupCommand::Drop { name }),
        "CREATE" if word(items, 6) == "DISTRIBUTED" => {
            let members = clauses(items, find(items, "ON")? + 1)?;
            Some(GroupCommand::CreateDistributed { name, members })
        }
        "CREATE" => {
            let on = find(items, "ON")?;
            let cluster = match find(items, "CLUSTER_TYPE").filter(|place| *place < on) {
                None => None,
                Some(place) => Some(cluster(&word(items, place + 2))?),
            };
            let databases = match find(items, "FOR").filter(|_| find(items, "DATABASE").is_some()) {
                Some(place) if word(items, place + 1) == "DATABASE" => {
                    // The names, up to REPLICA ON.
                    let names = items.get(place + 2..on - 1)?;
                    names.iter().filter(|it| it.text != ",").map(|it| it.text.clone()).collect()
                }
                Some(_) | None => Vec::new(),
            };
            let replicas = clauses(items, on + 1)?;
            Some(GroupCommand::Create { name, databases, cluster, replicas })
        }
        _ => alter(name, items),
    }
}

fn alter(name: String, items: &[Item]) -> Option<GroupCommand> {
    let database = || items.get(6).map(|item| item.text.clone());
    Some(match word(items, 4).as_str() {
        granted @ ("GRANT" | "DENY") => {
            GroupCommand::MayCreate { name, granted: granted == "GRANT" }
        }
        "MODIFY" if word(items, 5) == "REPLICA" => {
            GroupCommand::Replica { name, replicas: clauses(items, find(items, "ON")? + 1)? }
        }
        "MODIFY" => GroupCommand::Modify { name, members: clauses(items, find(items, "ON")? + 1)? },
        "JOIN" => GroupCommand::CreateDistributed {
            name,
            members: clauses(items, find(items, "ON")? + 1)?,
        },
        "SET" => GroupCommand::Set { name, options: options(items)? },
        verb @ ("ADD" | "REMOVE") => {
            (word(items, 5) == "DATABASE").then_some(())?;
            GroupCommand::Database { name, database: database()?, added: verb == "ADD" }
        }
        "OFFLINE" => GroupCommand::Offline { name },
        _ => return None,
    })
}

/// Options of a group that SET takes, beside what the world's own settings are.
const OPTIONS: [&str; 5] = [
    "AUTOMATED_BACKUP_PREFERENCE",
    "FAILURE_CONDITION_LEVEL",
    "HEALTH_CHECK_TIMEOUT",
    "DB_FAILOVER",
    "DTC_SUPPORT",
];

/// Whether ALTER AVAILABILITY GROUP sets one of these.
pub(super) fn sets(option: &str) -> bool {
    OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(option))
}

/// `SET (option = value)`
fn options(items: &[Item]) -> Option<Vec<GroupOption>> {
    let value = word(items, 8);
    let either = |yes: &str, no: &str| match value.as_str() {
        said if said == yes => Some(true),
        said if said == no => Some(false),
        _ => None,
    };
    let number = || items.get(8)?.text.parse().ok();
    let option = match word(items, 6).as_str() {
        "AUTOMATED_BACKUP_PREFERENCE" => GroupOption::BackupPreference(match value.as_str() {
            "PRIMARY" => BackupPreference::Primary,
            "SECONDARY_ONLY" => BackupPreference::SecondaryOnly,
            "SECONDARY" => BackupPreference::Secondary,
            "NONE" => BackupPreference::None,
            _ => return None,
        }),
        "FAILURE_CONDITION_LEVEL" => GroupOption::FailureConditionLevel(number()?),
        "HEALTH_CHECK_TIMEOUT" => GroupOption::HealthCheckTimeout(number()?),
        "DB_FAILOVER" => GroupOption::DatabaseFailover(either("ON", "OFF")?),
        "DTC_SUPPORT" => GroupOption::DistributedTransactions(either("PER_DB", "NONE")?),
        _ => return None,
    };
    let closed = items.get(5)?.text == "(" && items.get(7)?.text == "=";
    (closed && items.get(9)?.text == ")" && items.len() == 10).then(|| vec![option])
}

/// `'name' WITH (option = value, …), …`
fn clauses(items: &[Item], mut place: usize) -> Option<Vec<MemberClause>> {
    let mut all = Vec::new();
    loop {
        let named = items.get(place).filter(|item| item.quoted)?;
        let mut clause = MemberClause { name: named.text.clone(), ..MemberClause::default() };
        (word(items, place + 1) == "WITH" && items.get(place + 2)?.text == "(").then_some(())?;
        place += 3;
        while items.get(place)?.text != ")" {
            place = option(items, place, &mut clause)?;
            if items.get(place)?.text == "," {
                place += 1;
            }
        }
        all.push(clause);
        place += 1;
        match items.get(place) {
            None => return Some(all),
            Some(item) if item.text == "," => place += 1,
            Some(_) => return None,
        }
    }
}

/// Reads one option; what comes after it.
fn option(items: &[Item], place: usize, clause: &mut MemberClause) -> Option<usize> {
    let name = word(items, place);
    if items.get(place + 1)?.text == "(" {
        let end = items.get(place..)?.iter().position(|item| item.text == ")")?;
        // The list of routes for those who only read is nobody's business here.
        if word(items, place + 2) == "ALLOW_CONNECTIONS" {
            let allowed = match (name.as_str(), word(items, place + 4).as_str()) {
                ("SECONDARY_ROLE", "NO") => Connections::None,
                ("SECONDARY_ROLE", "READ_ONLY") => Connections::ReadOnly,
                ("SECONDARY_ROLE" | "PRIMARY_ROLE", "ALL") => Connections::All,
                ("PRIMARY_ROLE", "READ_WRITE") => Connections::ReadWrite,
                _ => return None,
            };
            let of = if name == "PRIMARY_ROLE" {
                &mut clause.as_primary
            } else {
                &mut clause.as_secondary
            };
            *of = Some(allowed);
        }
        return Some(place + end + 1);
    }
    (items.get(place + 1)?.text == "=").then_some(())?;
    let value = items.get(place + 2)?;
    let either = |yes: &str, no: &str| match value.text.to_uppercase() {
        text if text == yes => Some(true),
        text if text == no => Some(false),
        _ => None,
    };
    match name.as_str() {
        "LISTENER_URL" | "ENDPOINT_URL" => clause.url = Some(value.text.clone()),
        "AVAILABILITY_MODE" => {
            clause.synchronous = Some(either("SYNCHRONOUS_COMMIT", "ASYNCHRONOUS_COMMIT")?);
        }
        // Where another cluster decides, the mode says so and no more.
        "FAILOVER_MODE" if value.text.eq_ignore_ascii_case("EXTERNAL") => {}
        "FAILOVER_MODE" => clause.automatic_failover = Some(either("AUTOMATIC", "MANUAL")?),
        "SEEDING_MODE" => clause.automatic_seeding = Some(either("AUTOMATIC", "MANUAL")?),
        "SESSION_TIMEOUT" => clause.session_timeout = Some(value.text.parse().ok()?),
        "BACKUP_PRIORITY" => clause.backup_priority = Some(value.text.parse().ok()?),
        _ => return None,
    }
    Some(place + 3)
}

fn cluster(word: &str) -> Option<ClusterType> {
    match word {
        "WSFC" => Some(ClusterType::Wsfc),
        "EXTERNAL" => Some(ClusterType::External),
        "NONE" => Some(ClusterType::None),
        _ => None,
    }
}
