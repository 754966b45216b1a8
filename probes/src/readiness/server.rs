//! The instance itself: is it what the configuration says, new enough, allowed to be in a group, and
//! is its clock ours.

use agent_core::Side;
use jiff::{SignedDuration, Timestamp};

use super::{
    finding::{Check, Finding, How, Stage},
    login::{bracketed, quoted},
    questions::{Engine, Rights},
    reach::Door,
    versions::{Build, Support},
};
use crate::text::plain;

/// May the login that looks read the management views?
pub const SERVER_STATE: Check = Check {
    id: "sql.right_server_state",
    stage: Stage::Rights,
    question: "May the login that looks read the management views?",
    source: "HAS_PERMS_BY_NAME: VIEW SERVER STATE, or VIEW SERVER PERFORMANCE STATE since 2022",
};
/// May it read the catalog of groups, endpoints and certificates?
pub const DEFINITION: Check = Check {
    id: "sql.right_definition",
    stage: Stage::Rights,
    question: "May it read the catalog of groups, endpoints and certificates?",
    source: "HAS_PERMS_BY_NAME: VIEW ANY DEFINITION",
};
/// May it see every database?
pub const DATABASES: Check = Check {
    id: "sql.right_databases",
    stage: Stage::Rights,
    question: "May it see every database?",
    source: "HAS_PERMS_BY_NAME: VIEW ANY DATABASE, which everybody has unless it was taken away",
};
/// May the login that carries out steps alter any database?
pub const ALTER_DATABASE: Check = Check {
    id: "sql.right_alter_database",
    stage: Stage::Rights,
    question: "May the login that carries out steps alter databases?",
    source: "HAS_PERMS_BY_NAME; Microsoft asks for ALTER ANY DATABASE beside the right on the group",
};
/// May it end sessions?
pub const END_SESSIONS: Check = Check {
    id: "sql.right_end_sessions",
    stage: Stage::Rights,
    question: "May it end sessions, as the repair of a split brain does?",
    source: "HAS_PERMS_BY_NAME: ALTER ANY CONNECTION",
};
/// May it disable logins?
pub const ALTER_LOGINS: Check = Check {
    id: "sql.right_alter_login",
    stage: Stage::Rights,
    question: "May it disable the logins of `links.guard`, as the return guard does?",
    source: "HAS_PERMS_BY_NAME: ALTER ANY LOGIN",
};
/// May it let groups go?
pub const DROP_GROUPS: Check = Check {
    id: "sql.right_drop_groups",
    stage: Stage::Rights,
    question: "May it drop the groups of a link that is deleted, as a cutover does and the guard of a \
               deletion?",
    source: "HAS_PERMS_BY_NAME: ALTER ANY AVAILABILITY GROUP; DROP AVAILABILITY GROUP asks for ALTER \
             on each of the two groups",
};
/// May it fail this group over?
pub const ALTER_GROUP: Check = Check {
    id: "sql.right_alter_group",
    stage: Stage::Rights,
    question: "May the login that carries out steps fail the group over?",
    source: "HAS_PERMS_BY_NAME: ALTER on the group, ALTER ANY AVAILABILITY GROUP or CONTROL SERVER",
};
/// May it back the database up?
pub const BACK_UP: Check = Check {
    id: "sql.right_backup",
    stage: Stage::Rights,
    question: "May the login that carries out steps back the database up, as the configuration \
               has it do?",
    source: "HAS_PERMS_BY_NAME: BACKUP DATABASE, asked where the database is open",
};
/// May it see who backs up?
pub const SEE_BACKUPS: Check = Check {
    id: "sql.right_msdb",
    stage: Stage::Rights,
    question: "May it see in msdb what is backed up, and by which jobs?",
    source: "the very question that a run asks after a move to SQL Server",
};
/// Is the answer to the agent's own first question complete?
pub const FIRST_QUERY: Check = Check {
    id: "sql.first_query",
    stage: Stage::Answer,
    question: "Is the look that the agent takes every second answered?",
    source: "the look itself",
};
/// Is it the engine that the configuration says it is?
pub const ENGINE: Check = Check {
    id: "sql.engine",
    stage: Stage::Server,
    question: "Is it what the configuration says it is?",
    source: "SERVERPROPERTY('EngineEdition'): 8 is a managed instance",
};
/// Is its clock ours?
pub const CLOCK: Check = Check {
    id: "clock.server",
    stage: Stage::Server,
    question: "Does its clock agree with this machine's?",
    source: "GETUTCDATE() between two looks at our own clock",
};
/// Can its build be in a link that fails over?
pub const BUILD: Check = Check {
    id: "sql.build",
    stage: Stage::Server,
    question: "Is the build new enough for the link and its failover?",
    source: "SERVERPROPERTY('ProductVersion') against Microsoft's table of versions",
};
/// Can its edition be in a link?
pub const EDITION: Check = Check {
    id: "sql.edition",
    stage: Stage::Server,
    question: "Can this edition be in a link?",
    source: "SERVERPROPERTY('Edition'): Enterprise, Developer and Standard can",
};
/// Are availability groups enabled?
pub const HADR: Check = Check {
    id: "sql.hadr",
    stage: Stage::Server,
    question: "Are availability groups enabled and running?",
    source: "SERVERPROPERTY('IsHadrEnabled') and ('HadrManagerStatus')",
};
/// Are the recommended trace flags on?
pub const TRACES: Check = Check {
    id: "sql.trace_flags",
    stage: Stage::Server,
    question: "Are the recommended trace flags on?",
    source: "DBCC TRACESTATUS(-1): 1800 and 9567 are recommended for a link, not required",
};

