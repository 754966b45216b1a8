//! Jobs of the agent: what they do, when, and how it went.

use jiff::Timestamp;

use crate::sql::env::Env;
use crate::sql::moment;
use crate::sql::value::Value;
use crate::world::{Job, JobRun};

use super::groups::guid;
use super::{Row, RowBuilder, View, row};

/// Dates and times of schedules without an end.
const FOREVER: i64 = 99_991_231;

pub(super) fn jobs(env: &Env<'_>, view: &View) -> Vec<Row> {
    let job = |job: &Job| {
        row(view)
            .set("job_id", guid(job.id))
            .set("name", job.name.clone())
            .set("enabled", i64::from(job.enabled))
            .set("description", "Backs a database up.")
            .set("start_step_id", 1)
            .set("category_id", 3)
            .set("owner_sid", Value::Bytes(vec![1]))
            .set("notify_level_eventlog", 2)
            .set("date_created", env.datetime(env.instance.started()))
            .set("date_modified", env.datetime(env.instance.started()))
            .set("version_number", 1)
            .done()
    };
    env.instance.jobs().iter().map(job).collect()
}

pub(super) fn steps(env: &Env<'_>, view: &View) -> Vec<Row> {
    let step = |job: &Job| {
        let last = job.runs().last();
        let (date, time) = last.map_or((0, 0), |run| numbers(env, run.start));
        row(view)
            .set("job_id", guid(job.id))
            .set("step_id", 1)
            .set("step_name", "Back up")
            .set("subsystem", "TSQL")
            .set("command", job.command())
            .set("on_success_action", 1)
            .set("on_fail_action", 2)
            .set("database_name", "master")
            .set("last_run_outcome", last.map_or(5, status))
            .set("last_run_duration", last.map_or(0, duration))
            .set("last_run_date", date)
            .set("last_run_time", time)
            .set("step_uid", guid(job.id))
            .done()
    };
    env.instance.jobs().iter().map(step).collect()
}

pub(super) fn job_schedules(env: &Env<'_>, view: &View) -> Vec<Row> {
    let schedule = |(place, job): (usize, &Job)| {
        let next = job.next().filter(|_| env.instance.agent_running());
        let (date, time) = next.map_or((0, 0), |next| numbers(env, next));
        row(view)
            .set("schedule_id", number(place))
            .set("job_id", guid(job.id))
            .set("next_run_date", date)
            .set("next_run_time", time)
            .done()
    };
    env.instance.jobs().iter().enumerate().map(schedule).collect()
}

pub(super) fn schedules(env: &Env<'_>, view: &View) -> Vec<Row> {
    let schedule = |(place, job): (usize, &Job)| {
        let seconds = job.every.as_secs();
        // Every day, every so many seconds or minutes.
        let (kind, interval) = if seconds % 60 == 0 { (4, seconds / 60) } else { (2, seconds) };
        row(view)
            .set("schedule_id", number(place))
            .set("schedule_uid", guid(job.id))
            .set("name", format!("Every {seconds} s"))
            .set("owner_sid", Value::Bytes(vec![1]))
            .set("enabled", 1)
            .set("freq_type", 4)
            .set("freq_interval", 1)
            .set("freq_subday_type", kind)
            .set("freq_subday_interval", interval)
            .set("active_start_date", numbers(env, env.instance.started()).0)
            .set("active_end_date", FOREVER)
            .set("active_end_time", 235_959)
            .set("date_created", env.datetime(env.instance.started()))
            .set("date_modified", env.datetime(env.instance.started()))
            .set("version_number", 1)
            .done()
    };
    env.instance.jobs().iter().enumerate().map(schedule).collect()
}

