//! Reading, failing over, polling.

use std::collections::BTreeSet;

use super::*;
use crate::world::Fault;

#[tokio::test]
async fn an_instance_reads_as_recorded() {
    let rig = Rig::start().await;
    let answer = rig.get(&rig.instance_path()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "content-type"), "application/json; charset=utf-8");
    assert_eq!(header(&answer, "x-ms-ratelimit-remaining-subscription-reads"), "11999");
    assert_eq!(header(&answer, "x-ms-request-id").len(), 36);
    let body = body(answer).await;
    assert_eq!(body["type"], "Microsoft.Sql/managedInstances");
    assert_eq!(body["id"], rig.instance_path());
    assert_eq!(body["sku"]["tier"], "GeneralPurpose");
    let properties = &body["properties"];
    assert_eq!(properties["state"], "Ready");
    assert_eq!(properties["provisioningState"], "Succeeded");
    assert_eq!(properties["databaseFormat"], "SQLServer2022");
    assert_eq!(properties["dnsZone"], "0a1b2c3d4e5f");
}

#[tokio::test]
async fn a_link_has_the_properties_of_the_recordings_and_no_others() {
    let rig = Rig::start().await;
    let body = body(rig.get(&rig.link_path()).await).await;
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let set =
        |text: &str| -> BTreeSet<String> { text.split_whitespace().map(str::to_owned).collect() };
    assert_eq!(names(&body), set("properties id name type"));
    let properties = &body["properties"];
    assert_eq!(
        names(properties),
        set("distributedAvailabilityGroupName distributedAvailabilityGroupId replicationMode \
             partnerLinkRole partnerAvailabilityGroupName partnerEndpoint instanceLinkRole \
             instanceAvailabilityGroupName failoverMode seedingMode databases")
    );
    assert_eq!(
        names(&properties["databases"][0]),
        set("databaseName instanceReplicaId partnerReplicaId replicaState synchronizationHealth \
             connectedState lastReceivedLsn lastReceivedTime lastCommitLsn lastCommitTime \
             lastHardenedLsn lastHardenedTime lastBackupLsn lastBackupTime partnerAuthCertValidity \
             instanceSendReplicationLagSeconds instanceRedoReplicationLagSeconds")
    );
    assert_eq!(properties["instanceLinkRole"], "Secondary");
    assert_eq!(properties["partnerEndpoint"], "tcp://10.0.1.8:5022");
    let list = super::body(
        rig.get(&format!("{}/distributedAvailabilityGroups", rig.instance_path())).await,
    )
    .await;
    assert_eq!(names(&list), set("value"), "no nextLink where there is no next page");
    assert_eq!(list["value"][0]["name"], "LinkSales");
}

