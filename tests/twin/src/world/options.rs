//! Options of a database that ALTER DATABASE sets and `sys.databases` shows.

use super::{Instance, SqlError, setup::DatabaseSetup};

/// An option of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseOption {
    /// COMPATIBILITY_LEVEL
    Compatibility(u32),
    /// READ_COMMITTED_SNAPSHOT
    CommittedSnapshot(bool),
    /// ALLOW_SNAPSHOT_ISOLATION
    Snapshot(bool),
    /// ACCELERATED_DATABASE_RECOVERY
    AcceleratedRecovery(bool),
    /// ENABLE_BROKER, or DISABLE_BROKER
    Broker(bool),
    /// NEW_BROKER
    NewBroker,
}

impl DatabaseOption {
    /// The option and its value.
    #[must_use]
    pub fn words(self) -> String {
        let switch = |name: &str, on| format!("{name} {}", if on { "ON" } else { "OFF" });
        match self {
            DatabaseOption::Compatibility(level) => format!("COMPATIBILITY_LEVEL = {level}"),
            DatabaseOption::CommittedSnapshot(on) => switch("READ_COMMITTED_SNAPSHOT", on),
            DatabaseOption::Snapshot(on) => switch("ALLOW_SNAPSHOT_ISOLATION", on),
            DatabaseOption::AcceleratedRecovery(on) => {
                let on = if on { "ON" } else { "OFF" };
                format!("ACCELERATED_DATABASE_RECOVERY = {on}")
            }
            DatabaseOption::Broker(true) => "ENABLE_BROKER".to_owned(),
            DatabaseOption::Broker(false) => "DISABLE_BROKER".to_owned(),
            DatabaseOption::NewBroker => "NEW_BROKER".to_owned(),
        }
    }

    /// Whether nobody else may be in the database while it is set.
    pub(super) fn needs_it_alone(self) -> bool {
        match self {
            DatabaseOption::Compatibility(_) | DatabaseOption::Snapshot(_) => false,
            DatabaseOption::CommittedSnapshot(_)
            | DatabaseOption::AcceleratedRecovery(_)
            | DatabaseOption::Broker(_)
            | DatabaseOption::NewBroker => true,
        }
    }

    /// Whether a database of an availability group takes it.
    pub(super) fn is_for_groups(self) -> bool {
        !matches!(self, DatabaseOption::Broker(_) | DatabaseOption::NewBroker)
    }

    /// What an instance refuses of it, whatever the database.
    pub(super) fn check(self, instance: &Instance) -> Result<(), SqlError> {
        let newest = u32::try_from(instance.build().release().compatibility()).unwrap_or(0);
        if let DatabaseOption::Compatibility(level) = self
            && !(100..=newest).step_by(10).any(|known| known == level)
        {
            let known = (100..=newest).step_by(10).map(|level| level.to_string());
            let known: Vec<String> = known.collect();
            let (last, before) = known.split_last().map_or(("", &[][..]), |(l, b)| (l.as_str(), b));
            let text = format!(
                "Valid values of the database compatibility level are {}, or {last}.",
                before.join(", ")
            );
            return Err(SqlError::new(15_048, &text));
        }
        if let DatabaseOption::AcceleratedRecovery(on) = self {
            if newest < 150 {
                let text = "Incorrect syntax near 'ACCELERATED_DATABASE_RECOVERY'.";
                return Err(SqlError { class: 15, ..SqlError::new(102, text) });
            }
            if instance.is_managed() && !on {
                let text = "One or more of the options are not supported for this statement in SQL \
                            Database Managed Instance. Review the documentation for supported \
                            options.";
                return Err(SqlError::new(41_901, text));
            }
        }
        Ok(())
    }

    pub(super) fn apply(self, setup: &mut DatabaseSetup) {
        match self {
            DatabaseOption::Compatibility(level) => setup.compatibility = Some(level),
            DatabaseOption::CommittedSnapshot(on) => setup.committed_snapshot = on,
            DatabaseOption::Snapshot(on) => setup.snapshot = on,
            DatabaseOption::AcceleratedRecovery(on) => setup.accelerated_recovery = on,
            DatabaseOption::Broker(on) => setup.broker = on,
            DatabaseOption::NewBroker => {
                setup.broker = true;
                setup.brokers += 1;
            }
        }
    }
}
