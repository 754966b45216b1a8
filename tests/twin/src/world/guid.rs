//! Identifiers that look like SQL Server's and come from names and the seed.

use std::fmt;

use serde::{Serialize, Serializer};

/// A uniqueidentifier; the first form in text, as `sqlcmd` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub u128);

impl Guid {
    /// The same seed and label give the same identifier, whatever else the world holds.
    pub(crate) fn derive(seed: u64, label: &str) -> Guid {
        // FNV-1a: any stable hash will do, nothing here has to resist an attacker.
        let hash = label.bytes().fold(0xcbf2_9ce4_8422_2325_u64 ^ seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Guid::random(&mut fastrand::Rng::with_seed(hash))
    }

    pub(crate) fn random(rng: &mut fastrand::Rng) -> Guid {
        let version_4 = rng.u128(..) & !(0xf000 << 64) & !(0xc << 60);
        Guid(version_4 | (0x4000 << 64) | (0x8 << 60))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e] = [
            self.0 >> 96,
            (self.0 >> 80) & 0xffff,
            (self.0 >> 64) & 0xffff,
            (self.0 >> 48) & 0xffff,
            self.0 & 0xffff_ffff_ffff,
        ];
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
    }
}

impl Serialize for Guid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_form_of_a_version_4_identifier() {
        let guid = Guid::derive(7, "dag");
        let text = guid.to_string();
        assert_eq!(text.len(), 36);
        assert_eq!(&text[14..15], "4");
        assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
        assert_eq!(guid, Guid::derive(7, "dag"));
        assert_ne!(guid, Guid::derive(8, "dag"));
    }
}
