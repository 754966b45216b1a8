//! What goes wrong, drawn from a seed. The schedule is a list, so that a failing one can be shrunk
//! by leaving items out.

use agent_core::{Ballot, Decision, Input, LinkId, PlanKind, Report, Side, StepRef};
use jiff::SignedDuration;
use twin::world::{Fault, Party};

use super::{
    DiskFault, LINK, MANAGED_INSTANCE, SQL_SERVER, Sabotage, Strike, Universe, Violation,
    human::Temper,
};

/// One thing that goes wrong, and when.
#[derive(Clone, Debug)]
pub struct Scheduled {
    pub after: SignedDuration,
    pub chaos: Chaos,
}

#[derive(Clone, Debug)]
pub enum Chaos {
    World(Fault),
    /// `kill -9`, and a start after so many ms.
    Crash {
        down_ms: i64,
    },
    Disk(DiskFault),
    /// The host of the agent stands still.
    Suspend {
        ms: i64,
    },
    /// The next append takes this long.
    Stall {
        ms: i64,
    },
    /// The wall clock of the agent's host is set wrong, and the agent is started anew.
    ClockStep {
        ms: i64,
    },
    /// The agent comes up as another version, with other thresholds.
    Reconfigure {
        propose_after_s: u64,
        quorum: usize,
    },
    /// An operator asks for a failover, wise or not.
    Ask(PlanKind),
    /// An operator asks for a repair that keeps what this side has, or what the agent thinks best.
    Mend(Option<Side>),
    /// The next runs of the hook that stops and starts the applications go wrong.
    HookFails {
        times: u32,
    },
    /// The next questions whether the applications run get no answer.
    HookMute {
        times: u32,
    },
    /// A blow at an exact place of a planned failover.
    Strike(Strike),
    /// Somebody looks into the primary's database for so long.
    Visitor {
        ms: i64,
    },
    /// And goes.
    Leaves {
        server: String,
        id: u16,
    },
    /// A human has seen how it ended.
    Acknowledge,
    /// Somebody reports on a step that is not theirs.
    StrayReport,
    /// A vote on something that is long gone.
    StrayVote,
    /// An approval that leaves out what it has to say.
    HastyVote,
}

/// What goes wrong in the universe of this seed, in order of time.
pub fn schedule(seed: u64) -> Vec<Scheduled> {
    let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut list = Vec::new();
    let mut add = |ms: i64, chaos| {
        list.push(Scheduled { after: SignedDuration::from_millis(ms), chaos });
    };
    let onset = rng.i64(3_000..12_000);
    main_fault(&mut rng, onset, &mut add);
    for _ in 0..rng.usize(0..7) {
        let at = rng.i64(1_000..110_000);
        let chaos = side_fault(&mut rng);
        if let Some((cure, after)) = cure(&chaos, &mut rng) {
            add(at + after, Chaos::World(cure));
        }
        add(at, chaos);
    }
    list.sort_by_key(|item| item.after);
    list
}

