//! Sessions of applications, and how they end.

use super::*;

fn shop(world: &World, at: &str) -> Vec<SessionFacts> {
    world.session_facts(at).into_iter().filter(|session| session.login == "shop").collect()
}

#[test]
fn an_application_has_sessions_where_it_writes_and_some_sit_in_master() {
    let mut world = world();
    wait(&mut world, 10.0);
    let sessions = shop(&world, SQL);
    let databases: Vec<&str> = sessions.iter().map(|s| s.database.as_str()).collect();
    assert_eq!(databases, ["Sales", "Sales", "Sales", "master"]);
    assert!(sessions.iter().all(|s| s.user && s.program == "shop"));
    assert!(shop(&world, MI).is_empty());
    let second = SignedDuration::from_secs(1);
    assert!(
        sessions.iter().all(|s| s.last_request_end.is_some_and(|at| at > world.now() - second))
    );
    // Now and then a transaction is open, that of the session in master too.
    let mut writers = std::collections::BTreeSet::new();
    for _ in 0..600 {
        wait(&mut world, 0.007);
        for session in shop(&world, SQL) {
            let Some(open) = session.transaction else { continue };
            assert_eq!(open.writes.as_deref(), Some("Sales"));
            assert!(world.now().duration_since(open.begun) < second);
            writers.insert(session.database);
        }
    }
    assert_eq!(writers.into_iter().collect::<Vec<_>>(), ["Sales", "master"]);
}

#[test]
fn a_stopped_application_leaves_and_the_log_hardly_moves() {
    let mut world = world();
    wait(&mut world, 10.0);
    world.set_running("shop", false).expect("it is there");
    assert!(shop(&world, SQL).is_empty());
    let flushes = |world: &World| world.log_facts(SQL)[0].flushes;
    let (before, commits) = (flushes(&world), world.commits(LINK).count());
    wait(&mut world, 65.0);
    assert_eq!(world.commits(LINK).count(), commits);
    let background = flushes(&world) - before;
    assert!((1..=3).contains(&background), "{background} records of the engine's own");
    world.set_running("shop", true).expect("it is there");
    wait(&mut world, 2.0);
    assert_eq!(shop(&world, SQL).len(), 4);
    assert!(world.commits(LINK).count() > commits);
}

#[test]
fn at_a_rate_of_zero_the_sessions_stay() {
    let mut world = world();
    wait(&mut world, 10.0);
    world.set_rate("shop", 0.0).expect("it is there");
    let last = shop(&world, SQL).iter().filter_map(|s| s.last_request_end).max();
    wait(&mut world, 30.0);
    let sessions = shop(&world, SQL);
    assert_eq!(sessions.len(), 4);
    assert!(sessions.iter().all(|s| s.transaction.is_none()));
    assert_eq!(sessions.iter().filter_map(|s| s.last_request_end).max(), last);
}

#[test]
fn a_killed_session_is_gone_until_its_application_uses_it_again() {
    let mut world = changed(|spec| spec.workloads[0].commits_per_s = 1.0);
    wait(&mut world, 10.0);
    let victim = shop(&world, SQL)[1].clone();
    let refused = world.workload("shop").expect("it").refused();
    world.kill(SQL, 53, i64::from(victim.id)).expect("a user's session");
    assert_eq!(shop(&world, SQL).len(), 3);
    assert_eq!(world.kill(SQL, 53, i64::from(victim.id)).expect_err("gone").number, 6_106);
    wait(&mut world, 10.0);
    let back = shop(&world, SQL).into_iter().find(|s| s.id == victim.id).expect("it is back");
    assert!(back.login_time > victim.login_time);
    assert_eq!(world.workload("shop").expect("it").refused(), refused + 1, "after one error");
}

#[test]
fn what_cannot_be_killed_is_told_by_number() {
    let mut world = world();
    let mut number = |id: i64| world.kill(SQL, 53, id).expect_err("refused").number;
    assert_eq!(number(0), 6_101);
    assert_eq!(number(-1), 6_101);
    assert_eq!(number(40_000), 6_101);
    assert_eq!(number(53), 6_104);
    assert_eq!(number(777), 6_106);
    assert_eq!(number(14), 6_107);
}

#[test]
fn the_sessions_end_with_a_role_change_and_follow_the_connection_string() {
    let mut world = world();
    wait(&mut world, 10.0);
    let command = Command::Failover { group: LINK.into() };
    world.execute(SQL, &agent(), command).expect("taken");
    wait(&mut world, 10.0);
    let left: Vec<String> = shop(&world, SQL).into_iter().map(|s| s.database).collect();
    assert_eq!(left, ["master"], "a secondary on SQL Server lets nobody in");
    assert!(
        world.workload("shop").expect("it").last_refusal()
            > world.workload("shop").expect("it").last_commit()
    );
    world.repoint("shop", MI).expect("both exist");
    wait(&mut world, 2.0);
    assert!(shop(&world, SQL).is_empty());
    assert_eq!(shop(&world, MI).len(), 4);
    // An application of the secondary reads there, and is refused its writes.
    world.repoint("shop", SQL).expect("both exist");
    world.execute(MI, &agent(), Command::Failover { group: LINK.into() }).expect("taken");
    wait(&mut world, 10.0);
    world.repoint("shop", MI).expect("both exist");
    wait(&mut world, 2.0);
    let open = shop(&world, MI).iter().filter(|s| s.transaction.is_some()).count();
    assert_eq!((shop(&world, MI).len(), open), (4, 0));
}

#[test]
fn a_stopped_instance_keeps_no_sessions_and_a_cut_path_keeps_them_all() {
    let mut world = world();
    wait(&mut world, 10.0);
    let (from, to) = (Party::Application("shop".into()), Party::Instance(SQL.into()));
    fault(&mut world, Fault::Cut { from: from.clone(), to: to.clone(), one_way: false });
    wait(&mut world, 30.0);
    assert_eq!(shop(&world, SQL).len(), 4, "the server does not know that nobody is there");
    stop(&mut world, SQL);
    start(&mut world, SQL);
    wait(&mut world, 10.0);
    assert!(shop(&world, SQL).is_empty());
    fault(&mut world, Fault::Heal { from, to });
    wait(&mut world, 10.0);
    assert_eq!(shop(&world, SQL).len(), 4);
}

#[test]
fn the_engine_and_its_agent_have_sessions_too() {
    let mut world = world();
    wait(&mut world, 10.0);
    let of_engine = |at: &str| {
        let facts = world.session_facts(at);
        facts.into_iter().filter(|s| !s.user).filter_map(|s| Some((s.database, s.request?.command)))
    };
    assert!(of_engine(SQL).any(|(_, command)| command == "LOG WRITER"));
    assert!(of_engine(MI).any(|found| found == ("Sales".into(), "DB STARTUP".into())));
    let agents = world.session_facts(SQL).into_iter().filter(|s| s.database == "msdb");
    assert!(agents.clone().count() == 2 && agents.into_iter().all(|s| s.user));
}
