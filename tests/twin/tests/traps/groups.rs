//! A link from its first statement to its last: what the administrator does on SQL Server, and what
//! Azure makes of it.

use twin::world::{AzureCommand, AzureLink, JobStatus, LinkOrder, Role, Side};

use crate::site::{LINK, MI, SQL, Site, alter, dba};

const MI_NAME: &str = "mi-dr.0a1b2c3d4e5f.database.windows.net";

pub(crate) fn spare() -> Site {
    Site::with(|spec| spec.instances[0].databases = vec!["Orders".to_owned(), "Stock".to_owned()])
}

pub(crate) fn local(databases: &str) -> String {
    format!(
        "CREATE AVAILABILITY GROUP [AG_Orders] WITH (CLUSTER_TYPE = NONE) FOR DATABASE {databases}
         REPLICA ON N'SQL01' WITH (ENDPOINT_URL = 'TCP://10.0.1.8:5022',
         AVAILABILITY_MODE = SYNCHRONOUS_COMMIT, FAILOVER_MODE = MANUAL, SEEDING_MODE = AUTOMATIC)"
    )
}

fn distributed(link: &str, group: &str, mode: &str, seeding: &str) -> String {
    format!(
        "CREATE AVAILABILITY GROUP [{link}] WITH (DISTRIBUTED) AVAILABILITY GROUP ON
         N'{group}' WITH (LISTENER_URL = 'TCP://10.0.1.8:5022',
           AVAILABILITY_MODE = ASYNCHRONOUS_COMMIT, FAILOVER_MODE = MANUAL,
           SEEDING_MODE = AUTOMATIC, SESSION_TIMEOUT = 20),
         N'mi-dr' WITH (LISTENER_URL = 'tcp://{MI_NAME}:5022;Server=[mi-dr]',
           AVAILABILITY_MODE = {mode}, FAILOVER_MODE = MANUAL, SEEDING_MODE = {seeding});"
    )
}

pub(crate) fn usual(link: &str) -> String {
    distributed(link, "AG_Orders", "ASYNCHRONOUS_COMMIT", "AUTOMATIC")
}

pub(crate) fn order(link: &str, database: &str, group: &str) -> LinkOrder {
    LinkOrder {
        name: link.to_owned(),
        databases: vec![database.to_owned()],
        from_instance: false,
        instance_group: "mi-dr".to_owned(),
        partner_group: group.to_owned(),
        partner_endpoint: "TCP://10.0.1.8:5022".to_owned(),
        two_way: Some(true),
        automatic: true,
        several: false,
    }
}

pub(crate) fn create(site: &mut Site, order: LinkOrder) -> String {
    let taken = site.world.azure(&dba(), MI, AzureCommand::CreateLink(order)).expect("taken");
    taken.operation.expect("it takes time").to_string()
}

fn status(site: &Site, operation: &str) -> JobStatus {
    site.world.azure_operation(operation).expect("it is known").status
}

pub(crate) fn making(site: &Site, link: &str) -> (String, Option<u8>, Option<u32>) {
    match site.world.azure_link(MI, link).expect("it is known") {
        AzureLink::Making { databases, .. } => {
            let database = databases.expect("listed")[0].clone();
            (database.replica_state.to_owned(), database.progress, database.error)
        }
        AzureLink::Made { .. } => ("made".to_owned(), None, None),
    }
}

#[test]
fn a_database_in_no_link_is_there_like_any_other() {
    let mut site = spare();
    let names = site.sql(SQL, "SELECT name FROM sys.databases WHERE database_id > 4 ORDER BY name");
    assert_eq!(names.expect("it answers").concat(), ["Orders", "Sales", "Stock"]);
    assert_eq!(site.sql(SQL, "USE [Orders]"), Ok(Vec::new()));
    assert_eq!(
        site.value(SQL, "SELECT DATABASEPROPERTYEX(N'Orders', 'Updateability')"),
        "READ_WRITE"
    );
    assert_eq!(site.sql(SQL, "ALTER DATABASE [Orders] SET HADR SUSPEND"), Err(35_242));
}

