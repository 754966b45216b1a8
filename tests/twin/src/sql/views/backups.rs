//! The history of backups in msdb, and the headers of backup files.

use crate::sql::decimal::Numeric;
use crate::sql::env::{Env, version_of};
use crate::sql::ir::Column;
use crate::sql::types::parse_type;
use crate::sql::value::Value;
use crate::world::{Backup, BackupKind, Device, Restored};

use super::groups::guid;
use super::replicas::lsn;
use super::{Row, View, row, zero};

/// `software_vendor_id` of Microsoft.
const MICROSOFT: i32 = 4608;
/// What no backup of this world is.
const NEVER: [&str; 9] = [
    "is_password_protected",
    "has_bulk_logged_data",
    "is_snapshot",
    "is_readonly",
    "is_single_user",
    "is_damaged",
    "begins_log_chain",
    "has_incomplete_metadata",
    "is_force_offline",
];

pub(super) fn backupset(env: &Env<'_>, view: &View) -> Vec<Row> {
    let databases = env.world.databases(env.at());
    let (major, minor, build) = version_of(env.instance);
    let sets = media_sets(env);
    let backup = |(index, (set, backup)): (usize, (usize, &Backup))| {
        let number = whole(index + 1);
        let database = databases.iter().find(|database| database.name == backup.database);
        let family = database.and_then(|database| database.group_database_id);
        row(view)
            .set("backup_set_id", number)
            .set("backup_set_uuid", uuid(env, 1, index))
            .set("media_set_id", whole(set + 1))
            .set("first_family_number", 1)
            .set("first_media_number", 1)
            .set("last_family_number", whole(backup.devices.len()))
            .set("last_media_number", 1)
            .set("position", i64::from(backup.position))
            .set("software_vendor_id", MICROSOFT)
            .set("name", backup.name.clone())
            .set("user_name", backup.user.clone())
            .set("software_major_version", i64::from(major))
            .set("software_minor_version", i64::from(minor))
            .set("software_build_version", i64::from(build))
            .set("time_zone", quarters(env, backup))
            .set("mtf_minor_version", 0)
            .set("first_lsn", lsn(backup.first_lsn))
            .set("last_lsn", lsn(backup.last_lsn))
            .set("checkpoint_lsn", lsn(backup.checkpoint_lsn))
            .set("database_backup_lsn", lsn(backup.database_backup_lsn))
            .set("database_creation_date", database.map(|d| env.datetime(d.create_date)))
            .set("backup_start_date", env.datetime(backup.start))
            .set("backup_finish_date", env.datetime(backup.finish))
            .set("type", backup.kind.code().to_string())
            .set("sort_order", 52)
            .set("code_page", 0)
            .set("compatibility_level", 160)
            .set("database_version", 957)
            .set("backup_size", bytes(backup.size))
            .set("compressed_backup_size", bytes(on_disk(backup)))
            .set("database_name", backup.database.clone())
            .set("server_name", env.instance.server_name.clone())
            .set("machine_name", env.instance.server_name.clone())
            .set("flags", i64::from(flags(backup)))
            .set("unicode_locale", 1033)
            .set("unicode_compare_style", 196_609)
            .set("collation_name", env.instance.collation.clone())
            .set("recovery_model", "FULL")
            .flags(false, &NEVER)
            .set("has_backup_checksums", backup.checksums)
            .set("is_copy_only", backup.copy_only)
            .set("first_recovery_fork_guid", guid(backup.fork))
            .set("last_recovery_fork_guid", guid(backup.fork))
            .set("database_guid", family.map(guid))
            .set("family_guid", family.map(guid))
            .set("compression_algorithm", backup.compressed.then_some("MS_XPRESS"))
            .done()
    };
    let backups = sets.into_iter().zip(env.instance.backups(env.now()));
    let known = backups.enumerate().filter(|(_, (_, backup))| is_remembered(env, backup));
    known.map(backup).collect()
}

