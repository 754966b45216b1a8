//! What one side cannot know of the other while nothing passes between them, and what each does
//! meanwhile.

use twin::world::{AzureCommand, DatabaseState, FailoverType, Fault, JobStatus, Party, Side};

use crate::site::{LINK, MI, SQL, Site, alter, dba};

const SYNC: &str = "MODIFY AVAILABILITY GROUP ON
 'AG_Sales' WITH (AVAILABILITY_MODE = SYNCHRONOUS_COMMIT),
 'AG_Sales_MI' WITH (AVAILABILITY_MODE = SYNCHRONOUS_COMMIT)";
const OTHER: &str = "SELECT drs.synchronization_state_desc, drs.is_suspended
 FROM sys.dm_hadr_database_replica_states drs
 JOIN sys.availability_groups ag ON drs.group_id = ag.group_id
 WHERE ag.is_distributed = 1 AND drs.is_local = 0";
const OWN: &str = "SELECT drs.synchronization_state_desc, ISNULL(drs.suspend_reason_desc, '-')
 FROM sys.dm_hadr_database_replica_states drs
 JOIN sys.availability_groups ag ON drs.group_id = ag.group_id
 WHERE ag.is_distributed = 1 AND drs.is_local = 1";
const DROP: &str = "DROP AVAILABILITY GROUP [LinkSales]";

fn acknowledged(site: &Site) -> u64 {
    site.world.workload("shop").expect("it is there").acknowledged()
}

fn ask_for_deletion(site: &mut Site) {
    site.world.azure(&dba(), MI, AzureCommand::DeleteLink(LINK.to_owned())).expect("taken");
}

#[test]
fn going_over_by_deleting_the_link_costs_what_had_not_arrived() {
    let mut site = Site::new();
    site.network(false);
    site.wait(60);
    site.delete_link();
    let loss = site.world.loss(LINK).expect("known");
    assert_eq!(loss.surviving, Side::ManagedInstance, "that is the way over of 2016 to 2019");
    assert!(loss.count > 1_000, "a minute and more at 20 a second: {loss:?}");
}

#[test]
fn dropping_the_group_on_a_secondary_costs_what_had_not_arrived_there() {
    let mut site = Site::new();
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.world.repoint("shop", MI).expect("both exist");
    site.wait(10);
    site.network(false);
    site.wait(60);
    site.sql(SQL, DROP).expect("dropped");
    let loss = site.world.loss(LINK).expect("known");
    assert_eq!(loss.surviving, Side::SqlServer);
    assert!(loss.count > 1_000, "{loss:?}");
}

#[test]
fn a_primary_shows_of_its_secondary_what_it_last_heard() {
    let mut site = Site::new();
    site.network(false);
    site.wait(3);
    site.sql(MI, "ALTER DATABASE [Sales] SET HADR SUSPEND").expect("taken");
    site.wait(5);
    let heard = [["SYNCHRONIZING".to_owned(), "0".to_owned()]];
    assert_eq!(site.sql(SQL, OTHER).expect("it answers"), heard, "it cannot know");
    site.network(true);
    site.wait(3);
    let heard = [["NOT SYNCHRONIZING".to_owned(), "1".to_owned()]];
    assert_eq!(site.sql(SQL, OTHER).expect("it answers"), heard, "now it was told");
}

#[test]
fn a_planned_failover_goes_by_what_the_primary_last_heard() {
    let mut site = Site::new();
    // The way back alone is cut: the managed instance cannot say that it follows no longer.
    let [from, to] = [MI, SQL].map(|name| Party::Instance(name.to_owned()));
    site.fault(Fault::Cut { from, to, one_way: true });
    site.sql(MI, "ALTER DATABASE [Sales] SET HADR SUSPEND").expect("taken");
    let before = site.world.now();
    assert_eq!(site.sql(SQL, &alter("FAILOVER")), Err(47_514));
    let took = site.world.now().duration_since(before).as_secs();
    assert!(took >= 15, "it was not known before the session timed out: {took} s");
    assert_eq!(site.roles(), ("PRIMARY".into(), "SECONDARY".into()));
}

#[test]
fn each_side_waits_for_commits_by_its_own_mode() {
    for forced in [true, false] {
        let mut site = Site::new();
        site.sql(SQL, &alter(SYNC)).expect("taken");
        site.wait(10);
        site.network(false);
        site.wait(1);
        let before = acknowledged(&site);
        if forced {
            site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("taken");
        } else {
            ask_for_deletion(&mut site);
        }
        site.wait(14);
        assert!(site.writers().1, "the managed instance is on its own");
        assert_eq!(acknowledged(&site), before, "SQL Server still waits for it");
        site.wait(15);
        assert!(acknowledged(&site) > before + 50, "until the session has timed out");
    }
}

