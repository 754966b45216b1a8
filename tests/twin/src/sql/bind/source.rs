//! FROM: tables, derived tables, joins.

use sqlparser::ast;

use super::super::error::{Error, Result, invalid_object, syntax_near_keyword};
use super::super::ir::{Column, JoinKind, Query, Source, TableSource};
use super::super::session::{Permission, Session};
use super::super::views;
use super::recursive::references;
use super::{Binder, Place, Scope, Table, Working, name_parts, refused};

impl Binder<'_> {
    /// Binds a FROM clause.
    pub(super) fn from(&mut self, from: &[ast::TableWithJoins]) -> Result<(Source, Vec<Table>)> {
        let mut result: Option<(Source, Vec<Table>)> = None;
        for item in from {
            let bound = self.joined(item)?;
            result = Some(match result {
                None => bound,
                Some((left, tables)) => beside(left, tables, bound, JoinKind::Inner),
            });
        }
        let (source, tables) = result.unwrap_or((Source::One, Vec::new()));
        check_names(&tables)?;
        Ok((source, tables))
    }

    fn joined(&mut self, item: &ast::TableWithJoins) -> Result<(Source, Vec<Table>)> {
        self.deeper(|binder| {
            let (mut source, mut tables) = binder.factor(&item.relation, Vec::new())?;
            for join in &item.joins {
                (source, tables) = binder.join(source, tables, join)?;
            }
            Ok((source, tables))
        })
    }

    fn join(
        &mut self,
        left: Source,
        tables: Vec<Table>,
        join: &ast::Join,
    ) -> Result<(Source, Vec<Table>)> {
        use ast::{JoinConstraint, JoinOperator};
        let (kind, constraint) = match &join.join_operator {
            JoinOperator::Join(on) | JoinOperator::Inner(on) => (JoinKind::Inner, Some(on)),
            JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (JoinKind::Left, Some(on)),
            JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (JoinKind::Right, Some(on)),
            JoinOperator::FullOuter(on) => (JoinKind::Full, Some(on)),
            JoinOperator::CrossJoin(JoinConstraint::None) => (JoinKind::Inner, None),
            JoinOperator::CrossApply => (JoinKind::CrossApply, None),
            JoinOperator::OuterApply => (JoinKind::OuterApply, None),
            _ => return Err(refused(join)),
        };
        let sees = match kind {
            JoinKind::CrossApply | JoinKind::OuterApply => tables.clone(),
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => Vec::new(),
        };
        let right = self.factor(&join.relation, sees)?;
        let (source, tables) = beside(left, tables, right, kind);
        check_names(&tables)?;
        let on = match constraint {
            None => return Ok((source, tables)),
            Some(JoinConstraint::On(on)) => on,
            Some(JoinConstraint::None) => {
                return Err(Error::new(102, 15, "Incorrect syntax near ';'."));
            }
            Some(JoinConstraint::Using(_)) => {
                return Err(super::super::error::syntax_near("USING"));
            }
            Some(JoinConstraint::Natural) => return Err(syntax_near_keyword("JOIN")),
        };
        let scope = Scope { tables, ..Scope::default() };
        let (on, scope) = self.within(scope, |binder| binder.predicate(on))?;
        let Source::Join { kind, left, right, .. } = source else {
            return Err(refused(join));
        };
        Ok((Source::Join { kind, left, right, on: Some(Box::new(on)) }, scope.tables))
    }

    /// One element of FROM. `sees` are the tables on its left that it may refer to.
    fn factor(
        &mut self,
        factor: &ast::TableFactor,
        sees: Vec<Table>,
    ) -> Result<(Source, Vec<Table>)> {
        match factor {
            ast::TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version: None,
                with_ordinality: false,
                sample: None,
                ..
            } => {
                let hinted = match args {
                    None => true,
                    Some(args) => is_hint(args),
                };
                let parts = name_parts(name).ok_or_else(|| refused(name))?;
                if let Some(args) = args.as_ref().filter(|_| !hinted) {
                    return self.called(&parts, args, alias.as_ref(), sees);
                }
                let mut dirty = args
                    .as_ref()
                    .is_some_and(|args| args.args.iter().any(|hint| is_dirty(&hint.to_string())));
                for hint in with_hints {
                    check_hint(&hint.to_string())?;
                    dirty |= is_dirty(&hint.to_string());
                }
                self.named(&parts, alias.as_ref(), dirty)
            }
            ast::TableFactor::Derived { lateral: false, subquery, alias, sample: None } => {
                let Some(alias) = alias else {
                    return Err(super::super::error::syntax_near(")"));
                };
                let scope = Scope { tables: sees, ..Scope::default() };
                let (query, _) =
                    self.within(scope, |binder| binder.query(subquery, Place::Derived))?;
                let names = alias.columns.iter().map(|c| c.name.value.clone()).collect();
                derived(query, &alias.name.value, names)
            }
            ast::TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.joined(table_with_joins)
            }
            _ => Err(refused(factor)),
        }
    }

    pub(super) fn named(
        &mut self,
        parts: &[String],
        alias: Option<&ast::TableAlias>,
        dirty: bool,
    ) -> Result<(Source, Vec<Table>)> {
        if let [name] = parts {
            let found = self.ctes.iter().rposition(|cte| cte.name.eq_ignore_ascii_case(name));
            if let Some(at) = found {
                return self.common(at, alias);
            }
        }
        let shown = || parts.join(".");
        let (database, schema, name) = match parts {
            [name] => (None, "dbo", name),
            [schema, name] => (None, schema.as_str(), name),
            [database, schema, name] if schema.is_empty() => (Some(database.as_str()), "dbo", name),
            [database, schema, name] => (Some(database.as_str()), schema.as_str(), name),
            [server, ..] => {
                let text = format!(
                    "Could not find server '{server}' in sys.servers. Verify that the correct \
                     server name was specified. If necessary, execute the stored procedure \
                     sp_addlinkedserver to add the server to sys.servers."
                );
                return Err(Error::new(7202, 11, text).state(2));
            }
            [] => return Err(invalid_object("")),
        };
        let database = database.unwrap_or(&self.session.database);
        let table = |columns| Table {
            name: alias.map_or_else(|| name.clone(), |alias| alias.name.value.clone()),
            qualified: if alias.is_some() { Vec::new() } else { parts.to_vec() },
            columns,
            offset: 0,
        };
        let version = (super::super::env::major(self.env.instance), self.env.is_managed());
        if schema.eq_ignore_ascii_case("sys") && views::find_function(version, name).is_some() {
            let text = format!("Parameters were not supplied for the function '{}'.", shown());
            return Err(Error::new(216, 16, text));
        }
        if let Some(view) = views::find(version, Some(database), schema, name) {
            let columns = view.columns.clone();
            return Ok((Source::View(view, database.to_owned()), vec![table(columns)]));
        }
        let found = self.env.table(parts, dirty)?.ok_or_else(|| match name.starts_with('@') {
            true => Error::new(1087, 15, format!("Must declare the table variable \"{name}\".")),
            false => invalid_object(&shown()),
        })?;
        may_read(self.session, database, name)?;
        let columns = columns_of(&found);
        let source = TableSource { table: found, numbered: self.numbered };
        Ok((Source::Table(source), vec![table(columns)]))
    }

    /// A reference to a common table expression: its query, bound where it stands.
    fn common(
        &mut self,
        at: usize,
        alias: Option<&ast::TableAlias>,
    ) -> Result<(Source, Vec<Table>)> {
        let cte = self.ctes[at].clone();
        let name = alias.map_or(&cte.name, |alias| &alias.name.value);
        if let Some(Working { id, columns }) = cte.working {
            self.self_references += 1;
            let width = columns.len();
            let (name, qualified) = (name.clone(), Vec::new());
            let table = Table { name, qualified, columns, offset: 0 };
            return Ok((Source::Working { id, width }, vec![table]));
        }
        let later = self.ctes.split_off(cte.sees);
        let scopes = std::mem::take(&mut self.scopes);
        let visible = self.ctes.len();
        let made = if references(&cte.query.body, &cte.name) > 0 {
            self.recursive(&cte, name)
        } else {
            let query = self.query(&cte.query, Place::Derived);
            query.and_then(|query| derived(query, name, cte.columns.clone()))
        };
        self.scopes = scopes;
        self.ctes.truncate(visible);
        self.ctes.extend(later);
        made
    }
}

