//! Views that show more than one looks for.

use twin::world::{InstanceSpec, Tier};

use crate::site::{LINK, MI, SQL, Site, alter};

#[test]
fn trap_8_on_business_critical_a_database_has_a_row_for_each_local_replica() {
    let mut site = Site::with(|spec| spec.instances[1].tier = Tier::BusinessCritical);
    let q5 = "SELECT drs.last_hardened_lsn, drs.is_primary_replica
              FROM sys.dm_hadr_database_replica_states drs
              JOIN sys.databases db ON db.database_id = drs.database_id WHERE db.name = N'Sales'";
    let all = site.sql(MI, q5).expect("it answers");
    assert_eq!(all.len(), 5, "one of the link, four of the local group: {all:?}");
    assert!(all.iter().any(|row| row[0] != all[0][0]), "and they differ: {all:?}");
    let one = site.sql(MI, &format!("{q5} AND drs.is_primary_replica = 1")).expect("it answers");
    assert_eq!(one.len(), 1);
    let general = Site::new().sql(MI, q5).expect("it answers");
    assert_eq!(general.len(), 2, "General Purpose has one local replica");
}

#[test]
fn trap_9_a_link_with_several_databases_has_internal_groups_that_look_like_links() {
    let mut site = Site::with(|spec| {
        let sql: &mut InstanceSpec = &mut spec.instances[0];
        sql.product_version = "17.0.4085.1".to_owned();
        spec.instances[1].update_policy = twin::world::UpdatePolicy::SQLServer2025;
        spec.links[0].databases = vec!["Sales".to_owned(), "Stock".to_owned()];
    });
    for at in [SQL, MI] {
        let wide =
            "SELECT COUNT(*) FROM sys.dm_hadr_availability_replica_states WHERE is_local = 1";
        let narrow = format!(
            "SELECT COUNT(*) FROM sys.dm_hadr_availability_replica_states rs
             JOIN sys.availability_groups ag ON ag.group_id = rs.group_id
             WHERE rs.is_local = 1 AND ag.is_distributed = 1 AND ag.name = N'{LINK}'"
        );
        assert_eq!(site.value(at, wide), "4", "{at}: two groups, and one for each database");
        assert_eq!(site.value(at, &narrow), "1", "{at}");
        let internal = "SELECT COUNT(*) FROM sys.dm_hadr_availability_replica_states rs
                        WHERE is_internal = 1 AND NOT EXISTS (SELECT 1 FROM sys.availability_groups ag
                        WHERE ag.group_id = rs.group_id)";
        assert_eq!(site.value(at, internal), "2", "{at}");
    }
}

#[test]
fn a_forwarder_calls_itself_primary_in_its_own_group() {
    let mut site = Site::new();
    let query = "SELECT ag.is_distributed, rs.role_desc FROM sys.availability_groups ag
                 JOIN sys.dm_hadr_availability_replica_states rs ON ag.group_id = rs.group_id
                 WHERE rs.is_local = 1 ORDER BY ag.is_distributed";
    let rows = site.sql(MI, query).expect("it answers");
    let rows: Vec<_> = rows.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    assert_eq!(rows, [("0", "PRIMARY"), ("1", "SECONDARY")], "only the second is the link's");
}

#[test]
fn what_a_version_does_not_have_is_not_in_its_views() {
    let asked = |build: &str, query: &str| Site::of_build(build).sql(SQL, query).map(|_| ());
    let cluster = "SELECT cluster_type_desc FROM sys.availability_groups";
    assert_eq!(asked("13.0.7000.253", cluster), Err(207));
    assert_eq!(asked("14.0.3490.10", cluster), Ok(()));
    let contained = "SELECT is_contained FROM sys.availability_groups";
    assert_eq!(asked("14.0.3490.10", contained), Err(207));
    assert_eq!(asked("15.0.4312.2", contained), Ok(()));
    let ledger = "SELECT is_ledger_on FROM sys.databases";
    assert_eq!(asked("15.0.4312.2", ledger), Err(207));
    assert_eq!(asked("16.0.1000.6", ledger), Ok(()));
    let host = "SELECT host_platform FROM sys.dm_os_host_info";
    assert_eq!(asked("13.0.7000.253", host), Err(208));
    let internal = "SELECT is_internal FROM sys.dm_hadr_database_replica_states";
    assert_eq!(asked("16.0.4125.3", internal), Err(207));
    assert_eq!(asked("17.0.1000.7", internal), Ok(()));
}

#[test]
fn a_version_says_the_same_of_itself_everywhere() {
    let versions = [
        ("13.0.7000.253", "2016", "130", "852", "SP3", "NULL"),
        ("14.0.3490.10", "2017", "140", "869", "RTM", "CU31"),
        ("15.0.4312.2", "2019", "150", "904", "RTM", "CU20"),
        ("16.0.4095.4", "2022", "160", "957", "RTM", "CU10"),
        ("17.0.1000.7", "2025", "170", "998", "RTM", "NULL"),
    ];
    for (build, year, level, format, product, update) in versions {
        let mut site = Site::of_build(build);
        let version = site.value(SQL, "SELECT @@VERSION");
        assert!(
            version.starts_with(&format!("Microsoft SQL Server {year} ({product}")),
            "{version}"
        );
        assert!(version.contains(build), "{version}");
        let asked = site.sql(
            SQL,
            "SELECT SERVERPROPERTY('ProductVersion'), SERVERPROPERTY('ProductLevel'),
             SERVERPROPERTY('ProductUpdateLevel'), DATABASEPROPERTYEX(N'Sales', 'Version'),
             (SELECT compatibility_level FROM sys.databases WHERE name = N'Sales')",
        );
        let row = asked.expect("it answers").concat();
        assert_eq!(row, [build, product, update, format, level], "{build}");
    }
}

#[test]
fn log_that_has_moved_is_counted_up_and_never_down() {
    let mut site = Site::new();
    let counter = |site: &mut Site, at: &str, object: &str, name: &str| -> u64 {
        let text = format!(
            "SELECT MAX(cntr_value) FROM sys.dm_os_performance_counters \
             WHERE counter_name = N'{name}' AND object_name LIKE N'%{object}%'"
        );
        site.value(at, &text).parse().expect("a number")
    };
    let redone = |site: &mut Site| counter(site, MI, "Database Replica", "Redone Bytes/sec");
    let before = redone(&mut site);
    assert!(before > 0);
    site.wait(10);
    let after = redone(&mut site);
    assert!(after > before);
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.wait(30);
    assert!(redone(&mut site) >= after, "it is primary, and the sum stays");
    let sent = counter(&mut site, SQL, "Availability Replica", "Bytes Sent to Replica/sec");
    let received =
        counter(&mut site, MI, "Availability Replica", "Bytes Received from Replica/sec");
    assert!(sent >= received && received >= after, "{sent} {received} {after}");
}