pub(super) fn families(env: &Env<'_>, view: &View) -> Vec<Row> {
    let mut rows = Vec::new();
    for (set, backup) in first_of_sets(env) {
        for (place, device) in backup.devices.iter().enumerate() {
            rows.push(
                row(view)
                    .set("media_set_id", whole(set + 1))
                    .set("family_sequence_number", whole(place + 1))
                    .set("media_family_id", uuid(env, 2, set * 64 + place))
                    .set("media_count", 1)
                    .set("physical_device_name", device.name().to_owned())
                    .set("device_type", i64::from(device.kind()))
                    .set("physical_block_size", 512)
                    .set("mirror", 0)
                    .done(),
            );
        }
    }
    rows
}

pub(super) fn media(env: &Env<'_>, view: &View) -> Vec<Row> {
    let set = |(set, backup): (usize, &Backup)| {
        row(view)
            .set("media_set_id", whole(set + 1))
            .set("media_uuid", uuid(env, 3, set))
            .set("media_family_count", whole(backup.devices.len()))
            .set("software_name", "Microsoft SQL Server")
            .set("software_vendor_id", MICROSOFT)
            .set("MTF_major_version", 1)
            .set("mirror_count", 1)
            .flags(false, &["is_password_protected", "is_encrypted"])
            .set("is_compressed", backup.compressed)
            .done()
    };
    first_of_sets(env).map(set).collect()
}

/// `msdb.dbo.restorehistory`. The set is the one of that time in the history of backups, if it is
/// known here; one that came from another server is not, and has no number.
pub(super) fn restores(env: &Env<'_>, view: &View) -> Vec<Row> {
    let backups: Vec<&Backup> = env.instance.backups(env.now()).collect();
    let of = |(index, restored): (usize, &Restored)| {
        let set = backups.iter().position(|backup| {
            backup.finish == restored.of
                && backup.devices.iter().any(|device| device.name() == restored.device)
        });
        row(view)
            .set("restore_history_id", whole(index + 1))
            .set("restore_date", env.datetime(restored.at))
            .set("destination_database_name", restored.database.clone())
            .set("user_name", restored.user.clone())
            .set("backup_set_id", set.map_or(0, |set| whole(set + 1)))
            .set("restore_type", if restored.log { "L" } else { "D" })
            .set("replace", restored.replace)
            .set("recovery", restored.recovered)
            .set("restart", false)
            .set("device_count", 1)
            .done()
    };
    env.world.restores(env.at()).iter().enumerate().map(of).collect()
}

/// RESTORE FILELISTONLY.
pub(crate) fn file_list(backup: &Backup) -> (Vec<Column>, Vec<Row>) {
    let columns: Vec<Column> = FILES
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, ty)| {
            Some(Column { name: name.to_owned(), ty: parse_type(ty)?, nullable: true })
        })
        .collect();
    let file = |(place, (name, path)): (usize, &(String, String))| {
        let log = place == 1;
        let size = if log { 8 << 20 } else { backup.size };
        let value = |column: &Column| match column.name.as_str() {
            "LogicalName" => name.as_str().into(),
            "PhysicalName" => path.as_str().into(),
            "Type" => if log { "L" } else { "D" }.into(),
            "FileGroupName" => (!log).then_some("PRIMARY").into(),
            "Size" => bytes(size),
            "MaxSize" => bytes(35_184_372_080_640),
            "FileID" => whole(if log { 2 } else { 1 }).into(),
            "BackupSizeInBytes" => {
                Value::Int(if log { 0 } else { whole(usize::try_from(size).unwrap_or(0)) })
            }
            "SourceBlockSize" => Value::Int(4_096),
            "FileGroupID" => Value::Int(i64::from(!log)),
            "IsPresent" => Value::Bit(true),
            "UniqueID" => Value::Guid(backup.fork.0 ^ (place as u128 + 1)),
            _ => match zero(column.ty) {
                number @ (Value::Int(_) | Value::Bit(_)) => number,
                _ => Value::Null,
            },
        };
        columns.iter().map(value).collect::<Row>()
    };
    let rows = backup.source.files.iter().enumerate().map(file).collect();
    (columns, rows)
}

