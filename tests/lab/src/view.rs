//! What the lab shows, as plain text.

use std::{fmt::Write as _, io::Write as _};

use lab::agent::name;
use serde_json::Value;

/// Writes a line. Nobody there to read it is no reason to stop.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Writes a line to standard error.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// The state of one link in a few lines, from the agent's status.
pub(crate) fn state(link: &Value, now: &str) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut lines = Vec::new();
    let primary = word(&link["primary"]);
    lines.push(format!(
        "{}  health {}  primary {primary}  at {now}",
        word(&link["link"]),
        word(&link["health"])
    ));
    for (title, side) in [("sql_server", "sql_server"), ("managed_instance", "managed_instance")] {
        let found = &link["sides"][side];
        lines.push(format!("  {title:<17} {}", look(found)));
        for replica in found["seen"]["side"]["replicas"].as_array().into_iter().flatten() {
            let (name, said) = (word(&replica["name"]), word(&replica["said"]));
            lines.push(format!("    {name:<15} {said}"));
        }
    }
    lines.push(format!("  {:<17} {}", "control_plane", look(&link["sides"]["control_plane"])));
    let reasons: Vec<_> =
        link["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    lines.push(format!("  because           {}", reasons.join("; ")));
    lines.push(format!("  forced failover   {}", forecast(&link["forecast"])));
    lines.push(format!("  proposal          {}", proposal(&link["proposal"])));
    lines
}

/// What the newest look of a vantage showed.
fn look(look: &Value) -> String {
    let age =
        look["age_ms"].as_u64().map(|ms| format!("seen {}.{} s ago", ms / 1000, ms % 1000 / 100));
    let age = age.unwrap_or_else(|| "never seen".to_owned());
    let seen = &look["seen"];
    let word = |value: &Value| value.as_str().unwrap_or("-").to_uppercase();
    if let Some(side) = seen.get("side") {
        let mut text = word(&side["role"]);
        let database = &side["database"];
        let _ = write!(text, ", database {}", word(&database["state"]));
        if database["read_write"] == true {
            text.push_str(" READ_WRITE");
        }
        match side["connected"].as_bool() {
            Some(true) => text.push_str(", hears its partner"),
            Some(false) => text.push_str(", does not hear its partner"),
            None => {}
        }
        if let Some(lag) = side["partner"]["lag_s"].as_u64() {
            let _ = write!(text, ", lag {lag} s");
        }
        if let Some(queue) = side["partner"]["log_send_queue_kb"].as_u64() {
            let _ = write!(text, ", {queue} KB to send");
        }
        return format!("{text}; {age}");
    }
    if let Some(control) = seen.get("control") {
        let role = word(&control["link"]["instance_role"]);
        return format!("says the managed instance is {role}; {age}");
    }
    if let Some(silence) = seen.get("silence") {
        let detail = silence["detail"].as_str().unwrap_or_default();
        return format!("{} ({detail}); {age}", word(&silence["kind"]));
    }
    age
}

fn forecast(forecast: &Value) -> String {
    let loss = &forecast["loss"];
    let seconds =
        |key: &str| loss[key].as_u64().map(|ms| format!("{}.{} s", ms / 1000, ms % 1000 / 100));
    match (seconds("least_ms"), seconds("most_ms")) {
        (Some(least), Some(most)) => format!("would lose between {least} and {most} of commits"),
        _ => match loss["because"].as_str() {
            Some(because) => format!("forecast unknown ({because})"),
            None => "-".to_owned(),
        },
    }
}

fn proposal(proposal: &Value) -> String {
    let Some(id) = proposal["proposal"].as_u64() else { return "none".to_owned() };
    let text = |key: &str| proposal[key].as_str().unwrap_or("-").to_owned();
    let id = format!("{id} ({})", text("kind").replace('_', " "));
    let (approvals, quorum) = (&proposal["approvals"], &proposal["quorum"]);
    match proposal["status"].as_str() {
        Some("open") => format!(
            "{id} is open: {approvals} of {quorum} approvals, to be approved by {}",
            clock(&text("approve_by"))
        ),
        Some("approved") => format!(
            "{id} is approved: {} of {} steps done, may start steps until {}",
            proposal["steps_done"],
            proposal["step_count"],
            clock(&text("execute_by"))
        ),
        Some("undoing") => format!("{id} is being taken back: the applications are let in again"),
        _ => format!(
            "{id} is closed: {} ({})",
            proposal["closed"]["end"].as_str().unwrap_or("-"),
            proposal["closed"]["why"].as_str().unwrap_or("-")
        ),
    }
}

/// One entry of the journal on a line.
pub(crate) fn entry(entry: &Value) -> String {
    let event = &entry["event"];
    let text = |key: &str| event[key].as_str().unwrap_or("-");
    let step = || event["step"]["step"].as_u64().map_or(0, |step| step + 1);
    let more = match name(entry) {
        "health_changed" => format!("{} -> {}", text("from"), text("to")),
        "ballot_received" => {
            format!("from {}", event["ballot"]["approver"].as_str().unwrap_or("-"))
        }
        "proposal_closed" => format!("{}: {}", text("end"), text("why")),
        "step_started" | "step_sending" | "step_noted" => format!("step {}", step()),
        "step_done" => format!("step {}: {}", step(), text("seen")),
        "step_not_done" | "step_unknown" => format!("step {}: {}", step(), text("why")),
        _ => String::new(),
    };
    let at = clock(entry["at"].as_str().unwrap_or_default());
    format!("{:>4}  {at}  {:<18} {more}", entry["seq"], name(entry))
}

/// The time of day of a timestamp, UTC.
pub(crate) fn clock(at: &str) -> String {
    let time = at.split_once('T').map_or(at, |(_, time)| time);
    time.get(..8).unwrap_or(time).to_owned()
}
