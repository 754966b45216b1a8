//! What Azure says of a link, and what that is worth.

use twin::world::{AzureLink, FailoverType, Fault, Role, Usage};

use crate::site::{LINK, MI, SQL, Site, alter};

#[test]
fn trap_10_the_state_of_a_replica_is_an_open_set_of_words() {
    let mut site = Site::new();
    let mut seen = vec![site.replica_state()];
    let mut note = |state: String| {
        if !seen.contains(&state) {
            seen.push(state);
        }
    };
    site.world
        .arm(
            &crate::site::dba(),
            twin::world::ArmCommand::Failover {
                instance: MI.to_owned(),
                link: LINK.to_owned(),
                kind: FailoverType::ForcedAllowDataLoss,
            },
        )
        .expect("taken");
    for _ in 0..20 {
        site.wait(1);
        note(site.replica_state());
    }
    // Making it secondary again by the same call reads as an error, for some time.
    site.failover(FailoverType::ForcedAllowDataLoss).expect("taken");
    note(site.replica_state());
    assert_eq!(seen[..2], ["LinkSynchronizing", "LinkFailoverInProgress"], "{seen:?}");
    let errors: Vec<_> = seen.iter().filter(|state| state.contains("Error")).collect();
    assert_eq!(errors, ["LinkSynchronizationError"], "{seen:?}");
}

#[test]
fn trap_12_a_hyphen_in_the_name_of_a_link_is_nothing_to_the_servers() {
    let mut site = Site::with(|spec| {
        spec.links[0].name = "link-sales-01".to_owned();
        spec.workloads[0].link = "link-sales-01".to_owned();
    });
    // `az sql mi link failover` refuses the name before it asks anybody; Azure takes it.
    let command = twin::world::ArmCommand::Failover {
        instance: MI.to_owned(),
        link: "link-sales-01".to_owned(),
        kind: FailoverType::ForcedAllowDataLoss,
    };
    assert!(site.world.arm(&crate::site::dba(), command).is_ok());
    assert!(site.world.azure_link(MI, "link-sales-01").is_some());
    site.wait(30);
    let role =
        site.world.link("link-sales-01").expect("it").member(twin::world::Side::ManagedInstance);
    assert_eq!(role.role(), Role::Primary);
    // In T-SQL the name wants brackets.
    let bare = "ALTER AVAILABILITY GROUP link-sales-01 FAILOVER";
    assert_eq!(site.sql(SQL, bare), Err(102));
    assert_eq!(
        site.sql(SQL, "ALTER AVAILABILITY GROUP [link-sales-01] FORCE_FAILOVER_ALLOW_DATA_LOSS"),
        Err(41_122),
        "it is understood"
    );
}

#[test]
fn trap_13_after_a_failover_the_managed_instance_is_not_passive_any_more() {
    let mut site = Site::new();
    assert_eq!(site.world.detected_usage(MI), Usage::Passive);
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    assert_eq!(site.world.detected_usage(MI), Usage::Active);
}

#[test]
fn the_role_of_the_partner_is_what_the_managed_instance_believes() {
    let mut site = Site::new();
    site.failover(FailoverType::ForcedAllowDataLoss).expect("taken");
    let Some(AzureLink::Made { link, .. }) = site.world.azure_link(MI, LINK) else {
        panic!("the link is there");
    };
    assert_eq!((link.instance_role, link.partner_role), (Role::Primary, Role::Secondary));
    assert_eq!(site.role(SQL), "PRIMARY", "and SQL Server knows nothing of that");
}

#[test]
fn what_azure_saw_last_stands_while_the_instance_is_away() {
    let mut site = Site::new();
    site.fault(Fault::Stop { instance: MI.to_owned() });
    site.wait(120);
    let Some(AzureLink::Made { link, .. }) = site.world.azure_link(MI, LINK) else {
        panic!("the link is there");
    };
    assert!(link.databases[0].connected, "two minutes after it died");
}
