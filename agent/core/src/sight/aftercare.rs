//! What looks mean for the steps after a change of roles: the first full backup, and who backs up
//! the log.

use alloc::{
    borrow::ToOwned,
    format,
    string::String,
    vec::Vec,
};

use crate::{
    deed::Sight,
    evidence::{Silence, SilenceKind},
};

/// Of the jobs that were found so many are named.
const NAMED_JOBS: usize = 3;

/// A finished full backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupTaken {
    pub took_s: Option<i64>,
    pub size_bytes: Option<i64>,
    pub checksums: bool,
}

/// What is known of those who back up the log of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogBackups {
    /// Steps of enabled, scheduled jobs whose command has the word LOG in it.
    pub steps: Vec<JobStep>,
    /// How long ago the last log backup of the database ended, by the server's clock; None if
    /// there never was one.
    pub last_s: Option<i64>,
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
#[must_use]
pub fn log_backups_seen(database: &str, seen: Result<LogBackups, Silence>) -> Sight {
    let seen = match seen {
        Ok(seen) => seen,
        // It was asked, and says no.
        Err(Silence { kind: SilenceKind::Denied, detail }) => {
            return Sight::Holds { seen: format!("the jobs were not seen: {detail}. Look yourself") };
        }
        Err(silence) => return Sight::Blind { why: silence.detail },
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
