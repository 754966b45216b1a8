//! What goes wrong around a planned failover and the one that goes back after it.

use agent_core::PlanKind;
use jiff::SignedDuration;
use twin::world::{Fault, Party};

use super::{
    Chaos, DiskFault, MANAGED_INSTANCE, SQL_SERVER, Scheduled,
    chaos::{cure, main_fault, side_fault},
    strike,
};

/// What goes wrong around a planned failover and the one that goes back after it.
pub fn planned_schedule(seed: u64) -> Vec<Scheduled> {
    let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x91A);
    let mut list = Vec::new();
    let mut add = |ms: i64, chaos| {
        list.push(Scheduled { after: SignedDuration::from_millis(ms), chaos });
    };
    let (over, back) = (rng.i64(4_000..10_000), rng.i64(45_000..70_000));
    for asked in [over, back] {
        add(asked, Chaos::Ask(PlanKind::PlannedFailover));
    }
    match rng.u8(0..6) {
        0 | 1 => {
            let about = if rng.bool() { over } else { back };
            let at = about + rng.i64(0..20_000);
            main_fault(&mut rng, at, &mut add);
        }
        // It is the other side that is lost, once it has taken over.
        2 => azure_is_lost(&mut rng, over + 20_000, &mut add),
        _ => {}
    }
    for _ in 0..rng.usize(0..3) {
        add(0, Chaos::Strike(strike::drawn(&mut rng)));
    }
    for _ in 0..rng.usize(0..6) {
        let about = if rng.bool() { over } else { back };
        let at = about + rng.i64(0..25_000);
        let chaos = if rng.u8(0..3) == 0 { side_fault(&mut rng) } else { on_the_way(&mut rng) };
        if let Some((cure, after)) = cure(&chaos, &mut rng) {
            add(at + after, Chaos::World(cure));
        }
        add(at, chaos);
    }
    list.sort_by_key(|item| item.after);
    list
}

/// What goes wrong around a cutover of a SQL Server that can't change roles over its link.
pub fn cutover_schedule(seed: u64) -> Vec<Scheduled> {
    let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xC07);
    let mut list = Vec::new();
    let mut add = |ms: i64, chaos| {
        list.push(Scheduled { after: SignedDuration::from_millis(ms), chaos });
    };
    let asked = rng.i64(4_000..10_000);
    for at in [asked, asked + 50_000] {
        add(at, Chaos::Ask(PlanKind::Cutover));
    }
    if rng.u8(0..6) == 0 {
        let at = asked + rng.i64(0..40_000);
        main_fault(&mut rng, at, &mut add);
    }
    for _ in 0..rng.usize(0..4) {
        add(0, Chaos::Strike(strike::drawn_cutting(&mut rng)));
    }
    for _ in 0..rng.usize(0..5) {
        let at = asked + rng.i64(0..45_000);
        let chaos = if rng.u8(0..3) == 0 { side_fault(&mut rng) } else { on_the_way(&mut rng) };
        if let Some((cure, after)) = cure(&chaos, &mut rng) {
            add(at + after, Chaos::World(cure));
        }
        add(at, chaos);
    }
    list.sort_by_key(|item| item.after);
    list
}

/// The managed instance goes, with the link or after it, and may come back.
fn azure_is_lost(rng: &mut fastrand::Rng, from: i64, add: &mut impl FnMut(i64, Chaos)) {
    let instance = || MANAGED_INSTANCE.to_owned();
    let (sql, azure) = (Party::Instance(SQL_SERVER.into()), Party::Instance(instance()));
    let at = from + rng.i64(0..30_000);
    let cut = |from: &Party| {
        let (from, to) = (from.clone(), azure.clone());
        Chaos::World(Fault::Cut { from, to, one_way: false })
    };
    match rng.u8(0..4) {
        0 => {
            add(at, cut(&sql));
            let later = at + rng.i64(1_000..20_000);
            add(later, Chaos::World(Fault::Stop { instance: instance() }));
        }
        1 => {
            add(at, cut(&Party::Agent));
            add(at + rng.i64(0..5_000), cut(&sql));
        }
        _ => add(at, Chaos::World(Fault::Stop { instance: instance() })),
    }
    if rng.bool() {
        let back = at + rng.i64(20_000..90_000);
        for from in [sql, Party::Agent] {
            let to = azure.clone();
            add(back, Chaos::World(Fault::Heal { from, to }));
        }
        add(back, Chaos::World(Fault::Start { instance: instance() }));
    }
}

pub(super) fn sql_server() -> Party {
    Party::Instance(SQL_SERVER.into())
}

pub(super) fn managed_instance() -> Party {
    Party::Instance(MANAGED_INSTANCE.into())
}

/// What goes wrong in the middle of a planned failover, on either side of it.
fn on_the_way(rng: &mut fastrand::Rng) -> Chaos {
    let name = if rng.bool() { SQL_SERVER } else { MANAGED_INSTANCE };
    let instance = name.to_owned();
    let party = Party::Instance(instance.clone());
    match rng.u8(0..15) {
        13 => Chaos::HookMute { times: rng.u32(1..5) },
        14 => Chaos::Visitor { ms: rng.i64(500..12_000) },
        0..=2 => Chaos::Crash { down_ms: rng.i64(50..6_000) },
        3 | 4 => Chaos::HookFails { times: rng.u32(1..7) },
        5 => Chaos::World(Fault::LoseReply { at: party, times: 1 }),
        6 => Chaos::World(Fault::DelayDeed { at: party, ms: rng.u32(500..25_000) }),
        7 | 8 => Chaos::World(Fault::FailNext {
            instance,
            number: *rng
                .choice(&[47_514, 47_515, 47_516, 41_149, 10_928, 15_151, 3_201])
                .unwrap_or(&47_514),
            times: rng.u32(1..7),
        }),
        9 => Chaos::World(Fault::Cut { from: Party::Agent, to: party, one_way: rng.bool() }),
        10 => {
            let (from, to) = (sql_server(), managed_instance());
            Chaos::World(Fault::Cut { from, to, one_way: false })
        }
        11 => Chaos::Disk(DiskFault::KeepAndDie),
        _ => Chaos::Acknowledge,
    }
}