/// The fault that makes the story: what becomes of the primary.
pub(super) fn main_fault(rng: &mut fastrand::Rng, at: i64, add: &mut impl FnMut(i64, Chaos)) {
    let sql = || SQL_SERVER.to_owned();
    let (agent, primary) = (Party::Agent, Party::Instance(sql()));
    let target = Party::Instance(MANAGED_INSTANCE.into());
    let world = Chaos::World;
    let cut = |from: &Party, to: &Party| {
        world(Fault::Cut { from: from.clone(), to: to.clone(), one_way: false })
    };
    let heal = |from: &Party, to: &Party| world(Fault::Heal { from: from.clone(), to: to.clone() });
    let back = at + rng.i64(5_000..150_000);
    match rng.u8(0..16) {
        // First the agent loses it, much later the target, and only then does it die.
        14 | 15 => {
            add(at, cut(&agent, &primary));
            let later = at + rng.i64(5_000..50_000);
            add(later, cut(&target, &primary));
            add(later + rng.i64(0..20_000), world(Fault::Stop { instance: sql() }));
        }
        // The link is cut first, so that a good deal is going to be lost.
        12 | 13 => {
            add(at, cut(&target, &primary));
            let stop = at + rng.i64(1_000..25_000);
            add(stop, world(Fault::Stop { instance: sql() }));
        }
        0..=4 => {
            add(at, world(Fault::Stop { instance: sql() }));
            if rng.bool() {
                add(back, world(Fault::Start { instance: sql() }));
            }
        }
        5 => {
            add(at, world(Fault::Freeze { instance: sql() }));
            add(back, world(Fault::Resume { instance: sql() }));
        }
        6 => {
            add(at, world(Fault::Hang { instance: sql() }));
            add(back, world(Fault::Resume { instance: sql() }));
        }
        7 => {
            add(at, cut(&agent, &primary));
            add(back, heal(&agent, &primary));
        }
        8 => {
            add(at, cut(&target, &primary));
            add(back, heal(&target, &primary));
        }
        9 => {
            for (from, to) in [(&agent, &primary), (&target, &primary)] {
                add(at, cut(from, to));
                add(back, heal(from, to));
            }
        }
        10 => {
            for to in [&primary, &target, &Party::Arm] {
                add(at, cut(&agent, to));
                add(back, heal(&agent, to));
            }
        }
        // A boot loop.
        _ => {
            let mut when = at;
            for _ in 0..rng.usize(2..6) {
                add(when, world(Fault::Stop { instance: sql() }));
                when += rng.i64(4_000..20_000);
                add(when, world(Fault::Start { instance: sql() }));
                when += rng.i64(2_000..14_000);
            }
            if rng.bool() {
                add(when, world(Fault::Stop { instance: sql() }));
            }
        }
    }
}

pub(super) fn side_fault(rng: &mut fastrand::Rng) -> Chaos {
    let target = || Party::Instance(MANAGED_INSTANCE.into());
    let instance = || MANAGED_INSTANCE.to_owned();
    match rng.u8(0..26) {
        24 => Chaos::Stall { ms: rng.i64(500..9_000) },
        25 => Chaos::ClockStep { ms: rng.i64(-40_000..40_000) },
        0..=4 => Chaos::Crash { down_ms: rng.i64(100..15_000) },
        5 => Chaos::Disk(DiskFault::Refuse),
        6 => Chaos::Disk(DiskFault::KeepAndDie),
        7 => Chaos::Suspend { ms: rng.i64(500..20_000) },
        8 => Chaos::Reconfigure { propose_after_s: rng.u64(2..20), quorum: rng.usize(1..3) },
        9 | 10 => Chaos::Ask(PlanKind::ForcedFailover),
        11 => Chaos::Acknowledge,
        12 => Chaos::StrayReport,
        13 => Chaos::StrayVote,
        14 => Chaos::World(Fault::LoseReply { at: target(), times: 1 }),
        15 => Chaos::World(Fault::LoseReply { at: Party::Arm, times: 1 }),
        16 => Chaos::World(Fault::DelayDeed { at: target(), ms: rng.u32(500..25_000) }),
        17 => Chaos::World(Fault::FailNext {
            instance: instance(),
            number: *rng.choice(&[40_613, 41_104, 10_928, 41_985, 41_993]).unwrap_or(&40_613),
            times: rng.u32(1..4),
        }),
        18 => Chaos::World(Fault::ArmUnavailable { on: true }),
        19 => Chaos::World(Fault::ArmConflict { times: rng.u32(1..4) }),
        20 | 21 => {
            Chaos::World(Fault::Cut { from: Party::Agent, to: target(), one_way: rng.bool() })
        }
        22 => {
            Chaos::World(Fault::Slow { from: Party::Agent, to: target(), ms: rng.u32(100..1_500) })
        }
        _ => Chaos::HastyVote,
    }
}

