//! PRELOGIN: version and encryption (MS-TDS 2.2.6.5).

use std::io;

use super::Encryption;
use super::packet::invalid;

/// Whether a side wants encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Only for the login.
    Off,
    On,
    /// It cannot.
    NotSupported,
    /// It insists.
    Required,
}

/// How much of the connection TLS covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    Nothing,
    LoginOnly,
    Everything,
    /// The two cannot agree: the connection ends after the answer.
    Closed,
}

/// What a client says in PRELOGIN.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prelogin {
    pub(super) encryption: Wish,
    /// Whether it will show a token, if it says so.
    pub(super) token: Option<bool>,
    /// What it wants to have in the answer to its token.
    pub(super) nonce: Option<Nonce>,
    /// The instance that it means, if it names one.
    pub(super) instance: Option<String>,
}

/// What the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) encryption: Wish,
    pub(super) version: (u8, u8, u16),
    /// Another instance is meant.
    pub(super) elsewhere: bool,
    /// Tokens are taken.
    pub(super) tokens: bool,
    /// What a token has to come with, if the client knows of such things.
    pub(super) nonce: Option<Nonce>,
}

/// Random bytes that tie a token to its connection.
pub(super) type Nonce = [u8; 32];

const VERSION: u8 = 0;
const ENCRYPTION: u8 = 1;
const INSTANCE: u8 = 2;
const THREAD: u8 = 3;
const MARS: u8 = 4;
const FEDAUTH: u8 = 6;
const NONCE: u8 = 7;
const TERMINATOR: u8 = 0xFF;
/// Options that a client can list; each token is there at most once.
const MAX_OPTIONS: usize = 32;

pub(super) fn parse(data: &[u8]) -> io::Result<Prelogin> {
    let mut found = Prelogin { encryption: Wish::Off, token: None, nonce: None, instance: None };
    let mut at = 0;
    for index in 0..MAX_OPTIONS {
        let token = *data.get(at).ok_or_else(|| invalid("PRELOGIN has no terminator"))?;
        if token == TERMINATOR {
            return Ok(found);
        }
        if index == 0 && token != VERSION {
            return Err(invalid("PRELOGIN does not begin with the version"));
        }
        let Some(&[o1, o2, l1, l2]) = data.get(at + 1..at + 5) else {
            return Err(invalid("PRELOGIN ends in the middle of an option"));
        };
        let offset = usize::from(u16::from_be_bytes([o1, o2]));
        let length = usize::from(u16::from_be_bytes([l1, l2]));
        let value = data
            .get(offset..offset + length)
            .ok_or_else(|| invalid("an option of PRELOGIN lies outside of it"))?;
        match (token, value) {
            (ENCRYPTION, [wish, ..]) => {
                // The high bit asks for a client certificate, which nobody needs here.
                found.encryption = match wish & 0x7F {
                    0 => Wish::Off,
                    1 => Wish::On,
                    2 => Wish::NotSupported,
                    3 => Wish::Required,
                    other => return Err(invalid(format!("ENCRYPTION cannot be {other}"))),
                };
            }
            (FEDAUTH, [token, ..]) => found.token = Some(*token == 1),
            (NONCE, nonce) => found.nonce = nonce.first_chunk().copied(),
            (INSTANCE, name) => {
                // Until a zero, in a code page that is the client's own.
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                let name = String::from_utf8_lossy(name).into_owned();
                found.instance = Some(name).filter(|name| !name.is_empty());
            }
            _ => {}
        }
        at += 5;
    }
    Err(invalid("PRELOGIN has too many options"))
}

/// The table of MS-TDS 2.2.6.5: what the server answers, and what follows from it.
pub(super) fn negotiate(client: Wish, server: Encryption) -> (Wish, Cover) {
    match (client, server) {
        (Wish::Off, Encryption::Available) => (Wish::Off, Cover::LoginOnly),
        (Wish::Off, Encryption::Forced) => (Wish::Required, Cover::Everything),
        (Wish::On | Wish::Required, Encryption::Available | Encryption::Forced) => {
            (Wish::On, Cover::Everything)
        }
        (Wish::NotSupported, Encryption::Available | Encryption::NotSupported)
        | (Wish::Off, Encryption::NotSupported) => (Wish::NotSupported, Cover::Nothing),
        (Wish::NotSupported, Encryption::Forced) | (_, Encryption::Strict) => {
            (Wish::Required, Cover::Closed)
        }
        (Wish::On | Wish::Required, Encryption::NotSupported) => {
            (Wish::NotSupported, Cover::Closed)
        }
    }
}

