//! PRELOGIN: version and encryption (MS-TDS 2.2.6.5).

use std::io;

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

/// What a server's certificate and settings allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// There if the client wants it; the login is encrypted in any case (the default of SQL
    /// Server).
    Available,
    /// For everything (managed instance, or Force Encryption).
    Forced,
    /// There is none.
    NotSupported,
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
    /// It has asked whether it has to sign in with a token.
    pub(super) asks_fedauth: bool,
}

const VERSION: u8 = 0;
const ENCRYPTION: u8 = 1;
const INSTANCE: u8 = 2;
const THREAD: u8 = 3;
const MARS: u8 = 4;
const FEDAUTH: u8 = 6;
const TERMINATOR: u8 = 0xFF;
/// Options that a client can list; each token is there at most once.
const MAX_OPTIONS: usize = 32;

pub(super) fn parse(data: &[u8]) -> io::Result<Prelogin> {
    let mut found = Prelogin { encryption: Wish::Off, asks_fedauth: false };
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
            (FEDAUTH, _) => found.asks_fedauth = true,
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
        (Wish::NotSupported, Encryption::Forced) => (Wish::Required, Cover::Closed),
        (Wish::On | Wish::Required, Encryption::NotSupported) => {
            (Wish::NotSupported, Cover::Closed)
        }
    }
}

/// The server's answer.
pub(super) fn reply(client: &Prelogin, answer: Wish, version: (u8, u8, u16)) -> Vec<u8> {
    let (major, minor, build) = version;
    let [high, low] = build.to_be_bytes();
    let wish = match answer {
        Wish::Off => 0,
        Wish::On => 1,
        Wish::NotSupported => 2,
        Wish::Required => 3,
    };
    let mut options: Vec<(u8, Vec<u8>)> = vec![
        (VERSION, vec![major, minor, high, low, 0, 0]),
        (ENCRYPTION, vec![wish]),
        (INSTANCE, vec![0]),
        (THREAD, Vec::new()),
        (MARS, vec![0]),
    ];
    if client.asks_fedauth {
        options.push((FEDAUTH, vec![0]));
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
        use Encryption::{Available, Forced, NotSupported as Never};
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
        ] {
            assert_eq!(negotiate(client, server), (answer, cover), "{client:?} {server:?}");
        }
    }

    #[test]
    fn the_answer_can_be_read_by_the_same_rules() {
        let asked = Prelogin { encryption: Wish::On, asks_fedauth: true };
        let answer = reply(&asked, Wish::On, (16, 0, 4125));
        assert_eq!(parse(&answer).expect("well formed"), asked);
        assert_eq!(&answer[31..37], &[16, 0, 0x10, 0x1D, 0, 0]);
        let plain = Prelogin { encryption: Wish::On, asks_fedauth: false };
        let answer = reply(&plain, Wish::Required, (16, 0, 4125));
        assert!(!parse(&answer).expect("well formed").asks_fedauth);
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
