//! The identity of a machine.

use super::*;

async fn ask(rig: &Rig, url: &str, headers: &[(&str, &str)], version: &str) -> Response {
    let resource = "https://database.windows.net/";
    let mut request = rig.http.get(url).query(&[("api-version", version), ("resource", resource)]);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn a_connected_machine_gives_a_token_to_who_can_read_its_file_and_once() {
    let rig = Rig::start().await;
    let machine = &rig.twin.endpoints.machine;
    let metadata = ("metadata", "true");
    let bare = ask(&rig, &machine.endpoint, &[], "2020-06-01").await;
    assert_eq!(bare.status(), StatusCode::BAD_REQUEST);
    let old = ask(&rig, &machine.endpoint, &[metadata], "2018-02-01").await;
    assert_eq!(old.status(), StatusCode::BAD_REQUEST);
    let challenge = ask(&rig, &machine.endpoint, &[metadata], "2020-06-01").await;
    assert_eq!(challenge.status(), StatusCode::UNAUTHORIZED);
    let realm = header(&challenge, "www-authenticate");
    let path = std::path::PathBuf::from(realm.strip_prefix("Basic realm=").expect("a file"));
    assert_eq!(path.parent(), Some(machine.folder.as_path()));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&path).expect("it is there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o640);
    let key = format!("Basic {}", std::fs::read_to_string(&path).expect("readable"));
    let shown = |key| [metadata, ("authorization", key)];
    let wrong = ask(&rig, &machine.endpoint, &shown("Basic x"), "2020-06-01").await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    let right = ask(&rig, &machine.endpoint, &shown(&key), "2020-06-01").await;
    assert_eq!(right.status(), StatusCode::OK);
    let token = body(right).await;
    assert_eq!(token["client_id"], machine.client_id.as_str());
    assert!(token["expires_on"].as_str().expect("text").parse::<i64>().is_ok());
    let again = ask(&rig, &machine.endpoint, &shown(&key), "2020-06-01").await;
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED, "a file is good for one token");
    assert!(!path.exists());
}

#[tokio::test]
async fn challenges_that_nobody_meets_are_forgotten() {
    let rig = Rig::start().await;
    let machine = &rig.twin.endpoints.machine;
    for _ in 0..40 {
        ask(&rig, &machine.endpoint, &[("metadata", "true")], "2020-06-01").await;
    }
    let left = std::fs::read_dir(&machine.folder).expect("a folder").count();
    assert_eq!(left, 32);
}

#[tokio::test]
async fn a_virtual_machine_is_asked_by_its_header_and_not_by_a_proxy() {
    let rig = Rig::start().await;
    let identity = &rig.twin.endpoints.managed_identity.endpoint;
    let url = identity.replace("/msi/token", "/metadata/identity/oauth2/token");
    let right = ask(&rig, &url, &[("metadata", "true")], "2018-02-01").await;
    assert_eq!(right.status(), StatusCode::OK);
    assert!(body(right).await["access_token"].is_string());
    let bare = ask(&rig, &url, &[], "2018-02-01").await;
    assert_eq!(bare.status(), StatusCode::BAD_REQUEST);
    let proxy = [("metadata", "true"), ("x-forwarded-for", "10.0.0.1")];
    assert_eq!(ask(&rig, &url, &proxy, "2018-02-01").await.status(), StatusCode::BAD_REQUEST);
}