/// Flags that Microsoft recommends: sector sizes of the log, compressed seeding.
const RECOMMENDED: [i64; 2] = [1800, 9567];
/// A managed instance, by `EngineEdition`.
const MANAGED: i64 = 8;

/// What the login that looks may read.
pub(crate) fn looking(door: &Door<'_>, user: &str, rights: Rights) -> Vec<Finding> {
    let name = bracketed(user);
    let one = |check: &Check, has: bool, right: &str, why: &str| {
        if has || rights.control_server {
            return check.ok(door.subject, format!("{right} is granted"));
        }
        check.wrong(door.subject, format!("{right} is not granted: {why}")).mend(
            How::Sql,
            door.host,
            format!("GRANT {right} TO {name};"),
        )
    };
    let blind = "the agent can't see roles, connections and positions";
    let unseen = "a group that is there looks as if it were not";
    vec![
        one(&SERVER_STATE, rights.server_state, "VIEW SERVER STATE", blind),
        one(&DEFINITION, rights.any_definition, "VIEW ANY DEFINITION", unseen),
        one(&DATABASES, rights.any_database, "VIEW ANY DATABASE", "the database is not seen"),
    ]
}

/// What the login that carries out steps may do on the whole server. `guards`: a guard of some link
/// disables logins there. `retires`: it is the side whose groups go with a link.
pub(crate) fn acting(
    door: &Door<'_>,
    user: &str,
    rights: Rights,
    guards: bool,
    retires: bool,
) -> Vec<Finding> {
    let one = |check: &Check, has: bool, right: &str, why: &str| {
        if has || rights.control_server {
            return check.ok(door.subject, format!("{right} is granted"));
        }
        check.warning(door.subject, format!("{right} is not granted: {why}")).mend(
            How::Sql,
            door.host,
            format!("GRANT {right} TO {};", bracketed(user)),
        )
    };
    let refused = "a failover may be refused";
    let stay = "whoever works on an old primary stays there, and a repair waits in vain";
    let out = "whoever a return guard ends comes back at once";
    let there =
        "once a link is deleted its groups stay, and with them an old copy that takes writes";
    let mut found = vec![
        one(&ALTER_DATABASE, rights.alter_any_database, "ALTER ANY DATABASE", refused),
        one(&END_SESSIONS, rights.alter_any_connection, "ALTER ANY CONNECTION", stay),
    ];
    if guards {
        found.push(one(&ALTER_LOGINS, rights.alter_any_login, "ALTER ANY LOGIN", out));
    }
    if retires {
        let right = "ALTER ANY AVAILABILITY GROUP";
        found.push(one(&DROP_GROUPS, rights.alter_any_group, right, there));
    }
    found
}

/// What it may do to one group. `granted` is `None` where it does not see such a group.
pub(crate) fn acting_on(
    door: &Door<'_>,
    user: &str,
    group: &str,
    rights: Rights,
    granted: Option<bool>,
) -> Finding {
    let (group, name) = (bracketed(group), bracketed(user));
    if rights.control_server || rights.alter_any_group || granted == Some(true) {
        return ALTER_GROUP.ok(door.subject, format!("it may alter {group}"));
    }
    let evidence = match granted {
        Some(_) => format!("it may not alter {group}: a failover would be refused with 15151"),
        None => format!("it does not see {group}, so it may not alter it either"),
    };
    ALTER_GROUP.wrong(door.subject, evidence).mend(
        How::Sql,
        door.host,
        format!("GRANT ALTER ON AVAILABILITY GROUP::{group} TO {name};"),
    )
}