/// Faults of the network and the control plane are mended before the end.
pub(super) fn cure(chaos: &Chaos, rng: &mut fastrand::Rng) -> Option<(Fault, i64)> {
    let after = rng.i64(1_000..60_000);
    let Chaos::World(fault) = chaos else { return None };
    match fault {
        Fault::ArmUnavailable { .. } => Some((Fault::ArmUnavailable { on: false }, after)),
        Fault::Cut { from, to, .. }
        | Fault::Slow { from, to, .. }
        | Fault::Jitter { from, to, .. }
        | Fault::Throttle { from, to, .. } => {
            Some((Fault::Heal { from: from.clone(), to: to.clone() }, after))
        }
        Fault::Stop { .. }
        | Fault::Start { .. }
        | Fault::Hang { .. }
        | Fault::Freeze { .. }
        | Fault::Resume { .. }
        | Fault::Heal { .. }
        | Fault::Refuse { .. }
        | Fault::Accept { .. }
        | Fault::LoseReply { .. }
        | Fault::DelayDeed { .. }
        | Fault::GiveUp { .. }
        | Fault::Clock { .. }
        | Fault::SlowCommits { .. }
        | Fault::Move { .. }
        | Fault::Repair { .. }
        | Fault::Suspend { .. }
        | Fault::FailNext { .. }
        | Fault::FailLogin { .. }
        | Fault::Wire { .. }
        | Fault::ArmThrottle { .. }
        | Fault::ArmConflict { .. }
        | Fault::ArmPoll { .. }
        | Fault::ArmAnswer { .. }
        | Fault::Vanish { .. }
        | Fault::TokenServiceDown { .. }
        | Fault::TokenLifetime { .. }
        | Fault::Restart { .. }
        | Fault::LocalFailover { .. }
        | Fault::ForceLocalFailover { .. }
        | Fault::RollingRestart { .. } => None,
    }
}

