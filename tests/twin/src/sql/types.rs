//! SQL types, their names and their precedence.

use std::fmt;

/// How long a string or a binary may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Length {
    /// Characters of two bytes for `n` types, bytes otherwise.
    Of(u16),
    /// `(max)`.
    Max,
}

/// The static type of a column or an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are SQL Server's own type names")]
pub enum Type {
    Bit,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Numeric { precision: u8, scale: u8 },
    Money,
    SmallMoney,
    Real,
    Float,
    Date,
    Time(u8),
    SmallDateTime,
    DateTime,
    DateTime2(u8),
    DateTimeOffset(u8),
    UniqueIdentifier,
    Char(u16),
    VarChar(Length),
    NChar(u16),
    NVarChar(Length),
    Binary(u16),
    VarBinary(Length),
    Variant,
}

/// `sysname`.
pub(crate) const SYSNAME: Type = Type::NVarChar(Length::Of(128));

impl Type {
    /// The bare name, as messages use it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Type::Bit => "bit",
            Type::TinyInt => "tinyint",
            Type::SmallInt => "smallint",
            Type::Int => "int",
            Type::BigInt => "bigint",
            Type::Numeric { .. } => "numeric",
            Type::Money => "money",
            Type::SmallMoney => "smallmoney",
            Type::Real => "real",
            Type::Float => "float",
            Type::Date => "date",
            Type::Time(_) => "time",
            Type::SmallDateTime => "smalldatetime",
            Type::DateTime => "datetime",
            Type::DateTime2(_) => "datetime2",
            Type::DateTimeOffset(_) => "datetimeoffset",
            Type::UniqueIdentifier => "uniqueidentifier",
            Type::Char(_) => "char",
            Type::VarChar(_) => "varchar",
            Type::NChar(_) => "nchar",
            Type::NVarChar(_) => "nvarchar",
            Type::Binary(_) => "binary",
            Type::VarBinary(_) => "varbinary",
            Type::Variant => "sql_variant",
        }
    }

    /// Place in the data type precedence: where two types meet, the higher one wins.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Type::Variant => 30,
            Type::DateTimeOffset(_) => 29,
            Type::DateTime2(_) => 28,
            Type::DateTime => 27,
            Type::SmallDateTime => 26,
            Type::Date => 25,
            Type::Time(_) => 24,
            Type::Float => 23,
            Type::Real => 22,
            Type::Numeric { .. } => 21,
            Type::Money => 20,
            Type::SmallMoney => 19,
            Type::BigInt => 18,
            Type::Int => 17,
            Type::SmallInt => 16,
            Type::TinyInt => 15,
            Type::Bit => 14,
            Type::UniqueIdentifier => 9,
            Type::NVarChar(_) => 8,
            Type::NChar(_) => 7,
            Type::VarChar(_) => 6,
            Type::Char(_) => 5,
            Type::VarBinary(_) => 4,
            Type::Binary(_) => 3,
        }
    }

    pub(crate) fn is_text(self) -> bool {
        matches!(self, Type::Char(_) | Type::VarChar(_) | Type::NChar(_) | Type::NVarChar(_))
    }

    pub(crate) fn is_unicode(self) -> bool {
        matches!(self, Type::NChar(_) | Type::NVarChar(_))
    }

    pub(crate) fn is_binary(self) -> bool {
        matches!(self, Type::Binary(_) | Type::VarBinary(_))
    }

    /// `bit` is none: it does not take part in arithmetic.
    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Type::TinyInt | Type::SmallInt | Type::Int | Type::BigInt)
    }

    pub(crate) fn is_number(self) -> bool {
        let exact = matches!(self, Type::Numeric { .. }) || self.is_money();
        self.is_integer() || exact || matches!(self, Type::Real | Type::Float)
    }

    pub(crate) fn is_money(self) -> bool {
        matches!(self, Type::Money | Type::SmallMoney)
    }

    pub(crate) fn is_moment(self) -> bool {
        matches!(
            self,
            Type::Date
                | Type::Time(_)
                | Type::SmallDateTime
                | Type::DateTime
                | Type::DateTime2(_)
                | Type::DateTimeOffset(_)
        )
    }

    /// Length of a string or binary type.
    pub(crate) fn length(self) -> Option<Length> {
        match self {
            Type::Char(n) | Type::NChar(n) | Type::Binary(n) => Some(Length::Of(n)),
            Type::VarChar(n) | Type::NVarChar(n) | Type::VarBinary(n) => Some(n),
            Type::Bit
            | Type::TinyInt
            | Type::SmallInt
            | Type::Int
            | Type::BigInt
            | Type::Numeric { .. }
            | Type::Money
            | Type::SmallMoney
            | Type::Real
            | Type::Float
            | Type::Date
            | Type::Time(_)
            | Type::SmallDateTime
            | Type::DateTime
            | Type::DateTime2(_)
            | Type::DateTimeOffset(_)
            | Type::UniqueIdentifier
            | Type::Variant => None,
        }
    }

    /// The `numeric` that holds every value of an integer type.
    pub(crate) fn as_numeric(self) -> Option<(u8, u8)> {
        match self {
            Type::Bit => Some((1, 0)),
            Type::TinyInt => Some((3, 0)),
            Type::SmallInt => Some((5, 0)),
            Type::Int => Some((10, 0)),
            Type::BigInt => Some((19, 0)),
            Type::Numeric { precision, scale } => Some((precision, scale)),
            Type::Money => Some((19, 4)),
            Type::SmallMoney => Some((10, 4)),
            Type::Real
            | Type::Float
            | Type::Date
            | Type::Time(_)
            | Type::SmallDateTime
            | Type::DateTime
            | Type::DateTime2(_)
            | Type::DateTimeOffset(_)
            | Type::UniqueIdentifier
            | Type::Char(_)
            | Type::VarChar(_)
            | Type::NChar(_)
            | Type::NVarChar(_)
            | Type::Binary(_)
            | Type::VarBinary(_)
            | Type::Variant => None,
        }
    }

    /// The type where these two meet: in CASE, COALESCE, UNION, and under an operator.
    pub(crate) fn unify(self, other: Type) -> Type {
        if let (Some(left), Some(right)) = (self.length(), other.length())
            && self.is_text() == other.is_text()
        {
            let length = left.max(right);
            let wide = self.is_unicode() || other.is_unicode();
            return if !self.is_text() {
                Type::VarBinary(length)
            } else if wide {
                Type::NVarChar(length)
            } else if self == other {
                self
            } else {
                Type::VarChar(length)
            };
        }
        let (high, low) =
            if self.precedence() >= other.precedence() { (self, other) } else { (other, self) };
        match (high, low.as_numeric()) {
            (Type::Numeric { precision, scale }, Some((p, s))) => {
                let scale_out = scale.max(s);
                let whole = (precision - scale).max(p - s);
                capped(u16::from(whole) + u16::from(scale_out), scale_out)
            }
            (Type::DateTime2(a), _) => match low {
                Type::DateTime2(b) | Type::Time(b) => Type::DateTime2(a.max(b)),
                _ => high,
            },
            (Type::DateTimeOffset(a), _) => match low {
                Type::DateTimeOffset(b) | Type::DateTime2(b) | Type::Time(b) => {
                    Type::DateTimeOffset(a.max(b))
                }
                _ => high,
            },
            _ => high,
        }
    }
}

