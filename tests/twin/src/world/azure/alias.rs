//! Names of managed instances in DNS.

use jiff::SignedDuration;

use super::{
    Taken,
    job::{Effect, Family},
};
use crate::world::{ArmError, World};

/// Nearly all were done at the first poll (recordings).
const SOON: SignedDuration = SignedDuration::from_millis(500);
const CREATE: (Family, &str) = (Family::Aliases, "CreateManagedServerDnsAlias");
const DROP: (Family, &str) = (Family::Aliases, "DropManagedServerDnsAlias");

impl World {
    /// Makes an alias with or without its records, moves one, or drops it (`None`).
    pub(super) fn take_alias(
        &mut self,
        instance: &str,
        name: &str,
        recorded: Option<bool>,
        from: Option<String>,
    ) -> Result<Taken, ArmError> {
        self.ready(instance)?;
        let missing = from.as_ref().filter(|from| {
            let other = self.instances.get(*from);
            !other.is_some_and(|other| other.resource.aliases.contains_key(name))
        });
        if missing.is_some() {
            let message = format!("The alias '{name}' was not found on the old instance.");
            return Err(ArmError::not_found(&message));
        }
        let kind = if recorded.is_some() { CREATE } else { DROP };
        let effect = Effect::Alias { recorded, from };
        Ok(self.begin_job(kind, instance, name, effect, Some(SOON)))
    }

    pub(super) fn change_alias(
        &mut self,
        instance: &str,
        name: &str,
        recorded: Option<bool>,
        from: Option<&str>,
    ) {
        if let Some(other) = from.and_then(|from| self.instances.get_mut(from)) {
            other.resource.aliases.remove(name);
        }
        let Some(found) = self.instances.get_mut(instance) else { return };
        match recorded {
            Some(recorded) => found.resource.aliases.insert(name.to_owned(), recorded),
            None => found.resource.aliases.remove(name),
        };
    }
}
