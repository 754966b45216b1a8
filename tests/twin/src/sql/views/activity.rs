//! Sessions, connections, requests and transactions.

use crate::sql::env::Env;
use crate::sql::session::Permission;
use crate::sql::value::Value;
use crate::world::{SessionFacts, TransactionFacts};

use super::{Row, RowBuilder, View, row, text};

pub(super) fn sessions(env: &Env<'_>, view: &View) -> Vec<Row> {
    visible(env).map(|session| session_row(env, view, &session)).collect()
}

pub(super) fn requests(env: &Env<'_>, view: &View) -> Vec<Row> {
    let request = |session: SessionFacts| {
        let request = session.request.as_ref()?;
        let elapsed = env.now().duration_since(request.start).as_millis();
        let elapsed = i32::try_from(elapsed).unwrap_or(i32::MAX);
        let status = match (session.user, request.wait) {
            (false, _) => "background",
            (true, Some(_)) => "suspended",
            (true, None) => "running",
        };
        let waited = if request.wait.is_some() { elapsed } else { 0 };
        let transaction = session.transaction.as_ref();
        Some(
            settings(env, row(view), &session)
                .set("session_id", i64::from(session.id))
                .set("start_time", env.datetime(request.start))
                .set("status", status)
                .set("sql_handle", sql_handle(&session))
                .set("statement_start_offset", session.text.as_ref().map(|_| 0))
                .set("statement_end_offset", session.text.as_ref().map(|_| -1))
                .set("command", request.command.clone())
                .set("database_id", database_id(env, &session.database))
                .set("user_id", 1)
                .set("connection_id", connection_id(env, &session))
                .set("blocking_session_id", 0)
                .set("wait_type", request.wait.map(Value::text))
                .set("wait_time", waited)
                .set("open_transaction_count", depth(&session))
                .set("open_resultset_count", 1)
                .set("transaction_id", transaction.map_or(0, number))
                .set("percent_complete", Value::Float(f64::from(request.percent)))
                .set("total_elapsed_time", elapsed)
                .set("row_count", 1)
                .set("group_id", if session.user { 2 } else { 1 })
                .set("dop", 1)
                .done(),
        )
    };
    visible(env).filter_map(request).collect()
}

pub(super) fn connections(env: &Env<'_>, view: &View) -> Vec<Row> {
    let connection = |session: SessionFacts| {
        row(view)
            .set("session_id", i64::from(session.id))
            .set("most_recent_session_id", i64::from(session.id))
            .set("connect_time", env.datetime(session.login_time))
            .set("net_transport", "TCP")
            .set("protocol_type", "TSQL")
            .set("protocol_version", 0x7400_0004)
            .set("endpoint_id", 4)
            .set("encrypt_option", if session.wire.encrypted { "TRUE" } else { "FALSE" })
            .set("auth_scheme", session.wire.scheme)
            .set("last_read", env.datetime(session.last_request_start))
            .set("last_write", session.last_request_end.map(|at| env.datetime(at)))
            .set("net_packet_size", i64::from(session.wire.packet_size))
            .set("local_tcp_port", 1433)
            .set("connection_id", connection_id(env, &session))
            .set("most_recent_sql_handle", sql_handle(&session))
            .done()
    };
    env.world.session_facts(env.at()).into_iter().filter(|s| s.user).map(connection).collect()
}

/// `sys.dm_tran_session_transactions`
pub(super) fn session_transactions(env: &Env<'_>, view: &View) -> Vec<Row> {
    let of = |(session, transaction): (SessionFacts, TransactionFacts)| {
        row(view)
            .set("session_id", i64::from(session.id))
            .set("transaction_id", number(&transaction))
            .set("transaction_descriptor", descriptor(&transaction))
            .set("enlist_count", 0)
            .flags(true, &["is_user_transaction", "is_local"])
            .set("open_transaction_count", i64::from(transaction.depth))
            .done()
    };
    open(env).map(of).collect()
}

/// `sys.dm_tran_active_transactions`
pub(super) fn active_transactions(env: &Env<'_>, view: &View) -> Vec<Row> {
    let of = |(_, transaction): (SessionFacts, TransactionFacts)| {
        row(view)
            .set("transaction_id", number(&transaction))
            .set("name", "user_transaction")
            .set("transaction_begin_time", env.datetime(transaction.begun))
            .set("transaction_type", 1)
            .set("transaction_state", 2)
            .done()
    };
    open(env).map(of).collect()
}