#[test]
fn a_link_is_made_by_both_groups_on_sql_server_and_a_request_to_azure() {
    let mut site = spare();
    site.sql(SQL, &local("[Orders]")).expect("made");
    site.sql(SQL, &usual("LinkOrders")).expect("made");
    let before = site.value(SQL, "SELECT CAST(group_id AS varchar(36)) FROM sys.availability_groups WHERE name = 'LinkOrders'");
    let operation = create(&mut site, order("LinkOrders", "Orders", "AG_Orders"));
    assert_eq!(making(&site, "LinkOrders").0, "CreatingLink");
    let mut progress = Vec::new();
    for _ in 0..60 {
        site.wait(1);
        let (state, percent, _) = making(&site, "LinkOrders");
        if state == "LinkInitialSeeding" {
            progress.extend(percent);
            let rows = "SELECT s.current_state, p.role_desc FROM sys.dm_hadr_automatic_seeding s
                        JOIN sys.dm_hadr_physical_seeding_stats p
                        ON p.local_physical_seeding_id = s.operation_id WHERE s.is_source = 1";
            let seeding = site.sql(SQL, rows).expect("it answers");
            assert_eq!(seeding, [["SEEDING".to_owned(), "Source".to_owned()]]);
            let there = "SELECT state_desc FROM sys.databases WHERE name = N'Orders'";
            assert_eq!(site.value(MI, there), "RESTORING");
            assert_eq!(site.sql(MI, "USE [Orders]"), Err(927));
        }
    }
    assert!(progress.len() > 3 && progress.is_sorted(), "{progress:?}");
    assert_eq!(status(&site, &operation), JobStatus::Succeeded);
    let after = site.value(SQL, "SELECT CAST(group_id AS varchar(36)) FROM sys.availability_groups WHERE name = 'LinkOrders'");
    assert_eq!(after, before, "it is the same group");
    for (at, running) in [(SQL, "1"), (MI, "1")] {
        let told =
            "SELECT CONCAT(current_state, number_of_attempts) FROM sys.dm_hadr_automatic_seeding";
        assert_eq!(site.value(at, told), format!("COMPLETED{running}"), "{at}");
    }
    site.sql(SQL, "ALTER AVAILABILITY GROUP [LinkOrders] FAILOVER").expect("it fails over");
    let link = site.world.link("LinkOrders").expect("it is there");
    assert_eq!(link.member(Side::ManagedInstance).role(), Role::Primary);
}

#[test]
fn groups_are_refused_with_their_numbers() {
    let mut site = spare();
    for (databases, number) in [
        ("[Nope]", 35_238),
        ("[master]", 35_249),
        ("[Sales]", 35_244),
        ("[Orders], [Orders]", 35_234),
    ] {
        assert_eq!(site.sql(SQL, &local(databases)), Err(number), "{databases}");
    }
    site.sql(SQL, "ALTER DATABASE [Orders] SET RECOVERY SIMPLE").expect("set");
    assert_eq!(site.sql(SQL, &local("[Orders]")), Err(1_465));
    site.sql(SQL, "ALTER DATABASE [Orders] SET RECOVERY FULL").expect("set");
    assert_eq!(site.sql(SQL, &local("[Orders]").replace("SQL01", "SQL02")), Err(35_237));
    assert_eq!(site.sql(SQL, &usual("LinkOrders")), Err(15_151), "without its local group");
    site.sql(SQL, &local("[Orders]")).expect("made");
    assert_eq!(site.sql(SQL, &local("[Stock]")), Err(41_042));
    let refused = |site: &mut Site, mode, seeding| {
        site.sql(SQL, &distributed("LinkOrders", "AG_Orders", mode, seeding))
    };
    assert_eq!(refused(&mut site, "SYNCHRONOUS_COMMIT", "AUTOMATIC"), Err(47_501));
    assert_eq!(refused(&mut site, "ASYNCHRONOUS_COMMIT", "MANUAL"), Err(47_500));
    site.sql(SQL, "ALTER AVAILABILITY GROUP [AG_Orders] ADD DATABASE [Stock]").expect("added");
    assert_eq!(site.sql(SQL, &usual("LinkOrders")), Err(47_502), "one database only");
    site.sql(SQL, "ALTER AVAILABILITY GROUP [AG_Orders] REMOVE DATABASE [Stock]").expect("out");
    site.sql(SQL, &usual("LinkOrders")).expect("made");
    assert_eq!(site.sql(SQL, "DROP AVAILABILITY GROUP [AG_Orders]"), Err(41_190));
    assert_eq!(site.sql(MI, &format!("DROP AVAILABILITY GROUP [{LINK}]")), Err(41_906));
    let modify = "ALTER AVAILABILITY GROUP [LinkSales] MODIFY AVAILABILITY GROUP ON
                  'AG_Sales' WITH (SEEDING_MODE = MANUAL)";
    assert_eq!(site.sql(SQL, modify), Err(47_523));
    assert_eq!(
        site.sql(SQL, "ALTER AVAILABILITY GROUP [AG_Sales] ADD DATABASE [Stock]"),
        Err(47_503)
    );
    site.sql(SQL, "ALTER DATABASE [Stock] SET READ_ONLY").expect("set");
    let read_only = local("[Stock]").replace("AG_Orders", "AG_Stock");
    assert_eq!(site.sql(SQL, &read_only), Err(1_466));
    let old = Site::of_build("13.0.7000.253").sql(SQL, &local("[Orders]"));
    assert_eq!(old, Err(102), "2016 has no CLUSTER_TYPE");
}

