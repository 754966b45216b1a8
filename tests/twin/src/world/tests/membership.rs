//! Databases that join a link with several, and leave it.

use super::*;

const STOCK: &str = "Stock";

/// A link of two databases, with an application each.
fn several() -> World {
    changed(|spec| {
        spec.instances[0].product_version = "16.0.4275.1".into();
        spec.instances[0].databases = vec![STOCK.into()];
        spec.instances[1].databases = vec!["Ledger".into()];
        spec.links[0].databases.push("Orders".into());
        let mut second = spec.workloads[0].clone();
        second.name = "orders".into();
        second.database = "Orders".into();
        spec.workloads.push(second);
    })
}

fn names(world: &World) -> Vec<String> {
    world.link(LINK).expect("the link").databases().map(str::to_owned).collect()
}

fn group(world: &mut World, database: &str, added: bool) -> Result<(), u32> {
    let (name, database) = ("AG_Sales".to_owned(), database.to_owned());
    let command = GroupCommand::Database { name, database, added };
    world.administer(SQL, &agent(), command).map_err(|error| error.number)
}

fn patch(world: &mut World, databases: &[&str]) -> Result<(), String> {
    let databases = Some(databases.iter().map(|name| (*name).to_owned()).collect());
    let patch = LinkPatch { databases, ..LinkPatch::default() };
    let command = AzureCommand::UpdateLink { link: LINK.into(), patch };
    world.azure(&agent(), MI, command).map(|_| ()).map_err(|error| error.code)
}

fn acknowledged(world: &World, workload: &str) -> u64 {
    world.workload(workload).expect("it").acknowledged()
}

#[test]
fn a_database_is_added_on_the_primary_sql_server_and_moves_with_the_others() {
    let mut world = several();
    wait(&mut world, 10.0);
    assert_eq!(group(&mut world, "Orders", true), Err(35_280));
    assert_eq!(group(&mut world, "Nope", true), Err(35_238));
    world.commit(SQL, STOCK, 512).expect_err("it is in no link yet");
    group(&mut world, STOCK, true).expect("it may join");
    wait(&mut world, 2.0);
    assert_eq!(world.seeding(SQL).len(), 1);
    assert_eq!(names(&world).len(), 2, "it is still seeded");
    wait(&mut world, 3_600.0);
    assert_eq!(names(&world), ["Sales", "Orders", STOCK]);
    world.commit(SQL, STOCK, 512).expect("it is primary");
    wait(&mut world, 10.0);
    let here = world.commits(LINK).filter(|one| one.database == STOCK);
    assert!(here.into_iter().all(|one| one.on_managed_instance));
    assert_eq!(world.access(MI, STOCK), Ok(views::Access::Read));
    world.execute(SQL, &agent(), Command::Failover { group: LINK.into() }).expect("taken");
    wait(&mut world, 30.0);
    assert_eq!(world.access(MI, STOCK), Ok(views::Access::Write), "it fails over with the others");
    assert_eq!(world.loss(LINK).expect("the link").count, 0);
}

#[test]
fn a_database_that_leaves_is_writable_on_both_sides_and_the_others_go_on() {
    let mut world = several();
    wait(&mut world, 10.0);
    let (sales, orders) = (acknowledged(&world, "shop"), acknowledged(&world, "orders"));
    group(&mut world, "Sales", false).expect("it leaves");
    assert_eq!(group(&mut world, "Sales", false), Err(35_281));
    wait(&mut world, 10.0);
    assert_eq!(names(&world), ["Orders"]);
    for at in [SQL, MI] {
        assert_eq!(world.access(at, "Sales"), Ok(views::Access::Write), "{at}");
    }
    assert_eq!(world.access(MI, "Orders"), Ok(views::Access::Read));
    assert!(acknowledged(&world, "shop") > sales && acknowledged(&world, "orders") > orders);
    assert_eq!(group(&mut world, "Orders", false), Err(47_520), "the last one stays");
    // What it did goes on in the ledger under a name of its own.
    let former = format!("{LINK}~1");
    assert!(world.commits(&former).all(|one| one.database == "Sales"));
    assert!(world.commits(LINK).all(|one| one.database == "Orders"));
    let last = world.ledger().intervals(&former).last().expect("an interval").writers;
    assert_eq!(last.count(), 2);
    let last = world.ledger().intervals(LINK).last().expect("an interval").writers;
    assert_eq!((last.sql_server, last.managed_instance), (true, false));
}

#[test]
fn a_managed_instance_as_primary_takes_the_whole_list() {
    let mut world = several();
    wait(&mut world, 10.0);
    let refused = Err("InvalidMultiDbDistributedAvailabilityGroupDatabasesRequest".to_owned());
    assert_eq!(patch(&mut world, &["Sales", "Orders", "Ledger"]), refused, "it is secondary");
    world.execute(SQL, &agent(), Command::Failover { group: LINK.into() }).expect("taken");
    wait(&mut world, 600.0);
    assert_eq!(group(&mut world, STOCK, true), Err(41_190), "the primary is over there");
    assert_eq!(patch(&mut world, &["Sales", "Orders", "Nope"]), refused);
    patch(&mut world, &["Orders", "Ledger"]).expect("taken");
    wait(&mut world, 3_600.0);
    assert_eq!(names(&world), ["Orders", "Ledger"]);
    assert_eq!(world.access(MI, "Ledger"), Ok(views::Access::Write));
    assert_eq!(world.access(SQL, "Ledger").expect_err("a secondary").number, 976);
    assert_eq!(world.access(SQL, "Sales"), Ok(views::Access::Write), "it has left");
    let jobs = world.azure_jobs(MI).filter(|job| job.status == JobStatus::InProgress);
    assert_eq!(jobs.count(), 0, "the operation has ended");
}

#[test]
fn who_joins_begins_anew_after_a_cut_and_never_after_a_change_of_roles() {
    let mut world = several();
    wait(&mut world, 10.0);
    group(&mut world, STOCK, true).expect("it may join");
    wait(&mut world, 3.0);
    let of = |name: &str| Party::Instance(name.into());
    fault(&mut world, Fault::Cut { from: of(SQL), to: of(MI), one_way: false });
    wait(&mut world, 60.0);
    assert_eq!(world.seeding(SQL)[0].bytes.0, 0);
    force(&mut world).expect("it is secondary");
    wait(&mut world, 60.0);
    assert!(world.seeding(SQL).is_empty(), "nobody seeds any more");
    assert_eq!(names(&world).len(), 2);
}
