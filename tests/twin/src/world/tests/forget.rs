//! What is forgotten of old log changes nothing that anybody sees, nor the truth.

use serde_json::json;

use super::*;

const KEPT: u32 = 2_000;

fn busy(kept: u32) -> World {
    changed(|spec| {
        spec.links[0].log.records_kept = kept;
        spec.workloads[0].commits_per_s = 50.0;
    })
}

/// All that is seen and true, but for the commits themselves.
fn told(world: &World) -> String {
    let rows = [SQL, MI].map(|at| world.database_replica_states(at));
    let logs = [SQL, MI].map(|at| format!("{:?}", world.log_facts(at)));
    let seen = json!({
        "loss": world.loss(LINK),
        "intervals": world.ledger().intervals(LINK),
        "rows": rows,
        "logs": logs,
        "azure": world.arm_link(MI, LINK),
    });
    seen.to_string()
}

/// A life with ways over and back, a loss, and an old primary that has to give up its tail.
fn live(world: &mut World, mut look: impl FnMut(&World)) {
    let mut for_some = |world: &mut World, seconds: u32| {
        for _ in 0..seconds {
            wait(world, 1.0);
            look(world);
        }
    };
    let group = || LINK.to_owned();
    for_some(world, 120);
    world.execute(SQL, &agent(), Command::Failover { group: group() }).expect("taken");
    for_some(world, 30);
    world.repoint("shop", MI).expect("both exist");
    for_some(world, 300);
    world.execute(MI, &agent(), Command::Failover { group: group() }).expect("taken");
    for_some(world, 30);
    world.repoint("shop", SQL).expect("both exist");
    for_some(world, 60);
    let [from, to] = [SQL, MI].map(|name| Party::Instance(name.to_owned()));
    fault(world, Fault::Cut { from: from.clone(), to: to.clone(), one_way: false });
    for_some(world, 60);
    force(world).expect("taken");
    for_some(world, 30);
    world.repoint("shop", MI).expect("both exist");
    fault(world, Fault::Heal { from, to });
    for _ in 0..3 {
        drop(world.execute(SQL, &agent(), Command::SetRoleSecondary { group: group() }));
        for_some(world, 10);
        drop(world.execute(SQL, &agent(), Command::Resume { database: "Sales".to_owned() }));
    }
    for_some(world, 400);
}

#[test]
fn a_world_that_forgets_old_log_shows_the_same_as_one_that_does_not() {
    let mut all = Vec::new();
    let mut whole = busy(1_000_000);
    live(&mut whole, |world| all.push(told(world)));
    let mut seen = 0;
    let mut most = 0;
    let mut short = busy(KEPT);
    live(&mut short, |world| {
        assert!(all[seen] == told(world), "second {seen}: {}\n{}", all[seen], told(world));
        seen += 1;
        most = most.max(world.commits(LINK).count());
    });
    let loss = short.loss(LINK).expect("known");
    assert!(loss.count > 1_000 && loss.acknowledged > 20_000, "{loss:?}");
    assert!(whole.commits(LINK).count() > 20_000);
    let left: Vec<Commit> = short.commits(LINK).collect();
    assert!(left.len() < KEPT as usize, "{} are left", left.len());
    assert!(most < 3 * KEPT as usize + 9_000, "what one side lacks is kept meanwhile: {most}");
    let first = left.first().expect("some are left").id;
    let same = whole.commits(LINK).find(|commit| commit.id == first);
    assert_eq!(same.as_ref(), left.first(), "they are still known by the same numbers");
}
