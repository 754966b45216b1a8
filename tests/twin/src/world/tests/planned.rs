//! Planned failover in both directions, with faults in every phase.

use crate::world::operation::Phase;

use super::*;

fn of(side: Side) -> &'static str {
    match side {
        Side::SqlServer => SQL,
        Side::ManagedInstance => MI,
    }
}

/// A world whose primary is that side, with the application on it.
fn with_primary(primary: Side, change: impl FnOnce(&mut WorldSpec)) -> World {
    let mut world = changed(|spec| {
        spec.links[0].primary = primary;
        spec.workloads[0].target = of(primary).into();
        spec.workloads[0].commits_per_s = 100.0;
        change(spec);
    });
    wait(&mut world, 20.0);
    world
}

fn planned(world: &mut World, at: &str) -> OperationId {
    let command = Command::Failover { group: LINK.into() };
    world.execute(at, &agent(), command).expect("the primary takes it").operation
}

fn phase(world: &World, operation: OperationId) -> Phase {
    world.operation(operation).expect("it").phase
}

/// Goes on until the operation is in that phase.
fn until(world: &mut World, operation: OperationId, wanted: Phase) {
    for _ in 0..20_000 {
        if phase(world, operation) == wanted {
            return;
        }
        wait(world, 0.002);
    }
    panic!("never {wanted:?}, but {:?}", world.operation(operation));
}

fn roles(world: &World) -> (Role, Role) {
    (local_row(world, SQL).0, local_row(world, MI).0)
}

/// What must hold whatever happens: no two writers at any time, and nothing that an application
/// was told of is missing where the data lives.
fn assert_truth(world: &World, context: &str) {
    let intervals = world.ledger().intervals(LINK);
    assert!(intervals.iter().all(|i| i.writers.count() < 2), "{context}: two writers");
    let loss = world.loss(LINK).expect("known");
    assert_eq!(loss.count, 0, "{context}: {loss:?}");
}

#[test]
fn it_goes_there_and_back_without_loss() {
    let mut world = with_primary(Side::SqlServer, |_| {});
    for (from, to) in [(Side::SqlServer, MI), (Side::ManagedInstance, SQL)] {
        let began = world.now();
        let operation = planned(&mut world, of(from));
        until(&mut world, operation, Phase::Over);
        let found = world.operation(operation).expect("it");
        assert_eq!(found.statement, Statement::Returned, "it returns after the roles are switched");
        let took = found.finished.expect("over").duration_since(began);
        assert!((1..6).contains(&took.as_secs()), "{took:?}");
        world.repoint("shop", to).expect("both exist");
        wait(&mut world, 10.0);
        let (role, connected, health) = local_row(&world, of(from));
        assert_eq!((role, connected, health), (Role::Secondary, true, SyncHealth::Healthy));
        assert!(world.access(of(from), "Sales").ok() != Some(views::Access::Write));
        let held = world.now() - SignedDuration::from_secs(1);
        let mut fresh = world.commits(LINK).filter(|c| c.at > found_end(&world, operation));
        assert!(fresh.any(|c| c.side == from.other()), "the direction of the log is reversed");
        let follows = |c: &Commit| c.on_sql_server && c.on_managed_instance;
        assert!(world.commits(LINK).filter(|c| c.at < held).all(|c| follows(&c)));
        assert_truth(&world, of(from));
    }
    let modes = world.availability_replicas(SQL);
    assert_eq!(modes.iter().filter(|r| r.synchronous).count(), 1, "asynchronous again");
}

fn found_end(world: &World, operation: OperationId) -> Timestamp {
    world.operation(operation).and_then(|found| found.finished).expect("it is over")
}

#[test]
fn writes_stop_on_one_side_before_they_begin_on_the_other() {
    for primary in [Side::SqlServer, Side::ManagedInstance] {
        let mut world = with_primary(primary, |_| {});
        let operation = planned(&mut world, of(primary));
        until(&mut world, operation, Phase::HandingOver);
        assert_eq!(local_row(&world, of(primary)).0, Role::Resolving);
        assert_eq!(local_row(&world, of(primary.other())).0, Role::Secondary);
        assert_eq!(world.access(of(primary), "Sales").expect_err("resolving").number, 983);
        until(&mut world, operation, Phase::TakingOver);
        let database = &world.databases(of(primary.other()))[4];
        assert_eq!((database.state, database.updateable), (DatabaseState::Recovering, false));
        until(&mut world, operation, Phase::Over);
        let intervals = world.ledger().intervals(LINK);
        let none = intervals.iter().filter(|i| i.writers.count() == 0 && i.to.is_some()).count();
        assert_eq!(none, 1, "one stretch in which nobody takes writes: {intervals:?}");
        assert_truth(&world, of(primary));
    }
}