/// `sys.dm_tran_database_transactions`: only of those that have touched a database.
pub(super) fn database_transactions(env: &Env<'_>, view: &View) -> Vec<Row> {
    let of = |(_, transaction): (SessionFacts, TransactionFacts)| {
        let database = transaction.writes.as_deref()?;
        let bytes = i64::try_from(transaction.bytes).unwrap_or(i64::MAX);
        Some(
            row(view)
                .set("transaction_id", number(&transaction))
                .set("database_id", database_id(env, database))
                .set("database_transaction_begin_time", env.datetime(transaction.begun))
                .set("database_transaction_type", 1)
                .set("database_transaction_state", 4)
                .set("database_transaction_log_record_count", 3)
                .set("database_transaction_log_bytes_used", bytes)
                .done(),
        )
    };
    open(env).filter_map(of).collect()
}

fn open(env: &Env<'_>) -> impl Iterator<Item = (SessionFacts, TransactionFacts)> {
    env.world
        .session_facts(env.at())
        .into_iter()
        .filter_map(|session| session.transaction.clone().map(|open| (session, open)))
}

fn number(transaction: &TransactionFacts) -> i64 {
    i64::try_from(transaction.id).unwrap_or(i64::MAX)
}

fn descriptor(transaction: &TransactionFacts) -> Value {
    Value::Bytes(transaction.id.to_le_bytes().to_vec())
}

fn depth(session: &SessionFacts) -> i64 {
    session.transaction.as_ref().map_or(0, |transaction| i64::from(transaction.depth))
}

fn sql_handle(session: &SessionFacts) -> Value {
    session.text.as_deref().map_or(Value::Null, text::handle)
}

fn connection_id(env: &Env<'_>, session: &SessionFacts) -> Value {
    if !session.user {
        return Value::Null;
    }
    Value::Guid(u128::from(session.id) << 64 | env.instance.id.0 >> 64)
}

/// All sessions, or one's own without the permission to see the others.
fn visible(env: &Env<'_>) -> impl Iterator<Item = SessionFacts> {
    let all = env.session.may(Permission::ViewServerPerformanceState);
    let own = env.session.id;
    let facts = env.world.session_facts(env.at()).into_iter();
    facts.filter(move |session| all || session.id == own)
}

fn session_row(env: &Env<'_>, view: &View, session: &SessionFacts) -> Row {
    let status = match (&session.request, session.user) {
        (_, false) => "sleeping",
        (Some(_), true) => "running",
        (None, true) => "sleeping",
    };
    settings(env, row(view), session)
        .set("session_id", i64::from(session.id))
        .set("login_time", env.datetime(session.login_time))
        .set("host_name", session.user.then(|| session.host.clone()))
        .set("program_name", session.user.then(|| session.program.clone()))
        .set("client_version", session.user.then_some(7))
        .set("security_id", Value::Bytes(vec![1]))
        .set("login_name", session.login.clone())
        .set("nt_domain", "")
        .set("nt_user_name", "")
        .set("status", status)
        .set("memory_usage", 4)
        .set("endpoint_id", if session.user { 4 } else { 0 })
        .set("last_request_start_time", env.datetime(session.last_request_start))
        .set("last_request_end_time", session.last_request_end.map(|at| env.datetime(at)))
        .set("is_user_process", session.user)
        .set("original_security_id", Value::Bytes(vec![1]))
        .set("original_login_name", session.login.clone())
        .set("group_id", if session.user { 2 } else { 1 })
        .set("database_id", database_id(env, &session.database))
        .set("authenticating_database_id", 1)
        .set("open_transaction_count", depth(session))
        .done()
}

/// What both views show of a session's settings.
fn settings<'v>(env: &Env<'_>, row: RowBuilder<'v>, of: &SessionFacts) -> RowBuilder<'v> {
    // What others have set is known to themselves alone.
    let own = Some(env.session).filter(|own| own.id == of.id);
    row.set("text_size", own.map_or(2_147_483_647, |own| own.text_size))
        .set("language", own.map_or("us_english", |own| own.language.name))
        .set("date_format", own.map_or("mdy", |own| own.date_format))
        .set("date_first", own.map_or(7, |own| i64::from(own.date_first)))
        .set("transaction_isolation_level", i64::from(of.isolation))
        .set("lock_timeout", own.map_or(-1, |own| own.lock_timeout))
        .flags(false, &["arithabort", "ansi_defaults"])
        .flags(
            true,
            &[
                "quoted_identifier",
                "ansi_null_dflt_on",
                "ansi_warnings",
                "ansi_padding",
                "ansi_nulls",
                "concat_null_yields_null",
            ],
        )
}

fn database_id(env: &Env<'_>, name: &str) -> Value {
    let databases = env.world.databases(env.at());
    let found = databases.iter().find(|database| database.name.eq_ignore_ascii_case(name));
    found.map_or(Value::Int(1), |database| Value::Int(i64::from(database.database_id)))
}
