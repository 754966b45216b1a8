//! The TCP connection below everything: where connections end as faults say, and where the TLS
//! handshake goes wrong.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::world::{Stage, Trouble};

use super::trouble::{Mishap, garbage, misstate, told};
use super::{Door, connection};

/// How long a client may go on sending to a connection that was closed for it.
const DRAIN: Duration = Duration::from_secs(5);

/// The other end of a connection, and what can be done to the connection itself.
#[derive(Clone, Default)]
pub(super) struct Peer {
    pub(super) address: Option<SocketAddr>,
    pub(super) cable: Arc<Cable>,
}

/// What the upper layers want of the connection below them.
#[derive(Default)]
pub(super) struct Cable {
    reset: AtomicBool,
    next: Mutex<Option<Next>>,
}

/// What becomes of the next bytes that are written.
#[derive(Clone, Copy)]
enum Next {
    Suffers(Trouble, Duration),
    /// The connection is at its end.
    Nothing,
}

/// Serves a client from its first byte.
///
/// # Errors
/// Why the connection ended, if not by the client's leave.
pub(super) async fn attend(door: &Door, stream: TcpStream, address: SocketAddr) -> io::Result<()> {
    let peer = Peer { address: Some(address), cable: Arc::default() };
    let mut line = Line { stream, cable: peer.cable.clone(), sleep: None };
    if let Some(mishap) = Mishap::take(door, &peer.cable, &[Stage::Accept]) {
        match mishap.trouble {
            Trouble::Stall => tokio::time::sleep(mishap.pause).await,
            Trouble::Eof => {
                line.shutdown().await?;
                // Closing with bytes unread would reset the connection.
                let mut rest = tokio::io::sink();
                let mut from = line.take(1 << 20);
                let drained = tokio::io::copy(&mut from, &mut rest);
                let _ = tokio::time::timeout(DRAIN, drained).await;
                return Err(told());
            }
            Trouble::Reset
            | Trouble::Dribble
            | Trouble::Garbage
            | Trouble::ShortLength
            | Trouble::LongLength
            | Trouble::Reordered => {
                peer.cable.reset();
                return Err(told());
            }
        }
    }
    connection::run(door, line, peer).await
}

impl Cable {
    /// Lets the connection end with a reset rather than in good order.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    /// Lets the next bytes that are written suffer.
    pub(super) fn suffer(&self, mishap: &Mishap) {
        self.set(Some(Next::Suffers(mishap.trouble, mishap.pause)));
    }

    /// Lets all go well again.
    pub(super) fn recover(&self) {
        self.set(None);
    }

    fn next(&self) -> Option<Next> {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, next: Option<Next>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

/// A TCP connection that can suffer.
pub(super) struct Line {
    stream: TcpStream,
    cable: Arc<Cable>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Line {
    /// Waits once; a second call after the wait waits anew.
    fn poll_pause(&mut self, cx: &mut Context<'_>, pause: Duration) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        ready!(sleep.as_mut().poll(cx));
        self.sleep = None;
        Poll::Ready(())
    }

    /// Writes some of these bytes in place of `count` that the caller has.
    fn poll_instead(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        count: usize,
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        Poll::Ready(Ok(written.min(count)))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.cable.reset.load(Ordering::Relaxed) {
            // If that fails the connection is gone already.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let cable = this.cable.clone();
        let (trouble, pause) = match cable.next() {
            None => return Pin::new(&mut this.stream).poll_write(cx, data),
            Some(Next::Nothing) => return Poll::Ready(Err(told())),
            Some(Next::Suffers(trouble, pause)) => (trouble, pause),
        };
        match trouble {
            Trouble::Stall => {
                ready!(this.poll_pause(cx, pause));
                cable.recover();
                Pin::new(&mut this.stream).poll_write(cx, data)
            }
            Trouble::Dribble => {
                ready!(this.poll_pause(cx, pause));
                this.poll_instead(cx, data.get(..1).unwrap_or(data), 1)
            }
            Trouble::Eof | Trouble::Reset => {
                // Half of it, so that the client is in the middle of a record.
                let half = data.len().div_ceil(2);
                let written = ready!(this.poll_instead(cx, &data[..half], half))?;
                if trouble == Trouble::Reset {
                    cable.reset();
                }
                cable.set(Some(Next::Nothing));
                Poll::Ready(Ok(written))
            }
            Trouble::Garbage => {
                let written = ready!(this.poll_instead(cx, &garbage(data.len()), data.len()))?;
                cable.recover();
                Poll::Ready(Ok(written))
            }
            Trouble::ShortLength | Trouble::LongLength | Trouble::Reordered => {
                let mut wrong = data.to_vec();
                misstate(trouble, &mut wrong);
                let written = ready!(this.poll_instead(cx, &wrong, data.len()))?;
                cable.recover();
                Poll::Ready(Ok(written))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
