//! The server's part of NTLM ([MS-NLMP]): its challenge, and whether an answer proves the password.
//! NTLMv2 only. Written from the specification; bounds on everything, for nobody is logged in yet.
//!
//! Signing and sealing are granted as a server does, and then not used: TDS uses none of it. A
//! client that leaves out the flag for NTLM (`winauth` does) and wants the extended session security
//! is served, as real servers do. Channel bindings cannot be compared: the finished messages of the handshake, which
//! SQL Server binds to, do not come out of the TLS library.

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use md4::{Digest as _, Md4};
use md5::Md5;
use rc4::{Rc4, StreamCipher as _};

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
/// 1601 to 1970, in s.
const EPOCH_S: i64 = 11_644_473_600;
/// An answer whose time differs by more is not taken ([MS-NLMP] 3.2.5.1.2).
const SKEW_S: i64 = 30 * 60;

/// Flags ([MS-NLMP] 2.2.2.5).
const UNICODE: u32 = 0x0000_0001;
const REQUEST_TARGET: u32 = 0x0000_0004;
const NTLM: u32 = 0x0000_0200;
const SIGN: u32 = 0x0000_0010;
const SEAL: u32 = 0x0000_0020;
const ALWAYS_SIGN: u32 = 0x0000_8000;
const TARGET_IS_DOMAIN: u32 = 0x0001_0000;
const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
const TARGET_INFO: u32 = 0x0080_0000;
const VERSION: u32 = 0x0200_0000;
const KEY_128: u32 = 0x2000_0000;
/// The client chooses the key of the session, and tells it encrypted.
const KEY_EXCHANGE: u32 = 0x4000_0000;
const KEY_56: u32 = 0x8000_0000;
/// What the server says, and what of the client's wishes it grants.
const OWN: u32 = UNICODE | NTLM | TARGET_IS_DOMAIN | TARGET_INFO | VERSION;
const GRANTED: u32 = REQUEST_TARGET
    | SIGN
    | SEAL
    | ALWAYS_SIGN
    | EXTENDED_SESSION_SECURITY
    | KEY_128
    | KEY_EXCHANGE
    | KEY_56;

/// Attributes ([MS-NLMP] 2.2.2.1).
const END: u16 = 0;
const COMPUTER: u16 = 1;
const DOMAIN: u16 = 2;
const DNS_COMPUTER: u16 = 3;
const DNS_DOMAIN: u16 = 4;
const AV_FLAGS: u16 = 6;
const TIMESTAMP: u16 = 7;
/// In [`AV_FLAGS`]: the answer holds a proof of the whole exchange.
const PROVEN: u32 = 2;
/// Pairs that are read.
const MAX_PAIRS: usize = 32;

/// Where the proof of the whole exchange stands in the third message, and how long it is.
const PROOF_AT: usize = 72;
const PROOF: usize = 16;

/// An exchange whose challenge has been sent.
pub(super) struct Exchange {
    negotiate: Vec<u8>,
    challenge: Vec<u8>,
    nonce: [u8; 8],
}

/// What the third message says of itself.
pub(super) struct Answer<'a> {
    pub(super) domain: String,
    pub(super) user: String,
    response: &'a [u8],
    /// The session's key, encrypted; empty if it is not exchanged.
    session: &'a [u8],
    message: &'a [u8],
}

/// Why an answer proves nothing; for the log, the client hears only that it is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unproven(pub(super) &'static str);

/// Who the server is.
pub(super) struct Server<'a> {
    pub(super) domain: &'a str,
    pub(super) machine: &'a str,
}

