//! The agent of a universe: how it is started and killed, turns, and does what its deeds ask for.

use std::{collections::BTreeMap, rc::Rc};

use agent_core::{
    Entry, FailureDomain, Input, Observation, Refusal, StepRef, StormBrake, Work,
    deed::{Answer, Ask, Deed},
    sight::{Steadiness, Stillness},
};
use dr_agent::{
    recorder::{Feed, Life, Settings as Decides, tape},
    turn::Turn,
};
use jiff::{SignedDuration, Timestamp};

use super::{Happening, Sabotage, Universe, Violation, disk::DiskStore, look};

pub(super) struct Agent {
    pub(super) turn: Turn<DiskStore>,
    pub(super) feed: Feed,
    pub(super) deeds: BTreeMap<StepRef, Doing>,
    pub(super) wake: Option<Timestamp>,
}

/// A try of a step that is under way, and what its looks have to remember.
pub(super) struct Doing {
    pub(super) deed: Deed,
    pub(super) still: Stillness,
    pub(super) steady: Steadiness,
}

impl Doing {
    fn new(work: Work) -> Self {
        let (still, steady) = (Stillness::default(), Steadiness::default());
        Self { deed: Deed::new(work), still, steady }
    }
}

impl Universe {
    pub(super) fn doing(&mut self, step: StepRef) -> Option<&mut Doing> {
        self.agent.as_mut()?.deeds.get_mut(&step)
    }

