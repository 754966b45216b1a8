//! What functions take and give.

use crate::sql::bind::converted;
use crate::sql::convert::text_length;
use crate::sql::error::{Result, invalid_argument_type};
use crate::sql::ir::{Node, Scalar};
use crate::sql::types::{Length, SYSNAME, Type, capped};
use crate::sql::value::Value;

use super::{Function, Part, dates};

/// Types a call: converts its arguments to what the function takes, and names its result.
pub(crate) fn call(name: &str, function: Function, mut arguments: Vec<Scalar>) -> Result<Scalar> {
    let (ty, nullable) = result(function, &arguments);
    let parameters = parameters(function);
    let number = own_number(arguments.first());
    for (position, argument) in arguments.iter_mut().enumerate() {
        let own = argument.ty;
        let wanted = match parameters.get(position).or(parameters.last()) {
            None | Some(Parameter::Any) => continue,
            Some(Parameter::Moment(_)) if own.is_moment() => continue,
            Some(Parameter::As(wanted)) if wanted.is_text() && own.is_text() => continue,
            Some(Parameter::As(wanted) | Parameter::Moment(wanted)) => *wanted,
            Some(Parameter::Number) => number,
        };
        let plain = std::mem::replace(argument, Scalar::literal(Type::Int, Value::Null));
        *argument = converted(plain, wanted)
            .map_err(|_| invalid_argument_type(own.name(), position + 1, name))?;
    }
    // A date that was given as text has become one.
    let ty = match function {
        Function::DateAdd(_) => arguments.get(1).map_or(ty, |argument| argument.ty),
        _ => ty,
    };
    Ok(Scalar { ty, nullable, node: Node::Call(function, arguments) })
}

/// The type of a call, and whether it can be NULL.
fn result(function: Function, arguments: &[Scalar]) -> (Type, bool) {
    let first = arguments.first();
    let any_null = arguments.iter().any(|argument| argument.nullable);
    let wide = arguments.iter().any(|argument| argument.ty.is_unicode());
    let text = |length: u16| {
        let length = if length > 4000 { Length::Max } else { Length::Of(length.max(1)) };
        if wide { Type::NVarChar(length) } else { Type::VarChar(length) }
    };
    match function {
        Function::ServerProperty
        | Function::DatabasePropertyEx
        | Function::ConnectionProperty
        | Function::SqlVariantProperty => (Type::Variant, true),
        Function::DbId => (Type::SmallInt, true),
        Function::DbName | Function::SuserSname | Function::HostName | Function::AppName => {
            (SYSNAME, true)
        }
        Function::ServerName | Function::ObjectName | Function::Caught(Part::Procedure) => {
            (SYSNAME, true)
        }
        Function::ServiceName | Function::Language => (SYSNAME, false),
        Function::UserName => (SYSNAME, true),
        Function::Options => (Type::Int, false),
        Function::Fixed(ty, _) => (ty, false),
        Function::CurrentTimezone | Function::CurrentTimezoneId => {
            (Type::VarChar(Length::Of(128)), false)
        }
        Function::HasPermsByName
        | Function::CertId
        | Function::UserId
        | Function::IsSrvRoleMember
        | Function::ObjectId
        | Function::Ascii
        | Function::Unicode => (Type::Int, true),
        Function::HadrIsPrimaryReplica | Function::HadrBackupIsPreferredReplica => {
            (Type::Bit, true)
        }
        Function::Spid | Function::XactState => (Type::SmallInt, false),
        Function::TranCount
        | Function::RowCount
        | Function::Error
        | Function::MicrosoftVersion
        | Function::LockTimeout
        | Function::IsNumeric => (Type::Int, false),
        Function::Caught(Part::Message) => (Type::NVarChar(Length::Of(4000)), true),
        Function::Caught(_) => (Type::Int, true),
        Function::GetDate | Function::GetUtcDate => (Type::DateTime, false),
        Function::SysDateTime | Function::SysUtcDateTime => (Type::DateTime2(7), false),
        Function::DateDiff(_) | Function::DatePart(_) => (Type::Int, any_null),
        Function::DateDiffBig(_) => (Type::BigInt, any_null),
        Function::DateAdd(_) => (arguments.get(1).map_or(Type::DateTime, |a| a.ty), any_null),
        Function::AtTimeZone | Function::SwitchOffset | Function::ToDateTimeOffset => {
            (dates::zoned_type(first.map(|argument| argument.ty)), any_null)
        }
        Function::Len | Function::DataLength | Function::CharIndex => (Type::Int, any_null),
        _ if keeps_text(function, first) => (own_text(first, text), any_null),
        Function::Replace => (text(8000), any_null),
        Function::Concat => {
            let sizes = arguments.iter().map(|argument| text_size(argument.ty));
            (text(sizes.fold(0, u16::saturating_add)), false)
        }
        Function::Abs | Function::Sign => (own_number(first), any_null),
        Function::Floor | Function::Ceiling => match own_number(first) {
            Type::Numeric { precision, .. } => (capped(u16::from(precision), 0), any_null),
            other => (other, any_null),
        },
        Function::Round => (own_number(first), any_null),
        _ => made(function, text),
    }
}

