//! Built-in functions: names, arguments, result types; evaluation is in the modules below.

mod dates;
mod server;
mod text;

use super::env::Env;
use super::error::{Result, invalid_argument_type, wrong_argument_count};
use super::ir::{Node, Scalar};
use super::types::{Length, SYSNAME, Type, capped};
use super::value::Value;

pub(crate) use dates::{DatePart, zone_names};

/// A function whose arguments are already of the right types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    // Of the server and the session.
    ServerProperty,
    DatabasePropertyEx,
    ConnectionProperty,
    DbId,
    DbName,
    HasPermsByName,
    SuserSname,
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
        "IS_SRVROLEMEMBER" => (Function::IsSrvRoleMember, 1, 2),
        "FN_HADR_IS_PRIMARY_REPLICA" => (Function::HadrIsPrimaryReplica, 1, 1),
        "FN_HADR_BACKUP_IS_PREFERRED_REPLICA" => (Function::HadrBackupIsPreferredReplica, 1, 1),
        "CURRENT_TIMEZONE" => (Function::CurrentTimezone, 0, 0),
        "CURRENT_TIMEZONE_ID" => (Function::CurrentTimezoneId, 0, 0),
        "HOST_NAME" => (Function::HostName, 0, 0),
        "APP_NAME" | "PROGRAM_NAME" => (Function::AppName, 0, 0),
        "OBJECT_ID" => (Function::ObjectId, 1, 2),
        "NEWID" => (Function::NewId, 0, 0),
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
        "@@MICROSOFTVERSION" => Function::MicrosoftVersion,
        _ => return None,
    })
}

/// Types a call: converts its arguments to what the function takes, and names its result.
pub(crate) fn call(name: &str, function: Function, arguments: Vec<Scalar>) -> Result<Scalar> {
    let mut arguments = arguments;
    let first = arguments.first().map(|argument| argument.ty);
    let any_null = arguments.iter().any(|argument| argument.nullable);
    let wide = arguments.iter().any(|argument| argument.ty.is_unicode());
    let sum = arguments.iter().map(|a| text_size(a.ty)).fold(0u16, u16::saturating_add);
    let parameters = parameters(function);
    for (position, argument) in arguments.iter_mut().enumerate() {
        let own = argument.ty;
        let wanted = match parameters.get(position).or(parameters.last()) {
            None | Some(Parameter::Any) => continue,
            Some(Parameter::Moment(_)) if own.is_moment() => continue,
            Some(Parameter::As(wanted)) if wanted.is_text() && own.is_text() => continue,
            Some(Parameter::As(wanted) | Parameter::Moment(wanted)) => *wanted,
        };
        let plain = std::mem::replace(argument, Scalar::literal(Type::Int, Value::Null));
        *argument = super::bind::converted(plain, wanted)
            .map_err(|_| invalid_argument_type(own.name(), position + 1, name))?;
    }
    let text = |length: u16| {
        let length = if length > 4000 { Length::Max } else { Length::Of(length.max(1)) };
        if wide { Type::NVarChar(length) } else { Type::VarChar(length) }
    };
    let own_text = || match first {
        Some(ty) if ty.is_text() => text(text_size(ty)),
        Some(ty) => Type::VarChar(Length::Of(super::convert::text_length(ty))),
        None => SYSNAME,
    };
    let own_number = || match first {
        Some(Type::TinyInt | Type::SmallInt | Type::Bit) => Type::Int,
        Some(ty) if ty.is_number() => ty,
        Some(_) | None => Type::Float,
    };
    let (ty, nullable) = match function {
        Function::ServerProperty
        | Function::DatabasePropertyEx
        | Function::ConnectionProperty
        | Function::SqlVariantProperty => (Type::Variant, true),
        Function::DbId => (Type::SmallInt, true),
        Function::DbName | Function::SuserSname | Function::HostName | Function::AppName => {
            (SYSNAME, true)
        }
        Function::ServerName => (SYSNAME, true),
        Function::ServiceName => (SYSNAME, false),
        Function::Version => (Type::NVarChar(Length::Of(300)), false),
        Function::CurrentTimezone | Function::CurrentTimezoneId => {
            (Type::VarChar(Length::Of(128)), false)
        }
        Function::HasPermsByName | Function::IsSrvRoleMember | Function::ObjectId => {
            (Type::Int, true)
        }
        Function::HadrIsPrimaryReplica | Function::HadrBackupIsPreferredReplica => {
            (Type::Bit, true)
        }
        Function::NewId => (Type::UniqueIdentifier, false),
        Function::Spid => (Type::SmallInt, false),
        Function::TranCount | Function::RowCount | Function::Error | Function::MicrosoftVersion => {
            (Type::Int, false)
        }
        Function::GetDate | Function::GetUtcDate => (Type::DateTime, false),
        Function::SysDateTime | Function::SysUtcDateTime => (Type::DateTime2(7), false),
        Function::SysDateTimeOffset => (Type::DateTimeOffset(7), false),
        Function::DateDiff(_) | Function::DatePart(_) => (Type::Int, any_null),
        Function::DateDiffBig(_) => (Type::BigInt, any_null),
        Function::DateAdd(_) => (arguments.get(1).map_or(Type::DateTime, |a| a.ty), any_null),
        Function::AtTimeZone => (dates::zoned_type(first), any_null),
        Function::Len | Function::DataLength | Function::CharIndex => (Type::Int, any_null),
        Function::Upper | Function::Lower | Function::LTrim | Function::RTrim | Function::Trim => {
            (own_text(), any_null)
        }
        Function::Left | Function::Right | Function::Substring => (own_text(), any_null),
        Function::Replace => (text(8000), any_null),
        Function::Concat => (text(sum), false),
        Function::QuoteName => (Type::NVarChar(Length::Of(258)), true),
        Function::Abs | Function::Sign => (own_number(), any_null),
        Function::Floor | Function::Ceiling => match own_number() {
            Type::Numeric { precision, .. } => (capped(u16::from(precision), 0), any_null),
            other => (other, any_null),
        },
        Function::Round => (own_number(), any_null),
    };
    if matches!(function, Function::Abs | Function::Sign | Function::Round)
        || matches!(function, Function::Floor | Function::Ceiling)
    {
        let number = own_number();
        if let Some(argument) = arguments.first_mut() {
            let plain = std::mem::replace(argument, Scalar::literal(Type::Int, Value::Null));
            *argument = super::bind::converted(plain, number)?;
        }
    }
    Ok(Scalar { ty, nullable, node: Node::Call(function, arguments) })
}

