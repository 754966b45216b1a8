//! What a session may do: `HAS_PERMS_BY_NAME`, and the lists of `sys.fn_my_permissions`.

use crate::sql::env::Env;
use crate::sql::session::Permission;
use crate::sql::types::Type;
use crate::sql::value::Value;

/// Permissions on the server, but for a few of rare features.
const SERVER: [&str; 35] = [
    "ADMINISTER BULK OPERATIONS",
    "ALTER ANY AVAILABILITY GROUP",
    "ALTER ANY CONNECTION",
    "ALTER ANY CREDENTIAL",
    "ALTER ANY DATABASE",
    "ALTER ANY ENDPOINT",
    "ALTER ANY EVENT NOTIFICATION",
    "ALTER ANY EVENT SESSION",
    "ALTER ANY LINKED SERVER",
    "ALTER ANY LOGIN",
    "ALTER ANY SERVER AUDIT",
    "ALTER ANY SERVER ROLE",
    "ALTER RESOURCES",
    "ALTER SERVER STATE",
    "ALTER SETTINGS",
    "ALTER TRACE",
    "AUTHENTICATE SERVER",
    "CONNECT ANY DATABASE",
    "CONNECT SQL",
    "CONTROL SERVER",
    "CREATE ANY DATABASE",
    "CREATE AVAILABILITY GROUP",
    "CREATE DDL EVENT NOTIFICATION",
    "CREATE ENDPOINT",
    "CREATE SERVER ROLE",
    "CREATE TRACE EVENT NOTIFICATION",
    "IMPERSONATE ANY LOGIN",
    "SELECT ALL USER SECURABLES",
    "SHUTDOWN",
    "VIEW ANY DATABASE",
    "VIEW ANY DEFINITION",
    "VIEW SERVER PERFORMANCE STATE",
    "VIEW SERVER SECURITY STATE",
    "VIEW SERVER STATE",
    "VIEW ANY ERROR LOG",
];

/// Permissions on a database that scripts of administrators ask for.
const DATABASE: [&str; 15] = [
    "ALTER",
    "BACKUP DATABASE",
    "BACKUP LOG",
    "CHECKPOINT",
    "CONNECT",
    "CONTROL",
    "CREATE TABLE",
    "DELETE",
    "EXECUTE",
    "INSERT",
    "SELECT",
    "TAKE OWNERSHIP",
    "UPDATE",
    "VIEW DATABASE STATE",
    "VIEW DEFINITION",
];

const GROUP: [&str; 4] = ["ALTER", "CONTROL", "TAKE OWNERSHIP", "VIEW DEFINITION"];

/// The permissions on securables of a class, by its name in capitals.
pub(crate) fn permissions_of(class: &str) -> &'static [&'static str] {
    match class {
        "SERVER" => &SERVER,
        "DATABASE" => &DATABASE,
        "AVAILABILITY GROUP" => &GROUP,
        _ => &[],
    }
}

/// `HAS_PERMS_BY_NAME(securable, class, permission)`
pub(super) fn by_name(arguments: &[(Type, Value)], env: &Env<'_>) -> Value {
    let word = |n: usize| match arguments.get(n) {
        Some((_, Value::Text(text))) => Some(text.trim_end()),
        _ => None,
    };
    let Some(wanted) = word(2).map(str::to_ascii_uppercase) else { return Value::Null };
    let class = word(1).unwrap_or("SERVER").to_ascii_uppercase();
    permitted(env, word(0), &class, &wanted).map(i64::from).into()
}

/// Whether the session may do this; nothing if there is no such permission or securable. Class and
/// permission are in capitals.
pub(crate) fn permitted(
    env: &Env<'_>,
    securable: Option<&str>,
    class: &str,
    wanted: &str,
) -> Option<bool> {
    let session = env.session;
    let may = |permission| Some(session.may(permission));
    let (performance, security) =
        (Permission::ViewServerPerformanceState, Permission::ViewServerSecurityState);
    match (class, wanted) {
        ("SERVER", "CONNECT SQL" | "ANY" | "VIEW ANY DATABASE") => Some(true),
        ("SERVER", "VIEW SERVER STATE") => Some(session.may(performance) && session.may(security)),
        ("SERVER", "VIEW SERVER PERFORMANCE STATE") => may(performance),
        ("SERVER", "VIEW SERVER SECURITY STATE") => may(security),
        ("SERVER", "VIEW ANY DEFINITION") => may(Permission::ViewAnyDefinition),
        ("SERVER", "ALTER ANY AVAILABILITY GROUP" | "CREATE AVAILABILITY GROUP") => {
            may(Permission::AlterAvailabilityGroup)
        }
        ("SERVER", "ALTER ANY DATABASE") => may(Permission::AlterAnyDatabase),
        ("SERVER", "ALTER ANY CONNECTION") => may(Permission::AlterAnyConnection),
        ("SERVER", "ALTER ANY LOGIN") => may(Permission::AlterAnyLogin),
        ("SERVER", "CONNECT ANY DATABASE") => may(Permission::ConnectAnyDatabase),
        ("SERVER", "CREATE ANY DATABASE") => may(Permission::CreateAnyDatabase),
        ("SERVER", _) => SERVER.contains(&wanted).then(|| session.may(Permission::ControlServer)),
        ("AVAILABILITY GROUP", _) => {
            let name = securable.unwrap_or_default();
            let name = name.trim_start_matches('[').trim_end_matches(']');
            let groups = env.world.availability_groups(env.at());
            if !groups.iter().any(|group| group.name.eq_ignore_ascii_case(name)) {
                return None;
            }
            match wanted {
                "ALTER" => Some(session.may_alter_group(name)),
                "CONTROL" | "TAKE OWNERSHIP" => may(Permission::ControlServer),
                "VIEW DEFINITION" => may(Permission::ViewAnyDefinition),
                _ => None,
            }
        }
        ("DATABASE", "BACKUP DATABASE" | "BACKUP LOG") => may(Permission::BackupDatabase),
        ("DATABASE", "CONNECT" | "ANY") => may(Permission::ConnectAnyDatabase),
        ("DATABASE", "ALTER" | "CONTROL") => may(Permission::AlterAnyDatabase),
        ("DATABASE", "VIEW DATABASE STATE") => may(performance),
        ("DATABASE", "VIEW DEFINITION") => may(Permission::ViewAnyDefinition),
        ("DATABASE", _) => {
            DATABASE.contains(&wanted).then(|| session.may(Permission::ControlServer))
        }
        _ => None,
    }
}
