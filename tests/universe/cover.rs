//! What the seeds have reached: a simulation that never gets into trouble proves nothing.

use std::collections::BTreeMap;

use agent_core::{Again, Entry, Estate, Event, Refusal, StepRef, rule_names};
use dr_agent::turn::Taken;

use super::{Universe, planned::place};

/// Counts of what was reached, by name.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    reached: BTreeMap<String, u64>,
}

impl Coverage {
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.reached {
            *self.reached.entry(name.clone()).or_default() += count;
        }
    }

    pub fn count(&self, name: &str) -> u64 {
        self.reached.get(name).copied().unwrap_or(0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.reached.iter()
    }

    /// Everything that has to be reached sometimes, and was not.
    pub fn missing(&self) -> Vec<String> {
        let planned = ["run_undone", "overtaken", "run_given_up"];
        let rules = rule_names().into_iter().filter(|rule| !planned.contains(rule));
        let rules = rules.map(|rule| format!("rule {rule}"));
        let ends = ["Succeeded", "Stuck", "Rejected", "Expired", "Withdrawn"]
            .into_iter()
            .map(|end| format!("end {end}"));
        let healths =
            ["Healthy", "Degraded", "PrimaryUnreachable", "PrimaryDown", "SplitBrain", "Unknown"]
                .into_iter()
                .map(|health| format!("health {health}"));
        let refusals = [
            "UnknownProposal",
            "NotOpen",
            "AlreadyDecided",
            "DigestDiffers",
            "BadSignature",
            "PrimarySeen",
            "ProposalOpen",
            "NoSuchWay",
            "NoBreakGlass",
            "AttestationMissing",
            "ForecastUnknown",
            "Unacknowledged",
            "StepNotUnderWay",
        ]
        .into_iter()
        .map(|refusal| format!("refusal {refusal}"));
        let edges = [
            "step done",
            "step not done, same route",
            "step not done, next route",
            "step not done, never",
            "step unknown",
            "unknown step done after all",
            "step noted",
            "second route",
            "crash with nothing under way",
            "crash with a step begun",
            "crash with a command let go",
            "disk failure",
            "fsync stall",
            "clock step",
            "break glass",
        ]
        .into_iter()
        .map(str::to_owned);
        let all = rules.chain(ends).chain(healths).chain(refusals).chain(edges);
        let mut missing: Vec<String> = all.filter(|name| self.count(name) == 0).collect();
        missing.extend(self.rare(places("done", "mend", 6), 100));
        missing.extend(self.rare(places("killed at", "mend", 5).split_off(1), 2));
        missing.extend(self.rare(places("done", "guard", 3), 200));
        missing.extend(self.rare(places("killed at", "guard", 3), 2));
        missing
    }

    /// Those that have not happened often enough, each with how often.
    fn rare(&self, names: Vec<String>, least: u64) -> impl Iterator<Item = String> {
        let rare = names.into_iter().filter(move |name| self.count(name) < least);
        rare.map(move |name| format!("{name}: {} of {least}", self.count(&name)))
    }

    /// The same for universes in which everything turns on planned failovers.
    pub fn missing_planned(&self) -> Vec<String> {
        let all = [
            "rule run_finished",
            "rule run_undone",
            "rule overtaken",
            "rule run_given_up",
            "rule run_stuck",
            "end Succeeded",
            "end Undone",
            "end Overtaken",
            "end Stuck",
            "end Expired",
            "end Rejected",
            "end Withdrawn",
            "undo started",
            "step done back",
            "step not done back",
            "step done to SQL Server",
            "second route",
            "crash with a command let go",
            "refusal NoSuchWay",
            "a reply is not waited for",
        ];
        let mut missing = self.not_reached(&all);
        missing.extend(self.rare_places());
        missing.extend(self.rare(vec!["life over and back, nothing lost".into()], 3_000));
        missing
    }

    /// The same of universes in which a link is given up.
    pub fn missing_cutting(&self) -> Vec<String> {
        let all = [
            "rule run_finished",
            "rule run_undone",
            "rule run_given_up",
            "rule overtaken",
            "end Succeeded",
            "end Undone",
            "end Withdrawn",
            "undo started",
            "crash with a command let go",
        ];
        let mut missing = self.not_reached(&all);
        missing.extend(self.rare(places("done", "cut", 12), 100));
        missing.extend(self.rare(places("killed at", "cut", 12), 2));
        // The applications, the mode and the logins.
        let back = (2..=4).map(|step| format!("done cut {step} back"));
        missing.extend(self.rare(back.collect(), 10));
        let acting = [2, 3, 4, 7, 8, 9, 10];
        let lost = acting.map(|step| format!("reply lost at cut {step}"));
        missing.extend(self.rare(lost.into(), 2));
        missing
    }

    /// The same where it is given up without its primary.
    pub fn missing_severing(&self) -> Vec<String> {
        let all = [
            "rule primary_lost",
            "rule primary_returned",
            "rule contrary_evidence",
            "end Succeeded",
            "end Withdrawn",
            "end Rejected",
            "end Stuck",
            "crash with a command let go",
        ];
        let mut missing = self.not_reached(&all);
        missing.extend(self.rare(places("done", "delete", 2), 100));
        missing.extend(self.rare(places("killed at", "delete", 2), 2));
        missing.extend(self.rare(places("done", "guard", 6), 50));
        missing
    }

    /// Places of a planned failover at which something that can happen there has not happened often
    /// enough, each with how often.
    fn rare_places(&self) -> Vec<String> {
        let (mut looked, mut acted, mut turned) = (Vec::new(), Vec::new(), Vec::new());
        for (way, steps, acting) in [("over", 6, &[2, 4][..]), ("home", 8, &[2, 4, 7])] {
            looked.extend((1..=steps).map(|step| format!("{way} {step}")));
            looked.push(format!("{way} 2 back"));
            acted.extend(acting.iter().map(|step| format!("{way} {step}")));
            acted.push(format!("{way} 2 back"));
            // Before the second nothing has been done, and after the fourth there is no way back.
            turned.extend((2..=4).map(|step| format!("{way} {step}")));
        }
        let of = |what: &str, places: &[String], after: &str| -> Vec<String> {
            places.iter().map(|place| format!("{what} {place}{after}")).collect()
        };
        [
            (of("done", &looked, ""), 500),
            (of("killed at", &looked, ""), 40),
            (of("killed at", &acted, ", sent"), 30),
            (of("reply lost at", &acted, ""), 25),
            (of("turned back at", &turned, ""), 20),
        ]
        .into_iter()
        .flat_map(|(names, least)| self.rare(names, least))
        .collect()
    }

    /// The same for a side that is a group of its own.
    pub fn missing_group(&self) -> Vec<String> {
        let all = [
            "health NoPrimary",
            "health PrimaryDown",
            "health PrimaryUnreachable",
            "rule primary_lost",
            "rule contrary_evidence",
            "end Succeeded",
            "end Undone",
            "end Overtaken",
            "end Stuck",
            "end Withdrawn",
            "step done to SQL Server",
            "crash with a command let go",
        ];
        self.not_reached(&all)
    }

    fn not_reached(&self, all: &[&str]) -> Vec<String> {
        all.iter().filter(|name| self.count(name) == 0).map(|name| (*name).to_owned()).collect()
    }

    pub(super) fn turn(&mut self, taken: &Taken, estate: &Estate) {
        for entry in &taken.appended {
            self.entry(entry);
            self.place(entry, estate);
        }
        for verdict in &taken.verdicts {
            self.verdict(verdict);
        }
    }

    pub(super) fn verdict(&mut self, verdict: &Result<Entry, Refusal>) {
        if let Err(refusal) = verdict {
            let words = format!("{refusal:?}");
            let name = words.split([' ', '{', '(']).next().unwrap_or_default();
            self.add(format!("refusal {name}"));
        }
    }

    pub(super) fn crash(&mut self, estate: &Estate) {
        let work = estate.work();
        for work in &work {
            if let Some(place) = place(estate, work.step) {
                self.add(format!("killed at {place}"));
                if work.sent {
                    self.add(format!("killed at {place}, sent"));
                }
            }
        }
        let sent = work.iter().any(|work| work.sent);
        self.add(if sent {
            "crash with a command let go"
        } else if work.is_empty() {
            "crash with nothing under way"
        } else {
            "crash with a step begun"
        });
    }

    /// A life came to its end. Where nothing was forced, nothing may be lost, and that was looked at.
    pub(super) fn life(&mut self, forced: bool) {
        let home = self.count("done over 6") > 0 && self.count("done home 8") > 0;
        match (home, forced) {
            (true, false) => self.add("life over and back, nothing lost"),
            (true, true) => self.add("life over and back, and a forced plan"),
            (false, false) => self.add("life without a forced plan, nothing lost"),
            (false, true) => self.add("life with a forced plan"),
        }
    }

    pub(super) fn disk_failure(&mut self) {
        self.add("disk failure");
    }

    pub fn add(&mut self, name: impl Into<String>) {
        *self.reached.entry(name.into()).or_default() += 1;
    }

    /// Where in a planned failover something came about.
    fn place(&mut self, entry: &Entry, estate: &Estate) {
        match &entry.event {
            Event::StepDone { step, .. } => {
                if let Some(place) = place(estate, *step) {
                    self.add(format!("done {place}"));
                }
            }
            Event::UndoStarted { proposal, .. } => {
                let run = estate.record(&Universe::link()).and_then(|record| record.run.as_ref());
                let step = run.and_then(|run| run.lanes.first()).map_or(0, |lane| lane.step);
                let (lane, attempt, undo) = (0, 1, false);
                let step = StepRef { proposal: *proposal, lane, step, attempt, undo };
                if let Some(place) = place(estate, step) {
                    self.add(format!("turned back at {place}"));
                }
            }
            Event::AgentStarted { .. }
            | Event::HealthChanged { .. }
            | Event::ProposalOpened { .. }
            | Event::BallotReceived { .. }
            | Event::ProposalApproved { .. }
            | Event::ProposalClosed { .. }
            | Event::StepStarted { .. }
            | Event::StepSending { .. }
            | Event::StepNoted { .. }
            | Event::StepNotDone { .. }
            | Event::StepUnknown { .. }
            | Event::EpisodeAcknowledged { .. }
            | Event::GuardLifted { .. }
            | Event::StateReported { .. }
            | Event::RunbookIssued { .. } => {}
        }
    }

    fn entry(&mut self, entry: &Entry) {
        if let Some(rule) = &entry.rule {
            self.add(format!("rule {rule}"));
        }
        match &entry.event {
            Event::HealthChanged { to, .. } => self.add(format!("health {to:?}")),
            Event::ProposalClosed { end, .. } => self.add(format!("end {end:?}")),
            Event::ProposalApproved { break_glass: true, .. } => self.add("break glass"),
            Event::StepStarted { route, .. } if *route > 0 => self.add("second route"),
            Event::StepNoted { .. } => self.add("step noted"),
            Event::StepDone { step, .. } => {
                self.add("step done");
                if step.undo {
                    self.add("step done back");
                }
                // Only the way to SQL Server has that many steps.
                if step.step == 7 {
                    self.add("step done to SQL Server");
                }
            }
            Event::StepUnknown { .. } => self.add("step unknown"),
            Event::StepNotDone { step, .. } if step.undo => self.add("step not done back"),
            Event::StepNotDone { again, .. } => self.add(match again {
                Again::SameRoute => "step not done, same route",
                Again::NextRoute => "step not done, next route",
                Again::Never => "step not done, never",
            }),
            Event::AgentStarted { .. }
            | Event::ProposalOpened { .. }
            | Event::BallotReceived { .. }
            | Event::ProposalApproved { .. }
            | Event::StepStarted { .. }
            | Event::StepSending { .. }
            | Event::EpisodeAcknowledged { .. }
            | Event::GuardLifted { .. }
            | Event::StateReported { .. }
            | Event::RunbookIssued { .. } => {}
            Event::UndoStarted { .. } => {
                self.add("undo started");
                if entry.rule.is_none() {
                    self.add("undo by a rejection");
                }
            }
        }
    }
}

/// The places of a way at which something can happen.
fn places(what: &str, way: &str, last: u8) -> Vec<String> {
    (1..=last).map(|step| format!("{what} {way} {step}")).collect()
}