/// Checks the number of arguments.
pub(crate) fn check_count(name: &str, given: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&given) {
        return Ok(());
    }
    let wanted = if least == most { least.to_string() } else { format!("{least} to {most}") };
    Err(wrong_argument_count(name, &wanted))
}

/// Evaluates a call. NULL arguments give NULL for all functions but those that say otherwise.
pub(crate) fn evaluate(
    function: Function,
    ty: Type,
    arguments: &[(Type, Value)],
    env: &Env<'_>,
) -> Result<Value> {
    let takes_null = matches!(
        function,
        Function::Concat | Function::HasPermsByName | Function::SqlVariantProperty
    );
    if !takes_null && arguments.iter().any(|(_, value)| value.is_null()) {
        return Ok(Value::Null);
    }
    match function {
        Function::ServerProperty
        | Function::DatabasePropertyEx
        | Function::ConnectionProperty
        | Function::DbId
        | Function::DbName
        | Function::HasPermsByName
        | Function::SuserSname
        | Function::IsSrvRoleMember
        | Function::HadrIsPrimaryReplica
        | Function::HadrBackupIsPreferredReplica
        | Function::HostName
        | Function::AppName
        | Function::ObjectId
        | Function::NewId
        | Function::Spid
        | Function::ServerName
        | Function::Version
        | Function::TranCount
        | Function::RowCount
        | Function::Error
        | Function::ServiceName
        | Function::MicrosoftVersion => Ok(server::evaluate(function, arguments, env)),
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
        | Function::SqlVariantProperty => text::evaluate(function, ty, arguments),
    }
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug)]
enum Parameter {
    Any,
    As(Type),
    /// Any date or time; something else is converted to this.
    Moment(Type),
}

/// The parameters; the last one goes for all that follow.
fn parameters(function: Function) -> Vec<Parameter> {
    const TEXT: Parameter = Parameter::As(Type::NVarChar(Length::Of(4000)));
    const INT: Parameter = Parameter::As(Type::Int);
    const MOMENT: Parameter = Parameter::Moment(Type::DateTime2(7));
    match function {
        Function::ServerProperty
        | Function::DatabasePropertyEx
        | Function::ConnectionProperty
        | Function::DbId
        | Function::HasPermsByName
        | Function::IsSrvRoleMember
        | Function::HadrIsPrimaryReplica
        | Function::HadrBackupIsPreferredReplica
        | Function::ObjectId
        | Function::Upper
        | Function::Lower
        | Function::LTrim
        | Function::RTrim
        | Function::Trim
        | Function::Len
        | Function::Replace
        | Function::Concat
        | Function::QuoteName => vec![TEXT],
        Function::DbName => vec![INT],
        Function::SuserSname => vec![Parameter::As(Type::VarBinary(Length::Of(85)))],
        Function::Left | Function::Right => vec![TEXT, INT],
        Function::Substring => vec![TEXT, INT, INT],
        Function::CharIndex => vec![TEXT, TEXT, INT],
        Function::DateDiff(_) | Function::DateDiffBig(_) | Function::DatePart(_) => vec![MOMENT],
        Function::DateAdd(_) => vec![INT, Parameter::Moment(Type::DateTime)],
        Function::AtTimeZone => vec![MOMENT, TEXT],
        Function::Round => vec![Parameter::Any, INT],
        Function::SqlVariantProperty => vec![Parameter::Any, TEXT],
        Function::CurrentTimezone
        | Function::CurrentTimezoneId
        | Function::HostName
        | Function::AppName
        | Function::NewId
        | Function::Spid
        | Function::ServerName
        | Function::Version
        | Function::TranCount
        | Function::RowCount
        | Function::Error
        | Function::ServiceName
        | Function::MicrosoftVersion
        | Function::GetDate
        | Function::GetUtcDate
        | Function::SysDateTime
        | Function::SysUtcDateTime
        | Function::SysDateTimeOffset
        | Function::DataLength
        | Function::Abs
        | Function::Floor
        | Function::Ceiling
        | Function::Sign => vec![Parameter::Any],
    }
}

fn text_size(ty: Type) -> u16 {
    match ty.length() {
        Some(Length::Of(n)) => n,
        Some(Length::Max) => u16::MAX,
        None => super::convert::text_length(ty),
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
