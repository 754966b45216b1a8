//! NTLM as a client of today speaks it ([MS-NLMP]): NTLMv2 only, with a proof of the whole exchange.
//! Pure.
//!
//! tiberius' own way on Linux brings an RSA library along whose private-key operations leak by
//! timing, and some sixty packages that are no releases yet, so this is ours. What a server says is
//! read with bounds: it is not logged in to yet.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// Flags of a negotiation ([MS-NLMP] 2.2.2.5).
const UNICODE: u32 = 0x0000_0001;
const REQUEST_TARGET: u32 = 0x0000_0004;
const NTLM: u32 = 0x0000_0200;
const ALWAYS_SIGN: u32 = 0x0000_8000;
const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
const TARGET_INFO: u32 = 0x0080_0000;
const KEY_128: u32 = 0x2000_0000;
const FLAGS: u32 = UNICODE
    | REQUEST_TARGET
    | NTLM
    | ALWAYS_SIGN
    | EXTENDED_SESSION_SECURITY
    | TARGET_INFO
    | KEY_128;

/// Attributes that a server tells of itself ([MS-NLMP] 2.2.2.1).
const END: u16 = 0;
const AV_FLAGS: u16 = 6;
const TIMESTAMP: u16 = 7;
const TARGET_NAME: u16 = 9;
/// In [`AV_FLAGS`]: the exchange is proven as a whole.
const PROVEN: u32 = 2;

/// Who logs in, to what.
pub(crate) struct Account<'a> {
    pub(crate) domain: &'a str,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    /// The service's name, `MSSQLSvc/HOST:PORT`: the answer is of no use at another service.
    pub(crate) service: &'a str,
}

/// The first message.
pub(crate) fn negotiate() -> Vec<u8> {
    let mut message = SIGNATURE.to_vec();
    message.extend(1_u32.to_le_bytes());
    message.extend(FLAGS.to_le_bytes());
    // Neither domain nor workstation: they could only be told in a code page here.
    message.extend([0; 16]);
    message
}

/// The answer to a challenge, with eight random bytes of our own.
///
/// # Errors
///
/// What is wrong with the challenge, in words.
pub(crate) fn authenticate(
    account: &Account<'_>,
    challenge: &[u8],
    random: [u8; 8],
) -> Result<Vec<u8>, String> {
    let asked = Challenge::read(challenge)?;
    let (time, target) = asked.target(account.service)?;
    let key = response_key(account);
    let blob = [&[1, 1, 0, 0, 0, 0, 0, 0], &time[..], &random, &[0; 4], &target, &[0; 4]].concat();
    let proof = keyed(&key, &[&asked.nonce, &blob]);
    let session_key = keyed(&key, &[&proof]);
    let response = [&proof[..], &blob].concat();

    let parts =
        [vec![0; 24], response, units(account.domain), units(account.user), Vec::new(), Vec::new()];
    let mut message = SIGNATURE.to_vec();
    message.extend(3_u32.to_le_bytes());
    let mut offset = PAYLOAD;
    for part in &parts {
        let length = u16::try_from(part.len()).map_err(|_| "the answer gets too long")?;
        let at = u32::try_from(offset).map_err(|_| "the answer gets too long")?;
        message.extend([length.to_le_bytes(), length.to_le_bytes()].concat());
        message.extend(at.to_le_bytes());
        offset += part.len();
    }
    message.extend((FLAGS & asked.flags).to_le_bytes());
    // No version; then the proof of the whole, which is made with zeros in its place.
    message.extend([0; 8 + PROOF]);
    message.extend(parts.concat());
    let proof = keyed(&session_key, &[&negotiate(), challenge, &message]);
    message[PAYLOAD - PROOF..PAYLOAD].copy_from_slice(&proof);
    Ok(message)
}

const PROOF: usize = 16;
/// Where what the fields point to begins: signature, type, six fields, flags, version, proof.
const PAYLOAD: usize = 8 + 4 + 6 * 8 + 4 + 8 + PROOF;

struct Challenge<'a> {
    flags: u32,
    nonce: [u8; 8],
    target_info: &'a [u8],
}

impl<'a> Challenge<'a> {
    fn read(message: &'a [u8]) -> Result<Self, String> {
        let short = || "the NTLM challenge is too short".to_owned();
        if message.get(..8) != Some(SIGNATURE) || message.get(8..12) != Some(&[2, 0, 0, 0]) {
            return Err("the server answers with something that is no NTLM challenge".into());
        }
        let flags: [u8; 4] = *message.get(20..).and_then(<[u8]>::first_chunk).ok_or_else(short)?;
        let nonce = *message.get(24..).and_then(<[u8]>::first_chunk).ok_or_else(short)?;
        let field: [u8; 8] = *message.get(40..).and_then(<[u8]>::first_chunk).ok_or_else(short)?;
        let [l0, l1, _, _, o0, o1, o2, o3] = field;
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        let at = usize::try_from(u32::from_le_bytes([o0, o1, o2, o3])).map_err(|_| short())?;
        let target_info =
            at.checked_add(length).and_then(|end| message.get(at..end)).ok_or_else(short)?;
        Ok(Self { flags: u32::from_le_bytes(flags), nonce, target_info })
    }

