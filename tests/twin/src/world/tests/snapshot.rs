//! Whoever goes on from a snapshot goes on exactly as the world did.

use serde_json::json;

use super::*;

/// Something that may go wrong at any time, by chance.
fn mishap(rng: &mut fastrand::Rng) -> Fault {
    let instance = if rng.bool() { SQL } else { MI }.to_owned();
    let [from, to] = [SQL, MI].map(|name| Party::Instance(name.to_owned()));
    match rng.u8(0..9) {
        0 => Fault::Restart { instance, down_ms: rng.u32(1..20_000) },
        1 => Fault::Cut { from, to, one_way: rng.bool() },
        2 => Fault::Heal { from, to },
        3 => Fault::Jitter { from, to, ms: rng.u32(1..200) },
        4 => Fault::Freeze { instance },
        5 => Fault::Resume { instance },
        6 => Fault::SlowCommits { instance, ms: rng.u32(0..50) },
        7 => Fault::Move { instance: MI.to_owned() },
        _ => Fault::Throttle { from, to, kb_per_s: rng.u32(1..500) },
    }
}

/// Some minutes in which much goes wrong, people try to help, and time passes in odd steps.
fn live(world: &mut World, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..12 {
        let group = LINK.to_owned();
        let command = match rng.u8(0..6) {
            0 => Some(Command::Failover { group }),
            1 => Some(Command::ForceFailover { group }),
            2 => Some(Command::SetRoleSecondary { group }),
            3 => Some(Command::Resume { database: "Sales".to_owned() }),
            _ => None,
        };
        let at = if rng.bool() { SQL } else { MI };
        match command {
            // Most of it is refused, as it would be.
            Some(command) => drop(world.execute(at, &agent(), command)),
            None => fault(world, mishap(&mut rng)),
        }
        wait(world, rng.f64() * 20.0);
    }
}

/// All that can be seen and all that is true.
fn told(world: &World) -> String {
    let ledger = world.ledger();
    let commits: Vec<Commit> = world.commits(LINK).collect();
    let rows = [SQL, MI].map(|at| world.database_replica_states(at));
    let text = json!({
        "now": world.now(),
        "commits": commits,
        "intervals": ledger.intervals(LINK),
        "commands": ledger.commands(),
        "loss": world.loss(LINK),
        "rows": rows,
        "azure": world.arm_link(MI, LINK),
    });
    text.to_string()
}

#[test]
fn a_world_that_was_restored_goes_on_as_the_first_one_did() {
    for seed in 0..25 {
        let mut first = world();
        live(&mut first, seed);
        let mut restored = first.clone();
        let other = first.clone();
        live(&mut first, seed + 1_000);
        live(&mut restored, seed + 1_000);
        assert!(told(&first) == told(&restored), "seed {seed}: ledger and rows");
        assert!(format!("{first:?}") == format!("{restored:?}"), "seed {seed}: what is inside");
        assert!(told(&first) != told(&other), "seed {seed}: something has happened at all");
    }
}
