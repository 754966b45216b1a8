use std::sync::Mutex;

use agent_core::{ControlReading, LinkId, Role, Seen, SilenceKind};
use jiff::Timestamp;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    LinkTarget, Look,
    arm::{ARM_SCOPE, ControlLook, CredentialSource, OperationState},
};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(500);
const TOKEN: &str = r#"{"token_type":"Bearer","expires_in":3600,"access_token":"the token"}"#;

/// Answers requests over HTTPS with what it is told, and remembers what it was asked: the request
/// line, then the body. `None` breaks the connection instead of answering.
struct Plane {
    port: u16,
    pem: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Plane {
    async fn start<S>(script: S) -> Self
    where
        S: Fn(&str) -> Option<String> + Send + Sync + 'static,
    {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
            .expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("its own certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (Arc::clone(&asked), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, log) = (acceptor.clone(), Arc::clone(&log));
                let script = Arc::clone(&script);
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    while let Some((line, body)) = request(&mut stream).await {
                        log.lock().expect("one holder").push(format!("{line} {body}"));
                        let answer = if line.starts_with("POST /tenant/oauth2") {
                            Some(ok(TOKEN))
                        } else {
                            script(&line)
                        };
                        let Some(answer) = answer else { return };
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, pem: made.cert.pem(), asked }
    }

    fn base(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    fn client(&self) -> ArmClient {
        client(&self.base(), &self.pem, &self.base())
    }

    fn tokens(&self) -> usize {
        let all = self.asked.lock().expect("one holder").clone();
        all.iter().filter(|line| line.contains("/oauth2/")).count()
    }

    /// Requests other than those for a token.
    fn asked(&self) -> Vec<String> {
        let all = self.asked.lock().expect("one holder").clone();
        all.into_iter().filter(|line| !line.contains("/oauth2/")).collect()
    }
}

async fn request<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((line, String::from_utf8(body).ok()?))
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

fn ok(body: &str) -> String {
    answer("200 OK", "content-type: application/json\r\n", body)
}

fn target(base_url: &str) -> ControlTarget {
    ControlTarget {
        subscription: "sub".into(),
        resource_group: "rg (prod)".into(),
        instance: "mi1".into(),
        base_url: base_url.into(),
        api_version: "2025-01-01".into(),
        links: vec![LinkTarget {
            link: LinkId::new("dag1").expect("a name"),
            dag: "dag1".into(),
            database: "Orders".into(),
        }],
    }
}

fn client(base_url: &str, pem: &str, authority: &str) -> ArmClient {
    let source = CredentialSource::ClientSecret {
        tenant: "tenant".into(),
        client_id: "client".into(),
        secret: SecretSource::fixed("a secret".into()),
    };
    let ca = SecretSource::fixed(pem.into());
    let http = http_client(Some(&ca), LONG).expect("usable");
    let now = Arc::new(|| Timestamp::UNIX_EPOCH);
    let authority = Some(authority.to_owned());
    let credential = KeptCredential::new(source, authority, ARM_SCOPE, http, now, LONG);
    let credential = Arc::new(credential.expect("usable"));
    ArmClient::new(&target(base_url), Some(&ca), LONG, credential).expect("usable")
}

const MI: &str = "/subscriptions/sub/resourceGroups/rg%20(prod)/providers/Microsoft.Sql\
    /managedInstances/mi1";
const LINK: &str = r#"{"name":"dag1","properties":{"instanceLinkRole":"Secondary",
    "partnerLinkRole":"Primary","failoverMode":"Manual","databases":[{"databaseName":"Orders",
    "replicaState":"LinkSynchronizing","synchronizationHealth":"HEALTHY",
    "connectedState":"CONNECTED","lastHardenedLsn":"42000000012800001"}]}}"#;
const INSTANCE: &str = r#"{"name":"mi1","properties":{"state":"Ready","provisioningState":"Succeeded",
    "databaseFormat":"SQLServer2022"}}"#;
const NOT_FOUND: &str = r#"{"error":{"code":"ResourceNotFound","message":"was not found"}}"#;