/// Whether it may back one database up. `granted` is `None` where the database is not open to it.
pub(crate) fn backing_up(
    door: &Door<'_>,
    user: &str,
    database: &str,
    granted: Option<bool>,
) -> Finding {
    let (database, name) = (bracketed(database), bracketed(user));
    let evidence = match granted {
        Some(true) => return BACK_UP.ok(door.subject, format!("it may back up {database}")),
        None => {
            let words = format!("{database} is not open here: ask again where it is primary");
            return BACK_UP.unasked(door.subject, words);
        }
        Some(false) => format!("it may not back up {database}: the backup would fail with 262"),
    };
    BACK_UP.warning(door.subject, evidence).mend(
        How::Sql,
        door.host,
        format!(
            "USE {database}; IF USER_ID({}) IS NULL CREATE USER {name} FOR LOGIN {name}; \
             GRANT BACKUP DATABASE TO {name};",
            quoted(user)
        ),
    )
}

/// What the missing right to see msdb means, and the statement that gives it.
pub(crate) fn backups_unseen(door: &Door<'_>, user: &str, detail: &str) -> Finding {
    let name = bracketed(user);
    let tables = ["backupset", "sysjobs", "sysjobsteps", "sysjobschedules", "sysschedules"];
    let grants = tables.map(|table| format!("GRANT SELECT ON dbo.{table} TO {name};")).join(" ");
    let words = "after a move to SQL Server nobody is told whether the log is backed up";
    SEE_BACKUPS.warning(door.subject, format!("{}: {words}", plain(detail))).mend(
        How::Sql,
        door.host,
        format!(
            "USE msdb; IF USER_ID({}) IS NULL CREATE USER {name} FOR LOGIN {name}; {grants}",
            quoted(user)
        ),
    )
}

/// What every instance is asked.
pub(crate) fn any(door: &Door<'_>, side: Side, engine: &Engine) -> Finding {
    let what = |managed: bool| if managed { "a managed instance" } else { "a SQL Server" };
    let is = engine.engine_edition == MANAGED;
    let said = side == Side::ManagedInstance;
    let evidence = format!(
        "{}, {} {}, {}",
        engine.server_name.as_deref().unwrap_or("a server without a name"),
        engine.edition,
        engine.version,
        what(is)
    );
    if is == said {
        return ENGINE.ok(door.subject, evidence);
    }
    let text = format!(
        "the address of {}; what answers there is {}",
        what(said),
        if is { "a managed instance" } else { "none" }
    );
    ENGINE.wrong(door.subject, evidence).mend(How::Config, format!("{}.host", door.key), text)
}

/// `asked` and `answered` are our own times around the answer.
pub(crate) fn clock(
    check: &Check,
    subject: &str,
    at: &str,
    theirs: Timestamp,
    (asked, answered): (Timestamp, Timestamp),
    tolerance: SignedDuration,
) -> Finding {
    // It read its clock somewhere between the two: what lies outside is the least that it is off.
    let off = if theirs < asked {
        theirs.duration_since(asked)
    } else {
        theirs.duration_since(answered).max(SignedDuration::ZERO)
    };
    let ms = off.as_millis();
    let evidence = match ms {
        0 => "no difference beyond the time that the answer took".to_owned(),
        _ if ms > 0 => format!("it is {} ahead of this machine", shown(off)),
        _ => format!("it is {} behind this machine", shown(off.abs())),
    };
    if off.abs() <= tolerance {
        return check.ok(subject, evidence);
    }
    check
        .warning(
            subject,
            format!("{evidence}: forecasts and bounds rest on both clocks, so they are off by as much"),
        )
        .mend(
            How::Shell,
            format!("{at}, and this machine"),
            "timedatectl status (Linux), w32tm /query /status (Windows): both ought to follow one source",
        )
}

/// What only a SQL Server is asked.
pub(crate) fn own(door: &Door<'_>, engine: &Engine) -> Vec<Finding> {
    vec![build(door, engine), edition(door, engine), hadr(door, engine)]
}

pub(crate) fn traces(door: &Door<'_>, on: &[i64]) -> Finding {
    let missing: Vec<_> =
        RECOMMENDED.iter().filter(|flag| !on.contains(flag)).map(ToString::to_string).collect();
    if missing.is_empty() {
        return TRACES.ok(door.subject, "1800 and 9567 are on");
    }
    let flags = missing.join(", ");
    TRACES
        .warning(door.subject, format!("off: {flags}"))
        .mend(How::Sql, door.host, format!("DBCC TRACEON({flags}, -1);"))
        .mend(
            How::Words,
            door.host,
            "-T1800 and -T9567 as startup parameters, so that they stay on",
        )
}