#[test]
fn azure_waits_for_what_sql_server_lacks_and_says_what_it_is() {
    let mut site = spare();
    let operation = create(&mut site, order("LinkOrders", "Orders", "AG_Orders"));
    site.wait(120);
    assert_eq!(making(&site, "LinkOrders"), ("CreatingLink".to_owned(), None, None));
    site.wait(300);
    assert_eq!(making(&site, "LinkOrders"), ("LinkInitError".to_owned(), None, Some(41_976)));
    assert_eq!(status(&site, &operation), JobStatus::InProgress);
    site.sql(SQL, &local("[Orders]")).expect("made");
    site.sql(SQL, &usual("LinkOrders")).expect("made");
    site.wait(60);
    assert_eq!(making(&site, "LinkOrders").0, "made");
    assert_eq!(status(&site, &operation), JobStatus::Succeeded);
}

#[test]
fn seeding_that_is_broken_off_begins_again() {
    let mut site = spare();
    site.sql(SQL, &local("[Orders]")).expect("made");
    site.sql(SQL, &usual("LinkOrders")).expect("made");
    create(&mut site, order("LinkOrders", "Orders", "AG_Orders"));
    site.wait(15);
    let (_, half, _) = making(&site, "LinkOrders");
    assert!(half.is_some_and(|percent| percent > 20), "{half:?}");
    site.network(false);
    site.wait(5);
    site.network(true);
    site.wait(3);
    let (_, again, _) = making(&site, "LinkOrders");
    assert!(again < half, "{again:?} after {half:?}");
}

#[test]
fn a_dropped_group_gives_the_link_up_and_leaves_both_copies() {
    let mut site = Site::new();
    assert_eq!(site.sql(SQL, "DROP AVAILABILITY GROUP [AG_Sales]"), Err(41_190), "first the link");
    site.sql(SQL, &format!("DROP AVAILABILITY GROUP [{LINK}]")).expect("dropped");
    site.wait(30);
    assert_eq!(site.writers(), (true, false));
    assert_eq!(site.replica_state(), "LinkSynchronizationError");
    let groups = site.sql(SQL, "SELECT name FROM sys.availability_groups").expect("it answers");
    assert_eq!(groups.concat(), ["AG_Sales"]);
    assert_eq!(site.sql(SQL, &alter("FAILOVER")), Err(15_151));
    site.sql(SQL, "DROP AVAILABILITY GROUP [AG_Sales]").expect("now it goes");
    let free = "SELECT replica_id FROM sys.databases WHERE name = N'Sales'";
    assert_eq!(site.value(SQL, free), "NULL");
    // The managed instance can still be forced: then there are two, for good.
    site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("taken");
    site.wait(30);
    assert_eq!(site.writers(), (true, true));
}

