//! Procedures: `sp_executesql`, a batch within a batch, and those that operate jobs; errors that
//! a batch raises.

use sqlparser::ast;

use crate::sql::convert::text_of;
use crate::sql::error::{Error, Result, of_world};
use crate::sql::functions::filled;
use crate::sql::parse::parse_parameters;
use crate::sql::session::{Permission, Session};
use crate::sql::statement::{Argument, Raise};
use crate::sql::types::{Length, Type};
use crate::sql::value::Value;
use crate::sql::views::message;
use crate::world::World;

use super::{
    Inner, Output, Raised, Run, Step, Work, admin, catalog, finished, one, system, with_done,
};

/// Batches within batches.
const MAX_NESTING: usize = 32;

impl Run {
    /// Calls a procedure.
    pub(super) fn execute(
        &mut self,
        name: &str,
        arguments: &[Argument],
        world: &mut World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        let bare = name.rsplit('.').next().unwrap_or(name);
        if let Some(done) = job_procedure(name, bare, arguments, world, at, session) {
            return done;
        }
        if let Some(done) = admin::procedure(bare, arguments, world, at, session) {
            return done;
        }
        if let Some(done) = system::procedure(bare, arguments, world, at, session) {
            return done;
        }
        if let Some((text, parameters)) = catalog::procedure(bare, arguments, world, at, session)? {
            return self.enter_inner(&text, parameters, Vec::new(), session);
        }
        if !bare.eq_ignore_ascii_case("sp_executesql") {
            let text = format!("Could not find stored procedure '{name}'.");
            return Err(Error::new(2812, 16, text).state(62));
        }
        let missing = || {
            let text = "Procedure or function 'sp_executesql' expects parameter '@statement', \
                        which was not supplied.";
            Error::new(201, 16, text).state(4)
        };
        let wide = Type::NVarChar(Length::Max);
        let mut rest = arguments.iter();
        let first = rest.next().ok_or_else(missing)?;
        let Value::Text(text) = one(&first.value, wide, world, at, session)? else {
            return Err(missing());
        };
        let mut parameters = Vec::new();
        let mut outputs = Vec::new();
        if let Some(definitions) = rest.next() {
            let Value::Text(definitions) = one(&definitions.value, wide, world, at, session)?
            else {
                return Err(missing());
            };
            for (position, (name, ty)) in parse_parameters(&definitions)?.into_iter().enumerate() {
                let values = &arguments[2..];
                let named = values.iter().find(|given| {
                    given.name.as_ref().is_some_and(|given| given.eq_ignore_ascii_case(&name))
                });
                let placed = values.get(position).filter(|given| given.name.is_none());
                let Some(given) = named.or(placed) else {
                    let text = format!(
                        "The parameterized query '{text}' expects the parameter '{name}', which \
                         was not supplied."
                    );
                    return Err(Error::new(8178, 16, text));
                };
                if let (true, ast::Expr::Identifier(own)) = (given.output, &given.value) {
                    outputs.push((Session::key(&name), Session::key(&own.value)));
                }
                parameters.push((name, ty, one(&given.value, ty, world, at, session)?));
            }
        }
        self.enter_inner(&text, parameters, outputs, session)
    }

    /// EXEC ('text')
    pub(super) fn execute_text(
        &mut self,
        text: &ast::Expr,
        world: &World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        let wide = Type::NVarChar(Length::Max);
        match one(text, wide, world, at, session)? {
            Value::Text(text) => self.enter_inner(&text, Vec::new(), Vec::new(), session),
            _ => Ok(Step::Send(Vec::new())),
        }
    }

    fn enter_inner(
        &mut self,
        text: &str,
        parameters: Vec<(String, Type, Value)>,
        outputs: Vec<(String, String)>,
        session: &mut Session,
    ) -> Result<Step> {
        if self.depth >= MAX_NESTING {
            let text = "Maximum stored procedure, function, trigger, or view nesting level \
                        exceeded (limit 32).";
            return Err(Error::new(217, 16, text));
        }
        let variables = std::mem::take(&mut session.variables);
        let tables = std::mem::take(&mut session.table_variables);
        let caught = self.work.iter().any(|work| matches!(work, Work::Guard(_)));
        match Run::nested(text, parameters, session, self.depth + 1) {
            Ok(mut run) => {
                run.guarded = self.guarded || caught;
                self.inner = Some(Inner { run: Box::new(run), variables, tables, outputs });
                Ok(Step::Send(Vec::new()))
            }
            Err(error) => {
                (session.variables, session.table_variables) = (variables, tables);
                // Out here it is an error of a statement that ran.
                self.raised = Raised::RaisError;
                Err(error)
            }
        }
    }

