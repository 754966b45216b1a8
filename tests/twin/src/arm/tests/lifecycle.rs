//! A link from its creation to its end.

use super::*;
use crate::world::{Party, PreparedSpec, Role, Side, WorldSpec};

const NEW: &str = "LinkNew";

impl Rig {
    /// A twin with a second database on each side, and a SQL Server whose administrator has made
    /// the groups of the new link over these databases.
    async fn with_spare(databases: &[&str]) -> Rig {
        Rig::with(|spec| {
            spec.instances[0].databases = vec!["Orders".into()];
            spec.instances[1].databases = vec!["Stock".into()];
            spec.instances[0].prepared = vec![prepared(spec, NEW, databases)];
        })
        .await
    }

    fn other_link(&self, name: &str) -> String {
        self.link_path().replace("LinkSales", name)
    }
}

fn prepared(spec: &WorldSpec, link: &str, databases: &[&str]) -> PreparedSpec {
    PreparedSpec {
        link: link.to_owned(),
        group: "AG_SQL".to_owned(),
        databases: databases.iter().map(|name| (*name).to_owned()).collect(),
        partner: spec.instances[1].server_name.clone(),
        partner_group: "AG_MI".to_owned(),
    }
}

fn order(database: &str, role: &str) -> Value {
    json!({ "properties": {
        "databases": [{ "databaseName": database }],
        "failoverMode": "Manual",
        "instanceAvailabilityGroupName": "AG_MI",
        "instanceLinkRole": role,
        "partnerAvailabilityGroupName": "AG_SQL",
        "partnerEndpoint": "TCP://10.0.1.8:5022",
        "seedingMode": "Automatic",
    }})
}

#[tokio::test]
async fn a_link_from_sql_server_is_seeded_and_then_synchronises() {
    let rig = Rig::with_spare(&["Orders"]).await;
    let path = rig.other_link(NEW);
    let answer = rig.ask(Method::PUT, &path, Some(order("Orders", "Secondary"))).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let poll = header(&answer, "azure-asyncoperation");
    let accepted = body(answer).await;
    assert_eq!(accepted["operation"], "DistributedAvailabilityGroupsLinkCreate");
    let early = body(rig.get(&path).await).await;
    assert_eq!(early["properties"]["databases"][0]["replicaState"], "CreatingLink");
    assert!(early["properties"]["databases"][0].get("lastHardenedLsn").is_none());
    let seeding = rig.twin.world.until(Duration::from_secs(20), |world| {
        let link = serde_json::to_value(format!("{:?}", world.azure_link("mi-dr", NEW))).ok()?;
        link.as_str().is_some_and(|text| text.contains("LinkInitialSeeding")).then_some(())
    });
    assert!(seeding.await.is_some(), "it is seeded");
    let read = body(rig.get(&path).await).await;
    let progress = &read["properties"]["databases"][0]["seedingProgress"];
    assert!(progress.as_str().is_none_or(|text| text.ends_with('%')), "{progress}");
    assert_eq!(rig.settle(&poll).await["status"], "Succeeded");
    let read = body(rig.get(&path).await).await["properties"].clone();
    assert_eq!(read["instanceLinkRole"], "Secondary");
    assert_eq!(read["partnerEndpoint"], "tcp://10.0.1.8:5022");
    let database = &read["databases"][0];
    assert_eq!(database["replicaState"], "LinkSynchronizing");
    assert_eq!(database["connectedState"], "CONNECTED");
    assert_eq!(database["partnerAuthCertValidity"]["certificateName"], "sql01");
    assert!(database.get("lastCommitTime").is_none(), "nobody has committed yet");
    assert!(database.get("lastBackupLsn").is_none(), "it has no backup of its own yet");
    let seen = rig.twin.world.with(|world| world.databases("mi-dr").len());
    assert_eq!(seen, 7, "four of the system, two linked ones, and its own");
    let (_, again) = rig.done(Method::PUT, &path, Some(order("Orders", "Secondary"))).await;
    assert_eq!(again["status"], "Succeeded", "a second time, nothing happens");
}