#[test]
fn the_engine_goes_over_to_synchronous_commit_for_the_duration() {
    let mut world = with_primary(Side::SqlServer, |spec| spec.links[0].log.latency_ms = 150);
    assert_eq!(database_row(&world, SQL, true).last_hardened_lsn, None);
    let operation = planned(&mut world, SQL);
    until(&mut world, operation, Phase::CatchingUp);
    wait(&mut world, 0.19);
    let synchronous = |world: &World| {
        world.availability_replicas(MI).iter().filter(|replica| replica.synchronous).count()
    };
    assert_eq!(synchronous(&world), 3, "both members, and the local replica as ever");
    let row = database_row(&world, SQL, true);
    assert_eq!((row.state, row.health), (SyncState::Synchronized, SyncHealth::Healthy));
    assert!(row.last_hardened_lsn.is_some(), "no longer NULL");
    let waiting = world.link(LINK).expect("it").pending.len();
    assert!((5..60).contains(&waiting), "{waiting} commits wait for the way there and back");
    let unknown = world.commits(LINK).filter(|commit| !commit.acknowledged).count();
    assert_eq!(unknown, waiting, "and their applications have not been told");
    until(&mut world, operation, Phase::Over);
    assert!(world.link(LINK).expect("it").pending.is_empty());
    assert!(world.commits(LINK).all(|commit| commit.acknowledged));
    assert_eq!(synchronous(&world), 1);
    assert_truth(&world, "there");
}

#[test]
fn a_commit_that_waits_when_its_server_dies_was_never_told_of() {
    let mut world = with_primary(Side::SqlServer, |spec| spec.links[0].log.latency_ms = 150);
    let operation = planned(&mut world, SQL);
    until(&mut world, operation, Phase::CatchingUp);
    wait(&mut world, 0.19);
    assert!(!world.link(LINK).expect("it").pending.is_empty());
    let refused = world.workload("shop").expect("it").refused();
    stop(&mut world, SQL);
    assert!(world.workload("shop").expect("it").refused() > refused);
    wait(&mut world, 40.0);
    force(&mut world).expect("taken");
    wait(&mut world, 10.0);
    assert_truth(&world, "a forced failover from synchronous commit");
}

#[test]
fn it_runs_on_the_primary_only_and_only_once() {
    let mut world = with_primary(Side::ManagedInstance, |_| {});
    let command = || Command::Failover { group: LINK.into() };
    let refusal = world.execute(SQL, &agent(), command()).expect_err("a secondary");
    assert_eq!(refusal.number, 47_517);
    let operation = planned(&mut world, MI);
    for wanted in [Phase::Received, Phase::CatchingUp, Phase::HandingOver, Phase::TakingOver] {
        until(&mut world, operation, wanted);
        for at in [SQL, MI] {
            let refusal = world.execute(at, &agent(), command()).expect_err("it runs");
            assert!([47_513, 47_517].contains(&refusal.number), "{wanted:?} at {at}: {refusal}");
        }
    }
}

#[test]
fn arm_takes_it_where_the_managed_instance_is_primary_only() {
    let request = || ArmCommand::Failover {
        instance: MI.into(),
        link: LINK.into(),
        kind: FailoverType::Planned,
    };
    let mut world = with_primary(Side::SqlServer, |_| {});
    let refusal = world.arm(&agent(), request()).expect_err("it is secondary");
    assert_eq!(
        (refusal.status, refusal.code.as_str()),
        (400, "InvalidDistributedAvailabilityGroupFailoverInstanceRole")
    );
    let mut world = with_primary(Side::ManagedInstance, |_| {});
    let accepted = world.arm(&agent(), request()).expect("accepted");
    assert_eq!(world.arm(&agent(), request()).expect_err("it runs").status, 409);
    wait(&mut world, 10.0);
    let operation = world.operation(accepted.operation).expect("it");
    assert_eq!(operation.status, OperationStatus::Succeeded);
    assert_eq!(roles(&world), (Role::Primary, Role::Secondary));
    let link = world.arm_link(MI, LINK).expect("it");
    assert_eq!((link.instance_role, link.partner_role), (Role::Secondary, Role::Primary));
    assert_eq!(link.databases[0].replica_state, "LinkSynchronizing");
    assert_truth(&world, "by ARM");
}

