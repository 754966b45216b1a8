//! Plain HTTP to a server on loopback, blocking, and small enough to trust when the server is the
//! one that is looked at.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::wait;

/// For connecting, and for each read and write.
const LIMIT: Duration = Duration::from_secs(5);
/// Of one answer.
const LARGEST: u64 = 64 * 1024 * 1024;

/// A server, and what to show to it.
#[derive(Clone, Debug)]
pub struct Http {
    address: SocketAddr,
    token: Option<String>,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code, e.g. 200.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// A stream of server-sent events.
pub struct Events {
    lines: BufReader<TcpStream>,
    /// The part of a line that was there when a wait ended.
    partial: String,
    id: Option<u64>,
    data: String,
}

/// One server-sent event.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its place in the journal.
    pub id: u64,
    /// Its data.
    pub data: Value,
}

impl Http {
    /// A client for `http://HOST:PORT`, which sends `token` as bearer token if there is one.
    ///
    /// # Errors
    /// The address is no such URL, or the host is unknown.
    pub fn new(base_url: &str, token: Option<String>) -> Result<Self> {
        let plain = base_url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let plain = plain.ok_or_else(|| anyhow!("{base_url} is not http://HOST:PORT"))?;
        let known = plain.to_socket_addrs().with_context(|| format!("{plain} can't be found"))?;
        // The doors of the lab listen on IPv4.
        let address = known.min_by_key(SocketAddr::is_ipv6);
        let address = address.ok_or_else(|| anyhow!("{plain} has no address"))?;
        Ok(Self { address, token })
    }

    /// GET.
    ///
    /// # Errors
    /// Nobody answers in HTTP.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.ask("GET", path, None)
    }

    /// POST with a JSON body.
    ///
    /// # Errors
    /// Nobody answers in HTTP.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.ask("POST", path, Some(body.to_string()))
    }

    /// Follows a stream of events.
    ///
    /// # Errors
    /// Nobody answers, or not with a stream.
    pub fn events(&self, path: &str) -> Result<Events> {
        let stream = self.send("GET", path, None)?;
        let mut lines = BufReader::new(stream);
        let mut status = String::new();
        lines.read_line(&mut status)?;
        if code(&status) != Some(200) {
            bail!("GET {path} was answered with {}", status.trim());
        }
        loop {
            let mut header = String::new();
            if lines.read_line(&mut header)? == 0 {
                bail!("GET {path} was answered with half a head");
            }
            if header.trim().is_empty() {
                return Ok(Events { lines, partial: String::new(), id: None, data: String::new() });
            }
        }
    }

    fn ask(&self, method: &str, path: &str, body: Option<String>) -> Result<Answer> {
        let stream = self.send(method, path, body)?;
        let mut bytes = Vec::new();
        let about = || format!("{method} http://{}{path}", self.address);
        stream.take(LARGEST).read_to_end(&mut bytes).with_context(about)?;
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text
            .split_once("\r\n\r\n")
            .ok_or_else(|| anyhow!("{}: the answer is not HTTP", about()))?;
        let status = code(head).ok_or_else(|| anyhow!("{}: the answer is not HTTP", about()))?;
        Ok(Answer { status, body: body.to_owned() })
    }

    fn send(&self, method: &str, path: &str, body: Option<String>) -> Result<TcpStream> {
        let about = || format!("{method} http://{}{path}", self.address);
        let mut stream = TcpStream::connect_timeout(&self.address, LIMIT).with_context(about)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        // HTTP/1.0: the server closes at the end and sends no chunks.
        let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {}\r\n", self.address);
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if let Some(body) = &body {
            head.push_str("Content-Type: application/json\r\n");
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        head.push_str(body.as_deref().unwrap_or_default());
        stream.write_all(head.as_bytes()).with_context(about)?;
        Ok(stream)
    }
}

impl Answer {
    /// The body as JSON, if the status says that all went well.
    ///
    /// # Errors
    /// The status and the body, if not.
    pub fn json(&self) -> Result<Value> {
        if !(200..300).contains(&self.status) {
            bail!("answered with {}: {}", self.status, self.body.trim());
        }
        if self.body.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

impl Events {
    /// The next event, or `None` if there is none within `limit` or the stream has ended.
    pub fn next(&mut self, limit: Duration) -> Option<Sent> {
        let deadline = wait::now() + limit;
        loop {
            let left =
                deadline.saturating_duration_since(wait::now()).max(Duration::from_millis(1));
            self.lines.get_ref().set_read_timeout(Some(left)).ok()?;
            match self.lines.read_line(&mut self.partial) {
                Ok(0) => return None,
                Ok(_) if !self.partial.ends_with('\n') => return None,
                Ok(_) => {
                    let line = std::mem::take(&mut self.partial);
                    if let Some(sent) = self.line(line.trim_end_matches(['\r', '\n'])) {
                        return Some(sent);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
            if wait::now() >= deadline {
                return None;
            }
        }
    }

    fn line(&mut self, line: &str) -> Option<Sent> {
        if let Some(id) = line.strip_prefix("id:") {
            self.id = id.trim().parse().ok();
        } else if let Some(data) = line.strip_prefix("data:") {
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        } else if line.is_empty() && !self.data.is_empty() {
            let data = serde_json::from_str(&std::mem::take(&mut self.data)).ok()?;
            return Some(Sent { id: self.id.take()?, data });
        }
        None
    }
}

fn code(head: &str) -> Option<u16> {
    head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that answers one request with `answer` and closes.
    fn serve(answer: &'static str) -> Http {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody connects");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).expect("a request");
            stream.write_all(answer.as_bytes()).expect("the client reads");
        });
        Http::new(&format!("http://{address}/"), Some("t".to_owned())).expect("an address")
    }

    #[test]
    fn an_answer_is_read_or_told_of() {
        let good = serve("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"a\":1}").get("/").expect("an answer");
        assert_eq!(good.json().expect("JSON")["a"], 1);
        let bad = serve("HTTP/1.0 409 Conflict\r\n\r\nno").get("/").expect("an answer");
        assert_eq!(bad.json().expect_err("refused").to_string(), "answered with 409: no");
        assert!(serve("SSH-2.0-OpenSSH\r\n\r\n").get("/").is_err());
    }

    #[test]
    fn events_come_one_by_one() {
        let answer = "HTTP/1.0 200 OK\r\n\r\n: hello\n\nid: 7\nevent: a\ndata: {\"x\":1}\n\nid: 8\ndata: 2\n\n";
        let mut events = serve(answer).events("/").expect("a stream");
        let first = events.next(LIMIT).expect("the first");
        assert_eq!((first.id, &first.data["x"]), (7, &Value::from(1)));
        assert_eq!(events.next(LIMIT).expect("the second").id, 8);
        assert!(events.next(LIMIT).is_none(), "it has ended");
    }
}
