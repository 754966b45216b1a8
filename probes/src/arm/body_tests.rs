use expect_test::{Expect, expect};
use reqwest::header::HeaderValue;

use super::*;

fn check(json: &str, expected: Expect) {
    let link: Link = serde_json::from_str(json).expect("a link");
    expected.assert_debug_eq(&link.reading("Orders"));
}

const HEALTHY: &str = r#"{"properties":{"distributedAvailabilityGroupName":"dag1",
    "distributedAvailabilityGroupId":"11111111-2222-3333-4444-555555555555",
    "replicationMode":"Async","partnerLinkRole":"Primary","partnerAvailabilityGroupName":"ag1",
    "partnerEndpoint":"TCP://10.1.2.3:5022","instanceLinkRole":"Secondary",
    "instanceAvailabilityGroupName":"mi1","failoverMode":"Manual","seedingMode":"Automatic",
    "databases":[{"databaseName":"orders","instanceReplicaId":"a","partnerReplicaId":"b",
        "replicaState":"LinkSynchronizing","synchronizationHealth":"HEALTHY",
        "connectedState":"CONNECTED","lastReceivedLsn":"1","lastCommitLsn":"0",
        "lastHardenedLsn":"42000000012800001","lastHardenedTime":"2026-11-22T10:00:00.123Z",
        "partnerAuthCertValidity":{},"instanceSendReplicationLagSeconds":0,
        "instanceRedoReplicationLagSeconds":0}]},
    "id":"/subscriptions/s/resourceGroups/rg/providers/Microsoft.Sql/managedInstances/mi1",
    "name":"dag1","type":"Microsoft.Sql/managedInstances/distributedAvailabilityGroups"}"#;

#[test]
fn a_healthy_link() {
    check(
        HEALTHY,
        expect![[r#"
            Ok(
                ControlLink {
                    instance_role: Secondary,
                    partner_role: Primary,
                    replica_state: Some(
                        "LinkSynchronizing",
                    ),
                    connected: Some(
                        true,
                    ),
                    sync_health: Some(
                        Healthy,
                    ),
                    failover_mode: Some(
                        "Manual",
                    ),
                    last_hardened_lsn: Some(
                        Lsn(
                            42000000012800001,
                        ),
                    ),
                    other_databases: [],
                },
            )
        "#]],
    );
}

#[test]
fn after_a_forced_failover_the_placeholder_position_is_unknown() {
    check(
        r#"{"name":"dag1","properties":{"instanceLinkRole":"Primary","partnerLinkRole":"Secondary",
            "databases":[{"databaseName":"Orders","replicaState":"LinkSynchronizationError",
            "synchronizationHealth":"NOT_HEALTHY","connectedState":"DISCONNECTED",
            "lastSentLsn":"1","lastHardenedLsn":"0","mostRecentLinkError":"41977",
            "instanceSendReplicationLagSeconds":-1,"instanceRedoReplicationLagSeconds":0}]}}"#,
        expect![[r#"
            Ok(
                ControlLink {
                    instance_role: Primary,
                    partner_role: Secondary,
                    replica_state: Some(
                        "LinkSynchronizationError",
                    ),
                    connected: Some(
                        false,
                    ),
                    sync_health: Some(
                        NotHealthy,
                    ),
                    failover_mode: None,
                    last_hardened_lsn: None,
                    other_databases: [],
                },
            )
        "#]],
    );
}

#[test]
fn a_link_that_is_being_made_has_hardly_any_property() {
    check(
        r#"{"name":"dag1","properties":{"instanceLinkRole":"Secondary"}}"#,
        expect![[r#"
            Ok(
                ControlLink {
                    instance_role: Secondary,
                    partner_role: Resolving,
                    replica_state: None,
                    connected: None,
                    sync_health: None,
                    failover_mode: None,
                    last_hardened_lsn: None,
                    other_databases: [],
                },
            )
        "#]],
    );
}

#[test]
fn a_link_of_several_databases_tells_of_the_others() {
    let link = r#"{"name":"dag1","properties":{"instanceLinkRole":"Secondary",
        "databases":[{"databaseName":"Stock"},{"databaseName":"ORDERS"},{"databaseName":"Prices"}]}}"#;
    let link: Link = serde_json::from_str(link).expect("a link");
    let reading = link.reading("Orders").expect("it has a role");
    assert_eq!(reading.other_databases, ["Stock", "Prices"]);
}

#[test]
fn a_role_nobody_has_heard_of_is_no_role() {
    check(
        r#"{"name":"dag1","properties":{"instanceLinkRole":"Tertiary"}}"#,
        expect![[r#"
            Err(
                Garbled {
                    detail: "`Tertiary` as instanceLinkRole",
                },
            )
        "#]],
    );
    check(
        r#"{"name":"dag1"}"#,
        expect![[r#"
            Err(
                Garbled {
                    detail: "a link without an instanceLinkRole",
                },
            )
        "#]],
    );
}

fn refusal(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> ArmError {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_static(value));
    }
    failure(StatusCode::from_u16(status).expect("a status"), &map, body.as_bytes())
}

#[test]
fn who_did_not_find_it_is_told_apart_by_a_header() {
    let body = r#"{"error":{"code":"ResourceNotFound","message":"was not found"}}"#;
    let provider = refusal(404, &[], body);
    assert!(matches!(provider, ArmError::NotFound { gateway: false, .. }), "{provider}");
    let gateway = refusal(404, &[("x-ms-failure-cause", "gateway")], body);
    assert!(matches!(gateway, ArmError::NotFound { gateway: true, .. }), "{gateway}");
}

#[test]
fn answers_that_are_no_success() {
    let told = [
        refusal(401, &[], r#"{"error":{"code":"ExpiredAuthenticationToken","message":"expired"}}"#),
        refusal(403, &[], r#"{"error":{"code":"AuthorizationFailed","message":"no"}}"#),
        refusal(409, &[], r#"{"error":{"code":"ConflictingServerOperation","message":"busy"}}"#),
        refusal(429, &[("retry-after", "17")], ""),
        refusal(
            400,
            &[],
            r#"{"error":{"code":"InvalidDistributedAvailabilityGroupFailoverInstanceRole",
                "message":"in the primary role only","details":[]}}"#,
        ),
        refusal(500, &[], r#"{"error":{"code":"OperationTimedOut","message":"rolled back"}}"#),
        refusal(502, &[], "<html>\n<b>Bad Gateway</b></html>"),
        refusal(307, &[("location", "https://evil.example/")], ""),
    ]
    .map(|error| error.to_string());
    expect![[r#"
        [
            "401: expired",
            "403 AuthorizationFailed: no",
            "409 ConflictingServerOperation: busy",
            "429: asked to wait 17 s",
            "400 InvalidDistributedAvailabilityGroupFailoverInstanceRole: in the primary role only",
            "500 OperationTimedOut: rolled back",
            "502 : <html> <b>Bad Gateway</b></html>",
            "307 : ",
        ]
    "#]]
    .assert_debug_eq(&told);
}
