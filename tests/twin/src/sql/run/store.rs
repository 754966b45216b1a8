//! Rows on their way into a table: where it is, what fits, what its constraints say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::sql::bind::Columns;
use crate::sql::convert::{check, convert, text_of};
use crate::sql::env::{Env, Place};
use crate::sql::error::{Error, Result, invalid_object, of_world, unknown_database};
use crate::sql::eval::Evaluator;
use crate::sql::parse::parse_expression;
use crate::sql::session::{Permission, Session};
use crate::sql::types::{Length, Type};
use crate::sql::value::{Value, fold, same};
use crate::sql::views::Row;
use crate::tables::{Key, KeyKind, MAX_ROWS, Table, TableColumn};
use crate::world::{Volume, World};

use super::reference;
use super::transaction::doomed;

/// A table that is to be changed.
pub(super) struct Target {
    pub(super) place: Place,
    pub(super) table: Arc<Table>,
}

impl Target {
    /// The table of that name, if the session may change it.
    pub(super) fn find(
        parts: &[String],
        verb: &str,
        world: &World,
        at: &str,
        session: &Session,
    ) -> Result<Target> {
        let shown = || invalid_object(&parts.join("."));
        let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
        let table = Env::new(world, instance, session).table(parts, false)?;
        let (Some(place), Some(table)) = (Place::of(parts, session), table) else {
            return Err(match parts {
                [name] if name.starts_with('@') => {
                    let text = format!("Must declare the table variable \"{name}\".");
                    Error::new(1087, 15, text)
                }
                _ => shown(),
            });
        };
        let target = Target { place, table };
        target.may(verb, world, at, session)?;
        Ok(target)
    }

    /// Whether the session may change what is at this place.
    fn may(&self, verb: &str, world: &World, at: &str, session: &Session) -> Result<()> {
        let Place::Database { database, .. } = &self.place else { return Ok(()) };
        if session.doomed {
            return Err(doomed());
        }
        if !session.may(Permission::ControlServer) {
            let text = format!(
                "The {verb} permission was denied on the object '{}', database '{database}', \
                 schema 'dbo'.",
                self.table.name
            );
            return Err(Error::new(229, 14, text).state(5));
        }
        world.may_write(at, database).map_err(|error| of_world(&error))
    }

    /// Puts what the table has become in its place.
    pub(super) fn put(
        &self,
        table: Option<Table>,
        bytes: u64,
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<()> {
        let full = match self.place {
            Place::Database { .. } => world.is_full(at, Volume::Data),
            Place::Variable(_) | Place::Temporary(_) => false,
        };
        let room = if full { self.table.rows.len() } else { MAX_ROWS };
        if table.as_ref().is_some_and(|table| table.rows.len() > room) {
            let text = format!(
                "Could not allocate space for object 'dbo.{}' in database '{}' because the \
                 'PRIMARY' filegroup is full. Create disk space by deleting unneeded files, \
                 dropping objects in the filegroup, adding additional files to the filegroup, or \
                 setting autogrowth on for existing files in the filegroup.",
                self.table.name,
                self.database()
            );
            return Err(Error::new(1105, 17, text).state(2));
        }
        reference::keep(self, table.as_ref(), world, at, session)?;
        put(&self.place, table, bytes, world, at, session);
        Ok(())
    }

    fn database(&self) -> &str {
        match &self.place {
            Place::Database { database, .. } => database,
            Place::Variable(_) | Place::Temporary(_) => "tempdb",
        }
    }

    /// `Sales.dbo.Orders`, as messages say it.
    pub(super) fn shown(&self) -> String {
        match &self.place {
            Place::Variable(_) => self.table.name.clone(),
            Place::Temporary(_) | Place::Database { .. } => {
                format!("{}.dbo.{}", self.database(), self.table.name)
            }
        }
    }
}

/// Puts a table at a place, or takes it away.
pub(super) fn put(
    place: &Place,
    table: Option<Table>,
    bytes: u64,
    world: &mut World,
    at: &str,
    session: &mut Session,
) {
    let table = table.map(Arc::new);
    let (tables, key) = match place {
        Place::Database { database, key } => {
            return world.change_table(at, session.id, database, key, (table, bytes));
        }
        Place::Variable(key) => (&mut session.table_variables, key),
        Place::Temporary(key) => (&mut session.temporary, key),
    };
    match table {
        Some(table) => tables.insert(key.clone(), table),
        None => tables.remove(key),
    };
}

/// A value as a column keeps it: 2628 if it is too long, and the errors of conversion.
pub(super) fn fit(value: &Value, from: Type, column: &TableColumn, shown: &str) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    check(from, column.ty, false)?;
    let truncated = |kept: String| {
        let text = format!(
            "String or binary data would be truncated in table '{shown}', column '{}'. Truncated \
             value: '{kept}'.",
            column.name
        );
        Error::new(2628, 16, text)
    };
    if let Some(Length::Of(most)) = column.ty.length() {
        let most = usize::from(most);
        if column.ty.is_text() {
            let text = text_of(value, from, 0)?;
            let length = text.trim_end_matches(' ').encode_utf16().count();
            if length > most && (from.is_text() || from == Type::Variant) {
                return Err(truncated(text.chars().take(most).collect()));
            }
        } else if let Value::Bytes(bytes) = value
            && bytes.len() > most
        {
            return Err(truncated(String::new()));
        }
    }
    convert(value, from, column.ty, 0)
}

