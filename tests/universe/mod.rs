//! A universe: the twin's pure world, the agent's core and turn, a disk, a network and humans, all
//! driven by one clock and one seed. The simulation throws faults into it, the scenarios a script.
//!
//! Nothing in here decides anything that the agent decides: the estate, the turn and the deeds are
//! the ones that the daemon runs. What is modelled is what lies around them.

mod chaos;
mod check;
mod cover;
mod disk;
mod group;
mod hands;
mod human;
mod local;
mod look;
mod planned;
mod settings;

use std::{collections::BTreeMap, rc::Rc};

use agent_core::{
    ApproverId, Entry, Estate, Event, FailureDomain, Input, Observation, Refusal, StepRef,
    StormBrake, Vantage, Work,
    deed::{Answer, Ask, Deed},
};
use dr_agent::{
    recorder::{Feed, Life, Settings as Decides, tape},
    turn::Turn,
};
use jiff::{SignedDuration, Timestamp};
use twin::world::World;

pub use self::{
    chaos::{Chaos, Scheduled, planned_schedule, schedule},
    check::Violation,
    cover::Coverage,
    disk::{Disk, DiskFault},
    group::group_schedule,
    human::Human,
    local::several,
    planned::Applications,
    settings::{Sabotage, Settings},
};
use self::{check::Checker, disk::DiskStore, look::Skew};

/// Names of the one pair that a universe has, as the twin's default world names them.
pub const LINK: &str = "LinkSales";
pub const SQL_SERVER: &str = "sql01";
pub const MANAGED_INSTANCE: &str = "mi-dr";
pub const DATABASE: &str = "Sales";
pub const ARM_PATH: &str = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Sql/managedInstances/mi-dr/distributedAvailabilityGroups/LinkSales";

/// Everything at one moment.
pub struct Universe {
    pub now: Timestamp,
    pub world: World,
    pub disk: Disk,
    pub settings: Settings,
    pub coverage: Coverage,
    pub humans: Vec<Human>,
    agent: Option<Agent>,
    /// Counts the lives of the agent: what was meant for an earlier one is void.
    life: u32,
    queue: BTreeMap<(Timestamp, u64), Happening>,
    serial: u64,
    rng: fastrand::Rng,
    skew: BTreeMap<Vantage, Skew>,
    suspended_until: Option<Timestamp>,
    /// How far the wall clock of the agent's host is off: counts from the next start.
    wall_off: SignedDuration,
    /// How far the clock of the living agent is ahead of the world's.
    ahead: SignedDuration,
    checker: Checker,
    statements: BTreeMap<StepRef, hands::InFlight>,
    pub applications: Applications,
}

struct Agent {
    turn: Turn<DiskStore>,
    feed: Feed,
    deeds: BTreeMap<StepRef, Deed>,
    wake: Option<Timestamp>,
}

/// What is due at some time.
enum Happening {
    Look(Vantage),
    LookLands { vantage: Vantage, begun_at: Timestamp },
    Wake,
    Step(StepRef),
    Answer(StepRef, Answer),
    Hands(hands::Happening),
    Human(usize),
    Chaos(Chaos),
    Start,
}