/// RESTORE HEADERONLY.
pub(crate) fn headers(env: &Env<'_>, device: &Device, sets: &[&Backup]) -> (Vec<Column>, Vec<Row>) {
    let columns: Vec<Column> = HEADER
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, ty)| {
            Some(Column { name: name.to_owned(), ty: parse_type(ty)?, nullable: true })
        })
        .collect();
    let rows = sets.iter().map(|backup| {
        let of = |column: &Column| header(env, device, backup, &column.name, column);
        columns.iter().map(of).collect()
    });
    let rows = rows.collect();
    (columns, rows)
}

/// One value of a header; what the twin knows nothing of is NULL, or zero where it is a number.
fn header(env: &Env<'_>, device: &Device, backup: &Backup, name: &str, column: &Column) -> Value {
    let full = backup.kind == BackupKind::Full;
    let (major, minor, build) = version_of(env.instance);
    match name {
        "BackupName" => backup.name.clone().into(),
        "BackupType" => Value::Int(if full { 1 } else { 2 }),
        "BackupTypeDescription" => if full { "Database" } else { "Transaction Log" }.into(),
        "Compressed" => Value::Int(i64::from(backup.compressed)),
        "Position" => Value::Int(i64::from(backup.position)),
        "DeviceType" => Value::Int(i64::from(device.kind()) + 100),
        "UserName" => backup.user.clone().into(),
        "ServerName" | "MachineName" => backup.source.server.clone().into(),
        "DatabaseName" => backup.database.clone().into(),
        "DatabaseVersion" => Value::Int(i64::from(backup.source.format)),
        "DatabaseCreationDate" | "BackupStartDate" => env.datetime(backup.start),
        "BackupFinishDate" => env.datetime(backup.finish),
        "BackupSize" => bytes(backup.size),
        "CompressedBackupSize" => Value::Int(i64::try_from(on_disk(backup)).unwrap_or(i64::MAX)),
        "FirstLSN" => lsn(backup.first_lsn),
        "LastLSN" => lsn(backup.last_lsn),
        "CheckpointLSN" => lsn(backup.checkpoint_lsn),
        "DatabaseBackupLSN" => lsn(backup.database_backup_lsn),
        "SoftwareVendorId" => Value::Int(i64::from(MICROSOFT)),
        "SoftwareVersionMajor" => Value::Int(i64::from(major)),
        "SoftwareVersionMinor" => Value::Int(i64::from(minor)),
        "SoftwareVersionBuild" => Value::Int(i64::from(build)),
        "Flags" => Value::Int(i64::from(flags(backup))),
        "RecoveryForkID" | "FirstRecoveryForkID" => guid(backup.fork),
        "Collation" => env.instance.collation.clone().into(),
        "HasBackupChecksums" => Value::Bit(backup.checksums),
        "IsCopyOnly" => Value::Bit(backup.copy_only),
        "RecoveryModel" => "FULL".into(),
        "CompatibilityLevel" => Value::Int(i64::from(backup.source.compatibility)),
        "SortOrder" => Value::Int(52),
        "TimeZone" => Value::Int(quarters(env, backup)),
        "CompressionAlgorithm" => backup.compressed.then_some("MS_XPRESS").into(),
        _ => match zero(column.ty) {
            number @ (Value::Int(_) | Value::Bit(_)) => number,
            _ => Value::Null,
        },
    }
}

/// Which media set each backup belongs to, as the place of the first backup in it: sets that
/// were appended to a file share one.
fn media_sets(env: &Env<'_>) -> Vec<usize> {
    let backups: Vec<&Backup> = env.instance.backups(env.now()).collect();
    let mut sets: Vec<usize> = Vec::with_capacity(backups.len());
    for (place, backup) in backups.iter().enumerate() {
        let before = || backups[..place].iter().rposition(|old| old.devices == backup.devices);
        let set = match backup.position {
            1 => place,
            _ => before().map_or(place, |old| sets[old]),
        };
        sets.push(set);
    }
    sets
}

