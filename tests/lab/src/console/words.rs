//! What can be typed, and what to type next.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    stage::{APPROVERS, Stage},
    view::say,
};

const HELP: &str = "\
The twin
  stop sql | start sql      kill SQL Server, start it again (or: mi, the managed instance)
  hang, freeze, resume, refuse, accept sql|mi
  cut agent sql | heal agent sql      cut or mend a path; parties: agent sql mi arm token-service
  slow agent mi 200         200 ms more, each way
  lose-reply mi | delay-deed mi 5000 | fail-next mi 15151 | arm-unavailable on
  workload shop --target mi --start   point the application at the managed instance, start it
  truth                     what is true: who takes writes, what is lost, every command
The agent
  status | explain | show | journal
  approve alice | approve bob       (--attest \"WORDS\", --accept-unknown-forecast, --break-glass)
  reject alice --reason \"WORDS\"
  propose                   ask for a planned failover: over, or back
  propose forced            ask for a forced one
  acknowledge               say that you have seen how it ended
  kill agent | start agent  kill -9, and again
  agent ARGS ..             any command line of the agent
help | quit";

/// Greets, and says how the same is reached without the lab.
pub(super) fn welcome(stage: &Stage) {
    let program = std::env::current_exe().unwrap_or_default();
    let program = program.display();
    say("Type `help` for what can be typed. The same from another terminal:");
    say(&format!("  export DR_AGENT_CONFIG={}", stage.config.display()));
    say(&format!("  export TWIN_CONTROL={}", stage.twin.endpoints.control.base_url));
    say(&format!("  {program} agent status    (the agent's own command line)"));
    say(&format!("  {program} twin state      (the twin's)"));
    say(&format!("  keys, token and logs are in {}", stage.folder().display()));
}

/// Does what a line says. `false` ends the lab.
pub(super) fn obey(stage: &mut Stage, line: &str) -> bool {
    let words = split(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] => Ok(()),
        ["quit" | "exit"] => return false,
        ["help"] => {
            say(HELP);
            Ok(())
        }
        ["kill", "agent"] => stage.kill_agent().map(|pid| say(&format!("kill -9 {pid}"))),
        ["start", "agent"] => stage.start_agent(),
        ["truth"] => truth(stage),
        ["agent", rest @ ..] => ask(stage, rest),
        ["status"] => ask(stage, &["status"]),
        ["explain"] => ask(stage, &["explain", stage.twin.link()]),
        ["show"] => show(stage),
        ["journal"] => ask(stage, &["journal"]),
        ["propose"] => propose(stage, "planned-failover"),
        ["propose", "forced"] => propose(stage, "forced-failover"),
        ["acknowledge"] => acknowledge(stage),
        ["approve", who, more @ ..] => sign(stage, "approve", who, more),
        ["reject", who, more @ ..] => sign(stage, "reject", who, more),
        other => fate(stage, other),
    };
    if let Err(error) = done {
        say(&format!("{error:#}"));
    }
    true
}

/// What to type next.
pub(super) fn hint(link: Option<&Value>) -> String {
    let Some(link) = link else { return "start agent".to_owned() };
    let proposal = &link["proposal"];
    let health = link["health"].as_str().unwrap_or_default();
    let planned = proposal["kind"] == "planned_failover";
    let next = match (health, proposal["status"].as_str()) {
        (_, Some("open")) => match proposal["approvals"].as_u64() {
            Some(0) if planned => "show, then: approve alice (one is enough)",
            Some(0) => "show, then: approve alice, approve bob",
            _ => "approve bob (and `kill agent` while it is at work)",
        },
        (_, Some("approved")) => "watch it work, or: kill agent, start agent",
        (_, Some("undoing")) => "watch it being taken back, then: journal",
        ("split_brain", _) => {
            "both sides take writes, and the return guard ends who works on the old primary: truth, explain, journal, quit"
        }
        (_, Some("closed")) if proposal["closed"]["end"] == "stuck" => "journal, acknowledge",
        (_, Some("closed"))
            if proposal["kind"] == "forced_failover"
                && proposal["closed"]["end"] == "succeeded" =>
        {
            if link["primary"] == "sql_server" {
                "truth, workload shop --target sql, then: start mi"
            } else {
                "truth, workload shop --target mi, then: start sql"
            }
        }
        ("healthy", Some("closed")) if link["primary"] == "sql_server" => {
            "workload shop --target sql --start, then: stop sql"
        }
        ("healthy", _) if link["primary"] == "managed_instance" => {
            "workload shop --target mi --start, then: propose (back), or: stop mi"
        }
        ("healthy", _) => "propose (a planned failover), or: stop sql",
        ("unknown", _) => "wait until both sides have been looked at",
        _ => "wait, or: explain",
    };
    next.to_owned()
}

