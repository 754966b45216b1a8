//! The acts of the story, in order.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use lab::{agent::name, wait, wire::Events};
use serde_json::Value;
use twin::world::{Fault, Party};

use super::tally::Tally;
use crate::{
    sql,
    stage::Stage,
    view::{self, say},
};

/// For everything that has to happen by itself.
pub(super) const SOON: Duration = Duration::from_secs(45);
pub(super) const SHOP: &str = "shop";

/// The stage, and the journal as it grows.
pub(super) struct Scene {
    pub(super) stage: Stage,
    events: Events,
    pub(super) seen: Vec<Value>,
    with_bus: bool,
}

impl Scene {
    pub(super) fn open(stage: Stage, with_bus: bool) -> Result<Self> {
        let events = stage.agent.events(0)?;
        Ok(Self { stage, events, seen: Vec::new(), with_bus })
    }

    pub(super) fn healthy(&mut self, tally: &mut Tally) -> Result<()> {
        tally.step("The link is healthy and the application commits");
        let healthy = self.until_health("healthy");
        tally.must("the agent sees both sides and finds the link healthy", healthy)?;
        let committed = self.commits_more();
        tally.must("the application commits on SQL Server", committed)?;
        let ready = self.stage.agent.wait_ready(SOON);
        tally.must("/readyz says so too", ready)?;
        self.show()
    }

    pub(super) fn primary_is_lost(&mut self, tally: &mut Tally) -> Result<()> {
        tally.step("SQL Server is killed (the twin refuses its connections)");
        let (from, to) = self.members();
        self.stage.twin.fault(&Fault::Cut { from, to, one_way: false })?;
        self.commits_more()?;
        tally.note("the line between the sides broke a moment before, so commits are stranded");
        let instance = self.stage.twin.endpoints.sql_server.name.clone();
        self.stage.twin.fault(&Fault::Stop { instance })?;
        let heard = self.until_health("degraded");
        let heard = tally.must("the agent sees it silent, and does not believe it alone", heard)?;
        let reasons = heard["event"]["reasons"].to_string();
        let hears = reasons.contains("\"heard\"");
        tally.check("the managed instance still says CONNECTED", hears, &reasons);
        let down = self.until_health("primary_down");
        let down = tally.must("the verdict PrimaryDown is in the journal", down)?;
        let reasons = down["event"]["reasons"].to_string();
        let agrees = reasons.contains("\"not_heard\"");
        tally.check("it rests on a second vantage that misses the primary too", agrees, &reasons);
        let since = self.seen.iter().rposition(|entry| name(entry) == "proposal_closed");
        let names: Vec<_> = self.seen.iter().skip(since.unwrap_or(0)).map(name).collect();
        let early = names.contains(&"proposal_opened");
        tally.check("nothing was proposed before that", !early, format!("{names:?}"));
        let because = self.stage.agent.explain(self.stage.twin.link())?;
        let loss = &because["forecast"]["loss"];
        let known = loss["most_ms"].is_u64();
        tally.check("the forecast says what would be lost", known, loss);
        self.show()
    }

    pub(super) fn proposal_is_shown(&mut self, tally: &mut Tally) -> Result<u64> {
        tally.step("A proposal is opened, and everybody can see it");
        let opened = self.until("proposal_opened");
        let opened =
            tally.must("the proposal is in the journal and on the event stream", opened)?;
        let id = opened["seq"].as_u64().context("an entry has a place")?;
        let detail = self.stage.agent.proposal(id)?;
        let waits = detail["status"] == "open" && detail["quorum"] == 2;
        tally.check("the API shows it open, for two approvers", waits, &detail);
        let shown = self.stage.cli(&["show", &id.to_string()])?;
        let asked = self.stage.cli(&["status"])?;
        let digest = detail["digest"].as_str().unwrap_or("no digest");
        let told = shown.out.contains(digest) && asked.out.contains(&id.to_string());
        tally.check("the command line shows it with its digest", told, &shown.out);
        let metrics = self.stage.agent.metrics()?;
        let line = metrics.lines().find(|line| line.starts_with("dr_agent_proposal_open{"));
        let counted = line.is_some_and(|line| line.ends_with(" 1"));
        tally.check("/metrics shows it", counted, line.unwrap_or("no such metric"));
        if self.with_bus {
            let bus = wait::until(SOON, || {
                let bus = self.stage.agent.status().ok()?["bus"].clone();
                (bus["last_confirmed_seq"].as_u64() >= Some(id)).then_some(bus)
            });
            tally.check("the bus has confirmed it", bus.is_some(), "no confirmation");
        }
        self.show()?;
        Ok(id)
    }

