//! Versions: what each can do of a link, and what it is called (mi-link 2.1 and 2.2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Instance, InstanceKind, Link, Side, UpdatePolicy};

/// A product version, `major.minor.build.revision`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Build(pub [u32; 4]);

/// What a SQL Server runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Platform {
    /// Windows Server.
    #[default]
    Windows,
    /// Linux; not with SQL Server 2016.
    Linux,
}

/// A release of SQL Server.
#[derive(Debug)]
pub struct Release {
    /// Its major version.
    pub major: u32,
    /// Its name: a year.
    pub name: &'static str,
    /// `SERVERPROPERTY('ProductLevel')`
    pub level: &'static str,
    /// The first build that can have a link.
    pub first_linkable: Build,
    /// `DATABASEPROPERTYEX(name, 'Version')`: the format of its databases.
    pub format: i32,
    /// Builds of its cumulative updates, as far as they are known.
    updates: &'static [(u32, u8)],
}

/// The first build that takes a link made from the managed instance: SQL Server 2022 CU10.
pub(super) const FROM_INSTANCE: Build = Build([16, 0, 4095, 4]);
/// The first build that fails a link over by T-SQL: SQL Server 2022 CU13.
pub(super) const FAILOVER: Build = Build([16, 0, 4125, 3]);
/// The first builds that take several databases in a link: SQL Server 2022 CU27 and 2025 CU9. The
/// sources name the updates and not their builds.
const SEVERAL: [Build; 2] = [Build([16, 0, 4275, 1]), Build([17, 0, 4085, 1])];

/// Oldest first.
pub(super) static RELEASES: [Release; 5] = [
    Release {
        major: 13,
        name: "2016",
        level: "SP3",
        // Service Pack 3 with the Azure Connect pack.
        first_linkable: Build([13, 0, 7000, 253]),
        format: 852,
        updates: &[],
    },
    Release {
        major: 14,
        name: "2017",
        level: "RTM",
        // CU31 with the Azure Connect pack.
        first_linkable: Build([14, 0, 3490, 10]),
        format: 869,
        updates: &[
            (3356, 22),
            (3381, 23),
            (3391, 24),
            (3401, 25),
            (3411, 26),
            (3421, 27),
            (3430, 28),
            (3436, 29),
            (3451, 30),
            (3456, 31),
        ],
    },
    Release {
        major: 15,
        name: "2019",
        level: "RTM",
        first_linkable: Build([15, 0, 4312, 2]),
        format: 904,
        updates: &[
            (4312, 20),
            (4316, 21),
            (4322, 22),
            (4335, 23),
            (4345, 24),
            (4355, 25),
            (4365, 26),
            (4375, 27),
            (4385, 28),
            (4395, 29),
            (4405, 30),
            (4415, 31),
            (4430, 32),
        ],
    },
    Release {
        major: 16,
        name: "2022",
        level: "RTM",
        first_linkable: Build([16, 0, 1000, 6]),
        format: 957,
        updates: &[
            (4003, 1),
            (4015, 2),
            (4025, 3),
            (4035, 4),
            (4045, 5),
            (4055, 6),
            (4065, 7),
            (4075, 8),
            (4085, 9),
            (4095, 10),
            (4105, 11),
            (4115, 12),
            (4125, 13),
            (4135, 14),
            (4145, 15),
            (4165, 16),
            (4175, 17),
            (4185, 18),
            (4195, 19),
            (4205, 20),
            (4215, 21),
            (4225, 22),
            (4235, 23),
            (4245, 24),
            (4255, 25),
            (4265, 26),
            (4275, 27),
        ],
    },
    Release {
        major: 17,
        name: "2025",
        level: "RTM",
        first_linkable: Build([17, 0, 1000, 7]),
        format: 998,
        // From the fifth on by the distance of the first four, and by a build that was seen.
        updates: &[
            (4005, 1),
            (4015, 2),
            (4025, 3),
            (4035, 4),
            (4045, 5),
            (4055, 6),
            (4065, 7),
            (4075, 8),
            (4085, 9),
        ],
    },
];

/// Which ways over a link has, by the versions of its two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ways {
    pub(super) sql: Build,
    /// SQL Server can read what the managed instance writes.
    pub(super) back: bool,
}

impl Build {
    /// Reads `major.minor.build.revision`; parts that are missing are 0.
    #[must_use]
    pub fn parse(text: &str) -> Option<Build> {
        let mut parts = [0; 4];
        let mut given = text.split('.');
        for (part, text) in parts.iter_mut().zip(given.by_ref()) {
            *part = text.parse().ok()?;
        }
        given.next().is_none().then_some(Build(parts))
    }

