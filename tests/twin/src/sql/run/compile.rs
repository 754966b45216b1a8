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
        let checked = check(&statement.kind, &env, world, at, session);
        if let Some(error) = checked.filter(|error| !late(error)) {
            let nested =
                matches!(statement.kind, Kind::If { .. } | Kind::While { .. } | Kind::Try { .. })
                    && error.line > 1;
            return Some(if nested { error } else { error.at_line(statement.line) });
        }
    }
    None
}

/// What is wrong with the expressions and queries of a statement, and of those within it.
fn check(kind: &Kind, env: &Env<'_>, world: &World, at: &str, session: &Session) -> Option<Error> {
    if let Kind::Query(query) = kind {
        return match table::into(query) {
            None => bind::query(env, query).err(),
            Some(_) => None,
        };
    }
    if let Kind::SetVariable { value: expr, .. } | Kind::Print(expr) | Kind::WaitFor(expr) = kind {
        return bind::scalar(env, expr).err();
    }
    if let Kind::Declare(list) = kind {
        let mut values = list.iter().filter_map(|declaration| declaration.value.as_ref());
        return values.find_map(|value| bind::scalar(env, value).err());
    }
    let condition = match kind.condition() {
        Some(condition) => bind::predicate(env, condition).err().filter(|error| !late(error)),
        None => None,
    };
    condition.or_else(|| {
        kind.blocks().into_iter().find_map(|block| compile(block.iter(), world, at, session))
    })
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
        if let Kind::Declare(declarations) = &statement.kind {
            for Declaration { name, ty, .. } in declarations {
                let key = Session::key(name);
                if session.variables.insert(key, (*ty, Value::Null)).is_some() {
                    let text = format!(
                        "The variable name '{name}' has already been declared. Variable names must \
                         be unique within a query batch or stored procedure."
                    );
                    return Err(Error::new(134, 15, text).at_line(statement.line));
                }
            }
        }
        if let Kind::DeclareTable(definition) = &statement.kind {
            let made = table::variable(definition, session);
            made.map_err(|error| error.at_line(statement.line))?;
        }
        for block in statement.kind.blocks() {
            declare(block, session)?;
        }
    }
    Ok(())
}
