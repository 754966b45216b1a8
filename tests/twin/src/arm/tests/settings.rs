//! The instance, its operations, databases and certificates.

use super::*;
use crate::world::{UpdatePolicy, setup::Change};

#[tokio::test]
async fn what_an_instance_tells_depends_on_the_version() {
    let rig = Rig::start().await;
    let path = rig.instance_path();
    let old = rig.at(&path, "2022-08-01-preview").await.1["properties"].clone();
    assert!(old.get("databaseFormat").is_none() && old.get("hybridSecondaryUsage").is_none());
    let middle = rig.at(&path, "2023-05-01-preview").await.1["properties"].clone();
    assert_eq!(middle["hybridSecondaryUsage"], "Active");
    assert!(middle.get("hybridSecondaryUsageDetected").is_none());
    let new = rig.at(&path, API).await.1["properties"].clone();
    assert_eq!(new["hybridSecondaryUsageDetected"], "Passive", "nobody works there");
    rig.twin.world.with(|world| world.repoint("shop", "mi-dr")).expect("it exists");
    let used = rig.at(&path, API).await.1["properties"].clone();
    assert_eq!(used["hybridSecondaryUsageDetected"], "Active");
    assert_eq!(used["hybridSecondaryUsage"], "Active", "what is asked for is another thing");
}

#[tokio::test]
async fn settings_are_changed_by_an_operation_that_is_listed() {
    let rig = Rig::start().await;
    let path = rig.instance_path();
    let wanted = json!({
        "tags": { "for": "rehearsal" },
        "properties": { "hybridSecondaryUsage": "Passive", "licenseType": "BasePrice" },
    });
    let answer = rig.ask(Method::PATCH, &path, Some(wanted)).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let poll = header(&answer, "azure-asyncoperation");
    assert!(poll.contains("/managedInstanceAzureAsyncOperation/"), "{poll}");
    let id = header(&answer, "x-ms-request-id");
    assert!(poll.contains(&id), "the id of the request is that of the operation");
    let busy = error(rig.ask(Method::PATCH, &path, Some(json!({}))).await).await;
    assert_eq!(busy, (400, "ManagedInstanceUpdateSloInProgress".to_owned(), false));
    let listed = body(rig.get(&format!("{path}/operations")).await).await;
    assert_eq!(listed["value"][0]["properties"]["state"], "InProgress");
    assert_eq!(listed["value"][0]["properties"]["isCancellable"], true);
    assert_eq!(listed["value"][0]["name"], id.as_str());
    assert_eq!(rig.settle(&poll).await["status"], "Succeeded");
    let read = body(rig.get(&path).await).await;
    assert_eq!(read["properties"]["hybridSecondaryUsage"], "Passive");
    assert_eq!(read["properties"]["licenseType"], "BasePrice");
    assert_eq!(read["tags"]["for"], "rehearsal");
    let late = rig.ask(Method::POST, &format!("{path}/operations/{id}/cancel"), None).await;
    assert_eq!(error(late).await, (409, "CannotCancelOperation".to_owned(), false));
}

#[tokio::test]
async fn an_operation_can_be_cancelled_and_then_has_changed_nothing() {
    let rig = Rig::start().await;
    let path = rig.instance_path();
    let wanted = json!({ "properties": { "vCores": 8 } });
    let answer = rig.ask(Method::PATCH, &path, Some(wanted)).await;
    let (poll, result) = (header(&answer, "azure-asyncoperation"), header(&answer, "location"));
    let id = header(&answer, "x-ms-request-id");
    let cancel = rig.ask(Method::POST, &format!("{path}/operations/{id}/cancel"), None).await;
    assert_eq!(cancel.status(), StatusCode::OK);
    assert_eq!(rig.settle(&poll).await["status"], "Canceled");
    let refused = error(rig.get_url(&result).await).await;
    assert_eq!(refused, (409, "OperationCancelled".to_owned(), false));
    let one = body(rig.get(&format!("{path}/operations/{id}")).await).await;
    assert_eq!(one["properties"]["state"], "Cancelled", "with two l here, with one there");
    assert_eq!(body(rig.get(&path).await).await["properties"]["vCores"], 4);
    let unknown = format!("{path}/operations/00000000-0000-4000-8000-000000000000/cancel");
    let unknown = error(rig.ask(Method::POST, &unknown, None).await).await;
    assert_eq!(unknown, (404, "OperationIdNotFound".to_owned(), false));
}