    /// The release that it belongs to; of an unknown major version the nearest older one.
    #[must_use]
    pub fn release(self) -> &'static Release {
        RELEASES.iter().rfind(|release| release.major <= self.0[0]).unwrap_or(&RELEASES[0])
    }

    /// Whether it is of a release that is known.
    pub(super) fn is_known(self) -> bool {
        let [major, minor, ..] = self.0;
        minor == 0 && RELEASES.iter().any(|release| release.major == major)
    }

    /// Whether CREATE AVAILABILITY GROUP knows CLUSTER_TYPE: since 2017.
    pub(super) fn has_cluster_type(self) -> bool {
        self >= Build([14, 0, 0, 0])
    }

    pub(super) fn takes_several(self) -> bool {
        SEVERAL.iter().any(|first| first.0[0] == self.0[0] && self >= *first)
    }
}

impl Release {
    /// `SERVERPROPERTY('ProductUpdateLevel')`: the last cumulative update in a build; of one that is
    /// newer than all that are known nobody can say.
    #[must_use]
    pub fn update(&self, build: Build) -> Option<String> {
        let next = self.updates.iter().position(|update| update.0 > build.0[2]);
        let last = self.updates.last().filter(|last| build.0[2] < last.0 + self.stays_for());
        let update = match next {
            Some(next) => self.updates.get(next.checked_sub(1)?)?,
            None => last?,
        };
        Some(format!("CU{}", update.1))
    }

    /// For how many builds security fixes of the last update go on. SQL Server 2017 and 2019 get
    /// nothing else any more.
    fn stays_for(&self) -> u32 {
        if self.major < 16 { 1_000 } else { 10 }
    }

    /// The highest compatibility level: that of new databases.
    #[must_use]
    pub fn compatibility(&self) -> i32 {
        i32::try_from(self.major).unwrap_or(16) * 10
    }
}

impl Instance {
    /// Whether it is a SQL Server on Linux.
    #[must_use]
    pub fn on_linux(&self) -> bool {
        matches!(self.kind, InstanceKind::SqlServer { platform: Platform::Linux, .. })
    }

    /// Its build; of a managed instance that of the SQL Server whose format it keeps.
    #[must_use]
    pub fn build(&self) -> Build {
        let stands_for = |major| RELEASES.iter().find(|release| release.major == major);
        match self.kind {
            InstanceKind::SqlServer { .. } => {
                Build::parse(&self.product_version).unwrap_or(FAILOVER)
            }
            InstanceKind::ManagedInstance {
                update_policy: UpdatePolicy::SQLServer2022, ..
            } => FAILOVER,
            InstanceKind::ManagedInstance { .. } => {
                stands_for(17).map_or(FAILOVER, |release| release.first_linkable)
            }
        }
    }
}

/// Whether a SQL Server of that build can take over what such a managed instance has written.
pub(super) fn reads_back(sql: Build, policy: UpdatePolicy) -> bool {
    match policy {
        UpdatePolicy::SQLServer2022 => sql.0[0] == 16,
        UpdatePolicy::SQLServer2025 => sql.0[0] == 17,
        UpdatePolicy::AlwaysUpToDate => false,
    }
}

impl Ways {
    pub(super) fn of(link: &Link, instances: &BTreeMap<String, Instance>) -> Ways {
        let at = |side| instances.get(&link.member(side).instance);
        let sql = at(Side::SqlServer).map_or(FAILOVER, Instance::build);
        let policy = match at(Side::ManagedInstance).map(|found| found.kind) {
            Some(InstanceKind::ManagedInstance { update_policy, .. }) => update_policy,
            Some(InstanceKind::SqlServer { .. }) | None => UpdatePolicy::SQLServer2022,
        };
        Ways { sql, back: reads_back(sql, policy) }
    }

    /// SQL Server 2016 to 2019 only send: their links end with a deletion.
    pub(super) fn only_over(self) -> bool {
        self.sql.0[0] < FAILOVER.0[0]
    }

    /// Whether log goes from this primary to the other side.
    pub(super) fn carries_from(self, primary: Side) -> bool {
        primary == Side::SqlServer || self.back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_compare_by_their_parts_and_have_a_release() {
        let build = |text| Build::parse(text).expect("a build");
        assert!(build("16.0.4125.3") >= FAILOVER && build("16.0.4115.5") < FAILOVER);
        assert_eq!(build("15.0.4312.2").release().name, "2019");
        assert_eq!(
            build("15.0.4430.1").release().update(build("15.0.4430.1")).as_deref(),
            Some("CU32")
        );
        assert_eq!(Build::parse("sixteen"), None);
        assert!(build("16.0.4300.1").takes_several() && !build("17.0.4075.5").takes_several());
    }
}
