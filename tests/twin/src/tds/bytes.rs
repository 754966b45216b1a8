//! Reading little-endian fields with bounds.

use std::io;

use super::packet::invalid;

/// What is left to read of a message.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(super) fn new(data: &'a [u8]) -> Bytes<'a> {
        Bytes { rest: data }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(super) fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(invalid(format!(
                "the message ends {} bytes too early",
                count - self.rest.len()
            )));
        };
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> io::Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> io::Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A length that fits in memory.
    pub(super) fn size32(&mut self) -> io::Result<usize> {
        usize::try_from(self.u32()?).map_err(|_| invalid("a length does not fit in memory"))
    }

    /// Text whose length is counted in UTF-16 units.
    pub(super) fn text(&mut self, units: usize) -> io::Result<String> {
        Ok(utf16(self.take(units * 2)?))
    }

    /// Text behind one byte of length.
    pub(super) fn short_text(&mut self) -> io::Result<String> {
        let units = usize::from(self.u8()?);
        self.text(units)
    }
}

/// UTF-16LE to text; what is no UTF-16 becomes a replacement character.
pub(super) fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> =
        bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16_lossy(&units)
}
