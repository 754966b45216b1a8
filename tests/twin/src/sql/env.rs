//! What a query sees: the world as it is, the instance it runs on, and its session.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use jiff::Timestamp;

use crate::tables::Table;
use crate::world::{Barred, Instance, InstanceKind, World};

use super::error::{Error, Result, of_world};
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
    /// The database whose catalog is being read.
    pub(crate) catalog: RefCell<String>,
}

impl<'a> Env<'a> {
    pub(crate) fn new(world: &'a World, instance: &'a Instance, session: &'a Session) -> Env<'a> {
        let catalog = RefCell::new(session.database.clone());
        Env { world, instance, session, spent: Cell::new(0), catalog }
    }

    /// A user table, a temporary one, or a table variable; none if there is none of that name.
    pub(crate) fn table(&self, parts: &[String], dirty: bool) -> Result<Option<Arc<Table>>> {
        let Some(place) = Place::of(parts, self.session) else { return Ok(None) };
        match &place {
            Place::Variable(key) => Ok(self.session.table_variables.get(key).cloned()),
            Place::Temporary(key) => Ok(self.session.temporary.get(key).cloned()),
            Place::Database { database, key } => {
                let dirty = dirty || self.session.dirty;
                let id = self.session.id;
                match self.world.table(self.at(), id, database, key, dirty) {
                    Ok(found) => Ok(found),
                    Err(Barred::By(holder)) => Err(Error::barred_by(holder)),
                    Err(Barred::No(error)) if error.number == 911 => Ok(None),
                    Err(Barred::No(error)) => Err(of_world(&error)),
                }
            }
        }
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

/// Where a table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Variable(String),
    Temporary(String),
    Database { database: String, key: String },
}

impl Place {
    /// What a name means; none for a schema other than dbo.
    pub(crate) fn of(parts: &[String], session: &Session) -> Option<Place> {
        let (name, before) = parts.split_last()?;
        let key = name.to_lowercase();
        if name.starts_with('@') {
            return before.is_empty().then_some(Place::Variable(key));
        }
        if name.starts_with('#') {
            return Some(Place::Temporary(key));
        }
        let (database, schema) = match before {
            [] => (session.database.as_str(), "dbo"),
            [schema] => (session.database.as_str(), schema.as_str()),
            [database, schema] => (database.as_str(), schema.as_str()),
            _ => return None,
        };
        let known = schema.is_empty() || schema.eq_ignore_ascii_case("dbo");
        known.then(|| Place::Database { database: database.to_owned(), key })
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
