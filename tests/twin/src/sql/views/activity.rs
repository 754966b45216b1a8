//! Sessions, connections and requests.

use crate::sql::env::Env;
use crate::sql::session::Permission;
use crate::sql::value::Value;
use crate::world::Session;

use super::{Row, RowBuilder, View, row};

pub(super) fn sessions(env: &Env<'_>, view: &View) -> Vec<Row> {
    visible(env).map(|session| session_row(env, view, session)).collect()
}

pub(super) fn requests(env: &Env<'_>, view: &View) -> Vec<Row> {
    let request = |session: &Session| {
        let request = session.request.as_ref()?;
        let elapsed = env.now().duration_since(request.start).as_millis();
        let elapsed = i32::try_from(elapsed).unwrap_or(i32::MAX);
        // Whoever waits for a role change waits for the group's own machinery.
        let (status, wait) = match request.operation {
            Some(_) => ("suspended", Value::text("HADR_AG_MUTEX")),
            None => ("running", Value::Null),
        };
        let waited = if wait.is_null() { 0 } else { elapsed };
        Some(
            settings(row(view))
                .set("session_id", i64::from(session.id))
                .set("start_time", env.datetime(request.start))
                .set("status", status)
                .set("command", request.command.clone())
                .set("database_id", database_id(env, &session.database))
                .set("user_id", 1)
                .set("blocking_session_id", 0)
                .set("wait_type", wait)
                .set("wait_time", waited)
                .set("open_resultset_count", 1)
                .set("total_elapsed_time", elapsed)
                .set("row_count", 1)
                .set("group_id", 2)
                .set("dop", 1)
                .done(),
        )
    };
    visible(env).filter_map(request).collect()
}

pub(super) fn connections(env: &Env<'_>, view: &View) -> Vec<Row> {
    let connection = |session: &Session| {
        let id = u128::from(session.id) << 64 | env.instance.id.0 >> 64;
        row(view)
            .set("session_id", i64::from(session.id))
            .set("most_recent_session_id", i64::from(session.id))
            .set("connect_time", env.datetime(session.login_time))
            .set("net_transport", "TCP")
            .set("protocol_type", "TSQL")
            .set("protocol_version", 0x7400_0004)
            .set("endpoint_id", 4)
            .set("encrypt_option", "TRUE")
            .set("auth_scheme", "SQL")
            .set("last_read", env.datetime(session.last_request_start))
            .set("local_tcp_port", 1433)
            .set("connection_id", Value::Guid(id))
            .done()
    };
    env.instance.sessions().map(connection).collect()
}

/// All sessions, or one's own without the permission to see the others.
fn visible<'a>(env: &'a Env<'_>) -> impl Iterator<Item = &'a Session> {
    let all = env.session.may(Permission::ViewServerPerformanceState);
    env.instance.sessions().filter(move |session| all || session.id == env.session.id)
}

fn session_row(env: &Env<'_>, view: &View, session: &Session) -> Row {
    let status = if session.request.is_some() { "running" } else { "sleeping" };
    let own = session.id == env.session.id;
    let open = if own { i64::from(env.session.transactions) } else { 0 };
    settings(row(view))
        .set("session_id", i64::from(session.id))
        .set("login_time", env.datetime(session.login_time))
        .set("host_name", session.host.clone())
        .set("program_name", session.program.clone())
        .set("client_version", 7)
        .set("security_id", Value::Bytes(vec![1]))
        .set("login_name", session.login.clone())
        .set("nt_domain", "")
        .set("nt_user_name", "")
        .set("status", status)
        .set("memory_usage", 4)
        .set("endpoint_id", 4)
        .set("last_request_start_time", env.datetime(session.last_request_start))
        .set("last_request_end_time", session.last_request_end.map(|at| env.datetime(at)))
        .set("is_user_process", true)
        .set("original_security_id", Value::Bytes(vec![1]))
        .set("original_login_name", session.login.clone())
        .set("group_id", 2)
        .set("database_id", database_id(env, &session.database))
        .set("authenticating_database_id", 1)
        .set("open_transaction_count", open)
        .done()
}

/// What both views show of a session's settings.
fn settings(row: RowBuilder<'_>) -> RowBuilder<'_> {
    row.set("text_size", 2_147_483_647)
        .set("language", "us_english")
        .set("date_format", "mdy")
        .set("date_first", 7)
        .set("transaction_isolation_level", 2)
        .set("lock_timeout", -1)
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
