//! Procedure calls: which statement they run, with which values.

use std::collections::BTreeMap;

use crate::sql::{Error, Type, Value, convert, parse_parameters, readable};

use super::request::{Call, Parameter, Procedure};

/// Prepared statements of one session.
const MAX_PREPARED: usize = 1_000;

/// What a call comes to.
pub(super) enum Plan {
    Run {
        text: String,
        parameters: Vec<(String, Type, Value)>,
        outputs: Vec<Output>,
        handle: Option<Handle>,
    },
    Answer(Option<Handle>),
}

/// A parameter whose value goes back.
pub(super) struct Output {
    /// Its place in the call.
    pub(super) ordinal: u16,
    /// Its name as the client gave it.
    pub(super) name: String,
    /// The variable that has its value.
    pub(super) variable: String,
}

/// The handle of a prepared statement, and the name of the parameter that brings it back.
pub(super) struct Handle {
    pub(super) name: String,
    pub(super) value: i32,
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
                Plan::run(Prepared { text, parameters: declared }, 2, given, None)
            }
            Procedure::Prepare | Procedure::PrepareAndExecute => {
                let run = procedure == Procedure::PrepareAndExecute;
                let name = given.next().map(|parameter| parameter.name).unwrap_or_default();
                let declared = declared(given.next())?;
                let prepared =
                    Prepared { text: text_of(given.next(), "@stmt")?, parameters: declared };
                // What cannot be read is not prepared.
                readable(&prepared.text)?;
                if self.known.len() >= MAX_PREPARED {
                    let text = "There is insufficient system memory in resource pool 'default' to \
                                run this query.";
                    return Err(Error::new(701, 17, text));
                }
                self.last += 1;
                self.known.insert(self.last, prepared.clone());
                let handle = Handle { name, value: self.last };
                if run {
                    Plan::run(prepared, 3, given, Some(handle))
                } else {
                    Ok(Plan::Answer(Some(handle)))
                }
            }
            Procedure::Execute => {
                let handle = handle_of(given.next());
                match handle.and_then(|handle| self.known.get(&handle)) {
                    Some(prepared) => Plan::run(prepared.clone(), 1, given, None),
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
            Procedure::Other(name) => Plan::call(&name, given.collect()),
        }
    }

    /// Forgets a statement that could not be prepared after all.
    pub(super) fn forget(&mut self, handle: Option<Handle>) {
        if let Some(handle) = handle {
            self.known.remove(&handle.value);
        }
    }

    /// Forgets all statements.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }
}

impl Plan {
    /// A procedure by its name: EXECUTE with variables that have the values.
    fn call(name: &str, given: Vec<Parameter>) -> Result<Plan, Error> {
        // A number behind a semicolon is one of several procedures of a name.
        let name = name.split(';').next().unwrap_or(name);
        let plain = |c: char| c.is_alphanumeric() || "_@#$.[]".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            let text = format!("Could not find stored procedure '{name}'.");
            return Err(Error { state: 62, ..Error::new(2_812, 16, text) });
        }
        let (mut shown, mut parameters, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
        for (position, parameter) in given.into_iter().enumerate() {
            if parameter.left_out {
                continue;
            }
            let variable = format!("@_{position}");
            let own = if parameter.name.chars().skip(1).all(|c| c.is_alphanumeric() || c == '_') {
                parameter.name.clone()
            } else {
                String::new()
            };
            let named = if own.is_empty() { String::new() } else { format!("{own} = ") };
            let output = if parameter.output { " OUTPUT" } else { "" };
            shown.push(format!("{named}{variable}{output}"));
            if parameter.output {
                let ordinal = u16::try_from(position).unwrap_or(u16::MAX);
                outputs.push(Output { ordinal, name: own, variable: variable.clone() });
            }
            parameters.push((variable, parameter.ty, parameter.value));
        }
        let text = format!("EXECUTE {name} {}", shown.join(", "));
        Ok(Plan::Run { text, parameters, outputs, handle: None })
    }

