//! Definitions of user tables that change with their rows: ALTER TABLE and CREATE INDEX.

use crate::sql::definition::{
    Alteration, ColumnDefinition, Constraint, IndexDefinition, Name, Rule,
};
use crate::sql::env::Env;
use crate::sql::error::{Error, Result, unknown_database};
use crate::sql::session::Session;
use crate::sql::statement::Kind;
use crate::sql::value::Value;
use crate::sql::views::Row;
use crate::tables::{Key, KeyKind, Table, TableColumn, weight};
use crate::world::World;

use super::reference;
use super::store::{Target, constrain, default_of, duplicate, fit, key_text};
use super::table::{DEFINITION, check_columns, column, constrain_with, null_key, places};

pub(super) fn create_index(
    index: &IndexDefinition,
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<()> {
    let target = Target::find(&index.table, "ALTER", world, at, session)?;
    let mut table = (*target.table).clone();
    if table.keys.iter().any(|key| key.name.eq_ignore_ascii_case(&index.name)) {
        let text = format!(
            "The operation failed because an index or statistics with name '{}' already exists on \
             table '{}'.",
            index.name,
            index.table.join(".")
        );
        return Err(Error::new(1913, 16, text));
    }
    let kind = if index.unique { KeyKind::UniqueIndex } else { KeyKind::Index };
    let columns = places(&table, &index.columns)?;
    table.keys.push(Key { name: index.name.clone(), kind, columns });
    check_rows(&target, &table, world, at, session)?;
    target.put(Some(table), DEFINITION, world, at, session)
}

pub(super) fn alter(
    name: &Name,
    alteration: &Alteration,
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<()> {
    let missing = || {
        let text = format!(
            "Cannot find the object \"{}\" because it does not exist or you do not have \
             permissions.",
            name.join(".")
        );
        Error::new(4902, 16, text)
    };
    let target = Target::find(name, "ALTER", world, at, session)
        .map_err(|error| if error.number == 208 { missing() } else { error })?;
    let mut table = (*target.table).clone();
    table.modified = world.now();
    match alteration {
        Alteration::Add { columns, constraints } => {
            add(&target, &mut table, columns, constraints, world, at, session)?;
        }
        Alteration::DropColumns(names) => {
            for name in names {
                drop_column(&mut table, name)?;
            }
        }
        Alteration::DropConstraints(names) => {
            for name in names {
                drop_constraint(&mut table, name)?;
            }
        }
        Alteration::AlterColumn(definition) => {
            alter_column(&target, &mut table, definition)?;
        }
    }
    check_rows(&target, &table, world, at, session)?;
    let rows = table.rows.iter().map(|(_, row)| weight(row)).sum::<u64>();
    target.put(Some(table), DEFINITION + rows, world, at, session)
}

/// 5074 for each that keeps a column from being dropped, which comes before the error itself.
pub(super) fn dependents(kind: &Kind, world: &World, at: &str, session: &Session) -> Vec<Error> {
    let Kind::AlterTable { name, alteration } = kind else { return Vec::new() };
    let Alteration::DropColumns(columns) = alteration.as_ref() else { return Vec::new() };
    let Ok(target) = Target::find(name, "ALTER", world, at, session) else { return Vec::new() };
    let table = &target.table;
    let of = |column: &String| -> Vec<Error> {
        let Some(place) = table.column(column) else { return Vec::new() };
        let default = table.columns[place].default.iter().map(|(name, _)| ("object", name));
        let keys = table.keys.iter().filter(|key| key.columns.contains(&place)).map(|key| {
            let what = match key.kind {
                KeyKind::Primary | KeyKind::Unique => "object",
                KeyKind::UniqueIndex | KeyKind::Index => "index",
            };
            (what, &key.name)
        });
        let said = default.chain(keys).map(|(what, name)| {
            let text = format!("The {what} '{name}' is dependent on column '{column}'.");
            Error::new(5074, 16, text)
        });
        said.collect()
    };
    columns.iter().map(of).find(|found| !found.is_empty()).unwrap_or_default()
}

fn add(
    target: &Target,
    table: &mut Table,
    columns: &[ColumnDefinition],
    constraints: &[Constraint],
    world: &World,
    at: &str,
    session: &Session,
) -> Result<()> {
    let first = table.columns.len();
    table.columns.extend(columns.iter().map(column));
    check_columns(&vec![table.name.clone()], &table.columns)?;
    for constraint in constraints {
        if let Rule::Key { kind: KeyKind::Primary, columns } = &constraint.rule
            && places(table, columns)?.iter().any(|place| table.columns[*place].nullable)
        {
            return Err(null_key(&table.name));
        }
        constrain_with(table, constraint)?;
    }
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let env = Env::new(world, instance, session);
    reference::resolve(table, &target.place, &env)?;
    let mut fresh = Vec::new();
    for column in &table.columns[first..] {
        if !column.nullable && column.default.is_none() && column.identity.is_none() {
            if table.rows.len() > 0 {
                let text = format!(
                    "ALTER TABLE only allows columns to be added that can contain nulls, or have a \
                     DEFAULT definition specified, or the column being added is an identity or \
                     timestamp column, or alternatively if none of the previous conditions are \
                     satisfied the table must be empty to allow addition of this column. Column \
                     '{}' cannot be added to non-empty table '{}' because it does not satisfy \
                     these conditions.",
                    column.name, table.name
                );
                return Err(Error::new(4901, 16, text));
            }
            fresh.push(Value::Null);
        } else if column.nullable {
            fresh.push(Value::Null);
        } else {
            fresh.push(default_of(&env, column, &target.shown())?);
        }
    }
    let counted = table.columns[first..].iter().position(|column| column.identity.is_some());
    let (mut next, step) = table.columns[first..]
        .iter()
        .find_map(|column| column.identity)
        .unwrap_or((table.next_identity, 0));
    table.rows.rewrite(|row| {
        let mut added = fresh.clone();
        if let Some(place) = counted {
            added[place] = Value::Int(next);
            next = next.saturating_add(step);
        }
        [&row[..], &added].concat()
    });
    table.next_identity = next;
    Ok(())
}

fn drop_column(table: &mut Table, name: &str) -> Result<()> {
    let Some(place) = table.column(name) else {
        let text = format!(
            "ALTER TABLE DROP COLUMN failed because column '{name}' does not exist in table '{}'.",
            table.name
        );
        return Err(Error::new(4924, 16, text));
    };
    let used = table.keys.iter().any(|key| key.columns.contains(&place))
        || table.references.iter().any(|reference| reference.columns.contains(&place))
        || table.columns[place].default.is_some();
    if used {
        let text = format!(
            "ALTER TABLE DROP COLUMN {name} failed because one or more objects access this column."
        );
        return Err(Error::new(4922, 16, text).state(9));
    }
    table.columns.remove(place);
    for key in &mut table.keys {
        key.columns.iter_mut().filter(|at| **at > place).for_each(|at| *at -= 1);
    }
    for reference in &mut table.references {
        reference.columns.iter_mut().filter(|at| **at > place).for_each(|at| *at -= 1);
    }
    table.rows.rewrite(|row| {
        let mut row = row.clone();
        row.remove(place);
        row
    });
    Ok(())
}

fn drop_constraint(table: &mut Table, name: &str) -> Result<()> {
    let count = |table: &Table| (table.keys.len(), table.checks.len(), table.references.len());
    let before = count(table);
    table.references.retain(|reference| !reference.name.eq_ignore_ascii_case(name));
    table.keys.retain(|key| !key.name.eq_ignore_ascii_case(name));
    table.checks.retain(|check| !check.name.eq_ignore_ascii_case(name));
    let mut found = before != count(table);
    let own = |column: &TableColumn| {
        column.default.as_ref().is_some_and(|(own, _)| own.eq_ignore_ascii_case(name))
    };
    if let Some(column) = table.columns.iter_mut().find(|column| own(column)) {
        (column.default, found) = (None, true);
    }
    if found {
        return Ok(());
    }
    Err(Error::new(3728, 16, format!("'{name}' is not a constraint.")))
}

fn alter_column(target: &Target, table: &mut Table, definition: &ColumnDefinition) -> Result<()> {
    let name = &definition.name;
    let Some(place) = table.column(name) else {
        let text = format!(
            "ALTER TABLE ALTER COLUMN failed because column '{name}' does not exist in table '{}'.",
            table.name
        );
        return Err(Error::new(4924, 16, text));
    };
    let old = table.columns[place].ty;
    let column = &mut table.columns[place];
    column.ty = definition.ty;
    column.nullable = definition.nullable.unwrap_or(true);
    let (column, shown) = (table.columns[place].clone(), target.shown());
    let mut wrong = None;
    table.rows.rewrite(|row| {
        let mut row: Row = row.clone();
        match fit(&row[place], old, &column, &shown) {
            Ok(value) => row[place] = value,
            Err(error) => wrong = Some(error),
        }
        row
    });
    wrong.map_or(Ok(()), Err)
}

/// Whether the rows that are there satisfy the definition as it has become.
fn check_rows(
    target: &Target,
    table: &Table,
    world: &World,
    at: &str,
    session: &Session,
) -> Result<()> {
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let env = Env::new(world, instance, session);
    let rows = table.rows.iter().map(|(number, row)| (*number, row)).collect();
    for key in table.keys.iter().filter(|key| key.kind != KeyKind::Index) {
        if let Some(row) = duplicate(&env, table, key, &rows)? {
            let text = format!(
                "The CREATE UNIQUE INDEX statement terminated because a duplicate key was found \
                 for the object name 'dbo.{}' and the index name '{}'. The duplicate key value is \
                 ({}).",
                table.name,
                key.name,
                key_text(table, key, row)
            );
            return Err(Error::new(1505, 16, text));
        }
    }
    constrain(&env, target, table, &rows, "ALTER TABLE")
}
