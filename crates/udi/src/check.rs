//! Check digits and check characters.

/// The alphabet of HIBC and Code 39, in the order that gives each character its value in the modulo 43 sum.
const HIBC_ALPHABET: &[u8; 43] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%";

/// The GS1 check digit for digits that do not include it yet: weights 3, 1, 3 … from the right. None if not all digits.
pub fn gs1_check_digit(digits: &str) -> Option<char> {
    let mut sum = 0;
    for (index, character) in digits.chars().rev().enumerate() {
        let digit = character.to_digit(10)?;
        sum += if index % 2 == 0 { digit * 3 } else { digit };
    }
    char::from_digit((10 - sum % 10) % 10, 10)
}

/// A GTIN of 8, 12, 13 or 14 digits as the 14 digits under which it is stored. None unless digits and check digit are right.
pub fn gtin14(digits: &str) -> Option<String> {
    if !matches!(digits.len(), 8 | 12 | 13 | 14) || !has_gs1_check_digit(digits) {
        return None;
    }
    Some(format!("{digits:0>14}"))
}

/// The HIBC check character of everything before it (modulo 43). None if a character is outside the alphabet.
pub fn hibc_check_character(text: &str) -> Option<char> {
    let mut sum = 0;
    for byte in text.bytes() {
        sum += HIBC_ALPHABET.iter().position(|candidate| *candidate == byte)?;
    }
    Some(char::from(HIBC_ALPHABET[sum % 43]))
}

/// Whether the last digit is the GS1 check digit of those before it.
pub(crate) fn has_gs1_check_digit(digits: &str) -> bool {
    match digits.char_indices().next_back() {
        Some((last, check)) => gs1_check_digit(&digits[..last]) == Some(check),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computes_gs1_check_digits() {
        assert_eq!(gs1_check_digit("0629104150021"), Some('3'));
        assert_eq!(gs1_check_digit("12a"), None);
        assert!(has_gs1_check_digit("106141412345678908"));
        assert!(!has_gs1_check_digit(""));
    }

    #[test]
    fn pads_a_gtin_to_fourteen_digits() {
        assert_eq!(gtin14("036000291452").as_deref(), Some("00036000291452"));
        assert_eq!(gtin14("036000291453"), None);
        assert_eq!(gtin14("12345"), None);
    }

    #[test]
    fn computes_hibc_check_characters() {
        assert_eq!(hibc_check_character("+A123BJC5D6E71"), Some('G'));
        assert_eq!(hibc_check_character("+a"), None);
    }
}
