//! `sp_executesql`: a batch within a batch.

use sqlparser::ast;

use crate::sql::error::{Error, Result};
use crate::sql::parse::parse_parameters;
use crate::sql::session::Session;
use crate::sql::types::{Length, Type};
use crate::sql::value::Value;
use crate::world::World;

use super::{Run, Step, one};

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
