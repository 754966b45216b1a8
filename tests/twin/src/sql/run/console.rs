//! DBCC statements that look.

use crate::sql::convert::text_of;
use crate::sql::decimal::Numeric;
use crate::sql::env::Env;
use crate::sql::error::{Error, Result, unknown_database};
use crate::sql::ir::Column;
use crate::sql::session::{Permission, Session};
use crate::sql::statement::Console;
use crate::sql::types::{Length, SYSNAME, Type};
use crate::sql::value::Value;
use crate::sql::views::{self, Row, log_spaces};
use crate::world::{SessionFacts, TransactionFacts, World};

use super::expression::{finished, sent};
use super::{Output, Step};

/// Runs one; `quiet` is WITH NO_INFOMSGS.
pub(super) fn run(
    what: &Console,
    quiet: bool,
    world: &World,
    at: &str,
    session: &mut Session,
) -> Result<Step> {
    let step = match what {
        Console::TraceStatus => return Ok(trace_status(world, at, session)),
        Console::LogSpace => log_space(world, at, session),
        Console::LogInfo(database) => log_info(database.as_deref(), world, at, session),
        Console::OpenTransaction(database) => open(database.as_deref(), world, at, session),
        Console::InputBuffer(id) => input_buffer(*id, world, at, session),
        Console::UserOptions => Ok(user_options(session)),
    };
    let mut step = step?;
    let text = "DBCC execution completed. If DBCC printed error messages, contact your system \
                administrator.";
    if let Step::Send(outputs) = &mut step {
        let end = outputs.len().saturating_sub(1);
        outputs.insert(end, Output::Info(Error::new(2528, 10, text)));
        outputs.retain(|output| !quiet || !matches!(output, Output::Info(_)));
    }
    Ok(step)
}

fn column(name: &str, ty: Type) -> Column {
    Column { name: name.to_owned(), ty, nullable: true }
}

/// 2571
fn may(permission: Permission, what: &str, session: &Session) -> Result<()> {
    if session.may(permission) {
        return Ok(());
    }
    let text = format!("User '{}' does not have permission to run DBCC {what}.", session.login);
    Err(Error::new(2571, 14, text).state(3))
}

/// DBCC TRACESTATUS(-1).
fn trace_status(world: &World, at: &str, session: &mut Session) -> Step {
    let flags = world.instance(at).map(|found| found.setup().trace_flags.clone());
    let column = |name: &str| Column { name: name.to_owned(), ty: Type::SmallInt, nullable: false };
    let columns = ["TraceFlag", "Status", "Global", "Session"].map(column).into();
    let row = |flag: u16| [i64::from(flag), 1, 1, 0].map(Value::Int).into();
    sent(session, columns, flags.unwrap_or_default().into_iter().map(row).collect())
}

/// DBCC SQLPERF(LOGSPACE).
fn log_space(world: &World, at: &str, session: &mut Session) -> Result<Step> {
    may(Permission::ViewServerPerformanceState, "SQLPERF", session)?;
    let columns = vec![
        column("Database Name", SYSNAME),
        column("Log Size (MB)", Type::Real),
        column("Log Space Used (%)", Type::Real),
        column("Status", Type::Int),
    ];
    let Some(instance) = world.instance(at) else { return Ok(Step::Close) };
    let rows = log_spaces(&Env::new(world, instance, session));
    let row = |(name, size, used): (String, f64, f64)| {
        vec![name.into(), Value::Float(size), Value::Float(used), Value::Int(0)]
    };
    Ok(sent(session, columns, rows.into_iter().map(row).collect()))
}

/// The rows of a function of the catalog, by the number of a database or a session.
fn called(name: &str, arguments: &[Value], env: &Env<'_>) -> Result<Vec<Row>> {
    let version = (crate::sql::env::major(env.instance), env.is_managed());
    let found = views::find_function(version, name);
    found.map_or(Ok(Vec::new()), |(function, _)| views::called(function, env, arguments))
}

/// The database that is named, by default the session's own.
fn database(named: Option<&str>, env: &Env<'_>) -> Result<(i64, String)> {
    let own = env.session.database.as_str();
    let wanted = named.unwrap_or(own);
    let all = env.world.databases(env.at()).into_iter();
    let mut found = all.filter(|database| {
        database.name.eq_ignore_ascii_case(wanted) || database.database_id.to_string() == wanted
    });
    let found = found.next().ok_or_else(|| {
        let text = format!(
            "Could not locate entry in sysdatabases for database '{wanted}'. No entry found with \
             that name. Make sure that the name is entered correctly."
        );
        Error::new(2520, 16, text).state(5)
    })?;
    Ok((i64::from(found.database_id), found.name))
}

