//! BACKUP and the forms of RESTORE that only look.

use sqlparser::ast;

use crate::sql::env::Env;
use crate::sql::error::{Error, Result, of_world};
use crate::sql::session::{Permission, Session};
use crate::sql::statement::{BackupStatement, DeviceName, RestoreAction};
use crate::sql::types::{Length, Type};
use crate::sql::value::Value;
use crate::sql::views;
use crate::world::{BackupKind, BackupOrder, Device, OperationId, World};

use super::{OTHER, Output, SELECT, Step, one};

/// What a statement is called when it "is terminating abnormally" (3013).
pub(super) const VERIFY: &str = "VERIFY DATABASE";
pub(super) const HEADER: &str = "RESTORE HEADERONLY";
const PAGE_BYTES: u64 = 8_192;

/// The order that a BACKUP gives, if the session may.
///
/// Errors: 262.
pub(super) fn order(
    statement: &BackupStatement,
    world: &World,
    at: &str,
    session: &Session,
) -> Result<BackupOrder> {
    let kind = if statement.log { BackupKind::Log } else { BackupKind::Full };
    let database = words(&statement.database, world, at, session)?;
    if !session.may(Permission::BackupDatabase) {
        let verb = kind.verb();
        let text = format!("{verb} permission denied in database '{database}'.");
        return Err(Error::new(262, 14, text));
    }
    let devices = statement.devices.iter().map(|name| device(name, world, at, session));
    let name = statement.name.as_ref().map(|name| words(name, world, at, session));
    Ok(BackupOrder {
        database,
        kind,
        devices: devices.collect::<Result<_>>()?,
        copy_only: statement.copy_only,
        checksums: statement.checksums,
        compressed: statement.compressed,
        overwrite: statement.overwrite,
        name: name.transpose()?,
        stats: statement.stats,
    })
}

/// What a client is told of the backup that it has taken.
pub(super) fn told(operation: OperationId, stats: Option<u8>, world: &World) -> Vec<Output> {
    let Some(backup) = world.finished_backup(operation) else { return Vec::new() };
    let info = |number, text: String| Output::Info(Error::new(number, 0, text));
    let mut said = Vec::new();
    if let Some(every) = stats {
        let steps = (1..=100).filter(|percent| percent % every.max(1) == 0);
        said.extend(steps.map(|percent| info(3_211, format!("{percent} percent processed."))));
    }
    let (database, position) = (&backup.database, backup.position);
    let pages = backup.pages();
    let file = match backup.kind {
        BackupKind::Full => database.clone(),
        BackupKind::Log => format!("{database}_log"),
    };
    said.push(info(
        4_035,
        format!(
            "Processed {pages} pages for database '{database}', file '{file}' on file {position}."
        ),
    ));
    let millis = backup.finish.duration_since(backup.start).as_millis().unsigned_abs().max(1);
    let rate = u128::from(pages * PAGE_BYTES) * 1_000 / millis / (1 << 10);
    said.push(info(
        3_014,
        format!(
            "{} successfully processed {pages} pages in {}.{:03} seconds ({}.{:03} MB/sec).",
            backup.kind.verb(),
            millis / 1_000,
            millis % 1_000,
            rate / 1_024,
            rate % 1_024 * 1_000 / 1_024
        ),
    ));
    said
}

/// RESTORE VERIFYONLY and HEADERONLY.
///
/// Errors: 262, 3201.
pub(super) fn restore(
    what: RestoreAction,
    name: &DeviceName,
    world: &World,
    at: &str,
    session: &mut Session,
) -> Result<Step> {
    if !session.may(Permission::CreateAnyDatabase) {
        let text = "CREATE DATABASE permission denied in database 'master'.".to_owned();
        return Err(Error::new(262, 14, text));
    }
    let device = device(name, world, at, session)?;
    let sets = world.backup_sets(at, &device).map_err(|error| of_world(&error))?;
    session.error = 0;
    Ok(Step::Send(match what {
        RestoreAction::VerifyOnly => {
            let text = "The backup set on file 1 is valid.";
            let done = Output::Done { count: None, command: OTHER, failed: false };
            vec![Output::Info(Error::new(3_262, 0, text)), done]
        }
        RestoreAction::HeaderOnly => {
            let Some(instance) = world.instance(at) else { return Ok(Step::Close) };
            let env = Env::new(world, instance, session);
            let (columns, rows) = views::headers(&env, &device, &sets);
            let count = u64::try_from(rows.len()).ok();
            vec![
                Output::Rows { columns, rows },
                Output::Done { count, command: SELECT, failed: false },
            ]
        }
    }))
}

fn device(name: &DeviceName, world: &World, at: &str, session: &Session) -> Result<Device> {
    let path = words(&name.name, world, at, session)?;
    Ok(if name.url { Device::Url(path) } else { Device::Disk(path) })
}

fn words(expr: &ast::Expr, world: &World, at: &str, session: &Session) -> Result<String> {
    let wide = Type::NVarChar(Length::Of(4000));
    match one(expr, wide, world, at, session)? {
        Value::Text(text) => Ok(text),
        _ => Err(Error::new(3_011, 16, "A name in the statement is NULL or no text.".to_owned())),
    }
}