impl Exchange {
    /// Answers the first message with a challenge.
    pub(super) fn begin(
        negotiate: &[u8],
        server: &Server<'_>,
        now: Timestamp,
        nonce: [u8; 8],
    ) -> Result<Exchange, Unproven> {
        let flags = match (negotiate.get(..12), negotiate.get(12..16)) {
            (Some(head), Some(&[a, b, c, d]))
                if head[..8] == SIGNATURE[..] && head[8..] == [1, 0, 0, 0] =>
            {
                u32::from_le_bytes([a, b, c, d])
            }
            _ => return Err(Unproven("the first message is not NTLM")),
        };
        if flags & UNICODE == 0 || flags & (NTLM | EXTENDED_SESSION_SECURITY) == 0 {
            return Err(Unproven("the client cannot do NTLM in Unicode"));
        }
        let dns = format!("{}.example", server.domain.to_lowercase());
        let host = format!("{}.{dns}", server.machine.to_lowercase());
        let info = [
            pair(DOMAIN, &units(server.domain)),
            pair(COMPUTER, &units(server.machine)),
            pair(DNS_DOMAIN, &units(&dns)),
            pair(DNS_COMPUTER, &units(&host)),
            pair(TIMESTAMP, &file_time(now).to_le_bytes()),
            pair(END, &[]),
        ]
        .concat();
        let target = units(server.domain);
        let mut challenge = [&SIGNATURE[..], &2_u32.to_le_bytes()].concat();
        let payload = 56;
        challenge.extend(field(target.len(), payload));
        challenge.extend((OWN | flags & GRANTED).to_le_bytes());
        challenge.extend(nonce);
        challenge.extend([0; 8]);
        challenge.extend(field(info.len(), payload + target.len()));
        // Windows Server 2022.
        challenge.extend([10, 0, 0x7C, 0x4F, 0, 0, 0, 15]);
        challenge.extend(target);
        challenge.extend(info);
        Ok(Exchange { negotiate: negotiate.to_vec(), challenge, nonce })
    }

    pub(super) fn challenge(&self) -> &[u8] {
        &self.challenge
    }

    /// Whether an answer was made by somebody who knows the password.
    pub(super) fn proves(
        &self,
        answer: &Answer<'_>,
        password: &str,
        now: Timestamp,
    ) -> Result<(), Unproven> {
        let Some((proof, blob)) = answer.response.split_first_chunk::<PROOF>() else {
            return Err(Unproven("the response is none of NTLMv2"));
        };
        let Some(&[a, b, c, d, e, f, g, h]) = blob.get(8..16) else {
            return Err(Unproven("the response is none of NTLMv2"));
        };
        if !blob.starts_with(&[1, 1]) {
            return Err(Unproven("the response is none of NTLMv2"));
        }
        let given = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        if given.abs_diff(file_time(now)) > SKEW_S.unsigned_abs() * 10_000_000 {
            return Err(Unproven("the client's time is too far off"));
        }
        let password: [u8; 16] = Md4::digest(units(password)).into();
        let name = [units(&capitals(&answer.user)), units(&answer.domain)].concat();
        let key = keyed(&password, &[&name]);
        if keyed(&key, &[&self.nonce, blob]) != *proof {
            return Err(Unproven("the password is wrong"));
        }
        if flags_of(blob.get(28..).unwrap_or_default())? & PROVEN == 0 {
            return Ok(());
        }
        let Some(whole) = answer.message.get(PROOF_AT..PROOF_AT + PROOF) else {
            return Err(Unproven("the proof of the exchange is missing"));
        };
        let mut message = answer.message.to_vec();
        message[PROOF_AT..PROOF_AT + PROOF].fill(0);
        let session = answer.session_key(keyed(&key, &[proof]))?;
        if keyed(&session, &[&self.negotiate, &self.challenge, &message]) == whole {
            Ok(())
        } else {
            Err(Unproven("the exchange was changed on its way"))
        }
    }
}

impl<'a> Answer<'a> {
    /// Reads the third message.
    pub(super) fn read(message: &'a [u8]) -> Result<Answer<'a>, Unproven> {
        let short = Unproven("the third message is not NTLM");
        if message.get(..8) != Some(SIGNATURE) || message.get(8..12) != Some(&[3, 0, 0, 0]) {
            return Err(short);
        }
        let field = |at: usize| -> Option<&'a [u8]> {
            let &[l0, l1, _, _, o0, o1, o2, o3] = message.get(at..)?.first_chunk()?;
            let length = usize::from(u16::from_le_bytes([l0, l1]));
            let offset = usize::try_from(u32::from_le_bytes([o0, o1, o2, o3])).ok()?;
            message.get(offset..offset.checked_add(length)?)
        };
        let all = (field(20), field(28), field(36), field(52));
        let (Some(response), Some(domain), Some(user), Some(session)) = all else {
            return Err(short);
        };
        let (domain, user) = (super::bytes::utf16(domain), super::bytes::utf16(user));
        Ok(Answer { domain, user, response, session, message })
    }