    /// RAISERROR and THROW.
    pub(super) fn raise(
        &mut self,
        raise: &Raise,
        line: u32,
        world: &World,
        at: &str,
        session: &mut Session,
    ) -> Result<Step> {
        let wide = Type::NVarChar(Length::Of(2048));
        let number = |expr: &ast::Expr| match one(expr, Type::Int, world, at, session)? {
            Value::Int(n) => Ok(n),
            _ => Ok(1),
        };
        let error = match raise {
            Raise::Again => {
                self.raised = Raised::Throw;
                let Some(error) = session.caught.last() else {
                    let text = "To rethrow an error, a THROW statement must be used inside a \
                                CATCH block. Insert the THROW statement inside a CATCH block, or \
                                add error parameters to the THROW statement.";
                    return Err(Error::new(10_704, 15, text));
                };
                // It keeps the line that it came from.
                self.rethrown = Some(error.line);
                return Err(error.clone());
            }
            Raise::Throw { number: given, text, state } => {
                let given = number(given)?;
                if !(50_000..=i64::from(i32::MAX)).contains(&given) {
                    let text = format!(
                        "Error number {given} in the THROW statement is outside the valid range. \
                         Specify an error number in the valid range of 50000 to 2147483647."
                    );
                    return Err(Error::new(35_100, 16, text));
                }
                let text = text_of(&one(text, wide, world, at, session)?, wide, 0)?;
                let state = u8::try_from(number(state)?.clamp(0, 255)).unwrap_or(1);
                self.raised = Raised::Throw;
                Error::new(i32::try_from(given).unwrap_or(50_000), 16, text).state(state)
            }
            Raise::RaisError { text, severity, state, arguments } => {
                let asked = one(text, Type::Variant, world, at, session)?;
                let (id, format) = match &asked {
                    Value::Variant(inner) if inner.0.is_integer() => numbered(&inner.1)?,
                    _ => (50_000, text_of(&asked, wide, 0)?),
                };
                let mut given = Vec::new();
                for argument in arguments {
                    let value = one(argument, wide, world, at, session)?;
                    given.push(match value {
                        Value::Null => "(null)".to_owned(),
                        value => text_of(&value, wide, 0)?,
                    });
                }
                let severity = u8::try_from(number(severity)?.clamp(0, 25)).unwrap_or(16);
                let state = u8::try_from(number(state)?.clamp(0, 255)).unwrap_or(1);
                self.raised = Raised::RaisError;
                Error::new(id, severity, filled(&format, &given)).state(state)
            }
        };
        let error = error.at_line(line);
        if error.class > 18 && !session.may(Permission::ControlServer) {
            let text = "Error severity levels greater than 18 can only be specified by members of \
                        the sysadmin role, using the WITH LOG option.";
            return Err(Error::new(2754, 16, text));
        }
        if error.class <= 10 {
            return Ok(with_done(session, Output::Info(error)));
        }
        Err(error)
    }
}

/// A message of `sys.messages` by its number.
fn numbered(number: &Value) -> Result<(i32, String)> {
    let number = if let Value::Int(number) = number { *number } else { 0 };
    let found = message(number).zip(i32::try_from(number).ok());
    let (text, id) = found.ok_or_else(|| {
        let text = format!(
            "Error {number}, severity 16, state 1 was raised, but no message with that error number \
             was found in sys.messages. If error is larger than 50000, make sure the user-defined \
             message is added using sp_addmessage."
        );
        Error::new(18_054, 16, text)
    })?;
    Ok((id, text.to_owned()))
}

/// `sp_update_job @job_name, @enabled` and `sp_start_job @job_name`, in msdb; nothing if it is
/// another procedure.
fn job_procedure(
    name: &str,
    bare: &str,
    arguments: &[Argument],
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
    arguments: &[Argument],
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
        let found = arguments.iter().find(|given| {
            given.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(wanted))
        });
        found.map(|given| &given.value)
    };
    // The first parameter of sp_start_job is the name; of sp_update_job the id comes first.
    let placed = arguments.first().filter(|given| given.name.is_none() && !update);
    let wide = Type::NVarChar(Length::Of(128));
    let job = named("@job_name").or(placed.map(|given| &given.value));
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