    /// Gives the parameters of a statement their values, by name or in their order; `before` of the
    /// call's own come first.
    fn run(
        prepared: Prepared,
        before: usize,
        given: impl Iterator<Item = Parameter>,
        handle: Option<Handle>,
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
            let at = named.or(Some(position).filter(unnamed)).unwrap_or(usize::MAX);
            let Some(found) = given.get_mut(at).and_then(Option::take) else {
                let text = format!(
                    "The parameterized query '{}' expects the parameter '{name}', which was not \
                     supplied.",
                    prepared.text.chars().take(100).collect::<String>()
                );
                return Err(Error::new(8_178, 16, text));
            };
            if found.output {
                let ordinal = u16::try_from(at + before).unwrap_or(u16::MAX);
                let variable = name.clone();
                outputs.push(Output { ordinal, name: found.name, variable });
            }
            let value = convert(&found.value, found.ty, *ty, 0)?;
            parameters.push((name.clone(), *ty, value));
        }
        Ok(Plan::Run { text: prepared.text, parameters, outputs, handle })
    }
}

/// Whether an error of this number says that a statement could not even be understood.
pub(super) fn is_unprepared(number: i32) -> bool {
    Error::new(number, 16, "").is_of_binding()
}

/// What follows the error because of which a statement could not be prepared.
pub(super) fn not_prepared() -> Error {
    Error::new(8_180, 16, "Statement(s) could not be prepared.")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Length;

    fn parameter(name: &str, value: impl Into<Value>) -> Parameter {
        let value = value.into();
        let number = matches!(value, Value::Int(_));
        let ty = if number { Type::Int } else { Type::NVarChar(Length::Of(4000)) };
        Parameter { name: name.to_owned(), output: name == "@back", left_out: false, ty, value }
    }

    fn call(procedure: Procedure, parameters: Vec<Parameter>) -> Call {
        Call { procedure, parameters }
    }

    fn values(plan: Plan) -> Vec<(String, Value)> {
        match plan {
            Plan::Run { parameters, .. } => {
                parameters.into_iter().map(|(name, _, value)| (name, value)).collect()
            }
            Plan::Answer(_) => Vec::new(),
        }
    }

    #[test]
    fn a_prepared_statement_runs_by_its_handle_until_it_is_forgotten() {
        let mut statements = Statements::default();
        let prepare = vec![
            parameter("@handle", Option::<i32>::None),
            parameter("@params", "@a int"),
            parameter("@stmt", "SELECT @a"),
            parameter("@a", 1),
        ];
        let plan = statements.plan(call(Procedure::PrepareAndExecute, prepare)).expect("it fits");
        let Plan::Run { handle: Some(handle), .. } = &plan else { panic!("a run and a handle") };
        assert_eq!((handle.name.as_str(), handle.value), ("@handle", 1));
        assert_eq!(values(plan), [("@a".to_owned(), Value::Int(1))]);
        let again = || vec![parameter("", 1), parameter("", "2")];
        let plan = statements.plan(call(Procedure::Execute, again())).expect("it is known");
        assert_eq!(values(plan), [("@a".to_owned(), Value::Int(2))]);
        let forget = || vec![parameter("", 1)];
        assert!(statements.plan(call(Procedure::Unprepare, forget())).is_ok());
        for procedure in [Procedure::Execute, Procedure::Unprepare] {
            let error = statements.plan(call(procedure, again())).err().expect("it is gone");
            assert_eq!(error.number, 8_179);
        }
    }

    #[test]
    fn parameters_are_found_by_name_or_by_place() {
        let mut statements = Statements::default();
        let given = vec![
            parameter("stmt", "SELECT @back, @b"),
            parameter("params", "@back int OUTPUT, @b nvarchar(9)"),
            parameter("@B", "x"),
            parameter("@back", 3),
        ];
        let plan = statements.plan(call(Procedure::ExecuteSql, given)).expect("it fits");
        let Plan::Run { outputs, .. } = &plan else { panic!("a run") };
        assert_eq!((outputs[0].ordinal, outputs[0].name.as_str()), (3, "@back"));
        let wanted = [("@back".to_owned(), Value::Int(3)), ("@b".to_owned(), Value::from("x"))];
        assert_eq!(values(plan), wanted);
        for (definitions, number) in [("@a int, @b int", 8_178), ("@a", 102), ("a int", 102)] {
            let given =
                vec![parameter("", "SELECT 1"), parameter("", definitions), parameter("", 1)];
            let error = statements.plan(call(Procedure::ExecuteSql, given)).err();
            assert_eq!(error.expect("it does not fit").number, number, "{definitions}");
        }
    }
}
