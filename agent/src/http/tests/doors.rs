use std::{fs, os::unix::fs::PermissionsExt as _};

use reqwest::{Certificate, Client, Method, header};
use serde_json::json;

use super::{Agent, SOON, TOKEN, read, write_secret};
use crate::http::{BODY, SHORTEST_TOKEN, Tls, TokenError, Tokens};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_in_without_a_token() {
    let agent = Agent::start().await;
    let asked = [
        (Method::GET, "/api/v1/status"),
        (Method::GET, "/api/v1/journal"),
        (Method::GET, "/api/v1/events"),
        (Method::POST, "/api/v1/ballots"),
        (Method::GET, "/api/v1/nothing"),
        (Method::GET, "/nothing"),
        (Method::GET, "//api/v1/status"),
    ];
    for (method, path) in asked {
        let request = agent.bare(method, path);
        let other = request.try_clone().expect("no body").bearer_auth("another-token-that-is-long");
        for request in [request, other] {
            let answer = request.send().await.expect("an answer");
            let challenge = answer.headers().get(header::WWW_AUTHENTICATE).cloned();
            let (code, body) = read(answer).await;
            assert_eq!((code, &body["error"]["code"]), (401, &json!("unauthorized")), "{path}");
            assert_eq!(challenge.expect("a challenge"), "Bearer realm=\"dr-agent\"");
        }
    }
    let basic = agent.bare(Method::GET, "/api/v1/status").basic_auth(TOKEN, Some(TOKEN));
    assert_eq!(basic.send().await.expect("an answer").status(), 401);
    for open in ["/healthz", "/metrics"] {
        let answer = agent.bare(Method::GET, open).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{open}");
    }
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_changed_without_a_restart() {
    let agent = Agent::start().await;
    let (old, new) = (TOKEN, "a-newer-token-of-the-tests");
    let code = async |token: &str| {
        let request = agent.bare(Method::GET, "/api/v1/status").bearer_auth(token);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((code(old).await, code(new).await), (200, 401));
    write_secret(&agent.path("tokens"), &format!("{old}\n{new}\n"));
    assert_eq!((code(old).await, code(new).await), (200, 200));
    write_secret(&agent.path("tokens"), &format!("{new}\n"));
    assert_eq!((code(old).await, code(new).await), (401, 200));
    fs::remove_file(agent.path("tokens")).expect("removed");
    assert_eq!((code(old).await, code(new).await), (401, 401));
    write_secret(&agent.path("tokens"), &format!("{old}\n"));
    assert_eq!((code(old).await, code(new).await), (200, 401));
    agent.stop().await;
}

#[test]
fn a_token_file_that_is_no_good_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokens");
    let wrong = || Tokens::read(std::slice::from_ref(&path)).expect_err("no good");
    assert!(matches!(wrong(), TokenError::Unreadable { .. }));
    write_secret(&path, "# none\n\n");
    assert!(matches!(wrong(), TokenError::Empty { .. }));
    write_secret(&path, &format!("{}\nshort\n", "x".repeat(SHORTEST_TOKEN)));
    let error = wrong();
    assert!(matches!(error, TokenError::TooShort { line: 2, .. }));
    assert!(!error.to_string().contains("short\n") && error.to_string().contains("line 2"));
    write_secret(&path, &"x\n".repeat(64 * 1024));
    assert!(matches!(wrong(), TokenError::TooLarge { .. }));
    write_secret(&path, &"x".repeat(SHORTEST_TOKEN));
    assert!(Tokens::read(std::slice::from_ref(&path)).is_ok());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("mode set");
    assert!(matches!(wrong(), TokenError::ReadByOthers { mode: 0o644, .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_wrong_has_one_shape() {
    let agent = Agent::start().await;
    let ballots = || agent.ask(Method::POST, "/api/v1/ballots");
    let typed = || ballots().header("content-type", "application/json");
    let large = format!("{{\"link\":\"{}\"}}", "x".repeat(BODY));
    let propose = || agent.ask(Method::POST, "/api/v1/links/orders/proposals");
    let nameless = json!({ "kind": "forced_failover", "by": " " });
    let strange = json!({ "kind": "forced_failover", "by": "a", "now": true });
    let cases = [
        (agent.ask(Method::GET, "/api/v1/nothing"), 404, "not_found"),
        (agent.ask(Method::GET, "/api/v1/proposals/x"), 400, "bad_request"),
        (agent.ask(Method::GET, "/api/v1/links/%00/explain"), 400, "bad_request"),
        (agent.ask(Method::GET, "/api/v1/links/%ff/explain"), 400, "bad_request"),
        (agent.ask(Method::GET, "/api/v1/ballots"), 405, "method_not_allowed"),
        (agent.ask(Method::DELETE, "/api/v1/status"), 405, "method_not_allowed"),
        (ballots().body("{}"), 415, "unsupported_media_type"),
        (typed().body("{"), 400, "bad_request"),
        (typed().body("{}"), 400, "bad_request"),
        (typed().body(large), 413, "body_too_large"),
        (propose().json(&nameless), 400, "bad_request"),
        (propose().json(&strange), 400, "bad_request"),
        (agent.ask(Method::GET, "/readyz"), 503, "not_ready"),
    ];
    for (place, (request, code, word)) in cases.into_iter().enumerate() {
        let answer = request.send().await.expect("an answer");
        for (name, value) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
        {
            assert_eq!(answer.headers()[name], value);
        }
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
        let (found, body) = read(answer).await;
        assert_eq!((found, &body["error"]["code"]), (code, &json!(word)), "case {place}: {body}");
        let message = body["error"]["message"].as_str().expect("words");
        assert!(!message.is_empty());
    }
    let answer = agent.ask(Method::PUT, "/api/v1/ballots").send().await.expect("an answer");
    assert_eq!(answer.headers()[header::ALLOW], "POST");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_once_every_vantage_was_looked_from() {
    let agent = Agent::start().await;
    let (code, body) = read(agent.bare(Method::GET, "/readyz").send().await.expect("one")).await;
    assert_eq!(code, 503);
    let missing = "orders has not yet been looked at by TDS to SQL Server";
    assert_eq!(body["error"]["missing"][0], missing);
    agent.look().await;
    let (code, body) = read(agent.bare(Method::GET, "/readyz").send().await.expect("one")).await;
    assert_eq!((code, body), (200, json!({ "ready": true })));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_loop_it_is_alive_and_not_ready() {
    let agent = Agent::start().await;
    agent.inbox.stop();
    while agent.inbox.ask(|_, _| ()).await.is_ok() {}
    assert_eq!(agent.get("/healthz").await.0, 200);
    let (code, body) = agent.get("/readyz").await;
    assert_eq!((code, &body["error"]["code"]), (503, &json!("shutting_down")));
    let metrics = agent.text("/metrics").await;
    assert!(metrics.contains("dr_agent_turn_answers 0"), "{metrics}");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_is_told_while_the_door_is_open() {
    let agent = Agent::start().await;
    assert_eq!(agent.get("/healthz").await.0, 200);
    let told = fs::read_to_string(agent.path("address")).expect("written");
    assert_eq!(told, format!("{}\n", agent.url));
    let folder = agent.stop().await;
    assert!(!folder.path().join("address").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_if_there_is_a_certificate() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("made");
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert, made.cert.pem()).expect("written");
    write_secret(&key, &made.signing_key.serialize_pem());
    let root = Certificate::from_pem(made.cert.pem().as_bytes()).expect("a certificate");
    let client = Client::builder().tls_certs_only([root]).build().expect("a client");
    let agent = Agent::with(client, Some(Tls { cert, key })).await;
    assert!(agent.url.starts_with("https://"));
    assert_eq!(agent.get("/api/v1/status").await.0, 200);
    let plain = agent.url.replace("https://", "http://");
    let refused = Client::new().get(format!("{plain}/healthz")).timeout(SOON).send().await;
    assert!(refused.is_err_and(|error| !error.is_timeout()));
    agent.stop().await;
}
