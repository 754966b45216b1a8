//! What looks mean for the steps after a change of roles: the first full backup, and who backs up
//! the log. Pure.

use agent_core::deed::Sight;
use probes::tds::{BackupTaken, JobStep, LogBackups, TdsError};

/// Of the jobs that were found so many are named.
const NAMED_JOBS: usize = 3;

/// Is the backup there? `running` has to have been asked before `taken`.
pub(super) fn backed_up(
    running: Result<Option<Option<i64>>, TdsError>,
    taken: Result<Option<BackupTaken>, TdsError>,
) -> Sight {
    match (taken, running) {
        (Err(error), _) => Sight::Blind { why: unread(&error) },
        (Ok(Some(backup)), _) => Sight::Holds { seen: found(backup) },
        (Ok(None), Err(error)) => {
            let why = error.silence().detail;
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

/// Who backs up the log? A look is all that is asked for, so what is found is never in the way.
pub(super) fn log_backups_seen(database: &str, seen: Result<LogBackups, TdsError>) -> Sight {
    let seen = match seen {
        Ok(seen) => seen,
        // Nothing came back at all: that is no look.
        Err(error) if error.number().is_none() => {
            return Sight::Blind { why: error.silence().detail };
        }
        Err(error) => {
            let seen = format!("the jobs were not seen: {}. Look yourself", unread(&error));
            return Sight::Holds { seen };
        }
    };
    let mut words = jobs(database, &seen.steps);
    if seen.agent_running == Some(false) {
        words.push_str("; SQL Server Agent does not run, so no job does");
    }
    words.push_str(&match seen.last_s {
        Some(ago) => format!("; the last log backup ended {} ago", lasting(ago)),
        None => "; there is no log backup yet".to_owned(),
    });
    Sight::Holds { seen: words }
}

fn jobs(database: &str, steps: &[JobStep]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for step in steps.iter().filter(|step| backs_up_log(&step.command, database)) {
        if !names.contains(&step.job.as_str()) {
            names.push(&step.job);
        }
    }
    if names.is_empty() {
        return format!(
            "no enabled, scheduled job that backs up the log of {database} was found: without one it grows until its disk is full. Maintenance plans and other programs are not seen here"
        );
    }
    let more = names.len().saturating_sub(NAMED_JOBS);
    let named: Vec<String> =
        names.into_iter().take(NAMED_JOBS).map(|name| format!("`{name}`")).collect();
    let besides = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("log backups by {}{besides}", named.join(", "))
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

/// msdb has rights of its own.
fn unread(error: &TdsError) -> String {
    let detail = error.silence().detail;
    match error.number() {
        Some(229 | 916) => {
            format!("{detail}; give the login the rights in msdb that deploy/sql/grants.sql names")
        }
        Some(_) | None => detail,
    }
}

fn lasting(seconds: i64) -> String {
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