#[test]
fn dropping_the_group_on_a_secondary_makes_it_writable() {
    let mut site = Site::new();
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.world.repoint("shop", MI).expect("both exist");
    site.wait(30);
    assert_eq!(site.writers(), (false, true));
    site.sql(SQL, &format!("DROP AVAILABILITY GROUP [{LINK}]")).expect("dropped");
    site.wait(5);
    assert_eq!(site.writers(), (true, true));
}

#[test]
fn a_link_that_was_given_up_is_seeded_anew_over_the_same_database() {
    let mut site = Site::new();
    let before = site.world.commits(LINK).filter(|commit| commit.acknowledged).count();
    site.delete_link();
    site.sql(SQL, &format!("DROP AVAILABILITY GROUP [{LINK}]")).expect("dropped");
    let again = distributed(LINK, "AG_Sales", "ASYNCHRONOUS_COMMIT", "AUTOMATIC");
    site.sql(SQL, &again).expect("made");
    let refused = create(&mut site, order(LINK, "Sales", "AG_Sales"));
    site.wait(30);
    assert!(matches!(status(&site, &refused), JobStatus::Failed { .. }), "the orphan has the name");
    let command = AzureCommand::DeleteDatabase("Sales".to_owned());
    site.world.azure(&dba(), MI, command).expect("taken");
    site.wait(10);
    let operation = create(&mut site, order(LINK, "Sales", "AG_Sales"));
    site.wait(60);
    assert_eq!(status(&site, &operation), JobStatus::Succeeded);
    assert_eq!(site.roles(), ("PRIMARY".into(), "SECONDARY".into()));
    site.wait(30);
    let all: Vec<_> = site.world.commits(LINK).filter(|commit| commit.acknowledged).collect();
    assert!(all.len() > before + 500, "the application went on all the time");
    let here = all.iter().filter(|commit| !commit.on_managed_instance).count();
    assert!(here < 10, "all of it is over there, but for what is on its way: {here}");
    site.sql(SQL, &alter("FAILOVER")).expect("and it fails over");
}

#[test]
fn a_local_group_that_is_offline_is_fenced_until_the_restart() {
    let mut site = Site::new();
    site.sql(SQL, "ALTER AVAILABILITY GROUP [AG_Sales] OFFLINE").expect("taken");
    site.wait(5);
    assert_eq!(site.writers(), (false, false));
    assert_eq!(site.sql(SQL, "USE [Sales]"), Err(983));
    assert_eq!(site.role(SQL), "RESOLVING");
    site.sql(MI, &alter("FORCE_FAILOVER_ALLOW_DATA_LOSS")).expect("taken");
    site.wait(30);
    assert_eq!(site.writers(), (false, true), "one, and only one");
    site.fault(twin::world::Fault::Stop { instance: SQL.to_owned() });
    site.wait(5);
    site.fault(twin::world::Fault::Start { instance: SQL.to_owned() });
    site.wait(60);
    assert_eq!(site.roles(), ("SECONDARY".into(), "PRIMARY".into()));
}

#[test]
fn an_offline_group_takes_no_command_and_only_a_group_without_a_cluster_is_taken_offline() {
    let mut site = Site::new();
    let offline = "ALTER AVAILABILITY GROUP [AG_Sales] OFFLINE";
    site.sql(SQL, offline).expect("taken");
    for command in ["FORCE_FAILOVER_ALLOW_DATA_LOSS", "FAILOVER", "SET (ROLE = SECONDARY)"] {
        assert_eq!(site.sql(SQL, &alter(command)), Err(41_140), "{command}");
    }
    assert_eq!(site.sql(SQL, &format!("DROP AVAILABILITY GROUP [{LINK}]")), Err(41_140));
    assert_eq!(site.sql(SQL, "USE [Sales]"), Err(983));
    let mut oldest = Site::of_build("13.0.7000.253");
    assert_eq!(oldest.sql(SQL, offline), Err(41_190), "2016 has clusters only");
    let mut site = spare();
    site.sql(SQL, &local("[Orders]")).expect("made");
    let offline = "ALTER AVAILABILITY GROUP [AG_Orders] OFFLINE";
    site.sql(SQL, offline).expect("taken");
    assert_eq!(site.sql(SQL, "USE [Orders]"), Err(983));
    site.restart(SQL);
    site.sql(SQL, "USE [Orders]").expect("it is primary of its own group again");
}

