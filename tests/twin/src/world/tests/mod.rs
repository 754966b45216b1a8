//! Semantics of the world, stated one by one.

mod clients;
mod control_plane;
mod failover;
mod forced;
mod forget;
mod local;
mod membership;
mod names;
mod paths;
mod planned;
mod replication;
mod snapshot;

use jiff::{SignedDuration, Timestamp};

use super::*;

pub(super) const SQL: &str = "sql01";
pub(super) const MI: &str = "mi-dr";
pub(super) const LINK: &str = "LinkSales";

pub(super) fn world() -> World {
    changed(|_| {})
}

pub(super) fn changed(change: impl FnOnce(&mut WorldSpec)) -> World {
    let mut spec = WorldSpec::default();
    change(&mut spec);
    let start: Timestamp = "2026-11-22T10:00:00Z".parse().expect("a time");
    World::new(&spec, 7, start).expect("the default world is sound")
}

pub(super) fn wait(world: &mut World, seconds: f64) {
    let to = world.now() + SignedDuration::from_secs_f64(seconds);
    world.advance(to);
}

pub(super) fn agent() -> Origin {
    Origin::new(Party::Agent, "dr_agent", "dr-agent")
}

pub(super) fn fault(world: &mut World, fault: Fault) {
    world.fault(fault).expect("it names what exists");
}

pub(super) fn stop(world: &mut World, instance: &str) {
    fault(world, Fault::Stop { instance: instance.into() });
}

pub(super) fn start(world: &mut World, instance: &str) {
    fault(world, Fault::Start { instance: instance.into() });
}

pub(super) fn force(world: &mut World) -> Result<Executed, SqlError> {
    world.execute(MI, &agent(), Command::ForceFailover { group: LINK.into() })
}

/// The role, state and connection of the distributed group's own row, as the instance shows them.
pub(super) fn local_row(world: &World, at: &str) -> (Role, bool, SyncHealth) {
    let group = world.link(LINK).expect("the link").id;
    let rows = world.replica_states(at);
    let row = rows.iter().find(|row| row.group_id == group && row.is_local).expect("a local row");
    (row.role, row.connected, row.health)
}

pub(super) fn database_row(world: &World, at: &str, is_local: bool) -> DatabaseReplicaFacts {
    let group = world.link(LINK).expect("the link").id;
    let rows = world.database_replica_states(at);
    let row = rows.into_iter().find(|row| row.group_id == group && row.is_local == is_local);
    row.expect("a row of the distributed group")
}

pub(super) fn writers(world: &World) -> (bool, bool) {
    let last = world.ledger().intervals(LINK).last().expect("an interval");
    (last.writers.sql_server, last.writers.managed_instance)
}

pub(super) use super::views::DatabaseReplicaFacts;

#[test]
fn the_same_seed_gives_the_same_world() {
    let run = || {
        let mut world = world();
        wait(&mut world, 30.0);
        stop(&mut world, SQL);
        wait(&mut world, 40.0);
        force(&mut world).expect("the secondary takes it");
        wait(&mut world, 30.0);
        format!("{world:?}")
    };
    assert!(run() == run(), "two runs differ");
}

#[test]
fn it_does_not_matter_in_how_many_steps_time_passes() {
    let (mut once, mut often) = (world(), world());
    wait(&mut once, 20.0);
    for _ in 0..2_000 {
        wait(&mut often, 0.01);
    }
    assert!(format!("{once:?}") == format!("{often:?}"), "the steps made a difference");
}

#[test]
fn a_snapshot_goes_its_own_way() {
    let mut world = world();
    wait(&mut world, 5.0);
    let snapshot = world.clone();
    wait(&mut world, 5.0);
    assert!(world.commits(LINK).count() > snapshot.commits(LINK).count());
}

#[test]
fn a_wrong_spec_is_told_with_its_place() {
    let mut spec = WorldSpec::default();
    spec.instances[0].time_zone = "Mars/Olympus".into();
    let error = World::new(&spec, 1, Timestamp::UNIX_EPOCH).expect_err("no such zone");
    assert_eq!(
        error.to_string(),
        "instances, \"sql01\": time_zone is no IANA zone; \"Europe/Berlin\" or \"UTC\" would be"
    );
}

#[test]
fn a_world_can_be_written_as_toml_with_defaults_left_out() {
    let text = r#"
        [[instances]]
        name = "one"
        kind = "sql_server"
        server_name = "ONE"
        product_version = "16.0.4275.1"
        [[instances]]
        name = "two"
        kind = "managed_instance"
        server_name = "two.x.database.windows.net"
        [[links]]
        name = "dag"
        sql_server = "one"
        managed_instance = "two"
        sql_group = "ag1"
        instance_group = "ag2"
        databases = ["db1", "db2"]
        [[workloads]]
        name = "app"
        link = "dag"
        database = "db2"
        target = "one"
    "#;
    let spec: WorldSpec = toml::from_str(text).expect("a world");
    let mut world = World::new(&spec, 3, Timestamp::UNIX_EPOCH).expect("sound");
    wait(&mut world, 10.0);
    let databases: Vec<_> = world.databases("two").into_iter().map(|db| db.name).collect();
    assert_eq!(databases, ["master", "tempdb", "model", "msdb", "db1", "db2"]);
    assert!(world.commits("dag").all(|commit| commit.database == "db2"));
}

#[test]
fn a_fault_names_what_exists() {
    let error = world().fault(Fault::Stop { instance: "sql02".into() }).expect_err("no such");
    let text = "there is no instance named \"sql02\"; there is mi-dr, sql01";
    assert_eq!(error.to_string(), text);
}

#[test]
fn faults_and_parties_are_written_in_words() {
    let text = r#"{"fault":"cut","from":"agent","to":"app:shop","one_way":true}"#;
    let fault: Fault = serde_json::from_str(text).expect("a fault");
    let shop = Party::Application("shop".into());
    assert_eq!(fault, Fault::Cut { from: Party::Agent, to: shop, one_way: true });
    assert_eq!(serde_json::to_string(&fault).expect("text"), text);
}

/// Not a benchmark: only a guard against something quadratic, which would make the simulation
/// unbearable long before it made this number.
#[test]
fn a_day_of_commits_is_cheap_enough_to_simulate() {
    let mut world = changed(|spec| spec.workloads[0].commits_per_s = 1.0);
    wait(&mut world, 86_400.0);
    assert!(world.commits(LINK).count() > 80_000);
    assert_eq!(
        world.loss(LINK).expect("known").count.min(3),
        world.loss(LINK).expect("known").count
    );
}
