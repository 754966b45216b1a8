//! Which failover goes where, and what it takes.

use twin::world::{FailoverType, JobStatus, UpdatePolicy, setup::Change};

use crate::site::{LINK, MI, SQL, Site, alter};

const Q4: &str =
    "SELECT drs.synchronization_state_desc FROM sys.dm_hadr_database_replica_states drs
 JOIN sys.availability_groups ag ON drs.group_id = ag.group_id
 WHERE ag.is_distributed = 1 AND drs.is_local = 1";

fn modes(site: &mut Site) -> Vec<String> {
    let query = "SELECT ar.availability_mode_desc FROM sys.availability_replicas ar
                 JOIN sys.availability_groups ag ON ag.group_id = ar.group_id
                 WHERE ag.is_distributed = 1";
    site.sql(SQL, query).expect("it answers").concat()
}

#[test]
fn trap_1_planned_is_issued_on_the_primary_and_forced_on_the_secondary() {
    let mut site = Site::new();
    assert_eq!(site.sql(MI, &alter("FAILOVER")), Err(47_517), "planned, on the secondary");
    assert_eq!(site.sql(SQL, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")), Err(41_122));
    let refused = site.failover(FailoverType::Planned).expect_err("the instance is secondary");
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (400, "InvalidDistributedAvailabilityGroupFailoverInstanceRole")
    );
    assert_eq!(site.roles(), ("PRIMARY".into(), "SECONDARY".into()), "nothing has happened");
    site.sql(SQL, &alter("FAILOVER")).expect("on the primary it is taken");
    assert_eq!(site.roles(), ("SECONDARY".into(), "PRIMARY".into()));
    // From the managed instance Azure takes it too.
    assert_eq!(site.failover(FailoverType::Planned), Ok(JobStatus::Succeeded));
    assert_eq!(site.roles(), ("PRIMARY".into(), "SECONDARY".into()));
}

#[test]
fn trap_2_below_2022_cu13_no_statement_fails_a_link_over() {
    for build in ["16.0.4115.5", "16.0.1000.6"] {
        let mut site = Site::of_build(build);
        assert_eq!(site.sql(SQL, &alter("FAILOVER")), Err(47_122), "{build}");
        assert_eq!(site.roles().0, "PRIMARY");
        // The wizard's way goes over Azure, for any SQL Server 2022.
        let forced = site.failover(FailoverType::ForcedAllowDataLoss);
        assert_eq!(forced, Ok(JobStatus::Succeeded), "{build}");
    }
    assert_eq!(Site::new().sql(SQL, &alter("FAILOVER")), Ok(Vec::new()), "CU13 has it");
}

#[test]
fn trap_2_links_of_2016_to_2019_can_only_be_deleted_and_that_is_for_good() {
    for build in ["13.0.7000.253", "14.0.3490.10", "15.0.4312.2"] {
        let mut site = Site::of_build(build);
        assert_eq!(site.sql(SQL, &alter("FAILOVER")), Err(47_122), "{build}");
        assert_eq!(site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")), Err(41_985), "{build}");
        let forced = site.failover(FailoverType::ForcedAllowDataLoss).expect("taken");
        assert!(matches!(forced, JobStatus::Failed { .. }), "{build}: {forced:?}");
        assert_eq!(site.roles(), ("PRIMARY".into(), "SECONDARY".into()), "{build}");
        site.delete_link();
        assert!(site.world.azure_link(MI, LINK).is_none());
        assert_eq!(site.writers(), (true, true), "{build}: both copies take writes");
    }
}

#[test]
fn trap_2_the_cutover_of_an_old_link_loses_nothing_if_both_sides_have_the_same_log() {
    for build in ["13.0.7000.253", "15.0.4312.2"] {
        let mut site = Site::of_build(build);
        site.world.set_running("shop", false).expect("the workload");
        let position = "SELECT MAX(last_hardened_lsn) FROM sys.dm_hadr_database_replica_states";
        let end = "SELECT MAX(end_of_log_lsn) FROM sys.dm_hadr_database_replica_states";
        let alike = (0..60).any(|_| {
            site.wait(1);
            site.value(MI, position) == site.value(SQL, end)
        });
        assert!(alike, "{build}: with nobody writing the two logs meet");
        site.delete_link();
        site.sql(SQL, &format!("DROP AVAILABILITY GROUP [{LINK}]")).expect("the distributed one");
        site.sql(SQL, "DROP AVAILABILITY GROUP [AG_Sales]").expect("and the local one");
        site.world.repoint("shop", MI).expect("both exist");
        site.world.set_running("shop", true).expect("the workload");
        site.wait(30);
        let commits: Vec<_> = site.world.commits(LINK).filter(|one| one.acknowledged).collect();
        assert!(commits.iter().all(|one| one.on_managed_instance), "{build}: nothing is lost");
        assert_eq!(site.world.loss(LINK).expect("its ledger stays").count, 0, "{build}");
        // For good: no statement and no request brings the roles back.
        for command in ["FAILOVER", "FORCE_FAILOVER_ALLOW_DATA_LOSS", "SET (ROLE = SECONDARY)"] {
            assert_eq!(site.sql(SQL, &alter(command)), Err(15_151), "{build}: {command}");
        }
        assert!(site.failover(FailoverType::Planned).is_err(), "{build}: there is no link");
    }
}

#[test]
fn trap_3_a_newer_update_policy_takes_the_way_back_though_the_failover_succeeds() {
    for policy in [UpdatePolicy::SQLServer2025, UpdatePolicy::AlwaysUpToDate] {
        let mut site = Site::new();
        site.world.set_up(MI, Change::Policy(policy)).expect("it exists");
        site.sql(SQL, &alter("FAILOVER")).expect("over it goes");
        site.wait(60);
        assert_eq!(site.roles(), ("SECONDARY".into(), "PRIMARY".into()));
        assert_eq!(site.value(SQL, Q4), "NOT SYNCHRONIZING", "nothing comes back, ever");
        assert_eq!(site.sql(MI, &alter("FAILOVER")), Err(41_191));
        let back = site.failover(FailoverType::Planned).expect("taken");
        assert!(matches!(back, JobStatus::Failed { .. }), "{back:?}");
        assert_eq!(site.sql(SQL, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")), Err(41_191));
    }
}

#[test]
fn trap_5_in_asynchronous_commit_a_healthy_link_is_synchronizing_and_never_synchronized() {
    let mut site = Site::new();
    let health = "SELECT synchronization_health_desc FROM sys.dm_hadr_availability_replica_states
                  WHERE is_local = 0";
    for _ in 0..5 {
        assert_eq!(site.value(SQL, Q4), "SYNCHRONIZING");
        assert_eq!(site.value(MI, Q4), "SYNCHRONIZING");
        assert_eq!(site.value(SQL, health), "HEALTHY");
        site.wait(60);
    }
    site.sql(SQL, &alter("FAILOVER")).expect("and it fails over without being SYNCHRONIZED");
}

#[test]
fn trap_7_after_a_planned_failover_the_commit_mode_is_asynchronous_again() {
    let mut site = Site::new();
    assert_eq!(modes(&mut site), ["ASYNCHRONOUS_COMMIT", "ASYNCHRONOUS_COMMIT"]);
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.wait(5);
    assert_eq!(modes(&mut site), ["ASYNCHRONOUS_COMMIT", "ASYNCHRONOUS_COMMIT"]);
    assert_eq!(site.value(MI, Q4), "SYNCHRONIZING");
}

#[test]
fn trap_11_azure_forces_no_managed_instance_that_is_reverting_or_initializing() {
    let mut site = Site::new();
    site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("taken");
    site.wait(60);
    // The managed instance has a tail of its own, and gives way to SQL Server.
    for _ in 0..100 {
        site.world.commit(MI, "Sales", 60_000).expect("it is primary");
    }
    site.demote(MI);
    let mut refused = Vec::new();
    for _ in 0..120 {
        site.wait(1);
        let state = site.value(MI, Q4);
        if ["REVERTING", "INITIALIZING"].contains(&state.as_str()) {
            assert_eq!(site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")), Err(41_140));
            let forced = site.failover(FailoverType::ForcedAllowDataLoss).expect("taken");
            assert!(matches!(forced, JobStatus::Failed { .. }), "{state}: {forced:?}");
            refused.push(state);
            break;
        }
        let _ = site.sql(MI, "ALTER DATABASE [Sales] SET HADR RESUME");
    }
    assert!(!refused.is_empty(), "it has to undo its tail");
    site.wait(60);
    assert_eq!(site.value(MI, Q4), "SYNCHRONIZING", "left alone it follows");
    site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("and can be forced again");
}

#[test]
fn trap_11_a_secondary_that_is_reverting_cannot_be_forced() {
    let mut site = Site::new();
    site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("taken");
    site.wait(60);
    assert_eq!(site.roles(), ("PRIMARY".into(), "PRIMARY".into()), "split brain");
    site.world.repoint("shop", MI).expect("both exist");
    site.demote(SQL);
    site.wait(10);
    site.sql(SQL, "ALTER DATABASE [Sales] SET HADR RESUME").expect("taken");
    let mut seen = Vec::new();
    for _ in 0..60 {
        let state = site.value(SQL, Q4);
        if ["REVERTING", "INITIALIZING"].contains(&state.as_str()) {
            assert_eq!(site.sql(SQL, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")), Err(41_140));
        }
        if seen.last() != Some(&state) {
            seen.push(state);
        }
        site.wait(1);
    }
    assert!(seen.contains(&"REVERTING".to_owned()), "{seen:?}");
    assert_eq!(seen.last().map(String::as_str), Some("SYNCHRONIZING"), "{seen:?}");
}
