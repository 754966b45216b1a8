//! What a query sees: the world as it is, the instance it runs on, and its session.

use std::cell::Cell;

use jiff::Timestamp;

use crate::world::{Instance, InstanceKind, World};

use super::error::{Error, Result};
use super::moment;
use super::session::Session;
use super::value::Value;

/// Values that one statement may touch before it is given up: bounds time and memory.
const BUDGET: u64 = 3_000_000;

pub(crate) struct Env<'a> {
    pub(crate) world: &'a World,
    pub(crate) instance: &'a Instance,
    pub(crate) session: &'a Session,
    spent: Cell<u64>,
}

impl<'a> Env<'a> {
    pub(crate) fn new(world: &'a World, instance: &'a Instance, session: &'a Session) -> Env<'a> {
        Env { world, instance, session, spent: Cell::new(0) }
    }

    /// The name by which the world knows the instance.
    pub(crate) fn at(&self) -> &str {
        &self.instance.name
    }

    /// What its clock says.
    pub(crate) fn now(&self) -> Timestamp {
        self.world.now() + self.instance.setup().clock_ahead
    }

    pub(crate) fn is_managed(&self) -> bool {
        matches!(self.instance.kind, InstanceKind::ManagedInstance { .. })
    }

    /// A world's time as a `datetime` of this server's wall clock.
    pub(crate) fn datetime(&self, at: Timestamp) -> Value {
        let (ticks, _) =
            moment::local_ticks(at + self.instance.setup().clock_ahead, &self.instance.time_zone);
        Value::Moment(moment::round_to_datetime(ticks))
    }

    /// Counts work, so that a query that multiplies views ends.
    pub(crate) fn spend(&self, work: u64) -> Result<()> {
        let spent = self.spent.get().saturating_add(work);
        self.spent.set(spent);
        if spent > BUDGET {
            let text = "The query processor ran out of internal resources and could not produce a \
                        query plan. This is a rare event and only expected for extremely complex \
                        queries or queries that reference a very large number of tables or \
                        partitions. Please simplify the query.";
            return Err(Error::new(8623, 16, text));
        }
        Ok(())
    }
}

/// The major version whose views an instance has.
pub(crate) fn major(instance: &Instance) -> u8 {
    u8::try_from(instance.build().0[0]).unwrap_or(u8::MAX)
}

/// Version numbers that LOGINACK and `@@VERSION` show: major, minor, build.
pub(crate) fn version_of(instance: &Instance) -> (u8, u8, u16) {
    let mut parts = instance.product_version.split('.');
    let major = parts.next().and_then(|part| part.parse().ok()).unwrap_or(16);
    let minor = parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    let build = parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    (major, minor, build)
}
