//! The side on SQL Server as an availability group with three replicas and a listener.

use super::*;

pub(super) const B: &str = "sql01b";
pub(super) const C: &str = "sql01c";
const LISTENER: &str = "sql01-l";

pub(super) fn group(change: impl FnOnce(&mut LocalSpec)) -> World {
    changed(|spec| {
        for name in [B, C] {
            let mut replica = spec.instances[0].clone();
            replica.name = name.into();
            replica.server_name = name.to_uppercase();
            spec.instances.push(replica);
        }
        let mut local: LocalSpec = toml::from_str(
            "listener = \"sql01-l\"\n\
             replicas = [{ instance = \"sql01b\" }, { instance = \"sql01c\", synchronous = false }]",
        )
        .expect("keys of a local group");
        change(&mut local);
        spec.links[0].local = Some(local);
        spec.workloads[0].target = LISTENER.into();
    })
}

fn fail_over(world: &mut World, to: Option<&str>, seconds: u32) {
    let to = to.map(str::to_owned);
    fault(world, Fault::LocalFailover { link: LINK.into(), to, ms: Some(seconds * 1_000) });
}

pub(super) fn roles(world: &World) -> Vec<String> {
    let link = world.link(LINK).expect("the link");
    let role = |at| world.local_role(link, at).map_or("-", Role::desc).to_owned();
    [SQL, B, C].map(role).into()
}

/// Role of the local group and of the distributed one, as an instance shows them of itself.
pub(super) fn shown(world: &World, at: &str) -> (Role, Role) {
    let link = world.link(LINK).expect("the link");
    let local = link.member(Side::SqlServer).group_id;
    let states = world.replica_states(at);
    let of = |group| {
        let own = states.iter().find(|row| row.group_id == group && row.is_local);
        own.expect("a row of this server").role
    };
    (of(local), of(link.id))
}

fn acknowledged(world: &World) -> u64 {
    world.workload("shop").expect("the workload").acknowledged()
}

fn is_whole(world: &World) {
    let loss = world.loss(LINK).expect("the link");
    assert_eq!((loss.count, loss.surviving), (0, Side::SqlServer));
}

/// When each interval began in which SQL Server could take writes or could not, in s.
fn writing(world: &World) -> Vec<(i64, bool)> {
    let intervals = world.ledger().intervals(LINK);
    let start = intervals[0].from;
    let each = intervals.iter();
    each.map(|one| (one.from.duration_since(start).as_secs(), one.writers.sql_server)).collect()
}

#[test]
fn each_replica_shows_its_own_rows_and_the_primary_one_those_of_all() {
    let mut world = group(|_| {});
    wait(&mut world, 10.0);
    let link = world.link(LINK).expect("the link").clone();
    let local = link.member(Side::SqlServer).group_id;
    let rows = |at: &str| {
        let states = world.database_replica_states(at).into_iter().filter(|r| r.group_id == local);
        let mut rows: Vec<_> = states
            .map(|r| (r.is_local, r.is_primary_replica, r.state, r.last_hardened_lsn.is_some()))
            .collect();
        rows.sort_by_key(|row| (!row.0, row.2.desc()));
        rows
    };
    let (here, there) = (SyncState::Synchronized, SyncState::Synchronizing);
    assert_eq!(
        rows(SQL),
        [(true, true, here, false), (false, false, here, true), (false, false, there, true)]
    );
    assert_eq!(rows(B), [(true, false, here, true)]);
    assert_eq!(rows(C), [(true, false, there, true)]);
    assert_eq!(shown(&world, SQL), (Role::Primary, Role::Primary));
    assert_eq!(shown(&world, B), (Role::Secondary, Role::Primary));
    assert_eq!(world.access(SQL, "Sales"), Ok(views::Access::Write));
    assert_eq!(world.access(B, "Sales").expect_err("not readable").number, 976);
    let names = |at: &str| {
        let replicas = world.availability_replicas(at).into_iter();
        replicas.map(|row| row.replica_server_name).collect::<Vec<_>>()
    };
    assert_eq!(names(C), ["SQL01", "SQL01B", "SQL01C", "AG_Sales", "AG_Sales_MI"]);
    assert_eq!(names(SQL), names(C));
}

