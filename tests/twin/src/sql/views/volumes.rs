//! What files of databases read and write, and the disks that they are on.

use crate::sql::env::Env;
use crate::sql::error::Result;
use crate::sql::value::Value;
use crate::world::{FileFacts, Volume};

use super::files::bytes;
use super::{Row, View, row};

/// How large each disk of a server is.
const DISK: u64 = 1 << 40;

/// `sys.dm_io_virtual_file_stats(database, file)`; NULL is all of them.
pub(super) fn file_stats(env: &Env<'_>, view: &View, arguments: &[Value]) -> Result<Vec<Row>> {
    let logs = env.world.log_facts(env.at());
    let since = env.world.now().duration_since(env.instance.started()).as_millis();
    let stats = |file: &FileFacts| {
        let log = logs.iter().find(|log| file.log && log.database == file.database);
        let handle = u64::from(file.database_id) << 32 | u64::from(file.file_id);
        row(view)
            .set("database_id", i64::from(file.database_id))
            .set("file_id", i64::from(file.file_id))
            .set("sample_ms", i64::try_from(since).unwrap_or(i64::MAX))
            .set("num_of_reads", log.map_or(0, |log| bytes(log.sends)))
            .set("num_of_bytes_read", log.map_or(0, |log| bytes(log.sent_bytes)))
            .set("num_of_writes", log.map_or(0, |log| bytes(log.flushes)))
            .set(
                "num_of_bytes_written",
                log.map_or(0, |log| bytes(log.flushed_bytes + log.received_bytes)),
            )
            .set("size_on_disk_bytes", bytes(file.bytes))
            .set("file_handle", Value::Bytes(handle.to_be_bytes().to_vec()))
            .done()
    };
    Ok(files(env, arguments).iter().map(stats).collect())
}

/// `sys.dm_os_volume_stats(database, file)`: data and logs are on a disk each.
pub(super) fn volumes(env: &Env<'_>, view: &View, arguments: &[Value]) -> Result<Vec<Row>> {
    if arguments.iter().any(Value::is_null) {
        return Ok(Vec::new());
    }
    let all = env.world.files(env.at());
    let of = |file: &FileFacts| {
        let volume = if file.log { Volume::Log } else { Volume::Data };
        let total = if env.is_managed() {
            u64::from(env.instance.resource().storage_gb) << 30
        } else {
            DISK
        };
        let beside = |other: &&FileFacts| env.is_managed() || other.log == file.log;
        let used = all.iter().filter(beside).map(|other| other.bytes).sum::<u64>();
        let full = env.world.is_full(env.at(), volume);
        let free = if full { 0 } else { total.saturating_sub(used) };
        let row = row(view)
            .set("database_id", i64::from(file.database_id))
            .set("file_id", i64::from(file.file_id))
            .set("total_bytes", bytes(total))
            .set("available_bytes", bytes(free));
        if env.instance.on_linux() {
            return row.done();
        }
        let (mount, system, id) = match (env.is_managed(), file.log) {
            (true, _) => ("https://", "https", ""),
            (false, false) => {
                ("C:\\", "NTFS", r"\\?\Volume{6d8a1b52-0000-0000-0000-100000000000}\")
            }
            (false, true) => ("L:\\", "NTFS", r"\\?\Volume{6d8a1b52-0000-0000-0000-200000000000}\"),
        };
        let ntfs = i64::from(system == "NTFS");
        let row = row
            .set("volume_mount_point", mount)
            .set("volume_id", id)
            .set("logical_volume_name", "")
            .set("file_system_type", system)
            .set("supports_compression", ntfs)
            .set("supports_alternate_streams", ntfs)
            .set("supports_sparse_files", ntfs)
            .set("is_compressed", 0)
            .set("incurs_seek_penalty", 0);
        row.done()
    };
    Ok(files(env, arguments).iter().map(of).collect())
}

fn files(env: &Env<'_>, arguments: &[Value]) -> Vec<FileFacts> {
    let meant = |place: usize, own: u32| match arguments.get(place) {
        Some(Value::Int(wanted)) => *wanted == i64::from(own),
        Some(_) | None => true,
    };
    let files = env.world.files(env.at()).into_iter();
    files.filter(|file| meant(0, file.database_id) && meant(1, file.file_id)).collect()
}