/// Words, split at blanks; double quotes keep them together.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in line.split('"').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn ask(stage: &Stage, words: &[&str]) -> Result<()> {
    let said = stage.cli(words)?;
    said.out.lines().chain(said.err.lines()).for_each(say);
    Ok(())
}

fn show(stage: &Stage) -> Result<()> {
    match proposal(stage) {
        Ok(id) => ask(stage, &["show", &id.to_string()]),
        Err(_) => ask(stage, &["show"]),
    }
}

fn propose(stage: &Stage, kind: &str) -> Result<()> {
    ask(stage, &["propose", stage.twin.link(), "--kind", kind, "--by", "lab"])
}

fn acknowledge(stage: &Stage) -> Result<()> {
    let link = stage.twin.link();
    ask(stage, &["acknowledge", link, "--by", "lab", "--note", "seen in the lab"])
}

fn sign(stage: &Stage, what: &str, who: &str, more: &[&str]) -> Result<()> {
    if !APPROVERS.contains(&who) {
        bail!("the approvers are {}", APPROVERS.join(" and "));
    }
    let (id, key) = (proposal(stage)?.to_string(), stage.key(who));
    let key = key.to_str().context("a path of the lab is text")?;
    let words = [what, &id, "--key", key, "--approver", who, "--yes"];
    let words: Vec<&str> = words.into_iter().chain(more.iter().copied()).collect();
    let said = stage.cli(&words)?;
    // On the way it shows all that is signed. Here that is long: `show` shows it too.
    let told = if said.code == Some(0) { &said.out } else { &said.err };
    told.lines().for_each(say);
    Ok(())
}

/// The newest proposal.
fn proposal(stage: &Stage) -> Result<u64> {
    let link = stage.agent.link(stage.twin.link())?;
    link["proposal"]["proposal"].as_u64().context("there is no proposal yet")
}

/// The twin's own command line, with short names for its instances.
fn fate(stage: &Stage, words: &[&str]) -> Result<()> {
    let endpoints = &stage.twin.endpoints;
    let long = words.iter().map(|word| match *word {
        "sql" => endpoints.sql_server.name.as_str(),
        "mi" => endpoints.managed_instance.name.as_str(),
        other => other,
    });
    let said = stage.twin_cli(&long.collect::<Vec<_>>())?;
    if said.code == Some(2) {
        // clap's words; those of the lab are shorter.
        say(said.err.lines().next().unwrap_or_default());
        say("`help` says what can be typed");
        return Ok(());
    }
    said.out.lines().chain(said.err.lines()).for_each(say);
    if said.code == Some(0) && said.out.is_empty() {
        say("done");
    }
    Ok(())
}

fn truth(stage: &Stage) -> Result<()> {
    let truth = stage.twin.truth()?;
    let link = &truth["links"][0];
    say(&format!("takes writes: {}", link["writers"]));
    let loss = stage.twin.loss()?;
    say(&format!(
        "the data lives on {}; {} of {} acknowledged commits are lost",
        loss.surviving, loss.count, loss.acknowledged
    ));
    for command in stage.twin.commands()? {
        let end = match (&command.refused, command.effective, command.running) {
            (Some(refused), ..) => refused.clone(),
            (None, true, true) => "under way".to_owned(),
            (None, true, false) => "took effect".to_owned(),
            (None, false, _) => "no effect".to_owned(),
        };
        say(&format!("{} at {}: {}  ({end})", command.at, command.target, command.words));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(split("stop  sql "), ["stop", "sql"]);
        let line = r#"reject bob --reason "it is back""#;
        assert_eq!(split(line), ["reject", "bob", "--reason", "it is back"]);
        assert!(split("").is_empty());
    }

    #[test]
    fn the_hint_follows_the_story() {
        let check = |link: Value, words: &str| {
            let hint = hint(Some(&link));
            assert!(hint.contains(words), "{hint}");
        };
        check(serde_json::json!({ "health": "healthy", "proposal": null }), "stop sql");
        let open = |approvals| {
            let proposal = serde_json::json!({ "status": "open", "approvals": approvals });
            serde_json::json!({ "health": "primary_down", "proposal": proposal })
        };
        check(open(0), "approve alice");
        check(open(1), "approve bob");
        let forced = |primary: &str| {
            let closed = serde_json::json!({ "end": "succeeded" });
            let proposal = serde_json::json!({
                "status": "closed", "kind": "forced_failover", "closed": closed
            });
            serde_json::json!({ "health": "degraded", "primary": primary, "proposal": proposal })
        };
        check(forced("managed_instance"), "start sql");
        check(forced("sql_server"), "start mi");
        let undone = serde_json::json!({ "status": "undoing" });
        check(serde_json::json!({ "health": "degraded", "proposal": undone }), "taken back");
        assert_eq!(hint(None), "start agent");
    }
}
