//! Windows-1252, the code page of `varchar` under the server's collation.

/// What the bytes 0x80 to 0x9F mean; zero for those without a meaning.
const UPPER: [u32; 32] = [
    0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039,
    0x0152, 0, 0x017D, 0, 0, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC,
    0x2122, 0x0161, 0x203A, 0x0153, 0, 0x017E, 0x0178,
];

/// The byte of a character, or a question mark.
pub(super) fn to_byte(c: char) -> u8 {
    let code = u32::from(c);
    match u8::try_from(code) {
        Ok(byte) if !(0x80..0xA0).contains(&byte) => byte,
        Ok(_) | Err(_) => {
            let found = UPPER.iter().position(|known| *known == code && code != 0);
            found.and_then(|at| u8::try_from(at + 0x80).ok()).unwrap_or(b'?')
        }
    }
}

/// The character of a byte.
pub(super) fn to_char(byte: u8) -> char {
    let known = usize::from(byte).checked_sub(0x80).and_then(|at| UPPER.get(at));
    known.filter(|code| **code != 0).and_then(|code| char::from_u32(*code)).unwrap_or(byte.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_with_a_meaning_come_back() {
        for byte in 0..=255_u8 {
            let without = [0x81, 0x8D, 0x8F, 0x90, 0x9D].contains(&byte);
            assert!(to_byte(to_char(byte)) == byte || without, "{byte:#x}");
        }
        assert_eq!((to_byte('€'), to_byte('☃')), (0x80, b'?'));
    }
}
