//! The login: what each refusal of a server means, and the statement that mends it.

use super::{
    finding::{Check, Finding, How, Stage},
    reach::{self, Door, Peer},
};
use crate::{
    tds::{ENTRA, Stage as Reached, TdsError},
    text::plain,
};

/// Does the login come in?
pub const LOGIN: Check = Check {
    id: "sql.login",
    stage: Stage::Login,
    question: "Does the login that looks come in?",
    source: "LOGIN7, and the error number that answers it",
};
/// Does the login that carries out steps come in?
pub const ACTION_LOGIN: Check = Check {
    id: "sql.action_login",
    question: "Does the login that carries out steps come in?",
    ..LOGIN
};

/// What kept a question from being answered, where it was the way or the login that failed. `None`:
/// the login came in, and what failed is the question itself.
#[must_use]
pub fn refusal(
    check: &Check,
    door: &Door<'_>,
    user: &str,
    key: &str,
    error: &TdsError,
) -> Option<Finding> {
    let wrong = |evidence: String| check.wrong(door.subject, evidence);
    Some(match error {
        TdsError::Refused { .. } | TdsError::Unroutable { .. } => {
            reach::PORT.wrong(door.subject, error.to_string()).mend(
                How::Words,
                format!("{}:{}", door.host, door.port),
                "it was open a moment ago: ask again, and look whether it is restarting",
            )
        }
        TdsError::Tls { detail } => reach::tls_failed(door, detail),
        TdsError::TimedOut { stage }
        | TdsError::Io { stage, .. }
        | TdsError::Garbled { stage, .. } => {
            let silent = matches!(error, TdsError::TimedOut { .. });
            match stage {
                Reached::Connecting | Reached::Securing if silent => {
                    reach::TLS.wrong(door.subject, error.to_string()).mend(
                        How::Words,
                        format!("{}:{}", door.host, door.port),
                        "it takes connections and says nothing: the instance hangs, or what listens \
                         there is not SQL Server",
                    )
                }
                Reached::Connecting | Reached::Securing => {
                    reach::not_tls(door, &format!("no TDS there: {error}"), door.key)
                }
                Reached::LoggingIn => wrong(error.to_string()).mend(
                    How::Words,
                    door.host,
                    "it takes connections and does not answer: look at the instance itself (error \
                     log, load, memory), and whether it is starting",
                ),
                Reached::Asking => return None,
            }
        }
        TdsError::NoToken { detail } => wrong(format!("no token: {detail}")).mend(
            How::Config,
            format!("{key}.credential"),
            "a credential that the token service takes from this machine",
        ),
        TdsError::Login { number, message, .. } => {
            let told = format!("error {number}: {}", plain(message));
            login_error(wrong(told), *number, door, user, key)
        }
        TdsError::Server { .. } => return None,
    })
}

