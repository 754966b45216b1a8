//! The words of a script, and what they do.

mod account;
mod people;

use std::fmt::Write as _;

use agent_core::{
    ApproverId, Ballot, Decision, Event, Health, Input, InstanceId, Proposal, Status,
    runbook::{AzureDoor, Door, Places, Sheet},
};
use jiff::SignedDuration;
use tests::universe::{DiskFault, LINK, MANAGED_INSTANCE, SQL_SERVER, Settings, Universe, several};
use twin::world::{Fault, Party, Setting};

use crate::words;

/// Waits end after this, whether what was waited for came or not.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

struct Stage {
    universe: Universe,
    out: String,
    /// Entries that have been shown.
    shown: usize,
    /// What alice took home to sign.
    exported: Option<Proposal>,
}

/// Plays a script and gives what came of it.
pub(crate) fn play(script: &str) -> Result<String, String> {
    let lines: Vec<&str> = script.lines().map(str::trim_end).collect();
    let settings = settings(&lines)?;
    let mut stage = Stage {
        universe: Universe::new(settings, 1),
        out: String::new(),
        shown: 0,
        exported: None,
    };
    for (place, line) in lines.iter().enumerate() {
        if line.is_empty() || line.starts_with('#') || line.starts_with("with ") {
            let _ = writeln!(stage.out, "{line}");
            continue;
        }
        let _ = writeln!(stage.out, "> {line}");
        stage.perform(line).map_err(|why| format!("line {}: {line:?}: {why}", place + 1))?;
        stage.show();
    }
    stage.universe.finish().map_err(|violation| violation.to_string())?;
    Ok(stage.out)
}

fn settings(lines: &[&str]) -> Result<Settings, String> {
    let mut settings = Settings { people_mend: false, ..Settings::default() };
    for line in lines.iter().filter_map(|line| line.strip_prefix("with ")) {
        match line.split_once(' ') {
            Some(("break", rest)) => {
                let wait = rest.strip_prefix("glass after ").ok_or("with break glass after 30s")?;
                settings.break_glass = Some(span(wait)?.unsigned_abs());
            }
            Some(("one", "failure domain")) => {
                settings.managed_instance_domain.clone_from(&settings.agent_domain);
            }
            Some(("quorum", number)) => {
                settings.quorum = number.parse().map_err(|_| "a number of signatures")?;
            }
            Some(("people", "instead of a hook")) => settings.planned.applications = None,
            Some(("three", "replicas on SQL Server")) => settings.world = several(),
            Some(("SQL", "Server 2019")) => settings.grown_old(),
            Some(("the", "policy as shipped")) => settings.as_shipped(),
            Some(("no", "place for backups")) => settings.planned.backup = None,
            Some(_) | None => return Err(format!("nobody knows a setting {line:?}")),
        }
    }
    Ok(settings)
}

