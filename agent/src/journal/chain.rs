//! The hash chain over the texts of the entries.

use std::fmt;

use agent_core::Seq;
use sha2::{Digest, Sha256};

/// Hash of an entry's text and of all those before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

/// Where a journal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// 0 if the journal is empty.
    pub seq: Seq,
    pub hash: Hash,
    /// The term that the entry was written in.
    pub term: u64,
}

impl Hash {
    /// What the first entry follows.
    pub const GENESIS: Self = Self([0; 32]);

    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash of the entry that follows this one and has this text.
    #[must_use]
    pub fn then(&self, text: &str) -> Self {
        let digest = Sha256::new()
            .chain_update(b"dr-agent entry v1\n")
            .chain_update(self.0)
            .chain_update(text.as_bytes())
            .finalize();
        Self(digest.into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl Head {
    /// The head of a journal without entries.
    pub const EMPTY: Self = Self { seq: 0, hash: Hash::GENESIS, term: 0 };
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} (hash {}, term {})", self.seq, self.hash, self.term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chain is part of the format: what was written once is verified for ever.
    #[test]
    fn the_chain_is_what_sha256sum_says() {
        // printf 'dr-agent entry v1\n' > f; head -c 32 /dev/zero >> f; printf '{"v":1}' >> f; sha256sum f
        let first = Hash::GENESIS.then(r#"{"v":1}"#);
        assert_eq!(
            first.to_string(),
            "cee3b41e8a5bba967bdfc8e57dc6083b41eed0a49b38c03428ea219d95313586"
        );
        assert_ne!(first.then(""), Hash::GENESIS.then(""));
    }
}
