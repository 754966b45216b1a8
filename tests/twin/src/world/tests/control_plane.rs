//! ARM's view and its failover.

use super::*;

fn post(world: &mut World, kind: FailoverType) -> Result<Accepted, ArmError> {
    let request = ArmCommand::Failover { instance: MI.into(), link: LINK.into(), kind };
    world.arm(&agent(), request)
}

fn view(world: &World) -> ArmLink {
    world.arm_link(MI, LINK).expect("the link")
}

#[test]
fn planned_from_a_secondary_is_refused_at_once() {
    let error = post(&mut world(), FailoverType::Planned).expect_err("refused");
    assert_eq!(error.status, 400);
    assert_eq!(error.code, "InvalidDistributedAvailabilityGroupFailoverInstanceRole");
}

#[test]
fn forced_by_arm_over_a_live_primary_is_accepted() {
    let mut world = world();
    wait(&mut world, 10.0);
    let accepted = post(&mut world, FailoverType::ForcedAllowDataLoss).expect("accepted");
    wait(&mut world, 0.5);
    assert_eq!(local_row(&world, MI).0, Role::Secondary, "the 202 comes before the deed");
    wait(&mut world, 15.0);
    let status = &world.operation(accepted.operation).expect("it").status;
    assert_eq!(*status, OperationStatus::Succeeded);
    let link = view(&world);
    assert_eq!((link.instance_role, link.partner_role), (Role::Primary, Role::Secondary));
    let database = &link.databases[0];
    assert!(!database.connected);
    assert_eq!(database.health, SyncHealth::NotHealthy);
    assert_eq!((database.moved_lsn, database.hardened_lsn), (Lsn(1), Lsn(0)));
    assert_eq!((database.send_lag, database.redo_lag), (-1, 0));
    assert!(matches!(
        (database.replica_state.as_str(), database.error),
        ("LinkSynchronizationError", Some(41_977)) | ("LinkSynchronizing", None)
    ));
    // What ARM believes of the partner is not true.
    assert_eq!(local_row(&world, SQL).0, Role::Primary);
}

#[test]
fn a_blind_resend_makes_the_new_primary_secondary_again() {
    let mut world = world();
    wait(&mut world, 10.0);
    stop(&mut world, SQL);
    wait(&mut world, 30.0);
    post(&mut world, FailoverType::ForcedAllowDataLoss).expect("accepted");
    let while_it_runs = post(&mut world, FailoverType::ForcedAllowDataLoss).expect_err("busy");
    assert_eq!(
        (while_it_runs.status, while_it_runs.code.as_str()),
        (409, "ConflictingServerOperation")
    );
    wait(&mut world, 15.0);
    assert_eq!(writers(&world), (false, true));
    post(&mut world, FailoverType::ForcedAllowDataLoss).expect("accepted again");
    wait(&mut world, 15.0);
    assert_eq!(writers(&world), (false, false), "no side takes writes");
    let link = view(&world);
    let database = &link.databases[0];
    assert_eq!(link.instance_role, Role::Secondary);
    assert_eq!(database.replica_state, "LinkSynchronizationError");
    assert_eq!(database.error, Some(41_976));
    assert_eq!((database.health, database.connected), (SyncHealth::Healthy, false));
    assert_eq!((database.send_lag, database.redo_lag), (0, 0));
    assert_eq!(database.moved_lsn, Lsn(1));
}

#[test]
fn a_delayed_post_turns_what_t_sql_has_done_meanwhile() {
    let mut world = world();
    stop(&mut world, SQL);
    fault(&mut world, Fault::DelayDeed { at: Party::Arm, ms: 30_000 });
    post(&mut world, FailoverType::ForcedAllowDataLoss).expect("accepted");
    force(&mut world).expect("taken");
    wait(&mut world, 20.0);
    assert_eq!(writers(&world), (false, true));
    wait(&mut world, 20.0);
    assert_eq!(writers(&world), (false, false));
}

#[test]
fn arm_shows_what_it_saw_last_while_it_cannot_see_the_instance() {
    let mut world = world();
    wait(&mut world, 30.0);
    stop(&mut world, MI);
    let seen = view(&world);
    assert!(seen.databases[0].connected);
    wait(&mut world, 120.0);
    assert_eq!(view(&world), seen, "stale, and nothing in it says so");
    start(&mut world, MI);
    wait(&mut world, 60.0);
    assert_ne!(view(&world), seen);
}

#[test]
fn an_accepted_failover_waits_for_its_instance_and_times_out() {
    let mut world = world();
    stop(&mut world, MI);
    let first = post(&mut world, FailoverType::ForcedAllowDataLoss).expect("accepted");
    wait(&mut world, 300.0);
    assert!(world.operation(first.operation).expect("it").is_running());
    wait(&mut world, 400.0);
    let status = world.operation(first.operation).expect("it").status.clone();
    assert!(matches!(status, OperationStatus::Failed { code, .. } if code == "OperationTimedOut"));
    let second = post(&mut world, FailoverType::ForcedAllowDataLoss).expect("accepted");
    start(&mut world, MI);
    wait(&mut world, 60.0);
    let status = &world.operation(second.operation).expect("it").status;
    assert_eq!(*status, OperationStatus::Succeeded);
}

#[test]
fn the_link_of_a_secondary_reads_as_recorded() {
    let mut world = world();
    wait(&mut world, 30.0);
    let link = view(&world);
    let database = &link.databases[0];
    assert_eq!((link.instance_role, link.partner_role), (Role::Secondary, Role::Primary));
    assert_eq!(database.replica_state, "LinkSynchronizing");
    assert_eq!(database.error, None);
    assert!(database.connected && !database.primary);
    assert_eq!(database.hardened_lsn.to_string().len(), 17);
    assert!(database.moved_time.is_some() && database.commit_time.is_some());
    assert!(database.backup.is_some());
    assert!(world.arm_link(SQL, LINK).is_none(), "only managed instances are resources");
}