impl Stage {
    fn perform(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["wait", time] => self.wait(span(time)?),
            ["wait", "until", rest @ ..] => self.wait_until(&rest.join(" ")),
            ["stop" | "start" | "hang" | "freeze" | "resume", _] => self.power(&words),
            ["cut", from, to] => {
                self.fault(Fault::Cut { from: party(from), to: party(to), one_way: false })
            }
            ["heal", from, to] => self.fault(Fault::Heal { from: party(from), to: party(to) }),
            ["lose", "the", "next", "reply", "of", at] => {
                self.fault(Fault::LoseReply { at: party(at), times: 1 })
            }
            ["a", "local", "failover", "of", time] => self.local_failover(time),
            ["a", "rolling", "restart,", time, "each"] => self.rolling_restart(time),
            ["replicas"] => self.replicas(),
            ["report"] => self.account(),
            ["refuse", "logins", "at", at] => {
                self.fault(Fault::Refuse { instance: (*at).to_owned() })
            }
            [at, "answers", times, "commands", "with", number] => {
                let number = number.parse().map_err(|_| "an error number")?;
                let times = times.parse().map_err(|_| "a number of commands")?;
                self.fault(Fault::FailNext { instance: (*at).to_owned(), number, times })
            }
            [at, "answers", "the", "next", "command", "with", number] => {
                let number = number.parse().map_err(|_| "an error number")?;
                self.fault(Fault::FailNext { instance: (*at).to_owned(), number, times: 1 })
            }
            ["kill", "the", "agent"] => {
                self.universe.kill_agent();
                Ok(())
            }
            ["start", "the", "agent"] => self.start_agent(),
            ["fill", "the", "agent's", "disk"] => {
                self.universe.disk.faults.set(Some(DiskFault::Refuse));
                Ok(())
            }
            ["the", "hook", "is", "broken"] => self.hook(5, 0),
            ["lose", "the", "next", "exit", "of", "the", "hook"] => self.hook(0, 1),
            ["the", "jobs", "of", at, "are", "disabled"] => self.disable_jobs(at),
            ["report", "the", "state"] => self.report(0),
            ["report", "the", "state", "after", missed, "missed", "times"] => {
                self.report(missed.parse().map_err(|_| "a number of times")?)
            }
            ["print", "the", "runbook"] => self.runbook(),
            ["explain"] => self.explain(),
            ["truth"] => self.truth(),
            ["ask", "for", "a", rest @ ..] => self.ask_for(rest),
            ["people", rest @ ..] => self.people(rest),
            ["acknowledge"] => self.input(Input::Acknowledge {
                link: Universe::link(),
                by: "operator".into(),
                note: "seen".into(),
            }),
            ["take", "the", "proposal", "home"] => {
                self.exported = self.universe.open_proposal();
                self.exported.as_ref().map(drop).ok_or_else(|| "nothing is open".to_owned())
            }
            [who, "approves", rest @ ..] => self.approve(who, &rest.join(" ")),
            [who, "rejects:", reason @ ..] => {
                let decision = Decision::Reject { reason: reason.join(" ") };
                self.cast(who, decision, false)
            }
            _ => Err("nobody knows what that means".into()),
        }
    }

    /// So many runs of the hook are going to fail for good, and of so many the end is not seen.
    fn hook(&mut self, fail: u32, lose: u32) -> Result<(), String> {
        let applications = &mut self.universe.applications;
        (applications.fail, applications.broken, applications.lose) = (fail, fail > 0, lose);
        Ok(())
    }

    fn disable_jobs(&mut self, at: &str) -> Result<(), String> {
        let instance = self.universe.world.instance(at).ok_or("there is no such instance")?;
        let names: Vec<String> = instance.jobs().iter().map(|job| job.name.clone()).collect();
        for job in names {
            let (instance, on) = (at.to_owned(), false);
            let disabled = Setting::JobEnabled { instance, job, on };
            self.universe.world.set(disabled).map_err(|why| why.to_string())?;
        }
        Ok(())
    }

    fn local_failover(&mut self, time: &str) -> Result<(), String> {
        let (link, ms) = (LINK.to_owned(), Some(millis(time)?));
        self.fault(Fault::LocalFailover { link, to: None, ms })
    }

    fn rolling_restart(&mut self, each: &str) -> Result<(), String> {
        let (link, down_ms) = (LINK.to_owned(), millis(each)?);
        self.fault(Fault::RollingRestart { link, down_ms, pause_ms: 10_000 })
    }

    fn start_agent(&mut self) -> Result<(), String> {
        self.universe.start_agent(SignedDuration::from_millis(1));
        self.wait(SignedDuration::from_millis(10))
    }

    fn wait(&mut self, span: SignedDuration) -> Result<(), String> {
        let until = self.universe.now + span;
        self.universe.run(until).map_err(|violation| violation.to_string())
    }

    fn wait_until(&mut self, what: &str) -> Result<(), String> {
        let until = self.universe.now + PATIENCE;
        if let Some(number) = what.strip_prefix("step ").and_then(|w| w.strip_suffix(" is done")) {
            let number: usize = number.parse().map_err(|_| "the number of a step")?;
            let before = self.universe.journal().len();
            return self
                .universe
                .run_while(until, |universe| !step_done(universe, before, number))
                .map_err(|violation| violation.to_string());
        }
        let waiting = match what {
            "a proposal is open" => |u: &Universe| u.open_proposal().is_none(),
            "it is closed" => |u: &Universe| {
                let record = u.estate().and_then(|estate| estate.record(&Universe::link()));
                !record
                    .and_then(|record| record.run.as_ref())
                    .is_some_and(|run| matches!(run.status, Status::Closed(_)))
            },
            "the command has left" => |u: &Universe| {
                let last = u.journal();
                !last.iter().any(|entry| matches!(entry.event, Event::StepSending { .. }))
            },
            "it is healthy" => |u: &Universe| health(u) != Some(Health::Healthy),
            "nobody is primary" => |u: &Universe| health(u) != Some(Health::NoPrimary),
            "the primary is down" => |u: &Universe| health(u) != Some(Health::PrimaryDown),
            "there are two databases" => |u: &Universe| health(u) != Some(Health::Parted),
            "the brain is split" => |u: &Universe| health(u) != Some(Health::SplitBrain),
            _ => return Err("nobody knows how to wait for that".into()),
        };
        self.universe.run_while(until, waiting).map_err(|violation| violation.to_string())?;
        if waiting(&self.universe) {
            let _ = writeln!(self.out, "    (it did not happen within ten minutes)");
        }
        Ok(())
    }

    fn power(&mut self, words: &[&str]) -> Result<(), String> {
        let instance = words[1].to_owned();
        self.fault(match words[0] {
            "stop" => Fault::Stop { instance },
            "start" => Fault::Start { instance },
            "hang" => Fault::Hang { instance },
            "freeze" => Fault::Freeze { instance },
            _ => Fault::Resume { instance },
        })
    }

    fn fault(&mut self, fault: Fault) -> Result<(), String> {
        self.universe.world.fault(fault).map_err(|why| why.to_string())
    }

    fn approve(&mut self, who: &str, how: &str) -> Result<(), String> {
        let proposal = self.newest()?;
        let place = self.universe.human(who).ok_or("nobody of that name is on the roster")?;
        let full = self.universe.humans[place].approves(&proposal, how == "and breaks the glass");
        let decision = match how {
            "" | "and breaks the glass" | "with an altered file" => full,
            "without a word more" => {
                Decision::Approve { break_glass: false, forecast_unknown: false, attestation: None }
            }
            "accepting the unknown, attesting nothing" => {
                Decision::Approve { break_glass: false, forecast_unknown: true, attestation: None }
            }
            _ => return Err("nobody knows how to approve like that".into()),
        };
        self.cast(who, decision, how == "with an altered file")
    }

    fn cast(&mut self, who: &str, decision: Decision, altered: bool) -> Result<(), String> {
        let mut proposal = self.newest()?;
        if altered {
            let mut texts = proposal.texts.clone();
            texts.terms = texts.terms.replacen("\"quorum\":2", "\"quorum\":1", 1);
            proposal = Proposal::read(texts)?;
        }
        let place = self.universe.human(who).ok_or("nobody of that name is on the roster")?;
        let key = self.universe.humans[place].key.clone();
        let id = ApproverId::new(who)?;
        let ballot = Ballot::sign(&proposal, id, decision, self.universe.agent_now(), &key);
        self.input(Input::Cast { ballot })
    }

    /// What somebody took home, else what is open, else what was.
    fn newest(&self) -> Result<Proposal, String> {
        let taken = self.exported.clone().or_else(|| self.universe.open_proposal());
        let record = self.universe.estate().and_then(|estate| estate.record(&Universe::link()));
        let last = record.and_then(|record| record.run.as_ref()).map(|run| run.proposal.clone());
        taken.or(last).ok_or_else(|| "there is no proposal".to_owned())
    }

    fn input(&mut self, input: Input) -> Result<(), String> {
        match self.universe.input(input).map_err(|violation| violation.to_string())? {
            Some(Ok(_)) => {}
            Some(Err(refusal)) => {
                let _ = writeln!(self.out, "    refused: {refusal}");
            }
            None => {
                let _ = writeln!(self.out, "    the agent is not there");
            }
        }
        Ok(())
    }

    fn report(&mut self, missed: u64) -> Result<(), String> {
        let placement = vec!["SQL Server sql01: it is in the network of this machine".into()];
        self.input(Input::ReportState { missed, placement })
    }

    fn runbook(&mut self) -> Result<(), String> {
        let now = self.universe.agent_now();
        let estate = self.universe.estate().ok_or("the agent is not there")?;
        let sheet = Sheet::of(estate, &Universe::link(), now).ok_or("there is no such link")?;
        let world = self.universe.world.link(LINK).ok_or("no such link")?;
        let local = world.member(twin::world::Side::SqlServer).local();
        let replicas = local.iter().flat_map(|local| local.replicas());
        let replicas = replicas.map(|replica| replica.instance.clone()).collect();
        for line in sheet.page(&places(replicas)).lines() {
            let _ = writeln!(self.out, "{}", format!("| {line}").trim_end());
        }
        Ok(())
    }

    fn explain(&mut self) -> Result<(), String> {
        let now = self.universe.agent_now();
        let estate = self.universe.estate().ok_or("the agent is not there")?;
        let explained = estate.explain(&Universe::link(), now).ok_or("there is no such link")?;
        let _ = writeln!(self.out, "    health {}", explained.health);
        for reason in &explained.reasons {
            let _ = writeln!(self.out, "    because {reason}");
        }
        let verdict = if explained.would_propose { "would" } else { "would not" };
        let _ = writeln!(self.out, "    it {verdict} propose a failover now");
        for why in &explained.because {
            let _ = writeln!(self.out, "    since {why}");
        }
        for way in &explained.ways {
            let _ = writeln!(self.out, "    a way: {way}");
        }
        Ok(())
    }

    fn truth(&mut self) -> Result<(), String> {
        let world = &self.universe.world;
        let writers = world.ledger().intervals(LINK).last().ok_or("no interval")?.writers;
        let loss = world.loss(LINK).ok_or("no such link")?;
        let _ = writeln!(
            self.out,
            "    SQL Server takes writes: {}, the managed instance: {}",
            yes(writers.sql_server),
            yes(writers.managed_instance)
        );
        let _ = writeln!(
            self.out,
            "    {} of {} acknowledged commits do not live on {:?}",
            loss.count, loss.acknowledged, loss.surviving
        );
        Ok(())
    }

    /// Which replica on SQL Server is what, within their own group.
    fn replicas(&mut self) -> Result<(), String> {
        let world = &self.universe.world;
        let link = world.link(LINK).ok_or("no such link")?;
        let member = link.member(twin::world::Side::SqlServer);
        let local = member.local().ok_or("there is but one; with three replicas on SQL Server")?;
        for replica in local.replicas() {
            let up = world.instance(&replica.instance).is_some_and(|found| found.is_up());
            let role = world.local_role(link, &replica.instance).filter(|_| up);
            let role = role.map_or("down", twin::world::Role::desc);
            let _ = writeln!(self.out, "    {}: {role}", replica.instance);
        }
        Ok(())
    }

    fn show(&mut self) {
        let entries = self.universe.journal();
        for place in self.shown..entries.len() {
            let plan = entries[..=place].iter().rev().find_map(words::plan);
            for line in words::entry(&entries[place], plan.as_ref()) {
                let _ = writeln!(self.out, "  {line}");
            }
        }
        self.shown = entries.len();
    }
}

