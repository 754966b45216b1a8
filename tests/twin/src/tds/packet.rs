//! Packets and messages (MS-TDS 2.2.3).
//!
//! A message is one or more packets of one type; the last one is marked. Only after the login are
//! bytes read ahead: before it, TLS may begin behind any message.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::world::Stage;

use super::trouble::Mishap;

pub(super) const BATCH: u8 = 0x01;
pub(super) const RPC: u8 = 0x03;
pub(super) const REPLY: u8 = 0x04;
pub(super) const ATTENTION: u8 = 0x06;
pub(super) const TRANSACTION: u8 = 0x0E;
pub(super) const FEDAUTH: u8 = 0x08;
pub(super) const LOGIN7: u8 = 0x10;
pub(super) const SSPI: u8 = 0x11;
pub(super) const PRELOGIN: u8 = 0x12;

/// Status bits.
pub(super) const END: u8 = 0x01;
const IGNORE: u8 = 0x02;
pub(super) const RESET: u8 = 0x08;
pub(super) const RESET_KEEP_TRANSACTION: u8 = 0x10;

pub(super) const HEADER: usize = 8;
/// DONE and its kin.
const LAST: usize = 13;
/// The largest packet that the length field and the protocol allow.
const MAX_PACKET: usize = 32_767;
/// What a message may grow to: far more than any batch that a monitor or an operator sends.
pub(super) const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    /// The status of its first packet: whether to reset the session first.
    pub(super) status: u8,
    /// The client took it back before its end.
    pub(super) ignored: bool,
    pub(super) data: Vec<u8>,
}

/// Reads messages of one connection, and may be interrupted between any two bytes.
pub(super) struct MessageReader<R> {
    stream: R,
    buffer: Vec<u8>,
    partial: Option<Message>,
}

impl<R: AsyncRead + Unpin> MessageReader<R> {
    pub(super) fn new(stream: R) -> MessageReader<R> {
        MessageReader { stream, buffer: Vec::new(), partial: None }
    }

    /// The next message; `None` at the end of the stream. Dropping the future loses nothing.
    ///
    /// # Errors
    /// What the stream says, and `InvalidData` for what is no packet or no end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Message>> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            let mut chunk = [0; 4096];
            let count = self.stream.read(&mut chunk).await?;
            if count == 0 {
                let cut = !self.buffer.is_empty() || self.partial.is_some();
                return if cut { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
            }
            self.buffer.extend_from_slice(&chunk[..count]);
        }
    }

    /// A message, if all of it is in the buffer.
    fn take(&mut self) -> io::Result<Option<Message>> {
        loop {
            let Some(header) = self.buffer.first_chunk::<HEADER>() else { return Ok(None) };
            let header = *header;
            let length = packet_length(header)?;
            if self.buffer.len() < length {
                return Ok(None);
            }
            let packet: Vec<u8> = self.buffer.drain(..length).collect();
            if let Some(message) = join(&mut self.partial, header, &packet[HEADER..])? {
                return Ok(Some(message));
            }
        }
    }
}

/// Reads one message and not a byte more.
///
/// # Errors
/// What the stream says, and `InvalidData` for what is no packet or no end.
pub(super) async fn read_message<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<Message> {
    let mut partial = None;
    loop {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header).await?;
        let mut body = vec![0; packet_length(header)? - HEADER];
        stream.read_exact(&mut body).await?;
        if let Some(message) = join(&mut partial, header, &body)? {
            return Ok(message);
        }
    }
}

/// Cuts a message, or a part of one, into packets and writes them.
pub(super) struct MessageWriter<W> {
    stream: W,
    /// The negotiated size of a packet, with its header.
    pub(super) packet_size: usize,
    session: u16,
    next_id: u8,
    /// What goes wrong with the message that is being written.
    pub(super) mishap: Option<Mishap>,
}

impl<W: AsyncWrite + Unpin> MessageWriter<W> {
    pub(super) fn new(stream: W, packet_size: usize, session: u16) -> MessageWriter<W> {
        MessageWriter { stream, packet_size, session, next_id: 1, mishap: None }
    }

    /// Writes the full packets of what has gathered, and takes them out; with `end` the rest, too.
    pub(super) async fn write(&mut self, gathered: &mut Vec<u8>, end: bool) -> io::Result<()> {
        let stage = self.mishap.as_ref().map(|mishap| mishap.stage);
        if stage == Some(Stage::BeforeDone) {
            return self.write_but_the_last(gathered, end).await;
        }
        let mut out = self.packets(gathered, end);
        if out.is_empty() {
            return Ok(());
        }
        if let Some(mishap) = self.mishap.take() {
            if stage == Some(Stage::WithinAnswer) {
                let half = mishap.cut(&out);
                let rest = out.split_off(half);
                self.stream.write_all(&out).await?;
                self.stream.flush().await?;
                out = rest;
            }
            return mishap.send(&mut self.stream, out).await;
        }
        self.stream.write_all(&out).await?;
        self.stream.flush().await
    }

