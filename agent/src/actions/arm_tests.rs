use agent_core::SilenceKind;
use probes::arm::{CredentialError, OperationUrl};

use super::*;

const PATH: &str = "/subscriptions/s-1/resourceGroups/rg/providers/Microsoft.Sql/managedInstances/mi\
                    /distributedAvailabilityGroups/Link/failover";

const FAILOVER: Option<&str> = Some("failover");

fn target() -> ControlTarget {
    ControlTarget {
        subscription: "s-1".into(),
        resource_group: "rg".into(),
        instance: "mi".into(),
        base_url: "https://management.azure.com".into(),
        api_version: "2025-01-01".into(),
        links: Vec::new(),
    }
}

#[test]
fn a_path_must_lead_to_a_link_of_this_instance() {
    assert_eq!(link_of(PATH, FAILOVER, &target()), Some("Link".into()));
    let lower = PATH.replace("resourceGroups/rg", "resourcegroups/RG");
    assert_eq!(
        link_of(&lower, FAILOVER, &target()),
        Some("Link".into()),
        "resource ids ignore case"
    );
    for wrong in [
        PATH.replace("s-1", "s-2"),
        PATH.replace("/mi/", "/other/"),
        PATH.replace("/failover", "/setRole"),
        PATH.replace("/failover", ""),
        PATH.replace("/Link", "/"),
        PATH.replace("/Link/", "/a/../Link/"),
        format!("https://management.azure.com{PATH}"),
        format!("{PATH}?api-version=2021"),
    ] {
        assert_eq!(link_of(&wrong, FAILOVER, &target()), None, "{wrong}");
    }
}

#[test]
fn a_deletion_leads_to_the_link_itself_and_says_nothing_more() {
    let link = PATH.strip_suffix("/failover").expect("it ends so");
    assert_eq!(link_of(link, None, &target()), Some("Link".into()));
    assert_eq!(link_of(PATH, None, &target()), None);
    let (_, again) = order([].into_iter(), Method::Delete, link, "{}").expect_err("a body");
    assert_eq!(again, Again::Never);
    let (_, again) = order([].into_iter(), Method::Delete, link, "").expect_err("no instance");
    assert_eq!(again, Again::NextRoute);
}

#[test]
fn names_that_a_path_escapes_are_the_names_of_the_configuration() {
    let target = ControlTarget { resource_group: "rg (prod)".into(), ..target() };
    let path = PATH.replace("/rg/", "/rg%20%28prod%29/").replace("/Link/", "/my%20link/");
    assert_eq!(link_of(&path, FAILOVER, &target), Some("my link".into()));
    assert_eq!(link_of(&path.replace("%29", "%2"), FAILOVER, &target), None);
    assert_eq!(link_of(&path.replace("%29", "%ff"), FAILOVER, &target), None);
}

#[test]
fn a_body_that_is_not_understood_is_not_ordered() {
    for body in ["", "{}", r#"{"failoverType":"Soft"}"#, r#"{"failoverType":"Planned","x":1}"#] {
        let (why, again) =
            order([].into_iter(), Method::Post, PATH, body).expect_err("not an order");
        assert_eq!(again, Again::Never, "{body}: {why}");
    }
    let body = r#"{"failoverType":"ForcedAllowDataLoss"}"#;
    let (_, again) = order([].into_iter(), Method::Post, PATH, body).expect_err("no such instance");
    assert_eq!(again, Again::NextRoute);
}

fn short(error: ArmError) -> String {
    let text = error.to_string();
    match sent(Err(error)) {
        Sent::Accepted { .. } | Sent::Already { .. } => format!("{text}: accepted\n"),
        Sent::Refused { again, .. } => format!("{text}: refused, {again:?}\n"),
        Sent::Unknown { .. } => format!("{text}: unknown\n"),
    }
}

#[test]
fn what_every_answer_allows() {
    let text = || "t".to_owned();
    let kind = SilenceKind::Refused;
    let table: String = [
        ArmError::Credential(CredentialError { kind, detail: text() }),
        ArmError::Unauthorized { message: text() },
        ArmError::Forbidden { code: text(), message: text() },
        ArmError::NotFound { gateway: true, code: text(), message: text() },
        ArmError::NotFound { gateway: false, code: text(), message: text() },
        ArmError::Conflict { code: text(), message: text() },
        ArmError::Throttled { retry_after: Duration::from_secs(7) },
        ArmError::Rejected { status: 400, code: text(), message: text() },
        ArmError::Unavailable { status: 503, code: text(), message: text() },
        ArmError::TimedOut { sent: false },
        ArmError::TimedOut { sent: true },
        ArmError::Io { sent: false, kind, detail: text() },
        ArmError::Io { sent: true, kind, detail: text() },
        ArmError::Tls { detail: text() },
        ArmError::Garbled { detail: text() },
    ]
    .into_iter()
    .map(short)
    .collect();
    expect_test::expect![[r#"
        no token: t: refused, NextRoute
        401: t: refused, NextRoute
        403 t: t: refused, NextRoute
        404 t (gateway): t: refused, NextRoute
        404 t (resource provider): t: refused, NextRoute
        409 t: t: refused, SameRoute
        429: asked to wait 7 s: refused, SameRoute
        400 t: t: refused, NextRoute
        503 t: t: unknown
        no answer in time before anything was sent: refused, NextRoute
        no answer in time to the request: unknown
        cannot connect: t: refused, NextRoute
        connection broke: t: unknown
        TLS failed: t: refused, NextRoute
        answer not understood: t: unknown
    "#]]
    .assert_eq(&table);
}

#[test]
fn an_accepted_order_keeps_the_address_to_the_byte() {
    let text = "https://management.azure.com/o/7?t=1&c=cA-_&s=s";
    let base = reqwest::Url::parse("https://management.azure.com").expect("a URL");
    let accepted =
        |operation| Accepted { operation, retry_after: Duration::from_secs(15), correlation: None };
    let url = OperationUrl::new(text, &base).expect("an address");
    assert_eq!(sent(Ok(accepted(Some(url)))), Sent::Accepted { operation: Some(text.to_owned()) });
    assert_eq!(sent(Ok(accepted(None))), Sent::Accepted { operation: None });
}

#[test]
fn an_operation_that_cannot_be_seen_has_not_failed() {
    let retry_after = Duration::from_secs(11);
    let ok = |state| polled(Ok(Poll { state, retry_after }));
    assert_eq!(
        ok(OperationState::Running { word: "InProgress".into() }),
        Polled::Running { again_in: retry_after }
    );
    assert_eq!(ok(OperationState::Succeeded), Polled::Succeeded);
    let failed = ok(OperationState::Failed { code: "C".into(), message: "m".into() });
    assert_eq!(failed, Polled::Failed { why: "the operation failed with C: m".into() });
    assert!(matches!(ok(OperationState::Canceled), Polled::Failed { .. }));
    let (code, message) = (String::new(), String::new());
    for error in [
        ArmError::NotFound { gateway: false, code: code.clone(), message: message.clone() },
        ArmError::Conflict { code, message },
        ArmError::TimedOut { sent: true },
    ] {
        assert!(matches!(polled(Err(error)), Polled::Blind { .. }));
    }
    assert_eq!(
        polled(Err(ArmError::Throttled { retry_after })),
        Polled::Running { again_in: retry_after }
    );
}
