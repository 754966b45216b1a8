//! `msdb.dbo.backupset`.

use crate::sql::decimal::Numeric;
use crate::sql::env::{Env, version_of};
use crate::sql::value::Value;
use crate::world::Backup;

use super::groups::guid;
use super::replicas::lsn;
use super::{Row, View, row};

pub(super) fn backupset(env: &Env<'_>, view: &View) -> Vec<Row> {
    let databases = env.world.databases(env.at());
    let (major, minor, build) = version_of(env.instance);
    let backup = |(index, backup): (usize, &Backup)| {
        let number = i64::try_from(index + 1).unwrap_or(i64::MAX);
        let size = Value::Numeric(Numeric::new(i128::from(backup.size), 0));
        let database = databases.iter().find(|database| database.name == backup.database);
        let family = database.and_then(|database| database.group_database_id);
        row(view)
            .set("backup_set_id", number)
            .set(
                "backup_set_uuid",
                Value::Guid(env.instance.id.0 ^ u128::from(number.unsigned_abs())),
            )
            .set("media_set_id", number)
            .set("first_family_number", 1)
            .set("first_media_number", 1)
            .set("last_family_number", 1)
            .set("last_media_number", 1)
            .set("position", 1)
            .set("software_vendor_id", 4608)
            .set("software_major_version", i64::from(major))
            .set("software_minor_version", i64::from(minor))
            .set("software_build_version", i64::from(build))
            .set("first_lsn", lsn(backup.first_lsn))
            .set("last_lsn", lsn(backup.last_lsn))
            .set("checkpoint_lsn", lsn(backup.first_lsn))
            .set("database_creation_date", database.map(|d| env.datetime(d.create_date)))
            .set("backup_start_date", env.datetime(backup.start))
            .set("backup_finish_date", env.datetime(backup.finish))
            .set("type", backup.kind.code().to_string())
            .set("sort_order", 52)
            .set("code_page", 0)
            .set("compatibility_level", 160)
            .set("database_version", 957)
            .set("backup_size", size.clone())
            .set("compressed_backup_size", size)
            .set("database_name", backup.database.clone())
            .set("server_name", env.instance.server_name.clone())
            .set("machine_name", env.instance.server_name.clone())
            .set("collation_name", env.instance.collation.clone())
            .set("recovery_model", "FULL")
            .flags(
                false,
                &[
                    "is_password_protected",
                    "has_bulk_logged_data",
                    "is_snapshot",
                    "is_readonly",
                    "is_single_user",
                    "is_damaged",
                    "begins_log_chain",
                    "has_incomplete_metadata",
                    "is_force_offline",
                ],
            )
            .set("has_backup_checksums", backup.checksums)
            .set("is_copy_only", backup.copy_only)
            .set("database_guid", family.map(guid))
            .set("family_guid", family.map(guid))
            .done()
    };
    env.instance.backups(env.now()).enumerate().map(backup).collect()
}
