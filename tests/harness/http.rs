//! HTTP over a plain socket, small enough to trust when the server is the one under test: asking,
//! and listening for what is sent.

use super::wait;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// For each read and each write.
const LIMIT: Duration = Duration::from_secs(5);
/// Bytes of what is listened to; more is nobody we know.
const LARGEST: usize = 4 * 1024 * 1024;

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code, e.g. 200.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// Asks `http://127.0.0.1:port/path`, with a bearer token if there is one. `None` when nobody
/// answers in HTTP within five seconds a read.
#[must_use]
pub fn get(port: u16, path: &str, token: Option<&str>) -> Option<Answer> {
    ask("GET", port, path, token, "")
}

/// Sends a body of JSON the same way.
#[must_use]
pub fn post(port: u16, path: &str, token: Option<&str>, body: &str) -> Option<Answer> {
    ask("POST", port, path, token, body)
}

/// A server that says 200 to everything and keeps what it was sent. It lives as long as the test.
pub struct Listener {
    port: u16,
    heard: Arc<Mutex<Vec<Value>>>,
}

impl Listener {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start() -> Self {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a port");
        let port = socket.local_addr().expect("a bound socket has an address").port();
        let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = Arc::clone(&heard);
        // It ends with the process; one connection at a time is all that a test sends.
        std::thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                if let Some(body) = listen(stream) {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(body);
                }
            }
        });
        Self { port, heard }
    }

    /// The address to send to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Every body of JSON so far, in the order in which they came.
    #[must_use]
    pub fn heard(&self) -> Vec<Value> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first body that `that` finds something in.
    ///
    /// # Panics
    /// When there is none after `limit`, with all that was heard.
    #[track_caller]
    pub fn wait_for<T>(
        &self,
        what: &str,
        limit: Duration,
        mut that: impl FnMut(&Value) -> Option<T>,
    ) -> T {
        wait::try_until(limit, || self.heard().iter().find_map(&mut that)).unwrap_or_else(|| {
            panic!("waited {limit:?} in vain for {what}; there was {:#?}", self.heard())
        })
    }
}

fn ask(method: &str, port: u16, path: &str, token: Option<&str>, body: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), LIMIT).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.set_write_timeout(Some(LIMIT)).ok()?;
    let authorization =
        token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    let content = match body.len() {
        0 => String::new(),
        length => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
    };
    // HTTP/1.0: the server closes at the end and sends no chunks.
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n{authorization}{content}\r\n{body}"
    )
    .ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    parse(&String::from_utf8_lossy(&bytes))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

/// Takes one request and answers it; its body, if that is JSON.
fn listen(stream: TcpStream) -> Option<Value> {
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.set_write_timeout(Some(LIMIT)).ok()?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; Some(length).filter(|length| *length <= LARGEST)?];
    reader.read_exact(&mut body).ok()?;
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    reader.get_mut().write_all(answer).ok()?;
    serde_json::from_slice(&body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_status_and_body() {
        let answer = parse("HTTP/1.0 503 Service Unavailable\r\nA: b\r\n\r\nnot ready\r\n\r\n");
        assert_eq!(answer, Some(Answer { status: 503, body: "not ready\r\n\r\n".to_owned() }));
        assert_eq!(parse("SSH-2.0-OpenSSH\r\n\r\n"), None);
    }

    #[test]
    fn nobody_there_is_no_answer() {
        let [port] = super::super::free_ports();
        assert_eq!(get(port, "/", None), None);
    }

    #[test]
    fn what_is_sent_is_heard_in_order() {
        let listener = Listener::start();
        for body in ["{\"n\":1}", "{\"n\":2}"] {
            let answer = post(listener.port, "/", None, body).expect("an answer");
            assert_eq!(answer.status, 200);
        }
        let second =
            listener.wait_for("the second", LIMIT, |body| body["n"].as_u64().filter(|n| *n == 2));
        assert_eq!((second, listener.heard().len()), (2, 2));
    }
}
