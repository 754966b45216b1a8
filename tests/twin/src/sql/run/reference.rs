//! FOREIGN KEY: what a row refers to has to be there, and stays as long as the row does.
//!
//! NO ACTION only: what would cascade is refused when it is defined.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::sql::env::{Env, Place};
use crate::sql::error::{Error, Result, unknown_database};
use crate::sql::session::Session;
use crate::sql::value::{Value, same};
use crate::sql::views::Row;
use crate::tables::{Key, KeyKind, Reference, Table};
use crate::world::World;

use super::store::{Target, folded};

/// Finds the keys to which the references of a table lead.
///
/// Errors: 1767, 1773, 1776, 8139.
pub(super) fn resolve(table: &mut Table, place: &Place, env: &Env<'_>) -> Result<()> {
    let Place::Database { database, key: own } = place else {
        // What is temporary refers to nothing.
        table.references.clear();
        return Ok(());
    };
    let before = table.clone();
    for reference in &mut table.references {
        let name = &reference.name;
        let found = parent(env, (own, &before), database, reference)?;
        let Some(found) = found else {
            let text =
                format!("Foreign key '{name}' references invalid table '{}'.", reference.shown);
            return Err(Error::new(1767, 16, text).state(0));
        };
        let named = |key: &Key| -> Vec<String> {
            key.columns.iter().map(|place| found.columns[*place].name.clone()).collect()
        };
        let primary = found.keys.iter().find(|key| key.kind == KeyKind::Primary);
        let key = if reference.to.is_empty() {
            primary.ok_or_else(|| {
                let text = format!(
                    "Foreign key '{name}' has implicit reference to object '{}' which does not \
                     have a primary key defined on it.",
                    reference.shown
                );
                Error::new(1773, 16, text).state(0)
            })?
        } else {
            let is = |key: &&Key| {
                let names = named(key);
                let alike = names.iter().zip(&reference.to).all(|(a, b)| a.eq_ignore_ascii_case(b));
                key.kind != KeyKind::Index && names.len() == reference.to.len() && alike
            };
            found.keys.iter().find(is).ok_or_else(|| {
                let text = format!(
                    "There are no primary or candidate keys in the referenced table '{}' that \
                     match the referencing column list in the foreign key '{name}'.",
                    reference.shown
                );
                Error::new(1776, 16, text).state(0)
            })?
        };
        if key.columns.len() != reference.columns.len() {
            let text = format!(
                "Number of referencing columns in foreign key differs from number of referenced \
                 columns, table '{}'.",
                before.name
            );
            return Err(Error::new(8139, 16, text).state(0));
        }
        reference.to = named(key);
    }
    Ok(())
}

/// 547: whether what fresh rows refer to is there.
pub(super) fn check(
    env: &Env<'_>,
    target: &Target,
    table: &Table,
    fresh: &BTreeMap<u64, &Row>,
    verb: &str,
) -> Result<()> {
    let Place::Database { database, key } = &target.place else { return Ok(()) };
    for reference in &table.references {
        let Some(found) = parent(env, (key, table), database, reference)? else { continue };
        let rows: Vec<&Row> = fresh.values().copied().collect();
        if orphan(env, &rows, &found, reference)? {
            let same_table = if reference.table == *key { "SAME TABLE" } else { "KEY" };
            let text = format!(
                "The {verb} statement conflicted with the FOREIGN {same_table} constraint \"{}\". \
                 The conflict occurred in database \"{database}\", table \"dbo.{}\"{}.",
                reference.name,
                found.name,
                column(&reference.to)
            );
            return Err(Error::new(547, 16, text).state(0));
        }
    }
    Ok(())
}

