//! The two sides of a link against each other: what neither of them can tell alone.

use agent_core::LinkId;

use super::{
    control::ControlFacts,
    finding::{Check, Finding, How, Stage},
    instance::InstanceFacts,
    login::bracketed,
    versions::{Build, Match},
};
use crate::text::plain;

/// Do the roles agree?
pub const ROLES: Check = Check {
    id: "link.roles",
    stage: Stage::Link,
    question: "Is exactly one side the primary?",
    source: "role_desc of the local row on each side, and nobody's hearsay",
};
/// Is there a way back?
pub const WAY_BACK: Check = Check {
    id: "link.way_back",
    question: "Is there a way back by the link after a failover?",
    source: "version of SQL Server against the update policy (databaseFormat) of the managed instance",
    ..ROLES
};
/// Do names compare the same way?
pub const COLLATION: Check = Check {
    id: "link.collation",
    question: "Have both sides the same collation?",
    source: "SERVERPROPERTY('Collation') of both",
    ..ROLES
};
/// Does Azure see the roles as the sides do?
pub const BELIEF: Check = Check {
    id: "link.roles_in_azure",
    question: "Does Azure see the role of the managed instance as the instance does?",
    source: "instanceLinkRole of the link",
    ..ROLES
};

/// One link, and what was found out on its sides.
#[derive(Clone, Copy, Debug)]
pub struct PairQuestion<'a> {
    pub link: &'a LinkId,
    /// Name of the distributed availability group.
    pub group: &'a str,
    pub sql_host: &'a str,
    pub managed_host: &'a str,
    pub sql: &'a InstanceFacts,
    pub managed: &'a InstanceFacts,
    /// None: Azure is not configured to be asked.
    pub control: Option<&'a ControlFacts>,
}

/// Judges what was found out; asks nothing.
#[must_use]
pub fn pair(question: &PairQuestion<'_>) -> Vec<Finding> {
    let PairQuestion { link, group, sql_host, managed_host, sql, managed, control } = *question;
    let subject = format!("link {}", plain(link.as_str()));
    let of = |roles: &[(LinkId, String)]| {
        roles.iter().find(|(of, _)| of == link).map(|(_, role)| role.clone())
    };
    let (sql_role, managed_role) = (of(&sql.roles), of(&managed.roles));
    let mut found = vec![
        roles(
            &subject,
            group,
            (sql_role.as_deref(), sql_host),
            (managed_role.as_deref(), managed_host),
        ),
        collation(&subject, sql.collation.as_deref(), managed.collation.as_deref()),
    ];
    if let Some(control) = control {
        let version = sql.version.as_deref().unwrap_or_default();
        found.push(way_back(&subject, version, control.database_format.as_deref()));
        found.push(belief(&subject, managed_role.as_deref(), of(&control.roles).as_deref()));
    }
    found
}

/// Whether the two sides' roles fit; `None` is a role that could not be asked.
fn roles(
    subject: &str,
    group: &str,
    (sql, sql_at): (Option<&str>, &str),
    (managed, managed_at): (Option<&str>, &str),
) -> Finding {
    let (Some(sql), Some(managed)) = (sql, managed) else {
        return ROLES.unasked(subject, "the role of one side is not known");
    };
    let evidence = format!("SQL Server {sql}, managed instance {managed}");
    let name = bracketed(group);
    match (sql, managed) {
        ("PRIMARY", "SECONDARY") | ("SECONDARY", "PRIMARY") => ROLES.ok(subject, evidence),
        ("PRIMARY", "PRIMARY") => ROLES
            .wrong(subject, format!("{evidence}: both take writes (split brain)"))
            .mend(
                How::Words,
                "a human",
                "decide whose data counts. What only the other has is lost with the next statement: \
                 on SQL Server back its log up first, on a managed instance take a copy-only full backup",
            )
            .mend(
                How::Sql,
                format!("the losing side ({sql_at} or {managed_at})"),
                format!("ALTER AVAILABILITY GROUP {name} SET (ROLE = SECONDARY);"),
            )
            .mend(
                How::Words,
                "a human",
                "41104 is an old primary that does not come online as a secondary yet: send it again. \
                 `dr-agent propose LINK --kind repair` does all of it, and saves what only the loser has",
            ),
        ("SECONDARY", "SECONDARY") => ROLES
            .wrong(subject, format!("{evidence}: nobody takes writes"))
            .mend(
                How::Words,
                "a human",
                "decide which side has the newer data (last_commit_time on both); the other one's is \
                 lost with the next statement",
            )
            .mend(
                How::Sql,
                format!("the side that is to be primary ({sql_at} or {managed_at})"),
                format!("ALTER AVAILABILITY GROUP {name} FORCE_FAILOVER_ALLOW_DATA_LOSS;"),
            ),
        _ => ROLES
            .warning(subject, evidence)
            .mend(How::Words, "both sides", "a role is changing, or an instance starts: ask again"),
    }
}