#[test]
fn nobody_is_primary_during_a_local_failover_and_nothing_is_lost_by_it() {
    let mut world = group(|_| {});
    wait(&mut world, 30.0);
    let before = acknowledged(&world);
    fail_over(&mut world, None, 10);
    assert_eq!(roles(&world), ["RESOLVING"; 3]);
    assert_eq!(shown(&world, B), (Role::Resolving, Role::Resolving));
    assert_eq!(world.behind(LISTENER), None);
    for at in [SQL, B, C] {
        assert_eq!(world.access(at, "Sales").expect_err("nobody is primary").number, 983);
    }
    wait(&mut world, 9.0);
    assert_eq!(acknowledged(&world), before);
    assert!(!local_row(&world, MI).1, "the old primary replica took its leave");
    wait(&mut world, 8.0);
    assert_eq!(roles(&world), ["SECONDARY", "PRIMARY", "SECONDARY"]);
    assert_eq!(world.behind(LISTENER), Some(B));
    assert_eq!(shown(&world, B), (Role::Primary, Role::Primary));
    assert!(acknowledged(&world) > before, "the listener leads the application on");
    assert!(local_row(&world, MI).1, "the link has found the new primary replica");
    wait(&mut world, 10.0);
    is_whole(&world);
    assert_eq!(writing(&world), [(0, true), (30, false), (40, true)]);
    let commits: Vec<Commit> = world.commits(LINK).collect();
    let late = commits.iter().rev().nth(40).expect("many commits");
    assert!(late.on_managed_instance, "the log goes on from the new primary replica");
}

#[test]
fn the_cluster_fails_over_when_the_primary_replica_dies_and_the_old_one_comes_back_behind_it() {
    let mut world = group(|_| {});
    wait(&mut world, 30.0);
    stop(&mut world, SQL);
    wait(&mut world, 4.0);
    assert_eq!(roles(&world), ["PRIMARY", "RESOLVING", "RESOLVING"], "not noticed yet");
    wait(&mut world, 20.0);
    assert_eq!(roles(&world)[1..], ["PRIMARY", "SECONDARY"]);
    start(&mut world, SQL);
    assert_eq!(roles(&world)[0], "RESOLVING");
    wait(&mut world, 20.0);
    assert_eq!(roles(&world), ["SECONDARY", "PRIMARY", "SECONDARY"]);
    assert_eq!(shown(&world, SQL), (Role::Secondary, Role::Primary));
    is_whole(&world);
    stop(&mut world, B);
    wait(&mut world, 30.0);
    assert_eq!(roles(&world)[0], "PRIMARY", "it has caught up and can take over again");
    is_whole(&world);
}

#[test]
fn a_replica_that_was_away_or_is_asynchronous_takes_over_nothing() {
    let mut world = group(|_| {});
    stop(&mut world, B);
    wait(&mut world, 10.0);
    let end = |world: &World, at: &str| {
        let local = world.link(LINK).expect("the link").member(Side::SqlServer).group_id;
        let rows = world.database_replica_states(at);
        rows.into_iter().find(|row| row.group_id == local).expect("a row").end_of_log_lsn
    };
    stop(&mut world, SQL);
    start(&mut world, B);
    wait(&mut world, 60.0);
    assert_eq!(roles(&world), ["PRIMARY", "RESOLVING", "RESOLVING"]);
    assert!(end(&world, B) < end(&world, SQL), "it has only what it had");
    assert!(writing(&world).last().is_some_and(|last| !last.1));
    let refusal = world
        .fault(Fault::LocalFailover { link: LINK.into(), to: Some(C.into()), ms: None })
        .expect_err("not without loss");
    assert_eq!(
        refusal.to_string(),
        "there is no synchronized replica of this link's local group named \"sql01c\"; there is "
    );
    start(&mut world, SQL);
    wait(&mut world, 20.0);
    assert_eq!(roles(&world), ["PRIMARY", "SECONDARY", "SECONDARY"]);
    is_whole(&world);
}

