//! Role changes and what they leave behind.

use super::*;

#[test]
fn a_forced_failover_goes_through_resolving_and_recovering() {
    let mut world = world();
    wait(&mut world, 30.0);
    stop(&mut world, SQL);
    wait(&mut world, 30.0);
    let executed = force(&mut world).expect("taken");
    let statement =
        |world: &World| world.operation(executed.operation).expect("it").statement.clone();
    assert_eq!(statement(&world), Statement::Running);
    wait(&mut world, 0.5);
    assert_eq!(statement(&world), Statement::Returned, "it returns once it is accepted");
    assert_eq!(local_row(&world, MI).0, Role::Resolving);
    wait(&mut world, 1.5);
    assert_eq!(local_row(&world, MI).0, Role::Primary);
    assert_eq!(world.databases(MI)[4].state, DatabaseState::Recovering);
    assert_eq!(world.access(MI, "Sales").expect_err("not yet").number, 922);
    assert_eq!(writers(&world), (false, false));
    wait(&mut world, 3.0);
    let database = &world.databases(MI)[4];
    assert_eq!((database.state, database.updateable), (DatabaseState::Online, true));
    assert_eq!(writers(&world), (false, true));
    let operation = world.operation(executed.operation).expect("it");
    assert_eq!(operation.status, OperationStatus::Succeeded);
}

#[test]
fn forcing_with_the_old_primary_alive_leaves_two() {
    let mut world = world();
    wait(&mut world, 30.0);
    force(&mut world).expect("taken, though the primary serves");
    wait(&mut world, 10.0);
    assert_eq!(writers(&world), (true, true));
    assert_eq!(local_row(&world, SQL).0, Role::Primary);
    assert_eq!(local_row(&world, MI).0, Role::Primary);
    let remote = database_row(&world, SQL, false);
    assert_eq!(remote.health, SyncHealth::NotHealthy);
    // The application still writes to the old one: what it is told is committed does not live.
    wait(&mut world, 10.0);
    let loss = world.loss(LINK).expect("known");
    assert_eq!(loss.surviving, Side::ManagedInstance);
    assert!(loss.count > 200, "{loss:?}");
    let two = world.ledger().intervals(LINK).iter().filter(|i| i.writers.count() == 2).count();
    assert_eq!(two, 1);
}

#[test]
fn the_loss_is_what_had_not_arrived() {
    let mut world = world();
    wait(&mut world, 60.0);
    let cut = world.now();
    let (from, to) = (Party::Instance(SQL.into()), Party::Instance(MI.into()));
    fault(&mut world, Fault::Cut { from, to, one_way: false });
    wait(&mut world, 5.0);
    let died = world.now();
    stop(&mut world, SQL);
    wait(&mut world, 30.0);
    force(&mut world).expect("taken");
    wait(&mut world, 10.0);
    let loss = world.loss(LINK).expect("known");
    assert!((80..125).contains(&loss.count), "five seconds at 20/s: {loss:?}");
    let second = SignedDuration::from_secs(1);
    let (first, last) = (loss.first.expect("some"), loss.last.expect("some"));
    assert!(first > cut - second && first < cut + second, "{loss:?}");
    assert!(last > died - second && last <= died, "{loss:?}");
    // Without a workload on the new primary nothing is added; repointed, it commits there.
    world.repoint("shop", MI).expect("both exist");
    wait(&mut world, 10.0);
    assert_eq!(world.loss(LINK).expect("known").count, loss.count);
    assert!(world.commits(LINK).any(|c| c.side == Side::ManagedInstance && c.acknowledged));
}

#[test]
fn the_second_command_is_refused_by_number() {
    let mut world = world();
    wait(&mut world, 10.0);
    stop(&mut world, SQL);
    force(&mut world).expect("taken");
    assert_eq!(force(&mut world).expect_err("not accepted yet").number, 47_513);
    wait(&mut world, 1.0);
    assert_eq!(force(&mut world).expect_err("it runs").number, 47_513);
    wait(&mut world, 10.0);
    assert_eq!(force(&mut world).expect_err("it is primary").number, 41_122);
    let refused = world.ledger().commands().iter().filter(|c| c.refused.is_some()).count();
    assert_eq!((refused, world.ledger().commands().len()), (3, 4));
}