#[test]
fn after_a_forced_failover_the_log_is_kept_for_the_side_that_is_away() {
    let mut site = Site::with(|spec| {
        spec.links[0].log.file_mb = 256;
        spec.links[0].log.max_mb = 256;
        spec.workloads[0].bytes = 60_000;
        spec.workloads[0].commits_per_s = 100.0;
    });
    site.fault(Fault::Stop { instance: SQL.to_owned() });
    site.wait(30);
    site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("taken");
    site.wait(10);
    site.world.repoint("shop", MI).expect("both exist");
    site.wait(90);
    let full = acknowledged(&site);
    site.wait(700);
    assert_eq!(acknowledged(&site), full, "not one commit more, though Azure backs its log up");
    let error = site.world.commit(MI, "Sales", 60_000).expect_err("the log is full");
    assert_eq!(error.number, 9_002);
    assert!(error.message.contains("AVAILABILITY_REPLICA"), "{error}");
    site.delete_link();
    site.wait(700);
    assert!(acknowledged(&site) > full + 100, "giving the link up saves production");
}

#[test]
fn a_secondary_truncates_what_its_primary_has() {
    let mut site = Site::with(|spec| {
        spec.links[0].log.file_mb = 1_024;
        spec.workloads[0].bytes = 60_000;
        spec.workloads[0].commits_per_s = 50.0;
    });
    let used = |site: &Site| site.world.log_facts(MI)[0].used_bytes >> 20;
    site.wait(150);
    assert!(used(&site) > 300, "before SQL Server's log backup: {} MB", used(&site));
    site.wait(60);
    assert!(used(&site) < 250, "and after it: {} MB", used(&site));
}

