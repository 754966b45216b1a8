//! A universe: the twin's pure world, the agent's core and turn, a disk, a network and humans, all
//! driven by one clock and one seed. The simulation throws faults into it, the scenarios a script.
//!
//! Nothing in here decides anything that the agent decides: the estate, the turn and the deeds are
//! the ones that the daemon runs. What is modelled is what lies around them.

mod agent;
mod chaos;
mod check;
mod cover;
mod cutting;
mod disk;
mod group;
mod hands;
mod human;
mod local;
mod look;
mod on_the_way;
mod planned;
mod settings;
mod sight;
mod strike;

use std::collections::BTreeMap;

use agent_core::{
    ApproverId, Entry, Estate, Event, Input, Observation, Refusal, StepRef, Vantage, deed::Answer,
};
use jiff::{SignedDuration, Timestamp};
use twin::world::World;

use self::{agent::Agent, check::Checker, look::Skew};
pub use self::{
    chaos::{Chaos, Scheduled, schedule},
    check::Violation,
    cover::Coverage,
    disk::{Disk, DiskFault},
    group::group_schedule,
    human::Human,
    local::several,
    on_the_way::{cutover_schedule, planned_schedule},
    planned::Applications,
    settings::{Sabotage, Settings},
    strike::{Blow, Strike},
};

/// Names of the one pair that a universe has, as the twin's default world names them.
pub const LINK: &str = "LinkSales";
pub const SQL_SERVER: &str = "sql01";
pub const MANAGED_INSTANCE: &str = "mi-dr";
/// With what people go past the agent.
pub const PORTAL: &str = "portal";
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
    strikes: Vec<Strike>,
    /// Replies to so many statements that take no time are lost.
    deaf: u32,
    pub applications: Applications,
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
            strikes: Vec::new(),
            deaf: 0,
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

    /// Checks what can only be checked at the end: replay and loss.
    ///
    /// # Errors
    ///
    /// The invariant that does not hold.
    pub fn finish(&mut self) -> Result<(), Violation> {
        if self.checker.cut_over() {
            self.nobody_wrote_behind()?;
        }
        self.checker.finish(&self.world, &self.disk, &self.settings)?;
        let forced = self.checker.forced(&self.disk);
        self.coverage.life(forced);
        Ok(())
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
                if let Some(doing) = self.doing(step) {
                    doing.deed.answer(now, answer);
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
                | Sabotage::Asleep
                | Sabotage::TrustsTheHook
                | Sabotage::Impatient
                | Sabotage::AnyLsn
                | Sabotage::AnySave
                | Sabotage::EarlyDeletion
                | Sabotage::WrongSide,
            )
            | None => seen,
        };
        self.turn(vec![seen], Vec::new()).map(drop)
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
pub fn opened(entry: &Entry) -> Option<agent_core::Proposal> {
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
        | Event::GuardLifted { .. }
        | Event::StateReported { .. }
        | Event::RunbookIssued { .. } => None,
    }
}
