//! Outages, throttling, silence.

use std::net::Ipv4Addr;

use tokio::net::TcpStream;

use super::*;
use crate::world::{AnswerTrouble, JobStatus, Party, PollTrouble};

#[tokio::test]
async fn api_versions_are_checked() {
    let rig = Rig::start().await;
    let missing = error(rig.send(Method::GET, &rig.link_path(), None).await).await;
    assert_eq!(missing, (400, "MissingApiVersionParameter".to_owned(), true));
    let path = format!("{}?api-version=2021-05-01-preview", rig.link_path());
    let unknown = error(rig.send(Method::GET, &path, None).await).await;
    assert_eq!(unknown, (400, "NoRegisteredProviderFound".to_owned(), true));
    let post = format!("{}?api-version={API}", rig.link_path());
    let method = error(rig.send(Method::POST, &post, None).await).await;
    assert_eq!(method, (405, "UnsupportedHttpMethod".to_owned(), false));
}

#[tokio::test]
async fn throttling_and_conflicts_pass_after_their_number() {
    let rig = Rig::start().await;
    rig.fault(Fault::ArmThrottle { times: 2, retry_after_s: 7 });
    for _ in 0..2 {
        let answer = rig.get(&rig.link_path()).await;
        assert_eq!(header(&answer, "retry-after"), "7");
        assert_eq!(error(answer).await, (429, "SubscriptionTooManyRequests".to_owned(), true));
    }
    assert_eq!(rig.get(&rig.link_path()).await.status(), StatusCode::OK);

    rig.fault(Fault::ArmConflict { times: 1 });
    let conflict = error(rig.fail_over("ForcedAllowDataLoss").await).await;
    assert_eq!(conflict, (409, "ConflictingServerOperation".to_owned(), false));
    let role =
        body(rig.get(&rig.link_path()).await).await["properties"]["instanceLinkRole"].clone();
    assert_eq!(role, "Secondary", "refused before any effect");
    assert_eq!(rig.fail_over("ForcedAllowDataLoss").await.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn outages_are_503() {
    let rig = Rig::start().await;
    rig.fault(Fault::ArmUnavailable { on: true });
    let answer = error(rig.get(&rig.link_path()).await).await;
    assert_eq!(answer, (503, "ServiceUnavailable".to_owned(), true));
    rig.fault(Fault::TokenServiceDown { on: true });
    let token = rig.ask_token(&rig.client_form()).await;
    assert_eq!(token.status(), StatusCode::SERVICE_UNAVAILABLE);
    rig.fault(Fault::ArmUnavailable { on: false });
    assert_eq!(rig.get(&rig.link_path()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_lost_reply_leaves_the_deed_done() {
    let rig = Rig::start().await;
    rig.fault(Fault::LoseReply { at: Party::Arm, times: 1 });
    let url = format!(
        "{}{}/failover?api-version={API}",
        rig.twin.endpoints.arm.base_url,
        rig.link_path()
    );
    let request = rig.http.post(url).bearer_auth(&rig.token);
    let request = request.json(&json!({ "failoverType": "ForcedAllowDataLoss" }));
    let silence = request.timeout(Duration::from_millis(300)).send().await;
    assert!(silence.expect_err("no reply").is_timeout());
    let role = rig.twin.world.until(Duration::from_secs(10), |world| {
        let link = world.arm_link("mi-dr", "LinkSales")?;
        (link.instance_role == crate::world::Role::Primary).then_some(())
    });
    assert!(role.await.is_some(), "the failover happened all the same");
}

#[tokio::test]
async fn a_cut_is_silence_for_that_party_only() {
    let rig = Rig::start().await;
    rig.fault(Fault::Cut { from: Party::Agent, to: Party::Arm, one_way: false });
    let url = format!("{}{}?api-version={API}", rig.twin.endpoints.arm.base_url, rig.link_path());
    let ask = |http: &Client| http.get(&url).bearer_auth(&rig.token);
    let silence = ask(&rig.http).timeout(Duration::from_millis(300)).send().await;
    assert!(silence.expect_err("nothing comes").is_timeout());
    let operator = ask(&rig.http).header("x-twin-party", "operator").send().await;
    assert_eq!(operator.expect("an answer").status(), StatusCode::OK);
    let tokens = rig.ask_token(&rig.client_form()).await;
    assert_eq!(tokens.status(), StatusCode::OK, "another service, another path");
    // What waits gets through when the path heals.
    let waiting = tokio::spawn(ask(&rig.http).send());
    rig.fault(Fault::Heal { from: Party::Agent, to: Party::Arm });
    let answer = waiting.await.expect("it ran").expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_stopped_instances_port_refuses_and_comes_back() {
    let rig = Rig::start().await;
    let port = rig.twin.endpoints.sql_server.port;
    let open = async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok();
    let becomes = async |wanted: bool| {
        let mut ticks = rig.twin.world.ticks();
        for _ in 0..500 {
            if open().await == wanted {
                return true;
            }
            ticks.changed().await.expect("the twin ticks");
        }
        false
    };
    assert!(becomes(true).await);
    for (down, up) in [
        (Fault::Stop { instance: "sql01".into() }, Fault::Start { instance: "sql01".into() }),
        (Fault::Refuse { instance: "sql01".into() }, Fault::Accept { instance: "sql01".into() }),
    ] {
        rig.fault(down);
        assert!(becomes(false).await, "the listener must go away");
        rig.fault(up);
        assert!(becomes(true).await, "and come back on the same port");
    }
}

#[tokio::test]
async fn the_control_door_takes_faults_and_tells_the_truth() {
    let rig = Rig::start().await;
    let base = &rig.twin.endpoints.control.base_url;
    let post = async |what: &str, body: Value| {
        let answer = rig.http.post(format!("{base}/{what}")).json(&body).send().await;
        answer.expect("an answer")
    };
    let stop = post("fault", json!({ "fault": "stop", "instance": "sql01" })).await;
    assert_eq!(stop.status(), StatusCode::NO_CONTENT);
    let wrong = post("fault", json!({ "fault": "stop", "instance": "sql02" })).await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    let repoint = post("workload", json!({ "name": "shop", "target": "mi-dr" })).await;
    assert_eq!(repoint.status(), StatusCode::NO_CONTENT);
    let truth = body(rig.get_url(&format!("{base}/truth")).await).await;
    assert_eq!(
        truth["links"][0]["writers"],
        json!({ "sql_server": false, "managed_instance": false })
    );
    let state = body(rig.get_url(&format!("{base}/state")).await).await;
    assert_eq!(state["workloads"][0]["target"], "mi-dr");
    assert_eq!(state["instances"][1]["power"], "stopped");
}

#[tokio::test]
async fn endpoints_are_written_whole_and_read_back() {
    let rig = Rig::start().await;
    let file = rig.directory.path().join("endpoints.json");
    rig.twin.endpoints.write(&file).expect("written");
    let read = crate::serve::Endpoints::read(&file).expect("read");
    assert_eq!(read.arm.base_url, rig.twin.endpoints.arm.base_url);
    assert!(!file.with_extension("writing").exists());
    rig.twin.shutdown().await;
}

#[tokio::test]
async fn polls_are_answered_wrongly_and_the_operation_goes_on() {
    let rig = Rig::start().await;
    let answer = rig.ask(Method::DELETE, &rig.link_path(), None).await;
    let (poll, result) = (header(&answer, "azure-asyncoperation"), header(&answer, "location"));
    for (trouble, status, code) in [
        (PollTrouble::NotFound, 404, "OperationIdNotFound"),
        (PollTrouble::Conflict, 409, "ConflictingServerOperation"),
        (PollTrouble::TooManyRequests, 429, "SubscriptionTooManyRequests"),
        (PollTrouble::ServerError, 500, "GatewayInternalServerError"),
        (PollTrouble::Unavailable, 503, "ServiceUnavailable"),
    ] {
        rig.fault(Fault::ArmPoll { trouble, times: 2 });
        for url in [&poll, &result] {
            let told = error(rig.get_url(url).await).await;
            assert_eq!((told.0, told.1.as_str()), (status, code));
        }
    }
    rig.fault(Fault::ArmPoll { trouble: PollTrouble::UnknownWord, times: 1 });
    let told = body(rig.get_url(&poll).await).await;
    let known = ["InProgress", "Succeeded", "Failed", "Canceled"];
    assert!(!known.contains(&told["status"].as_str().expect("a word")), "{told}");
    assert_eq!(rig.settle(&poll).await["status"], "Succeeded");
}

#[tokio::test]
async fn what_was_taken_is_answered_wrongly() {
    let rig = Rig::start().await;
    let patch = json!({ "properties": { "replicationMode": "Sync" } });
    let ask = async |trouble| {
        rig.fault(Fault::ArmAnswer { trouble, times: 1 });
        rig.ask(Method::PATCH, &rig.link_path(), Some(patch.clone())).await
    };
    let settled = async || {
        let busy = |world: &mut crate::world::World| {
            let busy = world.azure_jobs("mi-dr").any(|job| job.status == JobStatus::InProgress);
            (!busy).then_some(())
        };
        let ended = rig.twin.world.until(Duration::from_secs(20), busy).await;
        assert!(ended.is_some(), "it was taken, and ends");
    };
    let (url, other) = ("azure-asyncoperation", "location");
    for (trouble, urls, retry) in [
        (AnswerTrouble::NoUrls, [false, false], Some("1")),
        (AnswerTrouble::LocationOnly, [false, true], Some("1")),
        (AnswerTrouble::NoRetryAfter, [true, true], None),
        (AnswerTrouble::RetryAfterZero, [true, true], Some("0")),
    ] {
        let answer = ask(trouble).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let there = [url, other].map(|name| answer.headers().contains_key(name));
        let after = answer.headers().get("retry-after").map(|it| it.to_str().expect("text"));
        assert_eq!((there, after), (urls, retry), "{trouble:?}");
        settled().await;
    }
    let answer = ask(AnswerTrouble::OtherHost).await;
    for name in [url, other] {
        let led = header(&answer, name);
        assert!(led.starts_with("https://management.azure.com.example.invalid/"), "{led}");
    }
    settled().await;
    for (trouble, status) in [
        (AnswerTrouble::TooManyRequests, 429),
        (AnswerTrouble::ServerError, 500),
        (AnswerTrouble::Unavailable, 503),
    ] {
        let before = rig.twin.world.with(|world| world.azure_jobs("mi-dr").count());
        assert_eq!(ask(trouble).await.status(), status);
        let after = rig.twin.world.with(|world| world.azure_jobs("mi-dr").count());
        assert_eq!(after, before + 1, "the deed is under way though");
        settled().await;
    }
    assert_eq!(rig.fail_over("ForcedAllowDataLoss").await.status(), StatusCode::ACCEPTED);
    rig.fault(Fault::ArmAnswer { trouble: AnswerTrouble::Unavailable, times: 1 });
    assert_eq!(rig.fail_over("ForcedAllowDataLoss").await.status(), 409, "one runs: none is taken");
}