#[test]
fn a_commit_mode_is_that_of_the_member_which_is_named() {
    let mut site = Site::new();
    let set = |member: &str| {
        format!(
            "ALTER AVAILABILITY GROUP [{LINK}] MODIFY AVAILABILITY GROUP ON '{member}' \
             WITH (AVAILABILITY_MODE = SYNCHRONOUS_COMMIT)"
        )
    };
    let shown = |site: &mut Site, member: &str| {
        let text = format!(
            "SELECT availability_mode_desc FROM sys.availability_replicas \
             WHERE replica_server_name = N'{member}'"
        );
        site.value(SQL, &text)
    };
    site.sql(SQL, &set("AG_Sales_MI")).expect("taken");
    assert_eq!(shown(&mut site, "AG_Sales_MI"), "SYNCHRONOUS_COMMIT");
    assert_eq!(shown(&mut site, "AG_Sales"), "ASYNCHRONOUS_COMMIT");
    let synchronized = "SELECT COUNT(*) FROM sys.dm_hadr_database_replica_states AS s \
        JOIN sys.availability_groups AS g ON g.group_id = s.group_id \
        WHERE g.is_distributed = 1 AND s.synchronization_state = 2";
    site.wait(10);
    assert_eq!(site.value(SQL, synchronized), "0", "one alone does not make it wait");
    site.sql(SQL, &set("AG_Sales")).expect("taken");
    site.wait(10);
    assert_ne!(site.value(SQL, synchronized), "0");
}

#[test]
fn statements_for_a_local_group_are_told_from_those_for_a_distributed_one() {
    let mut site = Site::new();
    let local = |rest: &str| format!("ALTER AVAILABILITY GROUP [AG_Sales] {rest}");
    assert_eq!(site.sql(SQL, &local("FAILOVER")), Err(47_122));
    assert_eq!(site.sql(SQL, &local("FORCE_FAILOVER_ALLOW_DATA_LOSS")), Err(41_122));
    assert_eq!(site.sql(SQL, &local("SET (ROLE = SECONDARY)")), Err(41_190));
}

#[test]
fn commits_are_told_with_whose_they_are() {
    let mut site = Site::new();
    site.wait(2);
    site.sql(SQL, "USE [Sales] CREATE TABLE dbo.t (a int)").expect("made");
    let commits: Vec<_> = site.world.commits(LINK).collect();
    let by = |word: &str| {
        commits.iter().filter(|one| one.by.as_deref().is_some_and(|by| by.contains(word))).count()
    };
    assert!(by("app:shop") > 10, "those of the application");
    assert_eq!(by("session"), commits.len());
    assert!(
        by("app:shop") < commits.len(),
        "that of the statement is another's: {:?}",
        commits.last()
    );
}

#[test]
fn a_secondary_on_sql_server_is_read_where_its_replica_says_so() {
    let mut site = Site::new();
    let modify = "ALTER AVAILABILITY GROUP [AG_Sales] MODIFY REPLICA ON N'SQL01' \
                  WITH (SECONDARY_ROLE (ALLOW_CONNECTIONS = ALL))";
    let shown = "SELECT secondary_role_allow_connections_desc FROM sys.availability_replicas \
                 WHERE replica_server_name = N'SQL01'";
    assert_eq!(site.value(SQL, shown), "NO");
    site.sql(SQL, &alter("FAILOVER")).expect("taken");
    site.wait(30);
    assert_eq!(site.sql(SQL, "USE [Sales]"), Err(976));
    site.sql(SQL, modify).expect("taken");
    assert_eq!(site.value(SQL, shown), "ALL");
    site.sql(SQL, "USE [Sales]").expect("it is read");
    assert_eq!(site.sql(SQL, "USE [Sales] CREATE TABLE dbo.t (a int)"), Err(3_906));
    let nobody = modify.replace("SQL01", "SQL99");
    assert_eq!(site.sql(SQL, &nobody), Err(35_210));
}