#[test]
fn it_fails_where_the_secondary_cannot_follow() {
    type Break = fn(&mut World);
    let suspend: Break = |world| {
        let command = Command::Suspend { database: "Sales".into() };
        world.execute(SQL, &agent(), command).expect("taken");
    };
    let cut: Break = |world| {
        let (from, to) = (Party::Instance(SQL.into()), Party::Instance(MI.into()));
        fault(world, Fault::Cut { from, to, one_way: false });
    };
    let narrow = |spec: &mut WorldSpec| spec.links[0].log.bandwidth_kb_s = 30;
    let lazy = |spec: &mut WorldSpec| spec.links[0].log.redo_kb_s = 30;
    type Change = fn(&mut WorldSpec);
    let cases: [(Change, Option<Break>, u32); 4] = [
        (|_| {}, Some(suspend), 47_514),
        (|_| {}, Some(cut), 47_514),
        (narrow, None, 47_515),
        (lazy, None, 47_516),
    ];
    for (change, fault, number) in cases {
        let mut world = with_primary(Side::SqlServer, change);
        wait(&mut world, 60.0);
        if let Some(fault) = fault {
            fault(&mut world);
        }
        let operation = planned(&mut world, SQL);
        wait(&mut world, 65.0);
        let found = world.operation(operation).expect("it");
        assert!(
            matches!(&found.statement, Statement::Failed(error) if error.number == number),
            "{number}: {:?}",
            found.statement
        );
        assert_eq!(roles(&world), (Role::Primary, Role::Secondary), "{number}");
        assert_eq!(writers(&world), (true, false), "{number}");
        assert!(!world.link(LINK).expect("it").member(Side::SqlServer).mode(), "{number}");
    }
}

#[test]
fn who_gives_the_role_away_does_not_take_it_back_before_it_knows() {
    for dies in [Side::ManagedInstance, Side::SqlServer] {
        let mut world = with_primary(Side::SqlServer, |_| {});
        let operation = planned(&mut world, SQL);
        until(&mut world, operation, Phase::HandingOver);
        stop(&mut world, of(dies));
        wait(&mut world, 60.0);
        assert!(!world.operation(operation).expect("it").is_running());
        assert_eq!(world.link(LINK).expect("it").member(Side::SqlServer).role, Role::Resolving);
        assert_eq!(writers(&world), (false, false));
        start(&mut world, of(dies));
        wait(&mut world, 60.0);
        assert_eq!(roles(&world), (Role::Primary, Role::Secondary), "both know it has failed");
        assert_truth(&world, of(dies));
    }
}

#[test]
fn a_role_in_doubt_can_be_forced_to_the_other_side_without_loss_and_stays_there() {
    let mut world = with_primary(Side::SqlServer, |_| {});
    let operation = planned(&mut world, SQL);
    until(&mut world, operation, Phase::HandingOver);
    stop(&mut world, SQL);
    wait(&mut world, 60.0);
    force(&mut world).expect("the secondary takes it");
    wait(&mut world, 20.0);
    start(&mut world, SQL);
    wait(&mut world, 60.0);
    assert_eq!(roles(&world), (Role::Secondary, Role::Primary), "no second primary");
    assert_truth(&world, "forced out of doubt");
}

#[test]
fn a_client_that_leaves_in_the_middle_knows_nothing() {
    let mut landed = 0;
    for seed in 0..20 {
        let mut spec = WorldSpec::default();
        spec.workloads[0].commits_per_s = 100.0;
        let begin: Timestamp = "2026-11-22T10:00:00Z".parse().expect("a time");
        let mut world = World::new(&spec, seed, begin).expect("sound");
        wait(&mut world, 20.0);
        let operation = planned(&mut world, SQL);
        until(&mut world, operation, Phase::CatchingUp);
        let withdrawn = world.abandon(operation);
        wait(&mut world, 20.0);
        let moved = roles(&world) == (Role::Secondary, Role::Primary);
        assert_eq!(moved, !withdrawn);
        assert_eq!(world.operation(operation).expect("it").statement, Statement::Broken);
        landed += u32::from(moved);
        assert_truth(&world, "abandoned");
    }
    assert!((3..18).contains(&landed), "{landed} of 20 went on");
}

