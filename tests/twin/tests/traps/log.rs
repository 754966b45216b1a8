//! The log of a primary that its link holds, and commits that wait for the link.

use twin::world::{AzureCommand, LinkPatch, setup::Change, setup::Until};

use crate::site::{LINK, MI, SQL, Site, alter, dba};

const MODE: &str = "MODIFY AVAILABILITY GROUP ON 'AG_Sales' WITH (AVAILABILITY_MODE = {}),
 'AG_Sales_MI' WITH (AVAILABILITY_MODE = {})";

fn set_mode(site: &mut Site, mode: &str) {
    site.sql(SQL, &alter(&MODE.replace("{}", mode))).expect("taken");
}

fn acknowledged(site: &Site) -> u64 {
    site.world.workload("shop").expect("it is there").acknowledged()
}

fn wait_desc(site: &mut Site) -> String {
    site.value(SQL, "SELECT log_reuse_wait_desc FROM sys.databases WHERE name = N'Sales'")
}

#[test]
fn a_link_that_is_away_fills_the_log_of_the_primary_and_then_nobody_commits() {
    let mut site = Site::with(|spec| {
        spec.instances[0].jobs = Some(Vec::new());
        spec.links[0].log.file_mb = 256;
        spec.links[0].log.max_mb = 256;
        spec.workloads[0].commits_per_s = 100.0;
        spec.workloads[0].bytes = 60_000;
    });
    let backup = r"BACKUP LOG [Sales] TO DISK = N'C:\Backup\s.trn'";
    site.sql(SQL, backup).expect("it is backed up");
    site.network(false);
    site.wait(120);
    site.sql(SQL, backup).expect("it is backed up");
    site.wait(30);
    assert_eq!(wait_desc(&mut site), "AVAILABILITY_REPLICA");
    let full = acknowledged(&site);
    site.wait(60);
    assert_eq!(acknowledged(&site), full, "not one commit more");
    let error = site.world.commit(SQL, "Sales", 60_000).expect_err("the log is full");
    assert_eq!(error.number, 9_002);
    assert!(error.message.contains("AVAILABILITY_REPLICA"), "{error}");
    // A backup of the log does not help; giving the link up does.
    site.sql(SQL, backup).expect("it is backed up");
    site.wait(10);
    assert_eq!(site.world.commit(SQL, "Sales", 60_000).expect_err("still full").number, 9_002);
    site.sql(SQL, &format!("DROP AVAILABILITY GROUP [{LINK}]")).expect("dropped");
    site.wait(10);
    assert!(acknowledged(&site) > full + 100, "production runs again");
    assert!(site.writers().0);
}

#[test]
fn files_that_may_grow_do_so_before_the_log_is_full() {
    let mut site = Site::with(|spec| {
        let log = &mut spec.links[0].log;
        (log.file_mb, log.growth_mb, log.max_mb) = (128, 64, 4_096);
        spec.workloads[0].commits_per_s = 100.0;
        spec.workloads[0].bytes = 60_000;
    });
    site.network(false);
    let before = acknowledged(&site);
    site.wait(120);
    assert!(acknowledged(&site) > before + 10_000);
    let size = "SELECT cntr_value FROM sys.dm_os_performance_counters
                WHERE counter_name = N'Log File(s) Size (KB)' AND instance_name = N'Sales'";
    let kb: u64 = site.value(SQL, size).parse().expect("a number");
    assert!((700_000..1_000_000).contains(&kb), "{kb}");
}

#[test]
fn a_log_that_nobody_backs_up_waits_for_its_backup() {
    let mut site = Site::with(|spec| {
        spec.instances[0].jobs = Some(Vec::new());
        spec.links[0].log.file_mb = 512;
        spec.workloads[0].commits_per_s = 50.0;
        spec.workloads[0].bytes = 60_000;
    });
    site.wait(60);
    site.world.set_running("shop", false).expect("it is there");
    site.wait(10);
    assert_eq!(wait_desc(&mut site), "LOG_BACKUP");
    site.sql(SQL, "BACKUP LOG [Sales] TO DISK = N'C:\\Backup\\s.trn'").expect("it is backed up");
    site.wait(10);
    assert_eq!(wait_desc(&mut site), "NOTHING");
}

