//! The questions in SQL, and what their rows say, as plain values.

use std::time::Duration;

use jiff::Timestamp;
use tiberius::{Row, ToSql};

use crate::tds::{
    Session, TdsError,
    rows::{checked, flag, integer, text, time},
};

/// `SERVERPROPERTY` and the clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Engine {
    pub(crate) version: String,
    pub(crate) edition: String,
    pub(crate) engine_edition: i64,
    pub(crate) hadr_enabled: Option<bool>,
    pub(crate) hadr_status: Option<i64>,
    pub(crate) collation: Option<String>,
    pub(crate) server_name: Option<String>,
    pub(crate) utc_time: Option<Timestamp>,
}

/// What a login may do on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) server_state: bool,
    pub(crate) any_definition: bool,
    pub(crate) any_database: bool,
    pub(crate) alter_any_group: bool,
    pub(crate) alter_any_database: bool,
    pub(crate) alter_any_connection: bool,
    pub(crate) alter_any_login: bool,
    pub(crate) control_server: bool,
}

/// The endpoint by which a link replicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) role: String,
    pub(crate) auth: String,
    pub(crate) encrypted: bool,
    pub(crate) algorithm: String,
    pub(crate) port: Option<i64>,
    pub(crate) certificate: Option<String>,
    pub(crate) expiry: Option<Timestamp>,
}

/// What is in master.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) master_key: bool,
    pub(crate) certificates: Vec<Certificate>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) name: String,
    /// `NA`: only the public half is here, so it is somebody else's.
    pub(crate) private_key: String,
    pub(crate) expiry: Option<Timestamp>,
}

/// One member of a distributed availability group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) endpoint_url: String,
    pub(crate) mode: String,
    pub(crate) session_timeout_s: Option<i64>,
    pub(crate) is_local: Option<bool>,
    pub(crate) role: Option<String>,
    pub(crate) connected: Option<String>,
    pub(crate) error: Option<(i64, String)>,
}

/// A distributed availability group; `None` where there is none of the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) is_distributed: bool,
    pub(crate) required_synchronized: i64,
    pub(crate) members: Vec<Member>,
}

/// A database; `None` where there is none of the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Database {
    pub(crate) state: String,
    pub(crate) recovery_model: String,
    pub(crate) user_access: String,
    pub(crate) is_read_only: bool,
    pub(crate) in_group: bool,
    pub(crate) suspended: Option<String>,
}

/// Ages are from the server's own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backups {
    pub(crate) full_age: Option<Duration>,
    pub(crate) log_age: Option<Duration>,
}

pub(crate) async fn engine(session: &mut Session, within: Duration) -> Result<Engine, TdsError> {
    let read = |row: &Row| {
        Ok(Engine {
            version: text(row, "product_version")?.unwrap_or_default(),
            edition: text(row, "edition")?.unwrap_or_default(),
            engine_edition: integer(row, "engine_edition")?.unwrap_or_default(),
            hadr_enabled: flag(row, "hadr_enabled")?,
            hadr_status: integer(row, "hadr_status")?,
            collation: text(row, "collation")?,
            server_name: text(row, "server_name")?,
            utc_time: time(row, "utc_time")?,
        })
    };
    first(ask(session, include_str!("sql/engine.sql"), None, within, read).await?)
}

pub(crate) async fn rights(session: &mut Session, within: Duration) -> Result<Rights, TdsError> {
    let read = |row: &Row| {
        let may = |name| Ok::<_, TdsError>(flag(row, name)? == Some(true));
        Ok(Rights {
            server_state: may("server_state")? || may("performance_state")?,
            any_definition: may("any_definition")?,
            any_database: may("any_database")?,
            alter_any_group: may("alter_any_group")?,
            alter_any_database: may("alter_any_database")?,
            alter_any_connection: may("alter_any_connection")?,
            alter_any_login: may("alter_any_login")?,
            control_server: may("control_server")?,
        })
    };
    first(ask(session, include_str!("sql/rights.sql"), None, within, read).await?)
}

/// Whether the login may alter one group; `None` if it does not see such a group.
pub(crate) async fn group_right(
    session: &mut Session,
    group: &str,
    within: Duration,
) -> Result<Option<bool>, TdsError> {
    let named = super::login::bracketed(group);
    let read = |row: &Row| flag(row, "alter_group");
    first(ask(session, include_str!("sql/group_right.sql"), Some(&named), within, read).await?)
}

/// Whether the login may back up one database; `None` if it is not open to it.
pub(crate) async fn backup_right(
    session: &mut Session,
    database: &str,
    within: Duration,
) -> Result<Option<bool>, TdsError> {
    let named = super::login::bracketed(database);
    let read = |row: &Row| flag(row, "back_up");
    first(ask(session, include_str!("sql/backup_right.sql"), Some(&named), within, read).await?)
}

pub(crate) async fn endpoint(
    session: &mut Session,
    within: Duration,
) -> Result<Option<Endpoint>, TdsError> {
    let read = |row: &Row| {
        let Some(name) = text(row, "endpoint")? else { return Ok(None) };
        let word = |name| Ok::<_, TdsError>(text(row, name)?.unwrap_or_default());
        Ok(Some(Endpoint {
            name,
            state: word("state")?,
            role: word("role")?,
            auth: word("auth")?,
            encrypted: flag(row, "encrypted")? == Some(true),
            algorithm: word("algorithm")?,
            port: integer(row, "port")?,
            certificate: text(row, "certificate")?,
            expiry: time(row, "expiry")?,
        }))
    };
    first(ask(session, include_str!("sql/endpoint.sql"), None, within, read).await?)
}

