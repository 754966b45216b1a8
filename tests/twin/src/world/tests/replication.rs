//! Shipping, lag, silence.

use super::*;

#[test]
fn a_healthy_secondary_follows_within_a_second() {
    let mut world = world();
    wait(&mut world, 60.0);
    let (primary, secondary) = (database_row(&world, SQL, true), database_row(&world, MI, true));
    assert_eq!(primary.state, SyncState::Synchronizing);
    assert_eq!(secondary.state, SyncState::Synchronizing);
    assert_eq!(secondary.health, SyncHealth::Healthy);
    let behind = world.now().duration_since(secondary.last_commit_time.expect("a commit"));
    assert!(behind < SignedDuration::from_secs(1), "{behind:?}");
    assert_eq!(primary.last_hardened_lsn, None, "NULL on a primary in asynchronous commit");
    let remote = database_row(&world, SQL, false);
    assert!(remote.last_hardened_lsn <= primary.end_of_log_lsn);
    assert_eq!(remote.secondary_lag_seconds, Some(0));
    let acknowledged = world.workload("shop").expect("the shop").acknowledged();
    assert!((1_000..1_400).contains(&acknowledged), "{acknowledged} commits in a minute at 20/s");
}

#[test]
fn a_secondary_sees_only_its_own_rows() {
    let mut world = world();
    wait(&mut world, 5.0);
    assert_eq!(world.replica_states(SQL).len(), 3);
    assert_eq!(world.replica_states(MI).len(), 2);
    assert!(world.database_replica_states(MI).iter().all(|row| row.is_local));
    // The local group's row says PRIMARY on the forwarder too: role probes must use the
    // distributed group's.
    assert!(world.replica_states(MI).iter().any(|row| row.role == Role::Primary));
    assert_eq!(local_row(&world, MI).0, Role::Secondary);
}

#[test]
fn a_lost_primary_is_noticed_only_after_the_session_timeout() {
    let mut world = world();
    wait(&mut world, 30.0);
    stop(&mut world, SQL);
    wait(&mut world, 20.0);
    assert_eq!(local_row(&world, MI), (Role::Secondary, true, SyncHealth::Healthy));
    wait(&mut world, 5.0);
    assert_eq!(local_row(&world, MI), (Role::Secondary, false, SyncHealth::NotHealthy));
    assert_eq!(database_row(&world, MI, true).state, SyncState::NotSynchronizing);
    let error = world.replica_states(MI)[1].connect_error.clone().expect("why");
    assert_eq!(error.number, 35_206);
}

#[test]
fn a_short_interruption_goes_unnoticed_and_nothing_is_lost() {
    let mut world = world();
    wait(&mut world, 10.0);
    let (from, to) = (Party::Instance(SQL.into()), Party::Instance(MI.into()));
    fault(&mut world, Fault::Cut { from: from.clone(), to: to.clone(), one_way: false });
    wait(&mut world, 10.0);
    assert!(local_row(&world, MI).1, "still CONNECTED");
    let queued = database_row(&world, SQL, false);
    assert!(queued.log_send_queue_size.expect("known") > 200, "{queued:?}");
    assert!(queued.secondary_lag_seconds.expect("known") >= 9);
    fault(&mut world, Fault::Heal { from, to });
    wait(&mut world, 5.0);
    assert_eq!(database_row(&world, SQL, false).secondary_lag_seconds, Some(0));
    let held = world.now() - SignedDuration::from_secs(1);
    assert!(world.commits(LINK).all(|c| c.at > held || c.on_managed_instance));
}

#[test]
fn a_throttled_link_falls_behind_and_catches_up() {
    let mut world = world();
    let (from, to) = (Party::Instance(SQL.into()), Party::Instance(MI.into()));
    fault(&mut world, Fault::Throttle { from: from.clone(), to: to.clone(), kb_per_s: 5 });
    wait(&mut world, 30.0);
    let behind = database_row(&world, SQL, false).secondary_lag_seconds.expect("known");
    assert!(behind >= 5, "{behind} s behind");
    assert!(local_row(&world, MI).1, "slow is not dead");
    fault(&mut world, Fault::Heal { from, to });
    // What has been sent is still on its slow way.
    wait(&mut world, 300.0);
    assert_eq!(database_row(&world, SQL, false).secondary_lag_seconds, Some(0));
}

#[test]
fn jitter_delays_by_turns_and_puts_nothing_out_of_order() {
    let mut world = world();
    let (from, to) = (Party::Instance(SQL.into()), Party::Instance(MI.into()));
    fault(&mut world, Fault::Jitter { from: from.clone(), to: to.clone(), ms: 400 });
    let mut delays = std::collections::BTreeSet::new();
    for _ in 0..200 {
        wait(&mut world, 0.1);
        match world.reachable(&from, &to) {
            Reach::Open { delay } => delays.insert(delay.as_millis()),
            reach @ (Reach::Refused | Reach::Silent) => panic!("{reach:?}"),
        };
    }
    assert!(delays.len() > 50 && delays.iter().all(|ms| (0..=400).contains(ms)), "{delays:?}");
    let held = world.now() - SignedDuration::from_secs(2);
    assert!(world.commits(LINK).all(|c| c.at > held || c.on_managed_instance));
}

