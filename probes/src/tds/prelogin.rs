//! The opening of a TDS connection up to the point where both sides are inside TLS
//! ([MS-TDS] 2.2.6.5 and 3.2.5.1).
//!
//! In TDS 7.4 the handshake follows PRELOGIN and travels inside of its packets; in TDS 8 ("strict")
//! it comes first. Both are done here. tiberius is then given a stream that is already encrypted
//! and plays a server without encryption to it: its own PRELOGIN is swallowed and answered from
//! here. So the verification of the certificate is ours alone (see [`super::tls`]).

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    error::{Stage, TdsError},
    tls::Tls,
};
use crate::text::plain;

/// Before the login no packet is larger.
pub(crate) const PACKET: usize = 4096;
pub(crate) const HEADER: usize = 8;
const PRELOGIN: u8 = 0x12;
pub(crate) const REPLY: u8 = 0x04;
pub(crate) const END_OF_MESSAGE: u8 = 0x01;

/// Options of PRELOGIN and values of its ENCRYPTION option.
const VERSION: u8 = 0;
const ENCRYPTION: u8 = 1;
const INSTANCE: u8 = 2;
const THREAD: u8 = 3;
const MARS: u8 = 4;
const FEDAUTH: u8 = 6;
const TERMINATOR: u8 = 0xFF;
const ENCRYPT_ON: u8 = 1;
const ENCRYPT_NOT_SUPPORTED: u8 = 2;
const ENCRYPT_REQUIRED: u8 = 3;

/// Bytes of messages of the client library that are swallowed at most.
const SWALLOWED: usize = 64 * 1024;

/// When a connection is encrypted. Never not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// After the first packets, as TDS 7.4 has it; insisted on.
    Negotiated,
    /// From the first byte, as TDS 8 has it.
    Strict,
}

/// What a connection asks for before the login.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hello<'a> {
    pub(crate) encryption: Encryption,
    /// The instance that has to answer, if it has a name.
    pub(crate) instance: Option<&'a str>,
    /// The login will show a token.
    pub(crate) token: bool,
}

/// Asks for encryption, insists on it, and shakes hands.
pub(crate) async fn secure<S>(
    stream: S,
    tls: &Tls,
    name: ServerName<'static>,
    hello: Hello<'_>,
) -> Result<Secured<S>, TdsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ready = tls.now().await;
    let (inside, reply) = match hello.encryption {
        Encryption::Negotiated => wrapped(stream, ready.wrapped, name, hello).await?,
        Encryption::Strict => strict(stream, ready.strict, name, hello).await?,
    };
    if let (Some(instance), Some(verdict)) = (hello.instance, value_of(&reply, INSTANCE))
        && verdict != 0
    {
        let detail = format!("another instance than {} answers there", plain(instance));
        return Err(TdsError::Garbled { stage: Stage::Securing, detail });
    }
    let token = value_of(&reply, FEDAUTH).filter(|_| hello.token);
    let answer = packet(REPLY, &options(ENCRYPT_NOT_SUPPORTED, &[0], token));
    Ok(Secured { inside, answers: VecDeque::from([answer]), act: Act::listen() })
}

async fn wrapped<S>(
    mut stream: S,
    tls: Arc<ClientConfig>,
    name: ServerName<'static>,
    hello: Hello<'_>,
) -> Result<(TlsStream<Framed<S>>, Vec<u8>), TdsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |error: io::Error| TdsError::from_io(Stage::Securing, &error);
    let reply = greet(&mut stream, hello).await?;
    match value_of(&reply, ENCRYPTION) {
        Some(ENCRYPT_ON | ENCRYPT_REQUIRED) => {}
        Some(other) => {
            let detail = format!("the server does not offer encryption (it answered {other})");
            return Err(TdsError::Tls { detail });
        }
        None => {
            let detail = "PRELOGIN was answered without an ENCRYPTION option".into();
            return Err(TdsError::Garbled { stage: Stage::Securing, detail });
        }
    }
    let connector = TlsConnector::from(tls);
    let mut inside = connector.connect(name, Framed::new(stream)).await.map_err(broken)?;
    let framed = inside.get_mut().0;
    if framed.left_in_packet > 0 {
        let detail = "bytes behind the end of the TLS handshake".into();
        return Err(TdsError::Garbled { stage: Stage::Securing, detail });
    }
    framed.raw = true;
    Ok((inside, reply))
}

