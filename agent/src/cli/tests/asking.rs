//! What an agent answers, and how the command line ends then.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    thread,
};

use super::{super::exit, run};

/// Answers one request, and gives it back.
fn agent(status: &str, body: &str) -> (String, thread::JoinHandle<String>) {
    agent_with(&[(status, body)])
}

/// Answers as many requests as there are answers, and gives back the last one.
fn agent_with(answers: &[(&str, &str)]) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = |(status, body): &(&str, &str)| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    };
    let answers: Vec<String> = answers.iter().map(answer).collect();
    let thread = thread::spawn(move || {
        answers.iter().fold(String::new(), |_, answer| serve(&listener, answer))
    });
    (url, thread)
}

fn serve(listener: &TcpListener, answer: &str) -> String {
    let (mut stream, _) = listener.accept().expect("a client");
    let mut request = Vec::new();
    let mut part = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut part).expect("readable");
        assert!(read > 0, "the request ends too early");
        request.extend_from_slice(&part[..read]);
    }
    stream.write_all(answer.as_bytes()).expect("writable");
    String::from_utf8_lossy(&request).into_owned()
}

#[test]
fn each_answer_has_its_end() {
    let words = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"words"}}}}"#);
    let refused =
        r#"{"error":{"code":"refused","message":"words","refusal":{"refusal":"not_open"}}}"#;
    for (status, body, code) in [
        ("200 OK", r#"{"proposals":[]}"#.to_owned(), exit::OK),
        ("200 OK", "<html>".to_owned(), exit::UNREACHABLE),
        ("409 Conflict", refused.to_owned(), exit::REFUSED),
        ("404 Not Found", words("not_found"), exit::REFUSED),
        ("401 Unauthorized", words("unauthorized"), exit::CONFIG),
        ("400 Bad Request", words("bad_request"), exit::USAGE),
        ("503 Service Unavailable", words("busy"), exit::UNREACHABLE),
        ("404 Not Found", "nginx".to_owned(), exit::UNREACHABLE),
        ("302 Found", String::new(), exit::UNREACHABLE),
    ] {
        let (url, asked) = agent(status, &body);
        assert_eq!(run(&["show", "--url", &url]), code, "{status} {body}");
        let request = asked.join().expect("asked once");
        assert!(request.starts_with("GET /api/v1/proposals HTTP/1.1\r\n"), "{request}");
    }
}

#[test]
fn an_agent_that_is_not_there_can_not_be_reached() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", free.local_addr().expect("an address"));
    drop(free);
    assert_eq!(run(&["status", "--url", &url]), exit::UNREACHABLE);
}

#[test]
fn a_token_goes_along_and_a_name_is_one_segment() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tokens");
    fs::write(&file, "# of the operators\n\ns3cret-s3cret-s3cret\nanother\n").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("mode set");
    let token_file = file.to_str().expect("UTF-8");
    let (url, asked) = agent("404 Not Found", "{}");
    run(&["explain", "a/../b?c", "--url", &url, "--token-file", token_file]);
    let request = asked.join().expect("asked once");
    assert!(request.starts_with("GET /api/v1/links/a%2F..%2Fb%3Fc/explain "), "{request}");
    assert!(request.contains("authorization: Bearer s3cret-s3cret-s3cret\r\n"), "{request}");
    // Nobody is asked where the token could be read on the way, or where it is open to others.
    let elsewhere = "http://dr.example:8420";
    let code = run(&["status", "--url", elsewhere, "--token-file", token_file]);
    assert_eq!(code, exit::USAGE);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("mode set");
    assert_eq!(run(&["status", "--url", &url, "--token-file", token_file]), exit::CONFIG);
}

#[test]
fn following_goes_on_after_a_pause_and_ends_with_a_no() {
    let started = r#"{"v":1,"seq":1,"at":"2026-03-01T12:00:00Z","subject":"agent","event":{"type":"agent_started","version":"0","config_digest":"0"}}"#;
    let page = format!(r#"{{"entries":[{{"seq":1,"hash":"0","entry":{started}}}],"head":1}}"#);
    let busy = r#"{"error":{"code":"busy","message":"words"}}"#;
    let no = r#"{"error":{"code":"unauthorized","message":"words"}}"#;
    let answers =
        [("200 OK", page.as_str()), ("503 Service Unavailable", busy), ("401 Unauthorized", no)];
    let (url, asked) = agent_with(&answers);
    assert_eq!(run(&["journal", "--follow", "--url", &url]), exit::CONFIG);
    let last = asked.join().expect("asked three times");
    assert!(last.starts_with("GET /api/v1/journal?after=1&limit=500 "), "{last}");
}

#[test]
fn an_address_that_is_none_is_refused() {
    for url in ["localhost:8420", "ftp://localhost", "http://a:b@localhost", "http://localhost/?x"]
    {
        assert_eq!(run(&["status", "--url", url]), exit::USAGE, "{url}");
    }
}

#[test]
fn a_journal_is_read_and_verified_from_its_file() {
    use agent_core::Input;

    use crate::{journal::Journal, turn::Turn};

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(crate::config::JOURNAL_FILE);
    let journal = Journal::open(&path).expect("a new journal");
    let mut estate = super::estate();
    let (head, term) = journal.fold(&mut estate).expect("empty");
    let start = Input::Start { version: "0".into(), config_digest: "0".into() };
    let taken = Turn::new(estate, journal, head, term).take(super::at(0), Vec::new(), vec![start]);
    assert_eq!(taken.expect("durable").appended.len(), 1);
    let data = folder.path().to_str().expect("UTF-8");
    assert_eq!(run(&["journal", "--offline", data]), exit::OK);
    assert_eq!(run(&["journal", "--offline", data, "--verify"]), exit::OK);
    let broken = rusqlite::Connection::open(&path).expect("opened");
    let changed = broken.execute("UPDATE entry SET text = replace(text, '\"0\"', '\"1\"')", []);
    assert_eq!(changed.expect("changed"), 1);
    drop(broken);
    assert_eq!(run(&["journal", "--offline", data, "--verify"]), exit::JOURNAL);
    assert_eq!(run(&["journal", "--offline", data]), exit::JOURNAL);
    assert_eq!(run(&["journal", "--offline", "/nowhere/at/all"]), exit::CONFIG);
}
