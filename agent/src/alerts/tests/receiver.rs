//! A receiver of HTTP that behaves as it is told, request by request, down to its sockets.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::Url;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

/// For whatever has to happen by itself.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// What a receiver does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Take,
    /// Answers so, with `Retry-After` in seconds.
    Answer(u16, Option<u32>),
    /// Reads the head of the request and hangs up.
    HangUp,
    /// Reads it all and hangs up without an answer: it may have kept it.
    KeepAndHangUp,
    /// Says that all is well and dies within its answer.
    DieInAnswer,
    /// Reads it all and never says anything.
    Silent,
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) manner: Manner,
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    seen: watch::Receiver<Vec<Request>>,
    manners: Arc<Mutex<VecDeque<Manner>>>,
    /// Bodies with this in them are too large for it.
    indigestible: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Treats the first requests so, and takes whatever comes then.
    pub(super) async fn start(manners: &[Manner]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::on(listener, manners)
    }

    pub(super) fn on(listener: TcpListener, manners: &[Manner]) -> Self {
        let address = listener.local_addr().expect("an address");
        let (tell, seen) = watch::channel(Vec::new());
        let manners = Arc::new(Mutex::new(manners.iter().copied().collect::<VecDeque<_>>()));
        let left = Arc::clone(&manners);
        let indigestible = Arc::new(Mutex::new(None));
        let refused = Arc::clone(&indigestible);
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let next = left.lock().expect("no panic").pop_front();
                let manner = next.unwrap_or(Manner::Take);
                let refused = refused.lock().expect("no panic").clone();
                let Some(request) = serve(&mut stream, manner, refused.as_deref()).await else {
                    continue;
                };
                tell.send_modify(|seen| seen.push(request));
                if manner == Manner::Silent {
                    held.push(stream);
                }
            }
        });
        Self { address, seen, manners, indigestible, task }
    }

    pub(super) fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.address).parse().expect("an address")
    }

    pub(super) fn seen(&self) -> Vec<Request> {
        self.seen.borrow().clone()
    }

    /// What was taken, in order.
    pub(super) fn taken(&self) -> Vec<Request> {
        self.seen().into_iter().filter(|request| request.manner == Manner::Take).collect()
    }

    /// Waits until so much has been taken.
    pub(super) async fn until_taken(&self, count: usize) -> Vec<Request> {
        self.until(|taken| taken.len() >= count).await
    }

    pub(super) async fn until(&self, enough: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let mut seen = self.seen.clone();
        let waiting = async {
            while !enough(&self.taken()) {
                seen.changed().await.expect("the receiver lives");
            }
        };
        if timeout(LIMIT, waiting).await.is_err() {
            panic!("waited in vain; seen: {:#?}", self.seen());
        }
        self.taken()
    }

    /// Waits until it has seen so many requests, taken or not.
    pub(super) async fn until_seen(&self, count: usize) {
        let mut seen = self.seen.clone();
        let enough = seen.wait_for(|seen| seen.len() >= count);
        timeout(LIMIT, enough).await.expect("in time").expect("the receiver lives");
    }

    pub(super) fn treat(&self, manners: &[Manner]) {
        self.manners.lock().expect("no panic").extend(manners);
    }

    /// Answers bodies with `word` in them by 413, from now on.
    pub(super) fn refuse(&self, word: &str) {
        *self.indigestible.lock().expect("no panic") = Some(word.to_owned());
    }

    /// Takes everything from now on.
    pub(super) fn forgive(&self) {
        *self.indigestible.lock().expect("no panic") = None;
        self.manners.lock().expect("no panic").clear();
    }

    /// Nobody listens any more.
    pub(super) async fn stop(self) -> SocketAddr {
        self.task.abort();
        // Its listener is closed once it is gone.
        drop(self.task.await);
        self.address
    }
}

impl Request {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no {name}: {:?}", self.headers)).1
    }
}

async fn serve(
    stream: &mut TcpStream,
    mut manner: Manner,
    refused: Option<&str>,
) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).expect("a head is text");
    let mut lines = text.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').expect("a header");
        (name.to_lowercase(), value.trim().to_owned())
    };
    let headers: Vec<(String, String)> = lines.map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().expect("a length"));
    let mut body = bytes.split_off(head + 4);
    if manner != Manner::HangUp {
        while body.len() < length {
            if stream.read_buf(&mut body).await.ok()? == 0 {
                return None;
            }
        }
        if refused.is_some_and(|word| String::from_utf8_lossy(&body).contains(word)) {
            manner = Manner::Answer(413, None);
        }
        let answer = match manner {
            Manner::Take => {
                "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into()
            }
            Manner::Answer(status, after) => {
                let after =
                    after.map(|after| format!("retry-after: {after}\r\n")).unwrap_or_default();
                let words = "no, and here is why\n";
                let length = words.len();
                format!(
                    "HTTP/1.1 {status} X\r\n{after}content-length: {length}\r\nconnection: close\r\n\r\n{words}"
                )
            }
            Manner::DieInAnswer => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"ok".into(),
            Manner::KeepAndHangUp | Manner::Silent | Manner::HangUp => String::new(),
        };
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
    Some(Request { manner, path, headers, body })
}