/// Every party is stopped, frozen, hung or cut off in every phase, for a short and a long time.
#[test]
fn a_fault_in_any_phase_loses_nothing_and_ends_with_one_primary() {
    let phases = [
        Phase::Received,
        Phase::CatchingUp,
        Phase::Draining,
        Phase::HandingOver,
        Phase::TakingOver,
        Phase::Over,
    ];
    for primary in [Side::SqlServer, Side::ManagedInstance] {
        for wanted in phases {
            for pause in [3.0, 70.0] {
                for (fault, mend) in faults() {
                    let context = format!("{primary:?} {wanted:?} {pause} {fault:?}");
                    let calm = |spec: &mut WorldSpec| spec.workloads[0].commits_per_s = 25.0;
                    let mut world = with_primary(primary, calm);
                    let operation = planned(&mut world, of(primary));
                    until(&mut world, operation, wanted);
                    world.fault(fault).expect("it names what exists");
                    wait(&mut world, pause);
                    world.fault(mend).expect("it names what exists");
                    wait(&mut world, 70.0);
                    assert_settled(&world, operation, &context);
                }
            }
        }
    }
}

fn faults() -> Vec<(Fault, Fault)> {
    let mut faults = Vec::new();
    for at in [SQL, MI] {
        let (instance, resume) = (at.to_owned(), Fault::Resume { instance: at.into() });
        let stop = Fault::Stop { instance: instance.clone() };
        faults.push((stop, Fault::Start { instance: instance.clone() }));
        faults.push((Fault::Freeze { instance: instance.clone() }, resume.clone()));
        faults.push((Fault::Hang { instance }, resume));
    }
    let (sql, mi) = (Party::Instance(SQL.into()), Party::Instance(MI.into()));
    for (from, to, one_way) in [(&sql, &mi, false), (&sql, &mi, true), (&mi, &sql, true)] {
        let cut = Fault::Cut { from: from.clone(), to: to.clone(), one_way };
        faults.push((cut, Fault::Heal { from: from.clone(), to: to.clone() }));
    }
    faults
}

fn assert_settled(world: &World, operation: OperationId, context: &str) {
    assert_truth(world, context);
    assert!(!world.operation(operation).expect("it").is_running(), "{context}");
    let one = [(Role::Primary, Role::Secondary), (Role::Secondary, Role::Primary)];
    assert!(one.contains(&roles(world)), "{context}: {:?}", roles(world));
    let link = world.link(LINK).expect("it");
    assert!(link.members.iter().all(Member::connected), "{context}: not connected");
    let calm = |member: &Member| !member.lifted && !member.draining;
    assert!(link.pending.is_empty() && link.members.iter().all(calm), "{context}");
    let held = world.now() - SignedDuration::from_secs(5);
    let both = |c: &Commit| c.on_sql_server && c.on_managed_instance;
    assert!(world.commits(LINK).filter(|c| c.at < held).all(|c| both(&c)), "{context}: behind");
}

/// Two faults at any moments, on a link of any quality.
#[test]
fn seeded_faults_lose_nothing_and_end_with_one_primary() {
    for seed in 0..150 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let primary = if rng.bool() { Side::SqlServer } else { Side::ManagedInstance };
        let mut world = with_primary(primary, |spec| {
            let link = &mut spec.links[0];
            link.log.latency_ms = rng.u32(1..400);
            link.log.bandwidth_kb_s = rng.u32(400..20_000);
            link.log.redo_kb_s = rng.u32(400..20_000);
            spec.workloads[0].commits_per_s = f64::from(rng.u32(1..100));
        });
        let operation = planned(&mut world, of(primary));
        let mut mends = Vec::new();
        for _ in 0..rng.u32(1..3) {
            wait(&mut world, rng.f64() * 3.0);
            let mut choice = faults();
            let (fault, mend) = choice.swap_remove(rng.usize(..choice.len()));
            world.fault(fault).expect("it names what exists");
            mends.push(mend);
        }
        if rng.u8(..4) == 0 {
            world.abandon(operation);
        }
        if rng.bool() {
            world.repoint("shop", of(primary.other())).expect("both exist");
        }
        wait(&mut world, rng.f64() * 80.0);
        for mend in mends {
            world.fault(mend).expect("it names what exists");
            wait(&mut world, rng.f64() * 5.0);
        }
        wait(&mut world, 90.0);
        assert_settled(&world, operation, &format!("seed {seed}"));
    }
}
