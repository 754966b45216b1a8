//! Versions of SQL Server and formats of managed instances, and what each of them can do on a link.
//! The numbers are those of Microsoft's feature overview of the Managed Instance link.

use alloc::{
    format,
    string::{String, ToString},
};
use core::{fmt, str::FromStr as _};

/// Four numbers, compared as such: `16.0.4125.3`.
type Build = [u32; 4];

/// The first build of SQL Server 2022 with which a link can be created from Azure: CU10.
const SQL_2022_CU10: Build = [16, 0, 4095, 4];
/// The first one with failover of a link by T-SQL: CU13.
const SQL_2022_CU13: Build = [16, 0, 4125, 3];

/// A SQL Server by its build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    build: Build,
}

/// Update policy of a managed instance: the format of its databases, which only moves forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    SqlServer2022,
    SqlServer2025,
    AlwaysUpToDate,
    /// One that this version has not heard of.
    Other(String),
}

impl Engine {
    /// From `SERVERPROPERTY('ProductVersion')`; None if it is no version.
    #[must_use]
    pub fn read(version: &str) -> Option<Self> {
        let mut parts = version.split('.').map(u32::from_str);
        let mut next = || parts.next()?.ok();
        Some(Self { build: [next()?, next()?, next()?, next()?] })
    }

    /// Why it can't have a link at all, as far as its build tells.
    pub(super) fn without_link(self) -> Option<String> {
        let (needed, name): (Build, _) = match self.build[0] {
            13 => ([13, 0, 7000, 253], "2016 SP3 with the Azure Connect pack (13.0.7000.253)"),
            14 => ([14, 0, 3490, 10], "2017 CU31 with the Azure Connect pack (14.0.3490.10)"),
            15 => ([15, 0, 4312, 2], "2019 CU20 (15.0.4312.2)"),
            0..=12 => return Some(format!("{self} is too old for a link: it begins with 2016")),
            _ => return None,
        };
        (self.build < needed)
            .then(|| format!("{self} is older than {name}, with which links begin"))
    }

    /// Whether roles change over the link, or only by giving it up.
    #[must_use]
    pub fn both_ways(self) -> bool {
        self.build[0] >= 16
    }

    /// Whether the statements for failover of a link exist.
    pub(super) fn hands_over(self) -> bool {
        self.build >= SQL_2022_CU13
    }

    /// Whether a link can be created from a managed instance that is primary.
    pub(super) fn linked_from_azure(self) -> bool {
        self.build >= SQL_2022_CU10
    }

    /// Whether databases of this format can go on there, over the link or by a backup.
    pub(super) fn takes(self, format: &Format) -> bool {
        match self.build[0] {
            16 => *format == Format::SqlServer2022,
            17 => *format == Format::SqlServer2025,
            _ => false,
        }
    }

    /// Whether a managed instance of this format can be its secondary.
    pub(super) fn feeds(self, format: &Format) -> bool {
        !(self.build[0] >= 17 && *format == Format::SqlServer2022)
    }
}

impl Format {
    /// From `properties.databaseFormat` of the instance.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let known = [Self::SqlServer2022, Self::SqlServer2025, Self::AlwaysUpToDate];
        let found = known.into_iter().find(|known| known.to_string().eq_ignore_ascii_case(text));
        found.unwrap_or_else(|| Self::Other(text.to_string()))
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, build, revision] = self.build;
        let year = match major {
            13 => "2016 ",
            14 => "2017 ",
            15 => "2019 ",
            16 => "2022 ",
            17 => "2025 ",
            _ => "",
        };
        write!(f, "SQL Server {year}({major}.{minor}.{build}.{revision})")
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SqlServer2022 => "SQLServer2022",
            Self::SqlServer2025 => "SQLServer2025",
            Self::AlwaysUpToDate => "AlwaysUpToDate",
            Self::Other(text) => text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_compare_as_numbers() {
        let hands_over = |version| Engine::read(version).expect("a version").hands_over();
        assert!(hands_over("16.0.4125.3") && hands_over("17.0.1000.7"));
        assert!(!hands_over("16.0.4095.4") && !hands_over("15.0.4312.2"));
        assert_eq!(Engine::read("16.0"), None);
        assert_eq!(Format::read("sqlserver2025"), Format::SqlServer2025);
        assert_eq!(Format::read("SQLServer2027").to_string(), "SQLServer2027");
    }
}
