//! Queries and expressions of statements, and how a statement says that it is done.

use sqlparser::ast;

use crate::sql::bind;
use crate::sql::convert::convert;
use crate::sql::env::Env;
use crate::sql::error::{Result, unknown_database};
use crate::sql::eval::Evaluator;
use crate::sql::ir::{Body, Column};
use crate::sql::session::Session;
use crate::sql::types::Type;
use crate::sql::value::Value;
use crate::sql::views::Row;
use crate::world::World;

use super::{OTHER, Output, SELECT, Step};

/// Rows over which a variable grows; of more the last one stays, as if it did not.
const ACCUMULATED_MOST: usize = 1_000;

pub(super) fn select(
    query: &ast::Query,
    world: &World,
    at: &str,
    session: &mut Session,
) -> Result<Step> {
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let env = Env::new(world, instance, session);
    let text = query;
    let query = bind::query(&env, text)?;
    let rows = Evaluator::new(&env).rows(&query)?;
    let assign = match &query.body {
        Body::Select(select) => select.assign.as_ref(),
        Body::Combine { .. } | Body::Values(_) => None,
    };
    let Some(variables) = assign.cloned() else { return Ok(sent(session, query.columns, rows)) };
    let count = rows.len();
    let keep = |session: &mut Session, row: Row| {
        for ((name, ty), value) in variables.iter().zip(row) {
            session.variables.insert(name.clone(), (*ty, value));
        }
    };
    if count > 1 && accumulates(text, &variables) && count <= ACCUMULATED_MOST {
        for place in 0..count {
            let env = Env::new(world, instance, session);
            let query = bind::query(&env, text)?;
            let row = Evaluator::new(&env).rows(&query)?.into_iter().nth(place);
            keep(session, row.unwrap_or_default());
        }
    } else {
        // The last row is the one that stays.
        keep(session, rows.into_iter().next_back().unwrap_or_default());
    }
    Ok(finished(session, Some(u64::try_from(count).unwrap_or(u64::MAX))))
}

/// Whether a variable is assigned what it was before and more, row by row: `@list = @list + name`.
fn accumulates(query: &ast::Query, variables: &[(String, Type)]) -> bool {
    let text = query.to_string().to_lowercase();
    variables.iter().any(|(name, _)| text.matches(&name.to_lowercase()).count() > 1)
}

pub(super) fn holds(
    condition: &ast::Expr,
    world: &World,
    at: &str,
    session: &Session,
) -> Result<bool> {
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let env = Env::new(world, instance, session);
    let predicate = bind::predicate(&env, condition)?;
    Evaluator::new(&env).holds(&predicate)
}

/// One expression that stands alone, as a value of that type.
pub(super) fn one(
    expr: &ast::Expr,
    ty: Type,
    world: &World,
    at: &str,
    session: &Session,
) -> Result<Value> {
    let instance = world.instance(at).ok_or_else(|| unknown_database(at))?;
    let env = Env::new(world, instance, session);
    let scalar = bind::scalar(&env, expr)?;
    super::super::convert::check(scalar.ty, ty, false)?;
    let value = Evaluator::new(&env).scalar(&scalar)?;
    convert(&value, scalar.ty, ty, 0)
}

pub(super) fn sent(session: &mut Session, columns: Vec<Column>, rows: Vec<Row>) -> Step {
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    session.row_count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    session.error = 0;
    let counted = if session.no_count { None } else { Some(count) };
    let done = Output::Done { count: counted, command: SELECT, failed: false };
    Step::Send(vec![Output::Rows { columns, rows }, done])
}

pub(super) fn finished(session: &mut Session, count: Option<u64>) -> Step {
    Step::Send(vec![end(session, count)])
}

pub(super) fn end(session: &mut Session, count: Option<u64>) -> Output {
    session.row_count = count.and_then(|count| i64::try_from(count).ok()).unwrap_or(0);
    session.error = 0;
    let counted = if session.no_count { None } else { count };
    Output::Done { count: counted, command: OTHER, failed: false }
}

pub(super) fn with_done(session: &mut Session, output: Output) -> Step {
    session.error = 0;
    Step::Send(vec![output, Output::Done { count: None, command: OTHER, failed: false }])
}
