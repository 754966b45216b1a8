//! Built-in functions: names, arguments, result types; evaluation is in the modules below.

mod dates;
mod message;
mod pattern;
mod permission;
mod server;
mod signature;
mod text;

use super::env::Env;
use super::error::{Result, wrong_argument_count};
use super::types::Type;
use super::value::Value;

pub(crate) use dates::{DatePart, zone_names};
pub(crate) use message::filled;
pub(crate) use permission::{permissions_of, permitted};
pub(crate) use signature::call;
pub(in crate::sql) use text::may_grow_to;
pub(crate) use text::split;

/// A part of a caught error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Number,
    Severity,
    State,
    Line,
    Message,
    Procedure,
}

/// A function whose arguments are already of the right types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    // Of the server and the session.
    ServerProperty,
    DatabasePropertyEx,
    ConnectionProperty,
    DbId,
    DbName,
    CertId,
    CertEncoded,
    HasPermsByName,
    SuserSname,
    UserId,
    IsSrvRoleMember,
    HadrIsPrimaryReplica,
    HadrBackupIsPreferredReplica,
    CurrentTimezone,
    CurrentTimezoneId,
    HostName,
    AppName,
    ObjectId,
    NewId,
    Spid,
    ServerName,
    Version,
    TranCount,
    RowCount,
    Error,
    ServiceName,
    MicrosoftVersion,
    ObjectName,
    XactState,
    Identity,
    LockTimeout,
    UserName,
    Language,
    LanguageId,
    DateFirst,
    TextSize,
    Options,
    /// What is the same everywhere, with its type.
    Fixed(Type, u32),
    /// What CATCH has caught: its number, severity, state, line, text, and no procedure.
    Caught(Part),
    // Of time.
    GetDate,
    GetUtcDate,
    SysDateTime,
    SysUtcDateTime,
    SysDateTimeOffset,
    DateDiff(DatePart),
    DateDiffBig(DatePart),
    DateAdd(DatePart),
    DatePart(DatePart),
    DateName(DatePart),
    EndOfMonth,
    DateFromParts,
    AtTimeZone,
    // Of text and numbers.
    Len,
    DataLength,
    Upper,
    Lower,
    LTrim,
    RTrim,
    Trim,
    Left,
    Right,
    Substring,
    CharIndex,
    Replace,
    Concat,
    QuoteName,
    Abs,
    Floor,
    Ceiling,
    Round,
    Sign,
    SqlVariantProperty,
    Stuff,
    Replicate,
    Space,
    Reverse,
    ConcatWs,
    Char,
    NChar,
    Ascii,
    Unicode,
    IsNumeric,
    PatIndex,
    FormatMessage,
    SwitchOffset,
    ToDateTimeOffset,
    FileName,
    FileId,
}