/// Of each run its step, then its outcome.
pub(super) fn history(env: &Env<'_>, view: &View) -> Vec<Row> {
    let done = |run: &&JobRun| run.finish <= env.now();
    let mut runs: Vec<(&Job, &JobRun)> = Vec::new();
    for job in env.instance.jobs() {
        runs.extend(job.runs().filter(done).map(|run| (job, run)));
    }
    runs.sort_by_key(|(_, run)| run.finish);
    let mut rows = Vec::new();
    for (job, run) in runs {
        for (step, name) in [(1, "Back up"), (0, "(Job outcome)")] {
            let builder = row(view).set("instance_id", number(rows.len()));
            rows.push(outcome(env, builder, (job, run), step, name));
        }
    }
    rows
}

fn outcome(
    env: &Env<'_>,
    builder: RowBuilder<'_>,
    (job, run): (&Job, &JobRun),
    step: i64,
    name: &str,
) -> Row {
    let (date, time) = numbers(env, run.start);
    let said = match (&run.error, step) {
        (None, 0) => "The job succeeded.".to_owned(),
        (None, _) => "The step succeeded.".to_owned(),
        (Some(_), 0) => "The job failed.".to_owned(),
        (Some(error), _) => format!(
            "{} [SQLSTATE 42000] (Error {})  {} is terminating abnormally. [SQLSTATE 42000] \
             (Error 3013).  The step failed.",
            error.message,
            error.number,
            job.kind.verb()
        ),
    };
    let error = run.error.as_ref().filter(|_| step > 0);
    builder
        .set("job_id", guid(job.id))
        .set("step_id", step)
        .set("step_name", name)
        .set("sql_message_id", error.map_or(0, |error| i64::from(error.number)))
        .set("sql_severity", error.map_or(0, |error| i64::from(error.class)))
        .set("message", said)
        .set("run_status", status(run))
        .set("run_date", date)
        .set("run_time", time)
        .set("run_duration", duration(run))
        .set("server", env.instance.server_name.clone())
        .done()
}

/// 0 failed, 1 succeeded.
fn status(run: &JobRun) -> i64 {
    i64::from(run.error.is_none())
}

/// HHMMSS as a number.
fn duration(run: &JobRun) -> i64 {
    let seconds = run.finish.duration_since(run.start).as_secs();
    seconds / 3_600 * 10_000 + seconds / 60 % 60 * 100 + seconds % 60
}

/// YYYYMMDD and HHMMSS as numbers, by the server's own clock.
fn numbers(env: &Env<'_>, at: Timestamp) -> (i64, i64) {
    let local = at.to_zoned(env.instance.time_zone.clone());
    let date =
        i64::from(local.year()) * 10_000 + i64::from(local.month()) * 100 + i64::from(local.day());
    let time = i64::from(local.hour()) * 10_000
        + i64::from(local.minute()) * 100
        + i64::from(local.second());
    (date, time)
}

fn number(place: usize) -> i64 {
    i64::try_from(place + 1).unwrap_or(i64::MAX)
}

/// `sys.dm_server_services`
pub(super) fn services(env: &Env<'_>, view: &View) -> Vec<Row> {
    let service = |name: &str, account: &str, running: bool| {
        let (status, word) = if running { (4, "Running") } else { (1, "Stopped") };
        let (ticks, offset) = moment::local_ticks(env.instance.started(), &env.instance.time_zone);
        let utc = ticks - i64::from(offset) * 60 * moment::TICKS_PER_SECOND;
        row(view)
            .set("servicename", name)
            .set("startup_type", 2)
            .set("startup_type_desc", "Automatic")
            .set("status", status)
            .set("status_desc", word)
            .set("last_startup_time", running.then_some(Value::Zoned { utc, offset }))
            .set("service_account", account)
            .set("is_clustered", "N")
            .set("instant_file_initialization_enabled", "Y")
            .done()
    };
    if env.is_managed() {
        return Vec::new();
    }
    vec![
        service("SQL Server (MSSQLSERVER)", r"NT Service\MSSQLSERVER", true),
        service(
            "SQL Server Agent (MSSQLSERVER)",
            r"NT Service\SQLSERVERAGENT",
            env.instance.agent_running(),
        ),
    ]
}
