//! What a batch is checked for before any of it runs.

use crate::sql::bind;
use crate::sql::env::Env;
use crate::sql::error::{Error, Result};
use crate::sql::session::Session;
use crate::sql::statement::{Declaration, Kind, Statement};
use crate::sql::value::Value;
use crate::world::World;

use super::table;

/// What is wrong in any statement keeps the whole batch from running; but names of objects are
/// only looked up when their statement is reached.
pub(super) fn compile<'a>(
    statements: impl Iterator<Item = &'a Statement>,
    world: &World,
    at: &str,
    session: &Session,
) -> Option<Error> {
    let env = Env::new(world, world.instance(at)?, session);
    for statement in statements {
        let checked = match &statement.kind {
            Kind::Query(query) if table::into(query).is_none() => bind::query(&env, query).err(),
            Kind::SetVariable { value: expr, .. } | Kind::Print(expr) | Kind::WaitFor(expr) => {
                bind::scalar(&env, expr).err()
            }
            Kind::Declare(list) => list
                .iter()
                .filter_map(|declaration| declaration.value.as_ref())
                .find_map(|value| bind::scalar(&env, value).err()),
            Kind::If { condition, then, otherwise } => bind::predicate(&env, condition)
                .err()
                .filter(|error| !late(error))
                .or_else(|| compile(then.iter().chain(otherwise), world, at, session)),
            Kind::While { condition, body } => bind::predicate(&env, condition)
                .err()
                .filter(|error| !late(error))
                .or_else(|| compile(body.iter(), world, at, session)),
            Kind::Try { body, catch } => {
                compile(body.iter().chain(catch.iter()), world, at, session)
            }
            Kind::SetOption { .. }
            | Kind::Use(_)
            | Kind::Raise(_)
            | Kind::Begin
            | Kind::Commit
            | Kind::Query(_)
            | Kind::Rollback(_)
            | Kind::Save(_)
            | Kind::Break
            | Kind::Continue
            | Kind::LockTimeout(_)
            | Kind::DeclareTable(_)
            | Kind::CreateTable(_)
            | Kind::AlterTable { .. }
            | Kind::DropTable { .. }
            | Kind::Truncate(_)
            | Kind::CreateIndex(_)
            | Kind::DropIndex { .. }
            | Kind::Insert(_)
            | Kind::Modify(_)
            | Kind::IdentityInsert { .. }
            | Kind::ExecuteText(_)
            | Kind::Return
            | Kind::AlterGroup { .. }
            | Kind::AlterDatabase { .. }
            | Kind::Kill { .. }
            | Kind::Backup(_)
            | Kind::Restore { .. }
            | Kind::SetUp(_)
            | Kind::Group(_)
            | Kind::TraceStatus
            | Kind::LogSpace
            | Kind::Execute { .. } => None,
        };
        if let Some(error) = checked.filter(|error| !late(error)) {
            let nested =
                matches!(statement.kind, Kind::If { .. } | Kind::While { .. } | Kind::Try { .. })
                    && error.line > 1;
            return Some(if nested { error } else { error.at_line(statement.line) });
        }
    }
    None
}

/// Errors that only their statement's turn can bring: a table may be made before, a database may
/// be readable then.
fn late(error: &Error) -> bool {
    error.holder().is_some()
        || matches!(error.number, 208 | 229 | 911 | 916 | 922 | 976 | 983 | 4121 | 7202)
}

/// Declares all variables of a batch, wherever their declarations stand; they are NULL.
pub(super) fn declare(statements: &[Statement], session: &mut Session) -> Result<()> {
    for statement in statements {
        match &statement.kind {
            Kind::Declare(declarations) => {
                for Declaration { name, ty, .. } in declarations {
                    let key = Session::key(name);
                    if session.variables.insert(key, (*ty, Value::Null)).is_some() {
                        let text = format!(
                            "The variable name '{name}' has already been declared. Variable names \
                             must be unique within a query batch or stored procedure."
                        );
                        return Err(Error::new(134, 15, text).at_line(statement.line));
                    }
                }
            }
            Kind::DeclareTable(definition) => {
                let made = table::variable(definition, session);
                made.map_err(|error| error.at_line(statement.line))?;
            }
            Kind::If { then, otherwise, .. } => {
                declare(then, session)?;
                declare(otherwise, session)?;
            }
            Kind::While { body, .. } => declare(body, session)?,
            Kind::Try { body, catch } => {
                declare(body, session)?;
                declare(catch, session)?;
            }
            Kind::Query(_)
            | Kind::SetVariable { .. }
            | Kind::SetOption { .. }
            | Kind::Use(_)
            | Kind::Print(_)
            | Kind::Raise(_)
            | Kind::WaitFor(_)
            | Kind::Begin
            | Kind::Commit
            | Kind::Rollback(_)
            | Kind::Save(_)
            | Kind::Break
            | Kind::Continue
            | Kind::LockTimeout(_)
            | Kind::CreateTable(_)
            | Kind::AlterTable { .. }
            | Kind::DropTable { .. }
            | Kind::Truncate(_)
            | Kind::CreateIndex(_)
            | Kind::DropIndex { .. }
            | Kind::Insert(_)
            | Kind::Modify(_)
            | Kind::IdentityInsert { .. }
            | Kind::ExecuteText(_)
            | Kind::Return
            | Kind::AlterGroup { .. }
            | Kind::AlterDatabase { .. }
            | Kind::Kill { .. }
            | Kind::Backup(_)
            | Kind::Restore { .. }
            | Kind::SetUp(_)
            | Kind::Group(_)
            | Kind::TraceStatus
            | Kind::LogSpace
            | Kind::Execute { .. } => {}
        }
    }
    Ok(())
}