async fn control(plane: &Plane) -> Seen {
    let mut look = ControlLook::new(Arc::new(plane.client()), target(&plane.base()).links);
    look.look(LONG).await.pop().expect("one link").1
}

#[tokio::test]
async fn one_look_reads_instance_and_link_with_one_token() {
    let plane = Plane::start(|line| {
        Some(ok(if line.contains("distributedAvailabilityGroups") { LINK } else { INSTANCE }))
    })
    .await;
    let mut look = ControlLook::new(Arc::new(plane.client()), target(&plane.base()).links);
    let Seen::Control(ControlReading { instance_state, database_format, link }) =
        look.look(LONG).await.pop().expect("one link").1
    else {
        panic!("the control plane answered");
    };
    assert_eq!((&*instance_state, &*database_format), ("Ready", "SQLServer2022"));
    assert_eq!(link.expect("it exists").instance_role, Role::Secondary);
    look.look(LONG).await;
    let expected = [
        format!("GET {MI}?api-version=2025-01-01 "),
        format!("GET {MI}/distributedAvailabilityGroups/dag1?api-version=2025-01-01 "),
    ];
    assert_eq!(plane.asked(), [&expected[..], &expected[..]].concat());
    assert_eq!(plane.tokens(), 1);
}

#[tokio::test]
async fn a_missing_link_is_known_to_be_missing_and_a_missing_instance_is_no_answer() {
    let plane = Plane::start(|line| {
        Some(if line.contains("distributedAvailabilityGroups") {
            answer("404 Not Found", "", NOT_FOUND)
        } else {
            ok(INSTANCE)
        })
    })
    .await;
    let Seen::Control(reading) = control(&plane).await else { panic!("it answered") };
    assert_eq!(reading.link, None);

    let gateway = "x-ms-failure-cause: gateway\r\n";
    let plane = Plane::start(move |_| Some(answer("404 Not Found", gateway, NOT_FOUND))).await;
    let Seen::Silence(silence) = control(&plane).await else { panic!("there is no instance") };
    assert_eq!(silence.kind, SilenceKind::Denied);
}