fn first_of_sets<'a>(env: &'a Env<'a>) -> impl Iterator<Item = (usize, &'a Backup)> {
    let sets = media_sets(env);
    let backups = env.instance.backups(env.now()).enumerate();
    let known = backups.filter(move |(place, _)| sets.get(*place) == Some(place));
    known.filter(move |(_, backup)| is_remembered(env, backup))
}

/// Whether its history was not deleted.
fn is_remembered(env: &Env<'_>, backup: &Backup) -> bool {
    env.instance.setup().remembers(&backup.database, backup.finish)
}

/// What an id of the history is made of: the instance, its kind, its number.
fn uuid(env: &Env<'_>, kind: u128, number: usize) -> Value {
    Value::Guid(env.instance.id.0 ^ (kind << 64) ^ (number as u128 + 1))
}

/// Quarters of an hour between the server's clock and UTC.
fn quarters(env: &Env<'_>, backup: &Backup) -> i64 {
    i64::from(env.instance.time_zone.to_offset(backup.start).seconds() / 900)
}

fn flags(backup: &Backup) -> u16 {
    if backup.checksums { 528 } else { 512 }
}

/// Compressed data is taken to need a quarter.
fn on_disk(backup: &Backup) -> u64 {
    if backup.compressed { backup.size / 4 } else { backup.size }
}

fn bytes(size: u64) -> Value {
    Value::Numeric(Numeric::new(i128::from(size), 0))
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const HEADER: &str = "\
BackupName nvarchar(128)
BackupDescription nvarchar(255)
BackupType smallint
ExpirationDate datetime
Compressed tinyint
Position smallint
DeviceType tinyint
UserName nvarchar(128)
ServerName nvarchar(128)
DatabaseName nvarchar(128)
DatabaseVersion int
DatabaseCreationDate datetime
BackupSize numeric(20,0)
FirstLSN numeric(25,0)
LastLSN numeric(25,0)
CheckpointLSN numeric(25,0)
DatabaseBackupLSN numeric(25,0)
BackupStartDate datetime
BackupFinishDate datetime
SortOrder smallint
CodePage smallint
UnicodeLocaleId int
UnicodeComparisonStyle int
CompatibilityLevel tinyint
SoftwareVendorId int
SoftwareVersionMajor int
SoftwareVersionMinor int
SoftwareVersionBuild int
MachineName nvarchar(128)
Flags int
BindingID uniqueidentifier
RecoveryForkID uniqueidentifier
Collation nvarchar(128)
FamilyGUID uniqueidentifier
HasBulkLoggedData bit
IsSnapshot bit
IsReadOnly bit
IsSingleUser bit
HasBackupChecksums bit
IsDamaged bit
BeginsLogChain bit
HasIncompleteMetaData bit
IsForceOffline bit
IsCopyOnly bit
FirstRecoveryForkID uniqueidentifier
ForkPointLSN numeric(25,0)
RecoveryModel nvarchar(60)
DifferentialBaseLSN numeric(25,0)
DifferentialBaseGUID uniqueidentifier
BackupTypeDescription nvarchar(128)
BackupSetGUID uniqueidentifier
CompressedBackupSize bigint
Containment tinyint
KeyAlgorithm nvarchar(32)
EncryptorThumbprint varbinary(20)
EncryptorType nvarchar(32)
LastValidRestoreTime datetime
TimeZone smallint
CompressionAlgorithm nvarchar(32)";

/// Columns of RESTORE FILELISTONLY.
const FILES: &str = "\
LogicalName nvarchar(128)
PhysicalName nvarchar(260)
Type char(1)
FileGroupName nvarchar(128)
Size numeric(20,0)
MaxSize numeric(20,0)
FileID bigint
CreateLSN numeric(25,0)
DropLSN numeric(25,0)
UniqueID uniqueidentifier
ReadOnlyLSN numeric(25,0)
ReadWriteLSN numeric(25,0)
BackupSizeInBytes bigint
SourceBlockSize int
FileGroupID int
LogGroupGUID uniqueidentifier
DifferentialBaseLSN numeric(25,0)
DifferentialBaseGUID uniqueidentifier
IsReadOnly bit
IsPresent bit
TDEThumbprint varbinary(32)
SnapshotURL nvarchar(360)";
