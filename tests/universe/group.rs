//! What goes wrong where SQL Server is a group of replicas.

use jiff::SignedDuration;
use twin::world::{Fault, Party};

use super::{
    Chaos, LINK, SQL_SERVER, Scheduled, chaos::schedule, local::OTHERS,
    on_the_way::planned_schedule,
};

/// What goes wrong in the universe of this seed, in order of time: an outage or a way over and back, and
/// within the group what it does of itself. Either all replicas share the fate of the first one, or
/// that one alone is hit.
pub fn group_schedule(seed: u64) -> Vec<Scheduled> {
    let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x10CA1);
    let mut list = if rng.bool() { schedule(seed) } else { planned_schedule(seed) };
    if rng.bool() {
        let shared = list.iter().flat_map(|item| {
            let others = OTHERS.into_iter().filter_map(|name| {
                let chaos = Chaos::World(shared(&item.chaos, name)?);
                Some(Scheduled { after: item.after, chaos })
            });
            others.collect::<Vec<_>>()
        });
        let shared: Vec<Scheduled> = shared.collect();
        list.extend(shared);
    }
    for _ in 0..rng.usize(1..4) {
        let after = SignedDuration::from_millis(rng.i64(1_000..100_000));
        list.push(Scheduled { after, chaos: Chaos::World(local_fault(&mut rng)) });
    }
    list.sort_by_key(|item| item.after);
    list
}

/// The same for another replica, if it concerns the first one.
fn shared(chaos: &Chaos, name: &str) -> Option<Fault> {
    let Chaos::World(fault) = chaos else { return None };
    let own = |instance: &str| (instance == SQL_SERVER).then(|| name.to_owned());
    let first = Party::Instance(SQL_SERVER.to_owned());
    let party = |party: &Party| {
        if *party == first { Party::Instance(name.to_owned()) } else { party.clone() }
    };
    match fault {
        Fault::Stop { instance } => Some(Fault::Stop { instance: own(instance)? }),
        Fault::Start { instance } => Some(Fault::Start { instance: own(instance)? }),
        Fault::Hang { instance } => Some(Fault::Hang { instance: own(instance)? }),
        Fault::Freeze { instance } => Some(Fault::Freeze { instance: own(instance)? }),
        Fault::Resume { instance } => Some(Fault::Resume { instance: own(instance)? }),
        Fault::Cut { from, to, one_way } => {
            let cut = Fault::Cut { from: party(from), to: party(to), one_way: *one_way };
            (cut != *fault).then_some(cut)
        }
        Fault::Heal { from, to } => {
            let heal = Fault::Heal { from: party(from), to: party(to) };
            (heal != *fault).then_some(heal)
        }
        Fault::Restart { .. }
        | Fault::LocalFailover { .. }
        | Fault::ForceLocalFailover { .. }
        | Fault::RollingRestart { .. }
        | Fault::Refuse { .. }
        | Fault::Accept { .. }
        | Fault::Slow { .. }
        | Fault::Jitter { .. }
        | Fault::Throttle { .. }
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
        | Fault::ArmUnavailable { .. }
        | Fault::ArmThrottle { .. }
        | Fault::ArmConflict { .. }
        | Fault::ArmPoll { .. }
        | Fault::ArmAnswer { .. }
        | Fault::Vanish { .. }
        | Fault::TokenServiceDown { .. }
        | Fault::TokenLifetime { .. } => None,
    }
}

/// What a local group does of itself, or has done to it.
fn local_fault(rng: &mut fastrand::Rng) -> Fault {
    let link = LINK.to_owned();
    match rng.u8(0..8) {
        0..=3 => Fault::LocalFailover { link, to: None, ms: Some(rng.u32(1_000..60_000)) },
        4 => Fault::RollingRestart {
            link,
            down_ms: rng.u32(1_000..15_000),
            pause_ms: rng.u32(0..5_000),
        },
        _ => {
            let names = [SQL_SERVER, OTHERS[0], OTHERS[1]];
            let instance = (*rng.choice(&names).unwrap_or(&SQL_SERVER)).to_owned();
            Fault::Restart { instance, down_ms: rng.u32(1_000..40_000) }
        }
    }
}
