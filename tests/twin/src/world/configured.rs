//! Options of a server that `sp_configure` sets, and the history that msdb was told to forget.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::setup::Setup;

/// An option of the server as `sp_configure` has set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configured {
    /// `value`
    pub value: i64,
    /// `value_in_use`, unless a start made it so.
    pub in_use: Option<i64>,
    /// When it was set.
    pub at: Timestamp,
}

/// All that was set, and forgotten.
#[derive(Clone, Debug, Default)]
pub struct Configurations {
    options: BTreeMap<u32, Configured>,
    /// Until when msdb has forgotten its backups, by lower-case database; of all under no name.
    forgotten: BTreeMap<String, Timestamp>,
}

impl Configurations {
    pub(super) fn set(&mut self, option: u32, value: i64, at: Timestamp) {
        let in_use = self.options.get(&option).and_then(|known| known.in_use);
        self.options.insert(option, Configured { value, in_use, at });
    }

    /// RECONFIGURE, of these.
    pub(super) fn install(&mut self, options: &[u32]) {
        let all = self.options.iter_mut().filter(|(number, _)| options.contains(number));
        all.for_each(|(_, set)| set.in_use = Some(set.value));
    }

    pub(super) fn forget(&mut self, database: Option<String>, before: Timestamp) {
        let key = database.unwrap_or_default().to_lowercase();
        let known = self.forgotten.entry(key).or_insert(before);
        *known = before.max(*known);
    }
}

impl Setup {
    /// An option of the server, if it was set.
    #[must_use]
    pub fn configured(&self, option: u32) -> Option<Configured> {
        self.configured.options.get(&option).copied()
    }

    /// Whether msdb still knows of a database's backup of that time.
    #[must_use]
    pub fn remembers(&self, database: &str, finish: Timestamp) -> bool {
        let forgotten = &self.configured.forgotten;
        let known = |key: &str| forgotten.get(key).is_none_or(|before| finish >= *before);
        known("") && known(&database.to_lowercase())
    }
}
