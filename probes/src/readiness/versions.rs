//! Which builds of SQL Server can be in a link, what they can do there, and how an update policy of
//! the managed instance goes with them.

use std::fmt;

/// Four numbers, compared one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Build(pub [u32; 4]);

/// What a build of SQL Server can do in a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// No link at all with this major version.
    Never,
    /// A link needs at least this build.
    TooOld { needs: Build },
    /// Towards the managed instance only, and failing over drops the link.
    OneWay,
    /// A link, but its failover by T-SQL needs at least this build.
    NoFailover { needs: Build },
    /// Both ways, if the update policy fits.
    Full,
}

/// What stands between a version of SQL Server and an update policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// Over and back by the link, and back by restoring.
    BothWays,
    /// Over, and not back by the link or by restoring.
    OneWay,
    /// There is no link between the two.
    None,
}

/// SQL Server 2017 needs the Azure Connect pack, which a build number alone does not prove.
const SQL_2017: Build = Build([14, 0, 3490, 10]);
/// The same of SQL Server 2016.
const SQL_2016: Build = Build([13, 0, 7000, 253]);
const SQL_2019_CU20: Build = Build([15, 0, 4312, 2]);
const SQL_2022_RTM: Build = Build([16, 0, 1000, 6]);
const SQL_2022_CU13: Build = Build([16, 0, 4125, 3]);
const SQL_2025_RTM: Build = Build([17, 0, 1000, 7]);

impl Build {
    /// Reads `SERVERPROPERTY('ProductVersion')`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.').map(|part| part.parse::<u32>().ok());
        let mut next = || parts.next().flatten();
        let build = [next()?, next()?, next()?, next()?];
        parts.next().is_none().then_some(Self(build))
    }

    /// What it can do in a link.
    #[must_use]
    pub fn support(self) -> Support {
        let least = |needs: Self, otherwise| {
            if self < needs { Support::TooOld { needs } } else { otherwise }
        };
        match self.0[0] {
            0..=12 => Support::Never,
            13 => least(SQL_2016, Support::OneWay),
            14 => least(SQL_2017, Support::OneWay),
            15 => least(SQL_2019_CU20, Support::OneWay),
            16 if self < SQL_2022_CU13 => {
                least(SQL_2022_RTM, Support::NoFailover { needs: SQL_2022_CU13 })
            }
            16 => Support::Full,
            17 => least(SQL_2025_RTM, Support::Full),
            // A newer one is unknown here; it is not for this table to forbid it.
            18.. => Support::Full,
        }
    }

    /// How it goes with a `databaseFormat` of the managed instance. `None` for a policy that is not
    /// known here.
    #[must_use]
    pub fn with_policy(self, policy: &str) -> Option<Match> {
        let is = |word: &str| policy.eq_ignore_ascii_case(word);
        let known = is("SQLServer2022") || is("SQLServer2025") || is("AlwaysUpToDate");
        if !known {
            return None;
        }
        Some(match self.0[0] {
            13..=15 => Match::OneWay,
            16 if is("SQLServer2022") => Match::BothWays,
            17 if is("SQLServer2025") => Match::BothWays,
            17 if is("SQLServer2022") => Match::None,
            16.. => Match::OneWay,
            0..=12 => Match::None,
        })
    }

    /// The product's name by its year.
    #[must_use]
    pub fn product(self) -> String {
        let year = match self.0[0] {
            13 => "2016",
            14 => "2017",
            15 => "2019",
            16 => "2022",
            17 => "2025",
            major => return format!("SQL Server, version {major}"),
        };
        format!("SQL Server {year}")
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, build, revision] = self.0;
        write!(f, "{major}.{minor}.{build}.{revision}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(text: &str) -> Build {
        Build::read(text).expect("four numbers")
    }

    #[test]
    fn each_version_can_do_what_the_table_says() {
        let cases = [
            ("12.0.6024.0", Support::Never),
            ("13.0.6300.2", Support::TooOld { needs: SQL_2016 }),
            ("13.0.7029.3", Support::OneWay),
            ("14.0.3485.1", Support::TooOld { needs: SQL_2017 }),
            ("15.0.4312.2", Support::OneWay),
            ("16.0.4115.5", Support::NoFailover { needs: SQL_2022_CU13 }),
            ("16.0.4125.3", Support::Full),
            ("17.0.900.7", Support::TooOld { needs: SQL_2025_RTM }),
            ("17.0.1000.7", Support::Full),
        ];
        for (text, expected) in cases {
            assert_eq!(build(text).support(), expected, "{text}");
        }
        assert_eq!(Build::read("16.0.4125"), None);
    }

    #[test]
    fn a_policy_decides_over_the_way_back() {
        let cases = [
            ("16.0.4125.3", "SQLServer2022", Some(Match::BothWays)),
            ("16.0.4125.3", "sqlserver2025", Some(Match::OneWay)),
            ("16.0.4125.3", "AlwaysUpToDate", Some(Match::OneWay)),
            ("17.0.1000.7", "SQLServer2025", Some(Match::BothWays)),
            ("17.0.1000.7", "SQLServer2022", Some(Match::None)),
            ("15.0.4312.2", "SQLServer2022", Some(Match::OneWay)),
            ("16.0.4125.3", "SQLServer2031", None),
        ];
        for (text, policy, expected) in cases {
            assert_eq!(build(text).with_policy(policy), expected, "{text} {policy}");
        }
    }
}