#[tokio::test]
async fn the_update_policy_only_moves_forward() {
    let rig = Rig::start().await;
    let path = rig.instance_path();
    let to = |word: &str| Some(json!({ "properties": { "databaseFormat": word } }));
    rig.done(Method::PATCH, &path, to("SQLServer2025")).await;
    let back = error(rig.ask(Method::PATCH, &path, to("SQLServer2022")).await).await;
    let code = "ManagedInstanceUpdateSloFromNewerToOlderVersionEditionNotAllowed";
    assert_eq!(back, (400, code.to_owned(), false));
    let policy = Change::Policy(UpdatePolicy::AlwaysUpToDate);
    rig.twin.world.with(|world| world.set_up("mi-dr", policy)).expect("it exists");
    let back = error(rig.ask(Method::PATCH, &path, to("SQLServer2025")).await).await;
    let code = "ManagedInstanceUpdateSloFromVersionlessToVersionedNotAllowed";
    assert_eq!(back, (400, code.to_owned(), false));
    let unknown = error(rig.ask(Method::PATCH, &path, to("SQLServer2030")).await).await;
    assert_eq!(unknown, (400, "InvalidResourceIdSegment".to_owned(), false));
}

#[tokio::test]
async fn an_instance_that_is_stopped_takes_nothing() {
    let rig = Rig::start().await;
    for (state, code) in [
        ("Stopped", "ManagedInstanceStoppingOrStopped"),
        ("Starting", "ManagedInstanceStarting"),
        ("Updating", "ManagedInstanceUpdateSloInProgress"),
    ] {
        let change = Change::State(state.to_owned());
        rig.twin.world.with(|world| world.set_up("mi-dr", change)).expect("it exists");
        let expected = (400, code.to_owned(), false);
        assert_eq!(error(rig.fail_over("ForcedAllowDataLoss").await).await, expected);
        let patch = rig.ask(Method::PATCH, &rig.instance_path(), Some(json!({}))).await;
        assert_eq!(error(patch).await, expected);
        let delete = rig.ask(Method::DELETE, &rig.link_path(), None).await;
        assert_eq!(error(delete).await, expected);
        assert_eq!(rig.get(&rig.link_path()).await.status(), StatusCode::OK, "reading goes on");
    }
}