#[tokio::test]
async fn a_link_from_the_instance_fails_over_and_is_deleted() {
    let rig = Rig::with_spare(&[]).await;
    let path = rig.other_link(NEW);
    let (name, ended) = rig.done(Method::PUT, &path, Some(order("Stock", "Primary"))).await;
    assert_eq!(name, "DistributedAvailabilityGroupsLinkCreateFromMI");
    assert_eq!(ended["status"], "Succeeded");
    let failover = format!("{path}/failover");
    let planned = Some(json!({ "failoverType": "Planned" }));
    let (name, ended) = rig.done(Method::POST, &failover, planned).await;
    assert_eq!(name, "DistributedAvailabilityGroupsLinkFailover");
    assert_eq!(ended["status"], "Succeeded");
    let read = body(rig.get(&path).await).await["properties"].clone();
    assert_eq!(read["instanceLinkRole"], "Secondary");
    assert_eq!(read["databases"][0]["synchronizationHealth"], "HEALTHY");
    let answer = rig.ask(Method::DELETE, &path, None).await;
    let (poll, result) = (header(&answer, "azure-asyncoperation"), header(&answer, "location"));
    assert_eq!(header(&answer, "x-ms-ratelimit-remaining-subscription-deletes"), "799");
    assert_eq!(body(answer).await["operation"], "DistributedAvailabilityGroupsDropLink");
    assert_eq!(rig.settle(&poll).await["status"], "Succeeded");
    let stub = body(rig.get_url(&result).await).await;
    let id = stub["id"].as_str().expect("an id");
    assert!(id.ends_with("/managedInstances/") && stub.get("name").is_none(), "{stub}");
    assert_eq!(error(rig.get(&path).await).await, (404, "ResourceNotFound".to_owned(), false));
    let gone = error(
        rig.ask(Method::POST, &failover, Some(json!({ "failoverType": "ForcedAllowDataLoss" })))
            .await,
    );
    assert_eq!(gone.await.0, 404);
}

#[tokio::test]
async fn a_deleted_link_leaves_two_writable_copies() {
    let rig = Rig::start().await;
    let writers = || {
        let last = |world: &mut crate::world::World| {
            world.ledger().intervals("LinkSales").last().map(|interval| interval.writers.count())
        };
        rig.twin.world.with(last).expect("an interval")
    };
    assert_eq!(writers(), 1);
    let (_, ended) = rig.done(Method::DELETE, &rig.link_path(), None).await;
    assert_eq!(ended["status"], "Succeeded");
    assert_eq!(writers(), 2, "the source stays writable, and nobody stops it");
    let (groups, state, written) = rig.twin.world.with(|world| {
        let link = world.link("LinkSales").expect("SQL Server still has it");
        let role = link.member(Side::SqlServer).role();
        let groups = world.availability_groups("mi-dr").len();
        (groups, role, world.commit("mi-dr", "Sales", 100).is_ok())
    });
    assert_eq!((groups, state, written), (0, Role::Primary, true));
    let databases = body(rig.get(&format!("{}/databases", rig.instance_path())).await).await;
    assert_eq!(databases["value"][0]["name"], "Sales");
    // The name stays taken until the database is gone.
    let (_, refused) =
        rig.done(Method::PUT, &rig.other_link(NEW), Some(order("Sales", "Secondary"))).await;
    assert_eq!(refused["status"], "Failed");
    assert_eq!(refused["error"]["code"], "ManagedDatabaseNameInUse");
}

#[tokio::test]
async fn deleting_what_is_not_there_is_accepted_and_fails_at_the_first_poll() {
    let rig = Rig::start().await;
    let answer = rig.ask(Method::DELETE, &rig.other_link("Nope"), None).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let poll = header(&answer, "azure-asyncoperation");
    assert_eq!(header(&answer, "x-ms-request-id").len(), 36);
    assert_eq!(body(answer).await["operation"], "DistributedAvailabilityGroupsDropLink");
    let first = body(rig.get_url(&poll).await).await;
    assert_eq!(first["status"], "Failed");
    assert_eq!(first["error"]["code"], "OperationIdNotFound");
}

