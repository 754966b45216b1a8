//! The stream below TLS: during the handshake, TLS records travel inside PRELOGIN packets.
//!
//! MS-TDS 3.2.5.2 and 3.3.5.2: both sides wrap handshake records in packets of type 0x12. Once the
//! handshake is over, records are bare.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::packet::{END, HEADER, PRELOGIN, packet, packet_length};

/// Payload of one packet during the handshake.
const MAX_PAYLOAD: usize = 4096 - HEADER;

/// A stream that can wrap what passes in packets, and put a first byte back.
pub(super) struct Wrapped<S> {
    inner: S,
    wrapping: bool,
    /// Bytes that were read too early.
    early: Vec<u8>,
    header: [u8; HEADER],
    header_filled: usize,
    /// Payload of the current packet that is still to come.
    payload_left: usize,
    /// What is to be wrapped at the next flush.
    gathered: Vec<u8>,
    /// What is wrapped and to be written.
    outgoing: Vec<u8>,
}

impl<S> Wrapped<S> {
    /// A stream whose first bytes have already been read.
    pub(super) fn new(inner: S, early: Vec<u8>) -> Wrapped<S> {
        Wrapped {
            inner,
            wrapping: false,
            early,
            header: [0; HEADER],
            header_filled: 0,
            payload_left: 0,
            gathered: Vec::new(),
            outgoing: Vec::new(),
        }
    }

    /// From now on, wraps what passes, or passes it as it is.
    pub(super) fn wrap(&mut self, wrapping: bool) {
        self.wrapping = wrapping;
    }
}

impl<S: AsyncRead + Unpin> Wrapped<S> {
    fn poll_inner(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let count = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early[..count]);
        self.early.drain(..count);
        Poll::Ready(Ok(()))
    }

    /// Reads packet headers until there is payload; `false` at the end of the stream.
    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.payload_left == 0 {
            let mut header = self.header;
            let mut rest = ReadBuf::new(&mut header[self.header_filled..]);
            ready!(self.poll_inner(cx, &mut rest))?;
            let count = rest.filled().len();
            self.header = header;
            if count == 0 {
                let inside = self.header_filled > 0;
                return Poll::Ready(if inside {
                    Err(io::ErrorKind::UnexpectedEof.into())
                } else {
                    Ok(false)
                });
            }
            self.header_filled += count;
            if self.header_filled < HEADER {
                continue;
            }
            self.header_filled = 0;
            if self.header[0] != PRELOGIN {
                return Poll::Ready(Err(super::packet::invalid(
                    "a packet that is no PRELOGIN in the middle of the TLS handshake",
                )));
            }
            self.payload_left = packet_length(self.header)? - HEADER;
        }
        Poll::Ready(Ok(true))
    }
}

impl<S: AsyncWrite + Unpin> Wrapped<S> {
    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.gathered.is_empty() {
            let chunks = self.gathered.chunks(MAX_PAYLOAD);
            let last = chunks.len();
            let mut id = 0u8;
            for (at, chunk) in chunks.enumerate() {
                id = id.wrapping_add(1);
                let status = if at + 1 == last { END } else { 0 };
                self.outgoing.extend(packet(PRELOGIN, status, 0, id, chunk));
            }
            self.gathered.clear();
        }
        while !self.outgoing.is_empty() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.outgoing))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wrapped<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // A packet that has begun is read to its end, whatever comes after it.
        if !this.wrapping && this.payload_left == 0 && this.header_filled == 0 {
            return this.poll_inner(cx, buf);
        }
        if !ready!(this.poll_header(cx))? {
            return Poll::Ready(Ok(()));
        }
        let mut chunk = [0; 4096];
        let most = this.payload_left.min(buf.remaining()).min(chunk.len());
        let mut part = ReadBuf::new(&mut chunk[..most]);
        ready!(this.poll_inner(cx, &mut part))?;
        buf.put_slice(part.filled());
        let count = part.filled().len();
        this.payload_left -= count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wrapped<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.wrapping {
            this.gathered.extend_from_slice(data);
            return Poll::Ready(Ok(data.len()));
        }
        ready!(this.poll_outgoing(cx))?;
        Pin::new(&mut this.inner).poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_outgoing(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_outgoing(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}
