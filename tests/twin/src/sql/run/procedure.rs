//! Procedures: `sp_executesql`, a batch within a batch, and those that operate jobs.

use sqlparser::ast;

use crate::sql::error::{Error, Result};
use crate::sql::parse::parse_parameters;
use crate::sql::session::{Permission, Session};
use crate::sql::types::{Length, Type};
use crate::sql::value::Value;
use crate::world::World;

use super::{Run, Step, finished, of_world, one};

/// Batches within batches.
const MAX_NESTING: usize = 32;

impl Run {
    /// Calls a procedure; there is only the one.
    pub(super) fn execute(
        &mut self,
        name: &str,
        arguments: &[(Option<String>, ast::Expr)],
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        let bare = name.rsplit('.').next().unwrap_or(name);
        if let Some(done) = job_procedure(name, bare, arguments, world, at, session) {
            return done;
        }
        if !bare.eq_ignore_ascii_case("sp_executesql") {
            let text = format!("Could not find stored procedure '{name}'.");
            return Err(Error::new(2812, 16, text).state(62));
        }
        if self.depth >= MAX_NESTING {
            let text = "Maximum stored procedure, function, trigger, or view nesting level \
                        exceeded (limit 32).";
            return Err(Error::new(217, 16, text));
        }
        let missing = || {
            let text = "Procedure or function 'sp_executesql' expects parameter '@statement', \
                        which was not supplied.";
            Error::new(201, 16, text).state(4)
        };
        let wide = Type::NVarChar(Length::Max);
        let mut rest = arguments.iter();
        let (_, first) = rest.next().ok_or_else(missing)?;
        let Value::Text(text) = one(first, wide, world, at, session)? else {
            return Err(missing());
        };
        let mut parameters = Vec::new();
        if let Some((_, definitions)) = rest.next() {
            let Value::Text(definitions) = one(definitions, wide, world, at, session)? else {
                return Err(missing());
            };
            for (position, (name, ty)) in parse_parameters(&definitions)?.into_iter().enumerate() {
                let values = &arguments[2..];
                let named = values.iter().find(|(given, _)| {
                    given.as_ref().is_some_and(|given| given.eq_ignore_ascii_case(&name))
                });
                let placed = values.get(position).filter(|(given, _)| given.is_none());
                let Some((_, expr)) = named.or(placed) else {
                    let text = format!(
                        "The parameterized query '{text}' expects the parameter '{name}', which \
                         was not supplied."
                    );
                    return Err(Error::new(8178, 16, text));
                };
                parameters.push((name, ty, one(expr, ty, world, at, session)?));
            }
        }
        let outer = std::mem::take(&mut session.variables);
        match Run::nested(&text, parameters, session, self.depth + 1) {
            Ok(inner) => {
                self.inner = Some((Box::new(inner), outer));
                Ok(Step::Send(Vec::new()))
            }
            Err(error) => {
                session.variables = outer;
                Err(error)
            }
        }
    }
}

/// `sp_update_job @job_name, @enabled` and `sp_start_job @job_name`, in msdb; nothing if it is
/// another procedure.
fn job_procedure(
    name: &str,
    bare: &str,
    arguments: &[(Option<String>, ast::Expr)],
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Option<Result<Step>> {
    let update = bare.eq_ignore_ascii_case("sp_update_job");
    let known = update || bare.eq_ignore_ascii_case("sp_start_job");
    let in_msdb = name.to_ascii_lowercase().starts_with("msdb.")
        || session.database.eq_ignore_ascii_case("msdb");
    if !known || !in_msdb {
        return None;
    }
    Some(run_job_procedure(update, bare, arguments, world, at, session))
}

fn run_job_procedure(
    update: bool,
    bare: &str,
    arguments: &[(Option<String>, ast::Expr)],
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<Step> {
    if !session.may(Permission::OperateJobs) {
        let text = format!(
            "The EXECUTE permission was denied on the object '{bare}', database 'msdb', schema \
             'dbo'."
        );
        return Err(Error::new(229, 14, text).state(5));
    }
    let named = |wanted: &str| {
        let found = arguments.iter().find(|(name, _)| {
            name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(wanted))
        });
        found.map(|(_, expr)| expr)
    };
    // The first parameter of sp_start_job is the name; of sp_update_job the id comes first.
    let placed = arguments.first().filter(|(name, _)| name.is_none() && !update);
    let wide = Type::NVarChar(Length::Of(128));
    let job = named("@job_name").or(placed.map(|(_, expr)| expr));
    let job = job.map(|expr| one(expr, wide, world, at, session)).transpose()?;
    let Some(Value::Text(job)) = job else {
        let text = "Supply either @job_id or @job_name to identify the job.";
        return Err(Error::new(14_294, 16, text));
    };
    let outcome = if update {
        match named("@enabled").map(|expr| one(expr, Type::TinyInt, world, at, session)) {
            Some(on) => world.enable_job(at, &job, on? == Value::Int(1)),
            None => Ok(()),
        }
    } else {
        world.start_job(at, &job)
    };
    outcome.map_err(|error| of_world(&error))?;
    Ok(finished(session, None))
}