#[tokio::test]
async fn a_creation_that_nobody_answers_goes_on_until_it_is_deleted() {
    let rig = Rig::with_spare(&["Orders"]).await;
    let path = rig.other_link(NEW);
    rig.fault(Fault::Cut {
        from: "sql01".parse().expect("x"),
        to: "mi-dr".parse().expect("x"),
        one_way: true,
    });
    let answer = rig.ask(Method::PUT, &path, Some(order("Orders", "Secondary"))).await;
    let poll = header(&answer, "azure-asyncoperation");
    let later = rig.twin.world.now() + jiff::SignedDuration::from_secs(40);
    let passed = |world: &mut crate::world::World| (world.now() >= later).then_some(());
    assert!(rig.twin.world.until(Duration::from_secs(20), passed).await.is_some());
    assert_eq!(body(rig.get_url(&poll).await).await["status"], "InProgress");
    let patch = rig.ask(Method::PATCH, &rig.instance_path(), Some(json!({}))).await;
    let code = "OperationCanNotStartDueToMiLink".to_owned();
    assert_eq!(error(patch).await, (400, code, false));
    let (_, ended) = rig.done(Method::DELETE, &path, None).await;
    assert_eq!(ended["status"], "Succeeded");
    assert_eq!(body(rig.get_url(&poll).await).await["status"], "Canceled");
    assert_eq!(rig.get(&path).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn bodies_that_are_wrong_are_refused_with_their_codes() {
    let rig = Rig::with_spare(&["Orders"]).await;
    let path = rig.other_link(NEW);
    let create = "InvalidDistributedAvailabilityGroupsCreateOrUpdateRequest";
    let with = |name: &str, value: Value| {
        let mut body = order("Orders", "Secondary");
        body["properties"][name] = value;
        body
    };
    let two = json!([{ "databaseName": "a" }, { "databaseName": "b" }]);
    for (name, value, code) in [
        ("databases", json!([]), format!("{create}Databases")),
        ("databases", two.clone(), format!("{create}Databases")),
        (
            "instanceAvailabilityGroupName",
            json!(""),
            format!("{create}InstanceAvailabilityGroupName"),
        ),
        (
            "partnerAvailabilityGroupName",
            json!(""),
            format!("{create}PartnerAvailabilityGroupName"),
        ),
        ("partnerEndpoint", json!("10.0.1.8"), "InvalidParameterValue".to_owned()),
        ("instanceLinkRole", json!("Third"), "InvalidResourceIdSegment".to_owned()),
    ] {
        let answer = rig.ask(Method::PUT, &path, Some(with(name, value))).await;
        assert!(answer.headers().get("azure-asyncoperation").is_none(), "no operation");
        assert_eq!(error(answer).await, (400, code, false), "{name}");
    }
    // Several databases need the mode, a version that knows of it, and a name without capitals.
    let mut several = with("databases", two);
    several["properties"]["linkMode"] = json!("MultiDatabase");
    let old = error(rig.ask(Method::PUT, &path, Some(several.clone())).await).await;
    assert_eq!(old.1, format!("{create}Databases"));
    let new = format!("{path}?api-version=2025-08-01-preview");
    let capitals = error(rig.send(Method::PUT, &new, Some(several)).await).await;
    assert_eq!(capitals.1, "InvalidMultiDbDistributedAvailabilityGroupName");

    let patch = Some(json!({ "properties": { "replicationMode": "Maybe" } }));
    let answer = body(rig.ask(Method::PATCH, &rig.link_path(), patch).await).await;
    assert_eq!(answer["error"]["code"], "InvalidResourceIdSegment");
    assert_eq!(answer["error"]["details"][0]["target"], "parameters.properties.replicationMode");
    let missing = rig.ask(Method::PATCH, &path, Some(json!({ "properties": {} }))).await;
    assert_eq!(error(missing).await, (404, "ResourceNotFound".to_owned(), false));
}

#[tokio::test]
async fn several_databases_are_said_to_be_done_before_they_are() {
    let rig = Rig::with(|spec| {
        spec.instances[0].databases = vec!["a".into(), "b".into()];
        // CU27, the first that takes several.
        spec.instances[0].product_version = "16.0.4275.1".to_owned();
        spec.instances[0].prepared = vec![prepared(spec, "several", &["a", "b"])];
    })
    .await;
    let path = rig.other_link("several");
    let version = "2025-08-01-preview";
    let mut wanted = order("a", "Secondary");
    wanted["properties"]["databases"] = json!([{ "databaseName": "a" }, { "databaseName": "b" }]);
    wanted["properties"]["linkMode"] = json!("MultiDatabase");
    wanted["properties"]["failoverMode"] = json!("None");
    let url = format!("{path}?api-version={version}");
    let answer = rig.send(Method::PUT, &url, Some(wanted)).await;
    let poll = header(&answer, "azure-asyncoperation");
    assert_eq!(body(answer).await["operation"], "CreateManagedFailoverGroup");
    let early = rig.at(&path, version).await.1["properties"].clone();
    for absent in ["databases", "replicationMode", "partnerEndpoint", "failoverMode"] {
        assert!(early.get(absent).is_none(), "{absent}");
    }
    assert_eq!(rig.settle(&poll).await["status"], "Succeeded");
    let states = async || {
        let read = rig.at(&path, version).await.1["properties"].clone();
        let all = read["databases"].as_array().cloned().unwrap_or_default();
        let one = |db: &Value| db["replicaState"].as_str().unwrap_or_default().to_owned();
        (all.iter().map(one).collect::<Vec<_>>(), read)
    };
    let mut seen = Vec::new();
    let mut ticks = rig.twin.world.ticks();
    for _ in 0..2_000 {
        let (now, read) = states().await;
        assert!(read.get("failoverMode").is_none(), "None is never told");
        assert_eq!(read["linkMode"], "MultiDatabase");
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        if seen.last().is_some_and(|now| now.iter().any(|state| state == "LinkSynchronizing")) {
            break;
        }
        ticks.changed().await.expect("it ticks");
    }
    let both = |state: &str| vec![state.to_owned(); 2];
    assert!(seen.contains(&both("InitiatingLink")), "{seen:?}");
    assert_eq!(seen.last(), Some(&both("LinkSynchronizing")), "{seen:?}");
    let empty = format!("{path}?api-version={version}");
    let answer = rig.send(Method::PATCH, &empty, Some(json!({}))).await;
    let code = "InvalidMultiDbDistributedAvailabilityGroupDatabasesRequest".to_owned();
    assert_eq!(error(answer).await, (400, code, false));
    let (name, _) = rig.done(Method::DELETE, &path, None).await;
    assert_eq!(name, "DropManagedFailoverGroup");
}

#[tokio::test]
async fn the_replication_mode_is_changed_by_patch() {
    let rig = Rig::start().await;
    let patch = Some(json!({ "properties": { "replicationMode": "Sync" } }));
    let (_, ended) = rig.done(Method::PATCH, &rig.link_path(), patch).await;
    assert_eq!(ended["status"], "Succeeded");
    let read = body(rig.get(&rig.link_path()).await).await;
    assert_eq!(read["properties"]["replicationMode"], "Sync");
    let (_, new) = rig.at(&rig.link_path(), "2025-08-01-preview").await;
    assert_eq!(new["properties"]["linkMode"], "SingleDatabase");
    assert!(read["properties"].get("linkMode").is_none(), "an older version has no such word");
}

#[tokio::test]
async fn set_role_forces_and_refuses_by_its_operation() {
    let rig = Rig::start().await;
    let path = format!("{}/setRole", rig.link_path());
    let order =
        |role: &str, how: &str| Some(json!({ "instanceRole": role, "roleChangeType": how }));
    let wrong = rig.ask(Method::POST, &path, order("Primary", "Quickly")).await;
    assert_eq!(error(wrong).await, (400, "InvalidResourceIdSegment".to_owned(), false));
    for (role, how, number) in [("Primary", "Planned", "41970"), ("Secondary", "Forced", "41965")] {
        let (_, ended) = rig.done(Method::POST, &path, order(role, how)).await;
        assert_eq!(ended["status"], "Failed");
        let message = ended["error"]["message"].as_str().expect("words");
        assert!(message.starts_with(number), "{message}");
    }
    let (name, ended) = rig.done(Method::POST, &path, order("Primary", "Forced")).await;
    assert_eq!(name, "DistributedAvailabilityGroupsSetRole");
    assert_eq!(ended["status"], "Succeeded");
    let read = body(rig.get(&rig.link_path()).await).await;
    assert_eq!(read["properties"]["instanceLinkRole"], "Primary");
}

#[tokio::test]
async fn a_deletion_happens_though_its_reply_is_lost() {
    let rig = Rig::start().await;
    rig.fault(Fault::LoseReply { at: Party::Arm, times: 1 });
    let url = format!("{}{}?api-version={API}", rig.twin.endpoints.arm.base_url, rig.link_path());
    let request = rig.http.delete(url).bearer_auth(&rig.token).timeout(Duration::from_millis(300));
    assert!(request.send().await.expect_err("no reply").is_timeout());
    let gone = rig.twin.world.until(Duration::from_secs(10), |world| {
        world.azure_link("mi-dr", "LinkSales").is_none().then_some(())
    });
    assert!(gone.await.is_some());
}

#[tokio::test]
async fn a_creation_that_cannot_be_fails_and_says_why() {
    let rig = Rig::with_spare(&["Orders"]).await;
    let path = rig.other_link(NEW);
    let unknown = {
        let mut body = order("Orders", "Secondary");
        body["properties"]["partnerEndpoint"] = json!("TCP://nobody.example:5022");
        body
    };
    let version = |number: &str| {
        let change = crate::world::setup::Change::ProductVersion(number.to_owned());
        rig.twin.world.with(|world| world.set_up("sql01", change)).expect("it exists");
    };
    let why = async |wanted: Value| {
        let (_, ended) = rig.done(Method::PUT, &path, Some(wanted)).await;
        assert_eq!(ended["status"], "Failed");
        assert_eq!(error(rig.get(&path).await).await.0, 404, "nothing is left of it");
        ended["error"].clone()
    };
    assert_eq!(why(unknown).await["code"], "UnableToResolveRemoteServer");
    assert_eq!(why(order("Sales", "Secondary")).await["code"], "ManagedDatabaseNameInUse");
    version("17.0.1000.7");
    let code = "ManagedInstanceRestoreToInstanceWithOlderVersionEdition";
    assert_eq!(why(order("Orders", "Secondary")).await["code"], code);
    version("15.0.4345.5");
    let numbered = async |wanted: Value, number: &str| {
        let error = why(wanted).await;
        let message = error["message"].as_str().expect("words");
        assert!(message.starts_with(number), "{error}");
    };
    numbered(order("Orders", "Secondary"), "41988").await;
    numbered(order("Stock", "Primary"), "41984").await;
    let many = Rig::with(|spec| {
        spec.instances[0].databases = vec!["Orders".into()];
        spec.instances[1].databases = (0..99).map(|n| format!("db{n}")).collect();
    })
    .await;
    let path = many.other_link(NEW);
    let (_, ended) = many.done(Method::PUT, &path, Some(order("Orders", "Secondary"))).await;
    assert_eq!(ended["error"]["code"], "DatabaseNumberLimitReached");
}

#[tokio::test]
async fn the_newest_version_tells_the_newest_error() {
    let rig = Rig::start().await;
    rig.fault(Fault::Stop { instance: "sql01".into() });
    for _ in 0..2 {
        let answer = rig.fail_over("ForcedAllowDataLoss").await;
        rig.settle(&header(&answer, "azure-asyncoperation")).await;
    }
    let read = async |version| rig.at(&rig.link_path(), version).await;
    let new = read("2026-08-01-preview").await.1["properties"].clone();
    assert_eq!(new["mostRecentError"], "41976");
    assert!(new["mostRecentErrorTime"].is_string() && new["mostRecentErrorMessage"].is_string());
    let old = read("2025-08-01-preview").await.1["properties"].clone();
    assert!(old.get("mostRecentError").is_none());
    assert_eq!(old["databases"][0]["mostRecentLinkError"], "41976");
}
