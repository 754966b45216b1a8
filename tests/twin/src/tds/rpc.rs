//! Procedure calls: which statement they run, with which values.

use std::collections::BTreeMap;

use crate::sql::{Error, Type, Value, convert, parse_parameters};

use super::request::{Call, Parameter, Procedure};

/// Prepared statements of one session.
const MAX_PREPARED: usize = 1_000;

/// What a call comes to.
pub(super) enum Plan {
    Run {
        text: String,
        parameters: Vec<(String, Type, Value)>,
        /// Ordinals and names of the parameters that go back.
        outputs: Vec<(u16, String)>,
        handle: Option<i32>,
    },
    Answer(Option<i32>),
}

/// The prepared statements of a session, by handle.
#[derive(Default)]
pub(super) struct Statements {
    known: BTreeMap<i32, Prepared>,
    last: i32,
}

#[derive(Clone)]
struct Prepared {
    text: String,
    parameters: Vec<(String, Type)>,
}

impl Statements {
    /// What a call comes to.
    ///
    /// # Errors
    /// An unknown procedure or handle, or parameters that do not fit.
    pub(super) fn plan(&mut self, call: Call) -> Result<Plan, Error> {
        let Call { procedure, parameters } = call;
        let mut given = parameters.into_iter();
        match procedure {
            Procedure::ExecuteSql => {
                let text = text_of(given.next(), "@statement")?;
                let declared = declared(given.next())?;
                Plan::run(Prepared { text, parameters: declared }, given, None)
            }
            Procedure::Prepare | Procedure::PrepareAndExecute => {
                let run = procedure == Procedure::PrepareAndExecute;
                let _handle = given.next();
                let declared = declared(given.next())?;
                let prepared =
                    Prepared { text: text_of(given.next(), "@stmt")?, parameters: declared };
                if self.known.len() >= MAX_PREPARED {
                    let text = "There is insufficient system memory in resource pool 'default' to \
                                run this query.";
                    return Err(Error::new(701, 17, text));
                }
                self.last += 1;
                let handle = self.last;
                self.known.insert(handle, prepared.clone());
                if run {
                    Plan::run(prepared, given, Some(handle))
                } else {
                    Ok(Plan::Answer(Some(handle)))
                }
            }
            Procedure::Execute => {
                let handle = handle_of(given.next());
                match handle.and_then(|handle| self.known.get(&handle)) {
                    Some(prepared) => Plan::run(prepared.clone(), given, None),
                    None => Err(no_handle(handle, "sp_execute")),
                }
            }
            Procedure::Unprepare => {
                let handle = handle_of(given.next());
                match handle.and_then(|handle| self.known.remove(&handle)) {
                    Some(_) => Ok(Plan::Answer(None)),
                    None => Err(no_handle(handle, "sp_unprepare")),
                }
            }
            Procedure::Other(name) => {
                let text = format!("Could not find stored procedure '{name}'.");
                Err(Error { state: 62, ..Error::new(2_812, 16, text) })
            }
        }
    }

    /// Forgets all statements.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }
}

impl Plan {
    /// Gives the parameters of a statement their values, by name or in their order.
    fn run(
        prepared: Prepared,
        given: impl Iterator<Item = Parameter>,
        handle: Option<i32>,
    ) -> Result<Plan, Error> {
        let mut given: Vec<Option<Parameter>> = given.map(Some).collect();
        let mut parameters = Vec::new();
        let mut outputs = Vec::new();
        for (position, (name, ty)) in prepared.parameters.iter().enumerate() {
            let named = given.iter().position(|parameter| {
                parameter.as_ref().is_some_and(|p| p.name.eq_ignore_ascii_case(name))
            });
            let unnamed = |at: &usize| {
                given.get(*at).and_then(Option::as_ref).is_some_and(|p| p.name.is_empty())
            };
            let at = named.or(Some(position).filter(unnamed));
            let Some(found) = at.and_then(|at| given.get_mut(at)).and_then(Option::take) else {
                let text = format!(
                    "The parameterized query '{}' expects the parameter '{name}', which was not \
                     supplied.",
                    prepared.text.chars().take(100).collect::<String>()
                );
                return Err(Error::new(8_178, 16, text));
            };
            if found.output {
                outputs.push((u16::try_from(position).unwrap_or(u16::MAX), name.clone()));
            }
            let value = convert(&found.value, found.ty, *ty, 0)?;
            parameters.push((name.clone(), *ty, value));
        }
        Ok(Plan::Run { text: prepared.text, parameters, outputs, handle })
    }
}

fn text_of(parameter: Option<Parameter>, name: &str) -> Result<String, Error> {
    match parameter.map(|parameter| parameter.value) {
        Some(Value::Text(text)) => Ok(text),
        Some(_) | None => {
            let text =
                format!("Procedure expects parameter '{name}' of type 'ntext/nchar/nvarchar'.");
            Err(Error { state: 3, ..Error::new(214, 16, text) })
        }
    }
}

/// The declarations of a statement's parameters; none if the text is empty, NULL or left out.
fn declared(parameter: Option<Parameter>) -> Result<Vec<(String, Type)>, Error> {
    match parameter.map(|parameter| parameter.value) {
        Some(Value::Text(text)) => parse_parameters(&text),
        Some(_) | None => Ok(Vec::new()),
    }
}

fn handle_of(parameter: Option<Parameter>) -> Option<i32> {
    let Value::Int(handle) = parameter?.value else { return None };
    i32::try_from(handle).ok()
}

fn no_handle(handle: Option<i32>, procedure: &str) -> Error {
    let shown = handle.unwrap_or(0);
    let text = format!("Could not find prepared statement with handle {shown}.");
    tracing::debug!(procedure, shown, "no such handle");
    Error { state: 1, ..Error::new(8_179, 16, text) }
}