/// 229 for whoever has no rights in the databases of users.
fn may_read(session: &Session, database: &str, name: &str) -> Result<()> {
    if session.may(Permission::ControlServer) || name.starts_with(['#', '@']) {
        return Ok(());
    }
    let text = format!(
        "The SELECT permission was denied on the object '{name}', database '{database}', schema \
         'dbo'."
    );
    Err(Error::new(229, 14, text).state(5))
}

/// What a query sees of a user table.
pub(super) fn columns_of(table: &crate::tables::Table) -> Vec<Column> {
    let shown = table.columns.iter().map(|column| Column {
        name: column.name.clone(),
        ty: column.ty,
        nullable: column.nullable,
    });
    shown.collect()
}

/// A query as a table; `names` replace the names of its columns if there are any.
pub(super) fn derived(
    mut query: Query,
    table: &str,
    names: Vec<String>,
) -> Result<(Source, Vec<Table>)> {
    if !names.is_empty() {
        if names.len() != query.columns.len() {
            let more = if names.len() < query.columns.len() { "more" } else { "fewer" };
            let text =
                format!("'{table}' has {more} columns than were specified in the column list.");
            return Err(Error::new(8158, 16, text));
        }
        for (column, name) in query.columns.iter_mut().zip(names) {
            column.name = name;
        }
    }
    let mut seen: Vec<&Column> = Vec::new();
    for (at, column) in query.columns.iter().enumerate() {
        if column.name.is_empty() {
            let text = format!("No column name was specified for column {} of '{table}'.", at + 1);
            return Err(Error::new(8155, 16, text).state(2));
        }
        if seen.iter().any(|before| before.name.eq_ignore_ascii_case(&column.name)) {
            let text =
                format!("The column '{}' was specified multiple times for '{table}'.", column.name);
            return Err(Error::new(8156, 16, text));
        }
        seen.push(column);
    }
    let columns = query.columns.clone();
    let table = Table { name: table.to_owned(), qualified: Vec::new(), columns, offset: 0 };
    Ok((Source::Derived(Box::new(query)), vec![table]))
}

