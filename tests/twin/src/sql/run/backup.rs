//! BACKUP and the forms of RESTORE that only look.

use sqlparser::ast;

use crate::sql::env::Env;
use crate::sql::error::{Error, Result, of_world};
use crate::sql::session::{Permission, Session};
use crate::sql::statement::{BackupStatement, DeviceName, RestoreAction, RestoreStatement};
use crate::sql::types::{Length, Type};
use crate::sql::value::Value;
use crate::sql::views;
use crate::world::{BackupKind, BackupOrder, Device, OperationId, RestoreOrder, World};

use super::{OTHER, Output, SELECT, Step, one};

/// What a statement is called when it "is terminating abnormally" (3013).
const VERIFY: &str = "VERIFY DATABASE";
const HEADER: &str = "RESTORE HEADERONLY";
const FILES: &str = "RESTORE FILELIST";
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

/// What a form of RESTORE that only looks is called when it "is terminating abnormally".
pub(super) fn called(what: RestoreAction) -> &'static str {
    match what {
        RestoreAction::Verify => VERIFY,
        RestoreAction::Header => HEADER,
        RestoreAction::FileList => FILES,
    }
}

/// The order that a RESTORE gives, if the session may.
///
/// Errors: 3110.
pub(super) fn restore_order(
    statement: &RestoreStatement,
    world: &World,
    at: &str,
    session: &Session,
) -> Result<RestoreOrder> {
    let database = words(&statement.database, world, at, session)?;
    if !session.may(Permission::CreateAnyDatabase) {
        let text = format!("User does not have permission to RESTORE database '{database}'.");
        return Err(Error::new(3_110, 14, text));
    }
    if session.database.eq_ignore_ascii_case(&database) {
        let text = format!(
            "RESTORE cannot process database '{database}' because it is in use by this session. It \
             is recommended that the master database be used when performing this operation."
        );
        return Err(Error::new(3_102, 16, text));
    }
    let from = statement.device.as_ref().map(|name| device(name, world, at, session));
    let mut moves = Vec::new();
    for (name, path) in &statement.moves {
        moves.push((words(name, world, at, session)?, words(path, world, at, session)?));
    }
    Ok(RestoreOrder {
        database,
        log: statement.log,
        device: from.transpose()?,
        position: statement.position,
        moves,
        no_recovery: statement.no_recovery,
        replace: statement.replace,
        stats: statement.stats,
        options: statement.options,
    })
}

/// What is said of files that are in the way, before the error with which the statement ends.
pub(super) fn obstacles(order: &RestoreOrder, world: &World, at: &str) -> Vec<Error> {
    if order.log || order.device.is_none() {
        return Vec::new();
    }
    world.files_in_the_way(at, order).iter().map(of_world).collect()
}

/// What a client is told of what it has restored.
pub(super) fn told_of_restore(
    operation: OperationId,
    stats: Option<u8>,
    world: &World,
) -> Vec<Output> {
    let Some((run, took)) = world.finished_restore(operation) else { return Vec::new() };
    let info = |number, text: String| Output::Info(Error::new(number, 0, text));
    let mut said = Vec::new();
    if let Some(every) = stats {
        let steps = (1..=100).filter(|percent| percent % every.max(1) == 0);
        said.extend(steps.map(|percent| info(3_211, format!("{percent} percent processed."))));
    }
    let database = &run.order.database;
    let pages = run.backup.as_ref().map_or(0, |backup| backup.pages());
    if let Some(backup) = &run.backup {
        for (place, (file, _)) in backup.source.files.iter().enumerate() {
            let pages = if place == 0 { pages.saturating_sub(2) } else { 2 };
            let position = backup.position;
            said.push(info(
                4_035,
                format!(
                    "Processed {pages} pages for database '{database}', file '{file}' on file \
                     {position}."
                ),
            ));
        }
    }
    let millis = took.as_millis().unsigned_abs().max(1);
    let rate = u128::from(pages * PAGE_BYTES) * 1_000 / millis / (1 << 10);
    said.push(info(
        3_014,
        format!(
            "{} successfully processed {pages} pages in {}.{:03} seconds ({}.{:03} MB/sec).",
            run.order.verb(),
            millis / 1_000,
            millis % 1_000,
            rate / 1_024,
            rate % 1_024 * 1_000 / 1_024
        ),
    ));
    said
}

/// RESTORE VERIFYONLY, HEADERONLY and FILELISTONLY.
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
        RestoreAction::Verify => {
            let text = "The backup set on file 1 is valid.";
            let done = Output::Done { count: None, command: OTHER, failed: false };
            vec![Output::Info(Error::new(3_262, 0, text)), done]
        }
        RestoreAction::Header | RestoreAction::FileList => {
            let Some(instance) = world.instance(at) else { return Ok(Step::Close) };
            let env = Env::new(world, instance, session);
            let (columns, rows) = if what == RestoreAction::Header {
                views::headers(&env, &device, &sets)
            } else {
                views::file_list(sets[0])
            };
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