impl Universe {
    /// A universe in which the agent starts at once and the humans do nothing unless told.
    pub fn new(settings: Settings, seed: u64) -> Self {
        let now: Timestamp = "2026-01-05T03:00:00Z".parse().expect("a valid time");
        let world = World::new(&settings.world, seed, now).expect("the default world is sound");
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5EED);
        let skew = look::skews(&mut rng, settings.skew_ms);
        let mut universe = Self {
            now,
            world,
            disk: Disk::default(),
            humans: human::cast(&settings),
            coverage: Coverage::default(),
            checker: Checker::new(&settings),
            settings,
            agent: None,
            life: 0,
            queue: BTreeMap::new(),
            serial: 0,
            rng,
            skew,
            suspended_until: None,
            wall_off: SignedDuration::ZERO,
            ahead: SignedDuration::ZERO,
            statements: BTreeMap::new(),
            applications: Applications::default(),
        };
        universe.at(now, Happening::Start);
        universe
    }

    /// Adds what is going to go wrong.
    pub fn disturb(&mut self, schedule: &[Scheduled]) {
        for item in schedule {
            self.at(self.now + item.after, Happening::Chaos(item.chaos.clone()));
        }
    }

    /// Runs until `until` or the first violation.
    ///
    /// # Errors
    ///
    /// The invariant that does not hold.
    pub fn run(&mut self, until: Timestamp) -> Result<(), Violation> {
        self.run_while(until, |_| true)
    }

    /// Runs until `until`, the first violation, or `going_on` says no.
    ///
    /// # Errors
    ///
    /// The invariant that does not hold.
    pub fn run_while(
        &mut self,
        until: Timestamp,
        going_on: impl Fn(&Self) -> bool,
    ) -> Result<(), Violation> {
        while going_on(self) {
            let Some((&key, _)) = self.queue.first_key_value() else { break };
            if key.0 > until {
                break;
            }
            let happening = self.queue.remove(&key).expect("it was there");
            self.now = self.now.max(key.0);
            self.world.advance(self.now);
            self.happen(happening)?;
        }
        if going_on(self) {
            self.now = self.now.max(until);
            self.world.advance(self.now);
        }
        Ok(())
    }

    /// The time by the agent's own clock.
    pub fn agent_now(&self) -> Timestamp {
        self.now + self.ahead
    }

    /// The estate of the living agent.
    pub fn estate(&self) -> Option<&Estate> {
        self.agent.as_ref().map(|agent| agent.turn.estate())
    }

    /// All durable entries.
    pub fn journal(&self) -> Vec<Entry> {
        self.disk.entries()
    }

    pub fn human(&self, name: &str) -> Option<usize> {
        let id = ApproverId::new(name).ok()?;
        self.humans.iter().position(|human| human.id == id)
    }

    /// Hands an input to the agent, as the API would.
    ///
    /// # Errors
    ///
    /// A violated invariant; the outer result. The inner one is the agent's verdict, None if it is
    /// dead or died of it.
    pub fn input(&mut self, input: Input) -> Result<Option<Result<Entry, Refusal>>, Violation> {
        Ok(self.turn(Vec::new(), vec![input])?.and_then(|mut verdicts| verdicts.pop()))
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

    /// Checks what can only be checked at the end: replay and loss.
    ///
    /// # Errors
    ///
    /// The invariant that does not hold.
    pub fn finish(&mut self) -> Result<(), Violation> {
        self.checker.finish(&self.world, &self.disk, &self.settings)
    }

    fn at(&mut self, due: Timestamp, happening: Happening) {
        self.serial += 1;
        self.queue.insert((due.max(self.now), self.serial), happening);
    }

    fn after_ms(&mut self, ms: i64, happening: Happening) {
        self.at(self.now + SignedDuration::from_millis(ms), happening);
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        // A suspended host does nothing; what was due is done when it wakes up.
        if let Some(until) = self.suspended_until.filter(|until| *until > self.now)
            && happening.of_agent()
        {
            self.at(until, happening);
            return Ok(());
        }
        match happening {
            Happening::Start => self.start()?,
            Happening::Look(vantage) => self.begin_look(vantage),
            Happening::LookLands { vantage, begun_at } => {
                let seen = self.look_lands(vantage, begun_at);
                self.see(seen)?;
            }
            Happening::Wake => {
                if self.agent.as_ref().is_some_and(|agent| agent.wake == Some(self.now)) {
                    self.turn(Vec::new(), Vec::new())?;
                }
            }
            Happening::Step(step) => self.step(step)?,
            Happening::Answer(step, answer) => {
                let now = self.agent_now();
                let agent = self.agent.as_mut();
                if let Some(deed) = agent.and_then(|agent| agent.deeds.get_mut(&step)) {
                    deed.answer(now, answer);
                    self.step(step)?;
                }
            }
            Happening::Hands(happening) => self.hands_happen(happening)?,
            Happening::Human(place) => self.human_acts(place)?,
            Happening::Chaos(chaos) => self.chaos(chaos)?,
        }
        Ok(())
    }

    fn see(&mut self, seen: Option<Observation>) -> Result<(), Violation> {
        let Some(seen) = seen else { return Ok(()) };
        self.checker.saw(&seen);
        let seen = match self.settings.sabotage {
            Some(Sabotage::BlindToPrimary) => look::blinded(seen),
            Some(Sabotage::OpenBounds) => look::boasting(seen),
            Some(
                Sabotage::ForgetfulDisk
                | Sabotage::NoPermission
                | Sabotage::Twice
                | Sabotage::AnyVote
                | Sabotage::Unattested
                | Sabotage::Amnesia
                | Sabotage::ForceInstead
                | Sabotage::LyingHook
                | Sabotage::Asleep,
            )
            | None => seen,
        };
        self.turn(vec![seen], Vec::new()).map(drop)
    }

    fn start(&mut self) -> Result<(), Violation> {
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
    fn turn(
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
        self.coverage.turn(&taken);
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
            if known.is_none_or(|deed| deed.work().overdue != work.overdue) {
                let mut work = work.clone();
                if self.settings.sabotage == Some(Sabotage::Amnesia) {
                    (work.sent, work.operation) = (false, None);
                }
                begun.push(work.step);
                agent.deeds.insert(work.step, Deed::new(work));
            }
        }
        for step in begun {
            self.after_ms(1, Happening::Step(step));
        }
    }

    /// Does what a deed asks for.
    fn step(&mut self, step: StepRef) -> Result<(), Violation> {
        let now = self.now;
        let by_clock = self.agent_now();
        let deed = self.agent.as_ref().and_then(|agent| agent.deeds.get(&step));
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
                    if deed.is_some_and(|deed| deed.work().overdue == late) {
                        self.at(now, Happening::Answer(step, Answer::Reported(taken)));
                    }
                }
            }
            Ask::Look => self.hands_look(step),
            Ask::Send(route) => self.hands_send(step, route),
            Ask::Poll(operation) => self.hands_poll(step, operation),
            Ask::End => {}
        }
        Ok(())
    }
}

impl Happening {
    fn of_agent(&self) -> bool {
        match self {
            Self::Look(_)
            | Self::LookLands { .. }
            | Self::Wake
            | Self::Step(_)
            | Self::Answer(..)
            | Self::Start => true,
            Self::Hands(_) | Self::Human(_) | Self::Chaos(_) => false,
        }
    }
}

/// The proposal that an entry opens, if it does.
pub(crate) fn opened(entry: &Entry) -> Option<agent_core::Proposal> {
    match &entry.event {
        Event::ProposalOpened { texts } => agent_core::Proposal::read(texts.clone()).ok(),
        Event::AgentStarted { .. }
        | Event::HealthChanged { .. }
        | Event::BallotReceived { .. }
        | Event::ProposalApproved { .. }
        | Event::ProposalClosed { .. }
        | Event::StepStarted { .. }
        | Event::StepSending { .. }
        | Event::StepNoted { .. }
        | Event::StepDone { .. }
        | Event::StepNotDone { .. }
        | Event::StepUnknown { .. }
        | Event::UndoStarted { .. }
        | Event::EpisodeAcknowledged { .. }
        | Event::StateReported { .. }
        | Event::RunbookIssued { .. } => None,
    }
}
