//! The linked database on one side: is it there, can it be in a group, does its chain of backups hold.

use std::time::Duration;

use agent_core::Side;

use super::{
    finding::{Check, Finding, How, Stage},
    login::{bracketed, quoted},
    questions::{Backups, Database},
    reach::Door,
};
use crate::text::plain;

/// Is the database there and online?
pub const ONLINE: Check = Check {
    id: "database.online",
    stage: Stage::Link,
    question: "Is the database there and online?",
    source: "sys.databases",
};
/// Is everything of it logged?
pub const RECOVERY: Check =
    Check { id: "database.recovery_model", question: "Is its recovery model FULL?", ..ONLINE };
/// Can it be in a group?
pub const ACCESS: Check = Check {
    id: "database.access",
    question: "Does it take writes of more than one user (a group refuses others: 1466, 1488)?",
    ..ONLINE
};
/// Does its log move?
pub const MOVING: Check = Check {
    id: "database.data_movement",
    question: "Does its log move?",
    source: "sys.dm_hadr_database_replica_states: is_suspended",
    ..ONLINE
};
/// Is there a full backup?
pub const FULL_BACKUP: Check = Check {
    id: "database.full_backup",
    question: "Is there a full backup that is not COPY_ONLY, with which its chain begins?",
    source: "msdb.dbo.backupset; without one a link can't be made (1475)",
    ..ONLINE
};
/// Is the log backed up?
pub const LOG_BACKUP: Check = Check {
    id: "database.log_backup",
    question: "Is its log backed up, so that it does not fill?",
    source: "msdb.dbo.backupset",
    ..ONLINE
};

/// A log that nobody has backed up for so long is nobody's job.
const LOG_AT_LEAST: Duration = Duration::from_secs(24 * 3600);
/// A full backup older than this is no reason to be calm.
const FULL_AT_LEAST: Duration = Duration::from_secs(8 * 24 * 3600);

/// `subject` is the link on this side.
pub(crate) fn database(
    door: &Door<'_>,
    subject: &str,
    side: Side,
    name: &str,
    database: Option<&Database>,
) -> Vec<Finding> {
    let quoted_name = bracketed(name);
    let Some(database) = database else {
        let finding = ONLINE.wrong(subject, format!("there is no database {}", plain(name)));
        let text = "the name of the linked database, as it is on that server (or the login may not see it)";
        return vec![finding.mend(How::Config, "links.database", text)];
    };
    let sql = |finding: Finding, text: String| finding.mend(How::Sql, door.host, text);
    let state = plain(&database.state);
    let online = if state == "ONLINE" {
        ONLINE.ok(subject, "ONLINE")
    } else {
        let finding = ONLINE.wrong(subject, format!("it is {state}"));
        match state.as_str() {
            "OFFLINE" => sql(finding, format!("ALTER DATABASE {quoted_name} SET ONLINE;")),
            _ => finding.mend(
                How::Words,
                door.host,
                "wait if it is RECOVERING or RESTORING; else read the error log before anything else",
            ),
        }
    };
    let moving = match &database.suspended {
        None => MOVING.ok(subject, "it is not suspended"),
        Some(reason) => sql(
            MOVING.wrong(subject, format!("it is suspended: {}", plain(reason))),
            format!("ALTER DATABASE {quoted_name} SET HADR RESUME;"),
        ),
    };
    // On the managed instance the service sees to the rest.
    match side {
        Side::ManagedInstance => vec![online, moving],
        Side::SqlServer => vec![
            online,
            recovery(door, subject, name, database),
            access(door, subject, name, database),
            moving,
        ],
    }
}

/// Of the side that is a SQL Server; a managed instance backs up by itself.
pub(crate) fn backups(
    door: &Door<'_>,
    subject: &str,
    name: &str,
    backups: Backups,
    primary: bool,
) -> Vec<Finding> {
    let quoted_name = bracketed(name);
    let to_disk = format!("BACKUP DATABASE {quoted_name} TO DISK = N'<path>.bak' WITH CHECKSUM;");
    let full = match backups.full_age {
        None => FULL_BACKUP.wrong(subject, "msdb knows of none").mend(How::Sql, door.host, to_disk),
        Some(age) if age > FULL_AT_LEAST => FULL_BACKUP
            .warning(subject, format!("the newest one is {} old", lasting(age)))
            .mend(How::Sql, door.host, to_disk),
        Some(age) => FULL_BACKUP.ok(subject, format!("{} old", lasting(age))),
    };
    if !primary {
        // Backups on the receiving side may break the chain of the other.
        let words = "this side receives at present: nothing is due here";
        return vec![full, LOG_BACKUP.ok(subject, words)];
    }
    let log = match backups.log_age {
        Some(age) if age <= LOG_AT_LEAST => LOG_BACKUP.ok(subject, format!("{} old", lasting(age))),
        age => {
            let evidence = age.map_or_else(
                || "msdb knows of none".to_owned(),
                |age| format!("the newest one is {} old", lasting(age)),
            );
            LOG_BACKUP
                .warning(
                    subject,
                    format!("{evidence}: a log that is not backed up grows until the disk is full"),
                )
                .mend(
                    How::Sql,
                    door.host,
                    format!("BACKUP LOG {quoted_name} TO DISK = N'<path>.trn' WITH CHECKSUM;"),
                )
                .mend(How::Words, door.host, "a job that backs the log up every few minutes")
        }
    };
    vec![full, log]
}

