//! What a managed instance backs up of itself, and what that means for its log.

use twin::world::{BackupKind, WorldSpec};

use crate::site::{LINK, MI, SQL, Site, alter};

const DAY: i64 = 86_400;

fn idle(spec: &mut WorldSpec) {
    spec.workloads[0].commits_per_s = 0.1;
}

fn finished(site: &Site, kind: BackupKind) -> usize {
    let instance = site.world.instance(MI).expect("it is there");
    let backups = instance.backups(site.world.now());
    backups.filter(|backup| backup.kind == kind && backup.database == "Sales").count()
}

#[test]
fn a_managed_instance_backs_up_in_full_once_a_week_and_the_log_every_ten_minutes() {
    let mut site = Site::with(idle);
    let (full, log) = (finished(&site, BackupKind::Full), finished(&site, BackupKind::Log));
    site.wait(DAY);
    assert_eq!(finished(&site, BackupKind::Full), full, "no differential, and no other full one");
    let logs = finished(&site, BackupKind::Log) - log;
    assert!((140..=144).contains(&logs), "{logs} in a day");
    site.wait(5 * DAY);
    assert_eq!(finished(&site, BackupKind::Full), full + 1, "a week after the one from before");
    site.wait(7 * DAY);
    assert_eq!(finished(&site, BackupKind::Full), full + 1, "the next, and the oldest is gone");
    let logs = finished(&site, BackupKind::Log);
    assert!(logs < 9 * 144, "with all that no restore within a week needs: {logs}");
}

#[test]
fn a_full_backup_frees_no_log() {
    let mut site = Site::with(|spec| {
        spec.links[0].log.file_mb = 512;
        spec.workloads[0].bytes = 60_000;
        spec.workloads[0].commits_per_s = 20.0;
    });
    let used = |site: &Site| site.world.log_facts(SQL)[0].used_bytes >> 20;
    site.wait(60);
    let before = used(&site);
    assert!(before > 80, "{before} MB");
    site.sql(SQL, r"BACKUP DATABASE [Sales] TO DISK = N'C:\Backup\Sales.bak'").expect("taken");
    site.sql(SQL, r"BACKUP LOG [Sales] TO DISK = N'C:\Backup\Copy.trn' WITH COPY_ONLY")
        .expect("taken");
    site.wait(2);
    assert!(used(&site) >= before, "nor a copy of the log: {} MB", used(&site));
    site.sql(SQL, r"BACKUP LOG [Sales] TO DISK = N'C:\Backup\Sales.trn'").expect("taken");
    site.wait(2);
    assert!(used(&site) < 20, "only a backup of the log does: {} MB", used(&site));
}

#[test]
fn after_a_failover_the_managed_instance_frees_its_log_by_its_own_log_backups() {
    let mut site = Site::with(|spec| {
        spec.links[0].log.file_mb = 1_024;
        spec.workloads[0].bytes = 60_000;
        spec.workloads[0].commits_per_s = 10.0;
    });
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.world.repoint("shop", MI).expect("both exist");
    let used = |site: &Site| site.world.log_facts(MI)[0].used_bytes >> 20;
    site.wait(540);
    let full = used(&site);
    assert!(full > 250, "{full} MB, though the first full backup is done");
    site.wait(120);
    assert!(used(&site) < 100, "the log backup after ten minutes: {} MB", used(&site));
    assert_eq!(site.writers(), (false, true));
}

#[test]
fn whoever_fills_the_log_of_one_database_takes_writes_from_that_one_only() {
    let mut site = Site::with(|spec| {
        spec.instances[0].product_version = "16.0.4275.1".to_owned();
        spec.instances[0].jobs = Some(Vec::new());
        spec.links[0].databases = vec!["Sales".to_owned(), "Stock".to_owned()];
        spec.links[0].log.file_mb = 128;
        spec.links[0].log.max_mb = 128;
        spec.workloads[0].bytes = 60_000;
        spec.workloads[0].commits_per_s = 50.0;
    });
    site.wait(60);
    let of = |site: &Site, place: usize| {
        let intervals = site.world.ledger().intervals_of(LINK, place);
        intervals.last().expect("an interval").writers.sql_server
    };
    assert!(!of(&site, 0), "its log is full: no backup of the log is taken");
    assert!(of(&site, 1), "the other one goes on");
    assert_eq!(site.writers(), (true, false), "the link as a whole");
    let error = site.world.commit(SQL, "Sales", 60_000).expect_err("full");
    assert_eq!(error.number, 9_002);
    site.sql(SQL, r"BACKUP LOG [Sales] TO DISK = N'C:\Backup\Sales.trn'").expect("taken");
    site.wait(3);
    assert!(of(&site, 0), "and again it does");
}