async fn strict<S>(
    stream: S,
    tls: Arc<ClientConfig>,
    name: ServerName<'static>,
    hello: Hello<'_>,
) -> Result<(TlsStream<Framed<S>>, Vec<u8>), TdsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let connector = TlsConnector::from(tls);
    let mut framed = Framed::new(stream);
    framed.raw = true;
    let mut inside = connector
        .connect(name, framed)
        .await
        .map_err(|error| TdsError::from_io(Stage::Securing, &error))?;
    let reply = greet(&mut inside, hello).await?;
    Ok((inside, reply))
}

/// PRELOGIN and its answer.
async fn greet<S>(stream: &mut S, hello: Hello<'_>) -> Result<Vec<u8>, TdsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |error: io::Error| TdsError::from_io(Stage::Securing, &error);
    let instance = [hello.instance.unwrap_or_default().as_bytes(), &[0]].concat();
    let asked = options(ENCRYPT_ON, &instance, hello.token.then_some(1));
    stream.write_all(&packet(PRELOGIN, &asked)).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    read_reply(stream).await
}

/// An encrypted stream that swallows the first messages of the client library and answers them
/// itself, before it becomes transparent.
pub(crate) struct Secured<S> {
    inside: TlsStream<Framed<S>>,
    /// For the messages that are still to be swallowed.
    answers: VecDeque<Vec<u8>>,
    act: Act,
}

enum Act {
    /// Collecting a message of the client library, packet by packet: the packet at hand, and the
    /// bytes of all.
    Listen {
        packet: Vec<u8>,
        heard: usize,
    },
    /// Giving it its answer; the bytes given so far.
    Answer(Vec<u8>, usize),
    Over,
}

impl Act {
    fn listen() -> Self {
        Self::Listen { packet: Vec::new(), heard: 0 }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Secured<S> {
    /// The stream itself, for what is said before the client library has its turn.
    pub(crate) fn inside(&mut self) -> &mut TlsStream<Framed<S>> {
        &mut self.inside
    }

    /// One more message of the client library is swallowed, and answered by `answer`.
    pub(crate) fn answer_also(&mut self, answer: Vec<u8>) {
        self.answers.push_back(answer);
    }

    /// Takes what the client library says, up to the end of a packet; the bytes taken.
    fn swallow(&mut self, data: &[u8]) -> io::Result<usize> {
        let Act::Listen { packet, heard } = &mut self.act else { return Ok(0) };
        let known = |packet: &[u8]| match packet {
            [_, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])).max(HEADER),
            _ => HEADER,
        };
        let mut taken = 0;
        for byte in data {
            packet.push(*byte);
            taken += 1;
            if packet.len() >= HEADER && packet.len() >= known(packet) {
                break;
            }
        }
        *heard += taken;
        if *heard > SWALLOWED {
            return Err(io::Error::other("the login is longer than any"));
        }
        if packet.len() >= HEADER && packet.len() >= known(packet) {
            let last = packet.get(1).is_some_and(|status| status & END_OF_MESSAGE != 0);
            packet.clear();
            if last {
                let answer = self.answers.pop_front().unwrap_or_default();
                self.act = Act::Answer(answer, 0);
            }
        }
        Ok(taken)
    }
}

/// While TLS shakes hands, its records travel as payload of TDS packets; afterwards they are bare.
pub(crate) struct Framed<S> {
    inner: S,
    pub(crate) raw: bool,
    header: [u8; HEADER],
    header_read: usize,
    left_in_packet: usize,
    unsent: Vec<u8>,
    /// Framed bytes on their way out, and how many of them have left.
    leaving: Vec<u8>,
    left: usize,
}

impl<S> Framed<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            raw: false,
            header: [0; HEADER],
            header_read: 0,
            left_in_packet: 0,
            unsent: Vec::new(),
            leaving: Vec::new(),
            left: 0,
        }
    }
}

