//! Why a database is not entered.

use super::{DatabaseState, SqlError};

/// Why a database cannot be used in a state: 922, 927, 945.
pub(super) fn not_open(database: &str, state: DatabaseState) -> Result<(), SqlError> {
    match state {
        DatabaseState::Online => Ok(()),
        DatabaseState::RecoveryPending | DatabaseState::Suspect | DatabaseState::Offline => {
            let text = format!(
                "Database '{database}' cannot be opened due to inaccessible files or insufficient \
                 memory or disk space. See the SQL Server errorlog for details."
            );
            Err(SqlError::new(945, &text))
        }
        DatabaseState::Restoring => {
            let text = format!(
                "Database '{database}' cannot be opened. It is in the middle of a restore."
            );
            Err(SqlError { class: 14, ..SqlError::new(927, &text) })
        }
        DatabaseState::Recovering => {
            let text = format!(
                "Database '{database}' is being recovered. Waiting until recovery is finished."
            );
            Err(SqlError { class: 14, ..SqlError::new(922, &text) })
        }
    }
}

/// 983
pub(super) fn in_no_role(database: &str) -> SqlError {
    let text = format!(
        "Unable to access availability database '{database}' because the database replica is not in the PRIMARY or SECONDARY role. Connections to an availability database is permitted only when the database replica is in the PRIMARY or SECONDARY role. Try the operation again later."
    );
    SqlError { class: 14, ..SqlError::new(983, &text) }
}

/// 976
pub(super) fn not_readable(database: &str) -> SqlError {
    let text = format!(
        "The target database, '{database}', is participating in an availability group and is currently not accessible for queries. Either data movement is suspended or the availability replica is not enabled for read access. To allow read-only access to this and other databases in the availability group, enable read access to one or more secondary availability replicas in the group. For more information, see the ALTER AVAILABILITY GROUP statement in SQL Server Books Online."
    );
    SqlError { class: 14, ..SqlError::new(976, &text) }
}