#[test]
fn in_synchronous_commit_a_commit_waits_for_the_other_side() {
    let mut site = Site::new();
    set_mode(&mut site, "SYNCHRONOUS_COMMIT");
    site.wait(10);
    let state = "SELECT drs.synchronization_state_desc
                 FROM sys.dm_hadr_database_replica_states drs
                 JOIN sys.availability_groups ag ON drs.group_id = ag.group_id
                 WHERE ag.is_distributed = 1 AND drs.is_local = 1";
    assert_eq!(site.value(SQL, state), "SYNCHRONIZED");
    let waited = |site: &Site| {
        let facts = site.world.log_facts(SQL);
        (facts[0].mirrored, facts[0].waited_ms)
    };
    let (commits, ms) = waited(&site);
    site.wait(60);
    let (more, later) = waited(&site);
    assert!(more - commits > 1_000, "every commit waits");
    assert!((later - ms) / (more - commits) >= 12, "for at least the way there");
    // Until the session times out, nobody is told of a commit.
    let before = acknowledged(&site);
    site.network(false);
    site.wait(15);
    assert!(acknowledged(&site) <= before + 1, "commits hang");
    site.wait(15);
    assert!(acknowledged(&site) > before + 50, "and go on without the other side");
    set_mode(&mut site, "ASYNCHRONOUS_COMMIT");
}

#[test]
fn trap_7_synchronous_commit_that_was_set_does_not_outlive_a_planned_failover() {
    let mut site = Site::new();
    set_mode(&mut site, "SYNCHRONOUS_COMMIT");
    let patch = LinkPatch { synchronous: Some(true), databases: None };
    let command = AzureCommand::UpdateLink { link: LINK.to_owned(), patch };
    site.world.azure(&dba(), MI, command).expect("taken");
    site.wait(10);
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.wait(10);
    let modes = "SELECT COUNT(*) FROM sys.availability_replicas ar
                 JOIN sys.availability_groups ag ON ag.group_id = ar.group_id
                 WHERE ag.is_distributed = 1 AND ar.availability_mode_desc = 'SYNCHRONOUS_COMMIT'";
    assert_eq!((site.value(SQL, modes), site.value(MI, modes)), ("0".into(), "0".into()));
}

#[test]
fn a_certificate_that_has_expired_keeps_a_link_from_coming_back() {
    let mut site = Site::new();
    let name = "Cert_SQL01_endpoint".to_owned();
    let expired = Change::Certificate { name: name.clone(), own: true, until: Until::Days(-1) };
    site.world.set_up(SQL, expired).expect("it exists");
    let connected = "SELECT connected_state_desc FROM sys.dm_hadr_availability_replica_states
                     WHERE is_local = 0";
    site.wait(60);
    assert_eq!(site.value(SQL, connected), "CONNECTED", "a connection that is open stays");
    site.network(false);
    site.wait(60);
    site.network(true);
    site.wait(120);
    assert_eq!(site.value(SQL, connected), "DISCONNECTED");
    let renewed = Change::Certificate { name, own: true, until: Until::Days(365) };
    site.world.set_up(SQL, renewed).expect("it exists");
    site.wait(30);
    assert_eq!(site.value(SQL, connected), "CONNECTED");
}

#[test]
fn a_stopped_endpoint_ends_the_link_and_no_client() {
    let mut site = Site::new();
    let stop = "ALTER ENDPOINT database_mirroring_endpoint STATE = STOPPED";
    site.sql(SQL, stop).expect("taken");
    site.wait(60);
    let connected = "SELECT connected_state_desc FROM sys.dm_hadr_availability_replica_states
                     WHERE is_local = 0";
    assert_eq!(site.value(SQL, connected), "DISCONNECTED");
    assert_eq!(site.writers(), (true, false), "clients write on");
    site.sql(SQL, "ALTER ENDPOINT database_mirroring_endpoint STATE = STARTED").expect("taken");
    site.wait(30);
    assert_eq!(site.value(SQL, connected), "CONNECTED");
}