fn build(door: &Door<'_>, engine: &Engine) -> Finding {
    let Some(build) = Build::read(&engine.version) else {
        let evidence = format!("{:?} is not a version that is known here", engine.version);
        return BUILD.warning(door.subject, evidence).mend(
            How::Words,
            door.host,
            "compare it with Microsoft's table of versions for the link by hand",
        );
    };
    let product = build.product();
    let patch = |needs: Build| format!("patch {product} to {needs} or newer, and restart it");
    match build.support() {
        Support::Full => BUILD.ok(door.subject, format!("{product} {build}")),
        Support::Never => BUILD
            .wrong(door.subject, format!("{product} {build} can't be in a link"))
            .mend(How::Words, door.host, "SQL Server 2022 (CU13 or newer) or 2025"),
        Support::TooOld { needs } => BUILD
            .wrong(door.subject, format!("{build} is older than {needs}, with which links begin"))
            .mend(How::Words, door.host, patch(needs)),
        Support::NoFailover { needs } => BUILD
            .wrong(
                door.subject,
                format!("{build} is older than {needs} (CU13), with which failover by T-SQL begins"),
            )
            .mend(How::Words, door.host, patch(needs)),
        Support::OneWay => BUILD
            .wrong(
                door.subject,
                format!("{product} {build} only replicates to the managed instance: failing over drops the link, and there is no way back by it"),
            )
            .mend(How::Words, door.host, "SQL Server 2022 (CU13 or newer) or 2025, for ways over and back"),
    }
}

fn edition(door: &Door<'_>, engine: &Engine) -> Finding {
    let fits = ["Enterprise", "Developer", "Standard"];
    if fits.iter().any(|edition| engine.edition.starts_with(edition)) {
        return EDITION.ok(door.subject, engine.edition.clone());
    }
    EDITION.wrong(door.subject, format!("{} can't be in a link", engine.edition)).mend(
        How::Words,
        door.host,
        "Enterprise, Developer or Standard Edition (an edition upgrade keeps the databases)",
    )
}

fn hadr(door: &Door<'_>, engine: &Engine) -> Finding {
    match (engine.hadr_enabled, engine.hadr_status) {
        (Some(true), Some(1)) => HADR.ok(door.subject, "enabled and running"),
        (Some(true), status) => HADR
            .wrong(door.subject, format!("enabled, and not running (HadrManagerStatus {status:?})"))
            .mend(How::Words, door.host, "restart the service, and read its error log"),
        (Some(false) | None, _) => HADR
            .wrong(door.subject, "availability groups are not enabled")
            .mend(
                How::Shell,
                format!("PowerShell on {}", door.host),
                "Enable-SqlAlwaysOn -ServerInstance <SERVER\\INSTANCE> -Force  # restarts the service",
            )
            .mend(
                How::Shell,
                format!("{} on Linux", door.host),
                "mssql-conf set hadr.hadrenabled 1 && systemctl restart mssql-server",
            ),
    }
}

fn shown(off: SignedDuration) -> String {
    format!("{:.1} s", off.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::{Verdict, reach::Peer};

    fn door() -> Door<'static> {
        let subject = "SQL Server s";
        Door { subject, peer: Peer::SqlServer, host: "h", port: 1433, key: "sql_servers[0]" }
    }

    #[test]
    fn a_clock_is_off_by_what_the_answer_does_not_explain() {
        let at = |ms: i64| Timestamp::from_millisecond(ms).expect("a time");
        let tolerance = SignedDuration::from_secs(5);
        let cases = [
            (10_500, "no difference", Verdict::Ok),
            (12_000, "1.0 s ahead", Verdict::Ok),
            (71_000, "60.0 s ahead", Verdict::Warning),
            (0, "10.0 s behind", Verdict::Warning),
        ];
        for (theirs, words, verdict) in cases {
            let around = (at(10_000), at(11_000));
            let finding = clock(&CLOCK, "s", "h", at(theirs), around, tolerance);
            assert!(finding.evidence.contains(words), "{theirs}: {}", finding.evidence);
            assert_eq!(finding.verdict, verdict, "{theirs}");
        }
    }

    #[test]
    fn rights_are_granted_by_name_or_by_owning_everything() {
        let none = Rights::default();
        let missing = looking(&door(), "dr_agent", none);
        assert!(missing.iter().all(|finding| finding.verdict == Verdict::Wrong));
        assert_eq!(missing[1].fix[0].text, "GRANT VIEW ANY DEFINITION TO [dr_agent];");
        let owner = Rights { control_server: true, ..none };
        assert!(looking(&door(), "sa", owner).iter().all(|found| found.verdict == Verdict::Ok));
        let finding = acting_on(&door(), "act", "Link]1", none, Some(false));
        assert_eq!(finding.fix[0].text, "GRANT ALTER ON AVAILABILITY GROUP::[Link]]1] TO [act];");
    }

    #[test]
    fn an_old_build_names_the_one_that_would_do() {
        let engine = Engine {
            version: "16.0.4115.5".into(),
            edition: "Express Edition (64-bit)".into(),
            hadr_enabled: Some(false),
            ..Engine::default()
        };
        let found = own(&door(), &engine);
        assert!(found.iter().all(|finding| finding.verdict == Verdict::Wrong), "{found:#?}");
        assert!(found[0].fix[0].text.contains("16.0.4125.3"), "{:?}", found[0]);
    }
}