    /// The key that proves the exchange ([MS-NLMP] 3.1.5.1.2).
    fn session_key(&self, base: [u8; 16]) -> Result<[u8; 16], Unproven> {
        let flags = self.message.get(60..).and_then(<[u8]>::first_chunk);
        if flags.is_none_or(|flags| u32::from_le_bytes(*flags) & KEY_EXCHANGE == 0) {
            return Ok(base);
        }
        let mut key = *<&[u8; 16]>::try_from(self.session)
            .map_err(|_| Unproven("the session's key has another length"))?;
        crypt(&base, &mut key);
        Ok(key)
    }
}

/// What the client says of its exchange, from the attributes in its response.
fn flags_of(mut pairs: &[u8]) -> Result<u32, Unproven> {
    let broken = || Unproven("the attributes of the response are cut off");
    for _ in 0..MAX_PAIRS {
        let Some((&[i0, i1, l0, l1], rest)) = pairs.split_first_chunk() else {
            return Err(broken());
        };
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        let Some((value, rest)) = rest.split_at_checked(length) else { return Err(broken()) };
        match (u16::from_le_bytes([i0, i1]), value) {
            (END, _) => return Ok(0),
            (AV_FLAGS, &[a, b, c, d]) => return Ok(u32::from_le_bytes([a, b, c, d])),
            _ => pairs = rest,
        }
    }
    Err(Unproven("the response has too many attributes"))
}

fn file_time(at: Timestamp) -> u64 {
    let s = u64::try_from(at.as_second() + EPOCH_S).unwrap_or(0);
    s * 10_000_000 + u64::from(at.subsec_nanosecond().unsigned_abs()) / 100
}

fn field(length: usize, offset: usize) -> Vec<u8> {
    let length = u16::try_from(length).unwrap_or(0).to_le_bytes();
    let offset = u32::try_from(offset).unwrap_or(0).to_le_bytes();
    [&length[..], &length, &offset].concat()
}

fn pair(id: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap_or(0);
    [&id.to_le_bytes(), &length.to_le_bytes(), value].concat()
}

/// Only letters that have one capital have one on Windows.
fn capitals(text: &str) -> String {
    let capital = |c: char| {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(one), None) => one,
            (Some(_) | None, _) => c,
        }
    };
    text.chars().map(capital).collect()
}

/// RC4, which encrypts as it decrypts.
fn crypt(key: &[u8; 16], text: &mut [u8]) {
    Rc4::new_from_slice(key).expect("RC4 takes any length").apply_keystream(text);
}