/// Where people get in, in a universe.
fn places(replicas: Vec<String>) -> Places {
    let azure = AzureDoor {
        base_url: "https://management.azure.com".into(),
        api_version: "2025-01-01".into(),
        subscription: "s".into(),
        resource_group: "r".into(),
        instance: MANAGED_INSTANCE.into(),
    };
    let replicas = replicas.iter().map(|name| format!("tcp:{name}.example.com,1433")).collect();
    let door = |name: &str, host: &str, replicas, azure| {
        let name = InstanceId::new(name).unwrap_or_else(|why| panic!("{why}"));
        (name, Door { server: format!("tcp:{host},1433"), replicas, azure })
    };
    let doors = [
        door(SQL_SERVER, "sql01.example.com", replicas, None),
        door(MANAGED_INSTANCE, "mi-dr.abc123.database.windows.net", Vec::new(), Some(azure)),
    ];
    Places { agent: "dr-agent".into(), version: "0.0.0".into(), doors: doors.into() }
}

/// Whether a step has been done since the journal was that long.
fn step_done(universe: &Universe, before: usize, number: usize) -> bool {
    let entries = universe.journal();
    entries[before..].iter().any(
        |entry| matches!(&entry.event, Event::StepDone { step, .. } if step.step + 1 == number),
    )
}

fn health(universe: &Universe) -> Option<Health> {
    Some(universe.estate()?.record(&Universe::link())?.health)
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn party(name: &str) -> Party {
    match name {
        "agent" => Party::Agent,
        "arm" => Party::Arm,
        instance => Party::Instance(instance.to_owned()),
    }
}

fn millis(text: &str) -> Result<u32, String> {
    u32::try_from(span(text)?.as_millis()).map_err(|_| format!("{text:?} is no such time"))
}

fn span(text: &str) -> Result<SignedDuration, String> {
    text.parse().map_err(|error| format!("{text:?} is no time; 30s would be: {error}"))
}