/// Puts two sources side by side: the right one's columns follow the left one's.
fn beside(
    left: Source,
    mut tables: Vec<Table>,
    (right, more): (Source, Vec<Table>),
    kind: JoinKind,
) -> (Source, Vec<Table>) {
    let shift = left.width();
    let outer = |tables: &mut Vec<Table>| {
        for column in tables.iter_mut().flat_map(|table| &mut table.columns) {
            column.nullable = true;
        }
    };
    let mut more: Vec<Table> =
        more.into_iter().map(|table| Table { offset: table.offset + shift, ..table }).collect();
    if matches!(kind, JoinKind::Left | JoinKind::Full | JoinKind::OuterApply) {
        outer(&mut more);
    }
    if matches!(kind, JoinKind::Right | JoinKind::Full) {
        outer(&mut tables);
    }
    tables.extend(more);
    let (left, right) = (Box::new(left), Box::new(right));
    (Source::Join { kind, left, right, on: None }, tables)
}

fn check_names(tables: &[Table]) -> Result<()> {
    for (at, table) in tables.iter().enumerate() {
        let twin = tables[..at].iter().find(|before| {
            before.name.eq_ignore_ascii_case(&table.name) && before.qualified == table.qualified
        });
        if twin.is_none() {
            continue;
        }
        return Err(if table.qualified.is_empty() {
            let text = format!(
                "The correlation name '{}' is specified multiple times in a FROM clause.",
                table.name
            );
            Error::new(1011, 16, text)
        } else {
            let name = table.qualified.join(".");
            let text = format!(
                "The objects \"{name}\" and \"{name}\" in the FROM clause have the same exposed \
                 names. Use correlation names to distinguish them."
            );
            Error::new(1013, 16, text)
        });
    }
    Ok(())
}

const HINTS: [&str; 13] = [
    "NOLOCK",
    "READUNCOMMITTED",
    "READCOMMITTED",
    "READCOMMITTEDLOCK",
    "READPAST",
    "HOLDLOCK",
    "NOWAIT",
    "ROWLOCK",
    "PAGLOCK",
    "TABLOCK",
    "UPDLOCK",
    "SERIALIZABLE",
    "REPEATABLEREAD",
];

fn is_dirty(hint: &str) -> bool {
    ["NOLOCK", "READUNCOMMITTED"].iter().any(|known| known.eq_ignore_ascii_case(hint))
}

fn check_hint(hint: &str) -> Result<()> {
    if HINTS.iter().any(|known| known.eq_ignore_ascii_case(hint)) {
        return Ok(());
    }
    let text = format!(
        "\"{hint}\" is not a recognized table hints option. If it is intended as a \
        parameter to a table-valued function or to the CHANGETABLE function, ensure that your \
        database compatibility mode is set to 90."
    );
    Err(Error::new(321, 15, text))
}

/// The old form `FROM t (NOLOCK)`.
fn is_hint(args: &ast::TableFunctionArgs) -> bool {
    args.settings.is_none()
        && !args.args.is_empty()
        && args.args.iter().all(|arg| check_hint(&arg.to_string()).is_ok())
}