/// What a row has where nothing is given.
pub(super) fn default_of(env: &Env<'_>, column: &TableColumn, shown: &str) -> Result<Value> {
    let Some((_, text)) = &column.default else { return Ok(Value::Null) };
    let expr = parse_expression(text)?;
    let scalar = crate::sql::bind::scalar(env, &expr)?;
    let value = Evaluator::new(env).scalar(&scalar)?;
    fit(&value, scalar.ty, column, shown)
}

/// 515, 547, 2627 and 2601: whether rows may be in a table. `fresh` are those that are new or
/// changed, by number.
pub(super) fn constrain(
    env: &Env<'_>,
    target: &Target,
    table: &Table,
    fresh: &BTreeMap<u64, &Row>,
    verb: &str,
) -> Result<()> {
    for (column, place) in table.columns.iter().zip(0..) {
        let null = |row: &&Row| row.get(place).is_none_or(Value::is_null);
        if !column.nullable && fresh.values().any(null) {
            let text = format!(
                "Cannot insert the value NULL into column '{}', table '{}'; column does not allow \
                 nulls. {verb} fails.",
                column.name,
                target.shown()
            );
            return Err(Error::new(515, 16, text).state(2));
        }
    }
    for check in &table.checks {
        let condition = Columns::check(env, table, &parse_expression(&check.text)?)?;
        for row in fresh.values() {
            if Evaluator::new(env).fails(&condition, row)? {
                let text = format!(
                    "The {verb} statement conflicted with the CHECK constraint \"{}\". The \
                     conflict occurred in database \"{}\", table \"dbo.{}\".",
                    check.name,
                    target.database(),
                    table.name
                );
                return Err(Error::new(547, 16, text).state(0));
            }
        }
    }
    let unique = table.keys.iter().filter(|key| key.kind != KeyKind::Index);
    for key in unique {
        if let Some(row) = duplicate(env, table, key, fresh)? {
            return Err(violated(table, key, row));
        }
    }
    reference::check(env, target, table, fresh, verb)
}

/// A row whose key another row has too.
pub(super) fn duplicate<'t>(
    env: &Env<'_>,
    table: &'t Table,
    key: &Key,
    fresh: &BTreeMap<u64, &Row>,
) -> Result<Option<&'t Row>> {
    let rows = u64::try_from(table.rows.len()).unwrap_or(u64::MAX);
    env.spend(rows)?;
    if fresh.len() <= 4 {
        for (number, row) in fresh {
            let mut others = table.rows.iter().filter(|(other, _)| other != number);
            let found = others.find(|(_, other)| {
                key.columns.iter().all(|place| same(&row[*place], &other[*place]))
            });
            if let Some((_, found)) = found {
                return Ok(Some(found));
            }
        }
        return Ok(None);
    }
    let mut seen = BTreeSet::new();
    Ok(table.rows.iter().map(|(_, row)| row).find(|row| !seen.insert(folded(row, &key.columns))))
}

/// The key of a row as a text that is the same for equal keys.
pub(super) fn folded(row: &Row, columns: &[usize]) -> Vec<String> {
    let part = |place: &usize| match &row[*place] {
        Value::Text(text) => text.trim_end_matches(' ').chars().flat_map(fold).collect(),
        other => format!("{other:?}"),
    };
    columns.iter().map(part).collect()
}

pub(super) fn key_text(table: &Table, key: &Key, row: &Row) -> String {
    let part = |place: &usize| match &row[*place] {
        Value::Null => "<NULL>".to_owned(),
        value => text_of(value, table.columns[*place].ty, 0).unwrap_or_default(),
    };
    key.columns.iter().map(part).collect::<Vec<_>>().join(", ")
}

fn violated(table: &Table, key: &Key, row: &Row) -> Error {
    let (name, value) = (&table.name, key_text(table, key, row));
    let kind = match key.kind {
        KeyKind::Primary => "PRIMARY KEY",
        KeyKind::Unique => "UNIQUE KEY",
        KeyKind::UniqueIndex | KeyKind::Index => {
            let text = format!(
                "Cannot insert duplicate key row in object 'dbo.{name}' with unique index '{}'. \
                 The duplicate key value is ({value}).",
                key.name
            );
            return Error::new(2601, 14, text);
        }
    };
    let text = format!(
        "Violation of {kind} constraint '{}'. Cannot insert duplicate key in object 'dbo.{name}'. \
         The duplicate key value is ({value}).",
        key.name
    );
    Error::new(2627, 14, text)
}
