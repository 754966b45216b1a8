//! The cloud's metadata, the subscription, permissions, resource health, api-versions.

use super::*;
use crate::world::{AzureRole, DirectoryChange, Party, setup::Change};

#[tokio::test]
async fn metadata_is_open_to_everybody_and_names_the_token_service() {
    let rig = Rig::start().await;
    let arm = &rig.twin.endpoints.arm;
    let url = |version| format!("{}/metadata/endpoints?api-version={version}", arm.base_url);
    let open = async |version| rig.http.get(url(version)).send().await.expect("an answer");
    let one = body(open("2022-09-01").await).await;
    assert_eq!(one["authentication"]["loginEndpoint"], arm.authority.as_str());
    assert_eq!(one["resourceManager"], arm.base_url.as_str());
    let list = body(open("2019-05-01").await).await;
    assert_eq!(list[0]["name"], "AzureCloud");
    let old = body(open("2015-01-01").await).await;
    assert_eq!(old["authentication"]["audiences"][0], "https://management.core.windows.net/");
    let unknown = error(open("1999-01-01").await).await;
    assert_eq!(unknown, (400, "InvalidApiVersionParameter".to_owned(), true));
}

#[tokio::test]
async fn the_subscription_is_enabled() {
    let rig = Rig::start().await;
    let arm = &rig.twin.endpoints.arm;
    let path = format!("/subscriptions/{}", arm.subscription);
    let (status, body) = rig.at(&path, "2022-12-01").await;
    assert_eq!(status, 200);
    assert_eq!(body["state"], "Enabled");
    assert_eq!(body["tenantId"], arm.tenant.as_str());
    let (status, body) = rig.at(&path, "2025-01-01").await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("InvalidApiVersionParameter")));
}

#[tokio::test]
async fn each_provider_has_versions_of_its_own() {
    let rig = Rig::start().await;
    let (instance, link) = (rig.instance_path(), rig.link_path());
    for version in ["2023-08-01-preview", "2025-01-01", "2025-08-01-preview", "2026-08-01-preview"]
    {
        assert_eq!(rig.at(&link, version).await.0, 200, "{version}");
        assert_eq!(rig.at(&instance, version).await.0, 200, "{version}");
    }
    assert_eq!(rig.at(&instance, "2022-08-01-preview").await.0, 200);
    let (status, body) = rig.at(&link, "2022-08-01-preview").await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("NoRegisteredProviderFound")));
    let message = body["error"]["message"].as_str().expect("words");
    assert!(message.contains("managedInstances/distributedAvailabilityGroups"), "{message}");
    assert!(message.contains("The supported api-versions are '2023-08-01-preview, "), "{message}");
    let health = format!("{instance}/providers/Microsoft.ResourceHealth/availabilityStatuses");
    assert_eq!(rig.at(&health, "2025-01-01").await.0, 400);
    assert_eq!(rig.at(&health, "2025-05-01").await.0, 200);
}

#[tokio::test]
async fn health_is_a_hint_that_may_lie() {
    let rig = Rig::start().await;
    let path = format!(
        "{}/providers/Microsoft.ResourceHealth/availabilityStatuses/current",
        rig.instance_path()
    );
    let state = async || rig.at(&path, "2025-05-01").await.1["properties"].clone();
    let good = state().await;
    assert_eq!(good["availabilityState"], "Available");
    assert!(good["occuredTime"].is_string(), "spelled so");
    rig.fault(Fault::Cut { from: Party::Arm, to: "mi-dr".parse().expect("x"), one_way: false });
    assert_eq!(state().await["availabilityState"], "Unknown", "which is not down");
    let lie = Change::SaidHealth(Some("Available".to_owned()));
    rig.twin.world.with(|world| world.set_up("mi-dr", lie)).expect("it exists");
    assert_eq!(state().await["availabilityState"], "Available");
    let lie = Change::SaidHealth(Some("Unavailable".to_owned()));
    rig.twin.world.with(|world| world.set_up("mi-dr", lie)).expect("it exists");
    assert_eq!(state().await["reasonType"], "Unplanned");
}

#[tokio::test]
async fn roles_are_told_and_kept() {
    let rig = Rig::start().await;
    let link = rig.link_path();
    let deny = |action: &str| {
        let change = Change::Action { action: action.to_owned(), granted: false };
        rig.twin.world.with(|world| world.set_up("mi-dr", change)).expect("it exists");
    };
    let failover = "Microsoft.Sql/managedInstances/distributedAvailabilityGroups/failover/action";
    deny(failover);
    for scope in [rig.instance_path(), rig.instance_path().replace(TAIL, "")] {
        let path = format!("{scope}/providers/Microsoft.Authorization/permissions");
        let (status, body) = rig.at(&path, "2022-04-01").await;
        assert_eq!(status, 200);
        assert_eq!(body["value"][0]["notActions"][0], failover);
        assert_eq!(body["value"][0]["actions"][0], "Microsoft.Sql/managedInstances/*");
    }
    let refused = error(rig.fail_over("ForcedAllowDataLoss").await).await;
    assert_eq!(refused, (403, "AuthorizationFailed".to_owned(), true));
    assert_eq!(rig.get(&link).await.status(), StatusCode::OK, "nothing else is taken away");

    // Two roles add up: what one leaves out, the other may give.
    let role = |actions: &[&str], not: &[&str]| AzureRole {
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        not_actions: not.iter().map(|action| (*action).to_owned()).collect(),
    };
    let application = rig.twin.endpoints.arm.client_id.clone();
    let assign = |roles| {
        let change = DirectoryChange::AssignRoles { application: application.clone(), roles };
        rig.twin.world.with(|world| world.change_directory(change)).expect("it exists");
    };
    assign(vec![role(&["*/read"], &["Microsoft.Sql/managedInstances/read"])]);
    assert_eq!(rig.get(&rig.instance_path()).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(rig.get(&link).await.status(), StatusCode::OK);
    assign(vec![role(&["*/read"], &["*"]), role(&["microsoft.sql/MANAGEDinstances/read"], &[])]);
    assert_eq!(rig.get(&rig.instance_path()).await.status(), StatusCode::OK);
    assert_eq!(rig.get(&link).await.status(), StatusCode::FORBIDDEN);
    assign(Vec::new());
    assert_eq!(rig.get(&rig.instance_path()).await.status(), StatusCode::FORBIDDEN);
}

const TAIL: &str = "/providers/Microsoft.Sql/managedInstances/mi-dr";
