//! From columns to plain values, and the sentinel that every row must carry.

use jiff::Timestamp;
use tiberius::{ColumnData, Row};

use super::{
    error::TdsError,
    reading::{Answer, DatabaseRow, GroupRow, ServerRow},
};
use agent_core::Lsn;

/// Reads the results of the three questions of a look. Zero rows, another number of results, or a
/// row without the sentinel is an answer to some other question.
pub(crate) fn answer(results: &[Vec<Row>], nonce: i64) -> Result<Answer, TdsError> {
    let [server, groups, databases] = results else {
        let count = results.len();
        return Err(TdsError::garbled(format!("{count} results where three must be")));
    };
    for (name, rows) in [("server", server), ("groups", groups), ("databases", databases)] {
        checked(name, rows, nonce)?;
    }
    let [server] = server.as_slice() else {
        return Err(TdsError::garbled("the server row came more than once"));
    };
    Ok(Answer {
        server: server_row(server)?,
        groups: groups.iter().map(group_row).collect::<Result<_, _>>()?,
        databases: databases.iter().map(database_row).collect::<Result<_, _>>()?,
    })
}

/// There are rows, and each carries the sentinel.
pub(crate) fn checked(name: &str, rows: &[Row], nonce: i64) -> Result<(), TdsError> {
    if rows.is_empty() {
        return Err(TdsError::garbled(format!("no rows in `{name}`, where there must be some")));
    }
    for row in rows {
        if integer(row, "nonce")? != Some(nonce) {
            return Err(TdsError::garbled(format!("a row of `{name}` has the wrong sentinel")));
        }
    }
    Ok(())
}

pub(crate) fn integer(row: &Row, column: &str) -> Result<Option<i64>, TdsError> {
    let data = data(row, column)?;
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other types are the same mistake")]
    match data {
        ColumnData::U8(value) => Ok(value.map(i64::from)),
        ColumnData::I16(value) => Ok(value.map(i64::from)),
        ColumnData::I32(value) => Ok(value.map(i64::from)),
        ColumnData::I64(value) => Ok(*value),
        ColumnData::Bit(value) => Ok(value.map(i64::from)),
        _ => Err(wrong_type(column, "an integer")),
    }
}

/// Not seeing other sessions must not look like their absence.
pub(crate) fn blind_to_sessions(row: &Row) -> Result<(), TdsError> {
    if integer(row, "sees_sessions")? != Some(0) {
        return Ok(());
    }
    let message = "the login lacks VIEW SERVER STATE and sees no other sessions".into();
    Err(TdsError::Server { number: 300, class: 14, state: 1, message })
}

fn server_row(row: &Row) -> Result<ServerRow, TdsError> {
    Ok(ServerRow {
        product_version: text(row, "product_version")?.unwrap_or_default(),
        edition: text(row, "edition")?.unwrap_or_default(),
        engine_edition: small(row, "engine_edition")?.unwrap_or_default(),
        utc_time: time(row, "utc_time")?,
        local_time: time(row, "local_time")?,
        sees_groups: flag(row, "sees_groups")?,
        sees_databases: flag(row, "sees_databases")?,
    })
}

fn group_row(row: &Row) -> Result<GroupRow, TdsError> {
    Ok(GroupRow {
        group: text(row, "group_name")?,
        is_local: flag(row, "is_local")?,
        role: small(row, "role")?,
        connected_state: small(row, "connected_state")?,
        synchronization_health: small(row, "synchronization_health")?,
        member: text(row, "member_name")?,
        local_group: text(row, "local_group")?,
        local_role: small(row, "local_role")?,
    })
}

fn database_row(row: &Row) -> Result<DatabaseRow, TdsError> {
    Ok(DatabaseRow {
        database: text(row, "database_name")?,
        state: small(row, "state")?,
        updateability: text(row, "updateability")?,
        group: text(row, "group_name")?,
        is_distributed: flag(row, "is_distributed")?,
        is_local: flag(row, "is_local")?,
        is_primary_replica: flag(row, "is_primary_replica")?,
        synchronization_state: small(row, "synchronization_state")?,
        is_suspended: flag(row, "is_suspended")?,
        suspend_reason: text(row, "suspend_reason")?,
        last_hardened_lsn: lsn(row, "last_hardened_lsn")?,
        last_commit_lsn: lsn(row, "last_commit_lsn")?,
        last_commit_time: time(row, "last_commit_time")?,
        end_of_log_lsn: lsn(row, "end_of_log_lsn")?,
        log_send_queue_kb: integer(row, "log_send_queue_kb")?,
        redo_queue_kb: integer(row, "redo_queue_kb")?,
        redo_rate_kb_per_s: integer(row, "redo_rate_kb_per_s")?,
        lag_s: integer(row, "lag_s")?,
    })
}

fn small(row: &Row, column: &str) -> Result<Option<i32>, TdsError> {
    let Some(value) = integer(row, column)? else { return Ok(None) };
    i32::try_from(value).map(Some).map_err(|_| wrong_type(column, "a small integer"))
}

pub(crate) fn flag(row: &Row, column: &str) -> Result<Option<bool>, TdsError> {
    Ok(integer(row, column)?.map(|value| value != 0))
}

pub(crate) fn text(row: &Row, column: &str) -> Result<Option<String>, TdsError> {
    let ColumnData::String(value) = data(row, column)? else {
        return Err(wrong_type(column, "a text"));
    };
    Ok(value.as_ref().map(|text| text.clone().into_owned()))
}

/// `numeric(25,0)`, without a detour over floats.
pub(crate) fn lsn(row: &Row, column: &str) -> Result<Option<Lsn>, TdsError> {
    let ColumnData::Numeric(value) = data(row, column)? else {
        return Err(wrong_type(column, "a numeric(25,0)"));
    };
    let Some(value) = value else { return Ok(None) };
    if value.scale() != 0 {
        return Err(wrong_type(column, "a numeric(25,0)"));
    }
    Lsn::parse(&value.value().to_string())
        .map(Some)
        .ok_or_else(|| wrong_type(column, "a log sequence number"))
}

/// `datetime`, read as if it were UTC: days since 1900 and three-hundredths of a second.
pub(crate) fn time(row: &Row, column: &str) -> Result<Option<Timestamp>, TdsError> {
    const DAYS_FROM_1900_TO_1970: i64 = 25_567;
    const DAY_MS: i64 = 86_400_000;
    let ColumnData::DateTime(value) = data(row, column)? else {
        return Err(wrong_type(column, "a datetime"));
    };
    let Some(value) = value else { return Ok(None) };
    let days = i64::from(value.days()) - DAYS_FROM_1900_TO_1970;
    let ms = days * DAY_MS + i64::from(value.seconds_fragments()) * 10 / 3;
    Timestamp::from_millisecond(ms).map(Some).map_err(|_| wrong_type(column, "a time of our era"))
}

fn data<'a>(row: &'a Row, column: &str) -> Result<&'a ColumnData<'static>, TdsError> {
    row.get_column_data(column)
        .map_err(|_| TdsError::garbled(format!("the answer has no column `{column}`")))
}

fn wrong_type(column: &str, expected: &str) -> TdsError {
    TdsError::garbled(format!("column `{column}` is not {expected}"))
}
