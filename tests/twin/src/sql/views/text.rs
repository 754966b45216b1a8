//! What sessions have asked: `sys.dm_exec_sql_text` and `sys.dm_exec_input_buffer`.

use crate::sql::env::Env;
use crate::sql::error::{Error, Result};
use crate::sql::session::Permission;
use crate::sql::value::Value;
use crate::world::{Guid, SessionFacts};

use super::{Row, View, row};

/// `sql_handle`s begin so, of batches.
const BATCH: [u8; 4] = [2, 0, 0, 0];
const HANDLE_BYTES: usize = 44;

/// The handle of a text, the same wherever it runs.
pub(super) fn handle(text: &str) -> Value {
    let first = Guid::derive(11, text).0.to_be_bytes();
    let second = Guid::derive(12, text).0.to_be_bytes();
    let mut bytes = [&BATCH[..], &first, &second].concat();
    bytes.resize(HANDLE_BYTES, 0);
    Value::Bytes(bytes)
}

/// `sys.dm_exec_sql_text(handle)`: of what a session runs, or has run last.
pub(super) fn of_handle(env: &Env<'_>, view: &View, arguments: &[Value]) -> Result<Vec<Row>> {
    let all = state(env, "VIEW SERVER PERFORMANCE STATE");
    let wanted = match arguments.first() {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(wanted) => wanted,
    };
    let well_formed = matches!(wanted, Value::Bytes(bytes) if bytes.len() == HANDLE_BYTES
        && matches!(bytes.first(), Some(2 | 3)));
    if !well_formed {
        let text = "The handle that was passed to sys.dm_exec_sql_text was invalid.";
        return Err(Error::new(569, 16, text));
    }
    let own = env.session.id;
    let sessions = env.world.session_facts(env.at()).into_iter();
    let mut texts = sessions.filter_map(|session| Some((session.id, session.text?)));
    let Some((id, text)) = texts.find(|(_, text)| handle(text) == *wanted) else {
        return Ok(Vec::new());
    };
    if id != own {
        all?;
    }
    let row = row(view).set("encrypted", false).set("text", text.to_string());
    Ok(vec![row.done()])
}

/// `sys.dm_exec_input_buffer(session, request)`, and `DBCC INPUTBUFFER`.
pub(super) fn input(env: &Env<'_>, view: &View, arguments: &[Value]) -> Result<Vec<Row>> {
    let all = state(env, "VIEW SERVER STATE");
    let Some(Value::Int(id)) = arguments.first() else { return Ok(Vec::new()) };
    if *id != i64::from(env.session.id) {
        all?;
    }
    let found = |session: &SessionFacts| session.user && i64::from(session.id) == *id;
    let Some(session) = env.world.session_facts(env.at()).into_iter().find(found) else {
        return Ok(Vec::new());
    };
    let text = session.text.map(|text| text.to_string());
    let row = row(view).set("event_type", "Language Event").set("event_info", text);
    Ok(vec![row.done()])
}

/// Whether one may see what others do.
fn state(env: &Env<'_>, named: &str) -> Result<()> {
    if env.session.may(Permission::ViewServerPerformanceState) {
        return Ok(());
    }
    let text = format!("{named} permission was denied on object 'server', database 'master'.");
    Err(Error::new(300, 14, text))
}
