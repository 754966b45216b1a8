//! Blows that fall at an exact place of a planned failover, so that none of its places is left to
//! chance.

use agent_core::{Entry, Event, Route, StepRef};
use twin::world::{Fault, NewSession, Party};

use super::{
    Chaos, DATABASE, Happening, MANAGED_INSTANCE, SQL_SERVER, Universe,
    on_the_way::{managed_instance, sql_server},
};

/// One blow, and where it falls.
#[derive(Clone, Debug)]
pub struct Strike {
    /// Of which way, as coverage names it: `over`, `home` or `cut`.
    pub way: &'static str,
    /// The step, counted from 1.
    pub step: usize,
    /// While the step is taken back.
    pub undo: bool,
    pub blow: Blow,
}

#[derive(Clone, Copy, Debug)]
pub enum Blow {
    /// The agent is killed so many ms after the step has begun; where it acts, after its command
    /// was let go.
    Kill { after_ms: i64, down_ms: i64 },
    /// The reply to its command is lost.
    LoseReply,
    /// The log gets through to the other side, but for so many ms too slowly to arrive in time. What
    /// is missing may be less than a server writes by itself.
    Narrow { kb_per_s: u32, ms: i64 },
}

/// Any of the places of a planned failover.
pub(super) fn drawn(rng: &mut fastrand::Rng) -> Strike {
    let (way, steps) = if rng.bool() { ("over", 6) } else { ("home", 8) };
    if rng.u8(0..8) == 0 {
        // While the applications are on their way out.
        let blow = Blow::Narrow { kb_per_s: rng.u32(1..6), ms: rng.i64(4_000..30_000) };
        return Strike { way, step: 2, undo: false, blow };
    }
    let undo = rng.u8(0..4) == 0;
    let step = if undo { 2 } else { rng.usize(1..=steps) };
    let blow = if rng.bool() {
        // A step that only looks may be over after the first look.
        let most = if matches!(step, 2 | 4 | 7) { 1_500 } else { 12 };
        Blow::Kill { after_ms: rng.i64(0..most), down_ms: rng.i64(50..4_000) }
    } else {
        Blow::LoseReply
    };
    Strike { way, step, undo, blow }
}

/// Any of the places of a cutover.
pub(super) fn drawn_cutting(rng: &mut fastrand::Rng) -> Strike {
    let way = "cut";
    let undo = rng.u8(0..4) == 0;
    let step = if undo { rng.usize(2..=4) } else { rng.usize(1..=12) };
    let blow = if rng.bool() {
        let most = *rng.choice(&[12, 1_500, 12_000]).unwrap_or(&12);
        Blow::Kill { after_ms: rng.i64(0..most), down_ms: rng.i64(50..4_000) }
    } else {
        Blow::LoseReply
    };
    Strike { way, step, undo, blow }
}

/// Whether a statement takes no time in a universe.
fn instant(statement: &str) -> bool {
    let begins = ["DECLARE ", "ALTER LOGIN ", "DROP AVAILABILITY ", "IF HAS_PERMS_BY_NAME"];
    begins.iter().any(|words| statement.starts_with(words))
        || statement.contains(" MODIFY AVAILABILITY GROUP ON ")
        || statement.contains(" SET READ_ONLY ")
}

impl Universe {
    /// Lets the blows fall that are meant for what has just been begun.
    pub(super) fn strike(&mut self, entries: &[Entry]) {
        for entry in entries {
            let (step, sending) = match &entry.event {
                Event::StepStarted { step, .. } => (*step, false),
                Event::StepSending { step } => (*step, true),
                Event::AgentStarted { .. }
                | Event::HealthChanged { .. }
                | Event::ProposalOpened { .. }
                | Event::BallotReceived { .. }
                | Event::ProposalApproved { .. }
                | Event::ProposalClosed { .. }
                | Event::StepNoted { .. }
                | Event::StepDone { .. }
                | Event::StepNotDone { .. }
                | Event::StepUnknown { .. }
                | Event::UndoStarted { .. }
                | Event::EpisodeAcknowledged { .. }
                | Event::GuardLifted { .. }
                | Event::StateReported { .. }
                | Event::RunbookIssued { .. } => continue,
            };
            self.strike_at(step, sending);
        }
    }

    fn strike_at(&mut self, step: StepRef, sending: bool) {
        let Some(route) = self.work_of(step).map(|work| work.route) else { return };
        let Some(place) = self.place_of(step) else { return };
        if route.is_some() != sending {
            return;
        }
        let meant = |strike: &Strike| {
            let way = strike.way;
            let back = if strike.undo { " back" } else { "" };
            place == format!("{way} {}{back}", strike.step)
        };
        let Some(at) = self.strikes.iter().position(meant) else { return };
        match self.strikes.remove(at).blow {
            Blow::Kill { after_ms, down_ms } => {
                self.after_ms(after_ms, Happening::Chaos(Chaos::Crash { down_ms }));
            }
            Blow::LoseReply => self.lose_reply(route.as_ref()),
            Blow::Narrow { kb_per_s, ms } => {
                let (from, to) = (sql_server(), managed_instance());
                let heal = Fault::Heal { from: from.clone(), to: to.clone() };
                let narrow = Fault::Throttle { from, to, kb_per_s };
                self.world.fault(narrow).expect("the names are the world's");
                self.after_ms(ms, Happening::Chaos(Chaos::World(heal)));
            }
        }
    }

    fn lose_reply(&mut self, route: Option<&Route>) {
        let at = match route {
            None => return,
            Some(Route::Hook(_)) => {
                self.applications.lose += 1;
                return;
            }
            Some(Route::Tsql { statement, .. }) if instant(statement) => {
                self.deaf += 1;
                return;
            }
            Some(Route::Tsql { instance, .. }) => Party::Instance(self.acting(instance.as_str())),
            Some(Route::Arm { .. }) => Party::Arm,
        };
        self.world.fault(Fault::LoseReply { at, times: 1 }).expect("the names are the world's");
    }

    /// Somebody looks into the database of whoever is primary, for a while.
    pub(super) fn visited(&mut self, ms: i64) {
        let primary = [SQL_SERVER, MANAGED_INSTANCE]
            .into_iter()
            .find(|at| self.role(at) == Some(twin::world::Role::Primary));
        let Some(server) = primary.map(|at| self.acting(at)) else { return };
        let visitor = NewSession {
            login: "dba".into(),
            program: "Management Studio".into(),
            host: "desk".into(),
            database: DATABASE.into(),
            ..NewSession::default()
        };
        if let Some(id) = self.world.open_session(&server, visitor) {
            self.after_ms(ms, Happening::Chaos(Chaos::Leaves { server, id }));
        }
    }
}