/// Functions whose result has the type of the text that they are given.
fn keeps_text(function: Function, first: Option<&Scalar>) -> bool {
    match function {
        Function::Upper
        | Function::Lower
        | Function::LTrim
        | Function::RTrim
        | Function::Trim
        | Function::Left
        | Function::Right
        | Function::Substring
        | Function::Reverse => true,
        Function::Replace | Function::Replicate => {
            first.is_some_and(|first| first.ty.length() == Some(Length::Max))
        }
        _ => false,
    }
}

/// The same for functions whose type does not depend on what they are given.
fn made(function: Function, text: impl Fn(u16) -> Type) -> (Type, bool) {
    match function {
        Function::Stuff | Function::Replicate => (text(8000), true),
        Function::Space => (Type::VarChar(Length::Of(8000)), true),
        Function::ConcatWs => (text(8000), false),
        Function::Char => (Type::Char(1), true),
        Function::NChar => (Type::NChar(1), true),
        Function::DateName(_) => (Type::NVarChar(Length::Of(30)), true),
        Function::EndOfMonth | Function::DateFromParts => (Type::Date, true),
        Function::NewId => (Type::UniqueIdentifier, false),
        Function::SysDateTimeOffset => (Type::DateTimeOffset(7), false),
        Function::QuoteName => (Type::NVarChar(Length::Of(258)), true),
        Function::Version => (Type::NVarChar(Length::Of(300)), false),
        Function::CertEncoded => (Type::VarBinary(Length::Max), true),
        Function::Identity => (Type::Numeric { precision: 38, scale: 0 }, true),
        Function::FormatMessage => (Type::NVarChar(Length::Of(2048)), true),
        Function::FileName => (SYSNAME, true),
        Function::FileId => (Type::SmallInt, true),
        Function::TextSize => (Type::Int, false),
        Function::LanguageId => (Type::SmallInt, false),
        Function::DateFirst => (Type::TinyInt, false),
        _ => (Type::Int, true),
    }
}

/// The text type that an argument has, or is turned into.
fn own_text(argument: Option<&Scalar>, text: impl Fn(u16) -> Type) -> Type {
    match argument {
        Some(argument) if argument.ty.is_text() => text(text_size(argument.ty)),
        Some(argument) => Type::VarChar(Length::Of(text_length(argument.ty))),
        None => SYSNAME,
    }
}

/// The type in which a function of numbers works.
fn own_number(argument: Option<&Scalar>) -> Type {
    match argument.map(|argument| argument.ty) {
        Some(Type::TinyInt | Type::SmallInt | Type::Bit) => Type::Int,
        Some(ty) if ty.is_number() => ty,
        Some(_) | None => Type::Float,
    }
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug)]
enum Parameter {
    Any,
    /// A number of any type; something else becomes a float.
    Number,
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
        | Function::CertId
        | Function::UserId
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
        Function::DbName | Function::CertEncoded | Function::DateFromParts => vec![INT],
        Function::SuserSname => vec![Parameter::As(Type::VarBinary(Length::Of(85)))],
        Function::Left | Function::Right => vec![TEXT, INT],
        Function::Substring => vec![TEXT, INT, INT],
        Function::CharIndex => vec![TEXT, TEXT, INT],
        Function::DateDiff(_) | Function::DateDiffBig(_) | Function::DatePart(_) => vec![MOMENT],
        Function::DateAdd(_) => vec![INT, Parameter::Moment(Type::DateTime)],
        Function::AtTimeZone => vec![MOMENT, TEXT],
        Function::PatIndex => vec![TEXT, TEXT],
        Function::FileName => vec![INT],
        Function::FileId => vec![TEXT],
        Function::SwitchOffset => {
            vec![Parameter::Moment(Type::DateTimeOffset(7)), Parameter::Any]
        }
        Function::ToDateTimeOffset => vec![MOMENT, Parameter::Any],
        Function::ObjectName | Function::Space | Function::Char | Function::NChar => vec![INT],
        Function::Stuff => vec![TEXT, INT, INT, TEXT],
        Function::Replicate => vec![TEXT, INT],
        Function::Reverse | Function::ConcatWs | Function::Ascii | Function::Unicode => vec![TEXT],
        Function::DateName(_) => vec![MOMENT],
        Function::EndOfMonth => vec![MOMENT, INT],
        Function::IsNumeric => vec![Parameter::Any],
        Function::Round => vec![Parameter::Number, INT],
        Function::SqlVariantProperty => vec![Parameter::Any, TEXT],
        Function::Abs | Function::Floor | Function::Ceiling | Function::Sign => {
            vec![Parameter::Number]
        }
        // They take nothing, or anything.
        _ => vec![Parameter::Any],
    }
}

fn text_size(ty: Type) -> u16 {
    match ty.length() {
        Some(Length::Of(n)) => n,
        Some(Length::Max) => u16::MAX,
        None => text_length(ty),
    }
}
