//! Hands at an instance where nobody listens: nothing leaves, and everybody is told so.

use agent_core::{Method, Side};
use probes::{
    Now, Secret, SecretSource,
    arm::{ARM_SCOPE, CredentialSource, KeptCredential, http_client},
    tds::{Encryption, Login, Port, TdsEndpoint, Tls, Trust},
};

use super::*;

const PATH: &str = "/subscriptions/s-1/resourceGroups/rg/providers/Microsoft.Sql/managedInstances/mi\
                    /distributedAvailabilityGroups/dag/failover";
const LIMIT: Duration = Duration::from_secs(5);

/// A port on which nobody listens: it was free a moment ago.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

fn instance() -> InstanceId {
    InstanceId::new("mi").expect("a name")
}

fn secret() -> SecretSource {
    SecretSource::fixed(Secret::from("secret"))
}

fn hands() -> Arc<Hands> {
    let port = closed_port();
    let endpoint = TdsEndpoint {
        host: "127.0.0.1".into(),
        port: Port::Number(port),
        login: Login::Sql { user: "dr_agent".into(), password: secret() },
        encryption: Encryption::Negotiated,
        tls: Tls::new(&Trust::PinnedCertificate([0; 32])).expect("usable"),
        tls_name: None,
        app_name: "dr-agent acts".into(),
        connect_within: LIMIT,
    };
    let target = InstanceTarget {
        instance: instance(),
        side: Side::ManagedInstance,
        links: Vec::new(),
        endpoint,
        replicas: Vec::new(),
        listener: false,
    };
    let control = ControlPlace { client: client(port), target: arm(port), look_within: LIMIT };
    let place = Place { target, look_within: LIMIT, control: Some(control) };
    Arc::new(Hands::new(vec![place]))
}

fn arm(port: u16) -> ControlTarget {
    ControlTarget {
        subscription: "s-1".into(),
        resource_group: "rg".into(),
        instance: "mi".into(),
        base_url: format!("https://127.0.0.1:{port}"),
        api_version: "2025-01-01".into(),
        links: Vec::new(),
    }
}

fn client(port: u16) -> Arc<ArmClient> {
    let source = CredentialSource::ClientSecret {
        tenant: "00000000-0000-0000-0000-000000000001".into(),
        client_id: "00000000-0000-0000-0000-000000000002".into(),
        secret: secret(),
    };
    let http = http_client(None, LIMIT).expect("HTTP");
    let now: Now = Arc::new(|| Timestamp::UNIX_EPOCH);
    let authority = Some(format!("https://127.0.0.1:{port}"));
    let kept = KeptCredential::new(source, authority, ARM_SCOPE, http, now, LIMIT);
    let kept = Arc::new(kept.expect("a credential"));
    Arc::new(ArmClient::new(&arm(port), None, LIMIT, kept).expect("a client"))
}

fn work(route: Option<Route>) -> Work {
    Work {
        link: LinkId::new("link").expect("a name"),
        step: StepRef { proposal: 17, lane: 0, step: 1, attempt: 2, undo: false },
        action: Action::TargetPrimary {
            instance: instance(),
            group: "dag".into(),
            database: "shop".into(),
        },
        route,
        started_at: Timestamp::UNIX_EPOCH,
        deadline: Timestamp::MAX,
        sent: false,
        operation: None,
        overdue: false,
        turned_at: None,
    }
}

fn tsql(instance: &str) -> Route {
    let instance = InstanceId::new(instance).expect("a name");
    Route::Tsql { instance, statement: "ALTER AVAILABILITY GROUP [dag] FAILOVER".into() }
}

fn post() -> Route {
    let body = r#"{"failoverType":"ForcedAllowDataLoss"}"#.into();
    Route::Arm { method: Method::Post, path: PATH.into(), body }
}

fn refused(sent: Sent) -> (String, Again) {
    match sent {
        Sent::Refused { why, again } => (why, again),
        other @ (Sent::Accepted { .. } | Sent::Already { .. } | Sent::Unknown { .. }) => {
            panic!("expected a refusal, got {other:?}")
        }
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_left_and_the_next_route_is_free() {
    let hands = hands();
    let mut grip = hands.grip(&work(Some(tsql("mi"))));
    let (why, again) = refused(grip.send(&tsql("mi"), LIMIT).await);
    assert!(why.starts_with("the command did not leave: connection refused"), "{why}");
    assert_eq!(again, Again::NextRoute);
    let (why, again) = refused(grip.send(&post(), LIMIT).await);
    assert!(why.contains("the order did not leave"), "{why}");
    assert_eq!(again, Again::NextRoute);
    let (why, _) = refused(grip.send(&tsql("elsewhere"), LIMIT).await);
    assert_eq!(why, "the configuration has no instance elsewhere");
}

#[tokio::test]
async fn where_nobody_listens_every_look_is_blind() {
    let hands = hands();
    for route in [None, Some(tsql("mi")), Some(post())] {
        let sight = hands.grip(&work(route)).look(Timestamp::UNIX_EPOCH).await;
        assert!(matches!(sight, Sight::Blind { .. }), "{sight:?}");
    }
    let polled = hands.grip(&work(None)).poll("https://evil.example/steal").await;
    let Polled::Blind { why } = polled else { panic!("expected to be blind, got {polled:?}") };
    assert!(why.starts_with("the address of the operation is not asked"), "{why}");
}

#[tokio::test]
async fn connections_go_from_one_step_to_the_next_if_that_comes_soon() {
    let hands = hands();
    let held = || hands.warm.lock().expect("not poisoned").len();
    let mut first = hands.grip(&work(None));
    first.look(Timestamp::UNIX_EPOCH).await;
    assert_eq!(held(), 0);
    drop(first);
    assert_eq!(held(), 1);
    let next = hands.grip(&work(None));
    assert_eq!(held(), 0);
    let warm = next.warm.as_ref().expect("taken over");
    let at = |second| Timestamp::from_second(second).expect("in range");
    let target = link_target(&work(None));
    assert!(warm.serves(&target, at(30)));
    assert!(!warm.serves(&target, at(31)), "idle for too long");
    let other = LinkTarget { database: "other".into(), ..target };
    assert!(!warm.serves(&other, at(1)), "another database");
}

#[test]
fn a_session_tells_its_step() {
    let step = StepRef { proposal: 17, lane: 0, step: 1, attempt: 2, undo: false };
    assert_eq!(program_name(step), "dr-agent 17/0/1");
}
