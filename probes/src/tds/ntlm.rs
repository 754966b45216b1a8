//! NTLM ([MS-NLMP]) by `winauth`: NTLMv2 only, with a proof of the whole exchange and for one
//! service. Here stands what comes between that library and a server which is not trusted yet.
//!
//! `winauth` 0.0.5 takes a challenge at its word: the attribute 8 makes it panic, an offset makes it
//! ask for up to 4 GiB, and what it repeats with letters beyond ASCII gets a wrong length. So a
//! challenge is read with bounds before the library sees it, and names beyond ASCII are refused.

use winauth::{NextBytes as _, NtlmV2Client, NtlmV2ClientBuilder};

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
/// An eight-byte version stands before the payload ([MS-NLMP] 2.2.2.5).
const VERSION: u32 = 0x0200_0000;
/// Where the payload begins, without the version.
const PAYLOAD: usize = 48;
/// A challenge has some hundred bytes.
const LONGEST: usize = 16 * 1024;

/// Attributes that a server tells of itself ([MS-NLMP] 2.2.2.1): 1 to 5 are names.
const END: u16 = 0;
const DNS_COMPUTER: u16 = 3;
const LAST_NAME: u16 = 5;
const AV_FLAGS: u16 = 6;
const TIMESTAMP: u16 = 7;
const CHANNEL_BINDINGS: u16 = 10;

/// Who logs in, to what.
pub(crate) struct Account<'a> {
    pub(crate) domain: &'a str,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    /// The service's name, `MSSQLSvc/HOST:PORT`: the answer is of no use at another service.
    pub(crate) service: &'a str,
}

/// An exchange that has begun.
pub(crate) struct Exchange<'a>(NtlmV2Client<'a>);

impl<'a> Exchange<'a> {
    /// Begins, with the first message.
    ///
    /// # Errors
    ///
    /// A name that the library can't write.
    pub(crate) fn begin(account: &Account<'a>) -> Result<(Self, Vec<u8>), String> {
        // The library tells the server this one too.
        let machine = std::env::var("COMPUTERNAME").unwrap_or_default();
        let names = [account.domain, account.user, account.service, &machine];
        if let Some(name) = names.iter().find(|name| !name.is_ascii()) {
            return Err(format!(
                "NTLM carries only names in ASCII here, and {name:?} is none: take a login of the \
                 server's own, or Kerberos"
            ));
        }
        let builder = NtlmV2ClientBuilder::new().target_spn(account.service);
        let mut client = builder.build(Some(account.domain), account.user, account.password);
        let first = client.next_bytes(None).map_err(|error| error.to_string())?;
        Ok((Self(client), first.unwrap_or_default()))
    }

    /// The answer to a challenge.
    ///
    /// # Errors
    ///
    /// What is wrong with the challenge, in words.
    pub(crate) fn answer(mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        examine(challenge)?;
        let answer = self.0.next_bytes(Some(challenge));
        let answer = answer.map_err(|error| format!("the NTLM challenge: {error}"))?;
        answer.ok_or_else(|| "the NTLM challenge leads to no answer".to_owned())
    }
}

/// Nothing that is written in a challenge leads out of it, and all of it can be repeated.
fn examine(message: &[u8]) -> Result<(), String> {
    let short = || "the NTLM challenge is too short".to_owned();
    if message.get(..8) != Some(SIGNATURE) || message.get(8..12) != Some(&[2, 0, 0, 0]) {
        return Err("the server answers with something that is no NTLM challenge".into());
    }
    if message.len() > LONGEST {
        return Err("the NTLM challenge is too long".into());
    }
    let flags = *message.get(20..).and_then(<[u8]>::first_chunk).ok_or_else(short)?;
    let payload = PAYLOAD + if u32::from_le_bytes(flags) & VERSION == 0 { 0 } else { 8 };
    let (name, info) = (field(message, 12, payload)?, field(message, 40, payload)?);
    if !name.is_empty() && !info.is_empty() && name.start < info.end && info.start < name.end {
        return Err("two parts of the NTLM challenge lie upon each other".into());
    }
    attributes(message.get(info).ok_or_else(short)?)
}

