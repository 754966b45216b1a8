//! A client of bytes: what is really on the wire, in clear.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::door::PATIENCE;

pub(crate) const BATCH: u8 = 0x01;
pub(crate) const RPC: u8 = 0x03;
pub(crate) const ATTENTION: u8 = 0x06;
pub(crate) const LOGIN7: u8 = 0x10;
pub(crate) const PRELOGIN: u8 = 0x12;
/// The last packet of a message.
pub(crate) const END: u8 = 1;

/// A connection without TLS.
pub(crate) struct Raw {
    stream: TcpStream,
}

/// A message of the server: the bytes of its packets without headers, and how many packets.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) data: Vec<u8>,
    pub(crate) packets: usize,
}

impl Raw {
    pub(crate) async fn connect(port: u16) -> Raw {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        Raw { stream }
    }

    /// One that is logged in.
    pub(crate) async fn open(port: u16) -> Raw {
        let mut raw = Raw::connect(port).await;
        raw.say(PRELOGIN, &prelogin(2)).await;
        raw.hear().await.expect("an answer to PRELOGIN");
        raw.say(LOGIN7, &login7("sa", "S3cret!", 0)).await;
        let answer = raw.hear().await.expect("an answer to LOGIN7");
        assert!(answer.holds(&[0xAD]), "a login: {answer:?}");
        raw
    }

    pub(crate) async fn say(&mut self, kind: u8, data: &[u8]) {
        self.say_with(kind, END, data).await;
    }

    /// One packet with a status of its own.
    pub(crate) async fn say_with(&mut self, kind: u8, status: u8, data: &[u8]) {
        let length = u16::try_from(data.len() + 8).expect("short").to_be_bytes();
        let mut packet = vec![kind, status, length[0], length[1], 0, 0, 1, 0];
        packet.extend_from_slice(data);
        self.stream.write_all(&packet).await.expect("it is taken");
    }

    pub(crate) async fn ask(&mut self, text: &str) -> io::Result<Answer> {
        self.send(text).await;
        self.hear().await
    }

    /// Calls a procedure by its number, with these parameters.
    pub(crate) async fn call(&mut self, procedure: u8, parameters: &[Vec<u8>]) -> Answer {
        let call = [0xFF, 0xFF, procedure, 0, 0, 0];
        self.say(RPC, &[&headers(), &call[..], &parameters.concat()].concat()).await;
        self.hear().await.expect("an answer")
    }

    /// Asks and hears nothing yet.
    pub(crate) async fn send(&mut self, text: &str) {
        self.say(BATCH, &[headers(), units(text)].concat()).await;
    }

    /// Whether a packet is promised that does not come whole.
    pub(crate) async fn hears_half(&mut self) -> bool {
        let heard = tokio::time::timeout(Duration::from_millis(150), self.hear()).await;
        heard.is_err()
    }

    /// A whole message.
    pub(crate) async fn hear(&mut self) -> io::Result<Answer> {
        let mut answer = Answer { data: Vec::new(), packets: 0 };
        loop {
            let mut header = [0; 8];
            self.exactly(&mut header).await?;
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            if header[0] != 0x04 || length < 8 {
                let what = format!("no packet of a server: {header:02x?}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            let mut body = vec![0; length - 8];
            self.exactly(&mut body).await?;
            answer.data.extend(body);
            answer.packets += 1;
            if header[1] & END != 0 {
                return Ok(answer);
            }
        }
    }

    /// All bytes until the connection ends.
    pub(crate) async fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let read = self.stream.read_to_end(&mut all);
        tokio::time::timeout(PATIENCE, read).await.expect("it ends")?;
        Ok(all)
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        tokio::time::timeout(Duration::from_millis(150), self.stream.peek(&mut byte)).await.is_err()
    }

    async fn exactly(&mut self, into: &mut [u8]) -> io::Result<()> {
        let read = self.stream.read_exact(into);
        tokio::time::timeout(PATIENCE, read).await.expect("something comes").map(|_| ())
    }
}

impl Answer {
    pub(crate) fn holds(&self, wanted: &[u8]) -> bool {
        self.data.windows(wanted.len()).any(|window| window == wanted)
    }

    /// Token, status, command and row count of the DONE at the very end.
    pub(crate) fn last_done(&self) -> (u8, u16, u16, u64) {
        let at = self.data.len().checked_sub(13).expect("a DONE");
        let done = &self.data[at..];
        let count = done[5..13].try_into().expect("eight bytes");
        let pair = |at: usize| u16::from_le_bytes([done[at], done[at + 1]]);
        (done[0], pair(1), pair(3), u64::from_le_bytes(count))
    }
}

/// A client's PRELOGIN: its version, and its wish for encryption.
pub(crate) fn prelogin(encryption: u8) -> Vec<u8> {
    let mut data = vec![0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xFF];
    data.extend([11, 0, 0, 0, 0, 0, encryption]);
    data
}

/// A LOGIN7 that asks for packets of this size; 0 leaves it to the server.
pub(crate) fn login7(user: &str, password: &str, packet_size: u32) -> Vec<u8> {
    login7_of(0x7400_0004, user, password, packet_size)
}

/// The same of a client that speaks this version.
pub(crate) fn login7_of(version: u32, user: &str, password: &str, packet_size: u32) -> Vec<u8> {
    let mut fixed = vec![0; 94];
    fixed[4..8].copy_from_slice(&version.to_le_bytes());
    fixed[8..12].copy_from_slice(&packet_size.to_le_bytes());
    let hidden = units(password).iter().map(|byte| byte.rotate_left(4) ^ 0xA5).collect();
    let mut rest: Vec<u8> = Vec::new();
    for (at, value) in [(40, units(user)), (44, hidden), (68, units("master"))] {
        let offset = u16::try_from(94 + rest.len()).expect("short");
        let length = u16::try_from(value.len() / 2).expect("short");
        fixed[at..at + 2].copy_from_slice(&offset.to_le_bytes());
        fixed[at + 2..at + 4].copy_from_slice(&length.to_le_bytes());
        rest.extend(value);
    }
    let total = u32::try_from(94 + rest.len()).expect("short");
    fixed[..4].copy_from_slice(&total.to_le_bytes());
    fixed.extend(rest);
    fixed
}

/// The headers that stand before every request.
pub(crate) fn headers() -> Vec<u8> {
    let mut data = vec![22, 0, 0, 0, 18, 0, 0, 0, 2, 0];
    data.extend([0; 8]);
    data.extend(1_u32.to_le_bytes());
    data
}

pub(crate) fn units(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