/// How a version of SQL Server and an update policy go together.
fn way_back(subject: &str, version: &str, policy: Option<&str>) -> Finding {
    let Some(policy) = policy else {
        return WAY_BACK.unasked(subject, "the update policy is not known");
    };
    let policy = plain(policy);
    let Some(build) = Build::read(version) else {
        return WAY_BACK.unasked(subject, "the version of SQL Server is not known");
    };
    let (product, evidence) = (build.product(), format!("{} and {policy}", build.product()));
    let portal = "az sql mi create … --database-format; a policy only ever moves forward, so it takes \
                  another managed instance";
    match build.with_policy(&policy) {
        Some(Match::BothWays) => WAY_BACK.ok(subject, format!("{evidence}: both ways")),
        Some(Match::OneWay) => WAY_BACK
            .warning(
                subject,
                format!("{evidence}: over, and not back. After a failover the data comes back only as an export (bacpac) or by transactional replication; a backup can't be restored to {product}"),
            )
            .mend(How::Words, "the managed instance", format!("for a way back by the link: an instance with the policy of {product} ({portal})")),
        Some(Match::None) => WAY_BACK
            .wrong(subject, format!("{evidence}: there is no link between these two"))
            .mend(How::Words, "the managed instance", format!("one with the update policy of {product} ({portal})")),
        None => WAY_BACK
            .warning(subject, format!("{evidence}: this policy is not known here"))
            .mend(How::Words, "the managed instance", "compare it with Microsoft's page on update policies by hand"),
    }
}

/// Whether both sides compare names the same way.
fn collation(subject: &str, sql: Option<&str>, managed: Option<&str>) -> Finding {
    match (sql, managed) {
        (Some(sql), Some(managed)) if sql == managed => COLLATION.ok(subject, plain(sql)),
        (Some(sql), Some(managed)) => COLLATION
            .warning(subject, format!("{} and {}: names of servers may not match (41976)", plain(sql), plain(managed)))
            .mend(
                How::Words,
                "the managed instance",
                "its collation is chosen when it is made: another instance, or names in one case on both sides",
            ),
        (None, _) | (_, None) => COLLATION.unasked(subject, "the collation of one side is not known"),
    }
}

fn belief(subject: &str, own: Option<&str>, believed: Option<&str>) -> Finding {
    match (own, believed) {
        (Some(own), Some(believed)) if own == believed => BELIEF.ok(subject, plain(own)),
        (Some(own), Some(believed)) => BELIEF
            .warning(subject, format!("it is {}, and Azure says {}", plain(own), plain(believed)))
            .mend(
                How::Words,
                "Azure",
                "Azure repeats the instance with delay: ask again in a minute; if it stays so, the link \
                 in Azure is another one than the group on the instance",
            ),
        (None, _) | (_, None) => BELIEF.unasked(subject, "one of the two is not known"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::Verdict;

    #[test]
    fn two_primaries_and_none_are_told_apart() {
        let ask = |sql, managed| roles("l", "L", (sql, "s"), (managed, "m")).verdict;
        let (first, second) = (Some("PRIMARY"), Some("SECONDARY"));
        assert_eq!(ask(first, second), Verdict::Ok);
        assert_eq!(ask(second, first), Verdict::Ok);
        assert_eq!(ask(first, first), Verdict::Wrong);
        assert_eq!(ask(second, second), Verdict::Wrong);
        assert_eq!(ask(Some("RESOLVING"), second), Verdict::Warning);
        assert_eq!(ask(None, second), Verdict::Unasked);
    }

    #[test]
    fn a_one_way_pair_says_the_way_back() {
        let finding = way_back("l", "16.0.4125.3", Some("AlwaysUpToDate"));
        assert_eq!(finding.verdict, Verdict::Warning);
        assert!(finding.evidence.contains("bacpac"), "{}", finding.evidence);
        assert_eq!(way_back("l", "17.0.1000.7", Some("SQLServer2022")).verdict, Verdict::Wrong);
        assert_eq!(way_back("l", "16.0.4125.3", None).verdict, Verdict::Unasked);
    }
}
