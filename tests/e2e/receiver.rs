//! Somebody who is told by webhook: takes what comes, is away for a while, and checks signatures.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use agent_core::from_hex;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

/// Takes what is posted, or says that it can't at present.
pub(crate) struct Receiver {
    pub(crate) url: String,
    taken: Arc<Mutex<Vec<Request>>>,
    refused: Arc<Mutex<usize>>,
    away: Arc<AtomicBool>,
}

/// One message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Names in small letters.
    pub(crate) head: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("what is told is JSON")
    }

    /// Whether the signature is the one that README tells receivers to expect.
    pub(crate) fn signed_with(&self, secret: &str) -> bool {
        let field = |name: &str| self.head.get(name).map(String::as_str).unwrap_or_default();
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
        mac.update(field("dr-agent-timestamp").as_bytes());
        mac.update(b".");
        mac.update(&self.body);
        let signature = field("dr-agent-signature").strip_prefix("v1=").and_then(from_hex);
        signature.is_some_and(|signature| mac.verify_slice(&signature).is_ok())
    }
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (taken, refused) = (Arc::default(), Arc::default());
        let receiver = Self { url, taken, refused, away: Arc::default() };
        let (taken, refused, away) = (
            Arc::clone(&receiver.taken),
            Arc::clone(&receiver.refused),
            Arc::clone(&receiver.away),
        );
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let away = away.load(Ordering::SeqCst);
                let Some(request) = serve(stream, away) else { continue };
                if away {
                    *refused.lock().expect("no panic") += 1;
                } else {
                    taken.lock().expect("no panic").push(request);
                }
            }
        });
        receiver
    }

    /// What came, as JSON.
    pub(crate) fn taken(&self) -> Vec<Value> {
        self.requests().iter().map(Request::json).collect()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.taken.lock().expect("no panic").clone()
    }

    pub(crate) fn refused(&self) -> usize {
        *self.refused.lock().expect("no panic")
    }

    pub(crate) fn away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }
}

/// Reads one request and answers it.
fn serve(mut stream: TcpStream, away: bool) -> Option<Request> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&bytes[..head]);
            let fields = text.lines().filter_map(|line| line.split_once(':'));
            let fields = fields.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
            let head_fields: BTreeMap<_, _> = fields.collect();
            let length: usize = head_fields.get("content-length")?.parse().ok()?;
            if bytes.len() >= head + 4 + length {
                let status = if away { "503 Service Unavailable" } else { "200 OK" };
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).ok()?;
                return Some(Request { head: head_fields, body: bytes.split_off(head + 4) });
            }
        }
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
    }
}
