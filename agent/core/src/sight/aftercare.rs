//! What looks mean for the steps after a change of roles: the first full backup, and who backs up
//! the log.

use alloc::{borrow::ToOwned, format, string::String, vec::Vec};

use crate::{
    deed::Sight,
    evidence::{DatabaseReading, Silence, SilenceKind},
    names::Lsn,
};

/// Of the jobs that were found so many are named.
const NAMED_JOBS: usize = 3;

/// A finished full backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupTaken {
    pub took_s: Option<i64>,
    pub size_bytes: Option<i64>,
    pub checksums: bool,
    /// Everything before this position is in it, and nothing from it on.
    pub last_lsn: Option<Lsn>,
}

/// What is known of those who back up the log of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogBackups {
    /// Steps of enabled, scheduled jobs whose command has the word LOG in it.
    pub steps: Vec<JobStep>,
    /// How long ago the last log backup of the database ended, by the server's clock; None if
    /// there never was one.
    pub last_s: Option<i64>,
    /// The same of the last full backup that is not COPY_ONLY.
    pub full_s: Option<i64>,
    /// Whether SQL Server Agent is at work; None where it can't be told.
    pub agent_running: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStep {
    pub job: String,
    pub command: String,
}

/// Is the backup there? `running` has to have been asked before `taken`.
#[must_use]
pub fn backed_up(
    running: Result<Option<Option<i64>>, Silence>,
    taken: Result<Option<BackupTaken>, Silence>,
) -> Sight {
    match (taken, running) {
        (Err(silence), _) => Sight::Blind { why: silence.detail },
        (Ok(Some(backup)), _) => Sight::Holds { seen: found(backup) },
        (Ok(None), Err(silence)) => {
            let why = silence.detail;
            Sight::Blind { why: format!("no such backup yet, but not whether one runs: {why}") }
        }
        (Ok(None), Ok(Some(percent))) => {
            let done = percent.map_or(String::new(), |percent| format!(", {percent} % done"));
            Sight::Coming { seen: format!("the backup is being made{done}") }
        }
        (Ok(None), Ok(None)) => {
            let seen = "there is no such backup, and none is being made".into();
            Sight::Not { seen, first_hand: true }
        }
    }
}

/// Is everything that the instance has committed in the backup? `database` has to have been read
/// after `taken`: what it has committed by then is what has to be there.
#[must_use]
pub fn saved(
    running: Result<Option<Option<i64>>, Silence>,
    taken: Result<Option<BackupTaken>, Silence>,
    database: Result<Option<DatabaseReading>, Silence>,
) -> Sight {
    let Ok(Some(backup)) = &taken else { return backed_up(running, taken) };
    let committed = match database {
        Ok(Some(database)) => database.last_commit_lsn,
        Ok(None) => return Sight::Unfit { seen: "the database is gone".into() },
        Err(silence) => return Sight::Blind { why: silence.detail },
    };
    let seen = found(*backup);
    match (backup.last_lsn, committed) {
        (Some(last), Some(committed)) if last > committed => {
            Sight::Holds { seen: format!("{seen}; it has all up to {last}") }
        }
        (Some(last), Some(committed)) => Sight::Not {
            seen: format!("{seen}, up to {last}, but there is a commit at {committed}"),
            first_hand: true,
        },
        (None, _) | (_, None) => Sight::Blind {
            why: format!("{seen}, but not up to where, or where the last commit is"),
        },
    }
}

/// The command that takes away what is saved is about to leave, by what the role has shown. Is it all
/// saved, even now? Whoever has committed meanwhile is not to lose it.
#[must_use]
pub fn still_saved(
    by_role: Sight,
    taken: Result<Option<BackupTaken>, Silence>,
    database: Result<Option<DatabaseReading>, Silence>,
) -> Sight {
    let Sight::Not { seen, .. } = &by_role else { return by_role };
    match saved(Ok(None), taken, database) {
        Sight::Holds { .. } | Sight::Warned { .. } => by_role,
        Sight::Blind { why } => Sight::Blind { why: format!("{seen}; {why}") },
        Sight::Not { seen: saved, .. }
        | Sight::Coming { seen: saved }
        | Sight::Unfit { seen: saved } => Sight::Unfit {
            seen: format!(
                "{seen}; {saved}. Nothing is taken away that is not saved: find who still works there, and ask for another repair"
            ),
        },
    }
}

fn found(backup: BackupTaken) -> String {
    let mut seen = "the backup is there".to_owned();
    if let Some(bytes) = backup.size_bytes {
        seen.push_str(&format!(", {} MB", bytes / 1_000_000));
    }
    if let Some(took) = backup.took_s {
        seen.push_str(&format!(" in {took} s"));
    }
    seen.push_str(if backup.checksums { ", with checksums" } else { ", WITHOUT checksums" });
    seen
}