    /// Ends the agent at once, as `kill -9` does.
    pub fn kill_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            self.coverage.crash(agent.turn.estate());
        }
        self.life += 1;
        self.queue.retain(|_, happening| match happening {
            Happening::Look(_)
            | Happening::LookLands { .. }
            | Happening::Wake
            | Happening::Step(_)
            | Happening::Answer(..)
            | Happening::Start => false,
            Happening::Hands(_) | Happening::Human(_) | Happening::Chaos(_) => true,
        });
        self.hands_die();
    }

    /// Starts the agent after a while, unless it lives.
    pub fn start_agent(&mut self, after: SignedDuration) {
        self.at(self.now + after, Happening::Start);
    }

    pub(super) fn start(&mut self) -> Result<(), Violation> {
        if self.agent.is_some() {
            return Ok(());
        }
        let mut spec = Self::spec(&self.settings);
        let mut roster = Self::roster(&self.settings);
        if self.settings.sabotage == Some(Sabotage::Unattested) {
            spec.managed_instance_domain = FailureDomain::new("elsewhere").expect("a name");
        }
        if self.settings.sabotage == Some(Sabotage::AnyVote) {
            roster.forced_quorum = 1;
        }
        let decides = Decides { links: vec![spec], roster, brake: StormBrake::default() };
        let mut estate = decides.estate();
        for entry in self.disk.entries() {
            estate.apply(&entry).map_err(|why| Violation::new("1", why.to_string()))?;
        }
        self.checker.restarted(&estate)?;
        self.checker.undated(self.disk.len(), self.ahead);
        // As the daemon's clock: never before the last entry, and then it only counts.
        let wall = self.now + self.wall_off;
        let begins = estate.last_at().map_or(wall, |last| last.max(wall));
        self.ahead = begins.duration_since(self.now);
        let (store, head) = self.disk.store(Rc::clone(&self.disk.faults));
        let term = u64::from(self.life);
        let mut turn = Turn::new(estate, store, head, term);
        let (recorder, feed) = tape(Life::new(env!("CARGO_PKG_VERSION"), term, "sim", &decides));
        if self.settings.replay {
            turn = turn.recorded(recorder);
        }
        let work = turn.estate().work();
        self.agent = Some(Agent { turn, feed, deeds: BTreeMap::new(), wake: None });
        self.follow(&work);
        let version = format!("0.{}.0", self.life);
        let input = Input::Start { version, config_digest: "sim".into() };
        self.turn(Vec::new(), vec![input])?;
        for (place, vantage) in look::VANTAGES.into_iter().enumerate() {
            let phase = self.rng.i64(0..100) + i64::try_from(place).unwrap_or(0);
            self.after_ms(phase, Happening::Look(vantage));
        }
        Ok(())
    }

    /// One turn of the agent, and everything that follows from what it tells.
    pub(super) fn turn(
        &mut self,
        observations: Vec<Observation>,
        inputs: Vec<Input>,
    ) -> Result<Option<Vec<Result<Entry, Refusal>>>, Violation> {
        let Some(agent) = self.agent.as_mut() else { return Ok(None) };
        let now = self.now + self.ahead;
        let taken = agent.turn.take(now, observations, inputs);
        self.checker.recorded(agent.feed.take());
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) => {
                self.checker.died(&error)?;
                self.coverage.disk_failure();
                self.kill_agent();
                let pause = SignedDuration::from_millis(self.rng.i64(100..5_000));
                self.start_agent(pause);
                return Ok(None);
            }
        };
        self.coverage.turn(&taken, agent.turn.estate());
        if let Some(stall) = self.disk.stall.take() {
            self.suspended_until = Some(self.now + stall);
            self.coverage.add("fsync stall");
        }
        self.checker.dated(&taken.appended, self.ahead);
        self.checker.told(&taken, agent.turn.estate(), &self.disk, &self.settings, now)?;
        let wakes = taken.wake.map(|at| at - self.ahead);
        agent.wake = wakes;
        if let Some(wake) = wakes {
            self.at(wake, Happening::Wake);
        }
        self.follow(&taken.work);
        self.humans_hear(&taken.appended);
        self.people_repoint(&taken.appended)?;
        if self.settings.people_mend {
            self.people_mend(&taken.appended);
        }
        self.strike(&taken.appended);
        Ok(Some(taken.verdicts))
    }

    /// Begins deeds for work that is new, drops those whose work is gone.
    fn follow(&mut self, work: &[Work]) {
        let Some(agent) = self.agent.as_mut() else { return };
        agent.deeds.retain(|step, _| work.iter().any(|work| work.step == *step));
        let mut begun = Vec::new();
        for work in work {
            // A deed that ran out of time is looked after by a new one.
            let known = agent.deeds.get(&work.step);
            if known.is_none_or(|doing| doing.deed.work().overdue != work.overdue) {
                let mut work = work.clone();
                if self.settings.sabotage == Some(Sabotage::Amnesia) {
                    (work.sent, work.operation) = (false, None);
                }
                begun.push(work.step);
                agent.deeds.insert(work.step, Doing::new(work));
            }
        }
        for step in begun {
            self.after_ms(1, Happening::Step(step));
        }
    }

    /// Does what a deed asks for.
    pub(super) fn step(&mut self, step: StepRef) -> Result<(), Violation> {
        let now = self.now;
        let by_clock = self.agent_now();
        let deed = self.agent.as_ref().and_then(|agent| agent.deeds.get(&step));
        let deed = deed.map(|doing| &doing.deed);
        let asleep = self.settings.sabotage == Some(Sabotage::Asleep);
        let Some(deed) = deed.filter(|deed| !(asleep && deed.work().sent)) else {
            return Ok(());
        };
        match deed.next(by_clock) {
            Ask::Wait(span) => {
                let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
                self.at(now + span, Happening::Answer(step, Answer::Waited));
            }
            Ask::Report(report) => {
                let late = self.estate().is_some_and(|estate| {
                    estate.work().iter().any(|work| work.step == step && work.overdue)
                });
                if late && matches!(report, agent_core::Report::Done { .. }) {
                    self.coverage.add("unknown step done after all");
                }
                let unasked = self.settings.sabotage == Some(Sabotage::NoPermission);
                if unasked && report == agent_core::Report::Sending {
                    self.at(now, Happening::Answer(step, Answer::Reported(Ok(()))));
                    return Ok(());
                }
                let report = Input::Report { step, report };
                if let Some(verdict) = self.input(report)? {
                    let mut taken = verdict.map(drop).map_err(|refusal| refusal.to_string());
                    if self.settings.sabotage == Some(Sabotage::Amnesia) {
                        taken = Ok(());
                    }
                    // The report may have put a new deed in the place of the one that made it.
                    let deed = self.agent.as_ref().and_then(|agent| agent.deeds.get(&step));
                    if deed.is_some_and(|doing| doing.deed.work().overdue == late) {
                        self.at(now, Happening::Answer(step, Answer::Reported(taken)));
                    }
                }
            }
            Ask::Look => self.look_begins(step),
            Ask::Send(route) => self.hands_send(step, route),
            Ask::Poll(operation) => self.hands_poll(step, operation),
            Ask::End => {}
        }
        Ok(())
    }
}
