//! Who is let in.

use super::*;

fn with(
    mut form: Vec<(&'static str, String)>,
    name: &'static str,
    value: &str,
) -> Vec<(&'static str, String)> {
    form.retain(|(key, _)| *key != name);
    form.push((name, value.to_owned()));
    form
}

fn without(mut form: Vec<(&'static str, String)>, name: &str) -> Vec<(&'static str, String)> {
    form.retain(|(key, _)| *key != name);
    form
}

async fn denied(answer: Response) -> (u16, String, i64) {
    let status = answer.status().as_u16();
    let body = body(answer).await;
    let number = body["error_codes"][0].as_i64().expect("a number");
    let description = body["error_description"].as_str().expect("a text");
    assert!(description.starts_with(&format!("AADSTS{number}: ")), "{description}");
    (status, body["error"].as_str().expect("an error").to_owned(), number)
}

#[tokio::test]
async fn a_client_secret_gets_a_token() {
    let rig = Rig::start().await;
    let answer = rig.ask_token(&rig.client_form()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let body = body(answer).await;
    assert_eq!(
        (body["token_type"].as_str(), body["expires_in"].as_i64()),
        (Some("Bearer"), Some(3_599))
    );
}

#[tokio::test]
async fn each_mistake_has_its_number() {
    let rig = Rig::start().await;
    let form = || rig.client_form();
    let ask = async |form: Vec<(&'static str, String)>| denied(rig.ask_token(&form).await).await;
    let expected = |status, error: &str, number| (status, error.to_owned(), number);
    assert_eq!(
        ask(with(form(), "client_secret", "wrong")).await,
        expected(401, "invalid_client", 7_000_215)
    );
    assert_eq!(
        ask(without(form(), "client_secret")).await,
        expected(401, "invalid_client", 7_000_216)
    );
    assert_eq!(
        ask(with(form(), "client_id", "nobody")).await,
        expected(400, "unauthorized_client", 700_016)
    );
    assert_eq!(
        ask(with(form(), "grant_type", "password")).await,
        expected(400, "unsupported_grant_type", 70_003)
    );
    assert_eq!(
        ask(with(form(), "scope", "https://management.azure.com/")).await,
        expected(400, "invalid_scope", 1_002_012)
    );
    assert_eq!(ask(without(form(), "scope")).await, expected(400, "invalid_request", 900_144));
}

#[tokio::test]
async fn managed_identity_needs_its_header() {
    let rig = Rig::start().await;
    let identity = &rig.twin.endpoints.managed_identity;
    let ask = async |header: &str| {
        let request = rig
            .http
            .get(&identity.endpoint)
            .query(&[("api-version", "2019-08-01"), ("resource", "https://management.azure.com")]);
        request.header("x-identity-header", header).send().await.expect("an answer")
    };
    assert_eq!(ask("wrong").await.status(), StatusCode::UNAUTHORIZED);
    let body = body(ask(&identity.header).await).await;
    assert!(body["expires_on"].as_str().expect("text, not a number").parse::<i64>().is_ok());
    let token = body["access_token"].as_str().expect("a token");
    let url = format!("{}{}?api-version={API}", rig.twin.endpoints.arm.base_url, rig.link_path());
    let answer = rig.http.get(url).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn arm_takes_only_tokens_that_are_its_own_and_fresh() {
    let mut rig = Rig::start().await;
    let path = rig.link_path();
    let url = format!("{}{path}?api-version={API}", rig.twin.endpoints.arm.base_url);
    let bare = rig.http.get(&url).send().await.expect("an answer");
    assert!(header(&bare, "www-authenticate").starts_with("Bearer authorization_uri="));
    assert_eq!(error(bare).await, (401, "AuthenticationFailed".to_owned(), true));

    let own = std::mem::replace(&mut rig.token, Rig::start().await.token);
    let foreign = error(rig.get(&path).await).await;
    assert_eq!(foreign, (401, "InvalidAuthenticationToken".to_owned(), true));

    let scope = "https://database.windows.net/.default";
    let database = body(rig.ask_token(&with(rig.client_form(), "scope", scope)).await).await;
    rig.token = database["access_token"].as_str().expect("a token").to_owned();
    let audience = error(rig.get(&path).await).await;
    assert_eq!(audience, (401, "InvalidAuthenticationTokenAudience".to_owned(), true));

    rig.fault(Fault::TokenLifetime { s: 0 });
    let stale = body(rig.ask_token(&rig.client_form()).await).await;
    rig.token = stale["access_token"].as_str().expect("a token").to_owned();
    let expired = error(rig.get(&path).await).await;
    assert_eq!(expired, (401, "ExpiredAuthenticationToken".to_owned(), true));

    rig.token = own;
    assert_eq!(rig.get(&path).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_token_service_describes_itself() {
    let rig = Rig::start().await;
    let arm = &rig.twin.endpoints.arm;
    let url = format!("{}/{}/v2.0/.well-known/openid-configuration", arm.authority, arm.tenant);
    let metadata = body(rig.get_url(&url).await).await;
    let token = format!("{}/{}/oauth2/v2.0/token", arm.authority, arm.tenant);
    assert_eq!(metadata["token_endpoint"], token);
    let discovery = format!("{}/common/discovery/instance", arm.authority);
    let discovery = body(rig.get_url(&discovery).await).await;
    assert_eq!(discovery["tenant_discovery_endpoint"], url);
}