/// A whole message of one packet.
pub(crate) fn packet(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + HEADER).unwrap_or(u16::MAX).to_be_bytes();
    let mut bytes = vec![kind, END_OF_MESSAGE, length[0], length[1], 0, 0, 1, 0];
    bytes.extend_from_slice(payload);
    bytes
}

/// PRELOGIN options of a client, or of a server: what it says about encryption, the instance that
/// is meant (or whether it is that), and whether the login is to show a token.
pub(crate) fn options(encryption: u8, instance: &[u8], token: Option<u8>) -> Vec<u8> {
    // Name, offset and length of each, then the terminator, then the data.
    let encryption = [encryption];
    let token = token.map(|token| [token]);
    let mut data: Vec<(u8, &[u8])> = vec![
        (VERSION, &[0, 1, 0, 0, 0, 0]),
        (ENCRYPTION, &encryption),
        (INSTANCE, instance),
        (THREAD, &[]),
        (MARS, &[0]),
    ];
    data.extend(token.as_ref().map(|token| (FEDAUTH, &token[..])));
    let mut head = Vec::new();
    let mut body = Vec::new();
    let start = data.len() * 5 + 1;
    for (token, bytes) in data {
        let offset = u16::try_from(start + body.len()).unwrap_or(u16::MAX).to_be_bytes();
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
        head.extend_from_slice(&[token, offset[0], offset[1], length[0], length[1]]);
        body.extend_from_slice(bytes);
    }
    head.push(TERMINATOR);
    head.extend(body);
    head
}

async fn read_reply<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, TdsError> {
    let broken = |error: io::Error| TdsError::from_io(Stage::Securing, &error);
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await.map_err(broken)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let plausible = header[0] == REPLY && (HEADER..=PACKET).contains(&length);
    if !plausible || header[1] & END_OF_MESSAGE == 0 {
        let seen = plain(&String::from_utf8_lossy(&header));
        let detail = format!("PRELOGIN was answered with something that is not TDS ({seen:?})");
        return Err(TdsError::Garbled { stage: Stage::Securing, detail });
    }
    let mut payload = vec![0; length - HEADER];
    stream.read_exact(&mut payload).await.map_err(broken)?;
    Ok(payload)
}

/// The first byte of an option of PRELOGIN.
fn value_of(options: &[u8], wanted: u8) -> Option<u8> {
    for option in options.chunks(5) {
        let [token, o1, o2, ..] = option else { return None };
        match *token {
            TERMINATOR => return None,
            token if token == wanted => {
                return options.get(usize::from(u16::from_be_bytes([*o1, *o2]))).copied();
            }
            _ => {}
        }
    }
    None
}