/// A function by its name, and how few and how many arguments it takes.
///
/// The functions that take a part of a date are the binder's business: their first argument is a
/// word.
pub(crate) fn find(name: &str) -> Option<(Function, usize, usize)> {
    Some(match name.to_ascii_uppercase().as_str() {
        "SERVERPROPERTY" => (Function::ServerProperty, 1, 1),
        "DATABASEPROPERTYEX" => (Function::DatabasePropertyEx, 2, 2),
        "CONNECTIONPROPERTY" => (Function::ConnectionProperty, 1, 1),
        "DB_ID" => (Function::DbId, 0, 1),
        "DB_NAME" => (Function::DbName, 0, 1),
        "HAS_PERMS_BY_NAME" => (Function::HasPermsByName, 3, 5),
        "SUSER_SNAME" | "SUSER_NAME" => (Function::SuserSname, 0, 1),
        "ORIGINAL_LOGIN" | "SYSTEM_USER" => (Function::SuserSname, 0, 0),
        "USER_ID" | "DATABASE_PRINCIPAL_ID" => (Function::UserId, 0, 1),
        "USER_NAME" => (Function::UserName, 0, 0),
        "IS_SRVROLEMEMBER" => (Function::IsSrvRoleMember, 1, 2),
        "FN_HADR_IS_PRIMARY_REPLICA" => (Function::HadrIsPrimaryReplica, 1, 1),
        "FN_HADR_BACKUP_IS_PREFERRED_REPLICA" => (Function::HadrBackupIsPreferredReplica, 1, 1),
        "CURRENT_TIMEZONE" => (Function::CurrentTimezone, 0, 0),
        "CURRENT_TIMEZONE_ID" => (Function::CurrentTimezoneId, 0, 0),
        "HOST_NAME" => (Function::HostName, 0, 0),
        "APP_NAME" | "PROGRAM_NAME" => (Function::AppName, 0, 0),
        "OBJECT_ID" => (Function::ObjectId, 1, 2),
        "OBJECT_NAME" => (Function::ObjectName, 1, 2),
        "XACT_STATE" => (Function::XactState, 0, 0),
        "SCOPE_IDENTITY" => (Function::Identity, 0, 0),
        "ERROR_NUMBER" => (Function::Caught(Part::Number), 0, 0),
        "ERROR_SEVERITY" => (Function::Caught(Part::Severity), 0, 0),
        "ERROR_STATE" => (Function::Caught(Part::State), 0, 0),
        "ERROR_LINE" => (Function::Caught(Part::Line), 0, 0),
        "ERROR_MESSAGE" => (Function::Caught(Part::Message), 0, 0),
        "ERROR_PROCEDURE" => (Function::Caught(Part::Procedure), 0, 0),
        "NEWID" => (Function::NewId, 0, 0),
        "STUFF" => (Function::Stuff, 4, 4),
        "REPLICATE" => (Function::Replicate, 2, 2),
        "SPACE" => (Function::Space, 1, 1),
        "REVERSE" => (Function::Reverse, 1, 1),
        "CONCAT_WS" => (Function::ConcatWs, 3, 254),
        "CHAR" => (Function::Char, 1, 1),
        "NCHAR" => (Function::NChar, 1, 1),
        "ASCII" => (Function::Ascii, 1, 1),
        "UNICODE" => (Function::Unicode, 1, 1),
        "ISNUMERIC" => (Function::IsNumeric, 1, 1),
        "EOMONTH" => (Function::EndOfMonth, 1, 2),
        "DATEFROMPARTS" => (Function::DateFromParts, 3, 3),
        "GETDATE" | "CURRENT_TIMESTAMP" => (Function::GetDate, 0, 0),
        "GETUTCDATE" => (Function::GetUtcDate, 0, 0),
        "SYSDATETIME" => (Function::SysDateTime, 0, 0),
        "SYSUTCDATETIME" => (Function::SysUtcDateTime, 0, 0),
        "SYSDATETIMEOFFSET" => (Function::SysDateTimeOffset, 0, 0),
        "LEN" => (Function::Len, 1, 1),
        "DATALENGTH" => (Function::DataLength, 1, 1),
        "UPPER" => (Function::Upper, 1, 1),
        "LOWER" => (Function::Lower, 1, 1),
        "LTRIM" => (Function::LTrim, 1, 1),
        "RTRIM" => (Function::RTrim, 1, 1),
        "TRIM" => (Function::Trim, 1, 1),
        "LEFT" => (Function::Left, 2, 2),
        "RIGHT" => (Function::Right, 2, 2),
        "SUBSTRING" => (Function::Substring, 3, 3),
        "CHARINDEX" => (Function::CharIndex, 2, 3),
        "REPLACE" => (Function::Replace, 3, 3),
        "CONCAT" => (Function::Concat, 2, 254),
        "QUOTENAME" => (Function::QuoteName, 1, 2),
        "ABS" => (Function::Abs, 1, 1),
        "FLOOR" => (Function::Floor, 1, 1),
        "CEILING" => (Function::Ceiling, 1, 1),
        "ROUND" => (Function::Round, 2, 2),
        "SIGN" => (Function::Sign, 1, 1),
        "SQL_VARIANT_PROPERTY" => (Function::SqlVariantProperty, 2, 2),
        other => return rare(other),
    })
}

fn rare(name: &str) -> Option<(Function, usize, usize)> {
    Some(match name {
        "PATINDEX" => (Function::PatIndex, 2, 2),
        "FORMATMESSAGE" => (Function::FormatMessage, 1, 21),
        "SWITCHOFFSET" => (Function::SwitchOffset, 2, 2),
        "TODATETIMEOFFSET" => (Function::ToDateTimeOffset, 2, 2),
        "FILE_NAME" => (Function::FileName, 1, 1),
        "FILE_ID" | "FILE_IDEX" => (Function::FileId, 1, 1),
        "CERT_ID" => (Function::CertId, 1, 1),
        "CERTENCODED" => (Function::CertEncoded, 1, 1),
        _ => return None,
    })
}

