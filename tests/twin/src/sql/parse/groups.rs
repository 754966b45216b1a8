//! Statements about availability groups, beside those that change roles.

use crate::world::{ClusterType, GroupCommand, MemberClause};

use super::setup::{Item, find, word};

/// Whether a statement is one of these.
pub(super) fn concerns(items: &[Item]) -> bool {
    word(items, 1) == "AVAILABILITY" && word(items, 2) == "GROUP"
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
        word @ ("ADD" | "REMOVE") => {
            GroupCommand::Database { name, database: database()?, added: word == "ADD" }
        }
        "OFFLINE" => GroupCommand::Offline { name },
        _ => return None,
    })
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
        let allows = word(items, place + 2) == "ALLOW_CONNECTIONS";
        if name == "SECONDARY_ROLE" && allows {
            // READ_ONLY asks for ApplicationIntent too, which nobody is asked for here.
            clause.readable = Some(word(items, place + 4) != "NO");
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
        "FAILOVER_MODE" => clause.automatic_failover = Some(either("AUTOMATIC", "MANUAL")?),
        "SEEDING_MODE" => clause.automatic_seeding = Some(either("AUTOMATIC", "MANUAL")?),
        "SESSION_TIMEOUT" => clause.session_timeout = Some(value.text.parse().ok()?),
        "BACKUP_PRIORITY" => {}
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
