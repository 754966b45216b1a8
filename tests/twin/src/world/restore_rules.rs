//! What keeps a database from being restored: what is there, whose files are in the way, which log
//! follows which.
//!
//! Sources: as in [`super::restore`].

use super::{
    Backup, Device, Guid, Instance, RestoreOrder, SessionFacts, SqlError, World, files::file_names,
};

impl World {
    /// Whether what is there may be overwritten.
    pub(super) fn may_replace(
        &self,
        at: &str,
        system: bool,
        order: &RestoreOrder,
        backup: &Backup,
    ) -> Result<(), SqlError> {
        let name = &order.database;
        if system {
            let text = "To restore the master database, the server must be running in single-user \
                        mode. For information on starting in single-user mode, see \"How to: Start \
                        an Instance of SQL Server (sqlservr.exe)\" in Books Online.";
            return Err(SqlError::new(3_108, text));
        }
        if self.instance(at).is_some_and(Instance::is_managed) {
            let text =
                format!("Database '{name}' already exists. Choose a different database name.");
            return Err(SqlError { state: 3, ..SqlError::new(1_801, &text) });
        }
        if self.in_group(at, name) {
            let text = format!(
                "RESTORE cannot operate on database '{name}' because it is configured for database \
                 mirroring or has joined an availability group. If you intend to restore the \
                 database, use ALTER DATABASE to remove mirroring or to remove the database from \
                 its availability group."
            );
            return Err(SqlError::new(3_104, &text));
        }
        if !order.replace {
            let (number, text) = if backup.database.eq_ignore_ascii_case(name) {
                let text = format!(
                    "The tail of the log for the database \"{name}\" has not been backed up. Use \
                     BACKUP LOG WITH NORECOVERY to backup the log if it contains work you do not \
                     want to lose. Use the WITH REPLACE or WITH STOPAT clause of the RESTORE \
                     statement to just overwrite the contents of the log."
                );
                (3_159, text)
            } else {
                let text = format!(
                    "The backup set holds a backup of a database other than the existing '{name}' \
                     database."
                );
                (3_154, text)
            };
            return Err(SqlError::new(number, &text));
        }
        let used =
            |session: &SessionFacts| session.user && session.database.eq_ignore_ascii_case(name);
        if self.session_facts(at).iter().any(used) {
            let text = "Exclusive access could not be obtained because the database is in use.";
            return Err(SqlError::new(3_101, text));
        }
        Ok(())
    }

    /// Whether log goes on where the database ends.
    pub(super) fn follows(
        &self,
        at: &str,
        name: &str,
        exists: bool,
        backup: &Backup,
    ) -> Result<(), SqlError> {
        let state = self.instance(at).and_then(|i| i.restoring.get(&name.to_lowercase()));
        let Some(state) = state else {
            if !exists {
                return Err(only_full(name));
            }
            let text = "The log or differential backup cannot be restored because no files are \
                        ready to rollforward.";
            return Err(SqlError { state: 4, ..SqlError::new(3_117, text) });
        };
        let (first, last, upto) = (backup.first_lsn, backup.last_lsn, state.upto);
        if first > upto {
            let text = format!(
                "The log in this backup set begins at LSN {}, which is too recent to apply to the \
                 database. An earlier log backup that includes LSN {} can be restored.",
                first.0, upto.0
            );
            return Err(SqlError::new(4_305, &text));
        }
        if last < upto {
            let text = format!(
                "The log in this backup set terminates at LSN {}, which is too early to apply to \
                 the database. A more recent log backup that includes LSN {} can be restored.",
                last.0, upto.0
            );
            return Err(SqlError::new(4_326, &text));
        }
        Ok(())
    }

    /// 1834 if a file belongs to another database.
    pub(super) fn in_the_way(
        &self,
        instance: &Instance,
        database: &str,
        path: &str,
    ) -> Option<SqlError> {
        let files = self.files(&instance.name);
        let taken = files.iter().find(|file| {
            file.path.eq_ignore_ascii_case(path) && !file.database.eq_ignore_ascii_case(database)
        })?;
        let text = format!(
            "The file '{path}' cannot be overwritten. It is being used by database '{}'.",
            taken.database
        );
        Some(SqlError::new(1_834, &text))
    }
}

/// What only some servers do.
pub(super) fn allowed(instance: &Instance, order: &RestoreOrder) -> Result<(), SqlError> {
    if order.database.eq_ignore_ascii_case("tempdb") {
        let text = "Backup and restore operations are not allowed on database tempdb.";
        return Err(SqlError::new(3_147, text));
    }
    if !instance.is_managed() {
        return Ok(());
    }
    if let Some(Device::Disk(_)) = order.device {
        let text = "Unsupported device type. SQL Database Managed Instance supports backup and \
                    restore with URI backup device only.";
        return Err(SqlError::new(41_902, text));
    }
    if order.log || order.device.is_none() {
        let text = format!(
            "Statement '{}' is not supported in SQL Database Managed Instance.",
            order.verb()
        );
        return Err(SqlError::new(41_906, &text));
    }
    if order.options {
        let text = "One or more of the options are not supported for this statement in SQL Database \
                    Managed Instance. Review the documentation for supported options.";
        return Err(SqlError::new(41_901, text));
    }
    Ok(())
}

/// Where the files of a set go.
pub(super) fn placed(
    instance: &Instance,
    backup: &Backup,
    order: &RestoreOrder,
) -> Result<[String; 2], SqlError> {
    let files = &backup.source.files;
    let logical = |name: &str| files.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    if let Some((name, _)) = order.moves.iter().find(|(name, _)| !logical(name)) {
        let text = format!(
            "Logical file '{name}' is not part of database '{}'. Use RESTORE FILELISTONLY to list \
             the logical file names.",
            order.database
        );
        return Err(SqlError { state: 2, ..SqlError::new(3_234, &text) });
    }
    if instance.is_managed() {
        let id = Guid::derive(11, &order.database.to_lowercase());
        return Ok(file_names(instance, &order.database, Some(id)).map(|(_, path)| path));
    }
    let of = |(name, path): &(String, String)| {
        let moved = order.moves.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        moved.map_or_else(|| path.clone(), |(_, path)| path.clone())
    };
    let paths = [of(&files[0]), of(&files[1])];
    let reachable = |path: &str| match instance.on_linux() {
        true => path.starts_with('/'),
        false => path.as_bytes().get(1) == Some(&b':') && !path.starts_with(['Z', 'z']),
    };
    match paths.iter().find(|path| !reachable(path)) {
        Some(path) => {
            let text = format!(
                "Directory lookup for the file \"{path}\" failed with the operating system error \
                 3(The system cannot find the path specified.)."
            );
            Err(SqlError::new(5_133, &text))
        }
        None => Ok(paths),
    }
}

pub(super) fn no_database(name: &str) -> SqlError {
    let text =
        format!("Database '{name}' does not exist. Make sure that the name is entered correctly.");
    SqlError::new(911, &text)
}

pub(super) fn only_full(name: &str) -> SqlError {
    let text = format!(
        "The database \"{name}\" does not exist. RESTORE can only create a database when restoring \
         either a full backup or a file backup of the primary file."
    );
    SqlError::new(3_118, &text)
}