impl<S: AsyncRead + Unpin> AsyncRead for Framed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.raw {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        }
        while this.left_in_packet == 0 {
            let mut header = ReadBuf::new(&mut this.header[this.header_read..]);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut header))?;
            let read = header.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            this.header_read += read;
            if this.header_read < HEADER {
                continue;
            }
            this.header_read = 0;
            let length = usize::from(u16::from_be_bytes([this.header[2], this.header[3]]));
            // The document asks for PRELOGIN packets here; some servers answer with REPLY.
            if !matches!(this.header[0], PRELOGIN | REPLY) || length < HEADER {
                let detail = "the TLS handshake was answered with something that is not TDS";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, detail)));
            }
            this.left_in_packet = length - HEADER;
        }
        let room = this.left_in_packet.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buf.advance(read);
        this.left_in_packet -= read;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Framed<S> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.leaving.is_empty() && !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            let mut chunks = unsent.chunks(PACKET - HEADER).peekable();
            while let Some(chunk) = chunks.next() {
                let mut bytes = packet(PRELOGIN, chunk);
                if chunks.peek().is_some() {
                    bytes[1] &= !END_OF_MESSAGE;
                }
                self.leaving.extend(bytes);
            }
        }
        while self.left < self.leaving.len() {
            let rest = &self.leaving[self.left..];
            let wrote = ready!(Pin::new(&mut self.inner).poll_write(cx, rest))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.left += wrote;
        }
        self.leaving.clear();
        self.left = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.raw {
            return Pin::new(&mut this.inner).poll_write(cx, buf);
        }
        this.unsent.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.act {
            Act::Listen { .. } => {
                let detail = "an answer was read before the question had been written";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, detail)))
            }
            Act::Answer(answer, given) => {
                let end = answer.len().min(*given + buf.remaining());
                buf.put_slice(&answer[*given..end]);
                *given = end;
                if end == answer.len() {
                    this.act = if this.answers.is_empty() { Act::Over } else { Act::listen() };
                }
                Poll::Ready(Ok(()))
            }
            Act::Over => Pin::new(&mut this.inside).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.act {
            Act::Listen { .. } => Poll::Ready(this.swallow(buf)),
            Act::Answer(..) => {
                let detail = "a question was written before the answer had been read";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, detail)))
            }
            Act::Over => Pin::new(&mut this.inside).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inside).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inside).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Hello<'_> =
        Hello { encryption: Encryption::Negotiated, instance: None, token: false };

    #[test]
    fn options_are_found_where_they_are() {
        for said in [0, ENCRYPT_ON, ENCRYPT_NOT_SUPPORTED, ENCRYPT_REQUIRED] {
            let options = options(said, b"DR\0", Some(1));
            assert_eq!(value_of(&options, ENCRYPTION), Some(said));
            assert_eq!(value_of(&options, INSTANCE), Some(b'D'));
            assert_eq!(value_of(&options, FEDAUTH), Some(1));
        }
        assert_eq!(value_of(&options(0, &[0], None), FEDAUTH), None);
        assert_eq!(value_of(&[TERMINATOR], ENCRYPTION), None);
        assert_eq!(value_of(&[ENCRYPTION, 0xFF, 0xFF, 0, 1, TERMINATOR], ENCRYPTION), None);
        assert_eq!(value_of(&[ENCRYPTION, 0], ENCRYPTION), None);
    }

    #[tokio::test]
    async fn the_handshake_travels_in_packets_of_any_split() {
        let (near, far) = tokio::io::duplex(7);
        let (mut near, mut far) = (Framed::new(near), Framed::new(far));
        let sent: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let copy = sent.clone();
        let writer = tokio::spawn(async move {
            near.write_all(&copy).await.expect("write");
            near.flush().await.expect("flush");
        });
        let mut seen = vec![0; sent.len()];
        far.read_exact(&mut seen).await.expect("read");
        writer.await.expect("writer ends");
        assert_eq!(seen, sent);
        assert_eq!(far.left_in_packet, 0);
    }

    #[tokio::test]
    async fn a_server_without_encryption_is_not_logged_in_to() {
        let (near, mut far) = tokio::io::duplex(PACKET);
        let server = tokio::spawn(async move {
            let mut hello = [0; 64];
            let read = far.read(&mut hello).await.expect("PRELOGIN");
            far.write_all(&packet(REPLY, &options(ENCRYPT_NOT_SUPPORTED, &[0], None)))
                .await
                .expect("reply");
            (read, far)
        });
        let tls = Tls::new(&super::super::tls::Trust::PinnedCertificate([0; 32])).expect("a pin");
        let name = ServerName::try_from("sql.example").expect("a name");
        let error = secure(near, &tls, name, HELLO).await.err().expect("no encryption, no login");
        assert!(matches!(error, TdsError::Tls { .. }), "{error}");
        assert!(server.await.expect("server ends").0 > HEADER);
    }

    #[tokio::test]
    async fn an_http_server_on_the_port_is_garbled_and_not_silent() {
        let (near, mut far) = tokio::io::duplex(PACKET);
        let server = tokio::spawn(async move {
            far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("reply");
            far
        });
        let tls = Tls::new(&super::super::tls::Trust::PinnedCertificate([0; 32])).expect("a pin");
        let name = ServerName::try_from("sql.example").expect("a name");
        let error = secure(near, &tls, name, HELLO).await.err().expect("not TDS");
        assert!(matches!(error, TdsError::Garbled { stage: Stage::Securing, .. }), "{error}");
        drop(server.await);
    }
}