#[test]
fn a_link_deleted_while_the_copy_reverts_leaves_a_database_that_does_not_open() {
    let mut site = Site::with(|spec| spec.links[0].log.undo_kb_s = 5);
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.world.repoint("shop", MI).expect("both exist");
    site.wait(300);
    site.network(false);
    site.wait(60);
    site.sql(SQL, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("taken");
    site.wait(20);
    site.network(true);
    site.demote(MI);
    site.wait(30);
    site.sql(MI, "ALTER DATABASE [Sales] SET HADR RESUME").expect("taken");
    site.wait(5);
    assert_eq!(site.sql(MI, OWN).expect("it answers")[0][0], "REVERTING");
    site.delete_link();
    assert_eq!(site.state(MI), DatabaseState::Restoring);
    assert_eq!(site.sql(MI, "USE [Sales]"), Err(927));
    assert_eq!(site.writers(), (true, false), "only SQL Server's copy takes writes");
}

#[test]
fn a_failover_of_a_group_whose_link_is_gone_is_47511_if_the_other_side_can_say_so() {
    let mut site = Site::new();
    site.delete_link();
    assert_eq!(site.sql(SQL, &alter("FAILOVER")), Err(47_511));
    site.network(false);
    assert_eq!(site.sql(SQL, &alter("FAILOVER")), Err(47_514), "nobody there to say so");
}

#[test]
fn trap_6_restarting_before_the_first_full_backup_costs_the_database_of_a_kept_link_too() {
    let mut site = Site::new();
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.wait(60);
    site.restart(MI);
    assert_eq!(site.state(MI), DatabaseState::RecoveryPending);
    assert_eq!(site.sql(MI, "USE [Sales]"), Err(945));
    assert_eq!(site.writers(), (false, false), "and there is no other");
    assert_eq!(site.sql(MI, &alter("FAILOVER")), Err(41_993));
    site.fault(Fault::Repair { instance: MI.to_owned() });
    assert_eq!(site.writers(), (false, true), "support has mended it");
    site.wait(250);
    site.restart(MI);
    assert_eq!(site.state(MI), DatabaseState::Online, "now it has its backup");

    let mut kinder = Site::with(|spec| spec.links[0].unconfirmed.restart_before_backup = false);
    kinder.sql(SQL, &alter("FAILOVER")).expect("taken");
    kinder.wait(60);
    kinder.restart(MI);
    assert_eq!(kinder.state(MI), DatabaseState::Online);
}

#[test]
fn dropping_one_database_of_a_deleted_link_leaves_the_other() {
    let mut site = Site::with(|spec| {
        spec.instances[0].product_version = "17.0.4085.1".to_owned();
        spec.instances[1].update_policy = twin::world::UpdatePolicy::SQLServer2025;
        spec.links[0].databases = vec!["Sales".to_owned(), "Stock".to_owned()];
    });
    site.delete_link();
    site.world.repoint("shop", MI).expect("both exist");
    site.wait(10);
    let before = acknowledged(&site);
    let command = AzureCommand::DeleteDatabase("Sales".to_owned());
    site.world.azure(&dba(), MI, command).expect("taken");
    site.wait(10);
    let names = "SELECT name FROM sys.databases WHERE database_id > 4";
    assert_eq!(site.sql(MI, names).expect("it answers").concat(), ["Stock"]);
    assert_eq!(site.sql(MI, "USE [Sales]"), Err(911));
    assert_eq!(site.sql(MI, "USE [Stock]"), Ok(Vec::new()));
    let gone = acknowledged(&site);
    assert!(gone > before, "there was a database until then");
    site.wait(30);
    assert_eq!(acknowledged(&site), gone, "a database that is not there takes no commits");
    assert_eq!(site.sql(SQL, "USE [Sales]"), Ok(Vec::new()), "SQL Server's is untouched");
}

#[test]
fn a_group_that_was_offline_comes_back_as_secondary_whatever_the_other_side_is() {
    let mut site = Site::new();
    site.sql(SQL, "ALTER AVAILABILITY GROUP [AG_Sales] OFFLINE").expect("taken");
    site.wait(5);
    site.restart(SQL);
    assert_eq!(site.roles(), ("SECONDARY".into(), "SECONDARY".into()));
    assert_eq!(site.writers(), (false, false), "somebody has to force one of them");
    site.sql(SQL, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("taken");
    site.wait(20);
    assert_eq!(site.writers(), (true, false));
}

#[test]
fn azure_learns_of_a_dropped_group_when_the_servers_meet() {
    let mut site = Site::new();
    site.network(false);
    site.sql(SQL, DROP).expect("dropped");
    site.wait(10);
    assert_eq!(site.replica_state(), "LinkSynchronizing", "nobody has told it");
    site.wait(60);
    assert_eq!(site.replica_state(), "LinkSynchronizing", "silence is all that it knows");
    site.network(true);
    site.wait(10);
    assert_eq!(site.replica_state(), "LinkSynchronizationError");
}

#[test]
fn an_old_primary_needs_a_second_try_and_somebody_who_lets_it_follow() {
    let mut site = Site::new();
    site.network(false);
    site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("taken");
    site.wait(30);
    site.world.repoint("shop", MI).expect("both exist");
    site.network(true);
    assert_eq!(site.sql(SQL, &alter("SET (ROLE = SECONDARY)")), Err(41_104));
    assert_eq!(site.role(SQL), "PRIMARY", "nothing has changed");
    site.sql(SQL, &alter("SET (ROLE = SECONDARY)")).expect("the second time it comes");
    site.sql(SQL, "ALTER DATABASE [Sales] SET HADR RESUME").expect("taken");
    site.wait(60);
    let suspended = [["NOT SYNCHRONIZING".to_owned(), "SUSPEND_FROM_PARTNER".to_owned()]];
    assert_eq!(site.sql(SQL, OWN).expect("it answers"), suspended, "that was too early");
    assert_eq!(site.sql(MI, &alter("FAILOVER")), Err(47_514));
    site.sql(SQL, "ALTER DATABASE [Sales] SET HADR RESUME").expect("taken");
    site.wait(60);
    let follows = [["SYNCHRONIZING".to_owned(), "-".to_owned()]];
    assert_eq!(site.sql(SQL, OWN).expect("it answers"), follows);
    site.sql(MI, &alter("FAILOVER")).expect("and it goes back");
}

#[test]
fn below_cu13_a_forced_failover_goes_over_azure_alone() {
    let mut site = Site::of_build("16.0.4115.5");
    assert_eq!(site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")), Err(41_985));
    assert_eq!(site.failover(FailoverType::ForcedAllowDataLoss), Ok(JobStatus::Succeeded));
    assert_eq!(site.role(MI), "PRIMARY");
}

#[test]
fn log_whose_receipt_does_not_come_back_is_not_followed_by_more() {
    let mut site = Site::new();
    let [from, to] = [MI, SQL].map(|name| Party::Instance(name.to_owned()));
    site.fault(Fault::Cut { from, to, one_way: true });
    site.wait(20);
    site.fault(Fault::Stop { instance: SQL.to_owned() });
    site.wait(30);
    site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("taken");
    site.wait(10);
    let loss = site.world.loss(LINK).expect("known");
    assert!(loss.count > 300, "nearly all of the 20 s: {loss:?}");
}

#[test]
fn a_session_is_not_told_of_a_commit_whose_answer_does_not_arrive() {
    let mut site = Site::new();
    site.sql(SQL, "USE [Sales]; CREATE TABLE t (n int)").expect("made");
    site.sql(SQL, &alter(SYNC)).expect("taken");
    site.world.set_running("shop", false).expect("it is there");
    site.wait(10);
    let unknown = |site: &Site| site.world.commits(LINK).filter(|it| !it.acknowledged).count();
    assert_eq!(unknown(&site), 0);
    site.network(false);
    site.unheard(SQL, "USE [Sales]; INSERT INTO t VALUES (1)");
    site.wait(60);
    assert_eq!(unknown(&site), 1, "committed, and its client never heard of it");
}

#[test]
fn a_new_certificate_that_nobody_has_brought_over_keeps_the_two_apart() {
    let mut site = Site::new();
    site.sql(SQL, "CREATE CERTIFICATE Cert_new WITH SUBJECT = 'new', EXPIRY_DATE = '2036-01-01'")
        .expect("made");
    let endpoint = "SELECT name FROM sys.database_mirroring_endpoints";
    let endpoint = site.value(SQL, endpoint);
    let shows = |certificate: &str| {
        format!(
            "ALTER ENDPOINT [{endpoint}] FOR DATABASE_MIRRORING \
             (AUTHENTICATION = CERTIFICATE [{certificate}], ENCRYPTION = REQUIRED ALGORITHM AES)"
        )
    };
    site.sql(SQL, &shows("Cert_new")).expect("altered");
    site.wait(30);
    let connected = "SELECT MAX(connected_state_desc) FROM sys.dm_hadr_availability_replica_states";
    assert_eq!(site.value(SQL, connected), "CONNECTED", "an open connection outlives it");
    site.network(false);
    site.wait(60);
    site.network(true);
    site.wait(120);
    assert_eq!(site.value(SQL, connected), "DISCONNECTED");
    let certificate = |site: &Site, name: &str| {
        let setup = site.world.instance(SQL).expect("it is there").setup();
        setup.certificates[name].blob.clone().expect("it was made there")
    };
    let upload = |site: &mut Site, name: &str, blob: Vec<u8>| {
        let expiry = site.world.now() + jiff::SignedDuration::from_hours(24 * 365);
        let upload = AzureCommand::PutCertificate { name: name.into(), blob, expiry };
        site.world.azure(&dba(), MI, upload).expect("taken");
        site.wait(120);
    };
    let old = certificate(&site, "Cert_SQL01_endpoint");
    upload(&mut site, "Cert_old", old);
    assert_eq!(site.value(SQL, connected), "DISCONNECTED", "another one does not count");
    let new = certificate(&site, "Cert_new");
    let digits: String = new.iter().map(|byte| format!("{byte:02X}")).collect();
    let same = format!("SELECT IIF(CERTENCODED(CERT_ID(N'Cert_new')) = 0x{digits}, 'same', 'no')");
    assert_eq!(site.value(SQL, &same), "same", "an administrator reads it there");
    upload(&mut site, "Cert_new", new);
    assert_eq!(site.value(SQL, connected), "CONNECTED");
}

#[test]
fn a_broken_chain_of_trust_keeps_a_link_from_coming_back_until_the_roots_are_there() {
    let mut site = Site::new();
    site.sql(SQL, "DROP CERTIFICATE [DigiCertPKI]").expect("dropped");
    site.network(false);
    site.wait(60);
    site.network(true);
    site.wait(120);
    let connected = "SELECT MAX(connected_state_desc) FROM sys.dm_hadr_availability_replica_states";
    assert_eq!(site.value(SQL, connected), "DISCONNECTED");
    site.sql(SQL, "CREATE CERTIFICATE [DigiCertPKI] FROM BINARY = 0x308201").expect("made");
    site.wait(60);
    assert_eq!(site.value(SQL, connected), "DISCONNECTED", "it is no issuer yet");
    let id = site.value(SQL, "SELECT CERT_ID('DigiCertPKI')");
    let issues = format!("EXEC sp_certificate_add_issuer {id}, N'*.database.windows.net'");
    site.sql(SQL, &issues).expect("taken");
    site.wait(60);
    assert_eq!(site.value(SQL, connected), "CONNECTED");
}
