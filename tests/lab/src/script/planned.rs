//! The first half of the story: maintenance, over and back, with nothing lost.

use anyhow::{Context as _, Result};
use lab::{agent::name, wait};
use serde_json::Value;

use super::{
    acts::{SHOP, SOON, Scene, text},
    tally::Tally,
};

impl Scene {
    pub(super) fn goes_over(&mut self, tally: &mut Tally) -> Result<()> {
        tally.step("Maintenance: the managed instance is to take over, with nothing lost");
        let closed = self.planned(tally, "alice")?;
        let steps = self.steps(closed);
        tally.check("nothing was left out of the plan", steps == 6, steps);
        let stopped = self.stage.twin.workload(SHOP)?["running"] == false;
        tally.check("the hook has stopped the application", stopped, "it runs");
        self.alone(tally, "managed_instance")?;
        let target = self.stage.twin.endpoints.managed_instance.name.clone();
        self.point_at(tally, &target)
    }

    pub(super) fn comes_back(&mut self, tally: &mut Tally) -> Result<()> {
        tally.step("In the evening: back to SQL Server, and a log chain of its own there");
        let healthy = self.until_well("managed_instance");
        tally.must("the link has turned round and is healthy", healthy)?;
        let closed = self.planned(tally, "bob")?;
        let backup = self.seen_at(closed, "the backup is there");
        tally.check("a full backup was taken", backup.ends_with("with checksums"), &backup);
        let jobs = self.seen_at(closed, "log backups");
        tally.check("the log backup jobs were looked at", !jobs.is_empty(), "no such step");
        self.alone(tally, "sql_server")?;
        let target = self.stage.twin.endpoints.sql_server.name.clone();
        self.point_at(tally, &target)?;
        let healthy = self.until_well("sql_server");
        tally.must("the link is healthy again", healthy)
    }

    /// One planned failover from the command line, to its end. Gives the place of that end.
    fn planned(&mut self, tally: &mut Tally, who: &str) -> Result<u64> {
        let link = self.stage.twin.link().to_owned();
        let ask = ["propose", &link, "--kind", "planned-failover", "--by", "lab"];
        let asked = self.stage.cli(&ask)?.good();
        tally.must("an operator asks for a planned failover", asked)?;
        let opened = self.until("proposal_opened");
        let opened = tally.must("the proposal is open", opened)?;
        let id = opened["seq"].as_u64().context("an entry has a place")?.to_string();
        let key = self.stage.key(who);
        let sign = ["approve", &id, "--key", text(&key)?, "--approver", who, "--yes"];
        let signed = self.stage.cli(&sign)?.good();
        tally.must(&format!("{who} signs; one signature is enough for it"), signed)?;
        let closed = self.until("proposal_closed");
        let closed = tally.must("it comes to its end", closed)?;
        let well = closed["event"]["end"] == "succeeded";
        tally.check("every step is done", well, &closed["event"]);
        let lost = self.stage.twin.loss()?;
        tally.check("no commit is lost, by the twin's own account", lost.count == 0, lost.count);
        self.show()?;
        closed["seq"].as_u64().context("an entry has a place")
    }

    /// Waits until the link is healthy with this side as primary.
    fn until_well(&self, primary: &str) -> Result<()> {
        let link = || self.stage.agent.link(self.stage.twin.link()).ok();
        let well = |link: &Value| link["health"] == "healthy" && link["primary"] == primary;
        let found = wait::until(SOON, || link().filter(well));
        found.map(drop).with_context(|| format!("it is not: {:?}", link()))
    }

    /// What was seen when a step was done, if it begins with these words; else nothing.
    fn seen_at(&self, before: u64, words: &str) -> String {
        let done =
            |entry: &&Value| name(entry) == "step_done" && entry["seq"].as_u64() < Some(before);
        let mut seen = self.seen.iter().filter(done).filter_map(|entry| {
            entry["event"]["seen"].as_str().filter(|seen| seen.starts_with(words))
        });
        seen.next_back().unwrap_or_default().to_owned()
    }

    /// How many steps were done before an entry.
    fn steps(&self, before: u64) -> usize {
        let done =
            |entry: &&Value| name(entry) == "step_done" && entry["seq"].as_u64() < Some(before);
        self.seen.iter().filter(done).count()
    }

    fn alone(&self, tally: &mut Tally, side: &str) -> Result<()> {
        let truth = self.stage.twin.truth()?;
        let link = &truth["links"][0];
        let writers = &link["writers"];
        let other = if side == "sql_server" { "managed_instance" } else { "sql_server" };
        let alone = writers[side] == true && writers[other] == false;
        tally.check("that side alone takes writes", alone, writers);
        let both = link["intervals"].as_array().into_iter().flatten().any(|interval| {
            let writers = &interval["writers"];
            writers["sql_server"] == true && writers["managed_instance"] == true
        });
        tally.check("and never did both", !both, &link["intervals"]);
        Ok(())
    }

    /// People point the application at the new primary and start it.
    fn point_at(&mut self, tally: &mut Tally, target: &str) -> Result<()> {
        self.stage.twin.repoint(SHOP, target)?;
        self.stage.twin.set_running(SHOP, true)?;
        let committed = self.commits_more();
        tally.must("the application is pointed at it and commits", committed)
    }
}
