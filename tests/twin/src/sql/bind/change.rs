//! What INSERT, UPDATE and DELETE do to the rows of a table.

use sqlparser::ast;

use super::super::definition::{Assigned, Modify, OutputClause};
use super::super::env::{Env, Place as At};
use super::super::error::{Error, Result, invalid_column, invalid_object, undeclared_variable};
use super::super::ir::{Column, Predicate, Scalar, Source};
use super::super::session::Session;
use super::super::types::Type;
use super::source::columns_of;
use super::{Binder, Place, Scope, Table, converted};
use crate::tables;

/// A bound UPDATE or DELETE.
pub(crate) struct Modification {
    /// Rows of user tables bring their numbers.
    pub(crate) source: Source,
    pub(crate) filter: Option<Predicate>,
    pub(crate) top: Option<Scalar>,
    /// Where the target's columns begin in a joined row; its number follows them.
    pub(crate) offset: usize,
    /// The target's name as it is looked up.
    pub(crate) target: Vec<String>,
    /// Places of columns and their new values, each of its own type.
    pub(crate) set: Vec<(usize, Scalar)>,
    pub(crate) variables: Vec<(String, Type, Scalar)>,
}

/// A bound list: of OUTPUT, or of what a CHECK looks at.
pub(crate) struct Columns {
    pub(crate) items: Vec<Scalar>,
    pub(crate) columns: Vec<Column>,
}

impl Modification {
    /// Binds UPDATE and DELETE.
    pub(crate) fn bind(env: &Env<'_>, modify: &Modify) -> Result<Modification> {
        let mut binder = Binder::new(env);
        binder.numbered = true;
        binder.define(modify.with.as_ref());
        binder.heed(modify.hints.as_deref());
        let (source, found) = if modify.from.is_empty() {
            binder.one_table(&modify.target)?
        } else {
            binder.from(&modify.from)?
        };
        let (source, found, offset, target) = binder.aim(source, found, modify)?;
        let table = env.table(&target, false)?.ok_or_else(|| invalid_object(&target.join(".")))?;
        let scope = Scope { tables: found, ..Scope::default() };
        let (mut set, mut variables) = (Vec::new(), Vec::new());
        let ((filter, top), _) = binder.within(scope, |binder| {
            for (assigned, value) in modify.set.iter().flatten() {
                let value = binder.scalar(value)?;
                match assigned {
                    Assigned::Column(name) => {
                        set.push((settable(&table, name, &set)?, value));
                    }
                    Assigned::Variable(name) => {
                        let key = Session::key(name);
                        let known = binder.session.variables.get(&key);
                        let ty = known.ok_or_else(|| undeclared_variable(name))?.0;
                        variables.push((key, ty, converted(value, ty)?));
                    }
                }
            }
            let filter = modify.filter.as_ref().map(|filter| binder.predicate(filter));
            let top = modify.top.as_ref().map(|top| binder.scalar(top));
            Ok((filter.transpose()?, top.transpose()?))
        })?;
        let top = top.map(|top| converted(top, Type::BigInt)).transpose()?;
        Ok(Modification { source, filter, top, offset, target, set, variables })
    }
}

impl Columns {
    /// Binds the list of OUTPUT: a row of it is `inserted`, then `deleted`.
    pub(crate) fn of_output(
        env: &Env<'_>,
        clause: &OutputClause,
        table: &tables::Table,
        (inserted, deleted): (bool, bool),
    ) -> Result<Columns> {
        let named = |name: &str, offset| Table {
            name: name.to_owned(),
            qualified: Vec::new(),
            columns: columns_of(table),
            offset,
        };
        let mut tables = Vec::new();
        if inserted {
            tables.push(named("inserted", 0));
        }
        if deleted {
            tables.push(named("deleted", table.columns.len()));
        }
        let scope = Scope { tables, ..Scope::default() };
        let mut binder = Binder::new(env);
        let (listed, _) =
            binder.within(scope, |binder| binder.items(&clause.items, Place::Derived))?;
        let columns = listed.items.iter().zip(listed.names).map(|(item, name)| Column {
            name,
            ty: item.ty,
            nullable: item.nullable,
        });
        Ok(Columns { columns: columns.collect(), items: listed.items })
    }

    /// Binds the condition of a CHECK to a row of its table.
    pub(crate) fn check(
        env: &Env<'_>,
        table: &tables::Table,
        condition: &ast::Expr,
    ) -> Result<Predicate> {
        let row = Table {
            name: table.name.clone(),
            qualified: Vec::new(),
            columns: columns_of(table),
            offset: 0,
        };
        let scope = Scope { tables: vec![row], ..Scope::default() };
        let mut binder = Binder::new(env);
        binder.within(scope, |binder| binder.predicate(condition)).map(|(bound, _)| bound)
    }
}

impl Binder<'_> {
    fn one_table(&mut self, name: &[String]) -> Result<(Source, Vec<Table>)> {
        self.named(name, None, false)
    }

    /// Which table of FROM is the target: one of that name or alias, or the table itself, beside
    /// FROM.
    fn aim(
        &mut self,
        source: Source,
        found: Vec<Table>,
        modify: &Modify,
    ) -> Result<(Source, Vec<Table>, usize, Vec<String>)> {
        let parts = &modify.target;
        let place = At::of(parts, self.session);
        let is_target = |table: &&Table| match parts.as_slice() {
            [name] if table.qualified.is_empty() => table.name.eq_ignore_ascii_case(name),
            _ => !table.qualified.is_empty() && At::of(&table.qualified, self.session) == place,
        };
        let Some(target) = found.iter().find(is_target) else {
            return Err(invalid_object(&parts.join(".")));
        };
        let offset = target.offset;
        let name = match target.qualified.as_slice() {
            [] => aliased(&modify.from, &target.name).unwrap_or_else(|| parts.clone()),
            qualified => qualified.to_vec(),
        };
        Ok((source, found, offset, name))
    }
}

/// The table that an alias of FROM stands for.
pub(crate) fn aliased(from: &[ast::TableWithJoins], alias: &str) -> Option<Vec<String>> {
    let factors = from.iter().flat_map(|item| {
        std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation))
    });
    factors.into_iter().find_map(|factor| match factor {
        ast::TableFactor::Table { name, alias: Some(given), .. }
            if given.name.value.eq_ignore_ascii_case(alias) =>
        {
            super::name_parts(name)
        }
        _ => None,
    })
}

/// The place of a column that SET may assign to.
fn settable(table: &tables::Table, name: &str, before: &[(usize, Scalar)]) -> Result<usize> {
    let place = table.column(name).ok_or_else(|| invalid_column(name))?;
    if before.iter().any(|(known, _)| *known == place) {
        let text = format!(
            "The column name '{name}' is specified more than once in the SET clause or column \
             list of an INSERT. A column cannot be assigned more than one value in the same \
             clause. Modify the clause to make sure that a column is updated only once. If this \
             statement updates or inserts columns into a view, column aliasing can conceal the \
             duplication in your code."
        );
        return Err(Error::new(264, 16, text));
    }
    if table.columns[place].identity.is_some() {
        return Err(Error::new(8102, 16, format!("Cannot update identity column '{name}'.")));
    }
    Ok(place)
}