pub(crate) async fn keys(session: &mut Session, within: Duration) -> Result<Keys, TdsError> {
    let read = |row: &Row| {
        let certificate = match text(row, "certificate")? {
            None => None,
            Some(name) => Some(Certificate {
                name,
                private_key: text(row, "private_key")?.unwrap_or_default().trim().to_owned(),
                expiry: time(row, "expiry")?,
            }),
        };
        Ok((integer(row, "master_key")?.is_some(), certificate))
    };
    let rows = ask(session, include_str!("sql/certificates.sql"), None, within, read).await?;
    Ok(Keys {
        master_key: rows.iter().any(|(master_key, _)| *master_key),
        certificates: rows.into_iter().filter_map(|(_, certificate)| certificate).collect(),
    })
}

pub(crate) async fn group(
    session: &mut Session,
    name: &str,
    within: Duration,
) -> Result<Option<Group>, TdsError> {
    let read = |row: &Row| {
        if text(row, "group_name")?.is_none() {
            return Ok(None);
        }
        let number = integer(row, "error_number")?;
        let words = text(row, "error_text")?;
        let member = match text(row, "member")? {
            None => None,
            Some(name) => Some(Member {
                name,
                endpoint_url: text(row, "endpoint_url")?.unwrap_or_default(),
                mode: text(row, "mode")?.unwrap_or_default(),
                session_timeout_s: integer(row, "session_timeout_s")?,
                is_local: flag(row, "is_local")?,
                role: text(row, "role")?,
                connected: text(row, "connected")?,
                error: number.map(|number| (number, words.unwrap_or_default())),
            }),
        };
        let distributed = flag(row, "is_distributed")? == Some(true);
        Ok(Some((distributed, integer(row, "required_synchronized")?.unwrap_or(0), member)))
    };
    let sql = include_str!("sql/group.sql");
    let mut rows = ask(session, sql, Some(name), within, read).await?.into_iter().flatten();
    let Some((is_distributed, required_synchronized, one)) = rows.next() else { return Ok(None) };
    let members = one.into_iter().chain(rows.filter_map(|(_, _, member)| member)).collect();
    Ok(Some(Group { is_distributed, required_synchronized, members }))
}

pub(crate) async fn database(
    session: &mut Session,
    name: &str,
    within: Duration,
) -> Result<Option<Database>, TdsError> {
    let read = |row: &Row| {
        if text(row, "database_name")?.is_none() {
            return Ok(None);
        }
        let word = |name| Ok::<_, TdsError>(text(row, name)?.unwrap_or_default());
        let suspended = flag(row, "is_suspended")? == Some(true);
        Ok(Some(Database {
            state: word("state")?,
            recovery_model: word("recovery_model")?,
            user_access: word("user_access")?,
            is_read_only: flag(row, "is_read_only")? == Some(true),
            in_group: flag(row, "in_group")? == Some(true),
            suspended: if suspended { Some(word("suspend_reason")?) } else { None },
        }))
    };
    let sql = include_str!("sql/database.sql");
    let rows = ask(session, sql, Some(name), within, read).await?;
    // Of a distributed and a local group there are two local rows: one that is suspended counts.
    let mut all: Vec<_> = rows.into_iter().flatten().collect();
    all.sort_by_key(|database| database.suspended.is_none());
    Ok(all.into_iter().next())
}

pub(crate) async fn backups(
    session: &mut Session,
    name: &str,
    within: Duration,
) -> Result<Backups, TdsError> {
    let read = |row: &Row| {
        let now = time(row, "local_time")?;
        let age = |at: Option<Timestamp>| {
            let since = now?.duration_since(at?);
            Some(Duration::try_from(since).unwrap_or_default())
        };
        Ok(Backups { full_age: age(time(row, "full_at")?), log_age: age(time(row, "log_at")?) })
    };
    first(ask(session, include_str!("sql/backups.sql"), Some(name), within, read).await?)
}

/// Trace flags that are on for the whole server.
pub(crate) async fn traces(session: &mut Session, within: Duration) -> Result<Vec<i64>, TdsError> {
    let read = |results: &[Vec<Row>]| {
        let rows = results.iter().flatten();
        let on = rows.filter_map(|row| match (integer(row, "TraceFlag"), integer(row, "Global")) {
            (Ok(Some(flag)), Ok(Some(1))) => Some(flag),
            (Ok(_) | Err(_), _) => None,
        });
        Ok(on.collect())
    };
    session.ask(include_str!("sql/traces.sql"), &[], within, read).await
}

/// One question under one deadline; every row must carry the sentinel, and there must be one.
async fn ask<T>(
    session: &mut Session,
    sql: &str,
    name: Option<&str>,
    within: Duration,
    read: impl Fn(&Row) -> Result<T, TdsError>,
) -> Result<Vec<T>, TdsError> {
    let nonce = fastrand::i64(..);
    let mut parameters: Vec<&dyn ToSql> = vec![&nonce];
    if let Some(name) = &name {
        parameters.push(name);
    }
    let read = |results: &[Vec<Row>]| {
        let [rows] = results else {
            let count = results.len();
            return Err(TdsError::garbled(format!("{count} results where one must be")));
        };
        checked("readiness", rows, nonce)?;
        rows.iter().map(read).collect()
    };
    session.ask(sql, &parameters, within, read).await
}

fn first<T>(rows: Vec<T>) -> Result<T, TdsError> {
    rows.into_iter().next().ok_or_else(|| TdsError::garbled("no row where one must be"))
}