#[test]
fn commands_on_the_wrong_side_or_name_are_refused() {
    let mut world = world();
    let mut refused =
        |at: &str, command| world.execute(at, &agent(), command).expect_err("refused").number;
    let group = || LINK.to_owned();
    assert_eq!(refused(SQL, Command::ForceFailover { group: group() }), 41_122);
    assert_eq!(refused(MI, Command::Failover { group: group() }), 47_517);
    assert_eq!(refused(MI, Command::SetRoleSecondary { group: group() }), 41_195);
    assert_eq!(refused(MI, Command::ForceFailover { group: "Nope".into() }), 15_151);
    assert_eq!(refused(MI, Command::ForceFailover { group: "AG_Sales_MI".into() }), 47_122);
}

#[test]
fn a_returned_old_primary_is_still_primary() {
    let mut world = world();
    wait(&mut world, 10.0);
    stop(&mut world, SQL);
    wait(&mut world, 30.0);
    force(&mut world).expect("taken");
    wait(&mut world, 10.0);
    start(&mut world, SQL);
    wait(&mut world, 60.0);
    assert_eq!(local_row(&world, SQL).0, Role::Primary);
    assert_eq!(writers(&world), (true, true));
    assert!(!world.link(LINK).expect("it").member(Side::ManagedInstance).connected());
    assert!(world.commits(LINK).any(|c| c.on_sql_server && !c.on_managed_instance));
}

#[test]
fn set_role_secondary_discards_the_divergent_tail() {
    let mut world = changed(|spec| {
        spec.links[0].unconfirmed.stale_demotions_fail = 0;
        spec.links[0].unconfirmed.suspended_after_force = false;
    });
    wait(&mut world, 10.0);
    force(&mut world).expect("taken");
    wait(&mut world, 20.0);
    let divergent = world.commits(LINK).filter(|c| !c.on_managed_instance).count();
    assert!(divergent > 200);
    world.repoint("shop", MI).expect("exists");
    let demote = Command::SetRoleSecondary { group: LINK.into() };
    world.execute(SQL, &agent(), demote).expect("taken");
    wait(&mut world, 2.0);
    assert_eq!(local_row(&world, SQL), (Role::Secondary, false, SyncHealth::NotHealthy));
    assert_eq!(world.access(SQL, "Sales").expect_err("not readable").number, 976);
    wait(&mut world, 5.0);
    assert_eq!(database_row(&world, SQL, true).state, SyncState::Reverting);
    let again = Command::ForceFailover { group: LINK.into() };
    let refusal = world.execute(SQL, &agent(), again).expect_err("it reverts");
    assert_eq!(refusal.number, 41_140);
    wait(&mut world, 10.0);
    assert_eq!(local_row(&world, SQL), (Role::Secondary, true, SyncHealth::Healthy));
    let nowhere = world.commits(LINK).filter(|c| !c.on_managed_instance && !c.on_sql_server);
    assert_eq!(nowhere.count(), divergent, "the tail is gone for good");
    let old = world.now() - SignedDuration::from_secs(2);
    let held = world.commits(LINK).filter(|c| c.on_managed_instance && c.at < old);
    let held: Vec<Commit> = held.collect();
    assert!(!held.is_empty());
    assert!(held.iter().all(|c| c.on_sql_server), "and it follows the new primary");
}

#[test]
fn a_planned_failover_loses_nothing_and_keeps_the_link() {
    let mut world = world();
    wait(&mut world, 30.0);
    let planned = Command::Failover { group: LINK.into() };
    let executed = world.execute(SQL, &agent(), planned).expect("taken");
    wait(&mut world, 10.0);
    let operation = world.operation(executed.operation).expect("it");
    assert_eq!(
        (&operation.status, &operation.statement),
        (&OperationStatus::Succeeded, &Statement::Returned)
    );
    assert_eq!(writers(&world), (false, true));
    assert_eq!(local_row(&world, SQL), (Role::Secondary, true, SyncHealth::Healthy));
    assert_eq!(world.loss(LINK).expect("known").count, 0);
    assert!(world.ledger().intervals(LINK).iter().all(|i| i.writers.count() < 2));
}

#[test]
fn a_planned_failover_that_cannot_catch_up_leaves_the_roles() {
    let mut world = changed(|spec| {
        spec.links[0].log.bandwidth_kb_s = 10;
        spec.workloads[0].commits_per_s = 50.0;
    });
    wait(&mut world, 60.0);
    let planned = Command::Failover { group: LINK.into() };
    let executed = world.execute(SQL, &agent(), planned).expect("taken");
    wait(&mut world, 90.0);
    let operation = world.operation(executed.operation).expect("it");
    assert!(matches!(&operation.statement, Statement::Failed(e) if e.number == 47_515));
    assert_eq!(writers(&world), (true, false));
}

