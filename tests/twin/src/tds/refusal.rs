//! Why a login does not come in, in the words of the server.

use crate::sql::Error;

/// Why a login with the right password does not come in, or what a fault says instead.
pub(super) fn refused(number: u32, user: &str) -> Error {
    let (class, text) = match number {
        18_456 => (14, format!("Login failed for user '{user}'.")),
        18_470 => (14, format!("Login failed for user '{user}'. Reason: The account is disabled.")),
        18_486 => (
            14,
            format!(
                "Login failed for user '{user}' because the account is currently locked out. The \
                 system administrator can unlock it."
            ),
        ),
        18_487 => (
            14,
            format!(
                "Login failed for user '{user}'.  Reason: The password of the account has expired."
            ),
        ),
        18_488 => (
            14,
            format!(
                "Login failed for user '{user}'.  Reason: The password of the account must be \
                 changed."
            ),
        ),
        4_060 => (11, no_database("master")),
        40_613 => (
            20,
            "Database 'master' on server is not currently available. Please retry the connection \
             later."
                .to_owned(),
        ),
        40_197 => (
            20,
            "The service has encountered an error processing your request. Please try again. Error \
             code 40143."
                .to_owned(),
        ),
        40_501 => (
            20,
            "The service is currently busy. Retry the request after 10 seconds. Code: 131075"
                .to_owned(),
        ),
        10_928 => (
            20,
            "Resource ID: 2. The LoginLimit limit for the database is 200 and has been reached."
                .to_owned(),
        ),
        10_929 => (
            20,
            "Resource ID: 2. The LoginLimit minimum guarantee is 0, maximum limit is 200 and the \
             current usage for the database is 200. However, the server is currently too busy to \
             support requests greater than 0 for this database. Otherwise, please try again later."
                .to_owned(),
        ),
        49_918 => (
            16,
            "Cannot process request. Not enough resources to process request.".to_owned(),
        ),
        49_919 => (
            16,
            "Cannot process create or update request. Too many create or update operations in \
             progress for subscription."
                .to_owned(),
        ),
        49_920 => (
            16,
            "Cannot process request. Too many operations in progress for subscription.".to_owned(),
        ),
        17_142 => (
            14,
            "SQL Server service has been paused. No new connections will be allowed. To resume the \
             service, use SQL Computer Manager or the Services application in Control Panel."
                .to_owned(),
        ),
        17_187 => (16, NOT_READY.to_owned()),
        17_809 => (
            14,
            "Could not connect because the maximum number of connections has been reached."
                .to_owned(),
        ),
        18_401 => (
            14,
            format!(
                "Login failed for user '{user}'. Reason: Server is in script upgrade mode. Only \
                 administrator can connect at this time."
            ),
        ),
        18_451 => (
            14,
            format!(
                "Login failed for user '{user}'. Only administrators may connect at this time."
            ),
        ),
        18_461 => (
            14,
            format!(
                "Login failed for user '{user}'. Reason: Server is in single user mode. Only one \
                 administrator can connect at this time."
            ),
        ),
        _ => (14, format!("Login failed for user '{user}'.")),
    };
    Error::new(i32::try_from(number).unwrap_or(18_456), class, text)
}

/// 17187
pub(super) const NOT_READY: &str = "SQL Server is not ready to accept new client connections. Wait \
                                    a few minutes before trying again.";

/// 4060
pub(super) fn no_database(wanted: &str) -> String {
    format!("Cannot open database \"{wanted}\" requested by the login. The login failed.")
}
