//! Certificates in their DER form: the public key, the number and the end read out of one, and one
//! written. Bounded: what is no certificate has no key.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const NULL: u8 = 0x05;
const UTF8: u8 = 0x0C;
const BIT_STRING: u8 = 0x03;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Object identifiers with their heads: sha256WithRSAEncryption, rsaEncryption, commonName.
const SHA256_WITH_RSA: [u8; 11] = [0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 11];
const RSA: [u8; 11] = [0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1];
const COMMON_NAME: [u8; 5] = [0x06, 3, 0x55, 4, 3];

/// The RSA public key of a certificate, as PKCS#1 has it (`RSAPublicKey`).
pub(crate) fn rsa_key(certificate: &[u8]) -> Option<&[u8]> {
    let (_, rest) = any(key(certificate)?)?;
    let (bits, _) = element(rest, BIT_STRING)?;
    // The first byte counts unused bits, of which a key has none.
    bits.strip_prefix(&[0])
}

/// How long the RSA key of a certificate is, in bits.
pub(crate) fn key_bits(certificate: &[u8]) -> Option<usize> {
    let (numbers, _) = element(rsa_key(certificate)?, SEQUENCE)?;
    let (modulus, _) = element(numbers, INTEGER)?;
    // A zero in front says that it has no sign.
    Some(modulus.strip_prefix(&[0]).unwrap_or(modulus).len() * 8)
}

/// The public key of a certificate with its algorithm (`SubjectPublicKeyInfo`).
pub(crate) fn key(certificate: &[u8]) -> Option<&[u8]> {
    let mut rest = numbered(certificate)?;
    // Serial number, algorithm, issuer, validity, subject.
    for _ in 0..5 {
        rest = any(rest)?.1;
    }
    Some(element(rest, SEQUENCE)?.0)
}

/// The serial number of a certificate, as far as it fits.
pub(crate) fn serial(certificate: &[u8]) -> Option<u128> {
    let (digits, _) = element(numbered(certificate)?, INTEGER)?;
    let digits = digits.iter().skip_while(|digit| **digit == 0);
    Some(digits.fold(0, |number, digit| number << 8 | u128::from(*digit)))
}

/// A certificate as SQL Server makes one: signed by itself, for an RSA key of 2,048 bits. Key and
/// signature are drawn from its number and verify nothing: nobody has the private half.
pub(crate) fn certificate(name: &str, serial: u128, begin: Timestamp, end: Timestamp) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed((serial ^ (serial >> 64)) as u64);
    let mut drawn = |count: usize| -> Vec<u8> {
        // Neither zeros in front nor a sign; an odd number.
        let mut bytes: Vec<u8> = (0..count).map(|_| rng.u8(..)).collect();
        bytes[0] = 0x40 | bytes[0] & 0x3F;
        bytes[count - 1] |= 1;
        bytes
    };
    let sha256 = written(SEQUENCE, &[&SHA256_WITH_RSA[..], &[NULL, 0]].concat());
    let rsa = written(SEQUENCE, &[&RSA[..], &[NULL, 0]].concat());
    let common = written(SEQUENCE, &[&COMMON_NAME[..], &written(UTF8, name.as_bytes())].concat());
    let subject = written(SEQUENCE, &written(SET, &common));
    let moment = |at: Timestamp| {
        let text = at.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%SZ").to_string();
        written(GENERALIZED_TIME, text.as_bytes())
    };
    let modulus = written(INTEGER, &drawn(256));
    let numbers = written(SEQUENCE, &[modulus, vec![INTEGER, 3, 1, 0, 1]].concat());
    let bits = written(BIT_STRING, &[&[0], &numbers[..]].concat());
    let mut number = vec![0];
    number.extend(serial.to_be_bytes());
    let body = [
        written(VERSION, &[INTEGER, 1, 2]),
        written(INTEGER, &number),
        sha256.clone(),
        subject.clone(),
        written(SEQUENCE, &[moment(begin), moment(end)].concat()),
        subject,
        written(SEQUENCE, &[rsa, bits].concat()),
    ];
    let signature = written(BIT_STRING, &[&[0], &drawn(256)[..]].concat());
    written(SEQUENCE, &[written(SEQUENCE, &body.concat()), sha256, signature].concat())
}

/// `notAfter` of a certificate.
pub(crate) fn expiry(certificate: &[u8]) -> Option<Timestamp> {
    let mut rest = numbered(certificate)?;
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

/// What is signed of a certificate, from its number on.
fn numbered(certificate: &[u8]) -> Option<&[u8]> {
    let (outer, _) = element(certificate, SEQUENCE)?;
    let (rest, _) = element(outer, SEQUENCE)?;
    if rest.first() == Some(&VERSION) { Some(any(rest)?.1) } else { Some(rest) }
}

/// An element; of what is written here none is longer than two bytes can say.
fn written(kind: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut bytes = match (high, low) {
        (0, short @ 0..=0x7F) => vec![kind, short],
        (0, long) => vec![kind, 0x81, long],
        (_, _) => vec![kind, 0x82, high, low],
    };
    bytes.extend_from_slice(content);
    bytes
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
    fn what_is_written_is_read_again() {
        let begin: Timestamp = "2026-11-22T10:00:00Z".parse().expect("a time");
        let end: Timestamp = "2031-11-22T10:00:00Z".parse().expect("a time");
        let der = certificate("Cert_SQL01_endpoint", 7 << 100, begin, end);
        assert_eq!((expiry(&der), serial(&der)), (Some(end), Some(7 << 100)));
        let renewed = certificate("Cert_SQL01_endpoint", 7 << 100, begin, begin);
        assert!(key(&der).is_some() && key(&der) == key(&renewed) && der != renewed);
        assert_ne!(key(&der), key(&certificate("Cert_SQL01_endpoint", 8, begin, end)));
        assert!(rsa_key(&der).is_some_and(|key| key.len() > 256), "modulus and exponent");
        assert_eq!(key_bits(&der), Some(2_048));
        for length in 0..der.len() {
            let _ = (key(&der[..length]), serial(&der[..length]), expiry(&der[..length]));
        }
    }

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
        assert_eq!(key_bits(der), Some(2_048));
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
