//! The error log, as far as the world remembers what it would say.

use jiff::Timestamp;

use crate::sql::env::Env;
use crate::world::{BackupKind, Role, Side};

/// A line: when, who says it, what.
pub(crate) type Entry = (Timestamp, String, String);

/// Trace flag 3226 keeps backups out of the log.
const NO_BACKUPS: u16 = 3_226;

/// All lines since the last start, in their order.
pub(crate) fn entries(env: &Env<'_>) -> Vec<Entry> {
    let started = env.instance.started();
    let mut all = beginning(env, started);
    all.extend(roles(env).into_iter().filter(|(at, ..)| *at >= started));
    all.extend(logins(env, started));
    all.extend(backups(env, started));
    all.sort_by_key(|(at, ..)| *at);
    all
}

fn beginning(env: &Env<'_>, at: Timestamp) -> Vec<Entry> {
    let version = &env.instance.product_version;
    let mut lines = vec![
        ("Server", format!("Microsoft SQL Server - {version} (X64)")),
        ("Server", "Server process ID is 4312.".to_owned()),
        ("spid9s", "Starting up database 'master'.".to_owned()),
        (
            "spid9s",
            format!(
                "Server name is '{}'. This is an informational message only. No user action is required.",
                env.instance.server_name
            ),
        ),
    ];
    let databases = env.world.databases(env.at());
    let users = databases.iter().filter(|database| database.database_id > 1);
    lines.extend(users.map(|it| ("spid9s", format!("Starting up database '{}'.", it.name))));
    lines.push(("spid9s", "SQL Server is now ready for client connections. This is an informational message; no user action is required.".to_owned()));
    lines.into_iter().map(|(who, text)| (at, who.to_owned(), text)).collect()
}

/// Changes of role in the groups of links: 19406 and 1480.
fn roles(env: &Env<'_>) -> Vec<Entry> {
    let mut lines = Vec::new();
    for link in env.world.links() {
        let Some(side) = link.side_of(env.at()) else { continue };
        let member = link.member(side);
        let group = link.group.as_str();
        for (at, from, to) in member.past_roles() {
            let (from, to) = (word(*from), word(*to));
            lines.push((*at, "spid35s".to_owned(), format!(
                "The state of the local availability replica in availability group '{group}' has \
                 changed from '{from}_NORMAL' to '{to}_NORMAL'.  The state changed because {}. For \
                 more information, see the SQL Server error log or cluster log.  If this is a \
                 Windows Server Failover Clustering (WSFC) availability group, you can also see the \
                 WSFC management console.",
                reason(side, to)
            )));
            for database in link.databases() {
                lines.push((
                    *at,
                    "spid35s".to_owned(),
                    format!(
                        "The availability group database \"{database}\" is changing roles from \
                     \"{from}\" to \"{to}\" because the mirroring session or availability group \
                     failed over due to role synchronization. This is an informational message \
                     only. No user action is required."
                    ),
                ));
            }
        }
    }
    lines
}

fn reason(side: Side, to: &str) -> &'static str {
    match (side, to) {
        (_, "RESOLVING") => "the availability group is going offline",
        (Side::SqlServer | Side::ManagedInstance, _) => {
            "the local replica has been told its role in the availability group"
        }
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Primary => "PRIMARY",
        Role::Secondary => "SECONDARY",
        Role::Resolving => "RESOLVING",
    }
}

/// Logins that were refused: two lines each.
fn logins(env: &Env<'_>, since: Timestamp) -> Vec<Entry> {
    let refused = env.world.entries().filter(|entry| entry.instance == env.at());
    let refused = refused.filter(|entry| entry.at >= since && entry.refused.is_some());
    let lines = |entry: &crate::world::Entry| {
        let number = entry.refused.unwrap_or_default();
        let from =
            entry.address.map_or_else(|| "<local machine>".to_owned(), |at| at.ip().to_string());
        let text = format!("Login failed for user '{}'. [CLIENT: {from}]", entry.login);
        let head = format!("Error: {number}, Severity: 14, State: 1.");
        [head, text].map(|text| (entry.at, "Logon".to_owned(), text))
    };
    refused.flat_map(lines).collect()
}

/// 18264 and 18265, unless a trace flag keeps them out.
fn backups(env: &Env<'_>, since: Timestamp) -> Vec<Entry> {
    if env.instance.setup().trace_flags.contains(&NO_BACKUPS) {
        return Vec::new();
    }
    let taken = env.instance.backups(env.world.now()).filter(|backup| backup.finish >= since);
    let line = |backup: &crate::world::Backup| {
        let what = match backup.kind {
            BackupKind::Log => "Log was backed up.",
            BackupKind::Full => "Database backed up.",
        };
        let text = format!(
            "{what} Database: {}, first LSN: {}, last LSN: {}. This is an informational message \
             only. No user action is required.",
            backup.database, backup.first_lsn, backup.last_lsn
        );
        (backup.finish, "Backup".to_owned(), text)
    };
    taken.map(line).collect()
}