/// Names that begin with `@@`.
pub(crate) fn find_global(name: &str) -> Option<Function> {
    Some(match name.to_ascii_uppercase().as_str() {
        "@@SPID" => Function::Spid,
        "@@SERVERNAME" => Function::ServerName,
        "@@VERSION" => Function::Version,
        "@@TRANCOUNT" => Function::TranCount,
        "@@ROWCOUNT" => Function::RowCount,
        "@@ERROR" => Function::Error,
        "@@SERVICENAME" => Function::ServiceName,
        "@@IDENTITY" => Function::Identity,
        "@@LOCK_TIMEOUT" => Function::LockTimeout,
        "@@LANGUAGE" => Function::Language,
        "@@OPTIONS" => Function::Options,
        "@@LANGID" => Function::LanguageId,
        "@@DATEFIRST" => Function::DateFirst,
        "@@MAX_PRECISION" => Function::Fixed(Type::TinyInt, 38),
        "@@TEXTSIZE" => Function::TextSize,
        "@@MICROSOFTVERSION" => Function::MicrosoftVersion,
        _ => return None,
    })
}

/// Reserved words that are functions without parentheses.
pub(crate) fn find_word(name: &str) -> Option<Function> {
    Some(match name.to_ascii_uppercase().as_str() {
        "SYSTEM_USER" => Function::SuserSname,
        "CURRENT_USER" | "SESSION_USER" | "USER" => Function::UserName,
        _ => return None,
    })
}

/// Checks the number of arguments.
pub(crate) fn check_count(name: &str, given: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&given) {
        return Ok(());
    }
    let wanted = if least == most { least.to_string() } else { format!("{least} to {most}") };
    Err(wrong_argument_count(name, &wanted))
}

/// Whether a NULL among its arguments does not make all of it NULL.
fn takes_null(function: Function) -> bool {
    matches!(
        function,
        Function::Concat
            | Function::ConcatWs
            | Function::FormatMessage
            | Function::IsNumeric
            | Function::HasPermsByName
            | Function::SqlVariantProperty
    )
}

/// Evaluates a call. NULL arguments give NULL for all functions but those that say otherwise.
pub(crate) fn evaluate(
    function: Function,
    ty: Type,
    arguments: &[(Type, Value)],
    env: &Env<'_>,
) -> Result<Value> {
    if !takes_null(function) && arguments.iter().any(|(_, value)| value.is_null()) {
        return Ok(Value::Null);
    }
    match function {
        Function::GetDate
        | Function::GetUtcDate
        | Function::SysDateTime
        | Function::SysUtcDateTime
        | Function::SysDateTimeOffset
        | Function::CurrentTimezone
        | Function::CurrentTimezoneId
        | Function::DateDiff(_)
        | Function::DateDiffBig(_)
        | Function::DateAdd(_)
        | Function::DatePart(_)
        | Function::DateName(_)
        | Function::EndOfMonth
        | Function::DateFromParts
        | Function::SwitchOffset
        | Function::ToDateTimeOffset
        | Function::AtTimeZone => dates::evaluate(function, ty, arguments, env),
        Function::Len
        | Function::DataLength
        | Function::Upper
        | Function::Lower
        | Function::LTrim
        | Function::RTrim
        | Function::Trim
        | Function::Left
        | Function::Right
        | Function::Substring
        | Function::CharIndex
        | Function::Replace
        | Function::Concat
        | Function::QuoteName
        | Function::Abs
        | Function::Floor
        | Function::Ceiling
        | Function::Round
        | Function::Sign
        | Function::Stuff
        | Function::Replicate
        | Function::Space
        | Function::Reverse
        | Function::ConcatWs
        | Function::Char
        | Function::NChar
        | Function::Ascii
        | Function::Unicode
        | Function::IsNumeric
        | Function::SqlVariantProperty => text::evaluate(function, ty, arguments),
        Function::PatIndex => pattern::index(arguments, env),
        Function::FormatMessage => message::format(arguments),
        _ => Ok(server::evaluate(function, arguments, env)),
    }
}

/// The text of an argument that the binder has made text.
fn as_text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        Value::Null
        | Value::Bit(_)
        | Value::Int(_)
        | Value::Numeric(_)
        | Value::Float(_)
        | Value::Bytes(_)
        | Value::Guid(_)
        | Value::Moment(_)
        | Value::Time(_)
        | Value::Zoned { .. }
        | Value::Variant(_) => "",
    }
}

/// The number in an argument that the binder has made an integer.
fn as_int(value: &Value) -> i64 {
    match value {
        Value::Int(n) => *n,
        Value::Bit(bit) => i64::from(*bit),
        Value::Null
        | Value::Text(_)
        | Value::Numeric(_)
        | Value::Float(_)
        | Value::Bytes(_)
        | Value::Guid(_)
        | Value::Moment(_)
        | Value::Time(_)
        | Value::Zoned { .. }
        | Value::Variant(_) => 0,
    }
}