#[test]
fn a_lost_reply_is_told_and_used_up() {
    let mut world = world();
    stop(&mut world, SQL);
    let at = Party::Instance(MI.into());
    fault(&mut world, Fault::LoseReply { at, times: 1 });
    let executed = force(&mut world).expect("taken");
    assert_eq!(executed.reply, Reply::Lost);
    wait(&mut world, 10.0);
    assert_eq!(writers(&world), (false, true), "the deed is done all the same");
}

#[test]
fn a_delayed_deed_lands_after_its_client_is_gone() {
    let mut world = world();
    stop(&mut world, SQL);
    fault(&mut world, Fault::DelayDeed { at: Party::Instance(MI.into()), ms: 60_000 });
    let executed = force(&mut world).expect("taken");
    wait(&mut world, 30.0);
    assert!(!world.abandon(executed.operation), "it cannot be withdrawn");
    assert_eq!(local_row(&world, MI).0, Role::Secondary);
    wait(&mut world, 40.0);
    assert_eq!(local_row(&world, MI).0, Role::Primary);
    let operation = world.operation(executed.operation).expect("it");
    assert_eq!(operation.statement, Statement::Broken);
}

#[test]
fn an_abandoned_statement_is_withdrawn_only_before_it_is_accepted() {
    let mut world = world();
    stop(&mut world, SQL);
    let executed = force(&mut world).expect("taken");
    assert!(world.abandon(executed.operation));
    wait(&mut world, 10.0);
    assert_eq!(local_row(&world, MI).0, Role::Secondary);
    let executed = force(&mut world).expect("taken");
    wait(&mut world, 1.0);
    assert!(!world.abandon(executed.operation));
    wait(&mut world, 10.0);
    assert_eq!(local_row(&world, MI).0, Role::Primary);
}

#[test]
fn a_target_that_dies_in_the_middle_keeps_the_role_it_had_on_disk() {
    for (seconds, role) in [(0.1, Role::Secondary), (0.8, Role::Secondary), (2.0, Role::Primary)] {
        // What a restart before the first full backup does is not the question here.
        let mut world = changed(|spec| spec.links[0].unconfirmed.restart_before_backup = false);
        stop(&mut world, SQL);
        force(&mut world).expect("taken");
        wait(&mut world, seconds);
        stop(&mut world, MI);
        wait(&mut world, 5.0);
        start(&mut world, MI);
        wait(&mut world, 30.0);
        assert_eq!(local_row(&world, MI).0, role, "stopped after {seconds} s");
        let expected = (false, role == Role::Primary);
        assert_eq!(writers(&world), expected, "stopped after {seconds} s");
    }
}

#[test]
fn the_next_commands_can_be_made_to_fail() {
    let mut world = world();
    fault(&mut world, Fault::FailNext { instance: MI.into(), number: 40_613, times: 2 });
    assert_eq!(force(&mut world).expect_err("told to").number, 40_613);
    assert_eq!(force(&mut world).expect_err("told to").number, 40_613);
    force(&mut world).expect("taken");
}

#[test]
fn a_one_way_link_cannot_be_forced() {
    let mut world = changed(|spec| spec.links[0].two_way = false);
    assert_eq!(force(&mut world).expect_err("one-way").number, 41_985);
}

#[test]
fn the_first_full_backup_follows_the_failover_by_minutes() {
    let mut world = world();
    stop(&mut world, SQL);
    let at = world.now();
    force(&mut world).expect("taken");
    let taken = |world: &World, kind: BackupKind| {
        let instance = world.instance(MI).expect("it");
        instance.backups(world.now()).any(|b| b.kind == kind && b.finish > at)
    };
    wait(&mut world, 10.0);
    assert!(taken(&world, BackupKind::Log) && !taken(&world, BackupKind::Full));
    wait(&mut world, 300.0);
    assert!(taken(&world, BackupKind::Full));
}

#[test]
fn a_write_on_a_secondary_is_3906() {
    let mut world = world();
    world.commit(SQL, "Sales", 500).expect("the primary takes it");
    assert_eq!(world.commit(MI, "Sales", 500).expect_err("a secondary").number, 3_906);
    assert_eq!(world.commit(MI, "Nope", 500).expect_err("none such").number, 911);
}
