//! What is left after a failover or a deletion, and what harms later.

use twin::world::{DatabaseState, FailoverType, Fault, JobStatus, Party};

use crate::site::{MI, SQL, Site, alter};

const FIRST_FULL_BACKUP: i64 = 250;

#[test]
fn trap_4_deleting_a_link_leaves_two_writable_copies() {
    let mut site = Site::new();
    site.delete_link();
    assert_eq!(site.writers(), (true, true));
    for at in [SQL, MI] {
        let updateability = site.value(at, "SELECT DATABASEPROPERTYEX(N'Sales', 'Updateability')");
        assert_eq!(updateability, "READ_WRITE", "{at}");
    }
    // The application, that nobody has told, goes on writing to the old one.
    let before = site.world.workload("shop").expect("it is there").acknowledged();
    site.wait(10);
    assert!(site.world.workload("shop").expect("it is there").acknowledged() > before + 100);
}

#[test]
fn trap_6_a_link_dropped_before_the_first_full_backup_costs_the_database_at_a_restart() {
    let mut site = Site::new();
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.wait(30);
    site.delete_link();
    site.wait(3_600);
    assert_eq!(site.state(MI), DatabaseState::Online, "nothing shows until the restart");
    site.restart(MI);
    assert_eq!(site.state(MI), DatabaseState::RecoveryPending);
    assert_eq!(site.sql(MI, "USE [Sales]"), Err(945));
    site.restart(MI);
    assert_eq!(site.state(MI), DatabaseState::RecoveryPending, "no restart mends it");
}

#[test]
fn trap_6_after_the_first_full_backup_dropping_and_restarting_are_safe() {
    let mut site = Site::new();
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.wait(FIRST_FULL_BACKUP);
    let full = "SELECT COUNT(*) FROM msdb.dbo.backupset WHERE type = 'D' AND is_copy_only = 0";
    assert_eq!(site.value(MI, full), "2", "the one from before, and the first after it");
    site.delete_link();
    site.restart(MI);
    assert_eq!(site.state(MI), DatabaseState::Online);
}

#[test]
fn trap_6_a_backup_that_the_stop_has_broken_off_protects_nobody() {
    for kept in [true, false] {
        let mut site = Site::new();
        site.sql(SQL, &alter("FAILOVER")).expect("taken");
        site.wait(60);
        if !kept {
            site.delete_link();
        }
        site.fault(Fault::Stop { instance: MI.into() });
        site.wait(2 * FIRST_FULL_BACKUP);
        site.fault(Fault::Start { instance: MI.into() });
        site.wait(60);
        assert_eq!(site.state(MI), DatabaseState::RecoveryPending, "kept: {kept}");
        let full = "SELECT COUNT(*) FROM msdb.dbo.backupset WHERE type = 'D' AND is_copy_only = 0";
        assert_eq!(site.value(MI, full), "1", "only the one from before");
    }
}

#[test]
fn the_first_full_backup_waits_for_an_instance_that_stood_still() {
    let mut site = Site::new();
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.wait(60);
    site.fault(Fault::Freeze { instance: MI.into() });
    site.wait(2 * FIRST_FULL_BACKUP);
    site.fault(Fault::Resume { instance: MI.into() });
    let full = "SELECT COUNT(*) FROM msdb.dbo.backupset WHERE type = 'D' AND is_copy_only = 0";
    site.wait(10);
    assert_eq!(site.value(MI, full), "1");
    site.wait(FIRST_FULL_BACKUP);
    assert_eq!(site.value(MI, full), "2");
}

#[test]
fn trap_6_restarting_soon_after_a_cutover_by_deletion_costs_the_database_too() {
    let cut_over = |wait: i64| {
        let mut site = Site::of_build("15.0.4312.2");
        site.delete_link();
        site.wait(wait);
        site.restart(MI);
        site.state(MI)
    };
    assert_eq!(cut_over(30), DatabaseState::RecoveryPending);
    assert_eq!(cut_over(FIRST_FULL_BACKUP), DatabaseState::Online);
}