    pub(super) fn first_signature_is_carried(&mut self, tally: &mut Tally, id: u64) -> Result<()> {
        tally.step("Alice signs on a machine without a network; the files are carried");
        let (proposal, ballot) = self.files();
        let export = ["show", &id.to_string(), "--export", text(&proposal)?].map(str::to_owned);
        let exported = self.stage.cli(&export).and_then(|said| said.good());
        tally.must("the proposal is exported to a file", exported)?;
        let signed = self.sign_offline(&proposal, "alice", &ballot);
        tally.must("alice signs the file offline", signed)?;
        let verify = ["verify", text(&proposal)?, text(&ballot)?];
        let verified = self.stage.cli(&verify)?.good();
        tally.must("`verify` finds her ballot valid", verified)?;
        let submitted = self.stage.cli(&["submit", text(&ballot)?])?.good();
        tally.must("her ballot is handed in and taken", submitted)?;
        let received = self.until("ballot_received");
        tally.must("it is in the journal", received)?;
        let link = self.stage.agent.link(self.stage.twin.link())?;
        let open = link["proposal"]["status"] == "open" && link["proposal"]["approvals"] == 1;
        tally.check("one signature of two opens nothing", open, &link["proposal"]);
        Ok(())
    }

    pub(super) fn altered_files_are_refused(&mut self, tally: &mut Tally, id: u64) -> Result<()> {
        tally.step("Somebody alters the files on the way");
        let (proposal, ballot) = self.files();
        let altered = self.stage.folder().join("altered-ballot.json");
        let mut forged: Value = serde_json::from_str(&fs::read_to_string(&ballot)?)?;
        forged["approver"] = "bob".into();
        fs::write(&altered, forged.to_string())?;
        let said = self.stage.cli(&["submit", text(&altered)?])?;
        let words = "is not by the key of bob";
        let refused = said.code == Some(1) && said.err.contains(words);
        tally.check("alice's ballot in bob's name is refused", refused, &said.err);
        tally.note(said.err.trim());

        let altered = self.stage.folder().join("altered-proposal.json");
        let honest = fs::read_to_string(&proposal)?;
        let changed = honest.replace("FORCE_FAILOVER_ALLOW_DATA_LOSS", "OFFLINE");
        if changed == honest {
            bail!("the exported proposal does not hold its plan in words");
        }
        fs::write(&altered, changed)?;
        let out = self.stage.folder().join("never.json");
        let said = self.sign_offline(&altered, "bob", &out);
        tally.check("an altered plan is not signed", said.is_err() && !out.exists(), "it was");
        if let Err(error) = said {
            tally.note(error.to_string().trim());
        }
        let again = self.stage.cli(&["submit", text(&ballot)?])?;
        let refused = again.code == Some(1) && again.err.contains("has decided on this proposal");
        tally.check("alice's ballot counts once", refused, &again.err);
        let detail = self.stage.agent.proposal(id)?;
        let one = detail["ballots"].as_array().is_some_and(|ballots| ballots.len() == 1);
        tally.check("nothing has changed", one && detail["status"] == "open", &detail["ballots"]);
        Ok(())
    }