/// Can the database be restored from now on: is there a full backup of the new chain, and who backs up
/// the log? `since_s`: for how long the roles have been changed. What is missing is told and never in
/// the way.
#[must_use]
pub fn log_backups_seen(
    database: &str,
    since_s: Option<i64>,
    seen: Result<LogBackups, Silence>,
) -> Sight {
    let found = match seen {
        Ok(found) => found,
        // It was asked, and says no.
        Err(Silence { kind: SilenceKind::Denied, detail }) => {
            let seen = format!("backups and jobs were not seen: {detail}");
            return Sight::Warned { seen, warning: nobody_looked(database) };
        }
        Err(silence) => return Sight::Blind { why: silence.detail },
    };
    let names = jobs(database, &found.steps);
    let seen = told(database, &names, &found);
    let missing = missing(database, !names.is_empty(), since_s, &found);
    if missing.is_empty() {
        return Sight::Holds { seen };
    }
    Sight::Warned { seen, warning: missing.join("; ") }
}

/// What people are told where the look at backups and jobs has failed for good.
pub(crate) fn nobody_looked(database: &str) -> String {
    format!(
        "nobody could look at the backups of {database}: see for yourself that there is a full one since the roles changed, and that somebody backs up the log"
    )
}

fn told(database: &str, names: &[&str], found: &LogBackups) -> String {
    let mut words = if names.is_empty() {
        format!(
            "no enabled, scheduled job that backs up the log of {database} was found; maintenance plans and other programs are not seen here"
        )
    } else {
        let more = names.len().saturating_sub(NAMED_JOBS);
        let named: Vec<String> =
            names.iter().take(NAMED_JOBS).map(|name| format!("`{name}`")).collect();
        let besides = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("log backups by {}{besides}", named.join(", "))
    };
    if found.agent_running == Some(false) {
        words.push_str("; SQL Server Agent does not run, so no job does");
    }
    for (kind, ago) in [("log", found.last_s), ("full", found.full_s)] {
        words.push_str(&match ago {
            Some(ago) => format!("; the last {kind} backup ended {} ago", lasting(ago)),
            None => format!("; there is no {kind} backup yet"),
        });
    }
    words
}

/// What people have to do so that the database can be restored.
fn missing(database: &str, has_job: bool, since_s: Option<i64>, found: &LogBackups) -> Vec<String> {
    // A second of rounding either way.
    let fresh = |ago: &i64| since_s.is_none_or(|since| *ago <= since.saturating_add(1));
    let full = found.full_s.filter(fresh);
    let mut missing = Vec::new();
    if full.is_none() {
        missing.push(format!(
            "there is no full backup of {database} since the roles changed, so nothing from then on can be restored. Take one that is not COPY_ONLY; `planned.backup` has it taken the next time"
        ));
    }
    if full.zip(found.last_s).is_some_and(|(full, log)| log <= full) {
        return missing;
    }
    if !has_job {
        missing.push(format!(
            "no job backs up the log of {database} and no log backup is newer than the full one, so the log grows until its disk is full. Enable the job, or see to it that another program takes them"
        ));
    } else if found.agent_running == Some(false) {
        missing.push(format!(
            "SQL Server Agent does not run, so no job backs up the log of {database}. Start it"
        ));
    }
    missing
}

/// The jobs that back up the log, each once.
fn jobs<'a>(database: &str, steps: &'a [JobStep]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for step in steps.iter().filter(|step| backs_up_log(&step.command, database)) {
        if !names.contains(&step.job.as_str()) {
            names.push(&step.job);
        }
    }
    names
}

/// Whether a step backs up the log of this database, or may: a variable or a list of all databases
/// is taken for it.
fn backs_up_log(command: &str, database: &str) -> bool {
    let words = command.to_uppercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let named = words.contains(&database.to_uppercase());
    if let Some((_, rest)) = words.split_once("BACKUP LOG ") {
        let subject = rest.trim_start_matches(['[', '"', '\'', ' ']);
        return named || subject.starts_with(['@', '?', '+']);
    }
    // The procedures of Ola Hallengren's maintenance solution.
    let tight: String = words.chars().filter(|c| *c != ' ').collect();
    let all = ["USER_DATABASES", "ALL_DATABASES", "AVAILABILITY_GROUP_DATABASES"];
    (tight.contains("@BACKUPTYPE='LOG'") || tight.contains("@BACKUPTYPE=N'LOG'"))
        && (named || all.iter().any(|list| words.contains(list)))
}

pub(super) fn lasting(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        172_800.. => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
#[path = "aftercare_tests.rs"]
mod tests;