#[test]
fn a_forced_failover_over_a_live_primary_leaves_two_and_azure_does_not_mind() {
    let mut site = Site::new();
    let forced = site.failover(FailoverType::ForcedAllowDataLoss);
    assert_eq!(forced, Ok(JobStatus::Succeeded));
    site.wait(30);
    assert_eq!(site.roles(), ("PRIMARY".into(), "PRIMARY".into()));
    assert_eq!(site.writers(), (true, true));
    site.wait(600);
    assert_eq!(site.roles().0, "PRIMARY", "no time heals it");
}

#[test]
fn two_secondaries_stay_so_until_one_is_forced() {
    let mut site = Site::new();
    site.sql(SQL, &alter("SET (ROLE = SECONDARY)")).expect("taken");
    site.wait(30);
    assert_eq!(site.roles(), ("SECONDARY".into(), "SECONDARY".into()));
    assert_eq!(site.writers(), (false, false), "nobody serves");
    for at in [SQL, MI] {
        assert_eq!(site.sql(at, &alter("FAILOVER")), Err(47_517), "{at}");
    }
    site.sql(SQL, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("back where it was");
    site.wait(30);
    assert_eq!(site.roles(), ("PRIMARY".into(), "SECONDARY".into()));
    assert_eq!(site.writers(), (true, false));
}

#[test]
fn a_tail_that_is_too_long_cannot_be_undone_and_the_link_has_to_be_seeded_anew() {
    let mut site = Site::with(|spec| spec.links[0].log.undo_mb = 0);
    site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("taken");
    site.wait(60);
    site.world.repoint("shop", MI).expect("both exist");
    site.demote(SQL);
    site.wait(10);
    site.sql(SQL, "ALTER DATABASE [Sales] SET HADR RESUME").expect("taken");
    site.wait(120);
    let query = "SELECT synchronization_state_desc, suspend_reason_desc
                 FROM sys.dm_hadr_database_replica_states drs
                 JOIN sys.availability_groups ag ON drs.group_id = ag.group_id
                 WHERE ag.is_distributed = 1 AND drs.is_local = 1";
    let apart = [["NOT SYNCHRONIZING".to_owned(), "SUSPEND_FROM_UNDO".to_owned()]];
    assert_eq!(site.sql(SQL, query).expect("it answers"), apart);
    site.sql(SQL, "ALTER DATABASE [Sales] SET HADR RESUME").expect("taken");
    site.restart(SQL);
    assert_eq!(site.sql(SQL, query).expect("it answers"), apart, "resuming does not help");
    assert_eq!(site.sql(MI, &alter("FAILOVER")), Err(47_514));
}

#[test]
fn a_suspended_database_shows_no_lag_and_fails_no_link_over() {
    let mut site = Site::new();
    site.sql(SQL, "ALTER DATABASE [Sales] SET HADR SUSPEND").expect("taken");
    site.wait(120);
    let query = "SELECT is_suspended, secondary_lag_seconds
                 FROM sys.dm_hadr_database_replica_states drs
                 JOIN sys.availability_groups ag ON drs.group_id = ag.group_id
                 WHERE ag.is_distributed = 1 AND drs.is_local = 0";
    let lag = site.sql(SQL, query).expect("it answers");
    assert_eq!(lag[0][1], "0", "two minutes of commits are missing there");
    assert_eq!(site.sql(SQL, &alter("FAILOVER")), Err(47_514));
    site.sql(SQL, "ALTER DATABASE [Sales] SET HADR RESUME").expect("taken");
    site.wait(30);
    site.sql(SQL, &alter("FAILOVER")).expect("now it goes");
}

#[test]
fn a_secondary_says_connected_until_the_session_times_out() {
    let mut site = Site::new();
    site.network(false);
    let connected = |site: &mut Site| {
        let rows = site.sql(
            SQL,
            "SELECT connected_state_desc FROM sys.dm_hadr_availability_replica_states
             WHERE is_local = 0",
        );
        rows.expect("it answers").concat().concat()
    };
    site.wait(15);
    assert_eq!(connected(&mut site), "CONNECTED", "nobody has noticed yet");
    site.wait(15);
    assert_eq!(connected(&mut site), "DISCONNECTED");
    site.network(true);
    site.wait(15);
    assert_eq!(connected(&mut site), "CONNECTED");
    let parties = [Party::Agent, Party::Operator];
    assert!(
        parties.iter().all(|who| site
            .world
            .ledger()
            .commands()
            .iter()
            .all(|c| c.who.party != *who))
    );
}