fn login_error(finding: Finding, number: u32, door: &Door<'_>, user: &str, key: &str) -> Finding {
    let name = bracketed(user);
    let at = door.host;
    let sql = |text: String| finding.clone().mend(How::Sql, at, text);
    let words = |text: &str| finding.clone().mend(How::Words, at, text);
    let password = format!("{key}.password");
    let windows = user.contains('\\');
    let token = user == ENTRA;
    match number {
        18_456 if token => sql(
            "CREATE LOGIN [<display name of the application or identity>] FROM EXTERNAL PROVIDER; \
             -- if there is none; tokens have to be made out for https://database.windows.net/"
                .to_owned(),
        ),
        18_456 if windows => {
            sql(format!("CREATE LOGIN {name} FROM WINDOWS; -- if there is none"))
        }
        18_456 => finding
            .clone()
            .mend(
                How::Config,
                password,
                format!("the password of the login {}, in the file that stands there", plain(user)),
            )
            .mend(
                How::Sql,
                at,
                format!(
                    "CREATE LOGIN {name} WITH PASSWORD = N'<a long random password>', CHECK_POLICY = \
                     ON; -- if there is no such login; the error log tells the reason by its state"
                ),
            ),
        18_470 => sql(format!("ALTER LOGIN {name} ENABLE;")),
        18_486 => sql(format!("ALTER LOGIN {name} WITH PASSWORD = N'<its password>' UNLOCK;")),
        18_487 | 18_488 => sql(format!(
            "ALTER LOGIN {name} WITH PASSWORD = N'<a new password>', CHECK_EXPIRATION = OFF;"
        ))
        .mend(How::Config, password, "the new password, in the file that stands there"),
        18_452 if windows => finding
            .clone()
            .mend(
                How::Config,
                password,
                format!("the password of the account {}, in the file that stands there", plain(user)),
            )
            .mend(
                How::Words,
                at,
                "the domain did not let the account in: look whether it is locked, disabled or \
                 expired, whether the server still reaches its domain, and whether Extended \
                 Protection is required, which needs channel bindings that this agent cannot give",
            ),
        18_452 => words("it takes no SQL logins, or not from here: allow mixed mode authentication"),
        4_060 => sql(format!("ALTER LOGIN {name} WITH DEFAULT_DATABASE = [master];")),
        40_613 => words(
            "the instance is there and not available at present: `az sql mi show` tells its state, and \
             Resource Health the reason",
        ),
        40_615 | 47_073 => words("the firewall of the instance refuses this machine: let it in"),
        17_142 | 17_187 | 18_401 => words("the instance is starting or paused: ask again in a minute"),
        10_928 | 10_929 | 40_501 | 49_918..=49_920 => {
            words("the instance is at its limits: ask again, and look what uses it up")
        }
        _ if door.peer == Peer::ManagedInstance => {
            words("look the number up in Microsoft's list of errors for Azure SQL")
        }
        _ => words("look the number up in sys.messages; the error log of the instance tells more"),
    }
}

/// A name as T-SQL wants it quoted.
pub(crate) fn bracketed(name: &str) -> String {
    format!("[{}]", plain(name).replace(']', "]]"))
}

/// A text as T-SQL wants it quoted.
pub(crate) fn quoted(text: &str) -> String {
    format!("N'{}'", plain(text).replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> Door<'static> {
        let subject = "SQL Server s";
        Door { subject, peer: Peer::SqlServer, host: "h", port: 1433, key: "sql_servers[0]" }
    }

    fn refused(number: u32) -> Finding {
        let error =
            TdsError::Login { number, class: 14, state: 1, message: "Login failed.".into() };
        let key = "sql_servers[0].login";
        refusal(&LOGIN, &door(), "dr]agent", key, &error).expect("a refusal")
    }

    #[test]
    fn each_refusal_of_a_login_has_its_statement() {
        let cases = [
            (18_470, "ALTER LOGIN [dr]]agent] ENABLE;"),
            (
                18_487,
                "ALTER LOGIN [dr]]agent] WITH PASSWORD = N'<a new password>', CHECK_EXPIRATION",
            ),
            (18_486, "UNLOCK;"),
            (4_060, "DEFAULT_DATABASE = [master];"),
        ];
        for (number, statement) in cases {
            let finding = refused(number);
            assert_eq!(finding.check, "sql.login");
            assert_eq!(finding.fix[0].how, How::Sql, "{number}");
            assert!(finding.fix[0].text.contains(statement), "{number}: {finding:?}");
        }
        assert_eq!(refused(18_456).fix[0].at, "sql_servers[0].login.password");
    }

    #[test]
    fn a_failed_question_is_no_failed_login() {
        let error = TdsError::Server { number: 300, class: 14, state: 1, message: String::new() };
        assert_eq!(refusal(&LOGIN, &door(), "u", "k", &error), None);
        let error = TdsError::TimedOut { stage: Reached::Securing };
        let finding = refusal(&LOGIN, &door(), "u", "k", &error).expect("the way failed");
        assert_eq!(finding.check, "reach.tls");
    }
}
