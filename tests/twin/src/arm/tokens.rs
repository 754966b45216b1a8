//! Access tokens: JSON web tokens, signed with a key of this world's directory, so that those of
//! another twin are foreign. They live by the caller's clock, whatever the world's speed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::world::Directory;

/// What is in a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) aud: String,
    pub(crate) iss: String,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) appid: String,
    pub(crate) tid: String,
    pub(crate) ver: String,
}

/// The key that tokens are signed with.
#[derive(Clone)]
pub(crate) struct TokenKey([u8; 32]);

/// Why a token is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is no token of this service.
    Foreign,
    /// It was valid until then.
    Expired(Timestamp),
}

impl TokenKey {
    /// The key of a world.
    pub(crate) fn of(directory: &Directory) -> TokenKey {
        TokenKey(directory.key)
    }

    pub(crate) fn sign(&self, claims: &Claims) -> String {
        let header = URL_SAFE_NO_PAD.encode(br#"{"typ":"JWT","alg":"HS256"}"#);
        let claims = serde_json::to_vec(claims).unwrap_or_default();
        let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(keyed_hash(&self.0, text.as_bytes()));
        format!("{text}.{signature}")
    }

    pub(crate) fn check(&self, token: &str, now: Timestamp) -> Result<Claims, Unfit> {
        let (text, signature) = token.rsplit_once('.').ok_or(Unfit::Foreign)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Unfit::Foreign)?;
        if signature != keyed_hash(&self.0, text.as_bytes()) {
            return Err(Unfit::Foreign);
        }
        let claims: Claims = claims_of(token).ok_or(Unfit::Foreign)?;
        let until = Timestamp::from_second(claims.exp).map_err(|_| Unfit::Foreign)?;
        if until <= now { Err(Unfit::Expired(until)) } else { Ok(claims) }
    }
}

/// The claims of a token, unverified.
pub(super) fn claims_of<T: for<'de> Deserialize<'de>>(token: &str) -> Option<T> {
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

/// HMAC-SHA-256.
pub(super) fn keyed_hash(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(data).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            aud: "https://management.azure.com".into(),
            iss: "https://sts.windows.net/t/".into(),
            iat: 1_000,
            nbf: 1_000,
            exp: 2_000,
            appid: "app".into(),
            tid: "t".into(),
            ver: "1.0".into(),
        }
    }

    #[test]
    fn the_keyed_hash_is_hmac_sha_256() {
        // RFC 4231, test case 6 needs a longer key; this is case 1 with its key padded by zeros,
        // which HMAC does itself.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let hex: String =
            keyed_hash(&key, b"Hi There").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }

    #[test]
    fn tokens_are_taken_until_they_expire_and_only_by_who_made_them() {
        let (key, other) = (TokenKey([7; 32]), TokenKey([8; 32]));
        let token = key.sign(&claims());
        let at = |second| Timestamp::from_second(second).expect("a time");
        assert_eq!(key.check(&token, at(1_999)), Ok(claims()));
        assert_eq!(key.check(&token, at(2_000)), Err(Unfit::Expired(at(2_000))));
        assert_eq!(other.check(&token, at(1_500)), Err(Unfit::Foreign));
        assert_eq!(key.check("a.b.c", at(1_500)), Err(Unfit::Foreign));
    }
}