#[tokio::test]
async fn segments_are_compared_without_regard_to_case() {
    let rig = Rig::start().await;
    let path =
        rig.link_path().replace("resourceGroups", "resourcegroups").replace("mi-dr", "MI-DR");
    assert_eq!(rig.get(&path).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_by_the_header() {
    let rig = Rig::start().await;
    let resource = || "ResourceNotFound".to_owned();
    let link = error(rig.get(&rig.link_path().replace("LinkSales", "Nope")).await).await;
    assert_eq!(link, (404, resource(), false));
    let instance = error(rig.get(&rig.link_path().replace("mi-dr", "nope")).await).await;
    assert_eq!(instance, (404, resource(), true));
    let group = error(rig.get(&rig.link_path().replace("rg-dr", "nope")).await).await;
    assert_eq!(group, (404, "ResourceGroupNotFound".to_owned(), true));
    let sub = &rig.twin.endpoints.arm.subscription;
    let subscription = error(rig.get(&rig.link_path().replace(sub.as_str(), "nope")).await).await;
    assert_eq!(subscription, (404, "SubscriptionNotFound".to_owned(), true));
    let sql = error(rig.get(&rig.instance_path().replace("mi-dr", "sql01")).await).await;
    assert_eq!(sql, (404, resource(), true), "a SQL Server is no resource");
}

#[tokio::test]
async fn planned_from_a_secondary_is_a_400_without_operation() {
    let rig = Rig::start().await;
    let answer = rig.fail_over("Planned").await;
    assert!(answer.headers().get("azure-asyncoperation").is_none());
    let code = "InvalidDistributedAvailabilityGroupFailoverInstanceRole";
    assert_eq!(error(answer).await, (400, code.to_owned(), false));
}

#[tokio::test]
async fn a_body_that_is_not_understood_is_a_400() {
    let rig = Rig::start().await;
    let path = format!("{}/failover?api-version={API}", rig.link_path());
    let code = "InvalidDistributedAvailabilityGroupFailoverRequest".to_owned();
    for body in [None, Some(json!({})), Some(json!({ "failoverType": "Gentle" }))] {
        let answer = rig.send(Method::POST, &path, body).await;
        assert_eq!(error(answer).await, (400, code.clone(), false));
    }
}

#[tokio::test]
async fn forced_is_a_202_with_two_signed_urls_and_ends_with_a_stub() {
    let rig = Rig::start().await;
    let answer = rig.fail_over("ForcedAllowDataLoss").await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert_eq!(header(&answer, "retry-after"), "1");
    assert_eq!(header(&answer, "x-ms-ratelimit-remaining-subscription-writes"), "799");
    let (poll, result) = (header(&answer, "azure-asyncoperation"), header(&answer, "location"));
    for (url, kind) in [
        (&poll, "/distributedAvailabilityGroupsAzureAsyncOperation/"),
        (&result, "/distributedAvailabilityGroupsOperationResults/"),
    ] {
        assert!(url.contains(kind) && url.contains("/resourceGroups/rg-dr/"), "{url}");
        assert!((3_100..3_500).contains(&url.len()), "{} characters", url.len());
        assert!(url.contains(&format!("?api-version={API}&t=")), "{url}");
    }
    let accepted = body(answer).await;
    assert_eq!(accepted["operation"], "DistributedAvailabilityGroupsLinkFailover");
    assert!(accepted["startTime"].as_str().expect("a time").ends_with('Z'));

    let running = rig.get_url(&result).await;
    assert_eq!(running.status(), StatusCode::ACCEPTED, "Location while it runs");
    let ended = rig.settle(&poll).await;
    assert_eq!(ended["status"], "Succeeded");
    assert_eq!(ended["startTime"], accepted["startTime"]);
    assert_eq!(ended.as_object().expect("an object").len(), 3, "name, status, startTime");

    let stub = rig.get_url(&result).await;
    assert_eq!(stub.status(), StatusCode::OK);
    assert_eq!(header(&stub, "retry-after"), "1");
    let stub = body(stub).await;
    assert_eq!(stub["properties"]["instanceLinkRole"], "Primary");
    assert_eq!(stub["properties"]["failoverMode"], "None", "which is not true");
    assert!(stub["properties"].get("databases").is_none());

    let link = body(rig.get(&rig.link_path()).await).await;
    assert_eq!(link["properties"]["failoverMode"], "Manual");
    assert_eq!(link["properties"]["instanceLinkRole"], "Primary");
    assert_eq!(link["properties"]["partnerLinkRole"], "Secondary");
    let database = &link["properties"]["databases"][0];
    assert_eq!(database["connectedState"], "DISCONNECTED");
    assert_eq!(database["synchronizationHealth"], "NOT_HEALTHY");
    assert_eq!(database["lastSentLsn"], "1");
    assert_eq!(database["lastHardenedLsn"], "0");
    assert_eq!(database["instanceSendReplicationLagSeconds"], -1);
    assert!(database.get("lastReceivedLsn").is_none());
}

#[tokio::test]
async fn a_url_must_come_back_byte_for_byte() {
    let rig = Rig::start().await;
    let answer = rig.fail_over("ForcedAllowDataLoss").await;
    let poll = header(&answer, "azure-asyncoperation");
    let bare = poll.split("&t=").next().expect("a part").to_owned();
    let altered = poll.replace("&t=6", "&t=7");
    for url in [bare, altered] {
        let refusal = error(rig.get_url(&url).await).await;
        assert_eq!(refusal, (403, "AuthorizationFailed".to_owned(), true));
    }
    assert_eq!(rig.get_url(&poll).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_resend_while_it_runs_is_409_and_after_that_undoes_it() {
    let rig = Rig::start().await;
    rig.fault(Fault::Stop { instance: "sql01".into() });
    let first = rig.fail_over("ForcedAllowDataLoss").await;
    let second = error(rig.fail_over("ForcedAllowDataLoss").await).await;
    assert_eq!(second, (409, "ConflictingServerOperation".to_owned(), false));
    rig.settle(&header(&first, "azure-asyncoperation")).await;
    let third = rig.fail_over("ForcedAllowDataLoss").await;
    assert_eq!(third.status(), StatusCode::ACCEPTED);
    rig.settle(&header(&third, "azure-asyncoperation")).await;
    let link = body(rig.get(&rig.link_path()).await).await;
    assert_eq!(link["properties"]["instanceLinkRole"], "Secondary");
    let database = &link["properties"]["databases"][0];
    assert_eq!(database["replicaState"], "LinkSynchronizationError");
    assert_eq!(database["mostRecentLinkError"], "41976");
    assert_eq!(database["synchronizationHealth"], "HEALTHY");
    assert_eq!(database["connectedState"], "DISCONNECTED");
    let truth = rig.twin.world.with(|world| world.ledger().intervals("LinkSales").last().cloned());
    assert_eq!(truth.expect("an interval").writers.count(), 0);
}

#[tokio::test]
async fn an_operation_that_fails_is_told_with_http_200() {
    let rig = Rig::with(|spec| spec.links[0].failover.arm_timeout_ms = 5_000).await;
    rig.fault(Fault::Stop { instance: "mi-dr".into() });
    let answer = rig.fail_over("ForcedAllowDataLoss").await;
    let (poll, result) = (header(&answer, "azure-asyncoperation"), header(&answer, "location"));
    let ended = rig.settle(&poll).await;
    assert_eq!(ended["status"], "Failed");
    assert_eq!(ended["error"]["code"], "OperationTimedOut");
    assert_eq!(error(rig.get_url(&result).await).await.0, 500);
    let id = ended["name"].as_str().expect("an id");
    let forged = poll.replace(id, "00000000-0000-4000-8000-000000000000");
    assert_eq!(error(rig.get_url(&forged).await).await.0, 403, "an unsigned id is no id");
}