    pub(super) fn second_signature_and_kill(&mut self, tally: &mut Tally, id: u64) -> Result<()> {
        tally.step("Bob signs; the failover begins; the agent is killed in the middle of it");
        let key = self.stage.key("bob");
        let number = id.to_string();
        let arguments = ["approve", &number, "--key", text(&key)?, "--approver", "bob", "--yes"];
        let signed = self.stage.cli(&arguments)?.good();
        tally.must("bob approves on the command line", signed)?;
        let approved = self.until("proposal_approved");
        tally.must("the quorum is reached", approved)?;
        let sending = self.until("step_sending");
        tally.must("the permission for the command is in the journal", sending)?;
        let pid = self.stage.kill_agent()?;
        tally.note(&format!("kill -9 {pid}"));
        let closed = |entry: &&Value| name(entry) == "proposal_closed";
        let early =
            self.seen.iter().any(|entry| closed(&entry) && entry["event"]["proposal"] == id);
        tally.check("the agent is dead before the plan has ended", !early, "it had ended");
        let started = self.stage.start_agent();
        tally.must("it is started again", started)?;
        self.events = self.stage.agent.events(self.last_seq())?;
        let closed = self.until("proposal_closed");
        let closed = tally.must("it finishes by itself", closed)?;
        let well = closed["event"]["end"] == "succeeded";
        tally.check("the plan has succeeded", well, &closed["event"]);
        let commands = self.stage.twin.commands()?;
        let forced = |command: &&lab::twin::Command| {
            command.effective && command.words.contains("FORCE_FAILOVER_ALLOW_DATA_LOSS")
        };
        let effective = commands.iter().filter(forced).count();
        let last = commands.last().is_some_and(|command| command.effective);
        let once = effective == 1 && last;
        tally.check("one command took effect, and none followed", once, format!("{commands:?}"));
        Ok(())
    }

    pub(super) fn new_primary_serves(&mut self, tally: &mut Tally) -> Result<()> {
        tally.step("The managed instance is the primary now");
        let truth = self.stage.twin.truth()?;
        let link = &truth["links"][0];
        let writers = &link["writers"];
        let alone = writers["managed_instance"] == true && writers["sql_server"] == false;
        tally.check("it alone takes writes, by the twin's own account", alone, writers);
        let asked = sql::updateability(&self.stage.twin);
        let asked = tally.must("the application logs in to it", asked)?;
        tally.check("and reads that the database is READ_WRITE", asked == "READ_WRITE", &asked);
        let target = self.stage.twin.endpoints.managed_instance.name.clone();
        self.stage.twin.repoint(SHOP, &target)?;
        let committed = self.commits_more();
        tally.must("the application commits there", committed)?;
        self.show()
    }

    pub(super) fn loss_is_within(&mut self, tally: &mut Tally, id: u64) -> Result<()> {
        tally.step("What was lost is compared with what was signed");
        let detail = self.stage.agent.proposal(id)?;
        let terms = detail["texts"]["terms"].as_str().context("a proposal has terms")?;
        let terms: Value = serde_json::from_str(terms)?;
        let bound = terms["bounds"]["loss_most_ms"].as_u64().context("a bound was signed")?;
        let loss = self.stage.twin.loss()?;
        let lost_ms = loss.between.map_or(0, |(first, last)| {
            u64::try_from(last.duration_since(first).as_millis()).unwrap_or(u64::MAX)
        });
        let count = loss.count;
        tally.note(&format!("{count} of {} commits are lost", loss.acknowledged));
        tally.check("commits were lost, as was to be expected", count > 0, count);
        let words = format!("{lost_ms} ms of commits are lost, {bound} ms were signed");
        tally.check(&words, lost_ms <= bound, &words);
        Ok(())
    }

    pub(super) fn old_primary_returns(&mut self, tally: &mut Tally) -> Result<()> {
        tally.step("The old primary returns, and still believes that it is one");
        let (from, to) = self.members();
        self.stage.twin.fault(&Fault::Heal { from, to })?;
        let instance = self.stage.twin.endpoints.sql_server.name.clone();
        self.stage.twin.fault(&Fault::Start { instance })?;
        let split = self.until_health("split_brain");
        tally.must("the split brain is seen and in the journal", split)?;
        let metrics = self.stage.agent.metrics()?;
        let mut lines = metrics.lines().filter(|line| line.starts_with("dr_agent_link_health{"));
        let alarm = lines.any(|line| line.contains("\"split_brain\"") && line.ends_with(" 1"));
        tally.check("/metrics raises it", alarm, "no such line");
        let explained = self.stage.cli(&["explain", self.stage.twin.link()])?;
        let told = explained.out.contains("SplitBrain");
        tally.check("`explain` says so", told, &explained.out);
        let commands = self.stage.twin.commands()?;
        let last = commands.iter().rfind(|command| command.effective);
        let forced = last.is_some_and(|command| command.words.contains("FORCE_FAILOVER"));
        tally.check("the agent touches nothing by itself", forced, format!("{commands:?}"));
        self.show()
    }

