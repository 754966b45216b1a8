//! The public key and the end of a certificate, read out of its DER form. Bounded: what is no certificate has
//! no key.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The RSA public key of a certificate, as PKCS#1 has it (`RSAPublicKey`).
pub(super) fn rsa_key(certificate: &[u8]) -> Option<&[u8]> {
    let (outer, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(outer, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = any(rest)?.1;
    }
    // Serial number, algorithm, issuer, validity, subject.
    for _ in 0..5 {
        rest = any(rest)?.1;
    }
    let (key_info, _) = element(rest, SEQUENCE)?;
    let (_, rest) = any(key_info)?;
    let (bits, _) = element(rest, BIT_STRING)?;
    // The first byte counts unused bits, of which a key has none.
    bits.strip_prefix(&[0])
}

/// `notAfter` of a certificate.
pub(super) fn expiry(certificate: &[u8]) -> Option<Timestamp> {
    let (outer, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(outer, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = any(rest)?.1;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        rest = any(rest)?.1;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, rest) = any(validity)?;
    let kind = *rest.first()?;
    let text = str::from_utf8(any(rest)?.0).ok()?;
    let text = match kind {
        // Years of two digits are those of 1950 to 2049 (RFC 5280).
        UTC_TIME => format!("{}{text}", if text.get(..1)? < "5" { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The content of an element of this kind, and what follows it.
fn element(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    if bytes.first() == Some(&kind) { any(bytes) } else { None }
}

fn any(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match bytes.get(1..)? {
        [short @ 0..=0x7F, rest @ ..] => (usize::from(*short), rest),
        [0x81, one, rest @ ..] => (usize::from(*one), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_certificate_is_found_and_nothing_else_has_one() {
        let key =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
                .expect("a key");
        let params = rcgen::CertificateParams::new(vec!["app".to_owned()]).expect("a name");
        let not_after = params.not_after.unix_timestamp();
        let certificate = params.self_signed(&key).expect("signed");
        let der = certificate.der();
        let found = rsa_key(der).expect("a key");
        assert_eq!(found, key.public_key_raw());
        let end = expiry(der).expect("a time");
        assert_eq!(end.as_second(), not_after);
        for length in 0..der.len().min(300) {
            assert_eq!(rsa_key(&der[..length]), None, "{length}");
        }
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let mut bytes = der.to_vec();
            let at = rng.usize(0..bytes.len());
            bytes[at] = rng.u8(..);
            let _ = (rsa_key(&bytes), expiry(&bytes));
        }
    }
}