/// A `numeric` type of at most 38 digits; the scale gives way to the whole part.
pub(crate) fn capped(precision: u16, scale: u8) -> Type {
    if precision <= 38 {
        return Type::Numeric { precision: u8::try_from(precision).unwrap_or(38), scale };
    }
    let excess = precision - 38;
    let floor = scale.min(6);
    let cut = u16::from(scale).saturating_sub(excess);
    Type::Numeric { precision: 38, scale: u8::try_from(cut).unwrap_or(0).max(floor) }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())?;
        match *self {
            Type::Numeric { precision, scale } => write!(f, "({precision},{scale})"),
            Type::Time(scale) | Type::DateTime2(scale) | Type::DateTimeOffset(scale) => {
                write!(f, "({scale})")
            }
            other => match other.length() {
                Some(Length::Of(n)) => write!(f, "({n})"),
                Some(Length::Max) => write!(f, "(max)"),
                None => Ok(()),
            },
        }
    }
}

/// Reads a type as the catalog writes it: `numeric(25,0)`, `nvarchar(60)`, `sysname`.
pub(crate) fn parse_type(text: &str) -> Option<Type> {
    let (name, arguments) = match text.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')')?),
        None => (text, ""),
    };
    let number = |default: u16| -> Option<u16> {
        if arguments.is_empty() { Some(default) } else { arguments.trim().parse().ok() }
    };
    let length = |default: u16| -> Option<Length> {
        if arguments.eq_ignore_ascii_case("max") {
            Some(Length::Max)
        } else {
            number(default).map(Length::Of)
        }
    };
    let scale = || number(7).and_then(|n| u8::try_from(n).ok()).filter(|n| *n <= 7);
    Some(match name.trim().to_ascii_lowercase().as_str() {
        "bit" => Type::Bit,
        "tinyint" => Type::TinyInt,
        "smallint" => Type::SmallInt,
        "int" | "integer" => Type::Int,
        "bigint" => Type::BigInt,
        "numeric" | "decimal" | "dec" => {
            let (precision, scale) = match arguments.split_once(',') {
                Some((p, s)) => (p.trim().parse().ok()?, s.trim().parse().ok()?),
                None => (u8::try_from(number(18)?).ok()?, 0),
            };
            if !(1..=38).contains(&precision) || scale > precision {
                return None;
            }
            Type::Numeric { precision, scale }
        }
        "money" => Type::Money,
        "smallmoney" => Type::SmallMoney,
        "real" => Type::Real,
        "float" => Type::Float,
        "date" => Type::Date,
        "time" => Type::Time(scale()?),
        "smalldatetime" => Type::SmallDateTime,
        "datetime" => Type::DateTime,
        "datetime2" => Type::DateTime2(scale()?),
        "datetimeoffset" => Type::DateTimeOffset(scale()?),
        "uniqueidentifier" => Type::UniqueIdentifier,
        "char" => Type::Char(number(1)?),
        "nchar" => Type::NChar(number(1)?),
        "varchar" => Type::VarChar(length(1)?),
        "nvarchar" => Type::NVarChar(length(1)?),
        "binary" => Type::Binary(number(1)?),
        "varbinary" => Type::VarBinary(length(1)?),
        "sysname" => SYSNAME,
        "sql_variant" => Type::Variant,
        _ => return None,
    })
}
