//! Errors as SQL Server numbers and words them.

use std::fmt;

/// One message of the server: an error, or information if `class` is at most 10.
///
/// Numbers, classes and texts are those of `sys.messages`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// `sys.messages.message_id`.
    pub number: i32,
    /// Severity, 0 to 25; 20 and above end the connection.
    pub class: u8,
    /// Tells places apart that raise the same number.
    pub state: u8,
    /// The text with its arguments filled in.
    pub message: String,
    /// Line of the batch that it is about, counted from 1; 0 if it is about no line.
    pub line: u32,
}

/// No number of the server's.
const BARRED: i32 = i32::MIN;

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of the given number and severity, in state 1 and about line 1.
    pub fn new(number: i32, class: u8, message: impl Into<String>) -> Error {
        Error { number, class, state: 1, message: message.into(), line: 1 }
    }

    pub(crate) fn at_line(mut self, line: u32) -> Error {
        self.line = line;
        self
    }

    pub(crate) fn state(mut self, state: u8) -> Error {
        self.state = state;
        self
    }

    /// What stands for "another session has it locked" until the statement is tried again; no
    /// client ever sees it.
    pub(crate) fn barred_by(holder: u16) -> Error {
        Error { line: u32::from(holder), ..Error::new(BARRED, 0, "") }
    }

    /// Who has it locked.
    pub(crate) fn holder(&self) -> Option<u16> {
        (self.number == BARRED).then(|| u16::try_from(self.line).unwrap_or(0))
    }

    /// Whether it comes from binding a statement: a TRY around the statement itself does not
    /// catch that.
    pub(crate) fn is_of_binding(&self) -> bool {
        self.ends_batch() && !self.dooms()
    }

    /// Whether it ends the transaction too; within TRY it leaves one that can only be rolled back.
    pub(crate) fn dooms(&self) -> bool {
        matches!(self.number, 241 | 245 | 295 | 1205 | 8114 | 8169 | 3930)
    }

    /// Whether the rest of the batch is given up, rather than the one statement.
    pub(crate) fn ends_batch(&self) -> bool {
        self.class >= 20
            || matches!(
                self.number,
                102 | 105
                    | 107
                    | 108
                    | 116
                    | 134
                    | 137
                    | 145
                    | 147
                    | 155
                    | 156
                    | 174
                    | 189
                    | 191
                    | 195
                    | 205
                    | 206
                    | 207
                    | 208
                    | 209
                    | 241
                    | 245
                    | 257
                    | 295
                    | 402
                    | 529
                    | 8114
                    | 8116
                    | 8117
                    | 8120
                    | 8121
                    | 8155
                    | 8156
                    | 8169
                    | 1011
                    | 1205
                    | 3930
                    | 1013
                    | 1033
                    | 4104
                    | 4121
                    | 4145
            )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Msg {}, Level {}, State {}, Line {}: {}",
            self.number, self.class, self.state, self.line, self.message
        )
    }
}

impl std::error::Error for Error {}

/// 102: the parser stopped at this token.
pub(crate) fn syntax_near(near: &str) -> Error {
    Error::new(102, 15, format!("Incorrect syntax near '{near}'."))
}

/// 156: the parser stopped at this reserved word.
pub(crate) fn syntax_near_keyword(word: &str) -> Error {
    Error::new(156, 15, format!("Incorrect syntax near the keyword '{word}'."))
}

pub(crate) fn invalid_column(name: &str) -> Error {
    Error::new(207, 16, format!("Invalid column name '{name}'."))
}

pub(crate) fn invalid_object(name: &str) -> Error {
    Error::new(208, 16, format!("Invalid object name '{name}'."))
}

pub(crate) fn ambiguous_column(name: &str) -> Error {
    Error::new(209, 16, format!("Ambiguous column name '{name}'."))
}

pub(crate) fn unbound_identifier(name: &str) -> Error {
    Error::new(4104, 16, format!("The multi-part identifier \"{name}\" could not be bound."))
}

pub(crate) fn unknown_function(name: &str) -> Error {
    Error::new(195, 15, format!("'{name}' is not a recognized built-in function name.")).state(10)
}

pub(crate) fn wrong_argument_count(function: &str, wanted: &str) -> Error {
    Error::new(
        174,
        15,
        format!("The {} function requires {wanted} argument(s).", function.to_lowercase()),
    )
}

pub(crate) fn invalid_argument_type(ty: &str, position: usize, function: &str) -> Error {
    Error::new(
        8116,
        16,
        format!(
            "Argument data type {ty} is invalid for argument {position} of {} function.",
            function.to_lowercase()
        ),
    )
}

pub(crate) fn undeclared_variable(name: &str) -> Error {
    Error::new(137, 15, format!("Must declare the scalar variable \"{name}\".")).state(2)
}

pub(crate) fn overflow_converting(ty: &str) -> Error {
    Error::new(
        8115,
        16,
        format!("Arithmetic overflow error converting expression to data type {ty}."),
    )
    .state(2)
}

pub(crate) fn divide_by_zero() -> Error {
    Error::new(8134, 16, "Divide by zero error encountered.")
}

pub(crate) fn unknown_database(name: &str) -> Error {
    Error::new(
        911,
        16,
        format!("Database '{name}' does not exist. Make sure that the name is entered correctly."),
    )
}

pub(crate) fn nested_too_deeply() -> Error {
    Error::new(
        191,
        15,
        "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up \
         into smaller queries.",
    )
}

/// An error that the world itself has made.
pub(crate) fn of_world(error: &crate::world::SqlError) -> Error {
    Error {
        number: i32::try_from(error.number).unwrap_or(i32::MAX),
        class: error.class,
        state: error.state,
        message: error.message.clone(),
        line: 1,
    }
}