impl Universe {
    /// Gives the humans their tempers, by seed.
    pub fn cast_tempers(&mut self, seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0xCA57);
        let tempers = [
            Temper::Prompt,
            Temper::Prompt,
            Temper::Prompt,
            Temper::Slow,
            Temper::Rejects,
            Temper::Forges,
            Temper::BreaksGlass,
        ];
        // The first two are usually there; the third makes trouble.
        for (place, human) in self.humans.iter_mut().enumerate() {
            let choice =
                if place < 2 && rng.u8(0..4) > 0 { 0 } else { rng.usize(0..tempers.len()) };
            human.temper = tempers[choice];
        }
    }

    pub(super) fn chaos(&mut self, chaos: Chaos) -> Result<(), Violation> {
        match chaos {
            Chaos::World(fault) => {
                // A local failover takes a replica that can take over, and there may be none.
                let may_fail = matches!(fault, Fault::LocalFailover { .. });
                let taken = self.world.fault(fault);
                assert!(may_fail || taken.is_ok(), "the names are the world's: {taken:?}");
            }
            Chaos::Crash { down_ms } => {
                self.kill_agent();
                self.start_agent(SignedDuration::from_millis(down_ms));
            }
            Chaos::Disk(fault) => self.disk.faults.set(Some(fault)),
            Chaos::Suspend { ms } => {
                self.suspended_until = Some(self.now + SignedDuration::from_millis(ms));
            }
            Chaos::Reconfigure { propose_after_s, quorum } => {
                self.settings.policy.propose_after =
                    std::time::Duration::from_secs(propose_after_s);
                self.settings.quorum = quorum;
                self.kill_agent();
                self.start_agent(SignedDuration::from_millis(500));
            }
            Chaos::Stall { ms } => {
                self.disk.stall.set(Some(SignedDuration::from_millis(ms)));
            }
            Chaos::ClockStep { ms } => {
                self.wall_off = SignedDuration::from_millis(ms);
                self.coverage.add("clock step");
                self.kill_agent();
                self.start_agent(SignedDuration::from_millis(300));
            }
            Chaos::HookFails { times } => self.applications.fail = times,
            Chaos::HookMute { times } => self.applications.mute = times,
            Chaos::Strike(strike) => self.strikes.push(strike),
            Chaos::Visitor { ms } => self.visited(ms),
            Chaos::Leaves { server, id } => self.world.close_session(&server, id),
            Chaos::Ask(kind) => {
                let link = Self::link();
                self.input(Input::Propose { link, kind, by: "operator".into(), winner: None })?;
            }
            Chaos::Mend(winner) => {
                let (link, kind) = (Self::link(), PlanKind::Repair);
                self.input(Input::Propose { link, kind, by: "operator".into(), winner })?;
            }
            Chaos::Acknowledge => {
                let link = Self::link();
                let (by, note) = ("operator".into(), "seen".into());
                self.input(Input::Acknowledge { link, by, note })?;
                let link = LinkId::new("elsewhere").expect("a name");
                let note = "not here".into();
                self.input(Input::Acknowledge { link, by: "operator".into(), note })?;
            }
            Chaos::StrayReport => {
                let step = StepRef { proposal: 1, lane: 0, step: 1, attempt: 1, undo: false };
                let report = Report::Done { seen: "a lie".into(), engine_ms: 0, warning: None };
                self.input(Input::Report { step, report })?;
            }
            Chaos::StrayVote => self.stray_vote()?,
            Chaos::HastyVote => self.hasty_vote()?,
        }
        if self.settings.sabotage == Some(Sabotage::ForgetfulDisk) {
            self.disk.forgetful.set(true);
        }
        Ok(())
    }

    fn stray_vote(&mut self) -> Result<(), Violation> {
        let entries = self.journal();
        let Some(old) = entries.iter().find_map(super::opened) else { return Ok(()) };
        let alice = self.humans[0].clone();
        let decision = alice.approves(&old, false);
        let mut ballot = Ballot::sign(&old, alice.id, decision, self.agent_now(), &alice.key);
        if self.rng.bool() {
            ballot.proposal += 1;
        }
        self.input(Input::Cast { ballot })?;
        Ok(())
    }

    fn hasty_vote(&mut self) -> Result<(), Violation> {
        let Some(open) = self.open_proposal() else { return Ok(()) };
        let bob = self.humans[1].clone();
        for (break_glass, attestation, forecast_unknown) in
            [(false, None, false), (false, Some("by hand".to_owned()), false), (true, None, true)]
        {
            let decision = Decision::Approve { break_glass, forecast_unknown, attestation };
            let ballot = Ballot::sign(&open, bob.id.clone(), decision, self.agent_now(), &bob.key);
            self.input(Input::Cast { ballot })?;
        }
        Ok(())
    }

    /// Ends every fault: from here on the agent has to come to an end by itself.
    pub fn calm(&mut self) {
        let mut parties = vec![Party::Agent, Party::Arm, Party::Instance(MANAGED_INSTANCE.into())];
        parties.extend(self.servers(SQL_SERVER).into_iter().map(Party::Instance));
        for (place, from) in parties.iter().enumerate() {
            for to in &parties[place + 1..] {
                let (from, to) = (from.clone(), to.clone());
                self.world.fault(Fault::Heal { from, to }).expect("the names are the world's");
            }
        }
        for fault in [
            Fault::ArmUnavailable { on: false },
            Fault::ArmConflict { times: 0 },
            Fault::LoseReply { at: Party::Arm, times: 0 },
        ] {
            self.world.fault(fault).expect("no names in these");
        }
        self.disk.faults.set(None);
        self.start_agent(SignedDuration::from_millis(100));
        debug_assert!(self.world.link(LINK).is_some());
    }
}