#[test]
fn a_frozen_primary_replica_is_failed_away_from_and_no_writer_when_it_thaws() {
    let mut world = group(|_| {});
    wait(&mut world, 10.0);
    fault(&mut world, Fault::Freeze { instance: SQL.into() });
    wait(&mut world, 40.0);
    assert_eq!(world.behind(LISTENER), Some(B));
    fault(&mut world, Fault::Resume { instance: SQL.into() });
    wait(&mut world, 10.0);
    assert_eq!(roles(&world), ["SECONDARY", "PRIMARY", "SECONDARY"]);
    is_whole(&world);
    assert!(world.ledger().intervals(LINK).iter().all(|one| one.writers.count() <= 1));
}

#[test]
fn without_a_cluster_only_an_administrator_fails_over() {
    let mut world = group(|local| local.cluster_type = ClusterType::None);
    stop(&mut world, SQL);
    wait(&mut world, 120.0);
    assert_eq!(roles(&world), ["PRIMARY", "SECONDARY", "SECONDARY"]);
    assert_eq!(world.behind(LISTENER), None);
    fail_over(&mut world, Some(B), 1);
    wait(&mut world, 2.0);
    assert_eq!(world.behind(LISTENER), Some(B));
    is_whole(&world);
}

#[test]
fn a_rolling_restart_takes_every_replica_down_once_and_loses_nothing() {
    let mut world = group(|_| {});
    wait(&mut world, 30.0);
    let rolling = Fault::RollingRestart { link: LINK.into(), down_ms: 20_000, pause_ms: 5_000 };
    fault(&mut world, rolling);
    let began = world.now();
    wait(&mut world, 300.0);
    assert_eq!(roles(&world), ["SECONDARY", "PRIMARY", "SECONDARY"]);
    for at in [SQL, B, C] {
        assert!(world.instance(at).expect("it exists").started() > began);
    }
    is_whole(&world);
    let away = writing(&world).len();
    assert_eq!(away, 3, "one interval without writes: {:?}", writing(&world));
}

#[test]
fn the_link_fails_over_and_back_by_whichever_replica_is_primary() {
    let mut world = group(|_| {});
    wait(&mut world, 30.0);
    world.set_running("shop", false).expect("the workload");
    let planned = Command::Failover { group: LINK.into() };
    let refusal = world.execute(B, &agent(), planned.clone()).expect_err("not primary");
    assert_eq!(refusal.number, 41_140);
    fail_over(&mut world, Some(B), 10);
    let refusal = world.execute(B, &agent(), planned.clone()).expect_err("nobody is");
    assert_eq!(refusal.number, 41_140);
    wait(&mut world, 30.0);
    world.execute(B, &agent(), planned.clone()).expect("it is primary now");
    wait(&mut world, 30.0);
    let role = |world: &World, side| world.link(LINK).expect("the link").member(side).role();
    assert_eq!(role(&world, Side::ManagedInstance), Role::Primary);
    assert_eq!(shown(&world, B), (Role::Primary, Role::Secondary), "a forwarder");
    assert_eq!(shown(&world, SQL), (Role::Secondary, Role::Secondary));
    fail_over(&mut world, Some(SQL), 10);
    wait(&mut world, 30.0);
    assert_eq!(shown(&world, SQL), (Role::Primary, Role::Secondary));
    world.execute(MI, &agent(), planned).expect("it is primary");
    wait(&mut world, 30.0);
    assert_eq!(role(&world, Side::SqlServer), Role::Primary);
    assert_eq!(world.access(SQL, "Sales"), Ok(views::Access::Write));
    is_whole(&world);
}

