//! Full disks, and what suspends a database beside its administrator.

use twin::world::{Fault, Setting, SuspendReason, Volume};

use crate::site::{MI, SQL, Site, alter};

const ROW: &str = "SELECT drs.is_suspended, drs.suspend_reason_desc
 FROM sys.dm_hadr_database_replica_states drs
 JOIN sys.availability_groups ag ON drs.group_id = ag.group_id
 WHERE ag.is_distributed = 1 AND drs.is_local = 1";

fn fill(site: &mut Site, instance: &str, volume: Volume, on: bool) {
    let instance = instance.to_owned();
    site.world.set(Setting::VolumeFull { instance, volume, on }).expect("it is there");
}

fn reason(site: &mut Site, at: &str) -> String {
    site.sql(at, ROW).expect("it answers")[0][1].clone()
}

#[test]
fn a_full_data_disk_refuses_what_needs_room() {
    let mut site = Site::new();
    site.sql(SQL, "CREATE TABLE Sales.dbo.T (a int)").expect("made");
    site.sql(SQL, "INSERT INTO Sales.dbo.T VALUES (1), (2)").expect("inserted");
    fill(&mut site, SQL, Volume::Data, true);
    assert_eq!(site.sql(SQL, "INSERT INTO Sales.dbo.T VALUES (3)"), Err(1_105));
    site.sql(SQL, "DELETE FROM Sales.dbo.T WHERE a = 2").expect("that needs none");
    assert_eq!(site.writers(), (false, false), "nobody serves");
    assert_eq!(site.world.commit(SQL, "Sales", 512).expect_err("full").number, 1_105);
    fill(&mut site, SQL, Volume::Data, false);
    assert_eq!(site.writers(), (true, false));
}

#[test]
fn a_full_log_disk_keeps_the_log_from_growing() {
    let full = |disk: bool| {
        let mut site = Site::with(|spec| {
            spec.links[0].log.file_mb = 128;
            spec.links[0].log.growth_mb = 64;
            spec.instances[0].jobs = Some(Vec::new());
            spec.workloads[0].bytes = 60_000;
            spec.workloads[0].commits_per_s = 50.0;
        });
        fill(&mut site, SQL, Volume::Log, disk);
        site.wait(90);
        let refused = site.world.commit(SQL, "Sales", 60_000).err();
        (site.writers().0, refused.map(|error| error.number))
    };
    assert_eq!(full(false), (true, None), "it grows");
    assert_eq!(full(true), (false, Some(9_002)));
}

#[test]
fn a_secondary_without_room_for_data_stops_its_redo_until_it_is_resumed() {
    let mut site = Site::new();
    fill(&mut site, MI, Volume::Data, true);
    site.wait(10);
    assert_eq!(reason(&mut site, MI), "SUSPEND_FROM_REDO");
    assert_eq!(site.sql(SQL, &alter("FAILOVER")), Err(47_514));
    fill(&mut site, MI, Volume::Data, false);
    site.wait(60);
    assert_eq!(reason(&mut site, MI), "SUSPEND_FROM_REDO", "room alone resumes nothing");
    site.sql(MI, "ALTER DATABASE [Sales] SET HADR RESUME").expect("taken");
    site.wait(30);
    assert_eq!(reason(&mut site, MI), "NULL");
    site.sql(SQL, &alter("FAILOVER")).expect("now it goes");
}

#[test]
fn every_reason_of_a_suspension_is_told_and_ends_by_resume() {
    let reasons = [
        (SuspendReason::Capture, "SUSPEND_FROM_CAPTURE"),
        (SuspendReason::Apply, "SUSPEND_FROM_APPLY"),
        (SuspendReason::Redo, "SUSPEND_FROM_REDO"),
    ];
    let mut site = Site::new();
    for (reason_given, told) in reasons {
        let (instance, database) = (MI.to_owned(), "Sales".to_owned());
        site.fault(Fault::Suspend { instance, database, reason: reason_given });
        site.wait(5);
        assert_eq!(reason(&mut site, MI), told);
        site.sql(MI, "ALTER DATABASE [Sales] SET HADR RESUME").expect("taken");
        site.wait(10);
        assert_eq!(reason(&mut site, MI), "NULL");
    }
    site.sql(MI, "ALTER DATABASE [Sales] SET HADR SUSPEND").expect("taken");
    assert_eq!(reason(&mut site, MI), "SUSPEND_FROM_USER");
    site.restart(MI);
    assert_eq!(reason(&mut site, MI), "SUSPEND_FROM_RESTART", "it stays so over a restart");
    let unknown = Fault::Suspend {
        instance: MI.to_owned(),
        database: "Stock".to_owned(),
        reason: SuspendReason::Redo,
    };
    let error = site.world.fault(unknown).expect_err("no such").to_string();
    assert_eq!(error, "there is no linked database named \"Stock\"; there is Sales");
}

#[test]
fn a_secondary_without_room_for_its_log_takes_no_more_of_it_until_it_is_resumed() {
    let mut site = Site::with(|spec| {
        let log = &mut spec.links[0].log;
        (log.file_mb, log.max_mb, log.growth_mb, log.redo_kb_s) = (64, 64, 0, 20);
        spec.instances[0].jobs = None;
        spec.workloads[0].bytes = 60_000;
        spec.workloads[0].commits_per_s = 20.0;
    });
    site.wait(40);
    assert_eq!(reason(&mut site, MI), "NULL", "there is room for half a minute and more");
    site.wait(120);
    assert_eq!(reason(&mut site, MI), "SUSPEND_FROM_APPLY", "redo that is far behind keeps it");
    let kept = "SELECT log_reuse_wait_desc FROM sys.databases WHERE name = 'Sales'";
    assert_eq!(site.value(SQL, kept), "AVAILABILITY_REPLICA");
    assert_eq!(site.world.commit(SQL, "Sales", 60_000).expect_err("full").number, 9_002);
}
