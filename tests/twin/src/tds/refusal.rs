//! Why a login does not come in, in the words of the server.

use crate::sql::Error;

/// Numbers with their severity and what they say; `%u` stands for the login, `%d` for the database.
const REFUSALS: [(u32, u8, &str); 19] = [
    (18_456, 14, "Login failed for user '%u'."),
    (18_470, 14, "Login failed for user '%u'. Reason: The account is disabled."),
    (
        18_486,
        14,
        "Login failed for user '%u' because the account is currently locked out. The system \
         administrator can unlock it.",
    ),
    (18_487, 14, "Login failed for user '%u'.  Reason: The password of the account has expired."),
    (
        18_488,
        14,
        "Login failed for user '%u'.  Reason: The password of the account must be changed.",
    ),
    (
        18_401,
        14,
        "Login failed for user '%u'. Reason: Server is in script upgrade mode. Only administrator \
         can connect at this time.",
    ),
    (18_451, 14, "Login failed for user '%u'. Only administrators may connect at this time."),
    (
        18_461,
        14,
        "Login failed for user '%u'. Reason: Server is in single user mode. Only one administrator \
         can connect at this time.",
    ),
    (4_060, 11, "Cannot open database \"%d\" requested by the login. The login failed."),
    (
        40_613,
        20,
        "Database '%d' on server is not currently available. Please retry the connection later.",
    ),
    (
        40_197,
        20,
        "The service has encountered an error processing your request. Please try again. Error code \
         40143.",
    ),
    (40_501, 20, "The service is currently busy. Retry the request after 10 seconds. Code: 131075"),
    (
        10_928,
        20,
        "Resource ID: 2. The LoginLimit limit for the database is 200 and has been reached.",
    ),
    (
        10_929,
        20,
        "Resource ID: 2. The LoginLimit minimum guarantee is 0, maximum limit is 200 and the current \
         usage for the database is 200. However, the server is currently too busy to support \
         requests greater than 0 for this database. Otherwise, please try again later.",
    ),
    (49_918, 16, "Cannot process request. Not enough resources to process request."),
    (
        49_919,
        16,
        "Cannot process create or update request. Too many create or update operations in progress \
         for subscription.",
    ),
    (49_920, 16, "Cannot process request. Too many operations in progress for subscription."),
    (
        17_142,
        14,
        "SQL Server service has been paused. No new connections will be allowed. To resume the \
         service, use SQL Computer Manager or the Services application in Control Panel.",
    ),
    (
        17_187,
        16,
        "SQL Server is not ready to accept new client connections. Wait a few minutes before trying \
         again.",
    ),
];

/// Why a login with the right password does not come in, or what a fault says instead. A number
/// that is not known here says what 18456 does.
pub(super) fn refused(number: u32, user: &str, database: &str) -> Error {
    let found = REFUSALS.iter().find(|(known, ..)| *known == number).unwrap_or(&REFUSALS[0]);
    let (_, class, text) = *found;
    let text = text.replace("%d", database).replace("%u", user);
    Error::new(i32::try_from(number).unwrap_or(18_456), class, text)
}
