//! Definitions of user tables.

use std::sync::Arc;

use sqlparser::ast;

use crate::sql::bind;
use crate::sql::definition::{ColumnDefinition, Constraint, Name, Rule, TableDefinition};
use crate::sql::env::{Env, Place};
use crate::sql::error::{Error, Result, of_world, unknown_database};
use crate::sql::eval::Evaluator;
use crate::sql::session::{Permission, Session};
use crate::sql::statement::Kind;
use crate::sql::types::Type;
use crate::tables::{Check, Key, KeyKind, Reference, Rows, Table, TableColumn, weight};
use crate::world::World;

use super::alter::{alter, create_index};
use super::change::fill;
use super::reference;
use super::store::{Target, put};
use super::transaction::{Done, doomed};
use super::{OTHER, Output, SELECT, Step};

/// Bytes of log that a definition takes, about.
pub(super) const DEFINITION: u64 = 2_000;
/// The difference between the ids of two objects, and where they begin.
const ID_STEP: i32 = 16_000_057;
const FIRST_ID: i32 = 581_577_110;

/// The table that a query makes, and the query without it.
pub(super) fn into(query: &ast::Query) -> Option<(Name, ast::Query)> {
    let ast::SetExpr::Select(select) = &*query.body else { return None };
    let [into] = select.into.as_ref()?.targets.as_slice() else { return None };
    let name: Name = match into {
        ast::Expr::Identifier(ident) => vec![ident.value.clone()],
        ast::Expr::CompoundIdentifier(parts) => {
            parts.iter().map(|part| part.value.clone()).collect()
        }
        _ => return None,
    };
    let mut rest = query.clone();
    if let ast::SetExpr::Select(select) = &mut *rest.body {
        select.into = None;
    }
    Some((name, rest))
}

