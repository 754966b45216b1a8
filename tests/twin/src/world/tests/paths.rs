//! Links and seedings between the same two instances share what carries them.

use super::*;

const SECOND: &str = "LinkOrders";

/// Two links over one pair, with an application each that writes `kb_s`.
fn two(kb_s: u32) -> World {
    changed(|spec| {
        let mut link = spec.links[0].clone();
        link.name = SECOND.into();
        link.sql_group = "AG_Orders".into();
        link.instance_group = "AG_Orders_MI".into();
        link.databases = vec!["Orders".into()];
        let mut workload = spec.workloads[0].clone();
        workload.name = "orders".into();
        workload.link = SECOND.into();
        workload.database = "Orders".into();
        spec.links.push(link);
        spec.workloads.push(workload);
        for workload in &mut spec.workloads {
            workload.bytes = 30 << 10;
            workload.commits_per_s = f64::from(kb_s) / 30.0;
        }
    })
}

fn throttle(world: &mut World, kb_per_s: u32) {
    let of = |name: &str| Party::Instance(name.into());
    fault(world, Fault::Throttle { from: of(SQL), to: of(MI), kb_per_s });
}

/// How much of each link's log the other side has not.
fn unsent(world: &World) -> [u64; 2] {
    [LINK, SECOND].map(|name| {
        let link = world.link(name).expect("the link");
        let here = link.member(Side::SqlServer).copies()[0].log.len();
        let there = link.member(Side::ManagedInstance).copies()[0].log.len();
        link.bytes_between(Side::SqlServer, 0, there, here)
    })
}

#[test]
fn two_links_share_what_their_path_carries() {
    let mut world = two(600);
    wait(&mut world, 30.0);
    throttle(&mut world, 1_000);
    wait(&mut world, 60.0);
    let behind = unsent(&world);
    let missing = (60.0 * 200.0 * 1_024.0) as u64;
    let all: u64 = behind.iter().sum();
    assert!((missing * 3 / 4..missing * 3 / 2).contains(&all), "{behind:?} of about {missing}");
    let least = behind.iter().min().expect("two");
    assert!(*least > all / 4, "each has its turn: {behind:?}");
    fault(
        &mut world,
        Fault::Heal { from: Party::Instance(SQL.into()), to: Party::Instance(MI.into()) },
    );
    wait(&mut world, 60.0);
    assert!(unsent(&world).iter().sum::<u64>() < 1 << 20, "the rest has come");
}

#[test]
fn a_link_that_has_nothing_to_send_takes_no_part_of_the_path() {
    let mut world = two(600);
    wait(&mut world, 10.0);
    world.set_running("orders", false).expect("the workload");
    throttle(&mut world, 700);
    wait(&mut world, 60.0);
    assert!(unsent(&world)[0] < 1 << 20, "{:?}", unsent(&world));
}

#[test]
fn each_database_of_a_link_has_its_turn() {
    let mut world = changed(|spec| {
        spec.links[0].databases.push("Orders".into());
        spec.links[0].log.bandwidth_kb_s = 500;
        spec.instances[0].product_version = "16.0.4275.1".into();
        let mut thin = spec.workloads[0].clone();
        (thin.name, thin.database) = ("thin".into(), "Orders".into());
        (thin.bytes, thin.commits_per_s) = (1_024, 2.0);
        spec.workloads.push(thin);
        (spec.workloads[0].bytes, spec.workloads[0].commits_per_s) = (40_000, 50.0);
    });
    wait(&mut world, 60.0);
    let link = world.link(LINK).expect("the link");
    let behind = [0, 1].map(|place| {
        let here = link.member(Side::SqlServer).copies()[place].log.len();
        let there = link.member(Side::ManagedInstance).copies()[place].log.len();
        link.bytes_between(Side::SqlServer, place, there, here)
    });
    assert!(behind[0] > 50 << 20, "four times what the path carries: {behind:?}");
    assert!(behind[1] < 16 << 10, "it does not wait for all of the other: {behind:?}");
}