#[tokio::test]
async fn a_failover_is_ordered_once_and_its_operation_is_asked_by_the_signed_address() {
    let signed = format!(
        "{MI}/operations/7?api-version=2025-01-01&t=1&c={}&s=a-b_c&h=%2f",
        "cA-_".repeat(2500)
    );
    let port = Arc::new(Mutex::new(0_u16));
    let (path, own) = (signed.clone(), Arc::clone(&port));
    let plane = Plane::start(move |line| {
        let port = *own.lock().expect("one holder");
        Some(if line.starts_with("POST") {
            let headers = format!(
                "azure-asyncoperation: https://localhost:{port}{path}\r\nretry-after: 7\r\n\
                 x-ms-correlation-request-id: 1-2-3\r\n"
            );
            answer("202 Accepted", &headers, r#"{"operation":"Failover"}"#)
        } else {
            ok(r#"{"name":"7","status":"Succeeded"}"#)
        })
    })
    .await;
    *port.lock().expect("one holder") = plane.port;
    let client = plane.client();
    let kind = FailoverType::ForcedAllowDataLoss;
    let accepted = client.failover("dag1", kind, LONG).await.expect("accepted");
    assert_eq!(accepted.retry_after, Duration::from_secs(7));
    assert_eq!(accepted.correlation.as_deref(), Some("1-2-3"));
    let url = accepted.operation.expect("an address");
    let journaled = client.operation_url(url.as_str()).expect("as it was");
    let poll = client.operation(&journaled, LONG).await.expect("an answer");
    assert_eq!(poll.state, OperationState::Succeeded);
    assert_eq!(
        plane.asked(),
        [
            format!(
                "POST {MI}/distributedAvailabilityGroups/dag1/failover?api-version=2025-01-01 \
                 {{\"failoverType\":\"ForcedAllowDataLoss\"}}"
            ),
            format!("GET {signed} "),
        ]
    );
}

#[tokio::test]
async fn what_a_failed_order_leaves_open() {
    let order = async |script: fn(&str) -> Option<String>| {
        let plane = Plane::start(script).await;
        let outcome = plane.client().failover("dag1", FailoverType::Planned, LONG).await;
        assert_eq!(plane.asked().len(), 1, "nothing is sent twice");
        outcome.expect_err("it was to fail")
    };
    let refused = order(|_| Some(answer("400 Bad Request", "", ""))).await;
    assert!(refused.refused(), "{refused}");
    let conflict = order(|_| Some(answer("409 Conflict", "", ""))).await;
    assert!(matches!(conflict, ArmError::Conflict { .. }), "{conflict}");
    const AWAY: &str = "location: https://evil.example/\r\n";
    let redirected = order(|_| Some(answer("307 Temporary Redirect", AWAY, ""))).await;
    assert!(redirected.refused(), "{redirected}");
    let unavailable = order(|_| Some(answer("503 Service Unavailable", "", ""))).await;
    assert!(unavailable.unknown(), "{unavailable}");
    let broken = order(|_| None).await;
    assert!(broken.unknown() && matches!(broken, ArmError::Io { sent: true, .. }), "{broken}");
}

#[tokio::test]
async fn nothing_was_sent_where_no_connection_came_about() {
    let plane = Plane::start(|_| Some(ok(INSTANCE))).await;
    let stranger = Plane::start(|_| Some(ok(INSTANCE))).await;
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let closed = format!("https://localhost:{}", free.local_addr().expect("an address").port());
    drop(free);

    let order = async |base: &str, authority: &str| {
        let client = client(base, &plane.pem, authority);
        let outcome = client.failover("dag1", FailoverType::Planned, LONG).await;
        outcome.expect_err("it was to fail")
    };
    let refused = order(&closed, &plane.base()).await;
    assert!(refused.nothing_sent(), "{refused}");
    assert_eq!(refused.silence().kind, SilenceKind::Refused);
    let unresolved = order("https://no-such-host.invalid", &plane.base()).await;
    assert!(unresolved.nothing_sent(), "{unresolved}");
    assert_eq!(unresolved.silence().kind, SilenceKind::Unroutable, "{unresolved}");
    let other = order(&stranger.base(), &plane.base()).await;
    assert!(other.nothing_sent() && matches!(other, ArmError::Tls { .. }), "{other}");
    let no_token = order(&plane.base(), &closed).await;
    assert!(no_token.nothing_sent() && matches!(no_token, ArmError::Credential(_)), "{no_token}");
}

#[tokio::test]
async fn a_plane_that_accepts_and_says_nothing_costs_the_deadline() {
    let plane = Plane::start(|_| Some(ok(INSTANCE))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mute = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
    let client = client(&mute, &plane.pem, &plane.base());
    let error = client.instance(SHORT).await.expect_err("nobody answers");
    assert_eq!(error, ArmError::TimedOut { sent: true }, "it cannot tell, so it says the worse");
    drop(listener);
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_not_used_again() {
    let plane = Plane::start(|_| Some(answer("401 Unauthorized", "", NOT_FOUND))).await;
    let client = plane.client();
    for _ in 0..2 {
        let error = client.instance(LONG).await.expect_err("not accepted");
        assert!(matches!(error, ArmError::Unauthorized { .. }), "{error}");
    }
    assert_eq!((plane.tokens(), plane.asked().len()), (2, 2));
}

#[test]
fn a_base_url_is_https_and_bare() {
    for wrong in [
        "http://management.azure.com",
        "management.azure.com",
        "https://management.azure.com/subscriptions",
        "https://management.azure.com/?a=b",
        "https://user@management.azure.com",
    ] {
        let error = instance_url(&target(wrong)).expect_err(wrong);
        assert!(matches!(error, ArmSetupError::BaseUrl(_)), "{wrong}: {error}");
    }
    instance_url(&target("https://management.azure.com/")).expect("a slash does no harm");
}