/// The place that a field points to: within the message, behind its head, told as long once as twice.
fn field(message: &[u8], at: usize, payload: usize) -> Result<std::ops::Range<usize>, String> {
    let short = || "the NTLM challenge is too short".to_owned();
    let [l0, l1, m0, m1, o0, o1, o2, o3]: [u8; 8] =
        *message.get(at..).and_then(<[u8]>::first_chunk).ok_or_else(short)?;
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let start = usize::try_from(u32::from_le_bytes([o0, o1, o2, o3])).map_err(|_| short())?;
    let end = start.checked_add(length).ok_or_else(short)?;
    // An empty one too: the library goes there all the same.
    if [l0, l1] != [m0, m1] || start < payload || end > message.len() {
        return Err("a part of the NTLM challenge lies outside of it".into());
    }
    Ok(start..end)
}

/// What a server tells of itself: of the lengths that belong to it, with a name and a time.
fn attributes(mut rest: &[u8]) -> Result<(), String> {
    let broken = || "the NTLM challenge tells nothing of its server".to_owned();
    let (mut timed, mut named) = (false, false);
    loop {
        let [i0, i1, l0, l1] = *rest.first_chunk().ok_or_else(broken)?;
        let (id, length) =
            (u16::from_le_bytes([i0, i1]), usize::from(u16::from_le_bytes([l0, l1])));
        let value = rest.get(4..4 + length).ok_or_else(broken)?;
        rest = &rest[4 + length..];
        let fits = match id {
            END => length == 0,
            1..=LAST_NAME => ascii(value)?,
            AV_FLAGS => length == 4,
            TIMESTAMP => length == 8,
            CHANNEL_BINDINGS => length == 16,
            // Those that only a client tells, and those that nobody knows.
            _ => false,
        };
        if !fits {
            return Err(format!(
                "attribute {id} of the NTLM challenge is none that a server tells"
            ));
        }
        timed |= id == TIMESTAMP;
        named |= id == DNS_COMPUTER;
        if id == END {
            break;
        }
    }
    match (timed, named) {
        (false, _) => Err("the server is too old for NTLMv2: its challenge has no time".into()),
        (true, false) => Err(broken()),
        (true, true) => Ok(()),
    }
}