    /// The server's time, and what it told of itself with what we add.
    fn target(&self, service: &str) -> Result<([u8; 8], Vec<u8>), String> {
        let broken = || "the NTLM challenge tells nothing of its server".to_owned();
        let (mut time, mut flags) = (None, 0);
        let mut pairs = Vec::new();
        let mut rest = self.target_info;
        loop {
            let [i0, i1, l0, l1] = *rest.first_chunk().ok_or_else(broken)?;
            let (id, length) =
                (u16::from_le_bytes([i0, i1]), usize::from(u16::from_le_bytes([l0, l1])));
            let value = rest.get(4..4 + length).ok_or_else(broken)?;
            rest = &rest[4 + length..];
            match id {
                END => break,
                TIMESTAMP => time = value.first_chunk().copied(),
                AV_FLAGS => {
                    flags = value.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
                }
                TARGET_NAME => return Err(broken()),
                _ => {}
            }
            if id != AV_FLAGS {
                pairs.extend(pair(id, value));
            }
        }
        let time = time.ok_or("the server is too old for NTLMv2: its challenge has no time")?;
        pairs.extend(pair(AV_FLAGS, &(flags | PROVEN).to_le_bytes()));
        pairs.extend(pair(TARGET_NAME, &units(service)));
        pairs.extend(pair(END, &[]));
        Ok((time, pairs))
    }
}

fn pair(id: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap_or_default();
    [&id.to_le_bytes(), &length.to_le_bytes(), value].concat()
}

/// NTOWFv2: from the password, the user's name in capitals, and the domain.
fn response_key(account: &Account<'_>) -> [u8; 16] {
    let password: [u8; 16] = Md4::digest(units(account.password)).into();
    // Windows knows only capitals that are one letter too.
    let capital = |c: char| {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(one), None) => one,
            _ => c,
        }
    };
    let user: String = account.user.chars().map(capital).collect();
    keyed(&password, &[&units(&user), &units(account.domain)])
}

/// HMAC-MD5.
fn keyed(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    // As long as a block of MD5; HMAC fills up with zeros itself.
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let mut mac: Hmac<Md5> = Hmac::new(&block.into());
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn units(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: Account<'_> = Account {
        domain: "Domain",
        user: "User",
        password: "Password",
        service: "MSSQLSvc/server:1433",
    };
    const NONCE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn target_info(more: &[u8]) -> Vec<u8> {
        [&pair(2, &units("Domain")), &pair(1, &units("Server")), more, &pair(END, &[])].concat()
    }

    fn challenge(target_info: &[u8]) -> Vec<u8> {
        let length = u16::try_from(target_info.len()).expect("short").to_le_bytes();
        let field = [length, length].concat();
        let flags = (FLAGS | 0x4000_0000).to_le_bytes();
        let head = [&SIGNATURE[..], &[2, 0, 0, 0], &[0; 8], &flags, &NONCE, &[0; 8], &field];
        [&head.concat()[..], &56_u32.to_le_bytes(), &[0; 8], target_info].concat()
    }

    /// [MS-NLMP] 4.2.4.1.1 and 4.2.4.2.2.
    #[test]
    fn the_examples_of_the_specification() {
        let key = response_key(&ACCOUNT);
        assert_eq!(hex(&key), "0c868a403bfd7a93a3001ef22ef02e3f");
        let random = [0xaa; 8];
        let blob =
            [&[1, 1][..], &[0; 6], &[0; 8], &random, &[0; 4], &target_info(&[]), &[0; 4]].concat();
        let proof = keyed(&key, &[&NONCE, &blob]);
        assert_eq!(hex(&proof), "68cd0ab851e51c96aabc927bebef6a1c");
        assert_eq!(hex(&keyed(&key, &[&proof])), "8de40ccadbc14a82f15cb0ad0de95ca3");
    }

    #[test]
    fn the_answer_holds_what_proves_it_and_not_the_password() {
        let time = pair(TIMESTAMP, &[7; 8]);
        let asked = challenge(&target_info(&time));
        let answer = authenticate(&ACCOUNT, &asked, [0xaa; 8]).expect("an answer");
        let field = |at: usize| {
            let length = usize::from(u16::from_le_bytes([answer[at], answer[at + 1]]));
            let offset = usize::from(u16::from_le_bytes([answer[at + 4], answer[at + 5]]));
            &answer[offset..offset + length]
        };
        assert_eq!((field(28), field(36)), (&units("Domain")[..], &units("User")[..]));
        let response = field(20);
        let key = response_key(&ACCOUNT);
        let proof = keyed(&key, &[&NONCE, &response[16..]]);
        assert_eq!(proof, response[..16]);
        assert_eq!(response[24..32], [7; 8], "the server's time");
        let mut unproven = answer.clone();
        unproven[72..88].fill(0);
        let whole = keyed(&keyed(&key, &[&proof]), &[&negotiate(), &asked, &unproven]);
        assert_eq!(whole, answer[72..88]);
        assert_eq!(u32::from_le_bytes([answer[60], answer[61], answer[62], answer[63]]), FLAGS);
        let password = units("Password");
        assert!(!answer.windows(password.len()).any(|part| part == password));
    }

    #[test]
    fn a_challenge_that_is_none_is_refused_without_a_panic() {
        let good = challenge(&target_info(&pair(TIMESTAMP, &[7; 8])));
        let refused = |bytes: &[u8]| authenticate(&ACCOUNT, bytes, [0; 8]).is_err();
        for length in 0..good.len() {
            assert!(refused(&good[..length]), "{length}");
        }
        let old = authenticate(&ACCOUNT, &challenge(&target_info(&[])), [0; 8]);
        assert!(old.expect_err("no time").contains("too old"));
        for at in [8, 40, 44, 47] {
            let mut bad = good.clone();
            bad[at] = 0xFF;
            assert!(refused(&bad), "{at}");
        }
        assert!(refused(&challenge(&pair(TIMESTAMP, &[7; 8]))), "no end");
    }
}