#[test]
fn after_a_long_interruption_both_find_each_other_again() {
    let mut world = world();
    let (from, to) = (Party::Instance(SQL.into()), Party::Instance(MI.into()));
    fault(&mut world, Fault::Cut { from: from.clone(), to: to.clone(), one_way: true });
    wait(&mut world, 60.0);
    assert!(!local_row(&world, MI).1);
    assert_eq!(database_row(&world, SQL, false).state, SyncState::NotSynchronizing);
    assert_eq!(world.databases(SQL)[4].log_reuse_wait, "AVAILABILITY_REPLICA");
    fault(&mut world, Fault::Heal { from, to });
    wait(&mut world, 20.0);
    assert_eq!(local_row(&world, MI), (Role::Secondary, true, SyncHealth::Healthy));
    let queue = database_row(&world, SQL, false).log_send_queue_size.expect("known");
    assert!(queue < 10, "{queue} KB");
}

#[test]
fn a_narrow_link_builds_a_queue_that_is_lost_with_the_primary() {
    let mut world = changed(|spec| {
        spec.links[0].log.bandwidth_kb_s = 14;
        spec.workloads[0].commits_per_s = 20.0;
        spec.workloads[0].bytes = 1_400;
    });
    wait(&mut world, 60.0);
    let remote = database_row(&world, SQL, false);
    let queue = remote.log_send_queue_size.expect("known");
    assert!((500..1_200).contains(&queue), "{queue} KB behind after a minute at half the rate");
    assert!(remote.secondary_lag_seconds.expect("known") > 15, "{remote:?}");
    stop(&mut world, SQL);
    wait(&mut world, 30.0);
    force(&mut world).expect("taken");
    wait(&mut world, 30.0);
    let loss = world.loss(LINK).expect("a loss");
    assert!((400..900).contains(&loss.count), "{loss:?}");
}

#[test]
fn a_frozen_host_goes_on_where_it_stopped() {
    let mut world = world();
    wait(&mut world, 10.0);
    fault(&mut world, Fault::Freeze { instance: SQL.into() });
    let before = world.workload("shop").expect("shop").acknowledged();
    wait(&mut world, 10.0);
    assert_eq!(world.workload("shop").expect("shop").acknowledged(), before);
    assert_eq!(world.reachable(&Party::Agent, &Party::Instance(SQL.into())), Reach::Silent);
    assert_eq!(writers(&world), (false, false));
    fault(&mut world, Fault::Resume { instance: SQL.into() });
    wait(&mut world, 5.0);
    assert!(local_row(&world, MI).1);
    assert!(world.workload("shop").expect("shop").acknowledged() > before);
}

#[test]
fn a_hung_instance_answers_nobody_but_its_log_still_moves() {
    let mut world = world();
    wait(&mut world, 10.0);
    fault(&mut world, Fault::Hang { instance: SQL.into() });
    wait(&mut world, 60.0);
    let sql = Party::Instance(SQL.into());
    assert_eq!(world.reachable(&Party::Agent, &sql), Reach::Silent);
    assert_eq!(world.reachable(&sql, &Party::Agent), Reach::Silent);
    assert!(local_row(&world, MI).1, "the other side still hears it");
    fault(&mut world, Fault::Resume { instance: SQL.into() });
    assert!(world.reachable(&Party::Agent, &sql).is_open());
}

#[test]
fn a_stopped_instance_refuses_and_comes_back_as_it_was() {
    let mut world = world();
    wait(&mut world, 10.0);
    let spid = world.open_session(SQL, NewSession::default()).expect("a session");
    assert_eq!(spid, 53);
    stop(&mut world, SQL);
    assert_eq!(world.instance(SQL).expect("sql").sessions().count(), 0);
    let sql = Party::Instance(SQL.into());
    assert_eq!(world.reachable(&Party::Agent, &sql), Reach::Refused);
    wait(&mut world, 3.0);
    start(&mut world, SQL);
    wait(&mut world, 1.0);
    assert_eq!(local_row(&world, SQL).0, Role::Resolving);
    assert_eq!(world.databases(SQL)[4].state, DatabaseState::Recovering);
    assert_eq!(world.access(SQL, "Sales").expect_err("not yet").number, 983);
    wait(&mut world, 20.0);
    assert_eq!(local_row(&world, SQL), (Role::Primary, true, SyncHealth::Healthy));
    assert_eq!(writers(&world), (true, false));
    assert!(local_row(&world, MI).1, "and the link is there again");
}

#[test]
fn a_suspended_database_shows_no_lag() {
    let mut world = world();
    wait(&mut world, 10.0);
    let suspend = Command::Suspend { database: "Sales".into() };
    world.execute(MI, &agent(), suspend).expect("suspended");
    wait(&mut world, 30.0);
    let remote = database_row(&world, SQL, false);
    assert_eq!(remote.state, SyncState::NotSynchronizing);
    assert_eq!(remote.suspended, Some(SuspendReason::User));
    assert_eq!(remote.secondary_lag_seconds, Some(0), "0 though half a minute behind");
    assert!(remote.log_send_queue_size.expect("known") > 500);
    let resume = Command::Resume { database: "Sales".into() };
    world.execute(MI, &agent(), resume).expect("resumed");
    wait(&mut world, 5.0);
    assert_eq!(database_row(&world, MI, true).state, SyncState::Synchronizing);
}

#[test]
fn a_cut_between_one_application_and_an_instance_stops_only_that_one() {
    let mut world = world();
    let (from, to) = (Party::Instance(SQL.into()), Party::Application("shop".into()));
    fault(&mut world, Fault::Cut { from, to, one_way: true });
    wait(&mut world, 10.0);
    // The requests arrive, the answers do not: committed and never acknowledged.
    assert_eq!(world.workload("shop").expect("shop").acknowledged(), 0);
    assert!(world.commits(LINK).count() > 100);
    assert!(world.commits(LINK).all(|commit| !commit.acknowledged));
    assert!(world.reachable(&Party::Agent, &Party::Instance(SQL.into())).is_open());
}