/// SELECT … INTO.
pub(super) fn select_into(
    name: &Name,
    query: &ast::Query,
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<Done> {
    let place = free(name, world, at, session)?;
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let env = Env::new(world, instance, session);
    let query = bind::query(&env, query)?;
    let columns = query.columns.iter().map(|column| TableColumn {
        name: column.name.clone(),
        ty: column.ty,
        nullable: column.nullable,
        identity: None,
        default: None,
    });
    let columns: Vec<TableColumn> = columns.collect();
    check_columns(name, &columns)?;
    if let Some(at) = columns.iter().position(|column| column.name.is_empty()) {
        let text = format!(
            "An object or column name is missing or empty. For SELECT INTO statements, verify \
             each column has a name. For other statements, look for empty alias names. Aliases \
             defined as \"\" or [] are not allowed. Change the alias to a valid name. (column {})",
            at + 1
        );
        return Err(Error::new(1038, 15, text).state(5));
    }
    let rows = Evaluator::new(&env).rows(&query)?;
    let types: Vec<Type> = query.columns.iter().map(|column| column.ty).collect();
    let empty = empty(name, columns, world, at, session);
    let target = Target { place: place.clone(), table: Arc::new(empty) };
    let table = fill(&env, &target, rows, &types)?;
    let count = table.rows.len();
    let bytes = DEFINITION + table.rows.iter().map(|(_, row)| weight(row)).sum::<u64>();
    target.put(Some(table), bytes, world, at, session)?;
    session.error = 0;
    session.row_count = i64::try_from(count).unwrap_or(i64::MAX);
    let count = u64::try_from(count).ok().filter(|_| !session.no_count);
    Ok(Done { outputs: vec![Output::Done { count, command: SELECT, failed: false }] })
}

/// DECLARE @t TABLE, when its batch is read: the variable is there from then on.
pub(super) fn variable(definition: &TableDefinition, session: &mut Session) -> Result<()> {
    let name = definition.name.first().cloned().unwrap_or_default();
    let key = name.to_lowercase();
    if session.table_variables.contains_key(&key) || session.variables.contains_key(&key) {
        let text = format!(
            "The variable name '{name}' has already been declared. Variable names must be unique \
             within a query batch or stored procedure."
        );
        return Err(Error::new(134, 15, text));
    }
    let now = jiff::Timestamp::UNIX_EPOCH;
    let table = made(definition, 0, now)?;
    session.table_variables.insert(key, Arc::new(table));
    Ok(())
}

/// DECLARE @t TABLE, when it is reached.
#[expect(clippy::unnecessary_wraps, reason = "as all statements")]
pub(super) fn declare(
    _: &TableDefinition,
    _: &mut World,
    _: &str,
    _: &mut Session,
) -> Result<Step> {
    Ok(Step::Send(Vec::new()))
}

/// CREATE, ALTER, DROP and TRUNCATE.
pub(super) fn define(
    kind: &Kind,
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<Done> {
    match kind {
        Kind::CreateTable(definition) => create(definition, world, at, session)?,
        Kind::AlterTable { name, alteration } => alter(name, alteration, world, at, session)?,
        Kind::DropTable { names, if_exists } => {
            for name in names {
                drop_table(name, *if_exists, world, at, session)?;
            }
        }
        Kind::Truncate(name) => {
            let target = Target::find(name, "ALTER", world, at, session)?;
            reference::may_truncate(&target, world, at, session)?;
            let mut table = (*target.table).clone();
            table.rows.clear();
            if let Some((seed, _)) = table.columns.iter().find_map(|column| column.identity) {
                table.next_identity = seed;
            }
            target.put(Some(table), DEFINITION, world, at, session)?;
        }
        Kind::CreateIndex(index) => create_index(index, world, at, session)?,
        Kind::DropIndex { name, table, if_exists } => {
            let target = Target::find(table, "ALTER", world, at, session)?;
            let mut changed = (*target.table).clone();
            let of_index = |key: &Key| {
                matches!(key.kind, KeyKind::Index | KeyKind::UniqueIndex)
                    && key.name.eq_ignore_ascii_case(name)
            };
            let before = changed.keys.len();
            changed.keys.retain(|key| !of_index(key));
            if changed.keys.len() == before && !if_exists {
                let text = format!(
                    "Cannot drop the index '{}.{name}', because it does not exist or you do not \
                     have permission.",
                    table.join(".")
                );
                return Err(Error::new(3701, 11, text).state(7));
            }
            target.put(Some(changed), DEFINITION, world, at, session)?;
        }
        Kind::IdentityInsert { table, on } => {
            let target = Target::find(table, "ALTER", world, at, session)?;
            if target.table.identity().is_none() {
                let text = format!(
                    "Table '{}' does not have the identity property. Cannot perform SET operation.",
                    target.shown()
                );
                return Err(Error::new(8106, 16, text));
            }
            session.identity_insert = on.then(|| identity_name(&target.place));
        }
        _ => {}
    }
    session.error = 0;
    session.row_count = 0;
    Ok(Done { outputs: vec![Output::Done { count: None, command: OTHER, failed: false }] })
}

/// By what a session knows the table of its IDENTITY_INSERT.
pub(super) fn identity_name(place: &Place) -> String {
    match place {
        Place::Database { database, key } => format!("{}.{key}", database.to_lowercase()),
        Place::Variable(key) | Place::Temporary(key) => key.clone(),
    }
}

fn create(
    definition: &TableDefinition,
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<()> {
    let place = free(&definition.name, world, at, session)?;
    let id = next_id(&place, world, at, session);
    let mut table = made(definition, id, world.now())?;
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    reference::resolve(&mut table, &place, &Env::new(world, instance, session))?;
    put(&place, Some(table), DEFINITION, world, at, session);
    Ok(())
}

/// Where a new table goes, if its name is free and the session may make it.
fn free(name: &Name, world: &World, at: &str, session: &Session) -> Result<Place> {
    let shown = name.last().cloned().unwrap_or_default();
    let Some(place) = Place::of(name, session) else {
        let schema = name.iter().rev().nth(1).cloned().unwrap_or_default();
        let text = format!(
            "The specified schema name \"{schema}\" either does not exist or you do not have \
             permission to use it."
        );
        return Err(Error::new(2760, 16, text));
    };
    if let Place::Database { database, .. } = &place {
        if session.doomed {
            return Err(doomed());
        }
        if !session.may(Permission::ControlServer) {
            let text = format!("CREATE TABLE permission denied in database '{database}'.");
            return Err(Error::new(262, 14, text));
        }
        world.may_write(at, database).map_err(|error| of_world(&error))?;
    }
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    if Env::new(world, instance, session).table(name, false)?.is_some() {
        let text = format!("There is already an object named '{shown}' in the database.");
        return Err(Error::new(2714, 16, text).state(6));
    }
    Ok(place)
}

fn next_id(place: &Place, world: &World, at: &str, session: &Session) -> i32 {
    let last = match place {
        Place::Database { database, .. } => {
            world.tables(at, session.id, database).iter().map(|table| table.id).max()
        }
        Place::Variable(_) | Place::Temporary(_) => {
            session.temporary.values().map(|table| table.id).max()
        }
    };
    last.map_or(FIRST_ID, |last| last.checked_add(ID_STEP).unwrap_or(FIRST_ID + 1))
}

fn empty(
    name: &Name,
    columns: Vec<TableColumn>,
    world: &World,
    at: &str,
    session: &Session,
) -> Table {
    let place = Place::of(name, session);
    let id = place.map_or(FIRST_ID, |place| next_id(&place, world, at, session));
    let name = name.last().cloned().unwrap_or_default();
    Table {
        id,
        name,
        columns,
        keys: Vec::new(),
        checks: Vec::new(),
        references: Vec::new(),
        created: world.now(),
        modified: world.now(),
        rows: Rows::default(),
        next_identity: 1,
    }
}

fn made(definition: &TableDefinition, id: i32, now: jiff::Timestamp) -> Result<Table> {
    let name = definition.name.last().cloned().unwrap_or_default();
    let columns: Vec<TableColumn> = definition.columns.iter().map(column).collect();
    check_columns(&definition.name, &columns)?;
    if columns.iter().filter(|column| column.identity.is_some()).count() > 1 {
        let text = format!(
            "Multiple identity columns specified for table '{name}'. Only one identity column per \
             table is allowed."
        );
        return Err(Error::new(2744, 16, text).state(2));
    }
    let next_identity =
        columns.iter().find_map(|column| column.identity).map_or(1, |(seed, _)| seed);
    let mut table = Table {
        id,
        name,
        columns,
        keys: Vec::new(),
        checks: Vec::new(),
        references: Vec::new(),
        created: now,
        modified: now,
        rows: Rows::default(),
        next_identity,
    };
    let said_null = |name: &str| {
        let found = definition.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name));
        found.is_some_and(|column| column.nullable == Some(true))
    };
    for constraint in &definition.constraints {
        if let Rule::Key { kind: KeyKind::Primary, columns } = &constraint.rule {
            if columns.iter().any(|name| said_null(name)) {
                return Err(null_key(&table.name));
            }
            for name in columns {
                if let Some(place) = table.column(name) {
                    table.columns[place].nullable = false;
                }
            }
        }
        constrain_with(&mut table, constraint)?;
    }
    Ok(table)
}

pub(super) fn column(definition: &ColumnDefinition) -> TableColumn {
    TableColumn {
        name: definition.name.clone(),
        ty: definition.ty,
        nullable: definition.nullable.unwrap_or(definition.identity.is_none()),
        identity: definition.identity,
        default: None,
    }
}

pub(super) fn check_columns(name: &Name, columns: &[TableColumn]) -> Result<()> {
    for (at, column) in columns.iter().enumerate() {
        if columns[..at].iter().any(|before| before.name.eq_ignore_ascii_case(&column.name)) {
            let text = format!(
                "Column names in each table must be unique. Column name '{}' in table '{}' is \
                 specified more than once.",
                column.name,
                name.join(".")
            );
            return Err(Error::new(2705, 16, text).state(3));
        }
    }
    Ok(())
}

/// Adds a constraint to a definition; rows are not looked at.
pub(super) fn constrain_with(table: &mut Table, constraint: &Constraint) -> Result<()> {
    let given = constraint.name.clone();
    let number = table.keys.len() + table.checks.len() + table.references.len();
    let short: String = table.name.chars().take(9).collect();
    let made = |kind: &str| {
        let digits = u32::try_from(table.id).unwrap_or(0).wrapping_mul(2_654_435_761);
        format!("{kind}__{short}__{:08X}", digits.wrapping_add(u32::try_from(number).unwrap_or(0)))
    };
    match &constraint.rule {
        Rule::Key { kind, columns } => {
            if *kind == KeyKind::Primary && table.keys.iter().any(|key| key.kind == *kind) {
                let text =
                    format!("Table '{}' already has a primary key defined on it.", table.name);
                return Err(Error::new(1779, 16, text).state(0));
            }
            let name =
                given.unwrap_or_else(|| made(if *kind == KeyKind::Primary { "PK" } else { "UQ" }));
            let columns = places(table, columns)?;
            let key = Key { name, kind: *kind, columns };
            let at = if *kind == KeyKind::Primary { 0 } else { table.keys.len() };
            table.keys.insert(at, key);
        }
        Rule::Check(condition) => {
            let name = given.unwrap_or_else(|| made("CK"));
            table.checks.push(Check { name, text: condition.to_string() });
        }
        Rule::Reference { columns, table: other, to } => {
            let name = given.unwrap_or_else(|| made("FK"));
            let columns = places(table, columns)?;
            let shown = other.last().cloned().unwrap_or_default();
            let (key, to) = (shown.to_lowercase(), to.clone());
            table.references.push(Reference { name, columns, table: key, shown, to });
        }
        Rule::Default { column, value } => {
            let name = given.unwrap_or_else(|| made("DF"));
            let place = places(table, std::slice::from_ref(column))?;
            for place in place {
                table.columns[place].default = Some((name.clone(), value.to_string()));
            }
        }
    }
    Ok(())
}

pub(super) fn places(table: &Table, names: &[String]) -> Result<Vec<usize>> {
    let place = |name: &String| {
        table.column(name).ok_or_else(|| {
            let text = format!("Column name '{name}' does not exist in the target table or view.");
            Error::new(1911, 16, text)
        })
    };
    names.iter().map(place).collect()
}

pub(super) fn null_key(table: &str) -> Error {
    let text =
        format!("Cannot define PRIMARY KEY constraint on nullable column in table '{table}'.");
    Error::new(8111, 16, text)
}

fn drop_table(
    name: &Name,
    if_exists: bool,
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<()> {
    match Target::find(name, "DROP", world, at, session) {
        Ok(target) => target.put(None, DEFINITION, world, at, session),
        Err(error) if error.number == 208 && if_exists => Ok(()),
        Err(error) if error.number == 208 => {
            let text = format!(
                "Cannot drop the table '{}', because it does not exist or you do not have \
                 permission.",
                name.join(".")
            );
            Err(Error::new(3701, 11, text).state(5))
        }
        Err(error) => Err(error),
    }
}