/// Whether a name is whole, in UTF-16.
///
/// # Errors
///
/// A letter beyond ASCII, which the library would repeat with a wrong length.
fn ascii(name: &[u8]) -> Result<bool, String> {
    let (units, odd) = name.as_chunks::<2>();
    if units.iter().any(|unit| u16::from_le_bytes(*unit) > 0x7F) {
        return Err(
            "the server has a name beyond ASCII, which NTLM can't carry here: take a login \
                    of the server's own, or Kerberos"
                .into(),
        );
    }
    Ok(odd.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: Account<'_> = Account {
        domain: "Domain",
        user: "User",
        password: "Passwört",
        service: "MSSQLSvc/server:1433",
    };
    /// What the library insists on, and what a server adds.
    const FLAGS: u32 = 0xE288_8235;

    fn units(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn pair(id: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).expect("short");
        [&id.to_le_bytes(), &length.to_le_bytes(), value].concat()
    }

    /// A server's attributes, with others before their end.
    fn info(more: &[u8]) -> Vec<u8> {
        let names = [pair(2, &units("DOMAIN")), pair(1, &units("SQL01")), pair(3, &units("a.b"))];
        [&names.concat()[..], more, &pair(END, &[])].concat()
    }

    fn timed(more: &[u8]) -> Vec<u8> {
        info(&[&pair(TIMESTAMP, &[7; 8]), more].concat())
    }

    fn challenge(info: &[u8]) -> Vec<u8> {
        let name = units("DOMAIN");
        let field = |length: usize, at: usize| {
            let length = u16::try_from(length).expect("short").to_le_bytes();
            [&length[..], &length, &u32::try_from(at).expect("near").to_le_bytes()].concat()
        };
        [
            &SIGNATURE[..],
            &[2, 0, 0, 0],
            &field(name.len(), 56),
            &FLAGS.to_le_bytes(),
            &[1; 8],
            &[0; 8],
            &field(info.len(), 56 + name.len()),
            &[10, 0, 0x7C, 0x4F, 0, 0, 0, 15],
            &name,
            info,
        ]
        .concat()
    }

    fn answer(challenge: &[u8]) -> Result<Vec<u8>, String> {
        let (exchange, first) = Exchange::begin(&ACCOUNT)?;
        assert!(first.starts_with(b"NTLMSSP\0\x01\0\0\0"));
        exchange.answer(challenge)
    }

    #[test]
    fn the_answer_names_who_and_where_and_not_the_password() {
        let answer = answer(&challenge(&timed(&[]))).expect("an answer");
        let field = |at: usize| {
            let length = usize::from(u16::from_le_bytes([answer[at], answer[at + 1]]));
            let offset = usize::from(u16::from_le_bytes([answer[at + 4], answer[at + 5]]));
            &answer[offset..offset + length]
        };
        assert_eq!((field(28), field(36)), (&units("Domain")[..], &units("User")[..]));
        let response = field(20);
        assert_eq!(response[16..18], [1, 1], "NTLMv2");
        assert_eq!(response[24..32], [7; 8], "the server's time");
        let within = |part: &[u8]| answer.windows(part.len()).any(|place| place == part);
        assert!(within(&pair(9, &units(ACCOUNT.service))), "for that service alone");
        assert!(within(&pair(AV_FLAGS, &2_u32.to_le_bytes())), "and proven as a whole");
        assert_ne!(answer[72..88], [0; 16]);
        assert!(!within(&units(ACCOUNT.password)));
    }

    #[test]
    fn a_challenge_that_leads_astray_is_refused_without_a_panic() {
        let good = challenge(&timed(&[]));
        for length in 0..good.len() {
            assert!(answer(&good[..length]).is_err(), "{length}");
        }
        let refused = |bytes: &[u8]| answer(bytes).expect_err("refused");
        assert!(refused(&challenge(&info(&[]))).contains("too old"));
        // The library has no code for 8, and takes the lengths of the others for granted.
        for (id, value) in
            [(8, &[0; 48][..]), (9, b"x\0"), (11, b""), (6, b"12"), (10, b"1"), (7, b"")]
        {
            let said = refused(&challenge(&timed(&pair(id, value))));
            assert!(said.contains(&format!("attribute {id} ")), "{said}");
        }
        assert!(refused(&challenge(&timed(&pair(4, &units("mü"))))).contains("beyond ASCII"));
        assert!(refused(&challenge(&pair(TIMESTAMP, &[7; 8]))).contains("nothing of its server"));
        // Two gigabytes further on; before the payload; upon the name.
        let empty_name_at = |offset: u32| {
            let mut bad = good.clone();
            bad[12..16].fill(0);
            bad[16..20].copy_from_slice(&offset.to_le_bytes());
            bad
        };
        for offset in [0, 55, u32::MAX] {
            assert!(refused(&empty_name_at(offset)).contains("outside"), "{offset}");
        }
        for (at, byte) in [(47, 0x7F), (19, 0x7F), (44, 8), (44, 58), (42, 1)] {
            let mut bad = good.clone();
            bad[at] = byte;
            let _ = refused(&bad);
        }
        let long = challenge(&timed(&pair(5, &units(&"a".repeat(LONGEST)))));
        assert!(refused(&long).contains("too long"));
    }

    /// What no rule above has thought of.
    #[test]
    fn any_bytes_are_taken_without_harm() {
        let good = challenge(&timed(&[]));
        let mut rng = fastrand::Rng::with_seed(5);
        let mut answered = 0;
        for _ in 0..50_000 {
            let mut bytes = good.clone();
            for _ in 0..rng.usize(1..6) {
                // Most often in the head, where the lengths and offsets are.
                let end = if rng.bool() { 48 } else { bytes.len() };
                let at = rng.usize(8..end);
                bytes[at] = [0, 1, 8, 0x7F, 0xFF, rng.u8(..)][rng.usize(0..6)];
            }
            answered += usize::from(answer(&bytes).is_ok());
        }
        assert!(answered > 1_000, "{answered} went to the library");
    }

    #[test]
    fn names_that_the_library_can_not_write_are_refused_at_once() {
        let account = Account { user: "Jörg", ..ACCOUNT };
        let said = Exchange::begin(&account).err().expect("refused");
        assert!(said.contains("\"Jörg\""), "{said}");
    }
}
