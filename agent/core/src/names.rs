//! Names and numbers with a meaning of their own.

use alloc::{borrow::ToOwned, format, string::String};
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Place of an entry in the journal; the first one is 1.
pub type Seq = u64;

/// A proposal is known by the place of the entry that opened it.
pub type ProposalId = Seq;

/// Name of a link as the estate knows it; by convention the name of its distributed availability group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct LinkId(String);

/// Name of one SQL Server or managed instance as the estate knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct InstanceId(String);

/// Name of an approver as the roster knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ApproverId(String);

/// What vantages share, for example a site or a VPN; those that share one are one witness.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct FailureDomain(String);

macro_rules! name {
    ($name:ident, $what:literal) => {
        impl $name {
            /// Refuses an empty name, one of more than 128 characters and one with control characters.
            pub fn new(text: &str) -> Result<Self, String> {
                checked(text, $what).map(Self)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(D::Error::custom)
            }
        }
    };
}

name!(LinkId, "link");
name!(InstanceId, "instance");
name!(ApproverId, "approver");
name!(FailureDomain, "failure domain");

/// What nobody has named: it may be any of the others.
const UNSTATED: &str = "unstated";

impl FailureDomain {
    /// Whether somebody has named it. What is not named counts as shared, which is the safe mistake.
    #[must_use]
    pub fn is_stated(&self) -> bool {
        self.0 != UNSTATED
    }
}

impl Default for FailureDomain {
    fn default() -> Self {
        Self(UNSTATED.to_owned())
    }
}

/// A log sequence number: `numeric(25,0)` on the wire of SQL Server, a string of digits in ARM and
/// in the journal. Never a float: two positions that differ in the last digit are two positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lsn(pub u128);

impl Lsn {
    /// Reads decimal digits, with or without leading zeros; at most 25 of them count.
    pub fn parse(digits: &str) -> Option<Self> {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let value: u128 = if plain { digits.parse().ok()? } else { return None };
        (value < 10_u128.pow(25)).then_some(Self(value))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("an LSN is at most 25 decimal digits"))
    }
}

/// One of the two sides of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    SqlServer,
    ManagedInstance,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::SqlServer, Self::ManagedInstance];

    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::SqlServer => Self::ManagedInstance,
            Self::ManagedInstance => Self::SqlServer,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SqlServer => "SQL Server",
            Self::ManagedInstance => "the managed instance",
        })
    }
}

fn checked(text: &str, what: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("the name of {} {what} is empty", article(what)));
    }
    if text.chars().count() > 128 {
        return Err(format!("the name of {} {what} has more than 128 characters", article(what)));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("the name of {} {what} has a control character", article(what)));
    }
    Ok(text.to_owned())
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_lsn_keeps_all_twenty_five_digits() {
        let one = Lsn::parse("0039000000057600001000001").expect("25 digits");
        let two = Lsn::parse("39000000057600001000002").expect("without padding");
        assert!(one < two);
        assert_eq!(Lsn::parse("12345678901234567890123456"), None);
        assert_eq!(Lsn::parse("-1"), None);
        assert_eq!(Lsn::parse(""), None);
    }

    #[test]
    fn a_name_says_what_is_wrong_with_it() {
        assert_eq!(LinkId::new("").expect_err("empty"), "the name of a link is empty");
        let error = InstanceId::new("a\nb").expect_err("newline");
        assert_eq!(error, "the name of an instance has a control character");
    }
}
