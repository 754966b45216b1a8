//! LOGIN7 (MS-TDS 2.2.6.4).

use std::io;

use super::bytes::{Bytes, utf16};
use super::packet::invalid;

/// What a client says of itself. It holds a password, so it has no `Debug`.
#[derive(PartialEq, Eq)]
pub(super) struct Login7 {
    /// The version of the protocol that it speaks at the most.
    pub(super) version: u32,
    pub(super) packet_size: u32,
    pub(super) host: String,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) program: String,
    pub(super) database: String,
    /// The first message of the Windows authentication, if it is asked for.
    pub(super) windows: Option<Vec<u8>>,
    /// How it signs in with a token, if it does.
    pub(super) token: Option<Token>,
    /// Whether it says that it only reads.
    pub(super) read_only: bool,
    /// The ids of the features that it asks for.
    pub(super) features: Vec<u8>,
}

/// The feature of signing in with a token. `echo` is what PRELOGIN has answered.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// It is here, perhaps with the server's nonce.
    Here { echo: bool, token: String, nonce: Option<[u8; 32]> },
    /// It is got once the server has said where.
    Later { echo: bool },
    /// In a way that no client of today uses.
    Unknown,
}

const FIXED: usize = 94;
/// TDS 7.2: before it requests have no headers, and counts have four bytes.
const OLDEST: u32 = 0x7209_0002;
const MAX_FEATURES: usize = 32;
/// Names are at most this long.
const MAX_NAME: usize = 128;

/// `fReadOnlyIntent` of the type flags.
const READ_ONLY_INTENT: u8 = 0x20;
/// Sign in with a token.
const FEDAUTH: u8 = 2;
/// A message of the Windows authentication has some hundred bytes.
const MAX_WINDOWS: usize = 16 * 1024;

pub(super) fn parse(data: &[u8]) -> io::Result<Login7> {
    if data.len() < FIXED {
        return Err(invalid("LOGIN7 is shorter than its fixed part"));
    }
    let mut fixed = Bytes::new(data);
    let length = fixed.size32()?;
    if length > data.len() {
        return Err(invalid("LOGIN7 is shorter than it says"));
    }
    let version = fixed.u32()?;
    if version < OLDEST {
        return Err(invalid(format!("TDS {version:#010x} is older than 7.2")));
    }
    let packet_size = fixed.u32()?;
    let (options2, kind, options3) = (data[25], data[26], data[27]);
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
    let (features, token) = if options3 & 0x10 == 0 { (Vec::new(), None) } else { features(data)? };
    Ok(Login7 {
        version,
        packet_size,
        host: text(36)?,
        user: text(40)?,
        password: utf16(&password),
        program: text(48)?,
        database: text(68)?,
        windows: (options2 & 0x80 != 0).then(|| windows(data)).transpose()?,
        token,
        read_only: kind & READ_ONLY_INTENT != 0,
        features,
    })
}

/// The message of the Windows authentication, whose length has a second field if it is long.
fn windows(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut fields = Bytes::new(&data[78..FIXED]);
    let (offset, short) = (usize::from(fields.u16()?), fields.u16()?);
    let length = match (short, Bytes::new(&data[90..FIXED]).size32()?) {
        (u16::MAX, long) if long > 0 => long,
        (short, _) => usize::from(short),
    };
    let found = offset.checked_add(length).filter(|_| length <= MAX_WINDOWS);
    let found = found.and_then(|end| data.get(offset..end));
    found.map(<[u8]>::to_vec).ok_or_else(|| invalid("SSPI lies outside of LOGIN7"))
}

/// The extension block points to the list of features.
fn features(data: &[u8]) -> io::Result<(Vec<u8>, Option<Token>)> {
    let outside = || invalid("the extension of LOGIN7 lies outside of it");
    let mut pair = Bytes::new(&data[56..60]);
    let (offset, length) = (usize::from(pair.u16()?), usize::from(pair.u16()?));
    if length == 0 {
        return Ok((Vec::new(), None));
    }
    let at = data.get(offset..).ok_or_else(outside).and_then(|d| Bytes::new(d).size32())?;
    let mut list = Bytes::new(data.get(at..).ok_or_else(outside)?);
    let (mut found, mut token) = (Vec::new(), None);
    while found.len() < MAX_FEATURES {
        let id = list.u8()?;
        if id == 0xFF {
            return Ok((found, token));
        }
        let length = list.size32()?;
        let value = list.take(length)?;
        if id == FEDAUTH {
            token = Some(signs_in(value)?);
        }
        found.push(id);
    }
    Err(invalid("LOGIN7 asks for too many features"))
}