#[tokio::test]
async fn databases_of_links_and_others_are_listed_and_only_others_deleted() {
    let rig = Rig::with(|spec| spec.instances[1].databases = vec!["Extra".into()]).await;
    let path = format!("{}/databases", rig.instance_path());
    let names = async || {
        let list = body(rig.get(&path).await).await;
        let all = list["value"].as_array().expect("a list").clone();
        all.iter().map(|one| one["name"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["Sales", "Extra"]);
    let one = body(rig.get(&format!("{path}/sales")).await).await;
    assert_eq!(one["properties"]["status"], "Online");
    assert_eq!(one["type"], "Microsoft.Sql/managedInstances/databases");
    let missing = error(rig.get(&format!("{path}/nope")).await).await;
    assert_eq!(missing, (404, "ResourceNotFound".to_owned(), false));
    let linked = rig.ask(Method::DELETE, &format!("{path}/Sales"), None).await;
    assert_eq!(error(linked).await, (409, "ConflictingDatabaseOperation".to_owned(), false));
    let (name, ended) = rig.done(Method::DELETE, &format!("{path}/Extra"), None).await;
    assert_eq!((name.as_str(), &ended["status"]), ("DropManagedDatabase", &json!("Succeeded")));
    assert_eq!(names().await, ["Sales"]);
    let again = rig.ask(Method::DELETE, &format!("{path}/Extra"), None).await;
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn certificates_go_in_with_0x_and_come_back_without() {
    let rig = Rig::start().await;
    let path = format!("{}/serverTrustCertificates", rig.instance_path());
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["sql".to_owned()]).expect("a name");
    let der = params.self_signed(&key).expect("signed").der().to_vec();
    let hex: String = der.iter().map(|byte| format!("{byte:02X}")).collect();
    let put = |text: &str| Some(json!({ "properties": { "publicBlob": text } }));
    let one = format!("{path}/partner_cert");
    let (name, ended) = rig.done(Method::PUT, &one, put(&format!("0x{hex}"))).await;
    assert_eq!(name, "UploadManagedInstanceServerTrustCertificate");
    assert_eq!(ended["status"], "Succeeded");
    let read = body(rig.get(&one).await).await;
    assert_eq!(read["properties"]["publicBlob"], hex.as_str());
    assert_eq!(read["properties"]["thumbprint"].as_str().map(str::len), Some(40));
    assert_eq!(read["properties"]["certificateName"], "partner_cert");
    let list = body(rig.get(&path).await).await;
    assert_eq!(list["value"].as_array().map(Vec::len), Some(2), "SQL Server's was there");

    let refused = async |body| error(rig.ask(Method::PUT, &one, body).await).await;
    assert_eq!(refused(put("")).await, (400, "MissingPublicBlob".to_owned(), false));
    for wrong in ["0x3", "xyz!", "0x3082"] {
        assert_eq!(refused(put(wrong)).await, (400, "InvalidPublicBlob".to_owned(), false));
    }
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["other".to_owned()]).expect("a name");
    let other = params.self_signed(&key).expect("signed").der().to_vec();
    let other: String = other.iter().map(|byte| format!("{byte:02x}")).collect();
    let code = "ServerTrustCertificateNameAlreadyExists".to_owned();
    assert_eq!(refused(put(&other)).await, (409, code, false));
    let (name, _) = rig.done(Method::PUT, &one, put(&hex)).await;
    assert_eq!(name, "UploadManagedInstanceServerTrustCertificate", "a second time, the same");

    let (name, _) = rig.done(Method::DELETE, &one, None).await;
    assert_eq!(name, "DeleteManagedInstanceServerTrustCertificate");
    assert_eq!(error(rig.get(&one).await).await.0, 404);
    let again = rig.ask(Method::DELETE, &one, None).await;
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn endpoint_certificates_come_for_two_endpoints() {
    let rig = Rig::start().await;
    let path = format!("{}/endpointCertificates", rig.instance_path());
    let list = body(rig.get(&path).await).await;
    let one = body(rig.get(&format!("{path}/DATABASE_MIRRORING")).await).await;
    assert_eq!(one["name"], "DATABASE_MIRRORING");
    assert!(one["properties"].get("trustedRootCertificates").is_none());
    assert_eq!(list["value"][1], one);
    assert_eq!(list["value"][0]["name"], "SERVICE_BROKER");
    let (_, new) = rig.at(&format!("{path}/DATABASE_MIRRORING"), "2026-08-01-preview").await;
    assert!(new["properties"]["trustedRootCertificates"][0]["subject"].is_string());
    assert_eq!(error(rig.get(&format!("{path}/OTHER")).await).await.0, 404);
}

#[tokio::test]
async fn an_alias_is_made_and_moved_between_managed_instances_only() {
    let rig = Rig::with(|spec| {
        let mut other = spec.instances[1].clone();
        other.name = "mi-b".into();
        other.server_name = "mi-b.0a1b2c3d4e5f.database.windows.net".into();
        spec.instances.push(other);
    })
    .await;
    let path = format!("{}/dnsAliases/shop", rig.instance_path());
    let (name, _) = rig.done(Method::PUT, &path, Some(json!({ "createDnsRecord": true }))).await;
    assert_eq!(name, "CreateManagedServerDnsAlias");
    let read = body(rig.get(&path).await).await;
    let record = "shop.0a1b2c3d4e5f.database.windows.net";
    assert_eq!(read["properties"]["azureDnsRecord"], record);
    let there = path.replace("mi-dr", "mi-b");
    let acquire = format!("{there}/acquire");
    let from = |id: &str| Some(json!({ "oldManagedServerDnsAliasResourceId": id }));
    let answer = rig.ask(Method::POST, &acquire, from(&path)).await;
    let (poll, result) = (header(&answer, "azure-asyncoperation"), header(&answer, "location"));
    assert!(!poll.contains("resourceGroups"), "{poll}");
    assert_eq!(rig.settle(&poll).await["status"], "Succeeded");
    assert_eq!(rig.get_url(&result).await.status(), StatusCode::CREATED);
    assert_eq!(body(rig.get(&there).await).await["properties"], json!({}), "without records");
    assert_eq!(error(rig.get(&path).await).await, (404, "ResourceNotFound".to_owned(), false));
    let sql = path.replace("mi-dr", "sql01");
    let wrong = error(rig.ask(Method::POST, &acquire, from(&sql)).await).await;
    assert_eq!(wrong, (404, "ResourceNotFound".to_owned(), true), "a SQL Server has none");
    let wrong = error(rig.ask(Method::POST, &acquire, from("x")).await).await;
    assert_eq!(wrong, (400, "InvalidParameterValue".to_owned(), false));
    let (name, _) = rig.done(Method::DELETE, &there, None).await;
    assert_eq!(name, "DropManagedServerDnsAlias");
    let list = body(rig.get(&there.replace("/shop", "")).await).await;
    assert_eq!(list["value"], json!([]));
}