/// What the missing right to read msdb means, and the statement that gives it.
pub(crate) fn backups_denied(door: &Door<'_>, subject: &str, user: &str, detail: &str) -> Finding {
    let name = bracketed(user);
    FULL_BACKUP
        .warning(subject, format!("the login that looks may not read msdb: {}", plain(detail)))
        .mend(
            How::Sql,
            door.host,
            format!(
                "USE msdb; IF USER_ID({}) IS NULL CREATE USER {name} FOR LOGIN {name}; GRANT SELECT ON \
                 dbo.backupset TO {name};",
                quoted(user)
            ),
        )
}

fn recovery(door: &Door<'_>, subject: &str, name: &str, database: &Database) -> Finding {
    let model = plain(&database.recovery_model);
    if model == "FULL" {
        return RECOVERY.ok(subject, "FULL");
    }
    let quoted_name = bracketed(name);
    RECOVERY
        .wrong(subject, format!("it is {model}: a database in a group has to be FULL"))
        .mend(How::Sql, door.host, format!("ALTER DATABASE {quoted_name} SET RECOVERY FULL;"))
        .mend(
            How::Sql,
            door.host,
            format!("BACKUP DATABASE {quoted_name} TO DISK = N'<path>.bak' WITH CHECKSUM;"),
        )
}

fn access(door: &Door<'_>, subject: &str, name: &str, database: &Database) -> Finding {
    let quoted_name = bracketed(name);
    let word = plain(&database.user_access);
    if database.is_read_only {
        let text = format!("ALTER DATABASE {quoted_name} SET READ_WRITE;");
        return ACCESS.wrong(subject, "it is READ_ONLY").mend(How::Sql, door.host, text);
    }
    if word == "SINGLE_USER" {
        let text = format!("ALTER DATABASE {quoted_name} SET MULTI_USER;");
        return ACCESS.wrong(subject, "it is SINGLE_USER").mend(How::Sql, door.host, text);
    }
    ACCESS.ok(subject, word)
}

fn lasting(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    match minutes {
        0..=119 => format!("{minutes} min"),
        120..=2879 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    }
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
    fn what_a_group_refuses_is_found_before_it_does() {
        let found = |wrong: &Database| {
            let found = database(&door(), "link l", Side::SqlServer, "Crm", Some(wrong));
            let wrong = found.into_iter().filter(|finding| finding.verdict == Verdict::Wrong);
            wrong.map(|finding| (finding.check, finding.fix[0].text.clone())).collect::<Vec<_>>()
        };
        let good = Database {
            state: "ONLINE".into(),
            recovery_model: "FULL".into(),
            user_access: "MULTI_USER".into(),
            ..Database::default()
        };
        assert!(found(&good).is_empty());
        let simple = Database { recovery_model: "SIMPLE".into(), ..good.clone() };
        let text = "ALTER DATABASE [Crm] SET RECOVERY FULL;".to_owned();
        assert_eq!(found(&simple), [("database.recovery_model", text)]);
        let suspended = Database { suspended: Some("SUSPEND_FROM_USER".into()), ..good.clone() };
        let text = "ALTER DATABASE [Crm] SET HADR RESUME;".to_owned();
        assert_eq!(found(&suspended), [("database.data_movement", text)]);
        let single = Database { user_access: "SINGLE_USER".into(), ..good.clone() };
        assert_eq!(found(&single)[0].0, "database.access");
        let offline = Database { state: "OFFLINE".into(), ..good };
        assert_eq!(found(&offline)[0].0, "database.online");
    }

    #[test]
    fn a_chain_that_nobody_keeps_is_told() {
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        let verdicts = |full_age, log_age, primary| {
            let found = backups(&door(), "l", "Crm", Backups { full_age, log_age }, primary);
            found.iter().map(|finding| finding.verdict).collect::<Vec<_>>()
        };
        let (ok, warning, wrong) = (Verdict::Ok, Verdict::Warning, Verdict::Wrong);
        assert_eq!(verdicts(hours(49), hours(1), true), [ok, ok]);
        assert_eq!(verdicts(None, None, true), [wrong, warning]);
        assert_eq!(verdicts(hours(24 * 20), hours(30), true), [warning, warning]);
        assert_eq!(verdicts(hours(49), None, false), [ok, ok]);
    }
}