    /// The same, with the token at the very end in a packet of its own, for what goes wrong there.
    async fn write_but_the_last(&mut self, gathered: &mut Vec<u8>, end: bool) -> io::Result<()> {
        let last =
            if end { gathered.split_off(gathered.len().saturating_sub(LAST)) } else { vec![] };
        let mut out = self.packets(gathered, false);
        if end && !gathered.is_empty() {
            out.extend(packet(REPLY, 0, self.session, self.next_id, gathered));
            self.next_id = self.next_id.wrapping_add(1);
            gathered.clear();
        }
        self.stream.write_all(&out).await?;
        self.stream.flush().await?;
        let Some(mishap) = self.mishap.take_if(|_| end) else { return Ok(()) };
        let last = packet(REPLY, END, self.session, self.next_id, &last);
        self.next_id = 1;
        mishap.send(&mut self.stream, last).await
    }

    /// What has gathered as packets: the full ones, with `end` all.
    fn packets(&mut self, gathered: &mut Vec<u8>, end: bool) -> Vec<u8> {
        let room = self.packet_size - HEADER;
        let mut out = Vec::new();
        let mut at = 0;
        while gathered.len() - at > room {
            out.extend(packet(REPLY, 0, self.session, self.next_id, &gathered[at..at + room]));
            self.next_id = self.next_id.wrapping_add(1);
            at += room;
        }
        if end {
            out.extend(packet(REPLY, END, self.session, self.next_id, &gathered[at..]));
            self.next_id = 1;
            at = gathered.len();
        }
        gathered.drain(..at);
        out
    }

    pub(super) async fn shutdown(&mut self) {
        // The client may be gone already, which is as good.
        let _ = self.stream.shutdown().await;
    }
}

/// One packet. `data` fits: callers cut it before.
pub(super) fn packet(kind: u8, status: u8, session: u16, id: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER + data.len()).unwrap_or(u16::MAX);
    let mut packet = vec![kind, status];
    packet.extend(length.to_be_bytes());
    packet.extend(session.to_be_bytes());
    packet.extend([id, 0]);
    packet.extend_from_slice(data);
    packet
}

pub(super) fn packet_length(header: [u8; HEADER]) -> io::Result<usize> {
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if (HEADER..=MAX_PACKET).contains(&length) {
        Ok(length)
    } else {
        Err(invalid(format!("a packet cannot be {length} bytes long")))
    }
}

pub(super) fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Adds a packet to the message that it belongs to.
fn join(
    partial: &mut Option<Message>,
    header: [u8; HEADER],
    data: &[u8],
) -> io::Result<Option<Message>> {
    let [kind, status, ..] = header;
    let mut message =
        partial.take().unwrap_or(Message { kind, status, ignored: false, data: Vec::new() });
    if message.kind != kind {
        return Err(invalid("a message changed its type between packets"));
    }
    if message.data.len() + data.len() > MAX_MESSAGE {
        return Err(invalid(format!("a message is longer than {MAX_MESSAGE} bytes")));
    }
    message.data.extend_from_slice(data);
    if status & END == 0 {
        *partial = Some(message);
        return Ok(None);
    }
    message.ignored = status & IGNORE != 0;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_joined_from_packets_and_cut_into_them() {
        let mut bytes = packet(BATCH, RESET, 0, 1, b"abc");
        bytes.extend(packet(BATCH, END, 0, 2, b"de"));
        bytes.extend(packet(ATTENTION, END, 0, 1, b""));
        // One byte at a time: nothing depends on how the bytes arrive.
        let (mut client, server) = tokio::io::duplex(1);
        let write = async { client.write_all(&bytes).await.expect("the pipe is open") };
        let mut reader = MessageReader::new(server);
        let read = async {
            let first = reader.next().await.expect("valid").expect("a message");
            let second = reader.next().await.expect("valid").expect("a message");
            (first, second)
        };
        let ((), (first, second)) = tokio::join!(write, read);
        assert_eq!((first.kind, first.status, first.data), (BATCH, RESET, b"abcde".to_vec()));
        assert_eq!((second.kind, second.data.len()), (ATTENTION, 0));
        drop(client);
        assert!(reader.next().await.expect("a clean end").is_none());
    }

    #[tokio::test]
    async fn a_reply_is_split_at_the_packet_size() {
        let (client, server) = tokio::io::duplex(1 << 16);
        let mut writer = MessageWriter::new(server, 512, 51);
        let mut gathered = vec![7; 1_200];
        writer.write(&mut gathered, false).await.expect("room");
        assert_eq!(gathered.len(), 1_200 - 2 * 504);
        writer.write(&mut gathered, true).await.expect("room");
        let mut client = client;
        let message = read_message(&mut client).await.expect("a message");
        assert_eq!((message.kind, message.data), (REPLY, vec![7; 1_200]));
    }

    #[tokio::test]
    async fn what_is_no_packet_is_an_error() {
        for bad in [
            vec![BATCH, END, 0, 7, 0, 0, 1, 0],
            vec![BATCH, END, 0xFF, 0xFF, 0, 0, 1, 0],
            [packet(BATCH, 0, 0, 1, b"a"), packet(RPC, END, 0, 2, b"b")].concat(),
            vec![BATCH, END, 0, 9, 0, 0, 1, 0],
        ] {
            assert!(MessageReader::new(bad.as_slice()).next().await.is_err(), "{bad:?}");
            assert!(read_message(&mut bad.as_slice()).await.is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_message_has_an_end() {
        let one = packet(BATCH, 0, 0, 1, &[0; 32_000]);
        let endless: Vec<u8> = one.iter().copied().cycle().take(one.len() * 140).collect();
        let error = MessageReader::new(endless.as_slice()).next().await.expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
