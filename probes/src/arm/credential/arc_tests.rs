//! The machine's agent, played over a real socket.

use std::{fs, os::unix::fs::symlink};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

const SCOPE: &str = "https://management.azure.com/.default";

/// Challenges with `realm`, and gives `token` to whoever shows `secret`.
async fn agent(realm: String, secret: &'static str, token: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).await.is_err() {
                    return;
                }
                heard.extend(byte);
            }
            let heard = String::from_utf8_lossy(&heard).to_ascii_lowercase();
            let asked = heard.starts_with(
                "get /token?api-version=2020-06-01&resource=https%3a%2f%2fmanagement.azure.com ",
            ) && heard.contains("metadata: true\r\n");
            let shown = heard.contains(&format!("authorization: basic {secret}\r\n"));
            let answer = match (asked, shown) {
                (false, _) => "HTTP/1.1 400 Bad Request\r\n\r\n".to_owned(),
                (true, false) => format!(
                    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm={realm}\r\ncontent-length: 0\r\n\r\n"
                ),
                (true, true) => format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{token}",
                    token.len()
                ),
            };
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    format!("http://127.0.0.1:{port}/token")
}

async fn token(url: String, folder: &Path) -> Result<AccessToken, String> {
    let endpoint = ArcEndpoint { url, folder: folder.to_owned() };
    let credential = ArcCredential::new(endpoint, Client::new()).map_err(|e| e.to_string())?;
    credential.get_token(&[SCOPE], None).await.map_err(|error| error.to_string())
}

fn folder_with(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, text).expect("written");
    (folder, path)
}

#[tokio::test]
async fn the_challenge_is_met_with_the_content_of_its_file() {
    for expires_on in ["1900000000", "\"1900000000\""] {
        let (folder, path) = folder_with("a.key", "c0ffee\n");
        let body = format!("{{\"access_token\":\"t\",\"expires_on\":{expires_on},\"x\":1}}");
        let url = agent(path.display().to_string(), "c0ffee", body.leak()).await;
        let token = token(url, folder.path()).await.expect("a token");
        assert_eq!(token.token.secret(), "t");
        assert_eq!(token.expires_on.unix_timestamp(), 1_900_000_000);
    }
}

#[tokio::test]
async fn a_file_elsewhere_is_not_read() {
    let (folder, _) = folder_with("a.key", "c0ffee");
    let (other, outside) = folder_with("b.key", "c0ffee");
    symlink(&outside, folder.path().join("link.key")).expect("linked");
    fs::write(folder.path().join("a.txt"), "c0ffee").expect("written");
    fs::write(folder.path().join("long.key"), "x".repeat(5000)).expect("written");
    let inside = |name: &str| folder.path().join(name).display().to_string();
    for (realm, words) in [
        (outside.display().to_string(), "it is not read"),
        ("/etc/shadow".to_owned(), "it is not read"),
        (inside("../b.key"), "it is not read"),
        (inside("a.txt"), "it is not read"),
        (inside("link.key"), "leads out of its folder"),
        (inside("long.key"), "more than 4096 bytes"),
        (inside("none.key"), "can't be read"),
    ] {
        let url = agent(realm.clone(), "c0ffee", "{}").await;
        let error = token(url, folder.path()).await.expect_err("not read");
        assert!(error.contains(words), "{realm}: {error}");
    }
    drop(other);
}

#[tokio::test]
async fn only_this_machine_is_asked_and_its_refusal_is_told() {
    for url in ["http://example.com/token", "https://localhost/token", "http://10.0.0.1/", "x"] {
        let error = token(url.to_owned(), Path::new("/tmp")).await.expect_err("elsewhere");
        assert!(error.contains("no") && error.contains("address of this machine"), "{error}");
    }
    let (folder, path) = folder_with("a.key", "wrong");
    let url = agent(path.display().to_string(), "c0ffee", "{}").await;
    let error = token(url, folder.path()).await.expect_err("another key");
    assert!(error.contains("answered 401 where the token must be"), "{error}");
    let url = agent(path.display().to_string(), "wrong", "{\"access_token\":\"t\"}").await;
    let error = token(url, folder.path()).await.expect_err("no end");
    assert!(error.contains("is not understood") && !error.contains("\"t\""), "{error}");
}