/// 547: whether nobody refers to what a table has no longer. 3726: or to the table itself.
pub(super) fn keep(
    target: &Target,
    table: Option<&Table>,
    world: &World,
    at: &str,
    session: &Session,
) -> Result<()> {
    let Place::Database { database, key } = &target.place else { return Ok(()) };
    let refers = |it: &Arc<Table>| it.references.iter().any(|reference| reference.table == *key);
    let children = world.tables(at, session.id, database).into_iter().filter(refers);
    let children: Vec<Arc<Table>> = children.collect();
    let Some(table) = table else {
        if children.iter().any(|child| child.id != target.table.id) {
            let text = format!(
                "Could not drop object 'dbo.{}' because it is referenced by a FOREIGN KEY \
                 constraint.",
                target.table.name
            );
            return Err(Error::new(3726, 16, text));
        }
        return Ok(());
    };
    if children.is_empty() || table.rows.len() > target.table.rows.len() {
        return Ok(());
    }
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let env = Env::new(world, instance, session);
    for child in &children {
        let child = if child.id == table.id { table } else { child.as_ref() };
        for reference in child.references.iter().filter(|reference| reference.table == *key) {
            if orphan(
                &env,
                &child.rows.iter().map(|(_, row)| row).collect::<Vec<_>>(),
                table,
                reference,
            )? {
                let verb =
                    if table.rows.len() < target.table.rows.len() { "DELETE" } else { "UPDATE" };
                let names: Vec<String> = reference
                    .columns
                    .iter()
                    .map(|place| child.columns[*place].name.clone())
                    .collect();
                let text = format!(
                    "The {verb} statement conflicted with the REFERENCE constraint \"{}\". The \
                     conflict occurred in database \"{database}\", table \"dbo.{}\"{}.",
                    reference.name,
                    child.name,
                    column(&names)
                );
                return Err(Error::new(547, 16, text).state(0));
            }
        }
    }
    Ok(())
}

/// 4712: a table to which others refer is not truncated.
pub(super) fn may_truncate(
    target: &Target,
    world: &World,
    at: &str,
    session: &Session,
) -> Result<()> {
    let Place::Database { database, key } = &target.place else { return Ok(()) };
    let mut others = world.tables(at, session.id, database).into_iter();
    let refers = |it: Arc<Table>| it.references.iter().any(|reference| reference.table == *key);
    if !others.any(refers) {
        return Ok(());
    }
    let text = format!(
        "Cannot truncate table '{}' because it is being referenced by a FOREIGN KEY constraint.",
        target.table.name
    );
    Err(Error::new(4712, 16, text))
}

/// The table to which a reference leads; `own` may be that itself.
fn parent(
    env: &Env<'_>,
    (key, own): (&str, &Table),
    database: &str,
    reference: &Reference,
) -> Result<Option<Arc<Table>>> {
    if reference.table == key {
        return Ok(Some(Arc::new(own.clone())));
    }
    let parts = [database, "dbo", &reference.table].map(str::to_owned);
    env.table(&parts, false)
}

/// Whether one of the rows refers to nothing. A NULL in any column refers to nothing and need not.
fn orphan(env: &Env<'_>, rows: &[&Row], parent: &Table, reference: &Reference) -> Result<bool> {
    let to: Vec<usize> = reference.to.iter().filter_map(|name| parent.column(name)).collect();
    let whole = |row: &&Row| reference.columns.iter().all(|place| !row[*place].is_null());
    let mut rows = rows.iter().copied().filter(whole);
    env.spend(u64::try_from(parent.rows.len()).unwrap_or(u64::MAX))?;
    if rows.clone().nth(4).is_none() {
        let has = |row: &Row| {
            let like =
                |(place, of): (&usize, &usize), other: &[Value]| same(&row[*place], &other[*of]);
            parent
                .rows
                .iter()
                .any(|(_, other)| reference.columns.iter().zip(&to).all(|pair| like(pair, other)))
        };
        return Ok(rows.any(|row| !has(row)));
    }
    let known: BTreeSet<Vec<String>> =
        parent.rows.iter().map(|(_, row)| folded(row, &to)).collect();
    Ok(rows.any(|row| !known.contains(&folded(row, &reference.columns))))
}

/// `, column 'id'` where there is one only.
fn column(names: &[String]) -> String {
    match names {
        [one] => format!(", column '{one}'"),
        _ => String::new(),
    }
}
