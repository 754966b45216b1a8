//! What keeps a backup from being taken: roles, kinds of server, devices, room, another backup.
//!
//! Sources: as in [`super::backup`].

use super::{
    BackupKind, BackupOrder, Device, Instance, InstanceKind, Link, Operation, OperationKind, Role,
    Side, SqlError, World,
};

impl World {
    /// What the roles allow.
    pub(super) fn allowed_in(
        &self,
        link: &Link,
        side: Side,
        at: &str,
        order: &BackupOrder,
    ) -> Result<(), SqlError> {
        let access = self.access(at, &order.database);
        match access {
            // Not being readable does not keep a backup away.
            Err(error) if ![976, 978].contains(&error.number) => return Err(error),
            Err(_) | Ok(_) => {}
        }
        let local = self.local_role(link, at);
        let log_copy = order.kind == BackupKind::Log && order.copy_only;
        let whole = order.kind == BackupKind::Full && !order.copy_only;
        let far = link.member(side).role != Role::Primary;
        if local == Some(Role::Primary) || (!far && !log_copy && !whole) {
            return Ok(());
        }
        Err(SqlError::new(
            3_059,
            "This BACKUP or RESTORE command is not supported on a database mirror or secondary \
             replica.",
        ))
    }

    pub(super) fn check_alone(&self, at: &str, order: &BackupOrder) -> Result<(), SqlError> {
        let running = self.active.iter().filter_map(|id| self.operations.get(id));
        let same = |operation: &Operation| match &operation.kind {
            OperationKind::Backup(run) => {
                run.order.database == order.database && run.order.kind == order.kind
            }
            OperationKind::ForceFailover
            | OperationKind::PlannedFailover
            | OperationKind::Demote
            | OperationKind::Suspend { .. }
            | OperationKind::Resume { .. }
            | OperationKind::Restore(_) => false,
        };
        if running.into_iter().any(|operation| operation.instance == at && same(operation)) {
            return Err(SqlError::new(
                3_023,
                "Backup, CHECKALLOC, bulk copy, file manipulation operations and encryption \
                 changes on a database must be serialized. Reissue the statement after the \
                 current backup, CHECKALLOC, or file manipulation operation is completed.",
            ));
        }
        Ok(())
    }

    /// 3202 if the disk that it goes to has no room.
    pub(super) fn has_room(&self, at: &str, order: &BackupOrder) -> Result<(), SqlError> {
        let full = self.instance(at).is_some_and(|instance| instance.disk_full);
        let disk = order.devices.iter().find(|device| matches!(device, Device::Disk(_)));
        let Some(device) = disk.filter(|_| full) else { return Ok(()) };
        let text = format!(
            "Write on \"{}\" failed: 112(There is not enough space on the disk.)",
            device.name()
        );
        Err(SqlError { state: 2, ..SqlError::new(3_202, &text) })
    }
}

pub(super) fn allowed_on(instance: &Instance, order: &BackupOrder) -> Result<(), SqlError> {
    if order.database.eq_ignore_ascii_case("tempdb") {
        let text = "Backup and restore operations are not allowed on database tempdb.";
        return Err(SqlError::new(3_147, text));
    }
    match instance.kind {
        InstanceKind::SqlServer { .. } => Ok(()),
        InstanceKind::ManagedInstance { .. } => {
            if order.kind == BackupKind::Log || !order.copy_only {
                let verb = order.kind.verb();
                let text = format!(
                    "{verb} failed. SQL Database Managed Instance supports only COPY_ONLY full \
                     database backups which are initiated by user."
                );
                return Err(SqlError::new(41_904, &text));
            }
            if order.devices.iter().any(|device| matches!(device, Device::Disk(_))) {
                let text = "Unsupported device type. SQL Database Managed Instance supports \
                            backup and restore with URI backup device only.";
                return Err(SqlError::new(41_902, text));
            }
            Ok(())
        }
    }
}

/// 3201 if the server cannot write there.
pub(super) fn opens(instance: &Instance, device: &Device) -> Result<(), SqlError> {
    let name = device.name().to_lowercase();
    let known = instance.backup_paths.iter().any(|path| name.starts_with(&path.to_lowercase()));
    if known {
        return Ok(());
    }
    Err(match device {
        Device::Disk(_) => cannot_open(device, "3(The system cannot find the path specified.)", 1),
        Device::Url(_) => {
            cannot_open(device, "86(The specified network password is not correct.)", 1)
        }
    })
}

pub(super) fn cannot_open(device: &Device, why: &str, state: u8) -> SqlError {
    let text =
        format!("Cannot open backup device '{}'. Operating system error {why}.", device.name());
    SqlError { state, ..SqlError::new(3_201, &text) }
}
