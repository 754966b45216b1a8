//! A local failover that is forced: what it costs, and what stands still afterwards.

use super::local::{B, C, group, roles, shown};
use super::*;

const AG: &str = "AG_Sales";

fn order(world: &mut World, at: &str, forced: bool) -> Result<(), u32> {
    let command = GroupCommand::FailOver { name: AG.into(), forced };
    world.administer(at, &agent(), command).map_err(|error| error.number)
}

fn resume_at(world: &mut World, at: &str) {
    let command = Command::Resume { database: "Sales".into() };
    world.execute(at, &agent(), command).expect("it has the database");
}

fn lost(world: &World) -> u64 {
    world.loss(LINK).expect("the link").count
}

/// The row that an instance shows of its own database: a replica of the local group that of it.
fn own(world: &World, at: &str) -> DatabaseReplicaFacts {
    if at == MI {
        return database_row(world, MI, true);
    }
    let local = world.link(LINK).expect("the link").member(Side::SqlServer).group_id;
    let mut rows = world.database_replica_states(at).into_iter();
    rows.find(|row| row.group_id == local && row.is_local).expect("a row")
}

/// The primary replica and the synchronous one die, and the one that is behind takes over.
fn disaster() -> World {
    let mut world = group(|_| {});
    wait(&mut world, 30.0);
    stop(&mut world, B);
    stop(&mut world, SQL);
    wait(&mut world, 5.0);
    assert_eq!(lost(&world), 0);
    assert_eq!(order(&mut world, C, false), Err(41_142));
    order(&mut world, C, true).expect("it is up");
    wait(&mut world, 15.0);
    assert_eq!(roles(&world)[2], "PRIMARY");
    world
}

#[test]
fn what_the_forced_replica_does_not_have_is_lost_even_where_the_managed_instance_has_it() {
    let mut world = disaster();
    let loss = world.loss(LINK).expect("the link");
    assert!((2..20).contains(&loss.count), "half a second of commits: {loss:?}");
    let there: Vec<Commit> = world
        .commits(LINK)
        .filter(|one| one.acknowledged && !one.on_sql_server && one.on_managed_instance)
        .collect();
    assert_eq!(there.len() as u64, loss.count, "the other side had heard of them");
    assert_eq!(own(&world, MI).suspended, Some(SuspendReason::Partner));
    let stands = own(&world, MI).last_hardened_lsn;
    wait(&mut world, 60.0);
    assert_eq!(own(&world, MI).last_hardened_lsn, stands, "it stands still until resumed");
    resume_at(&mut world, MI);
    wait(&mut world, 30.0);
    assert_eq!(own(&world, MI).suspended, None);
    assert!(own(&world, MI).last_hardened_lsn > stands, "it follows the new history");
    let nowhere = |one: &Commit| one.acknowledged && !one.on_sql_server;
    assert!(world.commits(LINK).filter(nowhere).all(|one| !one.on_managed_instance), "undone");
    assert_eq!(lost(&world), loss.count);
}

#[test]
fn the_other_replicas_stand_still_until_they_are_resumed() {
    let mut world = disaster();
    start(&mut world, SQL);
    start(&mut world, B);
    wait(&mut world, 60.0);
    assert_eq!(roles(&world), ["SECONDARY", "SECONDARY", "PRIMARY"]);
    assert_eq!(shown(&world, SQL), (Role::Secondary, Role::Primary));
    for at in [SQL, B] {
        let row = own(&world, at);
        assert_eq!(
            (row.state, row.suspended),
            (SyncState::NotSynchronizing, Some(SuspendReason::Partner))
        );
    }
    assert_eq!(order(&mut world, B, false), Err(41_142), "it would lose what it has not got");
    resume_at(&mut world, B);
    wait(&mut world, 10.0);
    assert_eq!(own(&world, B).state, SyncState::Synchronized);
    assert_eq!(own(&world, SQL).state, SyncState::NotSynchronizing);
    let before = lost(&world);
    order(&mut world, B, false).expect("it is synchronized");
    wait(&mut world, 30.0);
    assert_eq!((roles(&world)[1].as_str(), lost(&world)), ("PRIMARY", before));
}

#[test]
fn who_watches_over_the_group_decides_what_the_statement_does() {
    let mut world = group(|_| {});
    wait(&mut world, 10.0);
    assert_eq!(order(&mut world, SQL, false), Err(41_122));
    assert_eq!(order(&mut world, SQL, true), Err(41_122));
    assert_eq!(order(&mut world, MI, true), Err(41_906));
    order(&mut world, B, false).expect("it is synchronized");
    assert_eq!(order(&mut world, C, true), Err(41_140), "nobody is primary");
    wait(&mut world, 20.0);
    assert_eq!((roles(&world)[1].as_str(), lost(&world)), ("PRIMARY", 0));
    let mut world = group(|local| local.cluster_type = ClusterType::External);
    assert_eq!(order(&mut world, B, false), Err(47_104));
    order(&mut world, B, true).expect("forced");
    let mut world = group(|local| local.cluster_type = ClusterType::None);
    assert_eq!(order(&mut world, B, false), Err(47_122));
    order(&mut world, B, true).expect("forced");
    wait(&mut world, 30.0);
    assert_eq!(lost(&world), 0, "it had all of it");
    assert_eq!(own(&world, MI).suspended, Some(SuspendReason::Partner), "all the same");
}

#[test]
fn a_forwarder_that_has_lost_log_gets_it_again() {
    let mut world = group(|_| {});
    wait(&mut world, 30.0);
    let planned = Command::Failover { group: LINK.into() };
    world.execute(SQL, &agent(), planned).expect("it is primary");
    wait(&mut world, 30.0);
    stop(&mut world, B);
    stop(&mut world, SQL);
    world.commit(MI, "Sales", 4_096).expect("it is primary");
    order(&mut world, C, true).expect("it is up");
    wait(&mut world, 60.0);
    assert_eq!(shown(&world, C), (Role::Primary, Role::Secondary));
    assert_eq!(lost(&world), 0);
    let commits: Vec<Commit> = world.commits(LINK).collect();
    assert!(commits.last().is_some_and(|last| last.on_sql_server), "it follows");
}
