//! What keeps a link from being made, on the way and from the beginning.

use twin::world::{
    Tier,
    setup::{Change, DatabaseChange, Feature},
};

use crate::{
    groups::{create, local, making, order, spare, usual},
    site::{LINK, MI, SQL, Site},
};

const LOG_BACKUP: &str = r"BACKUP LOG [Orders] TO DISK = N'C:\Backup\Orders.trn'";

fn prepared() -> Site {
    let mut site = spare();
    site.sql(SQL, &local("[Orders]")).expect("made");
    site.sql(SQL, &usual("LinkOrders")).expect("made");
    site
}

fn seed(site: &mut Site) {
    create(site, order("LinkOrders", "Orders", "AG_Orders"));
    for _ in 0..60 {
        site.wait(1);
        if making(site, "LinkOrders").0 == "LinkInitialSeeding" {
            return;
        }
    }
    panic!("it is never seeded");
}

#[test]
fn a_log_backup_during_seeding_costs_the_link() {
    let mut site = prepared();
    seed(&mut site);
    site.sql(SQL, LOG_BACKUP).expect("nobody keeps one from it");
    site.wait(3_600);
    let (state, _, number) = making(&site, "LinkOrders");
    assert_eq!((state.as_str(), number), ("LinkCreationError", Some(1_412)), "for good");
}

#[test]
fn trace_flag_12381_keeps_the_log_until_the_database_is_seeded() {
    let mut site = prepared();
    site.sql(SQL, "DBCC TRACEON (12381, -1)").expect("taken");
    seed(&mut site);
    site.sql(SQL, LOG_BACKUP).expect("taken");
    site.wait(60);
    assert_eq!(making(&site, "LinkOrders").0, "made");
}

#[test]
fn what_a_managed_instance_does_not_take_is_told_after_five_minutes() {
    for (feature, number) in [
        (Feature::InMemory, 41_947),
        (Feature::SeveralLogs, 41_948),
        (Feature::Filestream, 41_950),
        (Feature::Other, 41_952),
    ] {
        let mut site = prepared();
        let change = DatabaseChange::Feature(Some(feature));
        let change = Change::Database { database: "Orders".to_owned(), change };
        site.world.set_up(SQL, change).expect("it is there");
        create(&mut site, order("LinkOrders", "Orders", "AG_Orders"));
        site.wait(330);
        let told = making(&site, "LinkOrders");
        assert_eq!(told, ("LinkCreationError".into(), None, Some(number)), "{feature:?}");
    }
}

#[test]
fn in_memory_tables_are_taken_on_business_critical() {
    let mut site = Site::with(|spec| {
        spec.instances[0].databases = vec!["Orders".to_owned()];
        spec.instances[1].tier = Tier::BusinessCritical;
    });
    site.sql(SQL, &local("[Orders]")).expect("made");
    site.sql(SQL, &usual("LinkOrders")).expect("made");
    let change = DatabaseChange::Feature(Some(Feature::InMemory));
    let change = Change::Database { database: "Orders".to_owned(), change };
    site.world.set_up(SQL, change).expect("it is there");
    create(&mut site, order("LinkOrders", "Orders", "AG_Orders"));
    site.wait(60);
    assert_eq!(making(&site, "LinkOrders").0, "made");
}

#[test]
fn a_group_name_that_the_managed_instance_has_already_is_41987() {
    let mut site = prepared();
    let group = site.world.arm_link(MI, LINK).expect("the link").instance_group;
    let mut order = order("LinkOrders", "Orders", "AG_Orders");
    order.instance_group = group;
    let operation = create(&mut site, order);
    site.wait(20);
    let status = site.world.azure_operation(&operation).expect("it is known").status;
    assert!(format!("{status:?}").contains("41987"), "{status:?}");
}

#[test]
fn a_database_that_was_seeded_has_no_log_backup_before_its_first_full_one() {
    let mut site = prepared();
    seed(&mut site);
    site.wait(60);
    let backups = "SELECT type FROM msdb.dbo.backupset WHERE database_name = N'Orders'
                   ORDER BY backup_finish_date";
    assert_eq!(site.sql(MI, backups), Ok(Vec::new()));
    site.wait(300);
    let kinds = site.sql(MI, backups).expect("it answers").concat();
    assert_eq!(kinds, ["D", "L"], "four minutes, as after a failover");
}