fn keyed(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let mut mac: Hmac<Md5> = Hmac::new(&block.into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn units(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const NOW: &str = "2026-03-02T10:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// A first message as a client would write it.
    pub(in crate::tds) fn negotiate() -> Vec<u8> {
        let flags = OWN | GRANTED;
        [&SIGNATURE[..], &1_u32.to_le_bytes(), &flags.to_le_bytes(), &[0; 16]].concat()
    }

    /// What proves the exchange of a third message.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(in crate::tds) enum Proof {
        Nothing,
        Key,
        /// A key that the client has chosen.
        OwnKey,
    }

    /// A third message: domain, user and the response with these attributes.
    pub(in crate::tds) fn authenticate(
        exchange: &Exchange,
        user: &str,
        password: &str,
        whole: Proof,
    ) -> Vec<u8> {
        let (domain, name) = (units("TWIN"), units(user));
        let hash: [u8; 16] = Md4::digest(units(password)).into();
        let key = keyed(&hash, &[&units(&capitals(user)), &domain]);
        let proven = if whole == Proof::Nothing { 0 } else { PROVEN };
        let flags = pair(AV_FLAGS, &proven.to_le_bytes());
        let blob = [
            &[1, 1, 0, 0, 0, 0, 0, 0][..],
            &file_time(at(NOW)).to_le_bytes(),
            &[5; 8],
            &[0; 4],
            &flags,
            &pair(END, &[]),
        ]
        .concat();
        let proof = keyed(&key, &[&exchange.nonce, &blob]);
        let response = [&proof[..], &blob].concat();
        let mut message = [&SIGNATURE[..], &3_u32.to_le_bytes()].concat();
        let own = [9; PROOF];
        let mut told = own.to_vec();
        let base = keyed(&key, &[&proof]);
        crypt(&base, &mut told);
        let (session, told, flags) = match whole {
            Proof::Nothing | Proof::Key => (base, Vec::new(), (OWN | GRANTED) & !KEY_EXCHANGE),
            Proof::OwnKey => (own, told, OWN | GRANTED),
        };
        let mut offset = PROOF_AT + PROOF;
        for length in [0, response.len(), domain.len(), name.len(), 0, told.len()] {
            message.extend(field(length, offset));
            offset += length;
        }
        message.extend(flags.to_le_bytes());
        message.extend([0; 8 + PROOF]);
        message.extend([response, domain, name, told].concat());
        if whole != Proof::Nothing {
            let all = keyed(&session, &[&exchange.negotiate, &exchange.challenge, &message]);
            message[PROOF_AT..PROOF_AT + PROOF].copy_from_slice(&all);
        }
        message
    }

    pub(in crate::tds) fn exchange() -> Exchange {
        let server = Server { domain: "TWIN", machine: "SQL01" };
        Exchange::begin(&negotiate(), &server, at(NOW), [1; 8]).expect("a challenge")
    }

    fn proves(message: &[u8], password: &str, now: &str) -> Result<(), Unproven> {
        let answer = Answer::read(message)?;
        assert_eq!(answer.domain, "TWIN");
        exchange().proves(&answer, password, at(now))
    }

    #[test]
    fn only_who_knows_the_password_can_answer() {
        for whole in [Proof::Nothing, Proof::Key, Proof::OwnKey] {
            let message = authenticate(&exchange(), "Jörg", "gehe1m", whole);
            assert_eq!(proves(&message, "gehe1m", NOW), Ok(()));
            assert_eq!(proves(&message, "Gehe1m", NOW), Err(Unproven("the password is wrong")));
            let late = proves(&message, "gehe1m", "2026-03-02T10:31:00Z");
            assert_eq!(late, Err(Unproven("the client's time is too far off")));
        }
    }

    /// The response key and the proof of [MS-NLMP] 4.2.4, from its own figures.
    #[test]
    fn the_key_is_that_of_the_specification() {
        let hash: [u8; 16] = Md4::digest(units("Password")).into();
        let key = keyed(&hash, &[&units("USER"), &units("Domain")]);
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "0c868a403bfd7a93a3001ef22ef02e3f");
    }

    #[test]
    fn an_exchange_that_was_changed_is_noticed() {
        let good = authenticate(&exchange(), "joe", "x", Proof::OwnKey);
        // The workstation's field, which the response does not cover.
        let mut bad = good.clone();
        bad[44] ^= 1;
        let changed = proves(&bad, "x", NOW).expect_err("changed");
        assert_eq!(changed, Unproven("the exchange was changed on its way"));
    }

    #[test]
    fn any_bytes_are_taken_without_harm() {
        let good = authenticate(&exchange(), "joe", "x", Proof::OwnKey);
        let mut rng = fastrand::Rng::with_seed(11);
        let server = Server { domain: "TWIN", machine: "SQL01" };
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(0..bytes.len());
                bytes[at] = [0, 0x7F, 0xFF, rng.u8(..)][rng.usize(0..4)];
            }
            bytes.truncate(rng.usize(0..=bytes.len()));
            if let Ok(answer) = Answer::read(&bytes) {
                let _ = exchange().proves(&answer, "x", at(NOW));
            }
            let _ = Exchange::begin(&bytes, &server, at(NOW), [1; 8]);
        }
    }
}
