//! INSERT, UPDATE and DELETE.

use std::collections::BTreeMap;

use crate::sql::bind::{self, Columns, Modification};
use crate::sql::convert::convert;
use crate::sql::definition::{Insert, InsertSource, Modify, OutputClause};
use crate::sql::env::{Env, Place};
use crate::sql::error::{Error, Result, invalid_column, unknown_database};
use crate::sql::eval::Evaluator;
use crate::sql::session::Session;
use crate::sql::types::Type;
use crate::sql::value::Value;
use crate::sql::views::Row;
use crate::tables::{Change, Table, weight};
use crate::world::World;

use super::store::{Target, constrain, default_of, fit};
use super::transaction::Done;
use super::{DELETE, INSERT, Output, UPDATE};

/// Values for some columns, each with the type that it comes in; none is DEFAULT.
type Given = Vec<Option<(Type, Value)>>;

/// INSERT.
pub(super) fn insert(
    insert: &Insert,
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<Done> {
    let target = Target::find(&insert.target, "INSERT", world, at, session)?;
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let env = Env::new(world, instance, session);
    let explicit = identity_insert(&target.place, session);
    let places = places(&target.table, insert.columns.as_deref(), explicit)?;
    let given = given(&env, insert, places.len())?;
    let mut made = Made::new(&target);
    for row in given {
        made.row(&env, &target, &places, row, explicit)?;
    }
    let first = target.table.rows.len();
    let table = made.table;
    let fresh: BTreeMap<u64, &Row> =
        table.rows.iter().skip(first).map(|(number, row)| (*number, row)).collect();
    constrain(&env, &target, &table, &fresh, "INSERT")?;
    let bytes = fresh.values().map(|row| weight(row)).sum();
    let width = table.columns.len();
    let shown = fresh.values().map(|row| [&row[..], &vec![Value::Null; width]].concat());
    let told = told(&env, insert.output.as_ref(), &target, (true, false), shown.collect())?;
    let count = fresh.len();
    let identity = made.identity;
    target.put(Some(table), bytes, world, at, session)?;
    if let Some(identity) = identity {
        session.identity = Value::Int(identity);
    }
    finish(told, insert.output.as_ref(), count, INSERT, world, at, session)
}

/// UPDATE and DELETE.
pub(super) fn modify(
    modify: &Modify,
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<Done> {
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let (verb, command) =
        if modify.set.is_some() { ("UPDATE", UPDATE) } else { ("DELETE", DELETE) };
    let env = Env::new(world, instance, session);
    let bound = Modification::bind(&env, modify)?;
    let target = Target::find(&bound.target, verb, world, at, session)?;
    let (changes, pairs, variables) = changes(&env, &bound, &target, modify.set.is_none())?;
    let mut table = (*target.table).clone();
    let bytes = pairs.iter().map(|pair| weight(pair)).sum();
    let count = changes.len();
    let numbers: Vec<u64> = changes.keys().copied().collect();
    table.rows.change(changes);
    if modify.set.is_some() {
        let changed = |number: &u64| numbers.binary_search(number).is_ok();
        let fresh = table.rows.iter().filter(|(number, _)| changed(number));
        let fresh: BTreeMap<u64, &Row> = fresh.map(|(number, row)| (*number, row)).collect();
        constrain(&env, &target, &table, &fresh, verb)?;
    }
    let both = (modify.set.is_some(), true);
    let told = told(&env, modify.output.as_ref(), &target, both, pairs)?;
    if count > 0 {
        target.put(Some(table), bytes, world, at, session)?;
    }
    for (name, ty, value) in variables {
        session.variables.insert(name, (ty, value));
    }
    finish(told, modify.output.as_ref(), count, command, world, at, session)
}

/// A row that goes into a table that has been made from a query.
pub(super) fn fill(
    env: &Env<'_>,
    target: &Target,
    rows: Vec<Row>,
    types: &[Type],
) -> Result<Table> {
    let mut made = Made::new(target);
    let places: Vec<usize> = (0..types.len()).collect();
    for row in rows {
        let given = row.into_iter().zip(types).map(|(value, ty)| Some((*ty, value)));
        made.row(env, target, &places, given.collect(), true)?;
    }
    Ok(made.table)
}

/// A table that gets rows.
struct Made {
    table: Table,
    identity: Option<i64>,
}

impl Made {
    fn new(target: &Target) -> Made {
        Made { table: (*target.table).clone(), identity: None }
    }

    fn row(
        &mut self,
        env: &Env<'_>,
        target: &Target,
        places: &[usize],
        given: Given,
        explicit: bool,
    ) -> Result<()> {
        let shown = target.shown();
        let mut row: Vec<Option<Value>> = vec![None; self.table.columns.len()];
        for (place, value) in places.iter().zip(given) {
            let column = &self.table.columns[*place];
            if let Some((ty, value)) = value {
                row[*place] = Some(fit(&value, ty, column, &shown)?);
            }
        }
        let mut whole = Row::with_capacity(row.len());
        for (place, value) in row.into_iter().enumerate() {
            let column = &self.table.columns[place];
            whole.push(match (value, column.identity) {
                (Some(value), Some((_, step))) if explicit => {
                    if let Value::Int(n) = value {
                        let next = self.table.next_identity;
                        let beyond = if step > 0 { n >= next } else { n <= next };
                        self.identity = Some(n);
                        if beyond {
                            self.table.next_identity = n.saturating_add(step);
                        }
                    }
                    value
                }
                (_, Some((_, step))) => {
                    let next = self.table.next_identity;
                    self.identity = Some(next);
                    self.table.next_identity = next.saturating_add(step);
                    fit(&Value::Int(next), Type::BigInt, column, &shown)?
                }
                (Some(value), None) => value,
                (None, None) => default_of(env, column, &shown)?,
            });
        }
        env.spend(u64::try_from(whole.len()).unwrap_or(u64::MAX))?;
        self.table.rows.push(whole);
        Ok(())
    }
}

/// Places of the columns that values are given for.
fn places(table: &Table, columns: Option<&[String]>, explicit: bool) -> Result<Vec<usize>> {
    let identity = table.identity();
    let Some(columns) = columns else {
        let all = (0..table.columns.len()).filter(|place| explicit || Some(*place) != identity);
        if explicit && identity.is_some() {
            let text = format!(
                "An explicit value for the identity column in table '{}' can only be specified \
                 when a column list is used and IDENTITY_INSERT is ON.",
                table.name
            );
            return Err(Error::new(8101, 16, text));
        }
        return Ok(all.collect());
    };
    let mut places = Vec::new();
    for name in columns {
        let place = table.column(name).ok_or_else(|| invalid_column(name))?;
        if places.contains(&place) {
            let text = format!(
                "The column name '{name}' is specified more than once in the SET clause or column \
                 list of an INSERT. A column cannot be assigned more than one value in the same \
                 clause. Modify the clause to make sure that a column is updated only once. If \
                 this statement updates or inserts columns into a view, column aliasing can \
                 conceal the duplication in your code."
            );
            return Err(Error::new(264, 16, text));
        }
        places.push(place);
    }
    let named = identity.is_some_and(|place| places.contains(&place));
    if named && !explicit {
        let text = format!(
            "Cannot insert explicit value for identity column in table '{}' when IDENTITY_INSERT \
             is set to OFF.",
            table.name
        );
        return Err(Error::new(544, 16, text));
    }
    if explicit && identity.is_some() && !named {
        let text = format!(
            "Explicit value must be specified for identity column in table '{}' either when \
             IDENTITY_INSERT is set to ON or when a replication user is inserting into a NOT FOR \
             REPLICATION identity column.",
            table.name
        );
        return Err(Error::new(545, 16, text));
    }
    Ok(places)
}

/// The rows that an INSERT gives.
fn given(env: &Env<'_>, insert: &Insert, wanted: usize) -> Result<Vec<Given>> {
    let listed = insert.columns.is_some();
    match &insert.source {
        InsertSource::Defaults => Ok(vec![Vec::new()]),
        InsertSource::Values(rows) => {
            let mut given = Vec::new();
            for row in rows {
                check_count(row.len(), wanted, listed, false)?;
                let mut values = Given::new();
                for expr in row {
                    values.push(match expr {
                        None => None,
                        Some(expr) => {
                            let scalar = bind::value(env, insert.with.as_ref(), expr)?;
                            Some((scalar.ty, Evaluator::new(env).scalar(&scalar)?))
                        }
                    });
                }
                given.push(values);
            }
            Ok(given)
        }
        InsertSource::Query(query) => {
            let query = bind::query(env, query)?;
            check_count(query.columns.len(), wanted, listed, true)?;
            let rows = Evaluator::new(env).rows(&query)?;
            let typed = |row: Row| -> Given {
                let typed = row.into_iter().zip(&query.columns);
                typed.map(|(value, column)| Some((column.ty, value))).collect()
            };
            Ok(rows.into_iter().map(typed).collect())
        }
    }
}

fn check_count(given: usize, wanted: usize, listed: bool, select: bool) -> Result<()> {
    if given == wanted {
        return Ok(());
    }
    if !listed {
        let text = "Column name or number of supplied values does not match table definition.";
        return Err(Error::new(213, 16, text));
    }
    let (which, number) = match (wanted > given, select) {
        (true, false) => ("more", 109),
        (false, false) => ("fewer", 110),
        (true, true) => ("select fewer", 120),
        (false, true) => ("select more", 121),
    };
    let text = if select {
        let kind = which.trim_start_matches("select ");
        format!(
            "The select list for the INSERT statement contains {kind} items than the insert list. \
             The number of SELECT values must match the number of INSERT columns."
        )
    } else {
        format!(
            "There are {which} columns in the INSERT statement than values specified in the \
             VALUES clause. The number of values in the VALUES clause must match the number of \
             columns specified in the INSERT statement."
        )
    };
    Err(Error::new(number, 15, text))
}

/// What a modification changes: rows by number; new and old values side by side, for OUTPUT; and
/// the variables that it assigns.
type Changed = (BTreeMap<u64, Change>, Vec<Row>, Vec<(String, Type, Value)>);

fn changes(env: &Env<'_>, bound: &Modification, target: &Target, delete: bool) -> Result<Changed> {
    let table = &target.table;
    let (shown, width) = (target.shown(), table.columns.len());
    let mut evaluator = Evaluator::new(env);
    let most = match &bound.top {
        None => usize::MAX,
        Some(top) => match evaluator.scalar(top)? {
            Value::Int(n) => usize::try_from(n).unwrap_or(0),
            _ => 0,
        },
    };
    let mut changes = BTreeMap::new();
    let (mut pairs, mut variables) = (Vec::new(), Vec::new());
    for row in evaluator.matching(&bound.source, bound.filter.as_ref())? {
        if changes.len() >= most {
            break;
        }
        let Some(Value::Int(number)) = row.get(bound.offset + width) else { continue };
        let number = u64::try_from(*number).unwrap_or(u64::MAX);
        // Of several matches with one row of the target, the first one counts.
        if changes.contains_key(&number) {
            continue;
        }
        let old = row[bound.offset..bound.offset + width].to_vec();
        let mut new = old.clone();
        for (place, scalar) in &bound.set {
            let value = evaluator.of_row(scalar, &row)?;
            new[*place] = fit(&value, scalar.ty, &table.columns[*place], &shown)?;
        }
        variables.clear();
        for (name, ty, scalar) in &bound.variables {
            let value = convert(&evaluator.of_row(scalar, &row)?, scalar.ty, *ty, 0)?;
            variables.push((name.clone(), *ty, value));
        }
        if delete {
            pairs.push([vec![Value::Null; width], old].concat());
            changes.insert(number, Change::Remove);
        } else {
            pairs.push([&new[..], &old].concat());
            changes.insert(number, Change::Replace(new));
        }
    }
    Ok((changes, pairs, variables))
}

/// The rows of OUTPUT.
fn told(
    env: &Env<'_>,
    clause: Option<&OutputClause>,
    target: &Target,
    which: (bool, bool),
    pairs: Vec<Row>,
) -> Result<Option<(Columns, Vec<Row>)>> {
    let Some(clause) = clause else { return Ok(None) };
    let columns = Columns::of_output(env, clause, &target.table, which)?;
    let mut evaluator = Evaluator::new(env);
    let mut rows = Vec::new();
    for pair in pairs {
        let values = columns.items.iter().map(|item| evaluator.of_row(item, &pair));
        rows.push(values.collect::<Result<Row>>()?);
    }
    Ok(Some((columns, rows)))
}

/// The end of the statement, with the rows of OUTPUT or after they have gone INTO a table.
fn finish(
    told: Option<(Columns, Vec<Row>)>,
    clause: Option<&OutputClause>,
    count: usize,
    command: u16,
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<Done> {
    let mut outputs = Vec::new();
    if let Some((columns, rows)) = told {
        match clause.and_then(|clause| clause.into.as_ref()) {
            None => outputs.push(Output::Rows { columns: columns.columns, rows }),
            Some((name, listed)) => {
                let target = Target::find(name, "INSERT", world, at, session)?;
                let places = places(&target.table, listed.as_deref(), false)?;
                check_count(columns.columns.len(), places.len(), listed.is_some(), true)?;
                let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
                let env = Env::new(world, instance, session);
                let mut made = Made::new(&target);
                for row in rows {
                    let given = row.into_iter().zip(&columns.columns);
                    let given = given.map(|(value, column)| Some((column.ty, value)));
                    made.row(&env, &target, &places, given.collect(), false)?;
                }
                target.put(Some(made.table), 100, world, at, session)?;
            }
        }
    }
    session.error = 0;
    session.row_count = i64::try_from(count).unwrap_or(i64::MAX);
    let count = u64::try_from(count).ok().filter(|_| !session.no_count);
    outputs.push(Output::Done { count, command, failed: false });
    Ok(Done { outputs })
}

/// Whether IDENTITY_INSERT is ON for this table.
fn identity_insert(place: &Place, session: &Session) -> bool {
    session.identity_insert.as_deref() == Some(super::table::identity_name(place).as_str())
}