/// The library and the echo, and what belongs to that library.
fn signs_in(value: &[u8]) -> io::Result<Token> {
    let mut value = Bytes::new(value);
    let options = value.u8()?;
    let echo = options & 1 != 0;
    match options >> 1 {
        1 => {
            let length = value.size32()?;
            let token = utf16(value.take(length)?);
            let nonce = if value.is_empty() { None } else { Some(value.array()?) };
            Ok(Token::Here { echo, token, nonce })
        }
        2 => Ok(Token::Later { echo }),
        _ => Ok(Token::Unknown),
    }
}

/// The message that brings a token which the server has been asked about.
pub(super) fn later(data: &[u8]) -> io::Result<(String, Option<[u8; 32]>)> {
    let mut all = Bytes::new(data);
    let length = all.size32()?;
    let mut inner = Bytes::new(all.take(length)?);
    let length = inner.size32()?;
    let token = utf16(inner.take(length)?);
    let nonce = if inner.is_empty() { None } else { Some(inner.array()?) };
    Ok((token, nonce))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A LOGIN7 as a client would write it.
    pub(in crate::tds) fn login7(user: &str, password: &str, database: &str) -> Vec<u8> {
        with_features(user, password, database, &[10, 1, 0, 0, 0, 1, 0xFF])
    }

    /// The same with a token that is there already.
    pub(in crate::tds) fn login7_with_token(token: &str) -> Vec<u8> {
        let token: Vec<u8> = token.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = |bytes: usize| u32::try_from(bytes).expect("short").to_le_bytes();
        let value = [&[3][..], &length(token.len()), &token].concat();
        let features = [&[FEDAUTH][..], &length(value.len()), &value, &[0xFF]].concat();
        with_features("", "", "master", &features)
    }

    /// The same with a token that is got once the server has said where.
    pub(in crate::tds) fn login7_with_library() -> Vec<u8> {
        with_features("", "", "master", &[FEDAUTH, 2, 0, 0, 0, 2 << 1 | 1, 1, 0xFF])
    }

    /// The message that brings a token later.
    pub(in crate::tds) fn later(token: &str) -> Vec<u8> {
        let token: Vec<u8> = token.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = |bytes: usize| u32::try_from(bytes).expect("short").to_le_bytes();
        [&length(token.len() + 4)[..], &length(token.len()), &token].concat()
    }

    /// The same with the first message of a Windows authentication.
    pub(in crate::tds) fn login7_of_windows(message: &[u8]) -> Vec<u8> {
        let mut all = with_features("", "", "master", &[10, 1, 0, 0, 0, 1, 0xFF]);
        all[25] |= 0x80;
        let short = |number: usize| u16::try_from(number).expect("short").to_le_bytes();
        let offset = all.len();
        all[78..80].copy_from_slice(&short(offset));
        all[80..82].copy_from_slice(&short(message.len()));
        all.extend(message);
        let length = u32::try_from(all.len()).expect("short");
        all[..4].copy_from_slice(&length.to_le_bytes());
        all
    }

    fn with_features(user: &str, password: &str, database: &str, list: &[u8]) -> Vec<u8> {
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
        let at = u32::try_from(FIXED + values.len()).expect("short");
        let pointer = values.len() - 4;
        values[pointer..].copy_from_slice(&at.to_le_bytes());
        values.extend(list);
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
        assert_eq!((parsed.packet_size, parsed.windows), (4096, None));
        assert_eq!(parsed.features, [10]);
    }

    #[test]
    fn a_token_is_read_wherever_it_comes() {
        let here = parse(&login7_with_token("a.b.c")).expect("well formed");
        let Some(Token::Here { echo, token, nonce }) = here.token else { panic!("it is here") };
        assert_eq!((echo, token.as_str(), nonce), (true, "a.b.c", None));
        let (token, nonce) = super::later(&later("d.e.f")).expect("well formed");
        assert_eq!((token.as_str(), nonce), ("d.e.f", None));
        assert!(super::later(&later("d.e.f")[..9]).is_err());
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
