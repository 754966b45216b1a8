//! LOGIN7 (MS-TDS 2.2.6.4).

use std::io;

use super::bytes::{Bytes, utf16};
use super::packet::invalid;

/// What a client says of itself. It holds a password, so it has no `Debug`.
#[derive(PartialEq, Eq)]
pub(super) struct Login7 {
    pub(super) packet_size: u32,
    pub(super) host: String,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) program: String,
    pub(super) database: String,
    /// Windows authentication.
    pub(super) integrated: bool,
    /// The ids of the features that it asks for.
    pub(super) features: Vec<u8>,
}

const FIXED: usize = 94;
const MAX_FEATURES: usize = 32;
/// Names are at most this long.
const MAX_NAME: usize = 128;

/// Sign in with a token.
pub(super) const FEDAUTH: u8 = 2;

pub(super) fn parse(data: &[u8]) -> io::Result<Login7> {
    if data.len() < FIXED {
        return Err(invalid("LOGIN7 is shorter than its fixed part"));
    }
    let mut fixed = Bytes::new(data);
    let length = fixed.size32()?;
    if length > data.len() {
        return Err(invalid("LOGIN7 is shorter than it says"));
    }
    let _version = fixed.u32()?;
    let packet_size = fixed.u32()?;
    let (options2, options3) = (data[25], data[27]);
    let field = |at: usize| -> io::Result<&[u8]> {
        let mut pair = Bytes::new(&data[at..at + 4]);
        let (offset, units) = (usize::from(pair.u16()?), usize::from(pair.u16()?));
        if units > MAX_NAME {
            return Err(invalid(format!("the field at {at} of LOGIN7 is {units} characters long")));
        }
        let found = data.get(offset..offset + units * 2);
        found.ok_or_else(|| invalid(format!("the field at {at} of LOGIN7 lies outside of it")))
    };
    let text = |at: usize| field(at).map(utf16);
    let password: Vec<u8> = field(44)?.iter().map(|byte| (byte ^ 0xA5).rotate_right(4)).collect();
    let features = if options3 & 0x10 == 0 { Vec::new() } else { features(data)? };
    Ok(Login7 {
        packet_size,
        host: text(36)?,
        user: text(40)?,
        password: utf16(&password),
        program: text(48)?,
        database: text(68)?,
        integrated: options2 & 0x80 != 0,
        features,
    })
}

/// The extension block points to the list of features.
fn features(data: &[u8]) -> io::Result<Vec<u8>> {
    let outside = || invalid("the extension of LOGIN7 lies outside of it");
    let mut pair = Bytes::new(&data[56..60]);
    let (offset, length) = (usize::from(pair.u16()?), usize::from(pair.u16()?));
    if length == 0 {
        return Ok(Vec::new());
    }
    let at = data.get(offset..).ok_or_else(outside).and_then(|d| Bytes::new(d).size32())?;
    let mut list = Bytes::new(data.get(at..).ok_or_else(outside)?);
    let mut found = Vec::new();
    while found.len() < MAX_FEATURES {
        let id = list.u8()?;
        if id == 0xFF {
            return Ok(found);
        }
        let length = list.size32()?;
        list.take(length)?;
        found.push(id);
    }
    Err(invalid("LOGIN7 asks for too many features"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A LOGIN7 as a client would write it.
    pub(in crate::tds) fn login7(user: &str, password: &str, database: &str) -> Vec<u8> {
        let mut head = vec![0; FIXED];
        head[4..8].copy_from_slice(&0x7400_0004_u32.to_le_bytes());
        head[8..12].copy_from_slice(&4096_u32.to_le_bytes());
        head[27] = 0x10;
        let mut values: Vec<u8> = Vec::new();
        let mut put = |at: usize, bytes: Vec<u8>, length: usize| {
            let offset = u16::try_from(FIXED + values.len()).expect("short");
            head[at..at + 2].copy_from_slice(&offset.to_le_bytes());
            let length = u16::try_from(length).expect("short");
            head[at + 2..at + 4].copy_from_slice(&length.to_le_bytes());
            values.extend(bytes);
        };
        let units =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        put(36, units("host"), 4);
        put(40, units(user), user.chars().count());
        let hidden = units(password).iter().map(|b| b.rotate_right(4) ^ 0xA5).collect();
        put(44, hidden, password.chars().count());
        put(48, units("test"), 4);
        put(68, units(database), database.chars().count());
        put(56, vec![0; 4], 4);
        let list = u32::try_from(FIXED + values.len()).expect("short");
        let pointer = values.len() - 4;
        values[pointer..].copy_from_slice(&list.to_le_bytes());
        values.extend([10, 1, 0, 0, 0, 1, 0xFF]);
        let mut all = [head, values].concat();
        let length = u32::try_from(all.len()).expect("short");
        all[..4].copy_from_slice(&length.to_le_bytes());
        all
    }

    #[test]
    fn fields_and_features_are_found_and_the_password_is_uncovered() {
        let parsed = parse(&login7("sa", "p@ss wörd", "Sales")).expect("well formed");
        assert_eq!(parsed.user, "sa");
        assert!(parsed.password == "p@ss wörd");
        assert_eq!((parsed.host.as_str(), parsed.program.as_str()), ("host", "test"));
        assert_eq!(parsed.database, "Sales");
        assert_eq!((parsed.packet_size, parsed.integrated), (4096, false));
        assert_eq!(parsed.features, [10]);
    }

    #[test]
    fn offsets_outside_of_the_message_are_refused() {
        let good = login7("sa", "x", "");
        for at in [36, 40, 44, 48, 56, 68] {
            let mut bad = good.clone();
            bad[at..at + 2].copy_from_slice(&0xFFF0_u16.to_le_bytes());
            bad[at + 2] = 1;
            assert!(parse(&bad).is_err(), "{at}");
        }
        for length in 0..good.len() {
            assert!(parse(&good[..length]).is_err(), "{length}");
        }
    }
}
