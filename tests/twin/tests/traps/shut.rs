//! Databases that do not open, and who says so: no change of roles mends what a restart has cost.

use twin::world::{DatabaseState, FailoverType, Fault, JobStatus, SyncHealth};

use crate::site::{LINK, MI, SQL, Site, alter};

const ROWS: &str = "SELECT drs.synchronization_state_desc, drs.synchronization_health_desc
 FROM sys.dm_hadr_database_replica_states drs
 JOIN sys.availability_groups ag ON drs.group_id = ag.group_id
 WHERE ag.is_distributed = 1 ORDER BY drs.is_local DESC";

/// The managed instance has become primary and was restarted too soon.
fn lost() -> Site {
    let mut site = Site::new();
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.wait(60);
    site.restart(MI);
    assert_eq!(site.state(MI), DatabaseState::RecoveryPending);
    site
}

fn health(site: &Site) -> SyncHealth {
    site.world.arm_link(MI, LINK).expect("the link").databases[0].health
}

#[test]
fn no_change_of_roles_opens_a_database_that_a_restart_has_cost() {
    let mut site = lost();
    site.sql(SQL, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("the other side still has it");
    site.wait(30);
    assert_eq!(site.writers(), (true, false));
    site.demote(MI);
    site.wait(30);
    assert_eq!(site.state(MI), DatabaseState::RecoveryPending, "as a secondary neither");
    site.sql(MI, "ALTER DATABASE [Sales] SET HADR RESUME").expect("taken");
    site.wait(60);
    assert_eq!(site.state(MI), DatabaseState::RecoveryPending);
    assert_eq!(site.sql(SQL, &alter("FAILOVER")), Err(41_993), "nobody fails over to it");
    assert_eq!(site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")), Err(41_993));
    let forced = site.failover(FailoverType::ForcedAllowDataLoss);
    assert!(matches!(forced, Ok(JobStatus::Failed { .. })), "{forced:?}");
    assert_eq!(site.writers(), (true, false));
    site.fault(Fault::Repair { instance: MI.to_owned() });
    site.wait(60);
    assert_eq!(site.state(MI), DatabaseState::Online, "support has mended it");
    assert_eq!(health(&site), SyncHealth::Healthy);
    site.sql(SQL, &alter("FAILOVER")).expect("now it goes");
}

#[test]
fn everybody_says_that_nothing_moves_from_a_primary_whose_database_does_not_open() {
    let mut site = Site::new();
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.wait(60);
    assert_eq!(health(&site), SyncHealth::Healthy);
    site.restart(MI);
    let nothing = ["NOT SYNCHRONIZING".to_owned(), "NOT_HEALTHY".to_owned()];
    assert_eq!(
        site.sql(SQL, ROWS).expect("it answers"),
        std::slice::from_ref(&nothing),
        "the secondary"
    );
    let both = [nothing.clone(), nothing];
    assert_eq!(site.sql(MI, ROWS).expect("it answers"), both, "the primary of both");
    assert_eq!(health(&site), SyncHealth::NotHealthy, "and Azure");
}

#[test]
fn azure_tells_of_a_copy_that_reverts() {
    let mut site = Site::with(|spec| {
        spec.links[0].log.undo_kb_s = 20;
        spec.links[0].unconfirmed.suspended_after_force = false;
    });
    site.network(false);
    site.wait(60);
    site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("taken");
    site.wait(30);
    site.world.repoint("shop", MI).expect("both exist");
    site.network(true);
    site.demote(SQL);
    site.wait(20);
    let own = site.sql(SQL, ROWS).expect("it answers");
    assert_eq!(own[0][0], "REVERTING");
    assert_eq!(health(&site), SyncHealth::PartiallyHealthy, "of SQL Server's copy");
    site.wait(400);
    assert_eq!(health(&site), SyncHealth::Healthy);
}
