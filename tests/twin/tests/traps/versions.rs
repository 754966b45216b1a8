//! What versions, editions and policies do not have, in a world from a file as over Azure's door; and
//! what they say of themselves.

use jiff::Timestamp;
use twin::world::{
    AzureCommand, Edition, InstanceChange, InstanceSpec, LinkSpec, Side, Tier, UpdatePolicy, World,
    WorldSpec,
};

use crate::site::{MI, SQL, Site, alter, dba};

fn refused(change: impl FnOnce(&mut WorldSpec)) -> String {
    let mut spec = WorldSpec::default();
    change(&mut spec);
    match World::new(&spec, 1, Timestamp::UNIX_EPOCH) {
        Ok(_) => "taken".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn of(build: &str, policy: UpdatePolicy, change: impl FnOnce(&mut LinkSpec)) -> String {
    refused(|spec| {
        spec.instances[0].product_version = build.to_owned();
        spec.instances[1].update_policy = policy;
        spec.workloads.clear();
        change(&mut spec.links[0]);
    })
}

#[test]
fn a_managed_instance_of_2022_takes_no_database_of_2025() {
    let usual = |_: &mut LinkSpec| {};
    let told = of("17.0.1000.7", UpdatePolicy::SQLServer2022, usual);
    assert!(told.contains("newer format") && told.contains("SQLServer2025"), "{told}");
    assert_eq!(of("17.0.1000.7", UpdatePolicy::SQLServer2025, usual), "taken");
    // One-way, and still a link.
    assert_eq!(of("16.0.4125.3", UpdatePolicy::AlwaysUpToDate, usual), "taken");
}

#[test]
fn several_databases_need_a_late_build_and_an_edition_that_has_groups() {
    let several = |link: &mut LinkSpec| link.databases = vec!["Sales".into(), "Stock".into()];
    let told = of("16.0.4265.3", UpdatePolicy::SQLServer2022, several);
    assert!(told.contains("takes one database only"), "{told}");
    assert_eq!(of("16.0.4275.1", UpdatePolicy::SQLServer2022, several), "taken");
    let told = refused(|spec| {
        spec.instances[0].product_version = "16.0.4275.1".to_owned();
        spec.instances[0].edition = Edition::Standard;
        several(&mut spec.links[0]);
    });
    assert!(told.contains("Enterprise"), "{told}");
}

#[test]
fn a_managed_instance_is_no_first_primary_for_what_cannot_read_it() {
    let first = |link: &mut LinkSpec| link.primary = Side::ManagedInstance;
    for (build, policy) in [
        ("15.0.4312.2", UpdatePolicy::SQLServer2022),
        ("16.0.4085.2", UpdatePolicy::SQLServer2022),
        ("16.0.4125.3", UpdatePolicy::SQLServer2025),
        ("17.0.1000.7", UpdatePolicy::AlwaysUpToDate),
    ] {
        let told = of(build, policy, first);
        assert!(told.contains("is incompatible"), "{build}: {told}");
    }
    assert_eq!(of("16.0.4095.4", UpdatePolicy::SQLServer2022, first), "taken");
    assert_eq!(of("17.0.1000.7", UpdatePolicy::SQLServer2025, first), "taken");
}

#[test]
fn a_managed_instance_has_room_for_a_hundred_databases_or_five_hundred() {
    let links = |count: usize, tier| {
        refused(|spec| {
            spec.instances[1].tier = tier;
            spec.workloads.clear();
            let one = spec.links[0].clone();
            let numbered = |number: usize| LinkSpec {
                name: format!("Link{number}"),
                sql_group: format!("AG{number}"),
                databases: vec![format!("Db{number}")],
                ..one.clone()
            };
            spec.links = (0..count).map(numbered).collect();
        })
    };
    assert_eq!(links(100, Tier::GeneralPurpose), "taken");
    let told = links(101, Tier::BusinessCritical);
    assert!(told.contains("101 databases, and 100 it may"), "{told}");
    assert_eq!(links(101, Tier::NextGenGeneralPurpose), "taken");
    let told = refused(|spec| spec.instances[1].databases = vec!["sales".to_owned()]);
    assert!(told.contains("two databases"), "{told}");
}

#[test]
fn an_unknown_release_is_refused_and_an_unknown_update_says_nothing_of_itself() {
    let usual = |_: &mut InstanceSpec| {};
    let release = |build: &str, change: fn(&mut InstanceSpec)| {
        refused(|spec| {
            spec.instances[0].product_version = build.to_owned();
            change(&mut spec.instances[0]);
        })
    };
    for build in ["12.0.6024.0", "18.0.1.1", "16.5.1000.6"] {
        let told = release(build, usual);
        assert!(told.contains("of no release") && told.contains("17.0 (2025)"), "{told}");
    }
    let level = "SELECT CAST(SERVERPROPERTY('ProductUpdateLevel') AS nvarchar(10))";
    for (build, update) in [
        ("16.0.4255.1", "CU25"),
        ("16.0.4252.3", "CU24"),
        ("16.0.1105.1", "NULL"),
        ("16.0.4301.1", "NULL"),
        ("17.0.4035.5", "CU4"),
        ("15.0.4455.2", "CU32"),
    ] {
        assert_eq!(Site::of_build(build).value(SQL, level), update, "{build}");
    }
}

#[test]
fn a_policy_that_moves_forward_under_a_primary_leaves_no_way_back() {
    let mut site = Site::new();
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.wait(300);
    let policy = Some(UpdatePolicy::AlwaysUpToDate);
    let change = InstanceChange { policy, ..InstanceChange::default() };
    site.world.azure(&dba(), MI, AzureCommand::UpdateInstance(change)).expect("taken");
    site.wait(300);
    let connected = "SELECT MAX(connected_state_desc) FROM sys.dm_hadr_availability_replica_states";
    assert_eq!(site.value(SQL, connected), "DISCONNECTED");
    let read = site.world.arm_link(MI, "LinkSales").expect("the link").databases;
    assert_eq!(read[0].error, Some(41_984));
    assert_eq!(site.roles(), ("SECONDARY".into(), "PRIMARY".into()));
}
