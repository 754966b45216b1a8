//! What goes wrong with a message on its way out, because a fault of the wire says so.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::world::{Stage, Trouble};

use super::Door;
use super::line::Cable;
use super::packet::HEADER;

/// Bytes that come one by one at most; the rest comes at once.
const MOST_SINGLE: usize = 4_096;
/// A DONE token: type, status, command and count.
const DONE_BYTES: usize = 13;

/// What happens to the next message, or to a part of it.
pub(super) struct Mishap {
    pub(super) stage: Stage,
    pub(super) trouble: Trouble,
    /// In real time.
    pub(super) pause: Duration,
    cable: Arc<Cable>,
}

impl Mishap {
    /// What a fault of the door says for the first of these stages that has one; that uses it up.
    pub(super) fn take(door: &Door, cable: &Arc<Cable>, stages: &[Stage]) -> Option<Mishap> {
        let found = door.world.with(|world| {
            stages.iter().find_map(|stage| world.take_wire(&door.instance, *stage))
        })?;
        Some(Mishap {
            stage: found.stage,
            trouble: found.trouble,
            pause: door.world.real(found.pause()),
            cable: cable.clone(),
        })
    }

    /// Where the part of these packets begins that suffers: in their middle, or with the last of
    /// them where it is a header that is wrong.
    pub(super) fn cut(&self, packets: &[u8]) -> usize {
        let of_header = matches!(self.trouble, Trouble::ShortLength | Trouble::LongLength);
        if !of_header {
            return packets.len() / 2;
        }
        let mut at = 0;
        loop {
            let length = packets.get(at + 2..at + 4);
            let length =
                length.map_or(0, |pair| usize::from(u16::from_be_bytes([pair[0], pair[1]])));
            if length == 0 || at + length >= packets.len() {
                return at;
            }
            at += length;
        }
    }

    /// Sends packets as it says.
    ///
    /// # Errors
    /// What the stream says, and the end of the connection if that is the trouble.
    pub(super) async fn send<W: AsyncWrite + Unpin>(
        self,
        stream: &mut W,
        mut packets: Vec<u8>,
    ) -> io::Result<()> {
        match self.trouble {
            Trouble::Stall => tokio::time::sleep(self.pause).await,
            Trouble::Dribble => {
                let single = packets.len().min(MOST_SINGLE);
                for byte in packets.drain(..single) {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                    tokio::time::sleep(self.pause).await;
                }
            }
            Trouble::Eof => return Err(told()),
            Trouble::Reset => {
                self.cable.reset();
                return Err(told());
            }
            Trouble::Garbage => packets = garbage(packets.len()),
            Trouble::ShortLength | Trouble::LongLength => misstate(self.trouble, &mut packets),
            Trouble::Reordered => reorder(&mut packets),
        }
        stream.write_all(&packets).await?;
        stream.flush().await
    }
}

/// Puts the last token of an answer, which is a DONE, before all others; packets stay as they are.
fn reorder(packets: &mut [u8]) {
    let mut spans = Vec::new();
    let mut at = 0;
    while let Some(pair) = packets.get(at + 2..at + 4) {
        let length = usize::from(u16::from_be_bytes([pair[0], pair[1]]));
        let end = (at + length).min(packets.len());
        if length <= HEADER {
            break;
        }
        spans.push(at + HEADER..end);
        at = end;
    }
    let mut tokens: Vec<u8> =
        spans.iter().flat_map(|span| packets[span.clone()].to_vec()).collect();
    if tokens.len() >= DONE_BYTES {
        tokens.rotate_right(DONE_BYTES);
    }
    let mut rest = tokens.as_slice();
    for span in spans {
        let (own, after) = rest.split_at(span.len().min(rest.len()));
        packets[span.start..span.start + own.len()].copy_from_slice(own);
        rest = after;
    }
}

/// Bytes that no protocol begins with, and always the same ones.
pub(super) fn garbage(count: usize) -> Vec<u8> {
    (0..count.max(1)).map(|at| (at as u8).wrapping_mul(73) ^ 0xA5).collect()
}

/// Puts a wrong length into the header of the first packet, or of the first TLS record.
pub(super) fn misstate(trouble: Trouble, bytes: &mut [u8]) {
    // Content types of TLS are 20 to 23; its lengths stand one byte further on.
    let at = if matches!(bytes.first(), Some(20..=23)) { 3 } else { 2 };
    let Some(length) = bytes.get_mut(at..at + 2) else { return };
    let own = u16::from_be_bytes([length[0], length[1]]);
    let told = match trouble {
        Trouble::ShortLength => 4,
        Trouble::LongLength
        | Trouble::Stall
        | Trouble::Dribble
        | Trouble::Eof
        | Trouble::Reset
        | Trouble::Garbage
        | Trouble::Reordered => own.saturating_add(512),
    };
    length.copy_from_slice(&u16::to_be_bytes(told));
}

/// What the door's log says of a connection that ends by a fault.
pub(super) fn told() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "a fault of the wire ends the connection")
}