    pub(super) fn journal_tells_it_all(&mut self, tally: &mut Tally) -> Result<()> {
        tally.step("The journal is read from its file and checked");
        let data = self.stage.setup.data_dir();
        let verify = ["journal", "--offline", text(&data)?, "--verify"];
        let verified = self.stage.offline_cli(&verify)?.good();
        let said = tally.must("the chain of all entries holds", verified)?;
        said.lines().for_each(|line| tally.note(line));
        self.seen.iter().for_each(|entry| say(&format!("       {}", view::entry(entry))));
        say("");
        Ok(())
    }

    /// The next entry of an event; all before it are remembered.
    pub(super) fn until(&mut self, event: &str) -> Result<Value> {
        self.until_that(event, |_| true)
    }

    pub(super) fn until_health(&mut self, health: &str) -> Result<Value> {
        self.until_that("health_changed", |entry| entry["event"]["to"] == health)
            .with_context(|| format!("no verdict {health}"))
    }

    fn until_that(&mut self, event: &str, that: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = wait::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(wait::now());
            let Some(sent) = self.events.next(left) else { break };
            self.seen.push(sent.data.clone());
            if name(&sent.data) == event && that(&sent.data) {
                return Ok(sent.data);
            }
        }
        let link = match self.stage.agent.link(self.stage.twin.link()) {
            Ok(link) => link.to_string(),
            Err(error) => format!("{error:#}"),
        };
        let names: Vec<_> = self.seen.iter().map(name).collect();
        let log = self.stage.running.as_ref().map(|agent| agent.tail()).unwrap_or_default();
        Err(anyhow!(
            "waited in vain for {event}; there was {names:?}; now {link}; the agent's log:\n{log}"
        ))
    }

    fn last_seq(&self) -> u64 {
        self.seen.last().and_then(|entry| entry["seq"].as_u64()).unwrap_or(0)
    }

    /// Waits until the application has committed more than it had.
    pub(super) fn commits_more(&self) -> Result<()> {
        let count = || {
            let workload = self.stage.twin.workload(SHOP)?;
            workload["acknowledged"].as_u64().context("a workload counts")
        };
        let before = count()?;
        wait::until(SOON, || count().ok().filter(|count| *count >= before + 15).map(drop))
            .ok_or_else(|| anyhow!("still {before} commits"))
    }

    /// Both instances, as ends of a path.
    fn members(&self) -> (Party, Party) {
        let endpoints = &self.stage.twin.endpoints;
        let party = |name: &str| Party::Instance(name.to_owned());
        (party(&endpoints.sql_server.name), party(&endpoints.managed_instance.name))
    }

    fn sign_offline(&self, proposal: &Path, who: &str, out: &Path) -> Result<String> {
        let key = self.stage.key(who);
        let arguments = ["approve", "--file", text(proposal)?, "--key", text(&key)?];
        let arguments = arguments.into_iter().chain(["--approver", who, "--yes", "--out"]);
        let arguments: Vec<&str> = arguments.chain([text(out)?]).collect();
        self.stage.offline_cli(&arguments)?.good()
    }

    fn files(&self) -> (PathBuf, PathBuf) {
        let folder = self.stage.folder();
        (folder.join("proposal.json"), folder.join("alice-ballot.json"))
    }

    pub(super) fn show(&self) -> Result<()> {
        let status = self.stage.agent.status()?;
        let now = view::clock(status["now"].as_str().unwrap_or_default());
        for link in status["links"].as_array().into_iter().flatten() {
            view::state(link, &now).iter().for_each(|line| say(&format!("       | {line}")));
        }
        Ok(())
    }
}

pub(super) fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path of the lab is text")
}