/// DBCC LOGINFO: the virtual files of the log.
fn log_info(named: Option<&str>, world: &World, at: &str, session: &mut Session) -> Result<Step> {
    may(Permission::ControlServer, "loginfo", session)?;
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let env = Env::new(world, instance, session);
    let (id, _) = database(named, &env)?;
    let rows = called("dm_db_log_info", &[Value::Int(id)], &env)?;
    let columns = vec![
        column("RecoveryUnitId", Type::Int),
        column("FileId", Type::Int),
        column("FileSize", Type::BigInt),
        column("StartOffset", Type::BigInt),
        column("FSeqNo", Type::Int),
        column("Status", Type::Int),
        column("Parity", Type::TinyInt),
        column("CreateLSN", Type::Numeric { precision: 25, scale: 0 }),
    ];
    // Size is in MB there.
    let size = |value: &Value| match value {
        #[expect(clippy::cast_possible_truncation, reason = "virtual files are small")]
        Value::Float(megabytes) => Value::Int((megabytes * f64::from(1 << 20)) as i64),
        _ => Value::Null,
    };
    let row = |row: Row| -> Row {
        let at = |place: usize| row.get(place).cloned().unwrap_or(Value::Null);
        let made = Value::Numeric(Numeric::new(0, 0));
        vec![Value::Int(0), at(1), size(&at(3)), at(2), at(4), at(6), at(7), made]
    };
    Ok(sent(session, columns, rows.into_iter().map(row).collect()))
}

/// DBCC INPUTBUFFER
fn input_buffer(id: i64, world: &World, at: &str, session: &mut Session) -> Result<Step> {
    if id != i64::from(session.id) {
        may(Permission::ViewServerPerformanceState, "inputbuffer", session)?;
    }
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let env = Env::new(world, instance, session);
    let rows = called("dm_exec_input_buffer", &[Value::Int(id), Value::Null], &env)?;
    if rows.is_empty() {
        return Err(Error::new(7955, 16, format!("Invalid SPID {id} specified.")));
    }
    let columns = vec![
        column("EventType", Type::NVarChar(Length::Of(30))),
        column("Parameters", Type::SmallInt),
        column("EventInfo", Type::NVarChar(Length::Of(4000))),
    ];
    Ok(sent(session, columns, rows))
}

/// DBCC OPENTRAN: the oldest transaction that has written to a database.
fn open(named: Option<&str>, world: &World, at: &str, session: &mut Session) -> Result<Step> {
    may(Permission::AlterAnyDatabase, "opentran", session)?;
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let env = Env::new(world, instance, session);
    let (_, name) = database(named, &env)?;
    let writes = |found: SessionFacts| -> Option<(SessionFacts, TransactionFacts)> {
        let open = found.transaction.clone()?;
        let here = open.writes.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(&name));
        here.then_some((found, open))
    };
    let all = world.session_facts(at).into_iter().filter_map(writes);
    let oldest = all.min_by_key(|(_, open)| (open.begun, open.id));
    let said = match oldest {
        None => vec![(7969, "No active open transactions.".to_owned())],
        Some((found, open)) => {
            let ty = Type::DateTime;
            let begun = text_of(&env.datetime(open.begun), ty, 0)?;
            vec![
                (7968, format!("Transaction information for database '{name}'.\n")),
                (7970, "Oldest active transaction:".to_owned()),
                (7971, format!("    SPID (server process ID): {}", found.id)),
                (7972, "    UID (user ID) : -1".to_owned()),
                (7974, "    Name          : user_transaction".to_owned()),
                (7977, format!("    Start time    : {begun}")),
                (7978, "    SID           : 0x01".to_owned()),
            ]
        }
    };
    let infos = said.into_iter().map(|(number, text)| Output::Info(Error::new(number, 10, text)));
    let mut step = finished(session, None);
    if let Step::Send(outputs) = &mut step {
        outputs.splice(0..0, infos);
    }
    Ok(step)
}

/// DBCC USEROPTIONS
fn user_options(session: &mut Session) -> Step {
    let columns = vec![column("Set Option", SYSNAME), column("Value", SYSNAME)];
    let rows = session.options();
    let row = |(name, value): (&str, String)| vec![name.into(), value.into()];
    let rows = rows.into_iter().map(row).collect();
    sent(session, columns, rows)
}