#[test]
fn a_local_failover_in_the_middle_of_a_planned_one_leaves_one_writer_at_most() {
    for after_ms in (0..4_000).step_by(50) {
        let mut world = group(|_| {});
        wait(&mut world, 30.0);
        world
            .execute(SQL, &agent(), Command::Failover { group: LINK.into() })
            .expect("it is primary");
        wait(&mut world, f64::from(after_ms) / 1_000.0);
        fail_over(&mut world, None, 10);
        wait(&mut world, 120.0);
        let link = world.link(LINK).expect("the link");
        assert!(link.only_primary().is_some(), "settled, at {after_ms} ms");
        assert!(link.running().is_none(), "nothing runs for ever, at {after_ms} ms");
        assert!(world.ledger().intervals(LINK).iter().all(|one| one.writers.count() <= 1));
        assert_eq!(world.loss(LINK).expect("the link").count, 0, "at {after_ms} ms");
        assert!(world.operations().all(|one| !one.is_running()), "at {after_ms} ms");
    }
}

#[test]
fn the_dead_group_is_forced_away_from_and_the_replica_that_returns_first_may_be_any() {
    let mut world = group(|_| {});
    wait(&mut world, 30.0);
    for at in [C, B, SQL] {
        stop(&mut world, at);
    }
    wait(&mut world, 30.0);
    force(&mut world).expect("it is secondary");
    wait(&mut world, 30.0);
    start(&mut world, SQL);
    start(&mut world, B);
    wait(&mut world, 30.0);
    assert_eq!(shown(&world, SQL), (Role::Primary, Role::Primary), "an old primary returns as one");
    assert_eq!(shown(&world, B), (Role::Secondary, Role::Primary));
}

#[test]
fn what_is_wrong_with_a_local_group_is_said() {
    let wrong = |change: fn(&mut WorldSpec)| {
        let mut spec = WorldSpec::default();
        let local = "replicas = [{ instance = \"sql01b\" }]\nlistener = \"l\"";
        let mut second = spec.instances[0].clone();
        second.name = B.into();
        spec.instances.push(second);
        spec.links[0].local = Some(toml::from_str(local).expect("keys"));
        World::new(&spec, 1, Timestamp::UNIX_EPOCH).expect("right so far");
        change(&mut spec);
        World::new(&spec, 1, Timestamp::UNIX_EPOCH).expect_err("wrong").to_string()
    };
    assert_eq!(
        wrong(|spec| spec.instances.retain(|one| one.name != B)),
        "links, \"LinkSales\": local.replicas names no SQL Server of this world: \"sql01b\""
    );
    assert_eq!(
        wrong(|spec| spec.links[0].local.as_mut().expect("it is there").replicas.clear()),
        "links, \"LinkSales\": local.replicas must name 1 to 8 replicas beside sql_server"
    );
    assert_eq!(
        wrong(|spec| {
            spec.links[0].local.as_mut().expect("it is there").listener = Some(MI.into());
        }),
        "links, \"LinkSales\": local.listener \"mi-dr\" is the name of something else already"
    );
    assert_eq!(
        wrong(|spec| spec.workloads[0].target = "m".into()),
        "workloads, \"shop\": target names no instance, and no listener of the link"
    );
}

/// mi-link 1.2 and 10: the address in the link has to be that of the listener.
#[test]
fn a_link_that_is_led_to_one_instance_dies_with_a_local_failover() {
    let mut world = changed(|spec| {
        let local = "replicas = [{ instance = \"sql01b\" }]";
        spec.links[0].local = Some(toml::from_str(local).expect("keys"));
        let mut other = spec.instances[0].clone();
        (other.name, other.server_name) = ("sql01b".into(), "SQL01B".into());
        spec.instances.push(other);
    });
    wait(&mut world, 5.0);
    let connected = |world: &World, side| world.link(LINK).expect("it").member(side).connected();
    assert!(connected(&world, Side::ManagedInstance));
    let (link, to) = (LINK.to_owned(), Some("sql01b".to_owned()));
    fault(&mut world, Fault::LocalFailover { link: link.clone(), to, ms: None });
    wait(&mut world, 120.0);
    assert!(!connected(&world, Side::SqlServer) && !connected(&world, Side::ManagedInstance));
    fault(&mut world, Fault::LocalFailover { link, to: Some(SQL.to_owned()), ms: None });
    wait(&mut world, 120.0);
    assert!(connected(&world, Side::ManagedInstance), "and comes back with the replica it names");
}