/// The server's answer.
pub(super) fn reply(client: &Prelogin, answer: &Answer) -> Vec<u8> {
    let (major, minor, build) = answer.version;
    let [high, low] = build.to_be_bytes();
    let wish = match answer.encryption {
        Wish::Off => 0,
        Wish::On => 1,
        Wish::NotSupported => 2,
        Wish::Required => 3,
    };
    let mut options: Vec<(u8, Vec<u8>)> = vec![
        (VERSION, vec![major, minor, high, low, 0, 0]),
        (ENCRYPTION, vec![wish]),
        (INSTANCE, vec![u8::from(answer.elsewhere)]),
        (THREAD, Vec::new()),
        (MARS, vec![0]),
    ];
    if let Some(token) = client.token {
        options.push((FEDAUTH, vec![u8::from(token && answer.tokens)]));
    }
    if let Some(nonce) = answer.nonce.filter(|_| client.nonce.is_some()) {
        options.push((NONCE, nonce.to_vec()));
    }
    let mut offset = options.len() * 5 + 1;
    let mut head = Vec::new();
    let mut values = Vec::new();
    for (token, value) in options {
        head.push(token);
        head.extend(u16::try_from(offset).unwrap_or(u16::MAX).to_be_bytes());
        head.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        offset += value.len();
        values.extend(value);
    }
    head.push(TERMINATOR);
    head.extend(values);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_specification() {
        use Encryption::{Available, Forced, NotSupported as Never, Strict};
        for (client, server, answer, cover) in [
            (Wish::Off, Available, Wish::Off, Cover::LoginOnly),
            (Wish::Off, Forced, Wish::Required, Cover::Everything),
            (Wish::Off, Never, Wish::NotSupported, Cover::Nothing),
            (Wish::On, Available, Wish::On, Cover::Everything),
            (Wish::On, Forced, Wish::On, Cover::Everything),
            (Wish::On, Never, Wish::NotSupported, Cover::Closed),
            (Wish::NotSupported, Available, Wish::NotSupported, Cover::Nothing),
            (Wish::NotSupported, Forced, Wish::Required, Cover::Closed),
            (Wish::NotSupported, Never, Wish::NotSupported, Cover::Nothing),
            (Wish::Required, Available, Wish::On, Cover::Everything),
            (Wish::Required, Forced, Wish::On, Cover::Everything),
            (Wish::Required, Never, Wish::NotSupported, Cover::Closed),
            (Wish::Off, Strict, Wish::Required, Cover::Closed),
            (Wish::On, Strict, Wish::Required, Cover::Closed),
            (Wish::NotSupported, Strict, Wish::Required, Cover::Closed),
            (Wish::Required, Strict, Wish::Required, Cover::Closed),
        ] {
            assert_eq!(negotiate(client, server), (answer, cover), "{client:?} {server:?}");
        }
    }

    fn asked(token: Option<bool>, nonce: Option<Nonce>) -> Prelogin {
        Prelogin { encryption: Wish::On, token, nonce, instance: None }
    }

    #[test]
    fn the_answer_can_be_read_by_the_same_rules() {
        let answer = Answer {
            encryption: Wish::On,
            version: (16, 0, 4125),
            elsewhere: false,
            tokens: true,
            nonce: Some([7; 32]),
        };
        let all = asked(Some(true), Some([9; 32]));
        let bytes = reply(&all, &answer);
        assert_eq!(parse(&bytes).expect("well formed"), asked(Some(true), Some([7; 32])));
        assert_eq!(&bytes[36..42], &[16, 0, 0x10, 0x1D, 0, 0]);
        let plain = reply(&asked(None, None), &answer);
        assert_eq!(parse(&plain).expect("well formed"), asked(None, None), "nothing unasked for");
        let none = reply(&all, &Answer { tokens: false, ..answer });
        assert_eq!(parse(&none).expect("well formed").token, Some(false));
        let other = reply(&all, &Answer { elsewhere: true, ..answer });
        assert_eq!(parse(&other).expect("well formed").instance.as_deref(), Some("\u{1}"));
    }

    #[test]
    fn what_lies_outside_is_refused() {
        for bad in [
            &b""[..],
            &[ENCRYPTION, 0, 6, 0, 1, TERMINATOR, 0],
            &[VERSION, 0, 6, 0, 1, TERMINATOR],
            &[VERSION, 0, 0, 0],
            &[VERSION, 0, 11, 0, 1, ENCRYPTION, 0, 11, 0, 1, TERMINATOR, 9],
            &[VERSION; 400],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
